//! What an aggregation computes, for both of its halves: before the exchange and behind it.
//!
//! Owns the columns of partial states and of stored ones, which are the same: the weight of a group, then the states of each call. Knows
//! no store and no batch. Invariant: the columns are durable; they depend on the calls and the types of their arguments alone.

use super::value_call::{ValueCall, value_format};
use crate::{
    error::{Error, Result},
    sql::{
        Delta,
        agg::{AggregateCall, AggregateRows, GroupStates},
        rows::{ColumnId, KeyFormat, RowColumn, RowFormat, quoted, type_name},
    },
    state::{Placement, RowIndex, RowTable, StoreSpec},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use std::{ops::Range, sync::Arc};

/// `SELECT keys, calls FROM input GROUP BY keys`.
#[derive(Clone, Debug)]
pub struct Aggregation {
    input: SchemaRef,
    keys: Vec<usize>,
    calls: Vec<AggregateCall>,
    value_calls: Vec<ValueCall>,
    key_format: KeyFormat,
    row_format: RowFormat,
    partial: SchemaRef,
}

impl Aggregation {
    /// Groups the rows of `input` by the columns `keys`, and computes `calls` of each group. If rows are only added to the input, `min`,
    /// `max`, `first_value` and `last_value` need no more than their state.
    ///
    /// # Errors
    /// [`Error::Plan`] if a type cannot be a key, or a function is not there for the type of its argument.
    pub fn new(
        input: &SchemaRef,
        keys: Vec<usize>,
        calls: Vec<AggregateCall>,
        is_append_only: bool,
    ) -> Result<Self> {
        let field = |column: &usize| {
            let field = input.fields().get(*column);
            field.cloned().ok_or_else(|| Error::Plan(format!("there is no column {column} to group by")))
        };
        let key_fields = keys.iter().map(field).collect::<Result<Vec<_>>>()?;
        let key_format = KeyFormat::new(key_fields.iter().map(|field| field.data_type()))?;
        let mut partial: Vec<Arc<Field>> = key_fields;
        let mut columns = vec![];
        let mut add = |name: String, data_type: DataType| {
            partial.push(Arc::new(Field::new(format!("${name}"), data_type.clone(), true)));
            let id = ColumnId(u32::try_from(columns.len() + 1).unwrap_or(u32::MAX));
            columns.push(RowColumn { id, name, data_type });
        };
        add("weight".into(), DataType::Int64);
        let mut value_calls = vec![];
        for (number, call) in calls.iter().enumerate() {
            value_calls.extend(ValueCall::of(number, call, input, is_append_only)?);
            for column in call.group_states(input)?.columns() {
                add(format!("{}.{}", described(call, input), column.name), column.data_type);
            }
        }
        let row_format = RowFormat::new(columns)?;
        let partial = Arc::new(Schema::new(partial));
        Ok(Aggregation {
            input: Arc::clone(input),
            keys,
            calls,
            value_calls,
            key_format,
            row_format,
            partial,
        })
    }

    /// The columns of the rows between both halves: keys, weight, and states.
    #[must_use]
    pub fn partial_schema(&self) -> &SchemaRef {
        &self.partial
    }

    /// Whether a call is computed of all values of a group when its row leaves.
    pub(super) fn reads_all_values(&self) -> bool {
        self.calls.iter().any(|call| call.function.is_of_all_values())
    }

    /// Whether a call needs the values of its groups. Then there is a second store, and the rows of the input must go to the half behind
    /// the exchange as they are.
    #[must_use]
    pub fn needs_values(&self) -> bool {
        !self.value_calls.is_empty()
    }

    /// How the plan declares the stores of states and, if there are any, of values.
    ///
    /// # Errors
    /// None that it has not told when it was made.
    pub fn stores(&self, name: &str) -> Result<Vec<StoreSpec>> {
        let keys = self.key_line();
        let mut stores = vec![RowTable::spec(name, &format!("key({keys}) -> {}", self.row_format))];
        if self.needs_values() {
            let format = format!("key(length, {keys}, {}", self.values_line()?);
            stores.push(RowIndex::spec(format!("{name}.values"), &format).placed(Placement::KeyAfterLength));
        }
        Ok(stores)
    }

    /// The calls that need values with what is stored of a value, as they stand in the formats of stores.
    pub(super) fn values_line(&self) -> Result<String> {
        let call = |call: &ValueCall| {
            format!("{} {}", call.number, described(&self.calls[call.number], &self.input))
        };
        let calls: Vec<String> = self.value_calls.iter().map(call).collect();
        Ok(format!("call, value: {}) -> {}", calls.join(", "), value_format()?))
    }

    /// The columns of the key, as they stand in the formats of stores.
    pub(super) fn key_line(&self) -> String {
        let key = |column: &usize| {
            let field = self.input.field(*column);
            let of_type = type_name(field.data_type()).unwrap_or_default();
            format!("{} {of_type}", quoted(field.name()))
        };
        self.keys.iter().map(key).collect::<Vec<String>>().join(", ")
    }

    pub(super) fn input(&self) -> &Schema {
        &self.input
    }

    pub(super) fn calls(&self) -> &[AggregateCall] {
        &self.calls
    }

    pub(super) fn value_calls(&self) -> &[ValueCall] {
        &self.value_calls
    }

    /// For each column behind the weight of what is stored, whether it is of a call that needs values.
    pub(super) fn of_value_calls(&self) -> Result<Vec<bool>> {
        let mut all = vec![];
        for (number, call) in self.calls.iter().enumerate() {
            let needs_values = self.value_calls.iter().any(|value_call| value_call.number == number);
            all.extend(call.group_states(&self.input)?.columns().iter().map(|_| needs_values));
        }
        Ok(all)
    }

    /// Whether all rows are one group.
    pub(super) fn is_global(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn key_format(&self) -> &KeyFormat {
        &self.key_format
    }

    pub(super) fn row_format(&self) -> &RowFormat {
        &self.row_format
    }

    /// The column of `input` that is the first key.
    pub(super) fn first_key(&self) -> Option<usize> {
        self.keys.first().copied()
    }

    /// The columns of `input` that rows are grouped by.
    pub(super) fn key_columns(&self, rows: &[ArrayRef]) -> Vec<ArrayRef> {
        self.keys.iter().map(|column| Arc::clone(&rows[*column])).collect()
    }

    /// No groups yet.
    pub(super) fn groups(&self) -> Result<Groups> {
        let states = self.calls.iter().map(|call| call.group_states(&self.input));
        Ok(Groups { weights: vec![], states: states.collect::<Result<_>>()? })
    }
}

/// What a call is in the format of a store: its function and what it reads, whatever its result is called.
fn described(call: &AggregateCall, input: &Schema) -> String {
    let arguments: Vec<&str> =
        call.arguments.iter().map(|column| input.field(*column).name().as_str()).collect();
    let filter =
        call.filter.map_or_else(String::new, |column| format!(" where {}", input.field(column).name()));
    // What is kept is the same, but not what has left.
    let distinct = if call.is_distinct && call.function.is_of_all_values() { "distinct " } else { "" };
    format!("{}({distinct}{}{filter})", call.function.name(), call.details.described(&arguments))
}

/// The weight of each group, and its states.
pub(super) struct Groups {
    weights: Vec<i64>,
    states: Vec<Box<dyn GroupStates>>,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Makes it so many groups; new ones have no rows.
    pub fn resize(&mut self, groups: usize) {
        self.weights.resize(groups, 0);
        self.states.iter_mut().for_each(|states| states.resize(groups));
    }

    /// How many rows a group has.
    pub fn weight(&self, group: usize) -> i64 {
        self.weights[group]
    }

    /// The states of a call.
    pub fn states_of(&mut self, call: usize) -> &mut Box<dyn GroupStates> {
        &mut self.states[call]
    }

    /// Adds rows of the input of an aggregation, each to its group; not to the calls that need values.
    pub fn update(&mut self, of: &Aggregation, groups: &[u32], delta: &Delta) -> Result {
        let columns = delta.rows.columns();
        let weights = delta.weights.as_ref();
        for (row, group) in groups.iter().enumerate() {
            add(&mut self.weights[*group as usize], delta.weight(row))?;
        }
        for (number, (call, states)) in of.calls.iter().zip(&mut self.states).enumerate() {
            if of.value_calls.iter().any(|call| call.number == number) {
                continue;
            }
            let arguments: Vec<ArrayRef> =
                call.arguments.iter().map(|column| Arc::clone(&columns[*column])).collect();
            let filter = call.filter.map(|column| columns[column].as_boolean());
            let rows = AggregateRows { groups, arguments: &arguments, filter, weights };
            states.update(&rows).map_err(|e| named(&call.name, e))?;
        }
        Ok(())
    }

    /// Adds states, each to its group: the columns of [`Groups::columns`].
    pub fn merge(&mut self, groups: &[u32], columns: &[ArrayRef]) -> Result {
        let weights = columns[0].as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            if weights.is_valid(row) {
                add(&mut self.weights[*group as usize], weights.value(row))?;
            }
        }
        let mut rest = &columns[1..];
        for states in &mut self.states {
            let (of_states, others) = rest.split_at(states.columns().len());
            states.merge(groups, of_states)?;
            rest = others;
        }
        Ok(())
    }

    /// Subtracts what was taken away.
    pub fn settle(&mut self) -> Result {
        if self.weights.iter().any(|weight| *weight < 0) {
            let what = "a row was taken from a group that does not have it; the source sends changes that contradict each other";
            return Err(Error::Codec(what.into()));
        }
        self.states.iter_mut().try_for_each(|states| states.settle())
    }

    /// The weights and states of groups: the columns that are stored.
    pub fn columns(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(self.weights[groups.clone()].to_vec()))];
        for states in &self.states {
            columns.extend(states.states(groups.clone())?);
        }
        Ok(columns)
    }

    /// The value of each call for groups.
    pub fn values(&self, groups: &Range<usize>) -> Result<Vec<ArrayRef>> {
        self.states.iter().map(|states| states.values(groups.clone())).collect()
    }

    pub fn memory_bytes(&self) -> usize {
        let states: usize = self.states.iter().map(|states| states.memory_bytes()).sum();
        states + size_of_val(&self.weights[..])
    }
}

fn add(weight: &mut i64, more: i64) -> Result {
    let too_many = || Error::Codec("a group has more than 2^63 rows".into());
    *weight = weight.checked_add(more).ok_or_else(too_many)?;
    Ok(())
}

fn named(call: &str, e: Error) -> Error {
    match e {
        Error::Codec(what) => Error::Codec(format!("`{call}`: {what}")),
        other => other,
    }
}
