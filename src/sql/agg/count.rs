//! `count`: rows, or those whose arguments are not NULL.

use super::{AggregateRows, GroupStates, StateColumn, below_zero, overflow};
use crate::error::Result;
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    datatypes::{DataType, Int64Type},
};
use std::{ops::Range, sync::Arc};

/// How many rows each group has.
#[derive(Default)]
pub(super) struct Counts(Vec<i64>);

impl GroupStates for Counts {
    fn columns(&self) -> Vec<StateColumn> {
        vec![StateColumn { name: "count", data_type: DataType::Int64 }]
    }

    fn resize(&mut self, groups: usize) {
        self.0.resize(groups, 0);
    }

    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        rows.each(|_, group, weight| add(&mut self.0[group], weight))
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        counts(&states[0], groups, |group, count| add(&mut self.0[group], count))
    }

    fn settle(&mut self) -> Result {
        if self.0.iter().any(|count| *count < 0) { Err(below_zero("count")) } else { Ok(()) }
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values(groups)?])
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.0[groups].to_vec())))
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.0[..])
    }
}

fn add(count: &mut i64, more: i64) -> Result {
    *count = count.checked_add(more).ok_or_else(|| overflow("count"))?;
    Ok(())
}

/// Calls `add` with each group and the count that is merged into it.
pub(super) fn counts(state: &ArrayRef, groups: &[u32], mut add: impl FnMut(usize, i64) -> Result) -> Result {
    let counts = state.as_primitive::<Int64Type>();
    for (row, group) in groups.iter().enumerate() {
        if counts.is_valid(row) && counts.value(row) != 0 {
            add(*group as usize, counts.value(row))?;
        }
    }
    Ok(())
}

/// A column of counts, NULL where there are none: such a cell takes no byte.
pub(super) fn count_column(counts: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(counts.map(|count| (count != 0).then_some(count)).collect::<Int64Array>())
}
