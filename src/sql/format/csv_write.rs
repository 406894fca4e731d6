//! Columns to CSV: a line for each row, without its end.
//!
//! Owns the text of fields. Knows no topic and no file. Invariants: what is written is read back by [`CsvReader`](super::CsvReader) with the same
//! options as it was; a value that CSV has no form for is an error of its row.
//!
//! - A text stands in quotes where it would mean something else without them: it is empty, it is what stands for NULL, or it holds the delimiter, a
//!   quote or a line break.
//! - Numbers, dates, times and byte strings are as in JSON, without quotes; NaN and infinity are `NaN`, `Infinity` and `-Infinity`.

use super::{
    csv::{CsvOptions, check},
    json_write::{put_decimal, put_plain},
    time::{is_writable, write_date, write_timestamp},
};
use crate::{
    error::{Error, Result},
    sql::rows::{CellColumn, Cells, range},
};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema, TimeUnit},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Writes some columns of rows as lines.
#[derive(Clone, Debug)]
pub struct CsvWriter {
    options: CsvOptions,
    columns: Vec<usize>,
    names: Vec<String>,
    plans: Vec<Plan>,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Numbers and booleans.
    Plain,
    Text,
    Base64,
    Date,
    Timestamp(TimeUnit),
    Decimal(i8),
}

impl CsvWriter {
    /// Writes these columns of rows of a schema.
    ///
    /// # Errors
    /// Why CSV has no form for one of them.
    pub fn new(
        options: CsvOptions,
        schema: &Schema,
        columns: impl IntoIterator<Item = usize>,
    ) -> Result<Self, String> {
        let columns: Vec<_> = columns.into_iter().collect();
        let (mut names, mut plans) = (vec![], vec![]);
        for column in &columns {
            let field = schema.field(*column);
            check(field)?;
            names.push(field.name().clone());
            plans.push(match field.data_type() {
                DataType::Utf8 => Plan::Text,
                DataType::Binary => Plan::Base64,
                DataType::Date32 => Plan::Date,
                DataType::Timestamp(unit, _) => Plan::Timestamp(*unit),
                DataType::Decimal128(_, scale) => Plan::Decimal(*scale),
                _ => Plan::Plain,
            });
        }
        Ok(CsvWriter { options, columns, names, plans })
    }

    /// Ready to write the rows of a batch.
    ///
    /// # Errors
    /// If it is not of the schema.
    pub fn encoder<'a>(&'a self, rows: &'a RecordBatch) -> Result<CsvEncoder<'a>> {
        let cells = |column: &usize| match rows.columns().get(*column) {
            Some(array) => CellColumn::of(array),
            None => Err(Error::Codec(format!("rows have no column {column}"))),
        };
        Ok(CsvEncoder { writer: self, cells: self.columns.iter().map(cells).collect::<Result<_>>()? })
    }
}

/// Writes the rows of a batch.
pub struct CsvEncoder<'a> {
    writer: &'a CsvWriter,
    cells: Vec<CellColumn<'a>>,
}

impl CsvEncoder<'_> {
    /// Appends the value of one of the columns, without quotes; `false` = it is NULL.
    ///
    /// # Errors
    /// Why it has no text; what was appended must then be ignored.
    ///
    /// # Panics
    /// If there are fewer rows or columns: a bug of the caller.
    pub fn value(&self, column: usize, row: usize, out: &mut Vec<u8>) -> Result<bool, String> {
        put_value(self.writer.plans[column], &self.cells[column], row, out)
    }

    /// Appends the line of a row.
    ///
    /// # Errors
    /// Why it has none; nothing is appended then.
    ///
    /// # Panics
    /// If there are fewer rows: a bug of the caller.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        let CsvWriter { options, names, plans, .. } = self.writer;
        for (index, ((name, plan), cells)) in names.iter().zip(plans).zip(&self.cells).enumerate() {
            if index > 0 {
                out.push(options.delimiter);
            }
            if let Err(reason) = put(*plan, cells, row, options, out) {
                out.truncate(start);
                return Err(format!("{name}: {reason}"));
            }
        }
        Ok(())
    }
}

/// Appends a value, in quotes if it needs them.
fn put(
    plan: Plan,
    column: &CellColumn<'_>,
    row: usize,
    options: &CsvOptions,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let start = out.len();
    if !put_value(plan, column, row, out)? {
        out.extend_from_slice(options.null.as_bytes());
        return Ok(());
    }
    let is_special = |byte: &u8| {
        *byte == options.delimiter || Some(*byte) == options.quote || matches!(byte, b'\n' | b'\r')
    };
    let written = &out[start..];
    if written.is_empty() || written == options.null.as_bytes() || written.iter().any(is_special) {
        let written = written.to_vec();
        out.truncate(start);
        return put_quoted(&written, options, out);
    }
    Ok(())
}

/// Appends a value as it is; `false` = it is NULL.
fn put_value(plan: Plan, column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) -> Result<bool, String> {
    if column.is_null(row) {
        return Ok(false);
    }
    match (&column.cells, plan) {
        (Cells::Bytes(offsets, bytes), Plan::Text) => out.extend_from_slice(&bytes[range(offsets, row)]),
        (Cells::Bytes(offsets, bytes), _) => {
            out.extend_from_slice(STANDARD.encode(&bytes[range(offsets, row)]).as_bytes());
        }
        (Cells::Int32(days), Plan::Date) => {
            let days = i64::from(days[row]);
            if !is_writable(days) {
                return Err(format!("the date {days} days from 1970 is too far away to be written"));
            }
            write_date(days, out);
        }
        (Cells::Int64(times), Plan::Timestamp(unit)) => {
            write_timestamp(times[row], unit, out).map_err(|reason| format!("{} {reason}", times[row]))?;
        }
        (Cells::Decimal(cells), Plan::Decimal(scale)) => put_decimal(cells[row], scale, out),
        (Cells::Float32(cells), _) if !cells[row].is_finite() => put_not_finite(f64::from(cells[row]), out),
        (Cells::Float64(cells), _) if !cells[row].is_finite() => put_not_finite(cells[row], out),
        (cells, _) => put_plain(cells, row, out)?,
    }
    Ok(true)
}

fn put_not_finite(value: f64, out: &mut Vec<u8>) {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    out.extend_from_slice(text.as_bytes());
}

fn put_quoted(text: &[u8], options: &CsvOptions, out: &mut Vec<u8>) -> Result<(), String> {
    let Some(quote) = options.quote else {
        if text.is_empty() && !options.null.is_empty() {
            return Ok(());
        }
        let shown = &text[..text.len().min(48)];
        return Err(format!("\"{}\" cannot be written without quotes", shown.escape_ascii()));
    };
    out.push(quote);
    for byte in text {
        out.push(*byte);
        if *byte == quote {
            out.push(quote);
        }
    }
    out.push(quote);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{
        format::CsvReader,
        rows::samples::{For, Samples},
    };
    use arrow::{
        array::{ArrayRef, Float64Array, StringArray},
        datatypes::Field,
    };
    use std::sync::Arc;

    fn lines(options: &CsvOptions, rows: &RecordBatch) -> Result<Vec<String>, String> {
        let writer = CsvWriter::new(options.clone(), &rows.schema(), 0..rows.num_columns()).unwrap();
        let encoder = writer.encoder(rows).unwrap();
        let line = |row| {
            let mut out = vec![];
            encoder.encode(row, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        (0..rows.num_rows()).map(line).collect()
    }

    fn read(options: &CsvOptions, like: &RecordBatch, lines: &[String]) -> RecordBatch {
        let fields: Vec<_> = like.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let names: Vec<_> = fields.iter().map(|field| field.name().clone()).collect();
        let mut rows = CsvReader::new(options.clone(), names, fields).unwrap().rows(lines.len()).unwrap();
        for line in lines {
            rows.read(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        RecordBatch::try_new(like.schema(), rows.finish().unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let texts = StringArray::from(vec![
            None,
            Some(""),
            Some("a,b"),
            Some("say \"hi\""),
            Some("two\nlines"),
            Some("n/a"),
            Some("it's;ok"),
        ]);
        let numbers = Float64Array::from(vec![
            Some(1.5),
            None,
            Some(f64::NAN),
            Some(f64::NEG_INFINITY),
            Some(0.1),
            Some(-0.0),
            None,
        ]);
        let rows =
            RecordBatch::try_from_iter([("s", Arc::new(texts) as ArrayRef), ("x", Arc::new(numbers) as _)])
                .unwrap();
        for options in [
            CsvOptions::default(),
            CsvOptions { delimiter: b';', quote: Some(b'\''), null: "n/a".into() },
            CsvOptions { delimiter: b'.', quote: Some(b'"'), null: "NaN".into() },
        ] {
            let lines = lines(&options, &rows).unwrap();
            let back = read(&options, &rows, &lines);
            assert_eq!(format!("{back:?}"), format!("{rows:?}"), "{lines:?}");
        }
        let default = lines(&CsvOptions::default(), &rows).unwrap();
        assert_eq!(default[..4], [",1.5", "\"\",", "\"a,b\",NaN", "\"say \"\"hi\"\"\",-Infinity"]);
        let unquoted = CsvOptions { quote: None, ..CsvOptions::default() };
        assert_eq!(lines(&unquoted, &rows).unwrap_err(), "s: \"\" cannot be written without quotes");
    }

    #[test]
    fn values_of_all_scalar_types_come_back() {
        let mut samples = Samples::new(7, For::Json);
        let mut seen = 0;
        for _ in 0..2_000 {
            let columns: Vec<_> = (0..3).map(|_| samples.data_type(0)).collect();
            let fields: Vec<_> =
                (0..).zip(&columns).map(|(at, of)| Field::new(format!("c{at}"), of.clone(), true)).collect();
            let columns = columns.iter().map(|of| samples.column(of, 3)).collect();
            let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
            // A time may be too far away to be written.
            let Ok(lines) = lines(&CsvOptions::default(), &rows) else { continue };
            let back = read(&CsvOptions::default(), &rows, &lines);
            assert_eq!(format!("{back:?}"), format!("{rows:?}"), "{lines:?}");
            seen += 1;
        }
        assert!(seen > 1_000, "{seen}");
    }
}
