//! What the loop owns per partition, and the batch in flight.
//!
//! Owns the bookkeeping between input, tasks and commit. Knows no log call. Invariant: `next` runs ahead of `committed` only while
//! a batch is in flight; an abort sets it back.

use super::engine::{InputRange, Phases, SourcePosition};
use crate::{
    error::Result,
    operator::{Batch, NodeId, Output, Port},
    record::{Chunk, Map, Offset, Partition, RawChunk, Timestamps, TopicPartition},
    sink::two_phase::Collected,
    source::{BadRecordAt, BadRecordPolicy, QueueLimits, RecordQueue, Taken},
    state::Backend,
    task::{Task, recovery_record::RecoveryRecord},
};
use std::{collections::BTreeMap, sync::Arc};

/// One owned source partition.
pub struct SourcePartition {
    /// Which.
    pub at: TopicPartition,
    /// Its source node.
    pub node: NodeId,
    /// What happens to its bad records.
    pub policy: BadRecordPolicy,
    /// Fetched and decoded records.
    pub queue: RecordQueue,
    /// Its task of stage 0.
    pub task: Task,
    /// Committed offset; a first start has committed none.
    pub committed: Option<Offset>,
    /// Where a replay begins: the committed offset, or where a first start begins.
    pub start: Offset,
    /// Next offset to read, with the batch in flight.
    pub next: Offset,
    /// Leader epoch of the last record taken.
    pub leader_epoch: Option<i32>,
    /// Where an available-now run ends.
    pub stop_at: Option<Offset>,
    /// Offset of a record that made a batch fail and its reason: it goes the way of bad records.
    pub poison: Option<(Offset, String)>,
    /// Offset of the first record of the chunk that was taken last.
    pub taken_first: Option<Offset>,
    /// Records taken in the batch in flight.
    pub taken_records: usize,
    /// Records taken in earlier batches of its interval.
    pub taken_before: usize,
    /// Most records of an interval.
    pub interval_records_max: usize,
    /// The offset of the last witness row.
    pub witnessed: Option<Offset>,
    /// The greatest timestamp of a record that was taken, milliseconds since the epoch.
    pub newest_ms: Option<i64>,
}

/// What one pass over a source partition gave.
#[derive(Default)]
pub struct Progress {
    /// Records taken, good and bad.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Their timestamps, if one has any.
    pub timestamps: Option<Timestamps>,
    /// Bad ones.
    pub bad: Vec<BadRecordAt>,
    /// What left the task.
    pub outputs: Vec<Output>,
}

impl SourcePartition {
    /// Takes up to `records_max` records or about `bytes_max` bytes through the task; a decoded chunk that is larger than what is left
    /// waits for the next batch, unless the batch has nothing yet.
    ///
    /// # Errors
    /// If the partition cannot be read, or an operator fails.
    pub fn advance(
        &mut self,
        batch: &Batch,
        limits: QueueLimits,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Progress> {
        let mut progress = Progress::default();
        while progress.records < records_max && progress.bytes < bytes_max {
            if self.stop_at.is_some_and(|end| self.next >= end) {
                break;
            }
            let room = records_max - progress.records;
            if self.is_at_its_rate() {
                break;
            }
            if self.taken_records > 0 && self.queue.ready_records().is_some_and(|waiting| waiting > room) {
                break;
            }
            let limits = QueueLimits { chunk_records: limits.chunk_records.min(room), ..limits };
            let Some(taken) = self.queue.next(limits)? else { break };
            self.take(batch, taken, &mut progress)?;
        }
        progress.outputs = self.task.take_outputs();
        Ok(progress)
    }

    fn take(&mut self, batch: &Batch, taken: Taken, progress: &mut Progress) -> Result {
        let Taken { chunk, mut bad, records, bytes, timestamps, first, next, leader_epoch } = taken;
        progress.timestamps = progress.timestamps.into_iter().chain(timestamps).reduce(Timestamps::and);
        self.newest_ms = self.newest_ms.max(timestamps.map(|t| t.greatest_ms));
        let rows = chunk.len() + bad.len();
        self.taken_first = (records > 0).then_some(first);
        let poisoned = records == 1 && self.poison.as_ref().is_some_and(|(at, _)| *at == first);
        if poisoned {
            bad.extend(self.poison.take().map(|(offset, reason)| BadRecordAt {
                offset,
                reason,
                record: RawChunk::default(),
            }));
        } else if !chunk.is_empty() {
            self.task.process(batch, self.node, Port(0), chunk)?;
        }
        progress.records += records.max(rows); // a record may stand for many rows
        self.taken_records += records.max(rows);
        progress.bytes += bytes;
        progress.bad.extend(bad);
        self.next = next;
        self.leader_epoch = leader_epoch.or(self.leader_epoch);
        Ok(())
    }

    /// How far it is read.
    #[must_use]
    pub fn position(&self) -> SourcePosition {
        SourcePosition { at: self.at.clone(), next: self.next, newest_ms: self.newest_ms }
    }

    /// A batch begins; what was given up was not taken.
    pub fn begin_batch(&mut self, opens_interval: bool, interval_records_max: usize) {
        let before = if opens_interval { 0 } else { self.taken_before + self.taken_records };
        (self.taken_before, self.taken_records) = (before, 0);
        self.interval_records_max = interval_records_max;
    }

    /// Records that it may still give to the interval.
    #[must_use]
    pub fn left_in_interval(&self) -> usize {
        self.interval_records_max.saturating_sub(self.taken_before + self.taken_records)
    }

    /// Whether it has given its interval what it may: what waits comes whole, or in the next one.
    #[must_use]
    pub fn is_at_its_rate(&self) -> bool {
        let (left, waiting) = (self.left_in_interval(), self.queue.ready_records());
        left == 0 || (left < self.interval_records_max && waiting.is_some_and(|waiting| waiting > left))
    }

    /// What a batch that begins here has read.
    #[must_use]
    pub fn nothing_read(&self) -> InputRange {
        InputRange {
            node: self.node,
            at: Some(self.at.clone()),
            from: self.next,
            until: self.next,
            records: 0,
        }
    }

    /// Whether the batch in flight moved this partition, or it was never committed.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.committed != Some(self.next)
    }
}

/// One owned state partition: its database and the tasks of all keyed stages.
pub struct StatePartition {
    /// Which.
    pub partition: Partition,
    /// Its partition of the exchange topic: what the group assigns.
    pub at: TopicPartition,
    /// Offset on the exchange topic.
    pub exchange_next: Offset,
    /// Its database.
    pub backend: Arc<dyn Backend>,
    /// Tasks from stage 1 on.
    pub tasks: Vec<Task>,
    /// Chunks that wait for each stage.
    pub inbox: Vec<Vec<(NodeId, Port, Chunk)>>,
    /// Sealed changes of the batch in flight.
    pub changes: Vec<RawChunk>,
    /// The record of the last committed batch that touched it.
    pub record: Option<RecoveryRecord>,
    /// Offsets of the sources that the local database had seen consumed when it was opened: a witness.
    pub seen: Option<BTreeMap<String, Offset>>,
    /// At most the offset after its last committed changelog row: where a roll forward begins.
    pub changelog_end: Offset,
    /// Changelog rows that the batch in flight sent.
    pub sent_rows: u64,
    /// Whether the batch in flight touched it.
    pub touched: bool,
    /// Whether the end of the batch, in the stage that is under way, has more to give.
    pub is_ending: bool,
}

impl StatePartition {
    /// Runs what waits for stage `stage` (from 1) and, at the end of the batch, ends it there; `is_ending` tells whether there is
    /// more to come, for another call.
    ///
    /// # Errors
    /// If an operator fails.
    pub fn advance(&mut self, batch: &Batch, stage: usize, end: bool) -> Result<Vec<Output>> {
        let task = &mut self.tasks[stage - 1];
        for (node, port, chunk) in self.inbox[stage - 1].drain(..) {
            self.touched = true;
            task.process(batch, node, port, chunk)?;
        }
        if end {
            self.is_ending = task.end_some(batch)?;
        }
        Ok(task.take_outputs())
    }

    /// Encodes the staged changes of all tasks.
    ///
    /// # Errors
    /// If a row cannot be encoded.
    pub fn seal(&mut self) -> Result {
        for task in &mut self.tasks {
            self.changes.extend(task.seal()?);
        }
        self.touched |= !self.changes.is_empty();
        Ok(())
    }

    /// Writes the sealed changes with `record` to the database.
    ///
    /// # Errors
    /// If the database refuses.
    pub fn apply(&mut self, record: RecoveryRecord) -> Result {
        let _ = crate::failpoint::passes("during-apply");
        self.backend.apply(&self.changes, Some(record.to_text().as_bytes()))?;
        self.changes.clear();
        self.tasks.iter_mut().for_each(Task::applied);
        self.changelog_end = self.end_in_flight();
        self.record = Some(record);
        self.sent_rows = 0;
        self.touched = false;
        Ok(())
    }

    /// Forgets the batch in flight.
    pub fn abort(&mut self) {
        self.tasks.iter_mut().for_each(Task::abort);
        self.inbox.iter_mut().for_each(Vec::clear);
        self.changes.clear();
        self.sent_rows = 0;
        self.touched = false;
    }

    /// Ends a batch that changed nothing.
    pub fn rest(&mut self) {
        self.tasks.iter_mut().for_each(Task::rest);
    }

    /// `changelog_end` once the batch in flight is committed.
    #[must_use]
    pub fn end_in_flight(&self) -> Offset {
        Offset(self.changelog_end.0 + self.sent_rows)
    }

    /// About how many bytes are staged.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        self.tasks.iter().map(Task::staged_bytes).sum()
    }
}

/// The batch in flight.
#[derive(Default)]
pub struct InFlight {
    /// Its facts.
    pub batch: Option<Batch>,
    /// When it was cut, on the monotonic clock.
    pub began: std::time::Duration,
    /// When it was cut, milliseconds since the epoch.
    pub began_ms: i64,
    /// Whether a transaction is open.
    pub open: bool,
    /// Whether the log did not say if it was committed.
    pub in_doubt: bool,
    /// How long its checkpoint took so far.
    pub phases: Phases,
    /// How long the loop waited for input.
    pub waited: std::time::Duration,
    /// What was read, by position of the source; sources of this process come last.
    pub inputs: Vec<InputRange>,
    /// How long outputs outside the log took their rows.
    pub two_phase_times: Vec<(NodeId, std::time::Duration)>,
    /// About how many bytes it held when its input ended; nothing yet = 0.
    pub staged_bytes: usize,
    /// Records taken.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Timestamps of the records taken; outputs that have none of their own get the greatest.
    pub timestamps: Option<Timestamps>,
    /// The least watermark of the windows over event time that it moved.
    pub watermark_ms: Option<i64>,
    /// Records and bytes read, by topic.
    pub read: Map<Arc<str>, (usize, usize)>,
    /// Records and bytes sent to topics of sinks.
    pub written: Map<Arc<str>, (usize, usize)>,
    /// Bad records that were passed over.
    pub skipped: usize,
    /// Records that came too late.
    pub late: usize,
    /// Bad records that were written to the dead-letter topic.
    pub dead_letters: usize,
    /// Rows for the console by sink node, with the number to be shown.
    pub console: Map<NodeId, (Vec<String>, usize)>,
    /// Rows for outputs outside the log, by sink node and task.
    pub collected: Map<NodeId, Collected>,
    /// Where a record was taken while a failing record is searched.
    pub suspect: Option<(TopicPartition, Offset)>,
    /// Whether witness rows were sent.
    pub witnessed: bool,
}
