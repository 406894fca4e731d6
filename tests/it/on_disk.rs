//! A whole program through its context: the embedded log in a directory, state in RocksDB, across restarts and lost
//! state.

use crate::contract::{read_all, rows, tp, until};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};
use tidegate::{
    Config, Result, StreamingContext,
    codec::{AsText, Utf8},
    config::{StartingOffsets, Trigger},
    log::{self, TopicSpec},
    record::Partition,
};

pub fn bootstrap(dir: &Path) -> String {
    format!("embedded:{}", dir.join("log").display())
}

pub fn feed(dir: &Path, partition: u32, lines: &[(&str, &str)]) {
    let log = log::open(&bootstrap(dir), &BTreeMap::new()).unwrap();
    let spec =
        TopicSpec { name: "lines".into(), partitions: 2, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
    log::write(&*log, "lines", Some(Partition(partition)), &rows(lines)).unwrap();
}

pub fn context(dir: &Path, trigger: Trigger) -> StreamingContext {
    let mut config = Config::new("word-count", bootstrap(dir));
    config.state_dir = Some(dir.join("state"));
    config.trigger = trigger;
    config.admin_bind = None;
    config.state_partitions = 4;
    let ssc = StreamingContext::new(config);
    let words = ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| (word, 1u64));
    words.running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
    ssc
}

fn run(dir: &Path) -> Result {
    let ssc = context(dir, Trigger::AvailableNow);
    ssc.start()?;
    ssc.await_termination()
}

/// All rows of the output, sorted.
pub fn counts(dir: &Path) -> Vec<(String, String)> {
    let log = log::open(&bootstrap(dir), &BTreeMap::new()).unwrap();
    let mut all: Vec<_> = (0..4).flat_map(|p| read_all(&log, &tp("counts", p))).collect();
    all.sort();
    all
}

pub fn owned(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn counts_continue_across_restarts_and_after_the_state_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, &[("", "a b a")]);
    run(dir.path()).unwrap();
    assert_eq!(counts(dir.path()), owned(&[("a", "2"), ("b", "1")]));
    feed(dir.path(), 1, &[("", "a c")]);
    run(dir.path()).unwrap();
    let second = owned(&[("a", "2"), ("a", "3"), ("b", "1"), ("c", "1")]);
    assert_eq!(counts(dir.path()), second);
    run(dir.path()).unwrap();
    assert_eq!(counts(dir.path()), second, "nothing new, nothing written");
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    feed(dir.path(), 0, &[("", "a")]);
    run(dir.path()).unwrap();
    let third = owned(&[("a", "2"), ("a", "3"), ("a", "4"), ("b", "1"), ("c", "1")]);
    assert_eq!(counts(dir.path()), third);
}

#[test]
fn a_running_program_processes_new_input_and_stops_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, &[("", "a")]);
    let ssc = context(dir.path(), Trigger::AsSoonAsPossible);
    ssc.start().unwrap();
    let wait_for = |rows: &[(&str, &str)]| {
        let seen = || log::open(&bootstrap(dir.path()), &BTreeMap::new()).unwrap();
        crate::contract::until("the output is there", || {
            seen().describe(&["counts"]).unwrap()[0].is_some() && counts(dir.path()) == owned(rows)
        });
    };
    wait_for(&[("a", "1")]);
    feed(dir.path(), 1, &[("", "a b")]);
    wait_for(&[("a", "1"), ("a", "2"), ("b", "1")]);
    ssc.stop(false);
    ssc.await_termination().unwrap();
}

#[test]
fn a_first_run_from_the_latest_offsets_keeps_its_position_even_without_input() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, &[("", "before")]);
    let run_latest = || {
        let mut config = Config::new("latest", bootstrap(dir.path()));
        config.state_dir = Some(dir.path().join("state"));
        config.trigger = Trigger::AvailableNow;
        config.admin_bind = None;
        config.starting_offsets = tidegate::config::StartingOffsets::Latest;
        let ssc = StreamingContext::new(config);
        ssc.text("lines").map(|line| (line, 1)).to_kafka("counts", Utf8, AsText);
        ssc.start().unwrap();
        ssc.await_termination().unwrap();
    };
    run_latest();
    feed(dir.path(), 0, &[("", "after")]);
    run_latest();
    assert_eq!(counts(dir.path()), owned(&[("after", "1")]));
}

#[test]
fn every_interval_yields_a_batch_even_without_input() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, &[("", "x")]);
    let mut config = Config::new("ticks", bootstrap(dir.path()));
    config.state_dir = Some(dir.path().join("state"));
    config.trigger = Trigger::Interval(Duration::from_millis(20));
    config.admin_bind = None;
    let ssc = StreamingContext::new(config);
    // Without new values the state counts batches.
    let ticks =
        ssc.text("lines").map(|l| (l, ())).update_state_by_key(|_, n: Option<u64>| Some(n.unwrap_or(0) + 1));
    ticks.to_kafka("counts", Utf8, AsText);
    ssc.start().unwrap();
    crate::contract::until("several batches without input", || {
        let log = log::open(&bootstrap(dir.path()), &BTreeMap::new()).unwrap();
        log.describe(&["counts"]).unwrap()[0].is_some() && counts(dir.path()).len() >= 5
    });
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let mut ticks: Vec<u64> = counts(dir.path()).iter().map(|(_, n)| n.parse().unwrap()).collect();
    ticks.sort_unstable();
    assert_eq!(ticks, (1..=ticks.len() as u64).collect::<Vec<_>>(), "each batch once");
}

/// Without an interval nothing else makes a batch while no record comes, and what comes while the program is down would
/// be passed over.
#[test]
fn a_first_start_at_the_end_commits_where_it_is_although_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, &[("", "old")]);
    let start = || {
        let mut config = Config::new("latest", bootstrap(dir.path()));
        config.starting_offsets = StartingOffsets::Latest;
        config.trigger = Trigger::AsSoonAsPossible;
        config.admin_bind = None;
        let ssc = StreamingContext::new(config);
        ssc.text("lines").map(|line| (line, 1u64)).to_kafka("counts", Utf8, AsText);
        ssc.start().unwrap();
        ssc
    };
    let ssc = start();
    until("it has committed", || {
        let metrics = ssc.metrics().unwrap().render();
        let line =
            metrics.lines().find(|l| l.contains("tidegate_checkpoints_total") && l.contains("committed"));
        line.is_some_and(|line| !line.ends_with(" 0"))
    });
    ssc.stop(false);
    ssc.await_termination().unwrap();
    feed(dir.path(), 0, &[("", "between")]);
    let ssc = start();
    until("what came meanwhile is processed", || !counts(dir.path()).is_empty());
    ssc.stop(false);
    ssc.await_termination().unwrap();
    assert_eq!(counts(dir.path()), owned(&[("between", "1")]));
}
