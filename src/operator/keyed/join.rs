//! Combines keyed streams within a batch: joins and groups of two or three.
//!
//! Knows no exchange: all values of a key go to one task. Invariant: empty between batches; rows leave in the order
//! in which keys first occurred.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, map_row_bytes},
    record::{Chunk, Data, Key, Map, Value},
};
use std::marker::PhantomData;

/// Holds the values of both sides of each key until the batch ends, then makes rows from them. Left is port 0,
/// right is port 1.
pub struct CoGroup<K, V, W, U, F> {
    held: Map<K, (Vec<V>, Vec<W>)>,
    /// What the values of both sides take.
    values_bytes: usize,
    rows: F,
    made: PhantomData<fn() -> U>,
}

impl<K, V, W, U, F> CoGroup<K, V, W, U, F> {
    /// `rows` appends the rows made from the values of a key.
    #[must_use]
    pub fn new(rows: F) -> Self {
        CoGroup { held: Map::default(), values_bytes: 0, rows, made: PhantomData }
    }
}

impl<K: Key, V: Value, W: Value, U: Data, F> Operator for CoGroup<K, V, W, U, F>
where
    F: Fn(K, Vec<V>, Vec<W>, &mut Vec<(K, U)>) + Send,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, port: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        if port == Port(0) {
            self.values_bytes += input.held_bytes::<V>();
            for (key, value) in input.take::<Vec<(K, V)>>() {
                self.held.entry(key).or_default().0.push(value);
            }
        } else {
            self.values_bytes += input.held_bytes::<W>();
            for (key, value) in input.take::<Vec<(K, W)>>() {
                self.held.entry(key).or_default().1.push(value);
            }
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut made = Vec::with_capacity(self.held.len());
        for (key, (left, right)) in self.held.drain(..) {
            (self.rows)(key, left, right, &mut made);
        }
        self.values_bytes = 0;
        cx.out.rows(made);
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, Vec<V>, Vec<W>)>() + self.values_bytes
    }
}

/// Every pair of values of a key, appended to `made`; the last use of a value moves it.
pub fn pair_up<K: Key, V: Data, W: Data>(
    key: K,
    mut left: Vec<V>,
    mut right: Vec<W>,
    made: &mut Vec<(K, (V, W))>,
) {
    let (Some(last_left), Some(last_right)) = (left.pop(), right.pop()) else { return };
    for other in right {
        let lefts = left.iter().chain([&last_left]);
        made.extend(lefts.map(|value| (key.clone(), (value.clone(), other.clone()))));
    }
    made.extend(left.into_iter().map(|value| (key.clone(), (value, last_right.clone()))));
    made.push((key, (last_left, last_right)));
}

/// The values of a key in three streams.
type Three<V, W, X> = (Vec<V>, Vec<W>, Vec<X>);

/// All values of each key in three streams, ports 0 to 2.
pub struct CoGroup3<K, V, W, X> {
    held: Map<K, Three<V, W, X>>,
    /// Bytes of the values, without what they point to.
    values_bytes: usize,
}

impl<K, V, W, X> Default for CoGroup3<K, V, W, X> {
    fn default() -> Self {
        CoGroup3 { held: Map::default(), values_bytes: 0 }
    }
}

impl<K: Key, V: Value, W: Value, X: Value> CoGroup3<K, V, W, X> {
    fn add<T: Data>(&mut self, input: Chunk, values: impl Fn(&mut Three<V, W, X>) -> &mut Vec<T>) {
        self.values_bytes += input.held_bytes::<T>();
        for (key, value) in input.take::<Vec<(K, T)>>() {
            values(self.held.entry(key).or_default()).push(value);
        }
    }
}

impl<K: Key, V: Value, W: Value, X: Value> Operator for CoGroup3<K, V, W, X> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, port: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        match port {
            Port(0) => self.add(input, |three| &mut three.0),
            Port(1) => self.add(input, |three| &mut three.1),
            _ => self.add(input, |three| &mut three.2),
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.values_bytes = 0;
        cx.out.rows::<(K, Three<V, W, X>)>(self.held.drain(..).collect());
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, Three<V, W, X>)>() + self.values_bytes
    }
}
