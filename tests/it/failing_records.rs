//! Records that fail behind an exchange: they are found without giving batches up for each, and the others take effect
//! once, with the state that they would have had without them.

use crate::progress::{GivenUp, keyed, numbers, program};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tidegate::{
    BadRecordPolicy, Config, DStream, Error, SourceOptions, State, StateSpec, StreamingContext,
    codec::Utf8,
    log::{self, Log, TopicSpec},
    record::{BatchTime, Headers, Offset, Partition, RawChunkBuilder, RawRecord, Text},
};

pub const LINES: u64 = 4_000;

pub fn is_bad(n: u64) -> bool {
    n % 100 == 42
}

pub fn number(line: &str) -> u64 {
    line.parse().unwrap()
}

/// The lines of a topic, each as its own key.
pub fn lines(ssc: &StreamingContext, topic: &str, policy: BadRecordPolicy) -> DStream<(Text, Text)> {
    keyed(&ssc.source::<Text>(SourceOptions::topic(topic).on_bad_record(policy), Utf8))
}

/// Fails for bad lines, after it has changed the state.
pub fn checked(lines: &DStream<(Text, Text)>) -> DStream<(Text, Text)> {
    let check = |_: BatchTime, key: &Text, line: Option<Text>, state: &mut State<u64>| {
        state.update(state.get().unwrap_or(&0) + 1);
        assert!(!is_bad(number(&line?)), "no good");
        assert_eq!(state.get(), Some(&1), "each line comes once");
        Some((key.clone(), key.clone()))
    };
    lines.map_with_state(StateSpec::function(check)).clone()
}

fn counting(ssc: &StreamingContext) -> Arc<AtomicUsize> {
    let given_up = Arc::new(AtomicUsize::new(0));
    ssc.add_streaming_listener(GivenUp(given_up.clone()));
    given_up
}

/// A further topic of lines, in one partition.
pub fn create(log: &dyn Log, topic: &str) {
    let config = BTreeMap::new();
    let spec = TopicSpec { name: topic.into(), partitions: 1, replication_factor: None, config };
    log.create(&spec).unwrap();
}

/// Adds lines to the first partition of a topic.
pub fn write(log: &dyn Log, topic: &str, lines: impl IntoIterator<Item = u64>) {
    let mut records = RawChunkBuilder::default();
    for line in lines {
        let value = line.to_string();
        let value = Some(value.as_bytes());
        let (offset, headers) = (Offset(0), Headers::NONE);
        records.push(RawRecord { offset, timestamp_ms: 0, key: None, value, headers });
    }
    log::write(log, topic, Some(Partition(0)), &records.build()).unwrap();
}

/// Runs a program over lines; all that are not bad must come out once, the bad ones as dead letters, and at most one
/// batch may be given up.
fn check(name: &str, build: impl Fn(&DStream<(Text, Text)>) -> DStream<(Text, Text)>) {
    let (config, log) = program(name, LINES);
    let ssc = StreamingContext::new(config);
    let given_up = counting(&ssc);
    build(&lines(&ssc, "lines", BadRecordPolicy::DeadLetter)).to_kafka("out", Utf8, Utf8);
    ssc.run().unwrap();
    let good = (0..LINES).filter(|n| !is_bad(*n));
    assert!(numbers(log.as_ref(), "out").into_iter().eq(good), "all others, once");
    let letters = numbers(log.as_ref(), &format!("{name}-dlq"));
    assert!(letters.into_iter().eq((0..LINES).filter(|n| is_bad(*n))), "each that failed, once");
    assert_eq!(given_up.load(Ordering::Relaxed), 1, "one batch, for all of them");
}

#[test]
fn records_that_fail_in_a_function_over_state_are_found_in_one_batch() {
    check("failing-state", checked);
}

#[test]
fn records_that_fail_at_the_end_of_a_batch_are_found_in_one_batch() {
    check("failing-end", |lines| {
        let counts = lines.map(|(line, _)| (line, 1u64)).running_reduce_by_key(|a, b| a + b);
        counts.try_map(
            |(line, _)| if is_bad(number(&line)) { Err("no good") } else { Ok((line.clone(), line)) },
        )
    });
}

#[test]
fn records_that_fail_behind_two_exchanges_are_found_in_one_batch() {
    check("failing-deep", |lines| {
        let pass = |_: BatchTime, _: &u64, line: Option<Text>, _: &mut State<u64>| line;
        let by_end = lines.map(|(line, _)| (number(&line) % 7, line));
        checked(&keyed(&by_end.map_with_state(StateSpec::function(pass))))
    });
}

#[test]
fn state_is_that_of_the_other_records_also_after_a_restart() {
    let (config, log) = program("failing-sums", LINES);
    let run = |topic: &str| {
        let ssc = StreamingContext::new(config.clone());
        let given_up = counting(&ssc);
        let add = |_: BatchTime, key: &u64, n: Option<u64>, sum: &mut State<u64>| {
            let n = n?;
            sum.update(sum.get().unwrap_or(&0) + n);
            assert!(!is_bad(n), "no good");
            Some((key.to_string(), sum.get()?.to_string()))
        };
        let source = SourceOptions::topics(["lines", topic]).on_bad_record(BadRecordPolicy::Skip);
        let numbers = ssc.source::<Text>(source, Utf8).map(|line| (0u64, number(&line)));
        numbers.map_with_state(StateSpec::function(add)).named("sums").to_kafka("out", Utf8, Utf8);
        ssc.run().unwrap();
        given_up.load(Ordering::Relaxed)
    };
    // Sums only grow, so the greatest is the last.
    let last = |lines: u64| (0..lines).filter(|n| !is_bad(*n)).sum::<u64>();
    create(log.as_ref(), "more");
    assert_eq!(run("more"), 1);
    let sums = numbers(log.as_ref(), "out");
    assert_eq!((sums.len() as u64, sums.last()), (LINES - LINES / 100, Some(&last(LINES))));

    write(log.as_ref(), "more", LINES..LINES + 1_000);
    assert_eq!(run("more"), 1, "the state is rebuilt from its changelog");
    assert_eq!(numbers(log.as_ref(), "out").last(), Some(&last(LINES + 1_000)));
}

#[test]
fn where_another_source_allows_no_failure_the_program_stops_with_its_record() {
    let (config, log) = program("failing-mixed", LINES);
    create(log.as_ref(), "strict");
    write(log.as_ref(), "strict", [LINES, LINES + 1, LINES + 42, LINES + 2]);
    let run = |config: &Config, policy| {
        let ssc = StreamingContext::new(config.clone());
        let both = lines(&ssc, "lines", BadRecordPolicy::DeadLetter).union(&lines(&ssc, "strict", policy));
        checked(&both).named("checked").to_kafka("out", Utf8, Utf8);
        ssc.run()
    };
    let error = run(&config, BadRecordPolicy::Fail).unwrap_err().to_string();
    assert!(
        error.starts_with("bad record in strict-0 at offset 2: ") && error.contains("no good"),
        "{error}"
    );
    let committed = numbers(log.as_ref(), "out");
    assert!(
        !committed.iter().any(|n| is_bad(*n)) && !committed.contains(&(LINES + 2)),
        "what comes before it"
    );
    run(&config, BadRecordPolicy::Skip).unwrap();
    let good = (0..LINES + 3).filter(|n| !is_bad(*n));
    assert!(numbers(log.as_ref(), "out").into_iter().eq(good), "all others, once over both runs");
    let letters = numbers(log.as_ref(), "failing-mixed-dlq");
    assert!(letters.into_iter().eq((0..LINES).filter(|n| is_bad(*n))), "once over both runs");
}

#[test]
fn what_fails_at_the_end_of_a_batch_without_any_record_blames_none() {
    let (config, log) = program("failing-always", 100);
    let (fails, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
    let run = || {
        let ssc = StreamingContext::new(config.clone());
        let (fails, seen) = (fails.clone(), seen.clone());
        let keep = |_: BatchTime, _: &Text, line: Option<Text>, state: &mut State<u64>| {
            state.update(number(&line?));
            None::<()>
        };
        let states = lines(&ssc, "lines", BadRecordPolicy::DeadLetter)
            .map_with_state(StateSpec::function(keep))
            .named("states");
        let shown = states.state_snapshots().map(move |(line, n)| {
            assert!(!fails.load(Ordering::Relaxed), "the states cannot be shown");
            *seen.lock().unwrap() += 1;
            (line, n.to_string())
        });
        shown.to_kafka("out", Utf8, Utf8);
        ssc.run()
    };
    run().unwrap();
    fails.store(true, Ordering::Relaxed);
    write(log.as_ref(), "lines", 100..101);
    let error = run().unwrap_err();
    assert!(matches!(error, Error::Operator { .. }), "{error}");
    assert!(error.to_string().contains("panicked: the states cannot be shown"), "{error}");
    assert!(*seen.lock().unwrap() >= 100, "they were shown before");
    assert!(numbers(log.as_ref(), "failing-always-dlq").is_empty());
}
