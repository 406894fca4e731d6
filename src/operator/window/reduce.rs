//! `reduce_by_key_and_window` without an inverse: each window is reduced anew from its panes.
//!
//! Knows no exchange: rows of a key come to one task. Invariants: a window is a merge of its panes, never held; its cost at a slide
//! is the rows of its panes; panes that no later window covers are deleted, some at each batch.

use super::{
    panes::{Merge, Panes, add},
    time::{Marks, ROWS_PER_CHUNK, Slides, delete_some, read_mark, write_mark},
};
use crate::{
    error::Result,
    operator::{Context, Operator, Port},
    record::{Chunk, Key, Value},
    state::Handle,
};
use std::sync::Arc;

/// How many expired rows a batch deletes, beside twice as many as it has written.
pub(super) const DELETED_PER_BATCH: usize = 8_192;

/// Reduces the values of each key of a window at each slide.
pub struct WindowReduce<K: Key, V: Value, F> {
    slides: Slides,
    pane_ms: i64,
    reduce: Arc<F>,
    panes: Handle<Panes<K, V>>,
    marks: Handle<Marks>,
    written: usize,
    giving: Option<Merge<K, V>>,
}

impl<K: Key, V: Value, F> WindowReduce<K, V, F> {
    /// A window whose panes of `pane_ms` and whose mark are in these stores. 1 ms = a pane per batch.
    #[must_use]
    pub fn new(
        slides: Slides,
        pane_ms: i64,
        reduce: Arc<F>,
        panes: Handle<Panes<K, V>>,
        marks: Handle<Marks>,
    ) -> Self {
        WindowReduce { slides, pane_ms, reduce, panes, marks, written: 0, giving: None }
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> WindowReduce<K, V, F> {
    fn begin(&mut self, cx: &mut Context<'_>) -> Result {
        let time = self.slides.time_of(cx.batch.time.0);
        let before = read_mark(self.marks, cx)?;
        let mut mark = before;
        let due = self.slides.due(time, mark.emitted);
        if due.is_none() && self.written == 0 && mark.emitted.is_none() {
            return Ok(());
        }
        mark.emitted = due.or(mark.emitted).or(Some(self.slides.instant(time)));
        // What the window to be given now does not cover either.
        let expired = before.emitted.map_or(i64::MIN, |last| self.slides.expired_after(last));
        let limit = DELETED_PER_BATCH.max(2 * self.written);
        let swept = delete_some(cx.stores.open(self.panes), mark.deleted, expired, limit)?;
        mark.deleted = swept.up_to;
        // Of a window without any row nothing need be known.
        if (swept.rows > 0 || !swept.is_empty) && mark != before {
            write_mark(self.marks, mark, cx)?;
        }
        self.written = 0;
        if let Some(instant) = due.filter(|_| !swept.is_empty) {
            self.giving = Some(Merge::new(self.panes, self.slides.covered(instant), cx)?);
        }
        Ok(())
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for WindowReduce<K, V, F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let pane = self.slides.pane(self.slides.time_of(cx.batch.time.0), self.pane_ms);
        self.written += add(cx.stores.open(self.panes), pane, input.take(), &*self.reduce)?;
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if self.giving.is_none() {
            self.begin(cx)?;
        }
        if let Some(merge) = &mut self.giving {
            let rows = merge.take(ROWS_PER_CHUNK, cx.stores.open(self.panes), &*self.reduce)?;
            cx.out.rows(rows);
        }
        self.giving.take_if(|merge| merge.is_done());
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.giving.is_some()
    }
}
