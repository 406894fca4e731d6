//! Rows as text for people.
//!
//! Owns how values look on the console, as a table of Spark or as a change of Flink. Knows no output.

use crate::{
    error::{Error, Result},
    sql::java_number::java_number,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};

/// Characters of a value in a table that cuts long ones, as in Spark.
pub const CUT_AT: usize = 20;
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

/// A value as Spark's `CAST(.. AS STRING)` writes it; `None` = it is missing.
fn spark_text(column: &dyn Array, row: usize) -> Result<Option<String>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let inner = |column: &dyn Array, row: usize| -> Result<String> {
        Ok(spark_text(column, row)?.unwrap_or_else(|| "NULL".into()))
    };
    let all = |column: &dyn Array| -> Result<Vec<String>> {
        (0..column.len()).map(|row| inner(column, row)).collect()
    };
    Ok(Some(match column.data_type() {
        DataType::Struct(_) => {
            let fields = column.as_struct().columns().iter();
            let fields = fields.map(|field| inner(field.as_ref(), row)).collect::<Result<Vec<_>>>()?;
            format!("{{{}}}", fields.join(", "))
        }
        DataType::List(_) => format!("[{}]", all(column.as_list::<i32>().value(row).as_ref())?.join(", ")),
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (all(entries.column(0).as_ref())?, all(entries.column(1).as_ref())?);
            let entries: Vec<String> =
                keys.iter().zip(values).map(|(key, value)| format!("{key} -> {value}")).collect();
            format!("{{{}}}", entries.join(", "))
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>().value(row).iter().map(|byte| format!("{byte:02X}"));
            format!("[{}]", bytes.collect::<Vec<_>>().join(" "))
        }
        DataType::Float64 => {
            let number = column.as_primitive::<Float64Type>().value(row);
            java_number(number, &format!("{number:e}"))
        }
        DataType::Float32 => {
            let number = column.as_primitive::<Float32Type>().value(row);
            java_number(f64::from(number), &format!("{number:e}"))
        }
        data_type => {
            let wrong = |e: arrow::error::ArrowError| Error::Row(format!("a value cannot be shown: {e}"));
            let options = options("NULL");
            let formatter = ArrayFormatter::try_new(column, &options).map_err(wrong)?;
            let text = formatter.value(row).try_to_string().map_err(wrong)?;
            let is_fraction = matches!(data_type, DataType::Timestamp(..)) && text.contains('.');
            if is_fraction { text.trim_end_matches('0').to_owned() } else { text }
        }
    }))
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

/// The lines of a table with `rows_max` rows at most, as Spark's `show` draws it. Values of more than `cut_at` characters are cut, and
/// stand on the right.
///
/// # Errors
/// If a value cannot be shown.
pub fn table(rows: &RecordBatch, rows_max: usize, cut_at: Option<usize>) -> Result<Vec<String>> {
    let shown = rows.slice(0, rows.num_rows().min(rows_max));
    let mut columns = vec![];
    for cells in cells(&shown, cut_at)? {
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0).max(WIDTH_MIN);
        columns.push((cells, width));
    }
    let border: String =
        columns.iter().map(|(_, width)| format!("+{}", "-".repeat(*width))).chain(["+".into()]).collect();
    let line = |row: usize| -> String {
        let cell = |(cells, width): &(Vec<String>, usize)| {
            let cell = &cells[row];
            if cut_at.is_some() { format!("|{cell:>width$}") } else { format!("|{cell:<width$}") }
        };
        columns.iter().map(cell).chain(["|".into()]).collect()
    };
    let mut lines = vec![border.clone(), line(0), border.clone()];
    lines.extend((1..=shown.num_rows()).map(line));
    lines.push(border);
    lines.extend(rest(rows, rows_max));
    Ok(lines)
}

/// What is said of the rows that are not shown.
fn rest(rows: &RecordBatch, rows_max: usize) -> Option<String> {
    let rows_are = if rows_max == 1 { "row" } else { "rows" };
    (rows.num_rows() > rows_max).then(|| format!("only showing top {rows_max} {rows_are}"))
}

/// The texts of each column: its name, then its values.
fn cells(rows: &RecordBatch, cut_at: Option<usize>) -> Result<Vec<Vec<String>>> {
    let mut columns = vec![];
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let mut cells = vec![cut(field.name(), cut_at)];
        for row in 0..column.len() {
            cells.push(cut(&spark_text(column.as_ref(), row)?.unwrap_or_else(|| "NULL".into()), cut_at));
        }
        columns.push(cells);
    }
    Ok(columns)
}

/// The same with a line for each value, as Spark's `show` draws it if it is vertical.
///
/// # Errors
/// If a value cannot be shown.
pub fn records(rows: &RecordBatch, rows_max: usize, cut_at: Option<usize>) -> Result<Vec<String>> {
    let shown = rows.slice(0, rows.num_rows().min(rows_max));
    let columns = cells(&shown, cut_at)?;
    let width = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let names = columns.iter().map(|cells| width(&cells[..1])).max().unwrap_or(0).max(WIDTH_MIN);
    let values = columns.iter().map(|cells| width(&cells[1..])).max().unwrap_or(0).max(WIDTH_MIN);
    let mut lines = vec![];
    for row in 0..shown.num_rows() {
        lines.push(format!("{:-<width$}", format!("-RECORD {row}"), width = names + values + 5));
        let line = |cells: &Vec<String>| format!(" {:<names$} | {:<values$} ", cells[0], cells[row + 1]);
        lines.extend(columns.iter().map(line));
    }
    if shown.num_rows() == 0 {
        lines.push("(0 rows)".to_owned());
    }
    lines.extend(rest(rows, rows_max));
    Ok(lines)
}

fn cut(value: &str, cut_at: Option<usize>) -> String {
    // A line break would break the table.
    let value = value.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    match cut_at {
        Some(most) if value.chars().count() > most && most < 4 => value.chars().take(most).collect(),
        Some(most) if value.chars().count() > most => {
            value.chars().take(most - 3).chain("...".chars()).collect()
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, Int64Array, ListArray, StringArray, StructArray, TimestampMillisecondArray,
    };
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
        assert_eq!(table(&rows(), 20, Some(CUT_AT)).unwrap().join("\n"), expected);
        let expected = "\
+----+---+
|word|n  |
+----+---+
|tea |3  |
+----+---+
only showing top 1 row";
        assert_eq!(table(&rows(), 1, None).unwrap().join("\n"), expected);
    }

    #[test]
    fn records_are_as_spark_draws_them() {
        let expected = [
            "-RECORD 0-----",
            " word | tea   ",
            " n    | 3     ",
            "-RECORD 1-----",
            " word | NULL  ",
            " n    | 12345 ",
            "only showing top 2 rows",
        ];
        assert_eq!(records(&rows(), 2, Some(CUT_AT)).unwrap(), expected);
        assert_eq!(records(&rows().slice(0, 0), 2, None).unwrap(), ["(0 rows)"]);
    }

    #[test]
    fn nested_values_are_as_spark_writes_them() {
        let ends: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(1_500), None]));
        let window =
            StructArray::try_from(vec![("start", ends), ("n", Arc::new(Int64Array::from(vec![1, 2])) as _)]);
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0), None]), None]);
        let bytes = BinaryArray::from(vec![Some(&b"Az"[..]), None]);
        let rows = RecordBatch::try_from_iter([
            ("window", Arc::new(window.unwrap()) as ArrayRef),
            ("list", Arc::new(lists) as _),
            ("bytes", Arc::new(bytes) as _),
        ]);
        let lines = table(&rows.unwrap(), 20, None).unwrap();
        assert_eq!(lines[3], "|{1970-01-01 00:00:01.5, 1}|[1.0, NULL]|[41 7A]|");
        assert_eq!(lines[4], "|{NULL, 2}                 |NULL       |NULL   |");
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
