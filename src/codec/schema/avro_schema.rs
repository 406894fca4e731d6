//! An Avro schema: its text and the form that records are read and written with.
//!
//! Knows no record. Invariant: a schema that exists can be used.

use super::{avro_references::joined, from_file, not_json, shortened};
use crate::{
    error::{Error, Result},
    registry::{Schema, SchemaKind},
};
use serde_json::Value;
use std::{fmt, path::Path, sync::Arc};

/// A schema in Avro, from its text or a file.
///
/// ```
/// use tidegate::codec::AvroSchema;
/// let schema = AvroSchema::parse(r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}"#)?;
/// assert_eq!(schema.name(), "shop.Order");
/// let wrong = AvroSchema::parse("{\"type\":\n \"record\" \"name\"}").unwrap_err();
/// assert!(wrong.to_string().contains("2:11: not JSON"), "{wrong}");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct AvroSchema {
    of: Arc<Parts>,
}

struct Parts {
    name: String,
    registered: Schema,
    parsed: serde_avro_fast::Schema,
}

impl AvroSchema {
    /// A schema from its text.
    ///
    /// # Errors
    /// [`Error::Config`] with the place in the text, or with what is wrong with the schema.
    pub fn parse(text: &str) -> Result<AvroSchema> {
        Self::of(&Schema::new(SchemaKind::Avro, text))
            .map_err(|why| Error::Config(format!("Avro schema: {why}")))
    }

    /// A schema from a file.
    ///
    /// ```
    /// use tidegate::codec::AvroSchema;
    /// let dir = tempfile::tempdir().unwrap();
    /// let file = dir.path().join("level.avsc");
    /// std::fs::write(&file, "\"double\"").unwrap();
    /// assert_eq!(AvroSchema::from_file(&file)?.name(), "double");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it cannot be read; as [`parse`](Self::parse), with the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<AvroSchema> {
        from_file(path.as_ref(), |text| Self::of(&Schema::new(SchemaKind::Avro, text)))
    }

    /// The full name of the record (or other type) that it describes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.of.name
    }

    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn of(schema: &Schema) -> Result<AvroSchema, String> {
        if schema.kind() != SchemaKind::Avro {
            return Err(format!("it is a schema of the kind {}, not one in Avro", schema.kind()));
        }
        let whole = joined(schema.text(), schema.parts())?;
        let json: Value = serde_json::from_str(&whole).map_err(|e| not_json(&e))?;
        let parsed = whole.parse().map_err(|e| shortened(&format!("not a valid schema: {e}")))?;
        let parts = Parts { name: name_of(&json), registered: schema.clone(), parsed };
        Ok(AvroSchema { of: Arc::new(parts) })
    }

    /// As a registry keeps it.
    pub(super) fn registered(&self) -> &Schema {
        &self.of.registered
    }

    pub(super) fn parsed(&self) -> &serde_avro_fast::Schema {
        &self.of.parsed
    }

    /// Its types, as a graph.
    ///
    /// # Errors
    /// None: it was parsed before.
    #[cfg(feature = "sql")]
    pub(crate) fn nodes(&self) -> Result<serde_avro_fast::schema::SchemaMut, String> {
        self.of.parsed.json().parse().map_err(|e| shortened(&format!("not a valid schema: {e}")))
    }

    /// Whether it describes a record.
    #[cfg(feature = "sql")]
    pub(crate) fn is_record(&self) -> bool {
        let schema: Option<Value> = serde_json::from_str(self.of.parsed.json()).ok();
        schema.is_some_and(|schema| schema.get("type").and_then(Value::as_str) == Some("record"))
    }
}

fn name_of(schema: &Value) -> String {
    let text = |field: &str| schema.get(field).and_then(Value::as_str);
    match (schema.as_str(), text("name"), text("namespace")) {
        (Some(primitive), ..) => primitive.to_owned(),
        (_, Some(name), Some(namespace)) if !name.contains('.') && !namespace.is_empty() => {
            format!("{namespace}.{name}")
        }
        (_, Some(name), _) => name.to_owned(),
        _ => text("type").unwrap_or("union").to_owned(),
    }
}

impl fmt::Debug for AvroSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AvroSchema({})", self.name())
    }
}
