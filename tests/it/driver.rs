//! Expected tables, and runs of a program up to the end of its input.
//!
//! [`check`] steps programs through batches with the public driver. A [`Session`] runs a program until all
//! available input is processed, as an available-now run does, and lets a test inspect log, reports and errors.
//! Knows no operator. Invariant: a case passes only if all ways to run it (threads, state partitions, lost local
//! state, crashes) write the same.

use expect_test::Expect;
use std::{
    collections::{BTreeMap, BTreeSet},
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
    operator::Printed,
    record::{Incarnation, InstanceId},
    runtime::{self, BatchReport, Env, Observed, Observer, Shutdown, clock::Clock},
    state::MemoryStorage,
    testing::{self, Reading},
};

pub const INPUT_PARTITIONS: u32 = 3;

/// What must be equal no matter how a stream is cut into batches.
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
    /// Local state is lost at each restart and restored from the changelog.
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

/// Steps `build` through the batches of `input` in all ways and compares what it wrote.
pub fn check(build: impl Fn(&StreamingContext), input: &str, expected: &Expect) {
    expected.assert_eq(&testing::run_every_way(build, input));
}

/// Like [`check`]; also as one batch and with one record per batch, where `invariant` must be preserved.
pub fn check_any_batches(
    invariant: Invariant,
    build: impl Fn(&StreamingContext),
    input: &str,
    expected: &Expect,
) {
    check(&build, input, expected);
    let run = |input: &str| testing::run(testing::Settings::default(), &build, input).unwrap();
    let as_given = invariant.of(&run(input));
    let one = input.replace("---\n", "");
    assert_eq!(invariant.of(&run(&one)), as_given, "in one batch");
    let each: Vec<&str> = one.split_inclusive('\n').collect();
    assert_eq!(invariant.of(&run(&each.join("---\n"))), as_given, "one record per batch");
}

/// Batches as a table.
pub fn show(batches: &[Vec<String>]) -> String {
    let text = |rows: &Vec<String>| rows.iter().flat_map(|r| [r, "\n"]).collect::<String>();
    batches.iter().map(text).collect::<Vec<_>>().join("---\n")
}

impl Invariant {
    fn of(self, table: &str) -> BTreeSet<(String, usize)> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for row in table.lines().filter(|row| *row != "---") {
            *seen.entry(row.to_owned()).or_default() += 1;
            let (key, value) = row.rsplit_once(" | ").unwrap_or((row, ""));
            last.insert(key.to_owned(), value.to_owned());
        }
        match self {
            Invariant::Rows => seen.into_iter().collect(),
            Invariant::LastPerKey => last.into_iter().map(|(k, v)| (format!("{k} | {v}"), 1)).collect(),
        }
    }
}

/// One application on a log in memory, across several runs.
pub struct Session {
    pub log: Arc<dyn Log>,
    pub config: Config,
    pub seen: Arc<Seen>,
    way: Way,
    storage: MemoryStorage,
    clock: Arc<TestClock>,
    reading: Reading,
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
            reading: Reading::default(),
        }
    }

    /// Writes input rows.
    pub fn feed(&self, rows: &str) {
        testing::feed(&*self.log, INPUT_PARTITIONS, rows).unwrap();
    }

    /// Runs a program until all available input is processed.
    pub fn run(&mut self, build: &dyn Fn(&StreamingContext)) -> Result {
        let ssc = StreamingContext::new(self.config.clone());
        build(&ssc);
        let plan = ssc.topology();
        let topics = plan.sources().flat_map(|(_, source)| &source.topics);
        for topic in topics.filter(|topic| !topic.starts_with("app-ingest-")) {
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

    /// Writes input rows, runs, and returns the new rows of all output topics and of the console; an error is the
    /// last row.
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

    /// The committed rows of a topic that were not returned before.
    pub fn new_rows(&mut self, topic: &str) -> Vec<String> {
        self.reading.new_rows(&*self.log, topic).unwrap()
    }
}

fn create(log: &dyn Log, topic: &str, partitions: u32) {
    let config = BTreeMap::new();
    log.create(&TopicSpec { name: topic.into(), partitions, replication_factor: None, config }).unwrap();
}

/// What the engine reported.
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
            Observed::Console { printed: Printed { rows, rows_max, .. }, .. } => {
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

/// A clock whose time advances only when it is asked.
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

/// The message of an error; places in the program are kept.
pub fn message(result: Result) -> String {
    match result {
        Ok(()) => "no error".into(),
        Err(e @ Error::Killed) => panic!("{e}"),
        Err(e) => format!("{e}\n"),
    }
}
