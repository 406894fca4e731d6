//! Functions of dates, and of the time between two times, with the names, arguments and results that Spark and Flink SQL give them.
//!
//! Owns what they give. Invariants: NULL gives NULL, and so does what no date can be; a day, week, hour or part of one has always the same length,
//! and months are those of the calendar, in UTC.

use super::{
    plain::{
        Argument::{Integer, Text, Time},
        function,
    },
    times::times,
};
use arrow::{
    array::{
        ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Date32Type, Int64Type, TimeUnit},
};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Weekday};
use datafusion_common::{Result as PlanResult, exec_err};
use datafusion_expr::ScalarUDF;
use std::sync::Arc;

/// A time plus units, and the units between two times: they take a unit by its name.
pub const TIMESTAMPADD: &str = "timestampadd";
pub const TIMESTAMPDIFF: &str = "timestampdiff";

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let later = || function("date_add", &[&[Time, Integer]], DataType::Date32, |of| moved(of, days_later));
    let between = || function("datediff", &[&[Time, Time]], DataType::Int32, days_between);
    vec![
        later().with_aliases(["dateadd"]),
        function("date_sub", &[&[Time, Integer]], DataType::Date32, |of| {
            moved(of, |date, days| days_later(date, days.checked_neg()?))
        }),
        between().with_aliases(["date_diff"]),
        function("add_months", &[&[Time, Integer]], DataType::Date32, |of| moved(of, months_later)),
        function("last_day", &[&[Time]], DataType::Date32, |of| {
            Ok(in_days(dates(&of[0]).map(|date| last_of_month(date?))))
        }),
        function("next_day", &[&[Time, Text]], DataType::Date32, next_day),
        function("weekday", &[&[Time]], DataType::Int32, weekday),
        function("months_between", &[&[Time, Time]], DataType::Float64, months_between),
        function(TIMESTAMPADD, &[&[Text, Integer, Time]], micros, timestamp_add),
        function(TIMESTAMPDIFF, &[&[Text, Time, Time]], DataType::Int64, timestamp_diff),
    ]
}

fn dates(column: &ArrayRef) -> impl Iterator<Item = Option<NaiveDate>> {
    times(column).map(|time| time.map(|time| time.date()))
}

fn in_days(dates: impl Iterator<Item = Option<NaiveDate>>) -> ArrayRef {
    let days = dates.map(|date| date.map(Date32Type::from_naive_date));
    Arc::new(days.collect::<Date32Array>())
}

/// Dates, each moved by a number.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn moved(arguments: &[ArrayRef], by: fn(NaiveDate, i64) -> Option<NaiveDate>) -> PlanResult<ArrayRef> {
    let numbers = arguments[1].as_primitive::<Int64Type>().iter();
    Ok(in_days(dates(&arguments[0]).zip(numbers).map(|(date, number)| by(date?, number?))))
}

fn days_later(date: NaiveDate, days: i64) -> Option<NaiveDate> {
    date.checked_add_signed(TimeDelta::try_days(days)?)
}

/// The same day of another month, or its last day.
fn months_later(date: NaiveDate, months: i64) -> Option<NaiveDate> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { date.checked_sub_months(count) } else { date.checked_add_months(count) }
}

fn last_of_month(date: NaiveDate) -> Option<NaiveDate> {
    date.with_day(1)?.checked_add_months(Months::new(1))?.checked_sub_days(Days::new(1))
}

/// The days from the second date to the first one.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn days_between(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let days = dates(&arguments[0])
        .zip(dates(&arguments[1]))
        .map(|(end, start)| i32::try_from(end?.signed_duration_since(start?).num_days()).ok());
    Ok(Arc::new(days.collect::<Int32Array>()))
}

/// The first date after a date that is this day of the week: `Mon`, `Monday` or `MO`.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn next_day(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let next = |(date, name): (Option<NaiveDate>, Option<&str>)| {
        let (date, wanted) = (date?, day_of_week(name?.trim())?);
        let ahead = (7 + wanted.num_days_from_monday() - date.weekday().num_days_from_monday()) % 7;
        date.checked_add_days(Days::new(if ahead == 0 { 7 } else { ahead.into() }))
    };
    Ok(in_days(dates(&arguments[0]).zip(arguments[1].as_string::<i32>().iter()).map(next)))
}

fn day_of_week(name: &str) -> Option<Weekday> {
    let of_two = ["mo", "tu", "we", "th", "fr", "sa", "su"];
    match of_two.iter().position(|two| two.eq_ignore_ascii_case(name)) {
        Some(at) => Weekday::try_from(u8::try_from(at).ok()?).ok(),
        None => name.parse().ok(),
    }
}

/// Monday is 0.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
fn weekday(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let days = dates(&arguments[0]).map(|date| i32::try_from(date?.weekday().num_days_from_monday()).ok());
    Ok(Arc::new(days.collect::<Int32Array>()))
}

/// The months from the second time to the first one, with 31 days each; whole ones between equal days of months and between last days of
/// months. Source: the documentation of Spark's `months_between`.
#[allow(clippy::unnecessary_wraps, reason = "functions of arrays may fail")]
#[allow(clippy::cast_precision_loss, reason = "months and seconds of one are far below 2^53")]
fn months_between(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let months = |(end, start): (Option<NaiveDateTime>, Option<NaiveDateTime>)| {
        let (end, start) = (end?, start?);
        let whole = (calendar_months(end) - calendar_months(start)) as f64;
        let is_last = |time: NaiveDateTime| last_of_month(time.date()) == Some(time.date());
        if end.day() == start.day() || is_last(end) && is_last(start) {
            return Some(whole);
        }
        let seconds = |time: NaiveDateTime| {
            i64::from(time.day()) * SECONDS_A_DAY + i64::from(time.num_seconds_from_midnight())
        };
        let part = (seconds(end) - seconds(start)) as f64 / (31 * SECONDS_A_DAY) as f64;
        Some(((whole + part) * 1e8).round() / 1e8)
    };
    let months = times(&arguments[0]).zip(times(&arguments[1])).map(months);
    Ok(Arc::new(months.collect::<Float64Array>()))
}

fn calendar_months(time: NaiveDateTime) -> i64 {
    i64::from(time.year()) * 12 + i64::from(time.month0())
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Micros(i64),
    Months(i64),
}

impl Unit {
    fn of(name: &str) -> PlanResult<Unit> {
        let small = name.trim().to_ascii_lowercase();
        let plain = small.strip_prefix("sql_tsi_").unwrap_or(&small);
        Ok(match plain.strip_suffix('s').unwrap_or(plain) {
            "microsecond" => Unit::Micros(1),
            "millisecond" => Unit::Micros(1_000),
            "second" => Unit::Micros(1_000_000),
            "minute" => Unit::Micros(60_000_000),
            "hour" => Unit::Micros(3_600_000_000),
            "day" | "dayofyear" => Unit::Micros(SECONDS_A_DAY * 1_000_000),
            "week" => Unit::Micros(7 * SECONDS_A_DAY * 1_000_000),
            "month" => Unit::Months(1),
            "quarter" => Unit::Months(3),
            "year" => Unit::Months(12),
            _ => {
                return exec_err!(
                    "'{name}' is no unit of time: write MICROSECOND, MILLISECOND, SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR"
                );
            }
        })
    }
}

fn micros_of(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_micros()
}

/// A time some months later; in a month that is too short, its last day.
fn months_after(time: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    Some(months_later(time.date(), months)?.and_time(time.time()))
}

fn timestamp_add(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let (units, numbers) = (arguments[0].as_string::<i32>(), arguments[1].as_primitive::<Int64Type>());
    let mut moved = Vec::with_capacity(arguments[0].len());
    for ((unit, number), time) in units.iter().zip(numbers).zip(times(&arguments[2])) {
        let (Some(unit), Some(number), Some(time)) = (unit, number, time) else {
            moved.push(None);
            continue;
        };
        moved.push(match Unit::of(unit)? {
            Unit::Micros(length) => length.checked_mul(number).and_then(|by| micros_of(time).checked_add(by)),
            Unit::Months(length) => {
                length.checked_mul(number).and_then(|by| months_after(time, by)).map(micros_of)
            }
        });
    }
    // What is beyond the calendar is no time.
    let is_time = |micros: i64| DateTime::from_timestamp_micros(micros).map(|_| micros);
    let moved = moved.into_iter().map(|micros| micros.and_then(is_time));
    Ok(Arc::new(moved.collect::<TimestampMicrosecondArray>()))
}

/// The whole units from the first time to the second one.
fn timestamp_diff(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let units = arguments[0].as_string::<i32>();
    let mut counts = Vec::with_capacity(arguments[0].len());
    for ((unit, start), end) in units.iter().zip(times(&arguments[1])).zip(times(&arguments[2])) {
        let (Some(unit), Some(start), Some(end)) = (unit, start, end) else {
            counts.push(None);
            continue;
        };
        counts.push(match Unit::of(unit)? {
            Unit::Micros(length) => Some((micros_of(end) - micros_of(start)) / length),
            Unit::Months(length) => Some(whole_months(start, end) / length),
        });
    }
    Ok(Arc::new(Int64Array::from(counts)))
}

fn whole_months(start: NaiveDateTime, end: NaiveDateTime) -> i64 {
    let months = calendar_months(end) - calendar_months(start);
    let in_month = |time: NaiveDateTime| (time.day(), time.time());
    match months {
        1.. if in_month(end) < in_month(start) => months - 1,
        ..=-1 if in_month(end) > in_month(start) => months + 1,
        _ => months,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{array::StringArray, compute::cast, util::display::array_value_to_string};

    fn of_texts(texts: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(texts.to_vec()))
    }

    fn of_times(texts: &[&str]) -> ArrayRef {
        cast(&of_texts(texts), &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap()
    }

    fn of_numbers(numbers: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(numbers.to_vec()))
    }

    fn shown(array: PlanResult<ArrayRef>) -> Vec<String> {
        let array = array.unwrap();
        (0..array.len()).map(|row| array_value_to_string(&array, row).unwrap()).collect()
    }

    #[test]
    fn dates_move_by_days_and_by_months_of_the_calendar() {
        let from = of_times(&["2026-01-31T10:00:00", "2024-02-29T00:00:00"]);
        assert_eq!(
            shown(moved(&[from.clone(), of_numbers(&[1, -60])], days_later)),
            ["2026-02-01", "2023-12-31"]
        );
        assert_eq!(
            shown(moved(&[from.clone(), of_numbers(&[1, -12])], months_later)),
            ["2026-02-28", "2023-02-28"]
        );
        assert_eq!(shown(moved(&[from.clone(), of_numbers(&[i64::MAX; 2])], days_later)), ["", ""]);
        assert_eq!(
            shown(next_day(&[from.clone(), of_texts(&["SA", "monday"])])),
            ["2026-02-07", "2024-03-04"]
        );
        assert_eq!(shown(weekday(&[from])), ["5", "3"]);
    }

    #[test]
    fn months_between_two_times_are_those_of_spark() {
        // As in the documentation of Spark, and between last days of months.
        let end = of_times(&["1997-02-28T10:30:00", "2026-02-28T01:00:00", "2026-03-15T00:00:00"]);
        let start = of_times(&["1996-10-30T00:00:00", "2026-01-31T02:00:00", "2026-01-15T23:00:00"]);
        assert_eq!(shown(months_between(&[end, start])), ["3.94959677", "1.0", "2.0"]);
    }

    #[test]
    fn units_are_added_and_counted() {
        let at = of_times(&["2026-01-31T10:00:00.5"; 4]);
        let units = of_texts(&["MONTH", "second", "SQL_TSI_WEEK", "hours"]);
        let later = timestamp_add(&[units.clone(), of_numbers(&[1, -1, 2, 1]), at.clone()]);
        let expected = ["2026-02-28T10:00:00.500", "2026-01-31T09:59:59.500"];
        assert_eq!(shown(later)[..2], expected);
        let end = of_times(&[
            "2026-03-31T09:00:00",
            "2026-01-31T10:00:02",
            "2026-01-01T00:00:00",
            "2026-01-31T11:00:00",
        ]);
        assert_eq!(shown(timestamp_diff(&[units, at, end])), ["1", "1", "-4", "0"]);
        let wrong = timestamp_diff(&[
            of_texts(&["moon"]),
            of_times(&["2026-01-01T00:00:00"]),
            of_times(&["2026-01-01T00:00:00"]),
        ]);
        assert!(wrong.unwrap_err().to_string().contains("'moon' is no unit of time"));
    }
}
