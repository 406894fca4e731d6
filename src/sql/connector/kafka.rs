//! Tables that stand for topics.
//!
//! Owns the options of `kafka` and `upsert-kafka`, which are Flink's. Knows no record. Invariant: an option that would be ignored is refused
//! with the reason.

use super::{
    Format, KafkaTable, KeyFormat, Options,
    formats::{self, Side},
};
use crate::{
    source::{Starting, TopicPattern},
    sql::{ColumnKind, SqlError, SqlResult, TableColumn as Column, TableDefinition},
};

const KEY_FORMATS: [(&str, &str); 8] = [
    ("json", "json"),
    ("csv", "csv"),
    ("raw", "raw"),
    ("text", "raw"),
    ("avro", "avro"),
    ("avro-confluent", "avro-confluent"),
    ("protobuf", "protobuf"),
    ("protobuf-confluent", "protobuf-confluent"),
];
const VALUE_FORMATS: [&str; 9] = [
    "json",
    "csv",
    "raw",
    "text",
    "debezium-json",
    "avro",
    "avro-confluent",
    "protobuf",
    "protobuf-confluent",
];

/// The options of `kafka` and `upsert-kafka`.
pub(super) fn table(
    table: &TableDefinition,
    options: &mut Options<'_>,
    is_upsert: bool,
) -> SqlResult<KafkaTable> {
    let topics = options.take("topic").map(|topic| {
        topic
            .value
            .split(';')
            .map(|topic| topic.trim().to_owned())
            .filter(|topic| !topic.is_empty())
            .collect()
    });
    let pattern = options.take("topic-pattern");
    let (topics, pattern) = match (topics, pattern) {
        (Some(topics), None) => (topics, None),
        (None, Some(pattern)) => {
            let compiled = TopicPattern::new(&pattern.value).map_err(|e| {
                SqlError::at(
                    pattern.value_span,
                    format!("'{}' is not a regular expression: {e}", pattern.value),
                )
            })?;
            (vec![], Some(compiled))
        }
        (None, None) => return Err(options.missing("topic", &table.name)),
        (Some(_), Some(pattern)) => {
            return Err(SqlError::at(
                pattern.key_span,
                "a table has a 'topic' or a 'topic-pattern', not both",
            ));
        }
    };
    let value = formats::value_format(table, options, &VALUE_FORMATS)?;
    let key = key_format(table, options, is_upsert)?;
    let starting = starting(options, is_upsert)?;
    let policy = formats::policy(options)?;
    options.choice("sink.delivery-guarantee", &[("exactly-once", ())])?;
    options.choice("sink.partitioner", &[("default", ())])?;
    options.refuse(
        "scan.bounded.mode",
        "an application ends when it is told to",
        "leave it out and start with --available-now: it then ends at what is there at the start",
    )?;
    options.refuse(
        "scan.startup.specific-offsets",
        "offsets of single partitions belong to the group, not to a script",
        "leave it out, and set them while the application is stopped: tidegate reset --to",
    )?;
    options.refuse("sink.parallelism", "the number of processes and threads decides", "leave it out")?;
    options.refuse("scan.parallelism", "the number of processes and threads decides", "leave it out")?;
    options.refuse(
        "sink.transactional-id-prefix",
        "transactional ids begin with the application's id",
        "leave it out",
    )?;
    let properties = options.take_prefixed("properties.").into_iter();
    let properties =
        properties.map(|(key, option)| (key.to_owned(), option.value.clone(), option.key_span)).collect();
    Ok(KafkaTable { topics, pattern, starting, policy, value, key, properties })
}

fn key_format(
    table: &TableDefinition,
    options: &mut Options<'_>,
    is_upsert: bool,
) -> SqlResult<Option<KeyFormat>> {
    let format = options.choice("key.format", &KEY_FORMATS)?;
    let format = format.map(|name| formats::format(options, Side::Key, name)).transpose()?;
    let fields = options.take("key.fields");
    options.refuse(
        "key.fields-prefix",
        "columns are called as the fields are",
        "name columns as the fields",
    )?;
    let is_in_value =
        options.choice("value.fields-include", &[("ALL", true), ("EXCEPT_KEY", false)])?.unwrap_or(true);
    if is_upsert {
        if let Some(fields) = fields {
            return Err(SqlError::at(fields.key_span, "the key of an upsert table is its primary key")
                .next("leave 'key.fields' out and declare PRIMARY KEY (..) NOT ENFORCED"));
        }
        if table.primary_key.is_empty() {
            return Err(SqlError::at(
                table.span,
                format!("the upsert table `{}` has no primary key", table.name),
            )
            .because("the last record of each key is its row")
            .next("add PRIMARY KEY (..) NOT ENFORCED to its columns"));
        }
        let format = format.unwrap_or(Format::Json);
        return Ok(Some(KeyFormat { format, fields: table.primary_key.clone(), is_in_value }));
    }
    let names =
        |fields: &str| -> Vec<String> { fields.split(';').map(|name| name.trim().to_owned()).collect() };
    match (format, fields) {
        (None, None) => Ok(None),
        (Some(format), Some(fields)) => {
            let names = names(&fields.value);
            let is_column = |name: &String| {
                let of_name = |column: &&Column| column.name == *name;
                table.columns.iter().find(of_name).is_some_and(|c| matches!(c.kind, ColumnKind::Physical(_)))
            };
            match names.iter().find(|name| !is_column(name)) {
                Some(name) => {
                    Err(SqlError::at(fields.value_span, format!("`{name}` is no column of the record"))
                        .next("name columns of the table, with `;` between them"))
                }
                None => Ok(Some(KeyFormat { format, fields: names, is_in_value })),
            }
        }
        (Some(_), None) => Err(SqlError::at(table.span, "'key.format' without 'key.fields'")
            .next("name the columns in the key: 'key.fields' = 'a;b'")),
        (None, Some(fields)) => Err(SqlError::at(fields.key_span, "'key.fields' without 'key.format'")
            .next("add 'key.format' = 'json'")),
    }
}

fn starting(options: &mut Options<'_>, is_upsert: bool) -> SqlResult<Option<Starting>> {
    #[derive(Clone, Copy)]
    enum Mode {
        Earliest,
        Latest,
        Group,
        Timestamp,
    }
    let modes = [
        ("earliest-offset", Mode::Earliest),
        ("latest-offset", Mode::Latest),
        ("group-offsets", Mode::Group),
        ("timestamp", Mode::Timestamp),
    ];
    let span = options.span();
    let mode = options.choice("scan.startup.mode", &modes)?;
    let at_ms: Option<i64> = options.number("scan.startup.timestamp-millis", "1700000000000")?;
    if is_upsert && matches!(mode, Some(Mode::Latest | Mode::Timestamp)) {
        return Err(SqlError::at(span, "an upsert table is read from its beginning")
            .because("rows that were written before would be missing")
            .next("leave 'scan.startup.mode' out"));
    }
    Ok(match (mode, at_ms) {
        (None | Some(Mode::Group), None) => None,
        (Some(Mode::Earliest), None) => Some(Starting::Earliest),
        (Some(Mode::Latest), None) => Some(Starting::Latest),
        (Some(Mode::Timestamp), Some(at_ms)) => Some(Starting::Timestamp(at_ms)),
        (Some(Mode::Timestamp), None) => {
            return Err(SqlError::at(span, "'scan.startup.mode' = 'timestamp' needs a time")
                .next("add 'scan.startup.timestamp-millis' = '1700000000000'"));
        }
        (_, Some(_)) => {
            return Err(SqlError::at(span, "'scan.startup.timestamp-millis' without its mode")
                .next("add 'scan.startup.mode' = 'timestamp'"));
        }
    })
}
