//! Streaming SQL in simulated worlds: what is written is what the input says, whatever crashes.
//!
//! The queries are over the words of lines. Of an aggregate every row is judged, as the counts of a key increase; of everything else what
//! the output table holds in the end. Scripts are planned once; each incarnation builds its topology from them.

use crate::{
    count_words::WORD_COUNT,
    worlds::{Case, check, read, sweep_all, sweep_seeds, unexpected, world},
};
use std::{collections::BTreeMap, sync::LazyLock, time::Duration};
use tidegate::{
    config::ExchangeThrough,
    log::Log,
    plan::Topology,
    sim::{Faults, Outcome},
    sql::{Script, SourceText},
};

const TABLES: &str = "
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
CREATE TABLE counts (k STRING, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'raw', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
);
CREATE TABLE places (place BIGINT, v STRING, PRIMARY KEY (place) NOT ENFORCED) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'counts', 'key.format' = 'json', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
);
CREATE VIEW words AS SELECT unnest(string_to_array(line, ' ')) AS word FROM lines;
CREATE VIEW often AS SELECT word, count(*) AS n FROM words GROUP BY word;
";

/// A topology whose script is planned once.
macro_rules! planned {
    ($queries:expr) => {{
        static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
            let text = SourceText::new("q.sql", format!("{TABLES}{}", $queries));
            Script::parse(text).unwrap_or_else(|e| panic!("{e}"))
        });
        let mut topology = Topology::default();
        SCRIPT.build("app", &mut topology);
        topology
    }};
}

/// Each word is counted.
fn counts() -> Topology {
    planned!("INSERT INTO counts SELECT word, CAST(n AS STRING) FROM often;")
}

const COUNTS: Case = Case { topology: counts, ..WORD_COUNT };
const SHARED: Case =
    Case { processes: &["a", "b"], state_partitions: 4, exchange: ExchangeThrough::Shared, ..COUNTS };

#[test]
fn a_calm_world_counts_everything() {
    for case in [COUNTS, SHARED] {
        for seed in 0..10 {
            let outcome = check(case, seed, Faults::none(), false).unwrap();
            assert!(outcome.ended.is_empty(), "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_one_process() {
    sweep_all(COUNTS, 300);
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_two_processes() {
    sweep_all(SHARED, 300);
}

/// How often each word was written.
type Words = BTreeMap<String, u64>;
/// What a table holds.
type Rows = BTreeMap<String, String>;

/// The words that are written most, by their place.
fn top() -> Topology {
    planned!(
        "INSERT INTO places SELECT place, word || ' ' || CAST(n AS STRING) FROM (
             SELECT word, n, ROW_NUMBER() OVER (ORDER BY n DESC, word) AS place FROM often
         ) WHERE place <= 3;"
    )
}

fn top_of(words: &Words) -> Rows {
    let mut words: Vec<_> = words.iter().collect();
    words.sort_by_key(|(word, n)| (std::cmp::Reverse(**n), *word));
    let row = |(at, (word, n)): (usize, &(&String, &u64))| {
        (format!("{{\"place\":{}}}", at + 1), format!("{word} {n}"))
    };
    words.iter().take(3).enumerate().map(row).collect()
}

/// Each word with how often words of its length are written; words that are alone with their length, by themselves.
fn joined() -> Topology {
    planned!(
        "INSERT INTO counts SELECT a.word, CAST(a.n AS STRING) || ' ' || coalesce(CAST(b.n AS STRING), '-')
         FROM often AS a LEFT JOIN (
             SELECT character_length(word) AS length, sum(n) AS n FROM often GROUP BY character_length(word) HAVING count(*) > 1
         ) AS b ON character_length(a.word) = b.length;"
    )
}

fn joined_of(words: &Words) -> Rows {
    let of_length = |length| words.iter().filter(move |(word, _)| word.len() == length);
    let row = |(word, n): (&String, &u64)| {
        let others = match of_length(word.len()).count() {
            1 => "-".to_owned(),
            _ => of_length(word.len()).map(|(_, n)| n).sum::<u64>().to_string(),
        };
        (word.clone(), format!("{n} {others}"))
    };
    words.iter().map(row).collect()
}

/// Words that were written, but not often.
fn rare() -> Topology {
    planned!(
        "INSERT INTO counts SELECT word, 'rare' FROM (SELECT word FROM words EXCEPT SELECT word FROM often WHERE n > 3);"
    )
}

fn rare_of(words: &Words) -> Rows {
    words.iter().filter(|(_, n)| **n <= 3).map(|(word, _)| (word.clone(), "rare".to_owned())).collect()
}

/// What the output table holds: the last row of each key that was not taken back.
fn held(log: &dyn Log) -> Rows {
    let mut rows = Rows::new();
    for (key, value) in read(log, "counts", 4) {
        if value.is_empty() {
            rows.remove(&key);
        } else {
            rows.insert(key, value);
        }
    }
    rows
}

fn check_held(
    case: Case,
    expected: fn(&Words) -> Rows,
    seed: u64,
    faults: Faults,
    traced: bool,
) -> Result<Outcome, String> {
    let (mut world, words) = world(case, seed, faults, traced);
    let expected = expected(&words);
    let outcome = world.run(Duration::from_secs(600), |w| {
        w.now() > Duration::from_secs(8) && held(w.log().as_ref()) == expected
    });
    if traced {
        outcome.trace.iter().for_each(|line| println!("{line}"));
    }
    let found = held(world.log().as_ref());
    match unexpected(&outcome) {
        Some(what) => Err(format!("{what}; faults {:?}", outcome.fired)),
        None if found == expected => Ok(outcome),
        None => Err(format!(
            "the table holds {found:?}, expected {expected:?}; faults {:?}; ended {:?}",
            outcome.fired, outcome.ended
        )),
    }
}

fn sweep_held(topology: fn() -> Topology, expected: fn(&Words) -> Rows) {
    for base in [COUNTS, SHARED] {
        let case = Case { topology, ..base };
        check_held(case, expected, 0, Faults::none(), false).unwrap();
        sweep_seeds(100, &Faults::all(), |seed, traced| {
            check_held(case, expected, seed, Faults::all(), traced)
        });
    }
}

#[test]
fn every_seed_holds_the_first_rows_of_an_order() {
    sweep_held(top, top_of);
}

#[test]
fn every_seed_holds_an_outer_join_of_aggregates() {
    sweep_held(joined, joined_of);
}

#[test]
fn every_seed_holds_what_is_in_one_relation_and_not_in_another() {
    sweep_held(rare, rare_of);
}
