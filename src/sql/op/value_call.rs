//! Calls of aggregate functions that cannot be computed from a state.
//!
//! Owns which they are, and how their values are stored. Knows no group and no store. Invariant: the format is durable.

use crate::{
    error::Result,
    sql::{
        agg::{AggregateCall, AggregateFunction},
        rows::{ColumnId, KeyColumn, KeyFormat, RowColumn, RowFormat},
    },
};
use arrow::datatypes::{DataType, Schema};

/// A call that needs the values of its groups.
#[derive(Clone, Debug)]
pub(super) struct ValueCall {
    /// Its position among the calls.
    pub number: usize,
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
        let is_needed = if call.function.takes_back() { call.is_distinct } else { !is_append_only };
        if !is_needed {
            return Ok(None);
        }
        let column = |column: &usize| KeyColumn {
            data_type: input.field(*column).data_type().clone(),
            is_descending: call.function == AggregateFunction::Max,
            is_null_greatest: false,
        };
        let key = KeyFormat::ordered(call.arguments.iter().map(column))?;
        Ok(Some(ValueCall { number, key }))
    }
}

/// The columns of what is stored of a value.
pub(super) fn value_format() -> Result<RowFormat> {
    RowFormat::new([RowColumn { id: ColumnId(1), name: "weight".into(), data_type: DataType::Int64 }])
}
