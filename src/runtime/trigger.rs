//! When a batch ends, and which time it has.
//!
//! Pure: the clock's readings are arguments. Owns the alignment to the interval. Invariants: a batch's time is greater than the
//! last one; with an interval it is the multiple of the interval at which the batch ends, and intervals missed while a batch took
//! longer are merged into the next one. Batches that end early, because they are full, stay in their interval: the next one has a time
//! just after the multiple, so that times never run ahead of the clock by more than an interval.

use crate::{config::Trigger, record::BatchTime};
use std::time::Duration;

/// A batch of a trigger without an interval ends at the latest after this time.
const UNTIMED_BATCH_MAX: Duration = Duration::from_secs(1);

/// The time of a batch that is cut at `now_ms`.
#[must_use]
pub fn batch_time(trigger: Trigger, now_ms: i64, last: BatchTime) -> BatchTime {
    match trigger {
        Trigger::Interval(interval) => {
            let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
            let boundary = (now_ms.div_euclid(interval) + 1) * interval;
            BatchTime(boundary.max(last.0 + 1))
        }
        _ => BatchTime(now_ms.max(last.0 + 1)),
    }
}

/// How long the batch may still take input; zero = it ends now.
#[must_use]
pub fn time_left(
    trigger: Trigger,
    time: BatchTime,
    now_ms: i64,
    age: Duration,
    longest: Duration,
) -> Duration {
    let untimed = longest.min(UNTIMED_BATCH_MAX).saturating_sub(age);
    match trigger {
        Trigger::Interval(_) => {
            let to_boundary = Duration::from_millis(u64::try_from(time.0 - now_ms).unwrap_or(0));
            to_boundary.min(longest.saturating_sub(age))
        }
        Trigger::AsSoonAsPossible | Trigger::AvailableNow => untimed,
        Trigger::Once => Duration::MAX,
    }
}

/// Whether a batch ends as soon as nothing more is there.
#[must_use]
pub fn ends_when_idle(trigger: Trigger) -> bool {
    !matches!(trigger, Trigger::Interval(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_aligned_and_rise() {
        let second = Trigger::Interval(Duration::from_secs(1));
        assert_eq!(batch_time(second, 1_500, BatchTime(0)), BatchTime(2_000));
        assert_eq!(batch_time(second, 2_000, BatchTime(2_000)), BatchTime(3_000));
        assert_eq!(batch_time(second, 1_900, BatchTime(7_000)), BatchTime(7_001), "a clock that went back");
        assert_eq!(batch_time(second, 1_100, BatchTime(2_000)), BatchTime(2_001), "the last batch was full");
        assert_eq!(batch_time(second, 2_000, BatchTime(2_001)), BatchTime(3_000));
        assert_eq!(batch_time(Trigger::AsSoonAsPossible, 5, BatchTime(9)), BatchTime(10));
        assert_eq!(batch_time(Trigger::AsSoonAsPossible, 50, BatchTime(9)), BatchTime(50));
    }

    #[test]
    fn a_batch_takes_input_until_its_boundary_but_never_too_long() {
        let left = |trigger, now, age| time_left(trigger, BatchTime(2_000), now, age, Duration::from_secs(5));
        let ms = Duration::from_millis;
        assert_eq!(left(Trigger::Interval(ms(1000)), 1_400, ms(0)), ms(600));
        assert_eq!(left(Trigger::Interval(ms(1000)), 2_100, ms(0)), ms(0));
        assert_eq!(left(Trigger::Interval(ms(60_000)), -50_000, ms(4_000)), ms(1_000));
        assert_eq!(left(Trigger::AsSoonAsPossible, 0, ms(400)), ms(600));
    }
}
