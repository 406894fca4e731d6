//! Writers of an internal topic: rows that were committed in the log go on to a place that has transactions of its own.
//!
//! Owns what such a place must do, and the names of internal topics that lead to one. Knows no thread. Invariant: records and the position
//! after them become durable there as one, and only if the position there is what the writer believes; so each record is written once, whoever
//! else believes itself to be the writer. A function of the user has no transaction: its position is kept in the log and moves after the call,
//! so it may be called again with the same records.

use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, RawChunk},
};
use std::sync::Arc;

/// How the names of internal topics begin behind `<application id>-`. A new sink needs no word here: it is of the first kind. The others
/// are older; they stay reserved where no sink of a program uses them, as topics of an earlier program may still be there.
const TOPICS: [&str; 4] = ["outbox-", "postgres-", "foreach-", "delivered"];

/// Whether a topic leads from the application to a place outside, or once did; `name` is that of the topic without `<application id>-`.
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

/// Where records come from, as the place outside knows it.
#[derive(Clone, Debug)]
pub struct OutboxSource {
    /// The application.
    pub application: String,
    /// The internal topic; it has one partition.
    pub topic: String,
    /// Changes if the topic is deleted and recreated; empty = not known.
    pub topic_id: String,
}

/// A place outside the log that rows are written to, and the position after them.
pub trait OutboxWriter: Send {
    /// Connects; the position of the first record that was not written. After a failure it is called on a new writer.
    ///
    /// # Errors
    /// See [`OutboxFailure`].
    fn open(&mut self, source: &OutboxSource, log: &dyn Log) -> Result<Offset, OutboxFailure>;

    /// Writes records, which may be none, and moves the position from `from` to `to`, in one transaction where there are any.
    ///
    /// # Errors
    /// See [`OutboxFailure`]; but for an outcome that is not known, nothing is written then.
    fn write(&mut self, records: &RawChunk, from: Offset, to: Offset) -> Result<(), OutboxFailure>;

    /// What is read first when it is opened again, where everything before `written` is written: rows before may be deleted.
    fn read_again_from(&self, written: Offset) -> Offset {
        written
    }

    /// What a person does if the position lies outside the topic, which begins at `start` now.
    fn reposition(&self, start: Offset) -> String;
}

/// Why a writer does not go on.
#[derive(Debug)]
pub enum OutboxFailure {
    /// The place cannot be reached, or asks for patience; what was written last may be there or not. To be opened again later.
    Unavailable(String),
    /// Another process has moved the position: nothing is written. To be opened again.
    Superseded,
    /// One of the records is refused. With fewer of them it shows which.
    Record(String),
    /// Going on cannot help.
    Broken(Error),
}

/// Makes a writer, for each connection a new one.
pub type MakeOutboxWriter = Arc<dyn Fn() -> Box<dyn OutboxWriter> + Send + Sync>;

/// An outbox of the plan.
#[derive(Clone)]
pub struct OutboxSpec {
    /// What the user knows it by.
    pub name: String,
    /// The internal topic that it reads.
    pub topic: Arc<str>,
    /// Where it keeps its position in the log: a compacted topic of one partition; `None` = it keeps it outside.
    pub positions: Option<Arc<str>>,
    /// Makes it.
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
