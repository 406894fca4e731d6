//! The rows of the stores of windows as bytes: what a program with this format has written must mean the same to
//! every later one.
//!
//! The changelog rows of two slides of each kind of window; `golden/window-formats.txt` contains them, readable by
//! hand with the table in `docs/state-format.md`. If this test fails, the format has changed: deployed programs
//! could not read their state.

use expect_test::expect_file;
use std::{fmt::Write as _, time::Duration};
use tidegate::{
    Config, EventWindow, SourceOptions, StreamingContext,
    codec::{AsText, Message, Messages, Utf8},
    operator::{Batch, EventRow, EventRows, Port, Upstream, UpstreamMark, UpstreamName, WindowKey},
    record::{BatchId, BatchTime, Chunk, Partition, TaskId, TopicPartition},
    state::{MemoryStorage, Storage},
    task::Task,
};

const SECOND: Duration = Duration::from_secs(1);

/// The formats of the stores of a program's window, then the changelog rows of each batch; the first has the time 1
/// s.
fn written(program: impl FnOnce(&StreamingContext), batches: Vec<Vec<Chunk>>) -> String {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    program(&ssc);
    let plan = ssc.topology().computed();
    let (node, window) = plan.iter().find(|(id, n)| plan.stage(*id) == 1 && !n.stores.is_empty()).unwrap();
    let mut out = format!("# {}\n", window.kind);
    for store in &window.stores {
        writeln!(out, "{}: {}", store.name, store.format).unwrap();
    }
    let names: Vec<String> = window.stores.iter().map(|store| store.name.clone()).collect();
    let backend = MemoryStorage::default().open(Partition(0), &names).unwrap().backend;
    let id = TaskId { stage: 1, partition: Partition(0) };
    let mut task = Task::open(&plan, id, None, 1, Some(&backend));
    for (number, chunks) in (1..).zip(batches) {
        let batch = Batch::new(BatchId(number), BatchTime(i64::try_from(number).unwrap() * 1_000));
        for chunk in chunks {
            task.process(&batch, node, Port(0), chunk).unwrap();
        }
        task.end_batch(&batch).unwrap();
        let rows = task.seal().unwrap();
        writeln!(out, "batch {number}").unwrap();
        for row in rows.iter().flat_map(tidegate::record::RawChunk::iter) {
            writeln!(out, "{} = {}", hex(row.key.unwrap()), row.value.map_or("null".into(), hex)).unwrap();
        }
        backend.apply(&rows, None).unwrap();
        task.applied();
    }
    out.push('\n');
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

/// Two batches with rows, and one after which the first has left a window of two seconds.
fn pairs() -> Vec<Vec<Chunk>> {
    let rows = |rows: &[(&str, u64)]| {
        vec![Chunk::rows::<(String, u64)>(rows.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect())]
    };
    vec![rows(&[("a", 1), ("b", 300)]), rows(&[("a", 2)]), rows(&[("a", 4)])]
}

fn mark(partition: u32, time_ms: i64, idle: bool) -> UpstreamMark {
    let upstream = UpstreamName::from(&Upstream::Source(TopicPartition::new("in", partition)));
    UpstreamMark { upstream, time_ms: Some(time_ms), idle }
}

/// A watermark that passes the end of the first window, which is 10 s after its start, plus 5 s.
fn events() -> Vec<Vec<Chunk>> {
    let batch = |start_ms, count, told_ms| {
        let window = WindowKey { start_ms, key: "u".to_owned() };
        let rows = vec![EventRow { window, value: count, newest_ms: start_ms + 9, records: 1 }];
        let marks = vec![mark(0, told_ms, false), mark(1, told_ms + 1, false), mark(2, 5, true)];
        vec![Chunk::new(EventRows::<String, u64> { rows, marks }, 3)]
    };
    vec![batch(0, 3, 9_000), batch(10_000, 1, 15_000), batch(10_000, 2, 16_000)]
}

#[test]
fn rows_of_window_stores_are_written_as_before() {
    let lines = |ssc: &StreamingContext| ssc.text("n").map(|line| (line.to_string(), 1u64));
    let (add, twice) = (|a: u64, b: u64| a + b, 2 * SECOND);
    let mut out = String::new();
    out += &written(
        |ssc| lines(ssc).window(twice).map_values(|n| n.to_string()).to_kafka("out", Utf8, Utf8),
        pairs(),
    );
    out += &written(
        |ssc| lines(ssc).reduce_by_key_and_window(add, twice, SECOND).to_kafka("out", Utf8, AsText),
        pairs(),
    );
    let filtered = |ssc: &StreamingContext| {
        let counts =
            lines(ssc).reduce_by_key_and_window_filtered(add, |a, b| a - b, twice, SECOND, |_, n| *n > 0);
        counts.to_kafka("out", Utf8, AsText);
    };
    out += &written(filtered, pairs());
    let event_window = |ssc: &StreamingContext| {
        let users = ssc.source::<Message<String>>(SourceOptions::topic("in"), Messages(Utf8));
        let window = EventWindow::tumbling(10 * SECOND).lateness(5 * SECOND);
        users.count_by_key_and_event_window(window, |m| m.value).to_kafka("out", AsText, AsText);
    };
    out += &written(event_window, events());
    expect_file!["golden/window-formats.txt"].assert_eq(&out);
}
