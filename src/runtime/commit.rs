//! Performing the actions of the checkpoint machine after compute.
//!
//! Owns the calls to the producer, the databases and the group that end a batch, and the way back after a failure. Decides nothing.
//! Invariants: the member id and the loss of the assignment are looked at between the last acknowledgement and the offsets; offsets
//! are sent for every touched partition, moved or not; the databases are written only by `apply`.

use super::{
    engine::{BatchReport, Engine, Observed},
    local_input::LocalInput,
    rate::Achieved,
    units::{SourcePartition, StatePartition},
};
use crate::{
    config::Trigger,
    error::{Error, Failure, Reaction, Result, Stage},
    log::Committed,
    operator::{Batch, NodeId},
    record::{Partition, TopicPartition},
    state::Backend,
    task::{
        checkpoint::{Event, Phase},
        recovery_record::RecoveryRecord,
    },
};
use std::{collections::BTreeMap, time::Duration};

impl Engine {
    /// The record of the batch, without what differs per partition.
    pub(super) fn record(&self, batch: &Batch) -> RecoveryRecord {
        RecoveryRecord::new(self.token(batch), batch.time, &self.fingerprint)
    }

    fn batch(&self) -> Batch {
        self.flight.batch.expect("a batch is in flight")
    }

    /// Waits for the acknowledgements, while the next input is fetched and decoded.
    pub(super) fn flush(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("before-flush");
        let limits = self.limits();
        let sources = std::mem::take(&mut self.sources);
        let filling = self.pool.start(sources, move |unit| unit.queue.fill(limits));
        let producer = self.producer.as_mut().expect("ready before the first batch");
        let flushed = if self.flight.open { producer.flush() } else { producer.begin() };
        self.flight.open |= flushed.is_ok();
        let (sources, filled): (Vec<_>, Vec<_>) = filling.wait().into_iter().unzip();
        self.sources = sources;
        for (unit, filled) in self.sources.iter().zip(&filled) {
            if let Err(f) = filled {
                self.env.observer.on(&Observed::ReceiverFailed { at: &unit.at, why: &f.message });
            }
        }
        let result = flushed.and_then(|()| filled.into_iter().collect::<Result<(), Failure>>());
        match result {
            Ok(()) => {
                let _ = crate::failpoint::passes("after-flush");
                if crate::failpoint::passes("fail-flush") {
                    let what = "a test gives the batch up";
                    return self.failed(Failure::new(Stage::Produce, Reaction::AbortReplay, what).into());
                }
                Ok(Event::Flushed)
            }
            Err(f) => self.failed(f.into()),
        }
    }

    /// Sends the offsets and ends the transaction.
    pub(super) fn commit(&mut self) -> Result<Event> {
        let membership = match self.member.membership() {
            Ok(m) => m,
            Err(f) => return self.failed(f.into()),
        };
        let expelled = membership.member_id != self.member_id || self.member.assignment_lost();
        if expelled && !crate::failpoint::passes("mutant-expelled-goes-on") {
            let what = "the partitions were lost while the batch was computed";
            return self.failed(Failure::new(Stage::SendOffsets, Reaction::CloseTasks, what).into());
        }
        let offsets = match self.offsets() {
            Ok(offsets) => offsets,
            Err(e) => return self.failed(e),
        };
        let _ = crate::failpoint::passes("before-offsets");
        if crate::failpoint::passes("mutant-apply-before-commit") {
            for unit in self.states.iter().filter(|s| s.touched) {
                unit.backend.apply(&unit.changes, None)?;
            }
        }
        let producer = self.producer.as_mut().expect("ready before the first batch");
        let committed = if crate::failpoint::passes("lose-request") {
            Err(Failure::new(Stage::Commit, Reaction::Unknown, "a test lost the request"))
        } else {
            producer.commit(&offsets, &membership)
        };
        let _ = crate::failpoint::passes("after-commit");
        let lost = committed.is_ok() && crate::failpoint::passes("lose-answer");
        let committed = if lost {
            Err(Failure::new(Stage::Commit, Reaction::Unknown, "a test lost the answer"))
        } else {
            committed
        };
        match committed {
            Ok(()) => {
                self.last_commit = Some(self.env.clock.monotonic());
                Ok(Event::Committed)
            }
            Err(f) if f.reaction == Reaction::Unknown => self.in_doubt(f),
            Err(f) => self.failed(f.into()),
        }
    }

    fn in_doubt(&mut self, failure: Failure) -> Result<Event> {
        self.replayed(true);
        self.flight.in_doubt = true;
        if crate::failpoint::passes("mutant-doubt-means-aborted") {
            let aborted = Failure { reaction: Reaction::RecreateProducer, ..failure };
            return self.failed(aborted.into());
        }
        if crate::failpoint::passes("mutant-doubt-means-committed") {
            return Ok(Event::Committed);
        }
        self.failed(failure.into())
    }

    /// The offset and record of every touched partition.
    fn offsets(&self) -> Result<Vec<(TopicPartition, Committed)>> {
        let record = self.record(&self.batch());
        let plain = record.to_metadata()?;
        let sources = self.sources.iter().filter(|s| s.is_touched());
        let mut offsets: Vec<_> = sources
            .map(|s| {
                let committed =
                    Committed { offset: s.next, leader_epoch: s.leader_epoch, metadata: plain.clone() };
                (s.at.clone(), committed)
            })
            .collect();
        for unit in self.states.iter().filter(|s| s.touched) {
            let mut record = record.clone();
            record.changelog_end = Some(unit.end_in_flight());
            let committed =
                Committed { offset: unit.exchange_next, leader_epoch: None, metadata: record.to_metadata()? };
            offsets.push((unit.at.clone(), committed));
        }
        if offsets.is_empty() {
            // Output without input or state, such as of a timer: the group check must cover it too.
            let source = self.sources.first().map(|s| (&s.at, s.next, s.leader_epoch));
            let state = self.states.first().map(|s| (&s.at, s.exchange_next, None));
            offsets.extend(source.or(state).map(|(at, offset, leader_epoch)| {
                (at.clone(), Committed { offset, leader_epoch, metadata: plain })
            }));
        }
        Ok(offsets)
    }

    /// Writes the staged changes of every touched state partition, each in one atomic write.
    pub(super) fn apply(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("before-apply");
        let began = self.env.clock.monotonic();
        let mut record = self.record(&self.batch());
        record.inputs = self.sources.iter().map(|s| (s.at.to_string(), s.next)).collect();
        let results = self.pool.run(std::mem::take(&mut self.states), move |unit| {
            let mut record = record.clone();
            record.changelog_end = Some(unit.end_in_flight());
            if unit.touched { unit.apply(record) } else { Ok(()) }
        });
        let (units, applied): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.states = units;
        if let Err(e) = applied.into_iter().collect::<Result<()>>() {
            if matches!(e, Error::Killed) {
                return Err(e);
            }
            self.failure = Some(e);
            return Ok(Event::Broken);
        }
        if let Err(e) = self.finish_two_phase() {
            self.failure = Some(e);
            return Ok(Event::Broken);
        }
        for unit in &mut self.sources {
            unit.committed = Some(unit.next);
            unit.start = unit.next;
            if self.flight.witnessed {
                unit.witnessed = Some(unit.next);
            }
        }
        self.locals.iter_mut().for_each(LocalInput::applied);
        self.first_rows_sent = true;
        self.refresh_changelog_ends();
        if self.flight.witnessed {
            self.last_witness = Some(self.env.clock.monotonic());
        }
        self.probe = self.probe.map(|n| n * 2).filter(|n| *n < 8_192);
        self.failure = None;
        self.flight.phases.apply = self.env.clock.monotonic().saturating_sub(began);
        let _ = crate::failpoint::passes("after-apply");
        self.report(true);
        let suspect = self.producer.as_ref().is_some_and(|p| p.suspect());
        Ok(Event::Applied { suspect })
    }

    /// Between reports of the true ends, ends are counted by rows sent, which leaves out control records: they are at most the
    /// true ends, so a roll forward may apply some rows again, and never misses one. Now and then the true ends are read, beside the
    /// loop. An answer may hold rows of the batch that was in flight when it came; here they are all applied.
    fn refresh_changelog_ends(&mut self) {
        for (at, end) in self.ends.answers() {
            let unit = self.states.iter_mut().find(|s| s.partition == at.partition);
            if let Some(unit) = unit {
                unit.changelog_end = unit.changelog_end.max(end);
            }
        }
        if self.flight.witnessed && !self.states.is_empty() {
            self.ends.ask(self.states.iter().map(|s| self.names.changelog_of(s.partition)).collect());
        }
    }

    /// A batch that changed nothing: no position moved, not even over control records, and nothing was sent.
    pub(super) fn rest_empty(&mut self) {
        self.states.iter_mut().for_each(StatePartition::rest);
        self.sources.iter_mut().for_each(|s| s.task.rest());
        self.locals.iter_mut().for_each(LocalInput::rest);
        if let Err(e) = self.finish_two_phase() {
            tracing::warn!("{e}");
        }
        self.report(false);
    }

    fn report(&mut self, committed: bool) {
        let batch = self.batch();
        self.last_time = batch.time; // one that was given up is run again at its time
        self.whole_batches += u64::from(self.probe.is_none());
        if self.config.trigger == Trigger::Once && self.whole_batches > 0 {
            self.tell_what_is_left();
        }
        for (rows, rows_max) in self.flight.console.values() {
            self.env.observer.on(&Observed::Console { time: batch.time, rows, rows_max: *rows_max });
        }
        let report = self.batch_report(batch, committed);
        self.env.observer.on(&Observed::Batch(&report));
        self.learn_rate(&report);
        self.staging.learn(self.flight.staged_bytes, report.checkpoint.saturating_sub(report.phases.apply));
    }

    fn tell_what_is_left(&self) {
        let left: u64 = self.sources.iter().filter_map(|s| Some(s.stop_at?.0.saturating_sub(s.next.0))).sum();
        if left > 0 {
            tracing::warn!("the batch was full: about {left} records are left for the next run");
        }
    }

    fn batch_report(&mut self, batch: Batch, committed: bool) -> BatchReport {
        let now = self.env.clock.monotonic();
        BatchReport {
            id: batch.id.0,
            time_ms: batch.time.0,
            records_in: self.flight.records,
            records_out: self.flight.written.values().map(|w| w.0).sum(),
            read: self.flight.read.iter().map(|(t, (n, b))| (t.clone(), *n, *b)).collect(),
            written: self.flight.written.iter().map(|(t, (n, b))| (t.clone(), *n, *b)).collect(),
            skipped: self.flight.skipped,
            late: self.flight.late,
            dead_letters: self.flight.dead_letters,
            total: now.saturating_sub(self.flight.began),
            checkpoint: now.saturating_sub(self.input_ended),
            phases: self.flight.phases,
            committed,
            state_bytes: self.sizes(|backend| backend.size_bytes()),
            state_rows: self.sizes(|backend| backend.rows()),
            positions: self.sources.iter().map(SourcePartition::position).collect(),
            timestamps: self.flight.timestamps,
            watermark_ms: self.flight.watermark_ms,
            waited: self.flight.waited,
            inputs: std::mem::take(&mut self.flight.inputs),
            sinks: self.sink_times(),
        }
    }

    fn sink_times(&mut self) -> Vec<(NodeId, Duration)> {
        let mut times: BTreeMap<NodeId, Duration> = BTreeMap::new();
        let tasks = self.sources.iter_mut().map(|s| &mut s.task);
        let tasks = tasks.chain(self.locals.iter_mut().map(|l| &mut l.task));
        for task in tasks.chain(self.states.iter_mut().flat_map(|s| &mut s.tasks)) {
            for (node, time) in task.take_sink_times() {
                *times.entry(node).or_default() += time;
            }
        }
        for (node, time) in self.flight.two_phase_times.drain(..) {
            *times.entry(node).or_default() += time;
        }
        times.into_iter().collect()
    }

    fn learn_rate(&mut self, report: &BatchReport) {
        let Trigger::Interval(interval) = self.config.trigger else { return };
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let due_ms = report.time_ms.saturating_sub(interval_ms);
        let late_ms = self.flight.began_ms.saturating_sub(due_ms).clamp(0, interval_ms);
        self.rates.done(Achieved {
            at_ms: self.env.clock.now_ms(),
            records: report.records_in,
            processing_ms: report.total.saturating_sub(report.waited).as_secs_f64() * 1_000.0,
            scheduling_ms: Duration::from_millis(late_ms.unsigned_abs()).as_secs_f64() * 1_000.0,
        });
        if let Some(rate) = self.rates.rate() {
            tracing::debug!(records_per_second = rate, "back-pressure");
        }
    }

    /// Sizes of the databases, asked for every few seconds only.
    fn sizes(&self, of: impl Fn(&dyn Backend) -> u64) -> Vec<(Partition, u64)> {
        let told = self.states.iter().filter(|_| self.flight.witnessed);
        told.map(|s| (s.partition, of(s.backend.as_ref()))).collect()
    }

    /// Told in doubt too; then the batch is told once more, when its outcome is known.
    fn replayed(&mut self, unknown: bool) {
        let took = self.env.clock.monotonic().saturating_sub(self.flight.began);
        let report = self.flight.batch.filter(|_| !unknown).map(|batch| self.batch_report(batch, false));
        let why = self.failure.as_ref().map(ToString::to_string);
        let (report, why) = (report.as_ref(), why.as_deref());
        self.env.observer.on(&Observed::Replayed { report, why, unknown, took });
    }

    /// Aborts the open transaction.
    pub(super) fn abort(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("during-abort");
        if let Some(f) = &self.failure {
            tracing::info!(batch = self.batch().id.0, "batch given up: {f}");
        }
        let Some(producer) = self.producer.as_mut().filter(|_| self.flight.open) else {
            return Ok(Event::Aborted { suspect: false });
        };
        match producer.abort() {
            Ok(()) => {
                self.flight.open = false;
                Ok(Event::Aborted { suspect: producer.suspect() })
            }
            Err(f) if f.reaction == Reaction::Exit => self.failed(f.into()),
            Err(f) => {
                tracing::warn!("{f}");
                Ok(Event::Failed(f.reaction))
            }
        }
    }

    /// Every partition that the batch touched, or all owned ones while none is in flight.
    pub(super) fn places(&self) -> Vec<TopicPartition> {
        let sources = self.sources.iter().map(|s| s.at.clone());
        sources.chain(self.states.iter().map(|s| s.at.clone())).collect()
    }

    /// Reads whether a newer process has our identity.
    pub(super) fn look(&mut self) -> Result<Event> {
        // The claim comes first: what the old producer has left open, which ends only in `replace`, is not waited for.
        match self.is_superseded_now_or_soon() {
            Ok(true) => return Ok(Event::Fenced),
            Ok(false) => {}
            Err(e) => return self.failed(e),
        }
        let places = self.places();
        if places.is_empty() {
            return Ok(Event::NotFenced);
        }
        match self.held(&places) {
            Ok(held) if self.is_fenced(&held) => Ok(Event::Fenced),
            Ok(_) => Ok(Event::NotFenced),
            // The place in the group is lost, so it tells nothing more.
            Err(Error::Log(f)) if f.reaction == Reaction::CloseTasks => Ok(Event::NotFenced),
            Err(e) => self.failed(e),
        }
    }

    /// Replaces the producer.
    pub(super) fn replace(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("before-replace");
        drop(self.producer.take());
        let spec = Self::producer_spec(&self.config, &self.env);
        let made = super::start::ready_producer(self.env.log.as_ref(), &spec);
        match made {
            Ok(producer) => {
                self.producer = Some(producer);
                self.last_replaced = Some(self.env.clock.monotonic());
                self.flight.open = false;
                Ok(Event::Ready)
            }
            Err(e) => self.failed(e),
        }
    }

    /// Learns the outcome of a doubtful commit from the token.
    pub(super) fn settle(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("during-settle");
        match self.hear_group() {
            Ok(()) => {}
            Err(f) if f.reaction == Reaction::CloseTasks => return Ok(Event::Moved),
            Err(f) => return self.failed(f.into()),
        }
        let places = self.places();
        let still_ours = self.member.membership().is_ok_and(|m| m.member_id == self.member_id);
        if places.is_empty() || !still_ours || self.member.assignment_lost() {
            return Ok(Event::Moved);
        }
        let ours = self.token(&self.batch());
        match self.held(&places) {
            Ok(held) if self.is_fenced(&held) => Ok(Event::Fenced),
            Ok(held) => {
                let mut found = held.iter().any(|h| h.record.as_ref().is_some_and(|r| r.token == ours));
                if crate::failpoint::passes("mutant-settle-by-offset") {
                    found = self.sources.iter().all(|s| {
                        let at = held.iter().find(|h| h.at == s.at);
                        at.and_then(|h| h.committed.as_ref()).is_some_and(|c| c.offset == s.next)
                    });
                }
                tracing::info!(
                    batch = ours.batch.0,
                    committed = found,
                    "outcome of a doubtful commit settled by its token"
                );
                Ok(if found { Event::Ours } else { Event::NotOurs })
            }
            Err(e) => self.failed(e),
        }
    }

    /// Forgets the batch and sets the input back to the committed offsets. If a partition cannot be set back, our place in the group
    /// is of no more use: everything is recovered anew.
    pub(super) fn drop_batch(&mut self) -> Result<Event> {
        if self.flight.staged_bytes > 0 {
            let took = self.env.clock.monotonic().saturating_sub(self.input_ended);
            self.staging.learn(self.flight.staged_bytes, took);
        }
        self.states.iter_mut().for_each(StatePartition::abort);
        self.locals.iter_mut().for_each(LocalInput::abort);
        self.discard_two_phase();
        let mut lost = None;
        for unit in &mut self.sources {
            unit.task.abort();
            unit.queue.clear();
            unit.taken_records = 0;
            let back = unit.start;
            unit.next = back;
            if let Err(f) = self.member.seek(&unit.at, back) {
                match f.reaction {
                    Reaction::Exit | Reaction::StopPipeline => return Err(f.into()),
                    _ => lost = Some(f),
                }
            }
        }
        self.flight.open = false;
        self.replayed(false);
        if let Some(f) = lost {
            tracing::warn!("{f}; all partitions are recovered anew");
            self.close_tasks();
        }
        let _ = crate::failpoint::passes("after-drop");
        Ok(Event::Dropped)
    }

    /// Forgets all tasks and asks the group anew: a member that was expelled and taken in again under another id may be told
    /// nothing, and must not go on from where it was.
    pub(super) fn close_tasks(&mut self) -> Event {
        if self.phase == Phase::Closing && !self.flight.in_doubt {
            self.replayed(false);
        }
        self.sources.clear();
        self.states.clear();
        self.locals.iter_mut().for_each(LocalInput::abort);
        self.forget_two_phase();
        self.flight.open = false;
        self.must_rejoin = true;
        self.env.observer.on(&Observed::Closed);
        Event::Closed
    }
}
