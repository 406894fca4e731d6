//! Mistakes of a program that uses DataFrames, at the line that made them: of Rust, or of the language whose program the process runs.
//!
//! Owns how they are told. Knows no frame. Invariant: a mistake is shown as `file:line:column: message`, the reason and the next step, as
//! those of a script are.

use crate::{
    error::Error,
    plan::Place,
    sql::{SourceText, SqlError},
};
use std::panic::Location;

/// A place in the program.
pub type At = &'static Location<'static>;

/// A mistake at a line of the program.
pub fn told(at: At, mistake: SqlError) -> Error {
    SqlError { span: None, ..mistake }.into_error(&SourceText::new(Place::from(at).to_string(), ""))
}

/// A mistake at a line of the program: what is wrong, and what to do.
pub fn wrong(at: At, message: impl Into<String>, next: impl Into<String>) -> Error {
    told(at, SqlError::at(None, message).next(next))
}
