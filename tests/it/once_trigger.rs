//! The trigger `once`: one batch per run, bounded like every batch; what is left over comes in the next run.

use crate::contract::{read_all, rows, tp};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};
use tidegate::{
    Config, SourceOptions, StreamingContext,
    codec::Utf8,
    config::Trigger,
    log::{self, TopicSpec},
    record::{Partition, Text},
    source::BadRecordPolicy,
};

fn bootstrap(dir: &Path) -> String {
    format!("embedded:{}", dir.join("log").display())
}

fn feed(dir: &Path, lines: &[&str]) {
    let log = log::open(&bootstrap(dir), &BTreeMap::new()).unwrap();
    for topic in ["lines", "out"] {
        let spec = TopicSpec {
            name: topic.into(),
            partitions: 1,
            replication_factor: None,
            config: BTreeMap::new(),
        };
        log.create(&spec).unwrap();
    }
    let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("", *line)).collect();
    log::write(&*log, "lines", Some(Partition(0)), &rows(&lines)).unwrap();
}

/// Runs the program; returns the records of each of its batches.
fn run(dir: &Path, configure: impl FnOnce(&mut Config)) -> Vec<usize> {
    let mut config = Config::new("app", bootstrap(dir));
    (config.trigger, config.admin_bind, config.threads) = (Trigger::Once, None, 1);
    config.state_dir = Some(dir.join("state"));
    configure(&mut config);
    let ssc = StreamingContext::new(config);
    let lines = ssc.source::<Text>(SourceOptions::topic("lines").on_bad_record(BadRecordPolicy::Skip), Utf8);
    let lines = lines.map(|line| {
        assert!(&*line != "bad", "a bad line");
        (line.clone(), line)
    });
    lines.to_kafka("out", Utf8, Utf8);
    let batches: Arc<Mutex<Vec<usize>>> = Arc::default();
    let into = batches.clone();
    ssc.add_listener(move |report| into.lock().unwrap().push(report.counters.records_in));
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    batches.lock().unwrap().clone()
}

fn written(dir: &Path) -> usize {
    let log = log::open(&bootstrap(dir), &BTreeMap::new()).unwrap();
    read_all(&log, &tp("out", 0)).len()
}

#[test]
fn a_run_is_one_batch_of_the_available_input() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), &vec!["x"; 20_000]);
    assert_eq!(run(dir.path(), |_| {}), [20_000]);
    assert_eq!(run(dir.path(), |_| {}), [0; 0], "nothing new");
    feed(dir.path(), &["x"; 10]);
    assert_eq!(run(dir.path(), |_| {}), [10]);
    assert_eq!(written(dir.path()), 20_010);
}

#[test]
fn input_beyond_the_limit_is_left_for_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), &["x"; 250]);
    for taken in [vec![100], vec![100], vec![50], vec![]] {
        assert_eq!(run(dir.path(), |c| c.batch_records_max = 100), taken);
    }
    assert_eq!(written(dir.path()), 250);
}

/// The batch is cut into smaller ones while the failing record is searched for; the run continues until it is whole
/// again or nothing is left.
#[test]
fn a_failing_record_does_not_end_the_run_early() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), &["a", "b", "bad", "c", "d", "e"]);
    run(dir.path(), |_| {});
    assert_eq!(written(dir.path()), 5);
}
