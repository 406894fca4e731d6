//! Everything that only watches: metrics, the process status, listeners, the history behind the page, logs, the
//! progress line.
//!
//! Owns no facts: the loop reports what happens ([`Observed`](crate::runtime::Observed)), and never asks anything
//! here. Knows no page; the page reads from here. Invariant: watching never holds up the loop for long and never
//! ends it.

mod bad_records;
#[doc(hidden)]
pub mod history;
pub mod listener;
mod listeners;
pub mod logging;
pub mod metrics;
#[doc(hidden)]
pub mod processes;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod queries;
mod reporter;
#[doc(hidden)]
pub mod restores;
#[doc(hidden)]
pub mod status;

pub use crate::operator::{Counters, Volume, Work};
pub use crate::runtime::{BatchReport, InputRange, Phases, SourcePosition};

pub(crate) use listeners::{Listeners, program};
pub(crate) use reporter::{AfterBatch, Reporter};
