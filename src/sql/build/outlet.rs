//! Rows of a whole batch in one task: for the console, and for the program itself.
//!
//! Owns these nodes. Knows no terminal and no function. Invariant: what keeps rows for a destination is named after its table.

use super::{Builder, Taken, format, sink::not_shown};
use crate::{
    operator::{GatherExchange, NodeId, SinglePartition},
    plan::{Factory, Node, Operation, Role},
    sink::Intake,
    sql::{
        SqlError, SqlResult, TableDefinition,
        op::OrderColumn,
        plan::stream_plan::{OutputMode, StreamNode},
        rows::RowFormat,
        sink::{
            CompleteTable, ConsoleSink, MemoryTable, Outlet, RowsInOrder, ShownAt, ShownRows, TableColumns,
        },
    },
    state::{Handle, Placement, RowIndex, StoreSpec},
};
use std::sync::Arc;

impl Builder<'_> {
    /// All rows come to one task, which shows them.
    pub(super) fn console(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        mode: OutputMode,
        rows: ShownRows,
    ) -> SqlResult<NodeId> {
        let name = format!("{}.console", table.name);
        let (gathered, home) = self.gather(operation, node, &name)?;
        let (factory, stores) = shows(&name, node, mode, rows)?;
        let role = Role::Sink { factory, topics: vec![], two_phase: None, intake: Intake::At(home) };
        Ok(self.topology.add(Node::new(operation, "insert", name, role).reading([gathered]).keeping(stores)))
    }

    /// All rows come to one task, which gives them to the program.
    pub(super) fn outlet(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        mode: OutputMode,
        (columns, order): (TableColumns, &[OrderColumn]),
        taken: &Taken,
    ) -> SqlResult<NodeId> {
        let table = &taken.table;
        let (order, place) = match &taken.outlet {
            Outlet::Memory(_) | Outlet::InOrder(_) => (order, ShownAt::Memory),
            Outlet::Batches(..) => (&[][..], ShownAt::Bytes),
        };
        if let (Outlet::InOrder(memory), OutputMode::Append) = (&taken.outlet, mode) {
            let in_order = RowsInOrder(columns);
            let factory: Factory = Arc::new(move |_| Box::new(in_order.clone()));
            return self.memory(operation, node, memory, format!("{table}.memory"), (factory, vec![]));
        }
        let rows = ShownRows::new(columns, order, usize::MAX, place).map_err(|e| not_shown(node, &e))?;
        match &taken.outlet {
            Outlet::Memory(memory) | Outlet::InOrder(memory) => {
                let name = format!("{table}.memory");
                let shows = shows(&name, node, mode, rows)?;
                self.memory(operation, node, memory, name, shows)
            }
            Outlet::Batches(function, at) => {
                let name = format!("{table}.foreach-batch");
                let shape = Outlet::batches(function, at, table, &self.application, &rows);
                let shape = shape.map_err(|why| SqlError::at(node.span, why))?;
                let (gathered, home) = self.gather(operation, node, &name)?;
                let (factory, stores) = shows(&name, node, mode, rows)?;
                let made = Node::new(operation, "rows", name.clone(), Role::Operator(factory));
                let made = self.topology.add(made.reading([gathered]).keeping(stores));
                self.topology.outboxes.extend(shape.outbox);
                let (operator, two_phase) = (shape.operator, shape.two_phase);
                let factory: Factory = Arc::new(move |_| operator());
                let role = Role::Sink { factory, topics: shape.topics, two_phase, intake: Intake::At(home) };
                Ok(self.topology.add(Node::new(operation, "foreach_batch", name, role).reading([made])))
            }
        }
    }

    /// All rows come to one task, and from there into a table in memory.
    fn memory(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        memory: &MemoryTable,
        name: String,
        (factory, stores): (Factory, Vec<StoreSpec>),
    ) -> SqlResult<NodeId> {
        let (gathered, home) = self.gather(operation, node, &name)?;
        let two_phase = Outlet::memory(memory).two_phase;
        let role = Role::Sink { factory, topics: vec![], two_phase, intake: Intake::At(home) };
        let sink = Node::new(operation, "memory", name, role);
        Ok(self.topology.add(sink.reading([gathered]).keeping(stores)))
    }

    /// The rows of a step in one task, and which one that is.
    fn gather(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        name: &str,
    ) -> SqlResult<(NodeId, SinglePartition)> {
        let input = &self.plan.nodes[node.inputs[0].0];
        let home = SinglePartition::of(name);
        let to = home.clone();
        let exchange: Factory = Arc::new(move |_| Box::new(GatherExchange(to.clone())));
        let role = Role::Exchange(exchange, format(input)?);
        let node =
            Node::new(operation, "gather", self.path(node), role).reading([self.built(node.inputs[0])]);
        Ok((self.topology.add(node), home))
    }
}

/// What shows the rows that have come to one task, with what it keeps.
fn shows(
    name: &str,
    node: &StreamNode,
    mode: OutputMode,
    rows: ShownRows,
) -> SqlResult<(Factory, Vec<StoreSpec>)> {
    if mode != OutputMode::Complete {
        let factory: Factory = Arc::new(move |_| Box::new(ConsoleSink::new(rows.clone())));
        return Ok((factory, vec![]));
    }
    let columns = RowFormat::of_schema(rows.columns.schema()).map_err(|e| not_shown(node, &e))?;
    let store = RowIndex::spec(name, &rows.store_format(&columns.to_string()));
    let factory: Factory =
        Arc::new(move |stores| Box::new(CompleteTable::new(rows.clone(), Handle::at(stores[0]))));
    Ok((factory, vec![store.placed(Placement::Home)]))
}
