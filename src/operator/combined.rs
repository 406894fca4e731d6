//! Values that are combined by key until they are sent on.
//!
//! Owns what a key takes. Knows no exchange and no store. Invariants: rows leave in the order in which their keys first occurred; each
//! carries the greatest timestamp of the rows that it was made from.

use super::map_row_bytes;
use crate::record::{Key, Map};

/// One value for each key, with its timestamp.
pub(super) struct Combined<K, V>(Map<K, Held<V>>);

struct Held<V> {
    value: Option<V>,
    newest_ms: i64,
}

impl<K, V> Default for Combined<K, V> {
    fn default() -> Self {
        Combined(Map::default())
    }
}

impl<K: Key, V> Combined<K, V> {
    /// Replaces the value of `key` by what `combine` makes of it; it gets `None` if the key has none.
    #[inline]
    pub fn add(&mut self, key: K, ms: i64, combine: impl FnOnce(Option<V>) -> V) {
        let held = self.0.entry(key).or_insert(Held { value: None, newest_ms: ms });
        held.value = Some(combine(held.value.take()));
        held.newest_ms = held.newest_ms.max(ms);
    }

    /// Takes all keys out, each with its value and timestamp.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = ((K, V), i64)> {
        let rows = self.0.drain(..);
        rows.map(|(key, held)| ((key, held.value.expect("filled when it was made")), held.newest_ms))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What a key takes in memory.
    pub const fn row_bytes() -> usize {
        map_row_bytes::<(K, Held<V>)>()
    }
}
