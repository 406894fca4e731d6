//! `INTERSECT` and `EXCEPT` as nodes of their own.
//!
//! Owns the node and where it comes from. Invariants: DataFusion plans these as joins that compare all columns, where NULL equals NULL, and
//! nothing else is planned so before its rules run; with `ALL` such a join has too many rows, so the node says what is meant. Both inputs
//! of a node have the same types.

use crate::sql::op::SetKind;
use datafusion_common::{
    DFSchemaRef, DataFusionError, JoinType, NullEquality, Result as PlanResult, config::ConfigOptions,
    tree_node::Transformed,
};
use datafusion_expr::{
    Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, cast,
    logical_plan::Extension, type_coercion::binary::type_union_coercion,
};
use datafusion_optimizer::AnalyzerRule;
use std::{cmp::Ordering, fmt, sync::Arc};

/// Rows of two inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetNode {
    /// Which of them are in the answer.
    pub kind: SetKind,
    /// The inputs.
    pub inputs: [LogicalPlan; 2],
}

impl PartialOrd for SetNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.kind.cmp(&other.kind) {
            Ordering::Equal => self.inputs.partial_cmp(&other.inputs),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for SetNode {
    fn name(&self) -> &'static str {
        "SetOperation"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.inputs[0].schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetOperation: {}", self.kind.name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let wrong = |_| DataFusionError::Plan("a set operation has two inputs".to_owned());
        Ok(SetNode { kind: self.kind, inputs: inputs.try_into().map_err(wrong)? })
    }
}

/// Runs when types agree, and before any rule of the optimizer.
#[derive(Debug)]
pub struct SetOperations;

impl AnalyzerRule for SetOperations {
    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> PlanResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => {
                match set_node(&join)? {
                    Some(node) => {
                        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
                    }
                    None => Ok(Transformed::no(LogicalPlan::Join(join))),
                }
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &'static str {
        "set_operations"
    }
}

fn set_node(join: &Join) -> PlanResult<Option<SetNode>> {
    let (kind, all) = match join.join_type {
        JoinType::LeftSemi => (SetKind::Intersect, SetKind::IntersectAll),
        JoinType::LeftAnti => (SetKind::Except, SetKind::ExceptAll),
        _ => return Ok(None),
    };
    // Without ALL the rows of the first input are made distinct, which the operation does anyway.
    let (kind, first) = match join.left.as_ref() {
        LogicalPlan::Distinct(Distinct::All(input)) => (kind, input),
        _ => (all, &join.left),
    };
    let mut types = vec![];
    for (first, second) in first.schema().fields().iter().zip(join.right.schema().fields()) {
        let (first, second) = (first.data_type(), second.data_type());
        let common = if first == second { Some(first.clone()) } else { type_union_coercion(first, second) };
        let differ = || DataFusionError::Plan(format!("{} of {first} and {second}", kind.name()));
        types.push(common.ok_or_else(differ)?);
    }
    let cast_to = |plan: &Arc<LogicalPlan>| {
        if plan.schema().fields().iter().zip(&types).all(|(field, wanted)| field.data_type() == wanted) {
            return Ok(plan.as_ref().clone());
        }
        let columns = plan.schema().iter().zip(&types).map(|((table, field), wanted)| {
            let column = Expr::Column(datafusion_common::Column::from((table, field)));
            if field.data_type() == wanted {
                column
            } else {
                cast(column, wanted.clone()).alias_qualified(table.cloned(), field.name())
            }
        });
        LogicalPlanBuilder::from(plan.as_ref().clone()).project(columns)?.build()
    };
    Ok(Some(SetNode { kind, inputs: [cast_to(first)?, cast_to(&join.right)?] }))
}
