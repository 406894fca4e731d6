//! What is registered at the start, before a row is written.
//!
//! Owns what stands before each value. Knows no record. Invariant: nothing is registered but at the start, and nothing twice.

use super::avro::{SchemaOptions, record_name, schema_of};
use crate::{
    codec::{AvroSchema, ProtobufSchema, prefix},
    error::{Error, Result},
    registry::{Registry, Schema, SchemaId, SchemaKind, Subject, denies},
};
use arrow::datatypes::Field;
use std::sync::{Arc, OnceLock};

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
    prefix: OnceLock<Vec<u8>>,
}

/// What is registered.
pub enum ToRegister {
    /// Avro, as the user wrote it.
    Avro(String),
    /// That of the columns, in Avro. It is called like the newest one of the subject, so that it may follow it, or else so.
    AvroOfColumns(Vec<Field>, SchemaOptions, String),
    /// The file of a message, and those that it imports. Which message it is stands before each value too.
    Protobuf(ProtobufSchema),
}

impl Registration {
    /// Of a schema under a subject; if nobody `registers`, it must be there.
    #[must_use]
    pub fn new(registry: &Registry, subject: Subject, registers: bool, schema: ToRegister) -> Self {
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
        let (id, indexes) = match schema {
            ToRegister::Avro(text) => (self.id(text.clone())?, vec![]),
            ToRegister::AvroOfColumns(columns, options, name) => {
                let name = name_of_newest(registry, subject)?.unwrap_or_else(|| record_name(name));
                (self.id(schema_of(&name, columns, *options).map_err(Error::Config)?)?, vec![])
            }
            ToRegister::Protobuf(schema) => {
                (schema.register(registry, subject, *registers)?, schema.indexes())
            }
        };
        tracing::info!(%subject, %id, "the schema of what is written is in the registry");
        let _ = known.set([&prefix(id)[..], &indexes].concat());
        Ok(())
    }

    /// Whether the schema could be registered, or is there; tells what was found, and registers nothing.
    ///
    /// # Errors
    /// [`Error::Config`] if the registry would refuse it; those of [`Registry::latest`] and [`Registry::id_of`].
    pub fn look(&self) -> Result<String> {
        let Registering { registry, subject, schema, registers, .. } = &*self.of;
        let avro = match schema {
            ToRegister::Avro(text) => Some(text.clone()),
            ToRegister::AvroOfColumns(columns, options, name) => {
                let name = name_of_newest(registry, subject)?.unwrap_or_else(|| record_name(name));
                Some(schema_of(&name, columns, *options).map_err(Error::Config)?)
            }
            ToRegister::Protobuf(_) => None,
        };
        let avro = avro.map(|text| Schema::new(SchemaKind::Avro, text));
        if !registers {
            let id = match (schema, &avro) {
                (ToRegister::Protobuf(schema), _) => schema.register(registry, subject, false)?,
                (_, Some(avro)) => registry.id_of(subject, avro)?,
                (_, None) => return Ok(String::new()),
            };
            return Ok(format!("subject `{subject}`: what is written has schema {id}"));
        }
        let newest = match registry.latest(subject) {
            Ok((id, _)) => id,
            Err(e) if denies(&e) => {
                return Ok(format!("subject `{subject}` has no schema yet: the start registers one"));
            }
            Err(e) => return Err(e),
        };
        match avro.map(|avro| registry.check(subject, &avro)).transpose()? {
            Some(Err(why)) => Err(Error::Config(format!(
                "subject `{subject}`: the schema of what is written may not follow schema {newest}: {why}\n  next: change the columns so that it may (a new one needs to be nullable), or the level of compatibility of the subject"
            ))),
            Some(Ok(())) => {
                Ok(format!("subject `{subject}`: the schema of what is written may follow schema {newest}"))
            }
            None => Ok(format!("subject `{subject}` is there, with schema {newest}")),
        }
    }

    /// The id of a schema in Avro.
    fn id(&self, text: String) -> Result<SchemaId> {
        let Registering { registry, subject, registers, .. } = &*self.of;
        let schema = Schema::new(SchemaKind::Avro, text);
        if *registers { registry.register(subject, &schema) } else { registry.id_of(subject, &schema) }
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
