//! Compaction when a directory is opened: of a compacted topic the last record of each key stays, of a group the last offset.
//!
//! Works on full segments only, before anybody reads them. Knows no group and no open transaction. Invariants: offsets never
//! change; a segment is replaced by one rename; the oldest goes first, so a tombstone leaves only after what it deletes. Topics
//! that are not compacted lose nothing: there is no retention by time or size here.

use super::{
    frame::{self, Entry, FrameBuilder, SEGMENT_HEADER},
    segment::{Segment, sync_dir},
    store::State,
};
use crate::{
    error::{Error, Result},
    record::{Map, RawChunk, RawChunkBuilder, TopicPartition},
};
use std::{collections::BTreeMap, fs::File, io::Write, path::Path};
use xxhash_rust::xxh3::xxh3_128;

/// How long a tombstone stays unless its topic says otherwise: the default of Kafka's brokers.
const DELETE_RETENTION_MS: i64 = 86_400_000;

/// Bytes of full segments that compaction could make fewer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compactable {
    /// In segments that were compacted before.
    pub clean: u64,
    /// In segments that were not.
    pub dirty: u64,
}

impl Compactable {
    /// Whether at least half would be read for the first time, so that each byte is rewritten only a few times in its life.
    pub fn pays(self) -> bool {
        self.dirty > 0 && self.dirty >= self.clean
    }
}

/// Rewrites the segments `full`, given what all segments together hold.
pub(super) fn compact(
    dir: &Path,
    log_id: u64,
    state: &State,
    full: &[u64],
    all: &[u64],
    now_ms: i64,
) -> Result {
    let mut last = Last { state, now_ms, keys: Map::default(), offsets: BTreeMap::new() };
    for number in all {
        read(dir, *number, log_id, |sequence, entry, records| last.note(sequence, entry, records.as_ref()))?;
    }
    for number in full {
        let bytes = rewritten(dir, *number, log_id, &last)?;
        let (path, next) = (Segment::path(dir, *number), Segment::path(dir, *number).with_extension("tmp"));
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&next, &path)
        };
        write().map_err(Error::io(format!("compacting {}", path.display())))?;
        sync_dir(dir)?;
    }
    Ok(())
}

/// Removes what a compaction that was cut short left behind.
pub(super) fn clean_up(dir: &Path) -> Result {
    let context = || format!("cleaning up {}", dir.display());
    for entry in std::fs::read_dir(dir).map_err(Error::io(context()))? {
        let path = entry.map_err(Error::io(context()))?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(&path).map_err(Error::io(context()))?;
        }
    }
    Ok(())
}

/// Visits all entries of a segment that was checked before; records come with those that have some.
fn read(dir: &Path, number: u64, log_id: u64, mut visit: impl FnMut(u64, Entry, Option<RawChunk>)) -> Result {
    let path = Segment::path(dir, number);
    let bytes = std::fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?;
    let mut position = SEGMENT_HEADER;
    while let Some(frame) = frame::frame_at(&bytes, position, log_id) {
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
    Ok(())
}

/// The last record of each key and the last commit of each offset.
struct Last<'a> {
    state: &'a State,
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
            Entry::Batch { at, .. } if self.state.is_compacted(&at.topic) => {
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
        if !self.state.is_compacted(&at.topic) {
            return rows;
        }
        let retention = self.state.config(&at.topic, "delete.retention.ms").unwrap_or(DELETE_RETENTION_MS);
        let mut kept = RawChunkBuilder::default();
        for record in rows.iter() {
            let Some(key) = record.key else {
                kept.push(record);
                continue;
            };
            let newest = self.keys.get(&(at.clone(), xxh3_128(key))) == Some(&record.offset.0);
            let aged = record.value.is_none() && record.timestamp_ms.saturating_add(retention) < self.now_ms;
            if newest && !aged {
                kept.push(record);
            }
        }
        kept.build()
    }
}

fn rewritten(dir: &Path, number: u64, log_id: u64, last: &Last<'_>) -> Result<Vec<u8>> {
    let mut frames: Vec<(u64, FrameBuilder)> = vec![];
    let mut ends: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    read(dir, number, log_id, |sequence, entry, rows| {
        if frames.last().is_none_or(|(s, _)| *s != sequence) {
            frames.push((sequence, FrameBuilder::new(log_id, sequence)));
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
    if let Some((_, frame)) = frames.last_mut() {
        for (at, end) in ends {
            frame.entry(&Entry::Gap { at, end });
        }
    }
    let mut out = frame::segment_header(log_id, number, true);
    for (_, frame) in frames.into_iter().filter(|(_, f)| !f.is_empty()) {
        out.extend(frame.build());
    }
    Ok(out)
}
