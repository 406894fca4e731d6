//! The typed face: Spark's DStreams. Thin wrappers that add nodes to a plan; nothing runs here.
//!
//! Owns the user's view of a stream. Knows no log and no thread. Invariants: methods never fail, mistakes are collected and told
//! at `start` with file and line; durable names come from sources and stateful ancestors, never from positions.

mod batch;
mod combine;
mod join;
mod lookup;
mod output;
mod pair;
mod persist;
mod source;
mod state;
mod stream;

pub use crate::operator::State;
pub use persist::StorageLevel;
pub use source::SourceOptions;
pub use state::{MapWithStateDStream, StateSpec};
pub use stream::{DStream, StreamBuilder};
