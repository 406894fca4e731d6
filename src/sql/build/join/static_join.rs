//! Joins with tables in memory as nodes of a topology.
//!
//! Knows no row. Invariant: all tasks share the rows of the table.

use super::{super::Builder, made};
use crate::{
    error::Error,
    operator::NodeId,
    plan::{Factory, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{JoinPlan, StaticJoin, StaticTable},
        plan::stream_plan::{StreamNode, StreamOperator},
    },
};
use std::sync::Arc;

impl Builder<'_> {
    /// Rows of a stream find their partners where they lie.
    pub(in crate::sql::build) fn static_join(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
    ) -> SqlResult<NodeId> {
        let StreamOperator::StaticJoin { table, kind, sides, condition, nulls_match } = &node.operator else {
            return Err(SqlError::at(node.span, "a join is not where it was planned"));
        };
        let wrong = |e: Error| SqlError::at(node.span, e.to_string());
        let of_stream = self.plan.nodes[node.inputs[0].0].schema.clone();
        let inputs = [&of_stream, &table.rows.schema()];
        let plan = JoinPlan::new(*kind, inputs, sides.clone(), node.schema.clone()).map_err(wrong)?;
        let plan = Arc::new(plan.when(condition.clone()).matching_nulls(*nulls_match));
        let table = Arc::new(StaticTable::new(&plan, &table.rows).map_err(wrong)?);
        // Told here, and not by each task.
        StaticJoin::new(plan.clone(), table.clone()).map_err(wrong)?;
        let factory: Factory =
            Arc::new(move |_| Box::new(made(StaticJoin::new(plan.clone(), table.clone()))));
        self.add(operation, "lookup", node, Role::Operator(factory))
    }
}
