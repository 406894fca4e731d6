//! The embedded log: topics inside this process, in memory or in a directory.
//!
//! For the first minutes without Kafka, for tests and for single-node use. Owns the doors of the boundary; the work is done
//! by the store. One commit is one atomic, checksummed append. Transactions, groups and fencing behave as Kafka's, in one
//! process. Invariant: only one process has a directory open.

mod cursor;
mod group;
mod member;
mod partition;
mod producer;
mod segment;
mod store;
mod time;
mod transaction;

pub(crate) use member::EmbeddedMember;
pub(crate) use producer::EmbeddedProducer;
pub use time::Time;

use super::{GroupSpec, Log, Member, Producer, ProducerSpec, Reader, TopicInfo, TopicSpec};
use crate::{
    error::Result,
    record::{Offset, TopicPartition},
};
use cursor::{Cursor, PartitionReader};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use store::{State, Store, missing_topic};

/// Topics inside this process.
pub struct Embedded {
    name: String,
    store: Arc<Store>,
}

impl Embedded {
    /// A log in memory of its own.
    #[must_use]
    pub fn in_memory(time: Time) -> Self {
        let state = State { default_partitions: 1, ..State::default() };
        Embedded { name: "log in memory".into(), store: Arc::new(Store::new(state, time)) }
    }

    /// The log in memory of this name: one for the whole process, for as long as the process runs.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        static LOGS: OnceLock<Mutex<BTreeMap<String, Arc<Embedded>>>> = OnceLock::new();
        let mut logs = LOGS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(name.to_owned()).or_insert_with(|| Arc::new(Self::in_memory(Time::system())));
        log.clone()
    }

    /// Gives a topic more partitions; fewer than it has are no error and change nothing.
    ///
    /// # Errors
    /// If the topic does not exist, or the directory cannot be written.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result {
        self.store.change(|state| state.add_partitions(topic, partitions))
    }

    /// Rises with everything that somebody may wait for.
    pub(crate) fn changes(&self) -> u64 {
        self.store.lock().changes
    }

    /// Makes the end of a transaction take an offset in each partition that it wrote, as Kafka's markers do.
    pub(crate) fn write_markers(&self) {
        self.store.lock().markers = true;
    }

    /// Throws a member out of its group as if its session had timed out.
    pub(crate) fn expel(&self, group: &str, instance: &str) {
        self.store.change(|state| {
            let counts = state.counts();
            if let Some(group) = state.groups.get_mut(group) {
                group.remove(instance, &counts);
            }
        });
    }

    /// Makes the group's generation rise.
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

    fn read(&self, at: &TopicPartition, from: Offset) -> Result<Box<dyn Reader>> {
        self.of_partition(at, |_| ())?;
        Ok(Box::new(PartitionReader(Cursor::new(self.store.clone(), at.clone(), from))))
    }

    fn join(&self, group: &GroupSpec) -> Result<Box<dyn Member>> {
        Ok(Box::new(self.join_embedded(group)))
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        Ok(Box::new(self.producer_embedded(spec)))
    }
}
