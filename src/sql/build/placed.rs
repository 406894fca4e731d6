//! Rows at the place of their key: behind an exchange, or where they lie anyway.
//!
//! Owns when an exchange is needed. Knows no row. Invariant: rows with equal keys come to one state partition.

use super::{Builder, format};
use crate::{
    operator::NodeId,
    plan::{Factory, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::ByColumns,
        plan::{
            lies_by,
            stream_plan::{OutputMode, StreamNode, StreamNodeId, StreamOperator},
        },
        rows::KeyFormat,
    },
};
use std::sync::Arc;

impl Builder<'_> {
    /// The rows of a step by these columns.
    pub(super) fn placed_by(
        &mut self,
        operation: &Operation,
        input: StreamNodeId,
        keys: &[usize],
    ) -> SqlResult<NodeId> {
        let from = self.built(input);
        if lies_by(self.plan, input).is_some_and(|columns| columns == keys) {
            return Ok(from);
        }
        let node = &self.plan.nodes[input.0];
        let types = keys.iter().map(|key| node.schema.field(*key).data_type());
        let key = KeyFormat::new(types).map_err(|e| SqlError::at(node.span, e.to_string()))?;
        let keys = keys.to_vec();
        let exchange: Factory = Arc::new(move |_| Box::new(ByColumns::new(keys.clone(), key.clone())));
        let path = self.topology.node(from).path.clone();
        let exchange = Node::new(operation, "key", path, Role::Exchange(exchange, format(node)?));
        Ok(self.topology.add(exchange.reading([from])))
    }

    /// Where a table takes its rows from: changes of one key all come to one task, which sees the last of them.
    pub(super) fn sink_input(&mut self, operation: &Operation, node: &StreamNode) -> SqlResult<NodeId> {
        let id = node.inputs[0];
        let from = self.built(id);
        let StreamOperator::Sink { table, mode, key, .. } = &node.operator else { return Ok(from) };
        let connector = table.options.get("connector").map_or("", |option| option.value.as_str());
        let is_shown = matches!(connector, "print" | "console" | "blackhole");
        let lies_by_key = |columns: Vec<usize>| columns.iter().all(|column| key.contains(column));
        if *mode != OutputMode::Update
            || is_shown
            || key.is_empty()
            || self.plan.nodes[id.0].properties.is_append_only
            || lies_by(self.plan, id).is_some_and(lies_by_key)
        {
            return Ok(from);
        }
        self.placed_by(operation, id, key)
    }
}
