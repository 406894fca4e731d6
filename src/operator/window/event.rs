//! Windows over event time: the side after the exchange, with the aggregates and the watermark in state.
//!
//! Owns what is late and what has expired. Knows no clock. Invariants: the watermark advances only between
//! batches, so that a batch's own rows never make its rows late; a window that can still take a row is never
//! deleted; one that no longer can when a batch ends is not stored by that batch; each changed window emits
//! one row per batch.

use super::event_exchange::{EventRows, EventSpans, Windowed};
use crate::{
    error::Result,
    operator::{Context, Operator, Port, UpstreamMark, UpstreamName, Watermarks},
    record::{Chunk, Key, Value},
    state::{Handle, Table},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// How many expired rows a batch deletes, in addition to twice as many as it has touched.
const DELETED_PER_BATCH: usize = 8_192;

/// What a state partition knows about event time and about its windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredMarks", into = "StoredMarks")]
pub struct EventMarks {
    /// How far event time is.
    time: Watermarks,
    /// The greatest start of a window that has a row: later ones need not be looked up.
    newest: Option<i64>,
    /// Every window that starts before this is deleted.
    deleted: i64,
}

/// [`EventMarks`] as they are in state.
#[derive(Serialize, Deserialize)]
struct StoredMarks {
    sources: BTreeMap<UpstreamName, Option<i64>>,
    watermark: Option<i64>,
    newest: Option<i64>,
    deleted: i64,
}

impl From<StoredMarks> for EventMarks {
    fn from(stored: StoredMarks) -> Self {
        let StoredMarks { sources: upstreams, watermark, newest, deleted } = stored;
        EventMarks { time: Watermarks { upstreams, watermark }, newest, deleted }
    }
}

impl From<EventMarks> for StoredMarks {
    fn from(marks: EventMarks) -> Self {
        let EventMarks { time: Watermarks { upstreams: sources, watermark }, newest, deleted } = marks;
        StoredMarks { sources, watermark, newest, deleted }
    }
}

/// Reduces the values of each key and window; one row per changed window and batch.
pub struct EventReduce<K: Key, V: Value, F> {
    spans: EventSpans,
    reduce: Arc<F>,
    windows: Handle<Table<Windowed<K>, V>>,
    marks: Handle<Table<u8, EventMarks>>,
    /// The marks as they were when the batch began, once something has come.
    before: Option<EventMarks>,
    newest: Option<i64>,
    news: Vec<UpstreamMark>,
    touched: usize,
}

impl<K: Key, V: Value, F> EventReduce<K, V, F> {
    /// The operator, with its aggregates and marks in these stores.
    #[must_use]
    pub fn new(
        spans: EventSpans,
        reduce: Arc<F>,
        windows: Handle<Table<Windowed<K>, V>>,
        marks: Handle<Table<u8, EventMarks>>,
    ) -> Self {
        let (before, newest, news, touched) = (None, None, vec![], 0);
        EventReduce { spans, reduce, windows, marks, before, newest, news, touched }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> EventReduce<K, V, F> {
    fn marks<'m>(
        before: &'m mut Option<EventMarks>,
        marks: Handle<Table<u8, EventMarks>>,
        cx: &mut Context<'_>,
    ) -> Result<&'m mut EventMarks> {
        if before.is_none() {
            *before = Some(cx.stores.open(marks).get(&0)?.unwrap_or_default());
        }
        Ok(before.get_or_insert_default())
    }

    fn add(&mut self, rows: Vec<(Windowed<K>, V, u32)>, cx: &mut Context<'_>) -> Result {
        let before = Self::marks(&mut self.before, self.marks, cx)?;
        let first_open = before.time.get().map_or(i64::MIN, |watermark| self.spans.first_open(watermark));
        let newest = before.newest.unwrap_or(i64::MIN);
        let windows = cx.stores.open(self.windows);
        let may_be_there =
            |(key, _, _): &&(Windowed<K>, V, u32)| (first_open..=newest).contains(&key.start_ms);
        windows.prefetch(rows.iter().filter(may_be_there).map(|(key, _, _)| key))?;
        for (key, value, records) in rows {
            if key.start_ms < first_open {
                cx.counters.late += records as usize;
                continue;
            }
            self.touched += 1;
            self.newest = self.newest.max(Some(key.start_ms));
            let mut slot = windows.entry_of_new(key)?; // prefetched, or new
            let next = match slot.take() {
                Some(old) => (self.reduce)(old, value),
                None => value,
            };
            slot.set(next);
        }
        Ok(())
    }

    /// Deletes some of the windows that were closed when the batch began: no row of this batch can belong to
    /// them.
    fn delete_expired(&mut self, marks: &mut EventMarks, cx: &mut Context<'_>) -> Result {
        let Some(watermark) = marks.time.get() else { return Ok(()) };
        let first_open = self.spans.first_open(watermark);
        // Only whole windows expire: without a newly expired one there is nothing to look for.
        let first_start = first_open.saturating_add(self.spans.hop_ms - 1).div_euclid(self.spans.hop_ms)
            * self.spans.hop_ms;
        if first_start <= marks.deleted {
            return Ok(());
        }
        let limit = DELETED_PER_BATCH.max(2 * self.touched);
        let left = cx.stores.open(self.windows).delete_range(&marks.deleted, &first_start, limit)?;
        marks.deleted = left.map_or(first_start, |key| key.start_ms);
        Ok(())
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for EventReduce<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let EventRows { rows, marks } = input.take::<EventRows<K, V>>();
        self.news.extend(marks);
        if rows.is_empty() { Ok(()) } else { self.add(rows, cx) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut marks = Self::marks(&mut self.before, self.marks, cx)?.clone();
        self.delete_expired(&mut marks, cx)?;
        marks.time.advance(std::mem::take(&mut self.news));
        marks.newest = marks.newest.max(self.newest.take());
        let closed_before = marks.time.get().map_or(i64::MIN, |watermark| self.spans.first_open(watermark));
        if self.before.take().as_ref() != Some(&marks) {
            marks.time.get().into_iter().for_each(|watermark| cx.counters.watermark_moved(watermark));
            cx.stores.open(self.marks).entry(0)?.set(marks);
        }
        self.touched = 0;
        let windows = cx.stores.open(self.windows);
        // What closes with this batch is emitted once more and no longer kept. Most of it was never stored.
        let mut rows = windows.close(|key| key.start_ms < closed_before)?;
        let changed = windows.changed()?;
        rows.extend(changed.filter_map(|(key, value)| Some((key.clone(), value?.clone()))));
        cx.out.rows::<(Windowed<K>, V)>(rows);
        Ok(())
    }
}
