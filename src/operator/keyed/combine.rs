//! Combines the values of a key into one value of another type, first within each task and then behind the
//! exchange.
//!
//! Knows no exchange. Invariant: empty between batches; values of a key are taken in order.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, map_row_bytes},
    record::{Chunk, Data, Key, Map, Value},
};
use std::{marker::PhantomData, sync::Arc};

/// Most combined rows that one task holds before it sends them on.
const HELD_MAX: usize = 1 << 16;

/// The part before the exchange: the first value of a key creates a combiner, later values are merged into it.
pub struct CombineValues<K, V, C, F, G> {
    create: Arc<F>,
    merge: Arc<G>,
    held: Map<K, Option<C>>,
    value: PhantomData<fn(V)>,
}

impl<K, V, C, F, G> CombineValues<K, V, C, F, G> {
    /// Combines with these functions.
    #[must_use]
    pub fn new(create: Arc<F>, merge: Arc<G>) -> Self {
        CombineValues { create, merge, held: Map::default(), value: PhantomData }
    }
}

impl<K: Key, V: Data, C: Value, F, G> CombineValues<K, V, C, F, G> {
    fn flush(&mut self, cx: &mut Context<'_>) {
        let rows = self.held.drain(..).map(|(k, c)| (k, c.expect("filled when it was made")));
        cx.out.rows::<(K, C)>(rows.collect());
    }
}

impl<K: Key, V: Data, C: Value, F, G> Operator for CombineValues<K, V, C, F, G>
where
    F: Fn(V) -> C + Send + Sync,
    G: Fn(C, V) -> C + Send + Sync,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        for (key, value) in input.take::<Vec<(K, V)>>() {
            let slot = self.held.entry(key).or_default();
            *slot = Some(match slot.take() {
                Some(combined) => (self.merge)(combined, value),
                None => (self.create)(value),
            });
        }
        if self.held.len() >= HELD_MAX {
            self.flush(cx);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.flush(cx);
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, Option<C>)>()
    }
}

/// `group_by_key`: all values of a key in a batch, in the order in which they come.
pub struct Group<K, V> {
    held: Map<K, Vec<V>>,
    values_bytes: usize,
}

impl<K, V> Default for Group<K, V> {
    fn default() -> Self {
        Group { held: Map::default(), values_bytes: 0 }
    }
}

impl<K: Key, V: Value> Operator for Group<K, V> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.values_bytes += input.held_bytes::<V>();
        for (key, value) in input.take::<Vec<(K, V)>>() {
            self.held.entry(key).or_default().push(value);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        cx.out.rows::<(K, Vec<V>)>(self.held.drain(..).collect());
        self.values_bytes = 0;
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, Vec<V>)>() + self.values_bytes
    }
}
