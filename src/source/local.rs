//! Sources within this process: rows that no log keeps.
//!
//! Owns the trait and the queue and rate sources. Knows no thread. Invariants: a source is asked when a batch takes
//! its input; the runtime keeps what it returned until the batch is committed, so that a batch that is given up is
//! computed again; rows returned and not committed are lost with the process.

use crate::{
    error::Result,
    operator::Batch,
    record::{BatchId, BatchTime, Chunk, Data},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Supplies rows to batches.
pub trait LocalSource: Send {
    /// The next rows of this batch; `None` = none for now. Asked repeatedly until it returns `None`, and again
    /// later in the same batch.
    ///
    /// # Errors
    /// If the source is broken; the program then stops.
    fn take(&mut self, batch: &Batch) -> Result<Option<Chunk>>;

    /// Whether rows are waiting: if not, a bounded run ends, and a run without an interval idles.
    fn has_more(&self) -> bool;

    /// What has been taken so far is committed: it will not be computed again.
    fn committed(&mut self) {}
}

/// Creates the source when the program starts.
pub type MakeLocal = Arc<dyn Fn() -> Box<dyn LocalSource> + Send + Sync>;

/// The queue behind `queue_stream`: what is pushed is processed batch by batch. Clones share it; rows may be pushed
/// before and after the start.
///
/// ```
/// use tidegate::source::Queue;
/// let queue = Queue::default();
/// queue.push(vec!["a", "b"]);
/// queue.push(vec!["c"]);
/// assert_eq!(queue.len(), 2);
/// ```
pub struct Queue<T>(Arc<Mutex<Waiting<T>>>);

struct Waiting<T> {
    batches: VecDeque<Vec<T>>,
    /// What a batch gets for which nothing is waiting.
    otherwise: Option<Vec<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue(Arc::new(Mutex::new(Waiting { batches: VecDeque::new(), otherwise: None })))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue(self.0.clone())
    }
}

impl<T> Queue<T> {
    /// Appends the rows of one batch.
    ///
    /// ```
    /// use tidegate::{StreamingContext, source::Queue, testing::Driver};
    /// let queue = Queue::default();
    /// queue.push(vec!['a', 'b']);
    /// queue.push(vec![]); // a batch without rows
    /// queue.push(vec!['c']);
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.queue_stream(&queue, true).print());
    /// assert_eq!(driver.batch_at(3_000, "")?.to_string(), "console | a\nconsole | b\n---\n---\nconsole | c\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn push(&self, rows: Vec<T>) {
        self.waiting().batches.push_back(rows);
    }

    /// From now on a batch for which nothing is waiting gets these rows.
    ///
    /// ```
    /// use tidegate::{StreamingContext, source::Queue, testing::Driver};
    /// let queue = Queue::default();
    /// queue.otherwise(vec!['z']);
    /// queue.push(vec!['a']);
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.queue_stream(&queue, true).print());
    /// assert_eq!(driver.batch("")?.to_string(), "console | a\n");
    /// assert_eq!(driver.batch("")?.to_string(), "console | z\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn otherwise(&self, rows: Vec<T>) {
        self.waiting().otherwise = Some(rows);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of batches waiting.
    ///
    /// ```
    /// use tidegate::source::Queue;
    /// let queue = Queue::default();
    /// queue.push(vec!["a", "b"]);
    /// assert_eq!(queue.len(), 1); // batches, not rows
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().batches.len()
    }

    /// Whether no batch is waiting.
    ///
    /// ```
    /// use tidegate::source::Queue;
    /// assert!(Queue::<u32>::default().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is waiting; `is_first` = the batch has got nothing yet.
    fn pop(&self, is_first: bool) -> Option<Vec<T>>
    where
        T: Clone,
    {
        let mut waiting = self.waiting();
        waiting.batches.pop_front().or_else(|| waiting.otherwise.clone().filter(|_| is_first))
    }
}

/// Supplies a queue's elements: one per batch, or all that are waiting.
pub struct QueueSource<T> {
    queue: Queue<T>,
    one_at_a_time: bool,
    given_in: Option<BatchId>,
}

impl<T> QueueSource<T> {
    /// Reads `queue`.
    #[must_use]
    pub fn new(queue: Queue<T>, one_at_a_time: bool) -> Self {
        QueueSource { queue, one_at_a_time, given_in: None }
    }
}

impl<T: Data> LocalSource for QueueSource<T> {
    fn take(&mut self, batch: &Batch) -> Result<Option<Chunk>> {
        let is_first = self.given_in != Some(batch.id);
        if self.one_at_a_time && !is_first {
            return Ok(None);
        }
        self.given_in = Some(batch.id);
        Ok(self.queue.pop(is_first).map(Chunk::rows))
    }

    fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }
}

/// Supplies numbers from 0 on at a steady rate, each with the time at which it was due.
pub struct RateSource {
    rows_per_second: u64,
    next: u64,
    first: Option<BatchTime>,
}

impl RateSource {
    /// Supplies `rows_per_second` rows for each second of batch time; none in the first batch.
    #[must_use]
    pub fn new(rows_per_second: u64) -> Self {
        RateSource { rows_per_second, next: 0, first: None }
    }
}

/// Most rows in one chunk.
const CHUNK_ROWS: u64 = 8_192;

impl LocalSource for RateSource {
    /// Rows of `(u64, i64)`: the number, and its time in milliseconds since the epoch.
    fn take(&mut self, batch: &Batch) -> Result<Option<Chunk>> {
        let first = *self.first.get_or_insert(batch.time);
        let elapsed_ms = u128::try_from(batch.time.0 - first.0).unwrap_or(0);
        let due = elapsed_ms * u128::from(self.rows_per_second) / 1_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX).min(self.next.saturating_add(CHUNK_ROWS));
        if due <= self.next {
            return Ok(None);
        }
        let time_of = |n: u64| {
            first.0
                + i64::try_from(u128::from(n) * 1_000 / u128::from(self.rows_per_second)).unwrap_or(i64::MAX)
        };
        let rows: Vec<(u64, i64)> = (self.next..due).map(|n| (n, time_of(n))).collect();
        self.next = due;
        Ok(Some(Chunk::rows(rows)))
    }

    fn has_more(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(id: u64, time: i64) -> Batch {
        Batch::new(BatchId(id), BatchTime(time))
    }

    #[test]
    fn a_queue_supplies_one_element_per_batch_or_all() {
        let queue = Queue::default();
        (0..3).for_each(|n| queue.push(vec![n]));
        let mut source = QueueSource::new(queue.clone(), true);
        let mut take = |id| source.take(&batch(id, 0)).unwrap().map(Chunk::take::<Vec<i32>>);
        assert_eq!((take(1), take(1), take(2)), (Some(vec![0]), None, Some(vec![1])));
        queue.push(vec![3]);
        let mut all = QueueSource::new(queue, false);
        let mut take = || all.take(&batch(9, 0)).unwrap().map(Chunk::take::<Vec<i32>>);
        assert_eq!((take(), take(), take()), (Some(vec![2]), Some(vec![3]), None));
    }

    #[test]
    fn a_rate_holds_over_batches_of_any_length() {
        let mut source = RateSource::new(3);
        let mut numbers: Vec<(u64, i64)> = vec![];
        for time in [1_000, 1_100, 2_000, 2_001, 12_000] {
            while let Some(chunk) = source.take(&batch(1, time)).unwrap() {
                numbers.extend(chunk.take::<Vec<(u64, i64)>>());
            }
        }
        assert_eq!(numbers.len(), 33);
        assert_eq!(numbers[..4], [(0, 1_000), (1, 1_333), (2, 1_666), (3, 2_000)]);
    }
}
