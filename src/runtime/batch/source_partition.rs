//! One owned source partition: what is fetched from it, its task, and how far it is read.
//!
//! Knows no log call. Invariant: `next` runs ahead of `committed` only while a batch is in flight; giving a batch up sets it back.

use super::careful::Careful;
use crate::{
    error::Result,
    log::Fetcher,
    operator::{Batch, NodeId, Output, Port},
    plan::Topology,
    record::{BatchTime, Offset, RawChunk, TaskId, Timestamps, TopicPartition},
    runtime::events::{InputRange, SourcePosition},
    source::{BadRecordAt, BadRecordPolicy, HeldUp, QueueLimits, RecordQueue, SourceSpec, Taken, stamping},
    task::{Stopwatch, Task},
};
use std::sync::Arc;

/// An offset is committed anew this long after its last commit, even if it has not moved: the log forgets the offset of a
/// topic that the group does not subscribe to some days after its last commit, Kafka after 7.
pub const COMMIT_AGAIN_EVERY_MS: i64 = 86_400_000;

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
    /// The committed offset; on a first start there is none.
    pub committed: Option<Offset>,
    /// The time of the batch that committed it last; `None` = it is not known, as for an offset that was set by hand.
    committed_at: Option<BatchTime>,
    /// Whether the batch in flight commits it anew.
    commits_again: bool,
    /// Where a replay begins: the committed offset, or where a first start begins.
    pub start: Offset,
    /// The next offset to read, including the batch in flight.
    pub next: Offset,
    /// Leader epoch of the last record taken.
    pub leader_epoch: Option<i32>,
    /// The same where a replay begins.
    start_epoch: Option<i32>,
    /// Where an available-now run ends.
    pub stop_at: Option<Offset>,
    /// How failing records are found without giving a batch up for each, once one has failed.
    careful: Option<Careful>,
    /// Whether that has just begun.
    is_suspicious: bool,
    /// A task like `task`.
    another_task: Box<dyn Fn() -> Task + Send>,
    /// Offset of a record that makes batches fail, and why: it is taken in a chunk of its own, as a bad record, until
    /// a batch with it is committed.
    pub rejected: Option<(Offset, String)>,
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
    /// When its end was asked for, by batch time, while there is no answer.
    pub end_asked: Option<BatchTime>,
    /// The answer, until it is reached.
    pub end: Option<(BatchTime, Offset)>,
}

/// Where a source partition begins and ends.
pub struct Start {
    /// The partition.
    pub at: TopicPartition,
    /// The first offset to read.
    pub from: Offset,
    /// What the group has committed for it.
    pub committed: Option<Offset>,
    /// The time of the batch that did so, if it is known.
    pub committed_at: Option<BatchTime>,
    /// Where a bounded run ends.
    pub stop_at: Option<Offset>,
    /// Hands over its records, from `from` on.
    pub fetcher: Box<dyn Fetcher>,
}

/// How much one pass takes.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// About so many records, in whole chunks.
    pub records_max: usize,
    /// About so many bytes.
    pub bytes_max: usize,
}

/// The result of one pass over a source partition.
#[derive(Default)]
pub struct Progress {
    /// Records taken, good and bad.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Their timestamps, if any has one.
    pub timestamps: Option<Timestamps>,
    /// Bad records.
    pub bad: Vec<BadRecordAt>,
    /// What left the task.
    pub outputs: Vec<Output>,
    /// What the records that are next begin to wait for, before they can be decoded.
    pub held_up: Option<HeldUp>,
}

impl SourcePartition {
    /// A partition that `source` reads.
    #[must_use]
    pub fn open(
        plan: &Arc<Topology>,
        (node, source): (NodeId, &SourceSpec),
        start: Start,
        state_partitions: u32,
        stopwatch: Stopwatch,
    ) -> Self {
        let Start { at, from, committed, committed_at, stop_at, fetcher } = start;
        let id = TaskId { stage: 0, partition: at.partition };
        let decoder = stamping(source.decoder.clone(), plan.keeps_timestamps(node));
        let (plan, reads) = (plan.clone(), at.clone());
        let open = move || Task::open(&plan, id, Some(node), state_partitions, None).reading(reads.clone());
        SourcePartition {
            node,
            policy: source.policy,
            queue: RecordQueue::new(at.clone(), fetcher, decoder),
            task: open().timed(stopwatch),
            another_task: Box::new(open),
            careful: None,
            is_suspicious: false,
            committed,
            committed_at,
            commits_again: false,
            start: from,
            next: from,
            leader_epoch: None,
            start_epoch: None,
            stop_at,
            rejected: None,
            taken_first: None,
            taken_records: 0,
            taken_before: 0,
            interval_records_max: usize::MAX,
            witnessed: None,
            newest_ms: None,
            end_asked: None,
            end: None,
            at,
        }
    }

    /// Passes up to `records_max` records, and about as much as a round takes, through the task; a decoded chunk
    /// that is larger than what is left of the batch waits for the next one, unless the batch has nothing yet.
    ///
    /// # Errors
    /// If the partition cannot be read, or an operator fails.
    pub fn advance(
        &mut self,
        batch: &Batch,
        limits: QueueLimits,
        records_max: usize,
        round: Round,
    ) -> Result<Progress> {
        let mut progress = Progress::default();
        while progress.records < records_max.min(round.records_max) && progress.bytes < round.bytes_max {
            let Some(taken) = self.take_chunk(limits, records_max - progress.records)? else { break };
            self.process(batch, taken, &mut progress)?;
        }
        progress.outputs = self.task.take_outputs();
        progress.held_up = self.queue.take_held_up();
        Ok(progress)
    }

    /// The next chunk, if the batch has room for so many records; to be [processed](Self::process), or noted as
    /// [taken](Self::took).
    ///
    /// # Errors
    /// If the partition cannot be read.
    pub fn take_chunk(&mut self, limits: QueueLimits, room: usize) -> Result<Option<Taken>> {
        let is_at_its_end = self.stop_at.is_some_and(|end| self.next >= end);
        if room == 0 || is_at_its_end || self.is_at_its_rate() {
            return Ok(None);
        }
        if self.taken_records > 0 && self.queue.ready_records().is_some_and(|waiting| waiting > room) {
            return Ok(None);
        }
        let chunk_records = if self.awaits_rejected() { 1 } else { limits.chunk_records.min(room) };
        Ok(self.queue.next(QueueLimits { chunk_records, ..limits })?)
    }

    fn awaits_rejected(&self) -> bool {
        self.rejected.as_ref().is_some_and(|(at, _)| self.next <= *at)
    }

    /// The batch takes a chunk.
    pub fn took(&mut self, taken: &Taken, progress: &mut Progress) {
        let timestamps = taken.timestamps;
        progress.timestamps = progress.timestamps.into_iter().chain(timestamps).reduce(Timestamps::and);
        self.newest_ms = self.newest_ms.max(timestamps.map(|t| t.greatest_ms));
        let records = taken.records.max(taken.chunk.len() + taken.bad.len()); // a record may become many rows
        self.task.takes(records);
        self.taken_records += records;
        progress.records += records;
        progress.bytes += taken.bytes;
        self.next = taken.next;
        self.leader_epoch = taken.leader_epoch.or(self.leader_epoch);
    }

    fn process(&mut self, batch: &Batch, taken: Taken, progress: &mut Progress) -> Result {
        self.took(&taken, progress);
        let Taken { mut chunk, raw, mut bad, records, first, .. } = taken;
        self.taken_first = (records > 0).then_some(first);
        let is_rejected = records == 1 && self.rejected.as_ref().is_some_and(|(at, _)| *at == first);
        if is_rejected {
            bad.extend(self.rejected.clone().map(|(offset, reason)| BadRecordAt {
                offset,
                reason,
                record: RawChunk::default(),
            }));
        } else if let Some((raw, careful)) = raw.as_ref().zip(self.careful.as_mut()) {
            let decoder = self.queue.decoder();
            careful.process((batch, self.node), raw, decoder.as_ref(), &mut self.task, &mut bad)?;
        } else {
            if let Some(raw) = raw {
                let (rows, undecodable) = self.queue.decoder().decode(&raw);
                bad.extend(undecodable.into_iter().map(|b| BadRecordAt::of(&raw, b.index, b.reason)));
                chunk = rows.made_from(raw.size());
            }
            if !chunk.is_empty() {
                self.task.process(batch, self.node, Port(0), chunk).inspect_err(|_| {
                    self.is_suspicious = self.careful.is_none() && self.policy != BadRecordPolicy::Fail;
                })?;
            }
        }
        progress.bad.extend(bad);
        Ok(())
    }

    /// Whether a record has failed here for the first time: once the batch is given up, failing records are found
    /// one by one.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.is_suspicious
    }

    /// Whether records are left as they come from now on, to be taken in pieces: then nobody else looks for failing ones.
    pub fn set_in_pieces(&mut self, in_pieces: bool) {
        self.careful = None;
        self.queue.set_raw(in_pieces);
    }

    /// The batch in flight is given up: its input is delivered again.
    pub fn abort(&mut self) {
        self.task.abort();
        self.queue.seek(self.start);
        if std::mem::take(&mut self.is_suspicious) {
            self.careful = Some(Careful::new((self.another_task)()));
            self.queue.set_raw(true);
        }
        self.taken_records = 0;
        (self.next, self.leader_epoch) = (self.start, self.start_epoch);
    }

    /// The batch in flight is committed.
    pub fn applied(&mut self, is_witnessed: bool, time: BatchTime) {
        if self.is_touched() {
            self.committed_at = Some(time);
        }
        self.commits_again = false;
        self.committed = Some(self.next);
        self.rejected.take_if(|(at, _)| *at < self.next);
        (self.start, self.start_epoch) = (self.next, self.leader_epoch);
        if self.careful.as_ref().is_some_and(Careful::is_over) && !self.queue.has_ready() {
            self.queue.set_raw(false);
            self.careful = None;
        }
        if is_witnessed {
            self.witnessed = Some(self.next);
        }
    }

    /// How far the partition is read.
    #[must_use]
    pub fn position(&self) -> SourcePosition {
        SourcePosition { at: self.at.clone(), next: self.next, newest_ms: self.newest_ms }
    }

    /// Whether its end should be asked for: an operator waits for it.
    pub fn needs_end(&mut self, now: BatchTime) -> bool {
        let needs = self.task.awaits_end() && self.end.is_none();
        if needs {
            self.end_asked.get_or_insert(now);
        }
        needs
    }

    /// Its end, as it was at or after the time when it was asked for.
    pub fn heard_end(&mut self, end: Offset) {
        self.end = self.end_asked.take().map(|at| (at, end));
    }

    /// Tells the task if everything up to that end is read.
    pub fn catch_up(&mut self) {
        if let Some((at, _)) = self.end.take_if(|(_, end)| self.next >= *end) {
            self.task.set_caught_up(at);
        }
    }

    /// Begins a batch; what was given up does not count as taken.
    pub fn begin_batch(&mut self, now: BatchTime, opens_interval: bool, interval_records_max: usize) {
        self.commits_again = self.is_old(now);
        let before = if opens_interval { 0 } else { self.taken_before + self.taken_records };
        (self.taken_before, self.taken_records) = (before, 0);
        self.interval_records_max = interval_records_max;
    }

    /// Records that it may still give to the interval.
    #[must_use]
    pub fn left_in_interval(&self) -> usize {
        self.interval_records_max.saturating_sub(self.taken_before + self.taken_records)
    }

    /// Whether its rate limit for this interval is reached. A waiting chunk is never split: it comes whole
    /// now or in the next interval.
    #[must_use]
    pub fn is_at_its_rate(&self) -> bool {
        let (left, waiting) = (self.left_in_interval(), self.queue.ready_records());
        left == 0 || (left < self.interval_records_max && waiting.is_some_and(|waiting| waiting > left))
    }

    /// What a batch that begins here has read: nothing yet.
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

    /// Whether its offset was committed so long ago that it has to be committed again.
    #[must_use]
    pub fn is_old(&self, now: BatchTime) -> bool {
        self.committed_at.is_none_or(|at| now.0.saturating_sub(at.0) >= COMMIT_AGAIN_EVERY_MS)
    }

    /// Whether the batch in flight commits the offset of this partition: it moved, was never committed, or that is long ago.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.commits_again || self.committed != Some(self.next)
    }
}
