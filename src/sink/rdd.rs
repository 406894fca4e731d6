//! The rows of one batch, as a user function gets them.
//!
//! Knows no engine. Invariant: partitions keep their order and the order of their rows.

use super::two_phase::{Collected, TwoPhaseSink};
use crate::{
    error::{Error, Result},
    operator::{Batch, EmitSchedule},
    panics,
    record::{BatchTime, Data},
};
use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// All rows of a stream in one batch, by partition. Lives in this process: unlike in Spark, there is nothing
/// to move or to persist.
///
/// ```
/// use tidegate::Rdd;
/// let rdd = Rdd::from(vec![vec![3, 1], vec![2]]);
/// assert_eq!((rdd.count(), rdd.take(2)), (3, vec![3, 1]));
/// for row in &rdd {
///     assert!(*row > 0);
/// }
/// assert_eq!(rdd.collect(), [3, 1, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rdd<T> {
    partitions: Vec<Vec<T>>,
}

impl<T> From<Vec<Vec<T>>> for Rdd<T> {
    fn from(partitions: Vec<Vec<T>>) -> Self {
        Rdd { partitions }
    }
}

impl<T> IntoIterator for Rdd<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<T>>>;
    fn into_iter(self) -> Self::IntoIter {
        self.partitions.into_iter().flatten()
    }
}

impl<'r, T> IntoIterator for &'r Rdd<T> {
    type Item = &'r T;
    type IntoIter = std::iter::Flatten<std::slice::Iter<'r, Vec<T>>>;
    fn into_iter(self) -> Self::IntoIter {
        self.partitions.iter().flatten()
    }
}

/// What a function that is an output gives: nothing, or a `Result` whose error is boxed, so that `?` works in it.
#[diagnostic::on_unimplemented(
    message = "a function that is an output gives `()` or `Result<(), Box<dyn Error + Send + Sync>>`, not `{Self}`",
    note = "use `?` on what gives an error of your own, and end with `Ok(())`"
)]
pub trait Outcome: Send + 'static {
    /// Nothing, or the reason.
    ///
    /// # Errors
    /// Why the function failed.
    fn reason(self) -> Result<(), String>;
}

impl Outcome for () {
    fn reason(self) -> Result<(), String> {
        Ok(())
    }
}

impl Outcome for Result<(), Box<dyn std::error::Error + Send + Sync>> {
    fn reason(self) -> Result<(), String> {
        self.map_err(|e| e.to_string())
    }
}

impl<T> Rdd<T> {
    /// Number of rows.
    ///
    /// ```
    /// let rdd = tidegate::Rdd::from(vec![vec![3, 1], vec![2]]);
    /// assert_eq!(rdd.count(), 3);
    /// ```
    #[must_use]
    pub fn count(&self) -> usize {
        self.partitions.iter().map(Vec::len).sum()
    }

    /// Whether there are no rows.
    ///
    /// ```
    /// assert!(tidegate::Rdd::<i32>::from(vec![vec![], vec![]]).is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The rows, partition by partition.
    ///
    /// ```
    /// let rdd = tidegate::Rdd::from(vec![vec![3, 1], vec![2]]);
    /// assert_eq!(rdd.iter().max(), Some(&3));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.into_iter()
    }

    /// The rows of each partition.
    ///
    /// ```
    /// let rdd = tidegate::Rdd::from(vec![vec![3, 1], vec![2]]);
    /// assert_eq!(rdd.partitions().len(), 2);
    /// ```
    #[must_use]
    pub fn partitions(&self) -> &[Vec<T>] {
        &self.partitions
    }

    /// Calls `f` with the rows of each partition.
    ///
    /// ```
    /// let rdd = tidegate::Rdd::from(vec![vec![3, 1], vec![2]]);
    /// let mut lengths = vec![];
    /// rdd.foreach_partition(|rows| lengths.push(rows.len())); // say, one connection for each partition
    /// assert_eq!(lengths, [2, 1]);
    /// ```
    pub fn foreach_partition(&self, f: impl FnMut(&[T])) {
        self.partitions.iter().map(Vec::as_slice).for_each(f);
    }

    /// The first `rows_max` rows.
    ///
    /// ```
    /// let rdd = tidegate::Rdd::from(vec![vec![3, 1], vec![2]]);
    /// assert_eq!(rdd.take(2), [3, 1]);
    /// ```
    #[must_use]
    pub fn take(&self, rows_max: usize) -> Vec<T>
    where
        T: Clone,
    {
        self.iter().take(rows_max).cloned().collect()
    }

    /// All rows.
    ///
    /// ```
    /// let rdd = tidegate::Rdd::from(vec![vec![3, 1], vec![2]]);
    /// assert_eq!(rdd.collect(), [3, 1, 2]);
    /// ```
    #[must_use]
    pub fn collect(self) -> Vec<T> {
        self.into_iter().collect()
    }
}

/// `foreach_rdd`: a user function is the output.
pub struct ForeachRdd<T, R, F> {
    function: Arc<F>,
    emit_schedule: EmitSchedule,
    /// Where the program passes it.
    at: Arc<str>,
    types: PhantomData<fn(T) -> R>,
}

impl<T, R, F> ForeachRdd<T, R, F> {
    /// Calls `function`, which the program passes at `at`.
    #[must_use]
    pub fn new(function: Arc<F>, emit_schedule: EmitSchedule, at: Arc<str>) -> Self {
        ForeachRdd { function, emit_schedule, at, types: PhantomData }
    }
}

impl<T: Data, R: Outcome, F> TwoPhaseSink for ForeachRdd<T, R, F>
where
    F: Fn(Rdd<T>, BatchTime) -> R + Send + Sync,
{
    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        if !self.emit_schedule.is_due(!rows.is_empty(), batch.time) {
            return Ok(None);
        }
        let rdd = Rdd { partitions: rows.tasks().map(|(_, rows)| rows).collect() };
        let failed = |why: String| {
            Error::Output(format!("foreach_rdd at {} in the batch of {}: {why}", self.at, batch.time))
        };
        match catch_unwind(AssertUnwindSafe(|| (self.function)(rdd, batch.time).reason())) {
            Ok(Ok(())) => Ok(None),
            Ok(Err(why)) => Err(failed(why)),
            Err(panic) => Err(failed(panics::reason(panic.as_ref(), "panicked"))),
        }
    }
}
