//! The public test driver: its times, its crashes and its errors about a malformed table.

use expect_test::expect;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    testing::{Between, Crash, Driver, Settings, ways},
};

fn counts(ssc: &StreamingContext) {
    let words = ssc.text("lines").flat_map(|line| line.split(' '));
    words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
}

/// Emits every state in every batch, so that empty batches can be seen.
fn states(ssc: &StreamingContext) {
    let words = ssc.text("lines").map(|word| (word, 1u64));
    let sums = words.update_state_by_key(|new: Vec<u64>, sum: Option<u64>| {
        Some(sum.unwrap_or(0) + new.iter().sum::<u64>())
    });
    sums.to_kafka("sums", Utf8, AsText);
}

#[test]
fn each_interval_up_to_a_time_is_a_batch_and_input_belongs_to_the_last() {
    for settings in ways() {
        let mut driver = Driver::with(Settings { interval_ms: 500, ..settings }, states);
        assert_eq!(driver.batch_at(500, "lines 0 | - | a\n").unwrap().rows().count(), 1, "{settings:?}");
        let written = driver.batch_at(2_000, "lines 1 | - | b\n").unwrap();
        let times: Vec<(i64, usize)> = written.batches.iter().map(|b| (b.time_ms, b.rows.len())).collect();
        assert_eq!(times, [(1_000, 1), (1_500, 1), (2_000, 2)], "{settings:?}");
        let mut reported: Vec<i64> = driver.take_reports().iter().map(|report| report.time_ms).collect();
        reported.dedup();
        let dies_before_it_reports = settings.between == Between::CrashAfterCommit;
        assert!(
            dies_before_it_reports || reported.starts_with(&[500, 1_000, 1_500, 2_000]),
            "{settings:?}: {reported:?}"
        );
        assert_eq!(driver.now_ms(), 2_000);
    }
    let mut driver = Driver::new(states);
    driver.set_now_ms(3_600_000);
    assert_eq!(driver.batch("lines 0 | - | a\n").unwrap().by_time(), "3601000:\nsums | a | 1\n");
    let refused = |time| Driver::new(states).batch_at(time, "").unwrap_err().to_string();
    expect!["configuration: a batch at 1500 ms: it must be a multiple of the interval (1000 ms) after the last batch (0 ms)"]
        .assert_eq(&refused(1_500));
    assert!(refused(0).contains("after the last batch"));
}

#[test]
fn a_crash_happens_where_it_was_asked_for_and_the_batch_takes_effect_once() {
    for (crash, calls_expected) in [(Crash::BeforeCommit, 3), (Crash::AfterCommit, 2)] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let mut driver = Driver::new(move |ssc| {
            let calls = counted.clone();
            let seen = ssc.text("lines").map(move |line| {
                calls.fetch_add(1, Ordering::Relaxed);
                (line, 1u64)
            });
            seen.running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
        });
        assert_eq!(driver.batch("lines 0 | - | a\n").unwrap().to_string(), "counts | a | 1\n");
        driver.crash_at(crash);
        assert_eq!(driver.crashes(), 0);
        assert_eq!(driver.batch("lines 0 | - | a\n").unwrap().to_string(), "counts | a | 2\n", "{crash:?}");
        assert_eq!((driver.crashes(), calls.load(Ordering::Relaxed)), (1, calls_expected), "{crash:?}");
        assert_eq!(driver.batch("").unwrap().to_string(), "", "{crash:?}");
        assert_eq!(driver.batch("lines 0 | - | a\n").unwrap().to_string(), "counts | a | 3\n", "{crash:?}");
    }
}

#[test]
fn a_program_is_replaced_over_its_state_and_mistakes_are_reported() {
    let mut driver = Driver::new(counts);
    driver.batch("lines 0 | - | a\n").unwrap();
    driver.restart_as(|ssc| {
        let words = ssc.text("lines").map(|word| (word, 10u64));
        words.running_reduce_by_key(|a, b| a + b).to_kafka("tens", Utf8, AsText);
    });
    assert_eq!(driver.batch("lines 0 | - | a\n").unwrap().to_string(), "tens | a | 11\n");
    let wrong = |row: &str| Driver::new(counts).batch(row).unwrap_err().to_string();
    expect![[r#"
        configuration: input row `lines | a`: it does not begin with topic and partition
          next: write it as `topic partition | key | value`"#]]
    .assert_eq(&wrong("lines | a\n"));
    assert!(wrong("lines x | - | a\n").contains("the partition is not a number"));
    assert!(wrong("lines 0 | - | a | b\n").contains("`b` is neither"));
    let nothing = Driver::new(|ssc| drop(ssc.text("lines"))).batch("").unwrap_err();
    assert!(nothing.to_string().contains("no output operations"), "{nothing}");
}

#[test]
fn a_program_that_fails_says_why_and_can_be_restarted() {
    let mut driver = Driver::new(|ssc| {
        ssc.text("n").try_map(|n| n.parse::<u8>()).map(|n| (n, n)).to_kafka("out", AsText, AsText);
    });
    assert_eq!(driver.batch("n 0 | - | 1\n").unwrap().to_string(), "out | 1 | 1\n");
    let failed = driver.batch("n 0 | - | one\n").unwrap_err().to_string();
    assert!(failed.starts_with("bad record in n-0 at offset 1"), "{failed}");
    driver.restart_as(|ssc| {
        ssc.text("n").map(|n| (n, 0)).to_kafka("out", Utf8, AsText);
    });
    assert_eq!(driver.batch("").unwrap().to_string(), "out | one | 0\n");
}

/// What each batch writes follows from the input, not from which process reads it.
#[test]
fn several_processes_write_together_what_one_writes() {
    let input = ["lines 0 | - | a b\nlines 1 | - | b\n", "", "lines 2 | - | a\n", "lines 0 | - | c a\n"];
    let program = |ssc: &StreamingContext| {
        counts(ssc);
        states(ssc);
        ssc.text("lines").count().map(|count| ("all", count)).to_kafka("number", Utf8, AsText);
    };
    let written = |settings: Settings| -> (Vec<String>, Driver<'_>) {
        let mut driver = Driver::with(settings, program);
        let written = input.iter().map(|rows| driver.batch(rows).unwrap().by_time()).collect();
        (written, driver)
    };
    let (expected, _) = written(Settings::default());
    for (processes, between) in [
        (2, Between::GoesOn),
        (3, Between::GoesOn),
        (8, Between::GoesOn),
        (3, Between::Restart),
        (2, Between::RestartWithoutState),
        (2, Between::CrashBeforeCommit),
        (3, Between::CrashAfterCommit),
    ] {
        let settings = Settings { processes, between, ..Settings::default() };
        let (found, driver) = written(settings);
        assert_eq!(found, expected, "{settings:?}");
        let crashes = matches!(between, Between::CrashBeforeCommit | Between::CrashAfterCommit);
        assert_eq!(driver.crashes() > 0, crashes, "{settings:?}");
        let inputs =
            driver.take_reports().into_iter().filter(|report| report.counters.records_in > 0).count();
        let dies_before_it_reports = between == Between::CrashAfterCommit;
        assert!(dies_before_it_reports || inputs >= input.len() - 1, "{settings:?}: {inputs} reports");
    }
}

#[test]
fn a_program_that_several_processes_would_not_share_is_refused() {
    let refused = |settings: Settings, program: fn(&StreamingContext)| {
        Driver::with(settings, program).batch("").unwrap_err().to_string()
    };
    let two = Settings { processes: 2, ..Settings::default() };
    let without_state = refused(two, |ssc| ssc.text("lines").to_kafka_values("out", Utf8));
    expect![[r#"
        configuration: several processes do not share this program: it has no state, or something that one process does by itself, such as a queue as its source
          next: run it with `processes: 1`"#]]
    .assert_eq(&without_state);
    let of_one = refused(Settings { state_partitions: 1, ..two }, counts);
    assert!(of_one.contains("2 processes have only 1 state partitions to share"), "{of_one}");
}
