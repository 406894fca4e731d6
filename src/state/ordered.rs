//! A table whose keys are visited in order: windows, timers, join buffers.
//!
//! Owns the staged layer of one store, in the order of the encoded keys. Knows no operator and no log. Invariants: a
//! visit sees the staged changes merged with the database; only changed values are staged.

use super::{
    Backend, Store, StoreSpec,
    keyspace::{Keyspace, spec},
    staged::{Cell, INLINE_BYTES, Slot},
};
use crate::{
    codec::{Stored, decode_key, encode_key, stored_format},
    error::Result,
    record::{Bytes, RawChunk, RawChunkBuilder, Value},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

/// Keyed values with point access and visits of key ranges.
///
/// The order is that of the encoded keys, which is the order of `derive(Ord)`: tuples sort by their first part first.
pub struct OrderedTable<K: Value, V: Value> {
    committed: Keyspace,
    values: Stored<V>,
    staged: BTreeMap<Bytes, Cell<V>>,
    staged_bytes: usize,
    scratch: Vec<u8>,
    key: PhantomData<fn(K) -> K>,
}

/// A range of encoded keys.
type ByteRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<K: Value, V: Value> OrderedTable<K, V> {
    /// The store called `name` in an opened database.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, backend: Arc<dyn Backend>) -> Self {
        Self::over(Keyspace::new(name, backend), Stored::new(&stored_format::<V>(), &[]))
    }

    fn over(committed: Keyspace, values: Stored<V>) -> Self {
        let staged = BTreeMap::new();
        OrderedTable { committed, values, staged, staged_bytes: 0, scratch: vec![], key: PhantomData }
    }

    /// How the plan declares such a table.
    #[must_use]
    pub fn spec(name: impl Into<String>) -> StoreSpec {
        spec::<K, V, Self>("ordered", name.into(), Self::over)
    }

    /// Reads the values of keys that have not been touched yet with one multi-get.
    ///
    /// # Errors
    /// If the database cannot be read, or holds what is not a `V`.
    pub fn prefetch<'k>(&mut self, keys: impl IntoIterator<Item = &'k K>) -> Result
    where
        K: 'k,
    {
        let fail = self.committed.failed();
        let mut missing: Vec<Bytes> = vec![];
        for key in keys {
            self.scratch.clear();
            encode_key(key, &mut self.scratch).map_err(&fail)?;
            if !self.staged.contains_key(&*self.scratch) {
                missing.push(Bytes::from(&*self.scratch));
            }
        }
        missing.sort_unstable();
        missing.dedup();
        let keys: Vec<&[u8]> = missing.iter().map(|key| &**key).collect();
        let fetched = self.committed.get_many(&keys, &mut |index, committed| {
            let cell = Cell::read(committed, &self.values)?;
            self.staged_bytes += weight_of(keys[index], &cell);
            self.staged.insert(missing[index].clone(), cell);
            Ok(())
        });
        fetched.map_err(fail)
    }

    /// Access to the value of `key`.
    ///
    /// # Errors
    /// If the database cannot be read, or holds what is not a `V`.
    ///
    /// # Panics
    /// Never: the key is staged first.
    pub fn entry(&mut self, key: &K) -> Result<Slot<'_, V>> {
        self.scratch.clear();
        encode_key(key, &mut self.scratch).map_err(self.committed.failed())?;
        if !self.staged.contains_key(&*self.scratch) {
            let read = |row: Option<&[u8]>| Cell::read(row, &self.values);
            let cell = self.committed.get(&self.scratch, read).map_err(self.committed.failed())?;
            self.stage(cell);
        }
        let cell = self.staged.get_mut(&*self.scratch).expect("staged just now");
        Ok(Slot::staged(cell, &mut self.staged_bytes))
    }

    /// Writes a value without reading the committed one: for keys that are known to be new. Always counts as a change.
    ///
    /// # Errors
    /// If the key cannot be encoded.
    pub fn insert(&mut self, key: &K, value: V) -> Result {
        self.scratch.clear();
        encode_key(key, &mut self.scratch).map_err(self.committed.failed())?;
        if let Some(cell) = self.staged.get_mut(&*self.scratch) {
            Slot::staged(cell, &mut self.staged_bytes).set(value);
        } else {
            self.stage(Cell::unread(value));
        }
        Ok(())
    }

    fn stage(&mut self, mut cell: Cell<V>) {
        self.staged_bytes += weight_of(&self.scratch, &cell);
        cell.weigh(&mut self.staged_bytes);
        self.staged.insert(Bytes::from(&*self.scratch), cell);
    }

    /// A copy of the value of `key`, staged or committed.
    ///
    /// # Errors
    /// As [`OrderedTable::entry`].
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let fail = self.committed.failed();
        let mut bytes = vec![];
        encode_key(key, &mut bytes).map_err(&fail)?;
        if let Some(cell) = self.staged.get(&*bytes) {
            return Ok(cell.value().cloned());
        }
        self.committed.get(&bytes, |value| value.map(|v| self.values.decode(v)).transpose()).map_err(fail)
    }

    /// Visits the keys of a range in order, until `visit` returns `false`. Whatever is written or taken in a slot is
    /// staged.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    pub fn visit(
        &mut self,
        range: impl RangeBounds<K>,
        visit: impl FnMut(&K, &mut Slot<'_, V>) -> Result<bool>,
    ) -> Result {
        let encode = |bound: Bound<&K>| -> Result<Bound<Vec<u8>>> {
            let bytes = |key: &K| {
                let mut bytes = vec![];
                encode_key(key, &mut bytes).map_err(self.committed.failed()).map(|()| bytes)
            };
            Ok(match bound {
                Bound::Included(key) => Bound::Included(bytes(key)?),
                Bound::Excluded(key) => Bound::Excluded(bytes(key)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let (from, to) = (encode(range.start_bound())?, encode(range.end_bound())?);
        self.visit_bytes((from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..])), visit)
    }

    /// Visits the keys that begin with `prefix` (the first parts of a tuple or struct), like [`OrderedTable::visit`].
    ///
    /// # Errors
    /// As [`OrderedTable::visit`].
    pub fn visit_prefix<P: Serialize + ?Sized>(
        &mut self,
        prefix: &P,
        visit: impl FnMut(&K, &mut Slot<'_, V>) -> Result<bool>,
    ) -> Result {
        let mut from = vec![];
        encode_key(prefix, &mut from).map_err(self.committed.failed())?;
        let after = super::after_prefix(&from);
        let to = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.visit_bytes((Bound::Included(&from), to), visit)
    }

    /// Visits the keys from `first` on (the first parts of a tuple or struct), like [`OrderedTable::visit`].
    ///
    /// # Errors
    /// As [`OrderedTable::visit`].
    pub fn visit_from<P: Serialize + ?Sized>(
        &mut self,
        first: &P,
        visit: impl FnMut(&K, &mut Slot<'_, V>) -> Result<bool>,
    ) -> Result {
        let mut from = vec![];
        encode_key(first, &mut from).map_err(self.committed.failed())?;
        self.visit_bytes((Bound::Included(&from), Bound::Unbounded), visit)
    }

    fn visit_bytes(
        &mut self,
        range: ByteRange<'_>,
        mut visit: impl FnMut(&K, &mut Slot<'_, V>) -> Result<bool>,
    ) -> Result {
        if is_empty(range) {
            return Ok(());
        }
        let committed = self.committed.clone();
        let (from, to) = range;
        let first = match from {
            Bound::Included(key) | Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        };
        // Everything up to here has been visited.
        let mut past = from.map(<[u8]>::to_vec);
        let mut go_on = true;
        let scanned = committed.scan(first, &mut |key, value| {
            if !RangeBounds::<[u8]>::contains(&range, key) {
                return Ok(from == Bound::Excluded(key));
            }
            let before = (past.as_ref().map(|past| &past[..]), Bound::Excluded(key));
            go_on = self.visit_staged(before, &mut visit)? && self.visit_row(key, value, &mut visit)?;
            past = Bound::Excluded(key.to_vec());
            Ok(go_on)
        });
        scanned.map_err(committed.failed())?;
        if go_on {
            self.visit_staged((past.as_ref().map(|past| &past[..]), to), &mut visit)?;
        }
        Ok(())
    }

    /// Visits staged keys that the database does not have.
    fn visit_staged(
        &mut self,
        range: ByteRange<'_>,
        visit: &mut impl FnMut(&K, &mut Slot<'_, V>) -> Result<bool>,
    ) -> Result<bool> {
        if is_empty(range) {
            return Ok(true);
        }
        for (key, cell) in self.staged.range_mut::<[u8], _>(range) {
            if cell.value().is_some()
                && !visit(&decode_key(key)?, &mut Slot::staged(cell, &mut self.staged_bytes))?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Visits a row of the database, in its staged form if there is one.
    fn visit_row(
        &mut self,
        key: &[u8],
        committed: &[u8],
        visit: &mut impl FnMut(&K, &mut Slot<'_, V>) -> Result<bool>,
    ) -> Result<bool> {
        if let Some(cell) = self.staged.get_mut(key) {
            return match cell.value() {
                Some(_) => visit(&decode_key(key)?, &mut Slot::staged(cell, &mut self.staged_bytes)),
                None => Ok(true),
            };
        }
        let mut cell = Cell::passing(committed, &self.values)?;
        let go_on = visit(&decode_key(key)?, &mut Slot::passing(&mut cell))?;
        if let Some(cell) = cell.differing(committed, &self.values, &mut self.scratch)? {
            self.scratch.clear();
            self.scratch.extend_from_slice(key);
            self.stage(cell);
        }
        Ok(go_on)
    }

    fn clear(&mut self) {
        self.staged.clear();
        self.staged_bytes = 0;
    }
}

impl<K: Value, V: Value> Store for OrderedTable<K, V> {
    fn seal(&mut self) -> Result<RawChunk> {
        let mut rows = RawChunkBuilder::with_capacity(self.staged.len(), 0);
        for (index, (key, cell)) in self.staged.iter_mut().enumerate() {
            self.committed.begin_changelog_key(&mut self.scratch);
            self.scratch.extend_from_slice(key);
            cell.seal(&self.scratch, &self.values, index == 0, &mut rows).map_err(self.committed.failed())?;
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

fn is_empty(range: ByteRange<'_>) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to) | Bound::Included(to)) => {
            from >= to
        }
        _ => false,
    }
}

/// What a touched key takes in memory, except for the heap of its value.
fn weight_of<V: Value>(key: &[u8], cell: &Cell<V>) -> usize {
    let key_heap = if key.len() > INLINE_BYTES { key.len() } else { 0 };
    size_of::<(Bytes, Cell<V>)>() + 2 * size_of::<usize>() + key_heap + cell.committed_heap_bytes()
}
