//! Top-N and set operations: rows go to the state partition of their key, and are kept there.

use super::{Builder, format};
use crate::{
    error::Error,
    operator::NodeId,
    plan::{Factory, Layout, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{
            ByColumns, Deduplicate, DeduplicatePlan, Expiry, Ranking, SetKind, SetOperation, SetPlan, TopN,
            TopNPlan,
        },
        plan::stream_plan::{ClosingWindows, StreamNode, StreamNodeId},
        rows::KeyFormat,
    },
    state::Handle,
};
use std::sync::Arc;

impl Builder<'_> {
    /// Sends the rows of a step to the state partitions of these columns.
    pub(super) fn by_columns(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        input: StreamNodeId,
        columns: &[usize],
    ) -> SqlResult<NodeId> {
        let from = &self.plan.nodes[input.0];
        let types = columns.iter().map(|column| from.schema.field(*column).data_type());
        let key = KeyFormat::new(types).map_err(|e| SqlError::at(node.span, e.to_string()))?;
        let (columns, rows) = (columns.to_vec(), format(from)?);
        let exchange: Factory = Arc::new(move |_| Box::new(ByColumns::new(columns.clone(), key.clone())));
        let path = self.topology.node(self.built(input)).path.clone();
        let exchange = Node::new(operation, "group", path, Role::Exchange(exchange, rows));
        Ok(self.topology.add(exchange.reading([self.built(input)])))
    }

    /// The first rows of each partition.
    pub(super) fn top_n(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        name: &str,
        ranking: &Ranking,
        windows: Option<ClosingWindows>,
    ) -> SqlResult<NodeId> {
        let input = &self.plan.nodes[node.inputs[0].0];
        let is_append_only = input.properties.is_append_only;
        let output = node.schema.clone();
        let plan = TopNPlan::new(&input.schema, ranking.clone(), windows.is_some(), is_append_only, output);
        let plan = Arc::new(plan.map_err(|e| wrong(node, &e))?);
        let exchange = self.by_columns(operation, node, node.inputs[0], &ranking.partition)?;
        let mut stores = vec![plan.store(name)];
        let closes = self.closes(windows, name, &mut stores);
        let factory: Factory = Arc::new(move |stores| {
            let closing = closes.as_ref().map(|closes| closes.make(stores[1]));
            Box::new(TopN::new(plan.clone(), Handle::at(stores[0]), closing))
        });
        let added = Node::new(operation, "top-n", name.to_owned(), Role::Operator(factory));
        let added = added.reading([exchange]).keeping(stores);
        Ok(self.topology.add(added.laid(Layout::keyed(operation))))
    }

    /// The first row of each key that comes.
    pub(super) fn deduplicate(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        name: &str,
        (keys, expiry): (&[usize], Option<Expiry>),
        windows: Option<ClosingWindows>,
    ) -> SqlResult<NodeId> {
        let plan = DeduplicatePlan::new(&node.schema, keys.to_vec(), expiry).map_err(|e| wrong(node, &e))?;
        let plan = Arc::new(plan);
        let exchange = self.by_columns(operation, node, node.inputs[0], keys)?;
        let mut stores = plan.stores(name);
        let closes = self.closes(windows, name, &mut stores);
        let factory: Factory = Arc::new(move |stores| {
            let expiry = closes.as_ref().map(|closes| (Handle::at(stores[1]), closes.make(stores[2])));
            Box::new(Deduplicate::new(plan.clone(), Handle::at(stores[0]), expiry))
        });
        let added = Node::new(operation, "deduplicate", name.to_owned(), Role::Operator(factory));
        let added = added.reading([exchange]).keeping(stores);
        Ok(self.topology.add(added.laid(Layout::keyed(operation))))
    }

    /// The rows of two inputs that a set operation leaves.
    pub(super) fn set_operation(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        name: &str,
        (kind, keys): (SetKind, &[usize]),
        windows: Option<ClosingWindows>,
    ) -> SqlResult<NodeId> {
        let plan = SetPlan::new(kind, keys.to_vec(), node.schema.clone(), node.properties.is_append_only)
            .map_err(|e| wrong(node, &e))?;
        let plan = Arc::new(plan);
        let mut exchanges = vec![];
        for input in &node.inputs {
            exchanges.push(self.by_columns(operation, node, *input, keys)?);
        }
        let mut stores = vec![plan.store(name)];
        let closes = self.closes(windows, name, &mut stores);
        let factory: Factory = Arc::new(move |stores| {
            let closing = closes.as_ref().map(|closes| closes.make(stores[1]));
            Box::new(SetOperation::new(plan.clone(), Handle::at(stores[0]), closing))
        });
        let added = Node::new(operation, "set", name.to_owned(), Role::Operator(factory));
        let added = added.reading(exchanges).keeping(stores);
        Ok(self.topology.add(added.laid(Layout::keyed(operation))))
    }
}

fn wrong(node: &StreamNode, e: &Error) -> SqlError {
    SqlError::at(node.span, e.to_string())
}
