//! The value of a record of the exchange topic: rows on their way from one stage to a later one, and marks that say that none is missing.
//!
//! Owns the layout (`docs/state-format.md`) and what makes a record unreadable here. Knows no log: topic, partition and offset are
//! added by the caller. Invariants: a block holds rows of one edge, one upstream and one batch, as an envelope does; a record
//! of another program is refused, never guessed and never passed over; bytes that are no record never panic, and nothing is allocated
//! for a length that they claim but do not have.
//!
//! ```text
//! record   = version:u8 fingerprint:u64 part*
//! part     = 1 block | 2 upstream time                                     rows; a mark: no more rows of times up to this one
//! block    = edge:u32 upstream time stamps rows:u32 bytes:u32 row*         `bytes` = length of all rows
//! upstream = 0 (length topic) partition | stage+1 partition                an input's partition; a task: its state partition, or in
//!                                                                          stage 0 the number of the source of this process
//! stamps   = 0 | 1 greatest | 2 greatest                                   none; one for all rows; one for each, in the row
//! row      = [greatest - own] key value                                    key, value = length+1 bytes; 0 = null
//! ```
//!
//! Fixed integers are big-endian, all others varints. Time and the greatest timestamp, which is relative to it, are in zigzag.

mod read;
mod write;

pub use read::{Block, Mark, Part, RecordReader};
pub use write::RecordWriter;

use crate::{
    error::Error,
    operator::{EdgeId, ExchangeFormat},
    plan::{Edge, Topology},
};
use std::{collections::BTreeMap, sync::Arc};

/// The version that this build writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Version and fingerprint.
const HEADER: usize = 9;
/// A record gets no further part when it has so many bytes; brokers accept 1 MiB unless they are set up otherwise.
pub const RECORD_BYTES_MAX: usize = 512 << 10;

/// The first byte of a part.
mod part {
    pub const BLOCK: u8 = 1;
    pub const MARK: u8 = 2;
}

/// How the timestamps of a block are given.
mod stamps {
    pub const UNKNOWN: u8 = 0;
    pub const GREATEST: u8 = 1;
    pub const EACH: u8 = 2;
}

/// What must be known of a program to write and to read its records.
pub struct ExchangeEdges {
    fingerprint: u64,
    edges: BTreeMap<EdgeId, ExchangeEdge>,
}

struct ExchangeEdge {
    /// The stage that the rows come from.
    stage: u32,
    format: Arc<dyn ExchangeFormat>,
}

impl ExchangeEdges {
    /// Those of a topology as it is [computed](Topology::computed).
    #[must_use]
    pub fn of(plan: &Topology) -> Self {
        let of = |edge: &Edge| ExchangeEdge { stage: edge.stage, format: edge.format.clone() };
        let edges = plan.edges().map(|(id, edge)| (id, of(edge)));
        ExchangeEdges { fingerprint: plan.edge_fingerprint(), edges: edges.collect() }
    }
}

/// Why a record cannot be read here. Displayed without the place of the record, with the next step.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreadable {
    /// Of a later version of the format.
    #[error(
        "the record has format {0}, and this build reads format {VERSION}: this process is older than the one that wrote it\n  next: run the version of the program that the other processes run"
    )]
    Later(u8),
    /// Of a program with other edges.
    #[error(
        "the record was written by a program that moves its rows otherwise (fingerprint of its edges {found:016x}, here {here:016x}): this process is older or younger than the one that wrote it\n  next: run the same version of the program in all processes, the one that wrote the record first"
    )]
    OtherEdges {
        /// The fingerprint in the record.
        found: u64,
        /// That of this program.
        here: u64,
    },
    /// The fingerprint agrees, but there is no such edge.
    #[error(
        "the record has rows of edge {0}, which this program does not have although the fingerprints of the edges agree: this process is older or younger than the one that wrote it, or the record is damaged\n  next: run the same version of the program in all processes; if they do, check the disks of the brokers"
    )]
    UnknownEdge(EdgeId),
    /// Not what was written.
    #[error(
        "the record is damaged, or was not written by tidegate: {what} at byte {at}\n  next: check what else writes to this topic, and the disks of the brokers"
    )]
    Damaged {
        /// Where in the value.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The rows of a block are not of the format of its edge.
    #[error(
        "rows of edge {edge} cannot be decoded: {cause}\n  next: check that all processes run the same version of the program, and the disks of the brokers"
    )]
    Rows {
        /// The edge.
        edge: EdgeId,
        /// What its format says.
        cause: Error,
    },
}
