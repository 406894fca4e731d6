//! Performs the backward actions of the checkpoint machine: abort, look, replace, settle, drop, close.
//!
//! Decides nothing. Invariants: a batch that was given up leaves no trace but its report; a producer is
//! replaced only after checking whether a newer process has our name; the outcome of a doubtful commit is
//! read from its token, never guessed.

use super::Loop;
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    runtime::{app::RETRY_PAUSE, batch::local_input::LocalInput, events::Observed, group::CommittedPosition},
    task::checkpoint::{Event, Phase},
};
use std::time::Duration;

/// So many batches that were given up in a row are told.
pub(super) const TOLD_FROM: u32 = 2;

/// How long a process that lost its place in the group or its producer waits for the claim of the process
/// that took it.
const CLAIM_WAIT: Duration = Duration::from_secs(3);

impl Loop {
    /// Aborts the open transaction.
    pub(super) fn abort(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("during-abort");
        if let Some(f) = &self.checkpoint.failure {
            tracing::debug!(batch = self.in_flight.batch().id.0, "batch given up: {f}");
        }
        if !self.transaction.is_open() {
            return Ok(Event::Aborted { suspect: false });
        }
        let Loop { app, group, attention, transaction, .. } = self;
        match transaction.abort(&mut |waited| attention.attend(app, group, waited))? {
            Ok(()) => Ok(Event::Aborted { suspect: self.transaction.is_suspect() }),
            Err(f) if f.reaction == Reaction::Exit => self.failed(f.into()),
            Err(f) => {
                tracing::warn!("{f}");
                Ok(Event::Failed(f.reaction))
            }
        }
    }

    /// Reads whether a newer process has our identity.
    pub(super) fn look(&mut self) -> Result<Event> {
        // The claim is checked first: what the old producer left open, which ends only in `replace`, is not
        // waited for. A producer that is lost again is left to the other side for a while: two processes that
        // take it from each other at once would never stop.
        let superseded = if self.transaction.was_replaced_recently(self.app.now()) {
            self.await_claim()
        } else {
            self.is_superseded()
        };
        match superseded {
            Ok(true) => return Ok(Event::Fenced),
            Ok(false) => {}
            Err(e) => return self.failed(e),
        }
        let places = self.partitions.owned();
        if places.is_empty() {
            return Ok(Event::NotFenced);
        }
        match self.committed(&places) {
            Ok(positions) if self.group.identity.is_fenced(&self.app, &positions) => Ok(Event::Fenced),
            Ok(_) => Ok(Event::NotFenced),
            // Our place in the group is lost, so the group reveals nothing more.
            Err(Error::Log(f)) if f.reaction == Reaction::CloseTasks => Ok(Event::NotFenced),
            Err(e) => self.failed(e),
        }
    }

    /// Reads further in the meta topic; `false` = there may be rows that cannot be read yet.
    fn read_on(&mut self) -> Result<bool> {
        let Some(question) = self.group.identity.reading_on(&self.app) else { return Ok(true) };
        let (meta, whole) = self.ask("reading what other processes have claimed", question)?;
        self.group.identity.has_read(meta);
        Ok(whole)
    }

    /// Whether a newer process with our name has started, judged by its claim.
    pub(super) fn is_superseded(&mut self) -> Result<bool> {
        self.read_on()?;
        Ok(self.group.identity.is_superseded(&self.app))
    }

    /// Leaves our place and our producer to others for a while. Returns whether a newer process has claimed
    /// them.
    pub(super) fn await_claim(&mut self) -> Result<bool> {
        let until = self.app.now() + CLAIM_WAIT;
        loop {
            self.app.observe(&Observed::Alive);
            let superseded = self.is_superseded();
            let asks_again = match &superseded {
                Ok(superseded) => !superseded,
                Err(Error::Log(f)) => f.reaction.may_pass(),
                Err(_) => false,
            };
            if !asks_again || self.app.env.shutdown.is_requested() || self.app.now() >= until {
                return superseded;
            }
            self.app.env.clock.sleep(RETRY_PAUSE);
        }
    }

    /// Replaces the producer.
    pub(super) fn replace(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("before-replace");
        let Loop { app, group, attention, transaction, .. } = self;
        match transaction.replace(app, &mut |waited| attention.attend(app, group, waited)) {
            Ok(()) => Ok(Event::Ready),
            Err(e) => self.failed(e),
        }
    }

    /// Reads the outcome of a doubtful commit from its token.
    pub(super) fn settle(&mut self) -> Result<Event> {
        let _ = crate::failpoint::passes("during-settle");
        self.group.hear(&self.app);
        match self.group.take_loss() {
            Ok(()) => {}
            Err(f) if f.reaction == Reaction::CloseTasks => return self.moved(),
            Err(f) => return self.failed(f.into()),
        }
        let places = self.partitions.owned();
        if places.is_empty() || !self.has_its_place() {
            return self.moved();
        }
        match self.committed(&places) {
            Ok(positions) if self.group.identity.is_fenced(&self.app, &positions) => Ok(Event::Fenced),
            Ok(positions) => match self.outcome(&positions) {
                // Lost while the group was asked: what it has may be of the next owner.
                Event::NotOurs if !self.has_its_place() => self.moved(),
                outcome => Ok(outcome),
            },
            Err(e) => self.failed(e),
        }
    }

    /// Whether we are still the member that recovered our partitions, and have them.
    fn has_its_place(&self) -> bool {
        !self.group.has_lost()
            && self.group.membership().is_ok_and(|membership| !self.group.is_lost(&membership))
    }

    /// The partitions of a doubtful batch are lost, and with them its token. Whoever gets them reads the outcome there;
    /// rows of this process itself, which nobody else has, are delivered again only if they were not committed.
    fn moved(&mut self) -> Result<Event> {
        if self.in_flight.content.has_input()
            && self.partitions.locals.iter().any(LocalInput::has_given)
            && !crate::failpoint::passes("mutant-local-rows-again")
        {
            let batch = self.in_flight.commit_id();
            match self.read_on() {
                Ok(false) => {
                    let meta = &self.app.names.meta;
                    let what = format!("{meta} is not read to its end: a transaction on it is open");
                    return self.failed(Failure::new(Stage::Fetch, Reaction::RetrySame, what).into());
                }
                Ok(true) => {
                    let committed = self.group.identity.is_committed(&self.app, batch);
                    tracing::info!(
                        batch = batch.0,
                        committed,
                        "outcome of a doubtful commit settled by its row"
                    );
                    if committed {
                        self.partitions.locals.iter_mut().for_each(LocalInput::applied);
                    }
                }
                Err(e) => return self.failed(e),
            }
        }
        Ok(Event::Moved)
    }

    fn outcome(&self, positions: &[CommittedPosition]) -> Event {
        let ours = self.group.identity.token(&self.app, self.in_flight.commit_id());
        let mut found = positions.iter().any(|p| p.record.as_ref().is_some_and(|r| r.token == ours));
        if crate::failpoint::passes("mutant-settle-by-offset") {
            found = self.partitions.sources.iter().all(|s| {
                let at = positions.iter().find(|p| p.at == s.at);
                at.and_then(|p| p.committed.as_ref()).is_some_and(|c| c.offset == s.next)
            });
        }
        let batch = ours.batch.0;
        tracing::info!(batch, committed = found, "outcome of a doubtful commit settled by its token");
        if found { Event::Ours } else { Event::NotOurs }
    }

    /// Forgets the batch and sets the input back to the committed offsets.
    pub(super) fn drop_batch(&mut self) -> Result<Event> {
        let phases = self.in_flight.phases;
        if self.in_flight.staged_bytes > 0 && !phases.flush.is_zero() {
            self.pace.staging.learn(self.in_flight.staged_bytes, phases.flush + phases.commit);
        }
        if !self.in_flight.content.has_input() {
            return Ok(self.drop_closing());
        }
        self.set_back()?;
        self.partitions.abort();
        self.two_phase.discard();
        self.transaction.forget();
        self.report_replayed(false);
        let _ = crate::failpoint::passes("after-drop");
        Ok(Event::Dropped)
    }

    /// Counts a batch that was given up because a call of the log failed. The next one is smaller if the reason is
    /// the same again; a batch that cannot be made smaller, and fails for another reason than that the log is away,
    /// ends the program.
    fn set_back(&mut self) -> Result {
        let Some(Error::Log(failure)) = &self.checkpoint.failure else { return Ok(()) };
        let (records, took) = (self.in_flight.counters.records_in, self.app.since(self.in_flight.began));
        let is_stuck = self.pace.setbacks.given_up(failure, records, took);
        let times = self.pace.setbacks.total();
        if times < TOLD_FROM {
            tracing::info!("batch given up, to be processed again: {failure}");
        } else {
            if times.is_power_of_two() {
                tracing::warn!(
                    "batches have been given up {times} times in a row, none was committed: {failure}"
                );
            }
            self.app.observe(&Observed::NoProgress(Some(&failure.to_string())));
        }
        if is_stuck {
            let message = format!(
                "a batch of one record has been given up {times} times, and the log was there: {}\n  next: correct the cause and start again; nothing of the batch is committed",
                failure.message
            );
            return Err(Failure { reaction: Reaction::StopPipeline, message, ..failure.clone() }.into());
        }
        Ok(())
    }

    /// Forgets all tasks and asks the group again: a member that was expelled and admitted again under
    /// another id may be told nothing, and must not continue from where it was.
    pub(super) fn close_tasks(&mut self) -> Event {
        if self.checkpoint.phase == Phase::Closing && !self.in_flight.in_doubt {
            let _ = self.set_back(); // whoever lost its place in the group is never stuck
            self.report_replayed(false);
        }
        self.partitions.close();
        self.recovery = None;
        self.restorer.cancel_all();
        self.two_phase.forget();
        self.transaction.forget();
        self.group.abandon();
        self.app.observe(&Observed::Closed);
        Event::Closed
    }
}
