//! Rows on their way from one stage to a later one, with what their reader must know of them.
//!
//! Owns the identities of edges and of the tasks that send. Knows no node and no topic. Invariant: an envelope holds rows of one edge, one
//! upstream and one batch.

use crate::record::{BatchTime, Chunk, TaskId, TopicPartition, short_hash};
use std::fmt;

/// Short identity of an edge: the first 32 bits of XXH3 over its name. Two edges of one id refuse to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u32);

impl EdgeId {
    /// The id of an edge's name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        EdgeId(short_hash(name.as_bytes()))
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The task that made rows, identified by what is durable about it. Displayed as the name under which state knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    /// The one that reads this partition of an input.
    Source(TopicPartition),
    /// One of a later stage, on a state partition; or one that reads a source of this process, which has no topic.
    Task(TaskId),
}

impl Upstream {
    /// The stage in which the rows were made.
    #[must_use]
    pub fn stage(&self) -> u32 {
        match self {
            Upstream::Source(_) => 0,
            Upstream::Task(id) => id.stage,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upstream::Source(at) => at.fmt(f),
            Upstream::Task(id) => id.partition.fmt(f),
        }
    }
}

/// Rows that leave their stage.
#[derive(Clone)]
pub struct Envelope {
    /// Which way they go.
    pub edge: EdgeId,
    /// Who made them.
    pub upstream: Upstream,
    /// The time of their batch.
    pub time: BatchTime,
    /// The rows.
    pub chunk: Chunk,
}
