//! Rows into messages, as the plan says.
//!
//! Owns the conversions. Knows no topic and no registry. Invariants: fields are written by their numbers, each once, and a field without
//! presence only if it is not its default, so that a row has one form; a row that has no form leaves nothing behind.

use super::{
    bytes::{BYTES, put_length, put_tag, put_varint},
    plan::{Absent, Direction, MessagePlan, Plan, Shape, Slot, message},
    scalar::Scalar,
};
use crate::{
    codec::ProtobufSchema,
    error::{Error, Result},
    sql::{
        format::{
            avro::rescaled,
            json_write::put_decimal,
            time::{in_unit, parts},
        },
        rows::{CellColumn, Cells, range},
    },
};
use arrow::{
    array::RecordBatch,
    datatypes::{Field, TimeUnit},
};
use std::sync::Arc;

/// Writes some columns of rows as messages.
#[derive(Clone, Debug)]
pub struct ProtobufWriter {
    columns: Vec<usize>,
    plan: Arc<MessagePlan>,
}

impl ProtobufWriter {
    /// Writes these columns of rows as messages of this type.
    ///
    /// # Errors
    /// If the message cannot take one of the columns, or wants more.
    pub fn new(schema: &ProtobufSchema, rows: &[Field], columns: Vec<usize>) -> Result<Self, String> {
        let fields: Vec<&Field> = columns.iter().filter_map(|column| rows.get(*column)).collect();
        let plan = message(schema.descriptor(), &fields, Direction::Write)?;
        Ok(ProtobufWriter { columns, plan: Arc::new(plan) })
    }

    /// Ready to write the rows of a batch.
    ///
    /// # Errors
    /// If it is not of the columns.
    pub fn encoder<'a>(&'a self, rows: &'a RecordBatch) -> Result<ProtobufEncoder<'a>> {
        let cells = |column: &usize| match rows.columns().get(*column) {
            Some(array) => CellColumn::of(array),
            None => Err(Error::Codec(format!("rows have no column {column}"))),
        };
        let cells = self.columns.iter().map(cells).collect::<Result<_>>()?;
        Ok(ProtobufEncoder { plan: &self.plan, cells })
    }
}

/// Writes the rows of a batch.
pub struct ProtobufEncoder<'a> {
    plan: &'a MessagePlan,
    cells: Vec<CellColumn<'a>>,
}

impl ProtobufEncoder<'_> {
    /// Appends the message of a row.
    ///
    /// # Errors
    /// Why it has none; nothing is appended then.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        put_message(self.plan, &self.cells, row, out).inspect_err(|_| out.truncate(start))
    }
}

fn put_message(
    plan: &MessagePlan,
    cells: &[CellColumn<'_>],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut set: Vec<(usize, &str)> = vec![];
    for slot in &plan.slots {
        let Some(column) = slot.column else { continue };
        let start = out.len();
        put_field(slot, &cells[column], row, out).map_err(|why| format!("\"{}\": {why}", slot.name))?;
        let Some(oneof) = slot.oneof.filter(|_| out.len() > start) else { continue };
        if let Some((_, other)) = set.iter().find(|(other, _)| *other == oneof) {
            return Err(format!(
                "\"{other}\" and \"{}\" are both set, and `{}` can have only one of them",
                slot.name, plan.name
            ));
        }
        set.push((oneof, &slot.name));
    }
    Ok(())
}

fn put_field(slot: &Slot, column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let is_null = column.is_null(row);
    match (&slot.shape, &column.cells) {
        (Shape::Single(Absent::Null), _) if is_null => Ok(()),
        (Shape::Single(Absent::Refused), _) if is_null => Err("it is NULL, and the field is required".into()),
        (Shape::Single(Absent::Default(_)), _) if is_null => {
            Err("it is NULL, and the field has no presence: write `optional` before it in the schema".into())
        }
        (Shape::Single(absent), _) => {
            let start = out.len();
            put_tag(slot.number, slot.wire, out);
            let value = out.len();
            put(&slot.plan, column, row, out)?;
            // What is read where nothing is written is 0, false or empty, which are bytes 0.
            if matches!(absent, Absent::Default(_)) && out[value..].iter().all(|byte| *byte == 0) {
                out.truncate(start);
            }
            Ok(())
        }
        // There is no other form of NULL than that of an empty array.
        (Shape::Repeated { .. } | Shape::Map(_), _) if is_null => Ok(()),
        (Shape::Repeated { is_packed }, Cells::List(offsets, items)) => {
            let all = range(offsets, row);
            let within = |index: usize, why: String| format!("item {index}: {why}");
            if !*is_packed {
                for (index, item) in all.enumerate() {
                    put_tag(slot.number, slot.wire, out);
                    put_not_null(&slot.plan, items, item, out).map_err(|why| within(index, why))?;
                }
            } else if !all.is_empty() {
                put_tag(slot.number, BYTES, out);
                let start = out.len();
                for (index, item) in all.enumerate() {
                    put_not_null(&slot.plan, items, item, out).map_err(|why| within(index, why))?;
                }
                put_length(start, out);
            }
            Ok(())
        }
        (Shape::Map(map), Cells::Map(offsets, parts)) => {
            for entry in range(offsets, row) {
                put_tag(slot.number, BYTES, out);
                let start = out.len();
                put_tag(1, map.key_default.wire(), out);
                put_not_null(&map.key, &parts[0], entry, out).map_err(|why| format!("key: {why}"))?;
                put_tag(2, map.value_default.wire(), out);
                put_not_null(&slot.plan, &parts[1], entry, out).map_err(|why| format!("value: {why}"))?;
                put_length(start, out);
            }
            Ok(())
        }
        _ => Err("bug: the column has another type".into()),
    }
}

fn put_not_null(plan: &Plan, column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if column.is_null(row) {
        return Err("it is NULL, which Protobuf does not have in arrays and maps".into());
    }
    put(plan, column, row, out)
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a value without its tag.
fn put(plan: &Plan, column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    match (plan, &column.cells) {
        (Plan::Boolean, Cells::Boolean(cells)) => out.push(cells.value(row).into()),
        (Plan::Float, Cells::Float32(cells)) => out.extend_from_slice(&cells[row].to_le_bytes()),
        (Plan::Double, Cells::Float32(cells)) => {
            out.extend_from_slice(&f64::from(cells[row]).to_le_bytes());
        }
        (Plan::Double, Cells::Float64(cells)) => out.extend_from_slice(&cells[row].to_le_bytes()),
        (Plan::Text | Plan::Bytes, Cells::Bytes(offsets, bytes)) => {
            put_sized(&bytes[range(offsets, row)], out);
        }
        (Plan::Enum(names), Cells::Bytes(offsets, bytes)) => {
            Scalar::Enum.put(names.number(&bytes[range(offsets, row)])?.into(), out)?;
        }
        (Plan::Millis(scalar, unit), Cells::Int64(cells)) => {
            let ms = in_unit(cells[row], *unit, TimeUnit::Millisecond);
            scalar.put(ms.ok_or_else(|| too_far(cells[row]))?.into(), out)?;
        }
        (Plan::Timestamp(unit), Cells::Int64(cells)) => {
            let (per_second, _) = parts(*unit);
            let nanos = cells[row].rem_euclid(per_second) * (1_000_000_000 / per_second);
            put_seconds(cells[row].div_euclid(per_second), nanos, out)?;
        }
        (Plan::Duration(_, scale), Cells::Decimal(cells)) => {
            let nanos = rescaled(cells[row], 9 - i32::from(*scale), 38);
            let nanos = nanos.ok_or("it has more than 9 digits behind the point")?;
            let seconds = i64::try_from(nanos / 1_000_000_000);
            let seconds = seconds.map_err(|_| "it is a duration that is too long".to_owned())?;
            let rest = i64::try_from(nanos % 1_000_000_000).map_err(|e| e.to_string())?;
            put_seconds(seconds, rest, out)?;
        }
        (Plan::DecimalText(_, scale), Cells::Decimal(cells)) => {
            let start = out.len();
            put_decimal(cells[row], *scale, out);
            put_length(start, out);
        }
        (Plan::DecimalInteger(scalar, _, scale), Cells::Decimal(cells)) => {
            let whole = rescaled(cells[row], -i32::from(*scale), 38);
            scalar.put(whole.ok_or("it has digits behind the point, and the field is an integer")?, out)?;
        }
        (Plan::Wrapped(inner, scalar), _) => {
            let start = out.len();
            put_tag(1, scalar.wire(), out);
            let value = out.len();
            put(inner, column, row, out)?;
            if out[value..].iter().all(|byte| *byte == 0) {
                out.truncate(start);
            }
            put_length(start, out);
        }
        (Plan::Message(plan), Cells::Struct(parts)) => {
            let start = out.len();
            put_message(plan, parts, row, out)?;
            put_length(start, out);
        }
        (Plan::Integer(scalar, ..) | Plan::Date(scalar), cells) => {
            scalar.put(integer(cells, row).ok_or("bug: the column has another type")?, out)?;
        }
        _ => return Err("bug: the column has another type".into()),
    }
    Ok(())
}

fn too_far(value: i64) -> String {
    format!("{value} is a time too far away for its unit")
}

/// A timestamp or a duration.
fn put_seconds(seconds: i64, nanos: i64, out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    for (field, value) in [(1, seconds), (2, nanos)] {
        if value != 0 {
            put_tag(field, Scalar::Int64.wire(), out);
            Scalar::Int64.put(value.into(), out)?;
        }
    }
    put_length(start, out);
    Ok(())
}

fn integer(cells: &Cells<'_>, row: usize) -> Option<i128> {
    Some(match cells {
        Cells::Int8(cells) => cells[row].into(),
        Cells::Int16(cells) => cells[row].into(),
        Cells::Int32(cells) => cells[row].into(),
        Cells::Int64(cells) => cells[row].into(),
        Cells::UInt8(cells) => cells[row].into(),
        Cells::UInt16(cells) => cells[row].into(),
        Cells::UInt32(cells) => cells[row].into(),
        Cells::UInt64(cells) => cells[row].into(),
        _ => return None,
    })
}
