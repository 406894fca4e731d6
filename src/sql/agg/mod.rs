//! Aggregate functions with durable states of their own.
//!
//! Owns what a call is and the states of each function. Knows no store and no operator. Invariants: a state is a few columns of stable
//! types, which are what is stored and what travels ([`GroupStates::states`]); it does not depend on the order of the rows, but for the
//! rounding of doubles; rows that are added and taken away again leave the state of no rows.

mod bools;
mod count;
mod float_sum;
mod integer_sum;
mod min_max;
mod moments;
mod rows;

pub use rows::AggregateRows;

use crate::error::{Error, Result};
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Schema},
};
use std::ops::Range;

/// A call of an aggregate function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateCall {
    /// Which function.
    pub function: AggregateFunction,
    /// The columns of the input that it reads; none for `count(*)`.
    pub arguments: Vec<usize>,
    /// The boolean column of the input that says which rows count (`FILTER (WHERE ..)`).
    pub filter: Option<usize>,
    /// Whether equal values count once.
    pub is_distinct: bool,
    /// The type of the result, as the planner says.
    pub data_type: DataType,
    /// What the result is called.
    pub name: String,
}

/// The aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows, or those whose argument is not NULL.
    Count,
    /// The sum.
    Sum,
    /// The mean.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// Whether all are true.
    BoolAnd,
    /// Whether any is true.
    BoolOr,
    /// Variance of a sample.
    VarSamp,
    /// Variance of a population.
    VarPop,
    /// Standard deviation of a sample.
    StddevSamp,
    /// Standard deviation of a population.
    StddevPop,
}

impl AggregateFunction {
    /// What it is called in scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::BoolAnd => "bool_and",
            AggregateFunction::BoolOr => "bool_or",
            AggregateFunction::VarSamp => "var_samp",
            AggregateFunction::VarPop => "var_pop",
            AggregateFunction::StddevSamp => "stddev_samp",
            AggregateFunction::StddevPop => "stddev_pop",
        }
    }

    /// Whether rows can be taken away from its state.
    #[must_use]
    pub fn takes_back(self) -> bool {
        !matches!(self, AggregateFunction::Min | AggregateFunction::Max)
    }
}

/// A column of the states of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateColumn {
    /// What it is of the function, such as `count`.
    pub name: &'static str,
    /// Its type.
    pub data_type: DataType,
}

/// The states of a function, one for each group, by the group's number.
pub trait GroupStates: Send {
    /// The columns of [`GroupStates::states`]. They are durable: what is stored has them.
    fn columns(&self) -> Vec<StateColumn>;

    /// Makes it so many groups; those that are new have the state of no rows.
    fn resize(&mut self, groups: usize);

    /// Adds rows to their groups, or takes them away.
    ///
    /// # Errors
    /// If a number is too large for the state, or the function cannot take rows away.
    fn update(&mut self, rows: &AggregateRows<'_>) -> Result;

    /// Adds states to those of groups: the first to the first group that is named, and so on. NULL is the state of no rows.
    ///
    /// # Errors
    /// If the columns are of other types, or a number is too large for the state.
    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result;

    /// Before states are stored or values computed: what was taken away is subtracted.
    ///
    /// # Errors
    /// If more was taken away than was there.
    fn settle(&mut self) -> Result {
        Ok(())
    }

    /// The states of groups, as columns.
    ///
    /// # Errors
    /// If a number is too large for its column.
    fn states(&self, groups: Range<usize>) -> Result<Vec<ArrayRef>>;

    /// The values of the function for groups.
    ///
    /// # Errors
    /// If a value is too large for the type of the result.
    fn values(&self, groups: Range<usize>) -> Result<ArrayRef>;

    /// About how many bytes they take in memory.
    fn memory_bytes(&self) -> usize;
}

impl AggregateCall {
    /// States for its groups, of which there are none yet.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no such function of the columns of `input`.
    pub fn group_states(&self, input: &Schema) -> Result<Box<dyn GroupStates>> {
        let unknown = |what: &str| Error::Plan(format!("`{}`: {what}", self.name));
        let type_of = |column: &usize| {
            let field = input.fields().get(*column);
            field.map(|field| field.data_type()).ok_or_else(|| unknown("it reads a column that is not there"))
        };
        let argument = self.arguments.first().map(type_of).transpose()?;
        let (function, result) = (self.function, &self.data_type);
        let states: Option<Box<dyn GroupStates>> = match (function, argument) {
            (AggregateFunction::Count, _) => Some(Box::<count::Counts>::default()),
            (_, None) => return Err(unknown("it needs an argument")),
            (AggregateFunction::Sum | AggregateFunction::Avg, Some(argument)) => {
                let is_mean = function == AggregateFunction::Avg;
                match argument {
                    DataType::Float32 | DataType::Float64 => {
                        Some(Box::new(float_sum::FloatSums::new(is_mean)))
                    }
                    _ => integer_sum::IntegerSums::new(argument, result, is_mean).map(boxed),
                }
            }
            (AggregateFunction::Min | AggregateFunction::Max, Some(argument)) => {
                min_max::Extremes::new(argument, function == AggregateFunction::Max).map(boxed)
            }
            (AggregateFunction::BoolAnd | AggregateFunction::BoolOr, Some(DataType::Boolean)) => {
                Some(Box::new(bools::Bools::new(function == AggregateFunction::BoolAnd)))
            }
            (_, Some(DataType::Float32 | DataType::Float64)) => moments::Moments::new(function).map(boxed),
            _ => None,
        };
        states.ok_or_else(|| {
            let argument = argument.map_or_else(String::new, ToString::to_string);
            unknown(&format!("{} of a column of type {argument} is not supported", function.name()))
        })
    }
}

fn boxed<S: GroupStates + 'static>(states: S) -> Box<dyn GroupStates> {
    Box::new(states)
}

/// A number does not fit.
fn overflow(function: &str) -> Error {
    Error::Codec(format!(
        "{function}: the result is too large for its type; cast the argument to a larger type"
    ))
}

/// More was taken away than was there.
fn below_zero(function: &str) -> Error {
    Error::Codec(format!(
        "{function}: a row was taken away that was not there; the source sends changes that contradict each other"
    ))
}
