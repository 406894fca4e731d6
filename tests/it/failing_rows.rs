//! Rows that fail behind the exchange topic: they are found row by row, and the others take effect once, with the state that they
//! would have had without them.

use crate::{
    failing_records::{LINES, checked, create, is_bad, lines, number, write},
    progress::{keyed, numbers, program},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tidegate::{
    BadRecordPolicy, Config, DStream, Error, SourceOptions, State, StateSpec, StreamingContext,
    codec::{self, Utf8},
    config::ExchangeThrough,
    log::Log,
    record::{BatchTime, RawChunk, Text, TopicPartition},
};

fn split(name: &str) -> (Config, Arc<dyn Log>) {
    let (mut config, log) = program(name, LINES);
    config.exchange = ExchangeThrough::Topic;
    (config, log)
}

/// The dead letters of a program.
fn letters(log: &dyn Log, name: &str) -> Vec<RawChunk> {
    let at = TopicPartition::new(format!("{name}-dlq"), 0);
    let (mut next, end, mut all) = (log.start_offset(&at).unwrap(), log.end_offset(&at).unwrap(), vec![]);
    let mut reader = log.read(&at, next).unwrap();
    while next < end {
        let Some(fetched) = reader.next(std::time::Duration::from_millis(100)).unwrap() else { continue };
        next = fetched.next;
        all.push(fetched.records);
    }
    all
}

/// The keys of the dead letters, which say where their rows were going.
fn keys(log: &dyn Log, name: &str, edge: &str) -> Vec<u64> {
    let mut keys = vec![];
    for records in letters(log, name) {
        for record in records.iter() {
            let header = |wanted: &str| {
                let found =
                    record.headers.iter().find(|(name, _)| *name == format!("__tidegate.errors.{wanted}"));
                String::from_utf8_lossy(found.unwrap().1.unwrap()).into_owned()
            };
            assert_eq!(header("edge"), edge);
            assert!(header("upstream").starts_with("lines-") || header("upstream").parse::<u32>().is_ok());
            assert!(header("time").parse::<i64>().unwrap() > 0 && header("message").contains("no good"));
            assert!(record.value.is_some());
            keys.push(number(&codec::decode_key::<Text>(record.key.unwrap()).unwrap()));
        }
    }
    keys.sort_unstable();
    keys
}

/// Runs a program over lines; all that are not bad must come out once, and the rows of the bad ones as dead letters.
fn check(name: &str, edge: &str, build: impl Fn(&DStream<(Text, Text)>) -> DStream<(Text, Text)>) {
    let (config, log) = split(name);
    let ssc = StreamingContext::new(config);
    build(&lines(&ssc, "lines", BadRecordPolicy::DeadLetter)).to_kafka("out", Utf8, Utf8);
    ssc.run().unwrap();
    let good = (0..LINES).filter(|n| !is_bad(*n));
    assert!(numbers(log.as_ref(), "out").into_iter().eq(good), "all others, once");
    assert!(keys(log.as_ref(), name, edge).into_iter().eq((0..LINES).filter(|n| is_bad(*n))), "each, once");
}

#[test]
fn rows_that_fail_in_a_function_over_state_are_left_out() {
    check("rows-state", "checked.exchange", |lines| checked(lines).named("checked"));
}

#[test]
fn rows_that_fail_at_the_end_of_a_closing_are_left_out() {
    check("rows-end", "counts.exchange", |lines| {
        let counts = lines.map(|(line, _)| (line, 1u64)).running_reduce_by_key(|a, b| a + b).named("counts");
        counts.try_map(
            |(line, _)| if is_bad(number(&line)) { Err("no good") } else { Ok((line.clone(), line)) },
        )
    });
}

#[test]
fn rows_that_fail_behind_two_exchanges_are_left_out() {
    check("rows-deep", "checked.exchange", |lines| {
        let pass = |_: BatchTime, _: &u64, line: Option<Text>, _: &mut State<u64>| line;
        let by_end = lines.map(|(line, _)| (number(&line) % 7, line));
        checked(&keyed(&by_end.map_with_state(StateSpec::function(pass)).named("pass"))).named("checked")
    });
}

#[test]
fn state_is_that_of_the_other_rows_also_after_a_restart() {
    let (config, log) = split("rows-sums");
    let run = |topic: &str| {
        let ssc = StreamingContext::new(config.clone());
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
    };
    let last = |lines: u64| (0..lines).filter(|n| !is_bad(*n)).sum::<u64>();
    create(log.as_ref(), "more");
    run("more");
    let sums = numbers(log.as_ref(), "out");
    assert_eq!((sums.len() as u64, sums.last()), (LINES - LINES / 100, Some(&last(LINES))));

    write(log.as_ref(), "more", LINES..LINES + 1_000);
    run("more");
    assert_eq!(numbers(log.as_ref(), "out").last(), Some(&last(LINES + 1_000)));
}

#[test]
fn where_a_source_allows_no_failure_the_program_stops_and_says_at_which_row() {
    let (config, log) = split("rows-strict");
    create(log.as_ref(), "strict");
    write(log.as_ref(), "strict", [LINES, LINES + 42]);
    let ssc = StreamingContext::new(config);
    let strict = lines(&ssc, "strict", BadRecordPolicy::Fail);
    let both = lines(&ssc, "lines", BadRecordPolicy::DeadLetter).union(&strict);
    checked(&both).named("checked").to_kafka("out", Utf8, Utf8);
    let error = ssc.run().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Row(_)), "{text}");
    assert!(text.starts_with("a row of `checked.exchange` from strict-0, batch time "), "{text}");
    for part in ["key `4042", "no good", "\n  next: "] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!numbers(log.as_ref(), "out").contains(&(LINES + 42)));
}

#[test]
fn what_fails_in_a_closing_without_any_row_blames_none() {
    let (config, log) = split("rows-always");
    let fails = Arc::new(AtomicBool::new(false));
    let run = || {
        let (ssc, fails) = (StreamingContext::new(config.clone()), fails.clone());
        let keep = |_: BatchTime, _: &Text, line: Option<Text>, state: &mut State<u64>| {
            state.update(number(&line?));
            None::<()>
        };
        let states = lines(&ssc, "lines", BadRecordPolicy::DeadLetter)
            .map_with_state(StateSpec::function(keep))
            .named("states");
        let shown = states.state_snapshots().map(move |(line, n)| {
            assert!(!fails.load(Ordering::Relaxed), "the states cannot be shown");
            (line, n.to_string())
        });
        shown.to_kafka("out", Utf8, Utf8);
        ssc.run()
    };
    run().unwrap();
    assert!(numbers(log.as_ref(), "out").into_iter().collect::<BTreeSet<_>>().len() as u64 == LINES);
    fails.store(true, Ordering::Relaxed);
    write(log.as_ref(), "lines", 100..101);
    let error = run().unwrap_err();
    assert!(matches!(error, Error::Operator { .. }), "{error}");
    assert!(error.to_string().contains("panicked: the states cannot be shown"), "{error}");
    assert!(letters(log.as_ref(), "rows-always").is_empty());
}
