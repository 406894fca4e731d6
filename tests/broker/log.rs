//! What only a real broker shows: fencing by time, static membership, the steps of connecting, raw group events.

use crate::{
    contract::{
        TestConsumer, at, committed, fetch, nobody, producer_spec, read_all, rows, topic, tp, transactional,
        unique, until, visible, write,
    },
    proxy::{Proxy, Way},
    subject::{bootstrap, kafka, subject},
};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{Duration, Instant},
};
use tidegate::{
    error::{Error, Reaction, Stage, Step},
    log::{GroupEvent, GroupSpec, ProducerSpec, TopicSpec},
    record::{Offset, RawChunkBuilder, TopicPartition},
};

contract_tests!(subject);

fn group_spec(group: &str, instance: &str, topic: &str, session: Duration) -> GroupSpec {
    GroupSpec {
        group: group.to_owned(),
        instance: instance.to_owned(),
        topics: vec![topic.to_owned()],
        session_timeout: session,
    }
}

fn unreachable(bootstrap: &str, properties: &[(&str, &str)], patience_s: u64) -> (Step, String) {
    let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let log = tidegate::log::open(bootstrap, &properties).unwrap();
    match log.connect(Duration::from_secs(patience_s)) {
        Err(e @ Error::Unreachable { step, .. }) => (step, e.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_contact_that_fails_names_the_step() {
    // A port that nobody listens on: bound and released.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (step, text) = unreachable(&free.to_string(), &[], 6);
    assert_eq!(step, Step::Connect, "{text}");
    assert!(text.contains("next:") && text.contains(&free.to_string()), "{text}");
    let (step, text) = unreachable("no-such-host.invalid:9092", &[], 6);
    assert_eq!(step, Step::Resolve, "{text}");
    // What waiting cannot fix is reported as soon as the broker has answered.
    let (step, text) = unreachable(&bootstrap(), &[("security.protocol", "ssl")], 60);
    assert_eq!(step, Step::Tls, "{text}");
    let sasl = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "u"),
        ("sasl.password", "hunter2"),
    ];
    let (step, text) = unreachable(&bootstrap(), &sasl, 20);
    assert!([Step::Sasl, Step::Tls, Step::Metadata].contains(&step), "{step:?} {text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_recreated_topic_has_another_id() {
    let log = kafka();
    let (one, two) = (topic(&log, 1), topic(&log, 1));
    let found = log.describe(&[&one, &two, &one]).unwrap();
    let id = |i: usize| found[i].as_ref().unwrap().id.clone();
    assert!(!id(0).is_empty() && id(0) != id(1), "{found:?}");
    assert_eq!(id(0), id(2));
}

#[test]
fn records_before_an_offset_are_deleted_and_a_refusal_says_where() {
    let log = kafka();
    let name = topic(&log, 2);
    for partition in 0..2 {
        write(&log, &tp(&name, partition), &[("a", "1"), ("b", "2"), ("c", "3")]);
    }
    log.delete_before(&[(tp(&name, 0), Offset(2)), (tp(&name, 1), Offset(0))]).unwrap();
    let starts = [0, 1].map(|partition| log.start_offset(&tp(&name, partition)).unwrap());
    assert_eq!(starts, [Offset(2), Offset(0)]);
    let error =
        log.delete_before(&[(tp(&name, 0), Offset(3)), (tp(&name, 1), Offset(7))]).unwrap_err().to_string();
    assert!(error.contains(&format!("{name}-1")) && error.contains("next:"), "{error}");
}

#[test]
fn an_unanswered_assignment_does_not_end_the_membership() {
    let log = kafka();
    let (name, group) = (topic(&log, 2), unique("group"));
    let session = Duration::from_secs(6);
    let mut fetch = fetch(&log);
    let mut member = log.join(&group_spec(&group, "a", &name, session), fetch.wake()).unwrap();
    let begun = Instant::now();
    let mut assigned = vec![];
    while assigned.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        fetch.wait(Duration::from_millis(100));
        for event in member.poll().unwrap() {
            if let GroupEvent::Assigned(at) = event {
                assigned = at;
            }
        }
    }
    let before = member.membership().unwrap();
    // Longer than the session, and without a call.
    std::thread::sleep(session * 2);
    assert_eq!(member.poll().unwrap(), []);
    let after = member.membership().unwrap();
    assert_eq!((&after.member_id, after.generation), (&before.member_id, before.generation));
    assert!(!member.assignment_lost());
    assert_eq!(assigned.len(), 2);
    member.accept().unwrap();
    // Proof that heartbeats still reach the broker: it accepts offsets of this member.
    let mut producer = transactional(&log, &unique("writer"), &group);
    producer.begin().unwrap();
    producer.commit(&[(tp(&name, 0), committed(0, "alive"))], &after).unwrap();
    member.close(true);
}

#[test]
fn a_fenced_member_says_which_instance() {
    let log = kafka();
    let (name, group) = (topic(&log, 1), unique("group"));
    let mut old = TestConsumer::join(&log, &group, "pod-7", &[&name]);
    old.until("held", |s| s.holds().len() == 1);
    let mut new = TestConsumer::join(&log, &group, "pod-7", &[&name]);
    new.until("held by the newer", |s| s.holds().len() == 1);
    let begun = Instant::now();
    let failure = loop {
        assert!(begun.elapsed() < Duration::from_secs(30), "not fenced");
        if let Err(failure) = old.step(Duration::from_millis(100)) {
            break failure;
        }
    };
    assert_eq!((failure.stage, failure.reaction), (Stage::Group, Reaction::Exit));
    assert!(failure.message.contains("`pod-7`"), "{failure}");
    assert_eq!(Error::from(failure).exit_code(), 5);
    new.member.close(true);
}

/// A member whose process is stopped for longer than its session comes back under another id.
#[test]
fn an_expelled_member_comes_back_with_another_id() {
    let log = kafka();
    let (name, group) = (topic(&log, 2), unique("group"));
    let session = Duration::from_secs(6);
    let mut config = BTreeMap::new();
    // Stands in for a stopped process: without a call in this time the client itself leaves the group.
    config.insert("max.poll.interval.ms".to_owned(), "6000".to_owned());
    let slow = tidegate::log::open(&bootstrap(), &config).unwrap();
    let mut fetch = fetch(&log);
    let mut member = slow.join(&group_spec(&group, "a", &name, session), fetch.wake()).unwrap();
    let (mut first, mut lost, mut second) = (None, vec![], None);
    let begun = Instant::now();
    while second.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "first {first:?} lost {lost:?}");
        fetch.wait(Duration::from_millis(50));
        for event in member.poll().unwrap() {
            match event {
                GroupEvent::Assigned(_) => {
                    member.accept().unwrap();
                    let id = member.membership().unwrap().member_id;
                    if first.is_none() {
                        first = Some(id);
                        std::thread::sleep(Duration::from_secs(9));
                    } else {
                        second = Some(id);
                    }
                }
                GroupEvent::Lost(at) => {
                    assert!(member.assignment_lost());
                    lost.extend(at.clone());
                    member.release(&at).unwrap();
                }
                GroupEvent::Revoking(at) => panic!("not a clean handover: {at:?}"),
                GroupEvent::Connection(_) => {}
            }
        }
    }
    assert_eq!(lost.len(), 2, "the loss was reported");
    assert_ne!(first, second);
    member.close(true);
}

#[test]
fn leaving_hands_over_at_once_and_closing_does_not() {
    let log = kafka();
    let (name, group) = (topic(&log, 2), unique("group"));
    let mut a = TestConsumer::join(&log, &group, "a", &[&name]);
    a.until("a holds all", |s| s.holds().len() == 2);
    a.member.close(true);
    let begun = Instant::now();
    let mut b = TestConsumer::join(&log, &group, "b", &[&name]);
    b.until("b holds all", |s| s.holds().len() == 2);
    assert!(begun.elapsed() < Duration::from_secs(5), "after a departure: {:?}", begun.elapsed());
    b.member.close(false);
    let begun = Instant::now();
    let mut c = TestConsumer::join(&log, &group, "c", &[&name]);
    c.until("c holds all", |s| s.holds().len() == 2);
    assert!(begun.elapsed() > Duration::from_secs(5), "b's membership was not kept: {:?}", begun.elapsed());
    c.member.close(true);
}

#[test]
fn rejoining_computes_a_new_assignment() {
    let log = kafka();
    let (name, group) = (topic(&log, 3), unique("group"));
    let mut a = TestConsumer::join(&log, &group, "a", &[&name]);
    a.until("all is held", |s| s.holds().len() == 3);
    let before = a.member.membership().unwrap();
    let events = a.events.len();
    a.member.rejoin().unwrap();
    let begun = Instant::now();
    while a.events[events..].iter().all(|e| !matches!(e, GroupEvent::Assigned(_))) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", a.events);
        a.step(Duration::from_millis(50)).unwrap();
    }
    assert_eq!(a.holds().len(), 3);
    let after = a.member.membership().unwrap();
    assert!(after.member_id != before.member_id || after.generation > before.generation);
    write(&log, &tp(&name, 1), &[("k", "v")]);
    assert_eq!(a.take(1)[&tp(&name, 1)].len(), 1);
    a.member.close(true);
}

fn short(id: &str, group: &str) -> ProducerSpec {
    ProducerSpec { transaction_timeout: Duration::from_secs(2), ..producer_spec(Some(id), group) }
}

#[test]
fn a_transaction_that_outlives_its_time_is_replaced() {
    let log = kafka();
    let (name, id) = (topic(&log, 1), unique("writer"));
    let mut producer = log.producer(&short(&id, "none")).unwrap();
    producer.init().unwrap();
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("late", "1")])).unwrap();
    producer.flush().unwrap();
    // The coordinator checks for such transactions every few seconds.
    std::thread::sleep(Duration::from_secs(14));
    let failure = producer.commit(&[], &nobody()).unwrap_err();
    assert!([Reaction::Unknown, Reaction::RecreateProducer].contains(&failure.reaction), "{failure}");
    drop(producer);
    let mut again = log.producer(&short(&id, "none")).unwrap();
    again.init().unwrap();
    again.begin().unwrap();
    again.send(&name, at(0), &rows(&[("new", "2")])).unwrap();
    again.commit(&[], &nobody()).unwrap();
    assert_eq!(read_all(&log, &tp(&name, 0)), [("new".to_owned(), "2".to_owned())]);
}

#[test]
fn a_fenced_producer_is_recognized_at_each_step() {
    let log = kafka();
    let (name, group, id) = (topic(&log, 1), unique("group"), unique("writer"));
    let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
    consumer.until("held", |s| s.holds().len() == 1);
    let member = consumer.member.membership().unwrap();
    let mut old = transactional(&log, &id, &group);
    old.begin().unwrap();
    old.send(&name, at(0), &rows(&[("zombie", "1")])).unwrap();
    old.flush().unwrap();
    let _new = transactional(&log, &id, &group);
    let failure = old.commit(&[(tp(&name, 0), committed(9, "zombie"))], &member).unwrap_err();
    assert_eq!(failure.reaction, Reaction::RecreateProducer, "offsets: {failure}");
    assert_eq!(old.abort().unwrap_err().reaction, Reaction::RecreateProducer);
    assert_eq!(old.begin().unwrap_err().reaction, Reaction::RecreateProducer);

    let mut old = transactional(&log, &id, &group);
    old.begin().unwrap();
    let _new = transactional(&log, &id, &group);
    let sent = old.send(&name, at(0), &rows(&[("zombie", "2")])).and_then(|()| old.flush());
    assert_eq!(sent.unwrap_err().reaction, Reaction::RecreateProducer, "produce");
    assert_eq!(visible(&log, &tp(&name, 0)), []);
    assert_eq!(consumer.member.committed(&[tp(&name, 0)])().unwrap(), [None]);
    consumer.member.close(true);
}

#[test]
fn at_least_once_commits_offsets_through_the_consumer() {
    let log = kafka();
    let (name, group) = (topic(&log, 1), unique("group"));
    let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
    consumer.until("held", |s| s.holds().len() == 1);
    let mut producer = log.producer(&producer_spec(None, &group)).unwrap();
    producer.init().unwrap();
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("a", "1")])).unwrap();
    let mut offset = committed(1, "token ä");
    offset.leader_epoch = Some(0);
    let member = consumer.member.membership().unwrap();
    producer.commit(&[(tp(&name, 0), offset.clone())], &member).unwrap();
    assert_eq!(consumer.member.committed(&[tp(&name, 0)])().unwrap(), [Some(offset)]);
    assert!(!producer.suspect());
    // The membership was taken over: its offsets are not ours to commit.
    consumer.member.close(true);
    let mut other = TestConsumer::join(&log, &group, "b", &[&name]);
    other.until("held", |s| s.holds().len() == 1);
    let failure = producer.commit(&[(tp(&name, 0), committed(7, "stale"))], &member).unwrap_err();
    assert!([Reaction::CloseTasks, Reaction::AbortReplay].contains(&failure.reaction), "{failure}");
    assert_eq!(other.member.committed(&[tp(&name, 0)])().unwrap()[0].as_ref().unwrap().offset, Offset(1));
    other.member.close(true);
}

#[test]
fn a_refused_record_names_topic_and_size() {
    let log = kafka();
    let name = topic(&log, 1);
    let mut producer = transactional(&log, &unique("writer"), "none");
    producer.begin().unwrap();
    let mut chunk = RawChunkBuilder::default();
    chunk
        .push_with(-1, None, |v| {
            v.resize(3 << 20, b'x');
            Ok::<_, ()>(true)
        })
        .unwrap();
    let failure = producer.send(&name, at(0), &chunk.build()).unwrap_err();
    assert_eq!(failure.reaction, Reaction::StopPipeline);
    assert!(failure.message.contains(&name) && failure.message.contains("3145728 bytes"), "{failure}");
    producer.abort().unwrap();
    let missing = unique("missing");
    producer.begin().unwrap();
    let sent = producer.send(&missing, None, &rows(&[("a", "1")])).and_then(|()| producer.flush());
    let failure = sent.unwrap_err();
    assert_eq!(failure.reaction, Reaction::StopPipeline, "{failure}");
    assert!(failure.message.contains(&missing), "{failure}");
}

#[test]
fn dropping_with_records_in_flight_does_not_wait() {
    let log = kafka();
    let name = topic(&log, 1);
    let mut producer = transactional(&log, &unique("writer"), "none");
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("a", "1")])).unwrap();
    let begun = Instant::now();
    drop(producer);
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[test]
fn a_record_wakes_a_waiting_member_at_once_and_idling_costs_nothing() {
    let log = kafka();
    let (name, group) = (topic(&log, 1), unique("group"));
    let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
    consumer.until("held", |s| s.holds().len() == 1);
    let mut producer = transactional(&log, &unique("writer"), "none");
    let only: TopicPartition = tp(&name, 0);
    let mut waits = vec![];
    for _ in 0..20 {
        producer.begin().unwrap();
        producer.send(&name, at(0), &rows(&[("k", "v")])).unwrap();
        producer.commit(&[], &nobody()).unwrap();
        let begun = Instant::now();
        let mut got = 0;
        while got == 0 {
            assert!(begun.elapsed() < Duration::from_secs(10));
            consumer.step(Duration::from_secs(5)).unwrap();
            got = consumer
                .fetchers
                .get_mut(&only)
                .unwrap()
                .take(10, 1000)
                .unwrap()
                .map_or(0, |f| f.records.len());
        }
        waits.push(begun.elapsed());
    }
    waits.sort();
    assert!(waits[10] < Duration::from_millis(100), "{waits:?}");
    // A loop that does not sleep would turn thousands of times.
    let (begun, mut turns) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(2) {
        consumer.step(Duration::from_millis(500)).unwrap();
        while consumer.fetchers.get_mut(&only).unwrap().take(10, 1000).unwrap().is_some() {}
        turns += 1;
    }
    assert!(turns < 60, "{turns} turns in two idle seconds");
    println!("commit to record p50 {:?}, idle turns in 2 s: {turns}", waits[10]);
    consumer.member.close(true);
}

#[test]
fn committed_offsets_wait_for_a_pending_transaction() {
    use rdkafka::{
        ClientConfig, Offset as Position, TopicPartitionList,
        consumer::{BaseConsumer, Consumer},
        producer::{BaseProducer, Producer as _},
    };
    let log = kafka();
    let (name, group) = (topic(&log, 1), unique("group"));
    // Not a member, so that its offsets can stay pending while nothing else of it is alive.
    let outsider: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap()).set("group.id", &group).create().unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("transactional.id", unique("outsider"))
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(10)).unwrap();
    producer.begin_transaction().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&name, 0, Position::Offset(7)).unwrap();
    let metadata = outsider.group_metadata().unwrap();
    producer.send_offsets_to_transaction(&list, &metadata, Duration::from_secs(10)).unwrap();
    let wake = fetch(&log).wake();
    let consumer = log.join(&group_spec(&group, "a", &name, Duration::from_secs(10)), wake).unwrap();
    let hold = Duration::from_secs(2);
    let begun = Instant::now();
    let end = std::thread::spawn(move || {
        std::thread::sleep(hold);
        producer.commit_transaction(Duration::from_secs(10)).unwrap();
    });
    let found = consumer.committed(&[tp(&name, 0)])().unwrap();
    assert!(begun.elapsed() >= hold, "answered while the outcome was open: {found:?}");
    assert_eq!(found[0].as_ref().unwrap().offset, Offset(7));
    end.join().unwrap();
    consumer.close(true);
}

#[test]
fn a_missing_topic_is_no_failure_and_is_assigned_once_it_is_there() {
    let log = kafka();
    let late = unique("late");
    let mut fetch = fetch(&log);
    let spec = group_spec(&unique("group"), "a", &late, Duration::from_secs(10));
    let mut member = log.join(&spec, fetch.wake()).unwrap();
    // A missing topic is no failure of the membership: which topics exist is looked at elsewhere.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        fetch.wait(Duration::from_millis(100));
        assert!(!member.poll().unwrap().iter().any(|event| matches!(event, GroupEvent::Assigned(_))));
    }
    let spec =
        TopicSpec { name: late.clone(), partitions: 1, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
    until("the topic is there", || log.describe(&[&late]).unwrap()[0].is_some());
    member.rejoin().unwrap();
    let begun = Instant::now();
    let mut assigned = vec![];
    while assigned.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not assigned");
        fetch.wait(Duration::from_millis(100));
        for event in member.poll().unwrap() {
            if let GroupEvent::Assigned(at) = event {
                assigned.extend(at);
            }
        }
    }
    assert_eq!(assigned, [TopicPartition::new(late.as_str(), 0)]);
    member.close(true);
}

#[test]
fn who_is_in_a_group_is_asked_of_a_broker_that_stays_silent() {
    let proxy = Proxy::start(&bootstrap());
    let log = tidegate::log::open(&proxy.bootstrap(), &BTreeMap::new()).unwrap();
    log.connect(Duration::from_secs(10)).unwrap();
    let (group, ways) = (unique("silent"), [Way::ToBroker, Way::ToClient]);
    for _ in 0..2 {
        until("the broker answers", || log.members(&group).is_ok_and(|found| found.is_empty()));
        let before = proxy.waited(Way::ToBroker);
        ways.iter().for_each(|way| proxy.shut(*way));
        for _ in 0..2 {
            let error = log.members(&group).unwrap_err().to_string();
            assert!(error.contains(&format!("describing the group `{group}`")), "{error}");
        }
        assert!(proxy.waited(Way::ToBroker) > before, "nothing waited");
        ways.iter().for_each(|way| proxy.open(*way));
    }
    until("the broker answers again", || log.members(&group).is_ok());
}
