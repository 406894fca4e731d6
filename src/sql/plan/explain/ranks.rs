//! What `EXPLAIN` says of top-N, deduplication, set operations and `OVER`, and of windows that close.
//!
//! Owns these texts. Decides nothing.

use super::{column_name, columns_of, order_text};
use crate::{
    operator::Gives,
    sql::{
        op::{Expiry, Frame, OverCall, OverFunction, Ranking},
        plan::{
            stream_plan::{StreamNode, StreamOperator},
            windows::length,
        },
    },
};
use arrow::datatypes::SchemaRef;

/// What the operator does.
pub(super) fn line(node: &StreamNode, input: Option<&SchemaRef>) -> String {
    match &node.operator {
        StreamOperator::TopN { name, ranking, .. } => {
            format!("TopN {name}: {}", ranking_text(ranking, input))
        }
        StreamOperator::Deduplicate { name, keys, .. } => {
            format!("Deduplicate {name}: the first row of each {}", columns_of(input, keys))
        }
        StreamOperator::Over { name, partition, time, .. } => {
            let inputs = input.map_or(0, |input| input.fields().len());
            let calls: Vec<_> =
                node.schema.fields().iter().skip(inputs).map(|field| field.name().as_str()).collect();
            let of = of_each(partition, input);
            format!("Over {name}: {}{of} by {}", calls.join(", "), column_name(input, *time))
        }
        StreamOperator::SetOperation { name, kind, .. } => format!("SetOperation {name}: {}", kind.name()),
        _ => String::new(),
    }
}

fn of_each(columns: &[usize], input: Option<&SchemaRef>) -> String {
    if columns.is_empty() { String::new() } else { format!(" of each {}", columns_of(input, columns)) }
}

/// How long the operator keeps what it keeps.
pub(super) fn kept(node: &StreamNode) -> String {
    let windows = node.operator.state().and_then(|state| state.windows);
    match (windows, node.properties.window_end) {
        (Some(_), Some(end)) => {
            format!("kept until the watermark passes {}", column_name(Some(&node.schema), end.column))
        }
        _ => "kept for ever".to_owned(),
    }
}

/// When rows of windows leave.
pub(super) fn leaves(node: &StreamNode) -> Option<&'static str> {
    let windows = node.operator.state().and_then(|state| state.windows)?;
    match (&node.operator, windows.gives) {
        (StreamOperator::Over { .. }, _) => Some("a row leaves when the watermark has passed it"),
        // Of a join with versions its own facts say it.
        (StreamOperator::Deduplicate { .. } | StreamOperator::AsOf { .. }, _) => None,
        (_, Gives::Finals) => Some("a row leaves when its window closes"),
        (_, Gives::Updates) => Some("a row leaves at each batch that changes it"),
    }
}

/// What the operator keeps.
pub(super) fn state(node: &StreamNode, inputs: &[&StreamNode], kept: &str) -> Vec<String> {
    let input = inputs.first().map(|input| &input.schema);
    let (state, is_global) = match &node.operator {
        StreamOperator::TopN { ranking, .. } => {
            let is_append_only = inputs.first().is_some_and(|input| input.properties.is_append_only);
            let rows = if is_append_only { "the first rows" } else { "all rows" };
            let of = of_each(&ranking.partition, input);
            (format!("state: {rows}{of}, {kept}"), ranking.partition.is_empty())
        }
        StreamOperator::Deduplicate { keys, expiry, .. } => {
            let kept = match expiry {
                None => "kept for ever".to_owned(),
                Some(Expiry { time, after_ms }) => {
                    let after =
                        if *after_ms == 0 { String::new() } else { format!(" by {}", length(*after_ms)) };
                    let time = column_name(Some(&node.schema), *time);
                    format!("kept until the watermark has passed {time}{after}")
                }
            };
            (format!("state: each {}, {kept}", columns_of(Some(&node.schema), keys)), keys.is_empty())
        }
        StreamOperator::Over { partition, calls, .. } => {
            let rows = calls.iter().filter_map(kept_text).collect::<Vec<_>>();
            let rows = if rows.is_empty() { String::new() } else { format!(", and {}", rows.join(", ")) };
            let of = match &partition[..] {
                [] => "one row".to_owned(),
                partition => format!("one row per {}", columns_of(input, partition)),
            };
            let waiting = "rows that wait for the watermark";
            (format!("state: {of}{rows}, kept for ever; {waiting}"), partition.is_empty())
        }
        StreamOperator::SetOperation { .. } => (format!("state: each row of both, once, {kept}"), false),
        _ => return vec![],
    };
    std::iter::once(state).chain(is_global.then(|| "one partition does all of this".to_owned())).collect()
}

/// What a function with OVER keeps of rows that have left; `None` = nothing.
fn kept_text(call: &OverCall) -> Option<String> {
    Some(match (&call.function, call.frame) {
        (
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank | OverFunction::Last(_),
            _,
        ) => {
            return None;
        }
        (OverFunction::Lag { rows, .. }, _) => format!("its last {rows} rows"),
        (_, Frame { by_time: false, preceding: Some(rows) }) => format!("its last {rows} rows"),
        (_, Frame { by_time: true, preceding: Some(ms) }) => format!("its rows of the last {}", length(ms)),
        (OverFunction::First(_), _) => "its first row".to_owned(),
        (OverFunction::Aggregate(_), _) => return None,
    })
}

/// Which rows a top-N lets pass.
fn ranking_text(ranking: &Ranking, input: Option<&SchemaRef>) -> String {
    let Ranking { partition, order, function, from, to, .. } = ranking;
    let numbers = if from == to { format!("{from}") } else { format!("{from} to {to}") };
    let of = of_each(partition, input);
    format!("{} {numbers}{of} by {}", function.name(), order_text(order, input))
}
