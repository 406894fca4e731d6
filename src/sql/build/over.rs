//! Functions with `OVER`: rows go to the state partition of their partition, and wait there.

use super::Builder;
use crate::{
    operator::NodeId,
    plan::{Factory, Layout, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{Over, OverCall, OverPlan},
        plan::stream_plan::{ClosingWindows, StreamNode},
    },
    state::Handle,
};
use std::sync::Arc;

/// What is computed over which rows.
pub(super) struct OverStep<'a> {
    pub name: &'a str,
    pub partition: &'a [usize],
    pub time: usize,
    pub calls: &'a [OverCall],
    pub windows: ClosingWindows,
}

impl Builder<'_> {
    /// Each row with what functions make of the rows before it.
    pub(super) fn over(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        step: &OverStep<'_>,
    ) -> SqlResult<NodeId> {
        let OverStep { name, partition, time, calls, windows } = *step;
        let input = &self.plan.nodes[node.inputs[0].0];
        let output = node.schema.clone();
        let plan = OverPlan::new(&input.schema, partition.to_vec(), time, calls.to_vec(), output);
        let plan = Arc::new(plan.map_err(|e| SqlError::at(node.span, e.to_string()))?);
        let exchange = self.by_columns(operation, node, node.inputs[0], partition)?;
        let mut stores = plan.stores(name);
        let closes = self.closes(Some(windows), name, &mut stores);
        let factory: Factory = Arc::new(move |stores| {
            let Some(closes) = &closes else { unreachable!("rows wait for a watermark") };
            let marks = stores[stores.len() - 1];
            let kept = plan.keeps_rows().then(|| Handle::at(stores[2]));
            let (state, waiting) = (Handle::at(stores[0]), Handle::at(stores[1]));
            Box::new(Over::new(plan.clone(), state, waiting, kept, closes.make(marks)))
        });
        let added = Node::new(operation, "over", name.to_owned(), Role::Operator(factory));
        let added = added.reading([exchange]).keeping(stores);
        Ok(self.topology.add(added.laid(Layout::keyed(operation))))
    }
}
