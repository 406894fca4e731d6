//! Closes times: later stages take the rows of a time that have come through the exchange topic, once all upstreams have
//! said that none is missing.
//!
//! Knows no operator. Invariants: a transaction closes a time, in each stage in which it can be closed, in all state
//! partitions of this process, or where they have many rows of it in a few at a time, as far as no output takes rows of all of
//! them; where no output is finished batch by batch outside the log, it closes the times that can be closed after it as well, each as if it
//! were alone; it is committed by itself, also while a batch takes input, which knows nothing of it; what it takes is there again if it is given up.

mod exchange;
mod failing_rows;
mod mode;
mod parts;

use super::Loop;
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    operator::{Batch, Upstream},
    record::{BatchTime, Partition, TaskId},
    runtime::batch::{
        in_flight::{Content, InFlight},
        incoming::Incoming,
        partitions::Partitions,
        state_partition::StatePartition,
    },
    task::checkpoint::{Event, Phase},
};
pub(super) use exchange::Exchange;
use std::{collections::BTreeSet, time::Duration};

/// Rows that wait in the exchange topic take so much memory, as a part of what a batch may stage.
const LOADED_PART: usize = 3;
/// Short rows that are all new stage about so many times their bytes.
const STAGED_PER_BYTE: usize = 8;
/// A transaction closes so many times at most.
const TIMES_MAX: usize = 100;
/// It begins to close no further one after so long.
const BEGUN_WITHIN: Duration = Duration::from_millis(50);

impl Loop {
    /// Closes a time if one can be closed; at the barrier. Returns whether anything has happened.
    pub(super) fn close_times(&mut self) -> Result<bool> {
        if self.exchange.is_none() || (self.has_rivals() && !self.has_all_states()) {
            return Ok(false);
        }
        let apart = self.app.plan.may_be_closed_apart();
        let Loop { app, group, partitions, attention, .. } = self;
        let loaded_max = if apart { app.config.staged_bytes_max / LOADED_PART } else { usize::MAX };
        partitions.share_memory(app.plan.stages(), loaded_max);
        let take = |state: &mut StatePartition| state.incoming.as_mut().map_or(Ok(false), Incoming::take);
        let taken = attention.each(app, group, &mut partitions.states, take)?;
        let moved = taken.into_iter().collect::<Result<Vec<bool>>>()?.contains(&true);
        let Some(time) = self.next_time() else { return Ok(moved) };
        let began = self.app.now();
        let closing = InFlight {
            content: Content::Closing,
            batch: Some(self.closing_of(time)),
            closing: self.closed_together(time),
            outgoing: self.outgoing(),
            began,
            began_ms: self.app.env.clock.now_ms(),
            input_ended: began,
            ..InFlight::default()
        };
        let batch = std::mem::replace(&mut self.in_flight, closing);
        let done = self.transact();
        self.in_flight = batch;
        done.map(|()| true)
    }

    /// The time that can be closed next.
    fn next_time(&self) -> Option<BatchTime> {
        let apart = self.app.plan.may_be_closed_apart();
        let stages = 1..self.app.plan.stages();
        stages.filter_map(|stage| self.partitions.closable(stage, apart)).min()
    }

    fn closing_of(&mut self, time: BatchTime) -> Batch {
        let (clock_ms, id) = (self.app.env.clock.now_ms().max(time.0), self.pace.next_id());
        let is_roll_call = self.exchange.as_ref().is_some_and(|e| e.roll_calls.contains(&time));
        Batch { id, time, clock_ms, is_roll_call }
    }

    /// The same, while a batch takes input, and first in state partitions whose restore has ended. What the group asks comes first, at the
    /// barrier: until then nothing may be committed, and a closing would be given up again and again.
    pub(super) fn close_meanwhile(&mut self) -> Result<bool> {
        if self.exchange.is_none() || self.group.has_events() || self.group.has_lost() {
            return Ok(false);
        }
        let held = self.transaction.put_aside();
        let owned_none = self.partitions.none_owned();
        let phase = std::mem::replace(&mut self.checkpoint.phase, Phase::Barrier);
        let closed = self.take_up_restored().and_then(|()| self.close_times());
        self.checkpoint.phase = phase;
        self.transaction.take_up(held);
        if !owned_none && self.partitions.none_owned() {
            let what = "the partitions were lost while a time was closed";
            return Err(Failure::new(Stage::Group, Reaction::CloseTasks, what).into());
        }
        closed
    }

    /// Computes the closing of a time.
    pub(super) fn compute_closing(&mut self) -> Result<Event> {
        match self.try_closing() {
            Ok(true) => Ok(Event::Computed),
            Ok(false) => {
                self.rest_empty();
                Ok(Event::Empty)
            }
            Err(e @ Error::Operator { .. }) => Ok(self.suspect_rows(e)),
            Err(e) => self.failed(e),
        }
    }

    fn try_closing(&mut self) -> Result<bool> {
        let _ = crate::failpoint::passes("during-compute");
        let mut bytes = self.due_bytes(&self.in_flight.closing, self.in_flight.batch().time);
        for times in 1.. {
            self.close_stages()?;
            self.in_flight.counters += self.partitions.take_counters();
            let is_mutant = crate::failpoint::passes("mutant-one-time");
            if times == TIMES_MAX || is_mutant || !self.may_close_more() {
                break;
            }
            let Some(next) = self.next_time() else { break };
            let closing = self.closed_together(next);
            bytes += self.due_bytes(&closing, next);
            if bytes > self.closed_bytes_max() || self.is_suspect(next) {
                break;
            }
            // It sees what this one has changed.
            self.seal()?;
            if !crate::failpoint::passes("mutant-times-apart") {
                self.partitions.states.iter_mut().for_each(StatePartition::keep_piece);
            }
            (self.in_flight.batch, self.in_flight.closing) = (Some(self.closing_of(next)), closing);
        }
        self.hold_changes(self.in_flight.batch())
    }

    fn close_stages(&mut self) -> Result {
        let (batch, apart) = (self.in_flight.batch(), self.app.plan.may_be_closed_apart());
        for number in 1..self.app.plan.stages() {
            if self.partitions.closable(number, apart) == Some(batch.time) {
                self.close_stage(&batch, number)?;
            }
        }
        Ok(())
    }

    /// Whether the closing in flight may be that of several times. One whose rows are tried before they are taken stays alone.
    fn may_close_more(&self) -> bool {
        !self.app.plan.has_two_phase_outputs()
            && self.app.since(self.in_flight.began) < BEGUN_WITHIN
            && !self.is_suspect(self.in_flight.batch().time)
    }

    fn is_suspect(&self, time: BatchTime) -> bool {
        self.partitions.states.iter().any(|state| state.suspect == Some(time))
    }

    /// About how many bytes of rows closing a time takes in these state partitions.
    fn due_bytes(&self, closing: &BTreeSet<Partition>, time: BatchTime) -> usize {
        let states = self.partitions.states.iter().filter(|state| closing.contains(&state.partition));
        states.map(|state| state.due_bytes(time)).sum()
    }

    fn closed_bytes_max(&self) -> usize {
        self.app.config.staged_bytes_max / STAGED_PER_BYTE
    }

    /// The state partitions in which a time is closed by one transaction: those that can close it in any stage, from the first on, as many
    /// as have not too many rows of it together.
    fn closed_together(&self, time: BatchTime) -> BTreeSet<Partition> {
        let stages = 1..self.app.plan.stages();
        let can = |state: &&StatePartition| stages.clone().any(|stage| state.closable(stage) == Some(time));
        let closing = self.partitions.states.iter().filter(can);
        if !self.app.plan.may_be_closed_apart() {
            return closing.map(|state| state.partition).collect();
        }
        let bytes_max = self.closed_bytes_max();
        let mut sum = 0;
        let fits = |state: &&StatePartition| {
            let (before, bytes) = (sum, state.due_bytes(time));
            sum += bytes;
            before == 0 || sum <= bytes_max
        };
        closing.take_while(fits).map(|state| state.partition).collect()
    }

    fn close_stage(&mut self, batch: &Batch, number: u32) -> Result {
        let (facts, stage) = (*batch, number as usize);
        let together = self.in_flight.closing.clone();
        let can = |state: &StatePartition| {
            together.contains(&state.partition) && state.closable(number) == Some(facts.time)
        };
        let closing: Vec<Partition> =
            self.partitions.states.iter().filter(|s| can(s)).map(|s| s.partition).collect();
        let tasks = closing.iter().map(|partition| TaskId { stage: number, partition: *partition });
        self.in_flight.closed.extend(tasks);
        let these: BTreeSet<Partition> = closing.iter().copied().collect();
        let closed = these.clone();
        self.advance_states(move |state| {
            if !closed.contains(&state.partition) {
                return Ok(vec![]);
            }
            state.close(&facts, stage)?;
            state.advance(&facts, stage, true)
        })?;
        self.leave_out_failed_rows()?;
        while self.partitions.states.iter().any(|state| state.is_ending) {
            self.advance_states(move |state| {
                if state.is_ending { state.advance(&facts, stage, true) } else { Ok(vec![]) }
            })?;
        }
        if self.app.plan.edges().any(|(_, edge)| edge.stage == number) {
            let outgoing = self.in_flight.outgoing.as_mut().expect("rows go through the topic");
            for partition in closing {
                outgoing.mark(&Upstream::Task(TaskId { stage: number, partition }), batch.time);
            }
            let marked = |state: &&mut StatePartition| these.contains(&state.partition);
            self.partitions.states.iter_mut().filter(marked).for_each(|state| state.touched = true);
        }
        Ok(())
    }

    /// Forgets a closing that was given up.
    pub(super) fn drop_closing(&mut self) -> Event {
        if let Some(failure) = &self.checkpoint.failure {
            tracing::info!("a time was not closed, and is closed again: {failure}");
        }
        self.partitions.abort_states();
        self.two_phase.discard();
        self.transaction.forget();
        self.report_replayed(false);
        Event::Dropped
    }

    /// Whether so many rows wait for marks, of other processes or of this one at the end of an interval, that no input is to be taken: the
    /// marks of this one go on.
    pub(super) fn has_too_much_waiting(&mut self) -> bool {
        let Some(exchange) = &mut self.exchange else { return false };
        let incoming = self.partitions.states.iter().filter_map(|state| state.incoming.as_ref());
        let bytes: usize = incoming.map(Incoming::waiting_bytes).sum();
        let has_too_much = bytes > self.app.config.waiting_bytes_max;
        if has_too_much && !exchange.is_held_up {
            tracing::warn!(
                "{bytes} bytes of rows wait for the end of their batch, or for other processes: no input is taken until they are closed (`waiting_bytes_max`)"
            );
        }
        exchange.is_held_up = has_too_much;
        has_too_much
    }

    /// Whether later stages have closed all times of input that this process has committed.
    pub(super) fn has_closed_everything(&self) -> bool {
        let last = self.pace.last_time();
        let has_closed =
            |state: &StatePartition| (1..self.app.plan.stages()).all(|stage| state.has_closed(stage, last));
        let Partitions { states, restoring, .. } = &self.partitions;
        self.exchange.is_none() || (restoring.is_empty() && states.iter().all(has_closed))
    }

    /// Whether nothing more is to be taken before everything is closed.
    pub(super) fn ends_when_closed(&self) -> bool {
        self.app.is_bounded() && self.partitions.have_taken_everything()
            || self.app.env.shutdown.is_drain_requested()
    }
}
