//! Spark's marks for streams that are used more than once.
//!
//! Knows no store. Invariant: a mark changes nothing about what is computed, because every stream is computed once
//! per batch no matter how many operations read it; a level that asks for more is refused.

use super::DStream;
use crate::{record::Data, source::StorageLevel};
use std::{panic::Location, sync::PoisonError};

impl<T: Data> DStream<T> {
    /// Marks the stream as used more than once. Accepted for compatibility: a stream that several operations read
    /// is computed once per batch anyway, and shared without a copy; windows keep what they need in the state
    /// store.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let both_ends = |numbers: DStream<i32>| {
    ///     let doubled = numbers.map(|n| n * 2).persist(); // computed once, with or without the mark
    ///     doubled.reduce(Ord::min).named("least").union(&doubled.reduce(Ord::max).named("greatest"))
    /// };
    /// assert_eq!(outputs([[1, 2, 3]], both_ends)?, [[2, 6]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the program is already running.
    pub fn persist(&self) -> Self {
        self.persist_at(StorageLevel::Memory)
    }

    /// Like [`persist`](DStream::persist), with a storage level. `Memory` and `MemoryAndDisk` mean the same, as
    /// nothing is kept beyond its batch; `None` removes the mark; `Log` is refused at the start, because only
    /// outputs write what is computed.
    ///
    /// ```
    /// use tidegate::{DStream, StorageLevel, testing::outputs};
    /// let level = StorageLevel::MemoryAndDisk;
    /// let marked = move |numbers: DStream<i32>| {
    ///     let doubled = numbers.map(|n| n * 2).persist_at(level);
    ///     assert_eq!(doubled.storage_level(), level);
    ///     doubled.map(|n| n + 1).union(&doubled)
    /// };
    /// assert_eq!(outputs([[1, 2]], marked)?, [[2, 3, 4, 5]]);
    /// let to_the_log = |numbers: DStream<i32>| numbers.persist_at(StorageLevel::Log);
    /// assert!(outputs([[1, 2]], to_the_log).unwrap_err().to_string().contains("not kept in the log"));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the program is already running.
    #[track_caller]
    pub fn persist_at(&self, level: StorageLevel) -> Self {
        assert!(
            !self.builder.is_started(),
            "Cannot change storage level of a DStream after streaming context has started"
        );
        if level == StorageLevel::Log {
            self.builder.plan().mistakes.push(format!(
                "{}: `persist_at(StorageLevel::Log)`: what is computed is not kept in the log\n  help: write it to a topic (`to_kafka`) that another program reads, or use `StorageLevel::Memory`",
                Location::caller()
            ));
        }
        let mut levels = self.builder.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.insert(self.node, level);
        drop(levels);
        self.clone()
    }

    /// Same as [`persist`](DStream::persist).
    ///
    /// ```
    /// use tidegate::{DStream, StorageLevel, testing::outputs};
    /// let both = |numbers: DStream<i32>| {
    ///     let doubled = numbers.map(|n| n * 2).cache();
    ///     assert_eq!(doubled.storage_level(), StorageLevel::Memory);
    ///     doubled.filter(|n| *n > 2).union(&doubled)
    /// };
    /// assert_eq!(outputs([[1, 2]], both)?, [[2, 4, 4]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the program is already running.
    pub fn cache(&self) -> Self {
        self.persist()
    }

    /// Removes the mark.
    ///
    /// ```
    /// use tidegate::{DStream, StorageLevel, testing::outputs};
    /// let both = |numbers: DStream<i32>| {
    ///     let doubled = numbers.map(|n| n * 2).cache().unpersist();
    ///     assert_eq!(doubled.storage_level(), StorageLevel::None);
    ///     doubled.filter(|n| *n > 2).union(&doubled) // computed once all the same
    /// };
    /// assert_eq!(outputs([[1, 2]], both)?, [[2, 4, 4]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the program is already running.
    pub fn unpersist(&self) -> Self {
        self.persist_at(StorageLevel::None)
    }

    /// The storage level that the stream is marked with.
    ///
    /// ```
    /// use tidegate::{StreamingContext, source::StorageLevel};
    /// let ssc = StreamingContext::builder("app").build();
    /// assert_eq!(ssc.text("lines").storage_level(), StorageLevel::None);
    /// ```
    #[must_use]
    pub fn storage_level(&self) -> StorageLevel {
        let levels = self.builder.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.get(&self.node).copied().unwrap_or(StorageLevel::None)
    }
}
