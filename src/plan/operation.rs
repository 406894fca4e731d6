//! The operations of a user's program: who a node belongs to, and where that stands.
//!
//! Owns identity and place. Knows no node. Invariant: two operations have two identities, also when they stand at one place, as in a
//! loop.

use crate::host::{self, Line};
use std::{borrow::Cow, fmt, panic::Location, sync::Arc};

/// A place in the user's program; shows as `file:line:column`, or without the column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In Rust code.
    Rust(&'static Location<'static>),
    /// In a text that is read when the program runs.
    Text {
        /// The name of the text.
        file: Arc<str>,
        /// Counts from 1.
        line: u32,
        /// Counts from 1.
        column: u32,
    },
    /// In a program of another language.
    Host(Line),
}

/// Where the user's program calls: what calls for a program of another language says which line of it that is.
impl From<&'static Location<'static>> for Place {
    fn from(at: &'static Location<'static>) -> Self {
        host::caller().map_or(Place::Rust(at), Place::Host)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Rust(at) => at.fmt(f),
            Place::Text { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Host(Line { file, line }) => write!(f, "{file}:{line}"),
        }
    }
}

/// The identity of one operation of a program, among those of its topology. Not durable: names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(super) u32);

/// One operation of the user's program; all nodes that it consists of carry it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Which.
    pub id: OperationId,
    /// Where.
    pub place: Place,
}

/// What a node is called: `map`, `reduce_by_key`; a planner's may be made when it plans.
pub type Kind = Cow<'static, str>;
