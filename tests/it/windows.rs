//! What each window operation emits, batch by batch; mistakes in durations; what a slide costs.

use expect_test::expect;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    BatchTime, Config, DStream, StreamingContext,
    codec::{AsText, Utf8},
    config::Trigger,
    testing::{Driver, Settings, run_every_way},
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn numbers(ssc: &StreamingContext) -> DStream<u64> {
    ssc.text("n").map(|line| line.parse().unwrap())
}

/// A row as text, so that a window of rows is one row of the table.
fn listed(stream: &DStream<u64>, topic: &str) {
    let all = stream.map(|n| ("window".to_owned(), vec![n])).reduce_by_key(|mut a, b| {
        a.extend(b);
        a.sort_unstable();
        a
    });
    all.map(|(key, all)| (key, format!("{all:?}"))).to_kafka(topic, Utf8, Utf8);
}

/// A batch for each number, with that number as its only row.
fn one_each(batches: u64) -> String {
    (1..=batches).map(|n| format!("n {} | - | {n}\n", n % 3)).collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_window_of_three_batches_slides_by_two() {
    let written = run_every_way(|ssc| listed(&numbers(ssc).window_by(secs(3), secs(2)), "out"), &one_each(6));
    expect![[r#"
        ---
        out | window | [1, 2]
        ---
        ---
        out | window | [2, 3, 4]
        ---
        ---
        out | window | [4, 5, 6]
    "#]]
    .assert_eq(&written);
}

#[test]
fn a_window_without_a_slide_is_emitted_at_every_batch() {
    let written = run_every_way(|ssc| listed(&numbers(ssc).window(secs(2)), "out"), &one_each(4));
    expect![[r#"
        out | window | [1]
        ---
        out | window | [1, 2]
        ---
        out | window | [2, 3]
        ---
        out | window | [3, 4]
    "#]]
    .assert_eq(&written);
}

#[test]
fn a_window_of_a_window_counts_in_slides_of_its_parent() {
    let program = |ssc: &StreamingContext| {
        let sums = numbers(ssc).reduce_by_window(|a, b| a + b, secs(2), secs(2));
        listed(&sums.window_by(secs(4), secs(4)), "out");
        listed(&sums.window(secs(6)).named("each"), "each");
    };
    let written = run_every_way(program, &one_each(8));
    expect![[r#"
        ---
        each | window | [3]
        ---
        ---
        each | window | [3, 7]
        out | window | [3, 7]
        ---
        ---
        each | window | [3, 7, 11]
        ---
        ---
        each | window | [7, 11, 15]
        out | window | [11, 15]
    "#]]
    .assert_eq(&written);
}

#[test]
fn counts_are_emitted_at_each_slide_even_of_empty_windows() {
    let program = |ssc: &StreamingContext| {
        let counts = numbers(ssc).count_by_window(secs(2), secs(2));
        counts.map(|n| ("count", n)).to_kafka("out", AsText, AsText);
    };
    let written = run_every_way(program, "---\n---\nn 0 | - | 1\n---\nn 1 | - | 1\nn 2 | - | 1\n---\n---\n");
    expect![[r#"
        ---
        out | count | 0
        ---
        ---
        out | count | 3
        ---
        ---
        out | count | 0
    "#]]
    .assert_eq(&written);
}

#[test]
fn keys_stay_at_zero_unless_a_filter_drops_them() {
    let program = |ssc: &StreamingContext| {
        let pairs = ssc.text("n").map(|word| (word, 1u64));
        let (length, slide) = (secs(2), secs(1));
        let add = |a: u64, b: u64| a + b;
        let all = pairs.reduce_by_key_and_window_inverse(add, |a, b| a - b, length, slide);
        all.to_kafka("all", Utf8, AsText);
        let kept = pairs.reduce_by_key_and_window_filtered(add, |a, b| a - b, length, slide, |_, n| *n > 0);
        kept.to_kafka("kept", Utf8, AsText);
    };
    let written = run_every_way(program, "n 0 | - | a\n---\nn 1 | - | b\n---\n---\n---\n");
    expect![[r#"
        all | a | 1
        kept | a | 1
        ---
        all | a | 1
        all | b | 1
        kept | a | 1
        kept | b | 1
        ---
        all | a | 0
        all | b | 1
        kept | b | 1
        ---
        all | a | 0
        all | b | 0
        ---
        all | a | 0
        all | b | 0
    "#]]
    .assert_eq(&written);
}

#[test]
fn instants_that_passed_while_nothing_ran_are_given_first() {
    let program = |ssc: &StreamingContext| {
        let windows = numbers(ssc).window_by(secs(4), secs(2));
        listed(&windows, "out");
        listed(&windows.window_by(secs(8), secs(2)), "of-windows");
    };
    let mut driver = Driver::new(program);
    let mut written = driver.batch_at(1_000, "n 0 | - | 1\n").unwrap().by_time();
    written += &driver.batch_at(2_000, "n 0 | - | 2\n").unwrap().by_time();
    written += &driver.batch_at(3_000, "n 0 | - | 3\n").unwrap().by_time();
    driver.set_now_ms(6_000); // 4 s and 6 s passed: they come first, and the rows of the batch at 7 s belong to 8 s
    written += &driver.batch("n 0 | - | 7\n").unwrap().by_time();
    written += &driver.batch("").unwrap().by_time();
    expect![[r#"
        2000:
        of-windows | window | [1, 2]
        out | window | [1, 2]
        7000:
        of-windows | window | [1, 1, 2, 2, 3, 3]
        of-windows | window | [1, 1, 2, 2, 3]
        out | window | [1, 2, 3]
        out | window | [3]
        8000:
        of-windows | window | [1, 1, 2, 2, 3, 3, 7]
        out | window | [7]
    "#]]
    .assert_eq(&written);
}

/// A message without file, line and column, which change with this file.
fn without_places(message: &str) -> String {
    let bare = |line: &str| {
        line.split(' ').filter(|word| !word.contains("tests/it/windows.rs:")).collect::<Vec<_>>().join(" ")
    };
    message.lines().map(bare).collect::<Vec<_>>().join("\n")
}

#[test]
fn durations_are_checked_against_the_slide_of_the_parent_when_the_program_starts() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let lines = ssc.text("n");
    let windows = lines.window_by(Duration::from_millis(2_500), secs(2));
    windows.window_by(secs(5), secs(3)).print();
    lines.window_by(secs(0), secs(1)).print();
    lines.union(&windows).print();
    let message = without_places(&ssc.start().unwrap_err().to_string());
    expect![[r#"
        this state and the one made at would both be called `n.window`
          help: name one of them: `.named("...")`
        The window duration of windowed DStream (2500 ms) must be a multiple of the slide duration of parent DStream (1000 ms)
        The window duration of windowed DStream (5000 ms) must be a multiple of the slide duration of parent DStream (2000 ms)
        The slide duration of windowed DStream (3000 ms) must be a multiple of the slide duration of parent DStream (2000 ms)
        The window duration of windowed DStream (0 ms) must be a multiple of the slide duration of parent DStream (1000 ms)
        Some of the DStreams have different slide durations (1000 ms, 2000 ms)
          help: give both windows the same slide"#]].assert_eq(&message);
}

#[test]
fn a_window_needs_a_batch_interval() {
    let mut config = Config::new("app", "memory:");
    config.trigger = Trigger::AsSoonAsPossible;
    let ssc = StreamingContext::new(config);
    ssc.text("n").window(secs(1)).print();
    expect![[r#"
        `window` needs a batch interval
          help: set one (--batch-interval-ms), or use a window over event time"#]]
    .assert_eq(&without_places(&ssc.start().unwrap_err().to_string()));
}

#[test]
fn a_name_applies_to_all_stores_of_a_window() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let counts = ssc.text("n").count_by_value_and_window(secs(2), secs(1)).named("words");
    counts.print();
    let names: Vec<String> =
        ssc.topology().nodes.iter().flat_map(|n| &n.stores).map(|s| s.name.clone()).collect();
    assert_eq!(names, ["words", "words.totals", "words.mark"]);
}

#[test]
fn large_windows_leave_in_chunks_and_complete() {
    let program = |ssc: &StreamingContext| {
        let words = ssc.text("n").flat_map(|line| (0..5_000u32).map(move |n| (format!("{line}-{n}"), 1u64)));
        let counts = words.reduce_by_key_and_window(|a, b| a + b, secs(3), secs(3));
        counts.count_by_window(secs(3), secs(3)).map(|n| ("keys", n)).to_kafka("out", AsText, AsText);
        let inverse = words.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, secs(3), secs(3));
        inverse.count_by_window(secs(3), secs(3)).map(|n| ("inverse", n)).to_kafka("out", AsText, AsText);
        let rows = words.window_by(secs(3), secs(3));
        rows.count_by_window(secs(3), secs(3)).map(|n| ("rows", n)).to_kafka("out", AsText, AsText);
    };
    let settings = Settings { state_partitions: 1, ..Settings::default() };
    let mut driver = Driver::with(settings, program);
    let input = |n: u64| format!("n 0 | - | a\nn 1 | - | {n}\nn 2 | - | {}\n", n % 2);
    let written: String = (1..=6).map(|n| driver.batch(&input(n)).unwrap().by_time()).collect();
    expect![[r#"
        1000:
        out | inverse | 0
        out | keys | 0
        out | rows | 0
        3000:
        out | inverse | 25000
        out | keys | 25000
        out | rows | 45000
        6000:
        out | inverse | 40000
        out | keys | 30000
        out | rows | 45000
    "#]]
    .assert_eq(&written);
}

/// As in Spark: a stream behind a window is computed at the slides, not at each batch.
#[test]
fn behind_a_window_everything_acts_at_its_slides_only() {
    let calls = Arc::new(Mutex::new(BTreeMap::<&str, Vec<i64>>::new()));
    let called = |what: &'static str| {
        let calls = calls.clone();
        move |time: BatchTime| calls.lock().unwrap().entry(what).or_default().push(time.0)
    };
    let mut driver = Driver::new(|ssc: &StreamingContext| {
        let window = numbers(ssc).window_by(secs(4), secs(2));
        let (rdd, transform, each, with) = (
            called("foreach_rdd"),
            called("transform"),
            called("transform_partitions"),
            called("transform_with"),
        );
        window.foreach_rdd(move |_, time| {
            rdd(time);
        });
        let transformed = window.transform(move |rows, time| {
            transform(time);
            rows
        });
        let both = window.transform_with(&transformed, move |rows, _, time| {
            with(time);
            rows
        });
        both.map(|n| (n, n)).to_kafka("both", AsText, AsText);
        let partitions = window.transform_partitions(move |rows, time| {
            each(time);
            rows
        });
        partitions.map(|n| (n, n)).to_kafka("each", AsText, AsText);
        window
            .map(|n| (n, ()))
            .update_state_by_key(|_, calls: Option<u64>| Some(calls.unwrap_or(0) + 1))
            .to_kafka("state", AsText, AsText);
    });
    let mut states = vec![];
    for batch in ["n 0 | - | 7\n", "", "", "", "", "", "", ""] {
        let written = driver.batch(batch).unwrap().to_string();
        states.push(written.lines().filter(|l| l.starts_with("state")).collect::<Vec<_>>().join(","));
    }
    assert_eq!(states, ["", "state | 7 | 1", "", "state | 7 | 2", "", "state | 7 | 3", "", "state | 7 | 4"]);
    let mut calls = calls.lock().unwrap();
    calls.values_mut().for_each(Vec::dedup); // of each partition
    for what in ["foreach_rdd", "transform", "transform_partitions", "transform_with"] {
        assert_eq!(calls[what], [2_000, 4_000, 6_000, 8_000], "{what}");
    }
}
