//! CSV to columns, by the columns that are wanted.
//!
//! Owns what a record must look like. Knows no topic and no file. Invariants: a record that has not a field for each column, or a field that is
//! no value of its column, changes no column; the reason names field and byte.
//!
//! - Fields are in the order of the columns, with a comma or another character between them; a record is one line.
//! - A field may stand in quotes: then it may hold the delimiter, and a quote that is written twice.
//! - A field that is empty, or is what `null` says, and stands in no quotes, is NULL; `""` is an empty string.
//! - Spaces around numbers, booleans, dates and times are passed over. Numbers, dates, times and byte strings are as in JSON; numbers may also have a
//!   plus or leading zeros, and floats be `NaN`, `Infinity` or `-Infinity`.
//! - `ARRAY`, `ROW` and `MAP` have no form in CSV.

use super::{
    fault::Fault,
    json::{BASE64, decimal_of},
    time::{of_ms, read_date, read_timestamp},
};
use crate::{
    error::Result,
    sql::{
        plan,
        rows::{ColumnBuilder, Store, type_name},
    },
};
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, TimeUnit},
};
use base64::Engine;
use std::str::FromStr;

/// How fields are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Stands between fields: one byte of ASCII.
    pub delimiter: u8,
    /// Stands around fields; `None` = quotes mean nothing.
    pub quote: Option<u8>,
    /// What stands for NULL, without quotes.
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { delimiter: b',', quote: Some(b'"'), null: String::new() }
    }
}

/// A field of a record, between its quotes if it has any.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    end: usize,
    is_quoted: bool,
    /// Whether a quote in it is written twice.
    has_doubled: bool,
}

/// Reads records of CSV into columns.
pub struct CsvReader {
    options: CsvOptions,
    /// The names of all fields of a record, in order.
    names: Vec<String>,
    /// The fields that are wanted, each with its place in a record.
    wanted: Vec<(usize, Field)>,
}

impl CsvReader {
    /// Looks for the fields `wanted` in records of the fields `names`; one that is not nullable must not be NULL.
    ///
    /// ```
    /// use arrow::datatypes::{DataType, Field};
    /// use tidegate::sql::format::{CsvOptions, CsvReader};
    /// let names = ["user", "page", "price"].map(str::to_owned);
    /// let wanted = [Field::new("price", DataType::Float64, true)];
    /// let mut rows = CsvReader::new(CsvOptions::default(), names, wanted).unwrap().rows(2).unwrap();
    /// rows.read(b"ada,\"a, \"\"b\"\"\",9.5").unwrap();
    /// assert_eq!(rows.read(b"bob,c,dear").unwrap_err(), "field `price` at byte 6: \"dear\" is no number");
    /// assert_eq!(rows.finish().unwrap()[0].len(), 1);
    /// ```
    ///
    /// # Errors
    /// Why CSV cannot give one of them.
    pub fn new(
        options: CsvOptions,
        names: impl IntoIterator<Item = String>,
        wanted: impl IntoIterator<Item = Field>,
    ) -> Result<Self, String> {
        let names: Vec<String> = names.into_iter().collect();
        let place = |field: Field| {
            let place = names.iter().position(|name| name == field.name());
            let place =
                place.ok_or_else(|| format!("column `{}` is no field of the record", field.name()))?;
            check(&field)?;
            Ok((place, field))
        };
        let wanted = wanted.into_iter().map(place).collect::<Result<Vec<_>, String>>()?;
        Ok(CsvReader { options, names, wanted })
    }

    /// Empty columns with room for `rows` rows.
    ///
    /// # Errors
    /// None that `new` has not told before.
    pub fn rows(&self, rows: usize) -> Result<CsvRows> {
        let column = |(_, field): &(usize, Field)| ColumnBuilder::new(field.data_type(), rows);
        let columns = self.wanted.iter().map(column).collect::<Result<_>>()?;
        let (options, names, wanted) = (self.options.clone(), self.names.clone(), self.wanted.clone());
        Ok(CsvRows { options, names, wanted, columns, parts: vec![], text: vec![], rows: 0 })
    }
}

/// Whether values of a type are a field of CSV.
pub(super) fn check(field: &Field) -> Result<(), String> {
    let is_scalar = !matches!(field.data_type(), DataType::List(_) | DataType::Struct(_) | DataType::Map(..));
    if is_scalar && type_name(field.data_type()).is_some() {
        return Ok(());
    }
    let is = plan::type_name(field.data_type());
    Err(format!("column `{}`: CSV has no form for values of type {is}", field.name()))
}

/// Columns that are filled record by record.
pub struct CsvRows {
    options: CsvOptions,
    names: Vec<String>,
    wanted: Vec<(usize, Field)>,
    columns: Vec<ColumnBuilder>,
    parts: Vec<Part>,
    text: Vec<u8>,
    rows: usize,
}

impl CsvRows {
    /// Appends the row that a record is.
    ///
    /// # Errors
    /// Why it is none; nothing is appended then.
    pub fn read(&mut self, record: &[u8]) -> Result<(), String> {
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        match self.record(record) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(fault) => {
                self.truncate(self.rows);
                Err(fault.into_reason())
            }
        }
    }

    /// Appends a row of NULLs, also where the columns are `NOT NULL`.
    pub fn push_null(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::push_null);
        self.rows += 1;
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// The columns of all rows; there are none then.
    ///
    /// # Errors
    /// If they do not fit their types, which is a bug.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }

    fn record(&mut self, record: &[u8]) -> Result<(), Fault> {
        split(record, &self.options, &mut self.parts)?;
        if self.parts.len() != self.names.len() {
            let (expected, found) = (self.names.len(), self.parts.len());
            let fields = if expected == 1 { "field" } else { "fields" };
            return Err(Fault::at(record.len(), format!("expected {expected} {fields}, found {found}")));
        }
        for ((place, field), column) in self.wanted.iter().zip(&mut self.columns) {
            let part = self.parts[*place];
            let value = &record[part.start..part.end];
            let filled = if !part.is_quoted && value == self.options.null.as_bytes() {
                if field.is_nullable() {
                    column.push_null();
                    continue;
                }
                Err("it is NULL, and its column is NOT NULL".into())
            } else if part.has_doubled {
                self.text.clear();
                undouble(value, self.options.quote, &mut self.text);
                fill(&self.text, column)
            } else {
                fill(value, column)
            };
            filled.map_err(|reason| Fault::at(part.start, reason).within(&self.names[*place]))?;
        }
        Ok(())
    }
}

/// The fields of a record as texts, such as the names in a heading.
///
/// ```
/// use tidegate::sql::format::{CsvOptions, csv_fields};
/// assert_eq!(csv_fields(b"id,\"a, \"\"b\"\"\"", &CsvOptions::default()).unwrap(), ["id", "a, \"b\""]);
/// ```
///
/// # Errors
/// If a quoted field does not end in its line, or something stands behind it.
pub fn csv_fields(record: &[u8], options: &CsvOptions) -> Result<Vec<String>, String> {
    let mut parts = vec![];
    split(record, options, &mut parts).map_err(Fault::into_reason)?;
    let field = |part: &Part| {
        let mut text = vec![];
        let value = &record[part.start..part.end];
        if part.has_doubled {
            undouble(value, options.quote, &mut text);
        } else {
            text.extend(value);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    Ok(parts.iter().map(field).collect())
}

/// The fields of a record.
fn split(record: &[u8], options: &CsvOptions, parts: &mut Vec<Part>) -> Result<(), Fault> {
    parts.clear();
    let mut at = 0;
    loop {
        let is_quoted = options.quote.is_some() && record.get(at).copied() == options.quote;
        let part = if is_quoted { quoted(record, at, options)? } else { plain(record, at, options) };
        parts.push(part);
        at = part.end + usize::from(is_quoted);
        match record.get(at) {
            None => return Ok(()),
            Some(byte) if *byte == options.delimiter => at += 1,
            Some(byte) => {
                let delimiter = char::from(options.delimiter).escape_default();
                let found = byte.escape_ascii();
                let what =
                    format!("expected `{delimiter}` or the end behind a quoted field, found `{found}`");
                return Err(Fault::at(at, what));
            }
        }
    }
}

fn plain(record: &[u8], start: usize, options: &CsvOptions) -> Part {
    let length = record[start..].iter().position(|byte| *byte == options.delimiter);
    let end = length.map_or(record.len(), |length| start + length);
    Part { start, end, is_quoted: false, has_doubled: false }
}

/// The field whose quote stands at `at`.
fn quoted(record: &[u8], at: usize, options: &CsvOptions) -> Result<Part, Fault> {
    let (start, mut has_doubled) = (at + 1, false);
    let mut end = start;
    loop {
        let next = record[end..].iter().position(|byte| Some(*byte) == options.quote);
        let Some(next) = next else {
            return Err(Fault::at(at, "a quoted field does not end in its line"));
        };
        end += next;
        if record.get(end + 1).copied() != options.quote {
            return Ok(Part { start, end, is_quoted: true, has_doubled });
        }
        has_doubled = true;
        end += 2;
    }
}

fn undouble(value: &[u8], quote: Option<u8>, out: &mut Vec<u8>) {
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if Some(*byte) == quote {
            bytes.next();
        }
    }
}

/// Appends the value that a text is.
///
/// # Errors
/// Why it is none; the column must then be cut back.
pub(in crate::sql) fn fill(text: &[u8], column: &mut ColumnBuilder) -> Result<(), String> {
    let data_type = column.data_type().clone();
    let trimmed = text.trim_ascii();
    match (&mut column.store, &data_type) {
        (Store::Boolean(cells), _) => cells.push(boolean(trimmed)?),
        (Store::Integer(cells), data_type) => cells.push(integer(trimmed, data_type)?),
        (Store::Float32(cells), _) => cells.push(float(trimmed, f32::is_infinite)?),
        (Store::Float64(cells), _) => cells.push(float(trimmed, f64::is_infinite)?),
        (Store::Decimal(cells), DataType::Decimal128(precision, scale)) => {
            cells.push(decimal_of(trimmed, *precision, *scale)?);
        }
        (Store::Bytes(_, bytes), DataType::Utf8) => {
            std::str::from_utf8(text)
                .map_err(|e| format!("it is not UTF-8 at byte {} of the field", e.valid_up_to()))?;
            bytes.extend_from_slice(text);
        }
        (Store::Bytes(_, bytes), _) => {
            BASE64.decode_vec(trimmed, bytes).map_err(|e| format!("it is no base64: {e}"))?;
        }
        _ => return Err("bug: the column has another type".into()),
    }
    column.end_cell().map_err(|e| e.to_string())
}

fn shown(text: &[u8], what: &str) -> String {
    let short = &text[..text.len().min(48)];
    format!("\"{}{}\" {what}", short.escape_ascii(), if short.len() < text.len() { ".." } else { "" })
}

fn boolean(text: &[u8]) -> Result<bool, String> {
    if text.eq_ignore_ascii_case(b"true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Ok(false)
    } else {
        Err(shown(text, "is neither true nor false"))
    }
}

fn parsed<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The 64 bits of an integer, a date or a time.
fn integer(text: &[u8], data_type: &DataType) -> Result<u64, String> {
    fn signed<T: FromStr + Into<i64>>(text: &[u8]) -> Result<u64, String> {
        let value: Option<T> = parsed(text);
        value.map(|value| value.into().cast_unsigned()).ok_or_else(|| no_integer(text, size_of::<T>()))
    }
    fn unsigned<T: FromStr + Into<u64>>(text: &[u8]) -> Result<u64, String> {
        let value: Option<T> = parsed(text);
        value.map(Into::into).ok_or_else(|| no_integer(text, size_of::<T>()))
    }
    match data_type {
        DataType::Int8 => signed::<i8>(text),
        DataType::Int16 => signed::<i16>(text),
        DataType::Int32 => signed::<i32>(text),
        DataType::Int64 => signed::<i64>(text),
        DataType::UInt8 => unsigned::<u8>(text),
        DataType::UInt16 => unsigned::<u16>(text),
        DataType::UInt32 => unsigned::<u32>(text),
        DataType::UInt64 => unsigned::<u64>(text),
        DataType::Date32 => {
            let days = read_date(text).map_err(|reason| shown(text, reason))?;
            Ok(i64::from(days).cast_unsigned())
        }
        DataType::Timestamp(unit, _) => time(text, *unit).map(i64::cast_unsigned),
        _ => Err("bug: the column has another type".into()),
    }
}

#[cold]
fn no_integer(text: &[u8], bytes: usize) -> String {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        return shown(text, &format!("is out of the range of an integer of {} bits", 8 * bytes));
    }
    shown(text, "is no integer")
}

fn float<T: FromStr + Copy>(text: &[u8], is_infinite: fn(T) -> bool) -> Result<T, String> {
    let value: T = parsed(text).ok_or_else(|| shown(text, "is no number"))?;
    if is_infinite(value) && text.iter().any(u8::is_ascii_digit) {
        return Err(shown(text, "is too large"));
    }
    Ok(value)
}

/// A time in ISO 8601, or in milliseconds.
fn time(text: &[u8], unit: TimeUnit) -> Result<i64, String> {
    if let Some(ms) = parsed::<i64>(text) {
        return of_ms(ms, unit).ok_or_else(|| shown(text, "ms is a time too far away for its unit"));
    }
    read_timestamp(text, unit).map_err(|reason| shown(text, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{array::RecordBatch, util::display::array_value_to_string};
    use std::sync::Arc;

    fn read(options: CsvOptions, data_type: DataType, record: &str) -> Result<String, String> {
        let field = Field::new("x", data_type, true);
        let names = ["a", "x"].map(str::to_owned);
        let mut rows = CsvReader::new(options, names, [field]).unwrap().rows(1).unwrap();
        rows.read(record.as_bytes())?;
        let column = rows.finish().unwrap().remove(0);
        Ok(if arrow::array::Array::is_null(&column, 0) {
            "NULL".into()
        } else {
            array_value_to_string(&column, 0).unwrap()
        })
    }

    fn default(data_type: DataType, record: &str) -> Result<String, String> {
        read(CsvOptions::default(), data_type, record)
    }

    #[test]
    fn a_field_is_a_value_of_its_type_or_the_reason_is_told() {
        let decimal = DataType::Decimal128(10, 2);
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        for (data_type, record, expected) in [
            (DataType::Int32, "1, +07 ", "7"),
            (DataType::Int64, "1,-9223372036854775808", "-9223372036854775808"),
            (DataType::Boolean, "1,TRUE", "true"),
            (DataType::Float64, "1,-1.5e3", "-1500.0"),
            (DataType::Float64, "1,NaN", "NaN"),
            (DataType::Float64, "1,-Infinity", "-inf"),
            (decimal.clone(), "1,+0012.5", "12.50"),
            (decimal.clone(), "1,0", "0.00"),
            (decimal.clone(), "1,-00.25", "-0.25"),
            (DataType::Date32, "1,2026-11-29", "2026-11-29"),
            (time.clone(), "1,2026-11-29 20:35:00.5", "2026-11-29T20:35:00.500"),
            (time.clone(), "1,1500", "1970-01-01T00:00:01.500"),
            (DataType::Utf8, "1, tide ", " tide "),
            (DataType::Utf8, "1,ti\"de", "ti\"de"),
            (DataType::Utf8, "\"a,\"\"b\"\"\",\"say \"\"hi\"\", you\"\r\n", "say \"hi\", you"),
            (DataType::Utf8, "1,", "NULL"),
            (DataType::Utf8, "1,\"\"", ""),
            (DataType::Int64, "1,", "NULL"),
            (DataType::Binary, "1,AAE=", "0001"),
        ] {
            assert_eq!(default(data_type, record).unwrap(), expected, "{record}");
        }
        for (data_type, record, reason) in [
            (
                DataType::Int32,
                "1,2147483648",
                "field `x` at byte 2: \"2147483648\" is out of the range of an integer of 32 bits",
            ),
            (DataType::Int32, "1,1.5", "field `x` at byte 2: \"1.5\" is no integer"),
            (DataType::Int32, "1,\"\"", "field `x` at byte 3: \"\" is no integer"),
            (DataType::Float32, "1,1e99", "field `x` at byte 2: \"1e99\" is too large"),
            (
                decimal.clone(),
                "1,1.255",
                "field `x` at byte 2: 1.255 cannot be written exactly as DECIMAL(10,2)",
            ),
            (decimal, "1,much", "field `x` at byte 2: \"much\" is no number"),
            (DataType::Boolean, "1,yes", "field `x` at byte 2: \"yes\" is neither true nor false"),
            (
                DataType::Date32,
                "1,2026-02-30",
                "field `x` at byte 2: \"2026-02-30\" is a day that the calendar does not have",
            ),
            (time, "1,noon", "field `x` at byte 2: \"noon\" is no date such as 2026-11-29"),
            (DataType::Utf8, "1", "at byte 1: expected 2 fields, found 1"),
            (DataType::Utf8, "1,2,3", "at byte 5: expected 2 fields, found 3"),
            (DataType::Utf8, "1,\"a", "at byte 2: a quoted field does not end in its line"),
            (
                DataType::Utf8,
                "1,\"a\"b",
                "at byte 5: expected `,` or the end behind a quoted field, found `b`",
            ),
        ] {
            assert_eq!(default(data_type, record).unwrap_err(), reason, "{record}");
        }
    }

    #[test]
    fn delimiter_quote_and_null_can_be_others() {
        let options = CsvOptions { delimiter: b';', quote: Some(b'\''), null: "n/a".into() };
        let text = |record| read(options.clone(), DataType::Utf8, record).unwrap();
        assert_eq!([text("1;n/a"), text("1;'n/a'"), text("1;'a;b'"), text("1;")], ["NULL", "n/a", "a;b", ""]);
        let unquoted = CsvOptions { quote: None, ..CsvOptions::default() };
        assert_eq!(read(unquoted, DataType::Utf8, "1,\"a\"").unwrap(), "\"a\"");
    }

    #[test]
    fn a_bad_record_leaves_the_others_as_they_are() {
        let fields = [Field::new("n", DataType::Int64, false), Field::new("s", DataType::Utf8, true)];
        let names = ["n", "s"].map(str::to_owned);
        let mut rows = CsvReader::new(CsvOptions::default(), names, fields.clone()).unwrap().rows(4).unwrap();
        rows.read(b"1,a").unwrap();
        assert_eq!(
            rows.read(b",b").unwrap_err(),
            "field `n` at byte 0: it is NULL, and its column is NOT NULL"
        );
        assert_eq!(
            rows.read(b"2,\xff").unwrap_err(),
            "field `s` at byte 2: it is not UTF-8 at byte 0 of the field"
        );
        rows.read(b"3,c").unwrap();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.to_vec()));
        let batch = RecordBatch::try_new(schema, rows.finish().unwrap()).unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(array_value_to_string(batch.column(1), 1).unwrap(), "c");
    }

    #[test]
    fn nested_types_are_refused() {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let list = Field::new("x", DataType::List(item), true);
        let refused = CsvReader::new(CsvOptions::default(), ["x".to_owned()], [list]).err().unwrap();
        assert!(
            refused.starts_with("column `x`: CSV has no form for values of type ARRAY<BIGINT>"),
            "{refused}"
        );
    }
}
