//! Keyed state: typed tables with staged changes over one database per state partition.
//!
//! Owns the traits, the key and value layout (`docs/state-format.md`) and the staging of a batch. Knows no operator, no
//! task and no Kafka. Invariants: a database never holds anything that is not committed in the log; the byte order of
//! keys is their logical order; a value equal to the committed one is not a change.

pub mod changelog;
mod directory;
mod keyspace;
mod memory;
mod merged;
mod ordered;
mod overlay;
mod placement;
mod rocks;
mod rocks_options;
mod rows;
mod staged;
mod table;

pub use directory::{
    StateDirectory,
    kept::{Keep, Kept},
};
pub use memory::MemoryStorage;
pub use ordered::OrderedTable;
pub use overlay::Overlay;
pub use placement::{Merge, Placement};
pub use rocks::{RocksMemory, RocksStorage};
pub use rows::{Formats, RowIndex, RowTable, View};
pub use staged::Slot;
pub use table::Table;

use crate::{
    error::{Error, Result},
    record::{Partition, RawChunk, short_hash},
};
use std::{any::Any, collections::BTreeMap, marker::PhantomData, sync::Arc};

/// Short durable name of a store: the first 32 bits of XXH3 of its name. A program with two stores of the same id does
/// not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u32);

impl StoreId {
    /// The id of a store's name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        StoreId(short_hash(name.as_bytes()))
    }
}

/// The ids of stores by name; two names with the same id are refused.
fn ids_of(stores: &[String]) -> Result<BTreeMap<StoreId, &str>> {
    let mut ids = BTreeMap::from([(changelog::ENGINE, "the engine's own rows")]);
    for name in stores {
        if let Some(other) = ids.insert(StoreId::of(name), name) {
            return Err(Error::State(format!(
                "the names of the stores `{name}` and `{other}` have the same id\n  next: give one of them another name"
            )));
        }
    }
    ids.remove(&changelog::ENGINE);
    Ok(ids)
}

/// The first key behind all that begin with `prefix`; `None` = there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut after = prefix.to_vec();
    while after.pop_if(|byte| *byte == 0xff).is_some() {}
    *after.last_mut()? += 1;
    Some(after)
}

fn not_open(store: StoreId) -> Error {
    Error::State(format!("store {:08x} was read but not opened; this is a bug in the plan", store.0))
}

/// Where the databases of this process live: a directory, or memory.
pub trait Storage: Send + Sync {
    /// Opens (or creates) the database of a state partition with a column family for each named store. A corrupt
    /// database is first moved aside and an empty one opened; the result then says so.
    ///
    /// # Errors
    /// If the directory cannot be used at all (permissions, disk full).
    fn open(&self, partition: Partition, stores: &[String]) -> Result<Opened>;

    /// Moves the database of a partition aside (it contradicts the log), so that the next `open` starts with an empty
    /// one.
    ///
    /// # Errors
    /// If it cannot be moved.
    fn quarantine(&self, partition: Partition, reason: &str) -> Result;

    /// Deletes databases that are kept of partitions other than `used`, as far as `keep` asks for it; one that is open is not touched.
    /// Returns what was deleted. Storage that takes no disk deletes nothing.
    ///
    /// # Errors
    /// If the directory cannot be read, or something in it cannot be deleted.
    fn limit_kept(&self, _used: &[Partition], _keep: &Keep, _now_ms: i64) -> Result<Vec<Kept>> {
        Ok(vec![])
    }
}

/// An opened database.
pub struct Opened {
    /// The database.
    pub backend: Arc<dyn Backend>,
    /// Why the former database was moved aside, if it was.
    pub quarantined: Option<String>,
    /// Stores that are new although the database has a record or part of a restore. If the changelog holds rows of
    /// these stores (the plan had them before, but not while this database was restored), the rows are missing here.
    /// The stores count as new until the next record is written.
    pub added: Vec<String>,
}

/// Receives a key and its value; returning `false` ends the visit.
pub type VisitRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool> + 'a;

/// Receives the number of a prefix, a key that begins with it, and the value; returning `false` ends the visit of this prefix.
pub type VisitPrefixed<'a> = dyn FnMut(usize, &[u8], &[u8]) -> Result<bool> + 'a;

/// The database of one state partition.
pub trait Backend: Send + Sync {
    /// The copy of the recovery record that was written with the last batch; `None` = empty database.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn record(&self) -> Result<Option<Vec<u8>>>;

    /// Looks up encoded keys with one multi-get: `visit` receives the index of each key and its stored value, in any
    /// order.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    fn get_many(
        &self,
        store: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result;

    /// Visits a store's rows in key order, starting with `from` (inclusive), until `visit` returns `false`.
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    fn scan(&self, store: StoreId, from: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result;

    /// Visits the rows whose keys begin with each of these prefixes, in key order. The prefixes are sorted, and none begins with
    /// another. Meant for many reads of few rows: the blocks that are read stay in memory, unlike those of [`Backend::scan`].
    ///
    /// # Errors
    /// If the database cannot be read, or what `visit` answers.
    fn scan_prefixes(&self, store: StoreId, prefixes: &[&[u8]], visit: &mut VisitPrefixed<'_>) -> Result {
        for (index, prefix) in prefixes.iter().enumerate() {
            self.scan(store, Some(prefix), &mut |key, value| {
                Ok(key.starts_with(prefix) && visit(index, key, value)?)
            })?;
        }
        Ok(())
    }

    /// How far an incomplete restore has got, as passed to [`Backend::restore`]; `None` = the rows are those of the
    /// record.
    ///
    /// # Errors
    /// If the database cannot be read.
    fn progress(&self) -> Result<Option<Vec<u8>>>;

    /// Writes changelog rows and the recovery record in ONE atomic write; `None` leaves the record as it is. A record
    /// completes a restore: everything before it is made durable first, and the progress is removed with the same
    /// write. Rows of stores that are not open are ignored.
    ///
    /// # Errors
    /// If the write fails; none of it is visible then.
    fn apply(&self, changes: &[RawChunk], record: Option<&[u8]>) -> Result;

    /// Writes a piece of a restore: changelog rows and how far they go, in ONE atomic write. A crash may lose the last
    /// pieces, but each as a whole, together with its progress.
    ///
    /// # Errors
    /// As [`Backend::apply`].
    fn restore(&self, changes: &[RawChunk], progress: &[u8]) -> Result;

    /// Approximate number of bytes on disk (or in memory); for metrics.
    fn size_bytes(&self) -> u64;

    /// Estimated number of rows of all stores; for metrics.
    fn rows(&self) -> u64;
}

/// What a task needs from a store, whatever its types. Operators never see this trait.
pub trait Store: Any + Send {
    /// Encodes the staged changes as changelog rows (key = store id and key, null value = deleted), in an order that
    /// depends only on the batch; a value equal to the committed one is left out. Staged changes stay readable until
    /// `applied` or `aborted`.
    ///
    /// # Errors
    /// If a key or value cannot be encoded.
    fn seal(&mut self) -> Result<RawChunk>;
    /// The changes are in the database: clears the staged layer.
    fn applied(&mut self);
    /// The batch was aborted: clears the staged layer.
    fn aborted(&mut self);
    /// About how many bytes are staged.
    fn staged_bytes(&self) -> usize;
}

/// Creates the typed view of the store with this name on an opened database, whose rows are in these formats.
pub type OpenStore = Arc<dyn Fn(&str, Arc<dyn Backend>, &[String]) -> Box<dyn Store> + Send + Sync>;

/// What differs between an earlier format and the present one, or why its rows cannot be read.
pub type ChangesSince = Arc<dyn Fn(&str) -> Result<Vec<String>, String> + Send + Sync>;

/// A store of the plan: its name, the layout of its rows, and how to open it.
#[derive(Clone)]
pub struct StoreSpec {
    /// Durable name.
    pub name: String,
    /// Structural trace of key and value types; part of the topology's fingerprint.
    pub format: String,
    /// The formats that its rows may be in, by the number that a row carries, from 1; `format` is one of them.
    pub formats: Vec<String>,
    /// Why its rows could not be kept exactly; such a program does not start.
    pub refusal: Option<String>,
    /// Compares `format` with an earlier one.
    pub changes_since: ChangesSince,
    /// In which state partition its rows are.
    pub placement: Placement,
    /// Creates the typed view of the store with this name on an opened database; the name may differ from the first
    /// one.
    pub open: OpenStore,
}

impl StoreSpec {
    /// The same store, its rows placed otherwise than by its key.
    ///
    /// ```
    /// use tidegate::state::{Placement, Table};
    ///
    /// let model = Table::<(), u64>::spec("model").placed(Placement::Home);
    /// assert_eq!(model.placement.to_string(), "in one state partition");
    /// ```
    #[must_use]
    pub fn placed(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }
}

/// A typed index into the stores of a task. Copy it into the operator; open it once per chunk.
pub struct Handle<S> {
    index: usize,
    store: PhantomData<fn() -> S>,
}

impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Handle<S> {}
impl<S> Handle<S> {
    /// The store at `index` of the operator's own list.
    #[must_use]
    pub fn at(index: usize) -> Self {
        Handle { index, store: PhantomData }
    }
}

/// The stores of one task.
#[derive(Default)]
pub struct Stores(pub(crate) Vec<Box<dyn Store>>);

impl Stores {
    /// One store.
    ///
    /// # Panics
    /// If the handle belongs to another task or type, which is a bug in the plan.
    pub fn open<S: Store>(&mut self, handle: Handle<S>) -> &mut S {
        cast(&mut self.0[handle.index])
    }

    /// Two stores at once, for joins.
    ///
    /// # Panics
    /// As [`Stores::open`], or if both are the same.
    pub fn open2<A: Store, B: Store>(&mut self, a: Handle<A>, b: Handle<B>) -> (&mut A, &mut B) {
        let [a, b] = self.0.get_disjoint_mut([a.index, b.index]).expect("two different stores");
        (cast(a), cast(b))
    }
}

fn cast<S: Store>(store: &mut Box<dyn Store>) -> &mut S {
    let any: &mut dyn Any = store.as_mut();
    any.downcast_mut().expect("plan bug: store of another type")
}
