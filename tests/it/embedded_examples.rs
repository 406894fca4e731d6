//! The examples that read topics, as processes on the embedded log: killed in the middle, restarted, and right to
//! the last record.

use crate::{
    contract::{TestConsumer, read_all, record, tp},
    programs::{Process, example},
};
use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};
use tidegate::{
    log::{
        Log, TopicSpec,
        embedded::{Embedded, Options},
    },
    record::{Partition, RawChunkBuilder},
};

const PARTITIONS: u32 = 4;
const RECORDS: u64 = 200_000;

/// The log of a program that is not running.
fn open(dir: &Path) -> Arc<dyn Log> {
    Embedded::directory(dir.join("log"), Options::default()).unwrap()
}

fn feed(dir: &Path, from: u64, to: u64, value: impl Fn(u64) -> String) {
    let log = open(dir);
    for topic in ["in", "out"] {
        let config = BTreeMap::new();
        log.create(&TopicSpec {
            name: topic.into(),
            partitions: PARTITIONS,
            replication_factor: None,
            config,
        })
        .unwrap();
    }
    for partition in 0..PARTITIONS {
        let mut rows = RawChunkBuilder::default();
        for n in (from..to).filter(|n| n % u64::from(PARTITIONS) == u64::from(partition)) {
            rows.push(record(Some(n.to_string().as_bytes()), Some(value(n).as_bytes())));
        }
        tidegate::log::write(&*log, "in", Some(Partition(partition)), &rows.build()).unwrap();
    }
}

fn start(program: &str, dir: &Path, more: &[&str]) -> Process {
    Process::start(&mut command(program, dir, more))
}

fn command(program: &str, dir: &Path, more: &[&str]) -> Command {
    let mut command = example(program);
    command.arg("--bootstrap").arg(format!("embedded:{}", dir.join("log").display()));
    command.arg("--state-dir").arg(dir.join("state"));
    command.args(["--input", "in", "--output", "out", "--application-id", "app"]);
    command.args(["--admin-bind", "off", "--log-level", "debug", "--batch-interval-ms", "20"]).args(more);
    command
}

/// Kills the program between its first batch and its last, then lets it finish; returns how many records were read
/// at the kill.
fn kill_and_finish(program: &str, dir: &Path, look: impl Fn(&Arc<dyn Log>)) -> u64 {
    let mut run = start(program, dir, &[]);
    run.until("a batch with records is done", |p| {
        p.err().lines().any(|l| l.contains("tidegate::batch") && !l.contains("records=0 "))
    });
    run.kill();
    let inputs: Vec<_> = (0..PARTITIONS).map(|p| tp("in", p)).collect();
    let log = open(dir);
    let consumer = TestConsumer::join(&log, "app", "oracle", &[]);
    let read = consumer.member.committed(&inputs)().unwrap();
    look(&log);
    drop((consumer, log));
    let mut run = start(program, dir, &["--available-now"]);
    run.until("everything that was there is processed", |_| true);
    while !run.has_ended() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    read.into_iter().map(|c| c.map_or(0, |c| c.offset.0)).sum()
}

fn outputs(log: &Arc<dyn Log>) -> Vec<(String, String)> {
    (0..PARTITIONS).flat_map(|p| read_all(log, &tp("out", p))).collect()
}

/// Ten words, some of which are frequent.
fn line(n: u64) -> String {
    (0..10).map(|w| format!("w{}", (n * 31 + w * w * n) % (7 + n % 1000))).collect::<Vec<_>>().join(" ")
}

#[test]
fn words_are_counted_once_across_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, RECORDS, line);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for n in 0..RECORDS {
        line(n).split(' ').for_each(|word| *expected.entry(word.to_owned()).or_default() += 1);
    }
    let rising = |log: &Arc<dyn Log>| {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in outputs(log) {
            let count: u64 = count.parse().unwrap();
            let before = last.insert(word.clone(), count);
            assert!(before.is_none_or(|b| b < count), "{word}: {count} after {before:?}");
            assert!(count <= expected[&word], "{word}: {count}");
        }
        last
    };
    let read = kill_and_finish("kafka_word_count", dir.path(), |log| drop(rising(log)));
    assert!(read > 0 && read < RECORDS, "{read} records were read at the kill");
    assert_eq!(rising(&open(dir.path())), expected);
}

fn price(n: u64) -> u64 {
    n * 7919 % 100
}

fn event(n: u64) -> String {
    let price = price(n);
    format!(r#"{{"id":{n},"user":"u{}","item":"i","price":{price}.5,"ts":{n},"page":"/p"}}"#, n % 50)
}

#[test]
fn events_are_filtered_once_across_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, RECORDS, event);
    let read = kill_and_finish("filter_project", dir.path(), |_| ());
    assert!(read > 0 && read < RECORDS, "{read} records were read at the kill");
    let mut kept: Vec<u64> = vec![];
    for (key, value) in outputs(&open(dir.path())) {
        let n: u64 = key.parse().unwrap();
        let expected = format!(r#"{{"id":{n},"user":"u{}","price":{}.5,"ts":{n}}}"#, n % 50, price(n));
        assert_eq!(value, expected);
        kept.push(n);
    }
    kept.sort_unstable();
    assert_eq!(kept, (0..RECORDS).filter(|n| price(*n) >= 50).collect::<Vec<_>>(), "each once");
}

/// Runs under `script`, which is a terminal; without one nothing is shown.
#[test]
fn a_terminal_shows_a_progress_line() {
    let (seen, unseen) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&seen, &unseen] {
        feed(dir.path(), 0, 4_000, event);
    }
    let mut piped = start("filter_project", unseen.path(), &[]);
    let program = command("filter_project", seen.path(), &[]);
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    let line = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let mut on_terminal = Process::start(Command::new("script").args(["-qefc", &line, "/dev/null"]));
    on_terminal.until("a line of progress is shown", |p| {
        let out = p.out();
        let line = out.lines().find_map(|l| l.split_once("4,000 in, 2,000 out | "));
        line.is_some_and(|(_, rest)| rest.contains("/s | lag 0 | last checkpoint "))
    });
    piped.until("the other runs just as long", |p| p.err().contains("tidegate::batch"));
    assert!(!piped.err().contains(" in, "), "{}", piped.err());
    piped.end();
}
