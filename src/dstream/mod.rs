//! The typed API: Spark's DStreams. Thin wrappers that add nodes to a plan; nothing runs here.
//!
//! Owns the user's view of a stream. Knows no log and no thread. Invariants: methods never fail, mistakes are
//! collected and reported at `start` with file and line; durable names come from sources and stateful ancestors,
//! never from positions.

mod batch;
mod chunks;
mod extension;
mod keyed;
mod output;
mod persist;
mod receiver;
mod source;
mod stream;
mod window;

pub use crate::operator::State;
pub use keyed::{MapWithStateDStream, StateSpec};
pub use receiver::ReceiverOptions;
pub use source::SourceOptions;
pub use stream::{DStream, StreamBuilder};
pub use window::EventWindow;
