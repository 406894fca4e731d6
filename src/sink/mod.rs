//! The edge on the right: typed chunks become records of a topic, rows of a destination outside the log, or
//! lines of the console.
//!
//! Owns the operators that end a path, and what a destination must do. Knows the log only as what an outbox
//! is read from, and no thread. A sink implements [`Sink`], inside the crate or outside, and has one of three
//! shapes. Which one to choose:
//!
//! | shape | what happens | guarantee | choose it if |
//! |---|---|---|---|
//! | [topic](SinkShape::topic) | rows are encoded in tasks; their records are sent in the batch's transaction | exactly once, for readers of committed data | the destination is a topic of the log |
//! | [two-phase](SinkShape::two_phase) | [`TwoPhaseSink::prepare`] before the commit, [`TwoPhaseSink::finish`] after it, by a later process if necessary | exactly once, if `finish` may be repeated | the destination can hide what is prepared and show it in one repeatable step: files to rename, a branch to merge |
//! | [outbox](SinkShape::outbox) | rows are records of an internal topic, sent in the batch's transaction; an [`OutboxWriter`] takes them from there, beside the loop | exactly once, if the destination stores rows and position atomically, or a repeated write changes nothing; otherwise at least once | the destination has transactions or keys, may be unreachable for a while, or is slow |
//!
//! The sinks of the crate: `to_kafka` has the first shape; files, `remembered` and `latest` have the second,
//! as has `foreach_rdd`, which calls its function in `prepare` and therefore at least once; Postgres and
//! `foreach_batch` have the third. The console has none: its rows are shown after the commit, at most once.

mod console;
mod display;
mod files;
mod foreach_batch;
mod gather;
mod latest;
pub mod outbox;
#[cfg(feature = "postgres")]
mod postgres;
mod rdd;
mod remembered;
mod shape;
mod topic;
pub mod two_phase;

pub use crate::operator::Batch;
pub use display::{PrintOptions, to_display};
#[cfg(feature = "sql")]
pub(crate) use files::{EncodeBlocks, FileBlock, FileContent};
pub use files::{FileSink, TimeUnit};
pub use foreach_batch::{CommittedBatch, ForeachBatch};
pub use latest::Latest;
pub use outbox::{OutboxFailure, OutboxSource, OutboxWriter, RefusedRow};
#[cfg(feature = "postgres")]
pub use postgres::PostgresSink;
#[cfg(all(feature = "postgres", feature = "sql"))]
pub(crate) use postgres::{has_nul, read_rows as read_postgres};
pub use rdd::{Outcome, Rdd};
pub use remembered::Remembered;
pub use shape::{Sink, SinkContext, SinkShape};
pub use two_phase::{Collected, TwoPhaseContext, TwoPhaseSink};

#[doc(hidden)]
pub use {
    console::{ConsoleSink, gathered as gathered_print},
    gather::{CollectGathered, Gather, Intake, SendNotes, Shares},
    latest::{KeepLatest, View},
    rdd::ForeachRdd,
    remembered::Remember,
    topic::TopicSink,
    two_phase::TwoPhaseSpec,
};
