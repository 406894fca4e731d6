//! A broker that stops responding or dies during a transaction: the outcome is never guessed, but determined by the
//! token.

use crate::{
    contract::{TestConsumer, at, committed, producer_spec, read_all, rows, topic, tp, unique},
    kafka::Kafka,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tidegate::{
    error::Reaction,
    log::{GroupEvent, Log, Producer, ProducerSpec},
};

fn producer(log: &Arc<dyn Log>, id: &str, group: &str) -> Box<dyn Producer> {
    let timeout = Duration::from_secs(3);
    let spec = ProducerSpec { transaction_timeout: timeout, ..producer_spec(Some(id), group) };
    let mut producer = log.producer(&spec).unwrap();
    producer.init().unwrap();
    producer
}

/// Waits until the consumer is in the group. What it asked before the broker went may be answered to nobody, and take its
/// place; then it joins as a new member, as the engine does.
fn has_its_place(log: &Arc<dyn Log>, consumer: &mut TestConsumer, name: &str, group: &str) {
    let start = Instant::now();
    while consumer.member.membership().is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for the group");
        match consumer.step(Duration::from_millis(50)) {
            Err(f) if f.reaction == Reaction::Exit => {
                let fenced = std::mem::replace(consumer, TestConsumer::join(log, group, "a", &[name]));
                fenced.member.close(false);
            }
            stepped => stepped.unwrap(),
        }
    }
}

/// The committed token, and what readers of committed data see, must agree.
fn settle(log: &Arc<dyn Log>, consumer: &mut TestConsumer, name: &str, id: &str, group: &str) {
    let mut again = producer(log, id, group);
    let token = consumer.member.committed(&[tp(name, 0)])().unwrap()[0].clone().unwrap().metadata;
    let seen: Vec<String> = read_all(log, &tp(name, 0)).into_iter().map(|(_, value)| value).collect();
    let expected: &[&str] = if token == "2" { &["1", "2"] } else { &["1"] };
    assert_eq!(seen, expected, "the token says {token}");
    // The group may still be rebalancing, as its session may have ended: a commit by an earlier membership is
    // refused.
    let goes_on = (0..10).any(|_| {
        has_its_place(log, consumer, name, group);
        again.begin().unwrap();
        again.send(name, at(0), &rows(&[("k", "3")])).unwrap();
        let member = consumer.member.membership();
        let outcome = member.and_then(|member| again.commit(&[(tp(name, 0), committed(3, "3"))], &member));
        let Err(refused) = outcome else { return true };
        assert!(![Reaction::Unknown, Reaction::RecreateProducer].contains(&refused.reaction), "{refused}");
        again.abort().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        false
    });
    assert!(goes_on, "no commit was accepted");
    assert_eq!(read_all(log, &tp(name, 0)).last().unwrap().1, "3");
}

#[test]
fn an_unknown_outcome_is_settled_by_the_token() {
    let mut broker = Kafka::start();
    let log = tidegate::log::open(&broker.bootstrap(), &BTreeMap::new()).unwrap();
    log.connect(Duration::from_secs(10)).unwrap();
    for kill in [false, true] {
        let (name, group, id) = (topic(&log, 1), unique("group"), unique("writer"));
        let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
        consumer.until("held", |s| s.holds().len() == 1);
        let mut first = producer(&log, &id, &group);
        for token in ["1", "2"] {
            let member = consumer.member.membership().unwrap();
            first.begin().unwrap();
            first.send(&name, at(0), &rows(&[("k", token)])).unwrap();
            first.flush().unwrap();
            if token == "2" {
                if kill {
                    broker.kill9();
                } else {
                    broker.stop_signal();
                }
            }
            let outcome = first.commit(&[(tp(&name, 0), committed(1, token))], &member);
            assert_eq!(outcome.is_ok(), token == "1", "the fault has fired");
            if let Err(failure) = outcome {
                let sane = [Reaction::Unknown, Reaction::AbortReplay, Reaction::RecreateProducer];
                assert!(sane.contains(&failure.reaction), "{failure}");
                assert!(first.suspect(), "after {failure}");
            }
        }
        drop(first);
        if kill {
            broker.restart();
        } else {
            broker.cont_signal();
        }
        settle(&log, &mut consumer, &name, &id, &group);
        consumer.member.close(true);
    }
}

/// What was reported of the connection: whether a broker can be reached.
fn states(consumer: &TestConsumer) -> Vec<bool> {
    let state = |e: &GroupEvent| match e {
        GroupEvent::Connection(state) => Some(state.is_none()),
        _ => None,
    };
    consumer.events.iter().filter_map(state).collect()
}

/// Its connections stay open, so that the library sees only that its place in the group is lost.
#[test]
fn a_broker_that_is_connected_and_does_not_answer_is_reported_and_so_is_its_return() {
    let broker = Kafka::start();
    let log = tidegate::log::open(&broker.bootstrap(), &BTreeMap::new()).unwrap();
    log.connect(Duration::from_secs(10)).unwrap();
    let (name, group) = (topic(&log, 1), unique("group"));
    let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
    consumer.until("held", |s| s.holds().len() == 1);
    broker.stop_signal();
    consumer.until("the place is lost", |s| s.events.iter().any(|e| matches!(e, GroupEvent::Lost(_))));
    consumer.until("the silence is reported", |s| states(s) == [false]);
    broker.cont_signal();
    let returned = consumer.try_until("the return is reported", |s| states(s) == [false, true]);
    // The broker reads requests that are older than the silence, too: one of them may take our place from us, which ends
    // this membership. Whoever joins anew knows of the return.
    if let Err(f) = returned.and_then(|()| consumer.try_until("held again", |s| s.holds().len() == 1)) {
        assert_eq!(f.reaction, Reaction::Exit, "{f}");
        let before = std::mem::replace(&mut consumer, TestConsumer::join(&log, &group, "a", &[&name]));
        before.member.close(false);
        consumer.until("held by a new member", |s| s.holds().len() == 1);
    }
    consumer.member.close(false);
}

#[test]
fn the_death_of_a_broker_is_reported_and_so_is_its_return() {
    let mut broker = Kafka::start();
    let log = tidegate::log::open(&broker.bootstrap(), &BTreeMap::new()).unwrap();
    log.connect(Duration::from_secs(10)).unwrap();
    let (name, group) = (topic(&log, 1), unique("group"));
    let mut consumer = TestConsumer::join(&log, &group, "a", &[&name]);
    consumer.until("held", |s| s.holds().len() == 1);
    broker.kill9();
    consumer.until("the loss is reported", |s| states(s) == [false]);
    broker.restart();
    consumer.until("the return is reported", |s| states(s) == [false, true]);
    // It continues on its own: what is written now arrives.
    let mut producer = producer(&log, &unique("writer"), &group);
    producer.begin().unwrap();
    producer.send(&name, at(0), &rows(&[("k", "v")])).unwrap();
    producer.commit(&[], &crate::contract::nobody()).unwrap();
    assert_eq!(consumer.take(1)[&tp(&name, 0)].len(), 1);
    consumer.member.close(false);
}
