//! Brings the databases of state partitions to the committed state.
//!
//! Owns opening, the facts, and the turns between replays and the group. Decides nothing: that is `task::recovery`. Invariants:
//! the end of the changelog is read after the producer was ready; as many partitions are restored at a time as there are
//! workers, within one budget of memory; a restore that is given up is taken up again where it stopped.

use super::{
    assignment::CommittedPosition,
    engine::{Engine, Observed},
    replay::{Replay, Rows},
    units::StatePartition,
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::{GroupEvent, Log},
    record::{Offset, TopicPartition},
    state::{Backend, Opened, Storage},
    task::{
        recovery::{self, StateDecision, StateFacts},
        recovery_record::RecoveryRecord,
        restore_progress::RestoreProgress,
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The part of the memory for state that rows on their way into databases may take: one of so many, for all partitions together.
const PIECES_SHARE: usize = 16;
/// Progress is told this often.
const TELL: Duration = Duration::from_secs(1);

/// An opened database with what is known of it.
struct Found {
    opened: Opened,
    local: Option<RecoveryRecord>,
    progress: Option<RestoreProgress>,
    changelog_start: Offset,
    changelog_end: Offset,
}

/// What has to be done before a state partition is ready.
struct Work {
    held: CommittedPosition,
    backend: Arc<dyn Backend>,
    record: RecoveryRecord,
    /// What the local database saw consumed.
    seen: Option<BTreeMap<String, Offset>>,
    from: Offset,
    to: Offset,
    began_ms: i64,
}

/// A [`Work`] under way.
struct Active {
    held: CommittedPosition,
    record: RecoveryRecord,
    seen: Option<BTreeMap<String, Offset>>,
    replay: Replay,
    told: Duration,
}

impl Engine {
    /// Opens, checks and restores the databases of assigned state partitions.
    pub(super) fn restore_states(&mut self, held: Vec<CommittedPosition>) -> Result<Vec<StatePartition>> {
        let stores: Arc<Vec<String>> =
            Arc::new(self.plan.nodes.iter().flat_map(|n| n.stores.iter().map(|s| s.name.clone())).collect());
        let (storage, log, names) = (self.env.storage.clone(), self.env.log.clone(), self.names.clone());
        let clock = self.env.clock.clone();
        let found = self.pool.run(held, {
            let stores = stores.clone();
            move |held| {
                let (at, began) = (names.changelog_of(held.at.partition), clock.monotonic());
                let found = find(&*storage, &*log, held, &at, &stores);
                let took = clock.monotonic().saturating_sub(began);
                tracing::debug!(%at, took_ms = took.as_millis(), "database opened");
                found
            }
        });
        let of = found.len();
        let (mut units, mut work) = (vec![], VecDeque::new());
        for (held, found) in found {
            match self.decide(held, found?, &stores)? {
                Ok(unit) => self.is_ready(unit, &mut units, of),
                Err(todo) => work.push_back(todo),
            }
        }
        self.replay(work, &mut units, of)?;
        Ok(units)
    }

    fn is_ready(&self, unit: StatePartition, units: &mut Vec<StatePartition>, of: usize) {
        let partition = unit.partition;
        units.push(unit);
        self.env.observer.on(&Observed::StateReady { partition, done: units.len(), of });
    }

    /// A unit that is ready, or what has to be done before.
    fn decide(
        &mut self,
        held: CommittedPosition,
        found: Found,
        stores: &[String],
    ) -> Result<Result<StatePartition, Work>> {
        let Found { opened, local, progress, changelog_start, changelog_end } = found;
        let Opened { mut backend, quarantined, added } = opened;
        if let Some(why) = quarantined {
            self.env.observer.on(&Observed::Quarantined(&why));
        }
        let (at, now_ms) = (self.names.changelog_of(held.at.partition), self.env.clock.now_ms());
        let facts = StateFacts {
            committed: held.record.clone(),
            local,
            progress,
            now_ms,
            changelog_end,
            changelog_start,
            delete_retention_ms: super::topics::RETENTION_MS,
            at,
        };
        let decision = recovery::state(&facts);
        tracing::debug!(at = %facts.at, ?decision, %changelog_start, %changelog_end, "state partition");
        let mut seen = facts.local.as_ref().map(|l| l.inputs.clone());
        let mut began_ms = now_ms;
        let from = match decision {
            // The changelog may hold rows of these stores from before they were left out: all rows are applied again.
            StateDecision::Ready | StateDecision::RollForward(_) | StateDecision::Resume(_)
                if !added.is_empty() =>
            {
                changelog_start
            }
            StateDecision::Fresh => {
                self.check_nothing_is_committed(&held, changelog_start, changelog_end)?;
                return Ok(Ok(self.state_unit(&held, backend, None, seen)));
            }
            StateDecision::Ready => {
                return Ok(Ok(self.state_unit(&held, backend, facts.committed, seen)));
            }
            StateDecision::RollForward(from) => from,
            StateDecision::Resume(from) => {
                began_ms = facts.progress.as_ref().map_or(now_ms, |p| p.began_ms);
                from
            }
            StateDecision::Restore => changelog_start,
            StateDecision::Quarantine(why) => {
                seen = None; // a database that the log contradicts is no witness
                drop(backend);
                self.env.observer.on(&Observed::Quarantined(&why));
                self.env.storage.quarantine(held.at.partition, &why)?;
                backend = self.env.storage.open(held.at.partition, stores)?.backend;
                changelog_start
            }
            StateDecision::Refuse(why) => return Err(Error::Refused(why)),
        };
        let record = facts.committed.expect("without a committed record there is nothing to replay");
        tracing::info!(at = %facts.at, %from, to = %changelog_end, "restoring state from the changelog");
        Ok(Err(Work { held, backend, record, seen, from, to: changelog_end, began_ms }))
    }

    /// Replays changelogs, some at a time, while the group is served.
    fn replay(&mut self, mut work: VecDeque<Work>, units: &mut Vec<StatePartition>, of: usize) -> Result {
        let wanted: Vec<TopicPartition> = work.iter().map(|w| w.held.at.clone()).collect();
        let mut active: Vec<Active> = vec![];
        while !(active.is_empty() && work.is_empty()) {
            while active.len() < self.pool.width()
                && let Some(next) = work.pop_front()
            {
                active.push(self.activate(next)?);
            }
            let clock = self.env.clock.clone();
            let stepped = self.pool.run(std::mem::take(&mut active), move |a| a.replay.step(&*clock));
            for (mut one, result) in stepped {
                result?;
                self.tell(&mut one);
                if one.replay.is_done() {
                    let unit = self.state_unit(&one.held, one.replay.backend(), Some(one.record), one.seen);
                    self.is_ready(unit, units, of);
                } else {
                    active.push(one);
                }
            }
            self.stay_in_the_group(&wanted)?;
        }
        Ok(())
    }

    fn activate(&self, work: Work) -> Result<Active> {
        let Work { held, backend, record, seen, from, to, began_ms } = work;
        let (at, clock) = (self.names.changelog_of(held.at.partition), &*self.env.clock);
        let rows = Rows::read(&*self.env.log, clock, &at, from, to)?;
        let share = self.config.state_memory_bytes / PIECES_SHARE / self.pool.width();
        let piece_bytes = share.clamp(256 << 10, 4 << 20);
        let replay = Replay::new(rows, backend, record.clone(), began_ms, piece_bytes);
        Ok(Active { held, record, seen, replay, told: clock.monotonic() })
    }

    fn tell(&self, one: &mut Active) {
        let now = self.env.clock.monotonic();
        if now.saturating_sub(one.told) > TELL || one.replay.is_done() {
            one.told = now;
            let (done, total, took) = one.replay.pace(&*self.env.clock);
            if total == 0 {
                return;
            }
            self.env.observer.on(&Observed::Restoring { at: one.replay.at(), done, total, took });
        }
    }

    /// Nothing was committed for this partition: then no committed row may exist either.
    fn check_nothing_is_committed(
        &mut self,
        held: &CommittedPosition,
        from: Offset,
        target: Offset,
    ) -> Result {
        let at = self.names.changelog_of(held.at.partition);
        let mut rows = Rows::read(&*self.env.log, &*self.env.clock, &at, from, target)?;
        let mut found = None;
        while !rows.is_done() {
            let piece = rows.next(&*self.env.clock)?;
            found = found.or(piece.and_then(|piece| piece.last_offset()));
            self.stay_in_the_group(std::slice::from_ref(&held.at))?;
        }
        let Some(row) = found else { return Ok(()) };
        // Both facts were read one after the other: a newer process of our identity may have committed in between.
        if self.held(std::slice::from_ref(&held.at))?.iter().any(|h| h.committed.is_some()) {
            let what = format!("{} was committed while this process started", held.at);
            return Err(Failure::new(Stage::OffsetFetch, Reaction::RetrySame, what).into());
        }
        Err(Error::Refused(format!(
            "{at}: the group has no offset, but the changelog holds a committed row at {row}: the offsets expired or were deleted\n  next: restore the group's offsets, or start under a new application id",
        )))
    }

    /// A long restore serves the group. What it reports waits for the barrier, but for our end, and for partitions that are wanted
    /// back: the restore of those is given up.
    fn stay_in_the_group(&mut self, restored: &[TopicPartition]) -> Result {
        if self.env.shutdown.is_requested() {
            let what = "asked to end while state is restored, which the next start goes on with";
            return Err(Failure::new(Stage::Group, Reaction::RetrySame, what).into());
        }
        self.hear_group()?;
        let gone = self.events.iter().any(|event| match event {
            GroupEvent::Revoking(at) | GroupEvent::Lost(at) => at.iter().any(|at| restored.contains(at)),
            GroupEvent::Assigned(_) | GroupEvent::Connection(_) => false,
        });
        if gone {
            let what = "the group took partitions back while their state was restored";
            return Err(Failure::new(Stage::Group, Reaction::CloseTasks, what).into());
        }
        Ok(())
    }
}

/// Opens a database and reads what is known of it.
fn find(
    storage: &dyn Storage,
    log: &dyn Log,
    held: &CommittedPosition,
    at: &TopicPartition,
    stores: &[String],
) -> Result<Found> {
    let opened = storage.open(held.at.partition, stores)?;
    let place = format!("the local state of {at}");
    let record = opened.backend.record()?;
    let local =
        record.map(|bytes| RecoveryRecord::parse(&String::from_utf8_lossy(&bytes), &place)).transpose()?;
    let progress =
        opened.backend.progress()?.map(|bytes| RestoreProgress::parse(&bytes, &place)).transpose()?;
    let (changelog_end, changelog_start) = (log.end_offset(at)?, log.start_offset(at)?);
    Ok(Found { opened, local, progress, changelog_start, changelog_end })
}
