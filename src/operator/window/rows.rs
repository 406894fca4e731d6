//! `window`: the rows of the last batches, again at every slide.
//!
//! Stores rows in blocks under the time of their batch. Knows no key. Invariants: a window is read from the
//! store block by block, never held; blocks that no later window covers are deleted, some at each batch.

use super::{
    sweep::{Marks, sweep},
    time::Slides,
};
use crate::{
    codec::value_bytes,
    error::Result,
    operator::{Context, Operator, Port, ROWS_PER_CHUNK},
    record::{Chunk, Value},
    state::{Handle, OrderedTable},
};
use std::ops::Bound;

/// A block of rows is closed at about this size, so that it always fits in a record of the changelog.
const BLOCK_BYTES: usize = 32 << 10;
const BLOCK_ROWS: usize = 1_024;
/// How many expired blocks a batch deletes, in addition to twice as many as it has written.
const DELETED_PER_BATCH: usize = 256;

/// Rows in blocks, by time of the batch and number of the block in it.
pub type Blocks<T> = OrderedTable<(i64, u32), Vec<T>>;

/// Keeps the rows of a window and emits them at each slide.
pub struct WindowRows<T: Value> {
    slides: Slides,
    blocks: Handle<Blocks<T>>,
    marks: Handle<Marks>,
    /// Blocks that this batch has written.
    written: u32,
    /// While a window is being emitted: the last time in it, and the last block emitted.
    emitting: Option<(i64, (i64, u32))>,
}

impl<T: Value> WindowRows<T> {
    /// The operator, with its blocks and its mark in these stores.
    #[must_use]
    pub fn new(slides: Slides, blocks: Handle<Blocks<T>>, marks: Handle<Marks>) -> Self {
        WindowRows { slides, blocks, marks, written: 0, emitting: None }
    }

    fn keep(&mut self, rows: Vec<T>, cx: &mut Context<'_>) -> Result {
        let time = self.slides.time_of(cx.batch.time.0);
        cx.stores.open(self.blocks).insert(&(time, self.written), rows)?;
        self.written += 1;
        Ok(())
    }

    /// Checks whether a window is due, and deletes what no window needs any more.
    fn begin(&mut self, cx: &mut Context<'_>) -> Result {
        let written = std::mem::take(&mut self.written) as usize;
        let due = sweep(self.slides, self.blocks, self.marks, written, DELETED_PER_BATCH, cx)?;
        self.emitting = due.map(|instant| (instant, (*self.slides.covered(instant).start(), 0)));
        Ok(())
    }

    /// Emits a part of the window.
    fn emit(&mut self, cx: &mut Context<'_>) -> Result {
        let Some((last, from)) = self.emitting.take() else { return Ok(()) };
        let mut rows = vec![];
        let mut next = None;
        cx.stores.open(self.blocks).visit(
            (Bound::Included(from), Bound::Included((last, u32::MAX))),
            |at, block| {
                if rows.len() >= ROWS_PER_CHUNK {
                    next = Some(*at);
                    return Ok(false);
                }
                rows.extend(block.get().into_iter().flatten().cloned());
                Ok(true)
            },
        )?;
        self.emitting = next.map(|next| (last, next));
        cx.out.rows(rows);
        Ok(())
    }
}

impl<T: Value> Operator for WindowRows<T> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (mut block, mut bytes) = (vec![], 0);
        for row in input.take::<Vec<T>>() {
            bytes += value_bytes(&row);
            block.push(row);
            if bytes >= BLOCK_BYTES || block.len() >= BLOCK_ROWS {
                bytes = 0;
                self.keep(std::mem::take(&mut block), cx)?;
            }
        }
        if block.is_empty() { Ok(()) } else { self.keep(block, cx) }
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
