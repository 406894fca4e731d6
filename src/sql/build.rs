//! From a stream plan to nodes of a topology.
//!
//! Owns which operators a step becomes and what they are called. Knows no text but where things stand in it. Invariant: durable names
//! come from tables and from the names that the plan gives to what keeps state, never from positions.

use super::{
    ColumnKind, SourceText, SqlError, SqlResult, TableDefinition,
    connector::{Connector, Generator},
    op::{Calc, CalcPlan},
    plan::stream_plan::{OutputMode, StreamNode, StreamNodeId, StreamOperator, StreamPlan},
    rows::RowsFormat,
    sink::{self, BlackholeSink, PrintSink},
};
use crate::{
    operator::{ExchangeFormat, NodeId, Operator, PerChunk, Port},
    plan::{Factory, Layout, Node, Operation, Role, Topology},
    sink::Intake,
    source::{MakeLocal, SourceSpec},
};
use std::sync::Arc;

/// Adds what a plan computes to a topology.
///
/// # Errors
/// If a table cannot be read or written as the plan wants it.
pub fn build(plan: &StreamPlan, text: &SourceText, topology: &mut Topology) -> SqlResult {
    let mut built = Builder { plan, text, topology, nodes: vec![] };
    for node in &plan.nodes {
        let id = built.node(node).map_err(|e| e.or_at(node.span))?;
        built.nodes.push(id);
    }
    Ok(())
}

struct Builder<'a> {
    plan: &'a StreamPlan,
    text: &'a SourceText,
    topology: &'a mut Topology,
    /// What each node of the plan became.
    nodes: Vec<NodeId>,
}

impl Builder<'_> {
    fn node(&mut self, node: &StreamNode) -> SqlResult<NodeId> {
        let place = self.text.place(node.span.unwrap_or_default());
        let operation = self.topology.operation(place);
        match &node.operator {
            StreamOperator::Source { table, columns } => self.source(&operation, node, table, columns),
            StreamOperator::Calc { predicate, columns } => {
                let calc = CalcPlan::new(predicate.clone(), columns, node.schema.clone());
                let calc = Arc::new(calc.map_err(|e| SqlError::at(node.span, e.to_string()))?);
                let kind = if predicate.is_some() { "filter" } else { "select" };
                let factory: Factory = Arc::new(move |_| Box::new(Calc(calc.clone())));
                Ok(self.add(&operation, kind, node, Role::Operator(factory)))
            }
            StreamOperator::Union => {
                let factory: Factory = Arc::new(|_| Box::new(PerChunk(|chunk, cx: &mut crate::operator::Context<'_>| {
                    cx.out.chunk(chunk);
                    Ok(())
                })));
                Ok(self.add(&operation, "union", node, Role::Operator(factory)))
            }
            StreamOperator::Aggregate { .. } => self.aggregate(&operation, node),
            StreamOperator::Sink { table, mode, columns } => self.sink(&operation, node, table, *mode, columns),
        }
    }

    /// The node that a step became.
    fn built(&self, id: StreamNodeId) -> NodeId {
        self.nodes[id.0]
    }

    /// The path of what a step reads: that of its first input.
    fn path(&self, node: &StreamNode) -> String {
        node.inputs.first().map_or_else(String::new, |input| self.topology.node(self.built(*input)).path.clone())
    }

    /// Adds a step that keeps nothing; its rows lie as those of its only input do.
    fn add(&mut self, operation: &Operation, kind: &'static str, node: &StreamNode, role: Role) -> NodeId {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| self.built(*input)).collect();
        let layout = match inputs[..] {
            [input] => self.topology.node(input).layout,
            _ => Layout::Any,
        };
        let formats: Vec<Arc<dyn ExchangeFormat>> =
            node.inputs.iter().map(|input| self.format(&self.plan.nodes[input.0])).collect();
        let added = Node::new(operation, kind, self.path(node), role).reading(inputs).in_formats(formats);
        self.topology.add(added.laid(layout))
    }

    /// How the rows of a step are written as bytes.
    fn format(&self, node: &StreamNode) -> Arc<dyn ExchangeFormat> {
        Arc::new(RowsFormat::new(node.schema.clone(), !node.properties.is_append_only))
    }

    fn source(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        columns: &[usize],
    ) -> SqlResult<NodeId> {
        let (role, path) = match Connector::of(table)? {
            Connector::Kafka(kafka) => {
                let decoder = super::format::decoder(table, &kafka, columns, node.schema.clone())?;
                let path = kafka.pattern.as_ref().map_or_else(|| kafka.topics.join("+"), |p| p.as_str().to_owned());
                let spec = SourceSpec {
                    topics: kafka.topics,
                    pattern: kafka.pattern,
                    decoder,
                    policy: kafka.policy,
                    format: None,
                    starting: kafka.starting,
                };
                (Role::Source(spec), path)
            }
            Connector::Datagen(datagen) => {
                let generator = Generator::new(table, &datagen, columns, node.schema.clone())?;
                let make: MakeLocal = Arc::new(move || Box::new(generator.clone()));
                let path = table.name.clone();
                (Role::Local(make), path)
            }
            Connector::UpsertKafka(_) => {
                return Err(SqlError::at(table.span, format!("`{}` cannot be read yet", table.name))
                    .because("rows of an upsert table change, and its earlier rows would have to be kept")
                    .next("read the topic as an append-only table: 'connector' = 'kafka'"));
            }
            Connector::Print { .. } | Connector::Console { .. } | Connector::Blackhole => {
                return Err(SqlError::at(node.span, format!("`{}` can be written to, but not read", table.name)));
            }
        };
        Ok(self.topology.add(Node::new(operation, "source", path, role)))
    }

    fn sink(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        mode: OutputMode,
        columns: &[Option<usize>],
    ) -> SqlResult<NodeId> {
        let input = &self.plan.nodes[node.inputs[0].0];
        let role = match Connector::of(table)? {
            Connector::Kafka(kafka) | Connector::UpsertKafka(kafka) => {
                let [topic] = &kafka.topics[..] else {
                    return Err(SqlError::at(table.span, format!("`{}` stands for several topics", table.name))
                        .next("write to a table of one 'topic'"));
                };
                let topic: Arc<str> = topic.as_str().into();
                let encoder = super::format::encoder(table, &kafka, columns, &input.schema)?;
                let (to, encoder) = (topic.clone(), Arc::new(encoder));
                let factory: Factory = match mode {
                    OutputMode::Append => {
                        Arc::new(move |_| Box::new(sink::AppendSink::new(to.clone(), encoder.clone())))
                    }
                    _ => Arc::new(move |_| Box::new(sink::UpsertSink::new(to.clone(), encoder.clone()))),
                };
                Role::Sink { factory, topics: vec![topic], two_phase: None, intake: Intake::EachTask }
            }
            Connector::Print { prefix, rows_max } => {
                let key = input.properties.unique_key.clone().filter(|_| !input.properties.is_append_only);
                let make = move || PrintSink::new(prefix.clone(), rows_max, key.clone());
                shown(make)
            }
            Connector::Console { rows_max, truncates } => return self.console(operation, node, mode, rows_max, truncates),
            Connector::Blackhole => shown(|| BlackholeSink),
            Connector::Datagen(_) => {
                return Err(SqlError::at(node.span, format!("`{}` can be read, but not written to", table.name)));
            }
        };
        Ok(self.add(operation, "insert", node, role))
    }
}

/// An output that is no topic, in each task.
fn shown<O: Operator + 'static>(make: impl Fn() -> O + Send + Sync + 'static) -> Role {
    let factory: Factory = Arc::new(move |_| Box::new(make()));
    Role::Sink { factory, topics: vec![], two_phase: None, intake: Intake::EachTask }
}
