//! The disk of a simulated process: state that survives its crashes, unless the crash takes it.
//!
//! Wraps any storage; knows no layout. Invariants: a dead process cannot write; a disk that falls back holds
//! exactly what its first writes made, as a database does whose log was not synced.

use crate::{
    error::{Error, Result},
    log::sim::{Call, Fate, Fault, Verdict},
    record::{Partition, RawChunk},
    state::{Backend, Opened, Storage, StoreId, VisitRow},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Creates an empty storage.
pub(super) type MakeStorage = Arc<dyn Fn() -> Arc<dyn Storage> + Send + Sync>;

pub(super) struct Disk {
    make: MakeStorage,
    content: Mutex<Content>,
}

struct Content {
    storage: Arc<dyn Storage>,
    written: BTreeMap<Partition, Written>,
}

#[derive(Default)]
struct Written {
    stores: Vec<String>,
    batches: Vec<(Vec<RawChunk>, Mark)>,
}

/// What was written together with rows.
enum Mark {
    Record(Option<Vec<u8>>),
    Progress(Vec<u8>),
}

impl Disk {
    pub fn new(make: MakeStorage) -> Self {
        let content = Content { storage: make(), written: BTreeMap::new() };
        Disk { make, content: Mutex::new(content) }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses everything.
    pub fn lose(&self) {
        *self.content() = Content { storage: (self.make)(), written: BTreeMap::new() };
    }

    /// Loses the last `batches` writes of each database.
    pub fn fall_back(&self, batches: usize) -> Result {
        let mut content = self.content();
        let storage = (self.make)();
        for (partition, written) in &mut content.written {
            let keep = written.batches.len().saturating_sub(batches);
            written.batches.truncate(keep);
            let backend = storage.open(*partition, &written.stores)?.backend;
            for (changes, mark) in &written.batches {
                match mark {
                    Mark::Record(record) => backend.apply(changes, record.as_deref())?,
                    Mark::Progress(progress) => backend.restore(changes, progress)?,
                }
            }
        }
        content.storage = storage;
        Ok(())
    }
}

/// The disk as one incarnation of a process sees it.
pub(super) struct SimStorage {
    pub disk: Arc<Disk>,
    pub fate: Arc<dyn Fate>,
}

fn step(fate: &dyn Fate, call: Call, offers: &[Fault]) -> Result<Option<Fault>> {
    match fate.step(call, offers) {
        Verdict::Killed => Err(Error::Killed),
        Verdict::Fault(fault) => Ok(Some(fault)),
        Verdict::Go => Ok(None),
    }
}

impl Storage for SimStorage {
    fn open(&self, partition: Partition, stores: &[String]) -> Result<Opened> {
        step(&*self.fate, Call::OpenState, &[])?;
        let mut content = self.disk.content();
        let opened = content.storage.open(partition, stores)?;
        content.written.entry(partition).or_default().stores = stores.to_vec();
        let backend =
            SimBackend { inner: opened.backend, disk: self.disk.clone(), fate: self.fate.clone(), partition };
        Ok(Opened { backend: Arc::new(backend), quarantined: opened.quarantined, added: opened.added })
    }

    fn quarantine(&self, partition: Partition, reason: &str) -> Result {
        step(&*self.fate, Call::Quarantine, &[])?;
        let mut content = self.disk.content();
        content.written.remove(&partition);
        content.storage.quarantine(partition, reason)
    }
}

struct SimBackend {
    inner: Arc<dyn Backend>,
    disk: Arc<Disk>,
    fate: Arc<dyn Fate>,
    partition: Partition,
}

impl SimBackend {
    fn alive(&self) -> Result {
        if self.fate.alive() { Ok(()) } else { Err(Error::Killed) }
    }

    fn write(&self, changes: &[RawChunk], mark: Mark, write: impl FnOnce() -> Result) -> Result {
        let fault = step(&*self.fate, Call::Apply, &[Fault::CrashAfter])?;
        write()?;
        let mut content = self.disk.content();
        content.written.entry(self.partition).or_default().batches.push((changes.to_vec(), mark));
        drop(content);
        if fault == Some(Fault::CrashAfter) {
            self.fate.kill();
            return Err(Error::Killed);
        }
        Ok(())
    }
}

impl Backend for SimBackend {
    fn record(&self) -> Result<Option<Vec<u8>>> {
        step(&*self.fate, Call::StateRecord, &[])?;
        self.inner.record()
    }

    // Reading local state has no effect on others, so nobody else needs to run first.
    fn get_many(
        &self,
        store: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result {
        self.alive()?;
        self.inner.get_many(store, keys, visit)
    }

    fn scan(&self, store: StoreId, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result {
        self.alive()?;
        self.inner.scan(store, from, visit)
    }

    fn progress(&self) -> Result<Option<Vec<u8>>> {
        self.alive()?;
        self.inner.progress()
    }

    fn apply(&self, changes: &[RawChunk], record: Option<&[u8]>) -> Result {
        self.write(changes, Mark::Record(record.map(<[u8]>::to_vec)), || self.inner.apply(changes, record))
    }

    fn restore(&self, changes: &[RawChunk], progress: &[u8]) -> Result {
        self.write(changes, Mark::Progress(progress.to_vec()), || self.inner.restore(changes, progress))
    }

    fn size_bytes(&self) -> u64 {
        self.inner.size_bytes()
    }

    fn rows(&self) -> u64 {
        self.inner.rows()
    }
}
