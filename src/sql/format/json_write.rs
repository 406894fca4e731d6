//! Columns to JSON: an object for each row.
//!
//! Owns the text of values. Knows no topic. Invariants: what is written is JSON, and [`JsonReader`](super::JsonReader) reads it back as it
//! was; a value that JSON has no form for is an error of its row.
//!
//! - Fields are in the order of the columns. NULL is written, as `null`.
//! - Timestamps are ISO 8601 in UTC, also those without a zone: `2026-11-29T20:35:00Z`, with as many digits of the second's fraction as are needed of
//!   3, 6 or 9. Dates are `2026-11-29`.
//! - Decimals are numbers with all digits of their scale: `1.50`. Doubles are the shortest numbers that are read back as they were; NaN
//!   and infinity are errors.
//! - Byte strings are base64 with padding. `ROW` and `MAP` are objects, `ARRAY` is an array.

use super::time::{is_writable, write_date, write_timestamp};
use crate::{
    error::{Error, Result},
    record::RawChunkBuilder,
    sql::rows::{CellColumn, Cells, range, type_name},
};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::Write;

/// Writes some columns of rows as objects.
#[derive(Clone, Debug)]
pub struct JsonWriter {
    columns: Vec<usize>,
    /// For each column: the comma or brace before it, its name and the colon.
    names: Vec<Vec<u8>>,
    plans: Vec<Plan>,
}

#[derive(Clone, Debug)]
enum Plan {
    /// Numbers and booleans.
    Plain,
    Text,
    Base64,
    Date,
    Timestamp(TimeUnit),
    Decimal(i8),
    List(Box<Plan>),
    Object(Vec<Vec<u8>>, Vec<Plan>),
    Map(Box<Plan>),
}

impl JsonWriter {
    /// Writes these columns of rows of a schema: all of them, or those of a key.
    ///
    /// # Errors
    /// Why JSON has no form for one of them.
    pub fn new(schema: &Schema, columns: impl IntoIterator<Item = usize>) -> Result<Self, String> {
        let columns: Vec<_> = columns.into_iter().collect();
        let fields: Vec<&Field> = columns.iter().map(|column| schema.field(*column)).collect();
        let (names, plans) = object_plan(&fields)?;
        Ok(JsonWriter { columns, names, plans })
    }

    /// Ready to write the rows of a batch.
    ///
    /// # Errors
    /// If it is not of the schema.
    pub fn encoder<'a>(&'a self, rows: &'a RecordBatch) -> Result<JsonEncoder<'a>> {
        let cells = |column: &usize| match rows.columns().get(*column) {
            Some(array) => CellColumn::of(array),
            None => Err(Error::Codec(format!("rows have no column {column}"))),
        };
        Ok(JsonEncoder { writer: self, cells: self.columns.iter().map(cells).collect::<Result<_>>()? })
    }
}

fn object_plan(fields: &[&Field]) -> Result<(Vec<Vec<u8>>, Vec<Plan>), String> {
    let (mut names, mut plans) = (vec![], vec![]);
    for (index, field) in fields.iter().enumerate() {
        let mut name = if index == 0 { b"{".to_vec() } else { b",".to_vec() };
        put_text(field.name(), &mut name)?;
        name.push(b':');
        names.push(name);
        plans.push(plan(field.data_type()).map_err(|reason| format!("column `{}`: {reason}", field.name()))?);
    }
    Ok((names, plans))
}

fn plan(data_type: &DataType) -> Result<Plan, String> {
    Ok(match data_type {
        other if type_name(other).is_none() => {
            return Err(format!("JSON has no form for values of type {other}"));
        }
        DataType::Utf8 => Plan::Text,
        DataType::Binary => Plan::Base64,
        DataType::Date32 => Plan::Date,
        DataType::Timestamp(unit, _) => Plan::Timestamp(*unit),
        DataType::Decimal128(_, scale) => Plan::Decimal(*scale),
        DataType::List(item) => Plan::List(Box::new(plan(item.data_type())?)),
        DataType::Struct(fields) => {
            let (names, plans) = object_plan(&fields.iter().map(|field| &**field).collect::<Vec<_>>())?;
            Plan::Object(names, plans)
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 => {
                Plan::Map(Box::new(plan(fields[1].data_type())?))
            }
            _ => return Err("keys of a map are strings in JSON".into()),
        },
        _ => Plan::Plain,
    })
}

/// Writes the rows of a batch.
pub struct JsonEncoder<'a> {
    writer: &'a JsonWriter,
    cells: Vec<CellColumn<'a>>,
}

impl JsonEncoder<'_> {
    /// Appends the object of a row.
    ///
    /// # Errors
    /// Why it has none; nothing is appended then.
    ///
    /// # Panics
    /// If there are fewer rows: a bug of the caller.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        put_object(&self.writer.names, &self.writer.plans, &self.cells, row, out)
            .inspect_err(|_| out.truncate(start))
    }
}

/// Appends a row as a record: its key, if there is one, and its value, or null.
///
/// # Errors
/// Why it has no JSON; nothing is appended then.
pub fn push_json(
    row: usize,
    timestamp_ms: i64,
    key: Option<&JsonEncoder<'_>>,
    value: Option<&JsonEncoder<'_>>,
    out: &mut RawChunkBuilder,
) -> Result<(), String> {
    let mut key_bytes = vec![];
    if let Some(key) = key {
        key.encode(row, &mut key_bytes)?;
    }
    out.push_with(timestamp_ms, key.map(|_| &key_bytes[..]), |out| match value {
        Some(value) => value.encode(row, out).map(|()| true),
        None => Ok(false),
    })
}

fn put_object(
    names: &[Vec<u8>],
    plans: &[Plan],
    cells: &[CellColumn<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if names.is_empty() {
        out.push(b'{');
    }
    for ((name, plan), cells) in names.iter().zip(plans).zip(cells) {
        out.extend_from_slice(name);
        put(plan, cells, row, out).map_err(|reason| {
            let name = String::from_utf8_lossy(&name[1..name.len() - 1]);
            format!("{name}: {reason}")
        })?;
    }
    out.push(b'}');
    Ok(())
}

fn put(plan: &Plan, column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match (&column.cells, plan) {
        (Cells::Bytes(offsets, bytes), Plan::Text) => {
            let text = std::str::from_utf8(&bytes[range(offsets, row)]).map_err(|e| e.to_string())?;
            put_text(text, out)
        }
        (Cells::Bytes(offsets, bytes), _) => {
            out.push(b'"');
            let start = out.len();
            let bytes = &bytes[range(offsets, row)];
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            STANDARD.encode_slice(bytes, &mut out[start..]).map_err(|e| e.to_string())?;
            out.push(b'"');
            Ok(())
        }
        (Cells::Int32(days), Plan::Date) => {
            let days = i64::from(days[row]);
            if !is_writable(days) {
                return Err(format!("the date {days} days from 1970 is too far away to be written"));
            }
            out.push(b'"');
            write_date(days, out);
            out.push(b'"');
            Ok(())
        }
        (Cells::Int64(times), Plan::Timestamp(unit)) => {
            out.push(b'"');
            write_timestamp(times[row], *unit, out).map_err(|reason| format!("{} {reason}", times[row]))?;
            out.push(b'"');
            Ok(())
        }
        (Cells::Decimal(cells), Plan::Decimal(scale)) => {
            put_decimal(cells[row], *scale, out);
            Ok(())
        }
        (Cells::List(offsets, items), Plan::List(plan)) => {
            out.push(b'[');
            for (index, item) in range(offsets, row).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                put(plan, items, item, out)?;
            }
            out.push(b']');
            Ok(())
        }
        (Cells::Struct(parts), Plan::Object(names, plans)) => put_object(names, plans, parts, row, out),
        (Cells::Map(offsets, parts), Plan::Map(plan)) => {
            out.push(b'{');
            for (index, entry) in range(offsets, row).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                put(&Plan::Text, &parts[0], entry, out)?;
                out.push(b':');
                put(plan, &parts[1], entry, out)?;
            }
            out.push(b'}');
            Ok(())
        }
        (cells, _) => put_plain(cells, row, out),
    }
}

pub(super) fn put_plain(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let written = match cells {
        Cells::Boolean(cells) => {
            out.extend_from_slice(if cells.value(row) { b"true" } else { b"false" });
            Ok(())
        }
        Cells::Int8(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::Int16(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::Int32(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::Int64(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::UInt8(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::UInt16(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::UInt32(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::UInt64(cells) => serde_json::to_writer(out, &cells[row]),
        Cells::Float32(cells) if cells[row].is_finite() => serde_json::to_writer(out, &cells[row]),
        Cells::Float64(cells) if cells[row].is_finite() => serde_json::to_writer(out, &cells[row]),
        Cells::Float32(cells) => return Err(format!("JSON has no number for {}", cells[row])),
        Cells::Float64(cells) => return Err(format!("JSON has no number for {}", cells[row])),
        _ => return Err("bug: the column has another type".into()),
    };
    written.map_err(|e| e.to_string())
}

fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(out, text).map_err(|e| e.to_string())
}

pub(super) fn put_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    let _ = write!(out, "{}", value.unsigned_abs()); // a vector takes everything
    let fraction = usize::from(scale.max(0).unsigned_abs());
    if scale < 0 && value != 0 {
        out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
    }
    if fraction > 0 {
        let digits = out.len() - start;
        if digits <= fraction {
            // At least one digit before the point.
            let zeros = fraction + 1 - digits;
            out.splice(start..start, std::iter::repeat_n(b'0', zeros));
        }
        out.insert(out.len() - fraction, b'.');
    }
}
