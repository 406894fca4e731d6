//! What only the embedded log must do: files, damage, locks, added partitions, timeouts of its own.

use crate::contract::{
    TestConsumer, at, committed, nobody, owned, producer_spec, read_all, record, rows, tp, transactional,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tidegate::{
    error::Reaction,
    log::{
        Log, TopicSpec,
        embedded::{Embedded, Fsync, Options, Time},
    },
    record::{Offset, RawChunkBuilder, RawRecord, TopicPartition},
};

fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec { name: name.into(), partitions, replication_factor: None, config: BTreeMap::new() }
}

fn open(dir: &Path) -> Arc<dyn Log> {
    Embedded::directory(dir, Options::default()).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "log"));
    all.sort();
    all
}

/// One commit: a record in each of two topics, and an offset with metadata.
fn commit(log: &Arc<dyn Log>, value: &str) {
    let mut consumer = TestConsumer::join(log, "group", "a", &["in"]);
    consumer.until("the partition is held", |s| s.holds().len() == 1);
    let mut producer = transactional(log, "writer", "group");
    producer.begin().unwrap();
    producer.send("a", at(0), &rows(&[("k", value)])).unwrap();
    producer.send("b", at(0), &rows(&[("k", value)])).unwrap();
    producer.commit(&[(tp("in", 0), committed(0, value))], &consumer.member.membership().unwrap()).unwrap();
}

fn values(log: &Arc<dyn Log>) -> (Vec<String>, Vec<String>, String) {
    let values = |at: &TopicPartition| read_all(log, at).into_iter().map(|(_, v)| v).collect();
    let consumer = TestConsumer::join(log, "group", "a", &["in"]);
    let metadata = consumer.member.committed(&[tp("in", 0)])().unwrap()[0].clone().map(|c| c.metadata);
    (values(&tp("a", 0)), values(&tp("b", 0)), metadata.unwrap_or_default())
}

fn three_commits(dir: &Path) -> (Vec<u8>, usize) {
    let log = open(dir);
    for topic in ["in", "a", "b"] {
        log.create(&spec(topic, 1)).unwrap();
    }
    commit(&log, "1");
    commit(&log, "2");
    let before = fs::metadata(&segments(dir)[0]).unwrap().len();
    commit(&log, "3");
    drop(log);
    (fs::read(&segments(dir)[0]).unwrap(), usize::try_from(before).unwrap())
}

fn list(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

#[test]
fn everything_is_still_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    three_commits(dir.path());
    let log = open(dir.path());
    assert_eq!(values(&log), (list(&["1", "2", "3"]), list(&["1", "2", "3"]), "3".into()));
    let id = log.describe(&["a"]).unwrap()[0].clone().unwrap().id;
    commit(&log, "4");
    drop(log);
    let log = open(dir.path());
    assert_eq!(values(&log).0, list(&["1", "2", "3", "4"]));
    assert_eq!(log.describe(&["a"]).unwrap()[0].clone().unwrap().id, id, "a topic keeps its identity");
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_log_continues() {
    let source = tempfile::tempdir().unwrap();
    let (bytes, before) = three_commits(source.path());
    for end in before..=bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(segments(source.path())[0].file_name().unwrap()), &bytes[..end]).unwrap();
        let opened = Embedded::directory(dir.path(), Options::default()).unwrap();
        let whole = end == bytes.len();
        assert_eq!(opened.cut_bytes(), if whole { 0 } else { (end - before) as u64 }, "cut at {end}");
        let log: Arc<dyn Log> = opened;
        let expected = if whole { list(&["1", "2", "3"]) } else { list(&["1", "2"]) };
        let last = expected.last().unwrap().clone();
        assert_eq!(values(&log), (expected.clone(), expected.clone(), last), "cut at {end}");
        commit(&log, "next");
        drop(log);
        let (a, ..) = values(&open(dir.path()));
        assert_eq!(a, [expected, list(&["next"])].concat(), "cut at {end}");
    }
}

#[test]
fn a_tail_of_zeros_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bytes, _) = three_commits(dir.path());
    bytes.extend([0; 5000]);
    fs::write(&segments(dir.path())[0], bytes).unwrap();
    let log = Embedded::directory(dir.path(), Options::default()).unwrap();
    assert_eq!(log.cut_bytes(), 5000);
    assert_eq!(values(&(log as Arc<dyn Log>)).0, list(&["1", "2", "3"]));
}

#[test]
fn damage_before_valid_commits_fails_the_open_with_file_and_position() {
    let source = tempfile::tempdir().unwrap();
    let (bytes, before) = three_commits(source.path());
    let name = segments(source.path())[0].file_name().unwrap().to_owned();
    for position in (0..before).step_by(7) {
        let dir = tempfile::tempdir().unwrap();
        let mut bad = bytes.clone();
        bad[position] ^= 0x10;
        let file = dir.path().join(&name);
        fs::write(&file, &bad).unwrap();
        let error = Embedded::directory(dir.path(), Options::default()).unwrap_err().to_string();
        assert!(error.contains(name.to_str().unwrap()), "{error}");
        assert!(error.contains("at position"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), bad, "nothing was touched");
    }
}

#[test]
fn a_copy_of_the_log_inside_a_record_is_not_mistaken_for_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = three_commits(dir.path());
    let log = open(dir.path());
    let mut chunk = RawChunkBuilder::default();
    chunk.push(record(None, Some(&bytes)));
    tidegate::log::write(&*log, "a", at(0), &chunk.build()).unwrap();
    drop(log);
    let file = segments(dir.path())[0].clone();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    // The torn record contains whole frames of this very log: the open must not lose them silently.
    let error = Embedded::directory(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("followed by a valid one"), "{error}");
    // Frames of another log mean nothing.
    let other = tempfile::tempdir().unwrap();
    let log = open(other.path());
    let mut chunk = RawChunkBuilder::default();
    chunk.push(record(None, Some(&bytes)));
    tidegate::log::write(&*log, "a", at(0), &chunk.build()).unwrap();
    drop(log);
    let file = segments(other.path())[0].clone();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert!(Embedded::directory(other.path(), Options::default()).unwrap().cut_bytes() > 0);
}

#[test]
fn a_missing_segment_fails_the_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = Embedded::directory(dir.path(), Options { segment_bytes: 1024, ..Options::default() }).unwrap();
    let value = "x".repeat(600);
    for _ in 0..4 {
        tidegate::log::write(&*log, "a", at(0), &rows(&[("k", &value)])).unwrap();
    }
    drop(log);
    let files = segments(dir.path());
    assert!(files.len() > 2, "{files:?}");
    fs::remove_file(&files[1]).unwrap();
    let error = Embedded::directory(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("the segment is missing"), "{error}");
}

#[test]
fn a_directory_in_use_by_another_process_is_refused_and_that_process_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let lock = fs::OpenOptions::new().write(true).open(dir.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    fs::write(dir.path().join("lock"), "4321").unwrap();
    let error = Embedded::directory(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("in use by process 4321") && error.contains("next:"), "{error}");
    drop(lock);
    open(dir.path());
}

#[test]
fn opening_a_name_twice_in_a_process_gives_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    let properties = BTreeMap::new();
    for name in [format!("embedded:{}", dir.path().display()), "memory:meet".to_owned()] {
        let one = tidegate::log::open(&name, &properties).unwrap();
        let two = tidegate::log::open(&name, &properties).unwrap();
        tidegate::log::write(&*one, "t", None, &rows(&[("k", "v")])).unwrap();
        assert_eq!(read_all(&two, &tp("t", 0)), owned(&[("k", "v")]), "{name}");
    }
    let other = tidegate::log::open("memory:other", &properties).unwrap();
    assert_eq!(other.describe(&["t"]).unwrap(), [None]);
    for bad in ["embedded:", "nonsense"] {
        assert!(tidegate::log::open(bad, &properties).is_err(), "{bad}");
    }
    let wrong = BTreeMap::from([("fsync".to_owned(), "sometimes".to_owned())]);
    let name = format!("embedded:{}", tempfile::tempdir().unwrap().path().display());
    let error = tidegate::log::open(&name, &wrong).err().unwrap().to_string();
    assert!(error.contains("fsync=sometimes"), "{error}");
}

#[test]
fn offsets_of_an_aborted_transaction_are_not_reused_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.create(&spec("t", 1)).unwrap();
    let mut producer = transactional(&log, "writer", "g");
    producer.begin().unwrap();
    producer.send("t", at(0), &rows(&[("a", "1"), ("b", "2")])).unwrap();
    producer.flush().unwrap();
    producer.abort().unwrap();
    assert_eq!(log.end_offset(&tp("t", 0)).unwrap(), Offset(2));
    drop((producer, log));
    let log = open(dir.path());
    assert_eq!(log.end_offset(&tp("t", 0)).unwrap(), Offset(2), "a reader may be positioned there");
    tidegate::log::write(&*log, "t", at(0), &rows(&[("c", "3")])).unwrap();
    assert_eq!(read_all(&log, &tp("t", 0)), owned(&[("c", "3")]));
}

#[test]
fn every_sync_policy_keeps_what_was_committed() {
    for fsync in [Fsync::Always, Fsync::Never, Fsync::Interval(Duration::from_millis(5))] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { fsync, ..Options::default() };
        let log: Arc<dyn Log> = Embedded::directory(dir.path(), options).unwrap();
        for i in 0..20 {
            tidegate::log::write(&*log, "t", at(0), &rows(&[("k", &i.to_string())])).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
        drop(log);
        assert_eq!(read_all(&open(dir.path()), &tp("t", 0)).len(), 20, "{fsync:?}");
    }
}

#[test]
fn partitions_added_later_are_assigned() {
    let log = Arc::new(Embedded::in_memory(Time::system()));
    log.create(&spec("t", 1)).unwrap();
    let shared: Arc<dyn Log> = log.clone();
    let mut consumer = TestConsumer::join(&shared, "g", "a", &["t", "later"]);
    consumer.until("the first is held", |s| s.holds().len() == 1);
    log.add_partitions("t", 3).unwrap();
    consumer.until("all are held", |s| s.holds().len() == 3);
    log.create(&spec("later", 2)).unwrap();
    consumer.until("those of the new topic too", |s| s.holds().len() == 5);
    assert!(log.add_partitions("missing", 2).is_err());
}

#[test]
fn a_silent_member_is_expelled_after_its_session_and_an_open_transaction_times_out() {
    let now = Arc::new(AtomicU64::new(0));
    let (wall, steady) = (now.clone(), now.clone());
    let time = Time::new(
        move || i64::try_from(wall.load(Ordering::SeqCst)).unwrap(),
        move || Duration::from_millis(steady.load(Ordering::SeqCst)),
    );
    let log: Arc<dyn Log> = Arc::new(Embedded::in_memory(time));
    log.create(&spec("t", 2)).unwrap();
    let mut a = TestConsumer::join(&log, "g", "a", &["t"]);
    a.member.poll().unwrap();
    let mut dead = log.producer(&producer_spec(Some("writer"), "g")).unwrap();
    dead.init().unwrap();
    dead.begin().unwrap();
    dead.send("t", at(0), &rows(&[("k", "gone")])).unwrap();
    dead.flush().unwrap();
    a.member.close(false);
    let mut b = TestConsumer::join(&log, "g", "b", &["t"]);
    let poll = |consumer: &mut TestConsumer| {
        let events = consumer.member.poll().unwrap();
        events.iter().filter(|e| matches!(e, tidegate::log::GroupEvent::Assigned(_))).count()
    };
    assert_eq!(poll(&mut b), 0, "the membership of `a` is kept");
    now.store(10_000, Ordering::SeqCst);
    assert_eq!(poll(&mut b), 1, "its session is over");
    tidegate::log::write(&*log, "t", at(0), &rows(&[("k", "behind")])).unwrap();
    let end = |log: &Arc<dyn Log>| {
        log.read(&tp("t", 0), Offset(0)).unwrap().next(Duration::ZERO).unwrap().map(|f| f.records.len())
    };
    assert_eq!(end(&log), None, "the open transaction hides what is behind it");
    now.store(30_000, Ordering::SeqCst);
    b.member.poll().unwrap();
    assert_eq!(end(&log), Some(1));
    assert!(dead.commit(&[], &nobody()).is_err(), "too late");
    assert_eq!(end(&log), Some(1));
}

#[test]
fn a_directory_log_keeps_its_records_on_disk_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut chunk = RawChunkBuilder::default();
    let value = vec![7u8; 100];
    for i in 0..200_000u32 {
        chunk.push(record(Some(&i.to_le_bytes()), Some(&value)));
    }
    let chunk = chunk.build();
    let start = Instant::now();
    let mut producer = transactional(&log, "w", "g");
    for from in (0..200_000).step_by(10_000) {
        producer.begin().unwrap();
        producer.send("t", at(0), &chunk.slice(from..from + 10_000)).unwrap();
        producer.commit(&[], &nobody()).unwrap();
    }
    let written = start.elapsed();
    drop((producer, log));
    let log = open(dir.path());
    let start = Instant::now();
    let mut reader = log.read(&tp("t", 0), Offset(0)).unwrap();
    let mut count = 0u32;
    while let Some(fetched) = reader.next(Duration::ZERO).unwrap() {
        for r in fetched.records.iter() {
            assert_eq!((r.offset, r.key), (Offset(u64::from(count)), Some(&count.to_le_bytes()[..])));
            count += 1;
        }
    }
    assert_eq!(count, 200_000);
    println!("200,000 records: written in {written:?}, read in {:?}", start.elapsed());
    // Nothing of it is in memory: when the file is gone, so are the records, and the reader names the place where
    // it looked.
    let file = segments(dir.path())[0].clone();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    let failure = log.read(&tp("t", 0), Offset(0)).unwrap().next(Duration::ZERO).unwrap_err();
    assert!(failure.message.contains(file.to_str().unwrap()), "{failure}");
    assert!(failure.message.contains("t-0 at offset 0"), "{failure}");
}

#[test]
fn compaction_keeps_the_last_record_of_each_key_and_all_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, clean_every: None, ..Options::default() };
    let open = || Embedded::directory(dir.path(), options).unwrap() as Arc<dyn Log>;
    let size = || segments(dir.path()).iter().map(|f| fs::metadata(f).unwrap().len()).sum::<u64>();
    let log = open();
    let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    log.create(&TopicSpec { config, ..spec("state", 1) }).unwrap();
    for topic in ["in", "a", "b"] {
        log.create(&spec(topic, 1)).unwrap();
    }
    let mut chunk = RawChunkBuilder::default();
    chunk.push(RawRecord { timestamp_ms: 1, ..record(Some(b"old tombstone"), None) });
    chunk.push(record(Some(b"young tombstone"), None));
    chunk.push(record(None, Some(b"without a key")));
    let first = rows(&[("old tombstone", "x"), ("young tombstone", "x"), ("once", "y")]);
    tidegate::log::write(&*log, "state", at(0), &first).unwrap();
    tidegate::log::write(&*log, "state", at(0), &chunk.build()).unwrap();
    for i in 0..200 {
        let value = format!("{i} {}", "x".repeat(50));
        tidegate::log::write(&*log, "state", at(0), &rows(&[("k", &value), ("l", &value)])).unwrap();
        if i % 20 == 0 {
            commit(&log, &i.to_string());
        }
    }
    let (end, before) = (log.end_offset(&tp("state", 0)).unwrap(), size());
    let whole = read_all(&log, &tp("state", 0));
    drop(log);
    let log = open();
    assert!(size() * 3 < before, "{} of {before} bytes are left", size());
    assert_eq!(log.end_offset(&tp("state", 0)).unwrap(), end);
    assert_eq!(log.start_offset(&tp("state", 0)).unwrap(), Offset(0));
    let left = read_all(&log, &tp("state", 0));
    assert_eq!(left[..3], owned(&[("once", "y"), ("young tombstone", "null"), ("null", "without a key")]));
    let last = |all: &[(String, String)]| all.iter().cloned().collect::<BTreeMap<_, _>>();
    let mut expected = last(&whole);
    expected.remove("old tombstone");
    assert_eq!(last(&left), expected);
    let all: Vec<String> = (0..200).step_by(20).map(|i: u32| i.to_string()).collect();
    assert_eq!(values(&log), (all.clone(), all, "180".into()), "other topics and offsets lose nothing");
    let after = size();
    drop(log);
    let log = open();
    assert!(after.abs_diff(size()) < 4096, "compacted again without need");
    assert_eq!(read_all(&log, &tp("state", 0)), left);
}

#[test]
fn retention_keeps_the_newest_records_and_what_a_group_has_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, clean_every: None, ..Options::default() };
    let open = || Embedded::directory(dir.path(), options).unwrap();
    let shared = open();
    let log: Arc<dyn Log> = shared.clone();
    let config = BTreeMap::from([("retention.bytes".to_owned(), "2000".to_owned())]);
    log.create(&TopicSpec { config, ..spec("t", 1) }).unwrap();
    log.create(&spec("in", 1)).unwrap();
    let read_by = |offset: u64| {
        let mut consumer = TestConsumer::join(&log, "group", "a", &["in"]);
        consumer.until("the partition is held", |s| s.holds().len() == 1);
        let mut producer = transactional(&log, "writer", "group");
        producer.begin().unwrap();
        producer
            .commit(&[(tp("t", 0), committed(offset, ""))], &consumer.member.membership().unwrap())
            .unwrap();
    };
    let fill = |from: u32| {
        (from..from + 200).for_each(|i| {
            let value = format!("{i} {}", "x".repeat(80));
            tidegate::log::write(&*log, "t", at(0), &rows(&[("k", &value)])).unwrap();
        });
    };
    read_by(50);
    fill(0);
    // A reader in the middle, with a batch from a file that is about to be replaced.
    let mut standing = log.read(&tp("t", 0), Offset(60)).unwrap();
    assert!(standing.next(Duration::ZERO).unwrap().is_some());
    assert!(shared.clean().unwrap(), "it pays");
    assert!(!shared.clean().unwrap(), "nothing is new");
    assert_eq!(log.start_offset(&tp("t", 0)).unwrap(), Offset(50), "the group is at 50");
    assert!(standing.next(Duration::ZERO).unwrap().is_none_or(|f| f.next.0 <= 200));

    read_by(400);
    fill(200);
    fill(400);
    assert!(shared.clean().unwrap());
    let start = log.start_offset(&tp("t", 0)).unwrap();
    let kept = read_all(&log, &tp("t", 0));
    assert!((Offset(300)..=Offset(400)).contains(&start), "{start}");
    assert_eq!(kept.len() as u64, 600 - start.0);
    let failure = log.read(&tp("t", 0), Offset(0)).unwrap().next(Duration::ZERO).unwrap_err();
    assert!(failure.message.contains("out of range"), "{failure}");
    let files = segments(dir.path()).len();
    (0..40).for_each(|_| {
        read_by(log.end_offset(&tp("t", 0)).unwrap().0);
        fill(0);
        shared.clean().unwrap();
    });
    assert!(segments(dir.path()).len() < files + 20, "{} files", segments(dir.path()).len());

    let end = log.end_offset(&tp("t", 0)).unwrap();
    let before = read_all(&log, &tp("t", 0));
    drop((standing, shared));
    drop(log);
    let log: Arc<dyn Log> = open();
    assert_eq!(log.end_offset(&tp("t", 0)).unwrap(), end);
    let after = read_all(&log, &tp("t", 0));
    assert!(after.len() * 2 > 20 && before.ends_with(&after), "the newest are still there");
}

#[test]
fn an_interrupted_compaction_is_finished_at_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, clean_every: None, ..Options::default() };
    let open = || Embedded::directory(dir.path(), options).unwrap();
    let log = open();
    let config = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    log.create(&TopicSpec { config, ..spec("t", 1) }).unwrap();
    for i in 0..300 {
        let value = format!("{i} {}", "x".repeat(80));
        tidegate::log::write(&*log, "t", at(0), &rows(&[(if i == 0 { "once" } else { "k" }, &value)]))
            .unwrap();
    }
    let old = segments(dir.path());
    let copies: Vec<_> = old.iter().map(|f| (f.clone(), fs::read(f).unwrap())).collect();
    assert!(old.len() > 3);
    assert!(log.clean().unwrap());
    let merged = segments(dir.path());
    assert!(merged.len() < old.len(), "segments were merged");
    let shared: Arc<dyn Log> = log;
    let expected = read_all(&shared, &tp("t", 0));
    drop(shared);
    // As if the process had died before it removed the merged files.
    let left: Vec<_> = copies.iter().filter(|(f, _)| !merged.contains(f)).collect();
    assert!(!left.is_empty());
    for (f, bytes) in left {
        fs::write(f, bytes).unwrap();
    }
    let log: Arc<dyn Log> = open();
    assert_eq!(segments(dir.path()), merged);
    assert_eq!(read_all(&log, &tp("t", 0)), expected);
    drop(log);
    // A segment that really is missing is still noticed.
    tidegate::log::write(&*open(), "t", at(0), &rows(&[("a", &"x".repeat(5000)), ("b", "y")])).unwrap();
    tidegate::log::write(&*open(), "t", at(0), &rows(&[("c", &"x".repeat(5000))])).unwrap();
    let files = segments(dir.path());
    assert!(files.len() >= 3, "{files:?}");
    fs::remove_file(&files[files.len() - 2]).unwrap();
    let error = Embedded::directory(dir.path(), options).unwrap_err().to_string();
    assert!(error.contains("the segment is missing"), "{error}");
}

#[test]
fn a_transaction_that_is_open_for_too_long_is_over_although_nobody_reads_or_polls() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.create(&spec("a", 1)).unwrap();
    let mut slow = producer_spec(Some("slow"), "none");
    slow.transaction_timeout = Duration::from_millis(20);
    for sends_more in [false, true] {
        let mut producer = log.producer(&slow).unwrap();
        producer.init().unwrap();
        producer.begin().unwrap();
        producer.send("a", at(0), &rows(&[("k", "1")])).unwrap();
        producer.flush().unwrap();
        std::thread::sleep(slow.transaction_timeout * 2);
        let late = if sends_more {
            producer.send("a", at(0), &rows(&[("k", "2")])).and_then(|()| producer.flush())
        } else {
            producer.commit(&[], &nobody())
        };
        let failure = late.unwrap_err();
        assert_eq!(failure.reaction, Reaction::RecreateProducer, "{failure}");
    }
    assert_eq!(read_all(&log, &tp("a", 0)), owned(&[]));
}
