//! The nodes of sessions, and of late rows.
//!
//! Knows no row. Invariant: rows go to the state partitions of their groups, and the marks behind them to all.

use super::{Builder, format, made};
use crate::{
    error::Error,
    operator::NodeId,
    plan::{Factory, Layout, Node, Operation, Role},
    sql::{
        SqlError, SqlResult,
        op::{Aggregation, ByColumns, LateRows, SessionAggregate, SessionPlan, SessionStores, WindowMarks},
        plan::stream_plan::{StreamNode, StreamNodeId, StreamOperator},
        rows::KeyFormat,
    },
    state::Handle,
};
use std::sync::Arc;

impl Builder<'_> {
    /// All rows go to state partitions, where the watermark is known.
    pub(super) fn late(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        name: &str,
        time_column: usize,
    ) -> SqlResult<NodeId> {
        let input = &self.plan.nodes[node.inputs[0].0];
        let wrong = |e: Error| SqlError::at(node.span, e.to_string());
        let key = KeyFormat::new([input.schema.field(time_column).data_type()]).map_err(wrong)?;
        let exchange: Factory = Arc::new(move |_| Box::new(ByColumns::new(vec![time_column], key.clone())));
        let role = Role::Exchange(exchange, format(input)?);
        let exchange = Node::new(operation, "spread", self.path(node), role);
        let exchange = self.topology.add(exchange.reading([self.built(node.inputs[0])]));
        self.topology.closes_by_event_time = true;
        let factory: Factory =
            Arc::new(move |stores| Box::new(LateRows::new(time_column, Handle::at(stores[0]))));
        let late = Node::new(operation, "late", name.to_owned(), Role::Operator(factory));
        let late = late.reading([exchange]).keeping(vec![WindowMarks::store(name)]);
        Ok(self.topology.add(late.laid(Layout::keyed(operation))))
    }

    /// Rows of a group come together, and are made sessions of.
    pub(super) fn sessions(&mut self, operation: &Operation, node: &StreamNode) -> SqlResult<NodeId> {
        let StreamOperator::Sessions { name, group, calls, columns, time, gap_ms, closes, gives } =
            &node.operator
        else {
            return Err(SqlError::at(node.span, "these are no sessions; this is a bug in the plan"));
        };
        let input = &self.plan.nodes[node.inputs[0].0];
        let wrong = |e: Error| SqlError::at(node.span, e.to_string());
        let aggregation =
            Aggregation::new(&input.schema, group.clone(), calls.clone(), true).map_err(wrong)?;
        let (time, shift_ms) = *time;
        let plan = Arc::new(SessionPlan {
            aggregation: Arc::new(aggregation),
            time,
            shift_ms,
            gap_ms: *gap_ms,
            gives: *gives,
            columns: columns.clone(),
            output: node.schema.clone(),
        });
        let stores = plan.stores(name).map_err(wrong)?;
        let types = group.iter().map(|column| input.schema.field(*column).data_type());
        let (group, key) = (group.clone(), KeyFormat::new(types).map_err(wrong)?);
        let exchange: Factory = Arc::new(move |_| Box::new(ByColumns::new(group.clone(), key.clone())));
        let role = Role::Exchange(exchange, format(input)?);
        let exchange = Node::new(operation, "group", self.path(node), role);
        let exchange = self.topology.add(exchange.reading([self.built(node.inputs[0])]));
        self.topology.closes_by_event_time |= *closes;
        let feeds_windows = self.plan.feeds_windows(StreamNodeId(self.nodes.len()));
        let sends_as: Option<Arc<str>> = feeds_windows.then(|| name.as_str().into());
        let factory: Factory = Arc::new(move |stores| {
            let made = made(SessionAggregate::new(plan.clone(), SessionStores::at(stores)));
            Box::new(match &sends_as {
                Some(name) => made.sending_marks(name.clone()),
                None => made,
            })
        });
        let sessions = Node::new(operation, "sessions", name.clone(), Role::Operator(factory));
        let sessions = sessions.reading([exchange]).keeping(stores);
        Ok(self.topology.add(sessions.laid(Layout::keyed(operation))))
    }
}
