//! Functions of all rows of a group.
//!
//! Owns their names, which are Spark's. Knows no state: the functions are those of SQL.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrLiteral, ColumnOrName, function};
use datafusion_sql::sqlparser::ast::{Expr, Function, FunctionArgExpr, NullTreatment};

/// The number of rows in which it has a value; `count("*")` and `count(lit(1))` count all rows.
#[must_use]
pub fn count(column: impl ColumnOrName) -> Column {
    let column = column.into_column();
    if column.is_wildcard() {
        return Column::of(Expr::Function(function("count", [FunctionArgExpr::Wildcard], false)));
    }
    scalar("count", [column])
}

/// The number of different values.
#[must_use]
pub fn count_distinct(column: impl ColumnOrName) -> Column {
    distinct("count", &column.into_column())
}

/// The sum of different values.
#[must_use]
pub fn sum_distinct(column: impl ColumnOrName) -> Column {
    distinct("sum", &column.into_column())
}

fn distinct(name: &str, column: &Column) -> Column {
    let call = function(name, [FunctionArgExpr::Expr(column.expr())], true);
    Column::of(Expr::Function(call)).with_mistakes([column])
}

/// The sum.
#[must_use]
pub fn sum(column: impl ColumnOrName) -> Column {
    scalar("sum", [column.into_column()])
}

/// The mean.
#[must_use]
pub fn avg(column: impl ColumnOrName) -> Column {
    scalar("avg", [column.into_column()])
}

/// The same as [`avg`].
#[must_use]
pub fn mean(column: impl ColumnOrName) -> Column {
    scalar("avg", [column.into_column()])
}

/// The least value.
#[must_use]
pub fn min(column: impl ColumnOrName) -> Column {
    scalar("min", [column.into_column()])
}

/// The greatest value.
#[must_use]
pub fn max(column: impl ColumnOrName) -> Column {
    scalar("max", [column.into_column()])
}

/// Whether it is true in all rows.
#[must_use]
pub fn bool_and(column: impl ColumnOrName) -> Column {
    scalar("bool_and", [column.into_column()])
}

/// Whether it is true in any row.
#[must_use]
pub fn bool_or(column: impl ColumnOrName) -> Column {
    scalar("bool_or", [column.into_column()])
}

/// The standard deviation of a sample.
#[must_use]
pub fn stddev(column: impl ColumnOrName) -> Column {
    scalar("stddev_samp", [column.into_column()])
}

/// The standard deviation.
#[must_use]
pub fn stddev_pop(column: impl ColumnOrName) -> Column {
    scalar("stddev_pop", [column.into_column()])
}

/// The variance of a sample.
#[must_use]
pub fn variance(column: impl ColumnOrName) -> Column {
    scalar("var_samp", [column.into_column()])
}

/// The variance.
#[must_use]
pub fn var_pop(column: impl ColumnOrName) -> Column {
    scalar("var_pop", [column.into_column()])
}

/// The value of the first row: that came first, or over rows that change the least value. For an order: `expr("first_value(x ORDER BY t)")`.
///
/// ```
/// use tidegate::sql::functions::{first, first_ignoring_nulls};
/// assert_eq!(first("price").to_string(), "first(price)");
/// assert_eq!(first_ignoring_nulls("price").to_string(), "first(price) IGNORE NULLS");
/// ```
#[must_use]
pub fn first(column: impl ColumnOrName) -> Column {
    scalar("first", [column.into_column()])
}

/// As [`first`], of the rows in which it has a value.
#[must_use]
pub fn first_ignoring_nulls(column: impl ColumnOrName) -> Column {
    ignoring_nulls("first", &column.into_column())
}

/// The value of the last row: that came last, or over rows that change the greatest value. For an order: `expr("last_value(x ORDER BY t)")`.
///
/// ```
/// use tidegate::sql::functions::{last, last_ignoring_nulls};
/// assert_eq!(last("price").to_string(), "last(price)");
/// assert_eq!(last_ignoring_nulls("price").to_string(), "last(price) IGNORE NULLS");
/// ```
#[must_use]
pub fn last(column: impl ColumnOrName) -> Column {
    scalar("last", [column.into_column()])
}

/// As [`last`], of the rows in which it has a value.
#[must_use]
pub fn last_ignoring_nulls(column: impl ColumnOrName) -> Column {
    ignoring_nulls("last", &column.into_column())
}

/// A value that is not NULL.
///
/// ```
/// assert_eq!(tidegate::sql::functions::any_value("price").to_string(), "any_value(price)");
/// ```
#[must_use]
pub fn any_value(column: impl ColumnOrName) -> Column {
    scalar("any_value", [column.into_column()])
}

fn ignoring_nulls(name: &str, column: &Column) -> Column {
    let call = function(name, [FunctionArgExpr::Expr(column.expr())], false);
    let call = Function { null_treatment: Some(NullTreatment::IgnoreNulls), ..call };
    Column::of(Expr::Function(call)).with_mistakes([column])
}

/// The value in the row where another one is the greatest; rows where that one is NULL do not count.
///
/// ```
/// use tidegate::sql::functions::{max_by, min_by};
/// assert_eq!(max_by("item", "price").to_string(), "max_by(item, price)");
/// assert_eq!(min_by("item", "price").to_string(), "min_by(item, price)");
/// ```
#[must_use]
pub fn max_by(column: impl ColumnOrName, by: impl ColumnOrName) -> Column {
    scalar("max_by", [column.into_column(), by.into_column()])
}

/// The value in the row where another one is the least; rows where that one is NULL do not count.
#[must_use]
pub fn min_by(column: impl ColumnOrName, by: impl ColumnOrName) -> Column {
    scalar("min_by", [column.into_column(), by.into_column()])
}

/// About how many different values there are.
#[must_use]
pub fn approx_count_distinct(column: impl ColumnOrName) -> Column {
    scalar("approx_distinct", [column.into_column()])
}

/// All values, also those that are NULL, in their order; NULL if there are no rows.
///
/// ```
/// assert_eq!(tidegate::sql::functions::array_agg("price").to_string(), "array_agg(price)");
/// ```
#[must_use]
pub fn array_agg(column: impl ColumnOrName) -> Column {
    scalar("array_agg", [column.into_column()])
}

/// All values that are not NULL, in their order.
///
/// ```
/// use tidegate::sql::functions::{collect_list, collect_set};
/// assert_eq!(collect_list("price").to_string(), "collect_list(price)");
/// assert_eq!(collect_set("price").to_string(), "collect_set(price)");
/// ```
#[must_use]
pub fn collect_list(column: impl ColumnOrName) -> Column {
    scalar("collect_list", [column.into_column()])
}

/// All different values that are not NULL, in their order.
#[must_use]
pub fn collect_set(column: impl ColumnOrName) -> Column {
    scalar("collect_set", [column.into_column()])
}

/// All texts that are not NULL as one, in their order, with `separator` between them.
///
/// ```
/// assert_eq!(tidegate::sql::functions::string_agg("word", ", ").to_string(), "string_agg(word, ', ')");
/// ```
#[must_use]
pub fn string_agg(column: impl ColumnOrName, separator: &str) -> Column {
    scalar("string_agg", [column.into_column(), separator.into_operand()])
}

/// The value in the middle, or the mean of the two that are there.
///
/// ```
/// assert_eq!(tidegate::sql::functions::median("price").to_string(), "median(price)");
/// ```
#[must_use]
pub fn median(column: impl ColumnOrName) -> Column {
    scalar("median", [column.into_column()])
}

/// What a part of the values, from 0 to 1, is below; between two values if it falls there.
///
/// ```
/// use tidegate::sql::functions::{percentile, percentile_approx};
/// assert_eq!(percentile("price", 1).to_string(), "percentile(price, 1)");
/// assert_eq!(percentile_approx("price", 0).to_string(), "percentile_approx(price, 0)");
/// ```
#[must_use]
pub fn percentile(column: impl ColumnOrName, part: impl ColumnOrLiteral) -> Column {
    scalar("percentile", [column.into_column(), part.into_operand()])
}

/// The first value that a part of the values does not exceed; it is exact.
#[must_use]
pub fn percentile_approx(column: impl ColumnOrName, part: impl ColumnOrLiteral) -> Column {
    scalar("percentile_approx", [column.into_column(), part.into_operand()])
}
