//! The values of calls for rows that leave.
//!
//! Owns frames. Knows no store. Invariant: a value depends on the rows of the partition up to the last one of the row's time.

use super::{
    partition::PartitionRows,
    plan::{Frame, OverCall, OverFunction, OverPlan},
    running::{arguments_of, running},
};
use crate::{
    error::Result,
    sql::{
        agg::{AggregateCall, AggregateRows, GroupStates},
        op::exchange::failed,
    },
};
use arrow::{
    array::{Array, ArrayRef, Int64Array, UInt32Array},
    compute::{concat, take},
};
use std::{ops::Range, sync::Arc};

/// Rows that are kept and rows that leave, in the same columns.
pub(super) struct Rows<'a> {
    pub plan: &'a OverPlan,
    /// The columns that are kept, first of the rows that have left before, then of the new ones.
    pub kept: Vec<ArrayRef>,
    /// The time of each.
    pub times: Vec<i64>,
    /// All columns of the new ones.
    pub new: Vec<ArrayRef>,
    /// Which row is the first new one.
    pub first_new: u32,
    pub partitions: Vec<PartitionRows>,
}

impl Rows<'_> {
    fn new_rows(&self) -> usize {
        self.times.len() - self.first_new as usize
    }

    fn column(&self, column: usize) -> ArrayRef {
        let at = self.plan.kept.iter().position(|kept| *kept == column).unwrap_or_default();
        self.kept[at].clone()
    }

    /// A number for each new row, which `number` makes of partition, place in it, and the range of its time.
    fn each<T: Clone>(
        &self,
        default: T,
        mut value: impl FnMut(&PartitionRows, usize, &Range<usize>, usize) -> T,
    ) -> Vec<T> {
        let mut values = vec![default; self.new_rows()];
        for partition in &self.partitions {
            for (time, range) in partition.times(&self.times).into_iter().enumerate() {
                for at in range.clone() {
                    let row = partition.rows[at] - self.first_new;
                    values[row as usize] = value(partition, at, &range, time);
                }
            }
        }
        values
    }

    fn numbers(&self, number: impl Fn(&PartitionRows, usize, &Range<usize>, usize) -> i64) -> ArrayRef {
        let numbers = self.each(0, |partition, at, range, time| number(partition, at, range, time));
        Arc::new(Int64Array::from(numbers))
    }

    /// The frame of a row: a range of the rows of its partition.
    fn frame(&self, frame: Frame, partition: &PartitionRows, at: usize, time: &Range<usize>) -> Range<usize> {
        let end = if frame.by_time { time.end } else { at + 1 };
        let start = match frame.preceding {
            None => 0,
            Some(rows) if !frame.by_time => at.saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX)),
            Some(ms) => {
                let of = |row: &u32| self.times[*row as usize];
                let from = of(&partition.rows[at]).saturating_sub(ms.saturating_mul(self.plan.units_a_ms()));
                partition.rows.partition_point(|row| of(row) < from)
            }
        };
        start..end
    }

    /// The values of a column in these rows of the combined columns.
    fn taken(&self, column: usize, rows: Vec<Option<u32>>) -> Result<ArrayRef> {
        take(&self.column(column), &UInt32Array::from(rows), None).map_err(|e| failed(&e))
    }

    fn lag(&self, argument: usize, rows: usize, default: Option<usize>) -> Result<ArrayRef> {
        let earlier = self
            .each(None, |partition, at, _, _| at.checked_sub(rows).map(|earlier| partition.rows[earlier]));
        let Some(default) = default else { return self.taken(argument, earlier) };
        // The defaults are behind the values.
        let (values, defaults) = (self.column(argument), &self.new[default]);
        let both = concat(&[&values, defaults]).map_err(|e| failed(&e))?;
        let first = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let rows: UInt32Array = (first..).zip(earlier).map(|(own, earlier)| earlier.unwrap_or(own)).collect();
        take(&both, &rows, None).map_err(|e| failed(&e))
    }

    /// An aggregate over frames that begin somewhere: each computed anew.
    fn framed(&self, call: &AggregateCall, frame: Frame) -> Result<ArrayRef> {
        const PAIRS: usize = 65_536;
        let mut states = call.group_states(&self.plan.input)?;
        states.resize(self.new_rows());
        let (mut groups, mut rows) = (vec![], vec![]);
        let mut add = |groups: &mut Vec<u32>, rows: &mut Vec<u32>| -> Result {
            let (arguments, filter) = arguments_of(call, |column| self.column(column), rows)?;
            states.update(&AggregateRows {
                groups,
                arguments: &arguments,
                filter: filter.as_ref(),
                weights: None,
            })?;
            groups.clear();
            rows.clear();
            Ok(())
        };
        for partition in &self.partitions {
            for time in partition.times(&self.times) {
                for at in time.clone() {
                    let group = partition.rows[at] - self.first_new;
                    let frame = self.frame(frame, partition, at, &time);
                    groups.resize(groups.len() + frame.len(), group);
                    rows.extend_from_slice(&partition.rows[frame]);
                    if rows.len() >= PAIRS {
                        add(&mut groups, &mut rows)?;
                    }
                }
            }
        }
        add(&mut groups, &mut rows)?;
        states.settle()?;
        states.values(0..self.new_rows())
    }

    /// The values of a call; `states` are those of the partitions, if it has any.
    pub fn values(&self, call: &OverCall, states: Option<&mut Box<dyn GroupStates>>) -> Result<ArrayRef> {
        let frame = call.frame;
        Ok(match &call.function {
            OverFunction::RowNumber => self.numbers(|partition, at, _, _| {
                partition.before[0] + i64::try_from(at - partition.old()).unwrap_or_default() + 1
            }),
            OverFunction::Rank => self.numbers(|partition, _, range, _| {
                partition.before[0] + i64::try_from(range.start - partition.old()).unwrap_or_default() + 1
            }),
            OverFunction::DenseRank => self.numbers(|partition, _, _, time| {
                partition.before[1] + i64::try_from(time).unwrap_or_default() + 1
            }),
            OverFunction::Lag { argument, rows, default } => self.lag(*argument, *rows, *default)?,
            OverFunction::First(argument) => {
                let first = self.each(None, |partition, at, time, _| {
                    Some(partition.rows[self.frame(frame, partition, at, time).start])
                });
                self.taken(*argument, first)?
            }
            OverFunction::Last(argument) => {
                let last = self.each(None, |partition, at, time, _| {
                    Some(partition.rows[if frame.by_time { time.end - 1 } else { at }])
                });
                self.taken(*argument, last)?
            }
            OverFunction::Aggregate(aggregate) => match states {
                Some(states) => {
                    let steps: Vec<Vec<Range<usize>>> = self
                        .partitions
                        .iter()
                        .map(|partition| {
                            if frame.by_time {
                                partition.times(&self.times)
                            } else {
                                (partition.old()..partition.rows.len()).map(|at| at..at + 1).collect()
                            }
                        })
                        .collect();
                    let new = (self.first_new, self.new_rows());
                    running(aggregate, states.as_mut(), &self.partitions, &steps, |at| self.column(at), new)?
                }
                None => self.framed(aggregate, frame)?,
            },
        })
    }
}
