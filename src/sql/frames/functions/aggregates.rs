//! Functions of all rows of a group.
//!
//! Owns their names, which are Spark's. Knows no state: the functions are those of SQL.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrName, function};
use datafusion_sql::sqlparser::ast::{Expr, FunctionArgExpr};

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

/// The first value.
#[must_use]
pub fn first(column: impl ColumnOrName) -> Column {
    scalar("first_value", [column.into_column()])
}

/// The last value.
#[must_use]
pub fn last(column: impl ColumnOrName) -> Column {
    scalar("last_value", [column.into_column()])
}

/// About how many different values there are.
#[must_use]
pub fn approx_count_distinct(column: impl ColumnOrName) -> Column {
    scalar("approx_distinct", [column.into_column()])
}

/// All values.
#[must_use]
pub fn collect_list(column: impl ColumnOrName) -> Column {
    scalar("array_agg", [column.into_column()])
}
