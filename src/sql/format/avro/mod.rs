//! Avro to columns and back: with schemas from a registry, or with the one that the columns have.
//!
//! Owns how a record's schema is found. Knows no topic and no option. Invariants: a record is read with the schema that it was written with, and
//! fields go into columns by their names; a bad record costs only itself.
//!
//! - A field that no column asks for is passed over; a column that the record's schema does not have is NULL, or the record is bad if the
//!   column is `NOT NULL`.
//! - Numbers go into wider ones, as Avro says, and into narrower integers if they fit. Decimals are exact. Timestamps have any unit; digits
//!   beyond that of the column are cut off.
//! - A value of a union is read if its branch can be in the column.

mod bytes;
mod columns;
mod plan;
mod read;
#[cfg(test)]
mod tests;
mod write;

use columns::nodes_of;
pub use columns::{SchemaOptions, record_name, schema_of};
pub use read::ReadPlan;
pub(super) use read::rescaled;
pub use write::{AvroEncoder, AvroWriter};

use super::fault::Fault;
use crate::{
    codec::{AvroSchema, Found, Lookup},
    error::Result,
    record::{RawChunk, RawRecord},
    registry::{RecordPart, Registry, Schema, SchemaKey},
    sql::rows::ColumnBuilder,
};
use arrow::{array::ArrayRef, datatypes::Field};
use std::sync::Arc;

/// Reads values in Avro into columns.
pub struct AvroReader {
    schemas: Schemas,
    columns: Arc<[Field]>,
}

#[derive(Clone)]
enum Schemas {
    /// Each value names its schema.
    Registered(Arc<Lookup<ReadPlan>>),
    /// All values have this one.
    Columns(Arc<ReadPlan>),
}

impl AvroReader {
    /// Reads values that have the schema of these columns.
    ///
    /// ```
    /// use arrow::datatypes::{DataType, Field};
    /// use tidegate::sql::format::{AvroReader, SchemaOptions};
    /// let fields = vec![Field::new("user", DataType::Utf8, false), Field::new("price", DataType::Int64, true)];
    /// let reader = AvroReader::of_columns(fields, SchemaOptions { has_local_times: false }).unwrap();
    /// let mut rows = reader.rows(2).unwrap();
    /// rows.read_value(b"\x06ada\x02\x14").unwrap();
    /// let reason = rows.read_value(b"\x06bob\x04").unwrap_err();
    /// assert_eq!(reason, "field `price` at byte 4: there is no branch 2 among 2");
    /// assert_eq!(rows.finish().unwrap()[0].len(), 1);
    /// ```
    ///
    /// # Errors
    /// Why Avro has no form for one of them.
    pub fn of_columns(columns: Vec<Field>, options: SchemaOptions) -> Result<Self, String> {
        let plan = ReadPlan::new(nodes_of(None, &columns, options)?, &columns)?;
        Ok(AvroReader { schemas: Schemas::Columns(Arc::new(plan)), columns: columns.into() })
    }

    /// Reads values that name their schemas in a registry.
    ///
    /// # Errors
    /// Why Avro has no form for one of the columns.
    pub fn registered(registry: &Registry, part: RecordPart, columns: Vec<Field>) -> Result<Self, String> {
        // What no schema can give is told before a record comes.
        nodes_of(None, &columns, SchemaOptions { has_local_times: false })?;
        let columns: Arc<[Field]> = columns.into();
        let of_schema = columns.clone();
        let plan = move |schema: &Schema| ReadPlan::new(AvroSchema::of(schema)?.nodes()?, &*of_schema);
        Ok(AvroReader { schemas: Schemas::Registered(Arc::new(Lookup::new(registry, part, plan))), columns })
    }

    /// Gets the schemas that these records need.
    ///
    /// # Errors
    /// If one cannot be had now.
    pub fn prepare(&self, records: &RawChunk) -> Result {
        match &self.schemas {
            Schemas::Registered(lookup) => lookup.prepare(records),
            Schemas::Columns(_) => Ok(()),
        }
    }

    /// Whether there is anything to get.
    #[must_use]
    pub fn prepares(&self) -> bool {
        matches!(self.schemas, Schemas::Registered(_))
    }

    /// Empty columns with room for `rows` rows.
    ///
    /// # Errors
    /// None that was not told before.
    pub fn rows(&self, rows: usize) -> Result<AvroRows> {
        let column = |field: &Field| ColumnBuilder::new(field.data_type(), rows);
        let columns = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(AvroRows { schemas: self.schemas.clone(), columns, rows: 0, last: None })
    }
}

/// Columns that are filled record by record.
pub struct AvroRows {
    schemas: Schemas,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    /// The schema of the last record.
    last: Option<(SchemaKey, Found<ReadPlan>)>,
}

impl AvroRows {
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
            Schemas::Columns(plan) => {
                let bytes = bytes.ok_or("it is null, which is no record in Avro")?;
                plan.read(bytes, 0, &mut self.columns)
            }
            Schemas::Registered(lookup) => {
                let (key, body, prefix_len) = lookup.split(record)?;
                if self.last.as_ref().is_none_or(|(of, _)| *of != key) {
                    self.last = Some((key, lookup.get(key)));
                }
                match &self.last {
                    Some((_, Ok(plan))) => {
                        let whole = if prefix_len == 0 { body } else { bytes.unwrap_or(body) };
                        plan.read(whole, prefix_len, &mut self.columns)
                    }
                    Some((_, Err(reason))) => return Err(reason.to_string()),
                    None => return Err(format!("schema {key} was not looked up")),
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
            Schemas::Columns(plan) => {
                let read = plan.read(value, 0, &mut self.columns);
                self.taken(read)
            }
            Schemas::Registered(_) => Err("the value has no id".into()),
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
                    Some((key, _)) => format!("schema {key}: {}", fault.into_reason()),
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
