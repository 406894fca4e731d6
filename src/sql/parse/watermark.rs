//! `WATERMARK FOR column AS ..`, and lengths of time.
//!
//! Owns which watermarks there are: the column, or the column less a fixed time. Knows no other column. Invariant: a delay is a whole
//! number of milliseconds and not negative.

use super::cursor::{Cursor, name_of};
use super::statement::Name;
use crate::sql::{Span, SqlError, SqlResult};
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Interval, Value};

/// A watermark as it was written.
pub(super) struct Watermark {
    pub(super) column: Name,
    pub(super) delay_ms: i64,
    pub(super) span: Span,
}

/// Takes what follows `WATERMARK FOR`.
pub(super) fn parse_watermark(cursor: &mut Cursor, begin: usize) -> SqlResult<Watermark> {
    let column = cursor.name("the column of event time")?;
    if !cursor.is_word("AS") {
        return Err(cursor.expected("`AS`").next(what_to_write(&column.text)));
    }
    cursor.take_word("AS");
    let start = cursor.position();
    let expr = cursor.expr()?;
    let delay_ms = delay_ms(&expr, &column.text, cursor.span_since(start))?;
    Ok(Watermark { column, delay_ms, span: cursor.span_since(begin) })
}

fn what_to_write(column: &str) -> String {
    format!("write `WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND`")
}

fn delay_ms(expr: &Expr, column: &str, span: Span) -> SqlResult<i64> {
    let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if name_of(ident) == column);
    match without_parens(expr) {
        expr if is_column(expr) => Ok(0),
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } if is_column(left) => {
            match without_parens(right) {
                Expr::Interval(interval) => interval_ms(interval, span),
                _ => {
                    Err(SqlError::at(span, "the delay of a watermark is an interval")
                        .next(what_to_write(column)))
                }
            }
        }
        _ => Err(SqlError::at(span, format!("a watermark is `{column}`, or `{column}` less an interval"))
            .because("any other expression could go back in time, or wait for ever")
            .next(what_to_write(column))),
    }
}

fn without_parens(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => without_parens(inner),
        _ => expr,
    }
}

/// The length of an interval, such as `INTERVAL '5' SECOND` or `INTERVAL '1 minute 30 seconds'`.
///
/// # Errors
/// If it has no fixed length, is negative, or is no whole number of milliseconds.
pub fn interval_ms(interval: &Interval, span: Span) -> SqlResult<i64> {
    let mistake =
        |message: &str| SqlError::at(span, message).next("write, for instance, INTERVAL '90' SECOND");
    if interval.last_field.is_some() {
        return Err(mistake("an interval here has one unit"));
    }
    let text = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.trim(),
            _ => return Err(mistake("the length of an interval is a number")),
        },
        _ => return Err(mistake("the length of an interval is a number in quotes")),
    };
    if text.starts_with('-') {
        return Err(SqlError::at(span, "the delay of a watermark is negative")
            .because("a watermark never promises that times to come are past")
            .next("write the interval without `-`"));
    }
    if let Some(unit) = &interval.leading_field {
        return length_ms(text, &unit.to_string(), span);
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.is_empty() || !parts.len().is_multiple_of(2) {
        return Err(mistake("an interval is a number with a unit"));
    }
    let lengths = parts.chunks_exact(2).map(|part| length_ms(part[0], part[1], span));
    lengths
        .reduce(|sum, length| sum?.checked_add(length?).ok_or_else(|| mistake("this interval is too long")))
        .unwrap_or(Ok(0))
}

fn length_ms(number: &str, unit: &str, span: Span) -> SqlResult<i64> {
    let unit = unit.to_ascii_lowercase();
    let unit_ms: i128 = match unit.as_str() {
        "millisecond" | "milliseconds" | "ms" => 1,
        "second" | "seconds" | "sec" | "secs" | "s" => 1_000,
        "minute" | "minutes" | "min" | "mins" | "m" => 60_000,
        "hour" | "hours" | "h" => 3_600_000,
        "day" | "days" | "d" => 86_400_000,
        "week" | "weeks" => 7 * 86_400_000,
        "month" | "months" | "year" | "years" | "quarter" | "quarters" => {
            return Err(SqlError::at(span, format!("an interval in `{unit}` has no fixed length"))
                .because("months and years differ in their days")
                .next("write it in days, such as INTERVAL '30' DAY"));
        }
        "microsecond" | "microseconds" | "us" | "nanosecond" | "nanoseconds" | "ns" => {
            return Err(SqlError::at(span, format!("`{unit}` is too short"))
                .because("event time is in milliseconds")
                .next("write it in seconds, such as INTERVAL '0.001' SECOND"));
        }
        _ => {
            return Err(SqlError::at(span, format!("`{unit}` is no unit of time"))
                .next("the units are MILLISECOND, SECOND, MINUTE, HOUR, DAY and WEEK"));
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_i128.checked_pow(places));
    let parsed =
        digits.parse::<i128>().ok().zip(scale).filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    let Some((digits, scale)) = parsed else {
        return Err(SqlError::at(span, format!("`{number}` is no length of time"))
            .next("write a number, such as '5'"));
    };
    let length =
        digits.checked_mul(unit_ms).ok_or_else(|| SqlError::at(span, "this interval is too long"))?;
    if length % scale != 0 {
        return Err(SqlError::at(span, "this interval is no whole number of milliseconds").next("round it"));
    }
    i64::try_from(length / scale).map_err(|_| SqlError::at(span, "this interval is too long"))
}
