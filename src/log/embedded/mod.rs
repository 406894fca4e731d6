//! The embedded log: topics inside this process, in memory or in a directory.
//!
//! For a first try without Kafka, for tests and for single-node use. Owns the implementation of the log boundary; the
//! store does the work. One commit is one atomic, checksummed append. Transactions, groups and fencing behave as
//! Kafka's do, within one process. Invariant: only one process has a directory open.

#![allow(clippy::disallowed_methods, reason = "this log is its own broker: it has a clock and waits")]

mod cleaning;
mod cursor;
mod files;
mod group;
mod member;
mod open;
mod partition;
mod producer;
mod retention;
mod store;
mod time;
mod transaction;

pub(crate) use cursor::EmbeddedFetch;
pub use files::{Fsync, Options};
pub(crate) use member::EmbeddedMember;
pub(crate) use producer::EmbeddedProducer;
pub use time::Time;

use super::{
    Committed, Fetch, FetchSpec, GroupMember, GroupSpec, Log, Member, Producer, ProducerSpec, Reader,
    TopicInfo, TopicSpec, Wake, timestamps,
};
use crate::{
    error::{Error, Result},
    record::{Offset, TopicPartition},
};
use cursor::{Cursor, PartitionReader};
use files::{Directory, GroupOffset};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};
use store::{State, Store, missing_topic};

/// The logs in memory of this process.
static NAMED: Mutex<BTreeMap<String, Arc<Embedded>>> = Mutex::new(BTreeMap::new());

/// Topics inside this process.
pub struct Embedded {
    name: String,
    store: Arc<Store>,
}

fn sync_in_background(store: &Arc<Store>, every: Duration) -> Result {
    let store = Arc::downgrade(store);
    let run = move || {
        loop {
            thread::sleep(every);
            let Some(store) = store.upgrade() else { return };
            let segment = store.lock().files.as_mut().and_then(Directory::begin_sync);
            if let Some(segment) = segment {
                let synced = segment.file.sync_data();
                let synced = store.lock().files.as_mut().map_or(Ok(()), |f| f.end_sync(&segment, synced));
                if let Err(e) = synced {
                    tracing::error!("embedded log: {e}");
                    return;
                }
            }
        }
    };
    let started = thread::Builder::new().name("log-sync".into()).spawn(run);
    started.map(|_| ()).map_err(Error::io("starting the thread that syncs the embedded log"))
}

impl Embedded {
    /// A separate log in memory.
    #[must_use]
    pub fn in_memory(time: Time) -> Self {
        let state = State { default_partitions: 1, ..State::default() };
        Embedded { name: "log in memory".into(), store: Arc::new(Store::new(state, time)) }
    }

    /// The log in memory of this name: one for the whole process, for as long as the process runs, or until it is forgotten.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        let mut logs = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(name.to_owned()).or_insert_with(|| Arc::new(Self::in_memory(Time::system())));
        log.clone()
    }

    /// The log in memory of this name is gone with its last user; whoever opens the name gets a new one.
    #[cfg(feature = "sql")]
    pub(crate) fn forget(name: &str) {
        NAMED.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The log in a directory, which is created if it is missing. While it is open in this process, the same log is
    /// returned again (with the options of the first time); it is closed when the last user drops it.
    ///
    /// # Errors
    /// If another process has it open, if a file is damaged, or if the directory cannot be used.
    pub fn directory(dir: impl AsRef<Path>, options: Options) -> Result<Arc<Self>> {
        static LOGS: Mutex<BTreeMap<PathBuf, Weak<Store>>> = Mutex::new(BTreeMap::new());
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir)
            .map_err(|e| Error::no_directory("the directory of the log", dir, &e, "`embedded:DIR`"))?;
        let real = dir.canonicalize().map_err(Error::io(format!("opening {}", dir.display())))?;
        let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("embedded log in {}", dir.display());
        if let Some(store) = logs.get(&real).and_then(Weak::upgrade) {
            return Ok(Arc::new(Embedded { name, store }));
        }
        let time = Time::system();
        let state = State::open(&real, options, time.now_ms())?;
        let store = Arc::new(Store::new(state, time));
        if let Fsync::Interval(every) = options.fsync {
            sync_in_background(&store, every)?;
        }
        if let Some(every) = options.clean_every {
            cleaning::clean_in_background(&store, every)?;
        }
        logs.insert(real, Arc::downgrade(&store));
        Ok(Arc::new(Embedded { name, store }))
    }

    /// Bytes of an unfinished commit that were cut off when the directory was opened.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.store.lock().files.as_ref().map_or(0, |files| files.cut_bytes)
    }

    /// Bytes of the records that are still kept, in memory or in files. For files that wait for compaction it counts
    /// only what size limits and the progress of groups require to stay.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let state = self.store.lock();
        state.topics.values().flat_map(|t| &t.partitions).map(partition::PartitionLog::bytes).sum()
    }

    /// Compacts full files now if at least half of their bytes are new, as [`Options::clean_every`] does in the
    /// background; returns whether it did.
    ///
    /// # Errors
    /// If the directory cannot be read or written; nothing is lost then.
    pub fn clean(&self) -> Result<bool> {
        cleaning::clean(&self.store)
    }

    /// Gives a topic more partitions; asking for fewer than it has is not an error and changes nothing.
    ///
    /// # Errors
    /// If the topic does not exist, or the directory cannot be written.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result {
        self.store.change(|state| state.add_partitions(topic, partitions))
    }

    /// Rises with everything that a call may wait for.
    pub(crate) fn changes(&self) -> u64 {
        self.store.lock().changes
    }

    /// Where readers of committed data stop.
    pub(crate) fn stable_end(&self, at: &TopicPartition) -> Result<Offset> {
        self.of_partition(at, |p| Offset(p.stable_end()))
    }

    /// Makes the end of a transaction take an offset in each partition that it wrote to, as Kafka's markers do, so that
    /// offsets have gaps. For simulation and tests, in memory only.
    pub fn write_markers(&self) {
        self.store.lock().markers = true;
    }

    /// The member id that has the place of an instance of a group.
    pub(crate) fn holder(&self, group: &str, instance: &str) -> Option<String> {
        let state = self.store.lock();
        state.groups.get(group)?.holder(instance).map(str::to_owned)
    }

    /// Expels a member from its group as if its session had timed out; returns whether it was still there.
    pub(crate) fn expel(&self, group: &str, instance: &str, member_id: &str) -> bool {
        self.store.change(|state| {
            let counts = state.counts();
            let group = state.groups.get_mut(group).filter(|g| g.holder(instance) == Some(member_id));
            group.map(|g| g.remove(instance, &counts)).is_some()
        })
    }

    /// Raises the group's generation.
    pub(crate) fn rebalance(&self, group: &str) {
        self.store.change(|state| {
            let counts = state.counts();
            if let Some(group) = state.groups.get_mut(group) {
                group.bump(&counts);
            }
        });
    }

    pub(crate) fn join_embedded(&self, group: &GroupSpec) -> EmbeddedMember {
        EmbeddedMember::join(self.store.clone(), group.clone())
    }

    pub(crate) fn fetch_embedded(&self) -> EmbeddedFetch {
        EmbeddedFetch::new(self.store.clone())
    }

    pub(crate) fn producer_embedded(&self, spec: &ProducerSpec) -> EmbeddedProducer {
        EmbeddedProducer::new(self.store.clone(), spec.clone())
    }

    fn of_partition<T>(
        &self,
        at: &TopicPartition,
        get: impl FnOnce(&partition::PartitionLog) -> T,
    ) -> Result<T> {
        let state = self.store.lock();
        match state.partition(at) {
            Some(partition) => Ok(get(partition)),
            None => Err(missing_topic(&at.to_string())),
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Log for Embedded {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn creates_output_topics(&self) -> bool {
        true
    }

    fn deletes_consumed(&self) -> bool {
        true
    }

    fn keeps_one_copy(&self) -> bool {
        true
    }

    fn connect(&self, _: Duration) -> Result {
        Ok(())
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicInfo>>> {
        let state = self.store.lock();
        Ok(topics.iter().map(|topic| state.describe(topic)).collect())
    }

    fn create(&self, topic: &TopicSpec) -> Result {
        self.store.change(|state| state.create(topic))
    }

    fn end_offset(&self, at: &TopicPartition) -> Result<Offset> {
        self.of_partition(at, |p| Offset(p.end()))
    }

    fn start_offset(&self, at: &TopicPartition) -> Result<Offset> {
        self.of_partition(at, |p| Offset(p.start))
    }

    fn offset_at(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Offset> {
        timestamps::scan(self, at, timestamp_ms)
    }

    fn topics(&self) -> Result<Vec<String>> {
        Ok(self.store.lock().counts().keys().map(ToString::to_string).collect())
    }

    fn fetch(&self, _: &FetchSpec) -> Result<Box<dyn Fetch>> {
        Ok(Box::new(self.fetch_embedded()))
    }

    fn read(&self, at: &TopicPartition, from: Offset) -> Result<Box<dyn Reader>> {
        self.of_partition(at, |_| ())?;
        Ok(Box::new(PartitionReader(Cursor::new(self.store.clone(), at.clone(), from))))
    }

    fn passed(&self, reader: &str, at: &TopicPartition, until: Offset) -> Result {
        let committed = Committed { offset: until, leader_epoch: None, metadata: String::new() };
        let offset = GroupOffset { group: reader.to_owned(), at: at.clone(), committed };
        self.store.change(|state| state.write(vec![], vec![offset]))
    }

    fn members(&self, group: &str) -> Result<Vec<GroupMember>> {
        self.store.expire()?;
        let state = self.store.lock();
        let members = state.groups.get(group).into_iter().flat_map(group::Group::members);
        let member = |(instance, member_id): (&str, &str)| GroupMember {
            member_id: member_id.to_owned(),
            instance: instance.to_owned(),
            host: String::new(),
        };
        Ok(members.map(member).collect())
    }

    fn last_committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        Ok(self.store.lock().last_committed(group, at))
    }

    fn join(&self, group: &GroupSpec, _: Wake) -> Result<Box<dyn Member>> {
        Ok(Box::new(self.join_embedded(group)))
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        Ok(Box::new(self.producer_embedded(spec)))
    }
}
