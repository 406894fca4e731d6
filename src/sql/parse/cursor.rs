//! A place among the words of one statement.
//!
//! Owns looking ahead, taking words and saying what was expected. Knows no statement. Invariant: what is not taken stays; a mistake has
//! the place of the word that it is about.

use super::dialect::StreamDialect;
use super::statement::Name;
use super::syntax_error::{DEPTH_MAX, end_of, span_of, syntax_error, unexpected};
use crate::sql::{Span, SqlError, SqlResult};
use datafusion_sql::sqlparser::ast::{DataType, Expr, Ident, Query, SelectItem};
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

static DIALECT: StreamDialect = StreamDialect;

/// Reads one statement.
pub(super) struct Cursor {
    parser: Parser<'static>,
    /// Without spaces and comments.
    tokens: Vec<TokenWithSpan>,
}

impl Cursor {
    /// At the begin of these tokens, which are those of one statement.
    pub(super) fn new(tokens: &[TokenWithSpan]) -> Self {
        let is_word = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
        let tokens: Vec<TokenWithSpan> = tokens.iter().filter(is_word).cloned().collect();
        let parser = Parser::new(&DIALECT).with_recursion_limit(DEPTH_MAX);
        Cursor { parser: parser.with_tokens_with_locations(tokens.clone()), tokens }
    }

    /// The next word or sign.
    pub(super) fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    /// The one behind `n` others.
    pub(super) fn peek_nth(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    /// Takes the next word or sign.
    pub(super) fn next(&mut self) -> TokenWithSpan {
        self.parser.next_token()
    }

    /// Whether everything is read.
    pub(super) fn is_at_end(&self) -> bool {
        *self.peek() == Token::EOF
    }

    /// Where the next word stands, or the end.
    pub(super) fn here(&self) -> Span {
        match self.parser.peek_token_ref() {
            TokenWithSpan { token: Token::EOF, .. } => end_of(&self.tokens),
            token => span_of(token),
        }
    }

    /// A position to come back to.
    pub(super) fn position(&self) -> usize {
        self.parser.index()
    }

    /// Goes back to a position.
    pub(super) fn back_to(&mut self, position: usize) {
        while self.parser.index() > position {
            self.parser.prev_token();
        }
    }

    /// What was read since a position: from its first word to its last, as far as they are in one line.
    pub(super) fn span_since(&self, position: usize) -> Span {
        let read = self.tokens.get(position..self.parser.index()).unwrap_or_default();
        let Some(first) = read.first() else { return self.here() };
        let last = read.iter().rfind(|last| last.span.end.line == first.span.start.line).unwrap_or(first);
        span_of(&TokenWithSpan { token: Token::EOF, span: first.span.start.span_to(last.span.end) })
    }

    /// Skips to the comma that ends the part of a list that begins at a position, or to the end of the list. Commas between `<` and `>`
    /// count as parts of it if `in_type`.
    pub(super) fn skip_part(&mut self, begin: usize, in_type: bool) {
        self.back_to(begin);
        let (mut parens, mut angles) = (0, 0);
        loop {
            match self.peek() {
                Token::EOF => return,
                Token::Comma if parens == 0 && angles <= 0 => return,
                Token::RParen if parens == 0 => return,
                Token::LParen => parens += 1,
                Token::RParen => parens -= 1,
                Token::Lt if in_type => angles += 1,
                Token::Gt if in_type => angles -= 1,
                Token::ShiftRight if in_type => angles -= 2,
                _ => {}
            }
            self.next();
        }
    }

    /// Whether the next word is this one.
    pub(super) fn is_word(&self, word: &str) -> bool {
        is_word(self.peek(), word)
    }

    /// Takes these words if they are the next ones.
    pub(super) fn take_words(&mut self, words: &[&str]) -> bool {
        let are_next = words.iter().enumerate().all(|(n, word)| is_word(self.peek_nth(n), word));
        if are_next {
            for _ in words {
                self.parser.advance_token();
            }
        }
        are_next
    }

    /// Takes a word if it is the next one.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.take_words(&[word])
    }

    /// Takes a sign if it is the next one.
    pub(super) fn take(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes a word, and says where it stands.
    pub(super) fn expect_word(&mut self, word: &str) -> SqlResult<Span> {
        let here = self.here();
        if self.take_word(word) { Ok(here) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    /// Takes a sign, and says where it stands.
    pub(super) fn expect(&mut self, token: &Token) -> SqlResult<Span> {
        let here = self.here();
        if self.take(token) { Ok(here) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    /// Takes a name of one part; `what` says of what.
    pub(super) fn name(&mut self, what: &str) -> SqlResult<Name> {
        let here = self.here();
        match self.peek() {
            Token::Word(_) => {}
            Token::SingleQuotedString(text) => {
                let next = format!("write `\"{text}\"` or `{text}`");
                return Err(SqlError::at(here, format!("expected {what}, but here is a string")).next(next));
            }
            _ => return Err(self.expected(what)),
        }
        let ident = self.run(Parser::parse_identifier)?;
        if *self.peek() == Token::Period {
            return Err(SqlError::at(self.here(), format!("{what} has one part only"))
                .because("there are no catalogs and no databases; the tables of a script are its own")
                .next("leave out what stands before the last name"));
        }
        Ok(Name { text: name_of(&ident), span: here })
    }

    /// Takes names in parentheses.
    pub(super) fn names(&mut self, what: &str) -> SqlResult<Vec<Name>> {
        self.expect(&Token::LParen)?;
        let mut names = vec![];
        loop {
            names.push(self.name(what)?);
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        Ok(names)
    }

    /// Takes a string; `what` says what it tells.
    pub(super) fn string(&mut self, what: &str) -> SqlResult<(String, Span)> {
        let here = self.here();
        match self.peek() {
            Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text) => {
                let text = text.clone();
                self.parser.advance_token();
                Ok((text, here))
            }
            Token::Word(word) => {
                let next = format!("write '{}'", word.value);
                let mistake = self.expected(&format!("{what} in single quotes"));
                Err(SqlError { span: Some(here), ..mistake }.next(next))
            }
            _ => Err(self.expected(&format!("{what} in single quotes"))),
        }
    }

    /// Takes an expression.
    pub(super) fn expr(&mut self) -> SqlResult<Expr> {
        self.run(Parser::parse_expr)
    }

    /// Takes a column of the list of a SELECT.
    pub(super) fn select_item(&mut self) -> SqlResult<SelectItem> {
        self.run(Parser::parse_select_item)
    }

    /// Takes a type.
    pub(super) fn data_type(&mut self) -> SqlResult<DataType> {
        self.run(Parser::parse_data_type)
    }

    /// Takes a query.
    pub(super) fn query(&mut self) -> SqlResult<Box<Query>> {
        let begin = self.position();
        self.run(Parser::parse_query).map_err(|mistake| self.mistake_inside(begin).unwrap_or(mistake))
    }

    /// That something else was expected here.
    pub(super) fn expected(&self, what: &str) -> SqlError {
        let at = match self.parser.peek_token_ref() {
            TokenWithSpan { token: Token::EOF, .. } => None,
            next => self.tokens.iter().position(|token| token.span == next.span),
        };
        unexpected(what, at, &self.tokens)
    }

    fn run<T>(&mut self, parse: impl FnOnce(&mut Parser<'static>) -> Result<T, ParserError>) -> SqlResult<T> {
        parse(&mut self.parser).map_err(|error| syntax_error(&error, &self.tokens))
    }

    /// The mistake of the innermost query in parentheses that can't be read. The parser goes back to the parenthesis when a query in FROM
    /// is wrong, and then says that no table begins with SELECT.
    fn mistake_inside(&self, begin: usize) -> Option<SqlError> {
        let mut open = vec![];
        for number in begin..self.tokens.len() {
            match self.tokens[number].token {
                Token::LParen => open.push(number),
                Token::RParen => {
                    let tokens = &self.tokens[open.pop()? + 1..number];
                    let first = tokens.first().map(|first| &first.token);
                    if !first.is_some_and(|first| is_word(first, "SELECT") || is_word(first, "WITH")) {
                        continue;
                    }
                    let mut inner = Cursor::new(tokens);
                    match inner.run(Parser::parse_query) {
                        Ok(_) if inner.is_at_end() => {}
                        Ok(_) => return Some(inner.expected("`)`")),
                        Err(mistake) => return Some(mistake),
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Whether a token is this word, whatever the case of its letters.
pub(super) fn is_word(token: &Token, expected: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

/// What a name means: it is as it was written, as in Flink, whether it was quoted or not.
pub(super) fn name_of(ident: &Ident) -> String {
    ident.value.clone()
}
