//! Functions with `OVER`: each row with what a function makes of the rows of its partition that came before it in event time.
//!
//! Knows no text. Invariants: rows wait, sorted, until the watermark has passed them, so a row leaves once and is never taken back; rows of
//! one time are in the order of their other columns, from left to right.

mod compute;
mod operator;
mod partition;
mod plan;
mod running;
#[cfg(test)]
mod tests;

pub use operator::Over;
pub use plan::{Frame, OverCall, OverFunction, OverPlan};
