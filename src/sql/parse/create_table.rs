//! `CREATE TABLE`: from words to a definition that agrees with itself.
//!
//! Owns the grammar of columns and what can be checked without other tables. Knows no connector and no option. Invariant: in a definition,
//! names of columns differ, the columns of the key and of event time exist, and there is one watermark at most.

use super::cursor::{Cursor, is_word};
use super::options::{ends_part, parse_options};
use super::statement::{CreateTable, Name, OnExisting};
use super::types::{parse_type, type_name};
use super::watermark::{Watermark, parse_watermark};
use crate::sql::closest::question;
use crate::sql::format::is_headers;
use crate::sql::{
    ColumnKind, MetadataKey, Span, SqlError, SqlOption, SqlResult, TableColumn as Column, TableDefinition,
    WatermarkDefinition,
};
use arrow::datatypes::DataType;
use datafusion_sql::sqlparser::tokenizer::Token;
use std::collections::BTreeMap;

/// Takes what follows `CREATE TABLE [IF NOT EXISTS]`.
pub(super) fn parse_create_table(
    cursor: &mut Cursor,
    on_existing: OnExisting,
    is_temporary: bool,
    mistakes: &mut Vec<SqlError>,
) -> SqlResult<CreateTable> {
    let name = cursor.name("the name of a table")?;
    if *cursor.peek() != Token::LParen {
        return Err(cursor.expected("`(` and the columns of the table"));
    }
    let parts = Parts::parse(cursor, mistakes)?;
    if cursor.take_word("COMMENT") {
        cursor.string("the comment")?;
    }
    refuse_clauses(cursor)?;
    let folders = if cursor.take_words(&["PARTITIONED", "BY"]) {
        cursor.names("the name of a column")?
    } else {
        vec![]
    };
    let options = if cursor.take_word("WITH") { parse_options(cursor, mistakes)? } else { BTreeMap::new() };
    refuse_clauses(cursor)?;
    let partitioned_by = parts.partitioned_by(folders, mistakes);
    let definition = TableDefinition { partitioned_by, ..parts.into_definition(name, options, mistakes) };
    Ok(CreateTable { definition, on_existing, is_temporary })
}

fn refuse_clauses(cursor: &Cursor) -> SqlResult {
    let here = cursor.here();
    let refused = |what: &str| SqlError::at(here, format!("{what} is not supported"));
    if cursor.is_word("LIKE") {
        return Err(refused("LIKE").next("write the columns of the other table here"));
    }
    if cursor.is_word("AS") {
        return Err(refused("CREATE TABLE .. AS SELECT")
            .next("declare the columns, then write INSERT INTO .. SELECT"));
    }
    if cursor.is_word("DISTRIBUTED") {
        return Err(refused("DISTRIBUTED BY")
            .because("rows are written by the key of the table")
            .next("take it away"));
    }
    Ok(())
}

/// What other systems take behind the type of a column.
const REFUSED: [&str; 7] =
    ["DEFAULT", "UNIQUE", "CHECK", "REFERENCES", "GENERATED", "COLLATE", "AUTO_INCREMENT"];

/// A list of columns as it was written.
#[derive(Default)]
struct Parts {
    columns: Vec<Column>,
    watermarks: Vec<Watermark>,
    keys: Vec<(Vec<Name>, Span)>,
    /// Columns that can't be read, so that nothing else is said of them.
    broken: Vec<Name>,
}

impl Parts {
    fn parse(cursor: &mut Cursor, mistakes: &mut Vec<SqlError>) -> SqlResult<Self> {
        cursor.expect(&Token::LParen)?;
        let mut parts = Parts::default();
        loop {
            let begin = cursor.position();
            let in_type = !(is_word(cursor.peek_nth(1), "AS") || cursor.is_word("WATERMARK"));
            if let Err(mistake) = parts.part(cursor).and_then(|()| ends_part(cursor)) {
                mistakes.push(mistake);
                cursor.skip_part(begin, in_type);
            }
            let comma = cursor.here();
            if !cursor.take(&Token::Comma) {
                break;
            }
            if *cursor.peek() == Token::RParen {
                mistakes.push(
                    SqlError::at(comma, "there is a comma too many before `)`").next("take the comma away"),
                );
                break;
            }
        }
        cursor.expect(&Token::RParen)?;
        Ok(parts)
    }

    fn part(&mut self, cursor: &mut Cursor) -> SqlResult {
        let begin = cursor.position();
        if cursor.take_words(&["WATERMARK", "FOR"]) {
            self.watermarks.push(parse_watermark(cursor, begin)?);
            return Ok(());
        }
        if cursor.is_word("CONSTRAINT") && is_word(cursor.peek_nth(2), "PRIMARY") {
            cursor.next();
            cursor.name("the name of a constraint")?;
        }
        if cursor.is_word("PRIMARY") && is_word(cursor.peek_nth(1), "KEY") {
            let span = cursor.here();
            cursor.take_words(&["PRIMARY", "KEY"]);
            let names = cursor.names("the name of a column")?;
            not_enforced(cursor, span)?;
            self.keys.push((names, span));
            return Ok(());
        }
        let is_constraint = ["UNIQUE", "CHECK"].iter().any(|word| cursor.is_word(word))
            && *cursor.peek_nth(1) == Token::LParen;
        let is_like = cursor.is_word("LIKE") && matches!(cursor.peek_nth(2), Token::Comma | Token::RParen);
        if is_constraint || is_like {
            return Err(SqlError::at(
                cursor.here(),
                format!("{} is not supported in a table", cursor.peek()),
            )
            .next("declare columns, a WATERMARK and a PRIMARY KEY only"));
        }
        let name = cursor.name("the name of a column")?;
        if let Err(mistake) = self.column(cursor, &name) {
            self.broken.push(name);
            return Err(mistake);
        }
        Ok(())
    }

    fn column(&mut self, cursor: &mut Cursor, name: &Name) -> SqlResult {
        let (text, span) = (name.text.clone(), name.span);
        if cursor.take_word("AS") {
            let kind = ColumnKind::Computed(Box::new(cursor.expr()?));
            if cursor.take_word("COMMENT") {
                cursor.string("the comment")?;
            }
            self.columns.push(Column { name: text, span, is_required: false, kind });
            return Ok(());
        }
        let type_begin = cursor.position();
        let data_type = parse_type(cursor)?;
        let type_span = cursor.span_since(type_begin);
        let (mut is_required, mut metadata) = (false, None);
        loop {
            if cursor.take_words(&["NOT", "NULL"]) {
                is_required = true;
            } else if cursor.take_word("COMMENT") {
                cursor.string("the comment")?;
            } else if cursor.is_word("METADATA") {
                metadata = Some(parse_metadata(cursor, name)?);
            } else if cursor.is_word("PRIMARY") {
                let key_span = cursor.here();
                cursor.next();
                cursor.expect_word("KEY")?;
                not_enforced(cursor, key_span)?;
                self.keys.push((vec![name.clone()], key_span));
            } else if !cursor.take_word("NULL") {
                break;
            }
        }
        if let Some(word) = REFUSED.into_iter().find(|word| cursor.is_word(word)) {
            return Err(SqlError::at(cursor.here(), format!("{word} is not supported for a column"))
                .next("take it away"));
        }
        let kind = match metadata {
            None => ColumnKind::Physical(data_type),
            Some((key, is_virtual)) => {
                check_metadata_type(key, &data_type, type_span)?;
                // The log gives these itself; only the time of a record can be chosen.
                let is_virtual = is_virtual || key != MetadataKey::Timestamp;
                ColumnKind::Metadata { key, data_type, is_virtual }
            }
        };
        self.columns.push(Column { name: text, span, is_required, kind });
        Ok(())
    }

    /// The columns of `PARTITIONED BY`.
    fn partitioned_by(&self, names: Vec<Name>, mistakes: &mut Vec<SqlError>) -> Vec<String> {
        let mut columns = vec![];
        for name in names {
            let column = self.columns.iter().find(|column| column.name == name.text);
            match column.map(|column| &column.kind) {
                Some(ColumnKind::Physical(_)) => columns.push(name.text),
                Some(_) => mistakes.push(
                    SqlError::at(name.span, format!("`{}` is no column of the rows", name.text))
                        .next("name columns with a type, without AS and METADATA"),
                ),
                None if self.broken.iter().any(|broken| broken.text == name.text) => {}
                None => {
                    let near = question(&name.text, self.columns.iter().map(|column| column.name.as_str()));
                    let mistake =
                        SqlError::at(name.span, format!("there is no column `{}` in this table", name.text));
                    mistakes.push(mistake.next(if near.is_empty() {
                        "declare it, or name one that is".to_owned()
                    } else {
                        near
                    }));
                }
            }
        }
        columns
    }

    fn into_definition(
        self,
        name: Name,
        options: BTreeMap<String, SqlOption>,
        mistakes: &mut Vec<SqlError>,
    ) -> TableDefinition {
        let Parts { mut columns, watermarks, keys, broken } = self;
        for (number, column) in columns.iter().enumerate() {
            if let Some(first) = columns[..number].iter().find(|first| first.name == column.name) {
                let reason = format!("it is declared in line {} already", first.span.line);
                mistakes.push(
                    SqlError::at(column.span, format!("there are two columns `{}`", column.name))
                        .because(reason)
                        .next("give one of them another name"),
                );
            }
        }
        let find = |name: &Name| match columns.iter().find(|column| column.name == name.text) {
            Some(column) => Ok(Some(column)),
            None if broken.iter().any(|broken| broken.text == name.text) => Ok(None),
            None => {
                let near = question(&name.text, columns.iter().map(|column| column.name.as_str()));
                let mistake =
                    SqlError::at(name.span, format!("there is no column `{}` in this table", name.text));
                Err(if near.is_empty() {
                    mistake.next("declare it, or name one that is")
                } else {
                    mistake.next(near)
                })
            }
        };
        let mut primary_key = vec![];
        for (number, (names, span)) in keys.iter().enumerate() {
            if number > 0 {
                mistakes.push(
                    SqlError::at(*span, "there are two primary keys")
                        .next("write PRIMARY KEY (a, b) NOT ENFORCED once, with all columns of the key"),
                );
                break;
            }
            for name in names {
                match find(name)
                    .and_then(|column| column.map_or(Ok(()), |column| check_key(column, name, &primary_key)))
                {
                    Ok(()) => primary_key.push(name.text.clone()),
                    Err(mistake) => mistakes.push(mistake),
                }
            }
        }
        let watermark = watermarks.first().map(|watermark| {
            match find(&watermark.column)
                .and_then(|column| column.map_or(Ok(()), |column| check_time(column, &watermark.column)))
            {
                Ok(()) => {}
                Err(mistake) => mistakes.push(mistake),
            }
            WatermarkDefinition {
                column: watermark.column.text.clone(),
                delay_ms: watermark.delay_ms,
                span: watermark.span,
            }
        });
        if let Some(second) = watermarks.get(1) {
            mistakes.push(
                SqlError::at(second.span, "there are two watermarks")
                    .because("a table has one event time")
                    .next("take one of them away"),
            );
        }
        // A key is never NULL, whether it is said or not.
        columns
            .iter_mut()
            .filter(|column| primary_key.contains(&column.name))
            .for_each(|column| column.is_required = true);
        let (span, name, partitioned_by) = (name.span, name.text, vec![]);
        TableDefinition { name, span, columns, watermark, primary_key, partitioned_by, options }
    }
}

fn not_enforced(cursor: &mut Cursor, key: Span) -> SqlResult {
    if cursor.take_words(&["NOT", "ENFORCED"]) {
        return Ok(());
    }
    Err(SqlError::at(key, "a primary key must be NOT ENFORCED")
        .because("the key says which row a record is the new value of; that keys differ is not checked")
        .next("write NOT ENFORCED behind it"))
}

fn check_key(column: &Column, name: &Name, key: &[String]) -> SqlResult {
    if key.contains(&name.text) {
        return Err(
            SqlError::at(name.span, format!("`{}` is in the key twice", name.text)).next("take one away")
        );
    }
    let what = match column.kind {
        ColumnKind::Physical(_) => return Ok(()),
        ColumnKind::Metadata { .. } => "is metadata of the record",
        ColumnKind::Computed(_) => "is computed",
    };
    Err(SqlError::at(name.span, format!("`{}` can't be part of the key: it {what}", name.text))
        .next("name columns that are fields of the record"))
}

fn check_time(column: &Column, name: &Name) -> SqlResult {
    let data_type = match &column.kind {
        ColumnKind::Physical(data_type) | ColumnKind::Metadata { data_type, .. } => data_type,
        // Its type is known when it is planned.
        ColumnKind::Computed(_) => return Ok(()),
    };
    if matches!(data_type, DataType::Timestamp(..)) {
        return Ok(());
    }
    let declared = type_name(data_type);
    Err(SqlError::at(name.span, format!("event time is a TIMESTAMP, and `{}` is {declared}", name.text)).next(format!(
        "declare `{0} TIMESTAMP(3)` (milliseconds since 1970 are read as well), or compute a column from it",
        name.text
    )))
}

/// Takes `METADATA [FROM 'key'] [VIRTUAL]`: the key, and whether it is only read.
fn parse_metadata(cursor: &mut Cursor, column: &Name) -> SqlResult<(MetadataKey, bool)> {
    cursor.take_word("METADATA");
    let (key, span) = if cursor.take_word("FROM") {
        cursor.string("the key of metadata")?
    } else {
        (column.text.clone(), column.span)
    };
    let key = match key.as_str() {
        "topic" => MetadataKey::Topic,
        "partition" => MetadataKey::Partition,
        "offset" => MetadataKey::Offset,
        "timestamp" => MetadataKey::Timestamp,
        "headers" => MetadataKey::Headers,
        "timestamp-type" | "leader-epoch" => {
            return Err(SqlError::at(span, format!("the metadata `{key}` is not supported"))
                .because("records come without it")
                .next("the keys are 'topic', 'partition', 'offset', 'timestamp' and 'headers'"));
        }
        _ => {
            let near = question(&key, ["topic", "partition", "offset", "timestamp", "headers"]);
            let known = "the keys are 'topic', 'partition', 'offset', 'timestamp' and 'headers'; write METADATA FROM 'key'";
            return Err(SqlError::at(span, format!("there is no metadata `{key}`"))
                .next(if near.is_empty() { known.to_string() } else { near }));
        }
    };
    Ok((key, cursor.take_word("VIRTUAL")))
}

fn check_metadata_type(key: MetadataKey, data_type: &DataType, span: Span) -> SqlResult {
    let (name, expected, fits) = match key {
        MetadataKey::Topic => ("topic", "STRING", matches!(data_type, DataType::Utf8)),
        MetadataKey::Partition => {
            ("partition", "INT or BIGINT", matches!(data_type, DataType::Int32 | DataType::Int64))
        }
        MetadataKey::Offset => ("offset", "BIGINT", matches!(data_type, DataType::Int64)),
        MetadataKey::Timestamp => {
            ("timestamp", "TIMESTAMP(3) or TIMESTAMP_LTZ(3)", matches!(data_type, DataType::Timestamp(..)))
        }
        MetadataKey::Headers => {
            let fits = matches!(data_type, DataType::Map(entries, _) if is_headers(entries.data_type()));
            ("headers", "MAP<STRING, BYTES>", fits)
        }
    };
    if fits {
        return Ok(());
    }
    Err(SqlError::at(span, format!("the metadata '{name}' is {expected}, not {}", type_name(data_type)))
        .next(format!("write {expected}")))
}
