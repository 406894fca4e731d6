//! The operators of SQL: rows of columns in, rows of columns out.
//!
//! Knows no text and no plan. Invariant: at the end of a batch, the rows that have left an operator, weighted and summed, are what it
//! computes of all rows that it has taken so far.

mod aggregate;
mod aggregation;
mod calc;
mod exchange;
mod partial;
#[cfg(test)]
mod tests;
mod union;
mod unnest;
mod upsert;
mod value_call;
mod values;
mod window;

pub use aggregate::{Aggregate, Takes};
pub use aggregation::Aggregation;
pub use calc::{Calc, CalcPlan};
pub use exchange::ByColumns;
pub use partial::PartialAggregate;
pub use union::Union;
pub use unnest::Unnest;
pub use upsert::{Upsert, UpsertPlan};
pub use window::{AssignWindows, Watermark, WindowAggregate, WindowEnds, WindowKind, WindowMarks, Windows};

pub(crate) use window::times_ms;
