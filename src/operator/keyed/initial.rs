//! State that keys have before the first batch.
//!
//! Knows no operation. Invariant: it is loaded once in the lifetime of a store, as recorded by a row in a store of
//! its own, so a key that is dropped later does not come back.

use crate::{
    codec::encode_key,
    error::Result,
    operator::Context,
    record::{Key, Value, partition_of},
    state::{Handle, Table},
};
use std::sync::Arc;

/// Records whether a state partition has loaded its part of the initial state: the row 0.
pub type Seeded = Table<u8, bool>;

/// The initial state of all keys, and whether this task has loaded its part.
pub struct Initial<K, S> {
    rows: Arc<Vec<(K, S)>>,
    seeded: Handle<Seeded>,
    is_done: bool,
}

impl<K: Key, S: Value> Initial<K, S> {
    /// `rows` for all state partitions; `seeded` remembers that they were loaded.
    #[must_use]
    pub fn new(rows: Arc<Vec<(K, S)>>, seeded: Handle<Seeded>) -> Self {
        Initial { rows, seeded, is_done: false }
    }

    /// The rows of this state partition, if they were never loaded.
    ///
    /// # Errors
    /// If the state cannot be read or a key has no encoding.
    pub fn take(&mut self, cx: &mut Context<'_>) -> Result<Vec<(K, S)>> {
        // An abort recreates operators, so this holds only for what was committed.
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(vec![]);
        }
        let mut seeded = cx.stores.open(self.seeded).entry(0)?;
        if seeded.get().is_some() {
            return Ok(vec![]);
        }
        seeded.set(true);
        let (mut here, mut encoded) = (vec![], vec![]);
        for row in self.rows.iter() {
            encoded.clear();
            encode_key(&row.0, &mut encoded)?;
            if partition_of(&encoded, cx.out.partitions) == cx.out.partition {
                here.push(row.clone());
            }
        }
        Ok(here)
    }
}
