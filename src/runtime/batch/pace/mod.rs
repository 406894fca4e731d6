//! The pace of batches: when one is cut, which time it has, and how much it may take.
//!
//! Owns the number and time of the last batch, and what is learned from each; each file here is one bound or
//! one estimate, and pure. Knows no task. Invariants:
//! numbers and times increase; a batch that was given up does not use up its time: it runs again with the
//! same one.

pub mod rate;
mod round;
mod setbacks;
mod staging;
pub mod trigger;

use crate::{
    config::{Config, Trigger},
    operator::Batch,
    record::{BatchId, BatchTime},
    runtime::events::BatchReport,
};
use rate::{Achieved, Rates};
use round::RoundSize;
use setbacks::Setbacks;
use staging::Staging;
use std::time::Duration;

/// When batches are cut and how large they are.
pub struct Pace {
    trigger: Trigger,
    last_batch: BatchId,
    /// The time of the last batch that is done.
    last_time: BatchTime,
    /// Completed batches that were not limited by the search for a failing record.
    whole_batches: u64,
    /// How many records an interval may take.
    pub rates: Rates,
    /// How many bytes a batch may hold until its end.
    pub staging: Staging,
    /// How many records a round may take.
    pub round: RoundSize,
    /// Batches that were given up since the last progress.
    pub setbacks: Setbacks,
}

impl Pace {
    /// The pace before the first batch.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Pace {
            trigger: config.trigger,
            last_batch: BatchId(0),
            last_time: BatchTime(0),
            whole_batches: 0,
            rates: Rates::new(config),
            staging: Staging::new(config.staged_bytes_max, config.transaction_timeout),
            round: RoundSize::default(),
            setbacks: Setbacks::default(),
        }
    }

    /// Batches up to this time were committed before.
    pub fn not_before(&mut self, committed: Option<BatchTime>) {
        self.last_time = self.last_time.max(committed.unwrap_or_default());
    }

    /// Whether this run has cut a batch.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.last_batch > BatchId(0)
    }

    /// Whether any batch that was not limited by the search for a failing record is done.
    #[must_use]
    pub fn has_done_a_whole_batch(&self) -> bool {
        self.whole_batches > 0
    }

    /// Cuts the next batch at `now_ms`, milliseconds since the epoch; also returns whether it opens an
    /// interval. `is_whole`: whether an interval must be one batch.
    pub fn cut(&mut self, now_ms: i64, is_whole: bool) -> (Batch, bool) {
        if !self.has_begun() {
            self.last_time = trigger::last_before_start(self.trigger, now_ms, self.last_time);
        }
        let trigger::Cut { time, opens_interval } =
            trigger::cut(self.trigger, now_ms, self.last_time, is_whole);
        self.last_batch = BatchId(self.last_batch.0 + 1);
        if opens_interval {
            self.rates.next_interval();
        }
        (Batch { id: self.last_batch, time }, opens_interval)
    }

    /// A batch is done; `is_whole` = no search for a failing record limited it.
    pub fn done(&mut self, batch: Batch, is_whole: bool) {
        self.last_time = batch.time; // a batch that was given up runs again at its time
        self.whole_batches += u64::from(is_whole);
    }

    /// Learns from a batch that is done: it was cut at `began_ms`, and the time is now `now_ms`.
    pub fn learn(&mut self, report: &BatchReport, staged_bytes: usize, began_ms: i64, now_ms: i64) {
        self.learn_rate(report, began_ms, now_ms);
        self.staging.learn(staged_bytes, report.phases.flush + report.phases.commit);
    }

    fn learn_rate(&mut self, report: &BatchReport, began_ms: i64, now_ms: i64) {
        let Trigger::Interval(interval) = self.trigger else { return };
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let due_ms = report.time_ms.saturating_sub(interval_ms);
        let late_ms = began_ms.saturating_sub(due_ms).clamp(0, interval_ms);
        self.rates.done(Achieved {
            at_ms: now_ms,
            records: report.counters.records_in,
            processing_ms: report.total.saturating_sub(report.waited).as_secs_f64() * 1_000.0,
            scheduling_ms: Duration::from_millis(late_ms.unsigned_abs()).as_secs_f64() * 1_000.0,
        });
        if let Some(rate) = self.rates.rate() {
            tracing::debug!(records_per_second = rate, "back-pressure");
        }
    }
}
