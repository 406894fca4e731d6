//! The partitions that this process computes on: source partitions, local sources, and state partitions.
//!
//! Owns what is done to all of them alike. Knows no log call. Invariants: each list is ordered by partition;
//! nothing is computed on a partition that is not here.

use super::{
    bisection::Bisection, incoming::Incoming, local_input::LocalInput, pace::rate::Rates,
    source_partition::SourcePartition, state_partition::StatePartition, under_restore::UnderRestore,
};
use crate::{
    config::Config,
    operator::{Counters, NodeId, Work},
    record::{BatchTime, Partition, TopicPartition},
    runtime::events::{InputRange, SourcePosition},
    source::QueueLimits,
    state::Backend,
    task::Task,
};
use std::{collections::BTreeMap, ops::Range};

/// One pass over all source partitions takes about this many bytes, then the staged bytes are checked: short
/// words that are all new stage some twenty times as much.
pub const ROUND_BYTES: usize = 2 << 20;

/// Everything that a batch is computed on.
#[derive(Default)]
pub struct Partitions {
    /// Owned source partitions.
    pub sources: Vec<SourcePartition>,
    /// Local sources.
    pub locals: Vec<LocalInput>,
    /// Owned state partitions.
    pub states: Vec<StatePartition>,
    /// State partitions that are ours and under restore: they take nothing, but what they own of the sources is read.
    pub restoring: Vec<UnderRestore>,
    /// How often partitions have come or gone.
    pub changes: u64,
    /// The number of changes at the cut of the last batch that is done.
    pub changes_known: u64,
}

impl Partitions {
    /// What the group has assigned and what is recovered, or under restore while the rest goes on.
    #[must_use]
    pub fn owned(&self) -> Vec<TopicPartition> {
        self.sources.iter().map(|s| s.at.clone()).chain(self.owned_states().cloned()).collect()
    }

    /// The state partitions among them.
    pub fn owned_states(&self) -> impl Iterator<Item = &TopicPartition> {
        self.states.iter().map(|state| &state.at).chain(self.restoring.iter().map(|state| &state.at))
    }

    /// Whether there is none of these.
    #[must_use]
    pub fn none_owned(&self) -> bool {
        self.sources.is_empty() && self.states.is_empty() && self.restoring.is_empty()
    }

    /// Adds recovered partitions.
    pub fn add(&mut self, sources: Vec<SourcePartition>, states: Vec<StatePartition>) {
        self.changes += 1;
        self.sources.extend(sources);
        self.states.extend(states);
        self.sources.sort_by(|a, b| a.at.cmp(&b.at));
        self.states.sort_by_key(|s| s.partition);
    }

    /// Forgets partitions that are given back.
    pub fn remove(&mut self, at: &[TopicPartition]) {
        self.changes += 1;
        self.sources.retain(|s| !at.contains(&s.at));
        self.states.retain(|s| !at.contains(&s.at));
        self.restoring.retain(|s| !at.contains(&s.at));
    }

    /// Forgets everything that the group has assigned.
    pub fn close(&mut self) {
        self.changes += 1;
        self.sources.clear();
        self.states.clear();
        self.restoring.clear();
        self.locals.iter_mut().for_each(LocalInput::abort);
    }

    /// Begins a batch; returns what it has read so far, which is nothing. During the search for a failing
    /// record panics are not shown.
    pub fn begin_batch(
        &mut self,
        now: BatchTime,
        opens_interval: bool,
        partition_records: usize,
        quiet: bool,
    ) -> Vec<InputRange> {
        self.tasks().for_each(|task| task.set_quiet(quiet));
        self.sources.iter_mut().for_each(|s| s.begin_batch(now, opens_interval, partition_records));
        let sources = self.sources.iter().map(SourcePartition::nothing_read);
        sources.chain(self.locals.iter().map(LocalInput::nothing_read)).collect()
    }

    /// The batch in flight is given up: its input is delivered again.
    pub fn abort(&mut self) {
        self.abort_states();
        self.locals.iter_mut().for_each(LocalInput::abort);
        self.sources.iter_mut().for_each(SourcePartition::abort);
    }

    /// What state partitions have computed is given up, while the sources go on.
    pub fn abort_states(&mut self) {
        self.states.iter_mut().for_each(StatePartition::abort);
    }

    /// The time that a stage of all state partitions can close next, and that none of them has still to hear of: one that can close a
    /// later time next has heard of all before, and needs no closing for them, as it begins with that one. If they are closed `apart`, it
    /// is enough that the rows of one of them are there. Those that have closed less than others, as they were under restore, catch up
    /// in between.
    #[must_use]
    pub fn closable(&self, stage: u32, apart: bool) -> Option<BatchTime> {
        let (level, behind) = self.by_level(stage);
        closable(&level, stage, apart).or_else(|| closable(&behind, stage, apart))
    }

    /// Whether these stages can close something, all of it in state partitions that catch up with the others.
    #[must_use]
    pub fn only_catch_up(&self, stages: Range<u32>, apart: bool) -> bool {
        let mut catch_up = false;
        for stage in stages {
            let (level, behind) = self.by_level(stage);
            if closable(&level, stage, apart).is_some() {
                return false;
            }
            catch_up |= closable(&behind, stage, apart).is_some();
        }
        catch_up
    }

    /// The state partitions that have closed the most in a stage, or do so with their next time, and the others.
    fn by_level(&self, stage: u32) -> (Vec<&StatePartition>, Vec<&StatePartition>) {
        let newest = self.newest(stage);
        self.states.iter().partition(|state| state.is_level(stage, newest))
    }

    fn newest(&self, stage: u32) -> Option<BatchTime> {
        self.states.iter().filter_map(|state| state.closed(stage)).max()
    }

    /// Lets rows that wait in the exchange topic be in memory: all of them, or if that is more than `bytes_max`, those of the state
    /// partitions that close the next time first; and as much of those that catch up.
    pub fn share_memory(&mut self, stages: u32, bytes_max: usize) {
        let bytes = |state: &StatePartition| state.incoming.as_ref().map_or(0, Incoming::waiting_bytes);
        if self.states.iter().map(bytes).sum::<usize>() <= bytes_max {
            self.states.iter_mut().for_each(|state| state.set_loading(true));
            return;
        }
        let newest: Vec<_> = (1..stages).map(|stage| (stage, self.newest(stage))).collect();
        let is_level =
            |state: &StatePartition| newest.iter().all(|(stage, time)| state.is_level(*stage, *time));
        let marked = |state: &StatePartition| (1..stages).filter_map(|stage| state.marked(stage)).min();
        for level in [true, false] {
            let next = self.states.iter().filter(|state| is_level(state) == level).filter_map(marked).min();
            let mut loaded = 0;
            for state in self.states.iter_mut().filter(|state| is_level(state) == level) {
                let (is_next, bytes) = (next.is_some() && marked(state) == next, bytes(state));
                let loads = is_next && (loaded == 0 || loaded + bytes <= bytes_max);
                loaded += if loads { bytes } else { 0 };
                state.set_loading(loads);
            }
        }
    }

    /// The batch in flight changed nothing.
    pub fn rest(&mut self) {
        self.states.iter_mut().for_each(StatePartition::rest);
        self.sources.iter_mut().for_each(|s| s.task.rest());
        self.locals.iter_mut().for_each(LocalInput::rest);
    }

    /// About how many bytes the batch in flight holds until it ends.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        let states = self.states.iter().map(StatePartition::staged_bytes).sum::<usize>();
        let sources = self.sources.iter().map(|s| s.task.staged_bytes()).sum::<usize>();
        states + sources + self.locals.iter().map(|l| l.task.staged_bytes()).sum::<usize>()
    }

    /// Whether results depend on where a batch begins and ends.
    pub fn see_batches(&mut self) -> bool {
        self.tasks().any(|task| task.sees_batches())
    }

    /// Whether the input of a batch can be sent on in parts, in a transaction each. Rows of this process come once for each batch.
    #[must_use]
    pub fn take_parts(&self) -> bool {
        self.locals.is_empty() && self.sources.iter().all(|source| source.task.takes_parts())
    }

    /// Whether the batch in flight has moved an offset or touched state.
    #[must_use]
    pub fn have_moved(&self, has_input: bool) -> bool {
        (has_input && self.sources.iter().any(SourcePartition::is_touched))
            || self.states.iter().any(|s| s.touched)
    }

    /// The limits of one record queue; during the search for a failing record chunks are as small as the
    /// batch.
    #[must_use]
    pub fn queue_limits(&self, config: &Config, rates: &Rates, bisection: &Bisection) -> QueueLimits {
        let share = config.receive_buffer_bytes / self.sources.len().max(1);
        QueueLimits {
            chunk_records: bisection.limit().unwrap_or(8_192).clamp(1, config.batch_records_max),
            chunk_bytes: (ROUND_BYTES / self.sources.len().max(1)).clamp(1 << 16, 1 << 20),
            buffer_records: rates.partition_records().min(rates.interval_records()),
            buffer_bytes: if bisection.is_active() { 1 } else { (share / 2).max(1 << 16) },
        }
    }

    /// Whether each source has reached the point where a bounded run ends.
    #[must_use]
    pub fn have_taken_everything(&self) -> bool {
        self.sources.iter().all(|s| s.stop_at.is_some_and(|end| s.next >= end))
            && !self.locals.iter().any(LocalInput::has_more)
    }

    /// About how many records a bounded run has not taken yet.
    #[must_use]
    pub fn records_left(&self) -> u64 {
        self.sources.iter().filter_map(|s| Some(s.stop_at?.0.saturating_sub(s.next.0))).sum()
    }

    /// How far each source partition is read.
    #[must_use]
    pub fn positions(&self) -> Vec<SourcePosition> {
        self.sources.iter().map(SourcePartition::position).collect()
    }

    /// A figure of each database.
    #[must_use]
    pub fn of_databases(&self, number: impl Fn(&dyn Backend) -> u64) -> Vec<(Partition, u64)> {
        self.states.iter().map(|s| (s.partition, number(s.backend.as_ref()))).collect()
    }

    /// What all tasks have counted since the last call.
    pub fn take_counters(&mut self) -> Counters {
        let mut sum = Counters::default();
        self.tasks().for_each(|task| sum += task.take_counters());
        sum
    }

    /// What each operator did since the last call, summed over all tasks.
    pub fn take_work(&mut self) -> BTreeMap<NodeId, Work> {
        let mut sum: BTreeMap<NodeId, Work> = BTreeMap::new();
        self.tasks().flat_map(Task::take_work).for_each(|(node, work)| *sum.entry(node).or_default() += work);
        sum
    }

    /// All tasks.
    pub fn tasks(&mut self) -> impl Iterator<Item = &mut Task> {
        let sources = self.sources.iter_mut().map(|s| &mut s.task);
        let locals = self.locals.iter_mut().map(|l| &mut l.task);
        sources.chain(locals).chain(self.states.iter_mut().flat_map(|s| &mut s.tasks))
    }
}

fn closable(states: &[&StatePartition], stage: u32, apart: bool) -> Option<BatchTime> {
    let time = states.iter().filter_map(|state| state.marked(stage)).min()?;
    let is_known = |state: &&StatePartition| {
        state.marked(stage).is_some_and(|next| next >= time) || state.has_closed(stage, time)
    };
    let mut next = states.iter().filter(|state| state.marked(stage) == Some(time));
    let can = |state: &&StatePartition| state.closable(stage) == Some(time);
    let are_there = if apart { next.any(can) } else { next.all(can) };
    (are_there && states.iter().all(is_known)).then_some(time)
}
