//! Re-keying between two stages: partial aggregation first, then the split by key.
//!
//! Owns the exchange operators. Knows no log: whether rows are handed over as they are or as bytes is decided elsewhere. Invariants: a key goes to the state partition of its *encoded* bytes; rows of one key keep
//! their order; what is held back is sent before the batch ends.

use super::{Context, Operator, Port, map_row_bytes};
use crate::{
    codec::encode_key,
    error::Result,
    record::{Chunk, Key, Map, Partition, Value, partition_of},
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
    held: Map<K, Option<V>>,
    /// Rows that became the held ones.
    taken: usize,
    encoded: Vec<u8>,
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> ByKey<K, V, F> {
    /// An exchange that combines with `combine` if there is one.
    #[must_use]
    pub fn new(combine: Option<Arc<F>>) -> Self {
        ByKey { combine, held: Map::default(), taken: 0, encoded: vec![] }
    }

    fn split(&mut self, rows: impl ExactSizeIterator<Item = (K, V)>, cx: &mut Context<'_>) -> Result {
        let partitions = cx.out.partitions;
        let room = rows.len() / partitions as usize + 16;
        let mut parts: Vec<Vec<(K, V)>> = (0..partitions).map(|_| Vec::with_capacity(room)).collect();
        for (key, value) in rows {
            self.encoded.clear();
            encode_key(&key, &mut self.encoded)?;
            parts[partition_of(&self.encoded, partitions).0 as usize].push((key, value));
        }
        for (partition, rows) in (0..partitions).zip(parts) {
            cx.out.to_partition(Partition(partition), Chunk::rows(rows));
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result {
        let mut held = std::mem::take(&mut self.held);
        let rows = held.drain(..).map(|(k, v)| (k, v.expect("filled when it was made")));
        let result = self.split(rows, cx);
        (self.held, self.taken) = (held, 0); // empty, with its allocation
        result
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for ByKey<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let rows = input.take::<Vec<(K, V)>>();
        let Some(combine) = &self.combine else { return self.split(rows.into_iter(), cx) };
        self.taken += rows.len();
        for (key, value) in rows {
            let slot = self.held.entry(key).or_default();
            *slot = Some(match slot.take() {
                Some(old) => combine(old, value),
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
        self.held.len() * map_row_bytes::<(K, Option<V>)>()
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
