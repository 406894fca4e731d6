//! A file of statements: one application.
//!
//! Owns the order in which statements are taken, and what a script says besides its queries: settings and answers. Knows no grammar, no
//! planner's rules and no operator. Invariants: a script with a mistake is refused as a whole, with all mistakes that were found; what
//! `INSERT`s write is computed in one topology, so each batch of all of them is one transaction.

use super::{
    SourceText, Span, SqlError, SqlOption, SqlResult, TableDefinition, build,
    connector::{Connector, KafkaTable, milliseconds},
    parse::{CreateTable, ExplainKind, Insert, Show, Statement, parse, type_name},
    plan::{
        self, Planner,
        stream_plan::{StreamOperator, StreamPlan},
    },
};
use crate::{
    config::{Config, ConfigFile},
    error::{Error, Result},
    plan::{Look, Topology},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

/// Where Kafka is if nobody says it.
const BOOTSTRAP: &str = "127.0.0.1:9092";
/// Stands for the application's id while a script is only looked at.
const APPLICATION: &str = "application";

/// A script that was read, checked and planned.
///
/// ```
/// use tidegate::{StreamingContext, sql::{Script, SourceText}, testing::Driver};
/// let script = Script::parse(SourceText::new("loud.sql", "
///     CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
///     CREATE TABLE loud (line STRING) WITH ('connector' = 'kafka', 'topic' = 'loud', 'format' = 'json');
///     INSERT INTO loud SELECT upper(line) FROM lines WHERE line <> '';
/// "))?;
/// let mut driver = Driver::new(move |ssc: &StreamingContext| ssc.sql(&script));
/// assert_eq!(driver.batch("lines 0 | - | high tide\n")?.to_string(), "loud | - | {\"line\":\"HIGH TIDE\"}\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Debug)]
pub struct Script {
    text: SourceText,
    plan: StreamPlan,
    /// `SET`, in order.
    settings: Vec<Setting>,
    /// The topics that are read or written.
    topics: Vec<KafkaTable>,
    answers: Vec<String>,
    has_outputs: bool,
}

impl Script {
    /// Reads, checks and plans a script. Nothing is opened and nothing runs.
    ///
    /// # Errors
    /// [`Error::Plan`] with every mistake that was found: its place, a picture of it, the reason and the next step.
    pub fn parse(text: SourceText) -> Result<Self> {
        let mut reading = Reading {
            planner: Planner::new(),
            script: Script {
                text,
                plan: StreamPlan::default(),
                settings: vec![],
                topics: vec![],
                answers: vec![],
                has_outputs: false,
            },
        };
        let (statements, mut mistakes) = match parse(&reading.script.text) {
            Ok(statements) => (statements, vec![]),
            Err(mistakes) => (vec![], mistakes),
        };
        for statement in &statements {
            if let Err(mistake) = reading.take(statement) {
                mistakes.push(mistake.or_at(statement.span()));
            }
        }
        let script = reading.script;
        if mistakes.is_empty() {
            mistakes = shared_topics(&script.plan);
        }
        if mistakes.is_empty() && !script.has_outputs && script.answers.is_empty() {
            mistakes.push(
                SqlError::at(None, "the script writes nowhere, so there is nothing to compute")
                    .next("add INSERT INTO <table> SELECT .. FROM .."),
            );
        }
        if mistakes.is_empty() {
            return Ok(script);
        }
        let mut shown: Vec<String> = vec![];
        for mistake in mistakes.iter().map(|mistake| mistake.shown_in(&script.text)) {
            // A table that is wrong is found again by what uses it.
            if !shown.contains(&mistake) {
                shown.push(mistake);
            }
        }
        Err(Error::Plan(shown.join("\n")))
    }

    /// What `SHOW`, `DESCRIBE` and `EXPLAIN` answer, in order.
    #[must_use]
    pub fn answers(&self) -> &[String] {
        &self.answers
    }

    /// Whether it writes anything.
    #[must_use]
    pub fn has_outputs(&self) -> bool {
        self.has_outputs
    }

    /// The plan of all its queries, as `EXPLAIN STREAM` shows it.
    #[must_use]
    pub fn explained(&self) -> String {
        indented(&plan::all_sinks(&self.plan))
    }

    /// The nodes that run, as `EXPLAIN TOPOLOGY` shows them.
    #[must_use]
    pub fn topology(&self) -> String {
        let mut topology = Topology::default();
        self.build(APPLICATION, &mut topology);
        indented(&topology.to_string())
    }

    /// What a start needs outside the log: each is looked at when it is called, and nothing is changed.
    pub(crate) fn looks(&self) -> Vec<Look> {
        let mut topology = Topology::default();
        self.build(APPLICATION, &mut topology);
        topology.looks
    }

    /// The topics that it reads and writes, as far as they are named, in alphabetical order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let named: BTreeSet<&String> = self.topics.iter().flat_map(|table| &table.topics).collect();
        named.into_iter().cloned().collect()
    }

    /// Adds what it computes to a topology of an application, whose id precedes the names of its topics; a mistake goes to the
    /// topology's mistakes.
    pub fn build(&self, application: &str, topology: &mut Topology) {
        if let Err(mistake) = build::build(&self.plan, &self.text, application, topology) {
            topology.mistakes.push(mistake.shown_in(&self.text));
        }
    }

    /// Adds its `SET`tings to those of a file, which go before them.
    ///
    /// # Errors
    /// If there is no such setting, or it cannot have its value.
    pub(crate) fn set(&self, file: &mut ConfigFile) -> Result {
        for Setting { name, value, key_span, value_span } in &self.settings {
            let line = usize::try_from(key_span.line).unwrap_or(0);
            let added = file.add(name, value, line).map_err(|what| {
                if ConfigFile::is_setting(name) {
                    return SqlError::at(*value_span, what);
                }
                match what.split_once("; ") {
                    Some((what, meant)) if meant.starts_with("did") => SqlError::at(*key_span, what).next(meant),
                    _ => SqlError::at(*key_span, format!("`{name}` is not a setting")).next(
                        "settings have the names of the flags of `tidegate run`; a property of the Kafka client is an option of a table: 'properties.<name>'",
                    ),
                }
            });
            added.map_err(|mistake| mistake.into_error(&self.text))?;
        }
        Ok(())
    }

    /// Takes up what its tables say of the log: where it is, who reads, and properties of the client. What the configuration says already
    /// must agree.
    ///
    /// # Errors
    /// If it does not agree.
    pub(crate) fn configure(&self, config: &mut Config) -> Result {
        for (key, value, span) in self.topics.iter().flat_map(|table| &table.properties) {
            let (set, flag) = match key.as_str() {
                "bootstrap.servers" => (&mut config.bootstrap, "--bootstrap".to_owned()),
                "group.id" => (&mut config.application_id, "--application-id".to_owned()),
                _ => (config.properties.entry(key.clone()).or_default(), format!("-X {key}")),
            };
            if set.is_empty() {
                set.clone_from(value);
            } else if set != value {
                // The value of a property may be a secret.
                let what = if flag.starts_with("-X") {
                    format!("'properties.{key}' is not what {flag} or another table says")
                } else {
                    format!("'properties.{key}' is '{value}', but {flag} is '{set}'")
                };
                let mistake = SqlError::at(*span, what)
                    .because("all tables of a script are read and written by one client of one application")
                    .next(format!("leave the option out, or give it the value of {flag}"));
                return Err(mistake.into_error(&self.text));
            }
        }
        if config.bootstrap.is_empty() && !self.topics.is_empty() {
            BOOTSTRAP.clone_into(&mut config.bootstrap);
        }
        Ok(())
    }
}

/// Topics that two tables read, or that are read and written.
fn shared_topics(plan: &StreamPlan) -> Vec<SqlError> {
    let (mut read, mut mistakes) = (BTreeMap::<String, &TableDefinition>::new(), vec![]);
    let tables = |of: fn(&StreamOperator) -> Option<&Arc<TableDefinition>>| {
        plan.nodes.iter().filter_map(move |node| {
            let table = of(&node.operator)?;
            match Connector::of(table) {
                Ok(Connector::Kafka(kafka) | Connector::UpsertKafka(kafka)) => Some((table, kafka.topics)),
                _ => None,
            }
        })
    };
    let sources = tables(|operator| match operator {
        StreamOperator::Source { table, .. } | StreamOperator::Versions { table } => Some(table),
        _ => None,
    });
    for (table, topics) in sources {
        for topic in topics {
            let other = *read.entry(topic.clone()).or_insert(table);
            if other.name == table.name {
                continue;
            }
            let what =
                format!("the topic `{topic}` is read by the tables `{}` and `{}`", other.name, table.name);
            mistakes.push(
                SqlError::at(table.span, what)
                    .because("each record of a topic is read once, and has one form")
                    .next(format!(
                        "declare all columns in `{}`, and read that table wherever they are wanted",
                        other.name
                    )),
            );
        }
    }
    let sinks = tables(|operator| match operator {
        StreamOperator::Sink { table, .. } => Some(table),
        _ => None,
    });
    for (table, topics) in sinks {
        for (topic, other) in topics.iter().filter_map(|topic| read.get_key_value(topic)) {
            let what = format!("the topic `{topic}` is written here, and read by the table `{}`", other.name);
            mistakes.push(
                SqlError::at(table.span, what)
                    .because("the script would read what it writes, without end")
                    .next(
                        "write to another topic; what a query computes is read by another one through a view",
                    ),
            );
        }
    }
    mistakes
}

/// A setting by the name of its flag.
#[derive(Debug)]
struct Setting {
    name: String,
    value: String,
    /// Where its key and its value stand.
    key_span: Span,
    value_span: Span,
}

/// A script while its statements are taken.
struct Reading {
    planner: Planner,
    script: Script,
}

impl Reading {
    fn take(&mut self, statement: &Statement) -> SqlResult {
        match statement {
            Statement::CreateTable(create) => self.create_table(create),
            Statement::CreateView(create) => self.planner.declare_view(create.clone()),
            Statement::Drop(drop) => self.planner.drop_relation(drop),
            Statement::Insert(insert) => self.insert(insert),
            Statement::StatementSet(set) => set.inserts.iter().try_for_each(|insert| self.insert(insert)),
            Statement::Set { key, option } => {
                self.script.settings.push(setting(key, option)?);
                Ok(())
            }
            Statement::Reset { key, .. } => {
                let is_other = |name: &str| key.as_ref().is_some_and(|key| key.text != name);
                self.script.settings.retain(|setting| is_other(&setting.name));
                Ok(())
            }
            Statement::Show { what, .. } => {
                let answer = self.shown(*what);
                self.script.answers.push(answer);
                Ok(())
            }
            Statement::Describe(name) => {
                let answer = self.described(&name.text).ok_or_else(|| {
                    self.planner.catalog().unknown_relation(&name.text, name.span, std::iter::empty())
                })?;
                self.script.answers.push(answer);
                Ok(())
            }
            Statement::Explain { kind, statement, .. } => {
                let answer = self.explained(*kind, statement)?;
                self.script.answers.push(answer);
                Ok(())
            }
            Statement::Select(select) => Err(SqlError::at(select.span, "the rows of this SELECT go nowhere")
                .because("a script runs without anybody who looks at it")
                .next("write INSERT INTO <table> SELECT ..; a table WITH ('connector' = 'print') shows rows on the console")),
        }
    }

    fn create_table(&mut self, create: &CreateTable) -> SqlResult {
        let connector = Connector::of(&create.definition);
        // It is there all the same, so that a wrong option does not make each use of the table a mistake.
        self.planner.declare_table(create.clone())?;
        connector.map(drop)
    }

    fn insert(&mut self, insert: &Insert) -> SqlResult {
        let planned = self.planner.plan_insert(insert, &mut self.script.plan);
        planned.map_err(|e| e.or_at(insert.span))?;
        self.script.has_outputs = true;
        self.script.topics = topics_of(&self.script.plan);
        // What a connector cannot do is a mistake of the script, not of the start.
        build::build(&self.script.plan, &self.script.text, APPLICATION, &mut Topology::default())
    }

    fn explained(&mut self, kind: ExplainKind, statement: &Statement) -> SqlResult<String> {
        let mut plan = StreamPlan::default();
        let mut logical = String::new();
        let inserts: Vec<&Insert> = match statement {
            Statement::Insert(insert) => vec![insert],
            Statement::StatementSet(set) => set.inserts.iter().collect(),
            _ => vec![],
        };
        let mut roots = vec![];
        for insert in inserts {
            let planned = self.planner.plan_insert(insert, &mut plan)?;
            let _ = writeln!(logical, "{}", planned.logical.display_indent());
            roots.push(planned.root);
        }
        if let Statement::Select(select) = statement {
            let planned = self.planner.plan_query(&select.query, &mut plan)?;
            let _ = writeln!(logical, "{}", planned.logical.display_indent());
            roots.push(planned.root);
        }
        let stream: String = roots.iter().map(|root| plan::explain_stream_plan(&plan, *root)).collect();
        let mut topology = Topology::default();
        build::build(&plan, &self.script.text, APPLICATION, &mut topology)?;
        let logical = format!("logical plan:\n{}", indented(&logical));
        let stream = format!("stream plan:\n{}", indented(&stream));
        let topology = format!("topology:\n{}", indented(&topology.to_string()));
        let answer = match kind {
            ExplainKind::All => [logical, stream, topology].join("\n"),
            ExplainKind::Logical => logical,
            ExplainKind::Stream => stream,
            ExplainKind::Topology => topology,
        };
        Ok(answer.trim_end().to_owned())
    }

    fn shown(&self, what: Show) -> String {
        let catalog = self.planner.catalog();
        let shown = match what {
            Show::Tables => catalog.names().collect::<Vec<_>>().join("\n"),
            Show::Views => {
                catalog.names().filter(|name| catalog.view(name).is_some()).collect::<Vec<_>>().join("\n")
            }
            Show::Functions => catalog.function_names().join("\n"),
        };
        if shown.is_empty() { "(none)".to_owned() } else { shown }
    }

    fn described(&self, name: &str) -> Option<String> {
        let schema = self.planner.catalog().schema(name)?;
        let width = schema.fields().iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
        let line = |field: &arrow::datatypes::FieldRef| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{:width$}  {}{null}", field.name(), type_name(field.data_type()))
        };
        Some(schema.fields().iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "  " + line + "\n")
}

/// The tables of a plan that are topics.
fn topics_of(plan: &StreamPlan) -> Vec<KafkaTable> {
    let topic = |table| match Connector::of(table) {
        Ok(Connector::Kafka(kafka) | Connector::UpsertKafka(kafka)) => Some(kafka),
        _ => None,
    };
    plan.tables().filter_map(topic).collect()
}

/// Settings of Flink that cannot be taken: name, reason, next step.
const NOT_HERE: [(&str, &str, &str); 4] = [
    (
        "parallelism.default",
        "the number of processes is not a setting of a script",
        "start as many processes as you want, and choose their worker threads: SET 'threads' = '2'",
    ),
    ("table.exec.state.ttl", "state has no time to live, as answers would change with it", "leave it out"),
    ("table.local-time-zone", "times without a zone are in UTC", "leave it out"),
    (
        "execution.runtime-mode",
        "a script runs until it is told to end",
        "leave it out, or start with --available-now: it then ends at what is there at the start",
    ),
];

/// A setting by the name of its flag: also those of Flink that mean the same.
fn setting(key: &str, option: &SqlOption) -> SqlResult<Setting> {
    let SqlOption { value, key_span, value_span } = option;
    if let Some((_, reason, next)) = NOT_HERE.iter().find(|(name, ..)| *name == key) {
        let mistake = SqlError::at(*key_span, format!("the setting '{key}' is not supported"));
        return Err(mistake.because(*reason).next(*next));
    }
    let (name, value) = match key {
        "execution.checkpointing.interval" => match milliseconds(value) {
            Some(ms) => ("batch-interval-ms", ms.to_string()),
            None => {
                return Err(SqlError::at(*value_span, format!("'{value}' is no length of time"))
                    .next("write '1 s' or '500 ms'"));
            }
        },
        "pipeline.name" => ("application-id", value.clone()),
        _ => (key, value.clone()),
    };
    Ok(Setting { name: name.to_owned(), value, key_span: *key_span, value_span: *value_span })
}
