//! The bytes of the directory log, version 1: what a commit looks like in a file.
//!
//! Knows no file. All numbers are little-endian; a string is a u32 length and UTF-8 bytes; a varint is LEB128.
//!
//! ```text
//! segment  = "TIDELOG1" | log id u64 | segment number u64 | merged u64 | hash u64 | frame*
//! merged   = 0 as it was written; n = compacted, stands for n segments: itself and those before it
//! frame    = "TGF1" | payload length u32 | sequence u64 | hash u64 | entry*         one frame = one commit, all or nothing
//! entry    = 1 topic id partitions:u32 n:u32 (name value)*                          a topic, or more partitions of one
//!          | 2 topic partition:u32 first:u64 last:u64 hash:u64 length:u32 record*   the records of one partition
//!          | 3 group topic partition:u32 offset:u64 epoch:i32 metadata              a committed offset; epoch -1 = unknown
//!          | 4 topic partition:u32 end:u64                                          offsets below `end` were given out
//! record   = varint (offset - first) | timestamp i64 | key | value | varint n | (varint length, name, value)*
//! key, value = varint (length + 1), bytes; 0 = null
//! ```
//!
//! Hashes are XXH3 (64 bits) seeded with the log's id, so that a copy of a frame inside a record is never mistaken for
//! a frame. Invariants: decoding never panics; what cannot be decoded or does not match its hash is an error, never a
//! shorter result.

use crate::{
    log::Committed,
    record::{
        Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord, TopicPartition,
        varint::{put_varint, take_varint},
    },
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};
use xxhash_rust::xxh3::{Xxh3Builder, xxh3_64_with_seed};

pub const SEGMENT_MAGIC: &[u8; 8] = b"TIDELOG1";
pub const SEGMENT_HEADER: usize = 40;
pub const FRAME_MAGIC: &[u8; 4] = b"TGF1";
pub const FRAME_HEADER: usize = 24;

/// Records that hold offsets in a partition but are not committed yet.
#[derive(Debug)]
pub struct Reserved {
    pub at: TopicPartition,
    pub first: u64,
    pub rows: RawChunk,
}

/// An offset to be committed for a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupOffset {
    pub group: String,
    pub at: TopicPartition,
    pub committed: Committed,
}

/// One entry of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Topic { name: String, id: String, partitions: u32, config: BTreeMap<String, String> },
    Batch { at: TopicPartition, first: u64, last: u64, records: Records },
    Offset(GroupOffset),
    Gap { at: TopicPartition, end: u64 },
}

/// Where encoded records are, within a payload or a file, and their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    pub position: u64,
    pub len: u32,
    pub hash: u64,
}

pub fn hash(bytes: &[u8], log_id: u64) -> u64 {
    xxh3_64_with_seed(bytes, log_id)
}

fn frame_hash(head: &[u8], payload: &[u8], log_id: u64) -> u64 {
    let mut hash = Xxh3Builder::new().with_seed(log_id).build();
    hash.update(head);
    hash.update(payload);
    hash.digest()
}

pub fn segment_header(log_id: u64, number: u64, merged: u64) -> Vec<u8> {
    let mut out = SEGMENT_MAGIC.to_vec();
    out.extend(log_id.to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend(merged.to_le_bytes());
    out.extend(hash(&out, log_id).to_le_bytes());
    out
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log_id: u64,
    pub number: u64,
    /// How many segments it replaces after compaction; 0 = it is as it was written.
    pub merged: u64,
}

/// The header of a segment, if it is complete.
pub fn parse_segment_header(bytes: &[u8]) -> Option<SegmentHeader> {
    let mut input = Input { bytes: bytes.get(..SEGMENT_HEADER)?, at: 0 };
    let magic = input.take(8)?;
    let (log_id, number, merged, stored) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
    let whole = magic == SEGMENT_MAGIC && stored == hash(&bytes[..SEGMENT_HEADER - 8], log_id);
    whole.then_some(SegmentHeader { log_id, number, merged })
}

impl SegmentHeader {
    /// How many segment numbers it covers, including its own.
    pub fn covers(self) -> u64 {
        self.merged.max(1)
    }
}

/// A frame under construction.
pub struct FrameBuilder {
    out: Vec<u8>,
    log_id: u64,
}

impl FrameBuilder {
    pub fn new(log_id: u64, sequence: u64) -> Self {
        let mut out = FRAME_MAGIC.to_vec();
        out.extend([0; 4]);
        out.extend(sequence.to_le_bytes());
        out.extend([0; 8]);
        FrameBuilder { out, log_id }
    }

    pub fn entry(&mut self, entry: &Entry) {
        let out = &mut self.out;
        match entry {
            Entry::Topic { name, id, partitions, config } => {
                out.push(1);
                put_str(out, name);
                put_str(out, id);
                out.extend(partitions.to_le_bytes());
                put_len(out, config.len());
                for (name, value) in config {
                    put_str(out, name);
                    put_str(out, value);
                }
            }
            Entry::Offset(GroupOffset { group, at, committed }) => {
                out.push(3);
                put_str(out, group);
                put_at(out, at);
                out.extend(committed.offset.0.to_le_bytes());
                out.extend(committed.leader_epoch.unwrap_or(-1).to_le_bytes());
                put_str(out, &committed.metadata);
            }
            Entry::Gap { at, end } => {
                out.push(4);
                put_at(out, at);
                out.extend(end.to_le_bytes());
            }
            Entry::Batch { .. } => unreachable!("batches are added with their records"),
        }
    }

    /// Adds the records of a partition; returns where they are within the frame.
    pub fn batch(&mut self, batch: &Reserved) -> Records {
        let last = batch.first + batch.rows.len() as u64 - 1;
        self.records(&batch.at, batch.first, last, &batch.rows)
    }

    /// The same for a batch from which some records have been dropped.
    pub fn records(&mut self, at: &TopicPartition, first: u64, last: u64, rows: &RawChunk) -> Records {
        self.out.push(2);
        put_at(&mut self.out, at);
        self.out.extend(first.to_le_bytes());
        self.out.extend(last.to_le_bytes());
        let head = self.out.len();
        self.out.extend([0; 12]);
        let position = self.out.len();
        for record in rows.iter() {
            put_record(&mut self.out, first, &record);
        }
        let records = &self.out[position..];
        let (hash, len) = (hash(records, self.log_id), as_u32(records.len()));
        self.out[head..head + 8].copy_from_slice(&hash.to_le_bytes());
        self.out[head + 8..position].copy_from_slice(&len.to_le_bytes());
        Records { position: position as u64, len, hash }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.out.len() == FRAME_HEADER
    }

    pub fn build(mut self) -> Vec<u8> {
        let len = as_u32(self.out.len() - FRAME_HEADER);
        self.out[4..8].copy_from_slice(&len.to_le_bytes());
        let hash = frame_hash(&self.out[..16], &self.out[FRAME_HEADER..], self.log_id);
        self.out[16..24].copy_from_slice(&hash.to_le_bytes());
        self.out
    }
}

/// A complete frame found in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub sequence: u64,
    /// Where its payload is in the segment.
    pub payload: Range<usize>,
}

/// The frame at a position of a segment, if it is complete and matches its hash.
pub fn frame_at(segment: &[u8], position: usize, log_id: u64) -> Option<Frame> {
    let mut input = Input { bytes: segment.get(position..)?, at: 0 };
    if input.take(4)? != FRAME_MAGIC {
        return None;
    }
    let (len, sequence, stored) = (input.u32()? as usize, input.u64()?, input.u64()?);
    let payload = input.take(len)?;
    let head = &segment[position..position + 16];
    let start = position + FRAME_HEADER;
    (frame_hash(head, payload, log_id) == stored).then(|| Frame { sequence, payload: start..start + len })
}

/// The next complete frame after a position.
pub fn frame_after(segment: &[u8], position: usize, log_id: u64) -> Option<usize> {
    let starts = segment.windows(FRAME_MAGIC.len()).enumerate().skip(position + 1);
    let mut starts = starts.filter(|(_, bytes)| bytes == FRAME_MAGIC).map(|(at, _)| at);
    starts.find(|at| frame_at(segment, *at, log_id).is_some())
}

/// All entries of a payload that starts at `base` in its file; `None` = it cannot be decoded.
pub fn entries(payload: &[u8], base: u64) -> Option<Vec<Entry>> {
    let mut input = Input { bytes: payload, at: 0 };
    let mut all = vec![];
    while input.at < payload.len() {
        all.push(input.entry(base)?);
    }
    Some(all)
}

/// Decodes the records of a batch whose first offset is `first`; `None` = it cannot be decoded.
pub fn records(bytes: &[u8], first: u64) -> Option<RawChunk> {
    let mut input = Input { bytes, at: 0 };
    let mut rows = RawChunkBuilder::with_capacity(bytes.len() / 32, bytes.len());
    while input.at < bytes.len() {
        let offset = Offset(first.checked_add(input.varint()?)?);
        let timestamp_ms = i64::from_le_bytes(input.take(8)?.try_into().ok()?);
        let (key, value) = (input.nullable()?, input.nullable()?);
        rows.push(RawRecord { offset, timestamp_ms, key, value, headers: Headers::NONE });
        for _ in 0..input.varint()? {
            let len = usize::try_from(input.varint()?).ok()?;
            let name = std::str::from_utf8(input.take(len)?).ok()?;
            rows.push_header(name, input.nullable()?);
        }
    }
    Some(rows.build())
}

fn put_record(out: &mut Vec<u8>, first: u64, record: &RawRecord<'_>) {
    put_varint(out, record.offset.0 - first);
    out.extend(record.timestamp_ms.to_le_bytes());
    put_nullable(out, record.key);
    put_nullable(out, record.value);
    put_varint(out, record.headers.len() as u64);
    for (name, value) in record.headers.iter() {
        put_varint(out, name.len() as u64);
        out.extend(name.as_bytes());
        put_nullable(out, value);
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(0, |b| b.len() as u64 + 1));
    out.extend(bytes.unwrap_or_default());
}

fn put_at(out: &mut Vec<u8>, at: &TopicPartition) {
    put_str(out, &at.topic);
    out.extend(at.partition.0.to_le_bytes());
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend(text.as_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(as_u32(len).to_le_bytes());
}

fn as_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a commit is limited to far below 4 GiB")
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn entry(&mut self, base: u64) -> Option<Entry> {
        Some(match self.take(1)?[0] {
            1 => {
                let (name, id, partitions) = (self.string()?, self.string()?, self.u32()?);
                let mut config = BTreeMap::new();
                for _ in 0..self.u32()? {
                    config.insert(self.string()?, self.string()?);
                }
                Entry::Topic { name, id, partitions, config }
            }
            2 => {
                let (at, first, last) = (self.partition()?, self.u64()?, self.u64()?);
                let (hash, len) = (self.u64()?, self.u32()?);
                let position = base + self.at as u64;
                self.take(len as usize)?;
                Entry::Batch { at, first, last, records: Records { position, len, hash } }
            }
            3 => {
                let (group, at, offset) = (self.string()?, self.partition()?, Offset(self.u64()?));
                let epoch = i32::from_le_bytes(self.take(4)?.try_into().ok()?);
                let metadata = self.string()?;
                let committed = Committed { offset, leader_epoch: (epoch >= 0).then_some(epoch), metadata };
                Entry::Offset(GroupOffset { group, at, committed })
            }
            4 => Entry::Gap { at: self.partition()?, end: self.u64()? },
            _ => return None,
        })
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut rest = self.bytes.get(self.at..)?;
        let value = take_varint(&mut rest)?;
        self.at = self.bytes.len() - rest.len();
        Some(value)
    }

    #[expect(clippy::option_option, reason = "outside: decoded or not; inside: null or not")]
    fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            0 => Some(None),
            len => Some(Some(self.take(usize::try_from(len - 1).ok()?)?)),
        }
    }

    fn string(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }

    fn partition(&mut self) -> Option<TopicPartition> {
        let topic: Arc<str> = self.string()?.into();
        Some(TopicPartition { topic, partition: Partition(self.u32()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        let record = |offset, key, value| RawRecord {
            offset: Offset(offset),
            timestamp_ms: -1,
            key,
            value,
            headers: Headers::NONE,
        };
        rows.push(record(7, None, Some(&b"v"[..])));
        rows.push_header("h", None);
        rows.push(record(300, Some(b"k"), None));
        rows.build()
    }

    fn frame() -> Vec<u8> {
        let mut frame = FrameBuilder::new(5, 1);
        let config = BTreeMap::from([("a".into(), "b".into())]);
        frame.entry(&Entry::Topic { name: "t".into(), id: "i".into(), partitions: 2, config });
        frame.records(&TopicPartition::new("t", 1), 7, 300, &rows());
        let committed = Committed { offset: Offset(9), leader_epoch: None, metadata: "m".into() };
        frame.entry(&Entry::Offset(GroupOffset {
            group: "g".into(),
            at: TopicPartition::new("t", 0),
            committed,
        }));
        frame.entry(&Entry::Gap { at: TopicPartition::new("t", 1), end: 400 });
        frame.build()
    }

    #[test]
    fn the_format_of_version_1_does_not_change() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
        assert_eq!(
            hex(&segment_header(5, 1, 1)),
            "544944454c4f473105000000000000000100000000000000010000000000000030209523552b449c"
        );
        assert_eq!(
            hex(&frame()),
            "54474631930000000100000000000000e928d127fed45afd01010000007401000000690200000001000000010000006101000000620201000000740100000007000000000000002c010000000000002db286315cdbbb821e00000000ffffffffffffffff00027601016800a502ffffffffffffffff026b00000301000000670100000074000000000900000000000000ffffffff010000006d040100000074010000009001000000000000"
        );
    }

    #[test]
    fn a_frame_is_found_again_but_not_a_copy_of_one_under_another_id() {
        let bytes = frame();
        let found = frame_at(&bytes, 0, 5).unwrap();
        assert_eq!((found.sequence, found.payload.end), (1, bytes.len()));
        let all = entries(&bytes[found.payload.clone()], found.payload.start as u64).unwrap();
        assert_eq!(all.len(), 4);
        let Entry::Batch { first, records: place, .. } = &all[1] else { panic!("{all:?}") };
        let start = usize::try_from(place.position).unwrap();
        let encoded = &bytes[start..start + place.len as usize];
        assert_eq!(hash(encoded, 5), place.hash);
        let back = records(encoded, *first).unwrap();
        let show = |c: &RawChunk| {
            format!(
                "{:?}",
                c.iter()
                    .map(|r| (
                        r.offset,
                        r.timestamp_ms,
                        r.key.map(<[u8]>::to_vec),
                        r.value.map(<[u8]>::to_vec),
                        r.headers.len()
                    ))
                    .collect::<Vec<_>>()
            )
        };
        assert_eq!(show(&back), show(&rows()));
        assert_eq!(frame_at(&bytes, 0, 6), None);
        let twice = [bytes.clone(), bytes.clone()].concat();
        assert_eq!(frame_after(&twice, 0, 5), Some(bytes.len()));
        assert_eq!(frame_after(&twice, bytes.len(), 5), None);
    }

    proptest! {
        #[test]
        fn damage_is_detected_and_never_panics(at in 0usize..200, bit in 0u8..8, cut in 0usize..200) {
            let whole = frame();
            let mut bad = whole.clone();
            let at = at % bad.len();
            bad[at] ^= 1 << bit;
            prop_assert_eq!(frame_at(&bad, 0, 5), None);
            prop_assert_eq!(frame_at(&whole[..cut % whole.len()], 0, 5), None);
            let _ = entries(&bad[FRAME_HEADER..], 0);
            let _ = records(&bad, 0);
        }
    }
}
