//! What makes a batch durable: the transaction, the rows of the meta topic that go with it, and two-phase
//! sinks.
//!
//! Knows no task. Invariant: what is sent between two commits becomes visible with the second one, or never.

pub mod dead_letter;
mod held;
pub mod limits;
mod pending_producer;
pub mod transaction;
pub mod two_phase;
pub mod witness;
