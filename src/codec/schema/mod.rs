//! Formats whose records name their schema: Avro, Protobuf and JSON Schema, with schemas from a registry or a file.
//!
//! Owns the framing and what ids mean to a codec. Knows no topic. Invariants: a record whose schema cannot be had now is neither good
//! nor bad: it waits ([`Decode::prepare`](crate::codec::Decode::prepare)); a bad record costs only itself; nothing is registered but at
//! the making of a writer.

#[cfg(feature = "avro")]
mod avro;
#[cfg(feature = "avro")]
mod avro_references;
#[cfg(feature = "avro")]
mod avro_schema;
mod frame;
#[cfg(feature = "json-schema")]
mod json_schema;
mod lookup;
#[cfg(feature = "protobuf")]
mod message_indexes;
#[cfg(feature = "protobuf")]
mod protobuf;

#[cfg(feature = "avro")]
pub use avro::{AvroReader, AvroWriter};
#[cfg(feature = "avro")]
pub use avro_schema::AvroSchema;
#[cfg(feature = "sql")]
pub(crate) use frame::prefix;
#[cfg(feature = "json-schema")]
pub use json_schema::{JsonSchema, JsonSchemaReader, JsonSchemaWriter};
#[cfg(feature = "sql")]
pub(crate) use lookup::{Found, Lookup};
#[cfg(feature = "sql")]
pub(crate) use protobuf::ProtobufFile;
#[cfg(feature = "protobuf")]
pub use protobuf::{DynamicProtobufReader, ProtobufReader, ProtobufSchema, ProtobufWriter};

use crate::error::{Error, Result};
use std::path::Path;

/// Reads a file of a schema, and makes something of it; errors begin with the file.
fn from_file<S>(path: &Path, parse: impl FnOnce(&str) -> Result<S, String>) -> Result<S> {
    let text = std::fs::read_to_string(path)
        .map_err(Error::io(format!("the schema {} cannot be read", path.display())))?;
    parse(&text).map_err(|why| Error::Config(format!("{}: {why}", path.display())))
}

/// A document that is not JSON, with line and column.
#[cfg(any(feature = "avro", feature = "json-schema"))]
fn not_json(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{}:{}: not JSON: {what}", e.line(), e.column())
}

/// The beginning of a message that may repeat a whole record.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 300;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}
