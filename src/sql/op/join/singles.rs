//! Rows of one side that leave by themselves: those without a partner, those with one, or all with whether they have one.
//!
//! Owns how they are put together and sent on. Knows no store. Invariant: a row of the left stands in the columns of the left, one of the
//! right in those of the right; the columns of the other side are NULL, where there are any.

use super::{
    pairs::{Leaving, ROWS_PER_CHUNK},
    plan::{JoinKind, JoinPlan},
    time::Side,
};
use crate::{
    error::Result,
    operator::Emitter,
    sql::{op::exchange::failed, rows::ValueDecoder},
};
use arrow::array::{ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::compute::take;
use std::sync::Arc;

/// Collects such rows of one side.
pub(super) struct SingleRows<'a> {
    plan: &'a JoinPlan,
    side: Side,
    decoder: ValueDecoder,
    /// For each row that leaves its place among those that were decoded, and whether it has a partner.
    rows: Vec<(u32, bool)>,
    decoded: u32,
    leaving: Leaving,
}

impl<'a> SingleRows<'a> {
    pub fn new(plan: &'a JoinPlan, side: Side, format: u8) -> Result<Self> {
        let decoder = plan.side(side).row_format.decoder(format, 64)?;
        Ok(SingleRows {
            plan,
            side,
            decoder,
            rows: vec![],
            decoded: 0,
            leaving: Leaving::new(plan.is_append_only),
        })
    }

    /// A row leaves so often; a negative number takes it back.
    pub fn push(
        &mut self,
        row: &[u8],
        weight: i64,
        is_matched: bool,
        ms: i64,
        out: &mut Emitter<'_>,
    ) -> Result {
        if weight == 0 {
            return Ok(());
        }
        self.decoder.push(row)?;
        for _ in 0..self.leaving.times(weight) {
            self.rows.push((self.decoded, is_matched));
            self.leaving.push(weight, ms);
        }
        self.decoded += 1;
        if self.leaving.len() >= ROWS_PER_CHUNK { self.flush(out) } else { Ok(()) }
    }

    /// Sends what was collected.
    pub fn flush(&mut self, out: &mut Emitter<'_>) -> Result {
        let columns = self.decoder.finish()?;
        self.decoded = 0;
        let rows = std::mem::take(&mut self.rows);
        let at: UInt32Array = rows.iter().map(|(row, _)| *row).collect();
        let columns = columns.iter().map(|column| take(column, &at, None));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
        let columns =
            single_columns(self.plan, self.side, columns, rows.iter().map(|(_, is_matched)| *is_matched));
        self.leaving.send(&self.plan.output, columns, out)
    }
}

/// Sends the difference between what was said of a row and what is said now.
pub(super) fn send_change(
    leaving: &mut SingleRows<'_>,
    row: &[u8],
    [old, new]: [(i64, bool); 2],
    ms: i64,
    out: &mut Emitter<'_>,
) -> Result {
    if old.1 == new.1 {
        return leaving.push(row, new.0 - old.0, new.1, ms, out);
    }
    leaving.push(row, -old.0, old.1, ms, out)?;
    leaving.push(row, new.0, new.1, ms, out)
}

/// The columns of the output, from those of one side.
pub(super) fn single_columns(
    plan: &JoinPlan,
    side: Side,
    mut columns: Vec<ArrayRef>,
    matched: impl ExactSizeIterator<Item = bool>,
) -> Vec<ArrayRef> {
    let rows = matched.len();
    let fields = plan.output.fields();
    let nulls = |of: std::ops::Range<usize>| {
        fields[of].iter().map(|field| new_null_array(field.data_type(), rows)).collect::<Vec<_>>()
    };
    match (plan.kind, side) {
        (JoinKind::Mark, _) => {
            columns.push(Arc::new(matched.map(Some).collect::<BooleanArray>()));
            columns
        }
        (JoinKind::Semi | JoinKind::Anti, _) => columns,
        (_, Side::Left) => {
            columns.extend(nulls(columns.len()..fields.len()));
            columns
        }
        (_, Side::Right) => [nulls(0..fields.len() - columns.len()), columns].concat(),
    }
}
