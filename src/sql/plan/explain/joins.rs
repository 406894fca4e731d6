//! Joins in the text of `EXPLAIN`: what they meet by, what they keep and until when.
//!
//! Decides nothing.

use super::{column_name, columns_of, expr_text};
use crate::sql::{
    connector::bounded::bytes_of,
    op::{JoinKind, JoinSide, JoinTime, Side},
    plan::{
        stream_plan::{StaticRows, StreamNode, StreamOperator},
        windows::length,
    },
};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use std::sync::Arc;

/// The line of a join of any kind.
pub(super) fn line_of(operator: &StreamOperator, inputs: &[&StreamNode]) -> String {
    let schemas: Vec<&SchemaRef> = inputs.iter().map(|input| &input.schema).collect();
    match operator {
        StreamOperator::Join { name, kind, sides, condition, .. } => {
            line(&format!("Join {name}"), *kind, sides, condition.as_ref(), &schemas)
        }
        StreamOperator::AsOf { name, kind, sides, condition, times, .. } => {
            let line = line(&format!("AsOf {name}"), *kind, sides, condition.as_ref(), &schemas);
            let [time, since] = [0, 1].map(|side| column_name(schemas.get(side).copied(), times[side]));
            format!("{line}, {since} as of {time}")
        }
        StreamOperator::StaticJoin { table, kind, sides, condition, .. } => {
            let of_table = table.rows.schema();
            let schemas: Vec<&SchemaRef> = schemas.into_iter().chain([&of_table]).collect();
            line(&format!("StaticJoin {}", table.name), *kind, sides, condition.as_ref(), &schemas)
        }
        _ => String::new(),
    }
}

fn line(
    name: &str,
    kind: JoinKind,
    sides: &[JoinSide; 2],
    condition: Option<&Arc<dyn PhysicalExpr>>,
    inputs: &[&SchemaRef],
) -> String {
    let kind = match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "rows of the first input stay",
        JoinKind::Full => "rows of both inputs stay",
        JoinKind::Semi => "rows of the first input with a partner",
        JoinKind::Anti => "rows of the first input without a partner",
        JoinKind::Mark => "rows of the first input, and whether they have a partner",
    };
    let column = |side: usize, column: usize| column_name(inputs.get(side).copied(), column);
    let keys = sides[0].keys.iter().zip(&sides[1].keys);
    let keys: Vec<_> = keys.map(|(a, b)| format!("{} = {}", column(0, *a), column(1, *b))).collect();
    let condition =
        condition.map_or_else(String::new, |condition| format!(" where {}", expr_text(condition)));
    let keys = if keys.is_empty() { "every row".to_owned() } else { keys.join(" and ") };
    format!("{name}: {kind}, {keys}{condition}")
}

/// What is kept of a stream and of the versions that its rows look at.
pub(super) fn of_versions(
    kind: JoinKind,
    sides: &[JoinSide; 2],
    times: [usize; 2],
    inputs: &[&StreamNode],
) -> Vec<String> {
    let schema = |side: usize| inputs.get(side).map(|input| &input.schema);
    let [time, since] = [0, 1].map(|side| column_name(schema(side), times[side]));
    let alone = if kind == JoinKind::Left { ", also without a version" } else { "" };
    vec![
        format!("a row leaves when the watermark of both inputs passes {time}{alone}"),
        format!("state: rows of the first input, kept until the watermark passes {time}"),
        format!(
            "state: versions of the second input per {}, kept until the watermark passes {since} of the next one",
            columns_of(schema(1), &sides[1].keys)
        ),
    ]
}

/// What is in memory of a table that is read once.
pub(super) fn of_table(table: &StaticRows) -> String {
    let (rows, bytes) = (table.rows.num_rows(), bytes_of(&table.rows));
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    format!("in memory: {rows} of table {}, {bytes} bytes", table.name)
}

pub(super) fn facts(
    node: &StreamNode,
    kind: JoinKind,
    sides: &[JoinSide; 2],
    time: Option<JoinTime>,
    inputs: &[&StreamNode],
) -> Vec<String> {
    let mut facts = vec![];
    if time.is_some() && node.properties.is_append_only && kind.waits_for_absence() {
        facts.push("a row without a partner leaves when the watermark shows that none will come".to_owned());
    }
    for side in Side::BOTH {
        let (of, input) = (&sides[side.index()], inputs.get(side.index()));
        let schema = input.map(|input| &input.schema);
        let which = if side == Side::Left { "first" } else { "second" };
        let what = if of.columns == 0 {
            format!("how many rows of the {which} input have each {}", columns_of(schema, &of.keys))
        } else if of.is_unique {
            format!("one row of the {which} input per {}", columns_of(schema, &of.keys))
        } else {
            format!("all rows of the {which} input, by {}", columns_of(schema, &of.keys))
        };
        let until = match time {
            None => "for ever".to_owned(),
            Some(JoinTime::Windows { ends, .. }) => {
                format!("until the watermark passes {}", column_name(schema, ends[side.index()]))
            }
            Some(JoinTime::Bound { times, from_ms, to_ms }) => {
                let more_ms = if side == Side::Left { to_ms } else { from_ms.saturating_neg() };
                let at = column_name(schema, times[side.index()]);
                match more_ms {
                    0 => format!("until the watermark passes {at}"),
                    1.. => format!("until the watermark passes {at} + {}", length(more_ms)),
                    _ => format!("until the watermark passes {at} - {}", length(more_ms.saturating_neg())),
                }
            }
        };
        facts.push(format!("state: {what}, kept {until}"));
    }
    let grows = |side: Side| {
        let grows = inputs.get(side.index()).is_some_and(|input| input.properties.is_append_only);
        grows && sides[side.index()].columns > 0
    };
    if time.is_none() && Side::BOTH.into_iter().any(grows) {
        facts.push("state grows for ever: nothing says when a row can no longer meet another one".to_owned());
    }
    let names = |side: Side| {
        let schema = inputs.get(side.index()).map(|input| input.schema.clone());
        sides[side.index()].keys.iter().map(move |key| column_name(schema.as_ref(), *key)).collect::<Vec<_>>()
    };
    let is_of_window = |name: &String| matches!(name.as_str(), "window_start" | "window_end" | "window_time");
    if names(Side::Left).iter().all(is_of_window) {
        facts.push("one partition does all of this for a window".to_owned());
    }
    facts
}
