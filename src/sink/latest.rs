//! The newest row of a stream, such as a model, for the program itself and for anyone who queries it.
//!
//! Owns one row. Knows no log and no HTTP. Invariant: only a row of a committed batch is visible.

use super::two_phase::{Collected, TwoPhaseSink};
use crate::{
    error::Result,
    operator::Batch,
    record::{BatchTime, Data, Value},
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Newest<T> = Option<(BatchTime, T)>;

/// The newest row of a stream. Cheap to clone.
pub struct Latest<T>(Arc<Mutex<Newest<T>>>);

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Latest(self.0.clone())
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Latest(Arc::default())
    }
}

impl<T: Clone> Latest<T> {
    /// The newest row, and the time of the batch that produced it; `None` = no batch of this process has
    /// produced one yet.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use tidegate::{
    ///     BatchTime, StreamingContext,
    ///     ml::{LabeledPoint, StreamingLinearRegression, Training},
    ///     testing::Driver,
    /// };
    /// let slot = RefCell::new(None);
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let examples = ssc.text("examples").try_map(|line| line.parse::<LabeledPoint>());
    ///     *slot.borrow_mut() = Some(StreamingLinearRegression::new(vec![2.0]).iterations(1).train_on(&examples).latest());
    /// });
    /// driver.batch("")?;
    /// let latest = slot.borrow().clone().unwrap();
    /// assert_eq!(latest.get(), Some((BatchTime(1_000), vec![2.0]))); // as it was at the start
    /// driver.batch("examples 0 | - | (3.0,[1.0])\n")?;
    /// assert_eq!(latest.get(), Some((BatchTime(2_000), vec![2.1])));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> Option<(BatchTime, T)> {
        self.newest().clone()
    }

    fn newest(&self) -> MutexGuard<'_, Newest<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Value> Latest<T> {
    /// The same, for callers that do not know its type.
    #[must_use]
    pub fn view(&self, name: &str) -> View {
        let latest = self.clone();
        let newest = move || {
            let (time, row) = latest.get()?;
            Some((time, serde_json::to_value(row).ok()?))
        };
        View { name: name.into(), newest: Arc::new(newest) }
    }
}

/// A value of a program that can be queried, under a name.
#[derive(Clone)]
pub struct View {
    /// What it is called.
    pub name: Arc<str>,
    /// Its newest value and the time of the batch that produced it.
    pub newest: Arc<dyn Fn() -> Option<(BatchTime, serde_json::Value)> + Send + Sync>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({})", self.name)
    }
}

/// The output that keeps the newest row.
pub struct KeepLatest<T> {
    latest: Latest<T>,
    /// The newest row of the batch in flight.
    next: Newest<T>,
}

impl<T> KeepLatest<T> {
    /// Keeps the newest row in `latest`.
    #[must_use]
    pub fn new(latest: Latest<T>) -> Self {
        KeepLatest { latest, next: None }
    }
}

impl<T: Data> TwoPhaseSink for KeepLatest<T> {
    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        self.next = rows.rows().last().map(|row| (batch.time, row));
        Ok(self.next.is_some().then(Vec::new))
    }

    fn finish(&mut self, _: &[u8]) -> Result {
        if let Some(next) = self.next.take() {
            *self.latest.newest() = Some(next);
        }
        Ok(())
    }

    fn discard(&mut self, _: &[u8]) -> Result {
        self.next = None;
        Ok(())
    }
}
