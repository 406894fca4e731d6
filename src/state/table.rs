//! A table in one store: point access by typed key, with changes staged in memory until the batch is committed.
//!
//! Owns the staged layer of one store, in the order of first touch. Knows no operator and no log. Invariants: a key is
//! looked up in the database at most once per batch; keys and values are encoded once, when the batch is sealed; a
//! staged key keeps no larger buffer alive.

use super::{
    Backend, Store, StoreSpec,
    keyspace::{Keyspace, spec},
    staged::{Cell, INLINE_BYTES, Slot},
};
use crate::{
    codec::{Stored, decode_key, encode_key, stored_format},
    error::Result,
    record::{Key, Map, RawChunk, RawChunkBuilder, Value},
};
use indexmap::map::{Entry, MutableEntryKey};
use serde::Serialize;
use std::{mem::needs_drop, sync::Arc};

/// Keyed values with point access.
pub struct Table<K: Key, V: Value> {
    committed: Keyspace,
    values: Stored<V>,
    staged: Map<K, Cell<V>>,
    staged_bytes: usize,
    /// The concatenated encoded keys of committed rows to delete, and where each ends.
    deleted: (Vec<u8>, Vec<usize>),
    /// The rows of the staged changes, valid while nothing has been touched since they were encoded.
    sealed: Option<RawChunk>,
    scratch: Vec<u8>,
}

impl<K: Key, V: Value> Table<K, V> {
    /// The store called `name` in an opened database.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, backend: Arc<dyn Backend>) -> Self {
        Self::over(Keyspace::new(name, backend), Stored::new(&stored_format::<V>(), &[]))
    }

    fn over(committed: Keyspace, values: Stored<V>) -> Self {
        Table {
            committed,
            values,
            staged: Map::default(),
            staged_bytes: 0,
            deleted: (vec![], vec![]),
            sealed: None,
            scratch: vec![],
        }
    }

    /// How the plan declares such a table.
    #[must_use]
    pub fn spec(name: impl Into<String>) -> StoreSpec {
        spec::<K, V, Self>("table", name.into(), Self::over)
    }

    /// Reads the values of keys that have not been touched yet with one multi-get, so that `entry` finds them in
    /// memory.
    ///
    /// # Errors
    /// If the database cannot be read, or holds what is not a `V`.
    pub fn prefetch<'k>(&mut self, keys: impl IntoIterator<Item = &'k K>) -> Result
    where
        K: 'k,
    {
        let first = self.staged.len();
        let fetched = self.fetch(keys, first);
        if fetched.is_err() {
            self.staged.truncate(first);
        }
        fetched.map_err(self.committed.failed())
    }

    fn fetch<'k>(&mut self, keys: impl IntoIterator<Item = &'k K>, first: usize) -> Result
    where
        K: 'k,
    {
        let (mut bytes, mut ends) = (std::mem::take(&mut self.scratch), vec![]);
        bytes.clear();
        for key in keys {
            if self.staged.contains_key(key) {
                continue;
            }
            let start = bytes.len();
            encode_key(key, &mut bytes)?;
            self.staged.insert(compact(key.clone(), &bytes[start..])?, Cell::nothing());
            ends.push(bytes.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let keys: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &bytes[start..*end]).collect();
        if !keys.is_empty() {
            self.sealed = None;
        }
        let mut weight = 0;
        self.committed.get_many(&keys, &mut |index, committed| {
            let cell = Cell::read(committed, &self.values)?;
            weight += weight_of::<K, V>(keys[index].len(), &cell);
            self.staged[first + index] = cell;
            Ok(())
        })?;
        self.staged_bytes += weight;
        self.scratch = bytes;
        Ok(())
    }

    /// Access to the value of `key`; costs one hash if the key was touched or fetched before in this batch.
    ///
    /// # Errors
    /// If the database cannot be read, or holds what is not a `V`.
    pub fn entry(&mut self, key: K) -> Result<Slot<'_, V>> {
        self.entry_with_index(key).map(|(_, slot)| slot)
    }

    /// As [`Table::entry`], with the place of the key in the order of first touch: 0 for the batch's first.
    ///
    /// # Errors
    /// As [`Table::entry`].
    pub fn entry_with_index(&mut self, key: K) -> Result<(usize, Slot<'_, V>)> {
        self.sealed = None;
        let entry = self.staged.entry(key);
        let index = entry.index();
        let cell = match entry {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(mut entry) => {
                let fail = self.committed.failed();
                self.scratch.clear();
                encode_key(entry.key(), &mut self.scratch).map_err(&fail)?;
                let cell =
                    self.committed.get(&self.scratch, |row| Cell::read(row, &self.values)).map_err(&fail)?;
                self.staged_bytes += weight_of::<K, V>(self.scratch.len(), &cell);
                if keeps_a_buffer::<K>(&self.scratch) {
                    *entry.key_mut() = decode_key(&self.scratch).map_err(&fail)?;
                }
                entry.insert(cell)
            }
        };
        Ok((index, Slot::staged(cell, &mut self.staged_bytes)))
    }

    /// Like [`Table::entry`], for a key that the caller knows to have no committed value: the database is not asked.
    ///
    /// # Errors
    /// If the key cannot be encoded.
    pub fn entry_of_new(&mut self, key: K) -> Result<Slot<'_, V>> {
        self.sealed = None;
        let cell = match self.staged.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(mut entry) => {
                let fail = self.committed.failed();
                let cell = Cell::nothing();
                self.scratch.clear();
                if needs_drop::<K>() {
                    encode_key(entry.key(), &mut self.scratch).map_err(&fail)?;
                    if keeps_a_buffer::<K>(&self.scratch) {
                        *entry.key_mut() = decode_key(&self.scratch).map_err(&fail)?;
                    }
                }
                self.staged_bytes += weight_of::<K, V>(self.scratch.len(), &cell);
                entry.insert(cell)
            }
        };
        Ok(Slot::staged(cell, &mut self.staged_bytes))
    }

    /// Deletes up to `limit` of the committed rows whose keys are from `from` (inclusive) to `to` (exclusive), both
    /// given as the first parts of a tuple or struct; in order and without reading the values. No key of the range may
    /// have been touched in this batch. Returns the first key of the range that is left, if there is one.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn delete_range<P: Serialize>(&mut self, from: &P, to: &P, limit: usize) -> Result<Option<K>> {
        self.sealed = None;
        let fail = self.committed.failed();
        let (mut first, mut end) = (vec![], vec![]);
        encode_key(from, &mut first).and_then(|()| encode_key(to, &mut end)).map_err(&fail)?;
        let (bytes, ends) = &mut self.deleted;
        let before = bytes.len();
        let (mut count, mut left) = (0, None);
        let scanned = self.committed.scan(Some(&first), &mut |key, _| {
            if key >= &end[..] {
                return Ok(false);
            }
            if count == limit {
                left = Some(decode_key(key)?);
                return Ok(false);
            }
            count += 1;
            bytes.extend_from_slice(key);
            ends.push(bytes.len());
            Ok(true)
        });
        self.staged_bytes += bytes.len() - before + count * size_of::<usize>();
        scanned.map_err(fail)?;
        Ok(left)
    }

    /// Takes up to `limit` rows out of the table, in order, whose keys are from `from` (inclusive) to `to` (exclusive), both given as
    /// the first parts of a tuple or struct; keys that are new in this batch are not considered. Returns them, and the first key of
    /// the range that is left, if there is one.
    ///
    /// # Errors
    /// If the database cannot be read, or holds what is not a `V`.
    pub fn take_range<P: Serialize, Q: Serialize>(
        &mut self,
        from: &P,
        to: &Q,
        limit: usize,
    ) -> Result<(Vec<(K, V)>, Option<K>)> {
        self.sealed = None;
        let fail = self.committed.failed();
        let (mut first, mut end) = (vec![], vec![]);
        encode_key(from, &mut first).and_then(|()| encode_key(to, &mut end)).map_err(&fail)?;
        let (staged, (bytes, ends)) = (&mut self.staged, &mut self.deleted);
        let before = bytes.len();
        let (mut rows, mut left) = (vec![], None);
        let scanned = self.committed.scan(Some(&first), &mut |key_bytes, value| {
            if key_bytes >= &end[..] {
                return Ok(false);
            }
            let key: K = decode_key(key_bytes)?;
            if rows.len() == limit {
                left = Some(key);
                return Ok(false);
            }
            if let Some(cell) = staged.get_mut(&key) {
                if cell.value().is_some() {
                    let taken = Slot::staged(cell, &mut self.staged_bytes).take();
                    rows.extend(taken.map(|value| (key, value)));
                }
                return Ok(true);
            }
            rows.push((key, self.values.decode(value)?));
            bytes.extend_from_slice(key_bytes);
            ends.push(bytes.len());
            Ok(true)
        });
        self.staged_bytes += bytes.len() - before + rows.len() * size_of::<usize>();
        scanned.map_err(fail)?;
        Ok((rows, left))
    }

    /// Closes the keys that will not be used again, as decided by `over`: returns those whose value differs from the
    /// committed one, in the order of first touch. New keys leave no trace, neither in the changelog nor in the
    /// database; for the others a deletion remains. Only keys that were touched in this batch are considered.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    pub fn close(&mut self, over: impl Fn(&K) -> bool) -> Result<Vec<(K, V)>> {
        if !self.staged.keys().any(&over) {
            return Ok(vec![]);
        }
        self.sealed = None;
        let (mut closed, mut left, mut forgotten) = (vec![], vec![], 0);
        for (key, mut cell) in self.staged.drain(..) {
            let value = if over(&key) {
                cell.close(&self.values, &mut self.scratch).map_err(self.committed.failed())?
            } else {
                None
            };
            if let Some(value) = value {
                closed.push((key.clone(), value));
                if cell.is_new() {
                    forgotten += 1;
                    continue;
                }
            }
            left.push((key, cell));
        }
        self.staged.extend(left);
        self.staged_bytes = self.staged_bytes.saturating_sub(forgotten * row_bytes_of::<K, V>());
        Ok(closed)
    }

    /// A copy of the value of `key`, staged or committed.
    ///
    /// # Errors
    /// As [`Table::entry`].
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        if let Some(cell) = self.staged.get(key) {
            return Ok(cell.value().cloned());
        }
        let mut bytes = vec![];
        encode_key(key, &mut bytes)
            .and_then(|()| {
                self.committed.get(&bytes, |value| value.map(|value| self.values.decode(value)).transpose())
            })
            .map_err(self.committed.failed())
    }

    /// The keys whose value differs from the committed one, with the new value (`None` = deleted), in the order of
    /// first touch, and their place in it. Encodes the changes, also for a following [`Store::seal`] if nothing is touched in between.
    ///
    /// # Errors
    /// If a key or value cannot be encoded.
    pub fn changed(&mut self) -> Result<impl Iterator<Item = (usize, &K, Option<&V>)>> {
        if self.sealed.is_none() {
            self.sealed = Some(self.rows()?);
        }
        let staged = self.staged.iter().enumerate().filter(|(_, (_, cell))| cell.is_changed());
        Ok(staged.map(|(index, (key, cell))| (index, key, cell.value())))
    }

    /// Visits every key that has a value: committed ones in the order of their bytes, then those that are new in this
    /// batch. Streams the rows: only what `visit` changes is staged, so a table may be larger than memory. At most
    /// `keys_max` committed keys at a time: returns where the next part begins, or `None` after the last one. The first
    /// part has no `from`.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    pub fn update_some(
        &mut self,
        from: Option<&[u8]>,
        keys_max: usize,
        mut visit: impl FnMut(&K, &mut Slot<'_, V>) -> Result,
    ) -> Result<Option<Vec<u8>>> {
        self.sealed = None;
        let touched_before = self.staged.len();
        let (mut keys, mut next) = (0, None);
        let scanned = self.committed.scan(from, &mut |bytes, committed| {
            if keys == keys_max {
                next = Some(bytes.to_vec());
                return Ok(false);
            }
            keys += 1;
            let key: K = decode_key(bytes)?;
            match self.staged.get_mut(&key) {
                Some(cell) if cell.value().is_some() => {
                    visit(&key, &mut Slot::staged(cell, &mut self.staged_bytes))?;
                }
                Some(_) => {}
                None => {
                    let mut cell = Cell::passing(committed, &self.values)?;
                    visit(&key, &mut Slot::passing(&mut cell))?;
                    if let Some(mut cell) = cell.differing(committed, &self.values, &mut self.scratch)? {
                        self.staged_bytes += weight_of::<K, V>(bytes.len(), &cell);
                        cell.weigh(&mut self.staged_bytes);
                        self.staged.insert(key, cell);
                    }
                }
            }
            Ok(true)
        });
        scanned.map_err(self.committed.failed())?;
        if next.is_some() {
            return Ok(next);
        }
        for index in 0..touched_before {
            let Some((key, cell)) = self.staged.get_index_mut(index) else { break };
            if cell.is_new() && cell.value().is_some() {
                visit(key, &mut Slot::staged(cell, &mut self.staged_bytes))?;
            }
        }
        Ok(None)
    }

    fn rows(&mut self) -> Result<RawChunk> {
        let count = self.staged.len() + self.deleted.1.len();
        let mut rows = RawChunkBuilder::with_capacity(count, count * ROW_BYTES);
        for (index, (key, cell)) in self.staged.iter_mut().enumerate() {
            self.committed.begin_changelog_key(&mut self.scratch);
            encode_key(key, &mut self.scratch)
                .and_then(|()| cell.seal(&self.scratch, &self.values, index == 0, &mut rows))
                .map_err(self.committed.failed())?;
        }
        let (bytes, ends) = &self.deleted;
        let mut start = 0;
        for end in ends {
            self.committed.begin_changelog_key(&mut self.scratch);
            self.scratch.extend_from_slice(&bytes[start..*end]);
            let Ok(()) =
                rows.push_with(-1, Some(&self.scratch), |_| Ok::<_, std::convert::Infallible>(false));
            start = *end;
        }
        Ok(rows.build())
    }

    fn clear(&mut self) {
        self.staged.clear();
        self.deleted.0.clear();
        self.deleted.1.clear();
        self.staged_bytes = 0;
        self.sealed = None;
    }
}

impl<K: Key, V: Value> Store for Table<K, V> {
    fn seal(&mut self) -> Result<RawChunk> {
        match self.sealed.take() {
            Some(rows) => Ok(rows),
            None => self.rows(),
        }
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

/// The size of a small changelog row: a first estimate for the arena's size.
const ROW_BYTES: usize = 24;

/// What a record takes besides the bytes of its key: its entry in a chunk, the store's id, and a small value.
const RECORD_BYTES: usize = 56;

/// What a touched key takes in memory, except for the heap of its value: the map's row and index, the heap of the key
/// and of the committed value; and at the end of the batch the changelog row, usually an output row too, and its
/// record.
fn weight_of<K, V: Value>(key_bytes: usize, cell: &Cell<V>) -> usize {
    let at_end = size_of::<(K, V)>() + 2 * (RECORD_BYTES + key_bytes);
    let row = row_bytes_of::<K, V>();
    let key_heap = if needs_drop::<K>() && key_bytes > INLINE_BYTES { key_bytes } else { 0 };
    row + key_heap + cell.committed_heap_bytes() + at_end
}

/// The map's row and index.
fn row_bytes_of<K, V>() -> usize {
    size_of::<(u64, K, Cell<V>)>() + 2 * size_of::<usize>()
}

/// Whether a key of these bytes may share a buffer with what it was cut from: short ones are always inline.
fn keeps_a_buffer<K>(encoded: &[u8]) -> bool {
    needs_drop::<K>() && encoded.len() > INLINE_BYTES
}

fn compact<K: Key>(key: K, encoded: &[u8]) -> Result<K> {
    if keeps_a_buffer::<K>(encoded) { decode_key(encoded) } else { Ok(key) }
}
