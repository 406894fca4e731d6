//! The group: assignment, handover, fencing of members, offsets.

use super::*;
use std::{collections::BTreeSet, time::Instant};
use tidegate::{error::Reaction, log::GroupEvent};

fn all(name: &str, partitions: u32) -> BTreeSet<TopicPartition> {
    (0..partitions).map(|p| tp(name, p)).collect()
}

pub fn one_member_gets_everything(log: &Arc<dyn Log>) {
    let (a, b, group) = (topic(log, 3), topic(log, 1), unique("group"));
    write(log, &tp(&a, 2), &[("x", "1")]);
    let mut consumer = TestConsumer::join(log, &group, "one", &[&a, &b]);
    let expected: BTreeSet<_> = all(&a, 3).union(&all(&b, 1)).cloned().collect();
    consumer.until("all partitions are owned", |s| s.holds() == expected);
    let membership = consumer.member.membership().unwrap();
    assert!(!membership.member_id.is_empty() && membership.generation >= 1);
    assert_eq!(Some(membership.member_id), consumer.member_id);
    assert!(!consumer.member.assignment_lost());
    assert_eq!(consumer.take(1)[&tp(&a, 2)], owned(&[("x", "1")]));
    consumer.member.close(true);
}

pub fn the_members_of_a_group_are_known_to_others(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 2), unique("group"));
    assert_eq!(log.members(&group).unwrap(), []);
    let mut a = TestConsumer::join(log, &group, "pod-1", &[&name]);
    a.until("all is held", |s| s.holds().len() == 2);
    let id = a.member_id.clone().unwrap();
    let members = |log: &Arc<dyn Log>| -> Vec<(String, String)> {
        let members = log.members(&group).unwrap();
        members.into_iter().map(|m| (m.instance, m.member_id)).collect()
    };
    assert_eq!(members(log), [("pod-1".to_owned(), id.clone())]);
    a.member.close(false);
    assert_eq!(members(log), [("pod-1".to_owned(), id)], "its place is kept for its session");
    let b = TestConsumer::join(log, &group, "pod-2", &[&name]);
    until("both are known", || members(log).iter().map(|m| &*m.0).collect::<BTreeSet<_>>().len() == 2);
    b.member.close(true);
    until("the one that left is gone", || members(log).iter().all(|m| m.0 == "pod-1"));
}

pub fn a_newer_member_of_an_instance_fences_the_older(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 2), unique("group"));
    let mut old = TestConsumer::join(log, &group, "same", &[&name]);
    old.until("all is held", |s| s.holds().len() == 2);
    let mut new = TestConsumer::join(log, &group, "same", &[&name]);
    new.until("the newer holds all", |s| s.holds().len() == 2);
    let start = Instant::now();
    let failure = loop {
        assert!(start.elapsed() < PATIENCE, "the older was not fenced");
        if let Err(failure) = old.step(Duration::from_millis(100)) {
            break failure;
        }
    };
    assert_eq!(failure.reaction, Reaction::Exit, "{failure}");
    assert_ne!(new.member_id, old.member_id);
    new.step(Duration::from_millis(100)).unwrap();
    assert_eq!(new.holds(), all(&name, 2), "the newer keeps what it has");
    new.member.close(true);
}

pub fn a_static_member_that_comes_back_keeps_its_partitions(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 4), unique("group"));
    let mut a = TestConsumer::join(log, &group, "a", &[&name]);
    let mut b = TestConsumer::join(log, &group, "b", &[&name]);
    settle(&mut [&mut a, &mut b], 4);
    let (held, id) = (a.holds(), a.member_id.clone());
    a.member.close(false);
    let mut a = TestConsumer::join(log, &group, "a", &[&name]);
    let start = Instant::now();
    while a.holds() != held {
        assert!(start.elapsed() < PATIENCE, "got {:?}, not {held:?}", a.holds());
        a.step(Duration::from_millis(50)).unwrap();
        b.step(Duration::from_millis(50)).unwrap();
    }
    assert_ne!(a.member_id, id, "another incarnation has another member id");
    assert_eq!(b.holds().len(), 2);
    a.member.close(true);
    b.member.close(true);
}

/// Steps all members until together they own `partitions`, none twice, and their counts differ by at most one.
fn settle(consumers: &mut [&mut TestConsumer], partitions: usize) {
    let start = Instant::now();
    loop {
        for consumer in consumers.iter_mut() {
            consumer.step(Duration::from_millis(50)).unwrap();
        }
        let sizes: Vec<usize> = consumers.iter().map(|s| s.holds().len()).collect();
        let union: BTreeSet<_> = consumers.iter().flat_map(|s| s.holds()).collect();
        assert_eq!(union.len(), sizes.iter().sum::<usize>(), "a partition is owned twice");
        let (low, high) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        if union.len() == partitions && high - low <= 1 {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "the group does not settle: {sizes:?}");
    }
}

pub fn two_members_share_and_hand_over_cleanly(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 5), unique("group"));
    let mut a = TestConsumer::join(log, &group, "a", &[&name]);
    a.until("a holds all", |s| s.holds().len() == 5);
    let kept_before = a.holds();
    let mut b = TestConsumer::join(log, &group, "b", &[&name]);
    settle(&mut [&mut a, &mut b], 5);
    assert!(a.holds().is_subset(&kept_before));
    let lost = a.events.iter().filter(|e| matches!(e, GroupEvent::Lost(_))).count();
    assert_eq!(lost, 0, "a clean handover loses nothing");
    let revoked: usize =
        a.events.iter().map(|e| if let GroupEvent::Revoking(at) = e { at.len() } else { 0 }).sum();
    assert_eq!(revoked, b.holds().len(), "cooperative: only what moves is revoked");
    for partition in 0..5 {
        write(log, &tp(&name, partition), &[("k", &partition.to_string())]);
    }
    let taken: usize = [&mut a, &mut b]
        .map(|s| {
            let holds = s.holds().len();
            s.take(holds).values().map(Vec::len).sum()
        })
        .iter()
        .sum();
    assert_eq!(taken, 5);
    b.member.close(true);
    a.until("a holds all again", |s| s.holds().len() == 5);
    a.member.close(true);
}

pub fn a_commit_of_an_older_generation_is_refused(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 2), unique("group"));
    let mut a = TestConsumer::join(log, &group, "a", &[&name]);
    a.until("a holds all", |s| s.holds().len() == 2);
    let older = a.member.membership().unwrap();
    let mut b = TestConsumer::join(log, &group, "b", &[&name]);
    settle(&mut [&mut a, &mut b], 2);
    let newer = a.member.membership().unwrap();
    assert_eq!(newer.member_id, older.member_id);
    assert!(newer.generation > older.generation);
    let mut producer = transactional(log, &unique("writer"), &group);
    let mine = a.holds().first().unwrap().clone();
    let list = [(mine.clone(), committed(0, "x"))];
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("gone", "1")])).unwrap();
    let failure = producer.commit(&list, &older).unwrap_err();
    assert_eq!(failure.reaction, Reaction::AbortReplay, "{failure}");
    producer.abort().unwrap();
    assert_eq!(a.member.committed(std::slice::from_ref(&mine))().unwrap(), [None]);
    producer.begin().unwrap();
    producer.commit(&list, &newer).unwrap();
    assert_eq!(a.member.committed(&[mine])().unwrap()[0].as_ref().unwrap().metadata, "x");
    assert_eq!(visible(log, &tp(&name, 0)), []);
    a.member.close(true);
    b.member.close(true);
}

pub fn a_commit_of_an_unknown_member_is_refused(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 1), unique("group"));
    let mut old = TestConsumer::join(log, &group, "a", &[&name]);
    old.until("the partition is held", |s| s.holds().len() == 1);
    let gone = old.member.membership().unwrap();
    old.member.close(true);
    let mut new = TestConsumer::join(log, &group, "b", &[&name]);
    new.until("the partition is held by another", |s| s.holds().len() == 1);
    let mut producer = transactional(log, &unique("writer"), &group);
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("gone", "1")])).unwrap();
    let failure = producer.commit(&[(tp(&name, 0), committed(0, "x"))], &gone).unwrap_err();
    assert!([Reaction::CloseTasks, Reaction::AbortReplay].contains(&failure.reaction), "{failure}");
    producer.abort().unwrap();
    assert_eq!(new.member.committed(&[tp(&name, 0)])().unwrap(), [None]);
    assert_eq!(visible(log, &tp(&name, 0)), []);
    new.member.close(true);
}

/// What is read need not be what the group assigns.
pub fn offsets_of_other_topics_are_committed_in_the_group(log: &Arc<dyn Log>) {
    let (seat, read, group) = (topic(log, 1), topic(log, 3), unique("group"));
    let mut a = TestConsumer::join(log, &group, "a", &[&seat]);
    a.until("the seat is held", |s| s.holds() == all(&seat, 1));
    let mut producer = transactional(log, &unique("writer"), &group);
    let places = [tp(&read, 2), tp(&seat, 0), tp(&read, 0)];
    for n in 1..3 {
        producer.begin().unwrap();
        let list: Vec<_> = places.iter().map(|at| (at.clone(), committed(n, &format!("{at}/{n}")))).collect();
        producer.commit(&list, &a.member.membership().unwrap()).unwrap();
    }
    producer.begin().unwrap();
    producer.send(&read, at(1), &rows(&[("k", "v")])).unwrap();
    producer.abort().unwrap();
    let found = a.member.committed(&[&places[..], &[tp(&read, 1)]].concat())().unwrap();
    let metadata: Vec<_> = found.into_iter().map(|c| c.map(|c| (c.offset.0, c.metadata))).collect();
    let expected = places.iter().map(|at| Some((2, format!("{at}/2"))));
    assert_eq!(metadata, expected.chain([None]).collect::<Vec<_>>());
    // They are there for whoever comes after.
    a.member.close(true);
    let mut b = TestConsumer::join(log, &group, "b", &[&seat]);
    b.until("the seat is held by another", |s| s.holds() == all(&seat, 1));
    assert_eq!(b.member.committed(&places)().unwrap()[0].as_ref().unwrap().offset, Offset(2));
    b.member.close(true);
}

/// An answer may be late: the group waits, and the member goes on meanwhile.
pub fn a_late_answer_holds_up_only_what_moves(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 2), unique("group"));
    let mut a = TestConsumer::join(log, &group, "a", &[&name]);
    a.until("a holds all", |s| s.holds().len() == 2);
    let mut b = TestConsumer::join(log, &group, "b", &[&name]);
    let (start, mut revoked) = (Instant::now(), vec![]);
    while revoked.is_empty() {
        assert!(start.elapsed() < PATIENCE, "nothing is revoked");
        a.fetch.wait(Duration::from_millis(50));
        for event in a.member.poll().unwrap() {
            if let GroupEvent::Revoking(at) = event {
                revoked.extend(at);
            }
        }
        b.step(Duration::from_millis(50)).unwrap();
    }
    (0..2).for_each(|p| write(log, &tp(&name, p), &[("k", "v")]));
    let mut got = BTreeSet::new();
    while got.len() < 2 {
        assert!(start.elapsed() < PATIENCE, "only {got:?} is fetched");
        a.fetch.wait(Duration::from_millis(50));
        assert_eq!(a.member.poll().unwrap(), []);
        for (at, fetcher) in &mut a.fetchers {
            if fetcher.take(10, 1000).unwrap().is_some_and(|f| !f.records.is_empty()) {
                got.insert(at.clone());
            }
        }
        b.step(Duration::from_millis(10)).unwrap();
    }
    assert_eq!(b.holds().len(), 0, "not before it is given back");
    a.fetchers.retain(|at, _| !revoked.contains(at));
    a.member.release(&revoked).unwrap();
    settle(&mut [&mut a, &mut b], 2);
    assert_eq!(b.holds(), revoked.into_iter().collect());
    a.member.close(true);
    b.member.close(true);
}

pub fn waiting_ends_when_there_is_an_event(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 2), unique("group"));
    let mut a = TestConsumer::join(log, &group, "a", &[&name]);
    a.until("a holds all", |s| s.holds().len() == 2);
    let joins = {
        let log = log.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            TestConsumer::join(&log, &group, "b", &[&name])
        })
    };
    let start = Instant::now();
    while a.events.iter().all(|event| !matches!(event, GroupEvent::Revoking(_))) {
        a.step(PATIENCE).unwrap();
    }
    assert!(start.elapsed() < PATIENCE, "woken by its timeout only");
    a.member.close(true);
    joins.join().unwrap().member.close(true);
}
