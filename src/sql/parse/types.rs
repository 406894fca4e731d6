//! The types of columns: Flink SQL's words, Arrow's types.
//!
//! Owns both directions. Knows no table. Invariant: a type that is taken holds every value of its name, except that the lengths of
//! VARCHAR, CHAR, VARBINARY and BINARY are not enforced.

use super::cursor::{Cursor, is_word};
use super::statement::Name;
use super::syntax_error::{lexical_error, shown};
use crate::sql::closest::closest;
use crate::sql::{Span, SqlError, SqlResult};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::sync::Arc;

/// How deep types may be nested.
const DEPTH_MAX: usize = 32;

const NAMES: [&str; 24] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "STRING",
    "VARCHAR",
    "CHAR",
    "BYTES",
    "VARBINARY",
    "BINARY",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
    "MAP",
    "ROW",
    "STRUCT",
    "DEC",
];

/// Types of other systems, and what they are called here.
const ELSEWHERE: [(&[&str], &str); 14] = [
    (
        &["TEXT", "NVARCHAR", "CLOB", "JSON", "JSONB", "UUID", "VARIANT", "TINYTEXT", "LONGTEXT", "ENUM"],
        "STRING",
    ),
    (&["LONG", "INT8", "INT64", "SERIAL", "BIGSERIAL"], "BIGINT"),
    (&["INT4", "INT32", "MEDIUMINT"], "INT"),
    (&["SHORT", "INT2", "INT16"], "SMALLINT"),
    (&["BYTE"], "TINYINT"),
    (&["REAL", "FLOAT4", "FLOAT32"], "FLOAT"),
    (&["FLOAT8", "FLOAT64"], "DOUBLE"),
    (&["DATETIME", "TIMESTAMP_NTZ", "DATETIME64"], "TIMESTAMP(3)"),
    (&["TIMESTAMPTZ", "TIMESTAMP_TZ"], "TIMESTAMP_LTZ(3)"),
    (&["BLOB", "BYTEA", "RAW"], "BYTES"),
    (&["UINT8", "UTINYINT", "UINT16", "USMALLINT"], "INT"),
    (&["UINT32", "UINTEGER"], "BIGINT"),
    (&["UINT64", "UBIGINT", "MONEY", "HUGEINT"], "DECIMAL(20, 0)"),
    (&["MULTISET"], "ARRAY<..>"),
];

/// The Arrow type of a type that is written in SQL, such as `ARRAY<ROW<a INT, b STRING>>`.
///
/// # Errors
/// If there is no such type; the place is that in `text`.
///
/// ```
/// use arrow::datatypes::{DataType, TimeUnit};
/// let time = tidegate::sql::parse::data_type("TIMESTAMP(3)")?;
/// assert_eq!(time, DataType::Timestamp(TimeUnit::Millisecond, None));
/// # Ok::<(), tidegate::sql::SqlError>(())
/// ```
pub fn data_type(text: &str) -> SqlResult<DataType> {
    let dialect = super::dialect::StreamDialect;
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| lexical_error(&error, None))?;
    let mut cursor = Cursor::new(&tokens);
    let data_type = parse_type(&mut cursor)?;
    if cursor.is_at_end() { Ok(data_type) } else { Err(cursor.expected("the end of the type")) }
}

/// What a type is called in SQL.
///
/// ```
/// use arrow::datatypes::DataType;
/// assert_eq!(tidegate::sql::parse::type_name(&DataType::Int64), "BIGINT");
/// ```
#[must_use]
pub fn type_name(data_type: &DataType) -> String {
    let field = |field: &Field| {
        let required = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{}{required}", type_name(field.data_type()))
    };
    match data_type {
        DataType::Boolean => "BOOLEAN".to_string(),
        DataType::Int8 => "TINYINT".to_string(),
        DataType::Int16 => "SMALLINT".to_string(),
        DataType::Int32 => "INT".to_string(),
        DataType::Int64 => "BIGINT".to_string(),
        DataType::Float32 => "FLOAT".to_string(),
        DataType::Float64 => "DOUBLE".to_string(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".to_string(),
        DataType::Binary => "BYTES".to_string(),
        DataType::Date32 => "DATE".to_string(),
        DataType::Timestamp(unit, zone) => {
            let precision = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let name = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
            format!("{name}({precision})")
        }
        DataType::List(item) => format!("ARRAY<{}>", field(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => {
                format!("MAP<{}, {}>", type_name(entry[0].data_type()), field(&entry[1]))
            }
            other => format!("MAP<{other}>"),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name(), field(f))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Takes a type.
pub(super) fn parse_type(cursor: &mut Cursor) -> SqlResult<DataType> {
    let mut reader = TypeReader { cursor, closed: 0, depth: 0 };
    let data_type = reader.data_type()?;
    if reader.closed > 0 {
        return Err(
            SqlError::at(reader.cursor.here(), "there is a `>` too many before this").next("take it away")
        );
    }
    Ok(data_type)
}

/// Reads types that are in each other.
struct TypeReader<'a> {
    cursor: &'a mut Cursor,
    /// How many `>` are read but not used: `>>` is one sign.
    closed: usize,
    depth: usize,
}

impl TypeReader<'_> {
    fn data_type(&mut self) -> SqlResult<DataType> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("types are nested deeper than {DEPTH_MAX} levels");
            return Err(SqlError::at(self.cursor.here(), message).next("read the field as STRING"));
        }
        let mut data_type = self.simple()?;
        while self.closed == 0 && self.cursor.take_word("ARRAY") {
            data_type = list(Field::new_list_field(data_type, true));
        }
        self.depth -= 1;
        Ok(data_type)
    }

    fn simple(&mut self) -> SqlResult<DataType> {
        let span = self.cursor.here();
        let name = match self.cursor.peek() {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => return Err(self.cursor.expected("a type")),
        };
        self.cursor.next();
        let data_type = match name.as_str() {
            "BOOLEAN" | "BOOL" => DataType::Boolean,
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" => DataType::Float32,
            "DOUBLE" => {
                self.cursor.take_word("PRECISION");
                DataType::Float64
            }
            "DECIMAL" | "NUMERIC" | "DEC" => self.decimal(span)?,
            "STRING" => DataType::Utf8,
            "VARCHAR" | "CHAR" | "CHARACTER" => {
                self.cursor.take_word("VARYING");
                self.numbers(1)?;
                DataType::Utf8
            }
            "BYTES" => DataType::Binary,
            "VARBINARY" | "BINARY" => {
                self.numbers(1)?;
                DataType::Binary
            }
            "DATE" => DataType::Date32,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => self.timestamp(&name, span)?,
            "ARRAY" => list(self.element("item")?),
            "MAP" => self.map()?,
            "ROW" | "STRUCT" => self.row()?,
            _ => return Err(unknown(&name, span)),
        };
        if self.cursor.is_word("UNSIGNED") {
            let wider = match data_type {
                DataType::Int8 | DataType::Int16 => "INT",
                DataType::Int32 => "BIGINT",
                _ => "DECIMAL(20, 0)",
            };
            return Err(SqlError::at(self.cursor.here(), "there are no types without sign")
                .next(format!("write {wider}, which holds all values of {name} UNSIGNED")));
        }
        Ok(data_type)
    }

    fn decimal(&mut self, span: Span) -> SqlResult<DataType> {
        let numbers = self.numbers(2)?;
        let (precision, scale) = match numbers.as_slice() {
            [] => (10, 0),
            [precision] => (*precision, 0),
            [precision, scale, ..] => (*precision, *scale),
        };
        let fits = (1..=u64::from(DECIMAL128_MAX_PRECISION)).contains(&precision) && scale <= precision;
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision), Ok(scale)) if fits => Ok(DataType::Decimal128(precision, scale)),
            _ => Err(SqlError::at(span, format!("there is no DECIMAL({precision}, {scale})"))
                .because(format!("a decimal has 1 to {DECIMAL128_MAX_PRECISION} digits, and no more of them behind the point"))
                .next(format!("write DECIMAL({DECIMAL128_MAX_PRECISION}, {})", scale.min(18)))),
        }
    }

    fn timestamp(&mut self, name: &str, span: Span) -> SqlResult<DataType> {
        let precision = self.numbers(1)?.first().copied().unwrap_or(3);
        let mut is_local = name == "TIMESTAMP_LTZ";
        if self.cursor.take_words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            is_local = true;
        } else if self.cursor.is_word("WITH") && is_word(self.cursor.peek_nth(1), "TIME") {
            return Err(SqlError::at(span, "there is no type that keeps a time zone with each value").next(
                format!("write TIMESTAMP_LTZ({}), a point in time that is shown in UTC", precision.min(6)),
            ));
        } else {
            self.cursor.take_words(&["WITHOUT", "TIME", "ZONE"]);
        }
        let unit = match precision {
            0..=3 => TimeUnit::Millisecond,
            4..=6 => TimeUnit::Microsecond,
            _ => {
                return Err(SqlError::at(span, format!("there is no {name}({precision})"))
                    .because("times are kept in milliseconds or microseconds")
                    .next(format!("write {name}(3) or {name}(6)")));
            }
        };
        Ok(DataType::Timestamp(unit, is_local.then(|| "UTC".into())))
    }

    /// Numbers in parentheses, at most this many; none if there is no parenthesis.
    fn numbers(&mut self, max: usize) -> SqlResult<Vec<u64>> {
        let mut numbers = vec![];
        if !self.cursor.take(&Token::LParen) {
            return Ok(numbers);
        }
        loop {
            let number = match self.cursor.peek() {
                Token::Number(text, _) => text.parse().ok(),
                _ => None,
            };
            let Some(number) = number.filter(|_| numbers.len() < max) else {
                return Err(self.cursor.expected(if numbers.len() < max { "a whole number" } else { "`)`" }));
            };
            self.cursor.next();
            numbers.push(number);
            if !self.cursor.take(&Token::Comma) {
                break;
            }
        }
        self.cursor.expect(&Token::RParen)?;
        Ok(numbers)
    }

    /// `<TYPE [NOT NULL]>`.
    fn element(&mut self, name: &str) -> SqlResult<Field> {
        self.cursor.expect(&Token::Lt)?;
        let field = self.field(name)?;
        self.close()?;
        Ok(field)
    }

    fn map(&mut self) -> SqlResult<DataType> {
        self.cursor.expect(&Token::Lt)?;
        let key = self.field("key")?.with_nullable(false);
        self.cursor.expect(&Token::Comma)?;
        let value = self.field("value")?;
        self.close()?;
        let entries = DataType::Struct(Fields::from(vec![key, value]));
        Ok(DataType::Map(Arc::new(Field::new("entries", entries, false)), false))
    }

    /// `<name TYPE, ..>` or `(name TYPE, ..)`, with a colon behind the name or not.
    fn row(&mut self) -> SqlResult<DataType> {
        let in_parens = self.cursor.take(&Token::LParen);
        if !in_parens {
            self.cursor.expect(&Token::Lt)?;
        }
        let mut fields: Vec<Field> = vec![];
        loop {
            let Name { text: name, span } = self.cursor.name("the name of a field")?;
            if fields.iter().any(|field| *field.name() == name) {
                return Err(SqlError::at(span, format!("the field `{name}` is declared twice"))
                    .next("give it another name"));
            }
            self.cursor.take(&Token::Colon);
            fields.push(self.field(&name)?);
            if self.closed == 0 && matches!(self.cursor.peek(), Token::SingleQuotedString(_)) {
                self.cursor.next();
            }
            if self.closed > 0 || !self.cursor.take(&Token::Comma) {
                break;
            }
        }
        if in_parens {
            self.cursor.expect(&Token::RParen)?;
        } else {
            self.close()?;
        }
        Ok(DataType::Struct(Fields::from(fields)))
    }

    fn field(&mut self, name: &str) -> SqlResult<Field> {
        let data_type = self.data_type()?;
        let is_required = self.closed == 0 && self.cursor.take_words(&["NOT", "NULL"]);
        Ok(Field::new(name, data_type, !is_required))
    }

    fn close(&mut self) -> SqlResult {
        if self.closed > 0 {
            self.closed -= 1;
        } else if self.cursor.take(&Token::ShiftRight) {
            self.closed = 1;
        } else {
            self.cursor.expect(&Token::Gt)?;
        }
        Ok(())
    }
}

fn list(item: Field) -> DataType {
    DataType::List(Arc::new(item))
}

fn unknown(name: &str, span: Span) -> SqlError {
    let mistake = SqlError::at(span, format!("there is no type {}", shown(&Token::make_word(name, None))));
    if let Some((_, here)) = ELSEWHERE.iter().find(|(names, _)| names.contains(&name)) {
        return mistake.next(format!("write {here}"));
    }
    match name {
        "TIME" => mistake
            .because("a time of day without its day is no point in time")
            .next("write INT for milliseconds of the day, or STRING"),
        "INTERVAL" => mistake
            .because("an interval is a part of an expression only")
            .next("write BIGINT for milliseconds"),
        _ => match closest(
            name,
            NAMES.into_iter().chain(ELSEWHERE.iter().flat_map(|(names, _)| names.iter().copied())),
        ) {
            Some(nearest) => {
                let here = ELSEWHERE
                    .iter()
                    .find(|(names, _)| names.contains(&nearest))
                    .map_or(nearest, |(_, here)| here);
                mistake.next(format!("did you mean {here}?"))
            }
            None => mistake.next(format!("the types are {}", NAMES.join(", "))),
        },
    }
}
