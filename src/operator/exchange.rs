//! Re-keying between two stages: partial aggregation first, then the split by key.
//!
//! Owns the exchange operators. Knows no log: whether rows are handed over as they are or as bytes is decided elsewhere. Invariants: a
//! key goes to the state partition of its *encoded* bytes; rows of one key keep their order; a row carries the greatest timestamp of
//! those that it was made from; what is held back is sent before the batch ends.

use super::{Context, Operator, Port, combined::Combined};
use crate::{
    codec::encode_key,
    error::Result,
    record::{Chunk, Key, Partition, StampedRows, Value, partition_of},
};
use std::sync::Arc;

/// Combined rows that one task holds at most before it sends them on.
const HELD_MAX: usize = 1 << 16;
/// From so many on they are sent on at once if keys hardly repeat: holding them would save nothing, and a batch is measured by what its
/// state partitions hold.
const HELD_DISTINCT_MAX: usize = 1 << 13;

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
