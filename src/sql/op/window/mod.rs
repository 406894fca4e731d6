//! Windows over event time: where it begins, which windows a row lies in, and aggregates that leave when a window closes.
//!
//! Knows no text and no plan. Invariant: marks of event time come behind the rows that they speak of.

mod aggregate;
mod assign;
#[cfg(test)]
mod tests;
mod time;
mod watermark;

pub use aggregate::WindowAggregate;
pub use assign::{AssignWindows, WindowKind, Windows};
pub use time::{WindowEnds, WindowMarks};
pub use watermark::Watermark;

pub(crate) use assign::times_ms;
