//! The waist: one topology, whichever face built it, read by the runtime and printed by `explain`.
//!
//! Owns nodes, stages, names and the fingerprint. Knows no closure's type, no log and no thread. Invariants: the order of nodes
//! is a topological order; durable identity is a name, never a position.

mod explain;
mod fingerprint;
mod topology;
mod validate;
mod window;

pub use fingerprint::{Change, Fingerprint};
pub use topology::{Factory, Layout, Node, Role, Topology};
pub use window::WindowSpec;
