//! The end of a batch for a window over batch times: which instant is due, and which rows no later instant
//! covers.
//!
//! Owns the one row of state that remembers the last instant, and the deletion of expired rows, some at each
//! batch. Knows no key. Invariants: only what has expired is deleted; what was deleted before is not scanned
//! again; for a window that never had a row nothing is kept.

use super::time::Slides;
use crate::{
    error::Result,
    operator::Context,
    record::Value,
    state::{Handle, OrderedTable, Table},
};
use serde::{Deserialize, Serialize};

/// What a window remembers about its past, one row per state partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The last instant that was emitted, or skipped before the first one.
    pub emitted: Option<i64>,
    /// Everything up to this time is deleted.
    pub deleted: i64,
}

impl Mark {
    /// The mark before the first row.
    const NONE: Mark = Mark { emitted: None, deleted: i64::MIN };
}

/// The store of a [`Mark`]; its only key is 0.
pub type Marks = Table<u8, Mark>;

/// One batch's step of a window, from the mark of the previous batch to the next one.
pub(super) struct Sweep {
    /// The instant to be emitted now.
    pub due: Option<i64>,
    /// The instant that was emitted last, or skipped before the first one.
    pub last: Option<i64>,
    marks: Handle<Marks>,
    before: Mark,
    deleted: i64,
    emitted: i64,
    written: usize,
}

/// What a sweep has deleted.
pub(super) struct Swept {
    /// Rows that were deleted.
    pub rows: usize,
    /// Whether nothing at all is left in the store.
    pub is_empty: bool,
}

impl Sweep {
    /// The step at the end of a batch that wrote this many rows; `None` = the window never had a row and
    /// nothing is due.
    pub fn begin(
        slides: Slides,
        marks: Handle<Marks>,
        written: usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Self>> {
        let time = slides.time_of(cx.batch.time.0);
        let before = cx.stores.open(marks).get(&0)?.unwrap_or(Mark::NONE);
        let last = before.emitted;
        let due = slides.due(time, last);
        if due.is_none() && written == 0 && last.is_none() {
            return Ok(None);
        }
        let emitted = due.or(last).unwrap_or_else(|| slides.instant(time));
        Ok(Some(Sweep { due, last, marks, before, deleted: before.deleted, emitted, written }))
    }

    /// The instant to remember after this batch.
    pub fn emitted(&self) -> i64 {
        self.emitted
    }

    /// Whether nothing was remembered before this batch.
    pub fn is_first(&self) -> bool {
        self.before == Mark::NONE
    }

    /// Deletes rows up to the time `expired`, at most `per_batch` or twice as many as were written.
    pub fn delete<K: Value, V: Value>(
        &mut self,
        table: &mut OrderedTable<(i64, K), V>,
        expired: i64,
        per_batch: usize,
    ) -> Result<Swept> {
        let limit = per_batch.max(2 * self.written);
        let mut swept = Swept { rows: 0, is_empty: true };
        let from = self.deleted.saturating_add(1);
        self.deleted = expired.max(self.deleted);
        table.visit_from(&from, |(time, _), row| {
            if *time > expired || swept.rows == limit {
                swept.is_empty = false;
                self.deleted = self.deleted.min(*time - 1);
                return Ok(false);
            }
            swept.rows += 1;
            row.take();
            Ok(true)
        })?;
        Ok(swept)
    }

    /// Stores the mark, if it has changed.
    pub fn end(self, cx: &mut Context<'_>) -> Result {
        let mark = Mark { emitted: Some(self.emitted), deleted: self.deleted };
        if mark != self.before {
            cx.stores.open(self.marks).entry(0)?.set(mark);
        }
        Ok(())
    }
}

/// The whole step of a window that reads its rows again at each slide: deletes what even the window that is
/// now due does not cover, and returns the instant to emit, unless there are no rows at all.
pub(super) fn sweep<K: Value, V: Value>(
    slides: Slides,
    table: Handle<OrderedTable<(i64, K), V>>,
    marks: Handle<Marks>,
    written: usize,
    per_batch: usize,
    cx: &mut Context<'_>,
) -> Result<Option<i64>> {
    let Some(mut sweep) = Sweep::begin(slides, marks, written, cx)? else { return Ok(None) };
    let due = sweep.due;
    let expired = sweep.last.map_or(i64::MIN, |last| slides.expired_after(last));
    let swept = sweep.delete(cx.stores.open(table), expired, per_batch)?;
    // A window without any rows needs no mark.
    if swept.rows > 0 || !swept.is_empty {
        sweep.end(cx)?;
    }
    Ok(due.filter(|_| !swept.is_empty))
}
