//! Event time that stands still, leaps or ends; final results; the times that outputs carry; the clock that was wrong.

use crate::contract::{read_all, rows, tp, until};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tidegate::{
    BadRecordPolicy, Config, EventWindow, PostgresSink, SourceOptions, StreamingContext,
    codec::{AsText, Message, Messages, Utf8},
    config::Trigger,
    log::{self, ProducerSpec, RequestSizes, TopicSpec},
    observe::listener::{BatchInfo, StreamingListener},
    record::{Incarnation, InstanceId, Partition},
    runtime::{self, BatchReport, Env, Observed, Observer, Shutdown, clock::Clock},
    state::MemoryStorage,
    testing::{Between, Driver, Settings, Written, ways},
};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn counts(window: EventWindow) -> impl Fn(&StreamingContext) {
    move |ssc| {
        let options = SourceOptions::topic("in").on_bad_record(BadRecordPolicy::Skip);
        let words = ssc.source::<Message<String>>(options, Messages(Utf8));
        words.count_by_key_and_event_window(window, |m| m.value).to_kafka("out", AsText, AsText);
    }
}

fn with_partitions(input_partitions: u32) -> Settings {
    Settings { input_partitions, ..Settings::default() }
}

/// The rows of all batches.
fn shown(written: &Written) -> String {
    written.rows().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat()
}

fn late(driver: &Driver<'_>) -> usize {
    driver.take_reports().iter().filter(|r| r.committed).map(|r| r.counters.late).sum()
}

/// How many rows the changelog holds once it is compacted.
fn rows_kept(driver: &mut Driver<'_>, all: &mut BTreeMap<String, String>) -> usize {
    for row in driver.new_rows("app-changelog").unwrap() {
        let mut columns = row.splitn(3, " | ");
        let (_, key, value) = (columns.next(), columns.next().unwrap(), columns.next().unwrap());
        all.insert(key.to_owned(), value.to_owned());
    }
    all.retain(|_, value| value != "-");
    all.len()
}

#[test]
fn a_row_ahead_of_the_clock_counts_and_makes_no_other_row_late() {
    let mut driver = Driver::with(with_partitions(1), counts(EventWindow::tumbling(secs(10))));
    let ahead = driver.batch_at(60_000, "in 0 | - | a | @60000\nin 0 | - | a | @3060000\n").unwrap();
    assert_eq!(shown(&ahead), "out | a@3060000 | 1\nout | a@60000 | 1 | @60000\n");
    for second in 61..120 {
        driver.batch(&format!("in 0 | - | a | @{second}000\n")).unwrap();
    }
    assert_eq!(late(&driver), 0);
}

#[test]
fn a_row_from_the_far_future_is_a_bad_record() {
    let mut driver = Driver::with(with_partitions(1), counts(EventWindow::tumbling(secs(10))));
    let rows = "in 0 | - | a | @60000\nin 0 | - | a | @4102444800000\nin 0 | - | a | @60001\n";
    let mut written = shown(&driver.batch_at(60_000, rows).unwrap());
    let bad = driver.take_bad_records().join("\n");
    assert!(
        bad.contains("in-0 1: ")
            && bad.contains(
                "an event time of 4102444800000 ms is 4102444740 s ahead of the clock, and 3600 s are allowed"
            ),
        "{bad}"
    );
    written += &shown(&driver.batch("in 0 | - | a | @61000\n").unwrap());
    assert_eq!(late(&driver), 0);
    assert!(written.contains("out | a@60000 | 3"), "{written}");
    assert_eq!(rows_kept(&mut driver, &mut BTreeMap::new()), 2, "a window and the watermark");
}

#[test]
fn windows_of_a_topic_with_silent_partitions_are_closed_and_deleted() {
    let mut driver = Driver::new(counts(EventWindow::tumbling(secs(1))));
    let (mut all, mut most) = (BTreeMap::new(), 0);
    for second in 1..300 {
        driver.batch(&format!("in 0 | - | a | @{second}000\n")).unwrap();
        most = most.max(rows_kept(&mut driver, &mut all));
    }
    assert!(most < 90, "{most} rows: a minute of windows, then the partitions without rows are idle");
    assert_eq!(driver.batch("in 0 | - | a | @1000\n").unwrap().to_string(), "");
    assert_eq!(late(&driver), 1);
}

#[test]
fn a_partition_that_is_filtered_away_does_not_hold_event_time_back() {
    let mut driver = Driver::with(with_partitions(2), |ssc| {
        let words = ssc.source::<Message<String>>(SourceOptions::topic("in"), Messages(Utf8));
        let some = words.filter(|m| m.value != "other");
        let window = EventWindow::tumbling(secs(1)).idle_timeout(secs(5)).final_only();
        some.count_by_key_and_event_window(window, |m| m.value).to_kafka("out", AsText, AsText);
    });
    let mut written = String::new();
    for second in 1..20 {
        let rows = format!("in 0 | - | a | @{second}000\nin 1 | - | other | @{second}000\n");
        written += &driver.batch(&rows).unwrap().to_string();
    }
    assert!(written.starts_with("out | a@1000 | 1 | @1000\nout | a@2000 | 1 | @2000\n"), "{written}");
    assert_eq!(written.lines().count(), 18, "{written}");
}

#[test]
fn a_partition_whose_records_cannot_be_read_yet_is_not_idle() {
    let window = EventWindow::tumbling(secs(1)).idle_timeout(secs(2)).final_only();
    let mut driver = Driver::with(with_partitions(2), counts(window));
    driver.batch("in 0 | - | a | @500\n").unwrap();
    // A transaction that is still open: its record is there, and nobody sees it.
    let spec = ProducerSpec {
        transactional_id: Some("foreign".into()),
        transaction_timeout: secs(1_000_000),
        group: String::new(),
        buffer_bytes: 1 << 20,
        sizes: RequestSizes::default(),
    };
    let mut foreign = driver.log().producer(&spec).unwrap();
    foreign.init().unwrap();
    foreign.begin().unwrap();
    foreign.send("in", Some(Partition(1)), &rows(&[("", "hidden")])).unwrap();
    foreign.flush().unwrap();
    let mut go_on = |from: u64, to: u64| -> String {
        let batches =
            (from..to).map(|second| driver.batch(&format!("in 0 | - | a | @{second}000\n")).unwrap());
        batches.map(|written| written.to_string()).collect()
    };
    assert_eq!(go_on(1, 10), "");
    foreign.abort().unwrap();
    let written = go_on(10, 16);
    assert!(written.starts_with("out | a@0 | 1 | @500\n"), "{written}");
}

#[test]
fn a_source_that_is_gone_does_not_hold_event_time_back() {
    let program = |topics: &'static [&'static str]| {
        move |ssc: &StreamingContext| {
            let words =
                ssc.source::<Message<String>>(SourceOptions::topics(topics.iter().copied()), Messages(Utf8));
            let window = EventWindow::tumbling(secs(1)).idle_timeout(Duration::MAX).final_only();
            let counts = words.named("words").count_by_key_and_event_window(window, |m| m.value);
            counts.named("counts").to_kafka("out", AsText, AsText);
        }
    };
    let mut driver = Driver::with(with_partitions(1), program(&["in", "gone"]));
    driver.batch_at(5_000, "in 0 | - | a | @1000\nin 0 | - | a | @5000\n").unwrap();
    assert_eq!(
        driver.batch("in 0 | - | a | @6000\n").unwrap().to_string(),
        "",
        "nothing of the topic `gone`"
    );
    driver.restart_as(program(&["in"]));
    let written = driver.batch("in 0 | - | a | @7000\n").unwrap().to_string();
    assert_eq!(written, "out | a@1000 | 1 | @1000\nout | a@5000 | 1 | @5000\nout | a@6000 | 1 | @6000\n");
}

#[test]
fn final_results_are_given_once_however_the_program_is_run() {
    for settings in ways() {
        let window = EventWindow::hopping(secs(2), secs(1)).lateness(secs(1)).final_only();
        let mut driver = Driver::with(settings, counts(window));
        let tick = |second: i64| -> String {
            let ticks = (0..settings.input_partitions).map(|p| format!("in {p} | - | tick | @{second}000\n"));
            ticks.collect::<Vec<_>>().concat()
        };
        let mut written = vec![];
        for second in 1..=12 {
            let rows = format!("in 1 | - | k{} | @{second}500\n", second % 3);
            let rows = tick(second) + &rows + &rows.replace("500", "000");
            written.extend(driver.batch_at((second + 1) * 1_000, &rows).unwrap().rows().map(str::to_owned));
        }
        let keyed: Vec<&String> = written.iter().filter(|row| row.contains("| k")).collect();
        // The windows of second n start at n - 1 and at n; closed are those that start at 9 or before.
        let mut expected: Vec<String> = (1..=10)
            .flat_map(|second| [second - 1, second].map(|start| (second, start)))
            .filter(|(_, start)| *start <= 9)
            .map(|(second, start)| format!("out | k{}@{} | 2 | @{second}500", second % 3, start * 1_000))
            .collect();
        expected.sort();
        let mut keyed: Vec<String> = keyed.into_iter().cloned().collect();
        keyed.sort();
        assert_eq!(keyed, expected, "{settings:?}");
    }
}

#[test]
fn when_input_stops_the_last_windows_close_and_nothing_is_kept_or_committed_any_more() {
    for threads in [0, 2] {
        let window = EventWindow::tumbling(secs(10)).lateness(secs(5)).idle_timeout(secs(20)).final_only();
        let mut driver = Driver::with(Settings { threads, ..with_partitions(2) }, counts(window));
        driver.batch_at(100_000, "in 0 | - | a | @99000\nin 0 | - | b | @91000\n").unwrap();
        let rest = driver.batch_at(160_000, "").unwrap();
        let given: Vec<(i64, &String)> =
            rest.batches.iter().flat_map(|b| b.rows.iter().map(|row| (b.time_ms, row))).collect();
        let rows: Vec<&str> = given.iter().map(|(_, row)| row.as_str()).collect();
        assert_eq!(rows, ["out | a@90000 | 1 | @99000", "out | b@90000 | 1 | @91000"], "{given:?}");
        // Idle from 120 s on at 99 s; the window closes at 105 s of event time.
        assert!(given.iter().all(|(time, _)| (126_000..=130_000).contains(time)), "{given:?}");
        // The marks of all state partitions have one key.
        assert_eq!(rows_kept(&mut driver, &mut BTreeMap::new()), 1);
        let _ = driver.take_reports();
        driver.batch_at(400_000, "").unwrap();
        assert!(driver.take_reports().iter().all(|report| !report.committed));
        // Rows of later windows are not late, though time has gone on.
        assert_eq!(driver.batch("in 0 | - | a | @111000\nin 1 | - | a | @111000\n").unwrap().to_string(), "");
        assert_eq!(late(&driver), 0);
        driver.batch("in 0 | - | a | @99000\n").unwrap();
        assert_eq!(late(&driver), 1, "its window was given");
    }
}

#[test]
fn a_program_that_gave_updates_gives_finals_of_the_same_state() {
    let window = EventWindow::tumbling(secs(1));
    let mut driver = Driver::with(with_partitions(1), counts(window));
    assert_eq!(driver.batch("in 0 | - | a | @900\n").unwrap().to_string(), "out | a@0 | 1 | @900\n");
    driver.restart_as(counts(window.final_only()));
    assert_eq!(driver.batch("in 0 | - | a | @950\n").unwrap().to_string(), "");
    assert_eq!(driver.batch("in 0 | - | b | @2000\n").unwrap().to_string(), "out | a@0 | 2 | @950\n");
}

#[test]
fn more_windows_than_fit_into_a_part_close_in_one_batch_once_each() {
    let settings = Settings { state_partitions: 1, ..with_partitions(1) };
    let mut driver = Driver::with(settings, |ssc: &StreamingContext| {
        let words = ssc.source::<Message<String>>(SourceOptions::topic("in"), Messages(Utf8));
        let many = words.flat_map(|m| {
            let time = m.timestamp_ms;
            (0..20_000i64).map(move |n| Message { value: n, timestamp_ms: time, ..Message::default() })
        });
        let window = EventWindow::tumbling(secs(1)).final_only();
        many.count_by_key_and_event_window(window, |m| m.value).to_kafka("out", AsText, AsText);
    });
    driver.batch_at(10_000, "in 0 | - | x | @1000\n").unwrap();
    driver.batch("in 0 | - | x | @1500\n").unwrap();
    let given = driver.batch("in 0 | - | x | @9000\n").unwrap();
    let rows: std::collections::BTreeSet<&str> = given.rows().collect();
    assert_eq!((given.rows().count(), rows.len()), (20_000, 20_000));
    assert!(rows.iter().all(|row| row.ends_with("@1000 | 2 | @1500")));
}

/// The watermarks that a listener was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Option<i64>>>>);

impl StreamingListener for Told {
    fn on_batch_completed(&self, batch: &BatchInfo) {
        self.0.lock().unwrap().push(batch.watermark_ms);
    }
}

#[test]
fn a_listener_sees_the_watermark() {
    let mut config = Config::new("app", "memory:watermark-told");
    (config.admin_bind, config.state_partitions) = (None, 2);
    config.trigger = Trigger::AsSoonAsPossible;
    let log = log::open(&config.bootstrap, &BTreeMap::new()).unwrap();
    for name in ["in", "out"] {
        let spec =
            TopicSpec { name: name.into(), partitions: 1, replication_factor: None, config: BTreeMap::new() };
        log.create(&spec).unwrap();
    }
    let ssc = StreamingContext::new(config);
    // Without an interval batches are cut for event time alone once input has stopped.
    counts(
        EventWindow::tumbling(Duration::from_millis(100))
            .idle_timeout(Duration::from_millis(500))
            .final_only(),
    )(&ssc);
    let told = Told::default();
    ssc.add_streaming_listener(told.clone());
    tidegate::testing::feed(&*log, 1, "in 0 | - | a | @1700000000000\n").unwrap();
    ssc.start().unwrap();
    until("the window is given", || read_all(&log, &tp("out", 0)).len() == 1);
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let told = told.0.lock().unwrap();
    let known: Vec<i64> = told.iter().flatten().copied().collect();
    assert_eq!(known.first(), Some(&1_700_000_000_000), "{told:?}");
    assert!(known.is_sorted() && known.last() == Some(&1_700_000_000_100), "{told:?}");
}

#[test]
fn outputs_carry_the_times_of_what_they_were_made_from_and_internal_topics_their_own() {
    let program = |ssc: &StreamingContext| {
        let options = SourceOptions::topic("in").on_bad_record(BadRecordPolicy::DeadLetter);
        let lines = ssc.source::<String>(options, Utf8);
        let numbers = lines.try_map(|line| line.parse::<u64>());
        numbers.map(|n| (n, n)).to_kafka("plain", AsText, AsText);
        numbers.map(|n| (n, n)).to_kafka_by(["chosen"], |_| "chosen", AsText, AsText);
        numbers.foreach_batch("batches", |_, _| ());
        // Nobody answers there, so the rows stay in the topic.
        numbers
            .map(|n| (n,))
            .to_postgres(PostgresSink::new("postgres://u@127.0.0.1:1/db", "numbers").columns(["n"]));
    };
    let settings = Settings { state_partitions: 1, ..Settings::default() };
    let mut driver = Driver::with(settings, program);
    let rows = "in 0 | - | 1 | @0\nin 1 | - | 2 | @500\nin 1 | - | 3 | @400\nin 2 | - | bad | @700\n";
    let written = shown(&driver.batch_at(10_000, rows).unwrap());
    // Of the partition that they came from, not of the batch; a time of 0 is one, too.
    for topic in ["plain", "chosen"] {
        let rows: Vec<&str> = written.lines().filter_map(|row| row.strip_prefix(topic)).collect();
        assert_eq!(rows, [" | 1 | 1 | @0", " | 2 | 2 | @500", " | 3 | 3 | @400"], "{topic}");
    }
    let dead = written.lines().find(|row| row.starts_with("app-dlq")).unwrap();
    assert!(!dead.contains(" | @") && dead.contains("__tidegate.errors.timestamp-ms=700"), "{dead}");
    let batches = driver.new_rows("app-foreach-batches").unwrap();
    let postgres: Vec<String> =
        written.lines().filter(|row| row.starts_with("app-postgres-numbers")).map(str::to_owned).collect();
    for outbox in [batches, postgres] {
        assert!(!outbox.is_empty() && outbox.iter().all(|row| !row.contains(" | @")), "{outbox:?}");
    }
}

#[test]
fn a_record_that_is_stamped_ahead_of_the_clock_does_not_stamp_its_results() {
    let mut driver = Driver::with(with_partitions(1), |ssc: &StreamingContext| {
        ssc.text("in")
            .map(|word| (word, 1u64))
            .running_reduce_by_key(|a, b| a + b)
            .to_kafka("out", Utf8, AsText);
    });
    let written = driver.batch_at(5_000, "in 0 | - | a | @4102444800000\n").unwrap();
    assert_eq!(shown(&written), "out | a | 1\n", "stamped when it was written");
}

#[test]
fn windows_that_a_restart_passed_over_are_given_and_each_row_is_in_one() {
    for settings in ways() {
        let mut driver = Driver::with(settings, |ssc: &StreamingContext| {
            ssc.text("in")
                .map(|_| 1u64)
                .reduce_by_window(|a, b| a + b, secs(2), secs(2))
                .map(|n| (0u8, n))
                .to_kafka("out", AsText, AsText);
        });
        let mut counted = 0;
        let mut count = |written: &Written| {
            counted += written
                .rows()
                .map(|row| row.split(" | ").nth(2).unwrap().parse::<u64>().unwrap())
                .sum::<u64>();
        };
        for second in 1..=7 {
            count(&driver.batch(&format!("in {} | - | x\n", second % 3)).unwrap());
        }
        driver.set_now_ms(11_000);
        let first = driver.batch("in 0 | - | y\n").unwrap();
        if settings.between == Between::GoesOn {
            assert_eq!(first.rows().count(), 2, "of second 7, and of second 12");
        }
        count(&first);
        (0..2).for_each(|_| count(&driver.batch("").unwrap())); // a process that died takes up its batch later
        assert_eq!(counted, 8, "{settings:?}");
    }
}

/// A clock that differs from the system's.
struct Shifted {
    system: runtime::clock::SystemClock,
    by_ms: AtomicI64,
}

impl Clock for Shifted {
    fn now_ms(&self) -> i64 {
        self.system.now_ms() + self.by_ms.load(Ordering::Relaxed)
    }
    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }
    fn sleep(&self, time: Duration) {
        self.system.sleep(time);
    }
}

#[derive(Default)]
struct Reports(Mutex<Vec<BatchReport>>);

impl Observer for Reports {
    fn on(&self, event: &Observed<'_>) {
        if let Observed::Batch(report) = event {
            self.0.lock().unwrap().push((*report).clone());
        }
    }
}

#[test]
fn windows_go_on_after_the_clock_was_an_hour_ahead() {
    let mut config = Config::new("app", "memory:clock-was-ahead");
    (config.admin_bind, config.threads, config.state_partitions) = (None, 0, 1);
    config.trigger = Trigger::Interval(Duration::from_millis(100));
    let log = log::open(&config.bootstrap, &BTreeMap::new()).unwrap();
    let spec =
        TopicSpec { name: "in".into(), partitions: 1, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
    let storage = MemoryStorage::default();
    let clock =
        Arc::new(Shifted { system: runtime::clock::SystemClock::new(), by_ms: AtomicI64::new(3_600_000) });
    let (out, mut reached) = (tp("out", 0), 0);
    let mut live = |what: &str, back: bool| {
        let ssc = StreamingContext::new(config.clone());
        let windows = ssc.text("in").count_by_window(Duration::from_millis(400), Duration::from_millis(200));
        windows.map(|n| (0u8, n)).to_kafka("out", AsText, AsText);
        let (shutdown, reports) = (Shutdown::default(), Arc::new(Reports::default()));
        let env = Env {
            log: log.clone(),
            storage: Arc::new(storage.clone()),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            observer: reports.clone(),
            instance: InstanceId("test".into()),
            incarnation_before: Incarnation(0),
        };
        let (of_life, plan) = (config.clone(), ssc.topology());
        let thread = std::thread::spawn(move || runtime::run(of_life, plan, env));
        let given = || log.end_offset(&out).map_or(0, |end| end.0);
        until(&format!("{what}: windows are given"), || given() >= reached + 3);
        if back {
            clock.by_ms.store(0, Ordering::Relaxed);
            reached = given();
            until("after the clock went back", || given() >= reached + 3);
        }
        reached = given();
        shutdown.request();
        thread.join().unwrap().unwrap();
        Arc::try_unwrap(reports).unwrap_or_else(|_| panic!("the engine has ended")).0.into_inner().unwrap()
    };
    let first = live("ahead", true);
    assert_eq!(first[0].ahead_ms, 0, "this clock is its only one");
    assert!(first.last().unwrap().ahead_ms > 3_000_000, "{:?}", first.last());
    let second = live("another process, with the right clock", false);
    assert!(second.iter().all(|report| report.ahead_ms > 3_000_000), "{second:?}");
    let times: Vec<i64> = second.iter().map(|report| report.time_ms).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100), "from interval to interval: {times:?}");
}
