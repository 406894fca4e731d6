//! The rows that aggregate functions take: their groups, how often they count, and which of them.
//!
//! Owns the choice of rows. Knows no function. Invariant: a row whose filter is not true, or one of whose arguments is NULL, does not
//! count.

use crate::error::Result;
use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int64Array},
    buffer::{BooleanBuffer, NullBuffer},
};

/// Rows to be added to groups or taken away.
pub struct AggregateRows<'a> {
    /// The group of each row.
    pub groups: &'a [u32],
    /// The columns of the function's arguments.
    pub arguments: &'a [ArrayRef],
    /// Which rows count; `None` = all.
    pub filter: Option<&'a BooleanArray>,
    /// How often each row was added; negative = taken away. `None` = each once.
    pub weights: Option<&'a Int64Array>,
}

impl AggregateRows<'_> {
    /// Calls `add` with each row that counts, its group and its weight.
    ///
    /// # Errors
    /// What `add` answers.
    #[inline]
    pub(in crate::sql) fn each(&self, mut add: impl FnMut(usize, usize, i64) -> Result) -> Result {
        match (self.counting(), self.weights) {
            (None, None) => {
                for (row, group) in self.groups.iter().enumerate() {
                    add(row, *group as usize, 1)?;
                }
            }
            (None, Some(weights)) => {
                for ((row, group), weight) in self.groups.iter().enumerate().zip(weights.values()) {
                    add(row, *group as usize, *weight)?;
                }
            }
            (Some(counting), weights) => {
                for row in counting.set_indices() {
                    add(row, self.groups[row] as usize, weights.map_or(1, |weights| weights.value(row)))?;
                }
            }
        }
        Ok(())
    }

    /// The rows that count; `None` = all.
    fn counting(&self) -> Option<BooleanBuffer> {
        let nulls = |array: &dyn Array| array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        let mut valid: Option<NullBuffer> = None;
        for argument in self.arguments {
            valid = NullBuffer::union(valid.as_ref(), nulls(argument).as_ref());
        }
        let valid = valid.map(NullBuffer::into_inner);
        let Some(filter) = self.filter else { return valid };
        let is_true = match nulls(filter) {
            Some(known) => filter.values() & known.inner(),
            None => filter.values().clone(),
        };
        Some(match valid {
            Some(valid) => &valid & &is_true,
            None => is_true,
        })
    }
}
