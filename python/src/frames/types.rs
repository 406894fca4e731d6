//! Types of columns as Spark's JSON names them, which Python's types are made of.
//!
//! Owns the names. Knows no value.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use std::fmt::Write as _;

/// A text as JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c)); // a String takes all
            }
            c => out.push(c),
        }
    }
    out + "\""
}

fn fields(fields: &Fields) -> String {
    let field = |field: &std::sync::Arc<Field>| {
        let (name, data_type) = (quoted(field.name()), json(field.data_type()));
        format!(
            "{{\"name\":{name},\"type\":{data_type},\"nullable\":{},\"metadata\":{{}}}}",
            field.is_nullable()
        )
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("{{\"type\":\"struct\",\"fields\":[{}]}}", fields.join(","))
}

/// A type.
pub fn json(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "byte".to_owned(),
        DataType::Int16 | DataType::UInt8 => "short".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Null => "void".to_owned(),
        DataType::Struct(of) => return fields(of),
        DataType::List(item) => {
            let element = json(item.data_type());
            return format!(
                "{{\"type\":\"array\",\"elementType\":{element},\"containsNull\":{}}}",
                item.is_nullable()
            );
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(entry) = entries.data_type()
                && let [key, value] = &entry[..]
            {
                let (key, of, contains) =
                    (json(key.data_type()), json(value.data_type()), value.is_nullable());
                return format!(
                    "{{\"type\":\"map\",\"keyType\":{key},\"valueType\":{of},\"valueContainsNull\":{contains}}}"
                );
            }
            data_type.to_string()
        }
        other => other.to_string(),
    };
    quoted(&name)
}

/// The columns of rows.
pub fn schema_json(schema: &Schema) -> String {
    fields(schema.fields())
}
