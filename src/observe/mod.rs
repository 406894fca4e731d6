//! Everything that only watches: metrics, the status picture, listeners, the history behind the page, logs, the progress line.
//!
//! For users: [`listener::StreamingListener`], [`BatchReport`], [`metrics::Metrics`].
//!
//! Owns no fact: the loop reports what happens (`runtime::Observed`), and nothing here is asked by it. Knows no page;
//! the page reads from here. Invariant: watching never holds the loop up for long and never ends it.

mod bad_records;
#[doc(hidden)]
pub mod history;
pub mod listener;
mod listeners;
pub mod logging;
pub mod metrics;
#[doc(hidden)]
pub mod progress;
mod reporter;
#[doc(hidden)]
pub mod status;

pub use crate::runtime::{BatchReport, InputRange, Phases, SourcePosition};

pub(crate) use listeners::{Listeners, program};
pub(crate) use reporter::{AfterBatch, Reporter};
