//! The operators of SQL: rows of columns in, rows of columns out.
//!
//! Knows no text and no plan. Invariant: at the end of a batch, the rows that have left an operator, weighted and summed, are what it
//! computes of all rows that it has taken so far.

mod aggregate;
mod aggregation;
mod calc;
mod distinct;
mod exchange;
mod join;
mod over;
mod partial;
mod rank;
#[cfg(test)]
mod tests;
mod union;
mod unnest;
mod upsert;
mod value_call;
mod values;
mod weights;
mod window;

pub use aggregate::{Aggregate, Takes};
pub use aggregation::Aggregation;
pub use calc::{Calc, CalcPlan};
pub use distinct::{Deduplicate, DeduplicatePlan, Expiry, SetKind, SetOperation, SetPlan};
pub use exchange::ByColumns;
pub use join::{
    AsOf, AsOfPlan, AsOfStores, Join, JoinKind, JoinPlan, JoinSide, JoinTime, Side, StaticJoin, StaticTable,
};
pub use over::{Frame, Over, OverCall, OverFunction, OverPlan};
pub use partial::PartialAggregate;
pub use rank::{OrderColumn, RankFunction, Ranking, TopN, TopNPlan};
pub use union::Union;
pub use unnest::Unnest;
pub use upsert::{Upsert, UpsertPlan};
pub use window::{
    AssignWindows, BatchTimeMarks, Closing, LateRows, SessionAggregate, SessionColumn, SessionPlan,
    SessionStores, Watermark, WindowAggregate, WindowEnds, WindowKind, WindowMarks, WindowStores, Windows,
};

pub(crate) use window::times_ms;
