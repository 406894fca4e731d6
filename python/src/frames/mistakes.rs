//! Errors of DataFrames and queries as exceptions.
//!
//! Owns which exception an error is, and the names of methods in its text. Knows no frame. Invariant: the text is the engine's, with its place,
//! its caret and its next step; only names of methods are those of Python.

use crate::errors::{ConfigError, StreamingError, exception};
use pyo3::{create_exception, prelude::*};
use tidegate::Error;

create_exception!(
    tidegate,
    AnalysisException,
    ConfigError,
    "A query, a column or an option is wrong; found before anything runs."
);
create_exception!(tidegate, StreamingQueryException, StreamingError, "Why a query has failed.");

/// Methods of the DataFrames of Rust that a text may name, each with its name here; longer names first.
const NAMES: &[(&str, &str)] = &[
    (
        "write .sql(\"SELECT ..\")?.write_stream().to_table(..)",
        "write spark.sql(\"SELECT ..\").writeStream.toTable(..)",
    ),
    (
        "configure(|config| config.batch_records_max = ..)",
        "SparkSession.builder.config(\"tidegate.batch-records-max\", ..)",
    ),
    (
        "call StreamSession::builder(..).log(..)",
        "call SparkSession.builder.config(\"tidegate.bootstrap\", ..)",
    ),
    ("call StreamSession::builder(..).configure(..)", "call SparkSession.builder.config(..)"),
    (
        "call tables(), print_schema() or explain()",
        "call spark.catalog.listTables(), printSchema() or explain()",
    ),
    ("write_stream().", "writeStream."),
    ("spark.udf().register(", "spark.udf.register("),
    ("trigger(Trigger::AvailableNow)", "trigger(availableNow=True)"),
    ("call read_stream()", "call readStream"),
    ("with_column_renamed", "withColumnRenamed"),
    ("with_watermark", "withWatermark"),
    ("with_column", "withColumn"),
    ("output_mode(", "outputMode("),
    ("query_name(", "queryName("),
    ("foreach_batch", "foreachBatch"),
    ("group_by(", "groupBy("),
    ("group_by ", "groupBy "),
    ("order_by", "orderBy"),
    ("drop_duplicates_within_watermark", "dropDuplicatesWithinWatermark"),
    ("drop_duplicates", "dropDuplicates"),
    ("union_by_name", "unionByName"),
    ("join_using", "join"),
    ("read_stream()", "readStream"),
    ("write_stream", "writeStream"),
    ("to_table", "toTable"),
];

/// A text with the names of Python. Lines of SQL stay as they are.
fn in_python(text: &str) -> String {
    let line = |line: &str| {
        if line.contains(" | ") {
            return line.to_owned();
        }
        NAMES.iter().fold(line.to_owned(), |line, (rust, python)| line.replace(rust, python))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The exception for a mistake in a query.
pub fn analysis(error: &Error) -> PyErr {
    match error {
        Error::Plan(_) | Error::Config(_) => AnalysisException::new_err(in_python(&error.to_string())),
        _ => exception(error),
    }
}

/// The exception of a query that has failed.
pub fn failed(error: &Error) -> PyErr {
    match error {
        Error::BadRecord { .. } | Error::Fenced(_) => exception(error),
        _ => StreamingQueryException::new_err(in_python(&error.to_string())),
    }
}

/// Adds them to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("AnalysisException", py.get_type::<AnalysisException>())?;
    module.add("StreamingQueryException", py.get_type::<StreamingQueryException>())
}
