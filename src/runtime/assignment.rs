//! What the group gives and takes, served at the barrier.
//!
//! Owns the way from an assigned partition to a unit that can compute, and back. Knows no batch. Invariants: facts are read only
//! after the producer is ready; a partition is given back only with nothing of it in flight; whatever recovery refuses stops the
//! process with the reason.

use super::{
    engine::{Engine, Observed},
    fencing::may_pass,
    meta::Meta,
    start::PendingProducer,
    units::{SourcePartition, StatePartition},
};
use crate::{
    config::Trigger,
    error::{Error, Reaction, Result},
    log::{Committed, Fetcher, GroupEvent},
    record::{Offset, Partition, TaskId, TopicPartition},
    source::RecordQueue,
    task::{
        Stopwatch, Task,
        recovery::{self, SourceDecision, SourceFacts},
        recovery_record::RecoveryRecord,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A partition with what the group holds for it.
pub(super) struct CommittedPosition {
    pub at: TopicPartition,
    pub committed: Option<Committed>,
    pub record: Option<RecoveryRecord>,
}

impl Engine {
    /// Serves everything that the group reported; at the barrier only.
    pub(super) fn serve_group(&mut self) -> Result {
        let polled = self.member.poll();
        match polled {
            Ok(events) => self.events.extend(events),
            Err(f) if f.reaction == Reaction::Exit => return self.place_taken(f),
            Err(f) if f.reaction == Reaction::CloseTasks => {
                tracing::warn!("{f}; all partitions are recovered anew");
                self.close_tasks();
                self.env.clock.sleep(Duration::from_millis(200));
            }
            Err(f) => return Err(f.into()),
        }
        self.notice_expulsion();
        if self.must_rejoin {
            return self.join_anew();
        }
        for event in std::mem::take(&mut self.events) {
            match event {
                GroupEvent::Assigned(at) => {
                    self.forget(&at);
                    self.unrecovered.extend(at);
                }
                GroupEvent::Revoking(at) | GroupEvent::Lost(at) => {
                    let _ = crate::failpoint::passes("before-release");
                    self.forget(&at);
                    match self.member.release(&at) {
                        // A membership that is over cannot be answered; the next poll tells how it ended.
                        Err(f) if f.reaction == Reaction::CloseTasks => tracing::warn!("{f}"),
                        released => released?,
                    }
                }
                GroupEvent::Connection(why) => self.env.observer.on(&Observed::Connection(why.as_deref())),
            }
        }
        if !self.unrecovered.is_empty() {
            self.recover()?;
        }
        self.refresh_topics()?;
        self.find_unassigned();
        self.outboxes.run(self.owns_the_first_partition())?;
        self.receivers.run_in(&self.places())
    }

    /// Whether this process does what only one process of the application does.
    fn owns_the_first_partition(&self) -> bool {
        if self.plan.has_state_partitions() {
            return self.states.iter().any(|s| s.partition == Partition(0));
        }
        let first = self.topics.inputs.keys().next();
        self.sources
            .iter()
            .any(|s| s.at.partition == Partition(0) && first.is_some_and(|t| *s.at.topic == **t))
    }

    /// A member that was expelled and taken in again may be told of new partitions only, or of nothing; those it held are lost.
    fn notice_expulsion(&mut self) {
        let holds = !self.sources.is_empty() || !self.states.is_empty();
        if holds
            && self.member.membership().is_ok_and(|m| m.member_id != self.member_id)
            && !crate::failpoint::passes("mutant-expelled-goes-on")
        {
            tracing::warn!("expelled from the group and taken in again: all partitions are recovered anew");
            self.close_tasks();
        }
    }

    fn forget(&mut self, at: &[TopicPartition]) {
        self.sources.retain(|s| !at.contains(&s.at));
        self.states.retain(|s| !at.contains(&s.at));
        self.unrecovered.retain(|u| !at.contains(u));
    }

    /// Brings assigned partitions to their committed state and starts to fetch them. What the log cannot answer now is asked again.
    fn recover(&mut self) -> Result {
        if !self.producer_is_ready()? {
            return Ok(());
        }
        let wanted = std::mem::take(&mut self.unrecovered);
        match self.try_recover(&wanted) {
            Err(Error::Log(f)) if may_pass(f.reaction) => {
                self.unrecovered = wanted;
                if self.env.shutdown.is_requested() {
                    tracing::info!("{f}");
                    return Ok(());
                }
                tracing::warn!("{f}; trying again");
                self.env.clock.sleep(Duration::from_millis(200));
                Ok(())
            }
            result => result,
        }
    }

    fn try_recover(&mut self, wanted: &[TopicPartition]) -> Result {
        let _ = crate::failpoint::passes("after-assignment");
        let membership = self.member.membership()?;
        self.look_back()?;
        let held = self.held(wanted)?;
        self.take_incarnation(&held, &membership)?;
        self.recover_two_phase(&membership.member_id)?;
        let (states, sources): (Vec<CommittedPosition>, Vec<CommittedPosition>) =
            held.into_iter().partition(|h| h.at.topic == self.names.exchange);
        if sources.iter().any(|h| h.committed.is_none()) {
            self.source_starts(&sources, &[])?; // lost offsets are told by the name of the input, before any restore
        }
        let states = self.restore_states(states)?;
        let starts = self.source_starts(&sources, &states)?;
        let mut places = starts.clone();
        places.extend(states.iter().map(|s| (s.at.clone(), s.exchange_next)));
        let fetchers = self.member.start(&places)?;
        self.member_id = membership.member_id;
        self.ends.answers().for_each(drop); // of what these partitions were before
        let known = sources.iter().map(|h| h.committed.as_ref().map(|c| c.offset));
        for (((at, from), committed), fetcher) in starts.into_iter().zip(known).zip(fetchers) {
            let unit = self.source_unit(at, from, committed, fetcher)?;
            self.sources.push(unit);
        }
        self.states.extend(states);
        self.sources.sort_by(|a, b| a.at.cmp(&b.at));
        self.states.sort_by_key(|s| s.partition);
        self.rejoin_if_partitions_are_missing()?;
        self.env.observer.on(&Observed::Running { owned: &self.places() });
        Ok(())
    }

    /// Checks once that this program may go on from what an earlier run left.
    fn look_back(&mut self) -> Result {
        if self.meta.is_some() {
            return Ok(());
        }
        let meta = Meta::read(self.env.log.as_ref(), &self.names.meta)?;
        meta.check(&self.topics)?;
        if let Some(conflict) = meta.topology.as_ref().and_then(|before| self.print.conflict_with(before)) {
            return Err(Error::Refused(conflict));
        }
        self.meta = Some(meta);
        Ok(())
    }

    fn producer_is_ready(&mut self) -> Result<bool> {
        match self.pending_producer.take() {
            None => Ok(true),
            Some(pending_producer) if !pending_producer.is_finished() => {
                self.pending_producer = Some(pending_producer);
                self.member.wait(Duration::from_millis(5));
                Ok(false)
            }
            Some(pending_producer) => match pending_producer.wait(self.env.log.as_ref()) {
                Ok(producer) => {
                    self.producer = Some(producer);
                    Ok(true)
                }
                // Another process of our name was made ready at the same time; and after the first start anything may pass.
                Err(Error::Log(f))
                    if f.reaction == Reaction::RecreateProducer
                        || (self.incarnation.is_some() && may_pass(f.reaction)) =>
                {
                    tracing::warn!("{f}; trying again");
                    self.pending_producer =
                        Some(PendingProducer::Asked(Self::producer_spec(&self.config, &self.env)));
                    self.env.clock.sleep(Duration::from_millis(200));
                    Ok(false)
                }
                Err(e) => Err(e),
            },
        }
    }

    /// The committed offsets and recovery records of partitions, read once no transaction is pending on them.
    pub(super) fn held(&mut self, at: &[TopicPartition]) -> Result<Vec<CommittedPosition>> {
        let committed = self.member.committed(at)?;
        let held = at.iter().zip(committed).map(|(at, committed)| {
            let parse = |c: &Committed| {
                RecoveryRecord::parse(&c.metadata, &format!("{at} in group {}", self.config.application_id))
            };
            // Offsets that were set from two_phase, as Kafka's own tools do, come without metadata.
            let record = committed.as_ref().filter(|c| !c.metadata.is_empty()).map(parse).transpose()?;
            Ok(CommittedPosition { at: at.clone(), committed, record })
        });
        held.collect()
    }

    /// Where to read each source partition from.
    fn source_starts(
        &mut self,
        sources: &[CommittedPosition],
        states: &[StatePartition],
    ) -> Result<Vec<(TopicPartition, Offset)>> {
        let ran_before = self.meta.as_ref().is_some_and(Meta::ran_before)
            || sources.iter().any(|h| h.committed.is_some())
            || self.sources.iter().any(|s| s.committed.is_some());
        let mut starts = vec![];
        for held in sources {
            let at = &held.at;
            let facts = SourceFacts {
                at: at.clone(),
                committed: held.committed.as_ref().map(|c| c.offset),
                witness: if self.config.accept_offsets { None } else { self.witness(at, states) },
                ran_before,
                start: self.env.log.start_offset(at)?,
                end: self.env.log.end_offset(at)?,
            };
            let is_first = facts.committed.is_none() && facts.witness.is_none() && !ran_before;
            match recovery::source(&facts, self.config.starting_offsets) {
                SourceDecision::From(_) if is_first => starts.push((at.clone(), self.first_offset(&facts)?)),
                SourceDecision::From(offset) => starts.push((at.clone(), offset)),
                SourceDecision::Refuse(why) => return Err(Error::Refused(why)),
            }
        }
        Ok(starts)
    }

    /// The greatest offset of a source partition that the meta topic or a local database has seen consumed.
    fn witness(&self, at: &TopicPartition, states: &[StatePartition]) -> Option<Offset> {
        if crate::failpoint::passes("mutant-no-witness") {
            return None;
        }
        let place = at.to_string();
        let records = self.states.iter().chain(states).filter_map(|s| s.seen.as_ref());
        let local = records.filter_map(|inputs| inputs.get(&place).copied()).max();
        local.max(self.meta.as_ref().and_then(|m| m.witness(at)))
    }

    fn source_unit(
        &mut self,
        at: TopicPartition,
        from: Offset,
        committed: Option<Offset>,
        fetcher: Box<dyn Fetcher>,
    ) -> Result<SourcePartition> {
        let (node, spec) = self.plan.source_of(&at.topic).ok_or_else(|| {
            Error::State(format!("the group assigned {at}, which this program does not read"))
        })?;
        let id = TaskId { stage: 0, partition: at.partition };
        let task = Task::open(&self.plan, id, Some(node), self.config.state_partitions, None)
            .reading(at.clone())
            .timed(self.stopwatch());
        let bounded = matches!(self.config.trigger, Trigger::AvailableNow | Trigger::Once);
        let stop_at = if bounded { Some(self.env.log.end_offset(&at)?) } else { None };
        tracing::debug!(%at, %from, is_first = committed.is_none(), "source partition ready");
        Ok(SourcePartition {
            node,
            policy: spec.policy,
            queue: RecordQueue::new(at.clone(), fetcher, spec.decoder.clone()),
            task,
            committed,
            start: from,
            next: from,
            leader_epoch: None,
            stop_at,
            poison: None,
            taken_first: None,
            taken_records: 0,
            taken_before: 0,
            interval_records_max: usize::MAX,
            witnessed: None,
            newest_ms: None,
            at,
        })
    }

    /// A static member that restarts gets its old assignment even if topics grew meanwhile: then the group is asked anew, once.
    fn rejoin_if_partitions_are_missing(&mut self) -> Result {
        let owned = |topic: &str| self.sources.iter().filter(|s| &*s.at.topic == topic).count();
        let grown =
            self.topics.inputs.iter().any(|(t, info)| owned(t) > 0 && owned(t) < info.partitions as usize);
        let changed = self.meta.as_ref().is_some_and(|m| m.subscription_changed(&self.topics))
            || (self.plan.has_state_partitions() && self.states.is_empty())
            || (!self.first_rows_sent && self.last_batch.0 > 0); // they were added in this run
        if changed && (grown || self.topics.inputs.keys().any(|t| owned(t) == 0)) && !self.rejoined {
            self.rejoined = true;
            if crate::failpoint::passes("mutant-no-rejoin") {
                return Ok(());
            }
            tracing::info!(
                "topics or partitions were added since the last run: asking the group for a new assignment"
            );
            self.member.rejoin()?;
        }
        Ok(())
    }

    pub(super) fn stopwatch(&self) -> Stopwatch {
        let clock = self.env.clock.clone();
        Arc::new(move || clock.monotonic())
    }

    /// The unit of a restored state partition.
    pub(super) fn state_unit(
        &self,
        held: &CommittedPosition,
        backend: std::sync::Arc<dyn crate::state::Backend>,
        record: Option<RecoveryRecord>,
        seen: Option<BTreeMap<String, Offset>>,
    ) -> StatePartition {
        let partition: Partition = held.at.partition;
        let open = |stage| {
            Task::open(
                &self.plan,
                TaskId { stage, partition },
                None,
                self.config.state_partitions,
                Some(&backend),
            )
            .timed(self.stopwatch())
        };
        let tasks: Vec<Task> = (1..self.plan.stages()).map(open).collect();
        StatePartition {
            partition,
            at: held.at.clone(),
            exchange_next: held.committed.as_ref().map(|c| c.offset).unwrap_or_default(),
            inbox: tasks.iter().map(|_| vec![]).collect(),
            tasks,
            changelog_end: record.as_ref().and_then(|r| r.changelog_end).unwrap_or_default(),
            record,
            seen,
            backend,
            changes: vec![],
            sent_rows: 0,
            touched: false,
            is_ending: false,
        }
    }
}
