//! `min` and `max` over rows that are only added.
//!
//! Owns the least or greatest value of each group. Invariants: NaN is greater than all other numbers, and -0 is 0; a row cannot be taken
//! away: over rows that change, the values themselves must be kept.

use super::{AggregateRows, GroupStates, StateColumn, integer_sum::push};
use crate::{
    error::{Error, Result},
    sql::rows::{CellColumn, Cells, ColumnBuilder, Store},
};
use arrow::{array::ArrayRef, datatypes::DataType};
use std::{cmp::Ordering, ops::Range};

/// The least or the greatest values of groups.
pub(super) struct Extremes {
    is_max: bool,
    data_type: DataType,
    values: Values,
}

enum Values {
    /// Integers, decimals, dates, timestamps, and booleans as 0 and 1.
    Numbers(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
    /// Strings and byte strings.
    Bytes(Vec<Option<Box<[u8]>>>),
}

impl Extremes {
    /// `None` if values of this type cannot be compared.
    pub fn new(argument: &DataType, is_max: bool) -> Option<Self> {
        let values = match argument {
            DataType::Float32 | DataType::Float64 => Values::Floats(vec![]),
            DataType::Utf8 | DataType::Binary => Values::Bytes(vec![]),
            DataType::Boolean | DataType::Decimal128(..) | DataType::Date32 | DataType::Timestamp(..) => {
                Values::Numbers(vec![])
            }
            _ if argument.is_integer() => Values::Numbers(vec![]),
            _ => return None,
        };
        Some(Extremes { is_max, data_type: argument.clone(), values })
    }

    fn name(&self) -> &'static str {
        if self.is_max { "max" } else { "min" }
    }

    /// Takes the values of the rows that `rows` calls its argument with, each with its row and group.
    fn take(
        &mut self,
        column: &CellColumn<'_>,
        rows: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result,
    ) -> Result {
        let better = if self.is_max { Ordering::Greater } else { Ordering::Less };
        macro_rules! numbers {
            ($kept:ident, $row:ident => $number:expr) => {
                rows(&mut |$row, group| {
                    let (number, kept) = ($number, &mut $kept[group]);
                    if kept.is_none_or(|kept| number.cmp(&kept) == better) {
                        *kept = Some(number);
                    }
                })
            };
        }
        macro_rules! floats {
            ($kept:ident, $row:ident => $number:expr) => {
                rows(&mut |$row, group| {
                    let (number, kept) = (canonical($number), &mut $kept[group]);
                    if kept.is_none_or(|kept| number.total_cmp(&kept) == better) {
                        *kept = Some(number);
                    }
                })
            };
        }
        match (&mut self.values, &column.cells) {
            (Values::Numbers(kept), Cells::Boolean(cells)) => {
                numbers!(kept, row => i128::from(cells.value(row)))
            }
            (Values::Numbers(kept), Cells::Int8(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::Int16(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::Int32(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::Int64(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::UInt8(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::UInt16(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::UInt32(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::UInt64(cells)) => numbers!(kept, row => i128::from(cells[row])),
            (Values::Numbers(kept), Cells::Decimal(cells)) => numbers!(kept, row => cells[row]),
            (Values::Floats(kept), Cells::Float32(cells)) => floats!(kept, row => f64::from(cells[row])),
            (Values::Floats(kept), Cells::Float64(cells)) => floats!(kept, row => cells[row]),
            (Values::Bytes(kept), Cells::Bytes(offsets, bytes)) => rows(&mut |row, group| {
                let (value, kept) = (&bytes[cells_range(offsets, row)], &mut kept[group]);
                if kept.as_ref().is_none_or(|kept| value.cmp(kept) == better) {
                    *kept = Some(value.into());
                }
            }),
            _ => Err(Error::Codec(format!("{}: a column of another type", self.name()))),
        }
    }
}

fn cells_range(offsets: &[i32], row: usize) -> Range<usize> {
    let at = |row: usize| usize::try_from(offsets[row]).unwrap_or_default();
    at(row)..at(row + 1)
}

fn canonical(number: f64) -> f64 {
    if number.is_nan() {
        f64::NAN
    } else if number == 0.0 {
        0.0
    } else {
        number
    }
}

impl GroupStates for Extremes {
    fn columns(&self) -> Vec<StateColumn> {
        vec![StateColumn { name: self.name(), data_type: self.data_type.clone() }]
    }

    fn resize(&mut self, groups: usize) {
        match &mut self.values {
            Values::Numbers(values) => values.resize(groups, None),
            Values::Floats(values) => values.resize(groups, None),
            Values::Bytes(values) => values.resize(groups, None),
        }
    }

    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        let name = self.name();
        let column = CellColumn::of(&rows.arguments[0])?;
        self.take(&column, |take| {
            rows.each(|row, group, weight| {
                if weight < 0 {
                    return Err(Error::Codec(format!(
                        "{name}: a row was taken away, which this state cannot do; this is a bug in the plan"
                    )));
                }
                take(row, group);
                Ok(())
            })
        })
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        let column = CellColumn::of(&states[0])?;
        self.take(&column, |take| {
            for (row, group) in groups.iter().enumerate() {
                if !column.is_null(row) {
                    take(row, *group as usize);
                }
            }
            Ok(())
        })
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values(groups)?])
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let mut column = ColumnBuilder::new(&self.data_type, groups.len())?;
        for group in groups {
            let is_null = match &self.values {
                Values::Numbers(values) => match values[group] {
                    Some(number) => !push(&mut column, number)?,
                    None => true,
                },
                Values::Floats(values) => values[group].is_none_or(|number| !push_float(&mut column, number)),
                Values::Bytes(values) => match &values[group] {
                    Some(value) => column.push_bytes(value).map(|()| false)?,
                    None => true,
                },
            };
            if is_null {
                column.push_null();
            }
        }
        column.finish()
    }

    fn memory_bytes(&self) -> usize {
        match &self.values {
            Values::Numbers(values) => size_of_val(&values[..]),
            Values::Floats(values) => size_of_val(&values[..]),
            Values::Bytes(values) => {
                size_of_val(&values[..]) + values.iter().flatten().map(|value| value.len()).sum::<usize>()
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it was an f32 before")]
fn push_float(column: &mut ColumnBuilder, number: f64) -> bool {
    match &mut column.store {
        Store::Float32(cells) => cells.push(number as f32),
        Store::Float64(cells) => cells.push(number),
        _ => return false,
    }
    column.end_cell().is_ok()
}
