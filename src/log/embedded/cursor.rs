//! A position in a partition that moves forward; fetchers and readers are built on it.
//!
//! Knows no group. Invariants: records come in order and once; the position skips offsets that hold no record; at most
//! one batch of a partition is held in memory; a wait ends with every change of the log, so none is missed.

use super::{
    partition::{Found, Place},
    store::Store,
};
use crate::{
    error::{Failure, Result},
    log::{Fetch, Fetched, Fetcher, Reader, Wake},
    record::{Offset, RawChunk, RawChunkBuilder, RawRecord, TopicPartition},
};
use std::{sync::Arc, time::Duration};

/// Pieces smaller than this are joined with the next one; larger ones are handed over as they are.
const WORTH_HANDING_OVER: usize = 512;
/// Upper bounds of what one call of a reader returns.
const READ_RECORDS: usize = 10_000;
const READ_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Cursor {
    store: Arc<Store>,
    at: TopicPartition,
    next: u64,
    batch: RawChunk,
    index: usize,
}

impl Cursor {
    pub fn new(store: Arc<Store>, at: TopicPartition, from: Offset) -> Self {
        Cursor { store, at, next: from.0, batch: RawChunk::default(), index: 0 }
    }

    /// The next records, without waiting.
    pub fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Option<Fetched>, Failure> {
        let (before, mut pieces) = (self.next, vec![]);
        let (mut records, mut bytes) = (0, 0);
        while records < max_records && bytes < max_bytes && self.load()? {
            let piece = self.cut(max_records - records, max_bytes - bytes);
            (records, bytes) = (records + piece.len(), bytes + piece.bytes());
            let large = piece.len() >= WORTH_HANDING_OVER;
            pieces.push(piece);
            if large {
                break;
            }
        }
        if pieces.is_empty() && self.next == before {
            return Ok(None);
        }
        Ok(Some(Fetched {
            records: join(pieces, records, bytes),
            next: Offset(self.next),
            leader_epoch: None,
        }))
    }

    /// Loads the batch at the position; `false` = there is no committed record, and the position has moved as far as it
    /// can.
    fn load(&mut self) -> Result<bool, Failure> {
        loop {
            if self.index < self.batch.len() {
                return Ok(true);
            }
            let found = self.store.lock().find(&self.at, self.next)?;
            let (last, place) = match found {
                Found::Nothing(end) => {
                    self.next = self.next.max(end);
                    return Ok(false);
                }
                Found::Batch(batch) => (batch.last, batch.place),
            };
            self.batch = match place {
                Place::Memory(rows) => rows,
                Place::Disk(span) => span.read(&self.at)?,
            };
            self.index = first_at(&self.batch, self.next);
            if self.index == self.batch.len() {
                self.next = last + 1;
            }
        }
    }

    fn cut(&mut self, max_records: usize, max_bytes: usize) -> RawChunk {
        let (from, mut bytes) = (self.index, 0);
        while self.index < self.batch.len() && self.index - from < max_records && bytes < max_bytes {
            bytes += size(&self.batch.get(self.index));
            self.index += 1;
        }
        self.next = self.batch.get(self.index - 1).offset.0 + 1;
        if from == 0 && self.index == self.batch.len() {
            return self.batch.clone();
        }
        self.batch.slice(from..self.index)
    }
}

fn first_at(rows: &RawChunk, offset: u64) -> usize {
    let (mut low, mut high) = (0, rows.len());
    while low < high {
        let middle = low.midpoint(high);
        if rows.get(middle).offset.0 < offset { low = middle + 1 } else { high = middle }
    }
    low
}

/// Bytes of a record's key, value and headers.
pub(super) fn size(record: &RawRecord<'_>) -> usize {
    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|(name, value)| name.len() + len(value));
    len(record.key) + len(record.value) + headers.sum::<usize>()
}

fn join(mut pieces: Vec<RawChunk>, records: usize, bytes: usize) -> RawChunk {
    if pieces.len() < 2 {
        return pieces.pop().unwrap_or_default();
    }
    let mut all = RawChunkBuilder::with_capacity(records, bytes);
    pieces.iter().flat_map(RawChunk::iter).for_each(|record| all.push(record));
    all.build()
}

impl Fetcher for Cursor {
    fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Option<Fetched>, Failure> {
        Cursor::take(self, max_records, max_bytes)
    }

    fn seek(&mut self, to: Offset) {
        (self.next, self.batch, self.index) = (to.0, RawChunk::default(), 0);
    }
}

/// Fetches partitions. It holds nothing by itself: each cursor reads where the records are.
#[derive(Debug)]
pub(crate) struct EmbeddedFetch {
    store: Arc<Store>,
    /// What the last wait has seen of the log.
    seen: u64,
}

impl EmbeddedFetch {
    pub(super) fn new(store: Arc<Store>) -> Self {
        EmbeddedFetch { store, seen: 0 }
    }

    /// Whether the log has changed since this was asked last: then `wait` would have returned at once.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now = self.store.lock().changes;
        std::mem::replace(&mut self.seen, now) != now
    }
}

impl Fetch for EmbeddedFetch {
    fn start(&mut self, at: &[(TopicPartition, Offset)]) -> Result<Vec<Box<dyn Fetcher>>, Failure> {
        let open = |(at, from): &(TopicPartition, Offset)| {
            Box::new(Cursor::new(self.store.clone(), at.clone(), *from)) as Box<dyn Fetcher>
        };
        Ok(at.iter().map(open).collect())
    }

    fn wait(&mut self, timeout: Duration) {
        let seen = self.seen;
        self.store.wait(timeout, |state| (state.changes != seen).then_some(()));
        self.has_changed();
    }

    fn wake(&self) -> Wake {
        let store = self.store.clone();
        Arc::new(move || store.change(|_| ()))
    }
}

/// Reads a partition to restore state.
#[derive(Debug)]
pub(super) struct PartitionReader(pub Cursor);

impl Reader for PartitionReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<Fetched>, Failure> {
        if let Some(fetched) = self.0.take(READ_RECORDS, READ_BYTES)? {
            return Ok(Some(fetched));
        }
        let (store, at, next) = (self.0.store.clone(), self.0.at.clone(), self.0.next);
        store.wait(timeout, |state| state.partition(&at).filter(|p| p.stable_end() > next).map(|_| ()));
        self.0.take(READ_RECORDS, READ_BYTES)
    }
}
