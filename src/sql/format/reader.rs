//! Records of any format that are rows as they stand: one reader for all of them.
//!
//! Owns the choice among formats. Knows no topic and no file. Invariant: a record appends one row to every column, or none to any.

use super::{
    avro::{AvroReader, AvroRows, SchemaOptions},
    csv::{CsvOptions, CsvReader, CsvRows},
    json::{JsonReader, JsonRows},
    protobuf::{ProtobufOptions, ProtobufReader, ProtobufRows},
    raw::{RawReader, RawRows},
};
use crate::{
    codec::ProtobufSchema,
    error::Result,
    record::{RawChunk, RawRecord},
    registry::{RecordPart, Registry},
};
use arrow::{array::ArrayRef, datatypes::Field};

/// How keys or values of records are written.
#[derive(Clone)]
pub enum RecordFormat {
    /// A record in Avro, with the schema of the columns.
    Avro(SchemaOptions),
    /// A record in Avro that names its schema in this registry.
    Registered(Registry, RecordPart),
    /// A message of Protobuf.
    Protobuf(ProtobufSchema, ProtobufOptions),
    /// A message of Protobuf that names its schema in this registry, and must have this name.
    RegisteredMessage(Registry, RecordPart, Option<String>, ProtobufOptions),
    /// An object of JSON with a field for each column.
    Json,
    /// A line of CSV with a field for each of these columns, in order, also for those that nobody wants.
    Csv(CsvOptions, Vec<String>),
    /// One column, of all bytes.
    Raw,
}

/// Reads records of one format into columns.
pub enum RowReader {
    /// Avro.
    Avro(AvroReader),
    /// JSON.
    Json(JsonReader),
    /// CSV.
    Csv(CsvReader),
    /// Protobuf.
    Protobuf(ProtobufReader),
    /// One column.
    Raw(RawReader),
}

/// Columns that are filled record by record.
pub enum Rows {
    /// Avro.
    Avro(AvroRows),
    /// JSON.
    Json(JsonRows),
    /// CSV.
    Csv(CsvRows),
    /// Protobuf.
    Protobuf(ProtobufRows),
    /// One column.
    Raw(RawRows),
}

impl RowReader {
    /// Looks for these fields.
    ///
    /// # Errors
    /// Why the format cannot give one of them.
    pub fn new(format: RecordFormat, fields: Vec<Field>) -> Result<Self, String> {
        Ok(match format {
            RecordFormat::Avro(options) => RowReader::Avro(AvroReader::of_columns(fields, options)?),
            RecordFormat::Registered(registry, part) => {
                RowReader::Avro(AvroReader::registered(&registry, part, fields)?)
            }
            RecordFormat::Protobuf(schema, options) => {
                RowReader::Protobuf(ProtobufReader::of_message(&schema, fields, options)?)
            }
            RecordFormat::RegisteredMessage(registry, part, message, options) => RowReader::Protobuf(
                ProtobufReader::registered(&registry, part, message.as_deref(), fields, options),
            ),
            RecordFormat::Json => RowReader::Json(JsonReader::new(fields)?),
            RecordFormat::Csv(options, names) => RowReader::Csv(CsvReader::new(options, names, fields)?),
            RecordFormat::Raw => RowReader::Raw(RawReader::new(fields)?),
        })
    }

    /// Empty columns with room for `rows` rows.
    ///
    /// # Errors
    /// None that `new` has not told before.
    pub fn rows(&self, rows: usize) -> Result<Rows> {
        Ok(match self {
            RowReader::Avro(reader) => Rows::Avro(reader.rows(rows)?),
            RowReader::Json(reader) => Rows::Json(reader.rows(rows)?),
            RowReader::Csv(reader) => Rows::Csv(reader.rows(rows)?),
            RowReader::Protobuf(reader) => Rows::Protobuf(reader.rows(rows)?),
            RowReader::Raw(reader) => Rows::Raw(reader.rows(rows)?),
        })
    }

    /// Gets what these records need besides their bytes.
    ///
    /// # Errors
    /// If it cannot be had now.
    pub fn prepare(&self, records: &RawChunk) -> Result {
        match self {
            RowReader::Avro(reader) => reader.prepare(records),
            RowReader::Protobuf(reader) => reader.prepare(records),
            RowReader::Json(_) | RowReader::Csv(_) | RowReader::Raw(_) => Ok(()),
        }
    }

    /// Whether there is anything to get.
    #[must_use]
    pub fn prepares(&self) -> bool {
        match self {
            RowReader::Avro(reader) => reader.prepares(),
            RowReader::Protobuf(reader) => reader.prepares(),
            RowReader::Json(_) | RowReader::Csv(_) | RowReader::Raw(_) => false,
        }
    }
}

impl Rows {
    /// Appends the row that a record is; `None` = null.
    ///
    /// # Errors
    /// Why it is none; nothing is appended then.
    #[inline]
    pub fn read(&mut self, bytes: Option<&[u8]>) -> Result<(), String> {
        match (self, bytes) {
            (Rows::Avro(rows), Some(bytes)) => rows.read_value(bytes),
            (Rows::Avro(_), None) => Err("it is null, which is no record in Avro".into()),
            (Rows::Protobuf(rows), Some(bytes)) => rows.read_value(bytes),
            (Rows::Protobuf(_), None) => Err("it is null, which is no message of Protobuf".into()),
            (Rows::Json(rows), Some(bytes)) => rows.read(bytes),
            (Rows::Json(_), None) => Err("it is null, which is no object of JSON".into()),
            (Rows::Csv(rows), Some(bytes)) => rows.read(bytes),
            (Rows::Csv(_), None) => Err("it is null, which is no line of CSV".into()),
            (Rows::Raw(rows), bytes) => rows.read(bytes),
        }
    }

    /// Appends the row that a part of a record is; headers may name its schema.
    ///
    /// # Errors
    /// As [`Rows::read`].
    #[inline]
    pub fn read_part(&mut self, record: &RawRecord<'_>, part: RecordPart) -> Result<(), String> {
        match (self, part) {
            (Rows::Avro(rows), part) => rows.read(record, part),
            (Rows::Protobuf(rows), part) => rows.read(record, part),
            (rows, RecordPart::Key) => rows.read(record.key),
            (rows, RecordPart::Value) => rows.read(record.value),
        }
    }

    /// Appends a row of NULLs, also where the columns are `NOT NULL`.
    pub fn push_null(&mut self) {
        match self {
            Rows::Avro(rows) => rows.push_null(),
            Rows::Json(rows) => rows.push_null(),
            Rows::Csv(rows) => rows.push_null(),
            Rows::Protobuf(rows) => rows.push_null(),
            Rows::Raw(rows) => rows.push_null(),
        }
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Rows::Avro(all) => all.truncate(rows),
            Rows::Json(all) => all.truncate(rows),
            Rows::Csv(all) => all.truncate(rows),
            Rows::Protobuf(all) => all.truncate(rows),
            Rows::Raw(all) => all.truncate(rows),
        }
    }

    /// The columns of all rows; there are none then.
    ///
    /// # Errors
    /// If they do not fit their types, which is a bug.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Rows::Avro(rows) => rows.finish(),
            Rows::Json(rows) => rows.finish(),
            Rows::Csv(rows) => rows.finish(),
            Rows::Protobuf(rows) => rows.finish(),
            Rows::Raw(rows) => Ok(vec![rows.finish()?]),
        }
    }
}
