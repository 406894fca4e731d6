//! Stores whose keys and values are bytes that the operator makes and reads: rows of columns.
//!
//! Owns what such stores have in common: how the plan declares them, and what a key has become in a batch. Knows no column, no operator
//! and no log. Invariants: keys come in the order of their bytes where they are visited in order; a value whose bytes equal the
//! committed ones is not a change.

mod cell;
mod index;
mod table;

pub use index::{RowIndex, View};
pub use table::RowTable;

use super::{Placement, Store, StoreSpec, keyspace::Keyspace};
use std::sync::Arc;

/// How the plan declares a store of rows that is opened with `open`: its format is `kind format`.
fn spec<S: Store>(
    kind: &'static str,
    name: String,
    format: &str,
    open: fn(Keyspace, Formats) -> S,
) -> StoreSpec {
    let format = format!("{kind} {format}");
    let present = format.clone();
    StoreSpec {
        name,
        placement: Placement::Key,
        refusal: None,
        formats: vec![format.clone()],
        format,
        changes_since: Arc::new({
            let present = present.clone();
            move |earlier| {
                if earlier == present { Ok(vec![]) } else { Err("the columns of its rows are others".into()) }
            }
        }),
        open: Arc::new(move |name, backend, formats| {
            Box::new(open(Keyspace::new(name, backend), Formats::new(&present, formats)))
        }),
    }
}

/// The formats that the rows of a store may be in, by the number that a value begins with, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    all: Vec<String>,
    present: u8,
}

impl Formats {
    fn new(present: &str, earlier: &[String]) -> Self {
        let mut all = earlier.to_vec();
        let index = all.iter().position(|format| format == present).unwrap_or_else(|| {
            all.push(present.to_owned());
            all.len() - 1
        });
        Formats { all, present: u8::try_from(index + 1).unwrap_or(u8::MAX) }
    }

    /// The number of the format that values are written in.
    #[must_use]
    pub fn present(&self) -> u8 {
        self.present
    }

    /// The format of this number.
    #[must_use]
    pub fn of(&self, number: u8) -> Option<&str> {
        self.all.get(usize::from(number).checked_sub(1)?).map(String::as_str)
    }
}
