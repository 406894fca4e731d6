//! Programs of several shapes in simulated worlds: a running word count, one without state in two processes, one with a join.

use crate::worlds::{Case, check, check_and_look, content, sweep_all};
use std::{collections::BTreeSet, time::Duration};
use tidegate::{
    DStream, SourceOptions,
    codec::{AsText, Utf8},
    config::{ExchangeThrough, StartingOffsets},
    dstream::StreamBuilder,
    plan::Topology,
    record::Text,
    sim::{Fault, Faults},
};

pub fn lines(builder: &StreamBuilder) -> DStream<Text> {
    builder.source::<Text>(SourceOptions::topic("lines"), Utf8, std::panic::Location::caller())
}

pub fn words(builder: &StreamBuilder) -> DStream<Text> {
    lines(builder).flat_map(|line| line.split(' ')).filter(|word| !word.is_empty())
}

fn word_count() -> Topology {
    let builder = StreamBuilder::default();
    let counts = words(&builder).map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
    counts.to_kafka("counts", Utf8, AsText);
    builder.topology()
}

pub const WORD_COUNT: Case = Case {
    topology: word_count,
    counted: |line| line.split(' ').map(str::to_owned).collect(),
    processes: &["a"],
    state_partitions: 2,
    exchange: ExchangeThrough::Memory,
    starting: StartingOffsets::Earliest,
    batch_records_max: usize::MAX,
};

fn each_line() -> Topology {
    let builder = StreamBuilder::default();
    let all = lines(&builder).filter(|line| !line.is_empty()).map(|line| (line, 1u64));
    all.to_kafka("counts", Utf8, AsText);
    builder.topology()
}

/// Every line is different, so a line that comes out twice does not increase.
pub const STATELESS: Case = Case {
    topology: each_line,
    counted: |line| vec![line.to_owned()],
    processes: &["a", "b"],
    state_partitions: 2,
    exchange: ExchangeThrough::Memory,
    starting: StartingOffsets::Earliest,
    batch_records_max: usize::MAX,
};

/// The words of each batch are counted and joined with their lengths, then counted by length over all batches.
fn words_by_length() -> Topology {
    let builder = StreamBuilder::default();
    let words = words(&builder);
    let counts = words.map(|word| (word, 1u64)).reduce_by_key(|a, b| a + b).named("counts");
    let lengths = words
        .map(|word| (word.clone(), word.len() as u64))
        .reduce_by_key(|length, _| length)
        .named("lengths");
    let by_length = counts.join(&lengths).map(|(_, (count, length))| (length, count));
    by_length.running_reduce_by_key(|a, b| a + b).to_kafka("counts", AsText, AsText);
    builder.topology()
}

pub const JOIN: Case = Case {
    topology: words_by_length,
    counted: |line| line.split(' ').map(|word| word.len().to_string()).collect(),
    processes: &["a"],
    state_partitions: 2,
    exchange: ExchangeThrough::Memory,
    starting: StartingOffsets::Earliest,
    batch_records_max: usize::MAX,
};

#[test]
fn a_calm_world_counts_everything() {
    for case in [WORD_COUNT, STATELESS, JOIN] {
        let outcome = check(case, 1, Faults::none(), false).unwrap();
        assert!(outcome.fired.is_empty() && outcome.ended.is_empty(), "{outcome:?}");
    }
}

#[test]
fn every_seed_counts_every_word_exactly_once() {
    sweep_all(WORD_COUNT, 10_000);
}

#[test]
fn every_seed_passes_every_line_on_exactly_once_without_state() {
    sweep_all(STATELESS, 3_000);
}

#[test]
fn every_seed_joins_and_counts_over_two_exchanges_exactly_once() {
    sweep_all(JOIN, 2_000);
}

/// Losing the membership without there being a newer process ends no process.
#[test]
fn a_process_that_is_fenced_by_itself_continues() {
    let mut fired = 0;
    for case in [WORD_COUNT, STATELESS] {
        for seed in 0..100 {
            let mut faults = Faults::none().with(Fault::FencedByItself, 20_000);
            faults.calm_after = Duration::from_secs(30);
            let outcome = check(case, seed, faults, false).unwrap();
            fired += outcome.fired.get(&Fault::FencedByItself).copied().unwrap_or(0);
            assert!(outcome.ended.is_empty(), "seed {seed}: {:?}", outcome.ended);
        }
    }
    assert!(fired > 100, "fired only {fired} times");
}

/// In every call and its time, and in every byte of every topic.
#[test]
fn two_runs_of_a_seed_agree() {
    for case in [WORD_COUNT, STATELESS, JOIN] {
        let mut contents = BTreeSet::new();
        for seed in 0..20 {
            let run = || {
                let (o, content) = check_and_look(case, seed, Faults::all(), false, content).unwrap();
                (o.trace_hash, o.calls, o.time, content)
            };
            let first = run();
            assert_eq!(first, run(), "seed {seed}");
            contents.insert(first.3);
        }
        assert_eq!(contents.len(), 20, "each seed has topics of its own");
    }
}
