//! Operators over rows with a key, behind an exchange by key.
//!
//! Knows no log and no stream. Invariant: what is kept of a key is in a store, never in the operator.

mod combine;
mod initial;
mod join;
mod map_state;
mod reduce;
mod update;

pub use combine::{CombineValues, Group};
pub use initial::{Initial, Seeded};
pub use join::{CoGroup, CoGroup3, WithStamps, pair_up};
pub use map_state::{Kept, MapState, MapWithState, STATE_SNAPSHOTS, State, TimeoutIndex};
pub use reduce::{Reduce, RunningReduce};
pub use update::UpdateState;
