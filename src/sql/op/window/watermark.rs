//! Where event time begins: how far each upstream is.
//!
//! Owns the greatest time of the rows of one task. Knows no window and no clock but the batch's. Invariants: rows pass unchanged; a mark
//! comes behind them; a time that is NULL, or further ahead of the clock than is allowed, moves no mark; a task without rows says so
//! once, which holds the watermark back, and once more when it is idle.

use crate::{
    error::{Error, Result},
    operator::{Context, EventLimits, Operator, Port, UpstreamMark, UpstreamName},
    record::{BatchTime, Chunk},
    sql::Payload,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    compute,
    datatypes::{ArrowPrimitiveType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType},
};
use std::sync::Arc;

/// Says how far the rows of a task are in event time.
pub struct Watermark {
    /// The table: a task may read one partition for several.
    name: Arc<str>,
    column: usize,
    /// How late rows may be.
    delay_ms: i64,
    limits: EventLimits,
    /// How far behind the batch's time the mark is at most, while there are rows.
    bound_ms: Option<i64>,
    /// The greatest time so far that was not ahead of the clock.
    greatest_ms: Option<i64>,
    /// The last batch that had rows, or the first one.
    active: Option<BatchTime>,
    /// Whether there has been no row for the idle timeout.
    is_quiet: bool,
    /// What was said last: the mark's time, and whether we are idle.
    reported: Option<(Option<i64>, bool)>,
}

impl Watermark {
    /// Of the rows of the table `name`, by this column, less this delay.
    #[must_use]
    pub fn new(name: Arc<str>, column: usize, delay_ms: i64, limits: EventLimits) -> Self {
        Watermark {
            name,
            column,
            delay_ms,
            limits,
            bound_ms: None,
            greatest_ms: None,
            active: None,
            is_quiet: false,
            reported: None,
        }
    }

    /// While there are rows the mark is at most so far behind the time of the batch, whatever the rows say.
    #[must_use]
    pub fn bounded(mut self, bound_ms: Option<i64>) -> Self {
        self.bound_ms = bound_ms;
        self
    }

    fn report(&mut self, cx: &mut Context<'_>) {
        let active = *self.active.get_or_insert(cx.batch.time);
        self.is_quiet = cx.batch.time.0.saturating_sub(active.0) >= self.limits.idle_timeout_ms;
        let idle = self.is_quiet && cx.caught_up > active;
        let early_ms = if crate::failpoint::passes("mutant-closes-early") { 500 } else { 0 };
        let of_rows = self.greatest_ms.map(|ms| ms.saturating_sub(self.delay_ms).saturating_add(early_ms));
        let of_clock = self.bound_ms.filter(|_| self.greatest_ms.is_some() && !self.is_quiet);
        let time_ms = of_rows.max(of_clock.map(|bound_ms| cx.batch.time.0.saturating_sub(bound_ms)));
        if self.reported == Some((time_ms, idle)) && !cx.batch.is_roll_call {
            return;
        }
        self.reported = Some((time_ms, idle));
        let mark =
            UpstreamMark { upstream: UpstreamName::of_part(cx.out.upstream, &self.name), time_ms, idle };
        cx.out.chunk(Payload::marks(vec![mark]));
    }
}

/// The greatest time of a column up to `farthest_ms`, in milliseconds.
fn greatest(times: &ArrayRef, farthest_ms: i64) -> Result<Option<i64>> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(greatest_of(times.as_primitive::<TimestampMillisecondType>(), 1, farthest_ms))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(greatest_of(times.as_primitive::<TimestampMicrosecondType>(), 1_000, farthest_ms))
        }
        other => Err(Error::Row(format!("event time is a timestamp, not {other}"))),
    }
}

fn greatest_of<T: ArrowPrimitiveType<Native = i64>>(
    times: &PrimitiveArray<T>,
    units_a_ms: i64,
    farthest_ms: i64,
) -> Option<i64> {
    let ms = |time: i64| time.div_euclid(units_a_ms);
    let greatest = ms(compute::max(times)?);
    if greatest <= farthest_ms {
        return Some(greatest);
    }
    times.iter().flatten().map(ms).filter(|ms| *ms <= farthest_ms).max()
}

impl Operator for Watermark {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        if let Payload::Rows(delta) = input.view::<Payload>() {
            self.active = Some(cx.batch.time);
            let clock_ms = cx.batch.clock_ms;
            let farthest_ms = clock_ms.saturating_add(self.limits.future_guard_ms);
            let greatest = greatest(delta.rows.column(self.column), farthest_ms)?;
            self.greatest_ms = self.greatest_ms.max(greatest.map(|ms| ms.min(clock_ms)));
        }
        cx.out.chunk(input);
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.report(cx);
        Ok(())
    }

    fn awaits_end(&self) -> bool {
        self.is_quiet && !self.reported.is_some_and(|(_, idle)| idle)
    }
}
