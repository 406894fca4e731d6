//! The loop: who runs what, when, and how a batch ends.
//!
//! Owns threads, time, assignment and recovery. Knows no Kafka (only the log boundary) and no face
//! (`dstream`, `ml`). Invariant: one thread decides; workers only compute, decode and apply.
//!
//! ```text
//! turn/      the loop itself, a file for each phase of a turn     calls the parts; nothing calls it
//!   |
//!   +- group/     the consumer group, who we are in it, topics    what the group assigns and revokes
//!   +- recovery/  assigned partitions -> partitions that compute  beside the loop
//!   +- batch/     partitions, pace, search for a failing record   what a batch is made of
//!   +- commit/    transaction, witness rows, two-phase sinks    what makes it durable
//!   +- beside/    receivers, outboxes, ends of partitions         threads of their own
//! app.rs  names.rs  events.rs  clock.rs  pool.rs  shutdown.rs     used by all of them
//! ```
//!
//! A part knows `app.rs` and the other shared files, and another part only where a type says so; only `turn/`
//! joins them.

mod app;
mod batch;
mod beside;
pub mod clock;
mod commit;
mod events;
pub mod group;
pub mod names;
mod pool;
mod recovery;
mod shutdown;
mod turn;

pub use app::{Env, exchange_partitions, is_shared};
pub use batch::pace::trigger::LATE_INTERVALS_MAX;
pub use beside::ends;
pub use events::{
    BatchReport, InputRange, Observed, Observer, Phases, ReceiverState, Restoring, SourcePosition,
};
pub use shutdown::Shutdown;
pub use turn::run;
