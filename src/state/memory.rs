//! State in memory: for the log in memory, for simulation and tests.
//!
//! Knows no type and no log. Invariant: the content belongs to the storage and outlives its backends, as files do.

use super::{
    Backend, Opened, Storage, StoreId, VisitRow,
    changelog::{self, Change},
};
use crate::{
    error::Result,
    record::{Bytes, Partition, RawChunk},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

/// Databases that live as long as this value and its clones.
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<BTreeMap<Partition, Arc<MemoryBackend>>>>);

impl Storage for MemoryStorage {
    fn open(&self, partition: Partition, stores: &[String]) -> Result<Opened> {
        let stores = super::ids_of(stores)?;
        let mut databases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let backend = Arc::clone(databases.entry(partition).or_default());
        let mut content = backend.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut added = vec![];
        for (id, name) in stores {
            content.stores.entry(id).or_default();
            if content.record.is_none() && content.progress.is_none() {
                content.complete.insert(id);
            } else if !content.complete.contains(&id) {
                added.push(name.to_owned());
            }
        }
        drop(content);
        Ok(Opened { backend, quarantined: None, added })
    }

    fn quarantine(&self, partition: Partition, _: &str) -> Result {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
        Ok(())
    }
}

#[derive(Default)]
struct MemoryBackend(RwLock<Content>);

#[derive(Default)]
struct Content {
    record: Option<Vec<u8>>,
    progress: Option<Vec<u8>>,
    stores: BTreeMap<StoreId, Rows>,
    /// Stores that existed when the record was written, or before any record.
    complete: BTreeSet<StoreId>,
}

impl Content {
    fn change(&mut self, changes: &[RawChunk]) {
        for row in changes.iter().flat_map(RawChunk::iter) {
            let Some(Change { store, key, value }) = changelog::change(row) else { continue };
            let Some(rows) = self.stores.get_mut(&store) else { continue };
            match value {
                Some(value) => rows.insert(key.into(), value.into()),
                None => rows.remove(key),
            };
        }
    }
}

type Rows = BTreeMap<Bytes, Bytes>;

/// How many rows a scan copies at a time, so that the lock is not held while they are visited.
const PAGE_ROWS: usize = 256;

impl MemoryBackend {
    fn content(&self) -> RwLockReadGuard<'_, Content> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, store: StoreId, from: Bound<&[u8]>) -> Result<Vec<(Bytes, Bytes)>> {
        let content = self.content();
        let rows = content.stores.get(&store).ok_or_else(|| super::not_open(store))?;
        let page = rows.range::<[u8], _>((from, Bound::Unbounded)).take(PAGE_ROWS);
        Ok(page.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Backend for MemoryBackend {
    fn record(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.content().record.clone())
    }

    fn get_many(
        &self,
        store: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result {
        let content = self.content();
        let rows = content.stores.get(&store).ok_or_else(|| super::not_open(store))?;
        keys.iter()
            .enumerate()
            .try_for_each(|(index, key)| visit(index, rows.get(*key).map(|value| &**value)))
    }

    fn scan(&self, store: StoreId, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result {
        let mut page = self.page(store, from.map_or(Bound::Unbounded, Bound::Included))?;
        while let Some((last, _)) = page.last() {
            for (key, value) in &page {
                if !visit(key, value)? {
                    return Ok(());
                }
            }
            page = self.page(store, Bound::Excluded(last))?;
        }
        Ok(())
    }

    fn progress(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.content().progress.clone())
    }

    fn apply(&self, changes: &[RawChunk], record: Option<&[u8]>) -> Result {
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        content.change(changes);
        if let Some(record) = record {
            content.record = Some(record.to_vec());
            content.progress = None;
            content.complete = content.stores.keys().copied().collect();
        }
        Ok(())
    }

    fn restore(&self, changes: &[RawChunk], progress: &[u8]) -> Result {
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        content.change(changes);
        content.progress = Some(progress.to_vec());
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        let content = self.content();
        let bytes = |(key, value): (&Bytes, &Bytes)| (key.len() + value.len()) as u64;
        content.stores.values().flatten().map(bytes).sum()
    }

    fn rows(&self) -> u64 {
        self.content().stores.values().map(|rows| rows.len() as u64).sum()
    }
}
