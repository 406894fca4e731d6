//! Operators over rows of columns.
//!
//! Each knows its inputs, its stores and nothing else. Invariant: as for all operators: the same chunks and state give the same rows.

mod assign_windows;
mod calc;
mod union;
mod watermark;

pub use assign_windows::{AssignWindows, WindowKind, Windows};
pub use calc::{Calc, CalcPlan};
pub use union::Union;
pub use watermark::Watermark;

pub(crate) use {assign_windows::times_ms, calc::failed};
