//! Functions of times with the names, arguments and results that Flink SQL and Spark give them.
//!
//! Owns what they give. Invariants: NULL gives NULL, and so does a text that is no time; times without a zone are in UTC.

use super::{
    pattern::{self, Pattern},
    plain::{
        Argument::{Integer, Text, Time},
        function,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMillisecondArray},
    compute::cast,
    datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use chrono::{DateTime, NaiveDateTime};
use datafusion_common::{Result as PlanResult, exec_err};
use datafusion_expr::ScalarUDF;
use std::sync::Arc;

const MILLISECONDS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

fn in_utc() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        function("date_format", &[&[Time, Text]], DataType::Utf8, date_format),
        function("from_unixtime", &[&[Integer], &[Integer, Text]], DataType::Utf8, from_unixtime),
        function("to_timestamp", &[&[Integer], &[Text], &[Text, Text], &[Time]], MILLISECONDS, to_timestamp),
        function(
            "to_timestamp_ltz",
            &[&[Integer, Integer], &[Text], &[Text, Text]],
            in_utc(),
            to_timestamp_ltz,
        ),
    ]
}

/// `UNIX_TIMESTAMP` of a time; without arguments it is a function of the clock.
pub fn unix_timestamp_of(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let seconds = |time: NaiveDateTime| time.and_utc().timestamp();
    let numbers: Int64Array = match arguments {
        [texts, patterns] => read(texts, Some(patterns))?.into_iter().map(|time| time.map(seconds)).collect(),
        [times] if times.data_type() == &DataType::Utf8 => {
            read(times, None)?.into_iter().map(|time| time.map(seconds)).collect()
        }
        _ => times(&arguments[0]).map(|time| time.map(seconds)).collect(),
    };
    Ok(Arc::new(numbers))
}

/// The times of a column of microseconds.
pub fn times(column: &ArrayRef) -> impl Iterator<Item = Option<NaiveDateTime>> {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    times.iter().map(|us| Some(DateTime::from_timestamp_micros(us?)?.naive_utc()))
}

/// Patterns, of which the last one is kept: it is the same in all rows as a rule.
#[derive(Default)]
struct Patterns(Option<(String, Pattern)>);

impl Patterns {
    fn get(&mut self, pattern: &str) -> PlanResult<&Pattern> {
        if self.0.as_ref().is_none_or(|(known, _)| known != pattern) {
            match Pattern::parse(pattern) {
                Ok(parsed) => self.0 = Some((pattern.to_owned(), parsed)),
                Err(why) => return exec_err!("{why}"),
            }
        }
        if let Some((_, pattern)) = &self.0 { Ok(pattern) } else { exec_err!("no pattern") }
    }
}

fn written(
    times: impl Iterator<Item = Option<NaiveDateTime>>,
    patterns: Option<&ArrayRef>,
) -> PlanResult<ArrayRef> {
    let patterns = patterns.map(AsArray::as_string::<i32>);
    let (mut known, mut texts) = (Patterns::default(), vec![]);
    for (row, time) in times.enumerate() {
        let pattern = patterns
            .map_or(Some(pattern::DEFAULT), |patterns| patterns.is_valid(row).then(|| patterns.value(row)));
        texts.push(match (time, pattern) {
            (Some(time), Some(pattern)) => Some(known.get(pattern)?.format(time)),
            _ => None,
        });
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// The times that texts say: in ISO 8601, or of a pattern.
fn read(texts: &ArrayRef, patterns: Option<&ArrayRef>) -> PlanResult<Vec<Option<NaiveDateTime>>> {
    let Some(patterns) = patterns else {
        let read = cast(texts, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        return Ok(times(&read).collect());
    };
    let (texts, patterns) = (texts.as_string::<i32>(), patterns.as_string::<i32>());
    let (mut known, mut read) = (Patterns::default(), Vec::with_capacity(texts.len()));
    for (text, pattern) in texts.iter().zip(patterns.iter()) {
        read.push(match (text, pattern) {
            (Some(text), Some(pattern)) => known.get(pattern)?.read(text),
            _ => None,
        });
    }
    Ok(read)
}

fn date_format(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    written(times(&arguments[0]), Some(&arguments[1]))
}

/// Seconds since 1970 as text.
fn from_unixtime(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let seconds = arguments[0].as_primitive::<Int64Type>();
    let times = seconds.iter().map(|seconds| Some(DateTime::from_timestamp(seconds?, 0)?.naive_utc()));
    written(times, arguments.get(1))
}

fn milliseconds(times: Vec<Option<NaiveDateTime>>) -> TimestampMillisecondArray {
    times.into_iter().map(|time| time.map(|time| time.and_utc().timestamp_millis())).collect()
}

fn to_timestamp(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    Ok(match arguments[0].data_type() {
        DataType::Int64 => {
            let seconds = arguments[0].as_primitive::<Int64Type>();
            let ms = seconds.iter().map(|seconds| seconds?.checked_mul(1_000));
            Arc::new(ms.collect::<TimestampMillisecondArray>())
        }
        DataType::Utf8 => Arc::new(milliseconds(read(&arguments[0], arguments.get(1))?)),
        _ => cast(&arguments[0], &MILLISECONDS)?,
    })
}

/// Of a number with its precision (0 = seconds, 3 = milliseconds), or of a text.
fn to_timestamp_ltz(arguments: &[ArrayRef]) -> PlanResult<ArrayRef> {
    let times = if arguments[0].data_type() == &DataType::Int64 {
        let (numbers, digits) =
            (arguments[0].as_primitive::<Int64Type>(), arguments[1].as_primitive::<Int64Type>());
        let mut times = Vec::with_capacity(numbers.len());
        for (number, digits) in numbers.iter().zip(digits.iter()) {
            times.push(match (number, digits) {
                (Some(number), Some(0)) => number.checked_mul(1_000),
                (Some(number), Some(3)) => Some(number),
                (_, None) | (None, _) => None,
                (_, Some(digits)) => {
                    return exec_err!("TO_TIMESTAMP_LTZ takes seconds (0) or milliseconds (3), not {digits}");
                }
            });
        }
        times.into_iter().collect::<TimestampMillisecondArray>()
    } else {
        milliseconds(read(&arguments[0], arguments.get(1))?)
    };
    Ok(Arc::new(times.with_timezone("UTC")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{array::TimestampMicrosecondArray, util::display::array_value_to_string};

    fn micros(of: &[Option<i64>]) -> ArrayRef {
        Arc::new(of.iter().copied().collect::<TimestampMicrosecondArray>())
    }

    fn texts(of: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(of.to_vec()))
    }

    fn shown(array: &ArrayRef) -> Vec<String> {
        (0..array.len()).map(|row| array_value_to_string(array, row).unwrap()).collect()
    }

    #[test]
    fn times_are_written_and_read() {
        let time = micros(&[Some(1_796_000_000_123_000), None]);
        let pattern = texts(&[Some("dd/MM/yyyy HH"), Some("yyyy")]);
        assert_eq!(shown(&date_format(&[time.clone(), pattern]).unwrap()), ["30/11/2026 00", ""]);
        assert_eq!(shown(&unix_timestamp_of(&[time]).unwrap()), ["1796000000", ""]);
        let read = to_timestamp(&[texts(&[Some("30/11/2026"), Some("x")]), texts(&[Some("dd/MM/yyyy"); 2])]);
        assert_eq!(shown(&read.unwrap()), ["2026-11-30T00:00:00", ""]);
        let read = to_timestamp(&[texts(&[Some("2026-11-30 01:02:03.5"), Some("soon")])]);
        assert_eq!(shown(&read.unwrap()), ["2026-11-30T01:02:03.500", ""]);
    }
}
