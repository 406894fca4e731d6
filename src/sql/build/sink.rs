//! Tables that are written: topics, files, databases and the console.
//!
//! Owns the nodes at the end of a path. Knows no query. Invariant: what keeps rows for a destination is named after its table.

use super::Builder;
use crate::{
    error::Error,
    operator::{NodeId, Operator},
    plan::{Factory, Operation, Role},
    sink::{Intake, SinkShape},
    sql::{
        SqlError, SqlResult, TableDefinition,
        connector::{Connector, FilesTable, Format, JdbcTable, KafkaTable},
        op::OrderColumn,
        plan::stream_plan::{OutputMode, StreamNode},
        sink::{
            AppendSink, BlackholeSink, FileRows, PrintSink, RecordEncoder, ShownAt, ShownRows, TableColumns,
            UpsertSink,
        },
    },
};
use std::sync::Arc;

impl Builder<'_> {
    pub(super) fn sink(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        table: &TableDefinition,
        mode: OutputMode,
        (columns, order): (&[Option<usize>], &[OrderColumn]),
    ) -> SqlResult<NodeId> {
        let input = &self.plan.nodes[node.inputs[0].0];
        if let Some(taken) = self.taken.filter(|taken| taken.table == table.name) {
            return self.outlet(operation, node, mode, (TableColumns::new(table, columns)?, order), taken);
        }
        let role = match Connector::of(table)? {
            Connector::Kafka(kafka) | Connector::UpsertKafka(kafka) => {
                self.topic_role(node, &kafka, &Written { table, mode, columns })?
            }
            Connector::Jdbc(jdbc) => {
                let written = Written { table, mode, columns };
                return self.jdbc(operation, node, &jdbc, &written);
            }
            Connector::Files(files) => {
                let role = files_role(table, node, &files, mode, columns)?;
                return self.add(operation, "insert", node, role);
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
                let rows = ShownRows::new(columns, order, rows_max, ShownAt::Console { truncates });
                let rows = rows.map_err(|e| not_shown(node, &e))?;
                return self.console(operation, node, table, mode, rows);
            }
            Connector::Blackhole => shown(|| BlackholeSink),
            Connector::Datagen(_) | Connector::Socket(_) => {
                return Err(SqlError::at(
                    node.span,
                    format!("`{}` can be read, but not written to", table.name),
                ));
            }
        };
        self.add(operation, "insert", node, role)
    }
}

pub(super) fn not_shown(node: &StreamNode, e: &Error) -> SqlError {
    SqlError::at(node.span, format!("the rows cannot be shown: {e}"))
}

/// An output that is no topic, in each task.
fn shown<O: Operator + 'static>(make: impl Fn() -> O + Send + Sync + 'static) -> Role {
    let factory: Factory = Arc::new(move |_| Box::new(make()));
    Role::Sink { factory, topics: vec![], two_phase: None, intake: Intake::EachTask }
}

/// What is written, and how.
struct Written<'a> {
    table: &'a TableDefinition,
    mode: OutputMode,
    /// For each column of the table that is written the column of the input.
    columns: &'a [Option<usize>],
}

/// How changes of a table become records of a topic.
fn records(
    node: &StreamNode,
    topic: &Arc<str>,
    encoder: Arc<RecordEncoder>,
    mode: OutputMode,
    is_internal: bool,
) -> SqlResult<Factory> {
    let to = topic.clone();
    Ok(match mode {
        OutputMode::Append | OutputMode::Changes => {
            Arc::new(move |_| Box::new(AppendSink::new(to.clone(), encoder.clone(), is_internal)))
        }
        OutputMode::Update => {
            Arc::new(move |_| Box::new(UpsertSink::new(to.clone(), encoder.clone(), is_internal)))
        }
        OutputMode::Complete => {
            return Err(SqlError::at(node.span, "all rows at each batch cannot be written to a topic")
                .next("write the rows that changed: output_mode = 'update', with a PRIMARY KEY"));
        }
    })
}

fn files_role(
    table: &TableDefinition,
    node: &StreamNode,
    files: &FilesTable,
    mode: OutputMode,
    columns: &[Option<usize>],
) -> SqlResult<Role> {
    if mode != OutputMode::Append {
        return Err(SqlError::at(node.span, format!("rows of table `{}` are never replaced", table.name))
            .because("what is in a file stays there")
            .next("take PRIMARY KEY away, or write to a table with 'connector' = 'upsert-kafka' or 'jdbc'"));
    }
    let rows = FileRows::new(table, files, columns)?;
    let extension = match files.format {
        Format::Json | Format::DebeziumJson => "json",
        Format::Csv(_) => "csv",
        Format::Parquet => "parquet",
        Format::Avro(_) | Format::AvroConfluent(_) => "avro",
        Format::Protobuf(_) | Format::ProtobufConfluent(_) => "pb",
        Format::Raw => "txt",
    };
    let root = files.path.display().to_string();
    let shape = SinkShape::<()>::files_of_blocks(&root, extension, Arc::new(rows));
    let SinkShape { operator, topics, two_phase, intake, .. } = shape;
    Ok(Role::Sink { factory: Arc::new(move |_| operator()), topics, two_phase, intake })
}

impl Builder<'_> {
    fn topic_role(
        &mut self,
        node: &StreamNode,
        kafka: &KafkaTable,
        written: &Written<'_>,
    ) -> SqlResult<Role> {
        let Written { table, mode, columns } = *written;
        let [topic] = &kafka.topics[..] else {
            return Err(SqlError::at(table.span, format!("`{}` stands for several topics", table.name))
                .next("write to a table of one 'topic'"));
        };
        let (key, registries) = (kafka.key.as_ref(), &mut self.registries);
        let encoder = RecordEncoder::new(table, &kafka.value, key, columns, topic, registries)?;
        self.registrations.extend(encoder.registrations().cloned());
        let topic: Arc<str> = topic.as_str().into();
        let factory = records(node, &topic, Arc::new(encoder), mode, false)?;
        Ok(Role::Sink { factory, topics: vec![topic], two_phase: None, intake: Intake::EachTask })
    }

    /// Rows go through a topic of the application, from which a writer takes them to the database.
    #[cfg(feature = "postgres")]
    fn jdbc(
        &mut self,
        operation: &Operation,
        node: &StreamNode,
        jdbc: &JdbcTable,
        written: &Written<'_>,
    ) -> SqlResult<NodeId> {
        use crate::sink::{PostgresSink, SinkContext};
        let Written { table, mode, columns } = *written;
        let keys = table.primary_key.iter().map(String::as_str);
        let sink = PostgresSink::new(&jdbc.url, &jdbc.table).upsert(keys).named(&table.name);
        let sink = sink.on_refused_row(jdbc.refused);
        let outbox = sink.outbox(&SinkContext::of(self.application.as_str()));
        let outbox =
            outbox.map_err(|why| SqlError::at(table.span, format!("table `{}`: {why}", table.name)))?;
        if self.topology.outboxes.iter().any(|other| other.name == outbox.name) {
            return Err(SqlError::at(node.span, format!("table `{}` is written to twice", table.name))
                .next("write UNION ALL of both queries to it, or declare a second table for the other one"));
        }
        let topic = outbox.topic.clone();
        let encoder = Arc::new(RecordEncoder::for_postgres(table, columns)?);
        let factory = records(node, &topic, encoder, mode, true)?;
        self.topology.outboxes.push(outbox);
        let role = Role::Sink { factory, topics: vec![topic], two_phase: None, intake: Intake::EachTask };
        self.add(operation, "insert", node, role)
    }

    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_self, reason = "with the feature it adds to the topology")]
    fn jdbc(
        &mut self,
        _: &Operation,
        _: &StreamNode,
        _: &JdbcTable,
        written: &Written<'_>,
    ) -> SqlResult<NodeId> {
        let Written { table, mode, columns } = written;
        let _ = (mode, columns);
        Err(SqlError::at(table.span, format!("table `{}`: this build writes to no database", table.name)))
    }
}
