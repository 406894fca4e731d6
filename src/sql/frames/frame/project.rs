//! Which columns rows have, and which rows there are.
//!
//! Owns the methods. Knows no operator. Invariant: columns keep their order unless a method is about it.

use super::{At, DataFrame, is_plain};
use crate::{
    error::Result,
    sql::frames::{
        column::{Column, ColumnOrName, ident},
        tree::Parts,
    },
};
use arrow::datatypes::{DataType, FieldRef};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, ObjectNamePart, SelectItem, SelectItemQualifiedWildcardKind,
};
use std::panic::Location;

impl DataFrame {
    /// These columns. A list that is [exploded](crate::sql::functions::explode) makes a row for each of its elements.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::{explode, split}};
    /// let spark = StreamSession::builder("frame-select").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let lines = spark.table("lines")?;
    /// assert_eq!(lines.select([explode(split("line", " ")).alias("word")])?.columns(), ["word"]);
    /// assert_eq!(lines.select(["line"])?.columns(), ["line"]);
    /// let told = lines.select(["lime"]).unwrap_err().to_string();
    /// assert!(told.contains("there is no column `lime`") && told.contains("`line`"), "{told}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) with the line of the call: a column that does not exist, types that do not fit, and so on. All methods
    /// have this error.
    #[track_caller]
    pub fn select<C: ColumnOrName>(&self, columns: impl IntoIterator<Item = C>) -> Result<DataFrame> {
        let at = Location::caller();
        let columns = self.columns_given(columns, at)?;
        self.selected(columns.into_iter().flat_map(|column| self.spread(column.item)).collect(), at)
    }

    /// The fields of a row, where an item stands for them; otherwise the item.
    fn spread(&self, item: SelectItem) -> Vec<SelectItem> {
        if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) = &item
            && let [ObjectNamePart::Identifier(of)] = of.0.as_slice()
            && !self.schema.iter().any(|(relation, _)| relation.is_some_and(|name| name.table() == of.value))
            && let Some(column) = self.schema.fields().iter().find(|field| *field.name() == of.value)
            && let DataType::Struct(fields) = column.data_type()
        {
            let field = |field: &FieldRef| SelectItem::ExprWithAlias {
                expr: Expr::CompoundIdentifier(vec![ident(column.name()), ident(field.name())]),
                alias: ident(field.name()),
            };
            return fields.iter().map(field).collect();
        }
        vec![item]
    }

    /// These columns, each a text of SQL, such as `price * 2 AS double`.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-select-expr").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let lengths = spark.table("lines")?.select_expr(["line", "character_length(line) AS n"])?;
    /// assert_eq!(lengths.columns(), ["line", "n"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn select_expr<'s>(&self, columns: impl IntoIterator<Item = &'s str>) -> Result<DataFrame> {
        self.select(columns.into_iter().map(Column::parsed))
    }

    /// The rows for which a condition is true. It may name columns that the last [`select`](Self::select) has left out.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::{col, expr}};
    /// # let spark = StreamSession::builder("frame-filter").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let some = spark.table("lines")?.filter(col("line").neq(""))?.filter(expr("line LIKE '%!'"))?;
    /// assert_eq!(some.columns(), ["line"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn filter(&self, condition: Column) -> Result<DataFrame> {
        let at = Location::caller();
        self.check_columns([&condition], at)?;
        let condition = condition.into_expr();
        self.with_left_out(&[&condition], at, |frame| frame.filtered(condition.clone(), at))
    }

    fn filtered(&self, condition: Expr, at: At) -> Result<DataFrame> {
        let mut parts = self.parts();
        parts.filter = Some(match parts.filter.take() {
            Some(before) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(before))),
                op: BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(condition))),
            },
            None => condition,
        });
        Ok(DataFrame::planned(&self.session, parts, at)?.holding(self))
    }

    /// The same as [`filter`](Self::filter).
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::col};
    /// # let spark = StreamSession::builder("frame-where").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// spark.table("lines")?.where_(col("line").is_not_null())?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn where_(&self, condition: Column) -> Result<DataFrame> {
        self.filter(condition)
    }

    /// All columns and one more, behind the others; or another value for the column of this name, in its place.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::{length, upper}};
    /// # let spark = StreamSession::builder("frame-with-column").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let lines = spark.table("lines")?.with_column("n", length("line"))?.with_column("line", upper("line"))?;
    /// assert_eq!(lines.columns(), ["line", "n"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn with_column(&self, name: &str, column: Column) -> Result<DataFrame> {
        let at = Location::caller();
        self.check_columns([&column], at)?;
        let named = SelectItem::ExprWithAlias { expr: column.into_expr(), alias: ident(name) };
        let mut items = self.items();
        if items.iter().any(|(other, _)| other == name) {
            items.iter_mut().filter(|(other, _)| other == name).for_each(|(_, item)| *item = named.clone());
        } else {
            items.push((name.to_owned(), named));
        }
        let columns = items.into_iter().map(|(_, item)| item).collect();
        self.then(Parts { columns, ..self.parts() }.query(), at)
    }

    /// All columns, one of them under another name. If there is none of that name, nothing changes, as in Spark.
    ///
    /// ```
    /// # use tidegate::sql::StreamSession;
    /// # let spark = StreamSession::builder("frame-renamed").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.table("lines")?.with_column_renamed("line", "text")?.columns(), ["text"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select).
    #[track_caller]
    pub fn with_column_renamed(&self, from: &str, to: &str) -> Result<DataFrame> {
        let at = Location::caller();
        let renamed = |(name, item): (String, SelectItem)| match item {
            SelectItem::UnnamedExpr(expr) if name == from && is_plain(&expr) => {
                SelectItem::ExprWithAlias { expr, alias: ident(to) }
            }
            other => other,
        };
        let columns = self.items().into_iter().map(renamed).collect();
        self.then(Parts { columns, ..self.parts() }.query(), at)
    }

    /// All columns but these. Names that no column has are passed over, as in Spark.
    ///
    /// ```
    /// # use tidegate::sql::{StreamSession, functions::length};
    /// # let spark = StreamSession::builder("frame-drop").get_or_create()?;
    /// # spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let lengths = spark.table("lines")?.with_column("n", length("line"))?.drop(["line"])?;
    /// assert_eq!(lengths.columns(), ["n"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`select`](Self::select), and if no column is left.
    #[track_caller]
    pub fn drop<'s>(&self, names: impl IntoIterator<Item = &'s str>) -> Result<DataFrame> {
        let at = Location::caller();
        let dropped: Vec<&str> = names.into_iter().collect();
        let kept = self.items().into_iter().filter(|(name, _)| !dropped.contains(&name.as_str()));
        let columns: Vec<SelectItem> = kept.map(|(_, item)| item).collect();
        if columns.is_empty() {
            return Err(super::wrong(at, "no column is left", "keep at least one"));
        }
        self.then(Parts { columns, ..self.parts() }.query(), at)
    }
}
