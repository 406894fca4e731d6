//! `join`: the inner join of two keyed streams within a batch.
//!
//! Knows no exchange: both sides of a key come to one task. Invariant: empty between batches; rows leave in the order of the
//! left side's first touch.

use super::{Context, Operator, Port};
use crate::{
    error::Result,
    record::{Chunk, Key, Map, Value},
};

/// Holds both sides of each key until the batch ends. Left is port 0, right is port 1.
pub struct Join<K, V, W> {
    left: Map<K, Vec<V>>,
    right: Map<K, Vec<W>>,
}

impl<K, V, W> Default for Join<K, V, W> {
    fn default() -> Self {
        Join { left: Map::default(), right: Map::default() }
    }
}

impl<K: Key, V: Value, W: Value> Operator for Join<K, V, W> {
    fn process(&mut self, port: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        if port == Port(0) {
            for (key, value) in input.take::<Vec<(K, V)>>() {
                self.left.entry(key).or_default().push(value);
            }
        } else {
            for (key, value) in input.take::<Vec<(K, W)>>() {
                self.right.entry(key).or_default().push(value);
            }
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut rows = vec![];
        for (key, lefts) in self.left.drain(..) {
            for right in self.right.get(&key).into_iter().flatten() {
                rows.extend(lefts.iter().map(|left| (key.clone(), (left.clone(), right.clone()))));
            }
        }
        self.right.clear();
        cx.out.rows(rows);
        Ok(())
    }
}
