//! The waist: one topology, whichever face built it, read by the runtime and printed by `explain`.
//!
//! Owns nodes, stages, edges, names and the fingerprint. Knows no closure's type, no log and no thread. Invariants: the order of nodes
//! is a topological order; durable identity is a name, never a position.

mod edge;
mod explain;
mod fingerprint;
mod gathered;
mod node;
mod operation;
mod takeover;
mod topology;
mod upstreams;
mod validate;
mod window;

pub use edge::{Edge, EdgeReader};
pub use fingerprint::{Change, Fingerprint};
pub use node::{Factory, Input, KeyId, Layout, Node, Role, WindowSpec};
pub use operation::{Kind, Operation, OperationId, Place};
pub use takeover::{ReadTopics, Remains, Start, Takeover, Unused};
pub use topology::{Look, Preparation, Topology};
pub use upstreams::Upstreams;
