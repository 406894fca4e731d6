//! An expression over the columns of a DataFrame, under Spark's names.
//!
//! Owns [`Column`]: what it says is kept as the same tree that a query in SQL is read into, so that a DataFrame and a script mean the same and
//! are refused for the same reasons. Knows no table and no type. Invariant: making a column never fails; a mistake in it is kept, and told by
//! the method that is given the column, at its line.

mod arguments;
mod operators;
mod over;
mod predicates;
mod tree;

pub use arguments::{ColumnOrLiteral, ColumnOrName};
pub use over::{Window, WindowSpec};

pub(super) use tree::{call, function, ident, interval, literal, lookup};

use crate::sql::{SourceText, parse};
use datafusion_sql::sqlparser::ast::{
    Expr, OrderByExpr, OrderByOptions, SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};
use std::{fmt, sync::Arc};

/// An expression over the columns of a DataFrame. Made by [`functions`](super::functions), and put together by its methods and by operators.
///
/// ```
/// use tidegate::sql::functions::{col, lit, upper};
/// let price = (col("price") * lit(2)).alias("double");
/// assert_eq!(price.to_string(), "price * 2 AS double");
/// assert_eq!(col("n").gt(3).and(upper(col("word")).eq("TEA")).to_string(), "n > 3 AND upper(word) = 'TEA'");
/// ```
#[derive(Clone)]
pub struct Column {
    pub(super) item: SelectItem,
    /// How rows are ordered by it.
    pub(super) order: OrderByOptions,
    /// What is wrong with it.
    pub(super) mistake: Option<Arc<str>>,
}

impl Column {
    pub(super) fn of(expr: Expr) -> Self {
        Column { item: SelectItem::UnnamedExpr(expr), order: OrderByOptions::default(), mistake: None }
    }

    /// A column that cannot be, and why.
    pub(super) fn wrong(why: impl Into<Arc<str>>) -> Self {
        Column { mistake: Some(why.into()), ..Column::of(lookup("?")) }
    }

    /// `*` or `name.*`, the name of a column, of a column of a named DataFrame, or of a field of a row.
    pub(super) fn named(name: &str) -> Self {
        match name.strip_suffix('*') {
            Some("") => Column {
                item: SelectItem::Wildcard(WildcardAdditionalOptions::default()),
                ..Column::of(lookup(name))
            },
            Some(of) if of.ends_with('.') => {
                let kind =
                    SelectItemQualifiedWildcardKind::ObjectName(tree::object(of.trim_end_matches('.')));
                let item = SelectItem::QualifiedWildcard(kind, WildcardAdditionalOptions::default());
                Column { item, ..Column::of(lookup(name)) }
            }
            _ => Column::of(lookup(name)),
        }
    }

    /// What a text of SQL says: an expression, with or without `AS name`.
    pub(super) fn parsed(text: &str) -> Self {
        match parse::select_item(&SourceText::new("expr", text)) {
            Ok(item) => Column { item, ..Column::of(lookup("?")) },
            Err(mistake) => Column::wrong(mistake.shown_in(&SourceText::new("expr", text))),
        }
    }

    /// Its expression, without the name given to it.
    pub(super) fn expr(&self) -> Expr {
        self.clone().into_expr()
    }

    /// The same, of a column that is not needed any more.
    pub(super) fn into_expr(self) -> Expr {
        match self.item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
            other => Expr::Identifier(ident(&other.to_string())),
        }
    }

    /// The name given to it.
    pub(super) fn alias_name(&self) -> Option<&str> {
        match &self.item {
            SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
            _ => None,
        }
    }

    /// What it is called: by the name given to it, or as the column that it is.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.item {
            SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(&name.value),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().map(|part| part.value.as_str())
            }
            _ => None,
        }
    }

    /// Whether it stands for all columns, of one DataFrame or of all.
    pub(super) fn is_wildcard(&self) -> bool {
        matches!(self.item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    }

    pub(super) fn order_by(&self) -> OrderByExpr {
        OrderByExpr { expr: self.expr(), options: self.order, with_fill: None }
    }

    /// Another expression made of this one, whose mistakes stay.
    fn then(&self, expr: Expr) -> Self {
        Column { mistake: self.mistake.clone(), ..Column::of(expr) }
    }

    /// With the mistakes of other columns, unless it has one.
    pub(super) fn with_mistakes<'c>(mut self, of: impl IntoIterator<Item = &'c Column>) -> Self {
        self.mistake = self.mistake.or_else(|| of.into_iter().find_map(|column| column.mistake.clone()));
        self
    }

    /// The same under another name.
    ///
    /// ```
    /// use tidegate::sql::functions::{col, lower};
    /// assert_eq!(lower(col("line")).alias("word").to_string(), "lower(line) AS word");
    /// ```
    #[must_use]
    pub fn alias(&self, name: &str) -> Self {
        let item = SelectItem::ExprWithAlias { expr: self.expr(), alias: ident(name) };
        Column { item, ..self.clone() }
    }

    /// Ordered by it, the least first.
    ///
    /// ```
    /// use tidegate::sql::functions::col;
    /// assert_eq!(col("n").asc().to_string(), "n");
    /// ```
    #[must_use]
    pub fn asc(&self) -> Self {
        Column { order: OrderByOptions { asc: Some(true), ..self.order }, ..self.clone() }
    }

    /// Ordered by it, the greatest first.
    ///
    /// ```
    /// use tidegate::sql::{functions::{col, count}, StreamSession};
    /// let spark = StreamSession::builder("column-desc").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (word STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let counts = spark.table("lines")?.group_by(["word"]).agg([count("*").alias("n")])?;
    /// assert_eq!(counts.columns(), ["word", "n"]);
    /// let by = col("n").desc(); // counts.order_by([by])?.limit(10)
    /// assert_eq!(by.to_string(), "n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn desc(&self) -> Self {
        Column { order: OrderByOptions { asc: Some(false), ..self.order }, ..self.clone() }
    }
}

macro_rules! orders {
    ($($(#[doc = $doc:literal])+ $name:ident $is_ascending:literal $nulls_first:literal;)*) => {
        impl Column {$(
            $(#[doc = $doc])+
            #[must_use]
            pub fn $name(&self) -> Self {
                let order = OrderByOptions { asc: Some($is_ascending), nulls_first: Some($nulls_first) };
                Column { order, ..self.clone() }
            }
        )*}
    };
}

orders! {
    /// Ordered by it, the least first, before them those that are NULL.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").asc_nulls_first().to_string(), "n");
    /// ```
    asc_nulls_first true true;
    /// Ordered by it, the least first, at the end those that are NULL.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").asc_nulls_last().to_string(), "n");
    /// ```
    asc_nulls_last true false;
    /// Ordered by it, the greatest first, before them those that are NULL.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").desc_nulls_first().to_string(), "n");
    /// ```
    desc_nulls_first false true;
    /// Ordered by it, the greatest first, at the end those that are NULL.
    ///
    /// ```
    /// assert_eq!(tidegate::sql::functions::col("n").desc_nulls_last().to_string(), "n");
    /// ```
    desc_nulls_last false false;
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mistake {
            Some(mistake) => f.write_str(mistake),
            None => f.write_str(&tree::text_of(&self.item)),
        }
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column({self})")
    }
}
