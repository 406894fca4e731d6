//! Where rows come from that have an end.
//!
//! Owns the formats and options in Spark's words. Knows no file and no database: each is a table as SQL declares it, which is read once. Invariants:
//! an option that would be ignored is refused; columns that are not said are taken from the files, where they follow from them.

use super::create::of_sql;
use crate::{
    error::Result,
    sql::{
        SqlError, SqlResult, TableDefinition,
        connector::bounded,
        frames::{
            frame::DataFrame,
            mistake::{At, told, wrong},
            reader::declared,
            session::StreamSession,
            table::{TableText, column},
            tree,
        },
    },
};
use std::{collections::BTreeMap, fmt::Display, panic::Location};

/// Reads what is there, once: see [`StreamSession::read`].
#[derive(Clone, Debug)]
#[must_use = "call `load`, or the name of a format"]
pub struct DataFrameReader {
    session: StreamSession,
    format: Option<String>,
    schema: Option<String>,
    options: BTreeMap<String, String>,
}

impl StreamSession {
    /// Reads files, or a table of Postgres, as they are when a query begins: a stream can be joined with them, and queries over them alone end.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::col};
    /// let spark = StreamSession::builder("read-doc").configure(|config| config.admin_bind = None).get_or_create()?;
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("places.csv");
    /// std::fs::write(&path, "id,name\n1,quay\n2,mill\n").unwrap();
    /// let path = path.to_str().unwrap();
    /// let places = spark.read().schema("id BIGINT, name STRING").option("header", true).csv(path)?;
    /// assert_eq!(places.filter(col("id").gt(1))?.shown(20, Some(20), false)?, "+---+----+\n| id|name|\n+---+----+\n|  2|mill|\n+---+----+\n");
    ///
    /// let sales = spark.read_stream().format("kafka").option("subscribe", "sales").option("value.format", "json")
    ///     .schema("id BIGINT, cents BIGINT").load()?;
    /// assert!(sales.join_using(&places, ["id"], "inner")?.is_streaming());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn read(&self) -> DataFrameReader {
        let (session, options) = (self.clone(), BTreeMap::new());
        DataFrameReader { session, format: None, schema: None, options }
    }
}

impl DataFrameReader {
    /// What is read: `json`, `csv`, `text` or `parquet` (with the option `path`: a file, or a folder), or `jdbc` (a table of Postgres).
    pub fn format(mut self, format: &str) -> Self {
        self.format = Some(format.to_owned());
        self
    }

    /// The columns, as in `CREATE TABLE`: `"word STRING, n BIGINT"`. If they are not said, they are those of the Parquet file; of CSV those of the
    /// heading, or `_c0` and so on, each a text; of JSON what has room for all values.
    pub fn schema(mut self, columns: &str) -> Self {
        self.schema = Some(columns.to_owned());
        self
    }

    /// An option of the format.
    pub fn option(mut self, key: &str, value: impl Display) -> Self {
        self.options.insert(key.to_owned(), value.to_string());
        self
    }

    /// Options of the format.
    pub fn options<'s>(mut self, options: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        self.options.extend(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self
    }

    /// The rows of files of JSON: an object in each line.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[track_caller]
    pub fn json(self, path: &str) -> Result<DataFrame> {
        self.format("json").option("path", path).loaded(Location::caller())
    }

    /// The rows of files of CSV: a record in each line.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[track_caller]
    pub fn csv(self, path: &str) -> Result<DataFrame> {
        self.format("csv").option("path", path).loaded(Location::caller())
    }

    /// The lines of files, as the column `value`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[track_caller]
    pub fn text(self, path: &str) -> Result<DataFrame> {
        self.format("text").option("path", path).loaded(Location::caller())
    }

    /// The rows of Parquet files.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[track_caller]
    pub fn parquet(self, path: &str) -> Result<DataFrame> {
        self.format("parquet").option("path", path).loaded(Location::caller())
    }

    /// The rows of a table of Postgres; the URL is `jdbc:postgresql://host:5432/database`, and the columns are said by [`schema`](Self::schema).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[track_caller]
    pub fn jdbc(self, url: &str, table: &str) -> Result<DataFrame> {
        self.format("jdbc").option("url", url).option("dbtable", table).loaded(Location::caller())
    }

    /// The rows of a table or view that was declared.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if there is none of that name.
    #[track_caller]
    pub fn table(&self, name: &str) -> Result<DataFrame> {
        self.session.table(name)
    }

    /// The rows of what the options say.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if the format, an option or a column cannot be, or columns that are not said do not follow from the files.
    /// A row that cannot be read is told when the rows are asked for.
    #[track_caller]
    pub fn load(&self) -> Result<DataFrame> {
        self.clone().loaded(Location::caller())
    }

    fn loaded(self, at: At) -> Result<DataFrame> {
        let Some(format) = &self.format else {
            return Err(wrong(at, "the format is not said", "call format(\"json\"), or json(..)"));
        };
        let text = match format.as_str() {
            "json" | "csv" | "text" | "parquet" => self.files(format, at)?,
            "jdbc" => self.database(at)?,
            "kafka" | "rate" | "socket" => {
                let what = format!("the rows of `{format}` keep coming");
                return Err(wrong(at, what, "call read_stream()"));
            }
            other => {
                let what = format!("there is no format `{other}` of rows that are read once");
                return Err(wrong(at, what, "choose json, csv, text, parquet or jdbc"));
            }
        };
        let definition = with_columns(text, self.schema.is_some());
        let definition = definition.map_err(|mistake| told(at, mistake))?;
        let name = declared(&self.session, definition).map_err(|mistake| told(at, mistake))?;
        let inner = DataFrame::reading(&self.session, tree::table(&name), at)?;
        // The name is not the program's: it is not seen.
        DataFrame::reading(&self.session, tree::derived(inner.query(), None), at)
    }

    /// The table of files, with the columns that were said.
    fn files(&self, format: &str, at: At) -> Result<TableText> {
        let mut options = self.options.clone();
        let mut text = TableText { name: format!("#{format}"), ..TableText::default() };
        text = text.with("connector", "filesystem").with("format", format);
        text.columns = self.schema.iter().cloned().collect();
        let Some(path) = options.remove("path") else {
            let next = format!("call {format}(\"/data/in\"), or option(\"path\", \"/data/in\")");
            return Err(wrong(at, "the file or folder to read is not said", next));
        };
        text = text.with("path", path);
        let is_true = |value: &str| value.eq_ignore_ascii_case("true");
        for (key, value) in options {
            let (key, value) = match (key.as_str(), value.as_str()) {
                ("sep" | "delimiter", _) => ("csv.field-delimiter", value),
                ("quote", _) => ("csv.quote-character", value),
                ("nullValue", _) => ("csv.null-literal", value),
                ("header", said) if is_true(said) => ("csv.ignore-first-line", "true".to_owned()),
                ("header" | "multiLine" | "inferSchema", said) if said.eq_ignore_ascii_case("false") => {
                    continue;
                }
                ("recursiveFileLookup", said) if is_true(said) => continue,
                ("encoding" | "charset", said) if said.eq_ignore_ascii_case("utf-8") => continue,
                ("mode", said) if said.eq_ignore_ascii_case("FAILFAST") => {
                    ("on-bad-record", "fail".to_owned())
                }
                ("mode", said) if said.eq_ignore_ascii_case("DROPMALFORMED") => {
                    ("on-bad-record", "skip".to_owned())
                }
                ("mode", _) => {
                    return Err(wrong(
                        at,
                        format!("the mode `{value}` is not supported"),
                        "choose FAILFAST, which holds if nothing is said, or DROPMALFORMED",
                    ));
                }
                ("inferSchema", _) => {
                    if self.schema.is_some() || format == "json" || format == "parquet" {
                        continue;
                    }
                    let mistake = SqlError::at(None, "the types of columns of CSV are not inferred")
                        .because("a text says no type: `007` is a number, or a name");
                    return Err(told(at, mistake.next("say them: schema(\"name TYPE, ..\")")));
                }
                ("multiLine", _) => {
                    return Err(wrong(at, "a record of several lines", "write each record in one line"));
                }
                _ => {
                    text = text.with(&key, value);
                    continue;
                }
            };
            text = text.with(key, value);
        }
        Ok(text)
    }

    /// The table of a database.
    fn database(&self, at: At) -> Result<TableText> {
        let mut text = TableText { name: "#jdbc".into(), ..TableText::default() };
        text = text.with("connector", "jdbc");
        let Some(schema) = &self.schema else {
            return Err(wrong(
                at,
                "the columns of the table are not said",
                "call schema(\"name TYPE, ..\") with those that are wanted",
            ));
        };
        text.columns = vec![schema.clone()];
        for (key, value) in &self.options {
            let key = match key.as_str() {
                "dbtable" => "table-name",
                "user" => "username",
                "query" => {
                    return Err(wrong(
                        at,
                        "a query of the database is not supported",
                        "make a view of it in the database, and read that: option(\"dbtable\", ..)",
                    ));
                }
                other => other,
            };
            text = text.with(key, value.as_str());
        }
        Ok(text)
    }
}

/// The declaration, with the columns of the files if none are said, and those that are in the names of folders.
fn with_columns(mut text: TableText, are_said: bool) -> SqlResult<TableDefinition> {
    let of_files = text.options.get("connector").is_some_and(|connector| connector == "filesystem");
    if !of_files {
        return text.connected();
    }
    if !are_said {
        text.columns = vec!["`value` STRING".to_owned()];
        if text.options.get("format").is_some_and(|format| format == "text") {
            return text.connected();
        }
        let any = text.connected()?;
        if let [name, ..] = &bounded::folder_names(&any)?[..] {
            return Err(SqlError::at(
                None,
                format!("the files are in folders of values, such as `{name}=..`"),
            )
            .because("which type these have is not said")
            .next("say all columns: schema(\"name TYPE, ..\")"));
        }
        let found = bounded::columns(&any)?;
        text.columns = found.iter().map(|field| column(field.name(), &of_sql(field.data_type()))).collect();
        return text.connected();
    }
    let definition = text.connected()?;
    // A folder that is not there, or has no file, is told when the rows are asked for.
    let folders = bounded::folder_names(&definition).unwrap_or_default();
    let is_column = |name: &String| definition.columns.iter().any(|column| column.name == *name);
    text.partitioned_by = folders.into_iter().filter(is_column).collect();
    if text.partitioned_by.is_empty() { Ok(definition) } else { text.connected() }
}
