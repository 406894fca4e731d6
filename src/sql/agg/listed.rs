//! Functions of all values of a group, which have no state: the operators keep the values, and compute the answer from them.

use super::{AggregateRows, GroupStates, StateColumn};
use crate::error::{Error, Result};
use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::DataType,
};
use std::ops::Range;

/// Nothing of each group.
pub(super) struct NoStates {
    data_type: DataType,
}

impl NoStates {
    pub fn new(data_type: DataType) -> Self {
        NoStates { data_type }
    }
}

impl GroupStates for NoStates {
    fn columns(&self) -> Vec<StateColumn> {
        vec![]
    }

    fn resize(&mut self, _: usize) {}

    fn update(&mut self, _: &AggregateRows<'_>) -> Result {
        Err(Error::Codec("a function of all values has no state; this is a bug in the plan".into()))
    }

    fn merge(&mut self, _: &[u32], _: &[ArrayRef]) -> Result {
        Ok(())
    }

    fn states(&self, _: Range<usize>) -> Result<Vec<ArrayRef>> {
        Ok(vec![])
    }

    /// NULLs, in whose place the operator puts what it computes.
    fn values(&self, groups: Range<usize>) -> Result<ArrayRef> {
        Ok(new_null_array(&self.data_type, groups.len()))
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
