//! The barrier: serves what the group assigns and revokes, and does everything that only queries the log.
//!
//! Knows no batch. Invariants: a partition is given back only with nothing of it in flight; a membership that
//! was lost is replaced only after checking whether a newer process has our name.

use super::Loop;
use crate::{
    error::{Error, Failure, Reaction, Result},
    log::{GroupEvent, Log, Membership},
    record::{Partition, TopicPartition},
    runtime::{
        app::RETRY_PAUSE,
        batch::source_partition::SourcePartition,
        events::Observed,
        group::{self, LOOK_EVERY, Look, meta::Meta, peers::Peer, topics},
    },
};

impl Loop {
    /// Serves everything that the group reported; at the barrier only.
    pub(super) fn serve_group(&mut self) -> Result {
        // Whether our place was taken the poll says, again and again.
        match self.group.poll(&self.app).and_then(|()| self.group.take_loss()) {
            Ok(()) => {}
            Err(f) if f.reaction == Reaction::Exit => return self.place_taken(f),
            Err(f) if f.reaction == Reaction::CloseTasks => {
                if self.recovery.is_some() {
                    self.give_recovery_up(&f);
                    return Ok(());
                }
                tracing::warn!("{f}; all partitions are recovered again");
                self.close_tasks();
                self.app.env.clock.sleep(RETRY_PAUSE);
            }
            Err(f) => return Err(f.into()),
        }
        if !self.partitions.none_owned()
            && self.group.was_expelled()
            && !crate::failpoint::passes("mutant-expelled-goes-on")
        {
            tracing::warn!("expelled from the group and admitted again: all partitions are recovered again");
            self.close_tasks();
        }
        if self.group.must_rejoin() {
            return self.join();
        }
        for event in self.group.take_events() {
            match event {
                GroupEvent::Assigned(at) => {
                    if self.group.must_leave_for(&self.app, &at)? {
                        self.close_tasks();
                        return Ok(());
                    }
                    let at = self.group.with_sources(&self.app, at);
                    self.forget(&at);
                    self.group.unrecovered.extend(at);
                }
                GroupEvent::Revoking(at) | GroupEvent::Lost(at) => {
                    let _ = crate::failpoint::passes("before-release");
                    if !crate::failpoint::passes("mutant-goes-on-after-release") {
                        self.forget(&self.group.with_sources(&self.app, at.clone()));
                    }
                    self.group.release(&at)?;
                    // What is still to be recovered is reported once it is.
                    if self.recovery.is_none() && self.group.is_settled() {
                        self.app.observe(&Observed::Running { owned: &self.partitions.owned() });
                    }
                }
                GroupEvent::Connection(_) => {} // the group has reported it
            }
        }
        self.leave_memory()?;
        self.recover()?;
        self.leave_memory()?; // with all that is recovered
        if self.recovery.is_none() {
            self.look_for_partitions()?;
            self.look_for_an_owner()?;
        }
        if self.group.is_settled() && self.recovery.is_none() && !self.partitions.none_owned() {
            let Loop { app, partitions, beside, .. } = self;
            beside.kept.limit(app.now(), || partitions.owned_states().map(|at| at.partition).collect());
        }
        self.beside.run(&self.partitions.owned(), self.owns_the_first_partition(), true)
    }

    /// A bounded run takes what receivers have found by the time they have caught up. Returns whether anything was learned.
    pub(super) fn look_for_ends_of_listings(&mut self) -> Result<bool> {
        if !self.app.is_bounded() {
            return Ok(false);
        }
        let receivers = &self.beside.receivers;
        let is_listed = |s: &&SourcePartition| s.stop_at.is_none() && !receivers.catches_up(&s.at.topic);
        let places: Vec<_> = self.partitions.sources.iter().filter(is_listed).map(|s| s.at.clone()).collect();
        if places.is_empty() {
            return Ok(false);
        }
        let ends = self.ask("the ends of what was listed", move |log| {
            places.into_iter().map(|at| Ok((log.end_offset(&at)?, at))).collect::<Result<Vec<_>>>()
        })?;
        for (end, at) in ends {
            let source = self.partitions.sources.iter_mut().find(|source| source.at == at);
            source.into_iter().for_each(|source| source.stop_at = Some(end));
        }
        Ok(true)
    }

    /// Takes up partitions that appeared, and asks the group for a new assignment where that takes one, or if there
    /// are partitions that nobody reads.
    fn look_for_partitions(&mut self) -> Result {
        if !self.group.is_settled() {
            return Ok(());
        }
        let Loop { app, group, beside, .. } = self;
        if !beside.looks.is_busy() {
            if group.must_discover(app) {
                let find = topics::finding(app);
                let look = Box::new(move |log: &dyn Log| Ok(Look::Topics(find(log)?)));
                beside.looks.ask("a look for new topics and partitions", look);
            } else if let Some((generation, question)) = group.finding_unassigned(app) {
                let look = Box::new(move |_: &dyn Log| Ok(Look::Unassigned { generation, at: question()? }));
                beside.looks.ask("a look for partitions that nobody reads", look);
            }
        }
        match beside.looks.found()? {
            None => Ok(()),
            Some(Look::Topics(found)) => self.take_topics(found),
            Some(Look::Unassigned { generation, at }) => {
                if self.group.found_unassigned(&self.app, generation, at) {
                    self.close_tasks();
                }
                Ok(())
            }
        }
    }

    fn take_topics(&mut self, found: topics::Found) -> Result {
        let Some(changed) = self.group.discovered(&self.app, found)? else { return Ok(()) };
        self.witness.topology_is_written = false;
        if self.app.plan.has_state_partitions() {
            self.follow(&changed);
        } else {
            tracing::info!("asking the group for a new assignment");
            self.close_tasks();
        }
        Ok(())
    }

    /// Forgets what was read of topics that have changed, and recovers the source partitions that go with our state
    /// partitions and are not read yet.
    fn follow(&mut self, changed: &[String]) {
        let sources = self.partitions.sources.iter().map(|source| source.at.clone());
        let (stale, kept): (Vec<_>, Vec<_>) =
            sources.partition(|at| changed.iter().any(|topic| **topic == *at.topic));
        self.forget(&stale);
        let shards: Vec<Partition> = self.partitions.owned_states().map(|at| at.partition).collect();
        let found = self.group.sources_of(&self.app, &shards).filter(|at| !kept.contains(at));
        let found: Vec<_> = found.collect();
        self.group.unrecovered.extend(found);
    }

    /// Whether this process does the work that only one process of the application does.
    fn owns_the_first_partition(&self) -> bool {
        if self.app.plan.has_state_partitions() {
            return self.partitions.owned_states().any(|at| at.partition == Partition(0));
        }
        let first = self.group.topics.inputs.keys().next();
        let is_first =
            |at: &TopicPartition| at.partition == Partition(0) && first.is_some_and(|t| *at.topic == **t);
        self.partitions.sources.iter().any(|s| is_first(&s.at))
    }

    fn forget(&mut self, at: &[TopicPartition]) {
        self.partitions.remove(at);
        self.restorer.cancel(at);
        self.group.unrecovered.retain(|u| !at.contains(u));
        if let Some(recovery) = &mut self.recovery {
            recovery.remove(at);
        }
    }

    /// Another member has taken our place in the group for good: a newer process, or a stale membership of
    /// our own.
    fn place_taken(&mut self, failure: Failure) -> Result {
        tracing::warn!("{failure}; checking whether a newer process runs");
        self.close_tasks();
        let superseded = match self.group.identity.incarnation() {
            Some(_) => self.await_claim(),
            None => Ok(false), // our first one is still to come
        };
        match superseded {
            Ok(true) => {
                self.checkpoint.failure = Some(failure.into());
                return Err(self.fenced());
            }
            Err(Error::Log(f)) if f.reaction.may_pass() => tracing::warn!("{f}"),
            waited => drop(waited?),
        }
        if self.app.env.shutdown.is_requested() {
            return Ok(());
        }
        tracing::info!("no newer process has started: joining the group as a new member");
        self.join()
    }

    /// Joins the group, or replaces the membership by a new one, unless a newer process has started or another
    /// one holds the state.
    fn join(&mut self) -> Result {
        match self.is_superseded() {
            Ok(true) => return Err(self.fenced()),
            Err(Error::Log(f)) if f.reaction.may_pass() => {
                tracing::warn!("{f}; trying again");
                self.app.env.clock.sleep(RETRY_PAUSE);
                return Ok(());
            }
            looked => drop(looked?),
        }
        self.when_answered(Self::try_join).map(drop)
    }

    fn try_join(&mut self) -> Result<bool> {
        let others = if self.has_rivals() {
            self.ask("a look at the members of the group", group::others(&self.app))?
        } else {
            self.compare_with_peers()?;
            vec![]
        };
        let holder = self.group.held_elsewhere(others);
        // The log has answered; and no membership says so of a loss that one before it has told.
        self.app.observe(&Observed::Connection(None));
        let Some(holder) = holder else {
            let _ = crate::failpoint::passes("before-join");
            self.leave_group()?;
            self.group.join(&self.app)?;
            return Ok(true);
        };
        self.app.observe(&Observed::StandingBy { holder, help: self.app.help_to_share() });
        self.leave_group()?;
        self.beside.run(&[], false, false)?;
        for _ in 0..LOOK_EVERY.as_millis() / RETRY_PAUSE.as_millis() {
            if !self.app.env.shutdown.is_requested() {
                self.app.env.clock.sleep(RETRY_PAUSE);
            }
        }
        Ok(false)
    }

    /// Fails if a process that shares the state runs something else.
    fn compare_with_peers(&mut self) -> Result {
        if !self.app.is_shared() || !self.witness.is_first() {
            return Ok(());
        }
        let others = self.ask("a look at the members of the group", group::others(&self.app))?;
        if others.is_empty() {
            return Ok(());
        }
        if self.app.plan.writes_files_in_shares() {
            let rivals = self.ask("a look at who has claimed the state", group::rivals(&self.app))?;
            if let Some(alone) = rivals.owner() {
                return Err(Error::Config(format!(
                    "process `{}` of this application runs without --shared-files: it has all the state, and shares it with nobody\n  next: stop it, and start all processes with --shared-files; or start this one without, to stand by",
                    alone.instance
                )));
            }
        }
        let exchange = self.app.names.exchange.clone();
        let asked = exchange.clone();
        let found = self.ask("the settings of the exchange topic", move |log| log.describe(&[&*asked]))?;
        found
            .first()
            .and_then(Option::as_ref)
            .map_or(Ok(()), |info| topics::check_exchange(&exchange, info))?;
        self.look_back()?; // what the program is called depends on what ran before
        let known = self.group.identity.meta().map(|meta| &meta.peers);
        match known.and_then(|known| Peer::of(&self.app, "").refusal(known, &others)) {
            Some(why) => Err(Error::Config(why)),
            None => Ok(()),
        }
    }

    /// Whether one process has all the state, so that others stand by.
    pub(super) fn has_rivals(&self) -> bool {
        self.app.plan.has_state_partitions() && !self.app.is_shared()
    }

    fn leave_group(&mut self) -> Result {
        let Some(mut member) = self.group.leave() else { return Ok(()) };
        self.ask("leaving the group", move |_| {
            member.leave();
            Ok(())
        })
    }

    /// Makes sure that the state is ours before anything is recovered: claims it, and leaves the group if
    /// another process has an earlier claim. `false` = it is not ours.
    pub(super) fn holds_state(&mut self) -> Result<bool> {
        if !self.has_rivals() {
            return Ok(true);
        }
        let membership = self.group.membership()?;
        if self.group.holds_state(&membership) {
            return Ok(true);
        }
        if !self.group.has_claimed(&membership) {
            self.look_back()?;
            let row = Meta::owner_row(&self.app.env.instance, &membership.member_id);
            self.commit_alone(row, &membership, "claiming the state")?;
            self.group.claimed(&membership);
        }
        self.stands_back(&membership).map(|stands_back| !stands_back)
    }

    /// Leaves the group if another member has an earlier claim.
    fn stands_back(&mut self, membership: &Membership) -> Result<bool> {
        let rivals = self.ask("a look at who has claimed the state", group::rivals(&self.app))?;
        let Some(owner) = self.group.earlier_owner(rivals, membership)? else { return Ok(false) };
        tracing::info!("{} was first to claim the state: leaving the group", owner.instance);
        self.close_tasks();
        self.leave_group()?;
        Ok(true)
    }

    /// Nothing may be assigned to us because another process holds everything.
    fn look_for_an_owner(&mut self) -> Result {
        let waits = self.has_rivals() && self.partitions.none_owned() && self.group.is_settled();
        let Ok(membership) = self.group.membership() else { return Ok(()) };
        if waits && self.group.must_look_for_owner(&self.app) {
            self.when_answered(|this| this.stands_back(&membership))?;
        }
        Ok(())
    }
}
