//! One partition: which offsets exist, which of them are settled, and where the committed records are.
//!
//! Knows no topic name, no producer and no file format. Invariants: an offset is handed out only once; batches do not
//! overlap; readers of committed data stop before the first offset whose transaction is still open. What may be dropped
//! is decided elsewhere (`retention.rs`).

use super::files::{Records, Segment, Span};
use crate::record::RawChunk;
use std::{collections::BTreeMap, sync::Arc};

/// The records of one commit in one partition (fewer of them after compaction).
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Offset of its last record at the time it was written.
    pub last: u64,
    /// Where its bytes are.
    pub place: Place,
}

/// Where the records of a batch are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Memory(RawChunk),
    Disk(Span),
}

/// What a record in memory takes besides its bytes: offset, timestamp and the positions of key, value and headers.
const ROW_BYTES: u64 = 40;

impl Batch {
    /// Bytes of its records in the place where they are.
    pub fn bytes(&self) -> u64 {
        match &self.place {
            Place::Memory(rows) => rows.bytes() as u64 + rows.len() as u64 * ROW_BYTES,
            Place::Disk(span) => u64::from(span.records.len),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct PartitionLog {
    /// Offset of the first record that is still stored.
    pub start: u64,
    end: u64,
    /// First offset of each range that belongs to an open transaction.
    open: BTreeMap<u64, u64>,
    /// Committed batches by their first offset.
    batches: BTreeMap<u64, Batch>,
    /// Bytes of all batches.
    bytes: u64,
    /// Bytes added since overwritten keys were last dropped.
    pub fresh_bytes: u64,
}

/// What a reader finds at an offset.
#[derive(Debug)]
pub(super) enum Found {
    /// The batch with the first record at or after the offset.
    Batch(Batch),
    /// There is no committed record between the offset and this one, where committed data currently ends.
    Nothing(u64),
}

impl PartitionLog {
    /// The high watermark.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Where readers of committed data stop: the first offset of an open transaction, or else the high watermark.
    pub fn stable_end(&self) -> u64 {
        self.open.first_key_value().map_or(self.end, |(first, _)| *first)
    }

    /// Hands out `count` offsets to an open transaction; returns the first.
    pub fn reserve(&mut self, count: u64) -> u64 {
        let first = self.end;
        self.end += count;
        self.open.insert(first, count);
        first
    }

    /// The transaction that reserved at `first` has ended.
    pub fn settle(&mut self, first: u64) {
        self.open.remove(&first);
    }

    /// Adds a committed batch.
    pub fn insert(&mut self, first: u64, batch: Batch) {
        self.raise_end(batch.last + 1);
        self.fresh_bytes += batch.bytes();
        self.put(first, batch);
    }

    fn put(&mut self, first: u64, batch: Batch) {
        self.bytes += batch.bytes();
        let before = self.batches.insert(first, batch);
        self.bytes -= before.map_or(0, |b| b.bytes());
    }

    /// Bytes of the stored records.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes and returns the batches before the first open transaction, in order.
    pub fn take_stable(&mut self) -> BTreeMap<u64, Batch> {
        let later = self.batches.split_off(&self.stable_end());
        let taken = std::mem::replace(&mut self.batches, later);
        self.bytes -= taken.values().map(Batch::bytes).sum::<u64>();
        taken
    }

    /// Puts batches back; their offsets are within those of the batches that were taken out.
    pub fn put_back(&mut self, batches: impl IntoIterator<Item = (u64, Batch)>) {
        batches.into_iter().for_each(|(first, batch)| self.put(first, batch));
    }

    /// Drops the oldest batches while more than `bytes` are stored, but never the last batch and nothing from offset
    /// `read` on.
    pub fn trim(&mut self, bytes: u64, read: u64) {
        let mut start = self.start;
        while self.bytes > bytes && self.batches.len() > 1 {
            let oldest = self.batches.first_entry().expect("there are two");
            if oldest.get().last >= read {
                start = start.max(read);
                break;
            }
            self.bytes -= oldest.remove().bytes();
            let next = self.batches.first_key_value().expect("there were two");
            start = start.max(*next.0).min(read);
        }
        self.start = start.min(self.stable_end()).max(self.start);
    }

    /// Drops everything before the start; a batch that contains the start stays readable to its end.
    pub fn forget_before_start(&mut self) {
        while let Some(oldest) = self.batches.first_entry().filter(|b| b.get().last < self.start) {
            self.bytes -= oldest.remove().bytes();
        }
    }

    /// The oldest records were removed earlier: lets the partition begin with what is still stored.
    pub fn begin_with_oldest(&mut self) {
        self.start = self.batches.first_key_value().map_or(self.end, |(first, _)| *first);
    }

    /// Segments were rewritten: drops what they held, which is now elsewhere or gone.
    pub fn forget_segments(&mut self, numbers: &[u64]) {
        self.batches
            .retain(|_, b| !matches!(&b.place, Place::Disk(s) if numbers.contains(&s.segment.number)));
        self.bytes = self.batches.values().map(Batch::bytes).sum();
    }

    /// Sets the new place of a batch.
    pub fn replace(&mut self, first: u64, last: u64, segment: &Arc<Segment>, records: Records) {
        let place = Place::Disk(Span { segment: segment.clone(), records, first });
        self.put(first, Batch { last, place });
    }

    /// Raises the high watermark to at least `end`: offsets before it without a batch hold nothing.
    pub fn raise_end(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Takes one offset that holds no record, as Kafka's commit and abort markers do.
    pub fn mark(&mut self) {
        self.end += 1;
    }

    pub fn at(&self, offset: u64) -> Found {
        let stable = self.stable_end();
        let holding = self.batches.range(..=offset).next_back().filter(|(_, b)| b.last >= offset);
        let found = holding.or_else(|| self.batches.range(offset..).next());
        match found {
            Some((first, batch)) if *first < stable => Found::Batch(batch.clone()),
            _ => Found::Nothing(stable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last: u64) -> Batch {
        Batch { last, place: Place::Memory(RawChunk::default()) }
    }

    #[test]
    fn readers_stop_before_the_first_open_transaction_and_skip_what_was_aborted() {
        let mut p = PartitionLog::default();
        assert_eq!((p.reserve(3), p.reserve(2), p.end()), (0, 3, 5));
        p.insert(3, batch(4));
        p.settle(3);
        assert!(matches!(p.at(0), Found::Nothing(0)), "0..3 is open");
        p.settle(0);
        assert!(matches!(p.at(0), Found::Batch(b) if b.last == 4), "0..3 was aborted");
        assert!(matches!(p.at(5), Found::Nothing(5)));
        p.mark();
        assert!(matches!(p.at(5), Found::Nothing(6)));
    }
}
