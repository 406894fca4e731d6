//! Panes: rows reduced by key within a span of time that every window covers either whole or not at all.
//!
//! Owns the layout (end of the pane, then the key), so that panes expire in order and one pane has its keys in order. Knows no
//! slide. Invariants: a pane holds one value per key; merging panes holds one page of each, never a pane.

use crate::{
    codec::encode_key,
    error::Result,
    operator::Context,
    record::{Key, Value},
    state::{Handle, OrderedTable},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ops::{Bound, RangeInclusive},
};

/// Values by end of the pane and key.
pub type Panes<K, V> = OrderedTable<(i64, K), V>;

/// How many expired rows a batch deletes, in addition to twice as many as it has written.
pub(super) const DELETED_PER_BATCH: usize = 8_192;

/// About how many rows all pages of a merge hold together.
const MERGED_ROWS_HELD: usize = 1 << 16;

/// Reduces pairs into the pane that ends at `pane`. Returns how many keys it wrote to.
///
/// # Errors
/// If the store cannot be read.
pub fn add<K: Key, V: Value>(
    panes: &mut Panes<K, V>,
    pane: i64,
    rows: Vec<(K, V)>,
    reduce: &impl Fn(V, V) -> V,
) -> Result<usize> {
    let rows: Vec<((i64, K), V)> = rows.into_iter().map(|(key, value)| ((pane, key), value)).collect();
    panes.prefetch(rows.iter().map(|(key, _)| key))?;
    let count = rows.len();
    for (key, value) in rows {
        let mut slot = panes.entry(&key)?;
        let next = match slot.take() {
            Some(old) => reduce(old, value),
            None => value,
        };
        slot.set(next);
    }
    Ok(count)
}

/// Reads several panes side by side, in the order of their keys.
pub struct Merge<K, V> {
    pages: Vec<Page<K, V>>,
    /// The next key of each pane that has one: encoded key, index of the pane.
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    page_rows: usize,
}

struct Page<K, V> {
    pane: i64,
    rows: VecDeque<(K, V)>,
    /// Whether the pane has nothing after these rows.
    ends: bool,
}

impl<K: Key, V: Value> Merge<K, V> {
    /// A merge of the panes whose ends lie in `times`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn new(panes: Handle<Panes<K, V>>, times: RangeInclusive<i64>, cx: &mut Context<'_>) -> Result<Self> {
        let panes = cx.stores.open(panes);
        let (mut pages, mut from) = (vec![], *times.start());
        while from <= *times.end() {
            let mut found = None;
            panes.visit_from(&from, |(pane, _), _| {
                found = Some(*pane);
                Ok(false)
            })?;
            let Some(pane) = found.filter(|pane| times.contains(pane)) else { break };
            pages.push(Page { pane, rows: VecDeque::new(), ends: false });
            from = pane + 1;
        }
        let page_rows = (MERGED_ROWS_HELD / pages.len().max(1)).clamp(16, 4_096);
        let mut merge = Merge { pages, next: BinaryHeap::new(), page_rows };
        for index in 0..merge.pages.len() {
            merge.fill(index, None, panes)?;
        }
        Ok(merge)
    }

    /// Whether every key was returned.
    pub fn is_done(&self) -> bool {
        self.next.is_empty()
    }

    /// The next `limit` keys, each with its values reduced in the order of the panes.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn take(
        &mut self,
        limit: usize,
        panes: &mut Panes<K, V>,
        reduce: &impl Fn(V, V) -> V,
    ) -> Result<Vec<(K, V)>> {
        let mut rows: Vec<(K, V)> = vec![];
        let mut last: Option<Vec<u8>> = None;
        while let Some(Reverse((key, index))) = self.next.pop() {
            let same = last.as_ref() == Some(&key);
            if !same && rows.len() == limit {
                self.next.push(Reverse((key, index)));
                break;
            }
            let (row_key, value) = self.pages[index].rows.pop_front().expect("its key was in the heap");
            let passed = row_key.clone();
            match rows.pop() {
                Some((row_key, before)) if same => rows.push((row_key, reduce(before, value))),
                other => {
                    rows.extend(other);
                    rows.push((row_key, value));
                }
            }
            last = Some(key);
            self.fill(index, Some(passed), panes)?;
        }
        Ok(rows)
    }

    /// Pushes the next key of a pane, after reading its next page if the last one is used up.
    fn fill(&mut self, index: usize, after: Option<K>, panes: &mut Panes<K, V>) -> Result {
        let Page { pane, rows, ends } = &mut self.pages[index];
        if rows.is_empty() && !*ends {
            let limit = self.page_rows;
            *ends = true;
            let mut take = |key: &(i64, K), value: Option<&V>| {
                if key.0 != *pane {
                    return false;
                }
                if rows.len() == limit {
                    *ends = false;
                    return false;
                }
                rows.extend(value.map(|value| (key.1.clone(), value.clone())));
                true
            };
            match after {
                None => panes.visit_prefix(pane, |key, slot| Ok(take(key, slot.get())))?,
                Some(key) => {
                    let range = (Bound::Excluded((*pane, key)), Bound::Unbounded);
                    panes.visit(range, |key, slot| Ok(take(key, slot.get())))?;
                }
            }
        }
        if let Some((key, _)) = rows.front() {
            let mut bytes = vec![];
            encode_key(key, &mut bytes)?;
            self.next.push(Reverse((bytes, index)));
        }
        Ok(())
    }
}
