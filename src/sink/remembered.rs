//! Rows of the last batches, for the program itself.
//!
//! Owns what is remembered. Knows no log. Invariants: only rows of finished batches are visible; what is
//! older than the remember duration is forgotten with the next batch; at each multiple of the slide there is
//! a batch, though it may be empty.

use super::two_phase::{Collected, TwoPhaseSink};
use crate::{
    error::Result,
    operator::Batch,
    record::{BatchTime, Data},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The rows of a stream in the last batches: what Spark's `remember` and `slice` give.
pub struct Remembered<T>(Arc<Mutex<Kept<T>>>);

struct Kept<T> {
    /// How often the stream has a batch; `None` = there is no interval, or the program has not started yet.
    slide_ms: Option<i64>,
    batches: BTreeMap<i64, Vec<T>>,
}

impl<T> Clone for Remembered<T> {
    fn clone(&self) -> Self {
        Remembered(self.0.clone())
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Remembered(Arc::new(Mutex::new(Kept { slide_ms: None, batches: BTreeMap::new() })))
    }
}

impl<T> Remembered<T> {
    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Remembered<T> {
    /// The rows of each remembered batch from `from` to `to`, both inclusive, in order of time, including
    /// empty batches. As in Spark both are rounded down to a multiple of the batch interval, or of the slide
    /// behind a window: with an interval of a second, 1.5 s to 2.5 s are the batches of 1 s and 2 s. Without
    /// an interval they are used as they are, and a batch without rows is left out.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use tidegate::{BatchTime, StreamingContext, testing::Driver};
    /// let seen = Mutex::new(None);
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     *seen.lock().unwrap() = Some(ssc.text("lines").map(|line| line.len()).remembered());
    /// });
    /// driver.batch("lines 0 | - | one\n")?;
    /// driver.batch("")?;
    /// driver.batch("lines 0 | - | three\n")?;
    /// let seen = seen.lock().unwrap().clone().unwrap();
    /// let batches = seen.slice(BatchTime(1_500), BatchTime(2_500));
    /// assert_eq!(batches, [(BatchTime(1_000), vec![3]), (BatchTime(2_000), vec![])]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn slice(&self, from: BatchTime, to: BatchTime) -> Vec<(BatchTime, Vec<T>)> {
        let kept = self.kept();
        let floor = |time: BatchTime| match kept.slide_ms {
            Some(slide_ms) => time.0.div_euclid(slide_ms).saturating_mul(slide_ms),
            None => time.0,
        };
        let (from, to) = (floor(from), floor(to));
        if from > to {
            return vec![];
        }
        kept.batches.range(from..=to).map(|(time, rows)| (BatchTime(*time), rows.clone())).collect()
    }
}

/// The output that remembers.
pub struct Remember<T> {
    remembered: Remembered<T>,
    slide_ms: Option<i64>,
    /// How long batches are kept.
    kept: Duration,
    /// The rows of the batch in flight.
    next: Option<(BatchTime, Vec<T>)>,
}

impl<T> Remember<T> {
    /// Keeps batches for `kept`, by their times. The stream has one every `slide`, or whenever there are rows.
    #[must_use]
    pub fn new(remembered: Remembered<T>, kept: Duration, slide: Option<Duration>) -> Self {
        let slide_ms = slide.and_then(|slide| i64::try_from(slide.as_millis()).ok()).filter(|ms| *ms > 0);
        remembered.kept().slide_ms = slide_ms;
        Remember { remembered, slide_ms, kept, next: None }
    }
}

impl<T: Data> TwoPhaseSink for Remember<T> {
    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        self.next = Some((batch.time, rows.rows().collect()));
        Ok(Some(vec![]))
    }

    fn finish(&mut self, _: &[u8]) -> Result {
        let Some((time, rows)) = self.next.take() else { return Ok(()) };
        let kept_ms = i64::try_from(self.kept.as_millis()).unwrap_or(i64::MAX);
        let batches = &mut self.remembered.kept().batches;
        let recent = batches.split_off(&time.0.saturating_sub(kept_ms).saturating_add(1));
        *batches = recent;
        if !rows.is_empty() || self.slide_ms.is_some_and(|slide_ms| time.0 % slide_ms == 0) {
            batches.insert(time.0, rows);
        }
        Ok(())
    }

    fn discard(&mut self, _: &[u8]) -> Result {
        self.next = None;
        Ok(())
    }
}
