//! What a batch has changed so far and does not want to lose, in front of a database.
//!
//! Owns these rows. Knows no type, no task and no log. Invariants: whoever reads sees them as if they were in the
//! database, which they do not reach from here; once a batch is written, or given up, there are none.

use super::{
    Backend, StoreId, VisitPrefixed, VisitRow,
    changelog::{self, Change},
    merged,
};
use crate::{
    error::Result,
    record::{Bytes, RawChunk},
};
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// Changed rows by key; `None` = deleted.
type Rows = BTreeMap<Bytes, Option<Bytes>>;

/// A database with changes that are not written yet.
pub struct Overlay {
    database: Arc<dyn Backend>,
    changed: RwLock<BTreeMap<StoreId, Rows>>,
}

impl Overlay {
    /// No changes, over this database.
    #[must_use]
    pub fn over(database: Arc<dyn Backend>) -> Self {
        Overlay { database, changed: RwLock::default() }
    }

    /// Adds changelog rows.
    pub fn add(&self, changes: &[RawChunk]) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        for row in changes.iter().flat_map(RawChunk::iter) {
            let Some(Change { store, key, value }) = changelog::change(row) else { continue };
            changed.entry(store).or_default().insert(key.into(), value.map(Bytes::from));
        }
    }

    /// Forgets the changes.
    pub fn clear(&self) {
        self.changed.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn changed(&self) -> RwLockReadGuard<'_, BTreeMap<StoreId, Rows>> {
        self.changed.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Overlay {
    fn record(&self) -> Result<Option<Vec<u8>>> {
        self.database.record()
    }

    fn get_many(
        &self,
        store: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result {
        let changed = self.changed();
        let Some(rows) = changed.get(&store) else { return self.database.get_many(store, keys, visit) };
        let mut left = vec![];
        for (index, key) in keys.iter().enumerate() {
            match rows.get(*key) {
                Some(value) => visit(index, value.as_deref())?,
                None => left.push(index),
            }
        }
        let keys_left: Vec<&[u8]> = left.iter().map(|index| keys[*index]).collect();
        self.database.get_many(store, &keys_left, &mut |index, value| visit(left[index], value))
    }

    fn scan(&self, store: StoreId, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result {
        let changed = self.changed();
        let Some(rows) = changed.get(&store) else { return self.database.scan(store, from, visit) };
        let from_bound = from.map_or(Bound::Unbounded, Bound::Included);
        let mut ours = rows.range::<[u8], _>((from_bound, Bound::Unbounded)).peekable();
        let mut go_on = true;
        self.database.scan(store, from, &mut |key, value| {
            while let Some((ours, value)) = ours.next_if(|(ours, _)| ours[..] < *key) {
                if let Some(value) = value
                    && !visit(ours, value)?
                {
                    go_on = false;
                    return Ok(false);
                }
            }
            go_on = match ours.next_if(|(ours, _)| ours[..] == *key) {
                Some((_, Some(value))) => visit(key, value)?,
                Some((_, None)) => true,
                None => visit(key, value)?,
            };
            Ok(go_on)
        })?;
        while go_on && let Some((key, value)) = ours.next() {
            if let Some(value) = value {
                go_on = visit(key, value)?;
            }
        }
        Ok(())
    }

    fn scan_prefixes(&self, store: StoreId, prefixes: &[&[u8]], visit: &mut VisitPrefixed<'_>) -> Result {
        let changed = self.changed();
        let Some(rows) = changed.get(&store) else {
            return self.database.scan_prefixes(store, prefixes, visit);
        };
        merged::visit_prefixes(rows, prefixes, visit, |visit| {
            self.database.scan_prefixes(store, prefixes, visit)
        })
    }

    fn progress(&self) -> Result<Option<Vec<u8>>> {
        self.database.progress()
    }

    /// Writes changes to the database; those that were added are among them.
    fn apply(&self, changes: &[RawChunk], record: Option<&[u8]>) -> Result {
        self.database.apply(changes, record)?;
        self.clear();
        Ok(())
    }

    fn restore(&self, changes: &[RawChunk], progress: &[u8]) -> Result {
        self.database.restore(changes, progress)
    }

    fn size_bytes(&self) -> u64 {
        self.database.size_bytes()
    }

    fn rows(&self) -> u64 {
        self.database.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{Headers, Offset, Partition, RawChunkBuilder, RawRecord},
        state::{MemoryStorage, Storage},
    };
    use proptest::prelude::*;

    const STORE: &str = "s";

    fn chunk(changes: &[(u8, Option<u8>)]) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        for (key, value) in changes {
            let key = [&StoreId::of(STORE).0.to_be_bytes()[..], &[*key]].concat();
            let value = value.as_ref().map(std::slice::from_ref);
            let (offset, headers) = (Offset(0), Headers::NONE);
            rows.push(RawRecord { offset, timestamp_ms: 0, key: Some(&key), value, headers });
        }
        rows.build()
    }

    fn database() -> Arc<dyn Backend> {
        MemoryStorage::default().open(Partition(0), &[STORE.to_owned()]).unwrap().backend
    }

    /// The first rows of a visit from `from` on, and the values of some keys.
    fn seen(
        backend: &dyn Backend,
        from: Option<u8>,
        most: usize,
    ) -> (Vec<[Vec<u8>; 2]>, Vec<Option<Vec<u8>>>) {
        let mut rows = vec![];
        let from = from.as_ref().map(std::slice::from_ref);
        let visit = &mut |key: &[u8], value: &[u8]| {
            rows.push([key.to_vec(), value.to_vec()]);
            Ok(rows.len() < most)
        };
        backend.scan(StoreId::of(STORE), from, visit).unwrap();
        let prefixes: [&[u8]; 4] = [&[0], &[2, 1], &[3], &[15]];
        let visit = &mut |index: usize, key: &[u8], value: &[u8]| {
            rows.push([[&[u8::try_from(index).unwrap()], key].concat(), value.to_vec()]);
            Ok(rows.len() < 2 * most)
        };
        backend.scan_prefixes(StoreId::of(STORE), &prefixes, visit).unwrap();
        let keys: Vec<[u8; 1]> = (0..16).rev().map(|key| [key]).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let mut values = vec![None; keys.len()];
        let visit = &mut |index: usize, value: Option<&[u8]>| {
            values[index] = value.map(<[u8]>::to_vec);
            Ok(())
        };
        backend.get_many(StoreId::of(STORE), &keys, visit).unwrap();
        (rows, values)
    }

    proptest! {
        #[test]
        fn changes_are_seen_as_if_they_were_written(
            written in prop::collection::vec((0..16u8, any::<Option<u8>>()), 0..20),
            added in prop::collection::vec((0..16u8, any::<Option<u8>>()), 0..20),
            from in prop::option::of(0..16u8),
            most in 1..20usize,
        ) {
            let (below, all) = (database(), database());
            below.apply(&[chunk(&written)], None).unwrap();
            all.apply(&[chunk(&written), chunk(&added)], None).unwrap();
            let before = seen(below.as_ref(), from, most);
            let overlay = Overlay::over(below.clone());
            overlay.add(&[chunk(&added)]);
            prop_assert_eq!(seen(&overlay, from, most), seen(all.as_ref(), from, most));
            prop_assert_eq!(&seen(below.as_ref(), from, most), &before, "the database is as it was");
            overlay.clear();
            prop_assert_eq!(&seen(&overlay, from, most), &before);
            overlay.add(&[chunk(&added)]);
            overlay.apply(&[chunk(&added)], None).unwrap();
            prop_assert_eq!(seen(below.as_ref(), from, most), seen(all.as_ref(), from, most));
        }
    }
}
