//! One side of a join.
//!
//! Owns which columns rows meet by. Knows no kind of join. Invariant: the first columns of the node are those of the relation.

use crate::sql::plan::stream_plan::StreamNodeId;

/// A node whose first columns are those of the relation.
pub struct Keyed {
    pub node: StreamNodeId,
    /// How many of its columns are kept.
    pub columns: usize,
    pub keys: Vec<usize>,
}
