//! Functions of times, and windows.
//!
//! Owns their names, which are Spark's. Knows no value: the functions are those of SQL, and windows are made where rows are grouped.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrLiteral, ColumnOrName};

/// The time that a text says, or that a number of seconds since 1970 is.
#[must_use]
pub fn to_timestamp(column: impl ColumnOrName) -> Column {
    scalar("to_timestamp", [column.into_column()])
}

/// The time that a text says in a pattern of Java such as `dd/MM/yyyy HH:mm`; Spark's `to_timestamp` with a format.
#[must_use]
pub fn to_timestamp_in(column: impl ColumnOrName, pattern: impl ColumnOrLiteral) -> Column {
    scalar("to_timestamp", [column.into_column(), pattern.into_operand()])
}

/// The date that a text says.
#[must_use]
pub fn to_date(column: impl ColumnOrName) -> Column {
    scalar("to_date", [column.into_column()])
}

/// A time as a text, in a pattern of Java such as `yyyy-MM-dd HH:mm`.
#[must_use]
pub fn date_format(column: impl ColumnOrName, pattern: impl ColumnOrLiteral) -> Column {
    scalar("date_format", [column.into_column(), pattern.into_operand()])
}

/// The year of a time.
#[must_use]
pub fn year(column: impl ColumnOrName) -> Column {
    scalar("year", [column.into_column()])
}

/// The month of a time, from 1 on.
#[must_use]
pub fn month(column: impl ColumnOrName) -> Column {
    scalar("month", [column.into_column()])
}

/// The day of the month of a time, from 1 on.
#[must_use]
pub fn dayofmonth(column: impl ColumnOrName) -> Column {
    scalar("dayofmonth", [column.into_column()])
}

/// The hour of a time.
#[must_use]
pub fn hour(column: impl ColumnOrName) -> Column {
    scalar("hour", [column.into_column()])
}

/// The minute of a time.
#[must_use]
pub fn minute(column: impl ColumnOrName) -> Column {
    scalar("minute", [column.into_column()])
}

/// The second of a time.
#[must_use]
pub fn second(column: impl ColumnOrName) -> Column {
    scalar("second", [column.into_column()])
}

/// Seconds since 1970.
#[must_use]
pub fn unix_timestamp(column: impl ColumnOrName) -> Column {
    scalar("unix_timestamp", [column.into_column()])
}

/// A time without what is smaller than a unit, such as `hour` or `day`.
#[must_use]
pub fn date_trunc(unit: &str, column: impl ColumnOrName) -> Column {
    scalar("date_trunc", [unit.into_operand(), column.into_column()])
}

/// The time of the batch, which is the same whenever the batch is computed.
#[must_use]
pub fn current_timestamp() -> Column {
    scalar("current_timestamp", [])
}

/// Windows of event time, one after the other: to be grouped by. `size` is a length of time such as `10 minutes`. Rows that are grouped so
/// have the columns `window_start` and `window_end`, and `window`, a row of both as `start` and `end`.
///
/// ```
/// use tidegate::sql::functions::{col, window};
/// assert_eq!(window("ts", "10 minutes").to_string(), "window(ts, '10 minutes')");
/// ```
#[must_use]
pub fn window(time: impl ColumnOrName, size: &str) -> Column {
    scalar("window", [time.into_column(), size.into_operand()])
}

/// Windows of event time that begin every `slide`, so that a row lies in several: Spark's `window` with a slide.
#[must_use]
pub fn sliding_window(time: impl ColumnOrName, size: &str, slide: &str) -> Column {
    scalar("window", [time.into_column(), size.into_operand(), slide.into_operand()])
}

/// Windows of event time that end when no row has come for `gap`.
#[must_use]
pub fn session_window(time: impl ColumnOrName, gap: &str) -> Column {
    scalar("session_window", [time.into_column(), gap.into_operand()])
}
