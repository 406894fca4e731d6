//! The types of columns that can be in a row, and what they are called in the formats of stores and exchanges.
//!
//! Owns these names. Knows no bytes. Invariant: a name is part of fingerprints, so it never changes; two types with different bytes have
//! different names.

use arrow::datatypes::{DataType, TimeUnit};
use std::fmt::Write;

/// The identity of a column among those that a store has ever had: given when the column is first stored, and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub u32);

/// What a type is called in the formats of stores and exchanges, such as `i64`, `decimal(10,2)`, `[str]` or `{a:i64,b:str}`; `None` =
/// it cannot be in a row. Whether NULL is allowed is no part of it.
///
/// ```
/// use arrow::datatypes::{DataType, Field, TimeUnit};
/// use tidegate::sql::rows::type_name;
/// assert_eq!(type_name(&DataType::Timestamp(TimeUnit::Millisecond, None)).as_deref(), Some("ts_ms"));
/// let list = DataType::new_list(DataType::Utf8, true);
/// let row = DataType::Struct(vec![Field::new("a", DataType::Int64, true), Field::new("b c", list, true)].into());
/// assert_eq!(type_name(&row).as_deref(), Some("{a:i64,\"b c\":[str]}"));
/// assert_eq!(type_name(&DataType::Float16), None);
/// ```
#[must_use]
pub fn type_name(data_type: &DataType) -> Option<String> {
    let name = match data_type {
        DataType::Boolean => "bool",
        DataType::Int8 => "i8",
        DataType::Int16 => "i16",
        DataType::Int32 => "i32",
        DataType::Int64 => "i64",
        DataType::UInt8 => "u8",
        DataType::UInt16 => "u16",
        DataType::UInt32 => "u32",
        DataType::UInt64 => "u64",
        DataType::Float32 => "f32",
        DataType::Float64 => "f64",
        DataType::Utf8 => "str",
        DataType::Binary => "bytes",
        DataType::Date32 => "date",
        DataType::Decimal128(precision, scale) => return Some(format!("decimal({precision},{scale})")),
        DataType::Timestamp(unit, zone) => {
            let utc = match zone.as_deref() {
                None => "",
                Some(zone) if is_utc(zone) => "_utc",
                Some(_) => return None,
            };
            return Some(format!("ts_{}{utc}", unit_name(*unit)));
        }
        DataType::List(item) => return Some(format!("[{}]", type_name(item.data_type())?)),
        DataType::Struct(fields) => {
            let mut name = "{".to_owned();
            for (index, field) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let part = type_name(field.data_type())?;
                let _ = write!(name, "{comma}{}:{part}", quoted(field.name())); // a string takes everything
            }
            return Some(name + "}");
        }
        DataType::Map(entries, _) => {
            let (key, value) = map_parts(entries.data_type())?;
            return Some(format!("map({},{})", type_name(key)?, type_name(value)?));
        }
        _ => return None,
    };
    Some(name.to_owned())
}

/// Why a column of this type cannot be in a row, if it cannot.
#[must_use]
pub fn type_refusal(data_type: &DataType) -> Option<String> {
    type_name(data_type)
        .is_none()
        .then(|| format!("a column of type {data_type} cannot be stored or sent to another task"))
}

/// A name as it is written in formats: in quotes, unless it is a plain one.
#[must_use]
pub fn quoted(name: &str) -> String {
    let is_plain = |c: char| c == '_' || c == '$' || c.is_ascii_alphanumeric();
    let starts_plain = name.starts_with(|c: char| is_plain(c) && !c.is_ascii_digit());
    if starts_plain && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Whether a zone is UTC.
pub(in crate::sql) fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "utc" | "Z" | "z" | "+00:00" | "-00:00" | "Etc/UTC")
}

/// The types of keys and values of a map's entries.
pub(in crate::sql) fn map_parts(entries: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Struct(fields) = entries else { return None };
    let [key, value] = &fields[..] else { return None };
    Some((key.data_type(), value.data_type()))
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}
