//! Joins with versions as nodes of a topology.
//!
//! Knows no row. Invariant: rows and versions with one key come to one state partition.

use super::{super::Builder, made};
use crate::{
    error::Error,
    operator::{NodeId, Operator},
    plan::{Factory, Layout, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{AsOf, AsOfPlan, AsOfStores, JoinPlan},
        plan::stream_plan::{StreamNode, StreamOperator},
    },
    state::Handle,
};
use std::sync::Arc;

impl Builder<'_> {
    /// Rows and versions go to the state partition of their key; rows wait there.
    pub(in crate::sql::build) fn as_of(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
    ) -> SqlResult<NodeId> {
        let StreamOperator::AsOf { name, kind, sides, condition, times, windows } = &node.operator else {
            return Err(SqlError::at(node.span, "a join is not where it was planned"));
        };
        let wrong = |e: Error| SqlError::at(node.span, e.to_string());
        let inputs = [node.inputs[0], node.inputs[1]];
        let of = inputs.map(|input| self.plan.nodes[input.0].schema.clone());
        let plan = JoinPlan::new(*kind, [&of[0], &of[1]], sides.clone(), node.schema.clone());
        let plan = plan.map_err(wrong)?.when(condition.clone());
        let plan = Arc::new(AsOfPlan::new(plan, *times).map_err(wrong)?);
        let (mut reads, mut formats) = (vec![], vec![]);
        for (input, side) in inputs.into_iter().zip(sides) {
            reads.push(self.placed_by(operation, input, &side.keys)?);
            formats.push(super::format(&self.plan.nodes[input.0])?);
        }
        let mut stores = plan.stores(name);
        let Some(closes) = self.closes(Some(*windows), name, &mut stores) else {
            return Err(SqlError::at(node.span, "rows wait for a watermark, and there is none"));
        };
        let at = |stores: &[usize]| AsOfStores {
            waiting: Handle::at(stores[0]),
            versions: Handle::at(stores[1]),
            passing: Handle::at(stores[2]),
        };
        // Told here, and not by each task.
        AsOf::new(plan.clone(), at(&[0, 1, 2]), closes.make(3)).map_err(wrong)?;
        let factory: Factory = Arc::new(move |stores| {
            let join = AsOf::new(plan.clone(), at(stores), closes.make(stores[3]));
            Box::new(made(join)) as Box<dyn Operator>
        });
        let join = Node::new(operation, "as-of", name.clone(), Role::Operator(factory));
        let join = join.reading(reads).in_formats(formats).keeping(stores);
        Ok(self.topology.add(join.laid(Layout::keyed(operation))))
    }
}
