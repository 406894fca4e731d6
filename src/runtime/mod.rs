//! The loop: who runs what, when, and how a batch ends.
//!
//! Owns threads, time, assignment and recovery. Knows no Kafka (only the log boundary) and no face. Invariant: one thread decides;
//! workers only compute, decode and apply.

mod assignment;
pub mod clock;
mod commit;
mod compute;
mod drains;
pub mod ends;
mod engine;
mod feeds;
mod fencing;
mod guarantee;
pub mod history;
mod inputs;
pub mod listener;
mod local;
pub mod logging;
mod meta;
pub mod metrics;
mod orphans;
mod outside;
mod pool;
pub mod progress;
pub mod rate;
mod replay;
mod restore;
mod shutdown;
mod staging;
mod start;
pub mod status;
mod topics;
mod trigger;
mod units;

pub use engine::{BatchReport, Env, InputRange, Observed, Observer, Phases, SourcePosition, run};
pub use feeds::ReceiverState;
pub use shutdown::Shutdown;
pub use trigger::LATE_INTERVALS_MAX;
