//! What a program sees of its own past batches: bounds, empty batches, windows, and what is forgotten.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    BatchTime, DStream, StreamingContext,
    sink::Remembered,
    testing::{Crash, Driver},
};

type Seen = Arc<Mutex<Option<Remembered<usize>>>>;

fn program(seen: &Seen, lengths: impl Fn(&StreamingContext) -> DStream<usize>) -> impl Fn(&StreamingContext) {
    let seen = seen.clone();
    move |ssc| *seen.lock().unwrap() = Some(lengths(ssc).remembered())
}

fn slice(seen: &Seen, from_ms: i64, to_ms: i64) -> Vec<(i64, Vec<usize>)> {
    let seen = seen.lock().unwrap().clone().unwrap();
    let batches = seen.slice(BatchTime(from_ms), BatchTime(to_ms));
    batches.into_iter().map(|(time, rows)| (time.0, rows)).collect()
}

#[test]
fn bounds_are_rounded_down_to_the_interval_and_empty_batches_are_included() {
    let seen = Seen::default();
    let mut driver = Driver::new(program(&seen, |ssc| ssc.text("lines").map(|line| line.len())));
    for lines in ["lines 0 | - | one\n", "lines 0 | - | three\n", "", "lines 0 | - | four\n"] {
        driver.batch(lines).unwrap();
    }
    let (one, three, none, four) = ((1_000, vec![3]), (2_000, vec![5]), (3_000, vec![]), (4_000, vec![4]));
    assert_eq!(slice(&seen, 1_500, 2_500), [one.clone(), three.clone()]);
    assert_eq!(slice(&seen, 1_999, 1_999), vec![one.clone()]);
    assert_eq!(slice(&seen, 2_000, 4_000), [three.clone(), none.clone(), four.clone()]);
    assert_eq!(slice(&seen, -500, 999), [], "before the first batch");
    assert_eq!(slice(&seen, 4_999, 9_000), vec![four.clone()], "there is nothing from the future");
    assert_eq!(slice(&seen, 3_000, 2_999), []);
    assert_eq!(slice(&seen, i64::MIN, i64::MAX), [one, three, none, four]);
}

#[test]
fn a_window_has_a_batch_at_each_slide_only() {
    let seen = Seen::default();
    let mut driver = Driver::new(program(&seen, |ssc| {
        ssc.text("lines")
            .map(|line| line.len())
            .window_by(Duration::from_secs(4), Duration::from_secs(2))
            .map(|n| n * 10)
    }));
    driver.batch("lines 0 | - | one\n").unwrap();
    driver.batch_at(8_000, "").unwrap();
    let all = [(2_000, vec![30]), (4_000, vec![30]), (6_000, vec![]), (8_000, vec![])];
    assert_eq!(slice(&seen, 0, 8_000), all);
    assert_eq!(slice(&seen, 3_999, 5_999), all[..2]);
}

#[test]
fn a_batch_that_is_given_up_is_not_seen_and_old_ones_are_forgotten() {
    let seen = Seen::default();
    let mut driver = Driver::new(program(&seen, |ssc| ssc.text("lines").map(|line| line.len())));
    driver.config().remember = Duration::from_secs(2);
    driver.batch("lines 0 | - | one\n").unwrap();
    driver.crash_at(Crash::BeforeCommit);
    driver.batch("lines 0 | - | three\n").unwrap();
    assert_eq!(driver.crashes(), 1);
    assert_eq!(slice(&seen, 0, 9_000), [(2_000, vec![5])], "of this run, once");
    driver.batch("").unwrap();
    assert_eq!(slice(&seen, 0, 9_000), [(2_000, vec![5]), (3_000, vec![])]);
    driver.batch("").unwrap();
    assert_eq!(slice(&seen, 0, 9_000), [(3_000, vec![]), (4_000, vec![])]);
}
