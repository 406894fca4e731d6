//! What may be dropped while a log is in use, according to the settings of its topics.
//!
//! | setting | meaning |
//! |---|---|
//! | `cleanup.policy=compact` | of each key the last record stays; a tombstone stays for `delete.retention.ms` |
//! | `retention.bytes=N` | the newest N bytes of each partition stay, and what a group that committed an offset has not read yet |
//! | `delete.consumed.only=true` | with it: nothing goes before a group has committed an offset, so what is unread is always kept |
//!
//! Owns the rules, and drops overwritten keys in memory; `compact.rs` rewrites files. Invariants: the last batch of a
//! partition stays; offsets never change; nothing from the first open transaction on is dropped; the work for a commit
//! is in proportion to what it wrote. There is no retention by time: topics without these settings lose nothing.

use super::{
    files::Rules,
    partition::{Batch, PartitionLog, Place},
    store::State,
};
use crate::record::{Map, RawChunkBuilder, TopicPartition};
use std::collections::BTreeMap;

/// How long a tombstone stays unless its topic sets another time: the default of Kafka's brokers.
const DELETE_RETENTION_MS: i64 = 86_400_000;
/// A partition in memory with fewer new bytes than this is not searched.
const FRESH_BYTES_MIN: u64 = 1 << 20;
/// Batches in memory are joined to about this size, bytes.
const JOINED_BYTES: usize = 1 << 20;

/// How much of a topic's partitions stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    /// At least so many of the newest bytes of each partition stay.
    pub bytes: u64,
    /// Whether nothing is dropped that no group has read.
    pub consumed_only: bool,
}

impl State {
    /// Whether only the last record of each key of a topic has to stay.
    pub fn is_compacted(&self, topic: &str) -> bool {
        let policy = self.topics.get(topic).and_then(|t| t.config.get("cleanup.policy"));
        policy.is_some_and(|p| p.split(',').any(|p| p.trim() == "compact"))
    }

    /// How much of a topic stays; `None` = all of it, or the topic is compacted.
    pub fn retention(&self, topic: &str) -> Option<Retention> {
        let bytes = self.config(topic, "retention.bytes").and_then(|b| u64::try_from(b).ok())?;
        let consumed_only = self.topics.get(topic)?.config.get("delete.consumed.only");
        let consumed_only = consumed_only.is_some_and(|v| v == "true");
        (!self.is_compacted(topic)).then_some(Retention { bytes, consumed_only })
    }

    /// What a compaction may drop now.
    pub fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        for (name, topic) in &self.topics {
            if let Some(stay) = self.tombstones_stay_ms(name) {
                rules.compacted.insert(name.clone(), stay);
            }
            if self.retention(name).is_some() {
                let starts = (0..).zip(&topic.partitions);
                rules.keep_from.extend(starts.map(|(n, p)| (TopicPartition::new(name.clone(), n), p.start)));
            }
        }
        rules
    }

    /// How long tombstones of a compacted topic stay; nothing = it is not compacted.
    pub fn tombstones_stay_ms(&self, topic: &str) -> Option<i64> {
        let stay = self.config(topic, "delete.retention.ms").unwrap_or(DELETE_RETENTION_MS);
        self.is_compacted(topic).then_some(stay)
    }

    /// Drops what the touched partitions no longer need.
    pub fn tidy(&mut self, now_ms: i64) {
        for at in std::mem::take(&mut self.touched) {
            self.trim(&at);
            let Some(stay) = self.tombstones_stay_ms(&at.topic).filter(|_| self.files.is_none()) else {
                continue;
            };
            if let Some(partition) = self.partition_mut(&at) {
                partition.drop_overwritten(now_ms.saturating_sub(stay));
            }
        }
    }

    fn trim(&mut self, at: &TopicPartition) {
        let Some(Retention { bytes, consumed_only }) = self.retention(&at.topic) else { return };
        let read = self.groups.values().filter_map(|g| g.offsets.get(at)).map(|c| c.offset.0).min();
        if let Some(partition) = self.partition_mut(at).filter(|_| read.is_some() || !consumed_only) {
            partition.trim(bytes, read.unwrap_or(u64::MAX));
        }
    }

    /// Called after everything was read from files: lets partitions with a retention begin with the oldest record that
    /// is stored and needed.
    pub fn trim_all(&mut self) {
        let with_retention: Vec<_> = self.topics.keys().filter(|t| self.retention(t).is_some()).collect();
        let all: Vec<TopicPartition> = with_retention
            .into_iter()
            .flat_map(|t| {
                (0..).zip(&self.topics[t].partitions).map(|(n, _)| TopicPartition::new(t.clone(), n))
            })
            .collect();
        for at in all {
            if let Some(partition) = self.partition_mut(&at) {
                partition.begin_with_oldest();
            }
            self.trim(&at);
        }
    }
}

impl PartitionLog {
    /// Drops overwritten keys, and tombstones from before `tombstones_from_ms`, once at least half of the bytes are
    /// new, so that each record is copied only a few times.
    fn drop_overwritten(&mut self, tombstones_from_ms: i64) {
        if self.fresh_bytes < FRESH_BYTES_MIN || self.fresh_bytes * 2 < self.bytes() {
            return;
        }
        let taken = self.take_stable();
        self.put_back(last_of_each_key(&taken, tombstones_from_ms));
        self.fresh_bytes = 0;
    }
}

/// The remaining records of batches in memory, joined.
fn last_of_each_key(batches: &BTreeMap<u64, Batch>, tombstones_from_ms: i64) -> Vec<(u64, Batch)> {
    let chunks = || {
        batches.values().filter_map(|b| match &b.place {
            Place::Memory(rows) => Some(rows),
            Place::Disk(_) => None,
        })
    };
    let mut last: Map<&[u8], u64> = Map::default();
    for record in chunks().flat_map(|rows| (0..rows.len()).map(|i| rows.get(i))) {
        if let Some(key) = record.key {
            last.insert(key, record.offset.0);
        }
    }
    let (mut joined, mut rows) = (vec![], RawChunkBuilder::default());
    for record in chunks().flat_map(|rows| (0..rows.len()).map(|i| rows.get(i))) {
        let overwritten = record.key.is_some_and(|key| last[key] != record.offset.0);
        let aged = record.key.is_some() && record.value.is_none() && record.timestamp_ms < tombstones_from_ms;
        if overwritten || aged {
            continue;
        }
        rows.push(record);
        if rows.bytes() >= JOINED_BYTES {
            joined.extend(batch(std::mem::take(&mut rows)));
        }
    }
    joined.extend(batch(rows));
    joined
}

fn batch(rows: RawChunkBuilder) -> Option<(u64, Batch)> {
    let rows = rows.build();
    let (first, last) = (rows.iter().next()?.offset.0, rows.last_offset()?.0);
    Some((first, Batch { last, place: Place::Memory(rows) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Offset, RawChunk, RawRecord};

    fn record<'a>(offset: u64, key: &'a str, value: Option<&'a [u8]>, timestamp_ms: i64) -> RawRecord<'a> {
        let key = Some(key.as_bytes());
        RawRecord { offset: Offset(offset), timestamp_ms, key, value, headers: Headers::NONE }
    }

    fn chunk(records: &[RawRecord<'_>]) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        records.iter().for_each(|r| rows.push(*r));
        rows.build()
    }

    fn in_memory(rows: RawChunk) -> Batch {
        Batch { last: rows.last_offset().unwrap().0, place: Place::Memory(rows) }
    }

    #[test]
    fn the_last_record_of_each_key_stays_and_a_tombstone_only_for_its_time() {
        let mut p = PartitionLog::default();
        let big = vec![b'x'; 1 << 20];
        let first = [record(0, "a", Some(&big), 1), record(1, "b", Some(b"1"), 1), record(2, "c", None, 5)];
        p.insert(0, in_memory(chunk(&first)));
        p.insert(3, in_memory(chunk(&[record(3, "d", None, 50), record(4, "a", Some(b"2"), 50)])));
        // A transaction that began before the last commit and is still open.
        p.reserve(1);
        p.insert(6, in_memory(chunk(&[record(6, "b", Some(b"3"), 50)])));
        p.drop_overwritten(10);
        let offsets = |p: &PartitionLog, from| match p.at(from) {
            super::super::partition::Found::Batch(Batch { place: Place::Memory(rows), .. }) => {
                rows.iter().map(|r| r.offset.0).collect::<Vec<_>>()
            }
            _ => vec![],
        };
        assert_eq!(offsets(&p, 0), [1, 3, 4], "what comes after the open transaction overwrites nothing yet");
        assert!(p.bytes() < 1000, "{} bytes", p.bytes());
        p.insert(5, in_memory(chunk(&[record(5, "e", Some(&big), 50)])));
        p.settle(5);
        p.drop_overwritten(10);
        assert_eq!((offsets(&p, 2), offsets(&p, 6)), (vec![3, 4, 5], vec![6]), "joined to about a megabyte");
        assert_eq!(p.end(), 7);
    }

    #[test]
    fn the_oldest_records_are_dropped_as_far_as_they_were_read_but_never_the_last_batch() {
        let mut p = PartitionLog::default();
        for i in 0..4 {
            let (from, to) = (i * 10, i * 10 + 4);
            p.insert(
                from,
                in_memory(chunk(&[record(from, "k", Some(b"v"), 1), record(to, "k", Some(b"w"), 1)])),
            );
        }
        p.trim(0, 7);
        assert_eq!(p.start, 7, "between two batches");
        p.trim(0, 12);
        assert_eq!(p.start, 12, "within the second");
        p.trim(p.bytes(), u64::MAX);
        assert_eq!(p.start, 12, "not more than retention allows");
        p.trim(0, u64::MAX);
        assert_eq!((p.start, p.bytes()), (30, 84));
        p.reserve(2);
        p.insert(37, in_memory(chunk(&[record(37, "k", None, 1)])));
        p.trim(0, u64::MAX);
        assert_eq!(p.start, 35, "an open transaction may still be committed");
    }
}
