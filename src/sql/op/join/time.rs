//! Joins whose rows go when time has passed: windows that both sides are in, and bounds between the times of both sides.
//!
//! Owns when a row is late, when it can go, and under which times its partners are kept. Knows no store. Invariant: a row can go from a
//! time on that no row which is not late can still meet it.
//!
//! Rows are kept under the time from which on they can go. For windows that is their end. With a bound, `right - left` between `from` and
//! `to`: a row of the left at `t` meets rows of the right up to `t + to`, and one of the right at `t` rows of the left up to `t - from`. What is
//! behind that is rounded up to multiples of a step, a quarter of the bound, so that few times are looked through for a row, and rows that go
//! together lie together.

use crate::{
    error::{Error, Result},
    sql::op::{WindowEnds, times_ms},
};
use arrow::array::{ArrayRef, Int64Array};

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// 0 or 1.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Side::Left => 0,
            Side::Right => 1,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

/// How time bounds a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTime {
    /// Both sides are in windows, and the ends of these are part of the key.
    Windows {
        /// The columns with the end of the window: that of the left side, and that of the right.
        ends: [usize; 2],
        /// When windows can end.
        at: WindowEnds,
    },
    /// The time of the right row, less that of the left one, is between these bounds.
    Bound {
        /// The columns of event time: that of the left side, and that of the right.
        times: [usize; 2],
        /// The least difference, milliseconds.
        from_ms: i64,
        /// The greatest.
        to_ms: i64,
    },
}

impl JoinTime {
    /// The column of a side's time.
    pub(super) fn column(self, side: Side) -> usize {
        match self {
            JoinTime::Windows { ends: columns, .. } | JoinTime::Bound { times: columns, .. } => {
                columns[side.index()]
            }
        }
    }

    /// How far apart the times are from which on rows can go.
    #[must_use]
    pub fn steps(self) -> WindowEnds {
        match self {
            JoinTime::Windows { at, .. } => at,
            JoinTime::Bound { from_ms, to_ms, .. } => {
                let step_ms = (to_ms.saturating_sub(from_ms).saturating_add(3) / 4).max(1);
                WindowEnds { step_ms, offset_ms: 0 }
            }
        }
    }

    /// The least multiple of the step that is not before a time.
    fn up(self, time_ms: i64) -> i64 {
        let step_ms = self.steps().step_ms;
        let steps = time_ms.div_euclid(step_ms).saturating_add(i64::from(time_ms.rem_euclid(step_ms) > 0));
        steps.saturating_mul(step_ms)
    }

    /// Whether a row of this time is late.
    pub(super) fn is_late(self, time_ms: i64, watermark: Option<i64>) -> bool {
        let Some(watermark) = watermark else { return false };
        match self {
            JoinTime::Windows { .. } => time_ms <= watermark,
            JoinTime::Bound { .. } => time_ms < watermark,
        }
    }

    /// From which watermark on a row of this time can go.
    pub(super) fn goes_at(self, side: Side, time_ms: i64) -> i64 {
        match (self, side) {
            (JoinTime::Windows { .. }, _) => time_ms,
            (JoinTime::Bound { to_ms, .. }, Side::Left) => {
                self.up(time_ms.saturating_add(to_ms).saturating_add(1))
            }
            (JoinTime::Bound { from_ms, .. }, Side::Right) => {
                self.up(time_ms.saturating_sub(from_ms).saturating_add(1))
            }
        }
    }

    /// Under which times the partners of a row of this time are kept.
    pub(super) fn partners(self, time_ms: i64) -> impl Iterator<Item = i64> {
        let (first, last) = match self {
            JoinTime::Windows { .. } => (time_ms, time_ms),
            JoinTime::Bound { from_ms, to_ms, .. } => {
                let first = time_ms.saturating_add(1);
                (self.up(first), self.up(first.saturating_add(to_ms.saturating_sub(from_ms))))
            }
        };
        let step_ms = self.steps().step_ms;
        std::iter::successors(Some(first), move |at| at.checked_add(step_ms))
            .take_while(move |at| *at <= last)
    }

    /// How far behind the watermark the times of rows that leave later may be.
    #[must_use]
    pub fn lag_ms(self, rows_leave_when_they_go: bool) -> i64 {
        match self {
            JoinTime::Windows { .. } => 0,
            JoinTime::Bound { from_ms, to_ms, .. } => {
                let step_ms = if rows_leave_when_they_go { self.steps().step_ms } else { 0 };
                to_ms.max(from_ms.saturating_neg()).max(0).saturating_add(step_ms)
            }
        }
    }
}

/// The times of a side's rows, milliseconds.
pub(super) fn times_of(column: &ArrayRef) -> Result<Int64Array> {
    times_ms(column).map_err(|e| match e {
        Error::Row(what) => Error::Codec(what),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_meets_a_row_is_kept_under_one_of_the_times_that_are_looked_through() {
        for (from_ms, to_ms) in [(-5, 7), (0, 0), (0, 40), (3, 9), (-9, -2), (-1, 0)] {
            let time = JoinTime::Bound { times: [0, 0], from_ms, to_ms };
            for left in -30..30 {
                let met: Vec<i64> = (left + from_ms..=left + to_ms).collect();
                let looked: Vec<i64> = time.partners(left).collect();
                assert!(looked.len() <= 6, "{looked:?}");
                for right in met {
                    assert!(looked.contains(&time.goes_at(Side::Right, right)), "{left} {right} {looked:?}");
                    let back: Vec<i64> = time.partners(right).collect();
                    assert!(back.contains(&time.goes_at(Side::Left, left)), "{left} {right} {back:?}");
                    // A row that is not late at the moment when the other goes does not meet it.
                    let goes = time.goes_at(Side::Left, left);
                    assert!(time.is_late(right, Some(goes)), "{left} {right}");
                    let goes = time.goes_at(Side::Right, right);
                    assert!(time.is_late(left, Some(goes)), "{left} {right}");
                }
            }
        }
    }
}
