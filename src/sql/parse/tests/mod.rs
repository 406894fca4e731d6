//! What the author of a script sees, and what becomes of good statements.

#![allow(clippy::needless_raw_string_hashes, reason = "so are snapshots written when they are updated")]

mod mistakes_in_queries;
mod mistakes_in_tables;
mod nexmark;
mod statements;
mod table_functions;

use super::{Statement, parse};
use crate::sql::SourceText;

/// The statements of a text that has no mistake.
pub(super) fn good(text: &str) -> Vec<Statement> {
    let source = SourceText::new("q.sql", text);
    parse(&source).unwrap_or_else(|mistakes| {
        let shown: Vec<String> = mistakes.iter().map(|mistake| mistake.shown_in(&source)).collect();
        panic!("{}", shown.join("\n"))
    })
}

/// The only statement of a text.
pub(super) fn one(text: &str) -> Statement {
    let [statement] = <[Statement; 1]>::try_from(good(text)).unwrap();
    statement
}

/// What the author of a text with mistakes sees.
pub(super) fn seen(text: &str) -> String {
    let source = SourceText::new("q.sql", text);
    let mistakes = parse(&source).expect_err("there is a mistake");
    mistakes.iter().map(|mistake| mistake.shown_in(&source) + "\n").collect()
}
