//! DataFrames: a query and the session that it belongs to.
//!
//! Owns the query of each, as a relation with a condition on its rows. Knows no operator. Invariants: a DataFrame never changes, methods give
//! new ones; each has been planned, so its columns are known and it has no mistake that the planner sees.

mod beneath;
mod combine;
mod describe;
mod duplicates;
mod grouped;
mod project;
mod rows;
mod time;

pub use combine::JoinType;
pub use grouped::GroupedData;

pub(super) use time::parsed_ms;

use beneath::Beneath;

use super::{
    column::{Column, ColumnOrName},
    mistake::{At, told, wrong},
    session::{HiddenName, StreamSession},
    tree::{self, Parts},
};
use crate::{
    error::Result,
    sql::{SqlResult, plan::QueryColumns},
};
use datafusion_common::{DFSchema, DFSchemaRef};
use datafusion_expr::LogicalPlan;
use datafusion_sql::sqlparser::ast::{Expr, Query, SelectItem, TableFactor, TableWithJoins};
use std::sync::Arc;

/// Rows with the same columns: a query over tables. Made by a [`StreamSession`], and from others by methods, which have Spark's names. Of rows
/// that keep coming, it runs once it is [written](DataFrame::write_stream); of rows that have an end, it runs when they are asked for
/// ([`show`](DataFrame::show), [`collect`](DataFrame::collect)), and a stream can be joined with them.
///
/// ```
/// use tidegate::sql::{StreamSession, functions::{col, lower}};
/// let spark = StreamSession::builder("frame-doc").get_or_create()?;
/// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
/// let words = spark.table("lines")?.filter(col("line").neq(""))?.select([lower("line").alias("word")])?;
/// assert_eq!(words.columns(), ["word"]);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct DataFrame {
    pub(super) session: StreamSession,
    from: TableWithJoins,
    filter: Option<Expr>,
    /// Its columns in their order; `*` where that is the order of the relation.
    listed: Vec<SelectItem>,
    schema: DFSchemaRef,
    /// The query itself, where it is no relation with a condition: rows in an order, or a number of them.
    whole: Option<Query>,
    /// Whether its rows have an end.
    is_bounded: bool,
    /// The relations of other DataFrames that it reads.
    held: Vec<Arc<HiddenName>>,
    /// What it is a selection of.
    beneath: Option<Beneath>,
}

impl DataFrame {
    /// Without rows and columns: the answer to a declaration.
    pub(super) fn nothing(session: &StreamSession) -> Self {
        let schema = Arc::new(DFSchema::empty());
        Self::of(session, tree::alone(tree::table("")), None, QueryColumns { schema, is_bounded: false })
    }

    fn of(session: &StreamSession, from: TableWithJoins, filter: Option<Expr>, of: QueryColumns) -> Self {
        let QueryColumns { schema, is_bounded } = of;
        let session = session.clone();
        let listed = vec![tree::all()];
        DataFrame {
            session,
            from,
            filter,
            listed,
            schema,
            whole: None,
            is_bounded,
            held: vec![],
            beneath: None,
        }
    }

    /// The rows of a relation.
    pub(super) fn reading(session: &StreamSession, relation: TableFactor, at: At) -> Result<Self> {
        Self::planned(session, Parts::of(tree::alone(relation), None), at)
    }

    /// The rows of a query whose columns are known.
    pub(super) fn of_query(session: &StreamSession, query: Query, columns: QueryColumns) -> Self {
        let QueryColumns { schema, is_bounded } = columns;
        let from = tree::alone(tree::derived(query, None));
        // The names of relations inside of the query are not seen outside.
        let has_names = schema.iter().any(|(relation, _)| relation.is_some());
        let plain = has_names.then(|| DFSchema::try_from(schema.as_arrow().clone()).ok()).flatten();
        let schema = plain.map_or(schema, Arc::new);
        Self::of(session, from, None, QueryColumns { schema, is_bounded })
    }

    /// Columns of a relation, each by its name, in the rows for which a condition holds.
    fn planned(session: &StreamSession, parts: Parts, at: At) -> Result<Self> {
        let (from, filter, listed) = (parts.from.clone(), parts.filter.clone(), parts.columns.clone());
        let columns = session.0.planner().columns_of(&parts.query()).map_err(|mistake| told(at, mistake))?;
        Ok(DataFrame { listed, ..Self::of(session, from, filter, columns) })
    }

    /// The rows of a relation that only DataFrames know.
    pub(super) fn hidden(session: &StreamSession, name: Arc<HiddenName>, at: At) -> Result<Self> {
        let inner = DataFrame::reading(session, tree::table(&name.name), at)?;
        // The name is not the program's: it is not seen.
        let mut frame = DataFrame::reading(session, tree::derived(inner.query(), None), at)?;
        frame.held.push(name);
        Ok(frame)
    }

    /// It reads what another one reads.
    fn holding(mut self, other: &DataFrame) -> Self {
        for name in &other.held {
            if !self.held.iter().any(|held| Arc::ptr_eq(held, name)) {
                self.held.push(name.clone());
            }
        }
        self
    }

    /// The rows of a query over this DataFrame.
    fn then(&self, query: Query, at: At) -> Result<Self> {
        self.check(at)?;
        let columns = self.session.0.planner().columns_of(&query).map_err(|mistake| told(at, mistake))?;
        Ok(Self::of_query(&self.session, query, columns).holding(self))
    }

    /// The rows with something above their plan.
    fn above(&self, at: At, above: impl FnOnce(LogicalPlan) -> SqlResult<LogicalPlan>) -> Result<DataFrame> {
        self.check(at)?;
        let (query, name) = (self.query(), self.session.0.hidden_name());
        let declared = self.session.0.planner().declare_above(&name.name, &query, above);
        declared.map_err(|mistake| told(at, mistake))?;
        DataFrame::hidden(&self.session, name, at)
    }

    pub(super) fn check(&self, at: At) -> Result {
        if self.schema.fields().is_empty() && self.whole.is_none() {
            return Err(wrong(at, "this DataFrame has no columns", "make it of a query or a table"));
        }
        Ok(())
    }

    /// Whether its rows have an end.
    pub(super) fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    /// Its query.
    pub(super) fn query(&self) -> Query {
        match &self.whole {
            Some(query) => query.clone(),
            None => self.parts().query(),
        }
    }

    /// What a query over it reads, and under which condition.
    fn parts(&self) -> Parts {
        match &self.whole {
            Some(query) => Parts::of(tree::alone(tree::derived(query.clone(), None)), None),
            None => {
                Parts { columns: self.listed.clone(), ..Parts::of(self.from.clone(), self.filter.clone()) }
            }
        }
    }

    /// It as a relation of others, under a name if there is one.
    fn relation(&self, alias: Option<&str>) -> TableFactor {
        match (&self.from, &self.filter, &self.whole, alias) {
            (TableWithJoins { relation, joins }, None, None, None) if joins.is_empty() => relation.clone(),
            _ => tree::derived(self.query(), alias),
        }
    }

    /// Its columns as items of a list, each by its name.
    fn items(&self) -> Vec<(String, SelectItem)> {
        let item =
            |(relation, field): (Option<&datafusion_common::TableReference>, &arrow::datatypes::FieldRef)| {
                let name = super::column::ident(field.name());
                let expr = match relation {
                    Some(relation) => {
                        Expr::CompoundIdentifier(vec![super::column::ident(relation.table()), name])
                    }
                    None => Expr::Identifier(name),
                };
                (field.name().clone(), SelectItem::UnnamedExpr(expr))
            };
        self.schema.iter().map(item).collect()
    }

    /// The first mistake of columns that a method was given.
    fn check_columns<'c>(&self, columns: impl IntoIterator<Item = &'c Column>, at: At) -> Result {
        self.check(at)?;
        match columns.into_iter().find_map(|column| column.mistake.clone()) {
            Some(mistake) => Err(wrong(at, mistake.to_string(), "correct the expression")),
            None => Ok(()),
        }
    }

    /// That there is a column of this name.
    fn check_name(&self, name: &str, at: At) -> Result {
        if self.schema.fields().iter().any(|field| field.name() == name) {
            return Ok(());
        }
        let names = self.columns();
        let next = match crate::sql::closest::closest(name, names.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("there are: `{}`", names.join("`, `")),
        };
        Err(wrong(at, format!("there is no column `{name}`"), next))
    }

    /// What becomes of a text that names a column, or of a column.
    fn columns_given<C: ColumnOrName>(
        &self,
        columns: impl IntoIterator<Item = C>,
        at: At,
    ) -> Result<Vec<Column>> {
        let columns: Vec<Column> = columns.into_iter().map(C::into_column).collect();
        self.check_columns(&columns, at)?;
        Ok(columns)
    }
}

fn is_plain(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}
