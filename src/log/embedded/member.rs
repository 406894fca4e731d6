//! A member's side of the group: the events it has received, and its answers.
//!
//! Knows no plan. Invariants: an event is reported once; a partition is granted to another member only after `release`;
//! a member whose place was taken over by a newer one of the same instance fails for good.

use super::store::{State, Store};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Committed, GroupEvent, GroupSpec, Member, Membership, Question},
    record::TopicPartition,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long to wait for pending offsets; by then the open transaction would have ended by its own timeout.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) struct EmbeddedMember {
    store: Arc<Store>,
    spec: GroupSpec,
    member_id: String,
    generation: Mutex<i32>,
    held: BTreeSet<TopicPartition>,
    reported_revoked: BTreeSet<TopicPartition>,
    lost: BTreeSet<TopicPartition>,
    closed: bool,
    rejoining: bool,
    /// Simulation: an expelled member joins again without reporting that it lost anything, as librdkafka can do.
    pub(crate) silent: bool,
}

impl EmbeddedMember {
    pub(super) fn join(store: Arc<Store>, spec: GroupSpec) -> Self {
        let mut member = EmbeddedMember {
            store,
            spec,
            member_id: String::new(),
            generation: Mutex::new(-1),
            held: BTreeSet::new(),
            reported_revoked: BTreeSet::new(),
            lost: BTreeSet::new(),
            closed: false,
            rejoining: false,
            silent: false,
        };
        member.take_place();
        member
    }

    /// Takes the instance's place, whoever has it.
    pub(crate) fn take_place(&mut self) {
        let spec = &self.spec;
        self.member_id = self.store.change(|state| {
            let counts = state.counts();
            let group = state.groups.entry(spec.group.clone()).or_default();
            group.join(&spec.instance, &spec.topics, spec.session_timeout, &counts)
        });
    }

    /// Whether another member has taken our place.
    pub(crate) fn is_replaced(&self) -> bool {
        self.holder(&self.store.lock()).is_some_and(|id| id != self.member_id)
    }

    /// Reads the committed offsets; `None` while one is pending.
    pub(crate) fn committed_now(
        &self,
        at: &[TopicPartition],
    ) -> impl Fn() -> Result<Option<Vec<Option<Committed>>>, Failure> + Send + use<> {
        let (store, group, at) = (self.store.clone(), self.spec.group.clone(), at.to_vec());
        move || {
            store.expire()?;
            Ok(store.lock().committed(&group, &at))
        }
    }

    fn holder<'a>(&self, state: &'a State) -> Option<&'a str> {
        state.groups.get(&self.spec.group)?.holder(&self.spec.instance)
    }

    /// What is being revoked and what is new, as far as it has not been reported yet.
    fn unreported(&self, state: &State) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let (none, group) = (BTreeSet::new(), state.groups.get(&self.spec.group));
        let grant = group.and_then(|g| g.grant(&self.spec.instance));
        let (granted, back) = grant.unwrap_or((&none, &none));
        let gone = |tp: &&TopicPartition| !granted.contains(*tp) || back.contains(*tp);
        let revoking =
            self.held.iter().filter(gone).filter(|tp| !self.reported_revoked.contains(*tp)).cloned();
        let assigned = granted.difference(back).filter(|tp| !self.held.contains(*tp));
        (revoking.collect(), assigned.filter(|tp| !self.lost.contains(*tp)).cloned().collect())
    }

    /// Gives up what is revoked before that was reported to this member.
    fn pass_on(&self) {
        let unassigned: Vec<_> = {
            let state = self.store.lock();
            let Some(group) = state.groups.get(&self.spec.group) else { return };
            let Some((_, back)) = group.grant(&self.spec.instance) else { return };
            let known = |tp: &&TopicPartition| self.held.contains(*tp) || self.lost.contains(*tp);
            back.iter().filter(|tp| !known(tp)).cloned().collect()
        };
        if !unassigned.is_empty() {
            self.give_up(&unassigned);
        }
    }

    fn give_up(&self, at: &[TopicPartition]) {
        self.store.change(|state| {
            if self.holder(state) == Some(&self.member_id) {
                let counts = state.counts();
                if let Some(group) = state.groups.get_mut(&self.spec.group) {
                    group.release(&self.spec.instance, at, &counts);
                }
            }
        });
    }

    fn vacate(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            let now = self.store.time.elapsed();
            self.store.change(|state| {
                if let Some(group) = state.groups.get_mut(&self.spec.group) {
                    group.vacate(&self.spec.instance, &self.member_id, now);
                }
            });
        }
    }
}

impl Member for EmbeddedMember {
    fn poll(&mut self) -> Result<Vec<GroupEvent>, Failure> {
        self.store.expire()?;
        let mut events = vec![];
        let holder = self.holder(&self.store.lock()).map(str::to_owned);
        match holder {
            Some(id) if id == self.member_id => {}
            Some(_) => {
                let what = format!("a newer member has taken over the instance `{}`", self.spec.instance);
                return Err(Failure::new(Stage::Group, Reaction::Exit, what));
            }
            None => {
                self.take_place();
                let reports_loss = std::mem::take(&mut self.rejoining) || !self.silent;
                if reports_loss && !self.held.is_empty() {
                    let lost: Vec<_> = std::mem::take(&mut self.held).into_iter().collect();
                    self.reported_revoked.clear();
                    self.lost.extend(lost.iter().cloned());
                    events.push(GroupEvent::Lost(lost));
                }
            }
        }
        self.pass_on();
        let (revoking, assigned) = self.unreported(&self.store.lock());
        if !revoking.is_empty() {
            self.reported_revoked.extend(revoking.iter().cloned());
            events.push(GroupEvent::Revoking(revoking));
        }
        if !assigned.is_empty() {
            self.held.extend(assigned.iter().cloned());
            events.push(GroupEvent::Assigned(assigned));
        }
        Ok(events)
    }

    fn membership(&self) -> Result<Membership, Failure> {
        let state = self.store.lock();
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if self.holder(&state) == Some(&self.member_id) {
            *generation = state.groups[&self.spec.group].generation;
        }
        Ok(Membership { member_id: self.member_id.clone(), generation: *generation, handle: Arc::new(()) })
    }

    fn assignment_lost(&self) -> bool {
        !self.lost.is_empty() || (!self.silent && self.holder(&self.store.lock()) != Some(&self.member_id))
    }

    fn committed(&self, at: &[TopicPartition]) -> Question<Vec<Option<Committed>>> {
        let (store, group, at) = (self.store.clone(), self.spec.group.clone(), at.to_vec());
        Box::new(move || {
            let answer = store.wait(COMMITTED_TIMEOUT, |state| state.committed(&group, &at));
            answer.ok_or_else(|| {
                let what = "a transaction with these offsets stays open";
                Failure::new(Stage::OffsetFetch, Reaction::RetrySame, what)
            })
        })
    }

    fn accept(&mut self) -> Result<(), Failure> {
        Ok(()) // an assignment takes effect when it is reported
    }

    fn release(&mut self, at: &[TopicPartition]) -> Result<(), Failure> {
        let mut granted = vec![];
        for tp in at {
            self.reported_revoked.remove(tp);
            if self.held.remove(tp) {
                granted.push(tp.clone());
            }
            self.lost.remove(tp);
        }
        self.give_up(&granted);
        Ok(())
    }

    /// Leaves, so that the next `poll` takes a new place and reports that everything held is lost.
    fn rejoin(&mut self) -> Result<(), Failure> {
        self.rejoining = true;
        self.store.change(|state| {
            if self.holder(state) == Some(&self.member_id) {
                let counts = state.counts();
                if let Some(group) = state.groups.get_mut(&self.spec.group) {
                    group.remove(&self.spec.instance, &counts);
                }
            }
        });
        Ok(())
    }

    fn close(mut self: Box<Self>, leave: bool) {
        if leave && self.holder(&self.store.lock()) == Some(&self.member_id) {
            self.closed = true;
            self.store.change(|state| {
                let counts = state.counts();
                if let Some(group) = state.groups.get_mut(&self.spec.group) {
                    group.remove(&self.spec.instance, &counts);
                }
            });
        }
    }
}

impl Drop for EmbeddedMember {
    /// The place is kept for the session timeout, as for a process that is about to start again.
    fn drop(&mut self) {
        self.vacate();
    }
}
