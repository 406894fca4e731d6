//! Records that cannot be decoded or processed, under each policy: they are found one by one, and the others take
//! effect.

use crate::driver::{PLAIN, Session, WAYS, show};
use expect_test::{Expect, expect};
use tidegate::{
    BadRecordPolicy, Config, Error, SourceOptions, StreamingContext,
    codec::{self, AsText, Decode, Json, Message, Messages, Utf8},
    config::{RefusedRecordPolicy, Trigger},
    log, testing,
};

const ROWS: &str = "\
n 0 | a | 1
n 0 | b | 2
n 1 | a | ten | @7 | h=x
n 1 | b | 3
n 2 | c | -
n 2 | c | 4
";

/// Sums by key; each value is parsed by a function that may fail.
fn sums(policy: BadRecordPolicy) -> impl Fn(&StreamingContext) {
    move |ssc| {
        let source = SourceOptions::topic("n").on_bad_record(policy);
        let rows = ssc.source::<Message<String>>(source, Messages(Utf8));
        let pairs = rows.try_map(|m| m.value.parse::<i64>().map(|n| (key_of(&m), n)));
        pairs.running_reduce_by_key(|a, b| a + b).to_kafka("sums", Utf8, AsText);
    }
}

fn key_of(message: &Message<String>) -> String {
    String::from_utf8(message.key.as_deref().unwrap_or_default().to_vec()).unwrap()
}

/// Without the header of a dead letter that says when its record was written, if that was now.
fn without_now(row: &str) -> String {
    let is_now =
        |column: &&str| column.strip_prefix("__tidegate.errors.timestamp-ms=").is_some_and(|ms| ms.len() > 9);
    row.split(" | ").filter(|column| !is_now(column)).collect::<Vec<_>>().join(" | ")
}

/// The last row of each key of `topic`, and every other row.
fn last_sums(rows: Vec<String>) -> String {
    let mut last = std::collections::BTreeMap::new();
    for row in rows {
        let row = without_now(&row);
        let key =
            if row.starts_with("sums") { row.rsplit_once(" | ").unwrap().0.to_owned() } else { row.clone() };
        last.insert(key, row);
    }
    show(&[last.into_values().collect()])
}

fn check_all_ways(build: &dyn Fn(&StreamingContext), rows: &str, expected: &Expect) {
    let [first, others @ ..] = WAYS.map(|way| last_sums(Session::new(way).step(build, rows)));
    expected.assert_eq(&first);
    assert!(others.iter().all(|other| *other == first), "{others:?}");
}

#[test]
fn fail_stops_and_names_the_record() {
    for way in WAYS {
        let error = Session::new(way).step(&sums(BadRecordPolicy::Fail), ROWS).pop().unwrap();
        let places = ["n-1 at offset 0: ", "n-2 at offset 0: the value is null"];
        assert!(places.iter().any(|p| error.contains(p)) && error.contains("next: "), "{error}");
    }
    let one = "n 1 | b | 3\nn 1 | a | ten\n";
    let error = Session::new(PLAIN).step(&sums(BadRecordPolicy::Fail), one).pop().unwrap();
    expect![[r#"
        error: bad record in n-1 at offset 1: operator `try_map (made at tests/it/bad_records.rs:27:26)` on partition 1: invalid digit found in string
          next: fix the producer, or choose the policy `skip` or `dead-letter` for this source"#]].assert_eq(&error);
}

#[test]
fn records_before_a_failing_one_are_committed_and_a_later_run_continues_there() {
    let mut session = Session::new(PLAIN);
    let first =
        session.step(&sums(BadRecordPolicy::Fail), "n 1 | a | 5\nn 1 | b | 3\nn 1 | a | ten\nn 1 | a | 1\n");
    assert_eq!(first.len(), 3, "{first:?}");
    let second = session.step(&sums(BadRecordPolicy::Skip), "");
    assert_eq!(second, ["sums | a | 6"]);
}

#[test]
fn a_number_that_json_does_not_have_makes_its_record_bad_and_deletes_no_key() {
    let sums = |ssc: &StreamingContext| {
        let source = SourceOptions::topic("n").on_bad_record(BadRecordPolicy::DeadLetter);
        let rows = ssc.source::<Message<String>>(source, Messages(Utf8));
        let pairs = rows.try_map(|m| m.value.parse::<f64>().map(|n| (key_of(&m), n)));
        pairs.running_reduce_by_key(|a, b| a + b).to_kafka("sums", Utf8, Json);
    };
    let rows = "n 0 | a | 1\nn 0 | b | 4\nn 0 | b | NaN\nn 1 | c | inf\nn 1 | a | 2\n";
    for way in WAYS {
        let written = last_sums(Session::new(way).step(&sums, rows));
        let start = |row: &str| row.split(" | ").take(3).collect::<Vec<_>>().join(" | ");
        let rows: Vec<String> = written.lines().map(start).collect();
        assert_eq!(rows, ["app-dlq | b | NaN", "app-dlq | c | inf", "sums | a | 3.0", "sums | b | 4.0"]);
        assert!(written.contains("JSON has no number NaN"), "{written}");
    }
}

#[test]
fn a_record_that_its_topic_does_not_accept_stops_the_program_or_becomes_a_dead_letter() {
    let echo = |ssc: &StreamingContext| {
        let rows = ssc.source::<Message<String>>(SourceOptions::topic("n"), Messages(Utf8));
        rows.to_kafka("out", Utf8);
    };
    for policy in [RefusedRecordPolicy::Fail, RefusedRecordPolicy::DeadLetter] {
        let mut driver = testing::Driver::new(echo);
        driver.config().on_refused_record = policy;
        let config = [("max.message.bytes", "200"), ("cleanup.policy", "compact")];
        let config = config.map(|(name, value)| (name.into(), value.into())).into();
        let spec = log::TopicSpec { name: "out".into(), partitions: 4, replication_factor: None, config };
        driver.log().create(&spec).unwrap();
        let (fits, too_large) = ("1".repeat(120), "3".repeat(140));
        let rows = format!("n 0 | a | {fits}\nn 0 | - | two\nn 0 | c | {too_large}\nn 0 | d | four\n");
        match driver.batch(&rows) {
            Err(error) => {
                let text = error.to_string();
                let place = "topic `out`, a record of 3 bytes with the key null: the topic does not accept it: it has no key, and the topic is compacted";
                assert!(text.contains(place) && text.contains("\n  next: "), "{text}");
                assert_eq!(policy, RefusedRecordPolicy::Fail);
            }
            Ok(written) => {
                let text = written.to_string();
                let start = |row: &str| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ");
                let rows: Vec<String> = text.lines().map(start).collect();
                assert_eq!(rows, ["app-dlq | -", "app-dlq | c", "out | a", "out | d"]);
                for part in ["errors.output=out", "with the key `c`", "too large: it takes 211 bytes"] {
                    assert!(text.contains(part), "{part}: {text}");
                }
                assert_eq!(policy, RefusedRecordPolicy::DeadLetter);
            }
        }
    }
}

#[test]
fn skip_counts_each_bad_record_once() {
    check_all_ways(
        &sums(BadRecordPolicy::Skip),
        ROWS,
        &expect![[r#"
        sums | a | 1
        sums | b | 5
        sums | c | 4
    "#]],
    );
    let mut session = Session::new(PLAIN);
    session.step(&sums(BadRecordPolicy::Skip), ROWS);
    let skipped: usize = session.seen.batches.lock().unwrap().iter().map(|b| b.counters.skipped).sum();
    assert_eq!(skipped, 2, "even across the replays of the search");
    let mut reported = session.seen.bad.lock().unwrap().clone();
    reported.dedup();
    expect![[r#"
        [
            "n-1 0: operator `try_map (made at tests/it/bad_records.rs:27:26)` on partition 1: invalid digit found in string",
            "n-2 0: the value is null, which only an `Option` can hold: `Utf8` and `Json` read one, and so does `Nullable(codec)`",
        ]
    "#]].assert_debug_eq(&reported);
}

#[test]
fn dead_letters_are_the_exact_records_with_origin_and_reason() {
    check_all_ways(
        &sums(BadRecordPolicy::DeadLetter),
        ROWS,
        &expect![[r#"
        app-dlq | a | ten | h=x | __tidegate.errors.application=app | __tidegate.errors.topic=n | __tidegate.errors.partition=1 | __tidegate.errors.offset=0 | __tidegate.errors.timestamp-ms=7 | __tidegate.errors.message=operator `try_map (made at tests/it/bad_records.rs:27:26)` on partition 1: invalid digit found in string
        app-dlq | c | - | __tidegate.errors.application=app | __tidegate.errors.topic=n | __tidegate.errors.partition=2 | __tidegate.errors.offset=0 | __tidegate.errors.message=the value is null, which only an `Option` can hold: `Utf8` and `Json` read one, and so does `Nullable(codec)`
        sums | a | 1
        sums | b | 5
        sums | c | 4
    "#]],
    );
}

/// The value that no closure accepts; sums are never equal to it.
const BAD: u64 = 1013;

/// Values of 1000 to 1299 by their hundreds, over three partitions.
fn many() -> String {
    (1000..1300).fold(String::new(), |all, n| all + &format!("n {} | - | {n}\n", n % 3))
}

fn source(ssc: &StreamingContext) -> tidegate::DStream<(u64, u64)> {
    let source = SourceOptions::topic("n").on_bad_record(BadRecordPolicy::DeadLetter);
    ssc.source::<String>(source, Utf8).map(|n| n.parse().unwrap()).map(|n: u64| (n / 100, n))
}

fn refuse(n: u64) -> u64 {
    assert!(n != BAD, "no {n}");
    n
}

#[test]
fn a_panic_in_any_closure_is_found_among_many_records() {
    let programs: [(&str, fn(&StreamingContext)); 4] = [
        ("map", |ssc| source(ssc).map(|(k, n)| (k, refuse(n))).to_kafka("out", AsText, AsText)),
        ("filter", |ssc| source(ssc).filter(|(_, n)| refuse(*n) > 0).to_kafka("out", AsText, AsText)),
        ("running_reduce_by_key", |ssc| {
            source(ssc).running_reduce_by_key(|a, b| refuse(a) + refuse(b)).to_kafka("out", AsText, AsText);
        }),
        ("update_state_by_key", |ssc| {
            let sums = source(ssc).update_state_by_key(|new: Vec<u64>, sum: Option<u64>| {
                Some(sum.unwrap_or(0) + new.into_iter().map(refuse).sum::<u64>())
            });
            sums.to_kafka("out", AsText, AsText);
        }),
    ];
    for (kind, build) in programs {
        for way in [WAYS[0], WAYS[2]] {
            let mut session = Session::new(way);
            let written = session.step(&build, &many());
            assert!(!written.iter().any(|row| row.starts_with("error")), "{kind}: {:?}", written.last());
            let reported = session.seen.bad.lock().unwrap().clone();
            let is_named = |t: &String| t.starts_with("n-2 4: operator `") && t.contains("panicked: no 1013");
            assert!(reported.iter().all(is_named), "{kind}: {reported:?}");
            let dead_letters: Vec<_> = written.iter().filter(|row| row.starts_with("app-dlq")).collect();
            assert_eq!(dead_letters.len(), 1, "{kind}: {dead_letters:?}");
            assert!(dead_letters[0].starts_with("app-dlq | - | 1013 |"), "{kind}: {dead_letters:?}");
        }
    }
}

/// Reads numbers; panics on the bad one.
struct Numbers;

impl Decode<u64> for Numbers {
    fn decode(&self, raw: &tidegate::record::RawChunk, good: &mut Vec<u64>, _: &mut Vec<codec::BadRecord>) {
        let texts = raw.iter().map(|r| std::str::from_utf8(r.value.unwrap()).unwrap());
        good.extend(texts.map(|text| refuse(text.parse().unwrap())));
    }
}

#[test]
fn a_panic_of_a_decoder_affects_one_record_under_each_policy() {
    let build = |policy| {
        move |ssc: &StreamingContext| {
            let numbers = ssc.source::<u64>(SourceOptions::topic("n").on_bad_record(policy), Numbers);
            let sums = numbers.map(|n| (n / 100, n)).running_reduce_by_key(|a, b| a + b);
            sums.to_kafka("sums", AsText, AsText);
        }
    };
    let sum = |from: u64| (from..from + 100).sum::<u64>();
    let sums =
        format!("sums | 10 | {}\nsums | 11 | {}\nsums | 12 | {}\n", sum(1000) - BAD, sum(1100), sum(1200));
    for way in [WAYS[0], WAYS[2]] {
        let fail = Session::new(way).step(&build(BadRecordPolicy::Fail), &many()).pop().unwrap();
        let message = "error: bad record in n-2 at offset 4: the decoder panicked: no 1013\n  next: ";
        assert!(fail.starts_with(message), "{fail}");
        let mut session = Session::new(way);
        assert_eq!(last_sums(session.step(&build(BadRecordPolicy::Skip), &many())), sums);
        let skipped: usize = session.seen.batches.lock().unwrap().iter().map(|b| b.counters.skipped).sum();
        assert_eq!(skipped, 1);
        let dead_letters = last_sums(Session::new(way).step(&build(BadRecordPolicy::DeadLetter), &many()));
        let dead_letter = "app-dlq | - | 1013 | __tidegate.errors.application=app | __tidegate.errors.topic=n | __tidegate.errors.partition=2 | __tidegate.errors.offset=4 | __tidegate.errors.message=the decoder panicked: no 1013\n";
        assert_eq!(dead_letters, format!("{dead_letter}{sums}"));
    }
}

/// A number that cannot be kept in state if it is the bad one.
#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
struct Kept(u64);

impl serde::Serialize for Kept {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(refuse(self.0))
    }
}

#[test]
fn a_panic_while_encoding_state_affects_one_record() {
    let build = |ssc: &StreamingContext| {
        let all = source(ssc).map(|(_, n)| (n, n));
        let kept = all.update_state_by_key(|new: Vec<u64>, _: Option<Kept>| new.last().map(|n| Kept(*n)));
        kept.map(|(k, n)| (k, n.0)).to_kafka("out", AsText, AsText);
    };
    for way in [WAYS[0], WAYS[2]] {
        let written = Session::new(way).step(&build, &many());
        let dead_letters: Vec<_> = written.iter().filter(|row| row.starts_with("app-dlq")).collect();
        assert!(
            dead_letters.len() == 1 && dead_letters[0].starts_with("app-dlq | - | 1013 |"),
            "{dead_letters:?}"
        );
        assert!(
            dead_letters[0].contains("update_state_by_key") && dead_letters[0].ends_with("panicked: no 1013")
        );
        let mut rows: Vec<_> = written.iter().filter(|row| row.starts_with("out")).collect();
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), 299);
    }
}

#[test]
fn the_records_around_a_failing_one_take_effect_exactly_once() {
    let build = |ssc: &StreamingContext| {
        source(ssc).running_reduce_by_key(|a, b| refuse(a) + refuse(b)).to_kafka("sums", AsText, AsText);
    };
    for way in WAYS {
        let mut session = Session::new(way);
        session.feed(&many());
        session.run(&build).unwrap();
        // Sums only grow, so the last one of a key is the greatest.
        let mut greatest = std::collections::BTreeMap::new();
        for row in session.new_rows("sums") {
            let (key, n) = row.rsplit_once(" | ").unwrap();
            let n: u64 = n.parse().unwrap();
            greatest.entry(key.to_owned()).and_modify(|g: &mut u64| *g = n.max(*g)).or_insert(n);
        }
        let sum = |from: u64| (from..from + 100).sum::<u64>();
        assert_eq!(greatest.into_values().collect::<Vec<_>>(), [sum(1000) - BAD, sum(1100), sum(1200)]);
    }
}

#[test]
fn failing_records_of_a_later_stage_cost_few_batches_each() {
    let build = |ssc: &StreamingContext| {
        let source = SourceOptions::topic("n").on_bad_record(BadRecordPolicy::Skip);
        let counts =
            ssc.source::<String>(source, Utf8).map(|n| (n, 1u64)).running_reduce_by_key(|a, b| a + b);
        let good = counts.try_map(|(n, count)| if n.ends_with("42") { Err("no") } else { Ok((n, count)) });
        good.to_kafka("out", Utf8, AsText);
    };
    let rows = (0..2_000).fold(String::new(), |all, n| all + &format!("n 0 | - | {n}\n"));
    let mut session = Session::new(PLAIN);
    let mut written = session.step(&build, &rows);
    written.sort();
    written.dedup();
    assert_eq!(written.len(), 1_980, "the others, each once: {:?}", written.last());
    let batches = session.seen.batches.lock().unwrap();
    assert_eq!(batches.iter().map(|b| b.counters.skipped).sum::<usize>(), 20);
    let committed = batches.iter().filter(|b| b.committed).count();
    assert!(committed < 20 * 6, "{committed} batches were committed for 20 records that fail");
}

#[test]
fn a_failure_that_no_record_causes_blames_none() {
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = fails.clone();
    let build = move |ssc: &StreamingContext| {
        let fails = fails.clone();
        let sums = source(ssc).update_state_by_key(move |new: Vec<u64>, sum: Option<u64>| {
            assert!(!fails.load(std::sync::atomic::Ordering::Relaxed), "the state cannot be updated");
            Some(sum.unwrap_or(0) + new.iter().sum::<u64>())
        });
        sums.to_kafka("out", AsText, AsText);
    };
    let mut session = Session::new(PLAIN);
    session.step(&build, "n 0 | - | 1\n");
    switch.store(true, std::sync::atomic::Ordering::Relaxed);
    session.feed("n 0 | - | 2\nn 1 | - | 3\n");
    let error = session.run(&build).unwrap_err();
    assert!(matches!(error, Error::Operator { .. }), "{error}");
    assert!(error.to_string().contains("panicked: the state cannot be updated"), "{error}");
    assert_eq!(session.new_rows("app-dlq"), [""; 0]);
    switch.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(session.step(&build, "").last().map(String::as_str), Some("out | 0 | 6"));
}

#[test]
fn a_thousand_skipped_records_are_all_in_the_metric() {
    let mut config = Config::new("skipping", "memory:skipping");
    config.trigger = Trigger::AvailableNow;
    config.admin_bind = None;
    let log = log::open(&config.bootstrap, &config.properties).unwrap();
    testing::feed(&*log, 3, &("n 1 | c | -\n".repeat(1_000) + "n 1 | c | 4\n")).unwrap();
    let ssc = StreamingContext::new(config);
    sums(BadRecordPolicy::Skip)(&ssc);
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    let metrics = ssc.metrics().unwrap().render();
    let line = |l: &&str| l.starts_with("tidegate_records_failed_total{") && l.contains("reason=\"skipped\"");
    let skipped = metrics.lines().find(line).unwrap_or_else(|| panic!("{metrics}"));
    assert!(skipped.ends_with("} 1000"), "{skipped}");
}

#[test]
fn records_that_fail_before_an_exchange_do_not_cost_a_batch_each() {
    let mut config = Config::new("failing", "memory:failing-before-an-exchange");
    (config.trigger, config.admin_bind) = (Trigger::AvailableNow, None);
    let log = log::open(&config.bootstrap, &config.properties).unwrap();
    let rows = (0..1_000).fold(String::new(), |all, n| all + &format!("n {} | - | {n}\n", n % 3));
    testing::feed(&*log, 3, &rows).unwrap();
    let ssc = StreamingContext::new(config);
    let options = SourceOptions::topic("n").on_bad_record(BadRecordPolicy::Skip);
    let numbers = ssc.source::<String>(options, Utf8).map(|n| n.parse::<u64>().unwrap());
    let numbers = numbers.map(|n| {
        assert!(n % 10 != 0, "no {n}");
        n
    });
    let numbers = numbers.try_map(|n| if n % 10 == 1 { Err("a one") } else { Ok(n) });
    numbers.map(|n| (n, n)).to_kafka("out", AsText, AsText);
    ssc.start().unwrap();
    ssc.await_termination().unwrap();
    let metrics = ssc.metrics().unwrap().render();
    let count = |name: &str, label: &str| {
        let line = metrics.lines().find(|l| l.starts_with(&format!("{name}{{")) && l.contains(label));
        line.unwrap_or_else(|| panic!("{metrics}")).rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(count("tidegate_records_failed_total", "reason=\"skipped\""), 200);
    assert_eq!(count("tidegate_records_out_total", "topic=\"out\""), 800);
    // Each of the three partitions learns once that records of it fail.
    let given_up = count("tidegate_batches_total", "status=\"failed\"");
    assert!((1..=3).contains(&given_up), "{given_up} batches were given up");
}
