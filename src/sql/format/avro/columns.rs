//! The schema that columns have.
//!
//! Owns Flink's rule from types of SQL to types of Avro. Knows no record. Invariant: the schema of a table depends on its columns and the
//! record's name only, so that each start gives the same.

use crate::{
    codec::AvroSchema,
    registry::{Schema, SchemaKind},
    sql::{parse::type_name, rows::map_parts},
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use serde_avro_fast::schema::SchemaMut;
use serde_json::{Value, json};

/// What a record is called if its schema goes nowhere.
const NAME: &str = "record";

/// How a table's schema is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Whether `TIMESTAMP`, which has no zone, is `local-timestamp-..` as the specification has it; otherwise it is `timestamp-..`, which is
    /// Flink's default.
    pub has_local_times: bool,
}

/// The schema of a record with these columns: a field for each, which may be null if the column may be. A nested record is called like the
/// one around it, an underscore, and its column.
///
/// # Errors
/// Why Avro has no form for one of them.
pub fn schema_of(name: &str, columns: &[Field], options: SchemaOptions) -> Result<String, String> {
    let fields: Vec<&Field> = columns.iter().collect();
    Ok(record(name, &fields, options)?.to_string())
}

/// The types of a schema, or else of that of the columns, as a graph.
///
/// # Errors
/// If the schema is none, or Avro has no form for a column.
pub(super) fn nodes_of(
    schema: Option<&str>,
    columns: &[Field],
    options: SchemaOptions,
) -> Result<SchemaMut, String> {
    let text = match schema {
        Some(text) => text.to_owned(),
        None => schema_of(NAME, columns, options)?,
    };
    AvroSchema::of(&Schema::new(SchemaKind::Avro, text))?.nodes()
}

fn record(name: &str, columns: &[&Field], options: SchemaOptions) -> Result<Value, String> {
    let mut fields = vec![];
    for column in columns {
        let field = column.name();
        let in_column = |why: String| format!("column `{field}`: {why}");
        if !is_name(field) {
            return Err(in_column(
                "names in Avro are letters, digits and underscores, and do not begin with a digit".into(),
            ));
        }
        let of = value(&format!("{name}_{field}"), column, options).map_err(in_column)?;
        fields.push(if column.is_nullable() {
            json!({ "name": field, "type": of, "default": null })
        } else {
            json!({ "name": field, "type": of })
        });
    }
    Ok(json!({ "type": "record", "name": name, "fields": fields }))
}

fn value(name: &str, column: &Field, options: SchemaOptions) -> Result<Value, String> {
    let of = not_null(name, column.data_type(), options)?;
    Ok(if column.is_nullable() { json!(["null", of]) } else { of })
}

fn not_null(name: &str, data_type: &DataType, options: SchemaOptions) -> Result<Value, String> {
    let refused = || Err(format!("Avro has no form for {}", type_name(data_type)));
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            json!("int")
        }
        DataType::Int64 | DataType::UInt32 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({ "type": "int", "logicalType": "date" }),
        DataType::Timestamp(unit, zone) => {
            let local = if zone.is_none() && options.has_local_times { "local-" } else { "" };
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => "millis",
                TimeUnit::Microsecond => "micros",
                TimeUnit::Nanosecond => "nanos",
            };
            json!({ "type": "long", "logicalType": format!("{local}timestamp-{unit}") })
        }
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        DataType::List(item) => json!({ "type": "array", "items": value(name, item, options)? }),
        DataType::Struct(parts) => {
            return record(name, &parts.iter().map(|part| &**part).collect::<Vec<_>>(), options);
        }
        DataType::Map(entries, _) => match (map_parts(entries.data_type()), entries.data_type()) {
            (Some((DataType::Utf8, _)), DataType::Struct(parts)) => {
                json!({ "type": "map", "values": value(name, &parts[1], options)? })
            }
            (Some(_), _) => return Err("keys of a map are strings in Avro".into()),
            _ => return refused(),
        },
        _ => return refused(),
    })
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c == '_' || c.is_ascii_alphabetic();
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// A name as near to this one as Avro has names.
#[must_use]
pub fn record_name(name: &str) -> String {
    let plain = |c: char| if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}
