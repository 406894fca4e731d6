//! Operators over rows of columns.
//!
//! Each knows its inputs, its stores and nothing else. Invariant: as for all operators: the same chunks and state give the same rows.

mod calc;

pub use calc::{Calc, CalcPlan};
pub(crate) use calc::failed;
