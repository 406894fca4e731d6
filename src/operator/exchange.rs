//! Re-keying between two stages: partial aggregation first, then the split by key.
//!
//! Owns the exchange operators and the byte format of rows that change their process. Knows no log: inside one process rows
//! are handed over as they are. Invariants: a key goes to the state partition of its *encoded* bytes; rows of one key keep
//! their order; a row carries the greatest timestamp of those that it was made from; what is held back is sent before the batch ends.

use super::{Context, Operator, Port, combined::Combined};
use crate::{
    codec::{decode_key, decode_value, encode_key, encode_value, format_of, key_refusal, value_refusal},
    error::Result,
    record::{Chunk, Key, Partition, RawChunk, RawChunkBuilder, StampedRows, Value, partition_of},
};
use std::{marker::PhantomData, sync::Arc};

/// Combined rows that one task holds at most before it sends them on.
const HELD_MAX: usize = 1 << 16;
/// From so many on they are sent on at once if keys hardly repeat: holding them would save nothing, and a batch is measured by what its
/// state partitions hold.
const HELD_DISTINCT_MAX: usize = 1 << 13;

/// Turns rows into bytes and back where their owner is another process. Today every owner is this process and rows are handed over as
/// they are, so only the name is used by a program that runs; tests hold the bytes.
pub trait ExchangeFormat: Send + Sync {
    /// Structural name; part of the fingerprint.
    fn name(&self) -> String;
    /// Why its rows could not be handed over exactly; such a program does not start.
    fn refusal(&self) -> Option<String>;
    /// Appends one record per row: its key and its value; the edge is left to the caller.
    ///
    /// # Errors
    /// If a row cannot be encoded.
    fn encode(&self, chunk: &Chunk, out: &mut RawChunkBuilder) -> Result;
    /// The rows of records that `encode` made.
    ///
    /// # Errors
    /// If a record is not of this format.
    fn decode(&self, records: &RawChunk) -> Result<Chunk>;
}

/// Splits pairs by key; with `combine`, rows of one key become one row first.
pub struct ByKey<K, V, F> {
    combine: Option<Arc<F>>,
    held: Combined<K, V>,
    /// Rows that became the held ones.
    taken: usize,
    encoded: Vec<u8>,
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> ByKey<K, V, F> {
    /// An exchange that combines with `combine` if there is one.
    #[must_use]
    pub fn new(combine: Option<Arc<F>>) -> Self {
        ByKey { combine, held: Combined::default(), taken: 0, encoded: vec![] }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result {
        self.taken = 0;
        let mut parts = Parts::new(self.held.len(), cx.out.partitions);
        for (row, ms) in self.held.drain() {
            parts.add(row, ms, &mut self.encoded)?;
        }
        parts.send(cx);
        Ok(())
    }
}

/// Rows by the state partition of their key.
struct Parts<K, V>(Vec<StampedRows<(K, V)>>);

impl<K: Key, V: Value> Parts<K, V> {
    fn new(rows: usize, partitions: u32) -> Self {
        let room = rows / partitions as usize + 16;
        Parts((0..partitions).map(|_| StampedRows::with_capacity(room)).collect())
    }

    #[inline]
    fn add(&mut self, row: (K, V), ms: i64, encoded: &mut Vec<u8>) -> Result {
        encoded.clear();
        encode_key(&row.0, encoded)?;
        let partitions = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[partition_of(encoded, partitions).0 as usize].push(row, ms);
        Ok(())
    }

    fn send(self, cx: &mut Context<'_>) {
        for (partition, rows) in (0..).zip(self.0) {
            cx.out.to_partition(Partition(partition), rows.into_chunk());
        }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for ByKey<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        let mut stamps = stamps.each();
        let Some(combine) = &self.combine else {
            let mut parts = Parts::new(rows.len(), cx.out.partitions);
            for row in rows {
                parts.add(row, stamps.next_ms(), &mut self.encoded)?;
            }
            parts.send(cx);
            return Ok(());
        };
        self.taken += rows.len();
        for (key, value) in rows {
            self.held.add(key, stamps.next_ms(), |held| match held {
                Some(held) => combine(held, value),
                None => value,
            });
        }
        let hardly_repeat = self.held.len() >= HELD_DISTINCT_MAX && self.taken < 2 * self.held.len();
        if hardly_repeat || self.held.len() >= HELD_MAX { self.flush(cx) } else { Ok(()) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.flush(cx)
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * Combined::<K, V>::row_bytes()
    }
}

/// Rows without a key: those of one source partition go, in order, to one state partition.
pub struct Spread;

impl Operator for Spread {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let to = Partition(cx.out.partition.0 % cx.out.partitions);
        cx.out.to_partition(to, input);
        Ok(())
    }
}

/// Pairs as records: key = ordered key bytes, value = versioned value bytes.
pub struct Pairs<K, V>(PhantomData<fn() -> (K, V)>);

/// Rows without a key as records: null key, value = versioned value bytes.
pub struct Rows<T>(PhantomData<fn() -> T>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Pairs(PhantomData)
    }
}
impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows(PhantomData)
    }
}

impl<K: Key, V: Value> ExchangeFormat for Pairs<K, V> {
    fn name(&self) -> String {
        format_of::<(K, V)>()
    }
    fn refusal(&self) -> Option<String> {
        key_refusal::<K>().or_else(value_refusal::<V>)
    }
    fn encode(&self, chunk: &Chunk, out: &mut RawChunkBuilder) -> Result {
        let mut key_bytes = vec![];
        for (key, value) in chunk.view::<Vec<(K, V)>>() {
            key_bytes.clear();
            encode_key(key, &mut key_bytes)?;
            out.push_with(-1, Some(&key_bytes), |bytes| encode_value(value, bytes).map(|()| true))?;
        }
        Ok(())
    }
    fn decode(&self, records: &RawChunk) -> Result<Chunk> {
        let row = |r: crate::record::RawRecord<'_>| -> Result<(K, V)> {
            Ok((decode_key(r.key.unwrap_or_default())?, decode_value(r.value.unwrap_or_default())?))
        };
        Ok(Chunk::rows(records.iter().map(row).collect::<Result<Vec<_>>>()?))
    }
}

impl<T: Value> ExchangeFormat for Rows<T> {
    fn name(&self) -> String {
        format_of::<T>()
    }
    fn refusal(&self) -> Option<String> {
        value_refusal::<T>()
    }
    fn encode(&self, chunk: &Chunk, out: &mut RawChunkBuilder) -> Result {
        let mut rows = chunk.view::<Vec<T>>().iter();
        rows.try_for_each(|row| out.push_with(-1, None, |bytes| encode_value(row, bytes).map(|()| true)))
    }
    fn decode(&self, records: &RawChunk) -> Result<Chunk> {
        let rows = records.iter().map(|r| decode_value::<T>(r.value.unwrap_or_default()));
        Ok(Chunk::rows(rows.collect::<Result<Vec<_>>>()?))
    }
}
