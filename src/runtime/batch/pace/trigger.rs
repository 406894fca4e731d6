//! When a batch ends, and what its batch time is.
//!
//! Pure: the clock's readings are arguments. Owns the alignment to the interval. Invariants: a batch's time is greater than the
//! last one, and ahead of the clock by more than an interval only if the clock was ahead before, or went back: then times go on from
//! interval to interval, a tenth slower than the clock, until it has caught up. With an interval, each multiple of it that passes while
//! the process runs is the time of a batch, in order, up to [`LATE_INTERVALS_MAX`]. After a start, and before intervals that are merged,
//! the instants that windows passed over come first, as long as what they had kept reaches, and as many. A batch that ends before its boundary, because it
//! is full or partitions move, has the boundary's time all the same; what is left of its interval goes to further batches, each one
//! millisecond later, or, where an interval must be one batch, to the batch of the next interval.

use crate::{config::Trigger, record::BatchTime};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

/// A batch of a trigger without an interval ends after this time at the latest.
const UNTIMED_BATCH_MAX: Duration = Duration::from_secs(1);
/// This many intervals that were missed while the process ran get batches of their own; older ones are merged
/// into the first of these.
pub const LATE_INTERVALS_MAX: i64 = 100;

/// A batch to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its time.
    pub time: BatchTime,
    /// Whether it is the first of its interval; without an interval every batch is.
    pub opens_interval: bool,
}

/// What counts as the last batch time when the first batch of a process is cut: intervals that passed while nothing ran have no batch.
#[must_use]
pub fn last_before_start(trigger: Trigger, now_ms: i64, last: BatchTime) -> BatchTime {
    match interval_ms(trigger) {
        Some(interval) => BatchTime(last.0.max(now_ms.div_euclid(interval) * interval)),
        None => last,
    }
}

/// What counts as the last batch time when a later batch is cut: intervals that passed so long ago are merged into the next batch.
#[must_use]
pub fn last_before_late(trigger: Trigger, now_ms: i64, last: BatchTime) -> BatchTime {
    match interval_ms(trigger) {
        Some(interval) => {
            let missed = now_ms.div_euclid(interval).saturating_sub(LATE_INTERVALS_MAX);
            BatchTime(last.0.max(missed.saturating_mul(interval)))
        }
        None => last,
    }
}

/// The times of batches for instants of windows that passed while nothing ran, or so long ago that their intervals are merged. The last
/// batch was at `last`, the next one that takes input comes after `resumes`. Of each window its slide is given, and how long after a row it may still give it.
#[must_use]
pub fn passed_over(
    trigger: Trigger,
    last: BatchTime,
    resumes: BatchTime,
    windows: &[(Option<Duration>, Duration)],
) -> VecDeque<BatchTime> {
    if last <= BatchTime(0) {
        return VecDeque::new();
    }
    let mut times = BTreeSet::new();
    for (step, reach) in reaches_ms(trigger, windows) {
        let until = resumes.0.min(last.0.saturating_add(reach));
        let latest = (0..LATE_INTERVALS_MAX).map(|n| until.div_euclid(step) * step - n * step);
        times.extend(latest.take_while(|time| *time > last.0).map(BatchTime));
    }
    let surplus = times.len().saturating_sub(usize::try_from(LATE_INTERVALS_MAX).unwrap_or(usize::MAX));
    times.into_iter().skip(surplus).collect()
}

/// The slide of each window, and how long after a row it may still give it, milliseconds. None without an interval.
pub fn reaches_ms(
    trigger: Trigger,
    windows: &[(Option<Duration>, Duration)],
) -> impl Iterator<Item = (i64, i64)> {
    let interval = interval_ms(trigger);
    let reach = move |(slide, reach): &(Option<Duration>, Duration)| {
        Some((slide.map_or(interval?, millis).max(1), millis(*reach)))
    };
    windows.iter().filter_map(reach)
}

/// The greatest time that the clock may show while a batch takes input that has this time and was cut at `now_ms`, unless its time is
/// ahead of the clock.
#[must_use]
pub fn clock_until(trigger: Trigger, now_ms: i64, time: BatchTime) -> i64 {
    now_ms.max(time.0.min(now_ms.saturating_add(interval_ms(trigger).unwrap_or(0).saturating_mul(2))))
}

/// The batch that follows the one at `last`, cut at `now_ms`; the last interval was opened at `opened_ms`, by the same clock.
/// `is_whole`: whether an interval must be one batch.
#[must_use]
pub fn cut(trigger: Trigger, now_ms: i64, last: BatchTime, opened_ms: Option<i64>, is_whole: bool) -> Cut {
    let Some(interval) = interval_ms(trigger) else {
        return Cut { time: BatchTime(now_ms.max(last.0 + 1)), opens_interval: true };
    };
    let boundary = (now_ms.div_euclid(interval) + 1) * interval;
    let done = last.0.div_euclid(interval) * interval; // the interval of the last batch
    if boundary > done {
        return Cut { time: BatchTime(done + interval), opens_interval: true };
    }
    let is_open = opened_ms.is_some_and(|opened| (opened..opened.saturating_add(interval)).contains(&now_ms));
    // Behind an interval that must be one batch comes the next one; otherwise only if the clock was ahead, or went back.
    if (is_whole && boundary == done) || (boundary < done && !is_open) {
        return Cut { time: BatchTime(done + interval), opens_interval: true };
    }
    Cut { time: BatchTime(last.0 + 1), opens_interval: false } // the rest of the interval
}

/// How long the batch may still take input; zero = it ends now.
#[must_use]
pub fn time_left(trigger: Trigger, time: BatchTime, now_ms: i64, age: Duration) -> Duration {
    match trigger {
        Trigger::Interval(interval) => {
            let to_boundary = Duration::from_millis(u64::try_from(time.0 - now_ms).unwrap_or(0));
            let is_ahead = to_boundary + age > 2 * interval; // of the clock, by more than any batch is otherwise
            let most = if is_ahead { interval + interval / 10 } else { to_boundary + age };
            most.saturating_sub(age)
        }
        Trigger::AsSoonAsPossible | Trigger::AvailableNow => UNTIMED_BATCH_MAX.saturating_sub(age),
        Trigger::Once => Duration::MAX,
    }
}

/// Whether a batch ends as soon as no more input is available.
#[must_use]
pub fn ends_when_idle(trigger: Trigger) -> bool {
    !matches!(trigger, Trigger::Interval(_))
}

fn interval_ms(trigger: Trigger) -> Option<i64> {
    match trigger {
        Trigger::Interval(interval) => Some(millis(interval).max(1)),
        _ => None,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Trigger = Trigger::Interval(Duration::from_secs(1));

    fn time(trigger: Trigger, now_ms: i64, last: i64) -> i64 {
        cut(trigger, now_ms, BatchTime(last), None, false).time.0
    }

    #[test]
    fn times_are_aligned_and_increase() {
        assert_eq!(time(SECOND, 1_500, 1_000), 2_000);
        assert_eq!(time(SECOND, 2_000, 2_000), 3_000);
        assert_eq!(time(SECOND, 1_100, 2_000), 2_001, "the last batch was full");
        assert_eq!(time(SECOND, 2_000, 2_001), 3_000);
        assert_eq!(time(Trigger::AsSoonAsPossible, 5, 9), 10);
        assert_eq!(time(Trigger::AsSoonAsPossible, 50, 9), 50);
    }

    #[test]
    fn an_interval_that_must_be_one_batch_leaves_the_rest_to_the_next_one() {
        let whole = |now_ms, last| cut(SECOND, now_ms, BatchTime(last), None, true);
        assert_eq!(whole(1_100, 2_000), Cut { time: BatchTime(3_000), opens_interval: true });
        assert_eq!(whole(1_500, 1_000).time, BatchTime(2_000));
        assert_eq!(whole(1_900, 7_000).time, BatchTime(8_000), "a clock that went back");
    }

    #[test]
    fn an_interval_is_opened_once() {
        let opens = |now_ms, last| cut(SECOND, now_ms, BatchTime(last), None, false).opens_interval;
        assert!(opens(1_500, 1_000) && opens(2_000, 2_001));
        assert!(!opens(1_100, 2_000) && !opens(1_200, 2_001), "the rest of it");
    }

    #[test]
    fn times_ahead_of_the_clock_go_on_interval_by_interval_until_it_has_caught_up() {
        let at = |now_ms, last, opened_ms| {
            let Cut { time, opens_interval } = cut(SECOND, now_ms, BatchTime(last), opened_ms, false);
            (time.0, opens_interval)
        };
        assert_eq!(at(1_900, 7_000, None), (8_000, true), "the first batch of a process");
        assert_eq!(
            at(1_950, 8_000, Some(1_900)),
            (8_001, false),
            "the batch was full: the rest of the interval"
        );
        assert_eq!(at(3_000, 8_001, Some(1_900)), (9_000, true));
        assert_eq!(at(1_200, 9_000, Some(3_000)), (10_000, true), "the clock went back");
        let left = |age| time_left(SECOND, BatchTime(9_000), 3_000, age);
        assert_eq!(left(Duration::ZERO), Duration::from_millis(1_100), "a tenth slower than the clock");
        assert_eq!(left(Duration::from_millis(1_100)), Duration::ZERO);
        assert_eq!(
            [5_000, 9_000, 9_500].map(|now| clock_until(SECOND, now, BatchTime(9_000))),
            [7_000, 9_000, 9_500]
        );
    }

    #[test]
    fn a_start_begins_with_the_instants_that_windows_passed_over() {
        let seconds = Duration::from_secs;
        let passed = |last, resumes, windows: &[(Option<Duration>, Duration)]| -> Vec<i64> {
            passed_over(SECOND, BatchTime(last), BatchTime(resumes), windows)
                .into_iter()
                .map(|t| t.0)
                .collect()
        };
        let tumbling = [(Some(seconds(2)), seconds(2))];
        assert_eq!(passed(7_000, 11_000, &tumbling), [8_000], "later ones have no rows");
        assert_eq!(passed(7_000, 7_000, &tumbling), [0_i64; 0], "not down for long");
        assert_eq!(passed(0, 11_000, &tumbling), [0_i64; 0], "it never ran");
        let sliding = [(None, seconds(3)), (Some(seconds(10)), seconds(60))];
        assert_eq!(passed(7_001, 30_500, &sliding), [8_000, 9_000, 10_000, 20_000, 30_000]);
        let long = passed(7_000, 9_000_000, &[(None, seconds(3_600))]);
        assert_eq!((long.len(), long[99]), (100, 3_607_000));
        assert!(passed_over(Trigger::AvailableNow, BatchTime(7), BatchTime(9), &tumbling).is_empty());
    }

    #[test]
    fn missed_intervals_follow_one_by_one_while_the_process_runs_and_not_when_it_was_down() {
        let times: Vec<i64> = (0..5)
            .scan(2_000, |last, _| {
                *last = time(SECOND, 5_600, *last);
                Some(*last)
            })
            .collect();
        assert_eq!(times, [3_000, 4_000, 5_000, 6_000, 6_001]);
        let late = last_before_late(SECOND, 1_000_500, BatchTime(2_000));
        assert_eq!(time(SECOND, 1_000_500, late.0), 1_001_000 - 1_000 * LATE_INTERVALS_MAX);
        assert_eq!(last_before_late(SECOND, 5_600, BatchTime(2_001)), BatchTime(2_001), "not so late");
        let down = last_before_start(SECOND, 5_600, BatchTime(2_000));
        assert_eq!((down, time(SECOND, 5_600, down.0)), (BatchTime(5_000), 6_000));
        assert_eq!(
            last_before_start(SECOND, 5_600, BatchTime(6_001)),
            BatchTime(6_001),
            "within the interval"
        );
        assert_eq!(last_before_start(Trigger::AsSoonAsPossible, 5_600, BatchTime(9)), BatchTime(9));
    }

    #[test]
    fn a_batch_takes_input_until_its_boundary_but_never_too_long() {
        let left = |trigger, now, age| time_left(trigger, BatchTime(2_000), now, age);
        let ms = Duration::from_millis;
        assert_eq!(left(SECOND, 1_400, ms(0)), ms(600));
        assert_eq!(left(SECOND, 2_100, ms(0)), ms(0));
        assert_eq!(
            left(Trigger::Interval(ms(60_000)), -500_000, ms(65_000)),
            ms(1_000),
            "the clock went back"
        );
        assert_eq!(left(Trigger::AsSoonAsPossible, 0, ms(400)), ms(600));
        assert_eq!(left(Trigger::Once, 0, ms(4_000)), Duration::MAX);
    }

    proptest! {
        /// Batches of any length, some of them full before their time: as long as the clock advances, each
        /// multiple of the interval is the time of one batch, in order, unless more than the bound were
        /// missed.
        #[test]
        fn every_interval_has_a_batch(
            interval in 1i64..2_000,
            batches in prop::collection::vec((0i64..5_000, any::<bool>()), 1..200),
        ) {
            let trigger = Trigger::Interval(Duration::from_millis(interval.unsigned_abs()));
            let mut now = 1_700_000_000_123;
            let mut last = last_before_start(trigger, now, BatchTime(0));
            let mut aligned = last.0;
            for (takes, is_full) in batches {
                let Cut { time, opens_interval } = cut(trigger, now, last, None, false);
                prop_assert!(time > last);
                prop_assert!(time.0 <= now + interval + (time.0 - time.0.div_euclid(interval) * interval));
                prop_assert_eq!(opens_interval, time.0 % interval == 0 || interval == 1);
                if opens_interval {
                    let missed = (now - aligned).div_euclid(interval);
                    if missed < LATE_INTERVALS_MAX {
                        prop_assert_eq!(time.0, aligned + interval);
                    }
                    aligned = time.0;
                }
                last = time;
                now = if is_full { now + 1 + takes % interval } else { now.max(time.0) + takes };
            }
        }
    }
}
