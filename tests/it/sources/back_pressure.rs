//! Rate limits: how many records a batch takes, and that nothing is lost by the limit.

use super::{collect, context_on, create, new_log, stop, write};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{Config, SourceOptions, StreamingContext, codec::Utf8, record::Text};

/// Records of each batch that took some.
fn sizes(ssc: &StreamingContext) -> Arc<Mutex<Vec<usize>>> {
    let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let into = sizes.clone();
    ssc.add_listener(move |batch| {
        if batch.counters.records_in > 0 {
            into.lock().unwrap().push(batch.counters.records_in);
        }
    });
    sizes
}

fn burst(name: &str, configure: impl FnOnce(&mut Config), count: usize, per_record: Duration) -> Vec<usize> {
    let (ssc, log) = context_on(&new_log(), name, configure);
    create(&log, "lines", 2);
    let lines: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    for partition in 0..2 {
        let half: Vec<(&str, i64)> =
            lines.iter().skip(partition).step_by(2).map(|l| (l.as_str(), 1)).collect();
        write(&log, "lines", u32::try_from(partition).unwrap(), &half);
    }
    let source = ssc.source::<Text>(SourceOptions::topic("lines"), Utf8);
    let rows = collect(&source.map(move |line| {
        if !per_record.is_zero() {
            std::thread::sleep(per_record);
        }
        line
    }));
    let sizes = sizes(&ssc);
    ssc.start().unwrap();
    let mut numbers: Vec<usize> = rows.until(&ssc, count).iter().map(|l| l.parse().unwrap()).collect();
    stop(&ssc, false);
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..count), "each record once");
    let sizes = sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().sum::<usize>(), count);
    sizes
}

#[test]
fn a_rate_per_partition_is_kept_exactly() {
    let free = burst("free", |_| {}, 3_000, Duration::ZERO);
    assert!(free.iter().any(|n| *n > 200), "without a bound: {free:?}");
    // 2,000 a second from each of two partitions, in batches of 50 ms.
    let bounded = burst("bounded", |c| c.max_rate_per_partition = Some(2_000), 3_000, Duration::ZERO);
    assert!(bounded.iter().all(|n| *n <= 200), "{bounded:?}");
    assert!(bounded.iter().filter(|n| **n == 200).count() >= 5, "the bound is used: {bounded:?}");
}

/// One millisecond per record and two partitions at once make at most 2,000 a second; a burst waits in the log, and
/// batches take as much as was achieved.
#[test]
fn back_pressure_bounds_a_burst_by_what_was_achieved() {
    let slow = |c: &mut Config| {
        c.threads = 1;
        c.trigger = tidegate::config::Trigger::Interval(Duration::from_millis(100));
    };
    let bounded = |c: &mut Config| {
        slow(c);
        c.backpressure = true;
        c.initial_rate = Some(400);
    };
    let free = burst("free", slow, 1_000, Duration::from_millis(1));
    assert!(free[0] > 41, "without back-pressure a batch takes what it can: {free:?}");
    let sizes = burst("pressed", bounded, 1_000, Duration::from_millis(1));
    assert!(sizes[0] <= 41, "the initial rate: {sizes:?}");
    assert!(sizes.iter().all(|n| *n <= 202), "at most what is done in 100 ms: {sizes:?}");
}

#[test]
fn bounds_of_the_rate_need_an_interval() {
    let mut config = Config::new("app", "memory:");
    config.trigger = tidegate::config::Trigger::AsSoonAsPossible;
    config.backpressure = true;
    assert!(config.validate().unwrap_err().to_string().contains("set a batch interval"));
    config.backpressure = false;
    config.max_rate_per_partition = Some(0);
    config.trigger = tidegate::config::Trigger::Interval(Duration::from_secs(1));
    assert!(config.validate().unwrap_err().to_string().contains("rate per partition: 0"));
}
