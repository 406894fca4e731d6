//! Functions that take long: batches make progress however short transactions and sessions are, nothing is called
//! twice, and a stop does not wait for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate::{
    BadRecordPolicy, Config, DStream, SourceOptions, State, StateSpec, StreamingContext,
    codec::Utf8,
    config::Trigger,
    log::{self, Log, TopicSpec},
    observe::listener::{BatchInfo, StreamingListener},
    record::{BatchTime, Headers, Offset, Partition, RawChunkBuilder, RawRecord, Text, TopicPartition},
};

const SECOND: Duration = Duration::from_secs(1);

/// A program on `lines` lines, each in one of two partitions, with times that are short for what it computes.
pub fn program(name: &str, lines: u64) -> (Config, Arc<dyn Log>) {
    let mut config = Config::new(name, format!("memory:progress-{name}"));
    (config.trigger, config.admin_bind, config.threads) = (Trigger::AvailableNow, None, 2);
    (config.transaction_timeout, config.session_timeout) = (SECOND, SECOND);
    let log = log::open(&config.bootstrap, &BTreeMap::new()).unwrap();
    for (topic, partitions) in [("lines", 2), ("out", 1), ("counts", 1)] {
        let config = BTreeMap::new();
        log.create(&TopicSpec { name: topic.into(), partitions, replication_factor: None, config }).unwrap();
    }
    for partition in 0..2 {
        let mut records = RawChunkBuilder::default();
        for line in (0..lines).filter(|n| n % 2 == u64::from(partition)) {
            let value = line.to_string();
            let value = Some(value.as_bytes());
            let (offset, headers) = (Offset(0), Headers::NONE);
            records.push(RawRecord { offset, timestamp_ms: 0, key: None, value, headers });
        }
        log::write(log.as_ref(), "lines", Some(Partition(partition)), &records.build()).unwrap();
    }
    (config, log)
}

/// The values of a topic, sorted as numbers.
pub fn numbers(log: &dyn Log, topic: &str) -> Vec<u64> {
    let mut numbers = vec![];
    for partition in 0..log.describe(&[topic]).unwrap().remove(0).unwrap().partitions {
        let at = TopicPartition::new(topic, partition);
        let (mut next, end) = (log.start_offset(&at).unwrap(), log.end_offset(&at).unwrap());
        let mut reader = log.read(&at, next).unwrap();
        while next < end {
            let Some(fetched) = reader.next(Duration::from_millis(100)).unwrap() else { continue };
            let values =
                fetched.records.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap());
            numbers.extend(values.map(|value| value.parse::<u64>().unwrap()));
            next = fetched.next;
        }
    }
    numbers.sort_unstable();
    numbers
}

/// Each row as its own key.
pub fn keyed(rows: &DStream<Text>) -> DStream<(Text, Text)> {
    rows.map(|row| (row.clone(), row))
}

#[test]
fn a_slow_function_of_a_later_stage_runs_once_per_record_beside_an_early_output() {
    let (config, log) = program("slow-state", 120);
    let ssc = StreamingContext::new(config);
    let lines = ssc.text("lines");
    keyed(&lines).to_kafka("out", Utf8, Utf8);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let function = move |_: BatchTime, key: &Text, _: Option<Text>, state: &mut State<u64>| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(30));
        state.update(1);
        Some((key.clone(), key.clone()))
    };
    keyed(&lines).map_with_state(StateSpec::function(function)).to_kafka("counts", Utf8, Utf8);
    ssc.run().unwrap();
    let all: Vec<u64> = (0..120).collect();
    assert_eq!((numbers(log.as_ref(), "out"), numbers(log.as_ref(), "counts")), (all.clone(), all));
    assert_eq!(calls.load(Ordering::Relaxed), 120, "no batch was computed twice");
}

#[test]
fn a_slow_output_is_called_once_with_each_row() {
    let (config, log) = program("slow-output", 10);
    let ssc = StreamingContext::new(config);
    let lines = ssc.text("lines");
    keyed(&lines).to_kafka("out", Utf8, Utf8);
    let rows: Arc<Mutex<Vec<u64>>> = Arc::default();
    let into = rows.clone();
    lines.foreach_rdd(move |rdd, _| {
        into.lock().unwrap().extend(rdd.collect().iter().map(|line| line.parse::<u64>().unwrap()));
        std::thread::sleep(SECOND * 3);
    });
    ssc.run().unwrap();
    let mut rows = rows.lock().unwrap().clone();
    rows.sort_unstable();
    let all: Vec<u64> = (0..10).collect();
    assert_eq!((rows, numbers(log.as_ref(), "out")), (all.clone(), all));
}

#[test]
fn a_stop_does_not_wait_for_a_function_that_never_returns() {
    let (mut config, log) = program("never-returns", 50);
    (config.trigger, config.stop_timeout) = (Trigger::AsSoonAsPossible, Duration::from_millis(300));
    let (released, hangs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let ssc = StreamingContext::new(config.clone());
    let (release, hang) = (released.clone(), hangs.clone());
    let lines = ssc.text("lines").map(move |line| {
        hang.store(true, Ordering::SeqCst);
        while !release.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        line
    });
    keyed(&lines).to_kafka("out", Utf8, Utf8);
    ssc.start().unwrap();
    crate::contract::until("the function is called", || hangs.load(Ordering::SeqCst));
    ssc.stop(false);
    ssc.await_termination().unwrap();
    assert_eq!(numbers(log.as_ref(), "out"), [0u64; 0], "nothing was committed");
    released.store(true, Ordering::SeqCst);

    config.trigger = Trigger::AvailableNow;
    let ssc = StreamingContext::new(config);
    keyed(&ssc.text("lines")).to_kafka("out", Utf8, Utf8);
    ssc.run().unwrap();
    assert_eq!(numbers(log.as_ref(), "out"), (0..50).collect::<Vec<u64>>(), "and nothing was lost");
}

#[test]
fn many_failing_records_are_found_without_giving_batches_up_for_each() {
    let (config, log) = program("failing", 20_000);
    let ssc = StreamingContext::new(config);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let source = SourceOptions::topic("lines").on_bad_record(BadRecordPolicy::DeadLetter);
    let given_up = Arc::new(AtomicUsize::new(0));
    ssc.add_streaming_listener(GivenUp(given_up.clone()));
    let twice = ssc.source::<Text>(source, Utf8).flat_map(|line| [line.clone(), line]);
    let rows = twice.map(move |line| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert!(line.parse::<u64>().unwrap() % 100 != 42, "no good");
        line
    });
    keyed(&rows).to_kafka("out", Utf8, Utf8);
    ssc.run().unwrap();
    let good = (0..20_000).filter(|n| n % 100 != 42).flat_map(|n| [n, n]);
    assert!(numbers(log.as_ref(), "out").into_iter().eq(good), "all others, in full");
    let letters: BTreeSet<u64> = numbers(log.as_ref(), "failing-dlq").into_iter().collect();
    assert!(letters.into_iter().eq((0..20_000).filter(|n| n % 100 == 42)), "each that failed, once");
    let given_up = given_up.load(Ordering::Relaxed);
    assert!((1..=2).contains(&given_up), "once per partition: {given_up}");
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls < 40_000 * 4, "records are not tried again and again: {calls} calls for 40,000 rows");
}

/// Counts batches that are given up.
pub struct GivenUp(pub Arc<AtomicUsize>);

impl StreamingListener for GivenUp {
    fn on_batch_completed(&self, batch: &BatchInfo) {
        self.0.fetch_add(usize::from(batch.failure_reason().is_some()), Ordering::Relaxed);
    }
}
