//! Which operator of a task is running and how many records the batch has taken, for whoever waits for the task.
//!
//! Owns two numbers that the task writes and another thread reads. Knows no operator. Invariant: what it says is
//! a hint; nothing that is computed depends on it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The operator of a task that is running.
#[derive(Debug)]
pub struct Running {
    labels: Vec<Arc<str>>,
    /// Its position and one; 0 = none.
    position: AtomicUsize,
    /// Records that the batch has taken, those that are being computed included.
    records: AtomicUsize,
}

impl Running {
    /// None of the operators with these labels is running.
    #[must_use]
    pub fn new(labels: Vec<Arc<str>>) -> Self {
        Running { labels, position: AtomicUsize::new(0), records: AtomicUsize::new(0) }
    }

    /// The operator at `position` begins.
    pub fn begin(&self, position: usize) {
        self.position.store(position + 1, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn end(&self) {
        self.position.store(0, Ordering::Relaxed);
    }

    /// A batch begins.
    pub fn begin_batch(&self) {
        self.records.store(0, Ordering::Relaxed);
    }

    /// The batch takes these records.
    pub fn take(&self, records: usize) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// How many records the batch has taken.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// The label of the operator that is running.
    #[must_use]
    pub fn label(&self) -> Option<&Arc<str>> {
        self.labels.get(self.position.load(Ordering::Relaxed).checked_sub(1)?)
    }
}
