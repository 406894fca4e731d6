//! How time bounds a join: windows that both sides are in, or bounds between their times that the condition gives.
//!
//! Owns which conditions are bounds. Knows no operator's code. Invariant: bounds are at least as wide as what the condition allows; where
//! that cannot be seen, there are none, and rows are kept.

use super::{Lower, below::unalias};
use crate::sql::{
    op::{JoinTime, WindowEnds},
    plan::stream_plan::Properties,
};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, Operator, utils::split_conjunction};

/// Two sides of a join as their condition sees them.
pub(super) struct Timed<'a> {
    /// The columns of the first side, and those of the second behind them.
    pub schema: &'a DFSchema,
    /// How many are of the first.
    pub of_first: usize,
    /// What is known of the rows of both.
    pub properties: [&'a Properties; 2],
    /// The columns of both keys, pair by pair.
    pub keys: &'a [(usize, usize)],
}

/// Bounds of the second time less the first one, nanoseconds.
#[derive(Default)]
struct Bounds {
    from_ns: Option<i128>,
    to_ns: Option<i128>,
}

impl Bounds {
    fn at_least(&mut self, ns: i128) {
        self.from_ns = self.from_ns.max(Some(ns));
    }

    fn at_most(&mut self, ns: i128) {
        self.to_ns = Some(self.to_ns.map_or(ns, |to_ns| to_ns.min(ns)));
    }
}

impl Lower<'_> {
    /// How time bounds a join, if it does.
    pub(super) fn join_time(sides: &Timed<'_>, condition: Option<&Expr>) -> Option<JoinTime> {
        let [first, second] = sides.properties;
        if let (Some(a), Some(b)) = (first.window_end, second.window_end)
            && sides.keys.contains(&(a.column, b.column))
        {
            let every = WindowEnds { step_ms: 1, offset_ms: 0 };
            let at = if a.ends == b.ends { a.ends } else { every };
            return Some(JoinTime::Windows { ends: [a.column, b.column], at });
        }
        if !first.is_append_only || !second.is_append_only {
            return None;
        }
        let times = |of: &Properties| of.time_column.into_iter().chain(of.window_end.map(|end| end.column));
        let pairs = times(first).flat_map(|a| times(second).map(move |b| (a, b)));
        pairs.into_iter().find_map(|times| sides.bounds(times, condition))
    }
}

impl Timed<'_> {
    /// The bounds of these two columns. The end of a window is a time, too: rows that are not late have none behind the watermark.
    fn bounds(&self, times: (usize, usize), condition: Option<&Expr>) -> Option<JoinTime> {
        let mut bounds = Bounds::default();
        if self.keys.contains(&times) {
            bounds.at_least(0);
            bounds.at_most(0);
        }
        for part in condition.into_iter().flat_map(split_conjunction) {
            self.bound(part, times, &mut bounds);
        }
        let from_ms = i64::try_from(bounds.from_ns?.div_euclid(1_000_000)).ok()?;
        let to_ms = i64::try_from(bounds.to_ns?.checked_add(999_999)?.div_euclid(1_000_000)).ok()?;
        (from_ms <= to_ms).then_some(JoinTime::Bound { times: [times.0, times.1], from_ms, to_ms })
    }

    fn bound(&self, part: &Expr, times: (usize, usize), bounds: &mut Bounds) {
        match part {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                self.compared(left, *op, right, times, bounds);
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                self.compared(expr, Operator::GtEq, low, times, bounds);
                self.compared(expr, Operator::LtEq, high, times, bounds);
            }
            _ => {}
        }
    }

    fn compared(&self, left: &Expr, op: Operator, right: &Expr, times: (usize, usize), bounds: &mut Bounds) {
        let (Some((a, a_ns)), Some((b, b_ns))) =
            (self.moved_time(left, times), self.moved_time(right, times))
        else {
            return;
        };
        // first + c <= second + d: second - first >= c - d.
        let (op, difference_ns) = match (a, b) {
            (0, 1) => (op, a_ns - b_ns),
            (1, 0) => match op.swap() {
                Some(op) => (op, b_ns - a_ns),
                None => return,
            },
            _ => return,
        };
        if matches!(op, Operator::Lt | Operator::LtEq | Operator::Eq) {
            bounds.at_least(difference_ns);
        }
        if matches!(op, Operator::Gt | Operator::GtEq | Operator::Eq) {
            bounds.at_most(difference_ns);
        }
    }

    /// Whose time an expression is, and by how many nanoseconds it is moved.
    fn moved_time(&self, expr: &Expr, times: (usize, usize)) -> Option<(usize, i128)> {
        match unalias(expr) {
            Expr::Column(column) => self.time(column, times).map(|side| (side, 0)),
            // A conversion to a finer unit is exact.
            Expr::Cast(Cast { expr: inner, .. }) => {
                let unit = |expr: &Expr| match expr.get_type(self.schema).ok()? {
                    DataType::Timestamp(unit, _) => Some(rank(unit)),
                    _ => None,
                };
                if unit(inner)? > unit(expr)? { None } else { self.moved_time(inner, times) }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (inner, ns) = match (op, interval_ns(left), interval_ns(right)) {
                    (Operator::Plus, None, Some(ns)) => (left, ns),
                    (Operator::Minus, None, Some(ns)) => (left, -ns),
                    (Operator::Plus, Some(ns), None) => (right, ns),
                    _ => return None,
                };
                let (side, before_ns) = self.moved_time(inner, times)?;
                Some((side, before_ns + ns))
            }
            _ => None,
        }
    }

    fn time(&self, column: &Column, times: (usize, usize)) -> Option<usize> {
        let at = self.schema.index_of_column(column).ok()?;
        match at.checked_sub(self.of_first) {
            None => (at == times.0).then_some(0),
            Some(at) => (at == times.1).then_some(1),
        }
    }
}

fn rank(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// A fixed length of time; months have none.
fn interval_ns(expr: &Expr) -> Option<i128> {
    const DAY_NS: i128 = 86_400_000_000_000;
    let Expr::Literal(value, _) = unalias(expr) else { return None };
    Some(match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months == 0 => {
            i128::from(value.days) * DAY_NS + i128::from(value.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(value)) => {
            i128::from(value.days) * DAY_NS + i128::from(value.milliseconds) * 1_000_000
        }
        ScalarValue::DurationSecond(Some(value)) => i128::from(*value) * 1_000_000_000,
        ScalarValue::DurationMillisecond(Some(value)) => i128::from(*value) * 1_000_000,
        ScalarValue::DurationMicrosecond(Some(value)) => i128::from(*value) * 1_000,
        ScalarValue::DurationNanosecond(Some(value)) => i128::from(*value),
        _ => return None,
    })
}
