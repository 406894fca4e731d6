//! The changelog of one state partition on its way into the database, step by step, on whatever thread runs the step.
//!
//! Owns the reading and the pieces. Decides nothing, knows no group. Invariants: only committed rows are
//! applied; the target is the high watermark at the start; each piece carries how far it goes, and only the
//! last one carries the record of a batch, so that a replay that was cut off is recognised and resumed; after a
//! failure to read it goes on where it was.

use crate::{
    error::Result,
    log::{Log, Reader},
    record::{Offset, RawChunk, TopicPartition},
    runtime::clock::Clock,
    state::Backend,
    task::{recovery_record::RecoveryRecord, restore_progress::RestoreProgress},
};
use std::{sync::Arc, time::Duration};

/// How long the changelog may be silent before that is reported, and reported again.
const SILENCE_REPORT: Duration = Duration::from_secs(10);

/// How much one step does.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// It reads once, and goes on for about so long.
    pub time: Duration,
    /// A read waits so long for rows.
    pub wait: Duration,
}

/// Committed rows of a changelog partition between two offsets.
pub(super) struct Rows {
    at: TopicPartition,
    next: Offset,
    target: Offset,
    /// `None` before the first read, after a failure, and once the target is reached.
    reader: Option<Box<dyn Reader>>,
    /// When rows came last, or when it was last reported that none come.
    heard: Option<Duration>,
}

impl Rows {
    /// Rows from `next` until the position passes `target`.
    pub fn new(at: &TopicPartition, next: Offset, target: Offset) -> Self {
        Rows { at: at.clone(), next, target, reader: None, heard: None }
    }

    pub fn is_done(&self) -> bool {
        self.next >= self.target
    }

    /// How many offsets are left.
    pub fn left(&self) -> u64 {
        self.target.0.saturating_sub(self.next.0)
    }

    /// The next rows; `None` = nothing came for a moment, or everything is read.
    ///
    /// # Errors
    /// If the changelog cannot be read; another call goes on where this one was.
    pub fn next(&mut self, log: &dyn Log, clock: &dyn Clock, wait: Duration) -> Result<Option<RawChunk>> {
        if self.is_done() {
            return Ok(None);
        }
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => log.read(&self.at, self.next)?,
        };
        let fetched = reader.next(wait)?;
        let now = clock.monotonic();
        let heard = *self.heard.get_or_insert(now);
        let Some(fetched) = fetched else {
            self.reader = Some(reader);
            if now.saturating_sub(heard) > SILENCE_REPORT {
                self.heard = Some(now);
                tracing::warn!(
                    "{} can be read only up to {}, short of its end {}: a transaction is open there, of this application or of another producer; it is waited for until it ends, or the log ends it after its timeout",
                    self.at,
                    self.next,
                    self.target
                );
            }
            return Ok(None);
        };
        (self.next, self.heard) = (fetched.next, Some(now));
        self.reader = Some(reader).filter(|_| !self.is_done());
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
    /// When the first step was taken.
    began: Option<Duration>,
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
        let first = rows.next;
        Replay {
            rows,
            first,
            backend,
            record,
            progress,
            piece_bytes,
            piece: vec![],
            bytes: 0,
            began: None,
            is_done: false,
        }
    }

    /// Reads and applies for a while, or until everything is applied. Returns whether anything was read.
    ///
    /// # Errors
    /// If the changelog cannot be read or the database cannot be written.
    pub fn step(&mut self, log: &dyn Log, clock: &dyn Clock, step: Step) -> Result<bool> {
        let now = clock.monotonic();
        let (until, mut moved) = (now + step.time, false);
        self.began.get_or_insert(now);
        while !self.rows.is_done() {
            let Some(rows) = self.rows.next(log, clock, step.wait)? else { return Ok(moved) };
            let _ = crate::failpoint::passes("during-restore");
            moved = true;
            self.bytes += rows.bytes();
            self.piece.push(rows);
            if self.bytes >= self.piece_bytes && !self.rows.is_done() {
                self.progress.next = self.rows.next;
                self.backend.restore(&self.piece, self.progress.to_text().as_bytes())?;
                self.piece.clear();
                self.bytes = 0;
            }
            if clock.monotonic() >= until && !self.rows.is_done() {
                return Ok(true);
            }
        }
        self.backend.apply(&self.piece, Some(self.record.to_text().as_bytes()))?;
        self.piece = vec![];
        self.is_done = true;
        Ok(true)
    }

    /// Whether the database is at the record.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// How many offsets are left to pass.
    pub fn left(&self) -> u64 {
        self.rows.left()
    }

    /// Offsets passed, offsets to pass, and how long that took.
    pub fn pace(&self, clock: &dyn Clock) -> (u64, u64, Duration) {
        let (first, end) = (self.first.0, self.rows.target.0.max(self.first.0));
        let took = self.began.map_or(Duration::ZERO, |began| clock.monotonic().saturating_sub(began));
        (self.rows.next.0.min(end) - first, end - first, took)
    }
}
