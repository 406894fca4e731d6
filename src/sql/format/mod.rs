//! Records to rows of columns and back: JSON, Avro and raw.
//!
//! Owns the formats of topics that SQL reads and writes. Knows no topic and no operator. Invariants: a record gives one row or one reason,
//! never both, and never a panic; what one format writes, it reads back as it was.

mod avro;
mod decode;
mod fault;
mod json;
mod json_write;
mod raw;
#[cfg(test)]
mod tests;
mod time;

pub use avro::{
    AvroEncoder, AvroReader, AvroRows, AvroWriter, ReadPlan, Registration, SchemaOptions, record_name,
    schema_of,
};
pub use decode::{RecordColumn, RecordDecoder, RecordFormat};
pub use json::{JsonReader, JsonRows};
pub use json_write::{JsonEncoder, JsonWriter, push_json};
pub use raw::{RawReader, RawRows};
