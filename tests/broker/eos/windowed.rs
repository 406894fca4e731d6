//! Windowed counts over event time: SIGKILL at random moments while events keep coming, with the state kept and deleted.
//!
//! Event time runs faster than the clock, so that windows close and are deleted all the time. Times jitter
//! backwards by less than the lateness, so no event is late, whatever the batches were, and the oracle is a plain
//! count. At the end come events that are certainly late. The same holds for windows that overlap, where an event
//! is counted in three.

use super::{
    Random,
    client::Client,
    program::App,
    words::{Truth, judge, violations},
};
use crate::subject::bootstrap;
use rdkafka::{
    Message,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::Duration,
};

/// Whether the values of all series of a metric are as they must be.
type Holds<'a> = &'a dyn Fn(&[&str]) -> bool;

const START_MS: i64 = 1_795_340_000_000;
const LATENESS_MS: u64 = 5_000;
const STEP_MS: i64 = 20;

/// The windows of a program.
#[derive(Clone, Copy)]
struct Windows {
    size_ms: i64,
    hop_ms: i64,
}

const TUMBLING: Windows = Windows { size_ms: 10_000, hop_ms: 10_000 };
const HOPPING: Windows = Windows { size_ms: 30_000, hop_ms: 10_000 };

impl Windows {
    /// How many windows an event is in.
    fn of_an_event(self) -> i64 {
        self.size_ms / self.hop_ms
    }

    /// The keys of the windows that an event of a user is in.
    fn of(self, user: &str, time_ms: i64) -> impl Iterator<Item = String> {
        let newest_ms = time_ms.div_euclid(self.hop_ms) * self.hop_ms;
        (0..self.of_an_event()).map(move |n| format!("{user}@{}", newest_ms - n * self.hop_ms))
    }
}

/// Writes events and counts them by user and window.
struct Events {
    windows: Windows,
    producer: BaseProducer,
    topic: String,
    random: Random,
    number: i64,
    truth: Truth,
}

impl Events {
    fn new(client: &Client, topic: &str, seed: u64, windows: Windows) -> Events {
        let mut config = client.config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", "0").set("linger.ms", "1");
        let producer = config.create().unwrap();
        let (topic, random, truth) = (topic.into(), Random(seed), Truth::new());
        Events { windows, producer, topic, random, number: 0, truth }
    }

    /// An event of a new user, or of a frequent one.
    fn write(&mut self) {
        let jitter = i64::try_from(self.random.below(LATENESS_MS)).unwrap();
        let time_ms = START_MS + self.number * STEP_MS - jitter;
        let user = match self.random.below(4) {
            0 => format!("only-{}", self.number),
            _ => format!("u{}", self.random.below(30)),
        };
        self.windows.of(&user, time_ms).for_each(|window| *self.truth.entry(window).or_default() += 1);
        self.send(&user, time_ms);
    }

    fn send(&mut self, user: &str, time_ms: i64) {
        let partition = i32::try_from(self.number % 4).unwrap();
        self.number += 1;
        let record =
            BaseRecord::to(&self.topic).key(user).payload("").partition(partition).timestamp(time_ms);
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.poll(Duration::ZERO);
    }

    fn flush(&self) {
        super::until("all events are acknowledged", || {
            let _ = self.producer.flush(Duration::from_secs(1));
            self.producer.in_flight_count() == 0
        });
    }
}

/// Writes events until it is values to finish.
struct Writing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Events>,
}

impl Writing {
    fn start(mut events: Events) -> Writing {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                (0..8).for_each(|_| events.write());
                sleep(Duration::from_millis(8));
            }
            events.flush();
            events
        });
        Writing { stop, thread }
    }

    fn finish(self) -> Events {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn metrics_report_event_time_lag_and_state() {
    let client = Client::new(&bootstrap());
    let app = App::new("windowed_counts", &client);
    let mut events = Events::new(&client, &app.input, 0, TUMBLING);
    (0..400).for_each(|n| events.send("u", START_MS + n * STEP_MS));
    events.flush();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    // The newest event of partition 0 is number 396, which is 7.92 s after the first.
    let watermark = format!("{}.92", START_MS / 1000 + 7);
    let expected: [(&str, Holds<'_>); 7] = [
        ("tidegate_records_in_total{", &|values| values == ["400"]),
        ("tidegate_watermark_timestamp_seconds{", &|values| values == [watermark.as_str()]),
        ("tidegate_consumer_lag_records{", &|values| values == ["0"; 4]),
        ("tidegate_consumer_lag_seconds{", &|values| values == ["0"; 4]),
        ("tidegate_end_to_end_latency_seconds_count{", &|values| values != ["0"]),
        ("tidegate_state_rows{", &|values| values.iter().any(|rows| *rows != "0")),
        ("tidegate_state_bytes{", &|values| values.iter().any(|bytes| *bytes != "0")),
    ];
    for (series, holds) in expected {
        super::until(&format!("{series} is as expected (log: {})", run.log.display()), || {
            run.must_run();
            let (_, metrics) = run.get("/metrics");
            let of_series = metrics.lines().filter(|line| line.starts_with(series));
            let values: Vec<&str> = of_series.filter_map(|line| line.rsplit(' ').next()).collect();
            holds(&values)
        });
    }
    run.stop();
}

#[test]
fn windowed_counts_are_killed() {
    let client = Client::new(&bootstrap());
    kill_at_random(&client, &App::new("windowed_counts", &client), TUMBLING, 16);
}

#[test]
fn counts_in_windows_that_overlap_are_killed() {
    let client = Client::new(&bootstrap());
    let app = App::new("windowed_counts", &client).with("hop-ms", &HOPPING.hop_ms.to_string());
    kill_at_random(&client, &app, HOPPING, 4);
}

fn kill_at_random(client: &Client, app: &App, windows: Windows, kills: u32) {
    let seed = Random::seed();
    eprintln!("windowed counts are killed: seed {seed} (TIDEGATE_TEST_SEED={seed} repeats it)");
    let mut random = Random(seed);
    let writing = Writing::start(Events::new(client, &app.input, seed, windows));
    let mut losses = 0;
    for number in 0..kills {
        if number % 2 == 1 {
            app.lose_state();
            losses += 1;
        }
        let mut run = app.start("");
        if number % 4 < 2 {
            app.progress(client, &mut run);
        }
        sleep(Duration::from_millis(50 + random.below(1_500)));
        run.kill();
    }
    let mut events = writing.finish();
    // The first windows close long before the end.
    while events.number * STEP_MS < 5 * windows.size_ms {
        events.write();
    }
    events.flush();
    assert_eq!(events.truth.values().sum::<u64>(), (events.number * windows.of_an_event()).unsigned_abs());
    let mut run = app.start("");
    app.catch_up(client, &mut run);
    for _ in 0..40 {
        events.send("late", START_MS);
    }
    events.flush();
    app.catch_up(client, &mut run);
    run.kill();
    app.lose_state();
    let mut run = app.start("");
    for _ in 0..40 {
        events.send("late", START_MS);
    }
    events.flush();
    app.catch_up(client, &mut run);
    run.stop();
    let (truth, rows) = (events.truth, client.read(&app.output));
    judge(&format!("seed {seed}"), &truth, &rows);
    // Windows that closed within the batch that created them were never stored; of the others all but the last are
    // deleted.
    let mut stored = BTreeMap::new();
    client.visit(&format!("{}-changelog", app.id), |row| {
        stored.insert(row.key().unwrap().to_vec(), row.payload().is_some());
    });
    let left = stored.values().filter(|there| **there).count();
    assert!(left < truth.len() / 2 && left < stored.len(), "of {} windows {left} are left", truth.len());
    println!(
        "windowed_counts, {} windows for an event: {kills} kills at random, {losses} with the state lost: {} counts of {} windows, {} stored, {left} left, none wrong",
        windows.of_an_event(),
        rows.len(),
        truth.len(),
        stored.len()
    );
}

/// Kills the program at failpoints, twice, then runs it normally; returns what the judge finds.
fn found(failpoints: &str) -> Vec<String> {
    let seed = Random::seed();
    eprintln!("windowed counts, {failpoints}: seed {seed}");
    let client = Client::new(&bootstrap());
    let app = App::new("windowed_counts", &client);
    let writing = Writing::start(Events::new(&client, &app.input, seed, TUMBLING));
    for _ in 0..2 {
        let mut before = app.start("");
        app.progress(&client, &mut before);
        before.kill();
        app.start(failpoints).dies_at_its_failpoint();
    }
    let events = writing.finish();
    let mut run = app.start("");
    app.catch_up(&client, &mut run);
    run.stop();
    let wrong = violations(&events.truth, &client.read(&app.output));
    println!("windowed counts, {failpoints}: {} violations, such as {:?}", wrong.len(), wrong.first());
    wrong
}

#[test]
fn without_a_mutant_the_judge_of_windowed_counts_finds_nothing() {
    assert_eq!(found("after-offsets=kill@3"), Vec::<String>::new());
}

#[test]
fn windowed_counts_that_are_written_before_the_commit_are_detected() {
    assert!(!found("mutant-apply-before-commit=mutant,after-offsets=kill@3").is_empty());
}
