//! Rows in the order of their keys: visited by the bytes that keys begin with.
//!
//! Owns the staged layer of one store, in the order of the keys. Knows no column and no operator. Invariant: a visit of the staged view
//! sees what this batch has changed merged with the database; one of the committed view sees the database alone.

use super::{Formats, cell::RowCell, spec};
use crate::{
    error::{Error, Result},
    record::{Bytes, RawChunk, RawChunkBuilder},
    state::{
        Backend, Store, StoreSpec, VisitPrefixed, VisitRow, keyspace::Keyspace, merged, staged::INLINE_BYTES,
    },
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

/// Which rows a visit sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Those before the batch.
    Committed,
    /// Those that the batch has left so far.
    Staged,
}

/// Rows by key, visited in order.
///
/// ```
/// use tidegate::{record::Partition, state::{MemoryStorage, RowIndex, Storage, View}};
///
/// let backend = MemoryStorage::default().open(Partition(0), &["values".to_owned()])?.backend;
/// let mut values = RowIndex::new("values", "key(str, i64) -> weight", backend);
/// values.put(b"a2", b"1");
/// values.put(b"a1", b"1");
/// values.put(b"b1", b"1");
/// let mut seen = vec![];
/// values.visit_prefixes(View::Staged, &[b"a"], &mut |_, key, _| {
///     seen.push(key.to_vec());
///     Ok(true)
/// })?;
/// assert_eq!(seen, [b"a1", b"a2"]);
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct RowIndex {
    committed: Keyspace,
    formats: Formats,
    staged: BTreeMap<Bytes, RowCell>,
    staged_bytes: usize,
    scratch: Vec<u8>,
}

impl RowIndex {
    /// The store called `name` in an opened database, its rows in this format.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, format: &str, backend: Arc<dyn Backend>) -> Self {
        Self::over(Keyspace::new(name, backend), Formats::new(format, &[]))
    }

    fn over(committed: Keyspace, formats: Formats) -> Self {
        RowIndex { committed, formats, staged: BTreeMap::new(), staged_bytes: 0, scratch: vec![] }
    }

    /// How the plan declares such a store; `format` says what the columns of keys and values are.
    #[must_use]
    pub fn spec(name: impl Into<String>, format: &str) -> StoreSpec {
        spec("row-index", name.into(), format, Self::over)
    }

    /// The formats that values may be in.
    #[must_use]
    pub fn formats(&self) -> &Formats {
        &self.formats
    }

    /// Adds the store's name to an error of what its rows are.
    pub fn failed(&self) -> impl Fn(Error) -> Error + '_ {
        self.committed.failed()
    }

    /// Reads the committed values of keys with one multi-get, for [`RowIndex::old`] and [`RowIndex::new_value`].
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn touch<'k>(&mut self, keys: impl IntoIterator<Item = &'k [u8]>) -> Result {
        let is_missing = |key: &&[u8]| self.staged.get(*key).is_none_or(|cell| !cell.is_read());
        let mut missing: Vec<&[u8]> = keys.into_iter().filter(is_missing).collect();
        missing.sort_unstable();
        missing.dedup();
        let (staged, mut bytes) = (&mut self.staged, 0);
        self.committed.get_many(&missing, &mut |index, committed| {
            match staged.entry(Bytes::from(missing[index])) {
                Entry::Vacant(entry) => {
                    let cell = RowCell::read(committed);
                    bytes += weight_of(missing[index].len()) + cell.heap_bytes();
                    entry.insert(cell);
                }
                Entry::Occupied(mut entry) => {
                    let before = entry.get().heap_bytes();
                    entry.get_mut().set_committed(committed);
                    bytes += entry.get().heap_bytes() - before;
                }
            }
            Ok(())
        })?;
        self.staged_bytes += bytes;
        Ok(())
    }

    /// The committed value of a key that was touched.
    #[must_use]
    pub fn old(&self, key: &[u8]) -> Option<&[u8]> {
        self.staged.get(key).and_then(RowCell::old)
    }

    /// The value of a key that was touched or written, as this batch has left it so far.
    #[must_use]
    pub fn new_value(&self, key: &[u8]) -> Option<&[u8]> {
        self.staged.get(key).and_then(RowCell::new_value)
    }

    /// Writes the value of a key. If it was not touched before, this always counts as a change.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.change(key, |cell| cell.put(value));
    }

    /// Deletes a key. If it was not touched before, this always counts as a change.
    pub fn delete(&mut self, key: &[u8]) {
        self.change(key, RowCell::delete);
    }

    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut RowCell)) {
        if !self.staged.contains_key(key) {
            self.staged_bytes += weight_of(key.len());
            self.staged.insert(Bytes::from(key), RowCell::unread());
        }
        if let Some(cell) = self.staged.get_mut(key) {
            let before = cell.heap_bytes();
            change(cell);
            self.staged_bytes = self.staged_bytes + cell.heap_bytes() - before;
        }
    }

    /// Visits the rows whose keys begin with each of these prefixes, in order. The prefixes are sorted, and none begins with another.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    pub fn visit_prefixes(&self, view: View, prefixes: &[&[u8]], visit: &mut VisitPrefixed<'_>) -> Result {
        if view == View::Committed || self.staged.is_empty() {
            return self.committed.scan_prefixes(prefixes, visit);
        }
        merged::visit_prefixes(&self.staged, prefixes, visit, |visit| {
            self.committed.scan_prefixes(prefixes, visit)
        })
    }

    /// Visits the rows whose keys are from `from` (inclusive) to `to` (exclusive) in order, as this batch has left them so far, until
    /// `visit` returns `false`.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    pub fn visit_range(&self, from: &[u8], to: &[u8], visit: &mut VisitRow<'_>) -> Result {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut changed = self.staged.range::<[u8], _>(range).peekable();
        let mut goes_on = true;
        self.committed.scan(Some(from), &mut |key, value| {
            if key >= to {
                return Ok(false);
            }
            while let Some((ours, cell)) = changed.next_if(|(ours, _)| &***ours < key) {
                if let Some(value) = cell.new_value() {
                    goes_on = visit(ours, value)?;
                }
                if !goes_on {
                    return Ok(false);
                }
            }
            let value = match changed.next_if(|(ours, _)| &***ours == key) {
                Some((_, cell)) => cell.new_value(),
                None => Some(value),
            };
            if let Some(value) = value {
                goes_on = visit(key, value)?;
            }
            Ok(goes_on)
        })?;
        for (key, cell) in changed {
            if !goes_on {
                break;
            }
            if let Some(value) = cell.new_value() {
                goes_on = visit(key, value)?;
            }
        }
        Ok(())
    }

    /// Deletes the rows whose keys are from `from` (inclusive) to `to` (exclusive), at most `limit` of the database at a time. Returns
    /// the first key that is left, if there is one.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Option<Vec<u8>>> {
        if from >= to {
            return Ok(None);
        }
        let (mut keys, mut left) = (vec![], None);
        self.committed.scan(Some(from), &mut |key, value| {
            if key >= to {
                return Ok(false);
            }
            if keys.len() == limit {
                left = Some(key.to_vec());
                return Ok(false);
            }
            keys.push((Bytes::from(key), Bytes::from(value)));
            Ok(true)
        })?;
        let end = left.as_deref().unwrap_or(to);
        let range = (Bound::Included(from), Bound::Excluded(end));
        for (_, cell) in self.staged.range_mut::<[u8], _>(range) {
            let before = cell.heap_bytes();
            cell.delete();
            self.staged_bytes = self.staged_bytes + cell.heap_bytes() - before;
        }
        for (key, value) in keys {
            if let Entry::Vacant(entry) = self.staged.entry(key) {
                let mut cell = RowCell::read(Some(&value));
                cell.delete();
                self.staged_bytes += weight_of(entry.key().len()) + cell.heap_bytes();
                entry.insert(cell);
            }
        }
        Ok(left)
    }

    /// Takes the rows whose keys are from `from` (inclusive) to `to` (exclusive), committed ones and those of this batch: visits each in
    /// order, and deletes it; at most `limit`. Returns the first key that is left, if there is one.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers; nothing is deleted then.
    pub fn take_range(
        &mut self,
        from: &[u8],
        to: &[u8],
        limit: usize,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result,
    ) -> Result<Option<Vec<u8>>> {
        if from >= to {
            return Ok(None);
        }
        let mut committed: Vec<(Bytes, Bytes)> = vec![];
        self.committed.scan(Some(from), &mut |key, value| {
            let is_in = key < to && committed.len() <= limit;
            if is_in {
                committed.push((Bytes::from(key), Bytes::from(value)));
            }
            Ok(is_in)
        })?;
        // What was not read of the database is left, with what comes behind it.
        let unread = if committed.len() > limit { committed.pop().map(|(key, _)| key) } else { None };
        let range = (Bound::Included(from), Bound::Excluded(unread.as_deref().unwrap_or(to)));
        let mut staged = self.staged.range::<[u8], _>(range).peekable();
        let mut committed = committed.into_iter().peekable();
        let (mut taken, mut left): (Vec<(Bytes, Option<Bytes>)>, _) =
            (vec![], unread.as_deref().map(<[u8]>::to_vec));
        loop {
            let (key, value) = match (staged.peek(), committed.peek()) {
                (None, None) => break,
                (Some((ours, cell)), theirs) if theirs.is_none_or(|(key, _)| *ours <= key) => {
                    let taken = ((*ours).clone(), cell.new_value().map(Bytes::from));
                    committed.next_if(|(key, _)| *key == taken.0);
                    staged.next();
                    taken
                }
                _ => match committed.next() {
                    Some((key, value)) => (key, Some(value)),
                    None => break,
                },
            };
            let Some(value) = value else { continue };
            if taken.len() == limit {
                left = Some(key.to_vec());
                break;
            }
            visit(&key, &value)?;
            taken.push((key, Some(value)));
        }
        for (key, value) in taken {
            if let Some(cell) = self.staged.get_mut(&key[..]) {
                let before = cell.heap_bytes();
                cell.delete();
                self.staged_bytes = self.staged_bytes + cell.heap_bytes() - before;
            } else {
                let mut cell = RowCell::read(value.as_deref());
                cell.delete();
                self.staged_bytes += weight_of(key.len()) + cell.heap_bytes();
                self.staged.insert(key, cell);
            }
        }
        Ok(left)
    }

    fn clear(&mut self) {
        self.staged.clear();
        self.staged_bytes = 0;
    }
}

impl Store for RowIndex {
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

/// What a staged key takes in memory, except for the heap of its values.
fn weight_of(key_bytes: usize) -> usize {
    let heap = if key_bytes > INLINE_BYTES { key_bytes } else { 0 };
    size_of::<(Bytes, RowCell)>() + 2 * size_of::<usize>() + heap + key_bytes
}
