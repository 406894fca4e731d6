//! Mistakes that the parser of queries finds, in plain words and with their place.
//!
//! Owns the translation. Knows no statement; the tokens it is given are without spaces and comments. Invariant: no name of a type of the parser is shown; a place is that of a token.

use crate::sql::closest::closest;
use crate::sql::{Span, SqlError};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, TokenizerError};

/// How deep an expression or a query may be nested.
pub(super) const DEPTH_MAX: usize = 50;

/// The words that a misspelt word of a query may be meant as.
const CLAUSES: [&str; 28] = [
    "SELECT",
    "DISTINCT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "OUTER",
    "CROSS",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "WINDOW",
    "PARTITION",
    "BETWEEN",
    "VALUES",
    "EMIT",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "WITH",
];

/// The mistake that the parser found among the tokens of a statement.
pub(super) fn syntax_error(error: &ParserError, tokens: &[TokenWithSpan]) -> SqlError {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::at(first(tokens), "this statement is nested too deeply")
                .because(format!("expressions and queries are read down to {DEPTH_MAX} levels"))
                .next("give a part of it a name with CREATE VIEW");
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let (text, location) = take_place(text);
    let at = location.and_then(|location| tokens.iter().position(|token| token.span.start == location));
    let expectation = text.strip_prefix("Expected: ").or_else(|| text.strip_prefix("Expected "));
    let Some((expected, found)) = expectation.and_then(|rest| rest.split_once(", found: ")) else {
        let span = at.map_or_else(|| end_of(tokens), |at| span_of(&tokens[at]));
        return SqlError::at(span, in_plain_words(text));
    };
    // Of a word such as FROM where a column is to stand, the parser names the place of the next one.
    let is_found = |at: &usize| tokens[*at].token.to_string() == found;
    let at = at.map(|at| at.checked_sub(1).filter(|before| is_found(before) && !is_found(&at)).unwrap_or(at));
    unexpected(&plain_expectation(expected), at, tokens)
}

/// The mistake that `expected` was to stand where a token or the end is (`at` = `None`).
pub(super) fn unexpected(expected: &str, at: Option<usize>, tokens: &[TokenWithSpan]) -> SqlError {
    let Some(found) = at else {
        // A statement that ends too soon misses a parenthesis more often than anything else.
        return match unbalanced(tokens) {
            Some((open, false)) => {
                SqlError::at(span_of(&tokens[open]), "this `(` is never closed").next("add the `)`")
            }
            _ => SqlError::at(end_of(tokens), format!("expected {expected}, but the statement ends here")),
        };
    };
    let (token, span) = (&tokens[found].token, span_of(&tokens[found]));
    if let Token::Char(character) = token {
        return stray(*character, span);
    }
    if unbalanced(tokens) == Some((found, true)) {
        return SqlError::at(span, "this `)` closes nothing")
            .next("take it away, or add the `(` that it closes");
    }
    let before = found.checked_sub(1).map(|before| &tokens[before]);
    if let Some(comma) = before.filter(|before| before.token == Token::Comma && is_clause(token)) {
        return SqlError::at(span_of(comma), format!("there is a comma too many before {}", shown(token)))
            .next("take the comma away");
    }
    if let Some(case) = open_case(tokens) {
        return SqlError::at(span_of(case), "this CASE has no END")
            .next("write CASE WHEN .. THEN .. ELSE .. END");
    }
    let mistake = SqlError::at(span, format!("expected {expected}, but here is {}", shown(token)));
    for candidate in [Some(&tokens[found]), before].into_iter().flatten() {
        if let Some(word) = misspelt(&candidate.token) {
            let message = format!("{} is not a word of SQL that can stand here", shown(&candidate.token));
            return SqlError::at(span_of(candidate), message).next(format!("did you mean `{word}`?"));
        }
    }
    mistake
}

/// A mistake of the text itself, such as a string that does not end.
pub(super) fn lexical_error(error: &TokenizerError, place: Option<Span>) -> SqlError {
    let TokenizerError { message, location } = error;
    let span = place.or_else(|| span_at(*location));
    if message.starts_with("Unterminated string") {
        return SqlError::at(span, "this string does not end")
            .next("close it with `'`; a quote inside of it is written `''`");
    }
    if message.contains("close delimiter") {
        return SqlError::at(span, "this quoted name does not end")
            .next("close it with the quote that it begins with");
    }
    if message.contains("multi-line comment") {
        return SqlError::at(span, "this comment does not end").next("close it with `*/`");
    }
    SqlError::at(span, in_plain_words(message))
}

/// A character that stands outside of names, strings and operators.
pub(super) fn stray(character: char, span: Span) -> SqlError {
    let mistake = SqlError::at(span, format!("the character `{character}` has no meaning here"));
    match character {
        '\u{2018}' | '\u{2019}' | '\u{b4}' => mistake.next("strings are quoted by `'`"),
        '\u{201c}' | '\u{201d}' => mistake.next("names are quoted by `\"` or back ticks, strings by `'`"),
        '\u{a0}' => mistake.because("it is a space that does not break lines").next("write a plain space"),
        _ => mistake,
    }
}

/// A token as it was written, in back ticks.
pub(super) fn shown(token: &Token) -> String {
    let text = token.to_string();
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { ".." } else { "" };
    if short.contains('`') { format!("{short}{dots}") } else { format!("`{short}{dots}`") }
}

/// Where a token stands.
pub(super) fn span_of(token: &TokenWithSpan) -> Span {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let (start, end) = (token.span.start, token.span.end);
    let width = if start.line == end.line { end.column.saturating_sub(start.column) } else { 1 };
    Span { line: number(start.line), column: number(start.column), width: number(width).max(1) }
}

/// The place behind the last token.
pub(super) fn end_of(tokens: &[TokenWithSpan]) -> Span {
    tokens.last().map_or(Span { line: 1, column: 1, width: 1 }, |last| {
        let end = TokenWithSpan { token: Token::EOF, span: last.span.end.span_to(last.span.end) };
        span_of(&end)
    })
}

fn first(tokens: &[TokenWithSpan]) -> Option<Span> {
    tokens.first().map(span_of)
}

fn span_at(location: Location) -> Option<Span> {
    let token = TokenWithSpan { token: Token::EOF, span: location.span_to(location) };
    (location.line > 0).then(|| span_of(&token))
}

/// The text without the place that stands at its end.
fn take_place(text: &str) -> (&str, Option<Location>) {
    let Some((before, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let numbers = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    match numbers {
        Some((line, column)) => (before, Some(Location { line, column })),
        None => (text, None),
    }
}

/// A sentence of the parser, as one of ours: it begins with a small letter.
fn in_plain_words(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    let begins_word = text.chars().nth(1).is_some_and(char::is_lowercase);
    match characters.next() {
        Some(first) if begins_word => first.to_lowercase().chain(characters).collect(),
        _ => text.to_string(),
    }
}

fn plain_expectation(expected: &str) -> String {
    match expected {
        "end of statement" => "the end of the statement".to_string(),
        "an expression" | "an expression:" => "an expression".to_string(),
        "identifier" => "a name".to_string(),
        "joined table" => "a table or a query".to_string(),
        "SELECT, VALUES, or a subquery in the query body" => {
            "SELECT, VALUES or a query in parentheses".to_string()
        }
        _ if !expected.chars().any(char::is_lowercase) => format!("`{expected}`"),
        _ => expected.to_string(),
    }
}

/// The first parenthesis that is never closed (`false`), or that closes nothing (`true`).
fn unbalanced(tokens: &[TokenWithSpan]) -> Option<(usize, bool)> {
    let mut open = vec![];
    for (number, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => open.push(number),
            Token::RParen if open.pop().is_none() => return Some((number, true)),
            _ => {}
        }
    }
    open.first().map(|number| (*number, false))
}

/// The last CASE that is not closed.
fn open_case(tokens: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    let mut open = vec![];
    for token in tokens {
        match &token.token {
            Token::Word(word) if word.keyword == Keyword::CASE && word.quote_style.is_none() => {
                open.push(token);
            }
            Token::Word(word) if word.keyword == Keyword::END && word.quote_style.is_none() => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

fn is_clause(token: &Token) -> bool {
    matches!(token, Token::RParen)
        || matches!(token, Token::Word(word) if word.quote_style.is_none()
            && CLAUSES.iter().any(|clause| word.value.eq_ignore_ascii_case(clause)))
}

/// The word of a clause that a token may be meant as.
fn misspelt(token: &Token) -> Option<&'static str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() && word.keyword == Keyword::NoKeyword => {
            closest(&word.value.to_ascii_uppercase(), CLAUSES)
        }
        _ => None,
    }
}
