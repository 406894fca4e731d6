//! The table of the encoded keys of a batch: each key once, with a number.
//!
//! Owns the keys, one after the other in one arena. Knows no columns. Invariant: keys are numbered 0, 1, .. in the order in which they
//! came, whatever their hashes; the hash decides nothing that leaves the table.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Distinct keys with their numbers.
#[derive(Default)]
pub struct KeyTable {
    arena: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
    table: HashTable<Entry>,
    hasher: FixedState,
}

/// The hash beside the number: keys that differ are told apart without a look at their bytes, and a table that grows hashes nothing anew.
#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    index: usize,
}

/// The number of a key, and whether it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number.
    pub index: usize,
    /// Whether it had not been in the table.
    pub is_new: bool,
}

impl KeyTable {
    /// Finds a key, or appends it.
    ///
    /// ```
    /// use tidegate::sql::rows::{KeyTable, Slot};
    /// let mut keys = KeyTable::default();
    /// assert_eq!(keys.insert(b"a"), Slot { index: 0, is_new: true });
    /// assert_eq!(keys.insert(b"b"), Slot { index: 1, is_new: true });
    /// assert_eq!(keys.insert(b"a"), Slot { index: 0, is_new: false });
    /// assert_eq!(keys.get(1), b"b");
    /// ```
    #[inline]
    pub fn insert(&mut self, key: &[u8]) -> Slot {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        let (arena, ends) = (&self.arena, &self.ends);
        let is_same = |entry: &Entry| entry.hash == hash && bytes(arena, ends, entry.index) == key;
        if let Some(entry) = self.table.find(hash, is_same) {
            return Slot { index: entry.index, is_new: false };
        }
        let index = self.ends.len();
        self.arena.extend_from_slice(key);
        self.ends.push(self.arena.len());
        self.table.insert_unique(hash, Entry { hash, index }, |entry| entry.hash);
        Slot { index, is_new: true }
    }

    /// The number of a key; `None` = it is not in the table.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        let is_same = |entry: &Entry| entry.hash == hash && self.get(entry.index) == key;
        self.table.find(hash, is_same).map(|entry| entry.index)
    }

    /// The key with a number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        bytes(&self.arena, &self.ends, index)
    }

    /// All keys, by their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| self.get(index))
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// About how much it takes in memory, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.arena.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.table.capacity() * (size_of::<Entry>() + 1)
    }

    /// Forgets all keys, and keeps the room.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.ends.clear();
        self.table.clear();
    }
}

#[inline]
fn bytes<'a>(arena: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &arena[start..ends[index]]
}
