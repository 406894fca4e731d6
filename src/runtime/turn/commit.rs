//! Performs the forward actions of the checkpoint machine: flush, commit, apply.
//!
//! Decides nothing. Invariants: the member id and a loss of the assignment are checked between the last
//! acknowledgement and the offsets; offsets are sent for every touched partition, moved or not, and once a day for the others; the databases
//! are written only by `apply`.

use super::{Loop, give_up::TOLD_FROM};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::Committed,
    operator::Batch,
    record::TopicPartition,
    runtime::{
        batch::{
            local_input::LocalInput, partitions::Partitions, source_partition::SourcePartition,
            state_partition::StatePartition,
        },
        events::Observed,
    },
    state::Backend,
    task::{checkpoint::Event, recovery_record::RecoveryRecord},
};
use std::time::Duration;

/// How long a look at a group that is being arranged anew waits for the next.
const MEMBERSHIP_PAUSE: Duration = Duration::from_millis(20);

impl Loop {
    /// The record of the batch, without the parts that differ per partition.
    fn record(&self, batch: Batch) -> RecoveryRecord {
        let token = self.group.identity.token(&self.app, self.in_flight.commit_id());
        // A time that is closed says nothing of the times that input may still get.
        let is_part = self.in_flight.is_part;
        let has_time = self.in_flight.content.has_input()
            && !(is_part && crate::failpoint::passes("mutant-part-time-forgotten"));
        let (time, is_open) =
            if has_time { (batch.time, is_part) } else { (self.pace.last_begun(), self.pace.is_open()) };
        RecoveryRecord::new(token, time, &self.app.fingerprint_short).with_open(is_open)
    }

    /// Sends what the batch holds and waits for the acknowledgements, while the next input is fetched and decoded.
    pub(super) fn flush(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("before-flush");
        self.await_membership()?;
        let limits = self.queue_limits();
        let Loop { app, group, partitions, attention, transaction, .. } = self;
        let flushing = transaction.start_flush();
        let filling = app.pool.start(&mut partitions.sources, move |source| source.queue.fill(limits));
        let filled = attention.wait(app, group, filling, &mut partitions.sources)?;
        let flushed = transaction.wait_for(flushing, &mut |waited| attention.attend(app, group, waited));
        for (source, filled) in self.partitions.sources.iter().zip(&filled) {
            if let Err(f) = filled {
                self.app.observe(&Observed::ReceiverFailed { at: &source.at, why: &f.message });
            }
        }
        match flushed.and_then(|()| Ok(filled.into_iter().collect::<Result<(), Failure>>()?)) {
            Ok(()) => {
                let _ = crate::failpoint::passes("after-flush");
                if crate::failpoint::passes("fail-flush") {
                    let what = "a test gives the batch up";
                    return self.failed(Failure::new(Stage::Produce, Reaction::AbortReplay, what).into());
                }
                Ok(Event::Flushed)
            }
            Err(e) => self.failed(e),
        }
    }

    /// Waits while the group is being arranged anew and has nothing to ask of us: what would be sent now could not
    /// be committed. Not longer than a session lasts: then the batch fails, and that is told.
    fn await_membership(&mut self) -> Result {
        let Loop { app, group, attention, .. } = self;
        let began = app.now();
        while group.membership().is_err() && !group.has_events() && !group.has_lost() {
            let waited = app.since(began);
            if waited > app.config.session_timeout {
                break;
            }
            attention.attend(app, group, waited)?;
            group.wait(MEMBERSHIP_PAUSE);
        }
        Ok(())
    }

    /// Sends the offsets and ends the transaction.
    pub(super) fn commit(&mut self) -> Result<Event> {
        if let Err(f) = self.group.take_loss() {
            return self.failed(f.into());
        }
        let membership = match self.group.membership() {
            Ok(m) => m,
            Err(f) => return self.failed(f.into()),
        };
        if self.group.is_lost(&membership) && !crate::failpoint::passes("mutant-expelled-goes-on") {
            let what = "the partitions were lost while the batch was computed";
            return self.failed(Failure::new(Stage::SendOffsets, Reaction::CloseTasks, what).into());
        }
        self.stand_in();
        let offsets = match self.offsets() {
            Ok(offsets) => offsets,
            Err(e) => return self.failed(e),
        };
        let _ = crate::failpoint::passes("before-offsets");
        if crate::failpoint::passes("mutant-apply-before-commit") {
            for state in self.partitions.states.iter().filter(|s| s.touched) {
                state.backend.apply(&state.changes, None)?;
            }
        }
        let Loop { app, group, attention, transaction, .. } = self;
        let mut given_up = Ok(());
        let committed = crate::failpoint::around_commit(|| {
            let attend = &mut |waited| attention.attend(app, group, waited);
            transaction.commit(offsets, membership, app, attend).unwrap_or_else(|e| {
                given_up = Err(e);
                Ok(())
            })
        });
        given_up?;
        match committed {
            Ok(()) => Ok(Event::Committed),
            Err(f) if f.reaction == Reaction::Unknown => self.in_doubt(f),
            Err(f) => self.failed(f.into()),
        }
    }

    fn in_doubt(&mut self, failure: Failure) -> Result<Event> {
        self.report_replayed(true);
        self.in_flight.in_doubt = true;
        if crate::failpoint::passes("mutant-doubt-means-aborted") {
            let aborted = Failure { reaction: Reaction::RecreateProducer, ..failure };
            return self.failed(aborted.into());
        }
        if crate::failpoint::passes("mutant-doubt-means-committed") {
            return Ok(Event::Committed);
        }
        self.failed(failure.into())
    }

    /// Output without input or state, such as that of a timer, needs an offset too, so that the group check
    /// covers it: where nothing moved, one partition stands in for it.
    fn stand_in(&mut self) {
        let Partitions { sources, states, .. } = &mut self.partitions;
        let has_input = self.in_flight.content.has_input();
        let sources = if has_input { &sources[..] } else { &[] };
        let is_moved = sources.iter().any(SourcePartition::is_touched) || states.iter().any(|s| s.touched);
        if let Some(state) = states.first_mut().filter(|_| !is_moved && sources.is_empty()) {
            state.touched = true;
        }
    }

    /// The offset and record of every touched partition, or of one that stands in.
    fn offsets(&self) -> Result<Vec<(TopicPartition, Committed)>> {
        let record = self.record(self.in_flight.batch());
        let plain = record.to_metadata()?;
        let of = |offset, leader_epoch, metadata: &str| Committed {
            offset,
            leader_epoch,
            metadata: metadata.to_owned(),
        };
        let (sources, states) = (&self.partitions.sources, &self.partitions.states);
        let has_input = self.in_flight.content.has_input();
        let mut offsets: Vec<_> = sources
            .iter()
            .filter(|s| has_input && s.is_touched())
            .map(|s| (s.at.clone(), of(s.next, s.leader_epoch, &plain)))
            .collect();
        for state in states.iter().filter(|s| s.touched) {
            offsets
                .push((state.at.clone(), of(state.position(), None, &state.record(&record).to_metadata()?)));
        }
        // What goes on while they are restored has a time, after which whoever gets them next goes on.
        let is_mutant = crate::failpoint::passes("mutant-restoring-has-no-time");
        for state in self.partitions.restoring.iter().filter(|_| has_input && !is_mutant) {
            offsets.push((state.at.clone(), of(state.offset, None, &state.record(&record).to_metadata()?)));
        }
        if offsets.is_empty() && has_input {
            offsets.extend(sources.first().map(|s| (s.at.clone(), of(s.next, s.leader_epoch, &plain))));
        }
        Ok(offsets)
    }

    /// Writes the staged changes of every touched state partition, each in one atomic write.
    pub(super) fn apply(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("before-apply");
        let began = self.app.now();
        match self.apply_changes() {
            Ok(()) => {}
            Err(Error::Killed) => return Err(Error::Killed),
            Err(e) => return Ok(self.broken(e)),
        }
        let records = self.in_flight.counters.records_in;
        let is_progress = records > 0 || self.pace.setbacks.total() == 0;
        let is_witnessed = self.witness.is_due();
        let time = self.in_flight.batch().time;
        if self.in_flight.content.has_input() {
            self.partitions.sources.iter_mut().for_each(|source| source.applied(is_witnessed, time));
            self.partitions.locals.iter_mut().for_each(LocalInput::applied);
            self.partitions.changes_known = self.in_flight.changes;
            self.witness.applied(self.app.now());
            self.bisection.committed(records);
            self.input_is_committed();
        }
        self.refresh_changelog_ends();
        self.purge_exchange();
        if self.pieces.are_over() {
            self.end_pieces();
        }
        self.limits.committed();
        if self.pace.setbacks.total() >= TOLD_FROM && is_progress {
            tracing::info!("batches are committed again");
            self.app.observe(&Observed::NoProgress(None));
        }
        self.pace.setbacks.committed(records);
        self.checkpoint.failure = None;
        self.in_flight.phases.apply = self.app.since(began);
        let _ = crate::failpoint::passes("after-apply");
        if self.in_flight.is_part {
            let _ = crate::failpoint::passes("between-parts");
        }
        self.report(is_progress);
        Ok(Event::Applied { suspect: self.transaction.is_suspect() })
    }

    fn apply_changes(&mut self) -> Result {
        let mut record = self.record(self.in_flight.batch());
        let has_input = self.in_flight.content.has_input();
        let is_committed = has_input || crate::failpoint::passes("mutant-witness-from-next");
        let consumed = |s: &SourcePartition| if is_committed { Some(s.next) } else { s.committed };
        let sources = self.partitions.sources.iter();
        record.inputs = sources.filter_map(|s| Some((s.at.to_string(), consumed(s)?))).collect();
        let Loop { app, group, partitions, attention, .. } = self;
        let applied = attention.each(app, group, &mut partitions.states, move |state| {
            if state.touched {
                let record = state.record(&record);
                state.apply(&record)
            } else {
                state.leave();
                Ok(())
            }
        })?;
        applied.into_iter().collect::<Result>()?;
        self.two_phase.finish()
    }

    /// Between reports of the true ends, ends are counted by rows sent, which leaves out control records:
    /// they are at most the true ends, so a roll forward may apply some rows again, and never misses one.
    /// From time to time the true ends are read, beside the loop. An answer may include rows of the batch
    /// that was in flight when it arrived; at this point they are all applied.
    fn refresh_changelog_ends(&mut self) {
        for (at, end) in self.beside.ends.answers() {
            let state = self.partitions.states.iter_mut().find(|s| s.partition == at.partition);
            if let Some(state) = state {
                state.changelog_end = state.changelog_end.max(end);
            }
        }
        if self.witness.is_due() && !self.partitions.states.is_empty() {
            let states = self.partitions.states.iter();
            self.beside.ends.ask(states.map(|s| self.app.names.changelog_of(s.partition)).collect());
        }
    }

    /// A batch that changed nothing: no position moved, not even over control records, and nothing was sent.
    pub(super) fn rest_empty(&mut self) {
        if self.in_flight.content.has_input() {
            self.partitions.changes_known = self.in_flight.changes;
            self.partitions.rest();
        } else {
            self.partitions.states.iter_mut().for_each(StatePartition::rest);
        }
        if let Err(e) = self.two_phase.finish() {
            tracing::warn!("{e}");
        }
        self.report(false);
    }
}
