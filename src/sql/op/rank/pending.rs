//! What the rows of a batch change, before it is written.
//!
//! Owns the touched rows and partitions. Knows no store. Invariants: a row that came and went again is not written; of rows that are only
//! added, no more are held than pass, whatever the size of the batch.

use super::{
    plan::TopNPlan,
    ranks::{Passes, Ranker},
};
use crate::{
    error::Result,
    record::Stamps,
    sql::{op::weights::added, rows::KeyTable},
};

/// Rows are looked through for ones that do not pass when there are so many.
const PRUNED_FROM: usize = 8_192;

/// The changes of a batch.
pub(super) struct Pending {
    keys: KeyTable,
    /// For each key: how often its row came, less how often it went, and where the key of its partition ends.
    changes: Vec<(i64, usize)>,
    partitions: KeyTable,
    /// For each partition the greatest timestamp of its rows.
    newest_ms: Vec<i64>,
    prune_at: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Pending {
            keys: KeyTable::default(),
            changes: vec![],
            partitions: KeyTable::default(),
            newest_ms: vec![],
            prune_at: PRUNED_FROM,
        }
    }
}

impl Pending {
    /// A row comes, or goes.
    pub fn add(&mut self, key: &[u8], shared: usize, weight: i64, stamp_ms: i64) -> Result {
        let partition = self.partitions.insert(&key[..shared]);
        if partition.is_new {
            self.newest_ms.push(Stamps::NONE);
        }
        let newest_ms = &mut self.newest_ms[partition.index];
        *newest_ms = stamp_ms.max(*newest_ms);
        self.change(key, shared, weight)
    }

    fn change(&mut self, key: &[u8], shared: usize, weight: i64) -> Result {
        let slot = self.keys.insert(key);
        if slot.is_new {
            self.changes.push((0, shared));
        }
        let (change, _) = &mut self.changes[slot.index];
        *change = added(*change, weight)?;
        Ok(())
    }

    /// Drops rows that do not pass even among those of the batch, if there are many; all of them were added.
    pub fn prune(&mut self, plan: &TopNPlan) -> Result {
        if self.keys.len() < self.prune_at {
            return Ok(());
        }
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_unstable_by_key(|at| self.keys.get(*at));
        let (mut ranker, mut partition, mut is_over) = (Ranker::new(plan)?, None, false);
        let mut kept = Pending::default();
        for at in order {
            let (key, (change, shared)) = (self.keys.get(at), self.changes[at]);
            if partition != Some(&key[..shared]) {
                ranker.begin();
                (partition, is_over) = (Some(&key[..shared]), false);
            }
            is_over = is_over || matches!(ranker.next(key, shared, change)?, Passes::NoMore);
            if !is_over {
                kept.change(key, shared, change)?;
            }
        }
        (self.keys, self.changes) = (kept.keys, kept.changes);
        self.prune_at = PRUNED_FROM.max(2 * self.keys.len());
        Ok(())
    }

    /// The rows that are changed, each with how.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], i64)> {
        self.keys.iter().zip(&self.changes).filter(|(_, (change, _))| *change != 0).map(|(key, c)| (key, c.0))
    }

    /// The touched partitions in the order of their keys, each with the greatest timestamp of its rows.
    pub fn partitions(&self) -> Vec<(Vec<u8>, i64)> {
        let mut all: Vec<_> =
            self.partitions.iter().map(<[u8]>::to_vec).zip(self.newest_ms.iter().copied()).collect();
        all.sort_unstable();
        all
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.changes.clear();
        self.partitions.clear();
        self.newest_ms.clear();
        self.prune_at = PRUNED_FROM;
    }

    pub fn memory_bytes(&self) -> usize {
        if self.partitions.is_empty() {
            return 0;
        }
        self.keys.memory_bytes()
            + size_of_val(&self.changes[..])
            + self.partitions.memory_bytes()
            + size_of_val(&self.newest_ms[..])
    }
}
