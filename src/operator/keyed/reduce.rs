//! Reductions by key: of one batch, and running over all batches.
//!
//! Knows no log and no exchange: rows of a key go to one task. Invariant: `Reduce` is empty between batches; the
//! running form keeps everything in its store and sends each changed key once per batch, in the order in which keys
//! were first touched.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, map_row_bytes},
    record::{Chunk, Key, Map, Value},
    state::{Handle, Table},
};
use std::sync::Arc;

/// What a small record takes on its way to the log.
const RECORD_BYTES: usize = 64;

/// `reduce_by_key`: one row per key and batch.
pub struct Reduce<K, V, F> {
    reduce: Arc<F>,
    held: Map<K, Option<V>>,
}

impl<K, V, F> Reduce<K, V, F> {
    /// Reduces with `reduce`.
    #[must_use]
    pub fn new(reduce: Arc<F>) -> Self {
        Reduce { reduce, held: Map::default() }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for Reduce<K, V, F> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        for (key, value) in input.take::<Vec<(K, V)>>() {
            let slot = self.held.entry(key).or_default();
            *slot = Some(match slot.take() {
                Some(old) => (self.reduce)(old, value),
                None => value,
            });
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let rows = self.held.drain(..).map(|(k, v)| (k, v.expect("filled when it was made")));
        cx.out.rows::<(K, V)>(rows.collect());
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        // At the end each becomes a row, and usually a record too.
        self.held.len() * (map_row_bytes::<(K, Option<V>)>() + size_of::<(K, V)>() + RECORD_BYTES)
    }
}

/// `running_reduce_by_key`: the value over all batches; one row per changed key and batch.
pub struct RunningReduce<K: Key, V: Value, F> {
    reduce: Arc<F>,
    state: Handle<Table<K, V>>,
}

impl<K: Key, V: Value, F> RunningReduce<K, V, F> {
    /// Reduces with `reduce` into the store `state`.
    #[must_use]
    pub fn new(reduce: Arc<F>, state: Handle<Table<K, V>>) -> Self {
        RunningReduce { reduce, state }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for RunningReduce<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let rows = input.take::<Vec<(K, V)>>();
        let state = cx.stores.open(self.state);
        state.prefetch(rows.iter().map(|(key, _)| key))?;
        for (key, value) in rows {
            let mut slot = state.entry(key)?;
            let next = match slot.take() {
                Some(old) => (self.reduce)(old, value),
                None => value,
            };
            slot.set(next);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let changed = cx.stores.open(self.state).changed()?;
        let rows = changed.filter_map(|(key, value)| Some((key.clone(), value?.clone())));
        cx.out.rows::<(K, V)>(rows.collect());
        Ok(())
    }
}
