//! What a query writes to.
//!
//! Owns how formats, options and output modes of sinks in Spark's words become a table, and what a query cannot be written as. Knows no sink:
//! each is a table as SQL declares it, or a place in the program.

use super::{
    batch,
    frame::DataFrame,
    mistake::{At, told, wrong},
    table::{TableText, column},
};
use crate::{
    error::Result,
    operator::Gives,
    sql::{
        Span, SqlError, TableDefinition, build,
        parse::{Emit, EmitMode, Insert, Name},
        plan::{
            FOREACH_BATCH, MEMORY,
            stream_plan::{Properties, StreamPlan},
        },
        sink::{BatchOfRows, MemoryTable, Outlet},
    },
};
use arrow::datatypes::DataType;
use std::{collections::BTreeMap, sync::Arc};

/// How the rows of a query leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that are added, and do not change any more.
    Append,
    /// Rows that are new or have changed.
    Update,
    /// All rows, at each batch that changes any.
    Complete,
}

/// What was said of the sink.
pub struct Said<'s> {
    pub frame: &'s DataFrame,
    /// What the query is called outside.
    pub name: &'s str,
    /// Whether the program gave it that name.
    pub is_named: bool,
    pub format: Option<&'s str>,
    pub mode: OutputMode,
    pub options: BTreeMap<String, String>,
    pub partition_by: &'s [String],
    pub batches: Option<&'s (BatchOfRows, At)>,
    /// The declared table that is written to.
    pub table: Option<&'s str>,
    pub at: At,
}

/// The rows of a query.
struct End {
    columns: Vec<(String, DataType)>,
    is_append_only: bool,
    unique_key: Option<Vec<usize>>,
}

impl End {
    fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// What is written to.
pub struct Target {
    pub table: Arc<TableDefinition>,
    pub insert: Insert,
    pub taken: Option<build::Taken>,
    pub memory: Option<MemoryTable>,
    pub description: String,
}

impl Said<'_> {
    /// The table that is written to, and how.
    pub fn target(self) -> Result<Target> {
        let end = self.end()?;
        let emit = self.emit(end.is_append_only)?;
        let query = Box::new(self.frame.query());
        let mode = Some(Emit { mode: emit, span: Span::default() });
        let insert =
            Insert { table: self.name.to_owned(), span: Span::default(), columns: vec![], query, mode };
        if let Some(table) = self.table {
            return self.declared(table, insert);
        }
        let mut text = TableText { name: self.name.to_owned(), ..TableText::default() };
        text.options.clone_from(&self.options);
        text.partitioned_by = self.partition_by.to_vec();
        text.columns = end.columns.iter().map(|(name, data_type)| column(name, data_type)).collect();
        let format = self.format()?;
        self.check_complete(format)?;
        if let Some((outlet, memory)) = self.outlet(format)? {
            return self.taken(format, text, insert, outlet, memory);
        }
        let (mut text, mut description) = (text, format.to_owned());
        if format == "kafka" {
            text = kafka(text, &end, emit, self.at)?;
            description = format!("kafka[{}]", text.options.get("topic").map_or("", String::as_str));
        } else if ["json", "csv", "text", "parquet"].contains(&format) {
            let path = text.options.get("path").cloned().unwrap_or_default();
            text = text.with("connector", "filesystem").with("format", format);
            description = format!("FileSink[{path}]");
        } else {
            if let Some(rows) = text.options.remove("numRows") {
                text = text.with("num-rows", rows);
            }
            text = text.with("connector", format);
        }
        let table = Arc::new(text.connected().map_err(|mistake| told(self.at, mistake))?);
        Ok(Target { table, insert, taken: None, memory: None, description })
    }

    /// What is known of the rows of the query.
    fn end(&self) -> Result<End> {
        let gives = if self.mode == OutputMode::Append { Gives::Finals } else { Gives::Updates };
        let mut stream = StreamPlan::default();
        let session = &self.frame.session.0;
        let mut query = self.frame.query();
        if self.mode == OutputMode::Complete && query.limit_clause.is_none() {
            query.order_by = None; // all rows are shown, in this order
        }
        let mistaken = |mistake| told(self.at, mistake);
        let mut planned = session.planner().logical_query(&query).map_err(mistaken)?;
        planned.logical = batch::without_rows(planned.logical, self.at)?;
        let planned = session.planner().lower_query(planned, gives, &mut stream).map_err(mistaken)?;
        let node = &stream.nodes[planned.root.0];
        let types = node.schema.fields().iter().map(|field| field.data_type().clone());
        let columns = self.frame.columns().into_iter().zip(types).collect();
        let Properties { is_append_only, unique_key, .. } = node.properties.clone();
        Ok(End { columns, is_append_only, unique_key })
    }

    fn emit(&self, is_append_only: bool) -> Result<EmitMode> {
        match self.mode {
            OutputMode::Append if !is_append_only => {
                let what = "rows of this query change later, and output mode append gives each row once";
                let mistake = SqlError::at(None, what)
                    .because("an aggregate of a group changes with each new row")
                    .next("call output_mode(\"update\") or output_mode(\"complete\"), or with_watermark(..) and group by a window of its column");
                Err(told(self.at, mistake))
            }
            OutputMode::Complete if is_append_only => {
                let mistake = SqlError::at(None, "output mode complete without an aggregation")
                    .because("each batch would give all rows since the beginning again")
                    .next("group the rows, or call output_mode(\"append\")");
                Err(told(self.at, mistake))
            }
            OutputMode::Complete => Ok(EmitMode::Complete),
            // Rows that are only added are the same in both modes.
            OutputMode::Update if !is_append_only => Ok(EmitMode::Changes),
            OutputMode::Update | OutputMode::Append => Ok(EmitMode::OnWindowClose),
        }
    }

    /// All rows at each batch are taken by what can replace the rows before them.
    fn check_complete(&self, format: &str) -> Result {
        if self.mode != OutputMode::Complete || ["console", MEMORY, FOREACH_BATCH].contains(&format) {
            return Ok(());
        }
        let what = format!("the format `{format}` does not take all rows at each batch");
        Err(wrong(
            self.at,
            what,
            "call output_mode(\"update\"), or write to console, memory or foreach_batch",
        ))
    }

    fn format(&self) -> Result<&str> {
        match (self.batches, self.format) {
            (Some(_), None) => Ok(FOREACH_BATCH),
            (Some(_), Some(_)) => {
                Err(wrong(self.at, "a query has a format or foreach_batch, not both", "leave one out"))
            }
            (None, Some("noop")) => Ok("blackhole"),
            (None, Some(format)) => Ok(format),
            (None, None) => {
                let next = "call format(\"console\") or foreach_batch(..)";
                Err(wrong(self.at, "the format of the sink is not said", next))
            }
        }
    }

    /// A table that was declared, by the names of columns.
    fn declared(&self, name: &str, mut insert: Insert) -> Result<Target> {
        self.no_options("a table that was declared")?;
        let planner = self.frame.session.0.planner();
        let Some(table) = planner.catalog().table(name).cloned() else {
            let unknown = planner.catalog().unknown_relation(name, None, std::iter::empty());
            return Err(told(self.at, unknown));
        };
        drop(planner);
        let named = |text: String| Name { text, span: Span::default() };
        name.clone_into(&mut insert.table);
        insert.columns = self.frame.columns().into_iter().map(named).collect();
        Ok(Target { table, insert, taken: None, memory: None, description: format!("table[{name}]") })
    }

    fn no_options(&self, what: &str) -> Result {
        match self.options.keys().next() {
            Some(key) => Err(wrong(self.at, format!("{what} has no option `{key}`"), "leave it out")),
            None => Ok(()),
        }
    }

    /// The place in the program that takes the rows, if one does.
    fn outlet(&self, format: &str) -> Result<Option<(Outlet, Option<MemoryTable>)>> {
        match (format, self.batches) {
            (FOREACH_BATCH, Some((function, at))) => Ok(Some((Outlet::Batches(function.clone(), at), None))),
            (MEMORY, _) if !self.is_named => {
                Err(wrong(self.at, "a table in memory has the name of its query", "call query_name(..)"))
            }
            (MEMORY, _) => {
                let table = MemoryTable::new(self.mode == OutputMode::Complete);
                Ok(Some((Outlet::Memory(table.clone()), Some(table))))
            }
            _ => Ok(None),
        }
    }

    fn taken(
        &self,
        format: &str,
        text: TableText,
        insert: Insert,
        outlet: Outlet,
        memory: Option<MemoryTable>,
    ) -> Result<Target> {
        self.no_options(&format!("the format `{format}`"))?;
        let taken = Some(build::Taken { table: self.name.to_owned(), outlet });
        let table = text.with("connector", format).definition().map_err(|mistake| told(self.at, mistake))?;
        Ok(Target { table: Arc::new(table), insert, taken, memory, description: format.to_owned() })
    }
}

/// A topic: records as they are, from the columns `key` and `value`, or with columns if there is a format of values.
fn kafka(mut text: TableText, end: &End, emit: EmitMode, at: At) -> Result<TableText> {
    if !text.options.contains_key("topic") {
        return Err(wrong(at, "the topic to write to is not said", "call option(\"topic\", \"name\")"));
    }
    let options = std::mem::take(&mut text.options).into_iter();
    let renamed =
        |key: String| key.strip_prefix("kafka.").map_or(key.clone(), |of| format!("properties.{of}"));
    text.options = options.map(|(key, value)| (renamed(key), value)).collect();
    let has_format = ["format", "value.format"].iter().any(|key| text.options.contains_key(*key));
    let has_key = end.names().contains(&"key");
    if !has_format {
        text = as_records(text, end, has_key, at)?;
    }
    let key_fields: Option<Vec<String>> = match text.options.remove("key.fields") {
        Some(fields) => Some(fields.split([',', ';']).map(|name| name.trim().to_owned()).collect()),
        None => (!has_format && has_key).then(|| vec!["key".to_owned()]),
    };
    if emit != EmitMode::Changes {
        if let Some(fields) = key_fields {
            text.options.entry("key.format".into()).or_insert_with(|| "json".into());
            text = text.with("key.fields", fields.join(";"));
        }
        return Ok(text.with("connector", "kafka"));
    }
    let of_query = || {
        let key = end.unique_key.as_ref().filter(|key| !key.is_empty())?;
        Some(key.iter().map(|at| end.columns[*at].0.clone()).collect())
    };
    let Some(key) = key_fields.or_else(of_query) else {
        let mistake = SqlError::at(None, "no columns of this query say which row a change is of")
            .because("in mode update a record of the topic takes the place of the one before with its key")
            .next("keep the columns of group_by as they are, or call option(\"key.fields\", \"a,b\")");
        return Err(told(at, mistake));
    };
    text.primary_key = key;
    Ok(text.with("connector", "upsert-kafka"))
}

/// Records that are made of the columns `value` and `key`.
fn as_records(text: TableText, end: &End, has_key: bool, at: At) -> Result<TableText> {
    let names = end.names();
    if !names.contains(&"value") || names.iter().any(|name| !["key", "value"].contains(name)) {
        let mistake =
            SqlError::at(None, "records are made of the columns `value` and, if they have one, `key`")
                .because(format!("the query has ({})", names.join(", ")))
                .next("select them, or call option(\"value.format\", \"json\")");
        return Err(told(at, mistake));
    }
    let text = text.with("value.format", "raw");
    Ok(if has_key { text.with("key.format", "raw").with("value.fields-include", "EXCEPT_KEY") } else { text })
}
