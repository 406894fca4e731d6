//! Contradictions to an earlier run: the program refuses to continue, and says where, why, and what to do.

use crate::{
    contract::{self, TestConsumer, tp, transactional, unique},
    driver::{PLAIN, Session, Way, message},
};
use expect_test::expect;
use std::collections::BTreeMap;
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    log::{self, Committed, TopicSpec},
    record::TopicPartition,
};

fn stateless(ssc: &StreamingContext) {
    ssc.text("lines").map(|line| (line, 1u64)).to_kafka("out", Utf8, AsText);
}

fn counting(ssc: &StreamingContext) {
    ssc.text("lines")
        .map(|line| (line, 1u64))
        .running_reduce_by_key(|a, b| a + b)
        .to_kafka("out", Utf8, AsText);
}

/// An application that has run before.
fn ran(program: &dyn Fn(&StreamingContext)) -> Session {
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(program, "lines 0 | - | x\n"), ["out | x | 1"]);
    session
}

/// Changes from outside, as a tool would, what the group has committed for the first partition of a topic that it
/// has committed anything for.
fn set(session: &Session, topic: &str, change: impl FnOnce(&mut Committed)) {
    let mut consumer = TestConsumer::join(&session.log, "app", "test", &[topic]);
    consumer.until("the membership is taken over", |consumer| consumer.member_id.is_some());
    let partitions = session.log.describe(&[topic]).unwrap().remove(0).unwrap().partitions;
    let all: Vec<TopicPartition> = (0..partitions).map(|p| tp(topic, p)).collect();
    let mut known = all.iter().cloned().zip(consumer.member.committed(&all)().unwrap());
    let (at, mut committed) = known.find_map(|(at, committed)| Some((at, committed?))).unwrap();
    change(&mut committed);
    let mut producer = transactional(&session.log, &unique("tool"), "app");
    producer.begin().unwrap();
    producer.commit(&[(at, committed)], &consumer.member.membership().unwrap()).unwrap();
    consumer.member.close(false);
}

/// The error of a program that is started after `set`.
fn after(program: &dyn Fn(&StreamingContext), topic: &str, change: impl FnOnce(&mut Committed)) -> String {
    let mut session = ran(program);
    set(&session, topic, change);
    message(session.run(program))
}

fn with_field(metadata: &str, field: &str, value: u64) -> String {
    let mut record: serde_json::Value = serde_json::from_str(metadata).unwrap();
    assert!(record[field].is_u64(), "{metadata}");
    record[field] = value.into();
    record.to_string()
}

/// Only the newest record of each partition is kept, once it has been read.
fn records_are_gone() -> String {
    let mut session = Session::new(PLAIN);
    let config = BTreeMap::from([("retention.bytes".to_owned(), "1".to_owned())]);
    session
        .log
        .create(&TopicSpec { name: "lines".into(), partitions: 3, replication_factor: None, config })
        .unwrap();
    for _ in 0..3 {
        assert_eq!(session.step(&stateless, "lines 0 | - | x\n"), ["out | x | 1"]);
    }
    session.feed("lines 0 | - | x\n");
    set(&session, "lines", |committed| committed.offset.0 = 0);
    session.config.accept_offsets = true;
    message(session.run(&stateless))
}

/// The log was lost, the local state was not.
fn another_log() -> String {
    let mut session = ran(&counting);
    session.log = log::open(&format!("memory:{}", unique("another")), &BTreeMap::new()).unwrap();
    message(session.run(&counting))
}

/// The changelog was kept, the group's offsets were not.
fn rows_without_offsets() -> String {
    let mut session = Session::new(PLAIN);
    let config = [("cleanup.policy", "compact"), ("delete.retention.ms", "604800000")];
    let config = config.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    session
        .log
        .create(&TopicSpec { name: "app-changelog".into(), partitions: 8, replication_factor: None, config })
        .unwrap();
    contract::write(&session.log, &tp("app-changelog", 3), &[("key", "value")]);
    message(session.run(&counting))
}

#[test]
fn each_contradiction_is_reported_with_its_place_and_the_next_step() {
    let all = [
        after(&stateless, "lines", |committed| committed.offset.0 = 99),
        after(&stateless, "lines", |committed| committed.offset.0 = 0),
        records_are_gone(),
        after(&stateless, "lines", |committed| committed.metadata = "set by hand".into()),
        after(&stateless, "lines", |c| c.metadata = with_field(&c.metadata, "v", 2)),
        after(&counting, "app-exchange", |c| c.metadata = with_field(&c.metadata, "cl", 999)),
        another_log(),
        rows_without_offsets(),
    ];
    assert!(
        all.iter().all(|text| text.starts_with("recovery refused: ") && text.contains("\n  next: ")),
        "{all:#?}"
    );
    expect![[r#"
        recovery refused: lines-0: the group's offset 99 lies after the end 1: the topic was truncated or recreated
          next: start under a new application id
        recovery refused: lines-0: the group's offset 0 lies before 1, which was consumed and committed already: the offsets were reset, or the broker lost data
          next: restore the offset, or start under a new application id; --accept-offsets takes the group's offset as it is (records are then processed twice)
        recovery refused: lines-0: the records from 0 on are gone (the first one left is 3): retention passed an unread part
          next: accept the loss by setting the group's offset to 3, and lengthen the retention
        recovery refused: the metadata of lines-0 in group app is not tidegate's (expected value at line 1 column 1); is the group used by another program?
          next: choose another application id
        recovery refused: lines-0 in group app was written by a later version (format 2, this build reads up to 1)
          next: upgrade
        recovery refused: app-changelog-6: the changelog ends at 1, but 999 was committed: the broker lost rows
          next: start under a new application id, or restore the broker's data
        recovery refused: app-changelog-6: there is local state of batch test/1/1, but the group has no offset for it: the offsets expired or were deleted
          next: start once with --accept-offsets, which takes the state as it is; or start under a new application id
        recovery refused: app-changelog-3: the group has no offset, but the changelog holds a committed row at 0: the offsets expired or were deleted
          next: start once with --accept-offsets, which takes the state as it is; or start under a new application id
    "#]].assert_eq(&all.concat());
}

/// A refusal changes nothing: once the contradiction is gone, the program continues.
#[test]
fn after_a_refusal_the_program_continues_where_it_was() {
    let mut session = ran(&counting);
    set(&session, "lines", |committed| committed.offset.0 = 99);
    session.feed("lines 0 | - | x\n");
    assert!(message(session.run(&counting)).contains("lies after the end 2"));
    set(&session, "lines", |committed| committed.offset.0 = 1);
    assert_eq!(session.step(&counting, ""), ["out | x | 2"]);
}

/// Kafka's own tools set offsets without metadata; for a state partition that means: as it is.
#[test]
fn state_whose_offset_was_set_by_hand_is_taken_as_it_is() {
    for way in [PLAIN, Way { lose_state: true, ..PLAIN }] {
        let mut session = Session::new(way);
        assert_eq!(session.step(&counting, "lines 0 | - | x\n"), ["out | x | 1"]);
        set(&session, "app-exchange", |committed| committed.metadata = String::new());
        assert_eq!(session.step(&counting, "lines 0 | - | x\n"), ["out | x | 2"], "{way:?}");
        assert_eq!(session.step(&counting, "lines 0 | - | x\n"), ["out | x | 3"], "{way:?}: committed again");
    }
}
