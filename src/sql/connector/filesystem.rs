//! Tables that stand for files.
//!
//! Owns the options of `filesystem`, which are Flink's where it has them. Knows no file. Invariant: a table without
//! `source.monitor-interval` is read once, at the start; one with it goes on.

use super::{FilesTable, Format, Options, formats, milliseconds};
use crate::{
    source::BadRecordPolicy,
    sql::{ColumnKind, SqlError, SqlOption, SqlResult, TableDefinition},
};
use std::{path::PathBuf, time::Duration};

const FORMATS: [&str; 5] = ["json", "csv", "parquet", "raw", "text"];
/// As for directories that DStreams read.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The options of `filesystem`.
pub(super) fn table(table: &TableDefinition, options: &mut Options<'_>) -> SqlResult<FilesTable> {
    let path = path(options.need("path", "/data/orders")?)?;
    let format = formats::value_format(table, options, &FORMATS)?;
    if format == Format::Parquet && cfg!(not(feature = "parquet")) {
        return Err(SqlError::at(table.span, format!("table `{}`: this build has no Parquet", table.name))
            .next("build with the cargo feature `parquet`, or use 'format' = 'csv'"));
    }
    let policy = formats::policy(options)?;
    let ignores_first_line =
        options.choice("csv.ignore-first-line", &[("true", true), ("false", false)])?.unwrap_or(false);
    let span = options.span();
    let length = |option: Option<&SqlOption>| -> SqlResult<Option<Duration>> {
        let Some(option) = option else { return Ok(None) };
        milliseconds(&option.value).map(|ms| Some(Duration::from_millis(ms))).ok_or_else(|| {
            SqlError::at(option.value_span, format!("'{}' is no length of time", option.value))
                .next("write '1 s' or '500 ms'")
        })
    };
    let monitor = length(options.take("source.monitor-interval"))?;
    let settle_time = length(options.take("source.settle-time"))?;
    if monitor.is_none() && settle_time.is_some() {
        return Err(SqlError::at(span, "'source.settle-time' without 'source.monitor-interval'")
            .because("files that are read once, at the start, are taken as they are")
            .next("add 'source.monitor-interval' = '1 s' to read files as they come"));
    }
    if policy == BadRecordPolicy::DeadLetter && monitor.is_none() {
        return Err(SqlError::at(
            span,
            "'on-bad-record' = 'dead-letter' for files that are read at the start",
        )
        .because("dead letters are written with the batch that finds them, and there is none yet")
        .next("write 'fail' or 'skip'"));
    }
    if monitor.is_some() && (format == Format::Parquet || ignores_first_line) {
        let what = if ignores_first_line { "without their first lines" } else { "as Parquet" };
        return Err(SqlError::at(
            span,
            format!("files that come while the script runs cannot be read {what}"),
        )
        .because("they are read line by line, in parts")
        .next("leave 'source.monitor-interval' out: the files are then read once, at the start"));
    }
    let null_name = options.take("partition.default-name");
    let null_name = null_name.map_or("__DEFAULT_PARTITION__", |option| option.value.as_str()).to_owned();
    options.refuse("source.path.regex-pattern", "all files of the directory are read", "leave it out")?;
    for name in [
        "sink.rolling-policy.file-size",
        "sink.rolling-policy.rollover-interval",
        "sink.rolling-policy.check-interval",
        "sink.partition-commit.trigger",
        "sink.partition-commit.policy.kind",
        "sink.partition-commit.delay",
        "sink.parallelism",
        "auto-compaction",
    ] {
        let next = "leave it out, and choose the batch interval: SET 'batch-interval-ms' = '60000'";
        options.refuse(name, "each batch writes files of its own, which readers see complete", next)?;
    }
    check_columns(table, monitor.is_some())?;
    let settle_time = settle_time.unwrap_or(SETTLE_TIME);
    Ok(FilesTable { path, format, policy, monitor, settle_time, ignores_first_line, null_name })
}

fn check_columns(table: &TableDefinition, is_monitored: bool) -> SqlResult {
    let is_metadata = |kind: &ColumnKind| matches!(kind, ColumnKind::Metadata { .. });
    if let Some(column) = table.columns.iter().find(|column| is_metadata(&column.kind)) {
        return Err(SqlError::at(column.span, "rows of files have no metadata")
            .next("declare the column without METADATA, or leave it out"));
    }
    let is_partition = |name: &String| table.partitioned_by.contains(name);
    let mut fields = table.columns.iter().filter(|column| matches!(column.kind, ColumnKind::Physical(_)));
    if fields.all(|column| is_partition(&column.name)) {
        return Err(SqlError::at(table.span, format!("the files of table `{}` have no column", table.name))
            .because("columns of PARTITIONED BY are in the names of folders, not in the files")
            .next("leave a column out of PARTITIONED BY"));
    }
    if is_monitored && !table.partitioned_by.is_empty() {
        return Err(SqlError::at(table.span, "PARTITIONED BY with 'source.monitor-interval'")
            .because(
                "files that come while the script runs are read from one folder, not from those below it",
            )
            .next("take PARTITIONED BY away, or declare a table for each folder"));
    }
    Ok(())
}

/// The path of a `file:` URL, or the path as it is.
fn path(option: &SqlOption) -> SqlResult<PathBuf> {
    let text = option.value.as_str();
    let plain = match text.strip_prefix("file:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => text,
    };
    if plain.is_empty() || plain.contains("://") {
        return Err(SqlError::at(option.value_span, format!("'{text}' is no path of a file system"))
            .because("files are read and written where the process runs")
            .next("write a path such as '/data/orders' or 'file:///data/orders'"));
    }
    Ok(PathBuf::from(plain))
}
