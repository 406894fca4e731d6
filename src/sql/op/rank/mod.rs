//! The first rows of partitions in some order: top-N, and the special case of the first one.
//!
//! Knows no text. Invariant: rows that are equal in the order asked for are in the order of their other columns, from left to right, so
//! that every run, however it is cut and placed, gives the same rows.

mod pending;
mod plan;
mod ranks;
#[cfg(test)]
mod tests;
mod top_n;

pub use plan::{OrderColumn, RankFunction, Ranking, TopNPlan};
pub use top_n::TopN;
