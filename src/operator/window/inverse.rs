//! `reduce_by_key_and_window` with an inverse: a running value per key, to which each slide adds what entered
//! and from which it removes what left.
//!
//! Knows no exchange: all rows of a key come to one task. Invariants: a slide reads and writes only the panes
//! that entered and left, then the running values of all keys are emitted, as in Spark; a key stays until its
//! rows have left and the filter refuses it; panes are deleted only when they have left.

use super::{
    panes::{DELETED_PER_BATCH, Panes, add},
    sweep::{Marks, Sweep},
    time::Slides,
};
use crate::{
    codec::encode_key,
    error::{Error, Result},
    operator::{Context, Operator, Port, ROWS_PER_CHUNK},
    record::{Chunk, Key, Value, partition_of},
    state::{Handle, OrderedTable},
};
use serde::{Deserialize, Serialize};
use std::{
    ops::{Bound, RangeInclusive},
    sync::Arc,
};

/// Running values by key.
pub type Totals<K, V> = OrderedTable<K, Total<V>>;

/// The running value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total<V> {
    /// The value over all panes of the window.
    pub value: V,
    /// How many panes of the window contain the key.
    pub panes: u32,
}

/// Whether a key with this value is emitted, and stays when all its rows have left.
pub type KeepIf<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// Spark's wording.
const INCONSISTENT: &str = "Neither previous window has value for key, nor new values found. Are you sure your key class hashes consistently?";

/// Keeps a running value per key.
pub struct WindowInverse<K: Key, V: Value, F, G> {
    slides: Slides,
    functions: Invertible<K, V, F, G>,
    panes: Handle<Panes<K, V>>,
    totals: Handle<Totals<K, V>>,
    marks: Handle<Marks>,
    written: usize,
    /// While totals are being emitted: the last key emitted.
    emitting: Option<Bound<K>>,
}

/// The functions of a window with an inverse.
pub struct Invertible<K, V, F, G> {
    /// Adds a value.
    pub reduce: Arc<F>,
    /// Removes a value that was added.
    pub inverse: Arc<G>,
    /// Which keys are emitted, and stay when all their rows have left; `None` = all.
    pub keep_if: Option<KeepIf<K, V>>,
    /// A key that has a value at each slide, even if no row ever came.
    pub always: Option<(K, V)>,
}

impl<K: Clone, V: Clone, F, G> Clone for Invertible<K, V, F, G> {
    fn clone(&self) -> Self {
        Invertible {
            reduce: self.reduce.clone(),
            inverse: self.inverse.clone(),
            keep_if: self.keep_if.clone(),
            always: self.always.clone(),
        }
    }
}

impl<K: Key, V: Value, F, G> WindowInverse<K, V, F, G> {
    /// The operator, with its panes, totals and mark in these stores.
    #[must_use]
    pub fn new(
        slides: Slides,
        functions: Invertible<K, V, F, G>,
        panes: Handle<Panes<K, V>>,
        totals: Handle<Totals<K, V>>,
        marks: Handle<Marks>,
    ) -> Self {
        WindowInverse { slides, functions, panes, totals, marks, written: 0, emitting: None }
    }
}

impl<K: Key, V: Value, F, G> WindowInverse<K, V, F, G>
where
    F: Fn(V, V) -> V + Send + Sync,
    G: Fn(V, V) -> V + Send + Sync,
{
    fn begin(&mut self, cx: &mut Context<'_>) -> Result {
        let written = std::mem::take(&mut self.written);
        let Some(mut sweep) = Sweep::begin(self.slides, self.marks, written, cx)? else { return Ok(()) };
        let mut seeded = false;
        if let Some(instant) = sweep.due {
            seeded = self.seed(cx)?;
            self.take_out(self.slides.leaving(sweep.last, instant), cx)?;
            self.add_up(self.slides.entering(sweep.last, instant), cx)?;
            self.emitting = Some(Bound::Unbounded);
        }
        // What has left was just removed from the totals.
        let left = sweep.emitted() - self.slides.length_ms();
        sweep.delete(cx.stores.open(self.panes), left, DELETED_PER_BATCH)?;
        // A window that never had a row needs no mark.
        if !sweep.is_first() || written > 0 || seeded {
            sweep.end(cx)?;
        }
        Ok(())
    }

    /// Makes sure that the key that is always emitted exists; `false` = it is not ours, or there is none.
    fn seed(&self, cx: &mut Context<'_>) -> Result<bool> {
        let Some((key, value)) = &self.functions.always else { return Ok(false) };
        let mut bytes = vec![];
        encode_key(key, &mut bytes)?;
        let ours = partition_of(&bytes, cx.out.partitions) == cx.out.partition;
        if ours && cx.stores.open(self.totals).get(key)?.is_none() {
            cx.stores.open(self.totals).insert(key, Total { value: value.clone(), panes: 0 })?;
        }
        Ok(ours)
    }

    /// Removes the values of panes from the totals.
    fn take_out(&mut self, times: RangeInclusive<i64>, cx: &mut Context<'_>) -> Result {
        if !times.is_empty() && crate::failpoint::passes("mutant-nothing-leaves") {
            return Ok(());
        }
        let inverse = self.functions.inverse.clone();
        self.for_panes(times, cx, |totals, rows| {
            for (key, value) in rows {
                let mut slot = totals.entry(&key)?;
                let Some(Total { value: total, panes }) = slot.take().filter(|total| total.panes > 0) else {
                    return Err(Error::State(INCONSISTENT.into()));
                };
                slot.set(Total { value: inverse(total, value), panes: panes - 1 });
            }
            Ok(())
        })
    }

    /// Adds the values of panes to the totals.
    fn add_up(&mut self, times: RangeInclusive<i64>, cx: &mut Context<'_>) -> Result {
        let reduce = self.functions.reduce.clone();
        self.for_panes(times, cx, |totals, rows| {
            for (key, value) in rows {
                let mut slot = totals.entry(&key)?;
                let next = match slot.take() {
                    Some(total) => Total { value: reduce(total.value, value), panes: total.panes + 1 },
                    None => Total { value, panes: 1 },
                };
                slot.set(next);
            }
            Ok(())
        })
    }

    /// Passes the rows of panes to `apply`, a chunk at a time, after the totals of their keys were read with one multi-get.
    fn for_panes(
        &self,
        times: RangeInclusive<i64>,
        cx: &mut Context<'_>,
        mut apply: impl FnMut(&mut Totals<K, V>, Vec<(K, V)>) -> Result,
    ) -> Result {
        if times.is_empty() {
            return Ok(());
        }
        let (panes, totals) = cx.stores.open2(self.panes, self.totals);
        let mut from: Option<(i64, K)> = None;
        loop {
            let (mut rows, mut last) = (vec![], None);
            let mut take = |at: &(i64, K), value: Option<&V>| {
                if at.0 > *times.end() || rows.len() == ROWS_PER_CHUNK {
                    return false;
                }
                rows.extend(value.map(|value| (at.1.clone(), value.clone())));
                last = Some(at.clone());
                true
            };
            match from.take() {
                None => panes.visit_from(times.start(), |at, slot| Ok(take(at, slot.get())))?,
                Some(at) => {
                    panes.visit((Bound::Excluded(at), Bound::Unbounded), |at, slot| {
                        Ok(take(at, slot.get()))
                    })?;
                }
            }
            if rows.is_empty() {
                return Ok(());
            }
            totals.prefetch(rows.iter().map(|(key, _)| key))?;
            apply(totals, rows)?;
            from = last;
        }
    }

    /// Emits the next totals, except those that the filter refuses. These are deleted once all rows of the
    /// key have left: what leaves later must find its total.
    fn emit(&mut self, cx: &mut Context<'_>) -> Result {
        let Some(from) = self.emitting.take() else { return Ok(()) };
        let mut rows: Vec<(K, V)> = vec![];
        let (mut seen, mut next) = (0, None);
        let keep_if = &self.functions.keep_if;
        cx.stores.open(self.totals).visit((from, Bound::Unbounded), |key, slot| {
            if seen == ROWS_PER_CHUNK {
                next = Some(Bound::Included(key.clone()));
                return Ok(false);
            }
            seen += 1;
            let Some(Total { value, panes }) = slot.get() else { return Ok(true) };
            if keep_if.as_ref().is_none_or(|keep| keep(key, value)) {
                rows.push((key.clone(), value.clone()));
            } else if *panes == 0 {
                slot.take();
            }
            Ok(true)
        })?;
        self.emitting = next;
        cx.out.rows(rows);
        Ok(())
    }
}

impl<K: Key, V: Value, F, G> Operator for WindowInverse<K, V, F, G>
where
    F: Fn(V, V) -> V + Send + Sync,
    G: Fn(V, V) -> V + Send + Sync,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let pane = self.slides.pane(self.slides.time_of(cx.batch.time.0), self.slides.pane_ms());
        self.written += add(cx.stores.open(self.panes), pane, input.take(), &*self.functions.reduce)?;
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if self.emitting.is_none() {
            self.begin(cx)?;
        }
        self.emit(cx)
    }

    fn has_more(&self) -> bool {
        self.emitting.is_some()
    }
}
