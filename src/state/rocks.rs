//! State in `RocksDB`: one database per state partition, one column family per store.
//!
//! Owns the directory of a database and the names in it (`docs/state-format.md`). Knows no type and no log. Invariants:
//! a batch is one atomic write of rows and recovery record together; a damaged database is moved aside, never repaired,
//! and deleted only when a later one of its partition is moved aside; a database that is not ours, or has a later
//! format, is not touched.

use super::{
    Backend, Keep, Kept, Opened, Storage, StoreId, VisitPrefixed, VisitRow,
    changelog::{self, Change},
    directory::kept,
    ids_of,
    rocks_options::{Shared, WRITE_LOG_BYTES},
};
use crate::{
    error::{Error, Result},
    record::{Partition, RawChunk},
};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, Direction, ErrorKind, FlushOptions,
    IteratorMode, ReadOptions, WriteBatch, WriteOptions,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// The format of the directories that this program writes.
const FORMAT: &str = "tidegate-state 1";
const FORMAT_KEY: &[u8] = b"format";
const RECORD_KEY: &[u8] = b"record";
const PROGRESS_KEY: &[u8] = b"progress";
const STORE_PREFIX: &str = "store/";
/// A file in a database's directory that says it failed while in use, so the next `open` moves it aside.
const DAMAGED_FILE: &str = "DAMAGED";
const QUARANTINE: &str = "quarantine";
/// How many keys one multi-get asks for: limits what it pins in the cache.
const KEYS_PER_GET: usize = 1024;
/// Room for a record or a progress in a write batch.
const MARK_BYTES: usize = 1024;

/// Memory that databases share, also those of several programs of one process: block cache and write buffers. Cheap to clone.
#[derive(Clone)]
pub struct RocksMemory(Arc<Shared>);

impl RocksMemory {
    /// About so many bytes, for all databases together.
    ///
    /// # Errors
    /// If `RocksDB` has no environment.
    pub fn new(bytes: usize) -> Result<Self> {
        Ok(RocksMemory(Arc::new(Shared::new(bytes)?)))
    }
}

/// The databases of this process, in one directory.
pub struct RocksStorage {
    directory: PathBuf,
    shared: Arc<Shared>,
    in_use: Mutex<InUse>,
}

/// What is not to be touched otherwise.
#[derive(Default)]
struct InUse {
    open: BTreeMap<Partition, Weak<RocksBackend>>,
    opening: BTreeSet<Partition>,
}

impl InUse {
    fn has(&self, partition: Partition) -> bool {
        let is_open = |backend: &Weak<RocksBackend>| backend.strong_count() > 0;
        self.opening.contains(&partition) || self.open.get(&partition).is_some_and(is_open)
    }
}

impl RocksStorage {
    /// The default of `state.memory-bytes`.
    pub const MEMORY_BYTES: usize = 96 << 20;

    /// Databases under `directory` that together use about `memory_bytes`.
    ///
    /// # Errors
    /// If `RocksDB` has no environment.
    pub fn new(directory: impl Into<PathBuf>, memory_bytes: usize) -> Result<Self> {
        Ok(Self::sharing(directory, &RocksMemory::new(memory_bytes)?))
    }

    /// Databases under `directory` that share their memory with others of the process.
    #[must_use]
    pub fn sharing(directory: impl Into<PathBuf>, memory: &RocksMemory) -> Self {
        RocksStorage { directory: directory.into(), shared: memory.0.clone(), in_use: Mutex::default() }
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, partition: Partition) -> PathBuf {
        self.directory.join(partition.to_string())
    }

    /// Returns the database, and the stores that were created in it.
    fn try_open(
        &self,
        partition: Partition,
        stores: &[String],
    ) -> Result<(RocksBackend, Vec<String>), Refusal> {
        let path = self.path(partition);
        let existing = existing_stores(&path, &self.shared)?;
        let stores =
            ids_of(stores)?.into_iter().map(|(id, name)| (id, format!("{STORE_PREFIX}{name}"))).collect();
        let db = self.open_db(&path, existing.as_deref(), &stores)?;
        let mut backend = RocksBackend {
            db,
            stores,
            path,
            added: Mutex::default(),
            unlogged: AtomicBool::new(false),
            logged_bytes: AtomicUsize::new(0),
        };
        if let Some(existing) = &existing {
            backend.check_format()?;
            backend.check_stores(existing)?;
        }
        let has_rows = backend.has_mark().map_err(refusal)?;
        let (mut names, mut added) = (WriteBatch::default(), vec![]);
        names.put(FORMAT_KEY, FORMAT);
        for name in backend.stores.values() {
            if backend.db.cf_handle(name).is_none() {
                backend.db.create_cf(name, &self.shared.store()).map_err(refusal)?;
            }
            if !has_rows {
                names.put(name, "");
            } else if backend.db.get(name).map_err(refusal)?.is_none() {
                added.push(name.clone());
            }
        }
        backend.db.write(names).map_err(refusal)?;
        backend.added = Mutex::new(added.clone());
        Ok((backend, added.iter().map(|name| name[STORE_PREFIX.len()..].to_owned()).collect()))
    }

    /// Opens what exists, or creates all stores of a new database.
    fn open_db(
        &self,
        path: &Path,
        existing: Option<&[String]>,
        stores: &BTreeMap<StoreId, String>,
    ) -> Result<DB, Refusal> {
        let names: Vec<&String> = match existing {
            Some(names) => names.iter().collect(),
            None => stores.values().collect(),
        };
        let mut families = vec![ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, self.shared.store())];
        families.extend(names.iter().map(|name| ColumnFamilyDescriptor::new(*name, self.shared.store())));
        DB::open_cf_descriptors(&self.shared.database()?, path, families).map_err(refusal)
    }

    /// Opens the database of a partition; one that is damaged is moved aside, and an empty one opened. Returns why it was moved, and the
    /// stores that are new.
    fn open_or_replace(
        &self,
        partition: Partition,
        stores: &[String],
    ) -> Result<(Arc<RocksBackend>, Option<String>, Vec<String>)> {
        let path = self.path(partition);
        fs::create_dir_all(&path).map_err(Error::io(format!("creating {}", path.display())))?;
        let marked = fs::read_to_string(path.join(DAMAGED_FILE)).ok();
        let first = match marked {
            Some(reason) => Err(Refusal::Damaged(reason)),
            None => self.try_open(partition, stores),
        };
        let (second, quarantined) = match first {
            Err(Refusal::Damaged(reason)) => {
                self.move_aside(partition, &reason)?;
                fs::create_dir_all(&path).map_err(Error::io(format!("creating {}", path.display())))?;
                (self.try_open(partition, stores), Some(reason))
            }
            other => (other, None),
        };
        let (backend, added) = second.map_err(|refusal| refusal.into_error(&path))?;
        Ok((Arc::new(backend), quarantined, added))
    }

    /// Moves a database aside and writes the reason next to it.
    fn move_aside(&self, partition: Partition, reason: &str) -> Result {
        let from = self.path(partition);
        let aside = self.directory.join(QUARANTINE);
        fs::create_dir_all(&aside).map_err(Error::io(format!("creating {}", aside.display())))?;
        let older = quarantined(&aside, partition)?;
        let number = older.iter().map(|(n, _)| *n).max().unwrap_or(0) + 1;
        let to = aside.join(format!("{partition}-{number}"));
        fs::rename(&from, &to).map_err(Error::io(format!(
            "moving {} to {}",
            from.display(),
            to.display()
        )))?;
        let note = to.with_extension("txt");
        fs::write(&note, format!("{reason}\n")).map_err(Error::io(format!("writing {}", note.display())))?;
        for (_, path) in older {
            // What is left takes up space, but is in nobody's way.
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match gone {
                Ok(()) => tracing::info!("{} is deleted: a later one was moved aside", path.display()),
                Err(e) => {
                    tracing::warn!("{} cannot be deleted: {e}", path.display());
                }
            }
        }
        Ok(())
    }
}

impl Storage for RocksStorage {
    fn open(&self, partition: Partition, stores: &[String]) -> Result<Opened> {
        let path = self.path(partition);
        let mut in_use = self.in_use();
        if in_use.has(partition) {
            return Err(Error::State(format!("{} is already open in this process", path.display())));
        }
        in_use.opening.insert(partition);
        drop(in_use);
        let opened = self.open_or_replace(partition, stores);
        let mut in_use = self.in_use();
        in_use.opening.remove(&partition);
        let (backend, quarantined, added) = opened?;
        in_use.open.insert(partition, Arc::downgrade(&backend));
        Ok(Opened { backend, quarantined, added })
    }

    fn quarantine(&self, partition: Partition, reason: &str) -> Result {
        let path = self.path(partition);
        if self.in_use().has(partition) {
            mark_damaged(&path, reason).map_err(Error::io(format!("writing in {}", path.display())))
        } else if path.exists() {
            self.move_aside(partition, reason)
        } else {
            Ok(())
        }
    }

    fn limit_kept(&self, used: &[Partition], keep: &Keep, now_ms: i64) -> Result<Vec<Kept>> {
        kept::clear(&self.directory)?;
        let mut found = kept::find(&self.directory)?;
        found
            .retain(|database| !used.contains(&database.partition) && !self.in_use().has(database.partition));
        let mut deleted = vec![];
        for database in kept::too_much(found, keep, now_ms) {
            let in_use = self.in_use();
            if !in_use.has(database.partition) {
                kept::put_away(&self.directory, database.partition)?;
                deleted.push(database);
            }
        }
        kept::clear(&self.directory)?;
        Ok(deleted)
    }
}

/// The database of one partition.
struct RocksBackend {
    db: DB,
    /// Names of the column families of the stores that are in use.
    stores: BTreeMap<StoreId, String>,
    path: PathBuf,
    /// Stores whose name is written with the next record; until then, rows of them may be missing.
    added: Mutex<Vec<String>>,
    /// Whether pieces of a restore were written that are not in any write log.
    unlogged: AtomicBool,
    /// Bytes written to the write log since the last explicit flush.
    logged_bytes: AtomicUsize,
}

impl RocksBackend {
    /// A numeric property of the database, summed over all stores.
    fn sum(&self, property: &str) -> u64 {
        let families = self.stores.values().filter_map(|name| self.db.cf_handle(name));
        let number = |family| self.db.property_int_value_cf(family, property).ok().flatten();
        families.filter_map(number).sum()
    }

    /// Whether there is a record or a progress that says how far the rows go.
    fn has_mark(&self) -> Result<bool, rocksdb::Error> {
        Ok(self.db.get(RECORD_KEY)?.is_some() || self.db.get(PROGRESS_KEY)?.is_some())
    }

    fn check_format(&self) -> Result<(), Refusal> {
        let refuse =
            |what: String| Err(Refusal::Other(Error::State(format!("{}: {what}", self.path.display()))));
        match self.db.get(FORMAT_KEY).map_err(refusal)? {
            Some(format) if format == FORMAT.as_bytes() => Ok(()),
            Some(format) => refuse(format!(
                "its format is `{}`, this program knows `{FORMAT}`\n  next: run the version that wrote it, or move the \
                 directory away; the state is then restored from the changelog",
                format.escape_ascii()
            )),
            // The log was lost before anything was flushed.
            None if self.db.latest_sequence_number() == 0 => Ok(()),
            None => refuse(
                "a RocksDB database that this program did not write\n  next: choose another state directory"
                    .into(),
            ),
        }
    }

    /// Every store that was ever created must exist, and rows may exist only together with a recovery record or the
    /// progress of a restore; otherwise nobody knows how old the rows are.
    fn check_stores(&self, existing: &[String]) -> Result<(), Refusal> {
        for row in self.db.iterator(IteratorMode::From(STORE_PREFIX.as_bytes(), Direction::Forward)) {
            let (name, _) = row.map_err(refusal)?;
            if name.starts_with(STORE_PREFIX.as_bytes())
                && !existing.iter().any(|other| other.as_bytes() == &*name)
            {
                return Err(Refusal::Damaged(format!("column family `{}` is missing", name.escape_ascii())));
            }
        }
        if self.has_mark().map_err(refusal)? {
            return Ok(());
        }
        for name in existing {
            let mut rows = self.db.raw_iterator_cf(self.family(name).map_err(Refusal::Other)?);
            rows.seek_to_first();
            rows.status().map_err(refusal)?;
            if rows.valid() {
                return Err(Refusal::Damaged(format!("`{name}` has rows, but there is no recovery record")));
            }
        }
        Ok(())
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        self.db
            .cf_handle(name)
            .ok_or_else(|| Error::State(format!("{}: no column family `{name}`", self.path.display())))
    }

    fn family_of(&self, store: StoreId) -> Result<&ColumnFamily> {
        let name = self.stores.get(&store).ok_or_else(|| super::not_open(store))?;
        self.family(name)
    }

    /// The rows in the order of their keys: each is inserted next to the one before it, which costs a third of a search
    /// from the top, also when the write log is read again. If a key has several rows, the last one stays the last.
    fn batch(&self, changes: &[RawChunk]) -> Result<WriteBatch> {
        let mut rows: Vec<Ordered<'_>> = Vec::with_capacity(changes.iter().map(RawChunk::len).sum());
        for row in changes.iter().flat_map(RawChunk::iter) {
            let Some(Change { store, key, value }) = changelog::change(row) else { continue };
            if self.stores.contains_key(&store) {
                rows.push(Ordered { store, start: start_of(key), key, value });
            }
        }
        rows.sort_by(|a, b| (a.store, a.start).cmp(&(b.store, b.start)).then_with(|| a.key.cmp(b.key)));
        let bytes: usize = changes.iter().map(RawChunk::bytes).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes + MARK_BYTES);
        for rows in rows.chunk_by(|a, b| a.store == b.store) {
            let family = self.family_of(rows[0].store)?;
            for Ordered { key, value, .. } in rows {
                match value {
                    Some(value) => batch.put_cf(family, key, value),
                    None => batch.delete_cf(family, key),
                }
            }
        }
        Ok(batch)
    }

    /// Writes with the write log. RocksDB limits its log only before a write, so after a large batch the log is flushed
    /// here.
    fn write(&self, batch: WriteBatch) -> Result {
        let bytes = batch.size_in_bytes();
        self.db.write(batch).map_err(|e| self.failed("writing", &e))?;
        if self.logged_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes > WRITE_LOG_BYTES {
            self.logged_bytes.store(0, Ordering::Release);
            self.flush(false).map_err(|e| self.failed("flushing", &e))?;
        }
        Ok(())
    }

    /// Makes everything that is in memory durable, for all stores at the same moment.
    fn flush(&self, wait: bool) -> Result<(), rocksdb::Error> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        let names = self.stores.values().map(String::as_str).chain([DEFAULT_COLUMN_FAMILY_NAME]);
        let families: Vec<&ColumnFamily> = names.filter_map(|name| self.db.cf_handle(name)).collect();
        self.db.flush_cfs_opt(&families, &options)
    }

    /// Interprets a failed call. Damage is noted in the directory, so that the next `open` moves the database aside.
    fn failed(&self, doing: &str, e: &rocksdb::Error) -> Error {
        let what = format!("{doing} {} failed: {e}", self.path.display());
        if !is_damage(e) {
            return Error::State(what);
        }
        let noted = match mark_damaged(&self.path, &what) {
            Ok(()) => "it is moved aside and restored when it is opened again".to_owned(),
            Err(e) => format!("move the directory away; noting the damage there failed: {e}"),
        };
        Error::State(format!("{what}\n  next: {noted}"))
    }
}

impl Backend for RocksBackend {
    fn record(&self) -> Result<Option<Vec<u8>>> {
        self.db.get(RECORD_KEY).map_err(|e| self.failed("reading", &e))
    }

    fn get_many(
        &self,
        store: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result {
        let family = self.family_of(store)?;
        // Neighbours share blocks, so each block is read once.
        let mut sorted: Vec<(&[u8], usize)> = keys.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        for part in sorted.chunks(KEYS_PER_GET) {
            let values = self.db.batched_multi_get_cf(family, part.iter().map(|(key, _)| *key), true);
            for (value, (_, index)) in values.into_iter().zip(part) {
                visit(*index, value.map_err(|e| self.failed("reading", &e))?.as_deref())?;
            }
        }
        Ok(())
    }

    fn scan(&self, store: StoreId, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut rows = self.db.raw_iterator_cf_opt(self.family_of(store)?, options);
        match from {
            Some(key) => rows.seek(key),
            None => rows.seek_to_first(),
        }
        while let Some((key, value)) = rows.item() {
            if !visit(key, value)? {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|e| self.failed("reading", &e))
    }

    fn scan_prefixes(&self, store: StoreId, prefixes: &[&[u8]], visit: &mut VisitPrefixed<'_>) -> Result {
        let Some(last) = prefixes.last() else { return Ok(()) };
        let mut options = ReadOptions::default();
        // Without a bound the step past the last row of a prefix may wade through what was deleted behind it.
        if let Some(end) = super::after_prefix(last) {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = self.db.raw_iterator_cf_opt(self.family_of(store)?, options);
        for (index, prefix) in prefixes.iter().enumerate() {
            rows.seek(prefix);
            while let Some((key, value)) = rows.item() {
                if !key.starts_with(prefix) || !visit(index, key, value)? {
                    break;
                }
                rows.next();
            }
            rows.status().map_err(|e| self.failed("reading", &e))?;
        }
        Ok(())
    }

    fn progress(&self) -> Result<Option<Vec<u8>>> {
        self.db.get(PROGRESS_KEY).map_err(|e| self.failed("reading", &e))
    }

    fn apply(&self, changes: &[RawChunk], record: Option<&[u8]>) -> Result {
        let mut batch = self.batch(changes)?;
        let Some(record) = record else {
            return self.write(batch);
        };
        if self.unlogged.load(Ordering::Acquire) {
            self.flush(true).map_err(|e| self.failed("flushing", &e))?;
            self.unlogged.store(false, Ordering::Release);
        }
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        batch.put(RECORD_KEY, record);
        batch.delete(PROGRESS_KEY);
        for name in &*added {
            batch.put(name, "");
        }
        self.write(batch)?;
        added.clear();
        Ok(())
    }

    fn restore(&self, changes: &[RawChunk], progress: &[u8]) -> Result {
        let mut batch = self.batch(changes)?;
        batch.put(PROGRESS_KEY, progress);
        // All column families are flushed together, so after a crash rows and progress belong to the same piece. The
        // rows are still in the changelog, so a write log would be wasted work.
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.unlogged.store(true, Ordering::Release);
        self.db.write_opt(batch, &options).map_err(|e| self.failed("writing", &e))
    }

    fn size_bytes(&self) -> u64 {
        self.sum("rocksdb.live-sst-files-size") + self.sum("rocksdb.cur-size-all-mem-tables")
    }

    fn rows(&self) -> u64 {
        self.sum("rocksdb.estimate-num-keys")
    }
}

impl Drop for RocksBackend {
    fn drop(&mut self) {
        self.db.cancel_all_background_work(true);
    }
}

/// A row that goes into a write batch.
struct Ordered<'a> {
    store: StoreId,
    /// The first bytes of the key as a number: decides most comparisons.
    start: u64,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

fn start_of(key: &[u8]) -> u64 {
    let mut start = [0; 8];
    let length = key.len().min(8);
    start[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(start)
}

/// Why a database cannot be opened.
enum Refusal {
    /// It is damaged and must be moved aside.
    Damaged(String),
    /// An error of `RocksDB` that is not damage: no permission, no space, in use.
    Failed(rocksdb::Error),
    Other(Error),
}

impl Refusal {
    fn into_error(self, path: &Path) -> Error {
        let path = path.display();
        match self {
            Refusal::Damaged(reason) => {
                Error::State(format!("{path}: damaged again right after it was created: {reason}"))
            }
            Refusal::Failed(e) => Error::State(format!(
                "{path} cannot be opened: {e}\n  next: check that no other process uses it, its permissions and the free space"
            )),
            Refusal::Other(e) => e,
        }
    }
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        Refusal::Other(e)
    }
}

fn refusal(e: rocksdb::Error) -> Refusal {
    if is_damage(&e) { Refusal::Damaged(e.into_string()) } else { Refusal::Failed(e) }
}

/// Whether the files are inconsistent, rather than the system refusing something.
fn is_damage(e: &rocksdb::Error) -> bool {
    match e.kind() {
        ErrorKind::Corruption | ErrorKind::NotFound => true,
        ErrorKind::IOError => e.as_ref().contains("No such file or directory"),
        _ => false,
    }
}

/// The databases of a partition that were moved aside before, and the notes next to them, with their numbers.
fn quarantined(aside: &Path, partition: Partition) -> Result<Vec<(u64, PathBuf)>> {
    let entries = fs::read_dir(aside).map_err(Error::io(format!("reading {}", aside.display())))?;
    let number = |path: &Path| {
        let name = path.file_stem()?.to_str()?;
        name.strip_prefix(&format!("{partition}-"))?.parse().ok()
    };
    Ok(entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect())
}

fn mark_damaged(path: &Path, reason: &str) -> std::io::Result<()> {
    fs::write(path.join(DAMAGED_FILE), reason)
}

/// The column families of the stores in a directory; `None` = there is no database yet.
fn existing_stores(path: &Path, shared: &Shared) -> Result<Option<Vec<String>>, Refusal> {
    if !path.join("CURRENT").exists() {
        let entries = fs::read_dir(path).map_err(Error::io(format!("reading {}", path.display())))?;
        let left_over =
            |name: &str| ["MANIFEST", "OPTIONS"].iter().any(|part| name.starts_with(part)) || is_data(name);
        return match entries
            .flatten()
            .map(|entry| entry.file_name())
            .find(|name| left_over(&name.to_string_lossy()))
        {
            Some(name) => Err(Refusal::Damaged(format!("there is `{}`, but no CURRENT", name.display()))),
            None => Ok(None),
        };
    }
    let mut names = DB::list_cf(&shared.database()?, path).map_err(refusal)?;
    names.retain(|name| name != DEFAULT_COLUMN_FAMILY_NAME);
    match names.iter().find(|name| !name.starts_with(STORE_PREFIX)) {
        Some(foreign) => Err(Refusal::Other(Error::State(format!(
            "{}: a RocksDB database that this program did not write (column family `{foreign}`)\n  next: choose another \
             state directory",
            path.display()
        )))),
        None => Ok(Some(names)),
    }
}

fn is_data(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "sst" || extension == "log")
}
