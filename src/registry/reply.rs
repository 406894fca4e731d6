//! The bodies of requests and answers.
//!
//! Knows no server. Invariant: what an answer has besides is ignored.

use super::{
    http::Answer,
    names::{Reference, Schema, SchemaId, SchemaKind, Subject},
};
use crate::error::{Error, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<StoredReference>>,
}

#[derive(Deserialize)]
struct StoredReference {
    name: String,
    subject: String,
    version: u32,
}

impl Stored {
    /// # Errors
    /// [`Error::Codec`] if the language of the schema is not known.
    pub fn schema(self) -> Result<Schema> {
        let kind = match self.schema_type.as_deref() {
            None | Some("AVRO") => SchemaKind::Avro,
            Some("JSON") => SchemaKind::Json,
            Some("PROTOBUF") => SchemaKind::Protobuf,
            Some(other) => {
                return Err(Error::Codec(format!("a schema of the registry is of an unknown kind, {other}")));
            }
        };
        let references = self.references.unwrap_or_default().into_iter().map(|r| Reference {
            name: r.name,
            subject: Subject::new(r.subject),
            version: r.version,
        });
        Ok(Schema::new(kind, self.schema).with_references(references))
    }
}

#[derive(Deserialize)]
pub(super) struct Referenced {
    pub id: SchemaId,
    #[serde(flatten)]
    pub stored: Stored,
}

#[derive(Deserialize)]
pub(super) struct Registration {
    pub id: SchemaId,
    /// Not in every answer.
    #[cfg(feature = "protobuf")]
    pub version: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Compatibility {
    is_compatible: bool,
    #[serde(default)]
    messages: Vec<String>,
}

impl Compatibility {
    pub fn verdict(self) -> Result<(), String> {
        match self.is_compatible {
            true => Ok(()),
            false if self.messages.is_empty() => Err("the registry gives no reason".into()),
            false => Err(self.messages.join("; ")),
        }
    }
}

/// What a server says about a request that it refuses.
#[derive(Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub error_code: u32,
    #[serde(default)]
    pub message: String,
}

pub(super) fn body_of(schema: &Schema) -> String {
    let mut body = json!({ "schema": schema.text() });
    if schema.kind() != SchemaKind::Avro {
        body["schemaType"] = json!(schema.kind().to_string());
    }
    if !schema.references().is_empty() {
        let each = schema.references().iter();
        let each =
            each.map(|r| json!({ "name": r.name, "subject": r.subject.to_string(), "version": r.version }));
        body["references"] = each.collect();
    }
    body.to_string()
}

impl Answer {
    /// # Errors
    /// [`Error::Registry`] if the answer is none of Confluent's protocol.
    pub fn parsed<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).map_err(|e| Error::Registry {
            url: self.url.clone(),
            what: self.what.clone(),
            status: self.status,
            code: 0,
            message: format!("the answer is not that of a schema registry: {e}"),
            next: "check the URL: it ends where `/schemas` and `/subjects` begin (for Apicurio in `/apis/ccompat/v7`)".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_avro_unless_the_registry_says_otherwise() {
        let of = |text: &str| serde_json::from_str::<Stored>(text).unwrap().schema();
        assert_eq!(of(r#"{"schema":"\"int\"","more":1}"#).unwrap().kind(), SchemaKind::Avro);
        let json = of(r#"{"schema":"{}","schemaType":"JSON","references":null}"#).unwrap();
        assert_eq!((json.kind(), json.references().len()), (SchemaKind::Json, 0));
        assert!(of(r#"{"schema":"","schemaType":"THRIFT"}"#).unwrap_err().to_string().contains("THRIFT"));
        let used = r#"{"schema":"{}","references":[{"name":"N","subject":"s-value","version":3}]}"#;
        let schema = of(used).unwrap();
        assert_eq!(schema.references()[0].version, 3);
        let sent: serde_json::Value = serde_json::from_str(&body_of(&schema)).unwrap();
        assert_eq!(sent["references"][0], json!({ "name": "N", "subject": "s-value", "version": 3 }));
        assert!(sent.get("schemaType").is_none());
    }
}
