//! Aggregates over all rows of a partition so far.
//!
//! Owns the order in which rows are added: of all partitions one step at a time. Knows no store. Invariant: a row sees the rows of its
//! partition up to itself, or up to the last one of its time.

use super::partition::PartitionRows;
use crate::{
    error::Result,
    sql::{
        agg::{AggregateCall, AggregateRows, GroupStates},
        op::exchange::failed,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    compute::{interleave, take},
};
use std::ops::Range;

/// Values of an argument for these rows of the combined columns.
pub(super) fn arguments_of(
    call: &AggregateCall,
    column: impl Fn(usize) -> ArrayRef,
    rows: &[u32],
) -> Result<(Vec<ArrayRef>, Option<arrow::array::BooleanArray>)> {
    let rows = UInt32Array::from(rows.to_vec());
    let of = |at: usize| take(&column(at), &rows, None).map_err(|e| failed(&e));
    let arguments = call.arguments.iter().map(|at| of(*at)).collect::<Result<Vec<_>>>()?;
    let filter = call.filter.map(of).transpose()?.map(|filter| filter.as_boolean().clone());
    Ok((arguments, filter))
}

/// The value of each new row, by its number among the new rows; `states` has those of each partition, and is brought forward.
pub(super) fn running(
    call: &AggregateCall,
    states: &mut dyn GroupStates,
    partitions: &[PartitionRows],
    steps: &[Vec<Range<usize>>],
    column: impl Fn(usize) -> ArrayRef,
    (first_new, rows): (u32, usize),
) -> Result<ArrayRef> {
    let mut pieces: Vec<ArrayRef> = vec![];
    let mut value_of = vec![(0, 0); rows];
    let most = steps.iter().map(Vec::len).max().unwrap_or_default();
    for step in 0..most {
        let (mut groups, mut added, mut touched) = (vec![], vec![], vec![]);
        for (group, (partition, steps)) in partitions.iter().zip(steps).enumerate() {
            let Some(range) = steps.get(step) else { continue };
            touched.push((group, range));
            for row in &partition.rows[range.clone()] {
                groups.push(u32::try_from(group).unwrap_or(u32::MAX));
                added.push(*row);
            }
        }
        let (arguments, filter) = arguments_of(call, &column, &added)?;
        states.update(&AggregateRows {
            groups: &groups,
            arguments: &arguments,
            filter: filter.as_ref(),
            weights: None,
        })?;
        states.settle()?;
        // Of few partitions out of many each has its value alone.
        let at_once = touched.len() * 8 >= partitions.len();
        if at_once {
            pieces.push(states.values(0..partitions.len())?);
        }
        for (group, range) in touched {
            if !at_once {
                pieces.push(states.values(group..group + 1)?);
            }
            for row in &partitions[group].rows[range.clone()] {
                value_of[(*row - first_new) as usize] = (pieces.len() - 1, if at_once { group } else { 0 });
            }
        }
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece as &dyn Array).collect();
    interleave(&pieces, &value_of).map_err(|e| failed(&e))
}
