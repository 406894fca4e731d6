//! Records in Protobuf, with message types from a registry, a `.proto` file or a descriptor set.
//!
//! Owns message indexes and the reading of `.proto` files. Knows no topic. Invariants: a record that names another message than the one that
//! is read is bad; a bad record costs only itself.

mod codec;
mod indexes;
mod schema;
mod syntax;
mod words;

pub use codec::{DynamicProtobufReader, ProtobufReader, ProtobufWriter};
#[cfg(feature = "sql")]
pub(crate) use schema::ProtobufFile;
pub use schema::ProtobufSchema;
