//! Records to rows of columns and back: JSON, CSV, Avro, Protobuf and raw.
//!
//! Owns the formats of topics that SQL reads and writes. Knows no topic and no operator. Invariants: a record gives one row or one reason,
//! never both, and never a panic; what one format writes, it reads back as it was.

mod avro;
mod csv;
mod csv_write;
mod debezium;
mod decode;
mod fault;
mod json;
mod json_write;
mod protobuf;
mod raw;
mod reader;
mod registration;
#[cfg(test)]
mod tests;
mod time;

pub use avro::{
    AvroEncoder, AvroReader, AvroRows, AvroWriter, ReadPlan, SchemaOptions, record_name, schema_of,
};
pub use csv::{CsvOptions, CsvReader, CsvRows, csv_fields};
pub use csv_write::{CsvEncoder, CsvWriter};
pub use debezium::{Changes as DebeziumChanges, DebeziumReader, DebeziumRows};
pub use decode::{Changes, RecordColumn, RecordDecoder};
pub use json::{JsonReader, JsonRows};
pub use json_write::{JsonEncoder, JsonWriter, push_json};
pub use protobuf::{
    ProtobufEncoder, ProtobufOptions, ProtobufReader, ProtobufRows, ProtobufWriter, message_of,
};
pub use raw::{RawReader, RawRows};
pub use reader::{RecordFormat, RowReader, Rows};
pub use registration::{Registration, ToRegister};

pub(in crate::sql) use csv::fill as csv_cell;
pub(in crate::sql) use decode::is_headers;
