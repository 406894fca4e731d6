//! Rows of the meta topic that go with batches: what runs, and how far each source partition was consumed (a
//! witness against lost or reset offsets).
//!
//! Owns when they are due. Knows no producer. Invariant: what was sent counts only once its batch is committed.

use crate::{
    record::RawChunk,
    runtime::{app::App, batch::source_partition::SourcePartition, group::meta::Meta, group::topics::Topics},
};
use std::time::Duration;

/// What this run has written to the meta topic.
#[derive(Debug, Default)]
pub struct Witness {
    /// Whether the rows that say what runs are committed.
    pub topology_is_written: bool,
    last: Option<Duration>,
    /// Whether the batch in flight carries witness rows.
    is_due: bool,
}

impl Witness {
    /// The rows that go with the batch in flight, if any are due.
    pub fn rows(
        &mut self,
        app: &App,
        meta: Option<&Meta>,
        topics: &Topics,
        sources: &[SourcePartition],
    ) -> Vec<RawChunk> {
        let mut rows = vec![];
        if !self.topology_is_written {
            rows.extend(meta.map(|meta| meta.first_rows(&app.remains, topics)));
        }
        self.is_due = !self.topology_is_written
            || self.last.is_none_or(|last| app.since(last) >= app.config.witness_interval);
        if self.is_due {
            let moved = sources.iter().filter(|s| s.witnessed != Some(s.next));
            rows.push(Meta::witness_rows(moved.map(|s| (&s.at, s.next))));
        }
        rows.retain(|rows| !rows.is_empty());
        rows
    }

    /// The rows of a run that ends in order: how far each source partition is committed.
    #[must_use]
    pub fn last_rows(sources: &[SourcePartition]) -> RawChunk {
        let committed = sources.iter().filter(|s| s.witnessed != s.committed);
        Meta::witness_rows(committed.filter_map(|s| Some((&s.at, s.committed?))))
    }

    /// Whether nothing of this run is committed yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        !self.topology_is_written
    }

    /// Whether the batch in flight carries witness rows: every few seconds.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    /// Begins a batch.
    pub fn begin(&mut self) {
        self.is_due = false;
    }

    /// The batch in flight is committed and applied.
    pub fn applied(&mut self, now: Duration) {
        self.topology_is_written = true;
        if self.is_due {
            self.last = Some(now);
        }
    }
}
