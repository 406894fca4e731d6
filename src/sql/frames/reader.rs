//! Where the rows of a DataFrame come from.
//!
//! Owns the formats and options of sources in Spark's words. Knows no source: each is a table as SQL declares it. Invariants: an option that
//! would be ignored is refused; two readers of the same source with the same options read one table.

use super::{
    frame::DataFrame,
    mistake::{At, told, wrong},
    session::StreamSession,
    table::TableText,
    tree,
};
use crate::{
    error::Result,
    plan::Place,
    sql::{
        SourceText, SqlError, SqlResult, TableDefinition,
        connector::Connector,
        parse::{CreateTable, OnExisting, Statement, parse},
    },
};
use std::{collections::BTreeMap, fmt::Display, panic::Location};

/// Reads a source: see [`StreamSession::read_stream`].
#[derive(Clone, Debug)]
#[must_use = "call `load` or `table`"]
pub struct DataStreamReader {
    session: StreamSession,
    format: Option<String>,
    schema: Option<String>,
    options: BTreeMap<String, String>,
}

impl StreamSession {
    /// Reads rows that keep coming.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::col};
    /// let spark = StreamSession::builder("reader-doc").get_or_create()?;
    /// let records = spark.read_stream().format("kafka").option("subscribe", "orders").load()?;
    /// assert_eq!(records.columns(), ["key", "value", "topic", "partition", "offset", "timestamp"]);
    /// let orders = spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json")
    ///     .schema("item STRING, price DECIMAL(10, 2)").load()?;
    /// assert_eq!(orders.filter(col("price").gt(10))?.columns(), ["item", "price"]);
    /// let ticks = spark.read_stream().format("rate").option("rowsPerSecond", 5).load()?;
    /// assert_eq!(ticks.columns(), ["timestamp", "value"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn read_stream(&self) -> DataStreamReader {
        let (session, options) = (self.clone(), BTreeMap::new());
        DataStreamReader { session, format: None, schema: None, options }
    }
}

impl StreamSession {
    /// Takes statements of SQL: a query becomes a DataFrame; `CREATE TABLE`, `CREATE VIEW` and `DROP` declare and forget relations, and give a
    /// DataFrame without columns, as in Spark. Of several statements, the DataFrame is that of the last one.
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("session-sql").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// let words = spark.sql("SELECT unnest(string_to_array(line, ' ')) AS word FROM lines")?;
    /// assert_eq!(words.columns(), ["word"]);
    ///
    /// let mistake = spark.sql("SELECT wort FROM lines").unwrap_err().to_string();
    /// assert!(mistake.contains("1:8: there is no column `wort`"), "{mistake}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) with every mistake that was found, each with its place in the text.
    #[track_caller]
    pub fn sql(&self, text: &str) -> Result<DataFrame> {
        let at = Location::caller();
        let text = SourceText::new(format!("sql of {}", Place::from(at)), text);
        let statements = parse(&text).map_err(|mistakes| {
            let shown: Vec<String> = mistakes.iter().map(|mistake| mistake.shown_in(&text)).collect();
            crate::Error::Plan(shown.join("\n"))
        })?;
        let mut frame = DataFrame::nothing(self);
        for statement in &statements {
            let taken = self.take(statement);
            frame = taken.map_err(|mistake| mistake.or_at(statement.span()).into_error(&text))?;
        }
        Ok(frame)
    }

    fn take(&self, statement: &Statement) -> Result<DataFrame, SqlError> {
        let elsewhere = |what: &str, next: &str| Err(SqlError::at(statement.span(), what).next(next));
        let mut planner = self.0.planner();
        match statement {
            Statement::CreateTable(create) => {
                Connector::of(&create.definition)?;
                planner.declare_table(create.clone())?;
            }
            Statement::CreateView(create) => planner.declare_view(create.clone())?,
            Statement::Drop(drop) => planner.drop_relation(drop)?,
            Statement::Select(select) => {
                if let Some(emit) = &select.mode {
                    return Err(SqlError::at(
                        emit.span,
                        "how changes leave a DataFrame is said when it is written",
                    )
                    .next("leave EMIT out, and call write_stream().output_mode(..)"));
                }
                let columns = planner.columns_of(&select.query)?;
                drop(planner);
                return Ok(DataFrame::of_query(self, select.query.as_ref().clone(), columns));
            }
            Statement::Insert(_) | Statement::StatementSet(_) => {
                return elsewhere(
                    "an INSERT is started as a query",
                    "write .sql(\"SELECT ..\")?.write_stream().to_table(..)",
                );
            }
            Statement::Set { .. } | Statement::Reset { .. } => {
                return elsewhere(
                    "settings are those of the session",
                    "call StreamSession::builder(..).configure(..)",
                );
            }
            Statement::Show { .. } | Statement::Describe(_) | Statement::Explain { .. } => {
                return elsewhere("this statement has no rows", "call tables(), print_schema() or explain()");
            }
        }
        Ok(DataFrame::nothing(self))
    }

    /// A table or view that was declared, or the rows that a query has written to [memory](Self::memory).
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("session-table").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert!(spark.table("lines")?.is_streaming());
    /// assert!(spark.table("line").unwrap_err().to_string().contains("did you mean `lines`?"));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if there is none of that name.
    #[track_caller]
    pub fn table(&self, name: &str) -> Result<DataFrame> {
        let at = Location::caller();
        let planner = self.0.planner();
        if !planner.catalog().has(name) {
            let unknown = planner.catalog().unknown_relation(name, None, std::iter::empty());
            return Err(told(at, unknown));
        }
        drop(planner);
        DataFrame::reading(self, tree::table(name), at)
    }
}

impl DataStreamReader {
    /// What is read: `kafka`, `rate`, `socket`, files of a folder (`json`, `csv`, `text`, with the option `path`), or any connector of SQL that
    /// can be read.
    pub fn format(mut self, format: &str) -> Self {
        self.format = Some(format.to_owned());
        self
    }

    /// The columns, as in `CREATE TABLE`: `"word STRING, n BIGINT"`. Where the format decides on the columns, it is left out.
    pub fn schema(mut self, columns: &str) -> Self {
        self.schema = Some(columns.to_owned());
        self
    }

    /// An option of the source.
    pub fn option(mut self, key: &str, value: impl Display) -> Self {
        self.options.insert(key.to_owned(), value.to_string());
        self
    }

    /// Options of the source.
    pub fn options<'s>(mut self, options: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        self.options.extend(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self
    }

    /// The rows of a table or view that was declared.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if there is none of that name.
    #[track_caller]
    pub fn table(&self, name: &str) -> Result<DataFrame> {
        self.session.table(name)
    }

    /// The rows of the source.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if the format, an option or a column cannot be.
    #[track_caller]
    pub fn load(&self) -> Result<DataFrame> {
        let at = Location::caller();
        let Some(format) = &self.format else {
            return Err(wrong(at, "the format of the source is not said", "call format(\"kafka\")"));
        };
        let text = self.text(format, at)?;
        let definition = text.connected().map_err(|mistake| told(at, mistake))?;
        let name = declared(&self.session, definition).map_err(|mistake| told(at, mistake))?;
        let inner = DataFrame::reading(&self.session, tree::table(&name), at)?;
        // The name is not the program's: it is not seen.
        DataFrame::reading(&self.session, tree::derived(inner.query(), None), at)
    }

    fn text(&self, format: &str, at: At) -> Result<TableText> {
        let mut options = self.options.clone();
        let mut text = TableText::default();
        let columns = |default: &[&str]| match &self.schema {
            Some(schema) => vec![schema.clone()],
            None => default.iter().map(|&column| column.to_owned()).collect(),
        };
        let no_schema = |what: &str| match &self.schema {
            Some(_) => Err(wrong(at, format!("{what} has its own columns"), "leave schema(..) out")),
            None => Ok(()),
        };
        match format {
            "kafka" => {
                text = self.kafka(&mut options, at)?;
            }
            "rate" => {
                no_schema("the format `rate`")?;
                text.name = "#rate".into();
                text.columns = columns(&["`timestamp` TIMESTAMP(3)", "`value` BIGINT"]);
                let rate = options.remove("rowsPerSecond").unwrap_or_else(|| "1".into());
                text = text.with("connector", "datagen").with("rows-per-second", rate);
                text = text.with("fields.value.kind", "sequence").with("fields.value.start", "0");
            }
            "json" | "csv" | "text" => text = self.files(format, &mut options, at)?,
            "socket" => {
                no_schema("the format `socket`")?;
                text.name = "socket".into();
                text.columns = columns(&["`value` STRING"]);
                if options.remove("includeTimestamp").is_some_and(|value| value.eq_ignore_ascii_case("true"))
                {
                    text.columns.push("`timestamp` TIMESTAMP(3) METADATA VIRTUAL".into());
                }
                text = text.with("connector", "socket").with("format", "raw");
                for (spark, here) in [("host", "hostname"), ("port", "port")] {
                    if let Some(value) = options.remove(spark) {
                        text = text.with(here, value);
                    }
                }
            }
            other => {
                if self.schema.is_none() {
                    return Err(wrong(
                        at,
                        format!("the columns of `{other}` are not said"),
                        "call schema(\"name TYPE, ..\")",
                    ));
                }
                other.clone_into(&mut text.name);
                text.columns = columns(&[]);
                text = text.with("connector", other);
            }
        }
        text.options.extend(options);
        Ok(text)
    }

    /// Files of a folder, read line by line as they come.
    fn files(&self, format: &str, options: &mut BTreeMap<String, String>, at: At) -> Result<TableText> {
        let mut text = TableText::default().with("connector", "filesystem").with("format", format);
        text.columns = match (&self.schema, format) {
            (Some(schema), _) => vec![schema.clone()],
            (None, "text") => vec!["`value` STRING".into()],
            (None, _) => {
                let what = format!("the columns of files of `{format}` are not said");
                return Err(wrong(at, what, "call schema(\"name TYPE, ..\")"));
            }
        };
        let Some(path) = options.remove("path") else {
            return Err(wrong(at, "the folder to read is not said", "call option(\"path\", \"/data/in\")"));
        };
        text = text.with("path", path).with("source.monitor-interval", "1 s");
        for refused in
            ["maxFilesPerTrigger", "maxBytesPerTrigger", "latestFirst", "maxFileAge", "cleanSource"]
        {
            if options.contains_key(refused) {
                let next = "leave it out: all files are read, each once";
                return Err(wrong(at, format!("the option `{refused}` is not supported"), next));
            }
        }
        for spark in ["sep", "delimiter"] {
            if let Some(separator) = options.remove(spark) {
                text = text.with("csv.field-delimiter", separator);
            }
        }
        if options.remove("header").is_some_and(|header| header.eq_ignore_ascii_case("true")) {
            text = text.with("csv.ignore-first-line", "true");
        }
        format.clone_into(&mut text.name);
        Ok(text)
    }

    /// Topics: as records, or with columns if there is a format of values.
    fn kafka(&self, options: &mut BTreeMap<String, String>, at: At) -> Result<TableText> {
        let mut text = TableText::default().with("connector", "kafka");
        let mut renamed = |spark: &str, here: &str, text: &mut TableText| {
            options
                .remove(spark)
                .map(|value| text.options.insert(here.to_owned(), value.clone()).unwrap_or(value))
        };
        let topics = renamed("subscribe", "topic", &mut text).map(|topics| topics.replace(',', ";"));
        let pattern = renamed("subscribePattern", "topic-pattern", &mut text);
        if let Some(topics) = &topics {
            text.options.insert("topic".into(), topics.clone());
        }
        let Some(topics) = topics.or(pattern) else {
            let next = "call option(\"subscribe\", \"topic\") or option(\"subscribePattern\", \"..\")";
            return Err(wrong(at, "the topics to read are not said", next));
        };
        text.name = format!("#kafka.{topics}");
        for refused in [
            "assign",
            "endingOffsets",
            "maxOffsetsPerTrigger",
            "minPartitions",
            "groupIdPrefix",
            "includeHeaders",
        ] {
            if options.contains_key(refused) {
                let next = "leave it out; bounds of a batch are settings: configure(|config| config.batch_records_max = ..)";
                return Err(wrong(at, format!("the option `{refused}` is not supported"), next));
            }
        }
        let mut text = starting(text, options, at)?;
        // What was lost is never passed over: a first start begins at what is stored, and a restart is refused.
        if options.remove("failOnDataLoss").is_some_and(|value| value != "true") {
            let next = "leave it out: a query whose position is lost does not start, and says how to go on";
            return Err(wrong(at, "`failOnDataLoss` is always true", next));
        }
        for (key, value) in std::mem::take(options) {
            let key = key.strip_prefix("kafka.").map_or(key.clone(), |rest| format!("properties.{rest}"));
            text.options.insert(key, value);
        }
        self.record_columns(text, at)
    }

    /// The columns of the schema, or those of records as they are.
    fn record_columns(&self, mut text: TableText, at: At) -> Result<TableText> {
        let has_format = ["format", "value.format"].iter().any(|key| text.options.contains_key(*key));
        match (&self.schema, has_format) {
            (Some(schema), true) => text.columns = vec![schema.clone()],
            (None, true) => {
                return Err(wrong(
                    at,
                    "records have a format, but no columns",
                    "call schema(\"name TYPE, ..\")",
                ));
            }
            (Some(_), false) => {
                return Err(wrong(
                    at,
                    "there are columns, but records have no format",
                    "call option(\"value.format\", \"json\")",
                ));
            }
            (None, false) => {
                let columns = [
                    "`key` BYTES",
                    "`value` BYTES",
                    "`topic` STRING METADATA VIRTUAL",
                    "`partition` INT METADATA VIRTUAL",
                    "`offset` BIGINT METADATA VIRTUAL",
                    "`timestamp` TIMESTAMP(3) METADATA VIRTUAL",
                ];
                text.columns = columns.map(str::to_owned).to_vec();
                text = text.with("value.format", "raw").with("key.format", "raw").with("key.fields", "key");
                text = text.with("value.fields-include", "EXCEPT_KEY");
            }
        }
        Ok(text)
    }
}

/// Declares the table that a reader reads, unless the same one is there; its name.
pub fn declared(session: &StreamSession, mut definition: TableDefinition) -> SqlResult<String> {
    let mut planner = session.0.planner();
    let base = definition.name.clone();
    for number in 1.. {
        if number > 1 {
            definition.name = format!("{base}-{number}");
        }
        match planner.catalog().table(&definition.name) {
            None if planner.catalog().has(&definition.name) => {}
            None => break,
            Some(other) if **other == definition => return Ok(definition.name),
            Some(_) => {}
        }
    }
    let name = definition.name.clone();
    planner.declare_table(CreateTable { definition, on_existing: OnExisting::Refuse, is_temporary: true })?;
    Ok(name)
}

/// Where a query begins to read that has not run before.
fn starting(mut text: TableText, options: &mut BTreeMap<String, String>, at: At) -> Result<TableText> {
    // Spark's default, for queries that have not run before.
    let from = options.remove("startingOffsets").unwrap_or_else(|| "latest".into());
    let at_ms = options.remove("startingTimestamp");
    match (from.as_str(), at_ms) {
        (_, Some(ms)) => {
            text = text.with("scan.startup.mode", "timestamp").with("scan.startup.timestamp-millis", ms);
        }
        ("earliest" | "latest", None) => text = text.with("scan.startup.mode", format!("{from}-offset")),
        (other, None) => {
            let what = format!("`startingOffsets` is `{other}`");
            return Err(wrong(
                at,
                what,
                "write earliest or latest; option(\"startingTimestamp\", ms) is a time",
            ));
        }
    }
    Ok(text)
}
