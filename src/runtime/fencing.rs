//! Two processes of one name: which of them is older, and must end.
//!
//! Owns the incarnation of this process: it is claimed in the meta topic, in a transaction of its own, before anything is recovered
//! or processed; committed recovery records carry it too. Knows no group protocol. Invariants: a process ends as fenced only after
//! it has read a higher incarnation of its own name; losing a place in the group, or a producer, proves nothing, because a broker
//! that was away can throw out a process by a late request of its own.

use super::{
    assignment::CommittedPosition,
    engine::{Engine, Observed},
    meta::Meta,
    start::PendingProducer,
};
use crate::{
    error::{Error, Failure, Reaction, Result},
    log::{GroupEvent, Membership},
    record::{Incarnation, Partition},
};
use std::time::Duration;

/// How long a process whose place in the group or whose producer was taken waits for the claim of the one that took it.
const CLAIM_WAIT: Duration = Duration::from_secs(3);
const CLAIM_PAUSE: Duration = Duration::from_millis(200);

/// A producer that is lost so soon after the one before it was probably taken by a process that is about to claim: as long as we have
/// transactions open, its own producer does not become ready.
const RIVAL_WINDOW: Duration = Duration::from_secs(10);

impl Engine {
    /// Keeps for the barrier what the group reports while a batch is in flight; that the place was taken is looked into there, too. A
    /// lost connection is told at once.
    pub(super) fn hear_group(&mut self) -> Result<(), Failure> {
        self.env.observer.on(&Observed::Alive);
        let heard = self.member.poll().map_err(|f| match f.reaction {
            Reaction::Exit => Failure { reaction: Reaction::CloseTasks, ..f },
            _ => f,
        })?;
        for event in heard {
            match event {
                GroupEvent::Connection(why) => self.env.observer.on(&Observed::Connection(why.as_deref())),
                event => self.events.push(event),
            }
        }
        Ok(())
    }

    /// Another member sits at our place in the group, for good: a newer process, or our own shadow.
    pub(super) fn place_taken(&mut self, failure: Failure) -> Result {
        tracing::warn!("{failure}; looking whether a newer process runs");
        self.close_tasks();
        let superseded = match self.incarnation {
            Some(_) => self.await_claim(),
            None => Ok(false), // ours is still to come
        };
        match superseded {
            Ok(true) => {
                self.failure = Some(failure.into());
                return Err(self.fenced());
            }
            Err(Error::Log(f)) if may_pass(f.reaction) => tracing::warn!("{f}"),
            waited => drop(waited?),
        }
        if self.env.shutdown.is_requested() {
            return Ok(());
        }
        tracing::info!("no newer process has begun: joining the group as a new member");
        self.join_anew()
    }

    /// Leaves our place and our producer to others for a while; whether a newer process has claimed them.
    fn await_claim(&mut self) -> Result<bool> {
        let until = self.env.clock.monotonic() + CLAIM_WAIT;
        loop {
            self.env.observer.on(&Observed::Alive);
            let superseded = self.is_superseded();
            let asks_again = match &superseded {
                Ok(superseded) => !superseded,
                Err(Error::Log(f)) => may_pass(f.reaction),
                Err(_) => false,
            };
            if !asks_again || self.env.shutdown.is_requested() || self.env.clock.monotonic() >= until {
                return superseded;
            }
            self.env.clock.sleep(CLAIM_PAUSE);
        }
    }

    /// Whether a newer process of our name has begun, asked before a lost producer is replaced. One that is lost again is left to the
    /// other side for a while: two that take it from each other at once would go on for ever.
    pub(super) fn is_superseded_now_or_soon(&mut self) -> Result<bool> {
        let now = self.env.clock.monotonic();
        match self.last_replaced {
            Some(at) if now.saturating_sub(at) < RIVAL_WINDOW => self.await_claim(),
            _ => self.is_superseded(),
        }
    }

    /// Gives the membership up for a new one, unless a newer process has begun: what the old one holds, was told or still waits for
    /// counts no more. (To subscribe again is not enough: in the middle of a rebalance the client takes that for no change.)
    pub(super) fn join_anew(&mut self) -> Result {
        match self.is_superseded() {
            Ok(true) => return Err(self.fenced()),
            Err(Error::Log(f)) if may_pass(f.reaction) => {
                tracing::warn!("{f}; trying again");
                self.env.clock.sleep(CLAIM_PAUSE);
                return Ok(());
            }
            looked => drop(looked?),
        }
        let group = Self::group_spec(&self.config, &self.env, &self.plan, &self.names, &self.topics);
        self.unrecovered.clear();
        self.events.clear();
        self.member.leave();
        self.member = self.env.log.join(&group)?;
        self.must_rejoin = false;
        Ok(())
    }

    /// Whether a newer process of our name has begun, by its claim.
    pub(super) fn is_superseded(&mut self) -> Result<bool> {
        let Some(meta) = self.meta.as_mut() else { return Ok(false) };
        meta.read_claims(self.env.log.as_ref(), &self.names.meta)?;
        let claim = meta.claim(&self.env.instance);
        let superseded = self.incarnation.is_some_and(|ours| claim.is_some_and(|claim| claim > ours));
        Ok(superseded && !crate::failpoint::passes("mutant-never-superseded"))
    }

    /// Whether a newer process has our identity, by what it committed.
    pub(super) fn is_fenced(&self, held: &[CommittedPosition]) -> bool {
        let ours = self.incarnation.unwrap_or_default();
        let fenced = self.highest_incarnation(held).is_some_and(|i| i > ours);
        fenced && !crate::failpoint::passes("mutant-never-superseded")
    }

    fn highest_incarnation(&self, held: &[CommittedPosition]) -> Option<Incarnation> {
        let tokens = held.iter().filter_map(|h| h.record.as_ref()).map(|r| &r.token);
        tokens.filter(|t| t.instance == self.env.instance).map(|t| t.incarnation).max()
    }

    /// Takes the next incarnation at the first recovery; at later ones makes sure that ours is still the highest. The producer is
    /// ready, so everything that an older process has committed is seen.
    pub(super) fn take_incarnation(&mut self, held: &[CommittedPosition], membership: &Membership) -> Result {
        let times = held.iter().filter_map(|h| h.record.as_ref()).map(|r| r.time);
        self.last_time = times.max().unwrap_or_default().max(self.last_time);
        let superseded = self.is_superseded()?;
        if self.incarnation.is_some() {
            return if superseded || self.is_fenced(held) { Err(self.fenced()) } else { Ok(()) };
        }
        let claimed = self.meta.as_ref().and_then(|m| m.claim(&self.env.instance));
        let seen = self.highest_incarnation(held).max(claimed).unwrap_or_default();
        let ours = Incarnation(seen.max(self.env.incarnation_before).0 + 1);
        self.claim(ours, membership)?;
        self.incarnation = Some(ours);
        tracing::info!(instance = %self.env.instance, incarnation = ours.0, "joined group {}", self.config.application_id);
        Ok(())
    }

    /// Tells older processes of our name that they are. Two that do this at once are put in order by their producers: one fences the
    /// other, which then takes a higher incarnation.
    fn claim(&mut self, ours: Incarnation, membership: &Membership) -> Result {
        let row = Meta::claim_row(&self.env.instance, ours);
        let producer = self.producer.as_mut().expect("ready before the first recovery");
        let claimed = producer
            .begin()
            .and_then(|()| producer.send(&self.names.meta, Some(Partition(0)), &row))
            .and_then(|()| producer.commit(&[], membership));
        match claimed {
            Ok(()) if !producer.suspect() => Ok(()),
            Err(f) if matches!(f.reaction, Reaction::StopPipeline | Reaction::Exit) => Err(f.into()),
            outcome => {
                // Whether the claim is there or not: the next one is higher.
                self.producer = None;
                self.pending_producer =
                    Some(PendingProducer::Asked(Self::producer_spec(&self.config, &self.env)));
                let what = "claiming the next incarnation with another producer";
                let why = outcome.err().map_or_else(String::new, |f| format!(": {f}"));
                Err(Failure::new(crate::error::Stage::Init, Reaction::RetrySame, format!("{what}{why}"))
                    .into())
            }
        }
    }
}

/// Whether waiting may help.
pub(super) fn may_pass(reaction: Reaction) -> bool {
    matches!(reaction, Reaction::RetrySame | Reaction::CloseTasks | Reaction::AbortReplay)
}
