//! Tables that are read: where their records come from, and how they become rows.
//!
//! Owns the nodes at the beginning of a path. Knows no query. Invariants: a topic of ours is named after its table; the last row of each key is
//! kept under the name of the table too.

use super::{Builder, event_time::RecordColumns};
use crate::{
    codec::{Encode, Utf8},
    operator::{EventLimits, NodeId},
    plan::{Factory, Layout, Node, Operation, Role},
    record::Text,
    registry::RecordPart,
    source::{
        BadRecordPolicy, DecodeChunk, FileOptions, FileSource, MakeLocal, ReceiverSpec, SocketReceiver,
        SourceSpec, Starting,
        receiver::{self, ReceiverTarget, RunReceiver},
    },
    sql::{
        ColumnKind, SqlError, SqlResult, TableColumn as Column, TableDefinition,
        connector::{
            Connector, FilesTable, Format, Generator, IDLE_TIMEOUT_MS, KafkaTable, KeyFormat, Registries,
            bounded, idle_timeout_ms, wall_clock_bound_ms,
        },
        format::{Changes, RecordColumn, RecordDecoder, RecordFormat},
        op::{ByColumns, Upsert, UpsertPlan, Watermark},
        plan::stream_plan::{ComputedTime, StreamNode, StreamNodeId, StreamOperator, TableRows},
        rows::RowsFormat,
    },
    state::Handle,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::{Arc, Mutex};

/// How far ahead of the clock the time of a row may be without being passed over by watermarks, as for windows of DStreams.
const FUTURE_GUARD_MS: i64 = 3_600_000;

/// A receiver and the source that reads its topic.
struct Received {
    name: String,
    source: SourceSpec,
    is_listing: bool,
    receiver: Arc<Mutex<dyn RunReceiver>>,
}

impl Builder<'_> {
    pub(super) fn source(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        columns: &[usize],
        event_time: Option<&ComputedTime>,
    ) -> SqlResult<NodeId> {
        if TableRows::of(table) == TableRows::ByKey {
            let (read, schema) = kept_columns(table);
            let source = self.records_by_key(operation, node, table)?;
            return self.by_key(
                operation,
                node,
                table,
                &Kept { columns: &read, schema, source, given: columns },
            );
        }
        let reads = RecordColumns::of(node, columns, event_time);
        let source = self.records(operation, node, table, &reads.columns, &reads.schema)?;
        let source = self.event_time(operation, node, &reads, source)?;
        self.watermark(
            operation,
            table,
            source,
            &node.schema,
            self.plan.feeds_windows(StreamNodeId(self.nodes.len())),
        )
    }

    /// The records of a table whose rows are known by a key, with all columns that are read of it: one source for all that needs them.
    pub(super) fn records_by_key(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
    ) -> SqlResult<NodeId> {
        if let Some(source) = self.records_of.get(&table.name) {
            return Ok(*source);
        }
        let (read, schema) = kept_columns(table);
        let source = self.records(operation, node, table, &read, &schema)?;
        let reads = |node: &StreamNode| match &node.operator {
            StreamOperator::Source { table: other, .. } | StreamOperator::Versions { table: other } => {
                other.name == table.name
            }
            _ => false,
        };
        let mut readers = (0..self.plan.nodes.len()).filter(|at| reads(&self.plan.nodes[*at]));
        let is_asked = readers.any(|at| self.plan.feeds_windows(StreamNodeId(at)));
        let source = self.watermark(operation, table, source, &schema, is_asked)?;
        self.records_of.insert(table.name.clone(), source);
        Ok(source)
    }

    /// The records of a table as rows of these columns.
    fn records(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        read: &[usize],
        schema: &SchemaRef,
    ) -> SqlResult<NodeId> {
        let only = |what: &str| {
            Err(SqlError::at(node.span, format!("`{}` can be written to, but not read{what}", table.name)))
        };
        if bounded::is_bounded(table) {
            return self.once(operation, node, table, read, schema);
        }
        Ok(match Connector::of(table)? {
            Connector::Kafka(kafka) | Connector::UpsertKafka(kafka) => {
                let decoder = decoder(table, Some(&kafka), &kafka.value, read, schema, &mut self.registries)?;
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
                self.topology.add(Node::new(operation, "source", path, Role::Source(spec)))
            }
            Connector::Datagen(datagen) => {
                let generator = Generator::new(table, &datagen, read, schema.clone())?;
                let make: MakeLocal = Arc::new(move || Box::new(generator.clone()));
                self.topology.add(Node::new(operation, "source", table.name.clone(), Role::Local(make)))
            }
            Connector::Socket(socket) => {
                let decoder = decoder(table, None, &socket.format, read, schema, &mut self.registries)?;
                let encode: Arc<dyn Encode<Text>> = Arc::new(Utf8);
                let receiver = receiver::erased(SocketReceiver::new(socket.host, socket.port), Some(encode));
                let source = self.ingested(table, decoder, socket.policy)?;
                self.received(
                    operation,
                    table,
                    Received { source, is_listing: false, receiver, name: name_of(table)? },
                )?
            }
            Connector::Files(files) => {
                let decoder = decoder(table, None, &files.format, read, schema, &mut self.registries)?;
                let FileSource { lister, decoder, policy, .. } =
                    file_source(&files, decoder, &name_of(table)?);
                let source = self.ingested(table, decoder, policy)?;
                self.received(
                    operation,
                    table,
                    Received { source, is_listing: true, receiver: lister, name: name_of(table)? },
                )?
            }
            Connector::Jdbc(_) => return only(" as it changes"),
            Connector::Print { .. } | Connector::Console { .. } | Connector::Blackhole => return only(""),
        })
    }

    /// A source that reads the topic in which a receiver keeps its rows.
    fn ingested(
        &self,
        table: &TableDefinition,
        decoder: Arc<dyn DecodeChunk>,
        policy: BadRecordPolicy,
    ) -> SqlResult<SourceSpec> {
        Ok(SourceSpec {
            topics: vec![format!("{}-ingest-{}", self.application, name_of(table)?)],
            pattern: None,
            decoder,
            policy,
            format: None,
            starting: Some(Starting::Earliest),
        })
    }

    fn received(
        &mut self,
        operation: &Operation,
        table: &TableDefinition,
        received: Received,
    ) -> SqlResult<NodeId> {
        let Received { name, source, is_listing, receiver } = received;
        if self.topology.receivers.iter().any(|other| other.name == name) {
            let what = format!("there is a receiver called `{name}` already");
            return Err(SqlError::at(table.span, what).next("give the table another name"));
        }
        let target = ReceiverTarget::Topic { name: source.topics.concat(), compact: is_listing };
        self.topology.receivers.push(ReceiverSpec {
            name: name.clone(),
            target,
            receiver,
            catches_up: is_listing,
        });
        Ok(self.topology.add(Node::new(operation, "source", name, Role::Source(source))))
    }

    /// Says behind the rows of any step of the first stage how far they are in event time, if windows ask.
    pub(super) fn watermark_of(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        name: &str,
        column: usize,
        delay_ms: i64,
    ) -> SqlResult<NodeId> {
        if !self.plan.feeds_windows(StreamNodeId(self.nodes.len())) {
            return Ok(self.built(node.inputs[0]));
        }
        let limits = EventLimits { future_guard_ms: FUTURE_GUARD_MS, idle_timeout_ms: IDLE_TIMEOUT_MS };
        let name: Arc<str> = name.into();
        let factory: Factory =
            Arc::new(move |_| Box::new(Watermark::new(name.clone(), column, delay_ms, limits)));
        self.add(operation, "watermark", node, Role::Operator(factory))
    }

    /// Says behind the rows of a table how far they are in event time, if something asks.
    fn watermark(
        &mut self,
        operation: &Operation,
        table: &TableDefinition,
        source: NodeId,
        schema: &SchemaRef,
        is_asked: bool,
    ) -> SqlResult<NodeId> {
        let Some(watermark) = &table.watermark else { return Ok(source) };
        let Ok(column) = schema.index_of(&watermark.column) else { return Ok(source) };
        if !is_asked {
            return Ok(source);
        }
        let limits =
            EventLimits { future_guard_ms: FUTURE_GUARD_MS, idle_timeout_ms: idle_timeout_ms(table)? };
        let (name, delay_ms): (Arc<str>, _) = (table.name.as_str().into(), watermark.delay_ms);
        let bound_ms = wall_clock_bound_ms(table)?;
        let factory: Factory = Arc::new(move |_| {
            Box::new(Watermark::new(name.clone(), column, delay_ms, limits).bounded(bound_ms))
        });
        let path = self.topology.node(source).path.clone();
        let layout = self.topology.node(source).layout;
        let has_weights = TableRows::of(table) != TableRows::Added;
        let format = RowsFormat::new(schema.clone(), has_weights);
        let format = format.map_err(|e| SqlError::at(table.span, e.to_string()))?;
        let role = Role::Operator(factory);
        let added = Node::new(operation, "watermark", path, role).reading([source]);
        Ok(self.topology.add(added.in_formats([Arc::new(format) as _]).laid(layout)))
    }

    /// Keeps the last row of each key, where its state partition is. Records of one key may lie in several partitions of a topic, as nothing says
    /// how its writers choose them; and state is kept by state partitions, not by source partitions.
    fn by_key(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        kept: &Kept<'_>,
    ) -> SqlResult<NodeId> {
        let wrong = |e: crate::Error| SqlError::at(table.span, format!("table `{}`: {e}", table.name));
        let place = |name: &String| kept.schema.index_of(name).ok();
        let keys = table.primary_key.iter().filter_map(place).collect();
        let places = |column: &usize| kept.columns.iter().position(|kept| kept == column);
        let given: Vec<usize> = kept.given.iter().filter_map(places).collect();
        let plan = Arc::new(UpsertPlan::new(&kept.schema, keys, &given, node.schema.clone()).map_err(wrong)?);
        let (columns, key) = plan.key();
        let (columns, key) = (columns.to_vec(), key.clone());
        let exchange: Factory = Arc::new(move |_| Box::new(ByColumns::new(columns.clone(), key.clone())));
        let format = Arc::new(RowsFormat::new(kept.schema.clone(), true).map_err(wrong)?);
        let path = self.topology.node(kept.source).path.clone();
        let exchange = Node::new(operation, "key", path, Role::Exchange(exchange, format));
        let exchange = self.topology.add(exchange.reading([kept.source]));
        let name = format!("{}.rows", table.name);
        let store = plan.store(&name);
        let factory: Factory =
            Arc::new(move |stores| Box::new(Upsert::new(plan.clone(), Handle::at(stores[0]))));
        let upsert = Node::new(operation, "upsert", name, Role::Operator(factory));
        let upsert = upsert.reading([exchange]).keeping(vec![store]).laid(Layout::keyed(operation));
        Ok(self.topology.add(upsert))
    }
}

/// What is kept of a table whose rows are known by a key.
struct Kept<'a> {
    /// The columns that are kept, by their positions in the table.
    columns: &'a [usize],
    schema: SchemaRef,
    /// Where they come from.
    source: NodeId,
    /// The columns that queries want, by their positions in the table.
    given: &'a [usize],
}

/// All columns that are read: what is kept does not change when a query wants another one.
fn read_columns(table: &TableDefinition) -> Vec<usize> {
    let is_read = |column: &Column| !matches!(column.kind, ColumnKind::Computed(_));
    table.columns.iter().enumerate().filter(|(_, column)| is_read(column)).map(|(at, _)| at).collect()
}

/// These columns and their fields.
fn kept_columns(table: &TableDefinition) -> (Vec<usize>, SchemaRef) {
    let read = read_columns(table);
    let schema = kept_schema(table, &read);
    (read, schema)
}

/// Of a row that went, nothing but the key is known.
fn kept_schema(table: &TableDefinition, columns: &[usize]) -> SchemaRef {
    let field = |at: &usize| {
        let column = &table.columns[*at];
        let is_key = table.primary_key.contains(&column.name);
        match &column.kind {
            ColumnKind::Physical(data_type) | ColumnKind::Metadata { data_type, .. } => {
                Some(Field::new(&column.name, data_type.clone(), !is_key))
            }
            ColumnKind::Computed(_) => None,
        }
    };
    Arc::new(Schema::new(columns.iter().filter_map(field).collect::<Vec<_>>()))
}

/// The durable name of what a table receives.
fn name_of(table: &TableDefinition) -> SqlResult<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if table.name.len() <= 100 && table.name.chars().all(is_allowed) {
        return Ok(table.name.clone());
    }
    Err(SqlError::at(table.span, format!("the name `{}` cannot be part of a topic's name", table.name))
        .because("what is received is kept in a topic that is named after the table")
        .next("use up to 100 characters of a-z A-Z 0-9 . _ -"))
}

fn file_source(files: &FilesTable, decoder: Arc<dyn DecodeChunk>, name: &str) -> FileSource {
    let options = FileOptions::new(&files.path)
        .named(name)
        .look_every(files.monitor.unwrap_or_default())
        .settle_time(files.settle_time)
        .on_bad_record(files.policy);
    options.source_of(decoder, files.format != Format::Raw)
}

/// How the records of a table become rows of these columns.
fn decoder(
    table: &TableDefinition,
    kafka: Option<&KafkaTable>,
    value: &Format,
    columns: &[usize],
    schema: &Schema,
    registries: &mut Registries,
) -> SqlResult<Arc<dyn DecodeChunk>> {
    let wrong = |what| SqlError::at(table.span, format!("table `{}`: {what}", table.name));
    let key = kafka.and_then(|kafka| kafka.key.as_ref());
    let rows = TableRows::of(table);
    let is_debezium = *value == Format::DebeziumJson;
    let only_in_key = |name: &String| key.is_some_and(|key| !key.is_in_value && key.fields.contains(name));
    // The key of the record says which row it is of, also where the value says so too.
    let is_key = |name: &String| match rows {
        TableRows::ByKey if !is_debezium => table.primary_key.contains(name),
        _ => only_in_key(name),
    };
    let fields = columns.iter().zip(schema.fields()).map(|(index, field)| {
        let column = &table.columns[*index];
        let is_required = column.is_required || table.primary_key.contains(&column.name);
        let field = field.as_ref().clone().with_nullable(!is_required);
        match &column.kind {
            ColumnKind::Metadata { key, .. } => RecordColumn::Metadata(*key, field),
            _ if is_key(&column.name) => RecordColumn::Key(field),
            _ => RecordColumn::Value(field),
        }
    });
    let mut format = |format: &Format, part: RecordPart, names: Vec<String>| -> SqlResult<RecordFormat> {
        Ok(match format {
            Format::Avro(options) => RecordFormat::Avro(*options),
            Format::AvroConfluent(of) => {
                let registry = registries.get(&of.place.registry).map_err(|e| wrong(e.to_string()))?;
                RecordFormat::Registered(registry, part)
            }
            Format::Protobuf(of) => RecordFormat::Protobuf(of.schema.clone(), of.options),
            Format::ProtobufConfluent(of) => {
                let registry = registries.get(&of.place.registry).map_err(|e| wrong(e.to_string()))?;
                RecordFormat::RegisteredMessage(registry, part, of.message.clone(), of.options)
            }
            Format::Json | Format::DebeziumJson => RecordFormat::Json,
            Format::Csv(options) => RecordFormat::Csv(options.clone(), names),
            Format::Raw | Format::Parquet => RecordFormat::Raw,
        })
    };
    let physical = table.columns.iter().filter(|column| matches!(column.kind, ColumnKind::Physical(_)));
    let in_value = physical.map(|column| column.name.clone()).filter(|name| !only_in_key(name)).collect();
    let value = format(value, RecordPart::Value, in_value)?;
    let changes = match rows {
        _ if is_debezium => Changes::Debezium((rows == TableRows::ByKey).then(|| table.primary_key.clone())),
        TableRows::ByKey => Changes::Upserts(value),
        TableRows::Added | TableRows::Changed => Changes::Additions(value),
    };
    let of_key = |key: &KeyFormat| format(&key.format, RecordPart::Key, key.fields.clone());
    let key = key.map_or(Ok(RecordFormat::Json), of_key)?;
    let decoder = RecordDecoder::new(fields.collect(), changes, key);
    Ok(Arc::new(decoder.map_err(wrong)?))
}
