//! What one transaction sends through the exchange topic.
//!
//! Owns the records that are being filled, one row of them for each state partition. Knows no producer. Invariants: what
//! was added to a state partition leaves in the order in which it came; marks come behind the rows that they end.

use crate::{
    error::Result,
    operator::{Envelope, Upstream},
    record::{BatchTime, Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord},
    task::exchange_record::{ExchangeEdges, RecordWriter},
};
use std::sync::Arc;

/// Rows and marks on their way to state partitions.
pub struct Outgoing {
    writers: Vec<RecordWriter>,
}

impl Outgoing {
    /// Nothing yet, for so many state partitions.
    #[must_use]
    pub fn new(edges: &Arc<ExchangeEdges>, state_partitions: u32) -> Self {
        Outgoing { writers: (0..state_partitions).map(|_| RecordWriter::new(edges.clone())).collect() }
    }

    /// Adds rows for a state partition.
    ///
    /// # Errors
    /// If a row cannot be encoded.
    pub fn add(&mut self, to: Partition, envelope: &Envelope) -> Result {
        self.writers[to.0 as usize].add_block(envelope)
    }

    /// Says to every state partition that `upstream` has no more rows of times up to `time`.
    pub fn mark(&mut self, upstream: &Upstream, time: BatchTime) {
        self.writers.iter_mut().for_each(|writer| writer.add_mark(upstream, time));
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writers.iter().map(RecordWriter::bytes).sum()
    }

    /// The records for each state partition that gets any.
    pub fn finish(self) -> impl Iterator<Item = (Partition, RawChunk)> {
        let records = |(to, writer): (u32, RecordWriter)| {
            let mut records = RawChunkBuilder::default();
            for value in writer.finish() {
                let value = Some(value.as_slice());
                records.push(RawRecord {
                    offset: Offset(0),
                    timestamp_ms: -1,
                    key: None,
                    value,
                    headers: Headers::NONE,
                });
            }
            (!records.is_empty()).then(|| (Partition(to), records.build()))
        };
        (0..).zip(self.writers).filter_map(records)
    }
}
