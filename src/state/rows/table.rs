//! Rows with point access: a value of bytes for each key of bytes.
//!
//! Owns the staged layer of one store, in the order of first touch. Knows no column and no operator. Invariants: a key is looked up in
//! the database at most once per batch; a key that was touched keeps its place until the batch is over; both the committed and the
//! staged value of such a key are at hand.

use super::{Formats, cell::RowCell, spec};
use crate::{
    error::{Error, Result},
    record::{Bytes, Map, RawChunk, RawChunkBuilder},
    state::{Backend, Store, StoreSpec, keyspace::Keyspace, staged::INLINE_BYTES},
};
use std::{ops::Range, sync::Arc};

/// Rows by key, with point access.
///
/// ```
/// use tidegate::{record::Partition, state::{MemoryStorage, RowTable, Storage, Store}};
///
/// let backend = MemoryStorage::default().open(Partition(0), &["counts".to_owned()])?.backend;
/// let mut counts = RowTable::new("counts", "key(str) -> count", backend);
/// let mut places = vec![];
/// counts.touch([&b"a"[..], b"b", b"a"], &mut places)?;
/// assert_eq!(places, [0, 1, 0]);
/// counts.put(0, b"2");
/// assert_eq!((counts.old(0), counts.new_value(0)), (None, Some(&b"2"[..])));
/// assert_eq!(counts.seal()?.len(), 1);
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct RowTable {
    committed: Keyspace,
    formats: Formats,
    staged: Map<Bytes, RowCell>,
    staged_bytes: usize,
    scratch: Vec<u8>,
}

impl RowTable {
    /// The store called `name` in an opened database, its rows in this format.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, format: &str, backend: Arc<dyn Backend>) -> Self {
        Self::over(Keyspace::new(name, backend), Formats::new(format, &[]))
    }

    fn over(committed: Keyspace, formats: Formats) -> Self {
        RowTable { committed, formats, staged: Map::default(), staged_bytes: 0, scratch: vec![] }
    }

    /// How the plan declares such a store; `format` says what the columns of keys and values are.
    #[must_use]
    pub fn spec(name: impl Into<String>, format: &str) -> StoreSpec {
        spec("rows", name.into(), format, Self::over)
    }

    /// The formats that values may be in.
    #[must_use]
    pub fn formats(&self) -> &Formats {
        &self.formats
    }

    /// Touches keys: appends the place of each to `places`, which is that of its first touch in this batch, from 0 on. Those that were
    /// not touched before are read with one multi-get.
    ///
    /// # Errors
    /// If the database cannot be read; no key was touched then.
    pub fn touch<'k>(&mut self, keys: impl IntoIterator<Item = &'k [u8]>, places: &mut Vec<u32>) -> Result {
        let (first, places_before) = (self.staged.len(), places.len());
        for key in keys {
            let place = match self.staged.get_index_of(key) {
                Some(place) => place,
                None => self.staged.insert_full(Bytes::from(key), RowCell::unread()).0,
            };
            places.push(u32::try_from(place).unwrap_or(u32::MAX));
        }
        let read = self.read_from(first);
        if read.is_err() {
            self.staged.truncate(first);
            places.truncate(places_before);
        }
        read
    }

    /// Reads the committed values of the keys from this place on.
    fn read_from(&mut self, first: usize) -> Result {
        if first == self.staged.len() {
            return Ok(());
        }
        // A short key is inside the map, whose values are written below.
        let keys: Vec<Bytes> = self.staged.keys().skip(first).cloned().collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        let (staged, mut bytes) = (&mut self.staged, 0);
        self.committed.get_many(&keys, &mut |index, committed| {
            let cell = RowCell::read(committed);
            bytes += weight_of(keys[index].len()) + cell.heap_bytes();
            staged[first + index] = cell;
            Ok(())
        })?;
        self.staged_bytes += bytes;
        Ok(())
    }

    /// Adds the store's name to an error of what its rows are.
    pub fn failed(&self) -> impl Fn(Error) -> Error + '_ {
        self.committed.failed()
    }

    /// How many keys were touched.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.staged.len()
    }

    /// The key at a place.
    ///
    /// # Panics
    /// If no key has this place, as do the others that take one: a bug of the operator.
    #[must_use]
    pub fn key(&self, place: usize) -> &[u8] {
        self.staged.get_index(place).map_or_else(|| no_place(place), |(key, _)| key)
    }

    /// The keys of a range of places.
    pub fn keys(&self, places: Range<usize>) -> impl Iterator<Item = &[u8]> {
        places.map(|place| self.key(place))
    }

    /// The committed value of the key at a place; `None` = it has none.
    #[must_use]
    pub fn old(&self, place: usize) -> Option<&[u8]> {
        self.staged[place].old()
    }

    /// The value of the key at a place as this batch has left it so far.
    #[must_use]
    pub fn new_value(&self, place: usize) -> Option<&[u8]> {
        self.staged[place].new_value()
    }

    /// Writes the value of the key at a place.
    pub fn put(&mut self, place: usize, value: &[u8]) {
        self.change(place, |cell| cell.put(value));
    }

    /// Deletes the key at a place; it keeps the place.
    pub fn delete(&mut self, place: usize) {
        self.change(place, RowCell::delete);
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut RowCell)) {
        let cell = &mut self.staged[place];
        let before = cell.heap_bytes();
        change(cell);
        self.staged_bytes = self.staged_bytes + cell.heap_bytes() - before;
    }

    /// Visits the keys that have a value: committed ones in the order of their bytes, then those that are new in this batch, each with
    /// its staged value; at most `keys_max` committed keys. Returns where the next part begins, or `None` after the last one. The first
    /// part has no `from`.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    pub fn visit_some(
        &self,
        from: Option<&[u8]>,
        keys_max: usize,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result,
    ) -> Result<Option<Vec<u8>>> {
        let (mut keys, mut next) = (0, None);
        self.committed.scan(from, &mut |key, committed| {
            if keys == keys_max {
                next = Some(key.to_vec());
                return Ok(false);
            }
            keys += 1;
            match self.staged.get(key).map_or(Some(committed), RowCell::new_value) {
                Some(value) => visit(key, value).map(|()| true),
                None => Ok(true),
            }
        })?;
        if next.is_some() {
            return Ok(next);
        }
        for (key, cell) in &self.staged {
            if let (None, Some(value)) = (cell.old(), cell.new_value()) {
                visit(key, value)?;
            }
        }
        Ok(None)
    }

    /// Takes the committed rows whose keys are from `from` (inclusive) to `to` (exclusive) and were not touched in this batch: visits each,
    /// and deletes it; at most `keys_max`. Returns where the next part begins, or `None` after the last one. A key that was taken has been
    /// touched.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers; nothing is deleted then.
    pub fn take_range(
        &mut self,
        from: &[u8],
        to: &[u8],
        keys_max: usize,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result,
    ) -> Result<Option<Vec<u8>>> {
        let (mut taken, mut next) = (vec![], None);
        self.committed.scan(Some(from), &mut |key, value| {
            if key >= to {
                return Ok(false);
            }
            if self.staged.contains_key(key) {
                return Ok(true);
            }
            if taken.len() == keys_max {
                next = Some(key.to_vec());
                return Ok(false);
            }
            visit(key, value)?;
            taken.push((Bytes::from(key), Bytes::from(value)));
            Ok(true)
        })?;
        for (key, value) in taken {
            let mut cell = RowCell::read(Some(&value));
            cell.delete();
            self.staged_bytes += weight_of(key.len()) + cell.heap_bytes();
            self.staged.insert(key, cell);
        }
        Ok(next)
    }

    fn clear(&mut self) {
        self.staged.clear();
        self.staged_bytes = 0;
    }
}

impl Store for RowTable {
    fn seal(&mut self) -> Result<RawChunk> {
        let mut rows = RawChunkBuilder::with_capacity(self.staged.len(), 0);
        for (key, cell) in &self.staged {
            self.committed.begin_changelog_key(&mut self.scratch);
            self.scratch.extend_from_slice(key);
            cell.seal(&self.scratch, &mut rows);
        }
        Ok(rows.build())
    }
    fn applied(&mut self) {
        self.clear();
    }
    fn aborted(&mut self) {
        self.clear();
    }
    fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }
}

/// What a touched key takes in memory, except for the heap of its values: the map's row and index, its own heap, and the changelog row.
fn weight_of(key_bytes: usize) -> usize {
    let heap = if key_bytes > INLINE_BYTES { key_bytes } else { 0 };
    size_of::<(u64, Bytes, RowCell)>() + 2 * size_of::<usize>() + heap + key_bytes + RECORD_BYTES
}

/// What a row of the changelog takes besides the bytes of its key.
const RECORD_BYTES: usize = 56;

fn no_place(place: usize) -> ! {
    panic!("operator bug: no key was touched at place {place}")
}
