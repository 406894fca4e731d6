//! Writers of an internal topic: rows that were committed in the log go on to a place that has transactions of its own.
//!
//! Owns what such a place must do. Knows no thread. Invariant: records and the position after them become durable there as one, and
//! only if the position there is what the writer believes; so each record is written once, whoever else believes to be the writer. A function
//! of the user has no transaction: its position is kept in the log and moves after the call, so it may be called again with the same records.

use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, RawChunk},
};
use std::sync::Arc;

/// Where records come from, as the place outside knows it.
#[derive(Clone, Debug)]
pub struct OutboxSource {
    /// The application.
    pub application: String,
    /// The internal topic; it has one partition.
    pub topic: String,
    /// Changes if the topic is deleted and made anew; empty = not known.
    pub topic_id: String,
}

/// A place outside the log that rows are written to, and the position after them.
pub trait OutboxWriter: Send {
    /// Connects; the position of the first record that was not written. After a failure it is called again, on a new drain.
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

/// Why a drain does not go on.
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

/// Makes a drain, for each connection a new one.
pub type MakeOutboxWriter = Arc<dyn Fn() -> Box<dyn OutboxWriter> + Send + Sync>;

/// A drain of the plan.
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
