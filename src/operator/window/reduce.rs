//! `reduce_by_key_and_window` without an inverse: each window is reduced from its panes from scratch.
//!
//! Knows no exchange: all rows of a key come to one task. Invariants: a window is a merge of its panes, never
//! held; its cost at a slide is the rows of its panes; panes that no later window covers are deleted, some at
//! each batch.

use super::{
    panes::{DELETED_PER_BATCH, Merge, Panes, add},
    sweep::{Marks, sweep},
    time::Slides,
};
use crate::{
    error::Result,
    operator::{Context, Operator, Port, ROWS_PER_CHUNK},
    record::{Chunk, Key, Value},
    state::Handle,
};
use std::sync::Arc;

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
    /// The operator, with its panes of `pane_ms` and its mark in these stores. 1 ms = a pane per batch.
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
        let written = std::mem::take(&mut self.written);
        let due = sweep(self.slides, self.panes, self.marks, written, DELETED_PER_BATCH, cx)?;
        if let Some(instant) = due {
            self.giving = Some(Merge::new(self.panes, self.slides.covered(instant), cx)?);
        }
        Ok(())
    }
}

impl<K: Key, V: Value, F: Fn(V, V) -> V + Send + Sync> Operator for WindowReduce<K, V, F> {
    fn sees_batches(&self) -> bool {
        true
    }

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
