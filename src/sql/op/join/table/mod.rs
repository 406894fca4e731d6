//! Joins of a stream with a table whose rows are looked up.
//!
//! Knows no text and no plan. Invariant: a row of the stream leaves by itself or with what it finds; a row of the table never leaves alone.

mod as_of;
mod static_join;

pub use as_of::{AsOf, AsOfPlan, AsOfStores};
pub use static_join::{StaticJoin, StaticTable};
