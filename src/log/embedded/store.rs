//! The core of the embedded log: topics, groups and transactions behind one lock.
//!
//! Shared by the log in memory and the log in a directory; the latter only adds a file to which each commit is appended
//! before it is visible. Knows no trait of the log boundary. Invariants: every change is made under the lock, and one
//! commit is one step; every change wakes all waiting threads.

use super::{
    files::{Directory, Entry, GroupOffset, Reserved},
    group::{Counts, Group},
    partition::{Batch, Found, PartitionLog, Place},
    time::Time,
    transaction::Transaction,
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::{Committed, TopicInfo, TopicSpec},
    record::{Offset, RawChunk, TopicPartition},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Largest record unless the topic sets another size: the default of Kafka's brokers.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

#[derive(Debug)]
pub(super) struct Store {
    state: Mutex<State>,
    changed: Condvar,
    /// Held while segments are rewritten.
    pub cleaning: Mutex<()>,
    pub time: Time,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub topics: BTreeMap<Arc<str>, Topic>,
    pub groups: BTreeMap<String, Group>,
    pub transactions: BTreeMap<String, Transaction>,
    /// Where commits are appended; `None` = memory only.
    pub files: Option<Directory>,
    /// Whether the end of a transaction takes an offset in each partition that it wrote to, as Kafka's markers do.
    pub markers: bool,
    /// Number of partitions of a topic that is created by writing to it.
    pub default_partitions: u32,
    /// Rises with everything that a call may wait for.
    pub changes: u64,
    pub made: u64,
    /// Partitions with new records or offsets: their retention is checked within the change that made them.
    pub touched: BTreeSet<TopicPartition>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub id: String,
    pub config: BTreeMap<String, String>,
    pub partitions: Vec<PartitionLog>,
}

impl Store {
    pub fn new(state: State, time: Time) -> Self {
        Store { state: Mutex::new(state), changed: Condvar::new(), cleaning: Mutex::default(), time }
    }

    /// Locks the state for reading.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes all waiting threads.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = {
            let mut state = self.lock();
            let answer = change(&mut state);
            if !state.touched.is_empty() {
                state.tidy(self.time.now_ms());
            }
            state.changes += 1;
            answer
        };
        self.changed.notify_all();
        answer
    }

    /// Ends transactions and empty places whose time is over.
    pub fn expire(&self) -> Result<(), Failure> {
        let now = self.time.elapsed();
        let mut state = self.lock();
        if state.expire(now)? {
            state.changes += 1;
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits until `ready` returns an answer, at most `timeout`.
    pub fn wait<T>(&self, timeout: Duration, mut ready: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let deadline = self.time.elapsed() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(answer) = ready(&mut state) {
                return Some(answer);
            }
            let now = self.time.elapsed();
            if now >= deadline || !self.time.passes() {
                return None;
            }
            // An open transaction or an empty place can end by time alone, so check again at least every 100 ms.
            let slice = deadline.saturating_sub(now).min(Duration::from_millis(100));
            state = self.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
            let now = self.time.elapsed();
            if let Ok(true) = state.expire(now) {
                state.changes += 1;
                self.changed.notify_all();
            }
        }
    }
}

impl State {
    /// Creates a topic; one that exists is left as it is.
    pub fn create(&mut self, spec: &TopicSpec) -> Result {
        let refused = |what: &str| Error::Topic { topic: spec.name.clone(), what: what.to_owned() };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if spec.name.is_empty() || spec.name.len() > 249 || !spec.name.chars().all(legal) {
            return Err(refused("a topic name has 1 to 249 letters, digits, dots, underscores and hyphens"));
        }
        if matches!(spec.name.as_str(), "." | "..") {
            return Err(refused("`.` and `..` cannot be topic names"));
        }
        if spec.partitions == 0 {
            return Err(refused("a topic needs at least one partition"));
        }
        if self.topics.contains_key(spec.name.as_str()) {
            return Ok(());
        }
        let id = format!("{}-{}", self.files.as_ref().map_or("m".to_owned(), Directory::id), self.made + 1);
        let entry = Entry::Topic {
            name: spec.name.clone(),
            id,
            partitions: spec.partitions,
            config: spec.config.clone(),
        };
        self.keep(entry)
    }

    /// Gives a topic more partitions; it never loses any.
    pub fn add_partitions(&mut self, topic: &str, partitions: u32) -> Result {
        let Some(known) = self.topics.get(topic) else { return Err(missing_topic(topic)) };
        let entry = Entry::Topic {
            name: topic.to_owned(),
            id: known.id.clone(),
            partitions,
            config: known.config.clone(),
        };
        self.keep(entry)
    }

    fn keep(&mut self, entry: Entry) -> Result {
        if let Some(files) = &mut self.files {
            files.append(std::slice::from_ref(&entry), &[])?;
        }
        self.replay(entry);
        let counts = self.counts();
        for group in self.groups.values_mut() {
            group.rebalance(&counts);
        }
        Ok(())
    }

    /// Discards what was read from files, before they are read again.
    pub fn forget(&mut self) {
        (self.topics, self.groups, self.made) = (BTreeMap::new(), BTreeMap::new(), 0);
    }

    /// Applies an entry of a commit or a file.
    pub fn replay(&mut self, entry: Entry) {
        match entry {
            Entry::Topic { name, id, partitions, config } => {
                let made = &mut self.made;
                let topic = self.topics.entry(name.into()).or_insert_with(|| {
                    *made += 1;
                    Topic { id, config, partitions: vec![] }
                });
                let count = (partitions as usize).max(topic.partitions.len());
                topic.partitions.resize_with(count, PartitionLog::default);
            }
            Entry::Offset(o) => {
                self.groups.entry(o.group).or_default().offsets.insert(o.at, o.committed);
            }
            Entry::Gap { at, end } => {
                if let Some(partition) = self.partition_mut(&at) {
                    partition.raise_end(end);
                }
            }
            Entry::Batch { .. } => unreachable!("batches come with the place of their records"),
        }
    }

    /// Adds a committed batch.
    pub fn insert(&mut self, at: &TopicPartition, first: u64, last: u64, place: Place) {
        if let Some(partition) = self.partition_mut(at) {
            partition.insert(first, Batch { last, place });
        }
    }

    /// A topic setting that is a number.
    pub fn config(&self, topic: &str, name: &str) -> Option<i64> {
        self.topics.get(topic)?.config.get(name)?.parse().ok()
    }

    pub fn describe(&self, topic: &str) -> Option<TopicInfo> {
        let topic = self.topics.get(topic)?;
        let mut config = topic.config.clone();
        let max = config.entry("max.message.bytes".into());
        max.or_insert_with(|| MAX_MESSAGE_BYTES.to_string());
        config.entry("cleanup.policy".into()).or_insert_with(|| "delete".into());
        config.entry("min.insync.replicas".into()).or_insert_with(|| "1".into());
        let partitions = u32::try_from(topic.partitions.len()).expect("counted by a u32");
        let id = topic.id.clone();
        Some(TopicInfo { id, partitions, replication_factor: 1, may_write: Some(true), config })
    }

    /// Number of partitions and largest record of a topic; `None` = it does not exist.
    pub fn writable(&self, topic: &str) -> Option<(u32, usize)> {
        let topic = self.topics.get(topic)?;
        let max = topic.config.get("max.message.bytes").and_then(|v| v.parse().ok());
        let partitions = u32::try_from(topic.partitions.len()).expect("counted by a u32");
        Some((partitions, max.unwrap_or(MAX_MESSAGE_BYTES)))
    }

    /// The same for a topic that is created if it is missing.
    pub fn make_writable(&mut self, topic: &str) -> Result<(u32, usize), Failure> {
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: self.default_partitions,
            replication_factor: None,
            config: BTreeMap::new(),
        };
        let made = self.create(&spec).and_then(|()| self.writable(topic).ok_or_else(|| missing_topic(topic)));
        made.map_err(|e| Failure::new(Stage::Produce, Reaction::StopPipeline, e.to_string()))
    }

    pub fn counts(&self) -> Counts {
        let count = |t: &Topic| u32::try_from(t.partitions.len()).expect("counted by a u32");
        self.topics.iter().map(|(name, topic)| (name.clone(), count(topic))).collect()
    }

    pub fn partition(&self, at: &TopicPartition) -> Option<&PartitionLog> {
        self.topics.get(&at.topic)?.partitions.get(at.partition.0 as usize)
    }

    pub fn partition_mut(&mut self, at: &TopicPartition) -> Option<&mut PartitionLog> {
        self.topics.get_mut(&at.topic)?.partitions.get_mut(at.partition.0 as usize)
    }

    /// What is stored at an offset.
    pub fn find(&self, at: &TopicPartition, offset: u64) -> Result<Found, Failure> {
        let stop = |what: String| Failure::new(Stage::Fetch, Reaction::StopPipeline, what);
        let Some(partition) = self.partition(at) else {
            return Err(stop(format!("{at} does not exist")));
        };
        let (start, end) = (partition.start, partition.end());
        if offset < start || offset > end {
            return Err(stop(format!("{at}: offset {offset} is out of range, there is {start} to {end}")));
        }
        Ok(partition.at(offset))
    }

    /// The committed offsets of a group; `None` while one of them is pending in a transaction.
    pub fn committed(&self, group: &str, at: &[TopicPartition]) -> Option<Vec<Option<Committed>>> {
        let Some(group) = self.groups.get(group) else { return Some(vec![None; at.len()]) };
        if at.iter().any(|tp| group.pending.contains_key(tp)) {
            return None;
        }
        Some(at.iter().map(|tp| group.offsets.get(tp).cloned()).collect())
    }

    /// The committed offsets of a group, whatever is pending.
    pub fn last_committed(&self, group: &str, at: &[TopicPartition]) -> Vec<Option<Committed>> {
        let group = self.groups.get(group);
        at.iter().map(|tp| group.and_then(|group| group.offsets.get(tp).cloned())).collect()
    }

    /// Assigns offsets to records that will be committed later.
    pub fn reserve(&mut self, at: TopicPartition, rows: RawChunk, now_ms: i64) -> Result<Reserved, Failure> {
        let Some(partition) = self.partition_mut(&at) else {
            let what = format!("{at} does not exist");
            return Err(Failure::new(Stage::Produce, Reaction::StopPipeline, what));
        };
        let first = partition.reserve(rows.len() as u64);
        Ok(Reserved { rows: rows.placed(Offset(first), now_ms), at, first })
    }

    /// Makes records and offsets durable and visible, all or nothing.
    pub fn write(&mut self, batches: Vec<Reserved>, offsets: Vec<GroupOffset>) -> Result {
        let entries: Vec<Entry> = offsets.into_iter().map(Entry::Offset).collect();
        let mut places = match &mut self.files {
            Some(files) => files.append(&entries, &batches)?.into_iter().map(Place::Disk).collect(),
            None => Vec::new(),
        }
        .into_iter();
        for Reserved { at, first, rows } in batches {
            let last = first + rows.len() as u64 - 1;
            let place = places.next().unwrap_or(Place::Memory(rows));
            self.insert(&at, first, last, place);
            self.touched.insert(at);
        }
        for entry in entries {
            if let Entry::Offset(offset) = &entry {
                self.touched.insert(offset.at.clone());
            }
            self.replay(entry);
        }
        Ok(())
    }
}

pub(super) fn missing_topic(topic: &str) -> Error {
    Error::Topic { topic: topic.to_owned(), what: "does not exist\n  next: create it".into() }
}
