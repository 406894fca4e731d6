//! Messages into columns, as the plan says.
//!
//! Owns what is made of fields that come several times, in any order, or not at all. Knows no topic and no registry. Invariants: a record
//! gives each column one cell, or a fault that names field and byte; of what is passed over only the length is looked at.
//!
//! As the encoding has it: of a single field that comes twice the last value counts, of a message that comes twice the parts are put
//! together; of a oneof the last one counts; items may be written one behind the other or not, whatever the schema says.

use super::{
    bytes::{BYTES, Cursor, Raw, low64, wire_name},
    plan::{Absent, MapPlan, MessagePlan, Plan, Shape, Slot},
    scalar::{Default, Scalar},
};
use crate::sql::{
    format::{
        avro::rescaled,
        fault::Fault,
        json::decimal_of,
        time::{in_unit, parts},
    },
    rows::{ColumnBuilder, Store},
};
use arrow::datatypes::TimeUnit;
use std::collections::BTreeMap;

/// A field of a message.
#[derive(Clone, Copy)]
struct Found<'b> {
    slot: usize,
    /// Where the value begins in the record.
    at: usize,
    raw: Raw<'b>,
}

/// Appends a cell to each column, from a message that begins at byte `at` of its record.
///
/// # Errors
/// What is wrong. The columns must then be cut back.
pub(super) fn message(
    plan: &MessagePlan,
    bytes: &[u8],
    at: usize,
    columns: &mut [ColumnBuilder],
) -> Result<(), Fault> {
    let found = fields(plan, bytes, at)?;
    let mut rest = &found[..];
    for (index, slot) in plan.slots.iter().enumerate() {
        let count = rest.iter().take_while(|field| field.slot == index).count();
        let (values, others) = rest.split_at(count);
        rest = others;
        if let Some(column) = slot.column {
            field(slot, values, at, &mut columns[column]).map_err(|fault| fault.within(&slot.name))?;
        }
    }
    plan.missing.iter().for_each(|column| columns[*column].push_null());
    Ok(())
}

/// The fields that are asked for, by their slots.
fn fields<'b>(plan: &MessagePlan, bytes: &'b [u8], at: usize) -> Result<Vec<Found<'b>>, Fault> {
    let mut cursor = Cursor::new(bytes, at);
    let mut found: Vec<Found<'b>> = Vec::with_capacity(plan.slots.len());
    let (mut is_sorted, mut last) = (true, 0);
    while let Some((number, wire)) = cursor.tag()? {
        // Most writers write fields by their numbers.
        let is_next = |slot: &usize| plan.slots.get(*slot).is_some_and(|slot| slot.number == number);
        let slot = [last, last + 1].into_iter().find(is_next);
        let slot = slot.or_else(|| plan.slots.binary_search_by_key(&number, |slot| slot.number).ok());
        let Some(index) = slot else {
            cursor.skip(number, wire)?;
            continue;
        };
        let slot = &plan.slots[index];
        let is_packed = matches!(slot.shape, Shape::Repeated { .. }) && wire == BYTES;
        if wire != slot.wire && !is_packed {
            let what =
                format!("it is written as {}, and should be {}", wire_name(wire), wire_name(slot.wire));
            return Err(Fault::at(cursor.place(), what).within(&slot.name));
        }
        let (at, raw) = cursor.value(wire).map_err(|fault| fault.within(&slot.name))?;
        is_sorted &= index >= last;
        last = index;
        found.push(Found { slot: index, at, raw });
    }
    if plan.oneofs > 0 {
        leave_last(plan, &mut found);
    }
    if !is_sorted {
        found.sort_by_key(|field| field.slot);
    }
    Ok(found)
}

/// Of each oneof leaves the last field, with what came of it behind the last other one.
fn leave_last(plan: &MessagePlan, found: &mut Vec<Found<'_>>) {
    // By oneof: the field that counts, and whether another one came before it.
    let mut seen: Vec<Option<(usize, bool)>> = vec![None; plan.oneofs];
    let mut stays = vec![true; found.len()];
    for (field, stays) in found.iter().zip(&mut stays).rev() {
        let Some(oneof) = plan.slots[field.slot].oneof else { continue };
        match &mut seen[oneof] {
            none @ None => *none = Some((field.slot, false)),
            Some((slot, false)) if *slot == field.slot => {}
            Some((_, is_over)) => {
                *is_over = true;
                *stays = false;
            }
        }
    }
    let mut stays = stays.into_iter();
    found.retain(|_| stays.next().unwrap_or(true));
}

fn field(slot: &Slot, values: &[Found<'_>], at: usize, column: &mut ColumnBuilder) -> Result<(), Fault> {
    match &slot.shape {
        Shape::Single(absent) => match values {
            [] => match absent {
                Absent::Null => {
                    column.push_null();
                    Ok(())
                }
                Absent::Default(default) => value(&slot.plan, default.raw(), at, column),
                Absent::Refused => Err(Fault::at(at, "it is not set, and the column is NOT NULL")),
            },
            [one] => value(&slot.plan, one.raw, one.at, column),
            [.., last] if !is_message(&slot.plan) => value(&slot.plan, last.raw, last.at, column),
            [first, ..] => {
                let mut whole = vec![];
                for part in values {
                    if let Raw::Bytes(bytes) = part.raw {
                        whole.extend_from_slice(bytes);
                    }
                }
                value(&slot.plan, Raw::Bytes(&whole), first.at, column)
            }
        },
        Shape::Repeated { .. } => {
            let Store::List(_, items) = &mut column.store else { return Err(mismatch(at)) };
            repeated(slot, values, items)?;
            end(column, at)
        }
        Shape::Map(map) => {
            let Store::Map(_, parts) = &mut column.store else { return Err(mismatch(at)) };
            entries(slot, map, values, parts)?;
            end(column, at)
        }
    }
}

fn is_message(plan: &Plan) -> bool {
    matches!(plan, Plan::Message(_) | Plan::Timestamp(_) | Plan::Duration(..) | Plan::Wrapped(..))
}

#[cold]
fn mismatch(at: usize) -> Fault {
    Fault::at(at, "bug: the column has another type")
}

#[inline]
fn end(column: &mut ColumnBuilder, at: usize) -> Result<(), Fault> {
    column.end_cell().map_err(|e| Fault::at(at, e.to_string()))
}

fn repeated(slot: &Slot, values: &[Found<'_>], items: &mut ColumnBuilder) -> Result<(), Fault> {
    let mut index = 0;
    for found in values {
        match found.raw {
            Raw::Bytes(bytes) if slot.wire != BYTES => {
                let mut cursor = Cursor::new(bytes, found.at);
                while !cursor.is_at_end() {
                    let within = |fault: Fault| fault.within_item(index);
                    let (at, raw) = cursor.value(slot.wire).map_err(within)?;
                    value(&slot.plan, raw, at, items).map_err(within)?;
                    index += 1;
                }
            }
            raw => {
                value(&slot.plan, raw, found.at, items).map_err(|fault| fault.within_item(index))?;
                index += 1;
            }
        }
    }
    Ok(())
}

/// A key, so that two can be compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'b> {
    Integer(i128),
    Text(&'b [u8]),
}

fn entries(
    slot: &Slot,
    map: &MapPlan,
    values: &[Found<'_>],
    parts: &mut [ColumnBuilder; 2],
) -> Result<(), Fault> {
    let mut all = Vec::with_capacity(values.len());
    for found in values {
        let Raw::Bytes(bytes) = found.raw else { return Err(mismatch(found.at)) };
        let (mut key, mut of) = ((found.at, map.key_default.raw()), (found.at, map.value_default.raw()));
        let mut cursor = Cursor::new(bytes, found.at);
        while let Some((number, wire)) = cursor.tag()? {
            let expected = match number {
                1 => map.key_default.wire(),
                2 => map.value_default.wire(),
                _ => {
                    cursor.skip(number, wire)?;
                    continue;
                }
            };
            if wire != expected {
                let what =
                    format!("an entry has {}, and should have {}", wire_name(wire), wire_name(expected));
                return Err(Fault::at(cursor.place(), what));
            }
            *(if number == 1 { &mut key } else { &mut of }) = cursor.value(wire)?;
        }
        all.push((key, of));
    }
    // Of a key that comes twice the last entry counts.
    let mut last = BTreeMap::new();
    for (index, ((at, key), _)) in all.iter().enumerate() {
        last.insert(comparable(&map.key, *key).ok_or_else(|| mismatch(*at))?, index);
    }
    let [keys, cells] = parts;
    for (index, ((key_at, key), (at, of))) in all.iter().enumerate() {
        if last.len() < all.len() && comparable(&map.key, *key).and_then(|key| last.get(&key)) != Some(&index)
        {
            continue;
        }
        value(&map.key, *key, *key_at, keys)?;
        value(&slot.plan, *of, *at, cells).map_err(|fault| match key {
            Raw::Bytes(name) => fault.within(&String::from_utf8_lossy(name)),
            _ => fault.within_item(index),
        })?;
    }
    Ok(())
}

fn comparable<'b>(plan: &Plan, key: Raw<'b>) -> Option<Key<'b>> {
    Some(match (plan, key) {
        (_, Raw::Bytes(text)) => Key::Text(text),
        (Plan::Boolean, Raw::Varint(value)) => Key::Integer((value != 0).into()),
        (Plan::Integer(scalar, ..) | Plan::DecimalInteger(scalar, ..), raw) => {
            Key::Integer(scalar.integer(raw)?)
        }
        (Plan::Date(scalar) | Plan::Millis(scalar, _), raw) => Key::Integer(scalar.integer(raw)?),
        _ => return None,
    })
}

#[inline]
fn value(plan: &Plan, raw: Raw<'_>, at: usize, column: &mut ColumnBuilder) -> Result<(), Fault> {
    match (plan, raw, &mut column.store) {
        (Plan::Boolean, Raw::Varint(value), Store::Boolean(cells)) => cells.push(value != 0),
        (Plan::Integer(scalar, least, most), raw, Store::Integer(cells)) => {
            let value = scalar.integer(raw).ok_or_else(|| mismatch(at))?;
            if value < *least || value > *most {
                return Err(Fault::at(at, format!("{value} is not from {least} to {most}")));
            }
            cells.push(low64(value));
        }
        (Plan::Float, Raw::Fixed32(value), Store::Float32(cells)) => cells.push(f32::from_bits(value)),
        (Plan::Double, Raw::Fixed64(value), Store::Float64(cells)) => cells.push(f64::from_bits(value)),
        (Plan::Double, Raw::Fixed32(value), Store::Float64(cells)) => {
            cells.push(f32::from_bits(value).into());
        }
        (Plan::Text, Raw::Bytes(text), Store::Bytes(_, bytes)) => bytes.extend_from_slice(utf8(text, at)?),
        (Plan::Bytes, Raw::Bytes(value), Store::Bytes(_, bytes)) => bytes.extend_from_slice(value),
        (Plan::Enum(names), raw, Store::Bytes(_, bytes)) => {
            let number = Scalar::Enum.integer(raw).and_then(|number| i32::try_from(number).ok());
            names.put_name(number.ok_or_else(|| mismatch(at))?, bytes);
        }
        (Plan::Date(scalar), raw, Store::Integer(cells)) => {
            cells.push(low64(scalar.integer(raw).ok_or_else(|| mismatch(at))?));
        }
        (Plan::Millis(scalar, unit), raw, Store::Integer(cells)) => {
            let value = scalar.integer(raw).and_then(|value| i64::try_from(value).ok());
            let value = value.ok_or_else(|| mismatch(at))?;
            let time = in_unit(value, TimeUnit::Millisecond, *unit).ok_or_else(|| too_far(value, at))?;
            cells.push(time.cast_unsigned());
        }
        (Plan::Timestamp(unit), Raw::Bytes(bytes), Store::Integer(cells)) => {
            let (seconds, nanos) = seconds(bytes, at)?;
            if !(0..1_000_000_000).contains(&nanos) {
                return Err(Fault::at(at, format!("{nanos} are no nanoseconds of a timestamp")));
            }
            let (per_second, _) = parts(*unit);
            let time = (seconds.checked_mul(per_second))
                .and_then(|time| time.checked_add(nanos / (1_000_000_000 / per_second)));
            cells.push(time.ok_or_else(|| too_far(seconds, at))?.cast_unsigned());
        }
        (Plan::Duration(precision, scale), Raw::Bytes(bytes), Store::Decimal(cells)) => {
            let (seconds, nanos) = seconds(bytes, at)?;
            if nanos.abs() >= 1_000_000_000 || seconds.signum() * nanos.signum() < 0 {
                return Err(Fault::at(at, format!("{seconds} s and {nanos} ns are no duration")));
            }
            let all = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            cells.push(rescaled(all, i32::from(*scale) - 9, *precision).ok_or_else(|| {
                Fault::at(at, format!("{all} ns have no exact form as DECIMAL({precision}, {scale})"))
            })?);
        }
        (Plan::DecimalText(precision, scale), Raw::Bytes(text), Store::Decimal(cells)) => {
            cells.push(decimal_of(text, *precision, *scale).map_err(|why| Fault::at(at, why))?);
        }
        (Plan::DecimalInteger(scalar, precision, scale), raw, Store::Decimal(cells)) => {
            let value = scalar.integer(raw).ok_or_else(|| mismatch(at))?;
            cells.push(rescaled(value, i32::from(*scale), *precision).ok_or_else(|| {
                Fault::at(at, format!("{value} has no exact form as DECIMAL({precision}, {scale})"))
            })?);
        }
        (Plan::Wrapped(inner, scalar), Raw::Bytes(bytes), _) => {
            let zero = Default::zero(*scalar);
            let (at, raw) = last_of(bytes, at, 1, *scalar)?.unwrap_or((at, zero.raw()));
            return value(inner, raw, at, column);
        }
        (Plan::Message(plan), Raw::Bytes(bytes), Store::Struct(parts)) => message(plan, bytes, at, parts)?,
        _ => return Err(mismatch(at)),
    }
    end(column, at)
}

#[cold]
fn too_far(value: i64, at: usize) -> Fault {
    Fault::at(at, format!("{value} is a time too far away for its unit"))
}

#[inline]
fn utf8(bytes: &[u8], at: usize) -> Result<&[u8], Fault> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(Fault::at(at + e.valid_up_to(), "it is not UTF-8")),
    }
}

/// The last value of a scalar field, and where it begins.
fn last_of(bytes: &[u8], at: usize, field: u32, scalar: Scalar) -> Result<Option<(usize, Raw<'_>)>, Fault> {
    let (mut cursor, mut last) = (Cursor::new(bytes, at), None);
    while let Some((number, wire)) = cursor.tag()? {
        if number != field {
            cursor.skip(number, wire)?;
        } else if wire == scalar.wire() {
            last = Some(cursor.value(wire)?);
        } else {
            let what =
                format!("it is written as {}, and should be {}", wire_name(wire), wire_name(scalar.wire()));
            return Err(Fault::at(cursor.place(), what));
        }
    }
    Ok(last)
}

/// Seconds and nanoseconds of a timestamp or a duration.
fn seconds(bytes: &[u8], at: usize) -> Result<(i64, i64), Fault> {
    let number = |field, scalar: Scalar| -> Result<i64, Fault> {
        let Some((at, raw)) = last_of(bytes, at, field, scalar)? else { return Ok(0) };
        scalar.integer(raw).and_then(|value| i64::try_from(value).ok()).ok_or_else(|| mismatch(at))
    };
    Ok((number(1, Scalar::Int64)?, number(2, Scalar::Int32)?))
}
