//! How many records an interval may take: fixed limits, and back-pressure based on what intervals achieve.
//!
//! Pure: times are arguments. Owns the estimator and the bounds that follow from it. Knows no source.
//! Invariants: a bound applies to an interval, and its batches share it when there are several; it is at
//! least one record, so a stream never stalls; without limits there is no bound.

use crate::config::{Config, Trigger};
use std::time::Duration;

const PROPORTIONAL: f64 = 1.0;
const INTEGRAL: f64 = 0.2;
const DERIVATIVE: f64 = 0.0;
/// The lowest rate of the estimator, records per second.
const RATE_MIN: f64 = 100.0;

/// What a batch, or the batches of an interval, processed and how long that took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Achieved {
    /// When the last batch ended, milliseconds.
    pub at_ms: i64,
    /// Records processed.
    pub records: usize,
    /// Time spent on them, without waiting for input, milliseconds.
    pub processing_ms: f64,
    /// How long after its due time the first batch began, milliseconds.
    pub scheduling_ms: f64,
}

/// A PID controller that seeks the rate at which batches finish in time. The algorithm and its constants are
/// those of Spark's `PIDRateEstimator` (`org.apache.spark.streaming.scheduler.rate`): the error is the last
/// rate minus the rate that was achieved; the backlog counts as the scheduling delay at that rate.
#[derive(Clone, Debug)]
pub struct PidRateEstimator {
    interval_ms: f64,
    /// Time, rate and error of the last estimate; `None` before the first batch.
    last: Option<(i64, f64, f64)>,
}

impl PidRateEstimator {
    /// An estimator for batches with this interval.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        PidRateEstimator { interval_ms: interval.as_secs_f64() * 1_000.0, last: None }
    }

    /// The new rate, records per second; `None` = the batch says nothing, or is the first, which only shows
    /// what can be achieved.
    pub fn compute(&mut self, batch: Achieved) -> Option<f64> {
        let Achieved { at_ms, records, processing_ms, scheduling_ms } = batch;
        if records == 0 || processing_ms <= 0.0 {
            return None;
        }
        let achieved = real(records) / processing_ms * 1_000.0;
        let Some((last_ms, last_rate, last_error)) = self.last else {
            self.last = Some((at_ms, achieved, 0.0));
            return None;
        };
        if at_ms <= last_ms {
            return None;
        }
        let elapsed_s = Duration::from_millis(at_ms.abs_diff(last_ms)).as_secs_f64();
        let error = last_rate - achieved;
        let left_over = scheduling_ms * achieved / self.interval_ms;
        let slope = (error - last_error) / elapsed_s;
        let rate = last_rate - PROPORTIONAL * error - INTEGRAL * left_over - DERIVATIVE * slope;
        let rate = rate.max(RATE_MIN);
        self.last = Some((at_ms, rate, error));
        Some(rate)
    }
}

/// The rate bounds of one program.
#[derive(Clone, Debug)]
pub struct Rates {
    interval: Duration,
    estimator: Option<PidRateEstimator>,
    /// Records per second, all partitions together.
    rate: Option<f64>,
    per_partition: Option<u64>,
    /// What the batches of the interval have done so far.
    so_far: Option<Achieved>,
}

impl Rates {
    /// The bounds that the settings define.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let interval = match config.trigger {
            Trigger::Interval(interval) => interval,
            _ => Duration::from_secs(1),
        };
        Rates {
            interval,
            estimator: config.backpressure.then(|| PidRateEstimator::new(interval)),
            rate: config.initial_rate.filter(|_| config.backpressure).map(real),
            per_partition: config.max_rate_per_partition,
            so_far: None,
        }
    }

    /// Most records of an interval, all sources together; `usize::MAX` = no bound.
    #[must_use]
    pub fn interval_records(&self) -> usize {
        self.rate.map_or(usize::MAX, |rate| whole(rate * self.interval.as_secs_f64()))
    }

    /// How many of those are left for the batch in flight.
    #[must_use]
    pub fn batch_records(&self) -> usize {
        match self.interval_records() {
            usize::MAX => usize::MAX,
            bound => bound.saturating_sub(self.so_far.map_or(0, |done| done.records)),
        }
    }

    /// Most records of an interval from one partition; `usize::MAX` = no bound.
    #[must_use]
    pub fn partition_records(&self) -> usize {
        self.per_partition.map_or(usize::MAX, |rate| whole(real(rate) * self.interval.as_secs_f64()))
    }

    /// Records per second that the next batches may take from all sources together; `None` = no bound.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// A batch is done.
    pub fn done(&mut self, batch: Achieved) {
        let before = self.so_far.unwrap_or(Achieved { records: 0, processing_ms: 0.0, ..batch });
        self.so_far = Some(Achieved {
            at_ms: batch.at_ms,
            records: before.records + batch.records,
            processing_ms: before.processing_ms + batch.processing_ms,
            scheduling_ms: before.scheduling_ms, // that of the interval's first batch
        });
    }

    /// The next interval begins: it is bounded by what the one before it achieved.
    pub fn next_interval(&mut self) {
        let done = self.so_far.take();
        let estimate = self.estimator.as_mut().and_then(|estimator| estimator.compute(done?));
        self.rate = estimate.or(self.rate);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate is not exact")]
fn real(n: impl TryInto<u64>) -> f64 {
    n.try_into().unwrap_or(u64::MAX) as f64
}

/// At least one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate, which is what is meant"
)]
fn whole(records: f64) -> usize {
    (records as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(second: i64, records: usize, processing_ms: f64, scheduling_ms: f64) -> Achieved {
        Achieved { at_ms: second * 1_000, records, processing_ms, scheduling_ms }
    }

    #[test]
    fn the_first_batch_is_only_observed_and_empty_ones_say_nothing() {
        let mut pid = PidRateEstimator::new(Duration::from_secs(1));
        assert_eq!(pid.compute(batch(1, 0, 5.0, 0.0)), None);
        assert_eq!(pid.compute(batch(2, 1_000, 500.0, 0.0)), None, "2,000 a second");
        assert_eq!(pid.compute(batch(2, 1_000, 500.0, 0.0)), None, "time did not pass");
        assert_eq!(pid.compute(batch(3, 10, 0.0, 0.0)), None);
        // Error 2,000 - 1,000; no backlog: the rate that was achieved.
        assert_eq!(pid.compute(batch(4, 1_000, 1_000.0, 0.0)), Some(1_000.0));
        // Half an interval late at 1,000 a second: a fifth of 500 records is taken off.
        assert_eq!(pid.compute(batch(5, 1_000, 1_000.0, 500.0)), Some(900.0));
        assert_eq!(pid.compute(batch(6, 1, 1_000.0, 0.0)), Some(RATE_MIN));
    }

    /// A worker that processes 1,000 records a second faces ten times as many: without the estimator the
    /// delay of batches grows without bound.
    #[test]
    fn a_tenfold_burst_settles_within_the_interval() {
        let simulate = |mut rates: Rates| {
            let (mut waiting, mut late_ms, mut times) = (0usize, 0.0f64, vec![]);
            for second in 1..200 {
                waiting += if (20..30).contains(&second) { 10_000 } else { 800 };
                let taken = waiting.min(rates.batch_records());
                waiting -= taken;
                let processing_ms = real(taken);
                rates.done(batch(second, taken, processing_ms, late_ms));
                rates.next_interval();
                late_ms = (late_ms + processing_ms - 1_000.0).max(0.0);
                times.push(processing_ms + late_ms);
            }
            times
        };
        let mut config = Config::new("a", "memory:");
        let without = simulate(Rates::new(&config));
        assert!(without.iter().any(|ms| *ms > 50_000.0), "the burst was felt");
        config.backpressure = true;
        config.initial_rate = Some(1_500);
        let with = simulate(Rates::new(&config));
        assert!(with.iter().all(|ms| *ms < 5_000.0), "{with:?}");
        assert!(with[60..].iter().all(|ms| *ms <= 1_100.0), "{with:?}");
    }

    #[test]
    fn batches_of_one_interval_share_its_bound_and_are_learned_from_as_one() {
        let mut config = Config::new("a", "memory:");
        (config.backpressure, config.initial_rate) = (true, Some(1_000));
        let mut rates = Rates::new(&config);
        rates.done(batch(1, 600, 300.0, 10.0));
        assert_eq!((rates.interval_records(), rates.batch_records()), (1_000, 400));
        rates.done(batch(2, 400, 200.0, 900.0));
        assert_eq!(rates.batch_records(), 0);
        rates.next_interval();
        assert_eq!(rates.batch_records(), 1_000, "the first interval is only observed: 2,000 a second");
        rates.done(batch(3, 300, 500.0, 0.0));
        rates.done(batch(4, 700, 500.0, 900.0));
        rates.next_interval();
        assert_eq!(rates.rate(), Some(1_000.0), "1,000 records in a second; not late");
    }

    #[test]
    fn bounds_are_of_an_interval_and_at_least_one_record() {
        let mut config = Config::new("a", "memory:");
        assert_eq!(
            (Rates::new(&config).batch_records(), Rates::new(&config).partition_records()),
            (usize::MAX, usize::MAX)
        );
        config.trigger = Trigger::Interval(Duration::from_millis(200));
        config.max_rate_per_partition = Some(50);
        assert_eq!(Rates::new(&config).partition_records(), 10);
        config.max_rate_per_partition = Some(1);
        assert_eq!(Rates::new(&config).partition_records(), 1);
        config.initial_rate = Some(100);
        assert_eq!(Rates::new(&config).batch_records(), usize::MAX, "only with back-pressure");
    }
}
