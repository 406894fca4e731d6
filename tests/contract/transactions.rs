//! Transactions: atomic, invisible until committed, and only the newest producer of an id may end one.

use super::*;
use tidegate::error::Reaction;

pub fn nothing_is_visible_before_the_commit(log: &Arc<dyn Log>) {
    let (a, b) = (topic(log, 1), topic(log, 2));
    write(log, &tp(&a, 0), &[("before", "1")]);
    let mut producer = transactional(log, &unique("writer"), &unique("none"));
    producer.begin().unwrap();
    producer.send(&a, at(0), &rows(&[("x", "1")])).unwrap();
    producer.send(&b, at(1), &rows(&[("y", "2")])).unwrap();
    producer.flush().unwrap();
    assert_eq!(visible(log, &tp(&a, 0)), owned(&[("before", "1")]));
    assert_eq!(visible(log, &tp(&b, 1)), []);
    producer.commit(&[], &nobody()).unwrap();
    assert_eq!(read_all(log, &tp(&a, 0)), owned(&[("before", "1"), ("x", "1")]));
    assert_eq!(read_all(log, &tp(&b, 1)), owned(&[("y", "2")]));
}

pub fn an_abort_leaves_no_trace(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut producer = transactional(log, &unique("writer"), &unique("none"));
    for (value, keep) in [("1", true), ("2", false), ("3", true), ("4", false), ("5", false)] {
        producer.begin().unwrap();
        producer.send(&name, at(0), &rows(&[("k", value), ("l", value)])).unwrap();
        if value != "4" {
            producer.flush().unwrap();
        }
        if keep { producer.commit(&[], &nobody()).unwrap() } else { producer.abort().unwrap() }
    }
    let kept = owned(&[("k", "1"), ("l", "1"), ("k", "3"), ("l", "3")]);
    // Also checks that the reader reaches the high watermark behind aborted and control records.
    assert_eq!(read_all(log, &tp(&name, 0)), kept);
}

pub fn the_high_watermark_counts_open_transactions(log: &Arc<dyn Log>) {
    let name = topic(log, 1);
    let mut open = transactional(log, &unique("open"), &unique("none"));
    open.begin().unwrap();
    open.send(&name, at(0), &rows(&[("open", "1"), ("open", "2")])).unwrap();
    open.flush().unwrap();
    assert!(log.end_offset(&tp(&name, 0)).unwrap() >= Offset(2));
    write(log, &tp(&name, 0), &[("behind", "3")]);
    let end = log.end_offset(&tp(&name, 0)).unwrap();
    assert!(end >= Offset(3), "the high watermark {end} hides rows committed behind an open transaction");
    assert_eq!(visible(log, &tp(&name, 0)), [], "readers of committed data stop before it");
    open.abort().unwrap();
    assert_eq!(read_all(log, &tp(&name, 0)), owned(&[("behind", "3")]));
}

pub fn offsets_and_metadata_come_back(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 2), unique("group"));
    let mut consumer = TestConsumer::join(log, &group, "a", &[&name]);
    consumer.until("both partitions are held", |s| s.holds().len() == 2);
    let both = [tp(&name, 0), tp(&name, 1)];
    assert_eq!(consumer.member.committed(&both)().unwrap(), [None, None]);
    let long = "m".repeat(4000);
    let mut producer = transactional(log, &unique("writer"), &group);
    for offset in [5, 3] {
        producer.begin().unwrap();
        let list = [(tp(&name, 1), committed(offset, &long)), (tp(&name, 0), committed(0, "ä"))];
        producer.commit(&list, &consumer.member.membership().unwrap()).unwrap();
        let found = consumer.member.committed(&both)().unwrap();
        let found: Vec<_> = found.into_iter().map(|c| c.map(|c| (c.offset, c.metadata))).collect();
        assert_eq!(found, [Some((Offset(0), "ä".into())), Some((Offset(offset), long.clone()))]);
    }
    consumer.member.close(true);
}

pub fn offsets_of_an_aborted_transaction_are_discarded(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 1), unique("group"));
    let mut consumer = TestConsumer::join(log, &group, "a", &[&name]);
    consumer.until("the partition is held", |s| s.holds().len() == 1);
    let id = unique("writer");
    let mut producer = transactional(log, &id, &group);
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("a", "1")])).unwrap();
    let mine = consumer.member.membership().unwrap();
    let mut newer = transactional(log, &id, &group);
    assert!(producer.commit(&[(tp(&name, 0), committed(1, "no"))], &mine).is_err(), "fenced");
    newer.begin().unwrap();
    newer.send(&name, at(0), &rows(&[("a", "1")])).unwrap();
    newer.abort().unwrap();
    assert_eq!(consumer.member.committed(&[tp(&name, 0)])().unwrap(), [None]);
    assert_eq!(visible(log, &tp(&name, 0)), []);
    consumer.member.close(true);
}

pub fn an_empty_batch_commits_its_metadata(log: &Arc<dyn Log>) {
    let (name, group) = (topic(log, 1), unique("group"));
    let mut consumer = TestConsumer::join(log, &group, "a", &[&name]);
    consumer.until("the partition is held", |s| s.holds().len() == 1);
    let mut producer = transactional(log, &unique("writer"), &group);
    for token in ["1", "2", "3"] {
        producer.begin().unwrap();
        producer
            .commit(&[(tp(&name, 0), committed(0, token))], &consumer.member.membership().unwrap())
            .unwrap();
        let found = consumer.member.committed(&[tp(&name, 0)])().unwrap();
        assert_eq!(found[0].as_ref().unwrap().metadata, token);
    }
    consumer.member.close(true);
}

pub fn a_newer_producer_fences_the_older(log: &Arc<dyn Log>) {
    let (name, id, group) = (topic(log, 1), unique("writer"), unique("none"));
    let mut old = transactional(log, &id, &group);
    old.begin().unwrap();
    old.send(&name, at(0), &rows(&[("zombie", "1")])).unwrap();
    old.flush().unwrap();
    let mut new = transactional(log, &id, &group);
    new.begin().unwrap();
    new.send(&name, at(0), &rows(&[("new", "1")])).unwrap();
    let failure = old.commit(&[], &nobody()).unwrap_err();
    let fenced = [Reaction::RecreateProducer, Reaction::Exit, Reaction::Unknown];
    assert!(fenced.contains(&failure.reaction), "{failure}: {:?}", failure.reaction);
    new.commit(&[], &nobody()).unwrap();
    assert!(old.begin().and_then(|()| old.commit(&[], &nobody())).is_err(), "fenced for good");
    assert_eq!(read_all(log, &tp(&name, 0)), owned(&[("new", "1")]));
}

pub fn init_ends_the_open_transaction_of_a_dead_producer(log: &Arc<dyn Log>) {
    let (name, id, group) = (topic(log, 1), unique("writer"), unique("group"));
    let mut dead = transactional(log, &id, &group);
    dead.begin().unwrap();
    dead.send(&name, at(0), &rows(&[("dead", "1")])).unwrap();
    dead.flush().unwrap();
    write(log, &tp(&name, 0), &[("behind", "2")]);
    drop(dead);
    let _new = transactional(log, &id, &group);
    let start = std::time::Instant::now();
    assert_eq!(read_all(log, &tp(&name, 0)), owned(&[("behind", "2")]));
    assert!(start.elapsed() < Duration::from_secs(25), "not by the transaction's own timeout");
}
