//! The changelog of one state partition on its way into the database, step by step, on whatever thread runs the step.
//!
//! Owns the reading and the pieces. Decides nothing, knows no group. Invariants: only committed rows are
//! applied; the target is the high watermark at the start; each piece carries how far it goes, and only the
//! last one carries the record of a batch, so that a replay that was cut off is recognised and resumed.

use crate::{
    error::Result,
    log::{Log, Reader},
    record::{Offset, RawChunk, TopicPartition},
    runtime::clock::Clock,
    state::Backend,
    task::{recovery_record::RecoveryRecord, restore_progress::RestoreProgress},
};
use std::{sync::Arc, time::Duration};

/// One step takes about this long; between steps the loop serves the group.
const STEP: Duration = Duration::from_millis(200);
/// How long a read waits for rows.
const READ_WAIT: Duration = Duration::from_millis(100);
/// How long the changelog may be silent before that is reported, and reported again.
const SILENCE_REPORT: Duration = Duration::from_secs(10);

/// Committed rows of a changelog partition between two offsets.
pub(super) struct Rows {
    at: TopicPartition,
    next: Offset,
    target: Offset,
    /// `None` once the target is reached.
    reader: Option<Box<dyn Reader>>,
    /// When rows came last, or when it was last reported that none come.
    heard: Duration,
}

impl Rows {
    /// Rows from `next` until the position passes `target`.
    ///
    /// # Errors
    /// If the partition cannot be read.
    pub fn read(
        log: &dyn Log,
        clock: &dyn Clock,
        at: &TopicPartition,
        next: Offset,
        target: Offset,
    ) -> Result<Self> {
        let reader = if next < target { Some(log.read(at, next)?) } else { None };
        Ok(Rows { at: at.clone(), next, target, reader, heard: clock.monotonic() })
    }

    pub fn is_done(&self) -> bool {
        self.next >= self.target
    }

    /// The next rows; `None` = nothing came for a moment, or everything is read.
    ///
    /// # Errors
    /// If the changelog cannot be read.
    pub fn next(&mut self, clock: &dyn Clock) -> Result<Option<RawChunk>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let fetched = reader.next(READ_WAIT)?;
        let now = clock.monotonic();
        let Some(fetched) = fetched else {
            if now.saturating_sub(self.heard) > SILENCE_REPORT {
                self.heard = now;
                tracing::warn!(
                    "{} can be read only up to {}, short of its end {}: a transaction is open there, of this application or of another producer; it is waited for until it ends, or the log ends it after its timeout",
                    self.at,
                    self.next,
                    self.target
                );
            }
            return Ok(None);
        };
        (self.next, self.heard) = (fetched.next, now);
        if self.is_done() {
            self.reader = None;
        }
        Ok(Some(fetched.records))
    }
}

/// Where a replay goes and what it writes.
pub(super) struct Replay {
    rows: Rows,
    first: Offset,
    backend: Arc<dyn Backend>,
    /// Written with the last rows.
    record: RecoveryRecord,
    /// Written with the rows before those.
    progress: RestoreProgress,
    /// Rows are applied in pieces of about this size, bytes.
    piece_bytes: usize,
    piece: Vec<RawChunk>,
    bytes: usize,
    began: Duration,
    is_done: bool,
}

impl Replay {
    /// Applies `rows` to `backend`, which is then at `record`.
    pub fn new(
        rows: Rows,
        backend: Arc<dyn Backend>,
        record: RecoveryRecord,
        began_ms: i64,
        piece_bytes: usize,
    ) -> Self {
        let progress = RestoreProgress::new(rows.next, rows.target, record.token.clone(), began_ms);
        let (first, began) = (rows.next, rows.heard);
        Replay {
            rows,
            first,
            backend,
            record,
            progress,
            piece_bytes,
            piece: vec![],
            bytes: 0,
            began,
            is_done: false,
        }
    }

    /// Reads and applies for about [`STEP`], or until everything is applied.
    ///
    /// # Errors
    /// If the changelog cannot be read or the database cannot be written.
    pub fn step(&mut self, clock: &dyn Clock) -> Result {
        let until = clock.monotonic() + STEP;
        while !self.rows.is_done() {
            let Some(rows) = self.rows.next(clock)? else { return Ok(()) };
            let _ = crate::failpoint::passes("during-restore");
            self.bytes += rows.bytes();
            self.piece.push(rows);
            if self.bytes >= self.piece_bytes && !self.rows.is_done() {
                self.progress.next = self.rows.next;
                self.backend.restore(&self.piece, self.progress.to_text().as_bytes())?;
                self.piece.clear();
                self.bytes = 0;
            }
            if clock.monotonic() >= until {
                return Ok(());
            }
        }
        self.backend.apply(&self.piece, Some(self.record.to_text().as_bytes()))?;
        self.piece = vec![];
        self.is_done = true;
        Ok(())
    }

    /// Whether the database is at the record.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Offsets passed, offsets to pass, and how long that took.
    pub fn pace(&self, clock: &dyn Clock) -> (u64, u64, Duration) {
        let (first, end) = (self.first.0, self.rows.target.0.max(self.first.0));
        (self.rows.next.0.min(end) - first, end - first, clock.monotonic().saturating_sub(self.began))
    }

    pub fn at(&self) -> &TopicPartition {
        &self.rows.at
    }
}
