//! Two sinks for tidegate, written outside of it.
//!
//! [`JournalSink`] appends rows to a file, each exactly once: an outbox whose place keeps rows and position as one. [`ReportSink`] replaces a
//! file by the rows of the newest batch: two-phase. Neither knows anything of tidegate but its public traits.

mod journal;
mod report;

pub use journal::{JournalSink, rows};
pub use report::ReportSink;
