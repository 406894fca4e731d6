//! Functions of numbers.
//!
//! Owns their names, which are Spark's. Knows no value: the functions are those of SQL.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrLiteral, ColumnOrName};

/// Without its sign.
#[must_use]
pub fn abs(column: impl ColumnOrName) -> Column {
    scalar("abs", [column.into_column()])
}

/// The least integer that is not less.
#[must_use]
pub fn ceil(column: impl ColumnOrName) -> Column {
    scalar("ceil", [column.into_column()])
}

/// The greatest integer that is not greater.
#[must_use]
pub fn floor(column: impl ColumnOrName) -> Column {
    scalar("floor", [column.into_column()])
}

/// Rounded to so many decimal places.
#[must_use]
pub fn round(column: impl ColumnOrName, places: impl ColumnOrLiteral) -> Column {
    scalar("round", [column.into_column(), places.into_operand()])
}

/// The square root.
#[must_use]
pub fn sqrt(column: impl ColumnOrName) -> Column {
    scalar("sqrt", [column.into_column()])
}

/// One number to the power of another one.
#[must_use]
pub fn pow(column: impl ColumnOrName, exponent: impl ColumnOrLiteral) -> Column {
    scalar("power", [column.into_column(), exponent.into_operand()])
}

/// e to the power of it.
#[must_use]
pub fn exp(column: impl ColumnOrName) -> Column {
    scalar("exp", [column.into_column()])
}

/// The natural logarithm.
#[must_use]
pub fn ln(column: impl ColumnOrName) -> Column {
    scalar("ln", [column.into_column()])
}

/// The logarithm to the base of 10.
#[must_use]
pub fn log10(column: impl ColumnOrName) -> Column {
    scalar("log10", [column.into_column()])
}

/// -1, 0 or 1: its sign.
#[must_use]
pub fn signum(column: impl ColumnOrName) -> Column {
    scalar("signum", [column.into_column()])
}

/// The greater of two; of more: `greatest(a, greatest(b, c))`.
#[must_use]
pub fn greatest(column: impl ColumnOrName, other: impl ColumnOrLiteral) -> Column {
    scalar("greatest", [column.into_column(), other.into_operand()])
}

/// The smaller of two.
#[must_use]
pub fn least(column: impl ColumnOrName, other: impl ColumnOrLiteral) -> Column {
    scalar("least", [column.into_column(), other.into_operand()])
}
