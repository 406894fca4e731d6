//! Variance and standard deviation: how many numbers, their mean, and the sum of squares of what they differ from it.
//!
//! Owns the merging and unmerging of such moments (Chan, Golub and `LeVeque`). Invariants: what is added and what is taken away within a
//! batch are kept apart until it ends, so a state is never divided by a number of rows that is not there; what is not finite is only
//! counted, so it can be taken away again.

use super::{
    AggregateFunction, AggregateRows, GroupStates, StateColumn, below_zero,
    count::{count_column, counts},
    integer_sum::float,
    overflow,
};
use crate::error::Result;
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    datatypes::{DataType, Float32Type, Float64Type, Int64Type},
};
use std::{ops::Range, sync::Arc};

/// The moments of groups.
pub(super) struct Moments {
    function: AggregateFunction,
    groups: Vec<Changing>,
}

/// Moments of finite numbers.
#[derive(Clone, Copy, Default)]
struct Moment {
    count: i64,
    mean: f64,
    /// The sum of the squares of the differences from the mean.
    squares: f64,
}

#[derive(Clone, Copy, Default)]
struct Changing {
    added: Moment,
    removed: Moment,
    /// How many are NaN or infinite.
    not_finite: i64,
}

impl Moment {
    fn merge(&mut self, other: Moment) -> Result {
        if other.count == 0 {
            return Ok(());
        }
        if self.count == 0 {
            *self = other;
            return Ok(());
        }
        let count = self.count.checked_add(other.count).ok_or_else(|| overflow("count"))?;
        let (n, theirs, all) = (of(self.count), of(other.count), of(count));
        let delta = other.mean - self.mean;
        self.mean += delta * (theirs / all);
        self.squares += other.squares + delta * delta * (n * theirs / all);
        self.count = count;
        Ok(())
    }

    /// What is left without `other`, which is part of it; `None` = it is not.
    fn without(self, other: Moment) -> Option<Moment> {
        if other.count == 0 {
            return Some(self);
        }
        let count = self.count - other.count;
        if count <= 0 {
            return (count == 0).then(Moment::default);
        }
        let (left, theirs, all) = (of(count), of(other.count), of(self.count));
        let mean = self.mean - (other.mean - self.mean) * (theirs / left);
        let delta = other.mean - mean;
        let squares = self.squares - other.squares - delta * delta * (left * theirs / all);
        Some(Moment { count, mean, squares: if count == 1 { 0.0 } else { squares.max(0.0) } })
    }
}

fn of(count: i64) -> f64 {
    float(i128::from(count))
}

impl Changing {
    fn add(&mut self, value: f64, weight: i64) -> Result {
        let rows = |count| Moment { count, mean: value, squares: 0.0 };
        if !value.is_finite() {
            return self.count_not_finite(weight);
        }
        if weight >= 0 {
            self.added.merge(rows(weight))
        } else {
            self.removed.merge(rows(weight.checked_neg().ok_or_else(|| overflow("count"))?))
        }
    }

    fn count_not_finite(&mut self, weight: i64) -> Result {
        self.not_finite = self.not_finite.checked_add(weight).ok_or_else(|| overflow("count"))?;
        Ok(())
    }
}

impl Moments {
    /// `None` if this is another function.
    pub fn new(function: AggregateFunction) -> Option<Self> {
        let is_known = matches!(
            function,
            AggregateFunction::VarSamp
                | AggregateFunction::VarPop
                | AggregateFunction::StddevSamp
                | AggregateFunction::StddevPop
        );
        is_known.then(|| Moments { function, groups: vec![] })
    }

    fn value(&self, group: &Changing) -> Option<f64> {
        let is_sample = matches!(self.function, AggregateFunction::VarSamp | AggregateFunction::StddevSamp);
        let is_deviation =
            matches!(self.function, AggregateFunction::StddevSamp | AggregateFunction::StddevPop);
        let count = group.added.count + group.not_finite;
        let divisor = if is_sample { count - 1 } else { count };
        if divisor <= 0 {
            return None;
        }
        let variance = if group.not_finite > 0 { f64::NAN } else { group.added.squares / of(divisor) };
        Some(if is_deviation { variance.sqrt() } else { variance })
    }
}

impl GroupStates for Moments {
    fn columns(&self) -> Vec<StateColumn> {
        let column = |(name, data_type)| StateColumn { name, data_type };
        [
            ("count", DataType::Int64),
            ("mean", DataType::Float64),
            ("squares", DataType::Float64),
            ("removed_count", DataType::Int64),
            ("removed_mean", DataType::Float64),
            ("removed_squares", DataType::Float64),
            ("not_finite", DataType::Int64),
        ]
        .map(column)
        .to_vec()
    }

    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Changing::default());
    }

    fn update(&mut self, rows: &AggregateRows<'_>) -> Result {
        let groups = &mut self.groups;
        if let Some(values) = rows.arguments[0].as_primitive_opt::<Float32Type>() {
            let values = values.values();
            return rows.each(|row, group, weight| groups[group].add(f64::from(values[row]), weight));
        }
        let values = rows.arguments[0].as_primitive::<Float64Type>().values();
        rows.each(|row, group, weight| groups[group].add(values[row], weight))
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result {
        let added = moments(&states[..3]);
        let removed = moments(&states[3..6]);
        for (row, group) in groups.iter().enumerate() {
            let group = &mut self.groups[*group as usize];
            group.added.merge(added(row))?;
            group.removed.merge(removed(row))?;
        }
        counts(&states[6], groups, |group, count| self.groups[group].count_not_finite(count))
    }

    fn settle(&mut self) -> Result {
        for group in &mut self.groups {
            let left = group.added.without(std::mem::take(&mut group.removed));
            group.added =
                left.filter(|_| group.not_finite >= 0).ok_or_else(|| below_zero(self.function.name()))?;
        }
        Ok(())
    }

    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let groups = &self.groups[groups];
        let mut columns = vec![];
        for part in [|group: &Changing| group.added, |group: &Changing| group.removed] {
            let moments = || groups.iter().map(part);
            let floats = |get: fn(&Moment) -> f64| {
                moments().map(|moment| (moment.count != 0).then(|| get(&moment))).collect::<Float64Array>()
            };
            columns.push(count_column(moments().map(|moment| moment.count)));
            columns.push(Arc::new(floats(|moment| moment.mean)));
            columns.push(Arc::new(floats(|moment| moment.squares)));
        }
        columns.push(count_column(groups.iter().map(|group| group.not_finite)));
        Ok(columns)
    }

    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        let values = self.groups[groups].iter().map(|group| self.value(group));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.groups[..])
    }
}

/// The moments in three columns, by row.
fn moments(states: &[ArrayRef]) -> impl Fn(usize) -> Moment {
    let count = states[0].as_primitive::<Int64Type>();
    let [mean, squares] = [1, 2].map(|column| states[column].as_primitive::<Float64Type>());
    move |row| {
        if count.is_null(row) {
            return Moment::default();
        }
        Moment { count: count.value(row), mean: mean.value(row), squares: squares.value(row) }
    }
}
