//! Reductions by key: of one batch, and running over all batches.
//!
//! Knows no log and no exchange: rows of a key go to one task. Invariant: `Reduce` is empty between batches; the
//! running form keeps everything but timestamps in its store and sends each changed key once per batch, in the order in
//! which keys were first touched; a row carries the greatest timestamp of the batch's rows of its key.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, combined::Combined},
    record::{Chunk, Key, Stamps, Value},
    state::{Handle, Table},
};
use std::sync::Arc;

/// What a small record takes on its way to the log.
const RECORD_BYTES: usize = 64;

/// `reduce_by_key`: one row per key and batch.
pub struct Reduce<K, V, F> {
    reduce: Arc<F>,
    held: Combined<K, V>,
}

impl<K, V, F> Reduce<K, V, F> {
    /// Reduces with `reduce`.
    #[must_use]
    pub fn new(reduce: Arc<F>) -> Self {
        Reduce { reduce, held: Combined::default() }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for Reduce<K, V, F> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        let mut stamps = stamps.each();
        for (key, value) in rows {
            self.held.add(key, stamps.next_ms(), |held| match held {
                Some(old) => (self.reduce)(old, value),
                None => value,
            });
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        cx.out.stamped_rows(self.held.drain());
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        // At the end each becomes a row, and usually a record too.
        self.held.len() * (Combined::<K, V>::row_bytes() + size_of::<(K, V)>() + RECORD_BYTES)
    }
}

/// `running_reduce_by_key`: the value over all batches; one row per changed key and batch.
pub struct RunningReduce<K: Key, V: Value, F> {
    reduce: Arc<F>,
    state: Handle<Table<K, V>>,
    /// The greatest timestamp of the rows of each key that this batch has touched, in the order of first touch.
    newest_ms: Vec<i64>,
}

impl<K: Key, V: Value, F> RunningReduce<K, V, F> {
    /// Reduces with `reduce` into the store `state`.
    #[must_use]
    pub fn new(reduce: Arc<F>, state: Handle<Table<K, V>>) -> Self {
        RunningReduce { reduce, state, newest_ms: vec![] }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for RunningReduce<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        let state = cx.stores.open(self.state);
        state.prefetch(rows.iter().map(|(key, _)| key))?;
        let mut stamps = stamps.each();
        for (key, value) in rows {
            let ms = stamps.next_ms();
            let (index, mut slot) = state.entry_with_index(key)?;
            if index >= self.newest_ms.len() {
                self.newest_ms.resize(index + 1, Stamps::NONE);
            }
            self.newest_ms[index] = self.newest_ms[index].max(ms);
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
        let newest_ms = &self.newest_ms;
        let row = |(index, key, value): (usize, &K, Option<&V>)| {
            Some(((key.clone(), value?.clone()), newest_ms[index]))
        };
        cx.out.stamped_rows(changed.filter_map(row));
        self.newest_ms.clear();
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        size_of_val(&self.newest_ms[..])
    }
}
