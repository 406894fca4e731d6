//! The words of a registry: ids, subjects, schemas, references.
//!
//! Knows no server. Invariant: a subject is escaped wherever it becomes part of a path.

use std::fmt;

/// The number under which a registry keeps a schema: the same in all subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a record names its schema by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaKey {
    /// The number that is before the value, or in a header.
    Id(SchemaId),
    /// The globally unique id that newer writers put into a header.
    Guid([u8; 16]),
}

impl From<SchemaId> for SchemaKey {
    fn from(id: SchemaId) -> Self {
        SchemaKey::Id(id)
    }
}

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaKey::Id(id) => write!(f, "{id}"),
            SchemaKey::Guid(bytes) => bytes.iter().enumerate().try_for_each(|(index, byte)| {
                let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(f, "{dash}{byte:02x}")
            }),
        }
    }
}

/// A name under which a registry keeps the versions of one schema.
///
/// ```
/// use tidegate::registry::Subject;
/// assert_eq!(Subject::new("orders-value").to_string(), "orders-value");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

impl Subject {
    /// The subject of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Subject(name.into())
    }

    /// As a part of a path.
    pub(super) fn escaped(&self) -> String {
        let mut out = String::new();
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
        out
    }
}

fn hex_digit(half: u8) -> char {
    char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which part of a record a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// How the subject of a schema follows from the topic and the full name of the record, as writers in Java know it.
///
/// ```
/// use tidegate::registry::{RecordPart::{Key, Value}, SubjectStrategy};
/// let subject = |strategy: SubjectStrategy, part| strategy.subject("orders", part, "shop.Order").to_string();
/// assert_eq!(subject(SubjectStrategy::TopicName, Value), "orders-value");
/// assert_eq!(subject(SubjectStrategy::TopicName, Key), "orders-key");
/// assert_eq!(subject(SubjectStrategy::RecordName, Value), "shop.Order");
/// assert_eq!(subject(SubjectStrategy::TopicRecordName, Value), "orders-shop.Order");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubjectStrategy {
    /// `TOPIC-value` and `TOPIC-key`: one schema per topic.
    #[default]
    TopicName,
    /// The full name of the record: one schema, whatever topics it is in.
    RecordName,
    /// `TOPIC-RECORD`: several kinds of records in one topic.
    TopicRecordName,
}

impl SubjectStrategy {
    /// The subject of a record of this full name in a topic.
    #[must_use]
    pub fn subject(self, topic: &str, part: RecordPart, record: &str) -> Subject {
        let part = match part {
            RecordPart::Key => "key",
            RecordPart::Value => "value",
        };
        Subject(match self {
            SubjectStrategy::TopicName => format!("{topic}-{part}"),
            SubjectStrategy::RecordName => record.to_owned(),
            SubjectStrategy::TopicRecordName => format!("{topic}-{record}"),
        })
    }
}

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Json => "JSON",
            SchemaKind::Protobuf => "PROTOBUF",
        })
    }
}

/// Another schema that a schema uses, by the name that it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name: of a type in Avro, of a `$ref` in JSON Schema, of an imported file in Protobuf.
    pub name: String,
    /// Its subject.
    pub subject: Subject,
    /// Its version in the subject, from 1.
    pub version: u32,
}

/// The text of a schema, and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    kind: SchemaKind,
    text: String,
    references: Vec<Reference>,
    parts: Vec<(String, String)>,
}

impl Schema {
    /// A schema from its text, which is not looked at here.
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> Self {
        Schema { kind, text: text.into(), references: vec![], parts: vec![] }
    }

    /// The same, with references to other schemas of the registry.
    ///
    /// ```
    /// use tidegate::registry::{Reference, Schema, SchemaKind, Subject};
    /// let order = Reference { name: "shop.Order".into(), subject: Subject::new("orders-value"), version: 1 };
    /// let cart = r#"{"type":"record","name":"Cart","fields":[{"name":"first","type":"shop.Order"}]}"#;
    /// let schema = Schema::new(SchemaKind::Avro, cart).with_references([order]);
    /// assert_eq!(schema.references().len(), 1);
    /// ```
    pub fn with_references(mut self, references: impl IntoIterator<Item = Reference>) -> Self {
        self.references.extend(references);
        self
    }

    /// Its language.
    #[must_use]
    pub fn kind(&self) -> SchemaKind {
        self.kind
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it refers to directly.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Names and texts of all schemas that it refers to, directly or not; each comes after those that it refers to itself.
    #[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
    pub(crate) fn parts(&self) -> &[(String, String)] {
        &self.parts
    }

    pub(super) fn set_parts(&mut self, parts: Vec<(String, String)>) {
        self.parts = parts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_safe_in_paths_and_guids_have_their_usual_form() {
        assert_eq!(Subject::new("a/b c?x#ü.V-1").escaped(), "a%2Fb%20c%3Fx%23%C3%BC.V-1");
        let guid = SchemaKey::Guid(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        assert_eq!(guid.to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
