//! Tables that stand for topics.
//!
//! Owns the options of `kafka` and `upsert-kafka`, which are Flink's. Knows no record. Invariant: an option that would be ignored is refused
//! with the reason.

use super::{Format, KafkaTable, KeyFormat, Options, avro};
use crate::{
    source::{BadRecordPolicy, Starting, TopicPattern},
    sql::{Column, ColumnKind, SqlError, SqlResult, TableDefinition},
};

/// The name of a format, before its options are taken.
#[derive(Clone, Copy)]
enum FormatName {
    Avro,
    AvroConfluent,
    DebeziumJson,
    Json,
    Raw,
}

const KEY_FORMATS: [(&str, FormatName); 4] = [
    ("json", FormatName::Json),
    ("raw", FormatName::Raw),
    ("avro", FormatName::Avro),
    ("avro-confluent", FormatName::AvroConfluent),
];
const VALUE_FORMATS: [(&str, FormatName); 5] = [
    ("json", FormatName::Json),
    ("raw", FormatName::Raw),
    ("debezium-json", FormatName::DebeziumJson),
    ("avro", FormatName::Avro),
    ("avro-confluent", FormatName::AvroConfluent),
];

/// The format of this name, with the options that begin with `prefix` and the name.
fn format_of(name: FormatName, options: &mut Options<'_>, prefix: &str) -> SqlResult<Format> {
    Ok(match name {
        FormatName::Avro => avro::plain(options, &format!("{prefix}avro."))?,
        FormatName::AvroConfluent => avro::confluent(options, &format!("{prefix}avro-confluent."))?,
        FormatName::DebeziumJson => Format::DebeziumJson,
        FormatName::Json => Format::Json,
        FormatName::Raw => Format::Raw,
    })
}

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
    let value =
        match (options.choice("format", &VALUE_FORMATS)?, options.choice("value.format", &VALUE_FORMATS)?) {
            (Some(format), None) => format_of(format, options, "")?,
            (None, Some(format)) => format_of(format, options, "value.")?,
            (Some(_), Some(_)) => {
                return Err(SqlError::at(table.span, "'format' and 'value.format' are the same option")
                    .next("write one of them"));
            }
            (None, None) => return Err(options.missing("format", "json")),
        };
    let key = key_format(table, options, is_upsert)?;
    let starting = starting(options, is_upsert)?;
    let policies = [
        ("fail", BadRecordPolicy::Fail),
        ("skip", BadRecordPolicy::Skip),
        ("dead-letter", BadRecordPolicy::DeadLetter),
    ];
    let policy = options.choice("on-bad-record", &policies)?;
    let ignores = options.choice("json.ignore-parse-errors", &[("true", true), ("false", false)])?;
    let policy =
        policy.unwrap_or(if ignores == Some(true) { BadRecordPolicy::Skip } else { BadRecordPolicy::Fail });
    options.choice("json.timestamp-format.standard", &[("ISO-8601", ())])?;
    options.choice("json.encode.decimal-as-plain-number", &[("true", ())])?;
    options.choice("sink.delivery-guarantee", &[("exactly-once", ())])?;
    options.choice("sink.partitioner", &[("default", ())])?;
    options.refuse(
        "scan.bounded.mode",
        "an application ends when it is told to",
        "leave it out and start with --available-now: it then ends at what is there at the start",
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
        let format = format_of(format.unwrap_or(FormatName::Json), options, "key.")?;
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
                None => {
                    let format = format_of(format, options, "key.")?;
                    Ok(Some(KeyFormat { format, fields: names, is_in_value }))
                }
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
