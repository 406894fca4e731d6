//! Calls of aggregate functions that cannot be computed from a state.
//!
//! Owns which they are, which rows count, and how their values are stored. Knows no group and no store. Invariant: the format is durable.

use crate::{
    error::Result,
    sql::{
        agg::AggregateCall,
        rows::{ColumnId, KeyFormat, RowColumn, RowFormat},
    },
};
use arrow::datatypes::{DataType, Schema};

/// A call that needs the values of its groups.
#[derive(Clone, Debug)]
pub(super) struct ValueCall {
    /// Its position among the calls.
    pub number: usize,
    /// The columns of the input that make its values, in the order of the key.
    pub columns: Vec<usize>,
    /// Those of them that must not be NULL for a row to count.
    pub counted: Vec<usize>,
    /// The columns of its values.
    pub key: KeyFormat,
}

impl ValueCall {
    /// `None` if the call can be computed from a state.
    pub fn of(
        number: usize,
        call: &AggregateCall,
        input: &Schema,
        is_append_only: bool,
    ) -> Result<Option<Self>> {
        let function = call.function;
        let is_needed = match function {
            _ if function.is_of_all_values() => true,
            _ if function.takes_back() => call.is_distinct,
            _ => !is_append_only,
        };
        if !is_needed {
            return Ok(None);
        }
        let (positions, key) = call.value_key(input)?;
        let columns = positions.iter().map(|at| call.arguments[*at]).collect();
        let values = call.arguments.len() - call.details.order.len();
        let keeps_nulls = function.is_ordered() && !call.details.ignores_nulls;
        let counted = if keeps_nulls { vec![] } else { call.arguments[..values].to_vec() };
        Ok(Some(ValueCall { number, columns, counted, key }))
    }
}

/// The columns of what is stored of a value.
pub(super) fn value_format() -> Result<RowFormat> {
    RowFormat::new([RowColumn { id: ColumnId(1), name: "weight".into(), data_type: DataType::Int64 }])
}
