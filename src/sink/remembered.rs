//! Rows of the last batches, for the program itself.
//!
//! Owns what is remembered. Knows no log. Invariants: only rows of batches that are over are seen; what is older than the time to be
//! remembered is forgotten with the next batch.

use super::outside::{Gathered, Outside};
use crate::{
    error::Result,
    operator::Batch,
    record::{BatchTime, Chunk, Data},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

type Batches<T> = BTreeMap<i64, Vec<T>>;

/// The rows of a stream in the last batches: what Spark's `remember` and `slice` give.
pub struct Remembered<T>(Arc<Mutex<Batches<T>>>);

impl<T> Clone for Remembered<T> {
    fn clone(&self) -> Self {
        Remembered(self.0.clone())
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Remembered(Arc::default())
    }
}

impl<T: Clone> Remembered<T> {
    /// The rows of each remembered batch whose time is from `from` to `to`, both included, in the order of time. A batch without rows
    /// is left out.
    #[must_use]
    pub fn slice(&self, from: BatchTime, to: BatchTime) -> Vec<(BatchTime, Vec<T>)> {
        if from > to {
            return vec![];
        }
        let batches = self.batches();
        batches.range(from.0..=to.0).map(|(time, rows)| (BatchTime(*time), rows.clone())).collect()
    }

    fn batches(&self) -> MutexGuard<'_, Batches<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The output that remembers.
pub struct Remember<T> {
    remembered: Remembered<T>,
    /// How long.
    kept: Duration,
    /// Of the batch in flight.
    next: Option<(BatchTime, Vec<T>)>,
}

impl<T> Remember<T> {
    /// Keeps batches for `kept`, by their times.
    #[must_use]
    pub fn new(remembered: Remembered<T>, kept: Duration) -> Self {
        Remember { remembered, kept, next: None }
    }
}

impl<T: Data> Outside for Remember<T> {
    fn prepare(&mut self, batch: &Batch, rows: Gathered) -> Result<Option<Vec<u8>>> {
        let rows = rows.into_values().flatten().flat_map(Chunk::take::<Vec<T>>).collect();
        self.next = Some((batch.time, rows));
        Ok(Some(vec![]))
    }

    fn finish(&mut self, _: &[u8]) -> Result {
        let Some((time, rows)) = self.next.take() else { return Ok(()) };
        let kept_ms = i64::try_from(self.kept.as_millis()).unwrap_or(i64::MAX);
        let mut batches = self.remembered.batches();
        let recent = batches.split_off(&time.0.saturating_sub(kept_ms).saturating_add(1));
        *batches = recent;
        if !rows.is_empty() {
            batches.insert(time.0, rows);
        }
        Ok(())
    }

    fn discard(&mut self, _: &[u8]) -> Result {
        self.next = None;
        Ok(())
    }
}
