//! Aggregate functions with durable states of their own.
//!
//! Owns what a call is and the states of each function. Knows no store and no operator. Invariants: a state is a few columns of stable
//! types, which are what is stored and what travels ([`GroupStates::states`]); it does not depend on the order of the rows, but for the
//! rounding of doubles and for the first and the last row without an order; rows that are added and taken away again leave the state of
//! no rows. Functions that are computed of all values of a group have no state: the operators keep the values.

mod bools;
mod count;
mod details;
mod first_last;
mod float_sum;
mod integer_sum;
mod listed;
mod min_max;
mod moments;
mod rows;

pub use details::{CallDetails, Direction, Parameter};
pub use rows::AggregateRows;

use crate::{
    error::{Error, Result},
    sql::rows::{KeyColumn, KeyFormat},
};
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
    /// The columns of the input that it reads; none for `count(*)`. Those that its values are ordered by come last.
    pub arguments: Vec<usize>,
    /// The boolean column of the input that says which rows count (`FILTER (WHERE ..)`).
    pub filter: Option<usize>,
    /// Whether equal values count once.
    pub is_distinct: bool,
    /// The type of the result, as the planner says.
    pub data_type: DataType,
    /// What the result is called.
    pub name: String,
    /// What else it says.
    pub details: CallDetails,
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
    /// The value of the first row.
    First,
    /// The value of the last row.
    Last,
    /// All values; NULL if there are none.
    ArrayAgg,
    /// All values that are not NULL; an empty list if there are none.
    CollectList,
    /// All values as one text.
    StringAgg,
    /// The value in the middle, or the mean of the two that are there.
    Median,
    /// What a part of the values is below, between two values if it falls there.
    PercentileCont,
    /// The first value that a part of the values does not exceed.
    PercentileDisc,
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
            AggregateFunction::First => "first_value",
            AggregateFunction::Last => "last_value",
            AggregateFunction::ArrayAgg => "array_agg",
            AggregateFunction::CollectList => "collect_list",
            AggregateFunction::StringAgg => "string_agg",
            AggregateFunction::Median => "median",
            AggregateFunction::PercentileCont => "percentile_cont",
            AggregateFunction::PercentileDisc => "percentile_disc",
        }
    }

    /// Whether rows can be taken away from its state.
    #[must_use]
    pub fn takes_back(self) -> bool {
        !matches!(self, AggregateFunction::Min | AggregateFunction::Max) && self.has_frames()
    }

    /// Whether it is computed of all values of a group, and has no state.
    #[must_use]
    pub fn is_of_all_values(self) -> bool {
        use AggregateFunction::{ArrayAgg, CollectList, Median, PercentileCont, PercentileDisc, StringAgg};
        matches!(self, ArrayAgg | CollectList | StringAgg | Median | PercentileCont | PercentileDisc)
    }

    /// Whether it is the value of one row of the group.
    #[must_use]
    pub fn is_of_one_row(self) -> bool {
        matches!(self, AggregateFunction::First | AggregateFunction::Last)
    }

    /// Whether it is computed over the rows of a frame.
    #[must_use]
    pub fn has_frames(self) -> bool {
        !self.is_of_all_values() && !self.is_of_one_row()
    }

    /// Whether its answer depends on an order of rows.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        use AggregateFunction::{ArrayAgg, CollectList, StringAgg};
        self.is_of_one_row() || matches!(self, ArrayAgg | CollectList | StringAgg)
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
            _ if function.is_of_all_values() => Some(Box::new(listed::NoStates::new(result.clone()))),
            _ if function.is_of_one_row() => {
                let (columns, key) = self.value_key(input)?;
                Some(Box::new(first_last::OneRow::new(self, columns, key)))
            }
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

    /// How its values are keys whose order is the one that is asked for: the columns of the key, as positions among the arguments, and
    /// their format. The least key is that of the first row, or of the last one if that is asked for.
    ///
    /// # Errors
    /// [`Error::Plan`] if a column has no order.
    pub(in crate::sql) fn value_key(&self, input: &Schema) -> Result<(Vec<usize>, KeyFormat)> {
        let (function, order) = (self.function, &self.details.order);
        let values = self.arguments.len() - order.len().min(self.arguments.len());
        let columns: Vec<usize> = (values..self.arguments.len()).chain(0..values).collect();
        let directions = order.iter().copied().chain(std::iter::repeat(Direction::default()));
        let is_reversed = matches!(function, AggregateFunction::Max | AggregateFunction::Last);
        let column = |(at, by): (&usize, Direction)| KeyColumn {
            data_type: input.field(self.arguments[*at]).data_type().clone(),
            is_descending: by.is_descending != is_reversed,
            is_null_greatest: by.is_null_greatest,
        };
        let key = KeyFormat::ordered(columns.iter().zip(directions).map(column));
        let key = key.map_err(|e| match e {
            Error::Plan(why) if function.is_of_all_values() || function.is_of_one_row() => {
                Error::Plan(format!(
                    "`{}` keeps its values in an order, and one of its columns has none: {why}",
                    self.name
                ))
            }
            other => other,
        })?;
        Ok((columns, key))
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
