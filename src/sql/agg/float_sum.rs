//! `sum` and `avg` of doubles.
//!
//! Owns the sum of the finite ones, and how many there are of each kind. Invariants: NaN and the infinities can be taken away again;
//! where nothing is left the sum is exactly 0, whatever rounding came before.

use super::{
    AggregateRows, GroupStates, StateColumn, below_zero,
    count::{count_column, counts},
    integer_sum::float,
    overflow,
};
use crate::error::Result;
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    datatypes::{DataType, Float32Type, Float64Type},
};
use std::{ops::Range, sync::Arc};

/// The sums of groups.
pub(super) struct FloatSums {
    is_mean: bool,
    sums: Vec<FloatSum>,
}

/// What is known of the doubles of a group.
#[derive(Clone, Copy, Default)]
struct FloatSum {
    /// The sum of those that are finite.
    finite: f64,
    /// How many are finite, NaN, infinite and infinite below zero.
    counts: [i64; 4],
}

const FINITE: usize = 0;
const NAN: usize = 1;
const INFINITE: usize = 2;
const INFINITE_BELOW: usize = 3;

impl FloatSum {
    #[inline]
    fn add(&mut self, value: f64, weight: i64) -> Result {
        if value.is_finite() {
            self.finite += if weight == 1 { value } else { value * float(i128::from(weight)) };
            self.count(FINITE, weight)
        } else if value.is_nan() {
            self.count(NAN, weight)
        } else {
            self.count(if value > 0.0 { INFINITE } else { INFINITE_BELOW }, weight)
        }
    }

    fn count(&mut self, kind: usize, weight: i64) -> Result {
        self.counts[kind] = self.counts[kind].checked_add(weight).ok_or_else(|| overflow("count"))?;
        Ok(())
    }

    fn value(&self, is_mean: bool) -> Option<f64> {
        let count: i64 = self.counts.iter().sum();
        let sum = match self.counts {
            [0, 0, 0, 0] => return None,
            [_, 0, 0, 0] => self.finite,
            [_, 0, _, 0] => f64::INFINITY,
            [_, 0, 0, _] => f64::NEG_INFINITY,
            _ => f64::NAN,
        };
        Some(if is_mean { sum / float(i128::from(count)) } else { sum })
    }
}

impl FloatSums {
    pub fn new(is_mean: bool) -> Self {
        FloatSums { is_mean, sums: vec![] }
    }
}

impl GroupStates for FloatSums {
    fn columns(&self) -> Vec<StateColumn> {
        let count = |name| StateColumn { name, data_type: DataType::Int64 };
        let sum = StateColumn { name: "sum", data_type: DataType::Float64 };
        [sum].into_iter().chain(["finite", "nan", "infinite", "infinite_below"].map(count)).collect()
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, FloatSum::default());
    }

    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        let sums = &mut self.sums;
        if let Some(values) = rows.arguments[0].as_primitive_opt::<Float32Type>() {
            let values = values.values();
            return rows.each(|row, group, weight| sums[group].add(f64::from(values[row]), weight));
        }
        let values = rows.arguments[0].as_primitive::<Float64Type>().values();
        rows.each(|row, group, weight| sums[group].add(values[row], weight))
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        let finite = states[0].as_primitive::<Float64Type>();
        for (row, group) in groups.iter().enumerate() {
            if finite.is_valid(row) {
                self.sums[*group as usize].finite += finite.value(row);
            }
        }
        for (kind, state) in states[1..].iter().enumerate() {
            counts(state, groups, |group, count| self.sums[group].count(kind, count))?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result {
        for sum in &mut self.sums {
            if sum.counts.iter().any(|count| *count < 0) {
                return Err(below_zero(if self.is_mean { "avg" } else { "sum" }));
            }
            if sum.counts[FINITE] == 0 {
                sum.finite = 0.0;
            }
        }
        Ok(())
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let sums = &self.sums[groups];
        let is_some = |sum: &FloatSum| sum.finite != 0.0 || sum.counts[FINITE] != 0;
        let finite: Float64Array = sums.iter().map(|sum| is_some(sum).then_some(sum.finite)).collect();
        let count = |kind: usize| count_column(sums.iter().map(move |sum| sum.counts[kind]));
        Ok([Arc::new(finite) as ArrayRef].into_iter().chain((0..4).map(count)).collect())
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let values = self.sums[groups].iter().map(|sum| sum.value(self.is_mean));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.sums[..])
    }
}
