//! Aggregate functions with durable states of their own.
//!
//! Owns what a call is and the state of each function. Knows no store and no operator.

use arrow::datatypes::DataType;

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
