//! Keys with values: `WITH (..)`, and SET.
//!
//! Owns how they are written. Knows no option by name. Invariant: each value is a text, as it was written; no key is there twice.

use super::cursor::Cursor;
use crate::sql::{Span, SqlError, SqlOption, SqlResult};
use datafusion_sql::sqlparser::tokenizer::Token;
use std::collections::BTreeMap;

/// Takes `(key = value, ..)`. A part that can't be read is a mistake, and the others are read.
pub(super) fn parse_options(
    cursor: &mut Cursor,
    mistakes: &mut Vec<SqlError>,
) -> SqlResult<BTreeMap<String, SqlOption>> {
    cursor.expect(&Token::LParen)?;
    let mut options = BTreeMap::<String, SqlOption>::new();
    loop {
        let begin = cursor.position();
        match parse_option(cursor).and_then(|option| ends_part(cursor).map(|()| option)) {
            Ok((key, option)) => match options.get(&key) {
                Some(first) => mistakes.push(
                    SqlError::at(option.key_span, format!("the option `{key}` is given twice"))
                        .because(format!("it is `{}` in line {}", first.value, first.key_span.line))
                        .next("take one of them away"),
                ),
                None => {
                    options.insert(key, option);
                }
            },
            Err(mistake) => {
                mistakes.push(mistake);
                cursor.skip_part(begin, false);
            }
        }
        if !cursor.take(&Token::Comma) {
            break;
        }
    }
    cursor.expect(&Token::RParen)?;
    Ok(options)
}

/// Takes `key = value`.
pub(super) fn parse_option(cursor: &mut Cursor) -> SqlResult<(String, SqlOption)> {
    let (key, key_span) = parse_key(cursor)?;
    cursor.expect(&Token::Eq)?;
    let (value, value_span) = parse_value(cursor)?;
    Ok((key, SqlOption { value, key_span, value_span }))
}

/// Takes the key of an option: in quotes as it is, without quotes in small letters, with points and dashes.
pub(super) fn parse_key(cursor: &mut Cursor) -> SqlResult<(String, Span)> {
    let begin = cursor.position();
    let mut key = String::new();
    loop {
        match cursor.peek() {
            Token::SingleQuotedString(text) if key.is_empty() => key.clone_from(text),
            Token::Word(word) if word.quote_style.is_some() => key += &word.value,
            Token::Word(word) => key += &word.value.to_lowercase(),
            Token::Number(digits, _) if !key.is_empty() => key += digits,
            _ => return Err(cursor.expected("the key of an option")),
        }
        let is_text = matches!(cursor.next().token, Token::SingleQuotedString(_));
        match cursor.peek() {
            Token::Period if !is_text => key.push('.'),
            Token::Minus if !is_text => key.push('-'),
            _ => return Ok((key, cursor.span_since(begin))),
        }
        cursor.next();
    }
}

fn parse_value(cursor: &mut Cursor) -> SqlResult<(String, Span)> {
    let begin = cursor.position();
    let sign = if cursor.take(&Token::Minus) { "-" } else { "" };
    let value = match cursor.peek() {
        Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text) if sign.is_empty() => {
            text.clone()
        }
        Token::Number(digits, _) => format!("{sign}{digits}"),
        Token::Word(word) if word.quote_style.is_none() && is_truth(&word.value) => word.value.to_lowercase(),
        Token::Word(word) => {
            let next = format!("write '{}'", word.value);
            let message = "the value of an option is a string in single quotes, a number, TRUE or FALSE";
            return Err(SqlError::at(cursor.here(), message).next(next));
        }
        _ => return Err(cursor.expected("a string in single quotes, a number, TRUE or FALSE")),
    };
    cursor.next();
    Ok((value, cursor.span_since(begin)))
}

fn is_truth(word: &str) -> bool {
    word.eq_ignore_ascii_case("TRUE") || word.eq_ignore_ascii_case("FALSE")
}

/// That a part of a list ends here.
pub(super) fn ends_part(cursor: &Cursor) -> SqlResult {
    match cursor.peek() {
        Token::Comma | Token::RParen => Ok(()),
        _ => Err(cursor.expected("`,` or `)`")),
    }
}
