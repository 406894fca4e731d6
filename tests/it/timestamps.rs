//! The timestamps of results by key: each the greatest of the records that it was made from, not of those that were read with them.

use std::{collections::BTreeMap, fmt::Write, time::Duration};
use tidegate::{
    DStream, StateSpec, StreamingContext,
    codec::{AsText, Encode, Utf8},
    record::{Key, Value},
    testing::{Driver, Settings, ways},
};

/// Three keys, mostly on one input partition, and out of order.
const FIRST: &str = "in 0 | - | a:1 | @100
in 0 | - | b:2 | @900
in 0 | - | a:3 | @300
in 1 | - | a:4 | @200
in 1 | - | c:5 | @700
other 0 | - | a:6 | @250
other 2 | - | d:7 | @800
";
/// One key, with a record that is older than those before.
const SECOND: &str = "in 1 | - | a:8 | @150\n";

fn pairs(ssc: &StreamingContext, topic: &str) -> DStream<(String, i64)> {
    ssc.text(topic).map(|row| {
        let (key, n) = row.split_once(':').unwrap();
        (key.to_owned(), n.parse().unwrap())
    })
}

fn shown<K: Key, V: Value + std::fmt::Debug>(rows: &DStream<(K, V)>)
where
    AsText: Encode<K>,
{
    rows.map(|(key, value)| (key, format!("{value:?}"))).to_kafka("out", AsText, Utf8);
}

/// Runs a program on both batches, in every way and on one state partition, on which all keys meet.
fn check(program: impl Fn(&StreamingContext), first: &[&str], second: &[&str]) {
    let on_one = ways().map(|way| Settings { state_partitions: 1, ..way });
    for settings in ways().into_iter().chain(on_one) {
        let mut driver = Driver::with(settings, &program);
        let batches = [driver.batch_at(10_000, FIRST).unwrap(), driver.batch(SECOND).unwrap()];
        let written = batches.each_ref().map(|batch| batch.rows().collect::<Vec<_>>());
        assert_eq!(written, [first, second], "{settings:?}");
    }
}

#[test]
fn what_is_combined_before_the_exchange_carries_the_times_of_its_key() {
    let sums = ["out | a | 8 | @300", "out | b | 2 | @900", "out | c | 5 | @700"];
    let second = ["out | a | 8 | @150"];
    check(|ssc| shown(&pairs(ssc, "in").reduce_by_key(|a, b| a + b)), &sums, &second);
    check(|ssc| shown(&pairs(ssc, "in").combine_by_key(|n| n, |a, n| a + n, |a, b| a + b)), &sums, &second);
    let running = |ssc: &StreamingContext| shown(&pairs(ssc, "in").running_reduce_by_key(|a, b| a + b));
    check(running, &sums, &["out | a | 16 | @150"]);
    let counts = ["out | a | 3 | @300", "out | b | 1 | @900", "out | c | 1 | @700"];
    check(|ssc| shown(&pairs(ssc, "in").keys().count_by_value()), &counts, &["out | a | 1 | @150"]);
}

#[test]
fn what_is_not_combined_carries_the_times_of_its_key() {
    let sorted = |values: Vec<i64>| {
        let mut values = values;
        values.sort_unstable();
        values
    };
    check(
        |ssc| shown(&pairs(ssc, "in").group_by_key().map_values(sorted)),
        &["out | a | [1, 3, 4] | @300", "out | b | [2] | @900", "out | c | [5] | @700"],
        &["out | a | [8] | @150"],
    );
    check(
        |ssc| shown(&pairs(ssc, "in").partition_by()),
        &[
            "out | a | 1 | @100",
            "out | a | 3 | @300",
            "out | a | 4 | @200",
            "out | b | 2 | @900",
            "out | c | 5 | @700",
        ],
        &["out | a | 8 | @150"],
    );
    let spread = |ssc: &StreamingContext| shown(&pairs(ssc, "in").repartition(2).filter(|(_, n)| n % 2 == 1));
    check(spread, &["out | a | 1 | @100", "out | a | 3 | @300", "out | c | 5 | @700"], &[]);
}

#[test]
fn state_carries_the_times_of_the_records_that_changed_it() {
    // A key without a record is dropped.
    let sum = |new: Vec<i64>, sum: Option<i64>| {
        (!new.is_empty()).then(|| sum.unwrap_or(0) + new.into_iter().sum::<i64>())
    };
    check(
        |ssc| shown(&pairs(ssc, "in").update_state_by_key(sum)),
        &["out | a | 8 | @300", "out | b | 2 | @900", "out | c | 5 | @700"],
        &["out | a | 16 | @150"],
    );
}

/// Passes each row on, and keeps it.
fn passing() -> StateSpec<String, i64, i64, (String, i64)> {
    StateSpec::function(|_, key: &String, new, last| {
        if let Some(new) = new {
            last.update(new);
        }
        Some((key.clone(), new.unwrap_or(-1)))
    })
}

#[test]
fn a_row_of_map_with_state_carries_the_time_of_its_record() {
    check(
        |ssc| shown(&pairs(ssc, "in").map_with_state(passing())),
        &[
            "out | a | 1 | @100",
            "out | a | 3 | @300",
            "out | a | 4 | @200",
            "out | b | 2 | @900",
            "out | c | 5 | @700",
        ],
        &["out | a | 8 | @150"],
    );
}

#[test]
fn what_is_joined_carries_the_greater_time() {
    let both = |ssc: &StreamingContext| (pairs(ssc, "in"), pairs(ssc, "other"));
    let inner = ["out | a | (1, 6) | @250", "out | a | (3, 6) | @300", "out | a | (4, 6) | @250"];
    check(
        |ssc| {
            let (left, right) = both(ssc);
            shown(&left.join(&right));
        },
        &inner,
        &[],
    );
    check(
        |ssc| {
            let (left, right) = both(ssc);
            shown(&left.full_outer_join(&right).filter(|(key, _)| key != "a"));
        },
        &[
            "out | b | (Some(2), None) | @900",
            "out | c | (Some(5), None) | @700",
            "out | d | (None, Some(7)) | @800",
        ],
        &[],
    );
    let counts = |ssc: &StreamingContext| {
        let (left, right) = both(ssc);
        let two = left.cogroup(&right).map_values(|(left, right)| (left.len(), right.len()));
        let three = left.cogroup3(&right, &left.map_values(|n| n * 10).named("tenfold"));
        let three = three.map_values(|(left, right, third)| (left.len(), right.len() + third.len()));
        shown(&two.union(&three));
    };
    check(
        counts,
        &[
            "out | a | (3, 1) | @300",
            "out | a | (3, 4) | @300",
            "out | b | (1, 0) | @900",
            "out | b | (1, 1) | @900",
            "out | c | (1, 0) | @700",
            "out | c | (1, 1) | @700",
            "out | d | (0, 1) | @800",
            "out | d | (0, 1) | @800",
        ],
        &["out | a | (1, 0) | @150", "out | a | (1, 1) | @150"],
    );
}

#[test]
fn times_go_through_two_keyed_stages() {
    check(
        |ssc| {
            let sums = pairs(ssc, "in").running_reduce_by_key(|a, b| a + b);
            // a and c are in one group, b alone in the other.
            let groups = sums.map(|(key, n)| (key == "b", n)).reduce_by_key(|a, b| a + b);
            shown(&groups.map(|(is_b, n)| (u8::from(is_b), n)));
        },
        &["out | 0 | 13 | @700", "out | 1 | 2 | @900"],
        &["out | 0 | 16 | @150"],
    );
}

#[test]
fn a_key_without_a_record_carries_the_time_of_its_state_partitions_batch() {
    for threads in [0, 2] {
        let settings = Settings { threads, state_partitions: 1, ..Settings::default() };
        let sum = |new: Vec<i64>, sum: Option<i64>| Some(sum.unwrap_or(0) + new.into_iter().sum::<i64>());
        let mut driver = Driver::with(settings, |ssc| {
            let rows = pairs(ssc, "in");
            shown(&rows.update_state_by_key(sum));
            shown(
                &rows
                    .map_with_state(passing().idle_timeout(Duration::from_secs(1)))
                    .filter(|(_, n)| *n == -1),
            );
            let length = Duration::from_secs(2);
            let windows = rows.reduce_by_key_and_window(|a, b| a + b, length, length);
            shown(&windows.map_values(|n| -n));
        });
        driver.batch_at(10_000, FIRST).unwrap();
        let second = driver.batch("in 0 | - | a:8 | @150\nin 0 | - | b:1 | @140\n").unwrap();
        let states = ["out | a | 16 | @150", "out | b | 3 | @140", "out | c | 5 | @150"];
        assert_eq!(second.rows().collect::<Vec<_>>(), states, "of the batch of 11 s");
        let third = driver.batch("in 0 | - | a:1 | @170\nin 0 | - | b:1 | @160\n").unwrap();
        assert_eq!(
            third.rows().collect::<Vec<_>>(),
            [
                "out | a | -9 | @170",
                "out | a | 17 | @170",
                "out | b | -2 | @170",
                "out | b | 4 | @160",
                "out | c | -1 | @170", // its time is out
                "out | c | 5 | @170"
            ],
            "of the batch of 12 s"
        );
        let fourth = driver.batch("").unwrap();
        let unstamped = fourth.rows().all(|row| !row.contains('@'));
        assert!(unstamped && fourth.rows().count() == 3, "no record, no time: {fourth}");
    }
}

#[test]
fn each_of_many_keys_has_its_own_time() {
    // More than an exchange holds back of keys that hardly repeat.
    let keys = 12_000u64;
    let (mut rows, mut greatest) = (String::new(), BTreeMap::new());
    for n in 0..keys + 500 {
        let (key, ms) = (n % keys, n.wrapping_mul(7_919) % 10_007);
        let _ = writeln!(rows, "in {} | - | {key}:{n} | @{ms}", n % 3);
        let of_key = greatest.entry(key.to_string()).or_insert(ms);
        *of_key = ms.max(*of_key);
    }
    for threads in [0, 2] {
        for combines in [false, true] {
            let settings = Settings { threads, ..Settings::default() };
            let mut driver = Driver::with(settings, |ssc| {
                let rows = pairs(ssc, "in");
                let of_keys = if combines {
                    rows.running_reduce_by_key(|a, b| a + b)
                } else {
                    rows.group_by_key().map_values(|values| values.iter().sum())
                };
                of_keys.map(|(key, _)| (key, 0u8)).to_kafka("out", AsText, AsText);
            });
            let written = driver.batch_at(20_000, &rows).unwrap();
            let expected: Vec<String> =
                greatest.iter().map(|(key, ms)| format!("out | {key} | 0 | @{ms}")).collect();
            let mut written: Vec<&str> = written.rows().collect();
            written.sort_by_key(|row| row.split(" | ").nth(1).unwrap().to_owned());
            assert_eq!(written, expected, "{threads} threads, combines: {combines}");
        }
    }
}

#[test]
fn rows_that_stay_where_they_are_keep_the_times_of_their_records() {
    let rows = "in 0 | - | a:2 | @100\nin 0 | - | x:0 | @800\nin 0 | - | b:1 | @50\nin 1 | - | a:1 | @400\n";
    let table = [("a".to_owned(), 'A'), ("b".to_owned(), 'B')];
    let load = {
        let table = table.clone();
        move || Ok::<_, String>(table.clone())
    };
    let mut driver = Driver::new(move |ssc: &StreamingContext| {
        let rows = pairs(ssc, "in");
        let as_text = |found: Option<char>| found.map_or("?".into(), String::from);
        let inner = rows.join_static(table.clone()).map_values(|(_, found)| format!("inner {found}"));
        let outer = rows.left_outer_join_static(table.clone());
        let outer = outer.map_values(move |(_, found)| format!("outer {}", as_text(found)));
        let reloaded = rows.join_reloaded(Duration::from_secs(1), load.clone());
        let reloaded = reloaded.map_values(move |(_, found)| format!("reloaded {}", as_text(found)));
        let many = rows.flat_map_values(|n| (0..n).map(|n| format!("many {n}")));
        let some = rows.filter_map(|(key, n)| (n == 1).then(|| (key, "some".to_owned())));
        inner.union_all([&outer, &reloaded, &many, &some]).to_kafka("out", Utf8, Utf8);
    });
    let written = driver.batch_at(10_000, rows).unwrap();
    let mut expected: Vec<String> = vec![];
    for (key, found, n, ms) in [("a", "A", 2, 100), ("x", "", 0, 800), ("b", "B", 1, 50), ("a", "A", 1, 400)]
    {
        let or_none = if found.is_empty() { "?" } else { found };
        let mut add = |text: String| expected.push(format!("out | {key} | {text} | @{ms}"));
        if !found.is_empty() {
            add(format!("inner {found}"));
        }
        add(format!("outer {or_none}"));
        add(format!("reloaded {or_none}"));
        (0..n).for_each(|n| add(format!("many {n}")));
        if n == 1 {
            add("some".into());
        }
    }
    expected.sort();
    assert_eq!(written.rows().collect::<Vec<_>>(), expected);
}
