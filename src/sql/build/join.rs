//! Joins as nodes of a topology.
//!
//! Owns which sides need an exchange. Knows no row. Invariant: rows of both sides with equal keys come to one state partition.

mod as_of;
mod static_join;

use super::{Builder, format, made};
use crate::{
    error::Error,
    operator::{NodeId, Operator},
    plan::{Factory, Layout, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{Join, JoinPlan},
        plan::stream_plan::{StreamNode, StreamNodeId, StreamOperator},
    },
    state::Handle,
};
use std::sync::Arc;

impl Builder<'_> {
    /// Rows of both inputs go to the state partition of their key, and meet there.
    pub(super) fn join(&mut self, operation: &Operation, node: &StreamNode) -> SqlResult<NodeId> {
        let StreamOperator::Join { name, kind, sides, condition, time, nulls_match } = &node.operator else {
            return Err(SqlError::at(node.span, "a join is not where it was planned"));
        };
        let wrong = |e: Error| SqlError::at(node.span, e.to_string());
        let inputs = [node.inputs[0], node.inputs[1]];
        let of = inputs.map(|input| &self.plan.nodes[input.0]);
        let inputs_grow = of.iter().all(|input| input.properties.is_append_only);
        let plan = JoinPlan::new(*kind, of.map(|input| &input.schema), sides.clone(), node.schema.clone());
        let plan = plan
            .map_err(wrong)?
            .when(condition.clone())
            .matching_nulls(*nulls_match)
            .growing(inputs_grow, node.properties.is_append_only)
            .bounded(*time);
        let plan = Arc::new(plan);
        let mut reads = vec![];
        let mut formats = vec![];
        for (input, side) in inputs.into_iter().zip(sides) {
            reads.push(self.placed_by(operation, input, &side.keys)?);
            formats.push(format(&self.plan.nodes[input.0])?);
        }
        let stores = plan.stores(name);
        // Told here, and not by each task.
        let (left, right) = (Handle::at(0), Handle::at(1));
        Join::new(plan.clone(), [left, right], None).map_err(wrong)?;
        let is_timed = time.is_some();
        self.topology.closes_by_event_time |= is_timed;
        let sends = is_timed && self.plan.feeds_windows(StreamNodeId(self.nodes.len()));
        let sends_as: Option<Arc<str>> = sends.then(|| name.as_str().into());
        let factory: Factory = Arc::new(move |stores| {
            let marks = stores.get(2).map(|marks| Handle::at(*marks));
            let of_sides = [Handle::at(stores[0]), Handle::at(stores[1])];
            let join = made(Join::new(plan.clone(), of_sides, marks));
            Box::new(match &sends_as {
                Some(name) => join.sending_marks(name.clone()),
                None => join,
            }) as Box<dyn Operator>
        });
        let join = Node::new(operation, "join", name.clone(), Role::Operator(factory));
        let join = join.reading(reads).in_formats(formats).keeping(stores);
        Ok(self.topology.add(join.laid(Layout::keyed(operation))))
    }
}
