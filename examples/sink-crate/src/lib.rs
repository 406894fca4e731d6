//! Two sinks for tidegate, written outside of it.
//!
//! [`JournalSink`] appends rows to a file, each exactly once: an outbox whose destination stores rows and
//! position atomically. [`ReportSink`] replaces a file by the rows of the newest batch: a two-phase sink.
//! Both know only tidegate's public traits.

mod journal;
mod report;

pub use journal::{JournalSink, rows};
pub use report::ReportSink;
