//! How the text is cut into words, and the two places where a streaming query is written otherwise than a plain one.
//!
//! Owns the rules that `sqlparser` asks for. Knows no statement of ours. Invariant: names are quoted by back ticks or double quotes,
//! strings by single quotes, as in Flink SQL; the tree of a query uses nodes of `sqlparser` only.
//!
//! Two forms have no node of their own there, so they are written as calls of functions that can't be called otherwise:
//!
//! | text, as an argument of a function | node |
//! |---|---|
//! | `TABLE t`, `TABLE a.t` | `Expr::Function` named `TABLE` with one argument: `Expr::Identifier` or `Expr::CompoundIdentifier` |
//! | `TABLE t PARTITION BY k, l` | the same, and the keys are in `over`, as `WindowType::WindowSpec` with `partition_by` |
//! | `DESCRIPTOR(ts)` | `Expr::Function` named `DESCRIPTOR`, as it would be parsed anyway |
//!
//! [`super::TableFunctionCall`] reads them.

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    WindowSpec, WindowType,
};
use datafusion_sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::Token;
use std::any::TypeId;

/// The dialect of scripts. Settings and functions that planners of `DataFusion` are tested with stay as they are there.
#[derive(Debug, Default)]
pub struct StreamDialect;

impl Dialect for StreamDialect {
    // The parser looks at the type for a few forms, such as UNNEST in FROM; these are to be as DataFusion knows them.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    // `$` is part of names such as `bid$late`.
    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        true
    }

    // Taken, so that it can be refused by name.
    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn is_column_alias(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        !begins_emit(parser) && GENERIC.is_column_alias(kw, parser)
    }

    fn is_table_alias(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        !begins_emit(parser) && GENERIC.is_table_alias(kw, parser)
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let [table, name] = parser.peek_tokens_ref();
        let is_table = matches!(&table.token, Token::Word(word) if word.keyword == Keyword::TABLE && word.quote_style.is_none());
        (is_table && matches!(name.token, Token::Word(_))).then(|| table_argument(parser))
    }
}

static GENERIC: GenericDialect = GenericDialect {};

/// Whether the word that was just read, as the name of a column or a table perhaps, is `EMIT`.
fn begins_emit(parser: &Parser<'_>) -> bool {
    matches!(&parser.get_current_token().token,
        Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("EMIT"))
}

/// `TABLE name [PARTITION BY ..]` as an argument.
fn table_argument(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let word = parser.next_token();
    let mut parts = vec![parser.parse_identifier()?];
    while parser.consume_token(&Token::Period) {
        parts.push(parser.parse_identifier()?);
    }
    let partition_by = if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        partition_keys(parser)?
    } else {
        vec![]
    };
    let name = match <[Ident; 1]>::try_from(parts) {
        Ok([part]) => Expr::Identifier(part),
        Err(parts) => Expr::CompoundIdentifier(parts),
    };
    let arguments = FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(name))],
        clauses: vec![],
    };
    let window = WindowSpec { window_name: None, partition_by, order_by: vec![], window_frame: None };
    Ok(Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_span(word.span, "TABLE")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(arguments),
        filter: None,
        null_treatment: None,
        over: (!window.partition_by.is_empty()).then_some(WindowType::WindowSpec(window)),
        within_group: vec![],
    }))
}

/// The keys of `PARTITION BY`: one, several in parentheses, or several up to the argument that is a call.
fn partition_keys(parser: &mut Parser<'_>) -> Result<Vec<Expr>, ParserError> {
    if parser.consume_token(&Token::LParen) {
        let keys = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(&Token::RParen)?;
        return Ok(keys);
    }
    let mut keys = vec![parser.parse_expr()?];
    // `TABLE t PARTITION BY a, b, DESCRIPTOR(ts)`: a name that is followed by a comma is one more key.
    loop {
        let [comma, name, after] = parser.peek_tokens_ref();
        let is_key = comma.token == Token::Comma && matches!(name.token, Token::Word(_));
        if !is_key || !matches!(after.token, Token::Comma | Token::Period) {
            return Ok(keys);
        }
        parser.advance_token();
        keys.push(parser.parse_expr()?);
    }
}
