//! Writers of an internal topic: rows that were committed in the log are passed on to a destination with
//! transactions of its own.
//!
//! Owns what such a destination must do, and the names of internal topics that lead to one. Knows no thread.
//! Invariant: records and the position after them become durable there atomically, and only if the position
//! there is the one that the writer expects; so each record is written once, whoever else believes itself to
//! be the writer. A user function has no transaction: its position is kept in the log and moves after the
//! call, so it may be called again with the same records.

use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, RawChunk},
};
use std::sync::Arc;

/// How the names of internal topics begin after `<application id>-`. A new sink needs no entry here: it has
/// the first kind. The others are older; they stay reserved even if no sink of a program uses them, as topics
/// of an earlier program may still exist.
const TOPICS: [&str; 4] = ["outbox-", "postgres-", "foreach-", "delivered"];

/// Whether a topic leads from the application to a destination outside the log, or once did; `name` is the
/// topic's name without `<application id>-`.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    TOPICS.iter().any(|kind| name.starts_with(kind))
}

/// The internal topic of an output.
pub(super) fn topic_of(application: &str, kind: &str, name: &str) -> Result<Arc<str>, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(allowed) {
        return Err(format!("`{name}` cannot be part of a topic's name"));
    }
    Ok(format!("{application}-{kind}-{name}").into())
}

/// Where records come from, as the destination knows it.
#[derive(Clone, Debug)]
pub struct OutboxSource {
    /// The application.
    pub application: String,
    /// The internal topic; it has one partition.
    pub topic: String,
    /// Changes if the topic is deleted and recreated; empty = not known.
    pub topic_id: String,
}

/// A destination outside the log that stores rows and the position after them.
pub trait OutboxWriter: Send {
    /// Connects and returns the position of the first record that was not written. After a failure it is
    /// called on a new writer.
    ///
    /// # Errors
    /// See [`OutboxFailure`].
    fn open(&mut self, source: &OutboxSource, log: &dyn Log) -> Result<Offset, OutboxFailure>;

    /// Writes records, possibly none, and moves the position from `from` to `to`, in one transaction if the
    /// destination has transactions.
    ///
    /// # Errors
    /// See [`OutboxFailure`]; unless the outcome is unknown, nothing is then written.
    fn write(&mut self, records: &RawChunk, from: Offset, to: Offset) -> Result<(), OutboxFailure>;

    /// The rows that the destination refused, and behind which the writer went on, since the last call.
    fn take_refused(&mut self) -> Vec<RefusedRow> {
        vec![]
    }

    /// Where reading starts when the writer is opened again and everything before `written` is written:
    /// earlier rows may be deleted.
    fn read_again_from(&self, written: Offset) -> Offset {
        written
    }

    /// What an operator should do if the position lies outside the topic, which now begins at `start`.
    fn reposition(&self, start: Offset) -> String;
}

/// A row that its destination refused, and that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its offset in the internal topic.
    pub offset: Offset,
    /// Why, and which row.
    pub reason: String,
    /// Whether it is kept elsewhere.
    pub kept: bool,
}

/// Why a writer does not continue.
#[derive(Debug)]
pub enum OutboxFailure {
    /// The destination cannot be reached, or asks the writer to wait; the last write may or may not have
    /// happened. To be opened again later.
    Unavailable(String),
    /// Another process has moved the position: nothing was written. To be opened again.
    Superseded,
    /// One of the records is refused. Writing fewer of them reveals which.
    Record(String),
    /// Retrying cannot help.
    Broken(Error),
}

/// Creates a writer, a new one for each connection.
pub type MakeOutboxWriter = Arc<dyn Fn() -> Box<dyn OutboxWriter> + Send + Sync>;

/// An outbox of the plan.
#[derive(Clone)]
pub struct OutboxSpec {
    /// The name by which the user knows it.
    pub name: String,
    /// The internal topic that it reads.
    pub topic: Arc<str>,
    /// Where it keeps its position in the log: a compacted topic with one partition; `None` = the destination
    /// keeps it.
    pub positions: Option<Arc<str>>,
    /// Creates its writer.
    pub make: MakeOutboxWriter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_an_outbox_is_internal_and_others_are_not() {
        for kind in ["outbox", "postgres", "foreach"] {
            let topic = topic_of("shop", kind, "orders").unwrap();
            assert!(topic.strip_prefix("shop-").is_some_and(is_internal), "{topic}");
        }
        assert!(is_internal("delivered"));
        assert!(!is_internal("orders") && !is_internal("orders-outbox-a") && !is_internal("outboxes"));
        for name in ["", "a/b", &"a".repeat(101)] {
            assert!(topic_of("shop", "outbox", name).unwrap_err().contains("part of a topic's name"));
        }
    }
}
