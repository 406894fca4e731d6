//! Intervals with more input than a batch may hold: their rows go through the exchange topic in parts, and results have all of an
//! interval, or none of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    Config, DStream, StreamingContext, Text,
    codec::{AsText, Utf8},
    config::ExchangeThrough,
    record::TopicPartition,
    sink::to_display,
    testing::{Between, Driver, Settings},
};

const SECOND: Duration = Duration::from_secs(1);

/// Two batches with many lines, one without, one with few, and one with many.
fn batches() -> Vec<String> {
    let line = |n: usize| format!("lines {} | - | {} {n}\n", n % 3, ["a", "b", "c", "d", "e"][n * 7 % 5]);
    let of = |from: usize, to: usize| (from..to).map(line).collect::<String>();
    vec![of(0, 23), of(23, 61), String::new(), of(61, 62), of(62, 90)]
}

/// What functions were called with, by batch time.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<BTreeMap<i64, Vec<Vec<String>>>>>);

impl Calls {
    fn add(&self, time: i64, mut rows: Vec<String>) {
        rows.sort();
        self.0.lock().unwrap().entry(time).or_default().push(rows);
    }

    /// The rows of the last call for each time; what was given up may have been called before.
    fn last(&self) -> Vec<(i64, Vec<String>)> {
        let calls = self.0.lock().unwrap();
        calls.iter().map(|(time, calls)| (*time, calls.last().unwrap().clone())).collect()
    }

    fn are_once(&self) -> bool {
        self.0.lock().unwrap().values().all(|calls| calls.len() == 1)
    }
}

fn program(ssc: &StreamingContext, calls: &Calls) {
    let lines = ssc.text("lines");
    let pairs = lines.map(|line| {
        let (key, number) = line.split_once(' ').unwrap();
        (Text::from(key), number.parse::<u64>().unwrap())
    });
    pairs.print_rows(1000);
    pairs.count().map(|n| format!("count {n}")).print();
    pairs.map(|(_, n)| n).reduce(|a, b| a + b).map(|n| format!("sum {n}")).print();
    let write = |kind: &'static str, rows: &DStream<(Text, u64)>| {
        rows.map(move |(key, n)| (format!("{kind} {key}"), n)).to_kafka("out", Utf8, AsText);
    };
    let by_key = pairs.reduce_by_key(|a, b| a + b).named("by_key");
    write("by_key", &by_key);
    let ones = pairs.map(|(key, _)| (key, 1u64));
    write("running", &ones.running_reduce_by_key(|a, b| a + b));
    // How often the function ran for the key, and how many rows it got at most.
    let ran = |new: Vec<u64>, before: Option<(u64, u64)>| {
        let (runs, most) = before.unwrap_or_default();
        Some((runs + 1, most.max(new.len() as u64)))
    };
    let updates = ones.update_state_by_key(ran);
    write("runs", &updates.map(|(key, (runs, _))| (key, runs)));
    write("most", &updates.map(|(key, (_, most))| (key, most)));
    write("window", &ones.reduce_by_key_and_window(|a, b| a + b, 2 * SECOND, SECOND).named("window"));
    pairs.count_by_window(3 * SECOND, 2 * SECOND).map(|n| format!("window {n}")).print();
    // Behind two exchanges.
    let again = by_key.map(|(key, n)| (Text::from(if &*key < "c" { "low" } else { "high" }), n));
    write("again", &again.reduce_by_key(|a, b| a + b).named("again"));
    let called = calls.clone();
    pairs.foreach_rdd(move |rdd, time| {
        called.add(time.0, rdd.into_iter().map(|row| to_display(&row).unwrap()).collect());
    });
    let called = calls.clone();
    let lengths = pairs.transform(move |rows, time| {
        called.add(-time.0, rows.iter().map(|row| to_display(row).unwrap()).collect());
        [rows.len()]
    });
    lengths.map(|n| format!("length {n}")).print();
}

struct Ran {
    written: Vec<String>,
    calls: Calls,
    parts: usize,
    /// The most records of one transaction.
    most: usize,
    given_up: usize,
}

fn ran(settings: Settings, configure: impl Fn(&mut Config)) -> Ran {
    let calls = Calls::default();
    let mut driver = Driver::with(settings, |ssc: &StreamingContext| program(ssc, &calls));
    configure(driver.config());
    let written = batches().iter().map(|input| driver.batch(input).unwrap().to_string()).collect();
    let reports = driver.take_reports();
    Ran {
        written,
        parts: reports.iter().map(|report| report.counters.parts).sum(),
        most: reports.iter().map(|report| report.counters.records_in).max().unwrap(),
        given_up: driver.crashes(),
        calls: calls.clone(),
    }
}

fn ways() -> Vec<Settings> {
    let mut ways = vec![];
    for exchange in [ExchangeThrough::Topic, ExchangeThrough::Shared] {
        let plain = Settings { exchange, ..Settings::default() };
        ways.push(plain);
        ways.push(Settings { threads: 2, state_partitions: 3, ..plain });
        ways.push(Settings { between: Between::RestartWithoutState, ..plain });
        ways.push(Settings { between: Between::CrashBeforeCommit, ..plain });
    }
    ways
}

#[test]
fn results_of_an_interval_are_whole_however_much_it_has() {
    let whole = ran(Settings::default(), |_| {});
    assert_eq!((whole.parts, whole.calls.are_once()), (0, true));
    assert!(whole.written[1].contains("console | count 38\n"), "{}", whole.written[1]);
    assert!(whole.written[2].contains("console | count 0\n"), "{}", whole.written[2]);
    for settings in ways() {
        for records_max in [1, 5] {
            let parted = ran(settings, |config| config.batch_records_max = records_max);
            for (number, (written, expected)) in parted.written.iter().zip(&whole.written).enumerate() {
                assert_eq!(written, expected, "batch {number} of {settings:?}, {records_max} records");
            }
            assert_eq!(parted.calls.last(), whole.calls.last(), "{settings:?}, {records_max} records");
            // Each of the three input partitions is taken from at once.
            assert!(parted.parts >= 80 / (3 * records_max), "{settings:?}: {} parts", parted.parts);
            assert!(parted.most <= 3 * records_max, "{settings:?}: {} records at once", parted.most);
            assert_eq!(parted.given_up > 0, settings.between == Between::CrashBeforeCommit);
            assert!(
                parted.given_up > 0 || parted.calls.are_once(),
                "{settings:?}: called once for each time"
            );
        }
    }
}

/// State partitions with many rows of one time close it one after the other; so it is not in memory at once.
#[test]
fn large_times_are_closed_a_state_partition_at_a_time() {
    let lines: Vec<String> = (0..3_000).map(|n| format!("lines {} | - | key{n}\n", n % 3)).collect();
    let lines = lines.concat();
    let closings = |staged_bytes_max: usize| {
        let settings = Settings { exchange: ExchangeThrough::Topic, ..Settings::default() };
        let mut driver = Driver::with(settings, |ssc: &StreamingContext| {
            let pairs = ssc.text("lines").map(|line| (line, 1u64));
            pairs.reduce_by_key(|a, b| a + b).to_kafka("out", Utf8, AsText);
            pairs.map(|(key, _)| key).count().print();
        });
        driver.config().staged_bytes_max = staged_bytes_max;
        let written = driver.batch(&lines).unwrap().to_string();
        assert_eq!(written.lines().count(), 3_001, "each key once, and the count");
        assert!(written.contains("console | 3000\n"));
        let reports = driver.take_reports();
        reports.iter().filter(|r| r.counters.records_out() > 0).count()
    };
    assert_eq!(closings(192 << 20), 1);
    assert_eq!(closings(1 << 16), 8, "each state partition by itself");
}

#[test]
fn a_process_alone_uses_the_exchange_topic_only_for_intervals_that_have_no_room() {
    let settings = Settings { exchange: ExchangeThrough::Shared, ..Settings::default() };
    let calls = Calls::default();
    let mut driver = Driver::with(settings, |ssc: &StreamingContext| program(ssc, &calls));
    driver.config().batch_records_max = 30;
    driver.batch(&batches()[0]).unwrap();
    let log = driver.log();
    let exchanged = || -> u64 {
        (0..8).map(|n| log.end_offset(&TopicPartition::new("app-exchange", n)).unwrap().0).sum()
    };
    assert_eq!(exchanged(), 0, "a batch that has room needs no topic");
    driver.batch(&batches()[1]).unwrap();
    assert!(exchanged() > 0, "one that has not goes through it");
}
