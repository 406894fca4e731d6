//! From the text of a script to its statements.
//!
//! Owns the grammar: the words of Flink SQL, with the queries of `DataFusion`. Knows no catalog and no plan. Invariant: every statement
//! with a mistake gives at least one error with a place, and a mistake in one statement hides none in another.
//!
//! The text is cut into words once, and the words into statements at each `;`, so that what follows a mistake is read from the next
//! statement on. [`TableFunctionCall`] says how `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), ..))` looks in the tree of a query.

mod create_table;
mod cursor;
mod dialect;
mod dispatch;
mod options;
mod refuse;
mod statement;
mod syntax_error;
mod table_function;
#[cfg(test)]
mod tests;
mod types;
mod watermark;

pub use dialect::StreamDialect;
pub use statement::{
    CreateTable, CreateView, Drop, Emit, EmitMode, ExplainKind, Insert, Name, OnExisting, Select, Show,
    Statement, StatementSet,
};
pub use table_function::{ArgumentValue, TableFunctionArgument, TableFunctionCall};
pub use types::{data_type, type_name};
pub use watermark::interval_ms;

use super::{SourceText, Span, SqlError, SqlResult};
use cursor::Cursor;
use datafusion_sql::sqlparser::ast::{DataType, SelectItem};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};
use dispatch::{parse_explain_kind, parse_statement, starts_statement};
use syntax_error::{end_of, lexical_error, span_of};

/// The statements of a script, in order.
///
/// # Errors
/// All mistakes that can be found by the words alone, in order of their places.
///
/// ```
/// use tidegate::sql::{SourceText, parse::{Statement, parse}};
/// let text = SourceText::new("q.sql", "CREATE VIEW dear AS SELECT * FROM bid WHERE price > 100; SHOW VIEWS;");
/// let statements = parse(&text).unwrap();
/// assert!(matches!(statements[0], Statement::CreateView(_)));
///
/// let mistakes = parse(&SourceText::new("q.sql", "SELECT * FORM bid")).unwrap_err();
/// assert_eq!(mistakes[0].next.as_deref(), Some("did you mean `FROM`?"));
/// ```
pub fn parse(text: &SourceText) -> Result<Vec<Statement>, Vec<SqlError>> {
    let dialect = StreamDialect;
    let mut tokens = vec![];
    let lexed = Tokenizer::new(&dialect, &text.text).tokenize_with_location_into_buf(&mut tokens);
    let mut parts: Vec<&[TokenWithSpan]> = tokens.split(|token| token.token == Token::SemiColon).collect();
    let mut script = Script::default();
    if let Err(error) = lexed {
        // The statement that the text breaks off in can't be judged.
        parts.pop();
        let begin = tokens.last().map(|last| end_of(std::slice::from_ref(last)));
        script.mistakes.push(lexical_error(&error, begin));
    }
    for part in parts {
        if part.iter().any(|token| !matches!(token.token, Token::Whitespace(_))) {
            script.take(part);
        }
    }
    script.end()
}

/// One column of the list of a SELECT: an expression with or without a name, or `*`.
///
/// # Errors
/// If it is none, with the place.
pub fn select_item(text: &SourceText) -> SqlResult<SelectItem> {
    let mut cursor = cursor_of(text)?;
    let item = cursor.select_item()?;
    if cursor.is_at_end() { Ok(item) } else { Err(cursor.expected("the end of the expression")) }
}

/// A type, by its name in SQL.
///
/// # Errors
/// If it is none, with the place.
pub fn type_of(text: &str) -> SqlResult<DataType> {
    let mut cursor = cursor_of(&SourceText::new("type", text))?;
    let data_type = cursor.data_type()?;
    if cursor.is_at_end() { Ok(data_type) } else { Err(cursor.expected("the end of the type")) }
}

fn cursor_of(text: &SourceText) -> SqlResult<Cursor> {
    let (dialect, mut tokens) = (StreamDialect, vec![]);
    let lexed = Tokenizer::new(&dialect, &text.text).tokenize_with_location_into_buf(&mut tokens);
    lexed.map_err(|error| {
        let begin = tokens.last().map(|last| end_of(std::slice::from_ref(last)));
        lexical_error(&error, begin)
    })?;
    Ok(Cursor::new(&tokens))
}

/// The statements so far.
#[derive(Default)]
struct Script {
    statements: Vec<Statement>,
    mistakes: Vec<SqlError>,
    /// The set of statements that is open.
    set: Option<OpenSet>,
}

struct OpenSet {
    inserts: Vec<Insert>,
    span: Span,
    /// EXPLAIN stands in front of it.
    explained: Option<(ExplainKind, Span)>,
}

impl Script {
    /// Takes the words up to a `;`.
    fn take(&mut self, tokens: &[TokenWithSpan]) {
        self.refuse_hints(tokens);
        let mut cursor = Cursor::new(tokens);
        if self.set.is_none() && self.open_set(&mut cursor) && cursor.is_at_end() {
            return;
        }
        if self.set.is_some() && cursor.is_word("END") {
            self.close_set(&mut cursor);
            return;
        }
        loop {
            let here = cursor.here();
            match parse_statement(&mut cursor, &mut self.mistakes) {
                Ok(statement) => self.add(statement, here),
                Err(mistake) => return self.mistakes.push(mistake),
            }
            if cursor.is_at_end() {
                return;
            }
            let word = if self.set.is_some() && cursor.is_word("END") { "END" } else { "" };
            if !starts_statement(&cursor) && word.is_empty() {
                return self.mistakes.push(cursor.expected("the end of the statement (`;`)"));
            }
            // What follows is read, as only the `;` is missing.
            self.mistakes.push(cursor.expected("`;`").next("end the statement before it with `;`"));
            if !word.is_empty() {
                return self.close_set(&mut cursor);
            }
        }
    }

    fn add(&mut self, statement: Statement, here: Span) {
        match (&mut self.set, statement) {
            (None, statement) => self.statements.push(statement),
            (Some(set), Statement::Insert(insert)) => set.inserts.push(insert),
            (Some(_), _) => self.mistakes.push(
                SqlError::at(here, "a statement set holds INSERT statements only")
                    .next("write it before BEGIN or behind END"),
            ),
        }
    }

    /// Takes the words that a set of statements begins with, if they are the next ones.
    fn open_set(&mut self, cursor: &mut Cursor) -> bool {
        let (begin, span) = (cursor.position(), cursor.here());
        let explained = match cursor.take_word("EXPLAIN").then(|| parse_explain_kind(cursor)) {
            None => None,
            Some(Ok(kind)) => Some((kind, span)),
            Some(Err(_)) => {
                cursor.back_to(begin);
                return false;
            }
        };
        let opens = cursor.take_words(&["EXECUTE", "STATEMENT", "SET", "BEGIN"])
            || cursor.take_words(&["BEGIN", "STATEMENT", "SET"])
            || (explained.is_some() && cursor.take_words(&["STATEMENT", "SET", "BEGIN"]));
        if opens {
            self.set = Some(OpenSet { inserts: vec![], span, explained });
        } else {
            cursor.back_to(begin);
        }
        opens
    }

    fn close_set(&mut self, cursor: &mut Cursor) {
        cursor.take_word("END");
        let Some(OpenSet { inserts, span, explained }) = self.set.take() else { return };
        if inserts.is_empty() && self.mistakes.is_empty() {
            self.mistakes.push(
                SqlError::at(span, "this statement set is empty")
                    .next("write INSERT statements between BEGIN and END"),
            );
        }
        let set = Statement::StatementSet(StatementSet { inserts, span });
        self.statements.push(match explained {
            Some((kind, span)) => Statement::Explain { kind, statement: Box::new(set), span },
            None => set,
        });
        if !cursor.is_at_end() {
            self.mistakes.push(cursor.expected("`;`").next("end the statement set with `END;`"));
        }
    }

    /// Hints look like comments: passed over, they would change what a query does in other systems only.
    fn refuse_hints(&mut self, tokens: &[TokenWithSpan]) {
        let hints = tokens.iter().filter(|token| {
            matches!(&token.token, Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+'))
        });
        self.mistakes.extend(hints.map(|hint| {
            SqlError::at(span_of(hint), "hints are not supported")
                .next("write it as an option of the table, or as a comment")
        }));
    }

    fn end(mut self) -> Result<Vec<Statement>, Vec<SqlError>> {
        if let Some(set) = &self.set
            && self.mistakes.is_empty()
        {
            self.mistakes.push(
                SqlError::at(set.span, "this statement set does not end")
                    .next("write END; behind its last INSERT"),
            );
        }
        if self.mistakes.is_empty() {
            return Ok(self.statements);
        }
        self.mistakes.sort_by_key(|mistake| mistake.span);
        self.mistakes.dedup();
        Err(self.mistakes)
    }
}
