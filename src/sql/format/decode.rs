//! Records to rows: values, keys, and what the log says of them.
//!
//! Owns the order of columns, and which rows have a weight. Knows no format's bytes. Invariants: columns are in declared order; a record of a table
//! that only grows is one row or one bad record; one that says how rows change is any number of rows, or one bad record.

use super::{
    debezium::{DebeziumReader, DebeziumRows},
    reader::{RecordFormat, RowReader, Rows},
    time::of_ms,
};
use crate::{
    codec::BadRecord,
    error::Result,
    record::{Chunk, RawChunk, RawRecord, Stamps, StampsBuilder},
    registry::RecordPart,
    source::DecodeChunk,
    sql::{
        Delta, MetadataKey,
        rows::{ColumnBuilder, Store, map_parts},
    },
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

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

/// What values say of the rows of a table.
#[derive(Clone)]
pub enum Changes {
    /// Each is a row that is added.
    Additions(RecordFormat),
    /// Each is the row that its key has from now on; one that is null says that there is none. Columns that are not in the key are NULL in a row
    /// that says so, whatever they are declared.
    Upserts(RecordFormat),
    /// Each says of a row that it came, changed or went, in Debezium's form. If rows are known by the columns of a key, as with
    /// [`Upserts`](Changes::Upserts); otherwise as they are.
    Debezium(Option<Vec<String>>),
}

/// Decodes the records of a table.
pub struct RecordDecoder {
    schema: SchemaRef,
    columns: Vec<RecordColumn>,
    value: ValueReader,
    key: Option<RowReader>,
    has_weights: bool,
}

enum ValueReader {
    Additions(RowReader),
    Upserts(RowReader),
    Debezium(DebeziumReader),
}

enum ValueRows {
    Additions(Rows),
    Upserts(Rows),
    Debezium(DebeziumRows),
}

impl RecordDecoder {
    /// Reads these columns. A key is read only if there is a column for it.
    ///
    /// # Errors
    /// Why a format cannot give a column.
    pub fn new(columns: Vec<RecordColumn>, value: Changes, key: RecordFormat) -> Result<Self, String> {
        let has_weights = !matches!(value, Changes::Additions(_));
        let field = |column: &RecordColumn| {
            let field = column.field().clone();
            let is_nullable = field.is_nullable() || has_weights && !matches!(column, RecordColumn::Key(_));
            field.with_nullable(is_nullable)
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let (mut of_value, mut of_key) = (vec![], vec![]);
        for column in &columns {
            match column {
                RecordColumn::Value(field) => of_value.push(field.clone()),
                RecordColumn::Key(field) => of_key.push(field.clone()),
                RecordColumn::Metadata(key, field) => check(*key, field)?,
            }
        }
        let key = if of_key.is_empty() { None } else { Some(RowReader::new(key, of_key)?) };
        let value = match value {
            Changes::Additions(format) => ValueReader::Additions(RowReader::new(format, of_value)?),
            Changes::Upserts(format) => ValueReader::Upserts(RowReader::new(format, of_value)?),
            Changes::Debezium(keys) => ValueReader::Debezium(DebeziumReader::new(of_value, keys.as_deref())?),
        };
        Ok(RecordDecoder { schema, columns, value, key, has_weights })
    }

    /// The columns of the rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows with the timestamps of their records where a record may be several, and the records that are none.
    fn rows(&self, records: &RawChunk) -> Result<(Delta, Option<Stamps>, Vec<BadRecord>)> {
        let mut value = self.value.rows(records.len())?;
        let mut key = self.key.as_ref().map(|key| key.rows(records.len())).transpose()?;
        let metadata = self.columns.iter().filter_map(|column| match column {
            RecordColumn::Metadata(key, field) => Some(MetadataRows::new(*key, field, records)),
            _ => None,
        });
        let mut metadata = metadata.collect::<Result<Vec<_>>>()?;
        // Of each record that was read: its number, its timestamp, and whether it says that there is a row.
        let (mut read_records, mut bad): (Vec<Read>, _) = (vec![], vec![]);
        for (index, record) in records.iter().enumerate() {
            let rows = read_records.len();
            match read(&record, &mut value, key.as_mut(), &mut metadata) {
                Ok(Some(weight)) => read_records.push(Read { index, ms: record.timestamp_ms, weight }),
                Ok(None) => {}
                Err(reason) => {
                    value.truncate(rows);
                    key.iter_mut().for_each(|key| key.truncate(rows));
                    metadata.iter_mut().for_each(|column| column.builder.truncate(rows));
                    bad.push(BadRecord { index, reason });
                }
            }
        }
        let changes = value.finish(&read_records)?;
        let of_records = |column: ArrayRef| match &changes.records {
            None => Ok(column),
            Some(records) => take(&column, records, None)
                .map_err(|e| crate::Error::Codec(format!("an operation on columns failed: {e}"))),
        };
        let mut of_value = changes.columns.into_iter();
        let mut of_key = key.map(|mut key| key.finish()).transpose()?.unwrap_or_default().into_iter();
        let mut of_log = metadata.iter_mut();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.extend(match column {
                RecordColumn::Value(_) => of_value.next(),
                RecordColumn::Key(_) => of_key.next().map(of_records).transpose()?,
                RecordColumn::Metadata(..) => {
                    let column = of_log.next().map(|column| column.builder.finish()).transpose()?;
                    column.map(of_records).transpose()?
                }
            });
        }
        bad.extend(changes.bad);
        bad.sort_by_key(|bad| bad.index);
        let options = RecordBatchOptions::new().with_row_count(Some(changes.rows));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let rows = rows.map_err(|e| crate::Error::Codec(format!("rows do not fit their columns: {e}")))?;
        let stamp = |record: u32| read_records[record as usize].ms;
        let stamps = changes.records.as_ref().map(|records| {
            records.values().iter().map(|record| stamp(*record)).collect::<StampsBuilder>().build()
        });
        Ok((Delta { rows, weights: changes.weights }, stamps, bad))
    }
}

/// A record that was read.
struct Read {
    index: usize,
    ms: i64,
    weight: i64,
}

/// What the values of records have become.
struct ReadValues {
    columns: Vec<ArrayRef>,
    rows: usize,
    weights: Option<Int64Array>,
    /// For each row its record among those that were read; `None` = they are the rows.
    records: Option<UInt32Array>,
    bad: Vec<BadRecord>,
}

impl ValueReader {
    /// The reader of values that are rows.
    fn of_rows(&self) -> Option<&RowReader> {
        match self {
            ValueReader::Additions(reader) | ValueReader::Upserts(reader) => Some(reader),
            ValueReader::Debezium(_) => None,
        }
    }

    fn rows(&self, records: usize) -> Result<ValueRows> {
        Ok(match self {
            ValueReader::Additions(reader) => ValueRows::Additions(reader.rows(records)?),
            ValueReader::Upserts(reader) => ValueRows::Upserts(reader.rows(records)?),
            ValueReader::Debezium(reader) => ValueRows::Debezium(reader.rows(records)?),
        })
    }
}

impl ValueRows {
    /// Takes a value; the weight of its row, or `None` for a record that says nothing.
    #[inline]
    fn read(&mut self, record: &RawRecord<'_>) -> Result<Option<i64>, String> {
        match (self, record.value) {
            (ValueRows::Additions(rows), _) | (ValueRows::Upserts(rows), Some(_)) => {
                rows.read_part(record, RecordPart::Value).map(|()| Some(1))
            }
            (ValueRows::Upserts(rows), None) => {
                rows.push_null();
                Ok(Some(-1))
            }
            (ValueRows::Debezium(rows), Some(value)) => rows.read(value).map(|()| Some(1)),
            // It follows the record that says that a row went, so that compaction may remove both.
            (ValueRows::Debezium(_), None) => Ok(None),
        }
    }

    fn truncate(&mut self, records: usize) {
        match self {
            ValueRows::Additions(rows) | ValueRows::Upserts(rows) => rows.truncate(records),
            ValueRows::Debezium(rows) => rows.truncate(records),
        }
    }

    fn finish(&mut self, read: &[Read]) -> Result<ReadValues> {
        let rows = read.len();
        Ok(match self {
            ValueRows::Additions(values) => {
                ReadValues { columns: values.finish()?, rows, weights: None, records: None, bad: vec![] }
            }
            ValueRows::Upserts(values) => {
                let weights = Some(read.iter().map(|read| read.weight).collect());
                ReadValues { columns: values.finish()?, rows, weights, records: None, bad: vec![] }
            }
            ValueRows::Debezium(values) => {
                let changes = values.finish()?;
                let bad = changes.bad.into_iter().map(|(record, reason)| BadRecord {
                    index: read[record].index,
                    reason: format!("value: {reason}"),
                });
                ReadValues {
                    columns: changes.columns,
                    rows: changes.weights.len(),
                    weights: Some(changes.weights.into()),
                    bad: bad.collect(),
                    records: Some(changes.records),
                }
            }
        })
    }
}

impl DecodeChunk for RecordDecoder {
    fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
        match self.rows(records) {
            Ok((delta, None, bad)) => (delta.into_chunk(), bad),
            Ok((delta, Some(stamps), bad)) => (delta.into_chunk().stamped(stamps), bad),
            Err(e) => {
                // A bug, or more than 2 GiB: no record gets lost without a reason.
                let reason = e.to_string();
                let bad = (0..records.len()).map(|index| BadRecord { index, reason: reason.clone() });
                let weights = self.has_weights.then(|| Int64Array::from(Vec::<i64>::new()));
                let none = Delta { rows: RecordBatch::new_empty(self.schema.clone()), weights };
                (none.into_chunk(), bad.collect())
            }
        }
    }

    fn prepare(&self, records: &RawChunk) -> Result {
        let readers = self.value.of_rows().into_iter().chain(&self.key);
        readers.into_iter().try_for_each(|reader| reader.prepare(records))
    }

    fn prepares(&self) -> bool {
        self.value.of_rows().into_iter().chain(&self.key).any(RowReader::prepares)
    }
}

/// Takes a record: the weight of its row, or `None` if it says nothing.
#[inline]
fn read(
    record: &RawRecord<'_>,
    value: &mut ValueRows,
    key: Option<&mut Rows>,
    metadata: &mut [MetadataRows],
) -> Result<Option<i64>, String> {
    let Some(weight) = value.read(record).map_err(|reason| format!("value: {reason}"))? else {
        return Ok(None);
    };
    if let Some(key) = key {
        key.read_part(record, RecordPart::Key).map_err(|reason| format!("key: {reason}"))?;
    }
    metadata.iter_mut().try_for_each(|column| column.read(record))?;
    Ok(Some(weight))
}

/// Whether a column can be of that.
fn check(key: MetadataKey, field: &Field) -> Result<(), String> {
    let (types, what) = match (key, field.data_type()) {
        (MetadataKey::Topic, DataType::Utf8) => return Ok(()),
        (MetadataKey::Partition, DataType::Int32 | DataType::Int64) => return Ok(()),
        (MetadataKey::Offset, DataType::Int64) => return Ok(()),
        (MetadataKey::Timestamp, DataType::Timestamp(..) | DataType::Int64) => return Ok(()),
        (MetadataKey::Headers, DataType::Map(entries, _)) if is_headers(entries.data_type()) => return Ok(()),
        (MetadataKey::Headers, _) => ("MAP<STRING, BYTES>", "headers"),
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

/// Whether these are the entries of a map of byte strings.
pub(in crate::sql) fn is_headers(entries: &DataType) -> bool {
    matches!(map_parts(entries), Some((DataType::Utf8, DataType::Binary)))
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
            MetadataKey::Headers => return self.headers(record),
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

    /// The last value of each name, in the order of their first ones.
    fn headers(&mut self, record: &RawRecord<'_>) -> Result<(), String> {
        let told = |e: crate::Error| e.to_string();
        let mut headers: Vec<(&str, Option<&[u8]>)> = vec![];
        for (name, value) in record.headers.iter() {
            match headers.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => headers.push((name, value)),
            }
        }
        if let Store::Map(_, parts) = &mut self.builder.store {
            let [names, values] = &mut **parts;
            for (name, value) in headers {
                names.push_bytes(name.as_bytes()).map_err(told)?;
                match value {
                    Some(value) => values.push_bytes(value).map_err(told)?,
                    None => values.push_null(),
                }
            }
        }
        self.builder.end_cell().map_err(told)
    }
}
