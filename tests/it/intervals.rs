//! Batch intervals on a real clock: one batch per interval, even when it is longer than a transaction may be, when
//! intervals were missed, when a batch is given up, and when the program should stop. No test depends on how fast
//! it runs.

use crate::contract::{read_all, rows, tp, until};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    Config, DStream, SourceOptions, StreamingContext,
    codec::{AsText, Utf8},
    config::{ExchangeThrough, Trigger},
    log::{self, Log, TopicSpec},
    observe::BatchReport,
    record::{Partition, Text},
    source::BadRecordPolicy,
    testing::Driver,
};

fn context(
    name: &str,
    interval_ms: u64,
    configure: impl FnOnce(&mut Config),
) -> (StreamingContext, Arc<dyn Log>) {
    let mut config = Config::new("app", format!("memory:intervals-{name}"));
    config.trigger = Trigger::Interval(Duration::from_millis(interval_ms));
    (config.admin_bind, config.threads, config.state_partitions) = (None, 1, 2);
    configure(&mut config);
    let log = log::open(&config.bootstrap, &BTreeMap::new()).unwrap();
    for topic in ["lines", "out"] {
        let spec = TopicSpec {
            name: topic.into(),
            partitions: 1,
            replication_factor: None,
            config: BTreeMap::new(),
        };
        log.create(&spec).unwrap();
    }
    (StreamingContext::new(config), log)
}

fn write(log: &Arc<dyn Log>, lines: &[&str]) {
    let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("", *line)).collect();
    log::write(&**log, "lines", Some(Partition(0)), &rows(&lines)).unwrap();
}

/// All reports of batches.
fn reports(ssc: &StreamingContext) -> Arc<Mutex<Vec<BatchReport>>> {
    let reports: Arc<Mutex<Vec<BatchReport>>> = Arc::default();
    let into = reports.clone();
    ssc.add_listener(move |report| into.lock().unwrap().push(report.clone()));
    reports
}

fn times(reports: &Mutex<Vec<BatchReport>>) -> Vec<i64> {
    reports.lock().unwrap().iter().map(|r| r.time_ms).collect()
}

#[track_caller]
fn assert_each_interval_once(times: &[i64], interval_ms: i64) {
    assert!(times.len() > 1, "{times:?}");
    for pair in times.windows(2) {
        assert_eq!(pair[1] - pair[0], interval_ms, "{times:?}");
    }
    assert_eq!(times[0] % interval_ms, 0);
}

#[test]
fn an_interval_longer_than_the_transaction_timeout_is_one_batch() {
    let (ssc, log) = context("long", 2_500, |c| c.transaction_timeout = Duration::from_secs(1));
    // The rows are sent as they are read: the transaction opens early in the interval.
    ssc.text("lines").map(|line| (line.clone(), line)).to_kafka("out", Utf8, Utf8);
    let reports = reports(&ssc);
    ssc.start().unwrap();
    let begun_twice = || times(&reports).len() >= 2;
    until("two intervals are over", || {
        write(&log, &["x"]);
        begun_twice()
    });
    until("one more interval is over", || times(&reports).len() >= 3);
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let times = times(&reports);
    assert_each_interval_once(&times, 2_500); // the last one, which was cut short by the stop, still has the time of its boundary
    let reports = reports.lock().unwrap();
    assert!(
        reports.iter().any(|r| r.committed && r.total > Duration::from_secs(1)),
        "longer than the timeout"
    );
    let taken: usize = reports.iter().map(|r| r.counters.records_in).sum();
    assert_eq!(read_all(&log, &tp("out", 0)).len(), taken);
}

#[test]
fn missed_intervals_get_batches_of_their_own_and_every_window_is_emitted() {
    let (ssc, log) = context("missed", 200, |_| {});
    let slow = ssc.text("lines").map(|line| {
        if &*line == "slow" {
            std::thread::sleep(Duration::from_millis(1_500));
        }
        line
    });
    let instants: Arc<Mutex<Vec<i64>>> = Arc::default();
    let into = instants.clone();
    slow.count_by_window(Duration::from_millis(800), Duration::from_millis(400)).foreach_rdd(
        move |rdd, time| {
            if rdd.count() > 0 {
                into.lock().unwrap().push(time.0);
            }
        },
    );
    let reports = reports(&ssc);
    write(&log, &["first"]);
    ssc.start().unwrap();
    until("it runs", || instants.lock().unwrap().len() >= 2);
    write(&log, &["slow"]);
    let took_slow = || {
        let reports = reports.lock().unwrap();
        let slow = reports.iter().rposition(|r| r.total >= Duration::from_millis(1_500))?;
        (reports.len() > slow + 10).then_some(())
    };
    until("a batch missed some intervals", || took_slow().is_some());
    ssc.stop(false);
    ssc.await_termination().unwrap();
    assert_each_interval_once(&times(&reports), 200);
    assert_each_interval_once(&instants.lock().unwrap(), 400);
}

#[test]
fn batches_of_one_interval_share_its_rate() {
    let (ssc, log) = context("shared", 500, |c| {
        c.batch_records_max = 100;
        c.max_rate_per_partition = Some(300);
    });
    ssc.text("lines").map(|line| (line.clone(), line)).to_kafka("out", Utf8, Utf8);
    let reports = reports(&ssc);
    write(&log, &["x"; 600]);
    ssc.start().unwrap();
    let taken = || reports.lock().unwrap().iter().map(|r| r.counters.records_in).sum::<usize>();
    until("everything is taken", || taken() == 600);
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let mut intervals: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for report in reports.lock().unwrap().iter().filter(|r| r.counters.records_in > 0) {
        intervals.entry(report.time_ms.div_euclid(500)).or_default().push(report.counters.records_in);
    }
    assert!(intervals.values().all(|taken| taken.iter().sum::<usize>() <= 150), "{intervals:?}");
    assert!(
        intervals.values().any(|taken| taken.len() > 1),
        "an interval had several batches: {intervals:?}"
    );
}

#[test]
fn a_batch_that_is_given_up_runs_again_at_its_time() {
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let lines =
            ssc.source::<Text>(SourceOptions::topic("lines").on_bad_record(BadRecordPolicy::Skip), Utf8);
        let words = lines.map(|line| {
            assert!(&*line != "bad", "a bad line");
            (line, 1u64)
        });
        words.reduce_by_key(|a, b| a + b).to_kafka("out", Utf8, AsText);
    });
    driver.batch_at(1_000, "lines 0 | - | a\nlines 0 | - | bad\nlines 0 | - | b\n").unwrap();
    let reports = driver.take_reports();
    assert_eq!(reports[0].time_ms, 1_000);
    let times: BTreeSet<i64> = reports.iter().map(|r| r.time_ms).collect();
    assert_eq!(times.len(), reports.len(), "each committed batch has its own time");
    driver.batch("lines 0 | - | c\n").unwrap();
    assert_eq!(driver.take_reports().last().unwrap().time_ms, 2_000);
}

#[test]
fn a_stopping_program_does_not_wait_for_the_end_of_its_interval() {
    for graceful in [true, false] {
        let (ssc, log) = context(&format!("stop-{graceful}"), 86_400_000, |_| {});
        ssc.text("lines").map(|line| (line.clone(), line)).to_kafka("out", Utf8, Utf8);
        write(&log, &["x"; 10]);
        let reports = reports(&ssc);
        ssc.start().unwrap();
        assert!(!ssc.await_termination_or_timeout(Duration::from_millis(300)).unwrap());
        ssc.stop(graceful);
        assert!(ssc.await_termination_or_timeout(Duration::from_secs(60)).unwrap(), "graceful: {graceful}");
        if graceful {
            assert_eq!(reports.lock().unwrap().iter().map(|r| r.counters.records_in).sum::<usize>(), 10);
        }
    }
}

/// Counts lines that are there at the start, in intervals of six seconds: the lines of each call for a batch time, and the metrics.
fn counted(name: &str, lines: u64, configure: impl FnOnce(&mut Config)) -> (Vec<(i64, u64)>, String) {
    let (ssc, log) = context(name, 6_000, configure);
    let all = lines;
    let lines: Vec<String> = (0..lines).map(|n| format!("line {n}")).collect();
    write(&log, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let calls: Arc<Mutex<Vec<(i64, u64)>>> = Arc::default();
    let into = calls.clone();
    let counts = ssc.text("lines").map(|line| (line, 1u64)).reduce_by_key(|a, b| a + b);
    counts.foreach_rdd(move |rdd, time| {
        into.lock().unwrap().push((time.0, rdd.collect().iter().map(|(_, n)| n).sum()));
    });
    ssc.start().unwrap();
    until("all lines are counted", || calls.lock().unwrap().iter().map(|(_, n)| n).sum::<u64>() == all);
    ssc.stop(false);
    ssc.await_termination().unwrap();
    let calls = calls.lock().unwrap().clone();
    assert!(calls.iter().all(|(time, _)| time % 6_000 == 0), "{calls:?}");
    assert!(calls.windows(2).all(|pair| pair[0].0 < pair[1].0), "one batch for each interval: {calls:?}");
    (calls, ssc.metrics().unwrap().render())
}

const NONE_FULL: &str = "tidegate_full_batches_total{application_id=\"app\"} 0";
const NO_PARTS: &str = "tidegate_batch_parts_total{application_id=\"app\"} 0";

/// Where results depend on where batches begin and end, what does not fit in memory goes through the exchange topic.
#[test]
fn an_interval_is_one_batch_even_if_it_has_more_than_one_holds() {
    for exchange in [ExchangeThrough::Shared, ExchangeThrough::Topic] {
        let name = format!("parts-{exchange:?}");
        let (calls, metrics) = counted(&name, 20_000, |config| {
            (config.staged_bytes_max, config.exchange) = (1 << 16, exchange);
        });
        // How much an interval has depends on the machine; it is more than a batch holds.
        assert!(calls.iter().any(|(_, n)| *n > 5_000), "{calls:?}");
        assert!(!metrics.contains(NO_PARTS) && metrics.contains(NONE_FULL), "{metrics}");
    }
}

/// What does not fit there either is left for the next interval, as what cannot go through the topic.
#[test]
fn what_an_interval_has_no_room_for_is_left_for_the_next_one() {
    let (calls, metrics) = counted("full", 5_000, |config| {
        (config.staged_bytes_max, config.exchange) = (1 << 16, ExchangeThrough::Memory);
    });
    assert!(calls.iter().filter(|(_, n)| *n > 0).count() > 1, "not all of it fits: {calls:?}");
    assert!(!metrics.contains(NONE_FULL) && metrics.contains(NO_PARTS), "{metrics}");
    let (calls, metrics) = counted("waiting", 5_000, |config| {
        (config.staged_bytes_max, config.waiting_bytes_max) = (1 << 16, 20_000);
    });
    assert!(calls.iter().filter(|(_, n)| *n > 0).count() > 1, "not all of it fits: {calls:?}");
    assert!(!metrics.contains(NONE_FULL) && !metrics.contains(NO_PARTS), "{metrics}");
}

#[test]
fn rows_that_are_held_count_as_what_they_take_in_memory() {
    type Build = fn(&DStream<Text>) -> DStream<usize>;
    let programs: [(&str, Build); 4] = [
        ("rows", |lines| lines.map(|line| line.to_string()).map(|line| line.len())),
        ("grouped", |lines| {
            let grouped = lines.map(|line| (line.len(), line)).group_by_key();
            grouped.flat_map(|(len, lines)| lines.into_iter().map(move |_| len))
        }),
        ("joined", |lines| {
            let pairs = lines.map(|line| (line.clone(), line));
            pairs.join(&pairs).map(|(line, _)| line.len())
        }),
        ("transformed", |lines| {
            lines.transform(|lines, _| lines.into_iter().map(|line| line.len()).collect::<Vec<_>>())
        }),
    ];
    for (kind, build) in programs {
        let (ssc, log) = context(&format!("wide-{kind}"), 2_000, |config| {
            (config.staged_bytes_max, config.exchange) = (1 << 20, ExchangeThrough::Memory);
        });
        let lines: Vec<String> = (0..200).map(|n| format!("{n:020000}")).collect();
        write(&log, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let lines = ssc.text("lines");
        if kind == "rows" {
            lines.foreach_rdd(|_, _| {});
        }
        build(&lines).foreach_rdd(|_, _| {});
        ssc.start().unwrap();
        let none = "tidegate_full_batches_total{application_id=\"app\"} 0";
        until(&format!("4 MB do not fit into a batch of 1 MiB: {kind}"), || {
            ssc.metrics().is_some_and(|metrics| !metrics.render().contains(none))
        });
        ssc.stop(false);
        ssc.await_termination().unwrap();
    }
}

#[test]
fn rows_for_files_and_for_foreach_batch_count_as_what_was_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("lines").display().to_string();
    for kind in ["files", "foreach_batch"] {
        let (ssc, log) =
            context(&format!("encoded-{kind}"), 60_000, |config| config.staged_bytes_max = 1 << 20);
        let lines: Vec<String> = (0..200).map(|n| format!("{n:020000}")).collect();
        write(&log, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let lines = ssc.text("lines");
        if kind == "files" {
            lines.save_as_text_files(&prefix, "txt");
        } else {
            lines.map(|line| line.to_string()).foreach_batch("lines", |_, _| {});
        }
        let reports = reports(&ssc);
        ssc.start().unwrap();
        until(&format!("a batch of 1 MiB ends before it has 4 MB: {kind}"), || {
            reports.lock().unwrap().iter().any(|report| (1..200).contains(&report.counters.records_in))
        });
        ssc.stop(false);
        ssc.await_termination().unwrap();
    }
}
