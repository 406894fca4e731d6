//! When a batch ends, and what its batch time is.
//!
//! Pure: the clock's readings are arguments. Owns the alignment to the interval. Invariants: a batch's time is greater than the
//! last one, and never ahead of the clock by more than an interval. With an interval, each multiple of it that passes while the
//! process runs is the time of a batch, in order, up to [`LATE_INTERVALS_MAX`]. A batch that ends before its boundary, because it
//! is full or partitions move, has the boundary's time all the same; what is left of its interval goes to further batches, each one
//! millisecond later, or, where an interval must be one batch, to the batch of the next interval.

use crate::{config::Trigger, record::BatchTime};
use std::time::Duration;

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

/// The batch that follows the one at `last`, cut at `now_ms`; `is_whole`: whether an interval must be one batch.
#[must_use]
pub fn cut(trigger: Trigger, now_ms: i64, last: BatchTime, is_whole: bool) -> Cut {
    let Some(interval) = interval_ms(trigger) else {
        return Cut { time: BatchTime(now_ms.max(last.0 + 1)), opens_interval: true };
    };
    let boundary = (now_ms.div_euclid(interval) + 1) * interval;
    let done = last.0.div_euclid(interval) * interval; // the interval of the last batch
    if boundary > done {
        let oldest = boundary.saturating_sub(interval.saturating_mul(LATE_INTERVALS_MAX));
        return Cut { time: BatchTime(oldest.max(done + interval)), opens_interval: true };
    }
    if is_whole && boundary == done {
        return Cut { time: BatchTime(done + interval), opens_interval: true };
    }
    // The rest of the interval; or the clock went back by more than that.
    Cut { time: BatchTime(last.0 + 1), opens_interval: boundary < done }
}

/// How long the batch may still take input; zero = it ends now.
#[must_use]
pub fn time_left(trigger: Trigger, time: BatchTime, now_ms: i64, age: Duration) -> Duration {
    match trigger {
        // A clock that goes back makes no batch longer than two intervals.
        Trigger::Interval(interval) => {
            let to_boundary = Duration::from_millis(u64::try_from(time.0 - now_ms).unwrap_or(0));
            to_boundary.min((2 * interval).saturating_sub(age))
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
        Trigger::Interval(interval) => Some(i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Trigger = Trigger::Interval(Duration::from_secs(1));

    fn time(trigger: Trigger, now_ms: i64, last: i64) -> i64 {
        cut(trigger, now_ms, BatchTime(last), false).time.0
    }

    #[test]
    fn times_are_aligned_and_increase() {
        assert_eq!(time(SECOND, 1_500, 1_000), 2_000);
        assert_eq!(time(SECOND, 2_000, 2_000), 3_000);
        assert_eq!(time(SECOND, 1_900, 7_000), 7_001, "a clock that went back");
        assert_eq!(time(SECOND, 1_100, 2_000), 2_001, "the last batch was full");
        assert_eq!(time(SECOND, 2_000, 2_001), 3_000);
        assert_eq!(time(Trigger::AsSoonAsPossible, 5, 9), 10);
        assert_eq!(time(Trigger::AsSoonAsPossible, 50, 9), 50);
    }

    #[test]
    fn an_interval_that_must_be_one_batch_leaves_the_rest_to_the_next_one() {
        let whole = |now_ms, last| cut(SECOND, now_ms, BatchTime(last), true);
        assert_eq!(whole(1_100, 2_000), Cut { time: BatchTime(3_000), opens_interval: true });
        assert_eq!(whole(1_500, 1_000).time, BatchTime(2_000));
        assert_eq!(whole(1_900, 7_000).time, BatchTime(7_001), "a clock that went back");
    }

    #[test]
    fn an_interval_is_opened_once() {
        let opens = |now_ms, last| cut(SECOND, now_ms, BatchTime(last), false).opens_interval;
        assert!(opens(1_500, 1_000) && opens(2_000, 2_001));
        assert!(!opens(1_100, 2_000) && !opens(1_200, 2_001), "the rest of it");
        assert!(opens(1_900, 7_000), "a clock that went back does not make one interval of all that time");
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
        assert_eq!(time(SECOND, 1_000_500, 2_000), 1_001_000 - 1_000 * LATE_INTERVALS_MAX);
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
            left(Trigger::Interval(ms(60_000)), -500_000, ms(119_000)),
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
                let Cut { time, opens_interval } = cut(trigger, now, last, false);
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
