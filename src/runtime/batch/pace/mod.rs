//! The pace of batches: when one is cut, which time it has, and how much it may take.
//!
//! Owns the number and time of the last batch, and what is learned from each; each file here is one bound or
//! one estimate, and pure. Knows no task. Invariants:
//! numbers and times increase; a batch that was given up does not use up its time: it runs again with the
//! same one; as long as a batch is open, of which parts are committed, here or by the last owner of some of the input, what follows is of its
//! time, unless its end is told already, or past.

pub mod rate;
mod round;
mod setbacks;
mod spill;
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
use spill::Spill;
use staging::Staging;
use std::{collections::VecDeque, time::Duration};

/// When batches are cut and how large they are.
pub struct Pace {
    trigger: Trigger,
    last_batch: BatchId,
    has_begun: bool,
    /// The time of the last batch that is done.
    last_time: BatchTime,
    /// The time of a batch of which parts are committed, and not yet its end.
    open: Option<BatchTime>,
    /// The windows over batch times: their slides, and how long after a row they may still give it.
    windows: Vec<(Option<Duration>, Duration)>,
    /// Times of batches for instants that windows passed over.
    passed: VecDeque<BatchTime>,
    /// Batches that are not for such an instant come after this time.
    resumes: BatchTime,
    /// When the last interval was opened; and the one of the batch in flight.
    opened_ms: [Option<i64>; 2],
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
    /// Whether rows go through the exchange topic because of their number.
    pub spill: Spill,
}

impl Pace {
    /// The pace before the first batch; for the windows see [`trigger::passed_over`].
    #[must_use]
    pub fn new(config: &Config, windows: Vec<(Option<Duration>, Duration)>) -> Self {
        Pace {
            trigger: config.trigger,
            last_batch: BatchId(0),
            has_begun: false,
            last_time: BatchTime(0),
            open: None,
            windows,
            passed: VecDeque::new(),
            resumes: BatchTime(0),
            opened_ms: [None; 2],
            whole_batches: 0,
            rates: Rates::new(config),
            staging: Staging::new(config.staged_bytes_max, config.transaction_timeout),
            round: RoundSize::default(),
            setbacks: Setbacks::default(),
            spill: Spill::default(),
        }
    }

    /// Batches up to this time were committed before, and ended. An open one up to there ends with the next batch.
    pub fn not_before(&mut self, committed: Option<BatchTime>) {
        self.last_time = self.last_time.max(committed.unwrap_or_default());
        self.open = self.open.filter(|time| *time > self.last_time);
    }

    /// A batch of this time is open elsewhere, and some of its input is read here from now on: what follows is of that time, unless
    /// something later was committed.
    pub fn goes_on(&mut self, open: Option<BatchTime>) {
        self.open = self.open.max(open.filter(|time| *time > self.last_time));
    }

    /// Whether this run has cut a batch.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether any batch that was not limited by the search for a failing record is done.
    #[must_use]
    pub fn has_done_a_whole_batch(&self) -> bool {
        self.whole_batches > 0
    }

    /// Cuts the next batch at `now_ms`, milliseconds since the epoch; also returns whether it opens an
    /// interval. `is_whole`: whether an interval must be one batch.
    pub fn cut(&mut self, now_ms: i64, is_whole: bool) -> (Batch, bool) {
        if self.open.is_none() {
            self.pass_over(now_ms);
        }
        let trigger::Cut { time, opens_interval } = self.next(now_ms, is_whole);
        self.opened_ms[1] = if opens_interval { Some(now_ms) } else { self.opened_ms[0] };
        self.has_begun = true;
        if opens_interval {
            self.rates.next_interval();
        }
        let clock_ms = trigger::clock_until(self.trigger, now_ms, time);
        (Batch { id: self.next_id(), time, clock_ms, is_roll_call: false }, opens_interval)
    }

    /// The number of a transaction that takes no input.
    pub fn next_id(&mut self) -> BatchId {
        self.last_batch = BatchId(self.last_batch.0 + 1);
        self.last_batch
    }

    /// The time of the last batch that is done.
    #[must_use]
    pub fn last_time(&self) -> BatchTime {
        self.last_time
    }

    /// The time of the last batch of which anything is done.
    #[must_use]
    pub fn last_begun(&self) -> BatchTime {
        self.last_time.max(self.open.unwrap_or_default())
    }

    /// Whether parts of a batch are committed, and not yet its end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the batch is for an instant that windows passed over: it takes no input.
    #[must_use]
    pub fn is_passed_over(&self, batch: Batch) -> bool {
        self.passed.front() == Some(&batch.time)
    }

    /// Finds what was passed over while nothing ran, or so long ago that its intervals are merged.
    fn pass_over(&mut self, now_ms: i64) {
        while self.passed.front().is_some_and(|time| *time <= self.last_time) {
            self.passed.pop_front();
        }
        if self.passed.is_empty() {
            let last = self.last_time.max(self.resumes);
            let resumes = if self.has_begun { trigger::last_before_late } else { trigger::last_before_start };
            self.resumes = resumes(self.trigger, now_ms, last);
            self.passed = trigger::passed_over(self.trigger, last, self.resumes, &self.windows);
        }
    }

    fn next(&self, now_ms: i64, is_whole: bool) -> trigger::Cut {
        if let Some(time) = self.open {
            return trigger::Cut { time, opens_interval: false };
        }
        if let Some(time) = self.passed.front() {
            return trigger::Cut { time: *time, opens_interval: true };
        }
        trigger::cut(self.trigger, now_ms, self.last_time.max(self.resumes), self.opened_ms[0], is_whole)
    }

    /// A batch is done; `is_whole` = no search for a failing record limited it.
    pub fn done(&mut self, batch: Batch, is_whole: bool) {
        self.spill.interval_ended(self.open.is_some());
        self.open = None;
        self.last_time = batch.time; // a batch that was given up runs again at its time
        self.opened_ms[0] = self.opened_ms[1];
        self.whole_batches += u64::from(is_whole);
    }

    /// A part of a batch is committed: what follows has the same time. `full`: when, if the rest had no room in it.
    pub fn part_done(&mut self, batch: Batch, full: Option<Duration>) {
        self.open = Some(batch.time);
        self.opened_ms[0] = self.opened_ms[1];
        if let Some(now) = full {
            self.spill.part(now);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_batch_have_its_time_until_it_ends_or_its_input_may_have_moved_on() {
        let config =
            Config { trigger: Trigger::Interval(Duration::from_secs(1)), ..Config::new("parts", "") };
        let mut pace = Pace::new(&config, vec![]);
        let (batch, opens) = pace.cut(6_500, true);
        assert_eq!((batch.time, opens), (BatchTime(7_000), true));
        pace.part_done(batch, None);
        assert_eq!((pace.last_time(), pace.last_begun()), (BatchTime(0), batch.time));
        for now_ms in [6_600, 7_100, 200_000] {
            let (part, opens) = pace.cut(now_ms, true);
            assert_eq!((part.time, opens, pace.is_open()), (batch.time, false, true));
        }
        pace.not_before(Some(BatchTime(6_999)));
        assert!(pace.is_open(), "that is before it");
        pace.done(batch, true);
        assert_eq!((pace.is_open(), pace.last_time()), (false, batch.time));
        let (batch, _) = pace.cut(7_500, true);
        pace.part_done(batch, None);
        pace.not_before(Some(batch.time));
        assert!(!pace.is_open(), "another process has ended it");
        pace.goes_on(Some(batch.time));
        assert!(!pace.is_open(), "and what is sent of it comes too late");
        pace.goes_on(Some(BatchTime(10_000)));
        pace.goes_on(None);
        let (part, opens) = pace.cut(7_600, true);
        assert_eq!((part.time, opens), (BatchTime(10_000), false), "the other process is ahead");
        pace.done(part, true);
        assert_eq!(pace.cut(10_100, true).0.time, BatchTime(11_000));
    }

    #[test]
    fn intervals_that_are_merged_pass_over_no_instant_of_a_window_with_rows() {
        let second = Duration::from_secs(1);
        let config = Config { trigger: Trigger::Interval(second), ..Config::new("late", "") };
        let mut pace = Pace::new(&config, vec![(Some(2 * second), 4 * second)]);
        let mut times = |now_ms: i64, count: usize| -> Vec<(i64, bool)> {
            let mut one = || {
                let (batch, _) = pace.cut(now_ms, false);
                assert_eq!(pace.cut(now_ms, false).0.time, batch.time, "given up, and cut again");
                let found = (batch.time.0, !pace.is_passed_over(batch));
                pace.done(batch, true);
                found
            };
            (0..count).map(|_| one()).collect()
        };
        assert_eq!(times(6_500, 1), [(7_000, true)]);
        assert_eq!(times(60_500, 2), [(8_000, true), (9_000, true)], "late, and not too late");
        // The log was away for long.
        let took_input = [(10_000, false), (12_000, false), (902_000, true), (903_000, true)];
        assert_eq!(times(1_001_500, 4), took_input);
    }
}
