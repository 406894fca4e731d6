//! Windows over event time: the side after the exchange, with the aggregates and the watermark in state.
//!
//! Owns what is late, what is given and what is deleted. Knows no clock. Invariants: a window that can still take a row is never
//! deleted; one that no longer can when a batch ends is not stored by that batch; each changed window gives one row per batch, or, if
//! only finals are wanted, each window one row when it closes; a row carries the greatest event time of its window so far.

use super::{
    event_exchange::{EventRow, EventRows},
    event_time::{EventMarks, EventSpans, EventTime, WindowKey},
};
use crate::{
    error::Result,
    operator::{Context, Operator, Port, ROWS_PER_CHUNK},
    record::{Chunk, Key, Value},
    state::{Handle, Table},
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// How many expired rows a batch deletes, in addition to twice as many as it has touched.
const DELETED_PER_BATCH: usize = 8_192;

/// A key in a window `[start_ms, end_ms)`. Displayed as `key@start_ms`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Windowed<K> {
    /// Where the window starts, milliseconds since the epoch.
    pub start_ms: i64,
    /// Where it ends: the first time that no longer belongs to it.
    pub end_ms: i64,
    /// The key.
    pub key: K,
}

impl<K: fmt::Display> fmt::Display for Windowed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.start_ms)
    }
}

/// What a window has come to, as it is in state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowValue<V> {
    /// The reduced value.
    pub value: V,
    /// The greatest event time of its rows.
    pub newest_ms: i64,
}

/// Which results of a window leave the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// One of each batch that changed the window.
    Updates,
    /// One when it closes.
    Finals,
}

/// Closed windows that are still to be given.
struct Closing<K> {
    /// The first start.
    from_ms: i64,
    /// All starts are before this.
    to_ms: i64,
    /// The key to go on from, after the first part.
    next: Option<WindowKey<K>>,
}

/// Reduces the values of each key and window.
pub struct EventReduce<K: Key, V: Value, F> {
    time: EventTime,
    gives: Gives,
    reduce: Arc<F>,
    windows: Handle<Table<WindowKey<K>, WindowValue<V>>>,
    touched: usize,
    /// While closed windows are being given.
    closing: Option<Closing<K>>,
}

impl<K: Key, V: Value, F> EventReduce<K, V, F> {
    /// The operator, with its aggregates and marks in these stores.
    #[must_use]
    pub fn new(
        spans: EventSpans,
        gives: Gives,
        reduce: Arc<F>,
        windows: Handle<Table<WindowKey<K>, WindowValue<V>>>,
        marks: Handle<Table<u8, EventMarks>>,
    ) -> Self {
        EventReduce { time: EventTime::new(spans, marks), gives, reduce, windows, touched: 0, closing: None }
    }

    /// Sends results on.
    fn give(&self, rows: impl IntoIterator<Item = (WindowKey<K>, WindowValue<V>)>, cx: &mut Context<'_>) {
        let size_ms = self.time.spans.size_ms;
        cx.out.stamped_rows(rows.into_iter().map(|(WindowKey { start_ms, key }, of)| {
            ((Windowed { start_ms, end_ms: start_ms.saturating_add(size_ms), key }, of.value), of.newest_ms)
        }));
    }

    /// Deletes some of the windows that were closed when the batch began: no row of this batch can belong to
    /// them.
    fn delete_expired(&mut self, marks: &mut EventMarks, cx: &mut Context<'_>) -> Result {
        // Only whole windows expire: without a newly expired one there is nothing to look for.
        let spans = self.time.spans;
        let first_start = spans.hop_from(spans.open_at(self.time.before(cx)?));
        if first_start <= marks.deleted {
            return Ok(());
        }
        let limit = DELETED_PER_BATCH.max(2 * self.touched);
        let left = cx.stores.open(self.windows).delete_range(&marks.deleted, &first_start, limit)?;
        marks.deleted = left.map_or(first_start, |key| key.start_ms);
        Ok(())
    }

    /// Gives what has changed, and deletes what was closed before.
    fn end_with_updates(&mut self, cx: &mut Context<'_>) -> Result {
        let mut marks = self.time.advance(cx)?;
        self.delete_expired(&mut marks, cx)?;
        let closed_before = self.time.spans.open_at(&marks);
        self.time.end(marks, cx)?;
        let windows = cx.stores.open(self.windows);
        // What closes with this batch is given once more and no longer kept. Most of it was never stored.
        let mut rows = windows.close(|key| key.start_ms < closed_before)?;
        let changed = windows.changed()?;
        rows.extend(changed.filter_map(|(_, key, value)| Some((key.clone(), value?.clone()))));
        self.give(rows, cx);
        Ok(())
    }

    /// Gives the windows that close with this batch, and deletes them.
    fn end_with_finals(&mut self, cx: &mut Context<'_>) -> Result {
        let mut marks = self.time.advance(cx)?;
        let (from_ms, to_ms) = (marks.deleted, self.time.spans.hop_from(self.time.spans.open_at(&marks)));
        if from_ms < to_ms {
            marks.deleted = to_ms;
            self.closing = Some(Closing { from_ms, to_ms, next: None });
            let rows = cx.stores.open(self.windows).close(|key| key.start_ms < to_ms)?;
            self.give(rows, cx);
        }
        self.time.end(marks, cx)
    }

    /// Gives a part of the closed windows that this batch has not touched.
    fn give_closed(&mut self, cx: &mut Context<'_>) -> Result {
        let Some(Closing { from_ms, to_ms, next }) = self.closing.take() else { return Ok(()) };
        let windows = cx.stores.open(self.windows);
        let (rows, left) = match &next {
            None => windows.take_range(&from_ms, &to_ms, ROWS_PER_CHUNK)?,
            Some(next) => windows.take_range(next, &to_ms, ROWS_PER_CHUNK)?,
        };
        self.closing = left.map(|key| Closing { from_ms, to_ms, next: Some(key) });
        self.give(rows, cx);
        Ok(())
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> EventReduce<K, V, F> {
    fn add(&mut self, rows: Vec<EventRow<K, V>>, cx: &mut Context<'_>) -> Result {
        let spans = self.time.spans;
        let before = self.time.before(cx)?;
        let (first_open, newest) = (spans.open_at(before), before.newest.unwrap_or(i64::MIN));
        let windows = cx.stores.open(self.windows);
        let may_be_there = |row: &&EventRow<K, V>| (first_open..=newest).contains(&row.window.start_ms);
        windows.prefetch(rows.iter().filter(may_be_there).map(|row| &row.window))?;
        for EventRow { window, value, newest_ms, records } in rows {
            if window.start_ms < first_open {
                cx.counters.late += records as usize;
                continue;
            }
            self.touched += 1;
            self.time.saw(window.start_ms);
            let mut slot = windows.entry_of_new(window)?; // prefetched, or new
            let next = match slot.take() {
                Some(old) => WindowValue {
                    value: (self.reduce)(old.value, value),
                    newest_ms: old.newest_ms.max(newest_ms),
                },
                None => WindowValue { value, newest_ms },
            };
            slot.set(next);
        }
        Ok(())
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for EventReduce<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let EventRows { rows, marks } = input.take::<EventRows<K, V>>();
        self.time.heard(marks);
        if rows.is_empty() { Ok(()) } else { self.add(rows, cx) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if self.closing.is_some() {
            return self.give_closed(cx);
        }
        match self.gives {
            Gives::Updates => self.end_with_updates(cx)?,
            Gives::Finals => self.end_with_finals(cx)?,
        }
        self.touched = 0;
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.closing.is_some()
    }
}
