//! What the records of a table are: `format` and its options.
//!
//! Owns the names of formats and their options, which are Flink's. Knows no record. Invariant: an option of a format that the table does not
//! have is a mistake, like any other that nobody takes.

mod avro;
mod protobuf;
mod registry;

pub use avro::RegistryFormat;
pub use protobuf::{ProtobufFormat, ProtobufRegistryFormat};
pub use registry::RegistryPlace;

use super::{Format, Options};
use crate::{
    source::BadRecordPolicy,
    sql::{SqlError, SqlOption, SqlResult, TableDefinition, format::CsvOptions},
};

/// Whose bytes a format is of.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Key,
    Value,
}

/// Names of options that a format has for values, for values told apart from keys, and for keys.
type Names = [&'static str; 3];

const DELIMITER: Names = ["csv.field-delimiter", "value.csv.field-delimiter", "key.csv.field-delimiter"];
const QUOTE: Names = ["csv.quote-character", "value.csv.quote-character", "key.csv.quote-character"];
const NO_QUOTE: Names =
    ["csv.disable-quote-character", "value.csv.disable-quote-character", "key.csv.disable-quote-character"];
const NULL: Names = ["csv.null-literal", "value.csv.null-literal", "key.csv.null-literal"];
const ESCAPE: Names = ["csv.escape-character", "value.csv.escape-character", "key.csv.escape-character"];
const COMMENTS: Names = ["csv.allow-comments", "value.csv.allow-comments", "key.csv.allow-comments"];
const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];

/// The option of one side.
fn take<'t>(options: &mut Options<'t>, side: Side, names: Names) -> Option<&'t SqlOption> {
    match side {
        Side::Value => options.take(names[0]).or_else(|| options.take(names[1])),
        Side::Key => options.take(names[2]),
    }
}

fn choice<T: Copy>(
    options: &mut Options<'_>,
    side: Side,
    names: Names,
    choices: &[(&str, T)],
) -> SqlResult<Option<T>> {
    match side {
        Side::Value => Ok(options.choice(names[0], choices)?.or(options.choice(names[1], choices)?)),
        Side::Key => options.choice(names[2], choices),
    }
}

fn refuse(options: &mut Options<'_>, side: Side, names: Names, why: &str, next: &str) -> SqlResult {
    match side {
        Side::Value => names[..2].iter().try_for_each(|name| options.refuse(name, why, next)),
        Side::Key => options.refuse(names[2], why, next),
    }
}

/// A format by its name, with its options.
pub(super) fn format(options: &mut Options<'_>, side: Side, name: &str) -> SqlResult<Format> {
    let prefix = match side {
        Side::Key => "key.",
        Side::Value if options.has_any("value.avro") || options.has_any("value.protobuf") => "value.",
        Side::Value => "",
    };
    Ok(match name {
        "avro" => avro::plain(options, &format!("{prefix}avro."))?,
        "avro-confluent" => avro::confluent(options, &format!("{prefix}avro-confluent."))?,
        "protobuf" => protobuf::plain(options, &format!("{prefix}protobuf."))?,
        "protobuf-confluent" => protobuf::confluent(options, &format!("{prefix}protobuf-confluent."))?,
        "json" => Format::Json,
        "csv" => Format::Csv(csv(options, side)?),
        "debezium-json" => Format::DebeziumJson,
        "parquet" => Format::Parquet,
        _ => Format::Raw,
    })
}

/// A character that stands between or around fields.
fn character(option: &SqlOption, what: &str) -> SqlResult<u8> {
    let text = match option.value.as_str() {
        "\\t" => "\t",
        text => text,
    };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(SqlError::at(option.value_span, format!("'{}' cannot be {what}", option.value))
            .because("it is one character of ASCII, and no line break")
            .next("write a character such as ',', ';', '|' or '\\t'")),
    }
}

fn csv(options: &mut Options<'_>, side: Side) -> SqlResult<CsvOptions> {
    let mut csv = CsvOptions::default();
    if let Some(option) = take(options, side, DELIMITER) {
        csv.delimiter = character(option, "the delimiter of fields")?;
    }
    if let Some(option) = take(options, side, QUOTE) {
        csv.quote = Some(character(option, "the quote")?);
        if csv.quote == Some(csv.delimiter) {
            return Err(SqlError::at(option.value_span, "fields cannot be told apart by their quote")
                .next("choose another quote or another delimiter"));
        }
    }
    if choice(options, side, NO_QUOTE, &BOOLEANS)? == Some(true) {
        csv.quote = None;
    }
    if let Some(option) = take(options, side, NULL) {
        csv.null.clone_from(&option.value);
    }
    refuse(
        options,
        side,
        ESCAPE,
        "a quote within quotes is written twice",
        "leave it out, and write \"\" for a quote in quotes",
    )?;
    refuse(options, side, COMMENTS, "each record is a row", "leave it out, and the comments too")?;
    Ok(csv)
}

/// `format` or `value.format`, one of `known`, with its options.
pub(super) fn value_format(
    table: &TableDefinition,
    options: &mut Options<'_>,
    known: &[&'static str],
) -> SqlResult<Format> {
    let choices: Vec<(&str, &'static str)> = known.iter().map(|name| (*name, *name)).collect();
    let name = match (options.choice("format", &choices)?, options.choice("value.format", &choices)?) {
        (Some(name), None) | (None, Some(name)) => name,
        (Some(_), Some(_)) => {
            return Err(SqlError::at(table.span, "'format' and 'value.format' are the same option")
                .next("write one of them"));
        }
        (None, None) => return Err(options.missing("format", "json")),
    };
    format(options, Side::Value, name)
}

/// What happens to bad records, and the options of formats that say nothing else, or what holds anyway.
pub(super) fn policy(options: &mut Options<'_>) -> SqlResult<BadRecordPolicy> {
    let policies = [
        ("fail", BadRecordPolicy::Fail),
        ("skip", BadRecordPolicy::Skip),
        ("dead-letter", BadRecordPolicy::DeadLetter),
    ];
    let policy = options.choice("on-bad-record", &policies)?;
    let mut ignores = false;
    for name in [
        "json.ignore-parse-errors",
        "value.json.ignore-parse-errors",
        "csv.ignore-parse-errors",
        "value.csv.ignore-parse-errors",
        "debezium-json.ignore-parse-errors",
        "value.debezium-json.ignore-parse-errors",
        "protobuf.ignore-parse-errors",
        "value.protobuf.ignore-parse-errors",
        "protobuf-confluent.ignore-parse-errors",
        "value.protobuf-confluent.ignore-parse-errors",
    ] {
        ignores |= options.choice(name, &BOOLEANS)? == Some(true);
    }
    for name in ["json.timestamp-format.standard", "debezium-json.timestamp-format.standard"] {
        options.choice(name, &[("ISO-8601", ()), ("SQL", ())])?;
    }
    options.choice("json.encode.decimal-as-plain-number", &[("true", ())])?;
    options.choice("json.fail-on-missing-field", &[("false", ())])?;
    options.choice("debezium-json.schema-include", &BOOLEANS)?;
    Ok(policy.unwrap_or(if ignores { BadRecordPolicy::Skip } else { BadRecordPolicy::Fail }))
}
