//! From a stream plan to nodes of a topology.
//!
//! Owns which operators a step becomes and what they are called. Knows no text but where things stand in it. Invariant: durable names
//! come from tables and from the names that the plan gives to what keeps state, never from positions.

use super::{
    ColumnKind, SourceText, SqlError, SqlResult, TableDefinition,
    agg::AggregateCall,
    connector::{Connector, Format, Generator, KafkaTable, Registries, idle_timeout_ms},
    format::{RecordColumn, RecordDecoder, RecordFormat, Registration},
    op::{
        Aggregate, Aggregation, AssignWindows, ByColumns, Calc, CalcPlan, PartialAggregate, Takes, Union,
        Unnest, Watermark, WindowAggregate, WindowMarks,
    },
    plan::stream_plan::{ClosingWindows, OutputMode, StreamNode, StreamNodeId, StreamOperator, StreamPlan},
    rows::{KeyFormat, RowFormat, RowsFormat},
    sink::{
        AppendSink, BlackholeSink, CompleteTable, ConsoleSink, PrintSink, RecordEncoder, ShownRows,
        TableColumns, UpsertSink,
    },
};
use crate::{
    error::Error,
    operator::{EventLimits, ExchangeFormat, GatherExchange, NodeId, Operator, SinglePartition},
    plan::{Factory, Layout, Node, Operation, Role, Topology},
    sink::Intake,
    source::{DecodeChunk, MakeLocal, SourceSpec},
    state::{Handle, Placement, RowIndex},
};
use std::sync::Arc;

/// How far ahead of the clock the time of a row may be without being passed over by watermarks, as for windows of DStreams.
const FUTURE_GUARD_MS: i64 = 3_600_000;

/// Adds what a plan computes to a topology.
///
/// # Errors
/// If a table cannot be read or written as the plan wants it.
pub fn build(plan: &StreamPlan, text: &SourceText, topology: &mut Topology) -> SqlResult {
    let mut built = Builder {
        plan,
        text,
        topology,
        nodes: vec![],
        registries: Registries::default(),
        registrations: vec![],
    };
    for node in &plan.nodes {
        let id = built.node(node).map_err(|e| e.or_at(node.span))?;
        built.nodes.push(id);
    }
    let Builder { registries, registrations, .. } = built;
    for registry in registries.iter().cloned() {
        topology.preparations.push(Arc::new(move || registry.wait_until_it_answers()));
    }
    for registration in registrations {
        topology.preparations.push(Arc::new(move || registration.make()));
    }
    Ok(())
}

struct Builder<'a> {
    plan: &'a StreamPlan,
    text: &'a SourceText,
    topology: &'a mut Topology,
    /// What each node of the plan became.
    nodes: Vec<NodeId>,
    registries: Registries,
    /// What is registered at the start.
    registrations: Vec<Registration>,
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
                self.add(&operation, kind, node, Role::Operator(factory))
            }
            StreamOperator::Union => {
                let (is_append_only, schema) = (node.properties.is_append_only, node.schema.clone());
                let factory: Factory =
                    Arc::new(move |_| Box::new(Union { schema: schema.clone(), is_append_only }));
                self.add(&operation, "union", node, Role::Operator(factory))
            }
            StreamOperator::AssignWindows { windows, time_column } => {
                let (windows, time_column, schema) = (*windows, *time_column, node.schema.clone());
                let factory: Factory = Arc::new(move |_| {
                    Box::new(AssignWindows { windows, time_column, schema: schema.clone() })
                });
                self.add(&operation, "windows", node, Role::Operator(factory))
            }
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
            StreamOperator::Sink { table, mode, columns, .. } => {
                self.sink(&operation, node, table, *mode, columns)
            }
        }
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

    fn source(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        columns: &[usize],
    ) -> SqlResult<NodeId> {
        let (role, path) = match Connector::of(table)? {
            Connector::Kafka(kafka) => {
                let decoder = decoder(table, &kafka, columns, node, &mut self.registries)?;
                let path =
                    kafka.pattern.as_ref().map_or_else(|| kafka.topics.join("+"), |p| p.as_str().to_owned());
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
                return Err(SqlError::at(
                    node.span,
                    format!("`{}` can be written to, but not read", table.name),
                ));
            }
        };
        let source = self.topology.add(Node::new(operation, "source", path, role));
        self.watermark(operation, node, table, source)
    }

    /// Says behind the rows of a table how far they are in event time, if windows ask.
    fn watermark(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        source: NodeId,
    ) -> SqlResult<NodeId> {
        let id = StreamNodeId(self.nodes.len());
        let (Some(watermark), Some(column)) = (&table.watermark, node.properties.time_column) else {
            return Ok(source);
        };
        if !self.plan.feeds_windows(id) {
            return Ok(source);
        }
        let limits =
            EventLimits { future_guard_ms: FUTURE_GUARD_MS, idle_timeout_ms: idle_timeout_ms(table)? };
        let (name, delay_ms): (Arc<str>, _) = (table.name.as_str().into(), watermark.delay_ms);
        let factory: Factory =
            Arc::new(move |_| Box::new(Watermark::new(name.clone(), column, delay_ms, limits)));
        let path = self.topology.node(source).path.clone();
        let role = Role::Operator(factory);
        let layout = self.topology.node(source).layout;
        let added =
            Node::new(operation, "watermark", path, role).reading([source]).in_formats([format(node)?]);
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
        if windows.is_some() && aggregation.needs_values() {
            let what = "DISTINCT in an aggregate of windows, and `min` and `max` there of rows that change, are not supported yet";
            return Err(SqlError::at(node.span, what)
                .because("the values of a group would have to go with its window")
                .next("group by the values too, in a query inside of this one"));
        }
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
                let (state, marks) = (Handle::at(stores[0]), Handle::at(stores[1]));
                let (aggregation, output) = (aggregation.clone(), output.clone());
                let made = made(WindowAggregate::new(aggregation, gives, ends, state, marks, output));
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
                    return Err(SqlError::at(
                        table.span,
                        format!("`{}` stands for several topics", table.name),
                    )
                    .next("write to a table of one 'topic'"));
                };
                let topic: Arc<str> = topic.as_str().into();
                let encoder = RecordEncoder::new(table, &kafka, columns, &mut self.registries)?;
                self.registrations.extend(encoder.registrations().cloned());
                let encoder = Arc::new(encoder);
                let to = topic.clone();
                let factory: Factory = match mode {
                    OutputMode::Append | OutputMode::Changes => {
                        Arc::new(move |_| Box::new(AppendSink::new(to.clone(), encoder.clone())))
                    }
                    OutputMode::Update => {
                        Arc::new(move |_| Box::new(UpsertSink::new(to.clone(), encoder.clone())))
                    }
                    OutputMode::Complete => {
                        return Err(SqlError::at(
                            node.span,
                            "all rows at each batch cannot be written to a topic",
                        )
                        .next("write the rows that changed: output_mode = 'update', with a PRIMARY KEY"));
                    }
                };
                Role::Sink { factory, topics: vec![topic], two_phase: None, intake: Intake::EachTask }
            }
            Connector::Print { prefix, rows_max } => {
                let key = input.properties.unique_key.clone().filter(|_| mode != OutputMode::Append);
                let columns = TableColumns::new(table, columns)?;
                let sink = PrintSink::new(prefix, rows_max, columns, &input.schema, key);
                let sink = sink.map_err(|e| not_shown(node, &e))?;
                shown(move || sink.clone())
            }
            Connector::Console { rows_max, truncates } => {
                let columns = TableColumns::new(table, columns)?;
                let types = columns.schema().fields().iter().map(|field| field.data_type());
                let format = KeyFormat::new(types).map_err(|e| not_shown(node, &e))?;
                let rows = ShownRows { columns, format, rows_max, truncates };
                return self.console(operation, node, table, mode, rows);
            }
            Connector::Blackhole => shown(|| BlackholeSink),
            Connector::Datagen(_) => {
                return Err(SqlError::at(
                    node.span,
                    format!("`{}` can be read, but not written to", table.name),
                ));
            }
        };
        self.add(operation, "insert", node, role)
    }

    /// All rows come to one task, which shows them.
    fn console(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        mode: OutputMode,
        rows: ShownRows,
    ) -> SqlResult<NodeId> {
        let input = &self.plan.nodes[node.inputs[0].0];
        let name = format!("{}.console", table.name);
        let home = SinglePartition::of(&name);
        let to = home.clone();
        let exchange: Factory = Arc::new(move |_| Box::new(GatherExchange(to.clone())));
        let role = Role::Exchange(exchange, format(input)?);
        let gathered = self
            .topology
            .add(Node::new(operation, "gather", self.path(node), role).reading([self.built(node.inputs[0])]));
        let (factory, stores): (Factory, _) = if mode == OutputMode::Complete {
            let columns = RowFormat::of_schema(rows.columns.schema()).map_err(|e| not_shown(node, &e))?;
            let store = RowIndex::spec(&name, &CompleteTable::store_format(&columns.to_string()));
            let make = move |stores: &[usize]| {
                Box::new(CompleteTable::new(rows.clone(), Handle::at(stores[0]))) as Box<dyn Operator>
            };
            (Arc::new(make), vec![store.placed(Placement::Home)])
        } else {
            (
                Arc::new(move |_: &[usize]| Box::new(ConsoleSink::new(rows.clone())) as Box<dyn Operator>),
                vec![],
            )
        };
        let role = Role::Sink { factory, topics: vec![], two_phase: None, intake: Intake::At(home) };
        Ok(self.topology.add(Node::new(operation, "insert", name, role).reading([gathered]).keeping(stores)))
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

fn not_shown(node: &StreamNode, e: &Error) -> SqlError {
    SqlError::at(node.span, format!("the rows cannot be shown: {e}"))
}

/// An output that is no topic, in each task.
fn shown<O: Operator + 'static>(make: impl Fn() -> O + Send + Sync + 'static) -> Role {
    let factory: Factory = Arc::new(move |_| Box::new(make()));
    Role::Sink { factory, topics: vec![], two_phase: None, intake: Intake::EachTask }
}

/// How the records of a table become rows of these columns.
fn decoder(
    table: &TableDefinition,
    kafka: &KafkaTable,
    columns: &[usize],
    node: &StreamNode,
    registries: &mut Registries,
) -> SqlResult<Arc<dyn DecodeChunk>> {
    let wrong = |what| SqlError::at(table.span, format!("table `{}`: {what}", table.name));
    let mut format = |format: &Format| match format {
        Format::Avro(options) => Ok(RecordFormat::Avro(*options)),
        Format::AvroConfluent(of) => {
            let registry = registries.get(&of.registry).map_err(|e| wrong(e.to_string()))?;
            Ok(RecordFormat::Registered(registry))
        }
        Format::Json => Ok(RecordFormat::Json),
        Format::Raw => Ok(RecordFormat::Raw),
        Format::DebeziumJson => Err(SqlError::at(table.span, format!("`{}` cannot be read yet", table.name))
            .because("rows of Debezium's format change, and their earlier rows would have to be kept")),
    };
    let value = format(&kafka.value)?;
    let key = kafka.key.as_ref().map_or(Ok(RecordFormat::Json), |key| format(&key.format))?;
    let is_key =
        |name: &String| kafka.key.as_ref().is_some_and(|key| !key.is_in_value && key.fields.contains(name));
    let fields = columns.iter().zip(node.schema.fields()).map(|(index, field)| {
        let column = &table.columns[*index];
        let field = field.as_ref().clone().with_nullable(!column.is_required);
        match &column.kind {
            ColumnKind::Metadata { key, .. } => RecordColumn::Metadata(*key, field),
            _ if is_key(&column.name) => RecordColumn::Key(field),
            _ => RecordColumn::Value(field),
        }
    });
    let decoder = RecordDecoder::new(fields.collect(), value, key);
    Ok(Arc::new(decoder.map_err(wrong)?))
}
