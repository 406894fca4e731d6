//! What a slide of a window costs: rows of the database read and written, by window length.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tidegate::{
    Config, DStream, Result, StreamingContext,
    codec::{AsText, Utf8},
    operator::{Batch, Output, Port},
    record::{BatchId, BatchTime, Chunk, Partition, RawChunk, TaskId},
    state::{Backend, MemoryStorage, Storage, StoreId, VisitRow},
    task::Task,
};

/// A database that counts what is read and written.
struct Counting {
    inner: Arc<dyn Backend>,
    read: AtomicU64,
    written: AtomicU64,
}

impl Backend for Counting {
    fn record(&self) -> Result<Option<Vec<u8>>> {
        self.inner.record()
    }
    fn get_many(
        &self,
        store: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result {
        self.inner.get_many(store, keys, &mut |index, value| {
            self.read.fetch_add(u64::from(value.is_some()), Relaxed);
            visit(index, value)
        })
    }
    fn scan(&self, store: StoreId, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result {
        self.inner.scan(store, from, &mut |key, value| {
            self.read.fetch_add(1, Relaxed);
            visit(key, value)
        })
    }
    fn progress(&self) -> Result<Option<Vec<u8>>> {
        self.inner.progress()
    }
    fn restore(&self, changes: &[RawChunk], progress: &[u8]) -> Result {
        self.inner.restore(changes, progress)
    }
    fn apply(&self, changes: &[RawChunk], record: Option<&[u8]>) -> Result {
        self.written.fetch_add(changes.iter().map(|c| c.len() as u64).sum(), Relaxed);
        self.inner.apply(changes, record)
    }
    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }
    fn rows(&self) -> u64 {
        self.inner.rows()
    }
}

const KEYS_PER_BATCH: u64 = 100;

/// Rows read and written in a slide of 1 s, once the window is full. Each batch has keys of its own.
fn cost(
    length_s: u64,
    window: impl Fn(&DStream<(String, u64)>, Duration, Duration) -> DStream<(String, u64)>,
) -> (u64, u64) {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let pairs = ssc.text("n").map(|line| (line.to_string(), 1u64));
    window(&pairs, Duration::from_secs(length_s), Duration::from_secs(1)).to_kafka("out", Utf8, AsText);
    let plan = ssc.topology().computed();
    let (node, _) = plan.iter().find(|(id, n)| plan.stage(*id) == 1 && !n.stores.is_empty()).unwrap();
    let names: Vec<String> = plan.nodes.iter().flat_map(|n| &n.stores).map(|s| s.name.clone()).collect();
    let inner = MemoryStorage::default().open(Partition(0), &names).unwrap().backend;
    let counting = Arc::new(Counting { inner, read: AtomicU64::new(0), written: AtomicU64::new(0) });
    let backend: Arc<dyn Backend> = counting.clone();
    let id = TaskId { stage: 1, partition: Partition(0) };
    let mut task = Task::open(&plan, id, None, 1, Some(&backend));
    let mut before = (0, 0);
    let (warm, measured) = (2 * length_s + 5, 10);
    for n in 1..=warm + measured {
        let batch = Batch::new(BatchId(n), BatchTime(i64::try_from(n).unwrap() * 1_000));
        let rows = (0..KEYS_PER_BATCH).map(|k| (format!("{n}-{k}"), 1u64)).collect();
        task.process(&batch, node, Port(0), Chunk::rows::<(String, u64)>(rows)).unwrap();
        task.end_batch(&batch).unwrap();
        let rows = task.take_outputs();
        assert!(!rows.is_empty(), "something is emitted at each slide");
        counting.apply(&task.seal().unwrap(), None).unwrap();
        task.applied();
        if n == warm {
            before = (counting.read.load(Relaxed), counting.written.load(Relaxed));
        }
    }
    let after = (counting.read.load(Relaxed), counting.written.load(Relaxed));
    ((after.0 - before.0) / measured, (after.1 - before.1) / measured)
}

fn with_inverse(pairs: &DStream<(String, u64)>, length: Duration, slide: Duration) -> DStream<(String, u64)> {
    pairs.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, length, slide, |_, n| *n > 0)
}

fn recomputed(pairs: &DStream<(String, u64)>, length: Duration, slide: Duration) -> DStream<(String, u64)> {
    pairs.reduce_by_key_and_window(|a, b| a + b, length, slide)
}

#[test]
fn an_inverse_writes_what_entered_and_left_and_reads_each_key_once_more() {
    for length in [10, 100] {
        let (read, written) = cost(length, with_inverse);
        // Entered: a pane and a total per key. Left: a total and a pane. Plus the mark.
        assert_eq!(written, 4 * KEYS_PER_BATCH + 1, "length {length}");
        // All keys of the window are emitted, as in Spark; in addition, what entered and left.
        let emitted = (length + 1) * KEYS_PER_BATCH;
        assert!((emitted..emitted + 6 * KEYS_PER_BATCH).contains(&read), "length {length}: {read} rows read");
    }
}

#[test]
fn without_an_inverse_a_slide_reads_the_window_and_writes_what_entered_and_left() {
    for length in [10, 100] {
        let (read, written) = cost(length, recomputed);
        assert_eq!(written, 2 * KEYS_PER_BATCH + 1, "length {length}");
        let window = length * KEYS_PER_BATCH;
        assert!((window..window + 4 * KEYS_PER_BATCH).contains(&read), "length {length}: {read} rows read");
    }
}

#[test]
fn a_large_window_leaves_the_task_in_parts() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let pairs = ssc.text("n").map(|line| (line.to_string(), 1u64));
    recomputed(&pairs, Duration::from_secs(1), Duration::from_secs(1)).to_kafka("out", Utf8, AsText);
    let plan = ssc.topology().computed();
    let (node, _) = plan.iter().find(|(id, n)| plan.stage(*id) == 1 && !n.stores.is_empty()).unwrap();
    let names: Vec<String> = plan.nodes.iter().flat_map(|n| &n.stores).map(|s| s.name.clone()).collect();
    let backend = MemoryStorage::default().open(Partition(0), &names).unwrap().backend;
    let id = TaskId { stage: 1, partition: Partition(0) };
    let mut task = Task::open(&plan, id, None, 1, Some(&backend));
    let batch = Batch::new(BatchId(1), BatchTime(1_000));
    let (keys, key_bytes) = (40_000, 400);
    let rows = (0..keys).map(|k| (format!("{k:key_bytes$}"), 1u64)).collect();
    task.process(&batch, node, Port(0), Chunk::rows::<(String, u64)>(rows)).unwrap();
    let (mut parts, mut records) = (0, 0);
    loop {
        let more = task.end_some(&batch).unwrap();
        let outputs = task.take_outputs();
        let bytes: usize = outputs.iter().map(Output::bytes).sum();
        assert!(bytes < 8 << 20, "{bytes} bytes at once");
        parts += 1;
        records += outputs
            .iter()
            .map(|o| if let Output::Records { records, .. } = o { records.len() } else { 0 })
            .sum::<usize>();
        if !more {
            break;
        }
    }
    assert_eq!(records, keys);
    assert!(parts >= 3, "{parts} parts of 16 MB");
}
