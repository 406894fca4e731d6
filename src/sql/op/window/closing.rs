//! When what an operator keeps of windows closes: which rows are late, how far event time is, and what is said of it behind the rows.
//!
//! Owns the order of a batch for operators that close. Knows no row but the end of its window. Invariants: rows are late against the
//! watermark before the batch, windows close with the one after it; the mark that goes on comes behind the rows.

use super::{WindowEnds, WindowMarks, assign::times_ms, time::WindowTime};
use crate::{
    error::{Error, Result},
    operator::{Context, Gives, UpstreamMark, UpstreamName},
    record::Stamps,
    sql::{Delta, Payload, op::exchange::failed},
    state::{Handle, Table},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array},
    compute::{take, take_record_batch},
    datatypes::Int64Type,
};
use std::sync::Arc;

/// How many rows of closed windows a batch deletes that have left before.
pub const DELETED_PER_BATCH: usize = 8_192;

/// What closes in an operator, and when.
pub struct Closing {
    gives: Gives,
    time: WindowTime,
    /// Under which name it says how far it is, if something behind it asks.
    sends_as: Option<Arc<str>>,
    /// What was said last: the mark's time, and whether no row comes unless one comes in.
    reported: Option<(Option<i64>, bool)>,
}

impl Closing {
    /// Windows that end at `ends`, whose marks are in the store `marks`. If something behind the operator closes too, it says how far it
    /// is as `sends_as`.
    #[must_use]
    pub fn new(
        gives: Gives,
        ends: WindowEnds,
        marks: Handle<Table<u8, WindowMarks>>,
        sends_as: Option<Arc<str>>,
    ) -> Self {
        Closing { gives, time: WindowTime::new(ends, marks), sends_as, reported: None }
    }

    /// Which rows leave.
    #[must_use]
    pub fn gives(&self) -> Gives {
        self.gives
    }

    /// Upstreams told how far they are; taken up when the batch ends.
    pub fn heard(&mut self, marks: Vec<UpstreamMark>) {
        self.time.heard(marks);
    }

    /// The watermark before the batch.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn watermark(&mut self, cx: &mut Context<'_>) -> Result<Option<i64>> {
        Ok(self.time.before(cx)?.time.get())
    }

    /// Rows without those of windows that were closed when the batch began; `ends` has the end of the window of each, milliseconds.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn in_time(
        &mut self,
        delta: Delta,
        stamps: Stamps,
        ends: &Int64Array,
        cx: &mut Context<'_>,
    ) -> Result<(Delta, Stamps)> {
        let watermark = self.time.before(cx)?.time.get();
        let is_late = |end: &i64| watermark.is_some_and(|watermark| *end <= watermark);
        let late: Vec<usize> = (0..ends.len()).filter(|row| is_late(&ends.value(*row))).collect();
        if let Some(end_ms) = ends.values().iter().filter(|end| !is_late(end)).max() {
            self.time.saw(*end_ms);
        }
        if late.is_empty() {
            return Ok((delta, stamps));
        }
        for row in &late {
            let rows = usize::try_from(delta.weight(*row).unsigned_abs()).unwrap_or(usize::MAX);
            cx.counters.late = cx.counters.late.saturating_add(rows);
        }
        let kept: UInt32Array =
            (0u32..).zip(ends.values()).filter(|(_, end)| !is_late(end)).map(|(row, _)| row).collect();
        let weights = delta.weights.as_ref().map(|weights| take(weights, &kept, None)).transpose();
        let weights = weights.map_err(|e| failed(&e))?;
        let weights = weights.map(|weights| weights.as_primitive::<Int64Type>().clone());
        let rows = take_record_batch(&delta.rows, &kept).map_err(|e| failed(&e))?;
        Ok((Delta { rows, weights }, stamps.without(&late)))
    }

    /// The marks that follow at the end of the batch.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn advance(&mut self, cx: &mut Context<'_>) -> Result<WindowMarks> {
        self.time.advance(cx)
    }

    /// All rows of the batch have left: says how far event time is, and stores it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn done(&mut self, marks: WindowMarks, cx: &mut Context<'_>) -> Result {
        if let Some(name) = &self.sends_as {
            let now = (marks.time.get(), marks.is_quiet());
            if self.reported != Some(now) || cx.batch.is_roll_call {
                self.reported = Some(now);
                let upstream = UpstreamName::of_part(cx.out.upstream, name);
                cx.out.chunk(Payload::marks(vec![UpstreamMark { upstream, time_ms: now.0, idle: now.1 }]));
            }
        }
        self.time.end(marks, cx)
    }
}

/// The ends of windows in a column, milliseconds.
///
/// # Errors
/// If one is missing.
pub fn ends_ms(column: &ArrayRef) -> Result<Int64Array> {
    let ends = times_ms(column)?;
    if ends.null_count() > 0 {
        return Err(Error::Row("the end of a window is NULL".into()));
    }
    Ok(ends)
}

/// Eight bytes whose order is that of times.
#[must_use]
pub fn time_bytes(ms: i64) -> [u8; 8] {
    (ms ^ i64::MIN).to_be_bytes()
}

/// The time that such bytes begin with.
#[must_use]
pub fn time_of(bytes: &[u8]) -> i64 {
    let bytes = bytes.first_chunk::<8>().copied().unwrap_or_default();
    i64::from_be_bytes(bytes) ^ i64::MIN
}
