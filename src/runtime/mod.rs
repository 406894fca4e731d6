//! The loop: who runs what, when, and how a batch ends.
//!
//! Owns threads, time, assignment and recovery. Knows no Kafka (only the log boundary) and no face. Invariant: one thread decides;
//! workers only compute, decode and apply.

mod assignment;
pub mod clock;
mod commit;
mod compute;
pub mod ends;
mod engine;
mod fencing;
mod guarantee;
mod inputs;
mod local_input;
mod meta;
mod outboxes;
mod pool;
pub mod rate;
mod receivers;
mod replay;
mod restore;
mod shutdown;
mod staging;
mod start;
mod topics;
mod trigger;
mod two_phase;
mod unassigned;
mod units;

pub use engine::{BatchReport, Env, InputRange, Observed, Observer, Phases, SourcePosition, run};
pub use receivers::ReceiverState;
pub use shutdown::Shutdown;
pub use trigger::LATE_INTERVALS_MAX;
