//! What a table stands for outside: a topic, generated rows, the console.
//!
//! Owns the connectors with their options. Knows no record and no operator. Invariant: a table whose options are wrong is refused where
//! it is declared, whether anything uses it or not.

pub mod bounded;
mod datagen;
mod filesystem;
mod folders;
mod formats;
mod generate;
mod jdbc;
mod kafka;
mod length_of_time;
mod options;
mod registries;
mod socket;

pub use folders::{folder_value, push_folder};
pub use formats::{ProtobufFormat, ProtobufRegistryFormat, RegistryFormat, RegistryPlace};
pub use generate::Generator;
pub use length_of_time::milliseconds;
pub use options::Options;
pub use registries::Registries;

use super::{
    Span, SqlError, SqlResult, TableDefinition,
    format::{CsvOptions, SchemaOptions},
};
use crate::source::{BadRecordPolicy, Starting, TopicPattern};
use std::{path::PathBuf, time::Duration};

/// What a table stands for.
#[derive(Clone, Debug)]
pub enum Connector {
    /// `'connector' = 'kafka'`: records of topics, of which none is ever taken back.
    Kafka(KafkaTable),
    /// `'connector' = 'upsert-kafka'`: the last record of each key is its row; a null value deletes it.
    UpsertKafka(KafkaTable),
    /// `'connector' = 'filesystem'`: files of a folder.
    Files(FilesTable),
    /// `'connector' = 'jdbc'`: a table of Postgres.
    Jdbc(JdbcTable),
    /// `'connector' = 'socket'`: the lines that a TCP server sends.
    Socket(SocketTable),
    /// `'connector' = 'datagen'`: rows made up by this process.
    Datagen(DatagenTable),
    /// `'connector' = 'print'`: a line on the console for each change.
    Print {
        /// Stands before each line.
        prefix: Option<String>,
        /// How many changes of a batch are shown.
        rows_max: usize,
    },
    /// `'connector' = 'console'`: a table on the console for each batch.
    Console {
        /// How many rows are shown.
        rows_max: usize,
        /// Whether long values are cut.
        truncates: bool,
    },
    /// `'connector' = 'blackhole'`: nothing.
    Blackhole,
}

/// Topics and what their records are.
#[derive(Clone, Debug)]
pub struct KafkaTable {
    /// Which topics.
    pub topics: Vec<String>,
    /// More of them, by name.
    pub pattern: Option<TopicPattern>,
    /// Where the first start begins; `None` = as the program is configured.
    pub starting: Option<Starting>,
    /// What to do with a record that is not a row.
    pub policy: BadRecordPolicy,
    /// What values are.
    pub value: Format,
    /// What keys are, with the columns that are in them.
    pub key: Option<KeyFormat>,
    /// Settings of the client that the table asks for, with their places.
    pub properties: Vec<(String, String, Span)>,
}

/// Files and what they hold.
#[derive(Clone, Debug)]
pub struct FilesTable {
    /// The folder, or a file.
    pub path: PathBuf,
    /// What their lines are.
    pub format: Format,
    /// What to do with a line that is not a row.
    pub policy: BadRecordPolicy,
    /// How often the folder is looked at for new files; `None` = the files are read once, at the start.
    pub monitor: Option<Duration>,
    /// After how long without a change a new file is complete.
    pub settle_time: Duration,
    /// Whether the first line of each file is a heading.
    pub ignores_first_line: bool,
    /// What stands for NULL in the name of a folder.
    pub null_name: String,
}

/// A table of a database.
#[derive(Clone)]
pub struct JdbcTable {
    /// Where the database is, with the password.
    pub url: String,
    /// Its name there.
    pub table: String,
    /// What to do with a row that the table refuses.
    pub refused: BadRecordPolicy,
}

impl std::fmt::Debug for JdbcTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JdbcTable").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A TCP server and what its lines are.
#[derive(Clone, Debug)]
pub struct SocketTable {
    /// Where it is.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What its lines are.
    pub format: Format,
    /// What to do with a line that is not a row.
    pub policy: BadRecordPolicy,
}

/// What the bytes of a key or value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Avro, with the schema of the columns.
    Avro(SchemaOptions),
    /// Avro, with the id of the schema in a registry before it.
    AvroConfluent(Box<RegistryFormat>),
    /// Messages of Protobuf.
    Protobuf(Box<ProtobufFormat>),
    /// Messages of Protobuf, with the id of the schema in a registry before them.
    ProtobufConfluent(Box<ProtobufRegistryFormat>),
    /// A JSON object with a field for each column.
    Json,
    /// A line of CSV with a field for each column.
    Csv(CsvOptions),
    /// Files of columns.
    Parquet,
    /// Debezium's: a JSON object with the row before and after.
    DebeziumJson,
    /// The bytes of one column.
    Raw,
}

/// What keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    /// What the bytes are.
    pub format: Format,
    /// The columns in the key.
    pub fields: Vec<String>,
    /// Whether these columns are in the value too.
    pub is_in_value: bool,
}

/// Rows made up by this process.
#[derive(Clone, Debug, PartialEq)]
pub struct DatagenTable {
    /// How many rows there are a second.
    pub rows_per_second: u64,
    /// After so many rows there are no more.
    pub rows_max: Option<u64>,
    /// How the values of each column are made, by name.
    pub fields: Vec<(String, FieldGenerator)>,
}

/// How the values of a generated column are made.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldGenerator {
    /// One after the other, from the first to the last.
    Sequence {
        /// The first.
        start: i64,
        /// The last; there are no rows after it.
        end: i64,
    },
    /// By chance, within these bounds.
    Random {
        /// The least, of numbers.
        min: Option<f64>,
        /// The greatest, of numbers.
        max: Option<f64>,
        /// How many characters, of text.
        length: Option<usize>,
    },
}

/// The names of the connectors.
const CONNECTORS: [&str; 9] =
    ["kafka", "upsert-kafka", "filesystem", "jdbc", "socket", "datagen", "print", "console", "blackhole"];
/// Rows of a batch that `print` shows.
const PRINTED_MAX: usize = 1_000;
/// Rows that `console` shows, as Spark's does.
const CONSOLE_MAX: usize = 20;
/// The options of watermarks.
const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";
const WALL_CLOCK_BOUND: &str = "scan.watermark.wall-clock-bound";
/// As for windows of DStreams.
pub const IDLE_TIMEOUT_MS: i64 = 60_000;

/// `'scan.watermark.idle-timeout'`: after how long without rows a partition no longer holds windows back; a minute if nobody says it.
///
/// # Errors
/// If it is no length of time.
pub fn idle_timeout_ms(table: &TableDefinition) -> SqlResult<i64> {
    idle_timeout(&mut Options::of(table)).map(|ms| ms.unwrap_or(IDLE_TIMEOUT_MS))
}

fn idle_timeout(options: &mut Options<'_>) -> SqlResult<Option<i64>> {
    length_of_time(options, IDLE_TIMEOUT, "30 s")
}

/// `'scan.watermark.wall-clock-bound'`: how far a watermark is behind the clock at most; `None` = as far as rows say.
///
/// # Errors
/// If it is no length of time.
pub fn wall_clock_bound_ms(table: &TableDefinition) -> SqlResult<Option<i64>> {
    length_of_time(&mut Options::of(table), WALL_CLOCK_BOUND, "10 min")
}

fn length_of_time(options: &mut Options<'_>, key: &'static str, example: &str) -> SqlResult<Option<i64>> {
    let Some(option) = options.take(key) else { return Ok(None) };
    let ms = milliseconds(&option.value).and_then(|ms| i64::try_from(ms).ok()).filter(|ms| *ms > 0);
    ms.map(Some).ok_or_else(|| {
        SqlError::at(option.value_span, format!("'{}' is no length of time", option.value))
            .next(format!("write '{key}' = '{example}'"))
    })
}

impl Connector {
    /// What a table stands for, by its options.
    ///
    /// # Errors
    /// If an option is missing, unknown, or has a value that it cannot have.
    pub fn of(table: &TableDefinition) -> SqlResult<Self> {
        let mut options = Options::of(table);
        let name = options.need("connector", "kafka")?;
        let connector = match name.value.as_str() {
            "kafka" => Connector::Kafka(kafka::table(table, &mut options, false)?),
            "upsert-kafka" => Connector::UpsertKafka(kafka::table(table, &mut options, true)?),
            "filesystem" => Connector::Files(filesystem::table(table, &mut options)?),
            "jdbc" => Connector::Jdbc(jdbc::table(table, &mut options)?),
            "socket" => Connector::Socket(socket::table(table, &mut options)?),
            "datagen" => Connector::Datagen(datagen::table(table, &mut options)?),
            "print" => {
                let prefix = options.take("print-identifier").map(|option| option.value.clone());
                options.refuse("standard-error", "changes are printed on standard output", "leave it out")?;
                let rows_max = options.number("rows-max", "1000")?.unwrap_or(PRINTED_MAX);
                Connector::Print { prefix, rows_max }
            }
            "console" => Connector::Console {
                rows_max: options.number("num-rows", "20")?.unwrap_or(CONSOLE_MAX),
                truncates: options.choice("truncate", &[("true", true), ("false", false)])?.unwrap_or(true),
            },
            "blackhole" => Connector::Blackhole,
            other => {
                let near = CONNECTORS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, other));
                let error = SqlError::at(name.value_span, format!("there is no connector '{other}'"));
                let meant = near.filter(|known| strsim::damerau_levenshtein(known, other) <= 3);
                return Err(match meant {
                    Some(known) => error.next(format!("did you mean '{known}'?")),
                    None => error.next(format!("choose one of '{}'", CONNECTORS.join("', '"))),
                });
            }
        };
        idle_timeout(&mut options)?;
        length_of_time(&mut options, WALL_CLOCK_BOUND, "10 min")?;
        if !table.partitioned_by.is_empty() && !matches!(connector, Connector::Files(_)) {
            return Err(SqlError::at(
                table.span,
                format!("PARTITIONED BY with the connector '{}'", name.value),
            )
            .because("only files are in folders by the values of columns; records of a topic go by their key")
            .next("take it away"));
        }
        // All rows at each batch are shown by a table that is drawn anew, and by no other.
        let modes: &[_] = match connector {
            Connector::Console { .. } => &[("append", ()), ("update", ()), ("complete", ())],
            _ => &[("append", ()), ("update", ())],
        };
        options.choice("output_mode", modes)?;
        options.end(&name.value)?;
        Ok(connector)
    }
}
