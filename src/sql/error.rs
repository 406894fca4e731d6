//! What is wrong with a script: the mistake, its place with a picture, why, and what to write instead.
//!
//! Owns how such a mistake is shown. Knows no statement. Invariant: a mistake is shown as `file:line:column: message`, the line with a
//! caret under the place, and the next step.

use super::{SourceText, Span};
use crate::error::Error;
use std::fmt;

/// The result of what reads or plans a script.
pub type SqlResult<T = ()> = Result<T, SqlError>;

/// A mistake in a script.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What is wrong, in one sentence that begins with a small letter.
    pub message: String,
    /// Where; `None` if no place can be named.
    pub span: Option<Span>,
    /// Why it is not possible, if the message does not say it.
    pub reason: Option<String>,
    /// What to write instead, or what to do.
    pub next: Option<String>,
}

impl SqlError {
    /// A mistake at a place.
    #[must_use]
    pub fn at(span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        SqlError { message: message.into(), span: span.into(), reason: None, next: None }
    }

    /// With the reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With the next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// With a place, unless it has one.
    #[must_use]
    pub fn or_at(mut self, span: impl Into<Option<Span>>) -> Self {
        self.span = self.span.or(span.into());
        self
    }

    /// How it is shown to the author of the script.
    #[must_use]
    pub fn shown_in(&self, text: &SourceText) -> String {
        let mut shown = vec![];
        if let Some(span) = self.span {
            shown.push(format!("{}:{}:{}: {}", text.name, span.line, span.column, self.message));
            let line = text.line(span.line);
            let number = span.line.to_string();
            let before = line.chars().take((span.column as usize).saturating_sub(1));
            // A tab stays a tab, so that the caret stands below the place however wide tabs are.
            let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let carets = "^".repeat(span.width.max(1) as usize);
            shown.push(format!("  {number} | {line}"));
            shown.push(format!("  {} | {indent}{carets}", " ".repeat(number.len())));
        } else {
            shown.push(format!("{}: {}", text.name, self.message));
        }
        shown.extend(self.reason.iter().map(|reason| format!("  {reason}")));
        shown.extend(self.next.iter().map(|next| format!("  next: {next}")));
        shown.join("\n")
    }

    /// The error of the engine that it becomes.
    #[must_use]
    pub fn into_error(self, text: &SourceText) -> Error {
        Error::Plan(self.shown_in(text))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.message, self.span)
    }
}
