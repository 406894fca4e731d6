//! Records to rows: values, keys, and what the log says of them.
//!
//! Owns the order of columns. Knows no format's bytes. Invariants: columns are in declared order; a record is one row or one bad record.

use super::{
    avro::{AvroReader, AvroRows, SchemaOptions},
    json::{JsonReader, JsonRows},
    raw::{RawReader, RawRows},
    time::of_ms,
};
use crate::{
    codec::BadRecord,
    error::Result,
    record::{Chunk, RawChunk, RawRecord},
    registry::{RecordPart, Registry},
    source::DecodeChunk,
    sql::{Delta, MetadataKey, rows::ColumnBuilder},
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// How keys or values of records are written.
#[derive(Clone)]
pub enum RecordFormat {
    /// A record in Avro, with the schema of the columns.
    Avro(SchemaOptions),
    /// A record in Avro, behind the id of its schema in this registry.
    Registered(Registry),
    /// An object of JSON with a field for each column.
    Json,
    /// One column, of all bytes.
    Raw,
}

/// Where a column of a table comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordColumn {
    /// A field of the value.
    Value(Field),
    /// A field of the key.
    Key(Field),
    /// What the log says of the record.
    Metadata(MetadataKey, Field),
}

impl RecordColumn {
    fn field(&self) -> &Field {
        match self {
            RecordColumn::Value(field) | RecordColumn::Key(field) | RecordColumn::Metadata(_, field) => field,
        }
    }
}

/// Decodes the records of an append-only table.
pub struct RecordDecoder {
    schema: SchemaRef,
    columns: Vec<RecordColumn>,
    value: Reader,
    key: Option<Reader>,
}

enum Reader {
    Avro(AvroReader),
    Json(JsonReader),
    Raw(RawReader),
}

enum Rows {
    Avro(AvroRows),
    Json(JsonRows),
    Raw(RawRows),
}

impl RecordDecoder {
    /// Reads these columns, values and keys in these formats. A key is read only if there is a column for it.
    ///
    /// # Errors
    /// Why a format cannot give a column.
    pub fn new(columns: Vec<RecordColumn>, value: RecordFormat, key: RecordFormat) -> Result<Self, String> {
        let schema =
            Arc::new(Schema::new(columns.iter().map(|column| column.field().clone()).collect::<Vec<_>>()));
        let (mut of_value, mut of_key) = (vec![], vec![]);
        for column in &columns {
            match column {
                RecordColumn::Value(field) => of_value.push(field.clone()),
                RecordColumn::Key(field) => of_key.push(field.clone()),
                RecordColumn::Metadata(key, field) => check(*key, field)?,
            }
        }
        let key = if of_key.is_empty() { None } else { Some(Reader::new(key, RecordPart::Key, of_key)?) };
        Ok(RecordDecoder { schema, columns, value: Reader::new(value, RecordPart::Value, of_value)?, key })
    }

    /// The columns of the rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn rows(&self, records: &RawChunk) -> Result<(Delta, Vec<BadRecord>)> {
        let mut value = self.value.rows(records.len())?;
        let mut key = self.key.as_ref().map(|key| key.rows(records.len())).transpose()?;
        let metadata = self.columns.iter().filter_map(|column| match column {
            RecordColumn::Metadata(key, field) => Some(MetadataRows::new(*key, field, records)),
            _ => None,
        });
        let mut metadata = metadata.collect::<Result<Vec<_>>>()?;
        let (mut rows, mut bad) = (0, vec![]);
        for (index, record) in records.iter().enumerate() {
            match read(&record, &mut value, key.as_mut(), &mut metadata) {
                Ok(()) => rows += 1,
                Err(reason) => {
                    value.truncate(rows);
                    key.iter_mut().for_each(|key| key.truncate(rows));
                    metadata.iter_mut().for_each(|column| column.builder.truncate(rows));
                    bad.push(BadRecord { index, reason });
                }
            }
        }
        let mut of_value = value.finish()?.into_iter();
        let mut of_key = key.map(|mut key| key.finish()).transpose()?.unwrap_or_default().into_iter();
        let mut of_log = metadata.iter_mut();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            match column {
                RecordColumn::Value(_) => columns.extend(of_value.next()),
                RecordColumn::Key(_) => columns.extend(of_key.next()),
                RecordColumn::Metadata(..) => {
                    columns.extend(of_log.next().map(|column| column.builder.finish()).transpose()?);
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let batch = batch.map_err(|e| crate::Error::Codec(format!("rows do not fit their columns: {e}")))?;
        Ok((Delta::added(batch), bad))
    }
}

impl DecodeChunk for RecordDecoder {
    fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
        match self.rows(records) {
            Ok((delta, bad)) => (delta.into_chunk(), bad),
            Err(e) => {
                // A bug, or more than 2 GiB: no record gets lost without a reason.
                let reason = e.to_string();
                let bad = (0..records.len()).map(|index| BadRecord { index, reason: reason.clone() });
                (Delta::added(RecordBatch::new_empty(self.schema.clone())).into_chunk(), bad.collect())
            }
        }
    }

    fn prepare(&self, records: &RawChunk) -> Result {
        self.value.prepare(records)?;
        self.key.as_ref().map_or(Ok(()), |key| key.prepare(records))
    }

    fn prepares(&self) -> bool {
        self.value.prepares() || self.key.as_ref().is_some_and(Reader::prepares)
    }
}

#[inline]
fn read(
    record: &RawRecord<'_>,
    value: &mut Rows,
    key: Option<&mut Rows>,
    metadata: &mut [MetadataRows],
) -> Result<(), String> {
    value.read(record, RecordPart::Value)?;
    if let Some(key) = key {
        key.read(record, RecordPart::Key)?;
    }
    metadata.iter_mut().try_for_each(|column| column.read(record))
}

impl Reader {
    fn new(format: RecordFormat, part: RecordPart, fields: Vec<Field>) -> Result<Self, String> {
        Ok(match format {
            RecordFormat::Avro(options) => Reader::Avro(AvroReader::of_columns(fields, options)?),
            RecordFormat::Registered(registry) => {
                Reader::Avro(AvroReader::registered(&registry, part, fields)?)
            }
            RecordFormat::Json => Reader::Json(JsonReader::new(fields)?),
            RecordFormat::Raw => Reader::Raw(RawReader::new(fields)?),
        })
    }

    fn rows(&self, rows: usize) -> Result<Rows> {
        Ok(match self {
            Reader::Avro(reader) => Rows::Avro(reader.rows(rows)?),
            Reader::Json(reader) => Rows::Json(reader.rows(rows)?),
            Reader::Raw(reader) => Rows::Raw(reader.rows(rows)?),
        })
    }

    fn prepare(&self, records: &RawChunk) -> Result {
        match self {
            Reader::Avro(reader) => reader.prepare(records),
            Reader::Json(_) | Reader::Raw(_) => Ok(()),
        }
    }

    fn prepares(&self) -> bool {
        matches!(self, Reader::Avro(reader) if reader.prepares())
    }
}

impl Rows {
    #[inline]
    fn read(&mut self, record: &RawRecord<'_>, part: RecordPart) -> Result<(), String> {
        let (bytes, what) = match part {
            RecordPart::Key => (record.key, "key"),
            RecordPart::Value => (record.value, "value"),
        };
        let read = match (self, bytes) {
            (Rows::Avro(rows), _) => rows.read(record, part),
            (Rows::Json(rows), Some(bytes)) => rows.read(bytes),
            (Rows::Json(_), None) => return Err(format!("the {what} is null, which is no object of JSON")),
            (Rows::Raw(rows), bytes) => rows.read(bytes),
        };
        read.map_err(|reason| format!("{what}: {reason}"))
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Rows::Avro(all) => all.truncate(rows),
            Rows::Json(all) => all.truncate(rows),
            Rows::Raw(all) => all.truncate(rows),
        }
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Rows::Avro(rows) => rows.finish(),
            Rows::Json(rows) => rows.finish(),
            Rows::Raw(rows) => Ok(vec![rows.finish()?]),
        }
    }
}

/// Whether a column can be of that.
fn check(key: MetadataKey, field: &Field) -> Result<(), String> {
    let (types, what) = match (key, field.data_type()) {
        (MetadataKey::Topic, DataType::Utf8) => return Ok(()),
        (MetadataKey::Partition, DataType::Int32 | DataType::Int64) => return Ok(()),
        (MetadataKey::Offset, DataType::Int64) => return Ok(()),
        (MetadataKey::Timestamp, DataType::Timestamp(..) | DataType::Int64) => return Ok(()),
        (MetadataKey::Topic, _) => ("STRING", "topic"),
        (MetadataKey::Partition, _) => ("INT or BIGINT", "partition"),
        (MetadataKey::Offset, _) => ("BIGINT", "offset"),
        (MetadataKey::Timestamp, _) => {
            ("TIMESTAMP(3), TIMESTAMP_LTZ(3), or BIGINT for milliseconds", "timestamp")
        }
    };
    Err(format!(
        "column `{}`: METADATA FROM '{what}' is of type {types}, not {}",
        field.name(),
        field.data_type()
    ))
}

struct MetadataRows {
    key: MetadataKey,
    field: Field,
    builder: ColumnBuilder,
    /// The partition's topic and number.
    origin: Option<(String, i64)>,
}

impl MetadataRows {
    fn new(key: MetadataKey, field: &Field, records: &RawChunk) -> Result<Self> {
        let origin = records.origin().map(|at| (at.topic.to_string(), i64::from(at.partition.0)));
        let builder = ColumnBuilder::new(field.data_type(), records.len())?;
        Ok(MetadataRows { key, field: field.clone(), builder, origin })
    }

    fn read(&mut self, record: &RawRecord<'_>) -> Result<(), String> {
        let integer = match self.key {
            MetadataKey::Topic => match &self.origin {
                Some((topic, _)) => {
                    return self.builder.push_bytes(topic.as_bytes()).map_err(|e| e.to_string());
                }
                None => None,
            },
            MetadataKey::Partition => self.origin.as_ref().map(|(_, partition)| *partition),
            MetadataKey::Offset => i64::try_from(record.offset.0).ok(),
            MetadataKey::Timestamp => match self.field.data_type() {
                _ if record.timestamp_ms == -1 => None,
                DataType::Timestamp(unit, _) => of_ms(record.timestamp_ms, *unit),
                _ => Some(record.timestamp_ms),
            },
        };
        match integer {
            Some(integer) => self.builder.push_integer(integer),
            None if self.field.is_nullable() => self.builder.push_null(),
            None => {
                return Err(format!(
                    "the record has none of what `{}` reads, which is NOT NULL",
                    self.field.name()
                ));
            }
        }
        Ok(())
    }
}
