//! What the operations on batches and pairs produce, in every way to run them.

use crate::driver::check;
use expect_test::expect;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate::{
    Config, DStream, StorageLevel, StreamingContext, Text,
    codec::{AsText, Utf8},
    config::Trigger,
    testing::{Driver, Settings, run},
};

const WORDS: &str = "\
w 0 | - | b
w 0 | - | a
w 1 | - | a
---
---
w 2 | - | c
w 0 | - | a
";

/// Pairs of the text before and after a colon.
fn pairs(ssc: &StreamingContext, topic: &str) -> DStream<(Text, Text)> {
    ssc.text(topic).filter_map(|line| line.split_once(':').map(|(k, v)| (k.into(), v.into())))
}

fn show<T: std::fmt::Debug>(rows: &T) -> String {
    format!("{rows:?}").replace('"', "")
}

#[test]
fn count_emits_a_row_in_each_batch_and_reduce_none_without_rows() {
    check(
        |ssc| {
            let words = ssc.text("w");
            words.count().map(|n| ("count", n)).to_kafka("out", Utf8, AsText);
            words.reduce(Ord::max).map(|w| ("max", w)).to_kafka("out", Utf8, Utf8);
            words.count_by_value().to_kafka("values", Utf8, AsText);
        },
        WORDS,
        &expect![[r#"
            out | count | 3
            out | max | b
            values | a | 2
            values | b | 1
            ---
            out | count | 0
            ---
            out | count | 2
            out | max | c
            values | a | 1
            values | c | 1
        "#]],
    );
}

#[test]
fn the_rows_of_a_window_are_counted_at_each_slide() {
    let two = Duration::from_secs(2);
    check(
        move |ssc| ssc.text("w").window_by(two, two).count().map(|n| ("n", n)).to_kafka("out", Utf8, AsText),
        "w 0 | - | a\n---\nw 1 | - | b\n---\n---\n---\nw 1 | - | c\n",
        &expect![[r#"
            ---
            out | n | 2
            ---
            ---
            out | n | 0
            ---
        "#]],
    );
}

#[test]
fn glom_and_map_partitions_see_each_partition_even_without_rows() {
    let input = "w 0 | - | b\nw 0 | - | a\nw 1 | - | c\n---\n";
    let program = |ssc: &StreamingContext| {
        let words = ssc.text("w");
        words.glom().map(|rows| ("glom", show(&rows))).to_kafka("out", Utf8, Utf8);
        words.map_partitions(|rows| [("partition", rows.len())]).to_kafka("out", Utf8, AsText);
        let timed = words.transform_partitions(|rows, time| rows.into_iter().map(move |w| (w, time.0)));
        timed.to_kafka("timed", Utf8, AsText);
    };
    check(
        program,
        input,
        &expect![[r#"
        out | glom | []
        out | glom | [b, a]
        out | glom | [c]
        out | partition | 0
        out | partition | 1
        out | partition | 2
        timed | a | 1000
        timed | b | 1000
        timed | c | 1000
        ---
        out | glom | []
        out | glom | []
        out | glom | []
        out | partition | 0
        out | partition | 0
        out | partition | 0
    "#]],
    );
}

#[test]
fn transform_sees_the_whole_batch_and_its_time_once() {
    check(
        |ssc| {
            let words = ssc.text("w");
            let numbers = words.transform(|mut rows, time| {
                rows.sort();
                [(time.0, show(&rows))]
            });
            numbers.to_kafka("sorted", AsText, Utf8);
            let stop = ssc.text("stop");
            let left = words.transform_with(&stop, |mut rows, stop, _| {
                rows.retain(|row| !stop.contains(row));
                rows
            });
            left.map(|w| (w, 1)).to_kafka("left", Utf8, AsText);
        },
        "w 0 | - | b\nw 1 | - | a\nstop 2 | - | b\n---\n---\nw 2 | - | b\n",
        &expect![[r#"
            left | a | 1
            sorted | 1000 | [a, b]
            ---
            sorted | 2000 | []
            ---
            left | b | 1
            sorted | 3000 | [b]
        "#]],
    );
}

#[test]
fn repartition_keeps_every_row_and_spreads_them() {
    let settings = Settings { state_partitions: 4, ..Settings::default() };
    let spread = |n: u32, settings: Settings| {
        let program = move |ssc: &StreamingContext| {
            let sizes = ssc.text("w").repartition(n).map_partitions(|rows| [rows.len()]);
            sizes.filter(|n| *n > 0).map(|n| (n, 1)).to_kafka("sizes", AsText, AsText);
        };
        let rows: String = (0..12).fold(String::new(), |all, n| all + &format!("w 1 | - | {n}\n"));
        run(settings, program, &rows).unwrap()
    };
    assert_eq!(spread(3, settings), "sizes | 4 | 1\n".repeat(3));
    assert_eq!(spread(100, settings), "sizes | 3 | 1\n".repeat(4));
    assert_eq!(spread(1, settings), "sizes | 12 | 1\n");
    let none = Driver::new(|ssc| ssc.text("w").repartition(0).print()).batch("").unwrap_err();
    assert!(none.to_string().contains("`repartition` into 0 partitions"), "{none}");
}

#[test]
fn many_streams_are_united() {
    check(
        |ssc| {
            let (a, b, c) = (ssc.text("a"), ssc.text("b"), ssc.text("c"));
            a.union_all([&b, &c]).map(|w| (w, 1)).to_kafka("all", Utf8, AsText);
            let counted = c.count_by_value().keys();
            counted.union_all([&a, &b]).map(|w| (w, 2)).to_kafka("all", Utf8, AsText);
        },
        "a 0 | - | x\nb 1 | - | y\nc 2 | - | z\nc 2 | - | z\n",
        &expect![[r#"
            all | x | 1
            all | x | 2
            all | y | 1
            all | y | 2
            all | z | 1
            all | z | 1
            all | z | 2
        "#]],
    );
}

#[test]
fn combining_and_grouping_by_key() {
    check(
        |ssc| {
            let lengths = pairs(ssc, "p").map_values(|v| v.len() as u64);
            let means = lengths.combine_by_key(
                |n| (n, 1u64),
                |(sum, count), n| (sum + n, count + 1),
                |a, b| (a.0 + b.0, a.1 + b.1),
            );
            means.map_values(|(sum, count)| format!("{sum}/{count}")).to_kafka("means", Utf8, Utf8);
            let most = lengths.aggregate_by_key(0, Ord::max, Ord::max);
            most.to_kafka("most", Utf8, AsText);
            let groups = lengths.group_by_key().map_values(|mut all| {
                all.sort_unstable();
                show(&all)
            });
            groups.to_kafka("groups", Utf8, Utf8);
            assert_eq!(ssc.topology().stages(), 2);
        },
        "p 0 | - | k:aaa\np 1 | - | k:a\np 1 | - | l:aa\n---\n---\np 2 | - | k:aa\n",
        &expect![[r#"
            groups | k | [1, 3]
            groups | l | [2]
            means | k | 4/2
            means | l | 2/1
            most | k | 3
            most | l | 2
            ---
            ---
            groups | k | [2]
            means | k | 2/1
            most | k | 2
        "#]],
    );
}

#[test]
fn keys_values_swap_and_several_values() {
    check(
        |ssc| {
            let pairs = pairs(ssc, "p");
            pairs.keys().map(|k| (k, 1)).to_kafka("keys", Utf8, AsText);
            pairs.values().map(|v| (v, 1)).to_kafka("values", Utf8, AsText);
            pairs.swap().to_kafka("swapped", Utf8, Utf8);
            let letters = pairs.flat_map_values(|v| v.chars().map(String::from).collect::<Vec<_>>());
            letters.to_kafka("letters", Utf8, Utf8);
        },
        "p 0 | - | k:xy\np 1 | - | l:\n",
        &expect![[r#"
            keys | k | 1
            keys | l | 1
            letters | k | x
            letters | k | y
            swapped |  | l
            swapped | xy | k
            values |  | 1
            values | xy | 1
        "#]],
    );
}

#[test]
fn rows_that_are_partitioned_once_need_no_further_exchange() {
    let program = |ssc: &StreamingContext| {
        let placed = pairs(ssc, "p").partition_by();
        let groups = placed.group_by_key().map_values(|v| v.len());
        let first = placed.flat_map_values(Some).reduce_by_key(Ord::min);
        groups.join(&first).map_values(|(n, v)| format!("{n} {v}")).to_kafka("out", Utf8, Utf8);
        assert_eq!(ssc.topology().stages(), 2);
    };
    let input = "p 0 | - | k:b\np 1 | - | k:a\np 1 | - | l:c\n";
    check(
        program,
        input,
        &expect![[r#"
        out | k | 2 a
        out | l | 1 c
    "#]],
    );
}

#[test]
fn every_kind_of_join() {
    check(
        |ssc| {
            let (l, r) = (pairs(ssc, "l"), pairs(ssc, "r"));
            l.join(&r).map_values(|both| show(&both)).to_kafka("inner", Utf8, Utf8);
            l.left_outer_join(&r).map_values(|both| show(&both)).to_kafka("left", Utf8, Utf8);
            l.right_outer_join(&r).map_values(|both| show(&both)).to_kafka("right", Utf8, Utf8);
            l.full_outer_join(&r).map_values(|both| show(&both)).to_kafka("full", Utf8, Utf8);
            l.cogroup(&r).map_values(|both| show(&both)).to_kafka("group", Utf8, Utf8);
            l.cogroup3(&r, &l).map_values(|three| show(&three)).to_kafka("three", Utf8, Utf8);
        },
        "l 0 | - | a:1\nr 1 | - | a:2\nl 1 | - | b:3\nr 2 | - | c:4\nr 2 | - | c:5\n---\nl 0 | - | c:6\n",
        &expect![[r#"
            full | a | (Some(1), Some(2))
            full | b | (Some(3), None)
            full | c | (None, Some(4))
            full | c | (None, Some(5))
            group | a | ([1], [2])
            group | b | ([3], [])
            group | c | ([], [4, 5])
            inner | a | (1, 2)
            left | a | (1, Some(2))
            left | b | (3, None)
            right | a | (Some(1), 2)
            right | c | (None, 4)
            right | c | (None, 5)
            three | a | ([1], [2], [1])
            three | b | ([3], [], [3])
            three | c | ([], [4, 5], [])
            ---
            full | c | (Some(6), None)
            group | c | ([6], [])
            left | c | (6, None)
            three | c | ([6], [], [6])
        "#]],
    );
}

#[test]
fn joins_with_a_map() {
    check(
        |ssc| {
            let map = [("a".into(), 1), ("b".into(), 2), ("a".into(), 3)];
            let pairs = pairs(ssc, "p");
            pairs.join_static(map.clone()).map_values(|both| show(&both)).to_kafka("inner", Utf8, Utf8);
            pairs.left_outer_join_static(map).map_values(|both| show(&both)).to_kafka("left", Utf8, Utf8);
            assert_eq!(ssc.topology().stages(), 1);
        },
        "p 0 | - | a:x\np 1 | - | c:y\n",
        &expect![[r#"
            inner | a | (x, 3)
            left | a | (x, Some(3))
            left | c | (y, None)
        "#]],
    );
}

#[test]
fn a_map_is_loaded_when_it_is_due_and_stays_when_loading_fails() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let mut driver = Driver::with(Settings { threads: 2, ..Settings::default() }, move |ssc| {
        let calls = counted.clone();
        let load = move || match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Ok([(Text::from("a"), "first")]),
            1 => Err("no answer"),
            2 => panic!("broken"),
            _ => Ok([(Text::from("a"), "later")]),
        };
        let joined = pairs(ssc, "p").join_reloaded(Duration::from_secs(2), load);
        joined.map_values(|(v, found)| format!("{v} {found:?}")).to_kafka("out", Utf8, Utf8);
    });
    let rows = "p 0 | - | a:x\np 1 | - | b:y\np 2 | - | a:z\n";
    let mut step = |time: i64, calls_after: usize, found: &str| {
        let written = driver.batch_at(time, rows).unwrap().batches.pop().unwrap().to_string();
        assert_eq!(
            written,
            format!("out | a | x Some({found:?})\nout | a | z Some({found:?})\nout | b | y None\n")
        );
        assert_eq!(calls.load(Ordering::Relaxed), calls_after, "at {time}");
    };
    step(1_000, 1, "first");
    step(2_000, 1, "first");
    step(3_000, 2, "first"); // no answer
    step(4_000, 2, "first");
    step(9_000, 3, "first"); // it panics
    step(11_000, 4, "later");
    let fails = |ssc: &StreamingContext| {
        let load = || Err::<Vec<(Text, u8)>, _>("no such file");
        pairs(ssc, "p").join_reloaded(Duration::from_secs(1), load).map(|_| 1).print();
    };
    let failed = Driver::new(fails).batch(rows).unwrap_err().to_string();
    assert!(failed.contains("tests/it/operations.rs") && failed.contains("no such file"), "{failed}");
}

#[test]
fn a_shared_stream_is_computed_once_whether_it_is_marked_or_not() {
    for marked in [false, true] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let mut driver = Driver::new(move |ssc| {
            let calls = counted.clone();
            let words = ssc.text("w").map(move |w| {
                calls.fetch_add(1, Ordering::Relaxed);
                w
            });
            let words = if marked { words.cache() } else { words };
            words.count().print();
            words.count_by_value().to_kafka("counts", Utf8, AsText);
            words.print();
        });
        assert_eq!(driver.batch("w 0 | - | a\nw 1 | - | b\n").unwrap().rows().count(), 5);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn storage_levels_and_operations_cannot_change_after_the_start() {
    let mut config = Config::new("app", "memory:operations");
    (config.trigger, config.admin_bind) = (Trigger::AvailableNow, None);
    let ssc = StreamingContext::new(config);
    let words = ssc.text("w");
    assert_eq!(words.storage_level(), StorageLevel::None);
    assert_eq!(words.persist().storage_level(), StorageLevel::Memory);
    assert_eq!(words.unpersist().storage_level(), StorageLevel::None);
    words.persist_at(StorageLevel::MemoryAndDisk).print();
    assert_eq!(words.storage_level(), StorageLevel::MemoryAndDisk);
    let log = tidegate::log::open("memory:operations", &std::collections::BTreeMap::new()).unwrap();
    tidegate::testing::feed(&*log, 1, "w 0 | - | a\n").unwrap();
    ssc.start().unwrap();
    let panic_of = |f: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        panic
            .downcast_ref::<String>()
            .cloned()
            .or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap()
    };
    let storage = panic_of(&|| drop(words.cache()));
    assert_eq!(storage, "Cannot change storage level of a DStream after streaming context has started");
    let added = panic_of(&|| words.print());
    let expected =
        "Adding new inputs, transformations, and output operations after starting a context is not supported";
    assert!(added.starts_with("tests/it/operations.rs:") && added.ends_with(expected), "{added}");
    ssc.await_termination().unwrap();
}

#[test]
fn operations_without_state_need_no_names_of_their_own() {
    check(
        |ssc: &StreamingContext| {
            let pairs = pairs(ssc, "p");
            let (first, last) = (pairs.reduce_by_key(Ord::min), pairs.reduce_by_key(Ord::max));
            first.join(&last).map(|(k, (a, b))| (k, format!("{a} {b}"))).to_kafka("out", Utf8, Utf8);
            for _ in 0..2 {
                pairs.filter(|(_, n)| n == "2").count().to_kafka_values("counts", AsText);
            }
        },
        "p 0 | - | k:1\np 1 | - | k:2\n",
        &expect![[r#"
        counts | - | 1
        counts | - | 1
        out | k | 1 2
    "#]],
    );
}

#[test]
fn an_impossible_storage_level_is_refused() {
    let mut driver = Driver::new(|ssc| {
        let words = ssc.text("w");
        words.persist_at(StorageLevel::Log).print();
        ssc.socket_text_stream_at("localhost", 1, StorageLevel::None).print();
    });
    let refused = driver.batch("").unwrap_err().to_string();
    expect![[r#"
        tests/it/operations.rs:440:15: `persist_at(StorageLevel::Log)`: what is computed is not kept in the log
          help: write it to a topic (`to_kafka`) that another program reads, or use `StorageLevel::Memory`
        tests/it/operations.rs:441:13: a receiver cannot have `StorageLevel::None`: its rows must be kept until their batch is committed
          help: `StorageLevel::Log` keeps them over a crash, `StorageLevel::Memory` does not"#]]
    .assert_eq(&refused);
}

#[test]
fn no_mark_changes_what_is_computed_or_written() {
    let program = |mark: fn(DStream<Text>) -> DStream<Text>| {
        move |ssc: &StreamingContext| {
            let words = mark(ssc.text("w"));
            words.count_by_value().to_kafka("counts", Utf8, AsText);
            words.print();
        }
    };
    let run = |mark| {
        let rows = "w 0 | - | a\nw 1 | - | b\n---\nw 2 | - | a\n";
        tidegate::testing::run(tidegate::testing::Settings::default(), program(mark), rows).unwrap()
    };
    let plain = run(|words| words);
    let marks: [fn(DStream<Text>) -> DStream<Text>; 4] = [
        |words| words.cache(),
        |words| words.persist_at(StorageLevel::MemoryAndDisk),
        |words| words.persist_at(StorageLevel::None),
        |words| words.persist().unpersist(),
    ];
    for mark in marks {
        assert_eq!(run(mark), plain);
    }
}
