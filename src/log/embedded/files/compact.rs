//! Compaction keeps the last record of each key of a compacted topic, the newest records of a topic with
//! `retention.bytes`, and the last offset of a group. It merges small segments.
//!
//! Works on full segments only, both when a directory is opened and while it is in use. Knows no open transaction;
//! `retention.rs` decides what may be dropped. Invariants: offsets never change; a segment (or several adjacent ones)
//! is replaced by one rename; the oldest is replaced first, so a tombstone is dropped only after what it deletes.
//! Topics without these settings lose nothing.

use super::{
    frame::{self, Entry, FrameBuilder, Records, SEGMENT_HEADER, SegmentHeader},
    segment::{Segment, sync_dir},
};
use crate::{
    error::{Error, Result},
    record::{Map, RawChunk, RawChunkBuilder, TopicPartition},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of the full segments that compaction could reduce.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compactable {
    /// In segments that have been compacted before.
    pub clean: u64,
    /// In segments that have not.
    pub dirty: u64,
}

impl Compactable {
    /// Whether at least half of the bytes would be read for the first time, so that each byte is rewritten only a few
    /// times.
    pub fn pays(self) -> bool {
        self.dirty > 0 && self.dirty >= self.clean
    }
}

/// What a compaction works on.
pub struct Job {
    pub dir: PathBuf,
    pub log_id: u64,
    /// The full segments, in order.
    pub full: Vec<u64>,
    pub segment_bytes: u64,
    /// Bytes that no compaction has processed yet.
    pub dirty: u64,
}

/// What may be dropped, according to the topics' settings and the groups' offsets at one moment.
#[derive(Debug, Default)]
pub struct Rules {
    /// The compacted topics, and how long their tombstones stay.
    pub compacted: BTreeMap<Arc<str>, i64>,
    /// The first offset to keep.
    pub keep_from: BTreeMap<TopicPartition, u64>,
}

impl Rules {
    /// Whether nothing but old offsets could be dropped, which alone never pays.
    pub fn is_empty(&self) -> bool {
        self.compacted.is_empty() && self.keep_from.is_empty()
    }
}

/// A segment that a compaction has written.
pub struct Merged {
    pub number: u64,
    /// The segments that it replaces, including itself.
    pub of: Vec<u64>,
    pub bytes: u64,
    /// Where the batches are now: partition, first and last offset.
    pub batches: Vec<(TopicPartition, u64, u64, Records)>,
}

/// Rewrites the full segments of a job, given what the segments `all` hold.
pub fn compact(job: &Job, rules: &Rules, all: &[u64], now_ms: i64) -> Result<Vec<Merged>> {
    let mut last = Last { rules, now_ms, keys: Map::default(), offsets: BTreeMap::new() };
    for number in all {
        read(&job.dir, *number, job.log_id, |sequence, entry, rows| {
            last.note(sequence, entry, rows.as_ref());
        })?;
    }
    let (mut done, mut group) = (vec![], Group::default());
    for number in &job.full {
        group.add(job, *number, &last)?;
        if group.bytes() * 2 >= job.segment_bytes || Some(number) == job.full.last() {
            done.push(std::mem::take(&mut group).replace(job)?);
        }
    }
    Ok(done)
}

/// Removes what an interrupted compaction left behind.
pub fn clean_up(dir: &Path) -> Result {
    let context = || format!("cleaning up {}", dir.display());
    for entry in std::fs::read_dir(dir).map_err(Error::io(context()))? {
        let path = entry.map_err(Error::io(context()))?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(&path).map_err(Error::io(context()))?;
        }
    }
    Ok(())
}

/// Visits all entries of a segment that has been checked before; entries with records are passed together
/// with them.
fn read(
    dir: &Path,
    number: u64,
    log_id: u64,
    visit: impl FnMut(u64, Entry, Option<RawChunk>),
) -> Result<Option<SegmentHeader>> {
    let path = Segment::path(dir, number);
    let bytes = std::fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?;
    walk(&bytes, log_id, visit);
    Ok(frame::parse_segment_header(&bytes))
}

fn walk(bytes: &[u8], log_id: u64, mut visit: impl FnMut(u64, Entry, Option<RawChunk>)) {
    let mut position = SEGMENT_HEADER;
    while let Some(frame) = frame::frame_at(bytes, position, log_id) {
        let entries = frame::entries(&bytes[frame.payload.clone()], frame.payload.start as u64);
        for entry in entries.unwrap_or_default() {
            let rows = match &entry {
                Entry::Batch { first, records, .. } => {
                    let start = usize::try_from(records.position).expect("within a file that is in memory");
                    frame::records(&bytes[start..start + records.len as usize], *first)
                }
                _ => None,
            };
            visit(frame.sequence, entry, rows);
        }
        position = frame.payload.end;
    }
}

/// The last record of each key and the last commit of each offset.
struct Last<'a> {
    rules: &'a Rules,
    now_ms: i64,
    keys: Map<(TopicPartition, u128), u64>,
    offsets: BTreeMap<(String, TopicPartition), u64>,
}

impl Last<'_> {
    fn note(&mut self, sequence: u64, entry: Entry, rows: Option<&RawChunk>) {
        match entry {
            Entry::Offset(o) => {
                self.offsets.insert((o.group, o.at), sequence);
            }
            Entry::Batch { at, .. } if self.rules.compacted.contains_key(&at.topic) => {
                for record in rows.into_iter().flat_map(RawChunk::iter) {
                    if let Some(key) = record.key {
                        let newest = self.keys.entry((at.clone(), xxh3_128(key))).or_default();
                        *newest = (*newest).max(record.offset.0);
                    }
                }
            }
            _ => {}
        }
    }

    /// The records that stay.
    fn kept(&self, at: &TopicPartition, rows: RawChunk) -> RawChunk {
        let from = self.rules.keep_from.get(at).copied().unwrap_or(0);
        if rows.last_offset().is_some_and(|last| last.0 < from) {
            return RawChunk::default();
        }
        let Some(retention) = self.rules.compacted.get(&at.topic) else { return rows };
        let mut kept = RawChunkBuilder::default();
        for record in rows.iter() {
            let Some(key) = record.key else {
                kept.push(record);
                continue;
            };
            let newest = self.keys.get(&(at.clone(), xxh3_128(key))) == Some(&record.offset.0);
            let aged = record.value.is_none() && record.timestamp_ms.saturating_add(*retention) < self.now_ms;
            if newest && !aged {
                kept.push(record);
            }
        }
        kept.build()
    }
}

/// What is kept of adjacent segments.
#[derive(Default)]
struct Group {
    numbers: Vec<u64>,
    /// How many segment numbers they replace.
    covers: u64,
    frames: Vec<(u64, FrameBuilder)>,
    ends: BTreeMap<TopicPartition, u64>,
}

impl Group {
    fn bytes(&self) -> u64 {
        self.frames.iter().filter(|(_, f)| !f.is_empty()).map(|(_, f)| f.len() as u64).sum()
    }

    fn add(&mut self, job: &Job, number: u64, last: &Last<'_>) -> Result {
        let Group { frames, ends, .. } = self;
        let header = read(&job.dir, number, job.log_id, |sequence, entry, rows| {
            if frames.last().is_none_or(|(s, _)| *s != sequence) {
                frames.push((sequence, FrameBuilder::new(job.log_id, sequence)));
            }
            let Some((_, frame)) = frames.last_mut() else { return };
            match (entry, rows) {
                (Entry::Batch { at, first, last: end, .. }, Some(rows)) => {
                    let kept = last.kept(&at, rows);
                    if kept.is_empty() {
                        let known = ends.entry(at).or_default();
                        *known = (*known).max(end + 1);
                    } else {
                        frame.records(&at, first, end, &kept);
                    }
                }
                (Entry::Gap { at, end }, _) => {
                    let known = ends.entry(at).or_default();
                    *known = (*known).max(end);
                }
                (Entry::Offset(o), _) => {
                    if last.offsets.get(&(o.group.clone(), o.at.clone())) == Some(&sequence) {
                        frame.entry(&Entry::Offset(o));
                    }
                }
                (entry, _) => frame.entry(&entry),
            }
        })?;
        self.numbers.push(number);
        self.covers += header.map_or(1, SegmentHeader::covers);
        Ok(())
    }

    /// Puts the merged segment in the place of the last one, then removes the others.
    fn replace(mut self, job: &Job) -> Result<Merged> {
        let number = self.numbers.last().copied().expect("a group has a segment");
        if let Some((_, frame)) = self.frames.last_mut() {
            self.ends.into_iter().for_each(|(at, end)| frame.entry(&Entry::Gap { at, end }));
        }
        let mut bytes = frame::segment_header(job.log_id, number, self.covers);
        self.frames.into_iter().filter(|(_, f)| !f.is_empty()).for_each(|(_, f)| bytes.extend(f.build()));
        let path = Segment::path(&job.dir, number);
        let write = || {
            let next = path.with_extension("tmp");
            let mut file = File::create(&next)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&next, &path)
        };
        write().map_err(Error::io(format!("compacting {}", path.display())))?;
        sync_dir(&job.dir)?;
        for old in self.numbers.iter().filter(|n| **n != number) {
            let path = Segment::path(&job.dir, *old);
            std::fs::remove_file(&path).map_err(Error::io(format!("removing {}", path.display())))?;
        }
        let mut batches = vec![];
        walk(&bytes, job.log_id, |_, entry, _| {
            if let Entry::Batch { at, first, last, records } = entry {
                batches.push((at, first, last, records));
            }
        });
        Ok(Merged { number, of: self.numbers, bytes: bytes.len() as u64, batches })
    }
}
