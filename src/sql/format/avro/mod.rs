//! Avro to columns and back: with schemas from a registry, or with the one that the columns have.
//!
//! Owns how a record's schema is found, and what is registered at the start. Knows no topic and no option. Invariants: a record is read with the
//! schema that it was written with, and fields go into columns by their names; a bad record costs only itself; nothing is registered but at
//! the start.
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
pub use write::{AvroEncoder, AvroWriter};

use super::fault::Fault;
use crate::{
    codec::{AvroSchema, Found, Lookup, PREFIX_LEN, prefix},
    error::{Error, Result},
    record::{RawChunk, RawRecord},
    registry::{RecordPart, Registry, Schema, SchemaKey, SchemaKind, Subject, denies},
    sql::rows::ColumnBuilder,
};
use arrow::{array::ArrayRef, datatypes::Field};
use std::sync::{Arc, OnceLock};

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

/// A schema that is registered, or looked up, at the start, and what stands before each value then.
#[derive(Clone)]
pub struct Registration {
    of: Arc<Registering>,
}

struct Registering {
    registry: Registry,
    subject: Subject,
    schema: ToRegister,
    /// Otherwise it must be there.
    registers: bool,
    prefix: OnceLock<[u8; PREFIX_LEN]>,
}

enum ToRegister {
    /// As the user wrote it.
    Given(String),
    /// That of the columns. It is called like the newest one of the subject, so that it may follow it, or else so.
    OfColumns(Vec<Field>, SchemaOptions, String),
}

impl Registration {
    /// Of the schema of some columns under a subject, or of another one that they fit; `name` is what its record is called if nothing says
    /// otherwise.
    #[must_use]
    pub fn new(
        registry: &Registry,
        subject: Subject,
        registers: bool,
        schema: Option<&str>,
        of_columns: (Vec<Field>, SchemaOptions, &str),
    ) -> Self {
        let (columns, options, name) = of_columns;
        let schema = match schema {
            Some(text) => ToRegister::Given(text.to_owned()),
            None => ToRegister::OfColumns(columns, options, record_name(name)),
        };
        let registry = registry.clone();
        Registration {
            of: Arc::new(Registering { registry, subject, schema, registers, prefix: OnceLock::new() }),
        }
    }

    /// Registers the schema, or looks it up, unless that was done.
    ///
    /// # Errors
    /// Those of [`Registry::register`] and [`Registry::id_of`].
    pub fn make(&self) -> Result {
        let Registering { registry, subject, schema, registers, prefix: known } = &*self.of;
        if known.get().is_some() {
            return Ok(());
        }
        let text = match schema {
            ToRegister::Given(text) => text.clone(),
            ToRegister::OfColumns(columns, options, name) => {
                let name = name_of_newest(registry, subject)?.unwrap_or_else(|| name.clone());
                schema_of(&name, columns, *options).map_err(Error::Config)?
            }
        };
        let schema = Schema::new(SchemaKind::Avro, text);
        let id = if *registers {
            registry.register(subject, &schema)?
        } else {
            registry.id_of(subject, &schema)?
        };
        tracing::info!(%subject, %id, "the schema of what is written is in the registry");
        let _ = known.set(prefix(id));
        Ok(())
    }

    /// What stands before a value.
    ///
    /// # Errors
    /// If it was not registered.
    pub fn prefix(&self) -> Result<&[u8]> {
        let missing =
            || Error::Codec(format!("the schema of subject `{}` was not registered", self.of.subject));
        self.of.prefix.get().map(|prefix| &prefix[..]).ok_or_else(missing)
    }
}

/// What the newest schema of a subject calls its record.
fn name_of_newest(registry: &Registry, subject: &Subject) -> Result<Option<String>> {
    match registry.latest(subject) {
        Ok((_, schema)) => {
            Ok(AvroSchema::of(&schema).ok().filter(AvroSchema::is_record).map(|of| of.name().to_owned()))
        }
        Err(e) if denies(&e) => Ok(None),
        Err(e) => Err(e),
    }
}
