//! From a stream plan to nodes of a topology.
//!
//! Owns which operators a step becomes and what they are called. Knows no text but where things stand in it. Invariant: durable names
//! come from tables and from the names that the plan gives to what keeps state, never from positions.

mod closing;
mod event_time;
mod fields;
mod join;
mod once;
mod outlet;
mod over;
mod placed;
mod ranks;
mod sessions;
mod sink;
mod source;

use over::OverStep;

use super::{
    SourceText, SqlError, SqlResult,
    agg::AggregateCall,
    connector::Registries,
    format::Registration,
    op::{
        Aggregate, Aggregation, AssignWindows, BatchTimeMarks, ByColumns, Calc, CalcPlan, PartialAggregate,
        Takes, Union, Unnest, WindowAggregate, WindowKind, WindowMarks, WindowStores, Windows,
    },
    plan::stream_plan::{ClosingWindows, StreamNode, StreamNodeId, StreamOperator, StreamPlan},
    rows::{KeyFormat, RowsFormat},
    sink::Outlet,
};
use crate::{
    error::Error,
    operator::{ExchangeFormat, NodeId},
    plan::{Factory, Layout, Node, Operation, Role, Topology},
    state::Handle,
};
use std::{collections::BTreeMap, sync::Arc};

/// Adds what a plan computes to a topology of an application, whose id precedes the names of its topics.
///
/// # Errors
/// If a table cannot be read or written as the plan wants it.
pub fn build(plan: &StreamPlan, text: &SourceText, application: &str, topology: &mut Topology) -> SqlResult {
    build_with(plan, text, application, None, topology)
}

/// The same, where the program itself takes the rows that are written to one table.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    plan: &StreamPlan,
    text: &SourceText,
    application: &str,
    taken: Option<&Taken>,
    topology: &mut Topology,
) -> SqlResult {
    let plan = &fields::narrowed(plan);
    let application = application.to_owned();
    let mut built = Builder {
        plan,
        text,
        application,
        taken,
        topology,
        nodes: vec![],
        records_of: BTreeMap::new(),
        registries: Registries::default(),
        registrations: vec![],
    };
    for node in &plan.nodes {
        let id = built.node(node).map_err(|e| e.or_at(node.span))?;
        built.nodes.push(id);
    }
    let Builder { registries, registrations, .. } = built;
    for registry in registries.into_all() {
        let asked = registry.clone();
        topology.looks.push(Arc::new(move || asked.answers()));
        topology.preparations.push(Arc::new(move || registry.wait_until_it_answers()));
    }
    for registration in registrations {
        let looked_at = registration.clone();
        topology.looks.push(Arc::new(move || looked_at.look()));
        topology.preparations.push(Arc::new(move || registration.make()));
    }
    Ok(())
}

/// Rows that the program itself takes.
#[derive(Debug)]
pub struct Taken {
    /// What the table is called that stands for it in the plan.
    pub table: String,
    /// Where they go.
    pub outlet: Outlet,
}

struct Builder<'a> {
    plan: &'a StreamPlan,
    text: &'a SourceText,
    application: String,
    taken: Option<&'a Taken>,
    topology: &'a mut Topology,
    /// What each node of the plan became.
    nodes: Vec<NodeId>,
    /// The records of tables whose rows are known by a key, by the names of the tables.
    records_of: BTreeMap<String, NodeId>,
    registries: Registries,
    /// What is registered at the start.
    registrations: Vec<Registration>,
}

impl Builder<'_> {
    fn node(&mut self, node: &StreamNode) -> SqlResult<NodeId> {
        let place = self.text.place(node.span.unwrap_or_default());
        let operation = self.topology.operation(place);
        match &node.operator {
            StreamOperator::Source { table, columns, event_time } => {
                self.source(&operation, node, table, columns, event_time.as_deref())
            }
            StreamOperator::Versions { table } => self.records_by_key(&operation, node, table),
            StreamOperator::Calc { predicate, columns } => {
                let calc = CalcPlan::new(predicate.clone(), columns, node.schema.clone());
                let calc = Arc::new(calc.map_err(|e| SqlError::at(node.span, e.to_string()))?);
                let kind = if predicate.is_some() { "filter" } else { "select" };
                let factory: Factory = Arc::new(move |_| Box::new(Calc::new(calc.clone())));
                self.add(&operation, kind, node, Role::Operator(factory))
            }
            StreamOperator::Watermark { name, column, delay_ms } => {
                self.watermark_of(&operation, node, name, *column, *delay_ms)
            }
            StreamOperator::Union => {
                let (is_append_only, schema) = (node.properties.is_append_only, node.schema.clone());
                let factory: Factory =
                    Arc::new(move |_| Box::new(Union { schema: schema.clone(), is_append_only }));
                self.add(&operation, "union", node, Role::Operator(factory))
            }
            StreamOperator::AssignWindows { windows, time_column } => {
                self.assign_windows(&operation, node, *windows, *time_column)
            }
            StreamOperator::SessionWindows { gap_ms, time_column, .. } => {
                let windows = Windows { kind: WindowKind::Session { gap_ms: *gap_ms }, offset_ms: 0 };
                self.assign_windows(&operation, node, windows, *time_column)
            }
            StreamOperator::BatchTime { .. } => {
                let factory: Factory = Arc::new(|_| Box::<BatchTimeMarks>::default());
                self.add(&operation, "batch-time", node, Role::Operator(factory))
            }
            StreamOperator::Sessions { .. } => self.sessions(&operation, node),
            StreamOperator::Late { name, time_column } => self.late(&operation, node, name, *time_column),
            StreamOperator::Unnest { list, columns, keeps_null } => {
                let (columns, schema) = (columns.clone(), node.schema.clone());
                let unnest = Unnest { list: *list, columns, keeps_null: *keeps_null, schema };
                let factory: Factory = Arc::new(move |_| Box::new(unnest.clone()));
                self.add(&operation, "unnest", node, Role::Operator(factory))
            }
            StreamOperator::Aggregate { name, keys, calls, windows } => {
                let grouping = Grouping { name, keys, calls, windows: *windows };
                self.aggregate(&operation, node, &grouping)
            }
            StreamOperator::Join { .. } => self.join(&operation, node),
            StreamOperator::StaticJoin { .. } => self.static_join(&operation, node),
            StreamOperator::AsOf { .. } => self.as_of(&operation, node),
            StreamOperator::TopN { name, ranking, windows } => {
                self.top_n(&operation, node, name, ranking, *windows)
            }
            StreamOperator::SetOperation { name, kind, keys, windows } => {
                self.set_operation(&operation, node, name, (*kind, keys), *windows)
            }
            StreamOperator::Deduplicate { name, keys, expiry, windows } => {
                self.deduplicate(&operation, node, name, (keys, *expiry), *windows)
            }
            StreamOperator::Over { name, partition, time, calls, windows } => {
                let over = OverStep { name, partition, time: *time, calls, windows: *windows };
                self.over(&operation, node, &over)
            }
            StreamOperator::Sink { table, mode, columns, order, .. } => {
                let (input, from) = (node.inputs[0], self.sink_input(&operation, node)?);
                let before = std::mem::replace(&mut self.nodes[input.0], from);
                let sink = self.sink(&operation, node, table, *mode, (columns, order));
                self.nodes[input.0] = before;
                sink
            }
        }
    }

    fn assign_windows(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        windows: Windows,
        time_column: usize,
    ) -> SqlResult<NodeId> {
        let schema = node.schema.clone();
        let factory: Factory =
            Arc::new(move |_| Box::new(AssignWindows { windows, time_column, schema: schema.clone() }));
        self.add(operation, "windows", node, Role::Operator(factory))
    }

    /// The node that a step became.
    fn built(&self, id: StreamNodeId) -> NodeId {
        self.nodes[id.0]
    }

    /// The path of what a step reads: that of its first input.
    fn path(&self, node: &StreamNode) -> String {
        node.inputs
            .first()
            .map_or_else(String::new, |input| self.topology.node(self.built(*input)).path.clone())
    }

    /// Adds a step that keeps nothing; its rows lie as those of its only input do.
    fn add(
        &mut self,
        operation: &Operation,
        kind: &'static str,
        node: &StreamNode,
        role: Role,
    ) -> SqlResult<NodeId> {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| self.built(*input)).collect();
        let layout = match inputs[..] {
            [input] => self.topology.node(input).layout,
            _ => Layout::Any,
        };
        let formats = node.inputs.iter().map(|input| format(&self.plan.nodes[input.0]));
        let formats = formats.collect::<SqlResult<Vec<_>>>()?;
        let added = Node::new(operation, kind, self.path(node), role).reading(inputs).in_formats(formats);
        Ok(self.topology.add(added.laid(layout)))
    }

    /// Partial states of each task go to the state partitions of their groups, and are added up there.
    fn aggregate(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        grouping: &Grouping<'_>,
    ) -> SqlResult<NodeId> {
        let Grouping { name, keys, calls, windows } = *grouping;
        let input = &self.plan.nodes[node.inputs[0].0];
        let wrong = |e: Error| SqlError::at(node.span, e.to_string());
        let is_append_only = input.properties.is_append_only;
        let aggregation = Aggregation::new(&input.schema, keys.to_vec(), calls.to_vec(), is_append_only);
        let aggregation = Arc::new(aggregation.map_err(wrong)?);
        let mut stores = aggregation.stores(name).map_err(wrong)?;
        let is_windowed = windows.is_some();
        let (exchange, format, takes): (Factory, _, _) = if aggregation.needs_values() {
            let types = keys.iter().map(|key| input.schema.field(*key).data_type());
            let (keys, key) = (keys.to_vec(), KeyFormat::new(types).map_err(wrong)?);
            let exchange: Factory = Arc::new(move |_| Box::new(ByColumns::new(keys.clone(), key.clone())));
            (exchange, format(input)?, Takes::Rows)
        } else {
            let partial = RowsFormat::new(aggregation.partial_schema().clone(), false).map_err(wrong)?;
            let of_task = aggregation.clone();
            let exchange: Factory = Arc::new(move |_| {
                let partial = made(PartialAggregate::new(of_task.clone()));
                Box::new(if is_windowed { partial.with_marks() } else { partial })
            });
            (exchange, Arc::new(partial), Takes::Partials)
        };
        let from = self.built(node.inputs[0]);
        let exchange = Node::new(operation, "group", self.path(node), Role::Exchange(exchange, format));
        let exchange = self.topology.add(exchange.reading([from]));
        let output = node.schema.clone();
        if let Some(ClosingWindows { ends, gives }) = windows {
            self.topology.closes_by_event_time = true;
            stores.push(WindowMarks::store(name));
            let sends_as: Option<Arc<str>> =
                self.plan.feeds_windows(StreamNodeId(self.nodes.len())).then(|| name.into());
            let factory: Factory = Arc::new(move |stores| {
                let stores = WindowStores::at(stores);
                let (aggregation, output) = (aggregation.clone(), output.clone());
                let made = made(WindowAggregate::new(aggregation, gives, ends, stores, output));
                Box::new(match &sends_as {
                    Some(name) => made.sending_marks(name.clone()),
                    None => made,
                })
            });
            let aggregate = Node::new(operation, "window", name.to_owned(), Role::Operator(factory));
            let aggregate = aggregate.reading([exchange]).keeping(stores);
            return Ok(self.topology.add(aggregate.laid(Layout::keyed(operation))));
        }
        let factory: Factory = Arc::new(move |stores| {
            let (state, values) = (Handle::at(stores[0]), stores.get(1).map(|values| Handle::at(*values)));
            Box::new(made(Aggregate::new(aggregation.clone(), takes, state, values, output.clone())))
        });
        let aggregate = Node::new(operation, "aggregate", name.to_owned(), Role::Operator(factory));
        let aggregate = aggregate.reading([exchange]).keeping(stores).laid(Layout::keyed(operation));
        Ok(self.topology.add(aggregate))
    }
}

/// How rows are grouped and what is computed of each group.
struct Grouping<'a> {
    name: &'a str,
    keys: &'a [usize],
    calls: &'a [AggregateCall],
    windows: Option<ClosingWindows>,
}

/// What can only fail where it was made before, when the plan was built.
fn made<T>(made: Result<T, Error>) -> T {
    made.unwrap_or_else(|e| unreachable!("it was made before: {e}"))
}

/// How the rows of a step are written as bytes.
fn format(node: &StreamNode) -> SqlResult<Arc<dyn ExchangeFormat>> {
    let format = RowsFormat::new(node.schema.clone(), !node.properties.is_append_only);
    Ok(Arc::new(format.map_err(|e| SqlError::at(node.span, e.to_string()))?))
}
