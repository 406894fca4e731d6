//! Combines keyed streams within a batch: joins and groups of two or three.
//!
//! Knows no exchange: all values of a key go to one task. Invariant: empty between batches; rows leave in the order
//! in which keys first occurred; each carries the greatest timestamp of the rows that it was made from.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, map_row_bytes},
    record::{Chunk, Data, Key, Map, StampedRows, Stamps, Value},
};
use std::marker::PhantomData;

/// Values of a key, each with the timestamp of its row.
pub type WithStamps<V> = Vec<(V, i64)>;

/// Holds the values of both sides of each key until the batch ends, then makes rows from them. Left is port 0,
/// right is port 1.
pub struct CoGroup<K, V, W, U, F> {
    held: Map<K, (WithStamps<V>, WithStamps<W>)>,
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
    F: Fn(K, WithStamps<V>, WithStamps<W>, &mut StampedRows<(K, U)>) + Send,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, port: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        if port == Port(0) {
            self.values_bytes += input.held_bytes::<(V, i64)>();
            let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
            let mut stamps = stamps.each();
            for (key, value) in rows {
                let ms = stamps.next_ms();
                self.held.entry(key).or_default().0.push((value, ms));
            }
        } else {
            self.values_bytes += input.held_bytes::<(W, i64)>();
            let (rows, stamps) = input.take_stamped::<Vec<(K, W)>>();
            let mut stamps = stamps.each();
            for (key, value) in rows {
                let ms = stamps.next_ms();
                self.held.entry(key).or_default().1.push((value, ms));
            }
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut made = StampedRows::with_capacity(self.held.len());
        for (key, (left, right)) in self.held.drain(..) {
            (self.rows)(key, left, right, &mut made);
        }
        self.values_bytes = 0;
        cx.out.chunk(made.into_chunk());
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, WithStamps<V>, WithStamps<W>)>() + self.values_bytes
    }
}

/// Every pair of values of a key, appended to `made` with the greater one of their timestamps; the last use of a value moves it.
pub fn pair_up<K: Key, V: Data, W: Data>(
    key: K,
    mut left: WithStamps<V>,
    mut right: WithStamps<W>,
    made: &mut StampedRows<(K, (V, W))>,
) {
    let (Some(last_left), Some(last_right)) = (left.pop(), right.pop()) else { return };
    let mut add = |key: K, left: (V, i64), right: (W, i64)| {
        made.push((key, (left.0, right.0)), left.1.max(right.1));
    };
    for other in right {
        for value in left.iter().chain([&last_left]) {
            add(key.clone(), value.clone(), other.clone());
        }
    }
    for value in left {
        add(key.clone(), value, last_right.clone());
    }
    add(key, last_left, last_right);
}

/// The values of a key in three streams.
type Three<V, W, X> = (Vec<V>, Vec<W>, Vec<X>);

/// All values of each key in three streams, ports 0 to 2.
pub struct CoGroup3<K, V, W, X> {
    /// The values of each key, and the greatest timestamp of their rows.
    held: Map<K, (Three<V, W, X>, i64)>,
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
        let (rows, stamps) = input.take_stamped::<Vec<(K, T)>>();
        let mut stamps = stamps.each();
        for (key, value) in rows {
            let ms = stamps.next_ms();
            let (three, newest_ms) = self.held.entry(key).or_insert((Three::default(), Stamps::NONE));
            values(three).push(value);
            *newest_ms = ms.max(*newest_ms);
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
        cx.out.stamped_rows(self.held.drain(..).map(|(key, (three, ms))| ((key, three), ms)));
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.len() * map_row_bytes::<(K, Three<V, W, X>, i64)>() + self.values_bytes
    }
}
