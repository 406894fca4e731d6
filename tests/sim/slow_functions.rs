//! Functions that take long: a backlog takes many times the transaction timeout and the session to compute, beside an
//! output that is known from the beginning of each batch. Every world comes to its end all the same.

use crate::worlds::{Case, check, sweep_all, work};
use std::time::Duration;
use tidegate::{
    SourceOptions,
    codec::{AsText, Utf8},
    dstream::StreamBuilder,
    plan::Topology,
    record::Text,
    sim::Faults,
};

/// For each word in each of the two stages; there are about a hundred words.
const COST: Duration = Duration::from_millis(100);

fn slow_word_count() -> Topology {
    let builder = StreamBuilder::default();
    let lines = builder.source::<Text>(SourceOptions::topic("lines"), Utf8, std::panic::Location::caller());
    lines.map(|line| (line.clone(), line)).to_kafka("seen", Utf8, Utf8);
    let words = lines.flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
    let pairs = words.map(|word| {
        work(COST);
        (word, 1u64)
    });
    let counts = pairs.running_reduce_by_key(|a, b| a + b).map(|row| {
        work(COST);
        row
    });
    counts.to_kafka("counts", Utf8, AsText);
    builder.topology()
}

const SLOW: Case = Case {
    topology: slow_word_count,
    counted: |line| line.split(' ').map(str::to_owned).collect(),
    processes: &["a"],
};

#[test]
fn a_calm_world_of_slow_functions_comes_to_its_end() {
    for seed in 0..20 {
        let outcome = check(SLOW, seed, Faults::none(), false).unwrap();
        assert!(outcome.ended.is_empty(), "{outcome:?}");
    }
}

#[test]
fn every_seed_of_slow_functions_counts_every_word_exactly_once() {
    sweep_all(SLOW, 1_000);
}
