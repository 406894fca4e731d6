//! Calls that are computed of the values of a group, and their answers recomputed from all rows.

#![allow(clippy::cast_precision_loss, reason = "a model of few rows")]

use super::{
    driver::{Multiset, add, float},
    model::{Row, call, decimal, expected, text_of},
};
use crate::sql::agg::{
    AggregateCall,
    AggregateFunction::{
        ArrayAgg, CollectList, First, Last, Median, PercentileCont, PercentileDisc, StringAgg,
    },
    CallDetails, Direction, Parameter,
};
use arrow::datatypes::{DataType, Field};
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

const INTEGER: usize = 1;
const DOUBLE: usize = 2;
const DECIMAL: usize = 3;
const TEXT: usize = 4;

fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

fn details(order: &[(bool, bool)], ignores_nulls: bool, parameter: Parameter) -> CallDetails {
    let direction = |(is_descending, is_null_greatest): &(bool, bool)| Direction {
        is_descending: *is_descending,
        is_null_greatest: *is_null_greatest,
    };
    CallDetails { order: order.iter().map(direction).collect(), ignores_nulls, parameter }
}

fn with(of: AggregateCall, ordered: &[usize], details: CallDetails) -> AggregateCall {
    let arguments = of.arguments.iter().chain(ordered).copied().collect();
    AggregateCall { arguments, details, ..of }
}

/// Those that need all values.
pub(super) fn all_values_calls() -> Vec<AggregateCall> {
    let plain = || Parameter::None;
    let part = |part: f64| Parameter::Fraction(part.to_bits());
    let texts = list(DataType::Utf8);
    let all = call(ArrayAgg, Some(INTEGER), false, list(DataType::Int64));
    vec![
        all.clone(),
        AggregateCall { is_distinct: true, ..all.clone() },
        with(all, &[TEXT, DOUBLE], details(&[(true, false), (false, true)], true, plain())),
        AggregateCall {
            is_distinct: true,
            ..with(
                call(CollectList, Some(TEXT), true, texts.clone()),
                &[TEXT],
                details(&[(true, false)], true, plain()),
            )
        },
        with(call(CollectList, Some(TEXT), false, texts), &[], details(&[], true, plain())),
        with(
            call(StringAgg, Some(TEXT), true, DataType::Utf8),
            &[INTEGER],
            details(&[(false, false)], true, Parameter::Separator(", ".into())),
        ),
        call(Median, Some(DOUBLE), false, DataType::Float64),
        AggregateCall { is_distinct: true, ..call(Median, Some(DECIMAL), true, DataType::Decimal128(10, 2)) },
        with(
            call(PercentileCont, Some(DOUBLE), false, DataType::Float64),
            &[],
            details(&[], false, part(0.25)),
        ),
        with(call(PercentileDisc, Some(TEXT), false, DataType::Utf8), &[], details(&[], false, part(0.4))),
        with(
            call(PercentileDisc, Some(INTEGER), true, DataType::Int64),
            &[INTEGER],
            details(&[(true, false)], false, part(0.7)),
        ),
    ]
}

/// Those of one row, in an order.
pub(super) fn ordered_calls() -> Vec<AggregateCall> {
    let order = |order: &[(bool, bool)], ignores_nulls| details(order, ignores_nulls, Parameter::None);
    vec![
        with(call(First, Some(INTEGER), false, DataType::Int64), &[TEXT], order(&[(true, true)], false)),
        with(call(Last, Some(INTEGER), true, DataType::Int64), &[TEXT], order(&[(false, true)], true)),
        with(
            call(Last, Some(TEXT), false, DataType::Utf8),
            &[DOUBLE, INTEGER],
            order(&[(true, false), (false, false)], false),
        ),
    ]
}

/// Those of one row without an order: over rows that change, by their value.
pub(super) fn by_value_calls() -> Vec<AggregateCall> {
    let ignoring = details(&[], true, Parameter::None);
    vec![
        call(First, Some(INTEGER), false, DataType::Int64),
        with(call(First, Some(TEXT), true, DataType::Utf8), &[], ignoring),
        call(Last, Some(DOUBLE), false, DataType::Float64),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i128),
    Text(String),
}

/// The key of a cell, which is ordered as its value, and its text.
fn cell(row: &Row, column: usize) -> Option<(Key, String)> {
    match column {
        INTEGER => row.integer.map(|i| (Key::Number(i.into()), i.to_string())),
        DECIMAL => row.integer.map(|i| (Key::Number(i.into()), decimal(i.into(), 2))),
        DOUBLE => row.double.map(|double| {
            let bits = double.value().to_bits().cast_signed();
            let key = bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed();
            (Key::Number(key.into()), float(double.value()))
        }),
        _ => row.text.map(|text| (Key::Text(text_of(text)), text_of(text))),
    }
}

fn compared(a: &Row, b: &Row, column: usize, by: Direction) -> Ordering {
    let key = |row: &Row| cell(row, column).map(|(key, _)| key);
    let (a, b) = (key(a), key(b));
    let ascending = match (&a, &b) {
        (None, Some(_)) if by.is_null_greatest => Ordering::Greater,
        (Some(_), None) if by.is_null_greatest => Ordering::Less,
        _ => a.cmp(&b),
    };
    if by.is_descending { ascending.reverse() } else { ascending }
}

/// The value of a call for the rows of a group that count, as text.
fn of_values(call: &AggregateCall, counted: &[&Row]) -> String {
    let (value, details) = (call.arguments[0], &call.details);
    let ordered = &call.arguments[call.arguments.len() - details.order.len()..];
    let mut rows: Vec<&Row> = counted.to_vec();
    if details.ignores_nulls || !call.function.is_ordered() {
        rows.retain(|row| cell(row, value).is_some());
    }
    rows.sort_by(|a, b| {
        let by = ordered.iter().zip(&details.order).map(|(column, by)| compared(a, b, *column, *by));
        by.fold(Ordering::Equal, Ordering::then).then(compared(a, b, value, Direction::default()))
    });
    if call.is_distinct {
        rows.dedup_by(|a, b| cell(a, value) == cell(b, value));
    }
    let text = |row: &Row| cell(row, value).map_or_else(String::new, |(_, text)| text);
    let shown =
        |row: Option<&&Row>| row.and_then(|row| cell(row, value)).map_or("-".into(), |(_, text)| text);
    let all = |between: &str| rows.iter().map(|row| text(row)).collect::<Vec<_>>().join(between);
    let last = rows.len().saturating_sub(1);
    let fraction = details.parameter.fraction();
    match call.function {
        First => shown(rows.first()),
        Last => shown(rows.last()),
        ArrayAgg | StringAgg if rows.is_empty() => "-".into(),
        ArrayAgg | CollectList => format!("[{}]", all(", ")),
        StringAgg => all(", "),
        _ if rows.is_empty() => "-".into(),
        Median if value == DECIMAL => {
            let number = |at: usize| i128::from(rows[at].integer.unwrap());
            decimal(i128::midpoint(number(last / 2), number(rows.len() / 2)), 2)
        }
        Median => {
            let number = |at: usize| rows[at].double.unwrap().value();
            let (low, high) = (number(last / 2), number(rows.len() / 2));
            float(if rows.len() % 2 == 1 { low } else { f64::midpoint(low, high) })
        }
        PercentileCont => {
            let number = |at: f64| rows[format!("{at}").parse::<usize>().unwrap()].double.unwrap().value();
            let at = fraction * last as f64;
            let (low, high) = (number(at.floor()), number(at.ceil()));
            float(if at.fract() == 0.0 { low } else { low + (high - low) * at.fract() })
        }
        PercentileDisc => {
            let part = fraction * rows.len() as f64;
            let wanted = (1..=rows.len()).find(|count| *count as f64 >= part).unwrap();
            shown(rows.get(wanted - 1))
        }
        other => panic!("{other:?}"),
    }
}

/// The value of a call for the rows of a group, as text.
fn of_call(call: &AggregateCall, rows: &[&Row]) -> String {
    if call.function.has_frames() {
        return expected(call, rows);
    }
    let counts = |row: &&&Row| call.filter.is_none() || row.is_in == Some(true);
    of_values(call, &rows.iter().filter(counts).copied().collect::<Vec<_>>())
}

/// The answer to the query over these rows.
pub(super) fn answer(live: &[Row], calls: &[AggregateCall], is_global: bool) -> Multiset {
    let mut groups: BTreeMap<Option<u8>, Vec<&Row>> = BTreeMap::new();
    if is_global {
        groups.insert(None, live.iter().collect());
    } else {
        for row in live {
            groups.entry(row.group).or_default().push(row);
        }
    }
    let mut answer = Multiset::new();
    for (group, rows) in groups {
        let key = group.map_or_else(|| "-".into(), |group| format!("g{group}"));
        let keys = (!is_global).then_some(key);
        let row = keys.into_iter().chain(calls.iter().map(|call| of_call(call, &rows))).collect();
        add(&mut answer, row, 1);
    }
    answer
}
