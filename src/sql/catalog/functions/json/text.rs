//! Values as texts of JSON.
//!
//! Owns their forms, which are Spark's: a field that is NULL is left out, an item of a list or a map is `null`; times are in UTC; numbers that
//! JSON has not are texts. Knows no schema.

use super::tree::put_quoted;
use crate::sql::java_number::java_number;
use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float32Type, Float64Type},
    temporal_conversions::as_datetime,
    util::display::{ArrayFormatter, FormatOptions},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use datafusion_common::{Result as PlanResult, ScalarValue, exec_err};

/// Appends a value, which is not NULL.
pub fn put(array: &dyn Array, row: usize, out: &mut String) -> PlanResult<()> {
    match array.data_type() {
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let mut is_first = true;
            out.push('{');
            for (field, column) in fields.iter().zip(columns).filter(|(_, column)| column.is_valid(row)) {
                out.push_str(if is_first { "" } else { "," });
                is_first = false;
                put_quoted(field.name(), out);
                out.push(':');
                put(column.as_ref(), row, out)?;
            }
            out.push('}');
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for at in 0..items.len() {
                out.push_str(if at == 0 { "" } else { "," });
                put_or_null(items.as_ref(), at, out)?;
            }
            out.push(']');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push('{');
            for at in 0..entries.len() {
                out.push_str(if at == 0 { "" } else { "," });
                put_quoted(&plain(keys.as_ref(), at)?, out);
                out.push(':');
                put_or_null(values.as_ref(), at, out)?;
            }
            out.push('}');
        }
        DataType::Float64 | DataType::Float32 => {
            let number = plain(array, row)?;
            let is_number = number.ends_with(|c: char| c.is_ascii_digit());
            if is_number { out.push_str(&number) } else { put_quoted(&number, out) }
        }
        DataType::Boolean | DataType::Decimal128(..) => out.push_str(&plain(array, row)?),
        integer if integer.is_integer() => out.push_str(&plain(array, row)?),
        DataType::Binary => put_quoted(&STANDARD.encode(array.as_binary::<i32>().value(row)), out),
        _ => put_quoted(&plain(array, row)?, out),
    }
    Ok(())
}

fn put_or_null(array: &dyn Array, row: usize, out: &mut String) -> PlanResult<()> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    put(array, row, out)
}

/// A value without quotes.
fn plain(array: &dyn Array, row: usize) -> PlanResult<String> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            java_number(number, &format!("{number:e}"))
        }
        DataType::Float32 => {
            let number = array.as_primitive::<Float32Type>().value(row);
            java_number(f64::from(number), &format!("{number:e}"))
        }
        DataType::Timestamp(..) => time(array, row)?,
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default())?;
            formatter.value(row).try_to_string()?
        }
    })
}

/// Milliseconds at least, and more digits if there are any.
fn time(array: &dyn Array, row: usize) -> PlanResult<String> {
    use arrow::datatypes::{
        TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType,
    };
    let DataType::Timestamp(unit, _) = array.data_type() else { return exec_err!("no time") };
    let time = match unit {
        TimeUnit::Second => {
            as_datetime::<TimestampSecondType>(array.as_primitive::<TimestampSecondType>().value(row))
        }
        TimeUnit::Millisecond => as_datetime::<TimestampMillisecondType>(
            array.as_primitive::<TimestampMillisecondType>().value(row),
        ),
        TimeUnit::Microsecond => as_datetime::<TimestampMicrosecondType>(
            array.as_primitive::<TimestampMicrosecondType>().value(row),
        ),
        TimeUnit::Nanosecond => {
            as_datetime::<TimestampNanosecondType>(array.as_primitive::<TimestampNanosecondType>().value(row))
        }
    };
    if let Some(time) = time {
        return Ok(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    }
    exec_err!("{} is no time of the calendar", ScalarValue::try_from_array(array, row)?)
}
