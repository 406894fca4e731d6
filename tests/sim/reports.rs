//! What is reported to observers in simulated worlds.

use crate::{
    count_words::WORD_COUNT,
    worlds::{PARTITIONS, create, in_memory, incarnation, write},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    runtime::{Observed, Observer},
    sim::{Fault, Faults, World},
};

/// What was reported of batches and receivers.
#[derive(Default)]
struct Reports {
    cut: u64,
    ended: u64,
    given_up: u64,
    failed_receivers: u64,
    committed_records: usize,
    /// The log cannot be reached, as far as was reported.
    is_disconnected: bool,
    /// How often the membership was given up meanwhile.
    closed_while_disconnected: u64,
    unreachable: u64,
}

struct Recorder(Mutex<Reports>);

impl Observer for Recorder {
    fn on(&self, event: &Observed<'_>) {
        let mut reports = self.0.lock().unwrap();
        match event {
            Observed::Cut { .. } => reports.cut += 1,
            Observed::ReceiverFailed { at, why } => {
                assert!(&*at.topic == "lines" && !why.is_empty());
                reports.failed_receivers += 1;
            }
            Observed::Batch(report) => {
                reports.ended += 1;
                let read: usize = report.inputs.iter().map(|i| i.records).sum();
                assert_eq!(read, report.counters.records_in);
                reports.committed_records += read;
            }
            Observed::Replayed { report, why, .. } => {
                assert!(report.is_some() && why.is_some());
                reports.given_up += 1;
            }
            Observed::Connection(why) => {
                reports.is_disconnected = why.is_some();
                reports.unreachable += u64::from(why.is_some());
            }
            Observed::Closed => reports.closed_while_disconnected += u64::from(reports.is_disconnected),
            _ => {}
        }
    }
}

/// A program that gets a record every 200 ms for eight seconds, with these faults meanwhile.
fn reports(seed: u64, mut faults: Faults) -> Arc<Recorder> {
    faults.calm_after = Duration::from_secs(8);
    let mut world = World::new(seed, faults, in_memory);
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for step in 0..40 {
        world.at(Duration::from_millis(step * 200), |log| write(log, None, "a b"));
    }
    let reports = Arc::new(Recorder(Mutex::default()));
    let observer = reports.clone();
    world.process("a", true, move |env| incarnation(env, WORD_COUNT, observer.clone()));
    let outcome = world.run(Duration::from_secs(60), |w| w.now() > Duration::from_secs(20));
    assert!(outcome.finished && outcome.ended.is_empty(), "{outcome:?}");
    reports
}

#[test]
fn a_receiver_that_cannot_read_is_reported_and_every_batch_ends_once() {
    let reports = reports(11, Faults::none().with(Fault::Transient, 20_000));
    let reports = reports.0.lock().unwrap();
    assert!(reports.failed_receivers > 0 && reports.given_up > 0, "no read failed");
    assert!(reports.cut - (reports.ended + reports.given_up) <= 1, "the last one is in flight");
    assert_eq!(reports.committed_records, 40);
}

/// The membership that reported a loss is replaced before it could report the return.
#[test]
fn a_log_that_is_reached_by_a_later_membership_is_not_reported_as_lost() {
    for seed in 0..8 {
        let faults = Faults::none().with(Fault::Disconnected, 200_000).with(Fault::AnswerRefused, 200_000);
        let reports = reports(seed, faults);
        let reports = reports.0.lock().unwrap();
        assert!(reports.closed_while_disconnected > 0, "seed {seed}: no membership was replaced meanwhile");
        assert!(!reports.is_disconnected, "seed {seed}: still reported as lost");
        assert_eq!(reports.committed_records, 40, "seed {seed}");
    }
}

#[test]
fn a_producer_that_is_lost_again_and_again_is_no_log_that_cannot_be_reached() {
    let (mut lost, mut given_up) = (0, 0);
    for seed in 0..10 {
        let mut faults = Faults::none().with(Fault::ProducerFatal, 150_000);
        faults.calm_after = Duration::from_secs(30);
        let mut world = World::new(seed, faults, in_memory);
        create(world.log().as_ref(), "lines", PARTITIONS);
        create(world.log().as_ref(), "counts", 4);
        for step in 0..40 {
            world.at(Duration::from_millis(step * 200), |log| write(log, None, "a b"));
        }
        let reports = Arc::new(Recorder(Mutex::default()));
        let observer = reports.clone();
        world.process("a", true, move |env| incarnation(env, WORD_COUNT, observer.clone()));
        let outcome = world.run(Duration::from_secs(90), |w| w.now() > Duration::from_secs(60));
        assert!(outcome.finished && outcome.ended.is_empty(), "{seed}: {outcome:?}");
        let reports = reports.0.lock().unwrap();
        assert_eq!((reports.unreachable, reports.committed_records), (0, 40), "{seed}");
        lost += outcome.fired.get(&Fault::ProducerFatal).copied().unwrap_or(0);
        given_up += reports.given_up;
    }
    assert!(lost > 20 && given_up > 20, "{lost} producers lost, {given_up} batches given up");
}
