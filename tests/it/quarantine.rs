//! Databases that a program cannot trust: it moves them aside, once, and continues from the changelog.

use crate::on_disk::{bootstrap, context, counts, feed, owned};
use std::{collections::BTreeMap, fs, path::Path, process::Command};
use tidegate::{Config, StreamingContext, codec::AsText, config::Trigger};

/// Runs to the end of the input; returns how many databases were moved aside, according to the metric.
fn run(dir: &Path) -> u64 {
    let ssc = context(dir, Trigger::AvailableNow);
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    let metrics = ssc.metrics().unwrap().render();
    let line = metrics.lines().find(|line| line.starts_with("tidegate_quarantined_stores_total{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The names of everything that was moved aside, and why.
fn aside(dir: &Path) -> BTreeMap<String, String> {
    let folder = dir.join("state/word-count/partitions/quarantine");
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let (databases, notes): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    assert_eq!(databases.len(), notes.len());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let note = |path: &Path| fs::read_to_string(path.with_extension("txt")).unwrap();
    databases.iter().map(|path| (name(path), note(path))).collect()
}

const WORDS: &str = "a b c d e f g h i j k l m n o p";

/// How often each word was counted, according to its last row.
fn last(dir: &Path) -> BTreeMap<String, u64> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in counts(dir) {
        let most = last.entry(word).or_default();
        *most = (*most).max(count.parse().unwrap());
    }
    last
}

#[test]
fn a_damaged_database_is_moved_aside_and_the_counts_continue() {
    let dir = tempfile::tempdir().unwrap();
    feed(dir.path(), 0, &[("", WORDS)]);
    assert_eq!((run(dir.path()), aside(dir.path()).len()), (0, 0));
    let database = dir.path().join("state/word-count/partitions/2");
    let files = fs::read_dir(&database).unwrap().map(|entry| entry.unwrap().path());
    let manifest = files.max_by_key(|path| path.display().to_string().contains("MANIFEST-")).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&manifest).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    feed(dir.path(), 1, &[("", WORDS)]);
    assert_eq!(run(dir.path()), 1, "by the metric");
    assert!(last(dir.path()).values().all(|count| *count == 2), "{:?}", last(dir.path()));
    let moved = aside(dir.path());
    // Where the manifest is cut decides whether it is found damaged, or whole without a column family.
    let why = moved.get("2-1").map_or("", String::as_str);
    assert!(moved.len() == 1 && (why.contains("partitions/2") || why.contains("is missing")), "{moved:?}");
    feed(dir.path(), 0, &[("", WORDS)]);
    assert_eq!((run(dir.path()), aside(dir.path())), (0, moved), "once");
    assert_eq!(counts(dir.path()).len(), 3 * 16, "each word, each time");
    assert!(last(dir.path()).values().all(|count| *count == 3), "{:?}", last(dir.path()));
}

/// Yesterday's log was put back: what the databases recorded today was never committed there.
#[test]
fn databases_that_are_ahead_of_the_log_are_moved_aside() {
    let (dir, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    feed(dir.path(), 0, &[("", "a b c d")]);
    assert_eq!(run(dir.path()), 0);
    let (log, copy) = (dir.path().join("log"), restored.path().join("log"));
    assert!(Command::new("cp").arg("-a").args([&log, &copy]).status().unwrap().success());
    feed(dir.path(), 1, &[("", "a")]);
    assert_eq!(run(dir.path()), 0);
    assert_eq!(last(dir.path())["a"], 2);
    fs::rename(dir.path().join("state"), restored.path().join("state")).unwrap();

    let dir = restored;
    feed(dir.path(), 0, &[("", "a b")]);
    let moved = run(dir.path());
    let notes = aside(dir.path());
    assert!(moved > 0 && notes.len() as u64 == moved, "{moved}: {notes:?}");
    for note in notes.values() {
        assert!(note.starts_with("the database is ahead of the log: it holds batch "), "{note}");
        assert!(note.contains(", committed is "), "{note}");
    }
    let all = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "1"), ("d", "1")];
    assert_eq!(counts(dir.path()), owned(&all), "`a` was counted once in this log");
    feed(dir.path(), 1, &[("", "a b c d")]);
    assert_eq!((run(dir.path()), aside(dir.path())), (0, notes), "once");
    assert_eq!(last(dir.path()), [("a", 3), ("b", 3), ("c", 2), ("d", 2)].map(|(w, n)| (w.into(), n)).into());
}

/// Batches without input from the log and without a change of state still commit an offset, which must agree with the
/// database.
#[test]
fn output_without_state_puts_no_database_aside() {
    let dir = tempfile::tempdir().unwrap();
    let run = |batches: &[&str]| {
        let mut config = Config::new("queued", bootstrap(dir.path()));
        config.state_dir = Some(dir.path().join("state"));
        config.trigger = Trigger::AvailableNow;
        config.admin_bind = None;
        config.state_partitions = 2;
        let ssc = StreamingContext::new(config);
        let queue = tidegate::source::Queue::default();
        for batch in batches {
            queue.push(batch.split(' ').map(str::to_owned).collect());
        }
        let words = ssc.queue_stream(&queue, true);
        words.map(|word| (word, 1u64)).to_kafka("all", AsText, AsText);
        let kept = words.filter(|word| word.starts_with('s')).map(|word| (word, 1u64));
        kept.running_reduce_by_key(|a, b| a + b).to_kafka("counts", AsText, AsText);
        ssc.start().unwrap();
        ssc.await_termination().unwrap();
        ssc.metrics().unwrap().render()
    };
    run(&["s1 s2 s3 s4 s5 s6 s7 s8", "x", "y"]);
    let metrics = run(&["x", "s1"]);
    assert!(metrics.contains("tidegate_quarantined_stores_total{application_id=\"queued\"} 0"), "{metrics}");
    assert!(counts(dir.path()).contains(&("s1".into(), "2".into())), "{:?}", counts(dir.path()));
}
