//! The operators of SQL: rows of columns in, rows of columns out.
//!
//! Knows no text and no plan. Invariant: at the end of a batch, the rows that have left an operator, weighted and summed, are what it
//! computes of all rows that it has taken so far.

mod aggregate;
mod aggregation;
mod exchange;
mod partial;
mod values;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregate, Takes};
pub use aggregation::Aggregation;
pub use exchange::ByColumns;
pub use partial::PartialAggregate;
