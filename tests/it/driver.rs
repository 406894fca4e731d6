//! Runs a program of streams on tables of records, and shows what it wrote as a table.
//!
//! Input rows are `topic partition | key | value`, `-` is null, optional further columns are `@timestamp` and `header=value`; a line
//! `---` ends a batch: the engine runs until everything is processed, stops, and the next batch starts it again. Output rows are
//! `topic | key | value`, sorted within a batch, as their order over partitions means nothing. Knows no operator. Invariant: a case
//! passes only if all ways to run it (threads, state partitions, lost local state) write the same.

use expect_test::Expect;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};
use tidegate::{
    Config, Error, Result, StreamingContext,
    config::Trigger,
    log::{self, Log, TopicSpec},
    record::{
        Headers, Incarnation, InstanceId, Offset, Partition, RawChunkBuilder, RawRecord, TopicPartition,
    },
    runtime::{self, BatchReport, Env, Observed, Observer, Shutdown, clock::Clock},
    state::MemoryStorage,
};

pub const INPUT_PARTITIONS: u32 = 3;

/// What stays equal however a stream is cut into batches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// All rows, in any order: stateless programs.
    Rows,
    /// The last row of each key: running values.
    LastPerKey,
}

/// One way to run a case.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub threads: usize,
    pub state_partitions: u32,
    /// Local state is lost at each restart and comes back from the changelog.
    pub lose_state: bool,
}

pub const PLAIN: Way = Way { threads: 0, state_partitions: 8, lose_state: false };
pub const WAYS: [Way; 6] = [
    PLAIN,
    Way { threads: 1, ..PLAIN },
    Way { threads: 3, ..PLAIN },
    Way { state_partitions: 1, ..PLAIN },
    Way { threads: 3, state_partitions: 1, lose_state: true },
    Way { lose_state: true, ..PLAIN },
];

/// Runs `build` over `input` in all ways and compares what it wrote.
pub fn check(build: impl Fn(&StreamingContext), input: &str, expected: &Expect) {
    let batches: Vec<&str> = batches(input);
    let first = run_batches(&build, &batches, PLAIN);
    expected.assert_eq(&show(&first));
    for way in &WAYS[1..] {
        assert_eq!(show(&run_batches(&build, &batches, *way)), show(&first), "{way:?}");
    }
}

/// As [`check`]; also as one batch and with one record per batch, where `invariant` must stay equal.
pub fn check_any_batches(
    invariant: Invariant,
    build: impl Fn(&StreamingContext),
    input: &str,
    expected: &Expect,
) {
    check(&build, input, expected);
    let batches: Vec<&str> = batches(input);
    let as_given = invariant.of(&run_batches(&build, &batches, PLAIN));
    let one = batches.concat();
    assert_eq!(invariant.of(&run_batches(&build, &[&one], PLAIN)), as_given, "in one batch");
    let each: Vec<&str> = one.split_inclusive('\n').collect();
    assert_eq!(invariant.of(&run_batches(&build, &each, PLAIN)), as_given, "one record per batch");
}

fn batches(input: &str) -> Vec<&str> {
    input.split("---\n").collect()
}

pub fn run_batches(build: &dyn Fn(&StreamingContext), batches: &[&str], way: Way) -> Vec<Vec<String>> {
    let mut session = Session::new(way);
    batches.iter().map(|rows| session.step(build, rows)).collect()
}

pub fn show(batches: &[Vec<String>]) -> String {
    let text = |rows: &Vec<String>| rows.iter().flat_map(|r| [r, "\n"]).collect::<String>();
    batches.iter().map(text).collect::<Vec<_>>().join("---\n")
}

impl Invariant {
    fn of(self, batches: &[Vec<String>]) -> BTreeSet<(String, usize)> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for row in batches.iter().flatten() {
            *seen.entry(row.clone()).or_default() += 1;
            let (key, value) = row.rsplit_once(" | ").unwrap_or((row, ""));
            last.insert(key.to_owned(), value.to_owned());
        }
        match self {
            Invariant::Rows => seen.into_iter().collect(),
            Invariant::LastPerKey => last.into_iter().map(|(k, v)| (format!("{k} | {v}"), 1)).collect(),
        }
    }
}

/// One application on a log in memory, over several runs.
pub struct Session {
    pub log: Arc<dyn Log>,
    pub config: Config,
    pub seen: Arc<Seen>,
    way: Way,
    storage: MemoryStorage,
    clock: Arc<TestClock>,
    read_to: BTreeMap<TopicPartition, Offset>,
}

impl Session {
    pub fn new(way: Way) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bootstrap = format!("memory:driver-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut config = Config::new("app", &bootstrap);
        config.trigger = Trigger::AvailableNow;
        config.threads = way.threads;
        config.state_partitions = way.state_partitions;
        config.admin_bind = None;
        Session {
            log: log::open(&bootstrap, &BTreeMap::new()).unwrap(),
            config,
            seen: Arc::default(),
            way,
            storage: MemoryStorage::default(),
            clock: Arc::new(TestClock(AtomicI64::new(1_000))),
            read_to: BTreeMap::new(),
        }
    }

    /// Writes input rows.
    pub fn feed(&self, rows: &str) {
        for row in rows.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let mut columns = row.split('|').map(str::trim);
            let place = columns.next().unwrap();
            let (topic, partition) = place.split_once(' ').expect("topic and partition");
            let partition = Partition(partition.parse().expect("a partition"));
            create(&*self.log, topic, INPUT_PARTITIONS);
            let mut bytes = || columns.next().filter(|c| *c != "-").map(|c| c.replace("''", "").into_bytes());
            let (key, value) = (bytes(), bytes());
            let (mut timestamp_ms, mut headers) = (-1, vec![]);
            for column in columns {
                match (column.strip_prefix('@'), column.split_once('=')) {
                    (Some(at), _) => timestamp_ms = at.parse().expect("a timestamp"),
                    (_, Some(header)) => headers.push(header),
                    _ => panic!("`{column}` is neither `@timestamp` nor `header=value`"),
                }
            }
            let mut chunk = RawChunkBuilder::default();
            let (key, value) = (key.as_deref(), value.as_deref());
            chunk.push(RawRecord { offset: Offset(0), timestamp_ms, key, value, headers: Headers::NONE });
            for (name, value) in headers {
                chunk.push_header(name, Some(value.as_bytes()));
            }
            log::write(&*self.log, topic, Some(partition), &chunk.build()).unwrap();
        }
    }

    /// Runs a program until everything that is there is processed.
    pub fn run(&mut self, build: &dyn Fn(&StreamingContext)) -> Result {
        let ssc = StreamingContext::new(self.config.clone());
        build(&ssc);
        let plan = ssc.topology();
        for topic in plan.sources().flat_map(|(_, source)| &source.topics) {
            create(&*self.log, topic, INPUT_PARTITIONS);
        }
        runtime::run(self.config.clone(), plan, self.env())
    }

    pub fn env(&mut self) -> Env {
        if self.way.lose_state {
            self.storage = MemoryStorage::default();
        }
        Env {
            log: self.log.clone(),
            storage: Arc::new(self.storage.clone()),
            clock: self.clock.clone(),
            shutdown: Shutdown::default(),
            observer: self.seen.clone(),
            instance: InstanceId("test".into()),
            incarnation_before: Incarnation(0),
        }
    }

    /// Feeds, runs, and gives the new rows of all output topics and of the console; an error is the last row.
    pub fn step(&mut self, build: &dyn Fn(&StreamingContext), rows: &str) -> Vec<String> {
        self.feed(rows);
        let result = self.run(build);
        let ssc = StreamingContext::new(self.config.clone());
        build(&ssc);
        let mut written = self.seen.take_console();
        for topic in ssc.topology().sink_topics() {
            written.extend(self.new_rows(&topic));
        }
        written.extend(self.new_rows("app-dlq"));
        written.sort();
        written.extend(result.err().map(|e| format!("error: {e}")));
        written
    }

    /// The committed rows of a topic that were not given before.
    pub fn new_rows(&mut self, topic: &str) -> Vec<String> {
        let Some(info) = self.log.describe(&[topic]).unwrap().remove(0) else { return vec![] };
        let mut rows = vec![];
        for partition in 0..info.partitions {
            let at = TopicPartition::new(topic, partition);
            let end = self.log.end_offset(&at).unwrap();
            let mut next = self.read_to.get(&at).copied().unwrap_or_default();
            let mut reader = self.log.read(&at, next).unwrap();
            while next < end {
                let fetched =
                    reader.next(Duration::from_secs(5)).unwrap().expect("the reader reaches the end");
                rows.extend(fetched.records.iter().map(|r| show_record(topic, &r)));
                next = fetched.next;
            }
            self.read_to.insert(at, next);
        }
        rows
    }
}

fn create(log: &dyn Log, topic: &str, partitions: u32) {
    let config = BTreeMap::new();
    log.create(&TopicSpec { name: topic.into(), partitions, replication_factor: None, config }).unwrap();
}

fn show_record(topic: &str, record: &RawRecord<'_>) -> String {
    let text = |bytes: Option<&[u8]>| {
        let bytes =
            bytes.map(|b| b.iter().flat_map(|b| b.escape_ascii()).map(char::from).collect::<String>());
        bytes.unwrap_or_else(|| "-".to_owned())
    };
    let mut row = format!("{topic} | {} | {}", text(record.key), text(record.value));
    if (0..1_000_000).contains(&record.timestamp_ms) {
        write!(row, " | @{}", record.timestamp_ms).unwrap(); // given by the test; others are stamped by the log
    }
    for (name, value) in record.headers.iter() {
        write!(row, " | {name}={}", text(value)).unwrap();
    }
    row
}

/// What the engine told.
#[derive(Default)]
pub struct Seen {
    pub console: Mutex<Vec<String>>,
    pub bad: Mutex<Vec<String>>,
    pub batches: Mutex<Vec<BatchReport>>,
}

impl Seen {
    fn take_console(&self) -> Vec<String> {
        std::mem::take(&mut *self.console.lock().unwrap())
    }
}

impl Observer for Seen {
    fn on(&self, event: &Observed<'_>) {
        match event {
            Observed::Console { rows, rows_max, .. } => {
                let mut console = self.console.lock().unwrap();
                console.extend(rows.iter().take(*rows_max).map(|row| format!("console | {row}")));
                if rows.len() > *rows_max {
                    console.push("console | ...".into());
                }
            }
            Observed::BadRecord { at, offset, reason, .. } => {
                self.bad.lock().unwrap().push(format!("{at} {offset}: {reason}"));
            }
            Observed::Batch(report) => self.batches.lock().unwrap().push((*report).clone()),
            _ => {}
        }
    }
}

/// Its days pass only when it is asked.
pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The message of an error; the place of a program in it is kept.
pub fn message(result: Result) -> String {
    match result {
        Ok(()) => "no error".into(),
        Err(e @ Error::Killed) => panic!("{e}"),
        Err(e) => format!("{e}\n"),
    }
}
