//! Rows get the windows that their event time lies in: `TUMBLE`, `HOP` and `CUMULATE`, and what sessions are made of.
//!
//! Owns which windows those are. Knows no aggregate and no watermark. Invariants: windows start at multiples of the slide from the epoch
//! (plus the offset); a row comes once for each of its windows, those in the order of their ends; a row without a time is an error.

use super::WindowEnds;
use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{Chunk, Stamps, StampsBuilder},
    sql::{Delta, Payload},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array},
    compute::take,
    datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType},
    error::ArrowError,
};
use std::sync::Arc;

/// The windows of a table-valued function, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowKind {
    /// Windows of this size, one after the other.
    Tumble {
        /// How long each is.
        size_ms: i64,
    },
    /// Windows of this size, one at each slide.
    Hop {
        /// How long each is; a multiple of the slide.
        size_ms: i64,
        /// How far their starts are apart.
        slide_ms: i64,
    },
    /// Windows that start together and end a step later each, up to the size.
    Cumulate {
        /// How long the last of them is; a multiple of the step.
        size_ms: i64,
        /// How far their ends are apart.
        step_ms: i64,
    },
    /// The rows of a group between which there is no gap as long as this. A row alone has a window of this length; an aggregate makes
    /// sessions of them.
    Session {
        /// How long.
        gap_ms: i64,
    },
}

/// Windows, shifted by an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windows {
    /// Which.
    pub kind: WindowKind,
    /// How far the first of them starts after the epoch, milliseconds.
    pub offset_ms: i64,
}

impl Windows {
    /// The times at which windows end.
    #[must_use]
    pub fn ends(&self) -> WindowEnds {
        let (step_ms, size_ms) = match self.kind {
            WindowKind::Tumble { size_ms } => (size_ms, size_ms),
            WindowKind::Hop { size_ms, slide_ms } => (slide_ms, size_ms),
            WindowKind::Cumulate { size_ms, step_ms } => (step_ms, size_ms),
            WindowKind::Session { .. } => (1, 0),
        };
        WindowEnds { step_ms, offset_ms: self.offset_ms.saturating_add(size_ms).rem_euclid(step_ms) }
    }

    /// Calls `window` with start and end of each window that a time lies in, by their ends.
    pub fn of(&self, time_ms: i64, mut window: impl FnMut(i64, i64)) {
        let floor = |time_ms: i64, step: i64| {
            let from = time_ms.saturating_sub(self.offset_ms);
            from.div_euclid(step).saturating_mul(step).saturating_add(self.offset_ms)
        };
        match self.kind {
            WindowKind::Tumble { size_ms } => {
                let start = floor(time_ms, size_ms);
                window(start, start.saturating_add(size_ms));
            }
            WindowKind::Hop { size_ms, slide_ms } => {
                // The first that ends after the time.
                let mut start = floor(time_ms.saturating_sub(size_ms), slide_ms).saturating_add(slide_ms);
                while start <= time_ms {
                    window(start, start.saturating_add(size_ms));
                    start += slide_ms;
                }
            }
            WindowKind::Cumulate { size_ms, step_ms } => {
                let start = floor(time_ms, size_ms);
                let mut end = floor(time_ms, step_ms).saturating_add(step_ms);
                while end <= start.saturating_add(size_ms) {
                    window(start, end);
                    end += step_ms;
                }
            }
            WindowKind::Session { gap_ms } => window(time_ms, time_ms.saturating_add(gap_ms)),
        }
    }
}

/// Adds the columns `window_start`, `window_end` and `window_time` to rows.
pub struct AssignWindows {
    /// The windows.
    pub windows: Windows,
    /// The column of event time.
    pub time_column: usize,
    /// The columns of the result.
    pub schema: SchemaRef,
}

/// The times of a column in milliseconds.
///
/// # Errors
/// If it is no timestamp.
pub(crate) fn times_ms(column: &ArrayRef) -> Result<Int64Array> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(column.as_primitive::<TimestampMillisecondType>().reinterpret_cast())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(column.as_primitive::<TimestampMicrosecondType>().unary(|us| us.div_euclid(1_000)))
        }
        other => Err(Error::Row(format!("event time is a timestamp, not {other}"))),
    }
}

fn failed(e: &ArrowError) -> Error {
    Error::Row(e.to_string())
}

impl AssignWindows {
    fn assigned(&self, delta: &Delta, stamps: &Stamps) -> Result<Chunk> {
        let times = times_ms(delta.rows.column(self.time_column))?;
        if times.null_count() > 0 {
            let schema = delta.rows.schema();
            let name = schema.field(self.time_column).name();
            return Err(Error::Row(format!(
                "the event time `{name}` is NULL, so the row belongs to no window"
            )));
        }
        let (mut from, mut starts, mut ends) = (vec![], vec![], vec![]);
        let mut of_rows = StampsBuilder::default();
        let mut each = stamps.each();
        for (row, time_ms) in (0u32..).zip(times.values()) {
            let before = from.len();
            self.windows.of(*time_ms, |start, end| {
                from.push(row);
                starts.push(start);
                ends.push(end);
            });
            of_rows.repeat(each.next_ms(), from.len() - before);
        }
        let is_one_to_one = from.len() == times.len() && (0u32..).zip(&from).all(|(row, from)| row == *from);
        let from = UInt32Array::from(from);
        let taken = |column: &ArrayRef| -> Result<ArrayRef> {
            if is_one_to_one { Ok(column.clone()) } else { take(column, &from, None).map_err(|e| failed(&e)) }
        };
        let mut columns = delta.rows.columns().iter().map(taken).collect::<Result<Vec<_>>>()?;
        let last: Vec<i64> = ends.iter().map(|end| end - 1).collect();
        let zone = |index: usize| match self.schema.field(index).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        for times in [starts, ends, last] {
            let zone = zone(columns.len());
            columns.push(Arc::new(TimestampMillisecondArray::from(times).with_timezone_opt(zone)));
        }
        let weights = delta.weights.as_ref().map(|weights| {
            let weights: ArrayRef = Arc::new(weights.clone());
            taken(&weights).map(|weights| weights.as_primitive().clone())
        });
        let rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| failed(&e))?;
        let stamps = if matches!(stamps, Stamps::Runs(_)) { of_rows.build() } else { stamps.clone() };
        Ok(Delta { rows, weights: weights.transpose()? }.into_chunk().stamped(stamps))
    }
}

impl Operator for AssignWindows {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        match input.view::<Payload>() {
            Payload::Rows(delta) => {
                let assigned = self.assigned(delta, input.stamps())?;
                cx.out.chunk(assigned);
            }
            Payload::Marks(_) => cx.out.chunk(input),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: WindowKind, offset_ms: i64, time_ms: i64) -> Vec<(i64, i64)> {
        let mut windows = vec![];
        Windows { kind, offset_ms }.of(time_ms, |start, end| windows.push((start, end)));
        windows
    }

    #[test]
    fn a_time_lies_in_one_tumbling_window() {
        let tumble = WindowKind::Tumble { size_ms: 10 };
        assert_eq!(of(tumble, 0, 20), [(20, 30)]);
        assert_eq!(of(tumble, 0, 29), [(20, 30)]);
        assert_eq!(of(tumble, 3, 22), [(13, 23)]);
        assert_eq!(of(tumble, 0, -1), [(-10, 0)], "before the epoch");
    }

    #[test]
    fn a_time_lies_in_each_hopping_window_that_reaches_over_it() {
        let hop = WindowKind::Hop { size_ms: 30, slide_ms: 10 };
        assert_eq!(of(hop, 0, 25), [(0, 30), (10, 40), (20, 50)]);
        assert_eq!(of(hop, 0, 30), [(10, 40), (20, 50), (30, 60)]);
        let uneven = WindowKind::Hop { size_ms: 25, slide_ms: 10 };
        assert_eq!(of(uneven, 0, 26), [(10, 35), (20, 45)]);
        assert_eq!(of(uneven, 0, 24), [(0, 25), (10, 35), (20, 45)]);
    }

    #[test]
    fn cumulating_windows_start_together() {
        let cumulate = WindowKind::Cumulate { size_ms: 30, step_ms: 10 };
        assert_eq!(of(cumulate, 0, 5), [(0, 10), (0, 20), (0, 30)]);
        assert_eq!(of(cumulate, 0, 29), [(0, 30)]);
        assert_eq!(of(cumulate, 0, 30), [(30, 40), (30, 50), (30, 60)]);
    }
}
