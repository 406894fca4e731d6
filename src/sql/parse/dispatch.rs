//! Which statement it is, by its first words, and all statements but CREATE TABLE.
//!
//! Owns their grammar. Knows no other statement of the script. Invariant: a statement is taken up to its end, or it is a mistake.

use super::create_table::parse_create_table;
use super::cursor::{Cursor, is_word};
use super::options::{parse_key, parse_option};
use super::refuse::refuse;
use super::statement::{
    CreateView, Drop, Emit, EmitMode, ExplainKind, Insert, Name, OnExisting, Select, Show, Statement,
};
use crate::sql::closest::closest;
use crate::sql::{Span, SqlError, SqlResult};
use datafusion_sql::sqlparser::ast::Query;
use datafusion_sql::sqlparser::tokenizer::Token;

const STARTS: [&str; 13] = [
    "CREATE", "INSERT", "SELECT", "WITH", "EXPLAIN", "DESCRIBE", "SHOW", "SET", "RESET", "DROP", "EXECUTE",
    "DESC", "VALUES",
];

/// What a script is made of, for messages.
const SUPPORTED: &str = "a script is made of CREATE TABLE, CREATE VIEW, INSERT INTO, EXECUTE STATEMENT SET, SET, RESET, SHOW, DESCRIBE, EXPLAIN and DROP";

/// Statements of Flink SQL and others that can't be taken, and what to do.
const REFUSED: [(&[&str], &str); 5] = [
    (&["ALTER"], "change the CREATE TABLE of the script instead"),
    (
        &["DELETE", "UPDATE", "MERGE", "TRUNCATE"],
        "a table is a topic: rows change by records that are written to it",
    ),
    (
        &["USE", "LOAD", "UNLOAD", "ADD", "REMOVE", "ANALYZE"],
        "take it away: a script has no catalogs, modules and jars",
    ),
    (&["COMPILE", "STOP", "CALL", "BEGIN", "COMMIT"], SUPPORTED),
    (&["STATEMENT"], "write EXECUTE STATEMENT SET BEGIN .. END"),
];

/// Takes a statement. Mistakes that leave the rest readable are noted; what ends the reading is returned.
pub(super) fn parse_statement(cursor: &mut Cursor, mistakes: &mut Vec<SqlError>) -> SqlResult<Statement> {
    let (here, begin) = (cursor.here(), cursor.position());
    if starts_query(cursor) {
        let query = parse_query(cursor, mistakes)?;
        let mode = parse_emit(cursor)?;
        return Ok(Statement::Select(Select { query, mode, span: here }));
    }
    let Token::Word(word) = cursor.peek().clone() else {
        return Err(cursor.expected("a statement").next(SUPPORTED));
    };
    cursor.next();
    match word.value.to_ascii_uppercase().as_str() {
        "CREATE" => parse_create(cursor, mistakes),
        "INSERT" => parse_insert(cursor, mistakes).map(Statement::Insert),
        "DROP" => parse_drop(cursor),
        "SET" if cursor.is_at_end() => {
            Err(cursor.expected("the key of a setting").next("write SET 'key' = 'value'"))
        }
        "SET" => parse_option(cursor).map(|(key, option)| Statement::Set { key, option }),
        "RESET" if cursor.is_at_end() => Ok(Statement::Reset { key: None, span: here }),
        "RESET" => parse_key(cursor)
            .map(|(text, span)| Statement::Reset { key: Some(Name { text, span }), span: here }),
        "SHOW" => parse_show(cursor, here),
        "DESCRIBE" | "DESC" => {
            cursor.take_word("EXTENDED");
            cursor.name("the name of a table").map(Statement::Describe)
        }
        "EXPLAIN" => {
            let kind = parse_explain_kind(cursor)?;
            if !(starts_query(cursor) || cursor.is_word("INSERT")) {
                return Err(cursor.expected("SELECT, INSERT or STATEMENT SET"));
            }
            let statement = Box::new(parse_statement(cursor, mistakes)?);
            Ok(Statement::Explain { kind, statement, span: here })
        }
        first => {
            cursor.back_to(begin);
            Err(no_statement(first, here))
        }
    }
}

/// Whether a statement seems to begin here.
pub(super) fn starts_statement(cursor: &Cursor) -> bool {
    ["CREATE", "INSERT", "EXPLAIN", "DESCRIBE", "SHOW", "DROP"].iter().any(|word| cursor.is_word(word))
}

/// Takes the words behind EXPLAIN that say which plan is asked for.
pub(super) fn parse_explain_kind(cursor: &mut Cursor) -> SqlResult<ExplainKind> {
    if cursor.take_words(&["PLAN", "FOR"]) {
        return Ok(ExplainKind::All);
    }
    for (word, kind) in [
        ("LOGICAL", ExplainKind::Logical),
        ("STREAM", ExplainKind::Stream),
        ("TOPOLOGY", ExplainKind::Topology),
    ] {
        if cursor.take_word(word) {
            return Ok(kind);
        }
    }
    let here = cursor.here();
    let others = [
        "ANALYZE",
        "VERBOSE",
        "FORMAT",
        "ESTIMATED_COST",
        "CHANGELOG_MODE",
        "JSON_EXECUTION_PLAN",
        "PLAN_ADVICE",
    ];
    match others.into_iter().find(|word| cursor.is_word(word)) {
        Some(word) => Err(SqlError::at(here, format!("EXPLAIN {word} is not supported"))
            .next("write EXPLAIN, or EXPLAIN LOGICAL, EXPLAIN STREAM or EXPLAIN TOPOLOGY for one plan")),
        None => Ok(ExplainKind::All),
    }
}

fn no_statement(first: &str, here: Span) -> SqlError {
    if let Some((_, next)) = REFUSED.iter().find(|(words, _)| words.contains(&first)) {
        return SqlError::at(here, format!("{first} is not supported")).next(*next);
    }
    let mistake = SqlError::at(here, format!("no statement begins with `{first}`"));
    match closest(first, STARTS) {
        Some(near) => mistake.next(format!("did you mean {near}?")),
        None => mistake.next(SUPPORTED),
    }
}

fn starts_query(cursor: &Cursor) -> bool {
    ["SELECT", "WITH", "VALUES"].iter().any(|word| cursor.is_word(word)) || *cursor.peek() == Token::LParen
}

fn parse_query(cursor: &mut Cursor, mistakes: &mut Vec<SqlError>) -> SqlResult<Box<Query>> {
    if !starts_query(cursor) {
        return Err(cursor.expected("SELECT, WITH or VALUES"));
    }
    let query = cursor.query()?;
    mistakes.extend(refuse(&query));
    Ok(query)
}

fn parse_create(cursor: &mut Cursor, mistakes: &mut Vec<SqlError>) -> SqlResult<Statement> {
    let replaces = cursor.take_words(&["OR", "REPLACE"]);
    let is_temporary = cursor.take_word("TEMPORARY") || cursor.take_word("TEMP");
    let here = cursor.here();
    let is_view = cursor.take_word("VIEW");
    if !is_view && !cursor.take_word("TABLE") {
        let Token::Word(word) = cursor.peek() else { return Err(cursor.expected("TABLE or VIEW")) };
        let what = word.value.to_ascii_uppercase();
        let mistake = SqlError::at(here, format!("CREATE {what} is not supported"));
        return Err(match (closest(&what, ["TABLE", "VIEW", "TEMPORARY"]), what.as_str()) {
            (Some(near), _) => mistake.next(format!("did you mean {near}?")),
            (None, "STREAM" | "SOURCE" | "SINK") => {
                mistake.next("write CREATE TABLE: a table is read and written")
            }
            (None, "MATERIALIZED") => {
                mistake.next("write CREATE VIEW, or INSERT INTO a table with a PRIMARY KEY")
            }
            (None, "FUNCTION") => mistake
                .because("functions are code of a program, and a script has none")
                .next("register it in a program of DataFrames: spark.udf().register(..)"),
            (None, _) => mistake.next("a script creates tables and views"),
        });
    }
    let on_existing = match (cursor.take_words(&["IF", "NOT", "EXISTS"]), replaces) {
        (false, false) => OnExisting::Refuse,
        (false, true) => OnExisting::Replace,
        (true, false) => OnExisting::Keep,
        (true, true) => {
            return Err(SqlError::at(here, "OR REPLACE and IF NOT EXISTS contradict each other")
                .next("take one away"));
        }
    };
    if !is_view {
        return parse_create_table(cursor, on_existing, is_temporary, mistakes).map(Statement::CreateTable);
    }
    let name = cursor.name("the name of a view")?;
    let columns = if *cursor.peek() == Token::LParen { parse_view_columns(cursor)? } else { vec![] };
    if cursor.take_word("COMMENT") {
        cursor.string("the comment")?;
    }
    cursor.expect_word("AS")?;
    let query = parse_query(cursor, mistakes)?;
    if is_emit(cursor) {
        return Err(SqlError::at(cursor.here(), "a view has no EMIT")
            .because("how changes are written is a matter of the table that they go to")
            .next("write it behind the INSERT that reads the view"));
    }
    Ok(Statement::CreateView(CreateView {
        name: name.text,
        span: name.span,
        columns,
        query,
        on_existing,
        is_temporary,
    }))
}

fn parse_view_columns(cursor: &mut Cursor) -> SqlResult<Vec<Name>> {
    cursor.expect(&Token::LParen)?;
    let mut columns: Vec<Name> = vec![];
    loop {
        let column = cursor.name("the name of a column")?;
        if columns.iter().any(|first| first.text == column.text) {
            return Err(SqlError::at(column.span, format!("there are two columns `{}`", column.text))
                .next("give one of them another name"));
        }
        columns.push(column);
        if cursor.take_word("COMMENT") {
            cursor.string("the comment")?;
        }
        if !cursor.take(&Token::Comma) {
            break;
        }
    }
    cursor.expect(&Token::RParen)?;
    Ok(columns)
}

fn parse_insert(cursor: &mut Cursor, mistakes: &mut Vec<SqlError>) -> SqlResult<Insert> {
    let here = cursor.here();
    if cursor.take_word("OVERWRITE") {
        return Err(SqlError::at(here, "INSERT OVERWRITE is not supported")
            .because("what was written to a topic stays")
            .next("write INSERT INTO"));
    }
    cursor.expect_word("INTO")?;
    let table = cursor.name("the name of a table")?;
    if cursor.is_word("PARTITION") {
        return Err(
            SqlError::at(cursor.here(), "PARTITION is not supported").next("write the columns in the query")
        );
    }
    let behind = cursor.peek_nth(1);
    let is_query =
        *behind == Token::LParen || ["SELECT", "WITH", "VALUES"].iter().any(|word| is_word(behind, word));
    let columns = if *cursor.peek() == Token::LParen && !is_query {
        cursor.names("the name of a column")?
    } else {
        vec![]
    };
    for (number, column) in columns.iter().enumerate() {
        if columns[..number].iter().any(|first| first.text == column.text) {
            let message = format!("the column `{}` is written twice", column.text);
            mistakes.push(SqlError::at(column.span, message).next("take one of them away"));
        }
    }
    let query = parse_query(cursor, mistakes)?;
    let mode = parse_emit(cursor)?;
    Ok(Insert { table: table.text, span: table.span, columns, query, mode })
}

fn is_emit(cursor: &Cursor) -> bool {
    cursor.is_word("EMIT")
}

fn parse_emit(cursor: &mut Cursor) -> SqlResult<Option<Emit>> {
    let begin = cursor.position();
    if !cursor.take_word("EMIT") {
        return Ok(None);
    }
    let mode = if cursor.take_word("CHANGES") {
        EmitMode::Changes
    } else if cursor.take_words(&["ON", "WINDOW", "CLOSE"]) {
        EmitMode::OnWindowClose
    } else if cursor.take_word("COMPLETE") {
        EmitMode::Complete
    } else {
        let mistake = cursor.expected("CHANGES, ON WINDOW CLOSE or COMPLETE");
        return Err(if cursor.is_word("FINAL") {
            mistake.next("write EMIT ON WINDOW CLOSE")
        } else {
            mistake
        });
    };
    Ok(Some(Emit { mode, span: cursor.span_since(begin) }))
}

fn parse_drop(cursor: &mut Cursor) -> SqlResult<Statement> {
    cursor.take_word("TEMPORARY");
    let is_view = cursor.take_word("VIEW");
    if !is_view && !cursor.take_word("TABLE") {
        return Err(cursor.expected("TABLE or VIEW"));
    }
    let if_exists = cursor.take_words(&["IF", "EXISTS"]);
    let name = cursor.name(if is_view { "the name of a view" } else { "the name of a table" })?;
    Ok(Statement::Drop(Drop { name, is_view, if_exists }))
}

fn parse_show(cursor: &mut Cursor, span: Span) -> SqlResult<Statement> {
    for (word, what) in [("TABLES", Show::Tables), ("VIEWS", Show::Views), ("FUNCTIONS", Show::Functions)] {
        if cursor.take_word(word) {
            return Ok(Statement::Show { what, span });
        }
    }
    Err(cursor.expected("TABLES, VIEWS or FUNCTIONS").next("DESCRIBE table shows the columns of a table"))
}
