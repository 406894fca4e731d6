//! How fields of a message become columns, and columns fields.
//!
//! Owns which types of Protobuf go with which types of columns. Knows no bytes. Invariants: fields are found by their names; a plan that exists
//! fills each column, or writes it; what no column asks for is passed over, and not written.

use super::scalar::{Default, Names, Scalar};
use crate::sql::{parse::type_name, rows::map_parts};
use arrow::datatypes::{DataType, Field, TimeUnit};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::sync::Arc;

/// How one value becomes a cell, and back.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Boolean,
    /// An integer; read, it is within these bounds.
    Integer(Scalar, i128, i128),
    Float,
    /// A double; or a float that becomes one.
    Double,
    Text,
    Bytes,
    Enum(Names),
    /// Days in an integer.
    Date(Scalar),
    /// Milliseconds in an integer, in a column of this unit.
    Millis(Scalar, TimeUnit),
    /// `google.protobuf.Timestamp`.
    Timestamp(TimeUnit),
    /// `google.protobuf.Duration` as seconds.
    Duration(u8, i8),
    /// A decimal in a text.
    DecimalText(u8, i8),
    /// A decimal in an integer.
    DecimalInteger(Scalar, u8, i8),
    /// `google.protobuf.Int64Value` and its like: the value is in the field 1.
    Wrapped(Box<Plan>, Scalar),
    Message(Arc<MessagePlan>),
}

/// How the fields of a message become the columns of a row, or of a part of one.
#[derive(Debug)]
pub(super) struct MessagePlan {
    pub name: String,
    /// By their numbers.
    pub slots: Vec<Slot>,
    /// Columns that no field gives, which are NULL.
    pub missing: Vec<usize>,
    /// How many oneofs the message has.
    pub oneofs: usize,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub number: u32,
    pub name: String,
    /// `None` = it is looked at only because it excludes others.
    pub column: Option<usize>,
    /// The oneof of which it is, by its position.
    pub oneof: Option<usize>,
    pub shape: Shape,
    /// How it is written.
    pub wire: u8,
    pub plan: Plan,
}

#[derive(Debug)]
pub(super) enum Shape {
    Single(Absent),
    /// An array; whether its items are written one behind the other.
    Repeated {
        is_packed: bool,
    },
    Map(Box<MapPlan>),
}

#[derive(Debug)]
pub(super) struct MapPlan {
    pub key: Plan,
    pub key_default: Default,
    pub value_default: Default,
}

/// What a field is that is not written.
#[derive(Debug)]
pub(super) enum Absent {
    /// NULL.
    Null,
    /// It has no presence: this.
    Default(Default),
    /// Something that the column cannot be.
    Refused,
}

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Messages become rows; whether fields that are not set have their default all the same.
    Read { has_defaults: bool },
    /// Rows become messages.
    Write,
}

/// How messages of this type become rows of these columns, or rows messages.
///
/// # Errors
/// Why they cannot.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    columns: &[&Field],
    direction: Direction,
) -> Result<MessagePlan, String> {
    let mut missing: Vec<usize> = (0..columns.len()).collect();
    let mut slots = vec![];
    for field in descriptor.fields() {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let oneof = oneof.and_then(|oneof| descriptor.oneofs().position(|other| other == oneof));
        let name = field.name().to_owned();
        let column = columns.iter().position(|column| *column.name() == name);
        let Some(column) = column else {
            if direction == Direction::Write && field.is_required() {
                return Err(format!(
                    "there is no column for the field `{name}` of {}, which is required",
                    named(&Kind::Message(descriptor.clone()))
                ));
            }
            if oneof.is_some() && !field.is_group() {
                let (wire, shape) = (wire_of(&field), Shape::Single(Absent::Null));
                slots.push(Slot {
                    number: field.number(),
                    name,
                    column: None,
                    oneof,
                    shape,
                    wire,
                    plan: Plan::Bytes,
                });
            }
            continue;
        };
        missing.retain(|index| *index != column);
        let (shape, plan) =
            slot(&field, columns[column], direction).map_err(|why| format!("column `{name}`: {why}"))?;
        let (number, wire) = (field.number(), wire_of(&field));
        slots.push(Slot { number, name, column: Some(column), oneof, shape, wire, plan });
    }
    slots.sort_by_key(|slot| slot.number);
    let of_message = || named(&Kind::Message(descriptor.clone()));
    if let Direction::Write = direction
        && let Some(column) = missing.first()
    {
        return Err(format!("{} has no field for the column `{}`", of_message(), columns[*column].name()));
    }
    if let Some(column) = missing.iter().find(|column| !columns[**column].is_nullable()) {
        let name = columns[*column].name();
        return Err(format!("column `{name}` is NOT NULL, and {} has no such field", of_message()));
    }
    Ok(MessagePlan {
        name: descriptor.full_name().to_owned(),
        slots,
        missing,
        oneofs: descriptor.oneofs().len(),
    })
}

/// How a value of a field is written, if it is alone.
fn wire_of(field: &FieldDescriptor) -> u8 {
    Scalar::of(&field.kind()).map_or(super::bytes::BYTES, Scalar::wire)
}

fn default_of(field: &FieldDescriptor) -> Default {
    match Scalar::of(&field.kind()) {
        Some(scalar) => Default::of(scalar, &field.default_value()),
        None => Default::message(),
    }
}

fn slot(field: &FieldDescriptor, column: &Field, direction: Direction) -> Result<(Shape, Plan), String> {
    if field.is_group() {
        return Err("a group is neither read nor written".into());
    }
    let refused = |what: &str| Err(format!("{what} cannot be {}", type_name(column.data_type())));
    if field.is_map() {
        let DataType::Map(entries, _) = column.data_type() else { return refused("a map") };
        let (DataType::Struct(parts), Some((key_type, _))) =
            (entries.data_type(), map_parts(entries.data_type()))
        else {
            return refused("a map");
        };
        let Kind::Message(entry) = field.kind() else { return refused("a map") };
        let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let key = value(&key_field.kind(), key_type, direction).map_err(|why| format!("key: {why}"))?;
        let of = value(&value_field.kind(), parts[1].data_type(), direction);
        let of = of.map_err(|why| format!("value: {why}"))?;
        let map =
            MapPlan { key, key_default: default_of(&key_field), value_default: default_of(&value_field) };
        return Ok((Shape::Map(Box::new(map)), of));
    }
    if field.is_list() {
        let DataType::List(item) = column.data_type() else { return refused("a repeated field") };
        let of = value(&field.kind(), item.data_type(), direction).map_err(|why| format!("item: {why}"))?;
        return Ok((Shape::Repeated { is_packed: field.is_packed() }, of));
    }
    let plan = value(&field.kind(), column.data_type(), direction)?;
    let absent = match direction {
        // An empty text is no decimal.
        _ if !field.supports_presence() && matches!(plan, Plan::DecimalText(..)) => {
            let is_refused = direction != Direction::Write && !column.is_nullable();
            if is_refused { Absent::Refused } else { Absent::Null }
        }
        _ if !field.supports_presence() => Absent::Default(default_of(field)),
        Direction::Read { has_defaults: true } if Scalar::of(&field.kind()).is_some() => {
            Absent::Default(default_of(field))
        }
        Direction::Write if field.is_required() => Absent::Refused,
        Direction::Read { .. } if !column.is_nullable() => Absent::Refused,
        _ => Absent::Null,
    };
    Ok((Shape::Single(absent), plan))
}

fn value(kind: &Kind, column: &DataType, direction: Direction) -> Result<Plan, String> {
    let refused = || Err(format!("{} cannot be {}", named(kind), type_name(column)));
    let reads = direction != Direction::Write;
    if let Kind::Message(descriptor) = kind {
        if let DataType::Struct(parts) = column {
            let parts: Vec<&Field> = parts.iter().map(|part| &**part).collect();
            return Ok(Plan::Message(message(descriptor, &parts, direction)?.into()));
        }
        return Ok(match (descriptor.full_name(), column) {
            ("google.protobuf.Timestamp", DataType::Timestamp(unit, _)) => Plan::Timestamp(*unit),
            ("google.protobuf.Duration", DataType::Decimal128(precision, scale)) => {
                Plan::Duration(*precision, *scale)
            }
            (name, _) if is_wrapper(name) => {
                let Some(inner) = descriptor.get_field(1) else { return refused() };
                let Some(scalar) = Scalar::of(&inner.kind()) else { return refused() };
                Plan::Wrapped(Box::new(value(&inner.kind(), column, direction)?), scalar)
            }
            _ => return refused(),
        });
    }
    let Some(scalar) = Scalar::of(kind) else { return refused() };
    Ok(match (column, kind) {
        (DataType::Boolean, Kind::Bool) => Plan::Boolean,
        (DataType::Float32, Kind::Float) => Plan::Float,
        (DataType::Float64, Kind::Double) => Plan::Double,
        (DataType::Float64, Kind::Float) if reads => Plan::Double,
        (DataType::Float32, Kind::Double) if !reads => Plan::Double,
        (DataType::Utf8, Kind::String) => Plan::Text,
        (DataType::Utf8, Kind::Bytes) => Plan::Text,
        (DataType::Utf8, Kind::Enum(of)) => Plan::Enum(Names::of(of)),
        (DataType::Binary, Kind::Bytes) => Plan::Bytes,
        (DataType::Binary, Kind::String) if reads => Plan::Bytes,
        (DataType::Decimal128(precision, scale), Kind::String) => Plan::DecimalText(*precision, *scale),
        (DataType::Decimal128(precision, scale), _) if scalar.bounds().is_some() => {
            Plan::DecimalInteger(scalar, *precision, *scale)
        }
        (DataType::Date32, _) if matches!(scalar, Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32) => {
            Plan::Date(scalar)
        }
        (DataType::Timestamp(unit, _), _)
            if matches!(scalar, Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64) =>
        {
            Plan::Millis(scalar, *unit)
        }
        _ => match (bounds(column), scalar.bounds()) {
            (Some((least, most)), Some(_)) if reads => Plan::Integer(scalar, least, most),
            // A negative number in an unsigned field is found row by row.
            (Some((_, most)), Some((least, most_of_field))) if most <= most_of_field => {
                Plan::Integer(scalar, least, most_of_field)
            }
            _ => return refused(),
        },
    })
}

fn is_wrapper(name: &str) -> bool {
    let name = name.strip_prefix("google.protobuf.").and_then(|name| name.strip_suffix("Value"));
    matches!(
        name,
        Some("Double" | "Float" | "Int64" | "UInt64" | "Int32" | "UInt32" | "Bool" | "String" | "Bytes")
    )
}

/// The least and the greatest number of a type of integers.
fn bounds(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// What a type is called in Protobuf.
pub(super) fn named(kind: &Kind) -> String {
    match kind {
        Kind::Message(of) => format!("the message `{}`", of.full_name()),
        Kind::Enum(of) => format!("the enum `{}`", of.full_name()),
        scalar => format!("{scalar:?}"),
    }
}
