//! Where the columns of `SESSION` come from and may go.
//!
//! Owns the rule that only an aggregate makes sessions of rows. Knows no operator's code. Invariant: the start and the end of a session are
//! never seen of a row alone.

use super::group_by::SESSION_OF_GROUP;
use crate::sql::{
    Span, SqlError, SqlResult,
    op::SessionColumn,
    parse::TableFunctionCall,
    plan::{
        place::{find_call, place_of, place_of_query},
        stream_plan::{StreamNodeId, StreamOperator, StreamPlan},
    },
    walk::walk,
};
use datafusion_physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns};
use datafusion_sql::sqlparser::ast::{Query, TableFactor, Visitor};
use std::{ops::ControlFlow, sync::Arc};

/// The node that a column comes from, as it is, through projections and filters; and the column there.
pub fn origin(plan: &StreamPlan, node: StreamNodeId, column: usize) -> (StreamNodeId, usize) {
    let (mut node, mut column) = (node, column);
    loop {
        let StreamOperator::Calc { columns, .. } = &plan.nodes[node.0].operator else {
            return (node, column);
        };
        let Some(before) = columns.get(column).and_then(|expr| expr.downcast_ref::<Column>()) else {
            return (node, column);
        };
        (node, column) = (plan.nodes[node.0].inputs[0], before.index());
    }
}

/// Which column of a session a column is; `None` = it is none.
pub fn session_column(plan: &StreamPlan, node: StreamNodeId, column: usize) -> Option<SessionColumn> {
    let (node, column) = origin(plan, node, column);
    let node = &plan.nodes[node.0];
    if !matches!(node.operator, StreamOperator::SessionWindows { .. }) {
        return None;
    }
    match column.checked_sub(node.schema.fields().len().checked_sub(3)?)? {
        0 => Some(SessionColumn::Start),
        1 => Some(SessionColumn::End),
        _ => Some(SessionColumn::Time),
    }
}

/// Looks for columns of sessions where there are none yet.
///
/// # Errors
/// If there are some.
pub fn check(plan: &StreamPlan, query: &Query) -> SqlResult {
    for node in &plan.nodes {
        let is_shown = |input: &StreamNodeId| {
            let columns = 0..plan.nodes[input.0].schema.fields().len();
            columns.into_iter().any(|column| session_column(plan, *input, column).is_some())
        };
        let is_wrong = match &node.operator {
            StreamOperator::Sessions { .. } => false,
            StreamOperator::Calc { predicate, columns } => {
                let is_plain = |expr: &&Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_none();
                let reads = columns.iter().filter(is_plain).chain(predicate).flat_map(collect_columns);
                reads.into_iter().any(|column| session_column(plan, node.inputs[0], column.index()).is_some())
            }
            _ => node.inputs.iter().any(is_shown),
        };
        if is_wrong {
            return Err(mistake(query, "the rows of SESSION are not grouped")
                .because("where a session ends is known when no more rows join it")
                .next("write GROUP BY window_start, window_end and the columns of PARTITION BY, and read the result in a query around it"));
        }
    }
    Ok(())
}

/// A mistake with SESSION, at its place.
pub fn mistake(query: &Query, what: &str) -> SqlError {
    let is_session = |name: &str| ["session", "session_window", SESSION_OF_GROUP].contains(&name);
    let span = place_in_from(query).or_else(|| find_call(query, is_session).map(|(_, span)| span));
    SqlError::at(span.or_else(|| place_of_query(query)), what)
}

/// Where SESSION stands in FROM.
fn place_in_from(query: &Query) -> Option<Span> {
    struct Find;
    impl Visitor for Find {
        type Break = Option<Span>;

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
            match TableFunctionCall::of(factor) {
                Some(call) if call.is("session") || call.is(SESSION_OF_GROUP) => {
                    ControlFlow::Break(place_of(call.name))
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match walk(query, &mut Find) {
        ControlFlow::Break(span) => span,
        ControlFlow::Continue(()) => None,
    }
}
