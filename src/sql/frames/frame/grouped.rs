//! Rows by groups.
//!
//! Owns `group_by` and what is computed of groups. Knows no state. Invariant: the columns of the result are the keys, in order, then what is
//! computed.

use super::{DataFrame, time::WindowKey};
use crate::sql::walk::each_expr;
use crate::{
    error::Result,
    sql::frames::{
        column::{Column, ColumnOrName, lookup},
        functions,
        mistake::At,
        tree::Parts,
    },
};
use datafusion_sql::sqlparser::ast::Expr;
use std::{ops::ControlFlow, panic::Location};

/// A DataFrame whose rows are grouped: see [`DataFrame::group_by`].
#[derive(Clone, Debug)]
#[must_use = "call `agg`, `count`, `sum` and so on"]
pub struct GroupedData {
    frame: DataFrame,
    keys: Result<Vec<Column>>,
}

impl DataFrame {
    /// Groups rows by columns; no columns = all rows are one group. A [window](crate::sql::functions::window) of event time groups by time.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::{avg, col, count, max}};
    /// let spark = StreamSession::builder("frame-group-by").get_or_create()?;
    /// spark.sql("CREATE TABLE sales (item STRING, price BIGINT) WITH ('connector' = 'kafka', 'topic' = 'sales', 'format' = 'json')")?;
    /// let sales = spark.table("sales")?;
    /// assert_eq!(sales.group_by(["item"]).count()?.columns(), ["item", "count"]);
    /// let some = sales.group_by(["item"]).agg([avg("price"), max("price").alias("greatest"), count("*")])?;
    /// assert_eq!(some.columns(), ["item", "avg(price)", "greatest", "count(1)"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by<C: ColumnOrName>(&self, columns: impl IntoIterator<Item = C>) -> GroupedData {
        let keys = self.columns_given(columns, Location::caller());
        GroupedData { frame: self.clone(), keys }
    }

    /// Whether a column calls an aggregate function.
    fn has_aggregate(&self, column: &Column) -> bool {
        let planner = self.session.0.planner();
        let is_aggregate = |name: &str| planner.catalog().functions().aggregate(name).is_some();
        let found = each_expr(&column.expr(), |expr| match expr {
            Expr::Function(call) if is_aggregate(&call.name.to_string().to_lowercase()) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        found.is_break()
    }

    /// Aggregates of all rows: one row.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::{count, lit}};
    /// # let spark = StreamSession::builder("frame-agg").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.agg([count(lit(1)).alias("lines")])?.columns(), ["lines"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn agg(&self, columns: impl IntoIterator<Item = Column>) -> Result<DataFrame> {
        self.group_by::<&str>([]).agg(columns)
    }
}

/// Whether an expression calls this function.
fn is_call_of(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Function(call) if call.name.to_string() == name)
}

impl GroupedData {
    /// What is computed of each group.
    ///
    /// # Errors
    /// As [`select`](DataFrame::select).
    #[track_caller]
    pub fn agg(&self, columns: impl IntoIterator<Item = Column>) -> Result<DataFrame> {
        let columns: Vec<Column> = columns.into_iter().collect();
        self.computed(&columns, Location::caller())
    }

    fn computed(&self, columns: &[Column], at: At) -> Result<DataFrame> {
        let keys = self.keys.as_ref().map_err(Clone::clone)?;
        self.frame.check_columns(columns, at)?;
        if keys.is_empty() && !columns.iter().any(|column| self.frame.has_aggregate(column)) {
            let next = "call select(..), or compute something of all rows, such as count(\"*\")";
            return Err(super::wrong(at, "`agg` without an aggregate", next));
        }
        let mut frame = self.frame.clone();
        let (mut items, mut group_by) = (vec![], vec![]);
        let mut windows = keys.iter().filter_map(WindowKey::of);
        if let Some(window) = windows.next() {
            if windows.next().is_some() {
                return Err(super::wrong(at, "rows are grouped by two windows", "group by one of them"));
            }
            frame = frame.in_windows(&window?, at)?;
        }
        for key in keys {
            if WindowKey::of(key).is_some() {
                group_by.extend(["window_start", "window_end"].map(lookup));
                let named = [("start", "window_start"), ("end", "window_end")];
                let named = named.map(|(name, of)| Column::of(lookup(of)).alias(name));
                items.push(functions::struct_(named).alias(key.alias_name().unwrap_or("window")));
                continue;
            }
            group_by.push(key.expr());
            let is_session = key.alias_name().is_none() && is_call_of(&key.expr(), "session_window");
            items.push(if is_session { key.alias("session_window") } else { key.clone() });
        }
        items.extend(columns.iter().cloned());
        let columns = items.into_iter().map(|column| column.item).collect();
        frame.then(Parts { columns, group_by, ..frame.parts() }.query(), at)
    }

    /// The number of rows of each group, in the column `count`.
    ///
    /// # Errors
    /// As [`select`](DataFrame::select).
    #[track_caller]
    pub fn count(&self) -> Result<DataFrame> {
        self.computed(&[functions::count("*").alias("count")], Location::caller())
    }

    /// The sums of columns.
    ///
    /// # Errors
    /// As [`select`](DataFrame::select).
    #[track_caller]
    pub fn sum<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<DataFrame> {
        self.each(names, functions::sum, Location::caller())
    }

    /// The means of columns.
    ///
    /// # Errors
    /// As [`select`](DataFrame::select).
    #[track_caller]
    pub fn avg<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<DataFrame> {
        self.each(names, functions::avg, Location::caller())
    }

    /// The least values of columns.
    ///
    /// # Errors
    /// As [`select`](DataFrame::select).
    #[track_caller]
    pub fn min<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<DataFrame> {
        self.each(names, functions::min, Location::caller())
    }

    /// The greatest values of columns.
    ///
    /// # Errors
    /// As [`select`](DataFrame::select).
    #[track_caller]
    pub fn max<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<DataFrame> {
        self.each(names, functions::max, Location::caller())
    }

    fn each<'s>(
        &self,
        names: impl IntoIterator<Item = &'s str>,
        function: impl Fn(&'s str) -> Column,
        at: At,
    ) -> Result<DataFrame> {
        let columns: Vec<Column> = names.into_iter().map(function).collect();
        self.computed(&columns, at)
    }
}
