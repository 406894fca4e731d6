//! What the embedded log removes while it is in use: little of what was read is kept, and nothing is removed that
//! was not.

use crate::contract::{nobody, read_all, record, tp, unique, until};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate::{
    StreamingContext,
    log::{
        Log, TopicSpec,
        embedded::{Embedded, Options, Time},
    },
    record::{Offset, RawChunkBuilder},
    source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
};

const ROWS: u64 = 200_000;
/// How many rows may be waiting to be counted.
const AHEAD: u64 = 20_000;

/// Supplies numbered rows of 100 bytes, continuing where the previous runs ended, some of them ahead of the count.
struct Numbers {
    stored: Arc<AtomicU64>,
    counted: Arc<AtomicU64>,
    until: u64,
}

impl Receiver<String> for Numbers {
    fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
        while !to.is_stopped() {
            let first = self.stored.load(Ordering::SeqCst);
            if first >= self.until || first >= self.counted.load(Ordering::SeqCst) + AHEAD {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            to.store_all((first..first + 500).map(|n| format!("{n:0>100}")).collect())?;
            self.stored.store(first + 500, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Counts numbers by their last two digits, and records what `kept` returns after each batch.
struct Counting {
    stored: Arc<AtomicU64>,
    counted: Arc<AtomicU64>,
    sums: Arc<Mutex<BTreeMap<String, u64>>>,
    kept: Arc<Mutex<Vec<u64>>>,
}

impl Counting {
    fn new() -> Self {
        Counting {
            stored: Arc::default(),
            counted: Arc::default(),
            sums: Arc::default(),
            kept: Arc::default(),
        }
    }

    /// Runs a program until it has counted this many rows in total.
    fn run(
        &self,
        bootstrap: &str,
        state: Option<&Path>,
        until_rows: u64,
        kept: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let ssc = StreamingContext::builder("numbers")
            .log(bootstrap)
            .batch_interval(Duration::from_millis(20))
            .threads(2)
            .configure(|c| {
                c.admin_bind = None;
                c.state_dir = state.map(Path::to_owned);
                c.properties = BTreeMap::from([("segment.bytes".to_owned(), "262144".to_owned())])
                    .into_iter()
                    .filter(|_| state.is_some())
                    .collect();
            })
            .build();
        let (stored, counted) = (self.stored.clone(), self.counted.clone());
        let numbers = Numbers { stored, counted, until: until_rows };
        let rows = ssc.receiver_stream("numbers", numbers, StorageLevel::Log);
        let counts = rows.map(|n| (n[98..].to_owned(), 1u64)).running_reduce_by_key(|a, b| a + b);
        let (sums, counted, seen) = (self.sums.clone(), self.counted.clone(), self.kept.clone());
        counts.foreach_rdd(move |rdd, _| {
            let mut sums = sums.lock().unwrap();
            sums.extend(rdd.collect());
            counted.store(sums.values().sum(), Ordering::SeqCst);
            seen.lock().unwrap().push(kept());
        });
        ssc.start().unwrap();
        until("the rows are counted", || {
            assert!(ssc.is_running(), "{:?}", ssc.await_termination());
            self.counted.load(Ordering::SeqCst) >= until_rows
        });
        ssc.stop(false);
        ssc.await_termination().unwrap();
    }

    fn is_right(&self) {
        let each: Vec<u64> = self.sums.lock().unwrap().values().copied().collect();
        assert_eq!(each, vec![ROWS / 100; 100], "each row once");
    }

    fn most_kept(&self) -> u64 {
        self.kept.lock().unwrap().iter().copied().max().unwrap()
    }
}

#[test]
fn a_program_that_receives_forever_keeps_little_in_memory() {
    let name = unique("receives");
    let (counting, log) = (Counting::new(), Embedded::named(&name));
    counting.run(&format!("memory:{name}"), None, ROWS, move || log.kept_bytes());
    counting.is_right();
    // 20 MB of rows; at most 3 MB of them are waiting, and a compacted partition is scanned once it has 1 MiB of
    // new bytes.
    assert!(counting.most_kept() < 8 << 20, "{} bytes", counting.most_kept());
}

fn bytes_of(dir: &Path) -> u64 {
    // Files may disappear while they are counted.
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
}

#[test]
fn a_program_that_receives_forever_keeps_little_on_disk_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (log, state) = (dir.path().join("log"), dir.path().join("state"));
    let (counting, bootstrap) = (Counting::new(), format!("embedded:{}", log.display()));
    for until_rows in [ROWS / 2, ROWS] {
        let log = log.clone();
        counting.run(&bootstrap, Some(&state), until_rows, move || bytes_of(&log));
    }
    counting.is_right();
    // 20 MB of rows. Every second it is checked whether compaction pays.
    assert!(counting.most_kept() > 1 << 20, "the log is elsewhere");
    println!("{}", counting.most_kept());
    let log = Embedded::directory(&log, Options::default()).unwrap();
    log.clean().unwrap();
    let bytes = bytes_of(&dir.path().join("log"));
    assert!(bytes < 4 << 20, "{bytes} bytes");
}

fn consumed_only(log: &dyn Log, bytes: u64) {
    let config = [("retention.bytes", bytes.to_string()), ("delete.consumed.only", "true".to_owned())];
    let config = config.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let spec = TopicSpec { name: "t".into(), partitions: 1, replication_factor: None, config };
    log.create(&spec).unwrap();
}

/// Writes rows with the numbers as keys, ten per commit.
fn fill(log: &dyn Log, numbers: std::ops::Range<u64>) {
    for first in numbers.step_by(10) {
        let mut rows = RawChunkBuilder::default();
        for n in first..first + 10 {
            rows.push(record(Some(n.to_string().as_bytes()), Some(&[b'x'; 90])));
        }
        tidegate::log::write(log, "t", crate::contract::at(0), &rows.build()).unwrap();
    }
}

fn numbers(log: &Arc<dyn Log>) -> Vec<u64> {
    read_all(log, &tp("t", 0)).iter().map(|(key, _)| key.parse().unwrap()).collect()
}

#[test]
fn nothing_is_removed_that_a_reader_has_not_passed() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options { segment_bytes: 4096, clean_every: None, ..Options::default() };
    let directory = Embedded::directory(dir.path(), small).unwrap();
    for log in [Arc::new(Embedded::in_memory(Time::system())), directory] {
        let (kept, clean) = (log.clone(), log.clone());
        let log: Arc<dyn Log> = log;
        consumed_only(&*log, 0);
        fill(&*log, 0..1000);
        clean.clean().unwrap();
        assert_eq!(numbers(&log), (0..1000).collect::<Vec<_>>(), "nobody has reported a position");
        log.passed("slow", &tp("t", 0), Offset(105)).unwrap();
        log.passed("fast", &tp("t", 0), Offset(1000)).unwrap();
        clean.clean().unwrap();
        assert_eq!(log.start_offset(&tp("t", 0)).unwrap(), Offset(105));
        assert_eq!(numbers(&log), (105..1000).collect::<Vec<_>>());
        let before = kept.kept_bytes();
        log.passed("slow", &tp("t", 0), Offset(1000)).unwrap();
        assert_eq!(numbers(&log), (990..1000).collect::<Vec<_>>(), "the last commit stays");
        assert!(kept.kept_bytes() * 20 < before, "{} of {before} bytes", kept.kept_bytes());
        assert_eq!(log.end_offset(&tp("t", 0)).unwrap(), Offset(1000));
    }
}

#[test]
fn offsets_of_a_group_count_as_passed() {
    let log: Arc<dyn Log> = Arc::new(Embedded::in_memory(Time::system()));
    consumed_only(&*log, 1500);
    fill(&*log, 0..100);
    let mut producer = log.producer(&crate::contract::producer_spec(Some("writer"), "group")).unwrap();
    producer.init().unwrap();
    producer.begin().unwrap();
    let offset = [(tp("t", 0), crate::contract::committed(100, ""))];
    producer.commit(&offset, &nobody()).unwrap();
    assert_eq!(numbers(&log), (90..100).collect::<Vec<_>>(), "the newest 1500 bytes stay");
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "log"));
    all.sort();
    all
}

/// A snapshot of a directory.
fn copy(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    segments(dir).into_iter().map(|f| (f.clone(), fs::read(&f).unwrap())).collect()
}

#[test]
fn a_crash_while_read_rows_are_removed_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, clean_every: None, ..Options::default() };
    let open = || Embedded::directory(dir.path(), options).unwrap();
    let log = open();
    consumed_only(&*log, 0);
    fill(&*log, 0..1000);
    log.passed("reader", &tp("t", 0), Offset(505)).unwrap();
    let before = copy(dir.path());
    assert!(log.clean().unwrap(), "it pays");
    let after = copy(dir.path());
    drop(log);
    let (merged, gone): (Vec<_>, Vec<_>) =
        before.iter().partition(|(file, bytes)| after.iter().any(|(f, b)| f == file && b != bytes));
    let gone: Vec<_> = gone.iter().filter(|(f, _)| !after.iter().any(|(a, _)| a == f)).collect();
    assert!(merged.len() > 1 && gone.len() > 3, "{} merged, {} gone", merged.len(), gone.len());
    let bytes = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(_, b)| b.len()).sum::<usize>();
    // Each file is one step: the first `done` files are as after the compaction, the others as before it; `late` =
    // the files that a merged one replaces have not been removed yet; and there is a half-written file.
    for done in 0..=merged.len() {
        for late in [false, true] {
            segments(dir.path()).iter().for_each(|f| fs::remove_file(f).unwrap());
            before.iter().for_each(|(f, b)| fs::write(f, b).unwrap());
            let last = done.checked_sub(1).map(|i| &merged[i].0);
            for (f, b) in after.iter().filter(|(f, _)| last.is_some_and(|last| f <= last)) {
                fs::write(f, b).unwrap();
            }
            let removed = gone.iter().filter(|(f, _)| last.is_some_and(|last| f < last) && !late);
            removed.for_each(|(f, _)| fs::remove_file(f).unwrap());
            fs::write(merged[0].0.with_extension("tmp"), b"TIDELOG1").unwrap();
            let log = open();
            let shared: Arc<dyn Log> = log.clone();
            assert_eq!(numbers(&shared), (505..1000).collect::<Vec<_>>(), "{done} {late}");
            assert_eq!(shared.start_offset(&tp("t", 0)).unwrap(), Offset(505), "{done} {late}");
            log.clean().unwrap();
            fill(&*shared, 1000..1500);
            shared.passed("reader", &tp("t", 0), Offset(1500)).unwrap();
            log.clean().unwrap();
            assert_eq!(numbers(&shared), (1490..1500).collect::<Vec<_>>(), "{done} {late}");
            assert!(bytes(&copy(dir.path())) < bytes(&before) / 4, "{done} {late}");
        }
    }
}
