//! `bool_and` and `bool_or`: how many are true, and how many are not.

use super::{
    AggregateRows, GroupStates, StateColumn, below_zero,
    count::{count_column, counts},
    overflow,
};
use crate::error::Result;
use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    datatypes::DataType,
};
use std::{ops::Range, sync::Arc};

/// Of each group, how many are false and true.
pub(super) struct Bools {
    is_and: bool,
    counts: Vec<[i64; 2]>,
}

impl Bools {
    pub fn new(is_and: bool) -> Self {
        Bools { is_and, counts: vec![] }
    }

    fn add(&mut self, group: usize, value: bool, weight: i64) -> Result {
        let count = &mut self.counts[group][usize::from(value)];
        *count = count.checked_add(weight).ok_or_else(|| overflow("bool_and"))?;
        Ok(())
    }
}

impl GroupStates for Bools {
    fn columns(&self) -> Vec<StateColumn> {
        ["false", "true"].map(|name| StateColumn { name, data_type: DataType::Int64 }).to_vec()
    }

    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, [0; 2]);
    }

    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        let values = rows.arguments[0].as_boolean().values();
        rows.each(|row, group, weight| self.add(group, values.value(row), weight))
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        counts(&states[0], groups, |group, count| self.add(group, false, count))?;
        counts(&states[1], groups, |group, count| self.add(group, true, count))
    }

    fn settle(&mut self) -> Result {
        let is_below = |counts: &[i64; 2]| counts.iter().any(|count| *count < 0);
        if self.counts.iter().any(is_below) { Err(below_zero("bool_and")) } else { Ok(()) }
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let column =
            |value: usize| count_column(self.counts[groups.clone()].iter().map(|counts| counts[value]));
        Ok(vec![column(0), column(1)])
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let value = |[falses, trues]: &[i64; 2]| match (falses, trues) {
            (0, 0) => None,
            (falses, trues) => Some(if self.is_and { *falses == 0 } else { *trues != 0 }),
        };
        Ok(Arc::new(self.counts[groups].iter().map(value).collect::<BooleanArray>()))
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.counts[..])
    }
}
