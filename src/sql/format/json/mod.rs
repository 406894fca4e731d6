//! JSON to columns, one pass, by the columns that are wanted.
//!
//! Owns what a record must look like. Knows no topic. Invariants: a record that is not an object with the wanted fields changes no column;
//! the reason names field and byte.
//!
//! - A field that is missing is NULL, and so is `null`; both are refused where the column is `NOT NULL`. Fields that no column asks for are
//!   passed over; they have to be JSON, but may come twice. A wanted field that comes twice is refused.
//! - Names are compared letter by letter.
//! - Integers have no point and no exponent, and are in range. Decimals are exact: `1.25` is no `DECIMAL(10, 1)`. A number is never read
//!   from a string, nor a string from a number.
//! - Timestamps are ISO 8601, with `T` or a space, with a zone or in UTC; or an integer, in milliseconds. Dates are `2026-11-29`. Byte strings are
//!   base64.
//! - `ROW` is an object, `ARRAY` an array, `MAP` an object whose fields are the entries.

#[cfg(test)]
mod measure;
mod number;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

use super::{
    fault::Fault,
    time::{of_ms, read_date, read_timestamp},
};
use crate::{
    error::Result,
    sql::rows::{ColumnBuilder, Store},
};
use arrow::{
    array::ArrayRef,
    datatypes::{Field, TimeUnit},
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use scan::{Cursor, RawString};
use shape::{Kind, Object, Shape};

/// With or without padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads records of JSON into columns.
pub struct JsonReader {
    object: Object,
    fields: Vec<Field>,
}

impl JsonReader {
    /// Looks for these fields; one that is not nullable must be there.
    ///
    /// ```
    /// use arrow::datatypes::{DataType, Field};
    /// use tidegate::sql::format::JsonReader;
    /// let fields = [Field::new("user", DataType::Utf8, false), Field::new("price", DataType::Float64, true)];
    /// let mut rows = JsonReader::new(fields).unwrap().rows(2).unwrap();
    /// rows.read(br#"{"price": 9.5, "page": [1, 2], "user": "ada"}"#).unwrap();
    /// let reason = rows.read(br#"{"user": "bob", "price": "9"}"#).unwrap_err();
    /// assert_eq!(reason, "field `price` at byte 25: expected a number, found a string");
    /// assert_eq!(rows.finish().unwrap()[0].len(), 1);
    /// ```
    ///
    /// # Errors
    /// Why JSON cannot give one of them.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Result<Self, String> {
        let fields: Vec<_> = fields.into_iter().collect();
        Ok(JsonReader { object: Object::new(&fields)?, fields })
    }

    /// Empty columns with room for `rows` rows.
    ///
    /// # Errors
    /// None that `new` has not told before.
    pub fn rows(&self, rows: usize) -> Result<JsonRows> {
        let column = |field: &Field| ColumnBuilder::new(field.data_type(), rows);
        let columns = self.fields.iter().map(column).collect::<Result<_>>()?;
        Ok(JsonRows { object: self.object.clone(), columns, rows: 0 })
    }
}

/// A decimal as CSV has it: also with a plus, or with leading zeros.
///
/// # Errors
/// Why it is none of so many digits.
pub(super) fn decimal_of(text: &[u8], precision: u8, scale: i8) -> Result<i128, String> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    let is_after_zeros = digits.get(zeros).is_some_and(u8::is_ascii_digit);
    let mut cursor =
        Cursor { bytes: &digits[if is_after_zeros { zeros } else { zeros.saturating_sub(1) }..], at: 0 };
    let number =
        if cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) { cursor.number().ok() } else { None };
    match number {
        Some(number) if cursor.at == cursor.bytes.len() => {
            number.decimal(precision, scale).map(|value| sign * value).map_err(Fault::into_message)
        }
        _ => Err(format!("\"{}\" is no number", text[..text.len().min(48)].escape_ascii())),
    }
}

/// Columns that are filled record by record.
pub struct JsonRows {
    object: Object,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl JsonRows {
    /// Appends the row that a record is.
    ///
    /// # Errors
    /// Why it is none; nothing is appended then.
    #[inline]
    pub fn read(&mut self, record: &[u8]) -> Result<(), String> {
        let mut cursor = Cursor { bytes: record, at: 0 };
        match self.record(&mut cursor) {
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

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
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

    fn record(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.whitespace();
        if !cursor.eat(b'{') {
            return cursor.expected("an object");
        }
        object(cursor, &mut self.object, &mut self.columns, self.rows)?;
        cursor.whitespace();
        if cursor.at < cursor.bytes.len() {
            return Err(Fault::at(
                cursor.at,
                format!("expected the end behind the object, found {}", cursor.found()),
            ));
        }
        Ok(())
    }
}

/// The fields of an object, behind its brace, as row number `row` of the columns.
#[inline]
fn object(
    cursor: &mut Cursor<'_>,
    shape: &mut Object,
    columns: &mut [ColumnBuilder],
    row: usize,
) -> Result<(), Fault> {
    shape.begin();
    let mut filled = 0;
    cursor.whitespace();
    if !cursor.eat(b'}') {
        loop {
            let start = cursor.at;
            let field = shape.field(cursor)?;
            cursor.whitespace();
            if let Some(field) = field {
                if columns[field].len() != row {
                    return Err(Fault::at(start, "the field is there twice").within(&shape.names[field]));
                }
                if let Err(fault) = value(cursor, &mut shape.shapes[field], &mut columns[field]) {
                    return Err(fault.within(&shape.names[field]));
                }
                filled += 1;
            } else {
                cursor.skip_value()?;
            }
            cursor.whitespace();
            if cursor.eat(b',') {
                cursor.whitespace();
            } else if cursor.eat(b'}') {
                break;
            } else {
                return cursor.expected("`,` or `}`");
            }
        }
    }
    if filled < columns.len() { missing(cursor.at, shape, columns, row) } else { Ok(()) }
}

/// Fields that were not there are NULL.
fn missing(at: usize, shape: &Object, columns: &mut [ColumnBuilder], row: usize) -> Result<(), Fault> {
    for (index, column) in columns.iter_mut().enumerate().filter(|(_, column)| column.len() == row) {
        if shape.shapes[index].is_required {
            return Err(
                Fault::at(at, "the field is missing, and its column is NOT NULL").within(&shape.names[index])
            );
        }
        column.push_null();
    }
    Ok(())
}

/// A value, as the next cell of a column.
#[inline]
fn value(cursor: &mut Cursor<'_>, shape: &mut Shape, column: &mut ColumnBuilder) -> Result<(), Fault> {
    let at = cursor.at;
    if cursor.peek() == Some(b'n') && cursor.word(b"null") {
        if shape.is_required {
            return Err(Fault::at(at, "the field is null, and its column is NOT NULL"));
        }
        column.push_null();
        return Ok(());
    }
    let row = column.len();
    match (&mut shape.kind, &mut column.store) {
        (Kind::Boolean, Store::Boolean(cells)) => cells.push(boolean(cursor)?),
        (Kind::Signed(bits), Store::Integer(cells)) => {
            cells.push(number(cursor, "an integer")?.signed(*bits)?.cast_unsigned());
        }
        (Kind::Unsigned(bits), Store::Integer(cells)) => {
            cells.push(number(cursor, "an integer")?.unsigned(*bits)?);
        }
        (Kind::Float, Store::Float32(cells)) => cells.push(number(cursor, "a number")?.float()?),
        (Kind::Double, Store::Float64(cells)) => cells.push(number(cursor, "a number")?.double()?),
        (Kind::Decimal(precision, scale), Store::Decimal(cells)) => {
            cells.push(number(cursor, "a number")?.decimal(*precision, *scale)?);
        }
        (Kind::Text, Store::Bytes(_, bytes)) => string(cursor, "a string")?.append_to(bytes)?,
        (Kind::Base64, Store::Bytes(_, bytes)) => base64(&string(cursor, "a string of base64")?, bytes)?,
        (Kind::Date, Store::Integer(cells)) => cells.push(i64::from(date(cursor)?).cast_unsigned()),
        (Kind::Timestamp(unit), Store::Integer(cells)) => {
            cells.push(timestamp(cursor, *unit)?.cast_unsigned());
        }
        (Kind::List(item), Store::List(_, items)) => array(cursor, item, items)?,
        (Kind::Object(shape), Store::Struct(parts)) => {
            if !cursor.eat(b'{') {
                return cursor.expected("an object");
            }
            object(cursor, shape, parts, row)?;
        }
        (Kind::Map(value), Store::Map(_, parts)) => map(cursor, value, parts)?,
        _ => return Err(Fault::at(at, "bug: the column has another type")),
    }
    column.end_cell().map_err(|e| Fault::at(at, e.to_string()))
}

#[inline]
fn number<'b>(cursor: &mut Cursor<'b>, what: &str) -> Result<scan::Number<'b>, Fault> {
    if let Some(b'-' | b'0'..=b'9') = cursor.peek() { cursor.number() } else { cursor.expected(what) }
}

#[inline]
fn string<'b>(cursor: &mut Cursor<'b>, what: &str) -> Result<RawString<'b>, Fault> {
    if cursor.peek() == Some(b'"') { cursor.string() } else { cursor.expected(what) }
}

fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    if cursor.word(b"true") {
        Ok(true)
    } else if cursor.word(b"false") {
        Ok(false)
    } else {
        cursor.expected("a boolean")
    }
}

fn base64(string: &RawString<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut text = vec![];
    string.append_to(&mut text)?;
    BASE64.decode_vec(&text, out).map_err(|e| Fault::at(string.at, format!("it is no base64: {e}")))
}

fn date(cursor: &mut Cursor<'_>) -> Result<i32, Fault> {
    let string = string(cursor, "a date such as \"2026-11-29\"")?;
    read_date(string.raw).map_err(|reason| refused(&string, reason))
}

fn timestamp(cursor: &mut Cursor<'_>, unit: TimeUnit) -> Result<i64, Fault> {
    if cursor.peek() == Some(b'"') {
        let string = cursor.string()?;
        return read_timestamp(string.raw, unit).map_err(|reason| refused(&string, reason));
    }
    let number = number(cursor, "a time in ISO 8601 or in milliseconds")?;
    let ms = number.signed(64)?;
    of_ms(ms, unit)
        .ok_or_else(|| Fault::at(number.at, format!("{ms} ms is a time too far away for its unit")))
}

#[cold]
fn refused(string: &RawString<'_>, reason: &str) -> Fault {
    let shown = &string.raw[..string.raw.len().min(48)];
    Fault::at(string.at, format!("\"{}\" {reason}", shown.escape_ascii()))
}

fn array(cursor: &mut Cursor<'_>, item: &mut Shape, items: &mut ColumnBuilder) -> Result<(), Fault> {
    if !cursor.eat(b'[') {
        return cursor.expected("an array");
    }
    cursor.whitespace();
    if cursor.eat(b']') {
        return Ok(());
    }
    for index in 0.. {
        value(cursor, item, items).map_err(|fault| fault.within_item(index))?;
        cursor.whitespace();
        if cursor.eat(b',') {
            cursor.whitespace();
        } else if cursor.eat(b']') {
            break;
        } else {
            return cursor.expected("`,` or `]`");
        }
    }
    Ok(())
}

fn map(cursor: &mut Cursor<'_>, shape: &mut Shape, parts: &mut [ColumnBuilder; 2]) -> Result<(), Fault> {
    let start = cursor.at;
    if !cursor.eat(b'{') {
        return cursor.expected("an object");
    }
    let [keys, values] = parts;
    let first = keys.len();
    cursor.whitespace();
    if cursor.eat(b'}') {
        return Ok(());
    }
    loop {
        let name = string(cursor, "the name of an entry")?;
        if let Store::Bytes(_, bytes) = &mut keys.store {
            name.append_to(bytes)?;
        }
        keys.end_cell().map_err(|e| Fault::at(name.at, e.to_string()))?;
        cursor.colon()?;
        let within = |fault: Fault| fault.within(&String::from_utf8_lossy(name.raw));
        value(cursor, shape, values).map_err(within)?;
        cursor.whitespace();
        if cursor.eat(b',') {
            cursor.whitespace();
        } else if cursor.eat(b'}') {
            break;
        } else {
            return cursor.expected("`,` or `}`");
        }
    }
    if is_distinct(keys, first) {
        Ok(())
    } else {
        Err(Fault::at(start, "an entry of the map is there twice"))
    }
}

/// Whether all keys from number `first` on differ.
fn is_distinct(keys: &ColumnBuilder, first: usize) -> bool {
    let Store::Bytes(ends, bytes) = &keys.store else { return true };
    let end = |index: usize| usize::try_from(ends[index]).unwrap_or_default();
    let mut names: Vec<&[u8]> = (first..keys.len()).map(|key| &bytes[end(key)..end(key + 1)]).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}
