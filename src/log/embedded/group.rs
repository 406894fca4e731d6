//! One consumer group: its members, what each may read, and what was committed.
//!
//! A pure state machine: knows no lock, no clock and no wire. Members are static (one per instance id) and share
//! partitions cooperatively: a partition is granted to one member at a time and moves on only when its owner has
//! released it. Invariants: the generation rises with every change of the plan; two members never hold one partition,
//! unless one of them was expelled, and then its commits are refused because its member id is unknown.

use crate::{
    log::Committed,
    record::{Partition, TopicPartition},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Group {
    pub generation: i32,
    pub offsets: BTreeMap<TopicPartition, Committed>,
    /// Partitions with an offset in a transaction that has not ended, and the number of such transactions.
    pub pending: BTreeMap<TopicPartition, u32>,
    slots: BTreeMap<String, Slot>,
    joins: u64,
}

/// The place of one instance.
#[derive(Debug)]
struct Slot {
    member_id: String,
    topics: Vec<String>,
    session: Duration,
    /// Since when the place is empty; it is kept for the session timeout.
    empty_since: Option<Duration>,
    granted: BTreeSet<TopicPartition>,
    revoking: BTreeSet<TopicPartition>,
}

/// Why a commit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownMember,
    IllegalGeneration,
}

/// Number of partitions by topic; topics that do not exist are absent.
pub(super) type Counts = BTreeMap<Arc<str>, u32>;

impl Group {
    /// Gives an instance its place and returns its new member id; the member that had the place before is fenced.
    pub fn join(&mut self, instance: &str, topics: &[String], session: Duration, counts: &Counts) -> String {
        self.joins += 1;
        let member_id = format!("{instance}-{}", self.joins);
        let kept = self.slots.get_mut(instance).filter(|s| s.topics == topics);
        if let Some(slot) = kept {
            slot.member_id.clone_from(&member_id);
            (slot.session, slot.empty_since) = (session, None);
            self.rebalance(counts);
            return member_id;
        }
        let before = self.slots.remove(instance);
        let slot = Slot {
            member_id: member_id.clone(),
            topics: topics.to_vec(),
            session,
            empty_since: None,
            granted: before.map(|s| s.granted).unwrap_or_default(),
            revoking: BTreeSet::new(),
        };
        self.slots.insert(instance.to_owned(), slot);
        self.generation += 1;
        self.rebalance(counts);
        member_id
    }

    /// The member id that has the place of an instance.
    pub fn holder(&self, instance: &str) -> Option<&str> {
        self.slots.get(instance).map(|s| s.member_id.as_str())
    }

    /// Everyone who has a place: instance and member id.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.slots.iter().map(|(instance, slot)| (instance.as_str(), slot.member_id.as_str()))
    }

    /// Removes an instance; its partitions become free at once.
    pub fn remove(&mut self, instance: &str, counts: &Counts) {
        if self.slots.remove(instance).is_some() {
            self.generation += 1;
            self.rebalance(counts);
        }
    }

    /// The member went away without leaving: its place is kept for its session timeout.
    pub fn vacate(&mut self, instance: &str, member_id: &str, now: Duration) {
        if let Some(slot) = self.slots.get_mut(instance).filter(|s| s.member_id == member_id) {
            slot.empty_since = Some(now);
        }
    }

    /// Instances whose place has been empty for longer than their session timeout.
    pub fn over(&self, now: Duration) -> Vec<String> {
        let over = |s: &Slot| s.empty_since.is_some_and(|since| now >= since + s.session);
        self.slots.iter().filter(|(_, s)| over(s)).map(|(instance, _)| instance.clone()).collect()
    }

    /// A rebalance without a change of members: the generation rises, as when a member joins again.
    pub fn bump(&mut self, counts: &Counts) {
        self.generation += 1;
        self.rebalance(counts);
    }

    /// What an instance may hold, and which part of it is being revoked.
    pub fn grant(&self, instance: &str) -> Option<(&BTreeSet<TopicPartition>, &BTreeSet<TopicPartition>)> {
        self.slots.get(instance).map(|s| (&s.granted, &s.revoking))
    }

    /// The instance gives partitions up; members that wait for them get them.
    pub fn release(&mut self, instance: &str, at: &[TopicPartition], counts: &Counts) {
        let Some(slot) = self.slots.get_mut(instance) else { return };
        let before = slot.granted.len();
        for partition in at {
            slot.granted.remove(partition);
            slot.revoking.remove(partition);
        }
        if slot.granted.len() != before {
            self.generation += 1;
            self.rebalance(counts);
        }
    }

    /// Whether this member may commit now. As in Kafka, it is not checked which partitions it owns.
    pub fn check(&self, member_id: &str, generation: i32) -> Result<(), Refusal> {
        if !self.slots.values().any(|s| s.member_id == member_id) {
            return Err(Refusal::UnknownMember);
        }
        if generation == self.generation { Ok(()) } else { Err(Refusal::IllegalGeneration) }
    }

    /// Whether nobody is in the group.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Makes a new plan and hands out what is free. The generation rises if anything changed for any member.
    pub fn rebalance(&mut self, counts: &Counts) {
        let plan = self.plan(counts);
        let held: BTreeSet<TopicPartition> =
            self.slots.values().flat_map(|s| s.granted.iter().cloned()).collect();
        let mut changed = false;
        for (instance, slot) in &mut self.slots {
            let target = &plan[instance];
            let back: BTreeSet<_> = slot.granted.difference(target).cloned().collect();
            let fresh: Vec<_> = target.iter().filter(|tp| !held.contains(tp)).cloned().collect();
            changed |= back != slot.revoking || !fresh.is_empty();
            slot.revoking = back;
            slot.granted.extend(fresh);
        }
        self.generation += i32::from(changed);
    }

    /// The target assignment: every member keeps what it has unless it is being revoked, free partitions go to the
    /// members that have fewest, and then partitions move from the members that have most until no two members differ
    /// by more than one.
    fn plan(&self, counts: &Counts) -> BTreeMap<String, BTreeSet<TopicPartition>> {
        let mut plan: BTreeMap<String, BTreeSet<TopicPartition>> =
            self.slots.keys().map(|instance| (instance.clone(), BTreeSet::new())).collect();
        let wants = |instance: &str, tp: &TopicPartition| {
            self.slots[instance].topics.iter().any(|t| **t == *tp.topic)
        };
        let mut free = vec![];
        for tp in self.wanted(counts) {
            let keeps = |(_, s): &(&String, &Slot)| s.granted.contains(&tp) && !s.revoking.contains(&tp);
            match self.slots.iter().find(keeps).filter(|(instance, _)| wants(instance, &tp)) {
                Some((instance, _)) => {
                    plan.entry(instance.clone()).or_default().insert(tp);
                }
                None => free.push(tp),
            }
        }
        for tp in free {
            let fewest = plan.iter_mut().filter(|(i, _)| wants(i, &tp)).min_by_key(|(_, has)| has.len());
            if let Some((_, has)) = fewest {
                has.insert(tp);
            }
        }
        while let Some((from, to, tp)) = one_move(&plan, &wants) {
            plan.entry(from).or_default().remove(&tp);
            plan.entry(to).or_default().insert(tp);
        }
        plan
    }

    fn wanted(&self, counts: &Counts) -> BTreeSet<TopicPartition> {
        let topics: BTreeSet<&String> = self.slots.values().flat_map(|s| &s.topics).collect();
        let existing = topics.into_iter().filter_map(|t| counts.get_key_value(t.as_str()));
        existing
            .flat_map(|(topic, count)| {
                (0..*count).map(|p| TopicPartition { topic: topic.clone(), partition: Partition(p) })
            })
            .collect()
    }
}

/// One partition to move from a member to another one that has at least two fewer.
fn one_move(
    plan: &BTreeMap<String, BTreeSet<TopicPartition>>,
    wants: &impl Fn(&str, &TopicPartition) -> bool,
) -> Option<(String, String, TopicPartition)> {
    let mut by_size: Vec<_> = plan.iter().collect();
    by_size.sort_by_key(|(_, has)| has.len());
    for (from, has) in by_size.iter().rev() {
        for (to, other) in &by_size {
            if has.len() < other.len() + 2 {
                break;
            }
            if let Some(tp) = has.iter().rev().find(|tp| wants(to, tp)) {
                return Some(((*from).clone(), (*to).clone(), tp.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SESSION: Duration = Duration::from_secs(10);

    fn counts(list: &[(&str, u32)]) -> Counts {
        list.iter().map(|(t, n)| (Arc::from(*t), *n)).collect()
    }

    fn sizes(g: &Group) -> Vec<(usize, usize)> {
        g.slots.values().map(|s| (s.granted.len(), s.revoking.len())).collect()
    }

    #[test]
    fn a_partition_moves_on_only_after_its_owner_has_released_it() {
        let (mut g, counts) = (Group::default(), counts(&[("t", 4)]));
        g.join("a", &["t".into()], SESSION, &counts);
        assert_eq!(sizes(&g), [(4, 0)]);
        let first = g.generation;
        g.join("b", &["t".into()], SESSION, &counts);
        assert_eq!(sizes(&g), [(4, 2), (0, 0)]);
        assert!(g.generation > first);
        let back = g.grant("a").unwrap().1.clone();
        g.bump(&counts);
        assert_eq!(*g.grant("a").unwrap().1, back, "a repeated plan revokes the same partitions");
        g.release("a", &back.iter().cloned().collect::<Vec<_>>(), &counts);
        assert_eq!(sizes(&g), [(2, 0), (2, 0)]);
        assert_eq!(*g.grant("b").unwrap().0, back);
    }

    #[test]
    fn a_static_member_returns_to_its_place_and_an_empty_place_is_given_up_after_the_session() {
        let (mut g, counts) = (Group::default(), counts(&[("t", 2)]));
        let old = g.join("a", &["t".into()], SESSION, &counts);
        let generation = g.generation;
        g.vacate("a", &old, Duration::from_secs(1));
        assert!(g.over(Duration::from_secs(10)).is_empty());
        let new = g.join("a", &["t".into()], SESSION, &counts);
        assert_eq!((g.generation, sizes(&g)), (generation, vec![(2, 0)]));
        assert_eq!(g.check(&old, generation), Err(Refusal::UnknownMember));
        assert_eq!(g.check(&new, generation), Ok(()));
        assert_eq!(g.check(&new, generation - 1), Err(Refusal::IllegalGeneration));
        g.vacate("a", &new, Duration::from_secs(20));
        assert_eq!(g.over(Duration::from_secs(30)), ["a"]);
        g.remove("a", &counts);
        assert!(g.is_empty());
    }

    #[test]
    fn members_with_different_subscriptions_get_what_they_subscribed_to() {
        let (mut g, counts) = (Group::default(), counts(&[("t", 3), ("u", 1)]));
        g.join("a", &["t".into(), "missing".into()], SESSION, &counts);
        g.join("b", &["u".into()], SESSION, &counts);
        assert_eq!(sizes(&g), [(3, 0), (1, 0)]);
    }

    proptest! {
        #[test]
        fn no_partition_is_held_twice_and_all_are_held_in_the_end(
            steps in proptest::collection::vec((0u8..5, 0u8..4, 1u32..6), 1..40)
        ) {
            let (mut g, mut all) = (Group::default(), counts(&[("t", 1), ("u", 3)]));
            let topics = ["t".to_owned(), "u".to_owned()];
            for (what, who, number) in steps {
                let who = format!("m{who}");
                let before = g.generation;
                match what {
                    0 | 1 => drop(g.join(&who, &topics, SESSION, &all)),
                    2 => g.remove(&who, &all),
                    3 => {
                        let partitions = all.entry("t".into()).or_default();
                        *partitions = number.max(*partitions);
                        g.rebalance(&all);
                    }
                    _ => {
                        let back = g.grant(&who).map(|(_, back)| back.iter().cloned().collect::<Vec<_>>());
                        g.release(&who, &back.unwrap_or_default(), &all);
                    }
                }
                prop_assert!(g.generation >= before);
                let held: Vec<_> = g.slots.values().flat_map(|s| &s.granted).collect();
                prop_assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), held.len());
            }
            // Every member answers revocations until there are none.
            let members: Vec<String> = g.slots.keys().cloned().collect();
            for _ in 0..10 {
                for who in &members {
                    let back: Vec<_> = g.grant(who).unwrap().1.iter().cloned().collect();
                    g.release(who, &back, &all);
                }
            }
            let sizes: Vec<usize> = g.slots.values().map(|s| s.granted.len()).collect();
            let total = if members.is_empty() { 0 } else { all.values().sum::<u32>() as usize };
            prop_assert_eq!(sizes.iter().sum::<usize>(), total);
            prop_assert!(sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0) <= 1, "{:?}", sizes);
        }
    }
}
