//! Protobuf to columns and back: with message types from a registry, or with one that is given.
//!
//! Owns how a record's message type is found. Knows no topic and no option. Invariants: a record is read with the message type that it was
//! written with, and fields go into columns by their names; a bad record costs only itself.
//!
//! - A field that no column asks for is passed over; a column that the message type does not have is NULL, or the record is bad if the
//!   column is `NOT NULL`. So it is with a field that has presence and is not set; one without presence is then its default.
//! - Integers go into wider ones, and into narrower ones if they fit. Decimals are exact. Digits of times beyond the column's unit are cut off.

mod bytes;
mod columns;
#[cfg(test)]
mod measure;
mod plan;
mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

pub use columns::message_of;
pub use write::{ProtobufEncoder, ProtobufWriter};

use super::fault::Fault;
use crate::{
    codec::{Lookup, ProtobufFile, ProtobufSchema},
    error::Result,
    record::{RawChunk, RawRecord},
    registry::{RecordPart, Registry, SchemaKey},
    sql::rows::ColumnBuilder,
};
use arrow::{array::ArrayRef, datatypes::Field};
use plan::{Direction, MessagePlan};
use std::sync::Arc;

/// How messages become rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtobufOptions {
    /// Whether fields with presence that are not set have their default, and not NULL.
    pub reads_defaults: bool,
}

/// Reads values in Protobuf into columns.
pub struct ProtobufReader {
    schemas: Schemas,
    columns: Arc<[Field]>,
    direction: Direction,
}

#[derive(Clone)]
enum Schemas {
    /// Each value names its file and its message, which must have this name.
    Registered(Arc<Lookup<ProtobufFile>>, Option<Arc<str>>),
    /// All values are of this message.
    One(Arc<MessagePlan>),
}

impl ProtobufReader {
    /// Reads values that are all of this message.
    ///
    /// ```
    /// use arrow::datatypes::{DataType, Field};
    /// use tidegate::{codec::ProtobufSchema, sql::format::{ProtobufOptions, ProtobufReader}};
    /// let text = r#"syntax = "proto3"; message Sale { string user = 1; optional int64 price = 2; }"#;
    /// let schema = ProtobufSchema::parse(text, "Sale")?;
    /// let fields = vec![Field::new("user", DataType::Utf8, false), Field::new("price", DataType::Int64, true)];
    /// let reader = ProtobufReader::of_message(&schema, fields, ProtobufOptions::default()).unwrap();
    /// let mut rows = reader.rows(2)?;
    /// rows.read_value(b"\x0a\x03ada\x10\x0a").unwrap();
    /// let reason = rows.read_value(b"\x0a\x09bob").unwrap_err();
    /// assert_eq!(reason, "field `user` at byte 2: the record ends: 9 more bytes are expected, 3 are there");
    /// assert_eq!(rows.finish()?[0].len(), 1);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// Why the message cannot give one of the columns.
    pub fn of_message(
        schema: &ProtobufSchema,
        columns: Vec<Field>,
        options: ProtobufOptions,
    ) -> Result<Self, String> {
        let direction = Direction::Read { has_defaults: options.reads_defaults };
        let plan = plan::message(schema.descriptor(), &columns.iter().collect::<Vec<_>>(), direction)?;
        Ok(ProtobufReader { schemas: Schemas::One(Arc::new(plan)), columns: columns.into(), direction })
    }

    /// Reads values that name their file and their message in a registry; a value that is not of the message of this name is bad.
    #[must_use]
    pub fn registered(
        registry: &Registry,
        part: RecordPart,
        message: Option<&str>,
        columns: Vec<Field>,
        options: ProtobufOptions,
    ) -> Self {
        let lookup = Arc::new(Lookup::new(registry, part, ProtobufFile::of));
        ProtobufReader {
            schemas: Schemas::Registered(lookup, message.map(Into::into)),
            columns: columns.into(),
            direction: Direction::Read { has_defaults: options.reads_defaults },
        }
    }

    /// Gets the schemas that these records need.
    ///
    /// # Errors
    /// If one cannot be had now.
    pub fn prepare(&self, records: &RawChunk) -> Result {
        match &self.schemas {
            Schemas::Registered(lookup, _) => lookup.prepare(records),
            Schemas::One(_) => Ok(()),
        }
    }

    /// Whether there is anything to get.
    #[must_use]
    pub fn prepares(&self) -> bool {
        matches!(self.schemas, Schemas::Registered(..))
    }

    /// Empty columns with room for `rows` rows.
    ///
    /// # Errors
    /// None that was not told before.
    pub fn rows(&self, rows: usize) -> Result<ProtobufRows> {
        let column = |field: &Field| ColumnBuilder::new(field.data_type(), rows);
        Ok(ProtobufRows {
            schemas: self.schemas.clone(),
            fields: self.columns.clone(),
            direction: self.direction,
            columns: self.columns.iter().map(column).collect::<Result<_>>()?,
            rows: 0,
            last: None,
        })
    }
}

/// Columns that are filled record by record.
pub struct ProtobufRows {
    schemas: Schemas,
    fields: Arc<[Field]>,
    direction: Direction,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    last: Option<Last>,
}

/// What the last record was.
struct Last {
    key: SchemaKey,
    indexes: Vec<u8>,
    plan: Result<MessagePlan, String>,
}

impl ProtobufRows {
    /// Appends the row that a key or value is.
    ///
    /// # Errors
    /// Why it is none; nothing is appended then.
    #[inline]
    pub fn read(&mut self, record: &RawRecord<'_>, part: RecordPart) -> Result<(), String> {
        let bytes = match part {
            RecordPart::Key => record.key,
            RecordPart::Value => record.value,
        };
        let read = match &self.schemas {
            Schemas::One(plan) => {
                let bytes = bytes.ok_or("it is null, which is no message of Protobuf")?;
                read::message(plan, bytes, 0, &mut self.columns)
            }
            Schemas::Registered(lookup, name) => {
                let framed = lookup.split_message(record)?;
                let is_last = |last: &Last| last.key == framed.key && last.indexes == framed.indexes;
                if !self.last.as_ref().is_some_and(is_last) {
                    let file = lookup.get(framed.key).map_err(|reason| reason.to_string())?;
                    let columns: Vec<&Field> = self.fields.iter().collect();
                    let plan = file.message_called(framed.indexes, name.as_deref());
                    let plan = plan.and_then(|message| plan::message(&message, &columns, self.direction));
                    self.last = Some(Last { key: framed.key, indexes: framed.indexes.to_vec(), plan });
                }
                let at = bytes.map_or(0, |bytes| bytes.len() - framed.body.len());
                match &self.last {
                    Some(Last { plan: Ok(plan), .. }) => {
                        read::message(plan, framed.body, at, &mut self.columns)
                    }
                    Some(Last { plan: Err(why), .. }) => {
                        return Err(format!("schema {} of the registry: {why}", framed.key));
                    }
                    None => return Err(format!("schema {} was not looked up", framed.key)),
                }
            }
        };
        self.taken(read)
    }

    /// Appends the row that a value without an id is.
    ///
    /// # Errors
    /// Why it is none; nothing is appended then.
    pub fn read_value(&mut self, value: &[u8]) -> Result<(), String> {
        match &self.schemas {
            Schemas::One(plan) => {
                let read = read::message(plan, value, 0, &mut self.columns);
                self.taken(read)
            }
            Schemas::Registered(..) => Err("the value has no id".into()),
        }
    }

    #[inline]
    fn taken(&mut self, read: Result<(), Fault>) -> Result<(), String> {
        match read {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(fault) => {
                self.truncate(self.rows);
                Err(match &self.last {
                    Some(last) => format!("schema {}: {}", last.key, fault.into_reason()),
                    None => fault.into_reason(),
                })
            }
        }
    }

    /// Appends a row of NULLs, also where the columns are `NOT NULL`.
    pub fn push_null(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::push_null);
        self.rows += 1;
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// The columns of all rows; there are none then.
    ///
    /// # Errors
    /// If they do not fit their types, which is a bug.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }
}
