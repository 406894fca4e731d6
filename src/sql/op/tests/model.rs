//! A table of a few columns, calls of all functions over it, and their values recomputed from all rows.

#![allow(clippy::cast_precision_loss, clippy::too_many_arguments, reason = "a model of few rows")]

use super::driver::float;
use crate::sql::{
    Delta,
    agg::{AggregateCall, AggregateFunction, CallDetails},
};
use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
        UInt64Array,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use std::sync::Arc;

/// A row of the input: group, integer, double, decimal, text, filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub group: Option<u8>,
    pub integer: Option<i32>,
    pub double: Option<Double>,
    pub text: Option<u8>,
    pub is_in: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Double {
    /// In 1/1024, so sums are exact in any order.
    Dyadic(i32),
    Nan,
    Infinite,
    InfiniteBelow,
}

impl Double {
    pub fn value(self) -> f64 {
        match self {
            Double::Dyadic(n) => f64::from(n) / 1024.0,
            Double::Nan => f64::NAN,
            Double::Infinite => f64::INFINITY,
            Double::InfiniteBelow => f64::NEG_INFINITY,
        }
    }
}

pub(super) fn input_schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("g", DataType::Utf8),
        field("i", DataType::Int64),
        field("d", DataType::Float64),
        field("m", DataType::Decimal128(10, 2)),
        field("s", DataType::Utf8),
        field("b", DataType::Boolean),
        field("u", DataType::UInt64),
    ]))
}

pub(super) fn delta_of(rows: &[(Row, i64)], has_weights: bool) -> Delta {
    let rows_only = || rows.iter().map(|(row, _)| row);
    let decimals: Decimal128Array = rows_only().map(|row| row.integer.map(i128::from)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows_only().map(|row| row.group.map(|group| format!("g{group}"))).collect::<StringArray>()),
        Arc::new(rows_only().map(|row| row.integer.map(i64::from)).collect::<Int64Array>()),
        Arc::new(rows_only().map(|row| row.double.map(Double::value)).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(rows_only().map(|row| row.text.map(text_of)).collect::<StringArray>()),
        Arc::new(rows_only().map(|row| row.is_in).collect::<BooleanArray>()),
        Arc::new(
            rows_only().map(|row| row.integer.map(|i| u64::from(i.unsigned_abs()))).collect::<UInt64Array>(),
        ),
    ];
    let rows_of = RecordBatch::try_new(input_schema(), columns).unwrap();
    let weights = has_weights.then(|| rows.iter().map(|(_, weight)| *weight).collect::<Int64Array>());
    Delta { rows: rows_of, weights }
}

pub(super) fn text_of(n: u8) -> String {
    "x".repeat(usize::from(n) * 5)
}

pub(super) fn call(
    function: AggregateFunction,
    argument: Option<usize>,
    filter: bool,
    data_type: DataType,
) -> AggregateCall {
    let name = format!("{}({argument:?},{filter})", function.name());
    let (arguments, filter) = (argument.into_iter().collect(), filter.then_some(5));
    let details = CallDetails::default();
    AggregateCall { function, arguments, filter, is_distinct: false, data_type, name, details }
}

/// Calls that rows can be taken from.
pub(super) fn linear_calls() -> Vec<AggregateCall> {
    use AggregateFunction::{Avg, BoolAnd, BoolOr, Count, StddevPop, Sum, VarSamp};
    vec![
        call(Count, None, false, DataType::Int64),
        call(Count, Some(1), true, DataType::Int64),
        call(Sum, Some(1), false, DataType::Int64),
        call(Sum, Some(2), false, DataType::Float64),
        call(Avg, Some(2), true, DataType::Float64),
        call(Sum, Some(3), true, DataType::Decimal128(20, 2)),
        call(Avg, Some(3), false, DataType::Decimal128(14, 6)),
        call(BoolAnd, Some(5), false, DataType::Boolean),
        call(BoolOr, Some(5), false, DataType::Boolean),
        call(VarSamp, Some(2), false, DataType::Float64),
        call(StddevPop, Some(2), false, DataType::Float64),
        call(Sum, Some(6), false, DataType::UInt64),
    ]
}

/// Those that rows are only added to.
pub(super) fn append_calls() -> Vec<AggregateCall> {
    use AggregateFunction::{Max, Min};
    vec![
        call(Min, Some(1), false, DataType::Int64),
        call(Max, Some(2), false, DataType::Float64),
        call(Min, Some(2), true, DataType::Float64),
        call(Max, Some(3), false, DataType::Decimal128(10, 2)),
        call(Max, Some(4), true, DataType::Utf8),
        call(Min, Some(4), false, DataType::Utf8),
        call(Max, Some(5), false, DataType::Boolean),
        call(Max, Some(6), false, DataType::UInt64),
    ]
}

/// Those over each value once.
pub(super) fn distinct_calls() -> Vec<AggregateCall> {
    use AggregateFunction::{Avg, Count, Sum};
    let calls = [
        call(Count, Some(4), false, DataType::Int64),
        call(Sum, Some(1), true, DataType::Int64),
        call(Sum, Some(2), false, DataType::Float64),
        call(Avg, Some(3), true, DataType::Decimal128(14, 6)),
    ];
    calls.map(|call| AggregateCall { is_distinct: true, ..call }).to_vec()
}

/// A decimal as text.
pub(super) fn decimal(n: i128, scale: u32) -> String {
    let (sign, n, unit) = (if n < 0 { "-" } else { "" }, n.abs(), 10_i128.pow(scale));
    format!("{sign}{}.{:0width$}", n / unit, n % unit, width = scale as usize)
}

/// The value of a call for the rows of a group, as text.
pub(super) fn expected(call: &AggregateCall, rows: &[&Row]) -> String {
    use AggregateFunction::{
        Avg, BoolAnd, BoolOr, Count, Max, Min, StddevPop, StddevSamp, Sum, VarPop, VarSamp,
    };
    let counted: Vec<&&Row> =
        rows.iter().filter(|row| call.filter.is_none() || row.is_in == Some(true)).collect();
    let mut numbers: Vec<i128> = counted.iter().filter_map(|row| row.integer).map(i128::from).collect();
    let mut doubles: Vec<f64> = counted.iter().filter_map(|row| row.double).map(Double::value).collect();
    if call.is_distinct {
        numbers.sort_unstable();
        numbers.dedup();
        doubles.sort_unstable_by(f64::total_cmp);
        doubles.dedup_by(|a, b| a.total_cmp(b).is_eq());
    }
    let integers = || numbers.iter().copied();
    let n = doubles.len();
    let bools: Vec<bool> = counted.iter().filter_map(|row| row.is_in).collect();
    let texts = || counted.iter().filter_map(|row| row.text).map(text_of);
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let total = |a: &f64, b: &f64| a.total_cmp(b);
    match (call.function, call.arguments.first()) {
        (Count, None) => counted.len().to_string(),
        (Count, Some(4)) => texts().collect::<std::collections::BTreeSet<_>>().len().to_string(),
        (Count, _) => integers().count().to_string(),
        (Sum, Some(1)) => or_null((integers().count() > 0).then(|| integers().sum::<i128>().to_string())),
        (Sum, Some(6)) => {
            or_null((integers().count() > 0).then(|| integers().map(i128::abs).sum::<i128>().to_string()))
        }
        (Sum, Some(3)) => or_null((integers().count() > 0).then(|| decimal(integers().sum(), 2))),
        (Avg, Some(3)) => {
            let count = i128::try_from(integers().count()).unwrap();
            or_null((count > 0).then(|| decimal(integers().sum::<i128>() * 10_000 / count, 6)))
        }
        (Sum, _) => or_null((n > 0).then(|| float(doubles.iter().sum()))),
        (Avg, _) => or_null((n > 0).then(|| float(doubles.iter().sum::<f64>() / n as f64))),
        (BoolAnd, _) => or_null((!bools.is_empty()).then(|| bools.iter().all(|b| *b).to_string())),
        (BoolOr, _) => or_null((!bools.is_empty()).then(|| bools.iter().any(|b| *b).to_string())),
        (VarSamp | VarPop | StddevSamp | StddevPop, _) => {
            let divisor = if call.function == VarSamp { n.saturating_sub(1) } else { n };
            let mean = doubles.iter().sum::<f64>() / n as f64;
            let variance = doubles.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / divisor as f64;
            or_null(
                (divisor > 0)
                    .then(|| float(if call.function == VarSamp { variance } else { variance.sqrt() })),
            )
        }
        (Min, Some(1)) => or_null(integers().min().map(|i| i.to_string())),
        (Max, Some(6)) => or_null(integers().map(i128::abs).max().map(|i| i.to_string())),
        (Max, Some(3)) => or_null(integers().max().map(|i| decimal(i, 2))),
        (Min, Some(2)) => or_null(doubles.iter().copied().min_by(total).map(float)),
        (Max, Some(2)) => or_null(doubles.iter().copied().max_by(total).map(float)),
        (Min, Some(4)) => or_null(texts().min()),
        (Max, Some(4)) => or_null(texts().max()),
        (Max, Some(5)) => or_null(bools.iter().max().map(ToString::to_string)),
        other => panic!("{other:?}"),
    }
}
