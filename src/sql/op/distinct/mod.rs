//! `INTERSECT` and `EXCEPT`: rows that are in two relations, or in one only; and one row of each key.
//!
//! Knows no text. Invariant: what is kept of a row is how often each relation has it; a row that neither has is not kept.

mod first;
mod set;
#[cfg(test)]
mod tests;

pub use first::{Deduplicate, DeduplicatePlan, Expiry};
pub use set::{SetKind, SetOperation, SetPlan};
