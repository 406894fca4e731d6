//! What of a shard's exchange partition belongs to which batch: a pure state machine.
//!
//! A shard gets rows of all its upstreams through one partition. Owns when a stage may close a time, which rows the closing takes, in
//! which order, and which offset may be committed. Knows no log, no clock, no thread and no operator. It is fed the records of the
//! partition in the order of their offsets. A closing is prepared, then either applied, when it is committed, or aborted.
//!
//! Invariants (tested over all interleavings of three upstreams, and against a list of what each upstream sent):
//! each block is taken once by each stage that reads it; closed times rise, and rows of an upstream are taken at their own time (of one
//! that has just become known, by the next closing; where nothing was closed before, the first one may take several times); no time is closed before every upstream that is waited for has marked it; the
//! offset to commit lies at or before the first record that is needed again; nothing is dropped before it is committed that it was taken;
//! what is committed and the records from that offset on give back the alignment as it was.

mod queue;
mod stage;

pub use queue::{Block, Mark, Record};
pub use stage::{NEVER, StageProgress, Window};

use crate::{
    operator::{EdgeId, Upstream},
    plan::Topology,
    record::{BatchTime, Offset},
};
use queue::{Key, Queue};
use stage::Stage;
use std::{collections::BTreeMap, sync::Arc};

/// The alignment of one shard. Stages are counted from 1, as in the plan.
#[derive(Clone)]
pub struct Alignment<P> {
    plan: Arc<Topology>,
    /// The stages that read an edge, by position in `stages`.
    readers: BTreeMap<EdgeId, Vec<usize>>,
    stages: Vec<Stage>,
    queue: Queue<P>,
    /// After the last record that was read.
    next: Offset,
    /// Whether the rows of the next time are held, however many they are.
    loads: bool,
}

impl<P> Alignment<P> {
    /// The alignment as it was committed: the offset, and the progress of each stage from 1 on. `bytes_max` bounds what is held of blocks
    /// that are not due yet. Upstreams that the plan no longer reads are not waited for; what they sent is still taken.
    ///
    /// # Panics
    /// Unless there is a progress for each stage: a bug of the engine.
    #[must_use]
    pub fn new(
        plan: &Arc<Topology>,
        position: Offset,
        progress: impl IntoIterator<Item = StageProgress>,
        bytes_max: usize,
    ) -> Self {
        let stage = |(number, progress)| Stage::new(progress, |upstream| plan.is_upstream(upstream, number));
        let stages: Vec<Stage> = (1..).zip(progress).map(stage).collect();
        assert_eq!(stages.len() + 1, plan.stages() as usize, "engine bug: each stage has its progress");
        let mut readers: BTreeMap<EdgeId, Vec<usize>> = BTreeMap::new();
        for (index, number) in (1..plan.stages()).enumerate() {
            plan.edges_into(number).for_each(|(edge, _)| readers.entry(edge).or_default().push(index));
        }
        Alignment {
            plan: plan.clone(),
            readers,
            stages,
            queue: Queue::new(bytes_max),
            next: position,
            loads: true,
        }
    }

    /// The program has these windows: an instant at which one gives rows is closed even if no upstream has a batch for it.
    #[must_use]
    pub fn with_windows(mut self, windows: &[Window]) -> Self {
        self.stages.iter_mut().for_each(|stage| stage.set_windows(windows));
        self
    }

    /// A stage has no state yet: its first closing takes all rows up to the greatest of its upstreams' first marks. An upstream says in
    /// its first batch how far it is in event time, and must be heard before a watermark follows from what others say.
    #[must_use]
    pub fn beginning(mut self, stage: u32) -> Self {
        self.stages[index(stage)].begin();
        self
    }

    /// Takes a record. One that was read before only brings back what was forgotten of it.
    ///
    /// # Errors
    /// With the reason and the next step, if the record cannot be right: its rows would be lost.
    pub fn push(&mut self, record: Record<P>) -> Result<(), String> {
        let Record { offset, blocks, marks } = record;
        let is_new = offset >= self.next;
        if is_new {
            self.enter(offset, &blocks, &marks)?;
            self.next = offset.next();
        }
        for (index, block) in blocks.into_iter().enumerate() {
            let key = (block.time, offset, index);
            let is_open = || self.is_open(&block.upstream, block.edge, block.time);
            if (is_new && is_open()) || self.queue.is_forgotten(&key) {
                self.queue.hold(key, block);
            }
        }
        let (readers, stages, loads) = (&self.readers, &self.stages, self.loads);
        self.queue.forget(|block| {
            let is_due = |stage: &Stage| loads && stage.next().is_none_or(|next| block.time <= next);
            let mut of = readers[&block.edge].iter().map(|index| &stages[*index]);
            of.any(|stage| is_due(stage) && stage.is_open(&block.upstream, block.time))
        });
        if !is_new && self.needs_rereading() == Some(offset) {
            return Err(format!(
                "the record at offset {offset} does not hold the rows that it held before\n  next: look for what writes to this topic besides the program, and start again"
            ));
        }
        Ok(())
    }

    /// The time that a stage can close next: the least one that was announced after the closed one, or an instant of a window with rows
    /// before it, if all upstreams have marked it.
    #[must_use]
    pub fn closable(&self, stage: u32) -> Option<BatchTime> {
        let index = index(stage);
        self.stages[index].marked().filter(|time| self.lacking(index, *time).next().is_none())
    }

    /// The same, also if rows of that time are forgotten: then it can be closed once they are read again.
    #[must_use]
    pub fn marked(&self, stage: u32) -> Option<BatchTime> {
        self.stages[index(stage)].marked()
    }

    /// Whether the rows of the next time are held, and read again if they were forgotten, however many they are; otherwise no more is held
    /// than the bound, until it is their turn.
    pub fn set_loading(&mut self, loads: bool) {
        self.loads = loads;
    }

    /// What closing `time` takes, by upstream, and of each in the order of offsets: blocks of this time, and those of earlier ones from
    /// upstreams that became known after these were closed.
    #[must_use]
    pub fn units(&self, stage: u32, time: BatchTime) -> Vec<&Block<P>> {
        let index = index(stage);
        let taken = self.queue.held(time).filter(|(_, block)| self.takes(index, block, time));
        let mut taken: Vec<(&Key, &Block<P>)> = taken.collect();
        taken.sort_by_key(|(key, block)| (&block.upstream, key.1, key.2));
        taken.into_iter().map(|(_, block)| block).collect()
    }

    /// Prepares the closing of `time`: what follows in this transaction sees it as closed.
    ///
    /// # Panics
    /// If the stage cannot close `time` now: a bug of the engine.
    pub fn close(&mut self, stage: u32, time: BatchTime) {
        assert_eq!(self.closable(stage), Some(time), "engine bug: stage {stage} cannot close this time");
        self.stages[index(stage)].close(time);
        if crate::failpoint::passes("mutant-dropped-before-apply") {
            self.drop_taken();
        }
    }

    /// The transaction with all prepared closings, and with what [`Self::position`], [`Self::closed`] and [`Self::row_is_due`] say, is
    /// committed.
    pub fn apply(&mut self) {
        self.stages.iter_mut().for_each(Stage::apply);
        self.drop_taken();
    }

    /// The transaction is not committed: everything is as it was before the closings were prepared.
    pub fn abort(&mut self) {
        self.stages.iter_mut().for_each(Stage::abort);
    }

    /// The offset to commit with what is prepared: the first record from which something is needed after a restart.
    #[must_use]
    pub fn position(&self) -> Offset {
        if crate::failpoint::passes("mutant-fetch-position") {
            return self.next;
        }
        let block = self.queue.first(|upstream, edge, time| self.is_open(upstream, edge, time));
        let mark = self.stages.iter().filter_map(Stage::first_needed);
        let position = block.into_iter().chain(mark).min().unwrap_or(self.next);
        debug_assert!(position <= self.next, "nothing is needed that was not read");
        position
    }

    /// The offset after the last record that was read. If it is the position as well, nothing waits here.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The time that a stage has closed, with what is prepared.
    #[must_use]
    pub fn closed(&self, stage: u32) -> BatchTime {
        self.stages[index(stage)].closing()
    }

    /// Whether the upstreams of a stage have to be committed with its prepared closings.
    #[must_use]
    pub fn row_is_due(&self, stage: u32) -> bool {
        self.stages[index(stage)].row_is_due()
    }

    /// What is to be committed of a stage, with what is prepared.
    #[must_use]
    pub fn progress(&self, stage: u32) -> StageProgress {
        self.stages[index(stage)].progress()
    }

    /// Waits no longer for an upstream that does not exist any more, until it marks again. What it sent is still taken.
    ///
    /// # Panics
    /// If a closing is prepared: a bug of the engine.
    pub fn take_out(&mut self, upstream: &Upstream) {
        self.stages.iter_mut().for_each(|stage| stage.take_out(upstream));
    }

    /// The next time of a stage and the upstreams that hold it back; none, if it can be closed or its rows are being read again.
    #[must_use]
    pub fn held_back(&self, stage: u32) -> Option<(BatchTime, Vec<&Upstream>)> {
        let stage = &self.stages[index(stage)];
        let time = stage.next()?;
        Some((time, stage.unmarked(time).collect()))
    }

    /// The upstreams that the plan does not read any more, and that have sent a part of a batch and not its end. Nobody sends more of them:
    /// somebody has to mark for them, so that what they sent is taken.
    pub fn cut_off(&self) -> impl Iterator<Item = &Upstream> {
        self.stages.iter().flat_map(Stage::cut_off)
    }

    /// The greatest number of announced times that a stage has not closed.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.stages.iter().map(Stage::behind).max().unwrap_or(0)
    }

    /// How many bytes of blocks are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// How many bytes wait for their time, in memory or forgotten.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.queue.waiting_bytes()
    }

    /// The first record with rows that were forgotten and that a stage could take now. Its time is not closable before it is read again.
    /// None while they are not to be held.
    #[must_use]
    pub fn needs_rereading(&self) -> Option<Offset> {
        if !self.loads {
            return None;
        }
        let marked = self.stages.iter().enumerate().filter_map(|(i, stage)| Some((i, stage.marked()?)));
        marked.flat_map(|(index, time)| self.lacking(index, time)).min()
    }

    /// Where a reader goes on whose next record is that at `at`: there, back where rows are needed again, or forward, past what it does
    /// not need to read again.
    #[must_use]
    pub fn read_from(&self, at: Offset) -> Offset {
        match self.needs_rereading() {
            Some(needed) if needed < at => needed,
            Some(_) => at,
            None if at < self.next && !self.queue.has_room_for_later(at) => self.next,
            None => at,
        }
    }

    /// A record is read for the first time.
    fn enter(&mut self, at: Offset, blocks: &[Block<P>], marks: &[Mark]) -> Result<(), String> {
        for Block { edge, upstream, time, .. } in blocks {
            let Some(readers) = self.readers.get(edge) else {
                return Err(format!(
                    "the record at offset {at} has rows of the exchange {edge}, which this program does not read\n  next: start the program that wrote them, and let it take them before it is replaced"
                ));
            };
            for index in readers {
                let stage = &mut self.stages[*index];
                if stage.is_marked(upstream, *time) {
                    return Err(format!(
                        "the record at offset {at} has rows of {upstream} of batch time {time}, after the mark that ended this time\n  next: look for a second process that writes in the place of another one; if there is none, report this"
                    ));
                }
                stage.block(upstream, *time, at, || self.plan.is_upstream(upstream, number(*index)));
            }
        }
        for Mark { upstream, time } in marks {
            for (index, stage) in self.stages.iter_mut().enumerate() {
                stage.mark(upstream, *time, at, || self.plan.is_upstream(upstream, number(index)));
            }
        }
        Ok(())
    }

    /// Whether a stage is still to take a block.
    fn is_open(&self, upstream: &Upstream, edge: EdgeId, time: BatchTime) -> bool {
        self.readers[&edge].iter().any(|index| self.stages[*index].is_open(upstream, time))
    }

    /// Whether closing `time` takes a block.
    fn takes<Q>(&self, index: usize, block: &Block<Q>, time: BatchTime) -> bool {
        self.readers[&block.edge].contains(&index)
            && self.stages[index].takes(&block.upstream, block.time, time)
    }

    /// Where the rows are that closing `time` would take and that were forgotten.
    fn lacking(&self, index: usize, time: BatchTime) -> impl Iterator<Item = Offset> {
        let forgotten = self.queue.forgotten(time);
        forgotten.filter(move |(_, block)| self.takes(index, block, time)).map(|(key, _)| key.1)
    }

    fn drop_taken(&mut self) {
        let (readers, stages) = (&self.readers, &self.stages);
        self.queue.retain(|upstream, edge, time| {
            readers[&edge].iter().any(|index| stages[*index].is_open(upstream, time))
        });
    }
}

/// The position of a stage in `stages`.
fn index(stage: u32) -> usize {
    stage as usize - 1
}

/// The number of a stage.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).expect("stages are few")
}
