//! A stream joined with the versions of a table: each row meets the one that was valid at its time.
//!
//! Knows no text and no plan. Invariants: a row of the stream leaves once, in the batch in which the watermark of both inputs passes its time,
//! with what is then known of that time; of versions that no row can meet any more nothing is kept.

mod operator;
mod plan;
mod rows;
#[cfg(test)]
mod tests;
mod versions;

pub use operator::{AsOf, AsOfStores};
pub use plan::AsOfPlan;
