//! Recovery in the loop: from assigned partitions to partitions that compute.
//!
//! Owns the order: producer ready, what earlier runs left behind, committed positions, our incarnation,
//! sinks, state, sources. Databases are brought up to date beside the loop; whether the rest goes on meanwhile is decided here.
//! Invariants: facts are read only after the producer is ready; whatever recovery
//! refuses stops the process with the reason; what the log cannot answer now is asked again; a partition under restore takes nothing
//! before it is taken up, with nothing of a state in flight.

use super::Loop;
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::{Log, Membership},
    record::{BatchId, Incarnation, RawChunk, TopicPartition},
    runtime::{
        app::RETRY_PAUSE,
        batch::{
            partitions::Partitions,
            source_partition::{SourcePartition, Start},
            state_partition::{Recovered, StatePartition},
        },
        events::Observed,
        group::{CommittedPosition, meta::Meta},
        recovery::{Committed, Ended, Recovery, sources},
    },
};
use std::time::Duration;

impl Loop {
    /// Begins to recover what the group has assigned, or takes the recovery further; takes up what was restored meanwhile.
    pub(super) fn recover(&mut self) -> Result {
        let is_wanted = self.recovery.is_none() && !self.group.unrecovered.is_empty();
        if is_wanted && !self.may_begin()? {
            return Ok(());
        }
        let wanted = match &self.recovery {
            Some(recovery) => recovery.partitions(),
            None => std::mem::take(&mut self.group.unrecovered),
        };
        if wanted.is_empty() {
            self.recovery = None; // the partitions that it covered were revoked
            self.look_at_restores()?;
            return self.take_up_restored();
        }
        match self.try_recover(&wanted) {
            Err(Error::Log(f)) if f.reaction.may_pass() => {
                self.recovery = None;
                self.restorer.cancel(&wanted);
                self.group.unrecovered.extend(wanted);
                self.try_later(&f);
                Ok(())
            }
            result => result,
        }
    }

    /// Whether a recovery can begin now.
    fn may_begin(&mut self) -> Result<bool> {
        let is_ready = self.transaction.is_ready(&self.app, self.group.identity.incarnation().is_some())?;
        if !is_ready || !self.restorer.is_free(&self.group.unrecovered) {
            self.group.wait(Duration::from_millis(5));
            return Ok(false);
        }
        match self.holds_state() {
            Err(Error::Log(f)) if f.reaction.may_pass() => {
                self.try_later(&f);
                Ok(false)
            }
            holds => holds,
        }
    }

    /// The log did not answer the group: what is being recovered is recovered from the beginning, as far as it is still ours.
    pub(super) fn give_recovery_up(&mut self, failure: &Failure) {
        let wanted = self.recovery.take().map(|recovery| recovery.partitions()).unwrap_or_default();
        self.restorer.cancel(&wanted);
        self.group.unrecovered.extend(wanted);
        self.try_later(failure);
    }

    fn try_later(&self, failure: &Failure) {
        if self.app.env.shutdown.is_requested() {
            tracing::info!("{failure}");
        } else {
            tracing::warn!("{failure}; trying again");
            self.app.env.clock.sleep(RETRY_PAUSE);
        }
    }

    fn try_recover(&mut self, wanted: &[TopicPartition]) -> Result {
        if self.recovery.is_none() {
            self.recovery = Some(self.begin_recovery(wanted)?);
        }
        self.look_at_restores()?;
        let is_to_stop = self.app.env.shutdown.is_requested();
        match self.recovery.take() {
            Some(recovery) if !is_to_stop && (recovery.is_done() || self.goes_on_meanwhile(&recovery)) => {
                self.finish_recovery(recovery)
            }
            recovery => {
                self.recovery = recovery;
                Ok(())
            }
        }
    }

    /// Whether the rest goes on while state partitions are restored: rows go through the exchange topic then, and what has come for a
    /// partition waits there. A process that has everything and hands rows over in memory waits: after most crashes that takes no time.
    fn goes_on_meanwhile(&self, recovery: &Recovery) -> bool {
        let Partitions { states, restoring, .. } = &self.partitions;
        let ready = states.len() + recovery.ready.len();
        let count = ready + restoring.len() + recovery.restoring.len();
        let is_complete = count == self.app.config.state_partitions as usize;
        let is_split = self.exchange.is_some() || !is_complete;
        self.app.is_shared() && is_split && !recovery.is_unrecorded()
    }

    /// Takes note of what has been restored. Where there are no threads, restores take a step.
    pub(super) fn look_at_restores(&mut self) -> Result {
        for ended in self.restorer.take_ended(&self.app)? {
            let recovered = match ended {
                Ended::Ready(recovered) => *recovered,
                Ended::Contradicts(contradiction) => {
                    let positions = self.committed(std::slice::from_ref(&contradiction.at))?;
                    let is_committed = positions.iter().any(|p| p.committed.is_some());
                    return Err(contradiction.explained(&self.app, is_committed));
                }
            };
            let recovered = match &mut self.recovery {
                Some(recovery) => recovery.is_ready(recovered),
                None => Some(recovered),
            };
            let Some(recovered) = recovered else { continue };
            let of = self.partitions.restoring.iter_mut().find(|state| state.at == recovered.at);
            if let Some(state) = of {
                state.recovered = Some(recovered);
            }
        }
        let awaited = self.recovery.as_ref().filter(|r| !self.goes_on_meanwhile(r)).map(Recovery::progress);
        self.restorer.report(&self.app, awaited);
        Ok(())
    }

    /// Takes up state partitions whose restore has ended, at the barrier or while a batch takes input that goes through the exchange topic.
    /// What has come for them meanwhile is read from the committed offset on.
    pub(super) fn take_up_restored(&mut self) -> Result {
        let is_wanted = self.partitions.restoring.iter().any(|state| state.recovered.is_some());
        if !is_wanted || self.group.has_events() || self.group.has_lost() {
            return Ok(());
        }
        let Ok(membership) = self.group.membership() else { return Ok(()) };
        let restoring = std::mem::take(&mut self.partitions.restoring);
        let (restored, left): (Vec<_>, Vec<_>) =
            restoring.into_iter().partition(|state| state.recovered.is_some());
        self.partitions.restoring = left;
        let restored: Vec<Recovered> = restored.into_iter().filter_map(|state| state.recovered).collect();
        let places: Vec<_> = restored.iter().map(|r| (r.at.clone(), r.exchange_next)).collect();
        let fetchers = match self.group.start(&places, membership, false) {
            Ok(fetchers) => fetchers,
            Err(f) if f.reaction.may_pass() => {
                tracing::warn!("{f}; all partitions are recovered again");
                self.close_tasks();
                return Ok(());
            }
            Err(f) => return Err(f.into()),
        };
        self.beside.ends.answers().for_each(drop); // as for others that are recovered
        let (app, stopwatch) = (&self.app, self.app.stopwatch());
        let open =
            |recovered| StatePartition::open(&app.plan, recovered, app.config.state_partitions, &stopwatch);
        let mut states: Vec<StatePartition> = restored.into_iter().map(open).collect();
        self.open_exchange(&mut states, fetchers)?;
        self.partitions.add(vec![], states);
        Ok(())
    }

    /// Checks once that this program may continue from what an earlier run left behind, and how.
    pub(super) fn look_back(&mut self) -> Result {
        let question = self.group.identity.looking_back(&self.app);
        let found = self.ask("reading what an earlier run left behind", question)?;
        if let Some(takeover) = self.group.identity.looked_back(&self.app, &self.group.topics, found)? {
            self.app.take_over(takeover);
        }
        Ok(())
    }

    /// The committed offsets and recovery records of partitions, read once no transaction on them is pending.
    pub(super) fn committed(&mut self, at: &[TopicPartition]) -> Result<Vec<CommittedPosition>> {
        let question = self.group.committed(at)?;
        let committed = self.ask("reading committed offsets", move |_| Ok(question()?))?;
        let positions = at.iter().zip(committed);
        positions.map(|(at, committed)| CommittedPosition::of(&self.app, at, committed)).collect()
    }

    fn bounds(&mut self, sources: &[CommittedPosition]) -> Result<Vec<sources::Bounds>> {
        let question = sources::bounds(&self.app, self.group.identity.meta(), sources);
        self.ask("reading where the input begins and ends", question)
    }

    fn begin_recovery(&mut self, wanted: &[TopicPartition]) -> Result<Recovery> {
        let _ = crate::failpoint::passes("after-assignment");
        let membership = self.group.membership()?;
        if self.has_rivals() && !self.group.holds_state(&membership) {
            let what = "the membership has changed since the state was claimed";
            return Err(Failure::new(Stage::Group, Reaction::RetrySame, what).into());
        }
        self.group.accept()?;
        self.fence_gone(wanted)?;
        self.look_back()?;
        let mut positions = self.committed(wanted)?;
        let meta = self.group.identity.meta();
        // What the group has for a topic that was made anew is about the old one.
        for position in positions.iter_mut().filter(|p| meta.is_some_and(|meta| meta.is_new(&p.at.topic))) {
            (position.committed, position.record) = (None, None);
        }
        let ours = self.take_incarnation(&positions, &membership)?;
        self.finish_outputs(ours, &membership)?;
        self.report_other_version(&positions);
        let (states, sources): (Vec<CommittedPosition>, Vec<CommittedPosition>) =
            positions.into_iter().partition(|p| p.at.topic == self.app.names.exchange);
        if sources.iter().any(|p| p.committed.is_none()) {
            let bounds = self.bounds(&sources)?;
            self.starts(&sources, &bounds, &[])?; // lost offsets are reported under the name of the input, before any restore
        }
        let token = self.group.identity.token(&self.app, BatchId(0)); // batches are numbered from 1
        let Loop { app, group, attention, restorer, .. } = self;
        let attend = &mut |waited| attention.attend(app, group, waited);
        Recovery::begin(app, restorer, &token, membership, Committed { states, sources }, attend)
    }

    /// Ends the transactions that the last owners of these partitions have left open and that are gone. Where that is not possible, the
    /// log ends them after their timeout.
    fn fence_gone(&mut self, wanted: &[TopicPartition]) -> Result {
        let question = self.group.fencing.looking_for_gone(&self.app, wanted);
        let found = match self.ask("a look at who had the partitions before", question) {
            Err(Error::Killed) => return Err(Error::Killed),
            Err(e) => {
                tracing::warn!("{e}; transactions that are open are waited for");
                return Ok(());
            }
            Ok(found) => found,
        };
        for gone in found {
            tracing::info!("process `{}` is gone: what it may have left open is ended", gone.instance());
            match self.ask("ending the transaction of a process that is gone", gone.fencing()) {
                Ok(()) => self.group.fencing.has_fenced(&gone),
                Err(Error::Killed) => return Err(Error::Killed),
                Err(e) => tracing::warn!("{e}; its transaction is waited for"),
            }
        }
        Ok(())
    }

    /// Finishes what was committed earlier for outputs outside the log.
    fn finish_outputs(&mut self, ours: Incarnation, membership: &Membership) -> Result {
        if !self.two_phase.must_recover() {
            return Ok(());
        }
        let topic = self.app.names.meta.clone();
        let read = move |log: &dyn Log| Meta::read(log, &topic);
        let meta = self.ask("reading what outputs have to finish", read)?;
        let Loop { app, group, attention, two_phase, .. } = self;
        attention.call(two_phase.labels(&app.plan));
        let whose = (ours, &*membership.member_id);
        let recovered =
            two_phase.recover(app, meta, whose, &mut |waited| attention.attend(app, group, waited));
        attention.call(vec![]);
        recovered
    }

    fn finish_recovery(&mut self, recovery: Recovery) -> Result {
        let bounds = self.bounds(&recovery.sources)?;
        let through_topic = self.goes_through_topic(&recovery.ready)?;
        if self.group.has_events() || self.group.has_lost() {
            self.recovery = Some(recovery); // what happened while the log was asked comes first
            return Ok(());
        }
        let Recovery { membership, sources, ready, restoring, .. } = recovery;
        let of_restoring = restoring.iter().filter_map(|state| state.seen.as_ref());
        let seen: Vec<_> =
            ready.iter().filter_map(|recovered| recovered.seen.as_ref()).chain(of_restoring).collect();
        let starts = self.starts(&sources, &bounds, &seen)?;
        let meta = self.group.identity.meta();
        sources::report_offsets_of_others(&self.app, meta, &sources, &bounds, &starts);
        let mut places = starts.clone();
        if through_topic {
            places.extend(ready.iter().map(|recovered| (recovered.at.clone(), recovered.exchange_next)));
        }
        let mut fetchers = self.group.start(&places, membership, self.partitions.none_owned())?;
        self.group.assignment_is_known();
        self.beside.ends.answers().for_each(drop); // they are about these partitions as they were before
        let of_exchange = fetchers.split_off(sources.len());
        let (app, stopwatch) = (&self.app, self.app.stopwatch());
        let count = app.config.state_partitions;
        let mut opened = vec![];
        for (((position, (at, from)), bounds), fetcher) in
            sources.into_iter().zip(starts).zip(bounds).zip(fetchers)
        {
            let source = app.plan.source_of(&at.topic).expect("a group that assigns other topics was left");
            let committed = position.committed.map(|c| c.offset);
            let committed_at = position.record.map(|record| record.time);
            let is_whole = !self.beside.receivers.catches_up(&at.topic);
            let stop_at = (app.is_bounded() && is_whole).then_some(bounds.end);
            tracing::debug!(%at, %from, is_first = committed.is_none(), "source partition ready");
            let start = Start { at, from, committed, committed_at, stop_at, fetcher };
            opened.push(SourcePartition::open(&app.plan, source, start, count, stopwatch.clone()));
        }
        let open = |recovered| StatePartition::open(&app.plan, recovered, count, &stopwatch);
        let mut states: Vec<StatePartition> = ready.into_iter().map(open).collect();
        if through_topic {
            self.open_exchange(&mut states, of_exchange)?;
        }
        self.partitions.add(opened, states);
        self.partitions.restoring.extend(restoring);
        self.rejoin_if_partitions_are_missing()?;
        self.app.observe(&Observed::Running { owned: &self.partitions.owned() });
        Ok(())
    }

    fn starts(
        &self,
        sources: &[CommittedPosition],
        bounds: &[sources::Bounds],
        seen: &[&sources::Seen],
    ) -> Result<Vec<(TopicPartition, crate::record::Offset)>> {
        let of_owned = self.partitions.states.iter().filter_map(|s| s.seen.as_ref());
        let of_restoring = self.partitions.restoring.iter().filter_map(|s| s.seen.as_ref());
        let seen: Vec<_> = of_owned.chain(of_restoring).chain(seen.iter().copied()).collect();
        sources::starts(&self.app, self.group.identity.meta(), sources, bounds, &seen)
    }

    fn report_other_version(&self, positions: &[CommittedPosition]) {
        let ours = &self.app.fingerprint_short;
        let records = positions.iter().filter_map(|p| p.record.as_ref());
        if let Some(other) =
            records.map(|record| &record.fingerprint).find(|fingerprint| *fingerprint != ours)
        {
            tracing::info!(
                "continuing from a batch of another version of this program (fingerprint {other}, now {ours})"
            );
        }
    }

    /// Takes the next incarnation at the first recovery; at later ones checks that ours is still the highest.
    /// The producer is ready, so everything that an older process has committed is seen.
    fn take_incarnation(
        &mut self,
        positions: &[CommittedPosition],
        membership: &Membership,
    ) -> Result<Incarnation> {
        if !crate::failpoint::passes("mutant-mark-time-forgotten") {
            let now_ms = self.app.env.clock.now_ms();
            let records = positions.iter().filter_map(|position| position.record.as_ref());
            let (open, ended): (Vec<_>, Vec<_>) = records.partition(|r| r.is_open && r.time.0 > now_ms);
            self.pace.not_before(ended.iter().map(|record| record.time).max());
            self.pace.goes_on(open.iter().map(|record| record.time).max());
        }
        let superseded = self.is_superseded()?;
        if let Some(ours) = self.group.identity.incarnation() {
            let is_fenced = superseded || self.group.identity.is_fenced(&self.app, positions);
            return if is_fenced { Err(self.fenced()) } else { Ok(ours) };
        }
        let ours = self.group.identity.next(&self.app, positions);
        self.claim(ours, membership)?;
        self.group.identity.take(ours);
        let (instance, group) = (&self.app.env.instance, &self.app.config.application_id);
        tracing::info!(%instance, incarnation = ours.0, "joined group {group}");
        Ok(ours)
    }

    /// Announces our incarnation to older processes with our name. Two processes that do this at once are put
    /// in order by their producers: one fences the other, which then takes a higher incarnation.
    fn claim(&mut self, ours: Incarnation, membership: &Membership) -> Result {
        let row = Meta::claim_row(&self.app.env.instance, ours);
        // Whether or not a claim that failed was written: the next one is higher.
        self.commit_alone(row, membership, "claiming the next incarnation")
    }

    /// Writes rows to the meta topic in a transaction of their own. If that fails in a way that may pass, the
    /// next attempt is made with another producer.
    pub(super) fn commit_alone(&mut self, rows: RawChunk, membership: &Membership, what: &str) -> Result {
        let Loop { app, group, attention, transaction, .. } = self;
        let attend = &mut |waited| attention.attend(app, group, waited);
        match transaction.commit_alone(app.names.meta.clone(), rows, membership.clone(), attend)? {
            Ok(()) if !transaction.is_suspect() => Ok(()),
            Err(f) if matches!(f.reaction, Reaction::StopPipeline | Reaction::Exit) => Err(f.into()),
            outcome => {
                transaction.recreate_later(&self.app);
                let why = outcome.err().map_or_else(String::new, |f| format!(": {f}"));
                let what = format!("{what} with another producer{why}");
                Err(Failure::new(Stage::Init, Reaction::RetrySame, what).into())
            }
        }
    }

    /// A static member that restarts gets its old assignment even if topics grew meanwhile: then the group is
    /// asked again, once. With state, source partitions are not assigned.
    fn rejoin_if_partitions_are_missing(&mut self) -> Result {
        if self.app.plan.has_state_partitions() {
            return Ok(());
        }
        let (partitions, inputs) = (&self.partitions, &self.group.topics.inputs);
        let owned = |topic: &str| partitions.sources.iter().filter(|s| &*s.at.topic == topic).count();
        let grown = inputs.iter().any(|(t, info)| owned(t) > 0 && owned(t) < info.partitions as usize);
        let changed = self.group.identity.meta().is_some_and(|m| m.subscription_changed(&self.group.topics))
            || (!self.witness.topology_is_written && self.pace.has_begun()); // the partitions were added during this run
        if changed && (grown || inputs.keys().any(|t| owned(t) == 0)) {
            self.group.rejoin_once()?;
        }
        Ok(())
    }
}
