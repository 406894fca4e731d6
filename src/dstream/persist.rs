//! Spark's marks for streams that are used more than once.
//!
//! Knows no store. Invariant: a mark changes nothing of what is computed, as every stream is computed once per batch whatever reads it.

use super::DStream;
use crate::record::Data;
use std::sync::PoisonError;

/// Spark's storage levels, accepted for programs that come from there. None of them changes anything: rows of a batch are in memory
/// while the batch is computed, and are never kept longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageLevel {
    /// Not marked.
    #[default]
    None,
    /// Spark's `DISK_ONLY`.
    DiskOnly,
    /// Spark's `MEMORY_ONLY`.
    MemoryOnly,
    /// Spark's `MEMORY_ONLY_SER`: what `persist` means for a stream.
    MemoryOnlySer,
    /// Spark's `MEMORY_AND_DISK`.
    MemoryAndDisk,
    /// Spark's `MEMORY_AND_DISK_SER`.
    MemoryAndDiskSer,
}

impl<T: Data> DStream<T> {
    /// Marks the stream as used more than once. Accepted for compatibility: here a stream that several operations read is computed
    /// once per batch anyway, and shared without a copy; windows keep what they need in the state store.
    ///
    /// # Panics
    /// If the program runs already.
    #[must_use]
    pub fn persist(&self) -> Self {
        self.persist_at(StorageLevel::MemoryOnlySer)
    }

    /// As [`persist`](DStream::persist), with a storage level.
    ///
    /// # Panics
    /// If the program runs already.
    #[must_use]
    pub fn persist_at(&self, level: StorageLevel) -> Self {
        assert!(
            !self.builder.is_started(),
            "Cannot change storage level of a DStream after streaming context has started"
        );
        let mut levels = self.builder.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.insert(self.node, level);
        drop(levels);
        self.clone()
    }

    /// As [`persist`](DStream::persist).
    ///
    /// # Panics
    /// If the program runs already.
    #[must_use]
    pub fn cache(&self) -> Self {
        self.persist()
    }

    /// Takes the mark back.
    ///
    /// # Panics
    /// If the program runs already.
    #[must_use]
    pub fn unpersist(&self) -> Self {
        self.persist_at(StorageLevel::None)
    }

    /// How the stream is marked.
    #[must_use]
    pub fn storage_level(&self) -> StorageLevel {
        let levels = self.builder.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.get(&self.node).copied().unwrap_or_default()
    }
}
