//! Windows over event time: where it begins, which windows a row lies in, and aggregates that leave when a window closes.
//!
//! Knows no text and no plan. Invariant: marks of event time come behind the rows that they speak of.

mod aggregate;
mod assign;
mod batch_time;
mod closing;
mod late;
mod report;
mod session;
#[cfg(test)]
mod tests;
mod time;
mod watermark;

pub use aggregate::{WindowAggregate, WindowStores};
pub use assign::{AssignWindows, WindowKind, Windows};
pub use batch_time::BatchTimeMarks;
pub use closing::Closing;
pub use late::LateRows;
pub use session::{SessionAggregate, SessionColumn, SessionPlan, SessionStores};
pub use time::{WindowEnds, WindowMarks};
pub use watermark::Watermark;

pub(crate) use assign::times_ms;
pub(super) use closing::{DELETED_PER_BATCH, ends_ms, time_bytes, time_of};
pub(super) use time::WindowTime;
