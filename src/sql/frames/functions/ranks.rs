//! Functions of the place of a row among others; [`over`](Column::over) says among which.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrLiteral, ColumnOrName};

/// The number of a row, from 1 on.
///
/// ```
/// use tidegate::sql::{Window, functions::{col, row_number}};
/// let newest = row_number().over(&Window::partition_by(["bike"]).order_by([col("at").desc()]));
/// assert_eq!(newest.to_string(), "row_number() OVER (PARTITION BY bike ORDER BY at DESC)");
/// ```
#[must_use]
pub fn row_number() -> Column {
    scalar("row_number", [])
}

/// The number of a row, from 1 on; rows that are equal in the order have the number of the first of them.
#[must_use]
pub fn rank() -> Column {
    scalar("rank", [])
}

/// As [`rank`], where the next number follows.
#[must_use]
pub fn dense_rank() -> Column {
    scalar("dense_rank", [])
}

/// The value of the row that is so many rows before; NULL if there is none.
///
/// ```
/// use tidegate::sql::{Window, functions::lag};
/// let before = lag("kwh", 1).over(&Window::partition_by(["house"]).order_by(["at"]));
/// assert_eq!(before.to_string(), "lag(kwh, 1) OVER (PARTITION BY house ORDER BY at)");
/// ```
#[must_use]
pub fn lag(column: impl ColumnOrName, rows: impl ColumnOrLiteral) -> Column {
    scalar("lag", [column.into_column(), rows.into_operand()])
}
