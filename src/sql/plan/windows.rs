//! Windowing functions in FROM: `TUMBLE`, `HOP`, `CUMULATE` and `SESSION`, as plans.
//!
//! Owns how such a call becomes a node of the logical plan. Knows no operator. Invariant: the columns of the input come first, as they
//! are, then `window_start`, `window_end` and `window_time`.

mod call;
mod group_by;
mod late;
mod node;
mod sessions;
mod watermark;

use call::place_of_ident;

pub use call::{WindowCall, WindowInput, is_window_function};
pub use group_by::{rewritten, rewritten_expr};
pub use late::{LATE, LateNode};
pub use node::{ADDED, WindowsNode, is_time, length, windows_text};
pub use sessions::{check as check_sessions, mistake as session_mistake, origin, session_column};
pub use watermark::WatermarkNode;

use crate::sql::{Span, SqlError, closest::closest, parse::TableFunctionCall};
use datafusion_common::{Column, DataFusionError, Result as PlanResult};
use datafusion_expr::{
    Extension, LogicalPlan,
    planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
};
use datafusion_sql::sqlparser::ast::TableFactor;
use std::sync::Arc;

/// Plans the calls.
#[derive(Debug)]
pub struct WindowsPlanner;

impl RelationPlanner for WindowsPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        let call = match TableFunctionCall::of(&relation).filter(|call| is_window_function(call.name)) {
            Some(call) => WindowCall::of(&call).map_err(outer)?,
            None => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let input = context.plan(call.input.relation())?;
        let time = time_column(&input, &context.normalize_ident(call.column.clone()), call.column_span)?;
        let mut partition_by = call.partition_by.as_ref().map(|_| vec![]);
        for ident in call.partition_by.iter().flatten() {
            let name = context.normalize_ident((*ident).clone());
            let column = column_named(&input, &name, place_of_ident(ident).or(call.column_span))?;
            partition_by.iter_mut().for_each(|columns| columns.push(column.clone()));
        }
        let node = WindowsNode::new(input, time, call.windows, partition_by)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, call.alias.cloned()))))
    }
}

/// A mistake of ours as an error of DataFusion's planner, which passes it through.
fn outer(mistake: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(mistake))
}

/// A mistake that was passed through.
pub fn inner(error: &DataFusionError) -> Option<&SqlError> {
    match error.find_root() {
        DataFusionError::External(error) => error.downcast_ref(),
        _ => None,
    }
}

/// A column that sessions are partitioned by.
fn column_named(input: &LogicalPlan, name: &str, span: Option<Span>) -> PlanResult<Column> {
    let schema = input.schema();
    if let Some((table, field)) = schema.iter().find(|(_, field)| field.name() == name) {
        return Ok(Column::from((table, field)));
    }
    let mistake = SqlError::at(span, format!("there is no column `{name}` to partition by"));
    Err(outer(match closest(name, schema.fields().iter().map(|field| field.name().as_str())) {
        Some(close) => mistake.next(format!("did you mean `{close}`?")),
        None => mistake.next("name a column of the table"),
    }))
}

fn time_column(input: &LogicalPlan, name: &str, span: Option<Span>) -> PlanResult<Column> {
    let schema = input.schema();
    let taken = node::ADDED.iter().find(|added| schema.has_column_with_unqualified_name(added));
    if let Some(taken) = taken {
        let mistake = SqlError::at(span, format!("the input of a window has a column `{taken}` already"))
            .next(format!("give it another name in a query or view before: {taken} AS .."));
        return Err(outer(mistake));
    }
    let Some((table, field)) = schema.iter().find(|(_, field)| field.name() == name) else {
        let mistake = SqlError::at(span, format!("there is no column `{name}` to take the time from"));
        return Err(outer(match closest(name, schema.fields().iter().map(|field| field.name().as_str())) {
            Some(close) => mistake.next(format!("did you mean `{close}`?")),
            None => mistake.next("name a column of type TIMESTAMP: DESCRIPTOR(..)"),
        }));
    };
    if !node::is_time(field.data_type()) {
        let data_type = super::types::type_name(field.data_type());
        let mistake = SqlError::at(span, format!("windows need a time, and column `{name}` is {data_type}"))
            .next("name a column of type TIMESTAMP(3): DESCRIPTOR(..)");
        return Err(outer(mistake));
    }
    Ok(Column::from((table, field)))
}
