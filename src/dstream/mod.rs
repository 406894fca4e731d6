//! The typed API: Spark's DStreams. Thin wrappers that add nodes to a plan; nothing runs here.
//!
//! Owns the user's view of a stream. Knows no log and no thread. Invariants: methods never fail, mistakes are
//! collected and reported at `start` with file and line; durable names come from sources and stateful ancestors,
//! never from positions.

mod batch;
mod combine;
mod extension;
mod join;
mod lookup;
mod output;
mod output_files;
mod output_foreach_batch;
#[cfg(feature = "postgres")]
mod output_postgres;
mod pair;
mod persist;
mod receiver;
mod source;
mod state;
mod stream;
mod window;
mod window_event;

pub use crate::operator::State;
pub use receiver::ReceiverOptions;
pub use source::SourceOptions;
pub use state::{MapWithStateDStream, StateSpec};
pub use stream::{DStream, StreamBuilder};
pub use window_event::EventWindow;
