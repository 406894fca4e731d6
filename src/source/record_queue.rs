//! The bounded buffer of one assigned partition: fetched, decoded, not yet computed.
//!
//! Owns the fetcher of the partition and what was taken through it. Knows no group: when the
//! assignment is lost the runtime drops it. Invariants: chunks leave in the order of their offsets; at most
//! about `buffer_bytes` are held. Records that wait for what their decoder needs hold up only their own partition.

use super::DecodeChunk;
use crate::{
    error::{Failure, Result},
    log::{Fetched, Fetcher},
    record::{Chunk, Offset, RawChunk, RawChunkBuilder, Timestamps, TopicPartition},
};
use std::{collections::VecDeque, sync::Arc};

/// How much a queue takes and holds.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Most records in one chunk.
    pub chunk_records: usize,
    /// Approximately the most bytes in one chunk.
    pub chunk_bytes: usize,
    /// Approximately the most decoded but not yet computed bytes (of the records as fetched).
    pub buffer_bytes: usize,
    /// Most decoded but not yet computed records.
    pub buffer_records: usize,
}

/// A decoded chunk with what the commit needs to know about it.
#[derive(Clone)]
pub struct Taken {
    /// The rows; none if the records are not decoded.
    pub chunk: Chunk,
    /// The records, if they are not decoded.
    pub raw: Option<RawChunk>,
    /// Records that could not be decoded.
    pub bad: Vec<BadRecordAt>,
    /// Number of records, good and bad.
    pub records: usize,
    /// Their bytes as fetched.
    pub bytes: usize,
    /// Timestamps of the records, if any has one.
    pub timestamps: Option<Timestamps>,
    /// Offset of the first record; `next` if there was none.
    pub first: Offset,
    /// The next offset to read.
    pub next: Offset,
    /// Leader epoch of the last record.
    pub leader_epoch: Option<i32>,
}

/// A record that could not be decoded, with its bytes.
#[derive(Clone, Debug)]
pub struct BadRecordAt {
    /// Its offset.
    pub offset: Offset,
    /// Why.
    pub reason: String,
    /// The record alone.
    pub record: RawChunk,
}

impl BadRecordAt {
    /// A copy of the record at `index`, with the reason why it is bad.
    #[must_use]
    pub fn of(records: &RawChunk, index: usize, reason: String) -> Self {
        let record = records.get(index);
        let mut alone = RawChunkBuilder::default();
        alone.push(record);
        BadRecordAt { offset: record.offset, reason, record: alone.build() }
    }
}

/// Records that cannot be decoded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// The first of them.
    pub from: Offset,
    /// What it waits for.
    pub why: String,
}

/// Fetched and decoded records of one partition.
pub struct RecordQueue {
    at: TopicPartition,
    fetcher: Box<dyn Fetcher>,
    decoder: Arc<dyn DecodeChunk>,
    ready: VecDeque<Taken>,
    ready_bytes: usize,
    ready_records: usize,
    /// Whether records are left as they come.
    is_raw: bool,
    /// What was fetched and cannot be decoded yet.
    waiting: Option<Fetched>,
    /// What that waits for, until it is told.
    held_up: Option<HeldUp>,
}

impl RecordQueue {
    /// A queue that reads through `fetcher`.
    #[must_use]
    pub fn new(at: TopicPartition, fetcher: Box<dyn Fetcher>, decoder: Arc<dyn DecodeChunk>) -> Self {
        RecordQueue {
            at,
            fetcher,
            decoder,
            ready: VecDeque::new(),
            ready_bytes: 0,
            ready_records: 0,
            is_raw: false,
            waiting: None,
            held_up: None,
        }
    }

    /// The partition.
    #[must_use]
    pub fn at(&self) -> &TopicPartition {
        &self.at
    }

    /// Fetches and decodes ahead until the buffer is full or nothing is available.
    ///
    /// # Errors
    /// If the partition cannot be read.
    pub fn fill(&mut self, limits: QueueLimits) -> Result<(), Failure> {
        while self.ready_bytes < limits.buffer_bytes && self.ready_records < limits.buffer_records {
            let room = limits.buffer_records - self.ready_records;
            let limits = QueueLimits { chunk_records: limits.chunk_records.min(room), ..limits };
            let Some(taken) = self.fetch(limits)? else { break };
            self.ready_bytes += taken.bytes;
            self.ready_records += taken.records;
            self.ready.push_back(taken);
        }
        Ok(())
    }

    /// The next chunk: from the buffer, otherwise straight from the partition; `None` = nothing is available now.
    ///
    /// # Errors
    /// If the partition cannot be read.
    pub fn next(&mut self, limits: QueueLimits) -> Result<Option<Taken>, Failure> {
        if let Some(taken) = self.ready.pop_front() {
            self.ready_bytes -= taken.bytes;
            self.ready_records -= taken.records;
            return Ok(Some(taken));
        }
        self.fetch(limits)
    }

    /// Number of records in the decoded chunk that is next.
    #[must_use]
    pub fn ready_records(&self) -> Option<usize> {
        self.ready.front().map(|taken| taken.records)
    }

    /// Whether a decoded chunk is waiting.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What the next records wait for, before they can be decoded; given once each time that they begin to wait.
    pub fn take_held_up(&mut self) -> Option<HeldUp> {
        self.held_up.take()
    }

    /// Whether records are left as they come from now on, for whoever wants to decode them a few at a time.
    pub fn set_raw(&mut self, is_raw: bool) {
        self.is_raw = is_raw;
    }

    /// What decodes the records.
    #[must_use]
    pub fn decoder(&self) -> Arc<dyn DecodeChunk> {
        self.decoder.clone()
    }

    /// Forgets what was fetched but not computed, and goes on from an offset.
    pub fn seek(&mut self, to: Offset) {
        self.ready.clear();
        self.ready_bytes = 0;
        self.ready_records = 0;
        (self.waiting, self.held_up) = (None, None);
        self.fetcher.seek(to);
    }

    fn fetch(&mut self, limits: QueueLimits) -> Result<Option<Taken>, Failure> {
        let most = limits.chunk_records.min(self.decoder.chunk_records_max());
        let Some(fetched) = self.fetch_decodable(most, limits.chunk_bytes)? else { return Ok(None) };
        let records = fetched.records;
        let timestamps = records.timestamps();
        let (chunk, bad) =
            if self.is_raw { (Chunk::rows::<()>(vec![]), vec![]) } else { self.decoder.decode(&records) };
        let chunk = chunk.made_from(records.size());
        let bad = bad.into_iter().map(|b| BadRecordAt::of(&records, b.index, b.reason)).collect();
        let first = if records.is_empty() { fetched.next } else { records.get(0).offset };
        Ok(Some(Taken {
            chunk,
            bad,
            records: records.len(),
            timestamps,
            bytes: self.decoder.bytes(&records),
            first,
            next: fetched.next,
            leader_epoch: fetched.leader_epoch,
            raw: self.is_raw.then_some(records),
        }))
    }

    /// The next records, as far as they can be decoded now.
    fn fetch_decodable(&mut self, records_max: usize, bytes_max: usize) -> Result<Option<Fetched>, Failure> {
        let was_waiting = self.waiting.is_some();
        let fetched = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match self.fetcher.take(records_max, bytes_max)? {
                Some(fetched) => Fetched { records: fetched.records.from_partition(&self.at), ..fetched },
                None => return Ok(None),
            },
        };
        if !self.decoder.prepares() {
            return Ok(Some(fetched));
        }
        let count = fetched.records.len();
        let (mut ready, mut why) = (count.min(records_max), None);
        if let Err(e) = self.decoder.prepare(&fetched.records.slice(0..ready)) {
            let is_held_up =
                |index: &usize| self.decoder.prepare(&fetched.records.slice(*index..index + 1)).is_err();
            // If the last one of them could be had meanwhile, all of them can be.
            let first = (0..ready).find(is_held_up);
            let held_up = |first| HeldUp { from: fetched.records.get(first).offset, why: e.to_string() };
            (ready, why) = (first.unwrap_or(ready), first.map(held_up));
        }
        if !was_waiting || ready > 0 {
            self.held_up = why;
        }
        if ready == count {
            return Ok(Some(fetched));
        }
        let next = fetched.records.get(ready).offset;
        let first = Fetched { records: fetched.records.slice(0..ready), next, ..fetched };
        self.waiting = Some(Fetched { records: fetched.records.slice(ready..count), ..fetched });
        Ok((ready > 0).then_some(first))
    }

    /// Whether decoding may take long, because records wait for something.
    #[must_use]
    pub fn prepares(&self) -> bool {
        self.decoder.prepares()
    }
}
