//! What a batch is made of: the partitions that it is computed on, when it is cut, how much it takes, and how a failing record is found.
//!
//! Knows no log call and no group. Invariant: nothing here decides whether a batch is committed.

pub mod bisection;
mod careful;
pub mod in_flight;
pub mod incoming;
pub mod local_input;
pub mod outgoing;
pub mod pace;
pub mod partitions;
pub mod pieces;
pub mod source_partition;
pub mod state_partition;
pub mod under_restore;
