//! Rows as text for people.
//!
//! Owns how values look on the console, as a table of Spark or as a change of Flink. Knows no output.

use crate::error::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};

/// Characters of a value in a table that cuts long ones, as in Spark.
const CUT_AT: usize = 20;
/// Least width of a column, as in Spark.
const WIDTH_MIN: usize = 3;

fn options(null: &'static str) -> FormatOptions<'static> {
    FormatOptions::new()
        .with_null(null)
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"))
}

/// The values of a column, one after the other; `null` stands for those that are missing.
fn texts(column: &ArrayRef, null: &'static str) -> Result<Vec<String>> {
    let options = options(null);
    let wrong = |e: arrow::error::ArrowError| Error::Row(format!("a value cannot be shown: {e}"));
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(wrong)?;
    (0..column.len()).map(|row| formatter.value(row).try_to_string().map_err(wrong)).collect()
}

/// A line for each row, such as `+I[tea, 3]`: `kind` says of each row what happened to it.
///
/// # Errors
/// If a value cannot be shown.
pub fn changes(rows: &RecordBatch, kind: impl Fn(usize) -> &'static str) -> Result<Vec<String>> {
    let columns = rows.columns().iter().map(|column| texts(column, "null")).collect::<Result<Vec<_>>>()?;
    let line = |row: usize| {
        let values: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        format!("{}[{}]", kind(row), values.join(", "))
    };
    Ok((0..rows.num_rows()).map(line).collect())
}

/// The lines of a table with `rows_max` rows at most, as Spark's `show` draws it.
///
/// # Errors
/// If a value cannot be shown.
pub fn table(rows: &RecordBatch, rows_max: usize, truncates: bool) -> Result<Vec<String>> {
    let shown = rows.slice(0, rows.num_rows().min(rows_max));
    let mut columns = vec![];
    for (field, column) in rows.schema().fields().iter().zip(shown.columns()) {
        let mut cells = vec![cut(field.name(), truncates)];
        cells.extend(texts(column, "NULL")?.iter().map(|value| cut(value, truncates)));
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0).max(WIDTH_MIN);
        columns.push((cells, width));
    }
    let border: String =
        columns.iter().map(|(_, width)| format!("+{}", "-".repeat(*width))).chain(["+".into()]).collect();
    let line = |row: usize| -> String {
        let cell = |(cells, width): &(Vec<String>, usize)| {
            let cell = &cells[row];
            if truncates { format!("|{cell:>width$}") } else { format!("|{cell:<width$}") }
        };
        columns.iter().map(cell).chain(["|".into()]).collect()
    };
    let mut lines = vec![border.clone(), line(0), border.clone()];
    lines.extend((1..=shown.num_rows()).map(line));
    lines.push(border);
    if rows.num_rows() > rows_max {
        lines.push(format!("only showing top {rows_max} row{}", if rows_max == 1 { "" } else { "s" }));
    }
    Ok(lines)
}

fn cut(value: &str, truncates: bool) -> String {
    // A line break would break the table.
    let value = value.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    if truncates && value.chars().count() > CUT_AT {
        value.chars().take(CUT_AT - 3).chain("...".chars()).collect()
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn rows() -> RecordBatch {
        let words = StringArray::from(vec![Some("tea"), None, Some("a text of more than twenty characters")]);
        let counts = Int64Array::from(vec![Some(3), Some(12_345), None]);
        RecordBatch::try_from_iter([("word", Arc::new(words) as ArrayRef), ("n", Arc::new(counts) as _)])
            .unwrap()
    }

    #[test]
    fn a_table_is_as_spark_draws_it() {
        let expected = "\
+--------------------+-----+
|                word|    n|
+--------------------+-----+
|                 tea|    3|
|                NULL|12345|
|a text of more th...| NULL|
+--------------------+-----+";
        assert_eq!(table(&rows(), 20, true).unwrap().join("\n"), expected);
        let expected = "\
+----+---+
|word|n  |
+----+---+
|tea |3  |
+----+---+
only showing top 1 row";
        assert_eq!(table(&rows(), 1, false).unwrap().join("\n"), expected);
    }

    #[test]
    fn changes_are_as_flink_prints_them() {
        let kinds = ["+I", "-U", "+U"];
        let lines = changes(&rows(), |row| kinds[row]).unwrap();
        assert_eq!(
            lines,
            ["+I[tea, 3]", "-U[null, 12345]", "+U[a text of more than twenty characters, null]"]
        );
    }
}
