//! Joins of two relations by equal keys: pairs of rows, and rows that leave because they have a partner or because they have none.
//!
//! Knows no text and no plan. Invariants: each pair is met once, by whichever of its rows comes second; rows that depend on whether there
//! is a partner leave once per batch, as the difference between what was and what is; a row is never forgotten while a row that is not
//! late can still meet it.

mod closing;
mod entries;
mod joining;
mod operator;
mod pairs;
mod plan;
mod recompute;
mod side;
mod singles;
mod table;
#[cfg(test)]
mod tests;
mod time;

pub use operator::Join;
pub use plan::{JoinKind, JoinPlan, JoinSide};
pub use table::{AsOf, AsOfPlan, AsOfStores, StaticJoin, StaticTable};
pub use time::{JoinTime, Side};
