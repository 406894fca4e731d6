//! One owned state partition: its database, the tasks of all keyed stages, and what waits for each.
//!
//! Knows no log call. Invariant: the database changes only in [`StatePartition::apply`].

use super::incoming::Incoming;
use crate::{
    error::{Error, Result},
    operator::{Batch, Envelope, Output},
    plan::Topology,
    record::{BatchTime, Offset, Partition, RawChunk, TaskId, TopicPartition},
    state::{Backend, Overlay},
    task::{
        Stopwatch, Task,
        closing_rows::{ClosingRows, FailedRow},
        failing_rows::{self, Found},
        recovery_record::RecoveryRecord,
        stage_row,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// What is known about a state partition whose database is up to date.
pub struct Recovered {
    /// Its partition of the exchange topic.
    pub at: TopicPartition,
    /// Where the exchange topic is read from.
    pub exchange_next: Offset,
    /// At most the offset after the last committed changelog row.
    pub changelog_end: Offset,
    /// The source offsets that the local database had recorded as consumed when it was opened.
    pub seen: Option<BTreeMap<String, Offset>>,
    /// Its database.
    pub backend: Arc<dyn Backend>,
    /// Whether the group does not have its record: the next batch commits it even if it changes nothing.
    pub is_unrecorded: bool,
}

/// One owned state partition.
pub struct StatePartition {
    /// Which.
    pub partition: Partition,
    /// Its partition of the exchange topic: what the group assigns.
    pub at: TopicPartition,
    /// The next offset of the exchange topic, if no rows come through it.
    exchange_next: Offset,
    /// The offset of the exchange topic that is committed: nothing before it is needed.
    pub exchange_committed: Offset,
    /// What comes through the exchange topic, if rows go through it.
    pub incoming: Option<Incoming>,
    /// Its database, with what pieces of the batch in flight have changed.
    pub backend: Arc<Overlay>,
    /// Tasks from stage 1 on.
    pub tasks: Vec<Task>,
    /// Rows that are waiting for each stage.
    pub inbox: Vec<Vec<Envelope>>,
    /// Rows that the closing in flight takes next, in the stage that is running.
    due: Option<ClosingRows>,
    /// Sealed changes of the batch in flight.
    pub changes: Vec<RawChunk>,
    /// How many of them are of pieces that have passed.
    kept: usize,
    /// The source offsets that the local database had recorded as consumed when it was opened: a witness.
    pub seen: Option<BTreeMap<String, Offset>>,
    /// At most the offset after its last committed changelog row: where a roll forward begins.
    pub changelog_end: Offset,
    /// Changelog rows that the batch in flight sent.
    pub sent_rows: u64,
    /// Whether the batch in flight touched it.
    pub touched: bool,
    /// Whether the group does not have its record yet.
    is_unrecorded: bool,
    /// Whether ending the batch, in the current stage, has more to emit.
    pub is_ending: bool,
    /// The time whose closing has failed: its rows are tried before they are taken.
    pub suspect: Option<BatchTime>,
    /// Rows that the closing in flight leaves out, as they fail.
    pub failed: Vec<FailedRow>,
}

impl StatePartition {
    /// The tasks of `plan` over a recovered database.
    #[must_use]
    pub fn open(plan: &Topology, recovered: Recovered, state_partitions: u32, stopwatch: &Stopwatch) -> Self {
        let Recovered { at, exchange_next, changelog_end, seen, backend, is_unrecorded } = recovered;
        let partition = at.partition;
        let backend = Arc::new(Overlay::over(backend));
        let of_tasks: Arc<dyn Backend> = backend.clone();
        let open = |stage| {
            let id = TaskId { stage, partition };
            Task::open(plan, id, None, state_partitions, Some(&of_tasks)).timed(stopwatch.clone())
        };
        let tasks: Vec<Task> = (1..plan.stages()).map(open).collect();
        StatePartition {
            partition,
            at,
            exchange_next,
            exchange_committed: exchange_next,
            incoming: None,
            inbox: tasks.iter().map(|_| vec![]).collect(),
            due: None,
            tasks,
            changelog_end,
            seen,
            backend,
            changes: vec![],
            kept: 0,
            sent_rows: 0,
            touched: is_unrecorded,
            is_unrecorded,
            is_ending: false,
            suspect: None,
            failed: vec![],
        }
    }

    /// Runs what is waiting for stage `stage` (from 1) and, at the end of the batch, takes what its closing takes, and ends the batch
    /// there; `is_ending` says whether there is more to come, in another call.
    ///
    /// # Errors
    /// If an operator fails.
    pub fn advance(&mut self, batch: &Batch, stage: usize, end: bool) -> Result<Vec<Output>> {
        let task = &mut self.tasks[stage - 1];
        for envelope in self.inbox[stage - 1].drain(..) {
            self.touched = true;
            task.receive(batch, envelope)?;
        }
        if end {
            while let Some(envelope) = self.due.as_mut().map_or(Ok(None), ClosingRows::take)? {
                task.receive(batch, envelope)?;
                if task.is_full() {
                    self.is_ending = true;
                    return Ok(task.take_outputs());
                }
            }
            self.due = None;
            self.is_ending = task.end_some(batch)?;
        }
        Ok(task.take_outputs())
    }

    /// From now on no rows come through the exchange topic. The next batch commits that, whatever it changes: what its record says of
    /// closed times would be of the past when rows go through the topic again.
    pub fn stop_exchange(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.exchange_next = incoming.next();
            (self.is_unrecorded, self.touched) = (true, true);
        }
    }

    /// Prepares the closing of a time in a stage: what has come for it is waiting there afterwards, but for rows that fail.
    ///
    /// # Errors
    /// If it cannot be decoded, or the stage fails without any row.
    pub fn close(&mut self, batch: &Batch, stage: usize) -> Result {
        let number = u32::try_from(stage).expect("stages are few");
        let Some(incoming) = &mut self.incoming else { return Ok(()) };
        let rows = incoming.rows(number, batch.time);
        incoming.close(number, batch.time);
        if let Some(progress) = incoming.changed_progress(number) {
            self.changes.push(stage_row::changelog_row(number, &progress));
        }
        let is_suspect = self.suspect == Some(batch.time);
        let rows = if is_suspect { self.without_failing(batch, stage, &rows)? } else { rows };
        self.touched |= !rows.is_empty();
        self.due = Some(rows);
        Ok(())
    }

    /// About how many bytes of rows closing a time takes, in the stages that can close it.
    #[must_use]
    pub fn due_bytes(&self, time: BatchTime) -> usize {
        let Some(incoming) = &self.incoming else { return 0 };
        let due = (1..).zip(&self.tasks).filter(|(stage, _)| incoming.closable(*stage) == Some(time));
        due.map(|(stage, _)| incoming.due_bytes(stage, time)).sum()
    }

    /// The rows of a closing without those that fail, which are noted.
    fn without_failing(&mut self, batch: &Batch, stage: usize, rows: &ClosingRows) -> Result<ClosingRows> {
        let (groups, task) = (rows.by_key()?, &mut self.tasks[stage - 1]);
        task.set_quiet(true);
        let found = failing_rows::search(&groups, |positions| trial(task, batch, rows.only(positions)?));
        task.set_quiet(false);
        let bad = match found? {
            Found::Rows(bad) => bad,
            Found::WithoutRows(error) => return Err(error),
        };
        let mut good: Vec<usize> = groups.into_iter().flatten().collect();
        good.retain(|row| bad.binary_search_by_key(row, |(position, _)| *position).is_err());
        good.sort_unstable();
        for (position, error) in bad {
            self.failed.push(rows.failed(position, error)?);
        }
        rows.only(&good)
    }

    /// The time that a stage can close next.
    #[must_use]
    pub fn closable(&self, stage: u32) -> Option<BatchTime> {
        self.incoming.as_ref().and_then(|incoming| incoming.closable(stage))
    }

    /// The same, also if its rows have to be read again before.
    #[must_use]
    pub fn marked(&self, stage: u32) -> Option<BatchTime> {
        self.incoming.as_ref().and_then(|incoming| incoming.marked(stage))
    }

    /// The last time that a stage has closed.
    #[must_use]
    pub fn closed(&self, stage: u32) -> Option<BatchTime> {
        self.incoming.as_ref().map(|incoming| incoming.closed(stage))
    }

    /// Whether a stage has closed as much as the one that has closed the most, up to `newest`, or does so with its next time.
    #[must_use]
    pub fn is_level(&self, stage: u32, newest: Option<BatchTime>) -> bool {
        self.closed(stage) == newest || self.marked(stage) == newest
    }

    /// Whether the rows of its next time are held however many they are.
    pub fn set_loading(&mut self, loads: bool) {
        self.incoming.iter_mut().for_each(|incoming| incoming.set_loading(loads));
    }

    /// Whether a stage has closed a time.
    #[must_use]
    pub fn has_closed(&self, stage: u32, time: BatchTime) -> bool {
        self.incoming.as_ref().is_none_or(|incoming| incoming.closed(stage) >= time)
    }

    /// The offset of the exchange topic to commit.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.incoming.as_ref().map_or(self.exchange_next, Incoming::position)
    }

    /// The record of the batch, with what is particular to this partition.
    #[must_use]
    pub fn record(&self, of_batch: &RecoveryRecord) -> RecoveryRecord {
        let mut record = of_batch.with_changelog_end(self.end_in_flight());
        if let Some(incoming) = &self.incoming {
            record.closed = (1..).zip(&self.tasks).map(|(stage, _)| incoming.closed(stage)).collect();
        }
        record
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
    pub fn apply(&mut self, record: &RecoveryRecord) -> Result {
        let _ = crate::failpoint::passes("during-apply");
        self.backend.apply(&self.changes, Some(record.to_text().as_bytes()))?;
        self.changes.clear();
        self.kept = 0;
        self.tasks.iter_mut().for_each(Task::applied);
        self.exchange_committed = self.position();
        self.incoming.iter_mut().for_each(Incoming::apply);
        self.changelog_end = self.end_in_flight();
        self.sent_rows = 0;
        (self.touched, self.is_unrecorded) = (false, false);
        Ok(())
    }

    /// The batch in flight is committed and has not touched it: what it has closed is committed with a later one.
    pub fn leave(&mut self) {
        self.incoming.iter_mut().for_each(Incoming::apply);
    }

    /// Forgets the batch in flight.
    pub fn abort(&mut self) {
        if !crate::failpoint::passes("mutant-staged-state-kept") {
            self.tasks.iter_mut().for_each(Task::abort);
        }
        self.inbox.iter_mut().for_each(Vec::clear);
        self.due = None;
        self.is_ending = false;
        self.failed.clear();
        self.changes.clear();
        self.kept = 0;
        self.backend.clear();
        self.incoming.iter_mut().for_each(Incoming::abort);
        self.sent_rows = 0;
        self.touched = self.is_unrecorded;
    }

    /// The piece in flight has passed, and is sealed: what follows sees what it changed.
    pub fn keep_piece(&mut self) {
        self.backend.add(&self.changes[self.kept..]);
        self.kept = self.changes.len();
        self.tasks.iter_mut().for_each(Task::applied);
    }

    /// Forgets the piece in flight.
    pub fn undo_piece(&mut self) {
        self.tasks.iter_mut().for_each(Task::abort);
        self.inbox.iter_mut().for_each(Vec::clear);
        self.changes.truncate(self.kept);
        self.is_ending = false;
    }

    /// Ends a batch that changed nothing.
    pub fn rest(&mut self) {
        self.leave();
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
        let kept: usize = self.changes[..self.kept].iter().map(RawChunk::bytes).sum();
        2 * kept + self.tasks.iter().map(Task::staged_bytes).sum::<usize>() // once sealed, once to be seen
    }
}

/// Closes a time with these rows, and undoes that; how it fails, if it does.
fn trial(task: &mut Task, batch: &Batch, mut rows: ClosingRows) -> Result<Option<Error>> {
    let mut close = || {
        while let Some(envelope) = rows.take()? {
            task.receive(batch, envelope)?;
            drop(task.take_outputs());
        }
        while task.end_some(batch)? {
            drop(task.take_outputs());
        }
        task.seal().map(drop)
    };
    let closed = close();
    task.abort();
    match closed {
        Err(e @ Error::Operator { .. }) => Ok(Some(e)),
        other => other.map(|()| None),
    }
}
