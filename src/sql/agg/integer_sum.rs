//! `sum` and `avg` of integers and decimals: exact.
//!
//! Owns the sum and how many numbers it is of. Invariant: within a batch no sum overflows, in whatever order its rows come; one that is
//! too large for its column at the end is an error.

use super::{
    AggregateRows, GroupStates, StateColumn, below_zero,
    count::{count_column, counts},
    overflow,
};
use crate::{
    error::Result,
    sql::rows::{CellColumn, Cells, ColumnBuilder, Store},
};
use arrow::{
    array::{ArrayRef, Float64Array},
    datatypes::{DECIMAL128_MAX_PRECISION, DataType},
};
use std::{ops::Range, sync::Arc};

/// The greatest decimal of 38 digits.
const DECIMAL_MAX: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// The sum of each group, unscaled, and of how many numbers.
pub(super) struct IntegerSums {
    is_mean: bool,
    scale: i8,
    state: DataType,
    result: DataType,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl IntegerSums {
    /// `None` if there is no such function.
    pub fn new(argument: &DataType, result: &DataType, is_mean: bool) -> Option<Self> {
        let scale = match argument {
            DataType::Decimal128(_, scale) => *scale,
            _ if argument.is_integer() => 0,
            _ => return None,
        };
        let is_possible = match result {
            DataType::Decimal128(_, of_result) => *of_result == scale || is_mean && *of_result > scale,
            DataType::Float64 => is_mean && scale == 0,
            _ => result.is_integer() && !is_mean && scale == 0,
        };
        let state = match result {
            DataType::Int64 => DataType::Int64,
            _ => DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale),
        };
        is_possible.then(|| IntegerSums {
            is_mean,
            scale,
            state,
            result: result.clone(),
            sums: vec![],
            counts: vec![],
        })
    }

    fn name(&self) -> &'static str {
        if self.is_mean { "avg" } else { "sum" }
    }

    /// Adds what the cells of a column say; `add` is called with the place of each.
    fn add(&mut self, group: usize, value: i128, weight: i64) -> Result {
        let add = |sum: i128| value.checked_mul(i128::from(weight))?.checked_add(sum);
        self.sums[group] = add(self.sums[group]).ok_or_else(|| overflow(self.name()))?;
        Ok(())
    }

    /// The mean, rounded towards zero.
    fn mean(&self, sum: i128, count: i64, scale: i8) -> Result<i128> {
        let more = u32::try_from(scale - self.scale).unwrap_or_default();
        let scaled = 10_i128.checked_pow(more).and_then(|factor| sum.checked_mul(factor));
        Ok(scaled.ok_or_else(|| overflow("avg"))? / i128::from(count))
    }
}

/// Calls `$each` with the slice of the cells of an integer column.
macro_rules! integers {
    ($cells:expr, $slice:ident => $each:expr) => {
        match $cells {
            Cells::Int8($slice) => $each,
            Cells::Int16($slice) => $each,
            Cells::Int32($slice) => $each,
            Cells::Int64($slice) => $each,
            Cells::UInt8($slice) => $each,
            Cells::UInt16($slice) => $each,
            Cells::UInt32($slice) => $each,
            Cells::UInt64($slice) => $each,
            Cells::Decimal($slice) => $each,
            _ => Ok(()),
        }
    };
}

impl GroupStates for IntegerSums {
    fn columns(&self) -> Vec<StateColumn> {
        let sum = StateColumn { name: "sum", data_type: self.state.clone() };
        vec![sum, StateColumn { name: "count", data_type: DataType::Int64 }]
    }

    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    #[allow(clippy::useless_conversion, reason = "it is none for the other integers")]
    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        let column = CellColumn::of(&rows.arguments[0])?;
        integers!(&column.cells, cells => rows.each(|row, group, weight| {
            self.counts[group] = self.counts[group].checked_add(weight).ok_or_else(|| overflow("count"))?;
            self.add(group, i128::from(cells[row]), weight)
        }))
    }

    #[allow(clippy::useless_conversion, reason = "it is none for the other integers")]
    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        let column = CellColumn::of(&states[0])?;
        let merged: Result = integers!(&column.cells, cells => {
            for (row, group) in groups.iter().enumerate() {
                if !column.is_null(row) {
                    self.add(*group as usize, i128::from(cells[row]), 1)?;
                }
            }
            Ok(())
        });
        merged?;
        counts(&states[1], groups, |group, count| {
            self.counts[group] = self.counts[group].checked_add(count).ok_or_else(|| overflow("count"))?;
            Ok(())
        })
    }

    fn settle(&mut self) -> Result {
        if self.counts.iter().any(|count| *count < 0) { Err(below_zero(self.name())) } else { Ok(()) }
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let mut sums = ColumnBuilder::new(&self.state, groups.len())?;
        for (sum, count) in self.sums[groups.clone()].iter().zip(&self.counts[groups.clone()]) {
            if *sum == 0 && *count == 0 {
                sums.push_null();
            } else if !push(&mut sums, *sum)? {
                return Err(overflow(self.name()));
            }
        }
        Ok(vec![sums.finish()?, count_column(self.counts[groups].iter().copied())])
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let of_groups = self.sums[groups.clone()].iter().zip(&self.counts[groups.clone()]);
        if self.result == DataType::Float64 {
            let mean =
                |(sum, count): (&i128, &i64)| (*count != 0).then(|| float(*sum) / float(i128::from(*count)));
            return Ok(Arc::new(of_groups.map(mean).collect::<Float64Array>()));
        }
        let scale = if let DataType::Decimal128(_, scale) = self.result { scale } else { 0 };
        let mut values = ColumnBuilder::new(&self.result, groups.len())?;
        for (sum, count) in of_groups {
            if *count == 0 {
                values.push_null();
                continue;
            }
            let value = if self.is_mean { self.mean(*sum, *count, scale)? } else { *sum };
            if !push(&mut values, value)? {
                return Err(overflow(self.name()));
            }
        }
        values.finish()
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.sums[..]) + size_of_val(&self.counts[..])
    }
}

/// Appends a number to a column of integers or decimals; `false` = it does not fit.
pub(super) fn push(column: &mut ColumnBuilder, number: i128) -> Result<bool> {
    let fits = match column.data_type() {
        DataType::Int8 => i8::try_from(number).is_ok(),
        DataType::Int16 => i16::try_from(number).is_ok(),
        DataType::Int32 | DataType::Date32 => i32::try_from(number).is_ok(),
        DataType::UInt8 => u8::try_from(number).is_ok(),
        DataType::UInt16 => u16::try_from(number).is_ok(),
        DataType::UInt32 => u32::try_from(number).is_ok(),
        DataType::UInt64 => u64::try_from(number).is_ok(),
        DataType::Decimal128(precision, _) => {
            let bound = 10_i128.checked_pow(u32::from(*precision)).map_or(DECIMAL_MAX, |bound| bound - 1);
            (-bound..=bound).contains(&number)
        }
        _ => i64::try_from(number).is_ok(),
    };
    if fits {
        match &mut column.store {
            Store::Integer(cells) => {
                cells.push(
                    i64::try_from(number)
                        .map_or_else(|_| u64::try_from(number).unwrap_or_default(), i64::cast_unsigned),
                );
            }
            Store::Decimal(cells) => cells.push(number),
            Store::Boolean(cells) => cells.push(number != 0),
            _ => return Ok(false),
        }
        column.end_cell()?;
    }
    Ok(fits)
}

#[allow(clippy::cast_precision_loss, reason = "a mean is a double, which is rounded")]
pub(super) fn float(number: i128) -> f64 {
    number as f64
}
