//! The text of `EXPLAIN`.
//!
//! Owns how plans are shown. Decides nothing. Invariant: the same plan gives the same text, on every machine.

mod joins;
mod ranks;

use super::stream_plan::{OutputMode, StreamNode, StreamNodeId, StreamOperator, StreamPlan, TableRows};
use super::windows::{length, windows_text};
use crate::{
    operator::Gives,
    sql::{
        agg::{AggregateCall, AggregateFunction},
        op::OrderColumn,
    },
};
use arrow::{
    datatypes::{DataType, SchemaRef},
    util::display::array_value_to_string,
};
use datafusion_common::{
    ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::LogicalPlan;
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{Column, Literal},
};
use std::{
    fmt::{self, Write},
    sync::Arc,
};

/// Both plans of one query; `root` is the node that ends it.
#[must_use]
pub fn explain(logical: &LogicalPlan, plan: &StreamPlan, root: StreamNodeId) -> String {
    format!("{}\nstream plan:\n{}", logical_plan(logical), indented(&stream_plan(plan, root)))
}

/// DataFusion's plan of one query.
#[must_use]
pub fn logical_plan(logical: &LogicalPlan) -> String {
    format!("logical plan:\n{}", indented(&logical.display_indent().to_string()))
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "  " + line + "\n")
}

/// The tree of a node, one node in each line, with what is known of its rows.
#[must_use]
pub fn stream_plan(plan: &StreamPlan, root: StreamNodeId) -> String {
    let mut text = String::new();
    tree(plan, root, 0, &mut text);
    text
}

/// The trees of all sinks of a script.
#[must_use]
pub fn all_sinks(plan: &StreamPlan) -> String {
    let sinks = plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| matches!(node.operator, StreamOperator::Sink { .. }));
    sinks.fold(String::new(), |all, (at, _)| all + &stream_plan(plan, StreamNodeId(at)))
}

fn tree(plan: &StreamPlan, id: StreamNodeId, depth: usize, text: &mut String) {
    let node = &plan.nodes[id.0];
    let inputs: Vec<&StreamNode> = node.inputs.iter().map(|input| &plan.nodes[input.0]).collect();
    let indent = "  ".repeat(depth);
    // A String takes all that is written to it.
    let _ = writeln!(text, "{indent}{}", line(node, &inputs));
    for fact in facts(node, &inputs).into_iter().chain(watermark(plan, id)) {
        let _ = writeln!(text, "{indent}    {fact}");
    }
    for &input in &node.inputs {
        tree(plan, input, depth + 1, text);
    }
}

fn line(node: &StreamNode, inputs: &[&StreamNode]) -> String {
    let input = inputs.first().map(|input| &input.schema);
    match &node.operator {
        StreamOperator::Source { table, .. } => {
            let columns =
                if node.schema.fields().is_empty() { "no columns".to_owned() } else { names(&node.schema) };
            format!("Source {}: {columns}", table.name)
        }
        StreamOperator::Versions { table } => format!("Versions {}: {}", table.name, names(&node.schema)),
        StreamOperator::Calc { predicate, columns } => {
            let columns = columns.iter().zip(node.schema.fields());
            let columns: Vec<_> = columns.map(|(expr, field)| named(expr, field.name())).collect();
            let columns = columns.join(", ");
            match predicate {
                Some(predicate) => format!("Calc: {columns} where {}", expr_text(predicate)),
                None => format!("Calc: {columns}"),
            }
        }
        StreamOperator::Watermark { column, delay_ms, .. } => {
            format!("Watermark: {} - {}", column_name(input, *column), length(*delay_ms))
        }
        StreamOperator::Union => "Union".to_owned(),
        StreamOperator::AssignWindows { windows, time_column } => {
            format!("Windows: {} of {}", windows_text(windows), column_name(input, *time_column))
        }
        StreamOperator::SessionWindows { .. }
        | StreamOperator::BatchTime { .. }
        | StreamOperator::Late { .. }
        | StreamOperator::Sessions { .. } => line_of_times(&node.operator, input),
        StreamOperator::Unnest { list, .. } => {
            format!("Unnest: {}", input.map_or("", |input| input.field(*list).name()))
        }
        StreamOperator::Aggregate { name, keys, calls, .. } => {
            let calls: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
            let by = if keys.is_empty() {
                String::new()
            } else {
                format!(" by {}", first_columns(&node.schema, keys.len()))
            };
            let calls = if calls.is_empty() { "distinct".to_owned() } else { calls.join(", ") };
            format!("Aggregate {name}: {calls}{by}")
        }
        StreamOperator::Join { .. } | StreamOperator::AsOf { .. } | StreamOperator::StaticJoin { .. } => {
            joins::line_of(&node.operator, inputs)
        }
        StreamOperator::TopN { .. }
        | StreamOperator::Deduplicate { .. }
        | StreamOperator::Over { .. }
        | StreamOperator::SetOperation { .. } => ranks::line(node, input),
        StreamOperator::Sink { table, mode, columns, key, order } => {
            let columns: Vec<_> = columns
                .iter()
                .zip(node.schema.fields())
                .map(|(column, field)| match column {
                    Some(column) => as_text(column_name(input, *column), field.name()),
                    None => as_text("NULL".to_owned(), field.name()),
                })
                .collect();
            let mode = match mode {
                OutputMode::Append => "append".to_owned(),
                OutputMode::Changes => "changes".to_owned(),
                OutputMode::Update if key.is_empty() => "update, one row".to_owned(),
                OutputMode::Update => format!("update by {}", columns_of(input, key)),
                OutputMode::Complete if order.is_empty() => "complete".to_owned(),
                OutputMode::Complete => format!("complete, by {}", order_text(order, Some(&node.schema))),
            };
            format!("Sink {}: {} ({mode})", table.name, columns.join(", "))
        }
    }
}

/// Columns of ORDER BY.
fn order_text(order: &[OrderColumn], schema: Option<&SchemaRef>) -> String {
    let by = |by: &OrderColumn| {
        let order = match (by.is_descending, by.is_null_greatest) {
            (false, false) => "",
            (false, true) => " NULLS LAST",
            (true, false) => " DESC",
            (true, true) => " DESC NULLS FIRST",
        };
        format!("{}{order}", column_name(schema, by.column))
    };
    order.iter().map(by).collect::<Vec<_>>().join(", ")
}

/// The line of an operator of sessions, of late rows or of the times of batches.
fn line_of_times(operator: &StreamOperator, input: Option<&SchemaRef>) -> String {
    match operator {
        StreamOperator::SessionWindows { gap_ms, time_column, .. } => {
            format!("Sessions of rows: gap {} of {}", length(*gap_ms), column_name(input, *time_column))
        }
        StreamOperator::BatchTime { column } => {
            format!("BatchTime: {} is the time of the batch", column_name(input, *column))
        }
        StreamOperator::Late { name, time_column } => {
            format!("Late {name}: {} before the watermark", column_name(input, *time_column))
        }
        StreamOperator::Sessions { name, group, calls, gap_ms, .. } => {
            let calls: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
            let by =
                if group.is_empty() { String::new() } else { format!(" by {}", columns_of(input, group)) };
            let calls = if calls.is_empty() { "distinct".to_owned() } else { calls.join(", ") };
            format!("Sessions {name}: {calls}{by}, gap {}", length(*gap_ms))
        }
        _ => String::new(),
    }
}

/// How far a source is in event time, if windows follow it.
fn watermark(plan: &StreamPlan, id: StreamNodeId) -> Option<String> {
    let (StreamOperator::Source { table, .. } | StreamOperator::Versions { table }) =
        &plan.nodes[id.0].operator
    else {
        return None;
    };
    let watermark = table.watermark.as_ref().filter(|_| plan.feeds_windows(id))?;
    let delay =
        if watermark.delay_ms == 0 { String::new() } else { format!(" - {}", length(watermark.delay_ms)) };
    Some(format!("watermark: {}{delay}, of the slowest partition", watermark.column))
}

/// What is known of the rows and kept in state; one line each.
fn facts(node: &StreamNode, inputs: &[&StreamNode]) -> Vec<String> {
    let mut facts = Vec::new();
    if !matches!(node.operator, StreamOperator::Sink { .. }) {
        let mut rows =
            if node.properties.is_append_only { "rows: only added" } else { "rows: change" }.to_owned();
        match node.properties.unique_key.as_deref() {
            Some([]) => rows += ", one row",
            Some(key) => {
                let _ = write!(rows, ", key {}", columns_of(Some(&node.schema), key));
            }
            None => {}
        }
        if let Some(time) = node.properties.time_column {
            let _ = write!(rows, ", event time {}", node.schema.field(time).name());
        }
        facts.push(rows);
    }
    facts.extend(facts_of_sessions(node, inputs));
    if let StreamOperator::StaticJoin { table, .. } = &node.operator {
        facts.push(joins::of_table(table));
    }
    if let StreamOperator::AsOf { kind, sides, times, .. } = &node.operator {
        facts.extend(joins::of_versions(*kind, sides, *times, inputs));
    }
    if let StreamOperator::Join { kind, sides, time, .. } = &node.operator {
        facts.extend(joins::facts(node, *kind, sides, *time, inputs));
        return facts;
    }
    if let StreamOperator::Source { table, .. } = &node.operator
        && TableRows::of(table) == TableRows::ByKey
    {
        let key = table.primary_key.join(", ");
        facts.push(format!("state {}.rows: one row per ({key}), kept until it is deleted", table.name));
    }
    let kept = ranks::kept(node);
    facts.extend(ranks::leaves(node).map(str::to_owned));
    facts.extend(ranks::state(node, inputs, &kept));
    if let StreamOperator::Aggregate { keys, calls, .. } = &node.operator {
        let input = inputs.first().map(|input| &input.schema);
        let is_append_only = inputs.first().is_some_and(|input| input.properties.is_append_only);
        let distinct: Vec<_> = calls
            .iter()
            .filter(|call| keeps_values(call, is_append_only))
            .map(|call| columns_of(input, &call.arguments))
            .collect();
        if keys.is_empty() {
            facts.push("state: one row, kept for ever".to_owned());
            facts.push("one partition does all of this".to_owned());
        } else {
            facts.push(format!("state: one row per {}, {kept}", first_columns(&node.schema, keys.len())));
        }
        for values in distinct {
            facts.push(format!("state: one row per group and value of {values}, {kept}"));
        }
    }
    facts
}

/// What is known of sessions and kept of them.
fn facts_of_sessions(node: &StreamNode, inputs: &[&StreamNode]) -> Vec<String> {
    let StreamOperator::Sessions { group, calls, closes, gives, .. } = &node.operator else { return vec![] };
    let mut facts = vec![];
    let input = inputs.first().map(|input| &input.schema);
    let kept = if *closes { "kept until the watermark passes its end" } else { "kept for ever" };
    facts.push(match gives {
        Gives::Finals => "a row leaves when its session closes".to_owned(),
        Gives::Updates => "a row leaves at each batch that changes it".to_owned(),
    });
    if group.is_empty() {
        facts.push(format!("state: one row per session, {kept}"));
        facts.push("one partition does all of this".to_owned());
    } else {
        facts.push(format!("state: one row per {} and session, {kept}", columns_of(input, group)));
    }
    for call in calls.iter().filter(|call| keeps_values(call, true)) {
        let values = columns_of(input, &call.arguments);
        facts.push(format!("state: one row per session and value of {values}, {kept}"));
    }
    facts
}

/// Whether a call keeps the values of each group; that of the least and the greatest is not told.
fn keeps_values(call: &AggregateCall, is_append_only: bool) -> bool {
    let function = call.function;
    call.is_distinct || function.is_of_all_values() || function.is_of_one_row() && !is_append_only
}

/// A call in SQL.
pub(super) fn call_text<'a>(
    function: AggregateFunction,
    is_distinct: bool,
    arguments: impl Iterator<Item = &'a str>,
    filter: Option<&str>,
) -> String {
    let arguments: Vec<_> = arguments.collect();
    let arguments = if arguments.is_empty() { "*".to_owned() } else { arguments.join(", ") };
    let distinct = if is_distinct { "DISTINCT " } else { "" };
    let filter = filter.map_or_else(String::new, |filter| format!(" FILTER (WHERE {filter})"));
    format!("{}({distinct}{arguments}){filter}", function.name())
}

fn column_name(schema: Option<&SchemaRef>, column: usize) -> String {
    schema
        .and_then(|schema| schema.fields().get(column))
        .map_or_else(|| format!("#{column}"), |field| field.name().clone())
}

fn columns_of(schema: Option<&SchemaRef>, columns: &[usize]) -> String {
    let names: Vec<_> = columns.iter().map(|&column| column_name(schema, column)).collect();
    format!("({})", names.join(", "))
}

fn first_columns(schema: &SchemaRef, count: usize) -> String {
    let columns: Vec<_> = (0..count).collect();
    columns_of(Some(schema), &columns)
}

fn names(schema: &SchemaRef) -> String {
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.join(", ")
}

fn named(expr: &Arc<dyn PhysicalExpr>, name: &str) -> String {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return as_text(column.name().to_owned(), name);
    }
    as_text(expr_text(expr), name)
}

fn as_text(value: String, name: &str) -> String {
    if value == name { value } else { format!("{value} AS {name}") }
}

/// An expression in SQL, with texts in quotes.
pub(super) fn expr_text(expr: &Arc<dyn PhysicalExpr>) -> String {
    struct Sql<'a>(&'a dyn PhysicalExpr);
    impl fmt::Display for Sql<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt_sql(f)
        }
    }
    let quoted = expr.clone().transform_up(|part| {
        let quoted = part.downcast_ref::<Literal>().and_then(|literal| literal_text(literal.value()));
        Ok(match quoted {
            Some(quoted) => {
                Transformed::yes(Arc::new(Literal::new(ScalarValue::from(quoted))) as Arc<dyn PhysicalExpr>)
            }
            None => Transformed::no(part),
        })
    });
    match quoted {
        Ok(quoted) => Sql(quoted.data.as_ref()).to_string(),
        Err(_) => Sql(expr.as_ref()).to_string(),
    }
}

/// A text, a time or an interval in quotes; `None` for others, which show as they are.
fn literal_text(value: &ScalarValue) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let kind = match value.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "",
        DataType::Timestamp(..) => "TIMESTAMP ",
        DataType::Date32 | DataType::Date64 => "DATE ",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL ",
        _ => return None,
    };
    let text = array_value_to_string(&value.to_array().ok()?, 0).ok()?;
    Some(format!("{kind}'{}'", text.replace('\'', "''")))
}
