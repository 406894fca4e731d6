//! `update_state_by_key`: a function over every key with state, in each batch.
//!
//! Knows no log. Invariant: all keys are visited by a cursor and emitted in parts, never loaded at once; only
//! changed values are staged; a key without a new value carries the batch's greatest timestamp. The cost of a batch grows with the number of keys: `running_reduce_by_key` touches
//! only changed ones.

use super::Initial;
use crate::{
    error::Result,
    operator::{Context, EmitSchedule, Operator, Port, ROWS_PER_CHUNK, map_row_bytes},
    record::{Chunk, Key, Map, StampedRows, Stamps, Value},
    state::{Handle, Table},
};
use std::sync::Arc;

/// Keeps one state per key.
pub struct UpdateState<K: Key, V, S: Value, F> {
    update: Arc<F>,
    state: Handle<Table<K, S>>,
    initial: Option<Initial<K, S>>,
    emit_schedule: EmitSchedule,
    /// The new values of each key, and the greatest timestamp of their rows.
    new: Map<K, (Vec<V>, i64)>,
    new_bytes: usize,
    /// While states are being emitted: where the next part begins.
    next: Option<Vec<u8>>,
}

impl<K: Key, V, S: Value, F> UpdateState<K, V, S, F> {
    /// Updates the store `state` with `update`; before the first batch the store has `initial`.
    #[must_use]
    pub fn new(
        update: Arc<F>,
        state: Handle<Table<K, S>>,
        initial: Option<Initial<K, S>>,
        emit_schedule: EmitSchedule,
    ) -> Self {
        UpdateState { update, state, initial, emit_schedule, new: Map::default(), new_bytes: 0, next: None }
    }

    fn seed(&mut self, cx: &mut Context<'_>) -> Result {
        let Some(initial) = &mut self.initial else { return Ok(()) };
        let rows = initial.take(cx)?;
        let state = cx.stores.open(self.state);
        state.prefetch(rows.iter().map(|(key, _)| key))?;
        for (key, value) in rows {
            let mut slot = state.entry(key)?;
            if slot.get().is_none() {
                slot.set(value);
            }
        }
        Ok(())
    }
}

impl<K: Key, V: Value, S: Value, F> Operator for UpdateState<K, V, S, F>
where
    F: Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.new_bytes += input.held_bytes::<V>();
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        let mut stamps = stamps.each();
        for (key, value) in rows {
            let ms = stamps.next_ms();
            let (values, newest_ms) = self.new.entry(key).or_insert((vec![], Stamps::NONE));
            values.push(value);
            *newest_ms = ms.max(*newest_ms);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let from = self.next.take();
        if from.is_none() {
            if !self.emit_schedule.is_due(!self.new.is_empty(), cx.batch.time) {
                return Ok(());
            }
            self.new_bytes = 0;
            self.seed(cx)?;
        }
        let state = cx.stores.open(self.state);
        let mut rows: StampedRows<(K, S)> = StampedRows::with_capacity(0);
        let of_the_batch = cx.out.newest_ms.unwrap_or(Stamps::NONE);
        self.next = state.update_some(from.as_deref(), ROWS_PER_CHUNK, |key, slot| {
            let (values, ms) = self.new.swap_remove(key).unwrap_or((vec![], of_the_batch));
            if let Some(next) = (self.update)(values, slot.take()) {
                rows.push((key.clone(), next.clone()), ms);
                slot.set(next);
            }
            Ok(())
        })?;
        if self.next.is_none() {
            // What is left are keys that had no state so far.
            state.prefetch(self.new.keys())?;
            for (key, (values, ms)) in self.new.drain(..) {
                let mut slot = state.entry(key.clone())?;
                if let Some(next) = (self.update)(values, slot.take()) {
                    rows.push((key, next.clone()), ms);
                    slot.set(next);
                }
            }
        }
        cx.out.chunk(rows.into_chunk());
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.next.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.new.len() * map_row_bytes::<(K, Vec<V>, i64)>() + self.new_bytes
    }
}
