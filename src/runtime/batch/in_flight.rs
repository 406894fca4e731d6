//! The batch in flight.
//!
//! Owns what is known about a batch from its cut to its report. Knows no task. Invariant: it is created
//! afresh at each cut.

use super::outgoing::Outgoing;
use crate::{
    operator::{Batch, Counters, NodeId, Output, Printed, Upstream},
    record::{BatchId, BatchTime, Map, Partition, TaskId},
    runtime::events::{InputRange, Phases},
    sink::two_phase::Collected,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What a transaction is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Input, taken through all stages.
    #[default]
    Whole,
    /// Input, taken through the first stage: its rows go through the exchange topic.
    Input,
    /// A time that later stages close: their rows have come through the exchange topic.
    Closing,
}

impl Content {
    /// Whether it has input.
    #[must_use]
    pub fn has_input(self) -> bool {
        self != Content::Closing
    }
}

/// The batch in flight.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Default)]
pub struct InFlight {
    /// What it is made of.
    pub content: Content,
    /// The number under which it is committed, if it is not that of the batch: others were committed while it took input.
    pub commit_id: Option<BatchId>,
    /// What it sends through the exchange topic.
    pub outgoing: Option<Outgoing>,
    /// Its facts; `None` before the first batch.
    pub batch: Option<Batch>,
    /// When it was cut, on the monotonic clock.
    pub began: Duration,
    /// When it was cut, milliseconds since the epoch.
    pub began_ms: i64,
    /// When its input was complete, on the monotonic clock.
    pub input_ended: Duration,
    /// How often partitions had come or gone when it was cut.
    pub changes: u64,
    /// Whether its interval must be one batch.
    pub is_whole: bool,
    /// Whether more input of its time follows, in another transaction: then its end is not told yet.
    pub is_part: bool,
    /// Whether that is because more of its interval has no room in it.
    pub has_no_room: bool,
    /// Whether it is given up because it has no room for its interval: then the interval goes through the exchange topic.
    pub is_spilled: bool,
    /// How long the loop waited for input.
    pub waited: Duration,
    /// How long its checkpoint has taken so far.
    pub phases: Phases,
    /// Whether the log did not say if it was committed.
    pub in_doubt: bool,
    /// What was counted.
    pub counters: Counters,
    /// What was read, by index of the source; local sources come last.
    pub inputs: Vec<InputRange>,
    /// About how many bytes it held when its input ended; 0 = not known yet.
    pub staged_bytes: usize,
    /// Whether it was taken in pieces: then all of it has ended.
    pub has_pieces: bool,
    /// What has left the last stages of the piece that is being tried; `None` = no piece is.
    pub sent_by_piece: Option<Vec<Output>>,
    /// The state partitions in which it closes its time, if it is a closing.
    pub closing: BTreeSet<Partition>,
    /// The tasks that have closed its time, if it is a closing.
    pub closed: BTreeSet<TaskId>,
    /// Rows for the console by the time that they are of and, in the order of the program, by sink node.
    pub console: BTreeMap<(BatchTime, NodeId), Printed>,
    /// Rows for two-phase sinks, by sink node and task.
    pub collected: Map<NodeId, Collected>,
    /// One of the tasks that have given these, by sink node.
    pub givers: Map<NodeId, Upstream>,
    /// How long two-phase sinks took their rows.
    pub two_phase_times: Vec<(NodeId, Duration)>,
}

impl InFlight {
    /// Its facts.
    ///
    /// # Panics
    /// Before the first cut: a bug in the loop.
    #[must_use]
    pub fn batch(&self) -> Batch {
        self.batch.expect("a batch is in flight")
    }

    /// Whether it has ended in this stage: on the state partition `home`, or if there is none on any.
    #[must_use]
    pub fn has_ended(&self, stage: u32, home: Option<Partition>) -> bool {
        let is_it = |task: &TaskId| task.stage == stage && home.is_none_or(|home| home == task.partition);
        match self.content {
            Content::Whole => true,
            Content::Input => stage == 0,
            Content::Closing => self.closed.iter().any(is_it),
        }
    }

    /// The number under which it is committed.
    ///
    /// # Panics
    /// As [`InFlight::batch`].
    #[must_use]
    pub fn commit_id(&self) -> BatchId {
        self.commit_id.unwrap_or(self.batch().id)
    }
}
