//! The message type that columns have.
//!
//! Owns the rule from types of SQL to types of Protobuf. Knows no record. Invariant: the message of a table depends on its columns and the
//! message's name only, so that each start gives the same: the numbers of fields are the positions of columns, from 1.

use crate::{
    codec::ProtobufSchema,
    sql::{format::avro::record_name, parse::type_name, rows::map_parts},
};
use arrow::datatypes::{DataType, Field};
use std::fmt::Write;

/// The message with these columns: a field for each, `optional` if the column may be NULL. The message of a nested row is called like its
/// column.
///
/// # Errors
/// Why Protobuf has no form for one of them.
pub fn message_of(name: &str, columns: &[Field]) -> Result<ProtobufSchema, String> {
    let (package, name) = name.rsplit_once('.').map_or((None, name), |(package, name)| (Some(package), name));
    let name = record_name(name);
    let mut body = String::new();
    put_fields(&columns.iter().collect::<Vec<_>>(), 1, &mut body)?;
    let import = if body.contains("google.protobuf.Timestamp") {
        "import \"google/protobuf/timestamp.proto\";\n"
    } else {
        ""
    };
    let of_package = package.map_or_else(String::new, |package| format!("package {package};\n"));
    let text = format!("syntax = \"proto3\";\n{of_package}{import}message {name} {{\n{body}}}\n");
    let full = package.map_or_else(|| name.clone(), |package| format!("{package}.{name}"));
    ProtobufSchema::parse(&text, &full).map_err(|e| e.to_string())
}

fn put_fields(columns: &[&Field], depth: usize, out: &mut String) -> Result<(), String> {
    let indent = "  ".repeat(depth);
    for (index, column) in columns.iter().enumerate() {
        let name = column.name();
        let in_column = |why: String| format!("column `{name}`: {why}");
        let is_name = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        if !is_name {
            let why = "names in Protobuf are letters, digits and underscores, and do not begin with a digit";
            return Err(in_column(why.into()));
        }
        let mut nested = String::new();
        let (label, of) = match column.data_type() {
            DataType::List(item) => {
                ("repeated ", value(item.data_type(), name, depth, &mut nested).map_err(in_column)?)
            }
            DataType::Map(entries, _) => {
                let (key, of) =
                    map_parts(entries.data_type()).ok_or_else(|| in_column("it is no map".into()))?;
                let key = match key {
                    DataType::Float32 | DataType::Float64 | DataType::Binary | DataType::Decimal128(..) => {
                        return Err(in_column(format!(
                            "keys of a map cannot be {} in Protobuf",
                            type_name(key)
                        )));
                    }
                    key => value(key, name, depth, &mut nested).map_err(in_column)?,
                };
                let of = value(of, name, depth, &mut nested).map_err(in_column)?;
                ("", format!("map<{key}, {of}>"))
            }
            other => {
                let label = if column.is_nullable() { "optional " } else { "" };
                (label, value(other, name, depth, &mut nested).map_err(in_column)?)
            }
        };
        let _ = writeln!(out, "{nested}{indent}{label}{of} {name} = {};", index + 1); // a string takes everything
    }
    Ok(())
}

fn value(data_type: &DataType, column: &str, depth: usize, nested: &mut String) -> Result<String, String> {
    Ok(match data_type {
        DataType::Boolean => "bool",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::Decimal128(..) => "string",
        DataType::Binary => "bytes",
        DataType::Timestamp(..) => "google.protobuf.Timestamp",
        DataType::Struct(parts) => {
            let (indent, name) = ("  ".repeat(depth), format!("{column}_row"));
            let mut body = String::new();
            put_fields(&parts.iter().map(|part| &**part).collect::<Vec<_>>(), depth + 1, &mut body)?;
            let _ = write!(nested, "{indent}message {name} {{\n{body}{indent}}}\n"); // a string takes everything
            return Ok(name);
        }
        DataType::List(_) | DataType::Map(..) => {
            return Err(format!("{} in an array or a map has no form in Protobuf", type_name(data_type)));
        }
        other => return Err(format!("Protobuf has no form for {}", type_name(other))),
    }
    .to_owned())
}
