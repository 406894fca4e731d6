//! Combines the values of a key into one value of another type, first within each task and then behind the
//! exchange.
//!
//! Knows no exchange. Invariant: empty between batches; values of a key are taken in order.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, combined::Combined, map_row_bytes},
    record::{Chunk, Data, Key, Map, Stamps, Value},
};
use std::{marker::PhantomData, sync::Arc};

/// Most combined rows that one task holds before it sends them on.
const HELD_MAX: usize = 1 << 16;

/// The part before the exchange: the first value of a key creates a combiner, later values are merged into it.
pub struct CombineValues<K, V, C, F, G> {
    create: Arc<F>,
    merge: Arc<G>,
    held: Combined<K, C>,
    value: PhantomData<fn(V)>,
}

impl<K, V, C, F, G> CombineValues<K, V, C, F, G> {
    /// Combines with these functions.
    #[must_use]
    pub fn new(create: Arc<F>, merge: Arc<G>) -> Self {
        CombineValues { create, merge, held: Combined::default(), value: PhantomData }
    }
}

impl<K: Key, V: Data, C: Value, F, G> CombineValues<K, V, C, F, G> {
    fn flush(&mut self, cx: &mut Context<'_>) {
        cx.out.stamped_rows(self.held.drain());
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
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        let mut stamps = stamps.each();
        for (key, value) in rows {
            self.held.add(key, stamps.next_ms(), |held| match held {
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
        self.held.len() * Combined::<K, C>::row_bytes()
    }
}

/// `group_by_key`: all values of a key in a batch, in the order in which they come.
pub struct Group<K, V> {
    /// The values of each key, and the greatest timestamp of their rows.
    held: Map<K, (Vec<V>, i64)>,
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
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        let mut stamps = stamps.each();
        for (key, value) in rows {
            let ms = stamps.next_ms();
            let (values, newest_ms) = self.held.entry(key).or_insert((vec![], Stamps::NONE));
            values.push(value);
            *newest_ms = ms.max(*newest_ms);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        cx.out.stamped_rows(self.held.drain(..).map(|(key, (values, ms))| ((key, values), ms)));
        self.values_bytes = 0;
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, Vec<V>, i64)>() + self.values_bytes
    }
}
