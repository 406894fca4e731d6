//! What a state partition remembers of event time, for windows whose rows are grouped by their end.
//!
//! Owns the one row of state with the marks, and the order of a batch: rows are late against the watermark before it, windows close with
//! the one after it. Knows no group and no clock but the batch's. Invariant: while all upstreams are idle event time goes on until every
//! window that has had a row is closed, and no further.

use crate::{
    error::Result,
    operator::{Context, UpstreamMark, Watermarks},
    state::{Handle, Merge, Placement, StoreSpec, Table},
};
use serde::{Deserialize, Serialize};

/// The times at which windows can end: multiples of a step, shifted by an offset, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowEnds {
    /// How far they are apart.
    pub step_ms: i64,
    /// How far the first of them is after the epoch.
    pub offset_ms: i64,
}

impl WindowEnds {
    /// The last of them that is not after a time.
    #[must_use]
    pub fn last_at(self, time_ms: i64) -> i64 {
        let steps = time_ms.saturating_sub(self.offset_ms).div_euclid(self.step_ms);
        steps.saturating_mul(self.step_ms).saturating_add(self.offset_ms)
    }
}

/// What a state partition knows about event time and about its windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowMarks {
    /// How far event time is.
    pub time: Watermarks,
    /// The greatest end of a window that has had a row.
    pub newest_end_ms: Option<i64>,
    /// No window that ends up to this time is stored.
    pub deleted_to_ms: Option<i64>,
}

impl WindowMarks {
    /// How the plan declares their store, for the operator whose state is called `name`.
    #[must_use]
    pub fn store(name: &str) -> StoreSpec {
        Table::<u8, WindowMarks>::spec(format!("{name}.mark")).placed(Placement::Each(Merge::Least))
    }

    /// Whether no row will come out of windows unless one comes in.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.time.is_idle() && self.newest_end_ms <= self.time.get()
    }
}

/// The marks while a batch is computed.
pub(in crate::sql::op) struct WindowTime {
    ends: WindowEnds,
    store: Handle<Table<u8, WindowMarks>>,
    /// As they were when the batch began, once something has asked.
    before: Option<WindowMarks>,
    newest_end_ms: Option<i64>,
    news: Vec<UpstreamMark>,
}

impl WindowTime {
    pub fn new(ends: WindowEnds, store: Handle<Table<u8, WindowMarks>>) -> Self {
        WindowTime { ends, store, before: None, newest_end_ms: None, news: vec![] }
    }

    /// The marks as they were when the batch began.
    pub fn before(&mut self, cx: &mut Context<'_>) -> Result<&WindowMarks> {
        if self.before.is_none() {
            self.before = Some(cx.stores.open(self.store).get(&0)?.unwrap_or_default());
        }
        Ok(self.before.get_or_insert_default())
    }

    /// A window that ends then has a row.
    pub fn saw(&mut self, end_ms: i64) {
        self.newest_end_ms = self.newest_end_ms.max(Some(end_ms));
    }

    /// Upstreams told how far they are; taken up when the batch ends.
    pub fn heard(&mut self, marks: Vec<UpstreamMark>) {
        self.news.extend(marks);
    }

    /// The marks that follow at the end of the batch.
    pub fn advance(&mut self, cx: &mut Context<'_>) -> Result<WindowMarks> {
        let mut marks = self.before(cx)?.clone();
        marks.time.advance(std::mem::take(&mut self.news), cx.batch.is_roll_call);
        marks.newest_end_ms = marks.newest_end_ms.max(self.newest_end_ms.take());
        marks.time.go_on(cx.batch.time, marks.newest_end_ms, |time_ms| self.ends.last_at(time_ms));
        Ok(marks)
    }

    /// Stores the marks, if they have changed.
    pub fn end(&mut self, marks: WindowMarks, cx: &mut Context<'_>) -> Result {
        if self.before.take().as_ref() != Some(&marks) {
            marks.time.get().into_iter().for_each(|watermark| cx.counters.watermark_moved(watermark));
            cx.stores.open(self.store).entry(0)?.set(marks);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_at_multiples_of_a_step() {
        let ends = WindowEnds { step_ms: 10, offset_ms: 3 };
        assert_eq!([3, 12, 13, 2, -7, -8].map(|time| ends.last_at(time)), [3, 3, 13, -7, -7, -17]);
    }
}
