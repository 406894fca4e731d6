//! The client of schema registries, and programs that read and write with schemas, against a real registry.
//!
//! Invariant: each test has subjects of its own, so that all can run at once against one server.

mod client;
#[cfg(feature = "json-schema")]
mod json;
mod keys;
mod peer;
#[path = "../programs/mod.rs"]
mod programs;
#[cfg(feature = "protobuf")]
mod protobuf;
mod proxy;
mod running;
mod server;
#[cfg(feature = "sql")]
mod sql;

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, Ordering};
use tidegate::{
    codec::{AvroSchema, AvroWriter, Encode},
    registry::{Registry, RegistryConfig, Subject},
};

const OLD: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"long"},{"name":"user","type":"string"},{"name":"price","type":"double"}]}"#;
const NEW: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"long"},{"name":"user","type":"string"},{"name":"price","type":"double"},
  {"name":"note","type":["null","string"],"default":null}]}"#;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: i64,
    user: String,
    price: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn order(id: i64, note: Option<&str>) -> Order {
    Order { id, user: format!("user {id}"), price: 0.5, note: note.map(str::to_owned) }
}

/// A name that no other test has, not even in an earlier run.
fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn registry() -> Registry {
    Registry::connect(&RegistryConfig::new(&server::url())).unwrap()
}

/// The bytes of an order under a subject with this schema, which is registered.
fn framed(registry: &Registry, subject: &str, schema: &str, order: &Order) -> Vec<u8> {
    let schema = AvroSchema::parse(schema).unwrap();
    let writer = AvroWriter::register(registry, &Subject::new(subject), &schema).unwrap();
    let mut out = vec![];
    writer.encode(order, &mut out).unwrap();
    out
}
