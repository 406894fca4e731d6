//! Functions of texts.
//!
//! Owns their names, which are Spark's. Knows no value: the functions are those of SQL.

use super::scalar;
use crate::sql::frames::column::{Column, ColumnOrLiteral, ColumnOrName};

/// In small letters.
#[must_use]
pub fn lower(column: impl ColumnOrName) -> Column {
    scalar("lower", [column.into_column()])
}

/// In capital letters.
#[must_use]
pub fn upper(column: impl ColumnOrName) -> Column {
    scalar("upper", [column.into_column()])
}

/// Each word with a capital letter, the others small.
#[must_use]
pub fn initcap(column: impl ColumnOrName) -> Column {
    scalar("initcap", [column.into_column()])
}

/// The number of characters of a text.
#[must_use]
pub fn length(column: impl ColumnOrName) -> Column {
    scalar("character_length", [column.into_column()])
}

/// Without spaces at both ends.
#[must_use]
pub fn trim(column: impl ColumnOrName) -> Column {
    scalar("btrim", [column.into_column()])
}

/// Without spaces at the begin.
#[must_use]
pub fn ltrim(column: impl ColumnOrName) -> Column {
    scalar("ltrim", [column.into_column()])
}

/// Without spaces at the end.
#[must_use]
pub fn rtrim(column: impl ColumnOrName) -> Column {
    scalar("rtrim", [column.into_column()])
}

/// Backwards.
#[must_use]
pub fn reverse(column: impl ColumnOrName) -> Column {
    scalar("reverse", [column.into_column()])
}

/// A text so many times.
#[must_use]
pub fn repeat(column: impl ColumnOrName, times: impl ColumnOrLiteral) -> Column {
    scalar("repeat", [column.into_column(), times.into_operand()])
}

/// Filled up from the left to `length` characters, or cut.
#[must_use]
pub fn lpad(column: impl ColumnOrName, length: impl ColumnOrLiteral, with: impl ColumnOrLiteral) -> Column {
    scalar("lpad", [column.into_column(), length.into_operand(), with.into_operand()])
}

/// Filled up from the right to `length` characters, or cut.
#[must_use]
pub fn rpad(column: impl ColumnOrName, length: impl ColumnOrLiteral, with: impl ColumnOrLiteral) -> Column {
    scalar("rpad", [column.into_column(), length.into_operand(), with.into_operand()])
}

/// Where a text first stands in another one, from 1 on; 0 = nowhere.
#[must_use]
pub fn instr(column: impl ColumnOrName, text: impl ColumnOrLiteral) -> Column {
    scalar("strpos", [column.into_column(), text.into_operand()])
}

/// A part of a text: `length` characters from `position` on, which counts from 1.
#[must_use]
pub fn substring(
    column: impl ColumnOrName,
    position: impl ColumnOrLiteral,
    length: impl ColumnOrLiteral,
) -> Column {
    scalar("substr", [column.into_column(), position.into_operand(), length.into_operand()])
}

/// With each `from` replaced by `to`.
#[must_use]
pub fn replace(column: impl ColumnOrName, from: impl ColumnOrLiteral, to: impl ColumnOrLiteral) -> Column {
    scalar("replace", [column.into_column(), from.into_operand(), to.into_operand()])
}

/// With each character of `from` replaced by the one of `to` at its place.
#[must_use]
pub fn translate(column: impl ColumnOrName, from: impl ColumnOrLiteral, to: impl ColumnOrLiteral) -> Column {
    scalar("translate", [column.into_column(), from.into_operand(), to.into_operand()])
}

/// The parts of a text between delimiters, as a list. The delimiter is taken as it is; Spark takes it for a regular expression.
#[must_use]
pub fn split(column: impl ColumnOrName, delimiter: impl ColumnOrLiteral) -> Column {
    scalar("string_to_array", [column.into_column(), delimiter.into_operand()])
}

/// With the first part that a regular expression matches replaced; with the flag `g` in [`expr`](super::expr), each.
#[must_use]
pub fn regexp_replace(
    column: impl ColumnOrName,
    pattern: impl ColumnOrLiteral,
    with: impl ColumnOrLiteral,
) -> Column {
    scalar("regexp_replace", [column.into_column(), pattern.into_operand(), with.into_operand()])
}

/// The part of a text that the group of a regular expression matches.
#[must_use]
pub fn regexp_extract(
    column: impl ColumnOrName,
    pattern: impl ColumnOrLiteral,
    group: impl ColumnOrLiteral,
) -> Column {
    scalar("regexp_extract", [column.into_column(), pattern.into_operand(), group.into_operand()])
}
