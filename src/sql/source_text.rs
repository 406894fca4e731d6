//! The text of a script, and places in it.
//!
//! Owns names, lines and columns. Knows no grammar. Invariant: lines and columns count from 1, columns in characters, as editors show
//! them.

use crate::plan::Place;
use datafusion_common::{Location, Span as PlannerSpan};
use datafusion_sql::sqlparser::ast::Spanned;
use std::{panic, sync::Arc};

/// A script with its name.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// What errors call it: the path as the user wrote it, or `-` for standard input.
    pub name: Arc<str>,
    /// All of it.
    pub text: Arc<str>,
    /// The line of a program that stands for all of its places.
    line: Option<Place>,
}

impl SourceText {
    /// A script called `name`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let text: Arc<str> = text.into();
        // Some editors begin a file with the mark of its byte order.
        let text = text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), Arc::from);
        SourceText { name: name.into(), text, line: None }
    }

    /// No text, but a line of a program.
    #[must_use]
    pub(super) fn at_program(at: &'static panic::Location<'static>) -> Self {
        let line = Place::from(at);
        SourceText { name: line.to_string().into(), text: "".into(), line: Some(line) }
    }

    /// A line, without its end; empty if there is none.
    #[must_use]
    pub fn line(&self, line: u32) -> &str {
        self.text.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default()
    }

    /// A place in it, for nodes of the plan.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        match &self.line {
            Some(line) => line.clone(),
            None => Place::Text { file: self.name.clone(), line: span.line, column: span.column },
        }
    }
}

/// A place in a script: where something begins, and how many characters of the line it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Counts from 1.
    pub line: u32,
    /// Counts from 1, in characters.
    pub column: u32,
    /// Characters; at least 1. What goes on in the next line ends with the line.
    pub width: u32,
}

impl Span {
    /// The place that the parser or the planner names; `None` if it names none.
    #[must_use]
    pub fn of(span: PlannerSpan) -> Option<Self> {
        let at =
            |location: Location| (u32::try_from(location.line).ok(), u32::try_from(location.column).ok());
        let ((Some(line), Some(column)), (end_line, end_column)) = (at(span.start), at(span.end)) else {
            return None;
        };
        let width = match (end_line, end_column) {
            (Some(end_line), Some(end)) if end_line == line => end.saturating_sub(column).max(1),
            _ => 1,
        };
        (line > 0).then_some(Span { line, column, width })
    }

    /// The place of a node of a parsed query; `None` if it is not known.
    #[must_use]
    pub fn of_node(node: &impl Spanned) -> Option<Self> {
        PlannerSpan::try_from_sqlparser_span(node.span()).and_then(Self::of)
    }
}
