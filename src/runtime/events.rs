//! What the loop reports to its observers.
//!
//! Owns the events and the numbers of a batch. Knows no consumer: metrics, status and console are behind
//! [`Observer`]. Invariant: an event says what happened; nothing flows back.

use crate::{
    log::GroupMember,
    operator::{Batch, Counters, NodeId, Printed, Work},
    record::{BatchTime, Offset, Partition, TopicPartition},
    sink::RefusedRow,
    source::HeldUp,
};
use std::time::Duration;

/// Receives every event; must not block. The runtime's metrics, status and console are behind it.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn on(&self, event: &Observed<'_>);
}

/// What is reported to an observer.
#[derive(Debug)]
pub enum Observed<'a> {
    /// Waiting for the group's assignment, or for partitions that another process still holds.
    Waiting(&'a str),
    /// Outside the group, because another process of the application holds the state.
    StandingBy {
        /// What would let this process take part, if a setting does.
        help: Option<&'static str>,
        /// Which.
        holder: &'a GroupMember,
    },
    /// Input topics that the program names do not exist any more; empty = all exist again.
    InputsMissing(&'a [String]),
    /// State partitions are being restored; about once a second, and whenever there are more or fewer of them.
    Restores {
        /// Each of them; none, once all are restored or given up.
        restores: &'a [Restoring],
        /// If nothing else is computed before they are restored: how many are ready, of how many.
        awaited: Option<(usize, usize)>,
    },
    /// A database was moved aside.
    Quarantined(&'a str),
    /// A state partition is restored.
    Restored(&'a Restoring),
    /// Partitions are owned and recovered; the loop runs.
    Running {
        /// All owned partitions.
        owned: &'a [TopicPartition],
    },
    /// A record is handled as a bad record. Reported again if its batch is replayed, so it is counted per
    /// batch.
    BadRecord {
        /// Where.
        at: &'a TopicPartition,
        /// Which.
        offset: Offset,
        /// Why.
        reason: &'a str,
        /// Whether it is written to the dead-letter topic, or only counted.
        dead_letter: bool,
    },
    /// A row that has come through the exchange topic makes its stage fail, and is left out.
    BadRow {
        /// Which.
        place: &'a str,
        /// Why.
        reason: &'a str,
        /// Whether it is written to the dead-letter topic, or only counted.
        is_kept: bool,
    },
    /// A record was not accepted by the topic that it was for, and was written to the dead-letter topic.
    RefusedRecord {
        /// Which record, and why.
        reason: &'a str,
    },
    /// A destination outside the log refused a row, and its writer went on behind it.
    RefusedRow {
        /// The internal topic.
        at: &'a TopicPartition,
        /// The row.
        row: &'a RefusedRow,
    },
    /// A receiver could not read.
    ReceiverFailed {
        /// The partition.
        at: &'a TopicPartition,
        /// Why.
        why: &'a str,
    },
    /// The next records of a partition begin to wait for what their decoder needs.
    HeldUp {
        /// The partition.
        at: &'a TopicPartition,
        /// From where on, and for what.
        held_up: &'a HeldUp,
    },
    /// A batch was cut: from now on it takes input.
    Cut {
        /// The batch.
        batch: Batch,
        /// Where it begins to read.
        inputs: &'a [InputRange],
    },
    /// How far the batch in flight has come; about twice a second.
    Progress {
        /// Records that it has taken, those that are being computed included.
        records: usize,
        /// What is running; `None` = it waits for input.
        running: Option<&'a str>,
    },
    /// All partitions are given up and recovered again.
    Closed,
    /// The input of a batch is complete; it starts to end.
    InputEnded {
        /// The batch.
        batch: Batch,
        /// What it read.
        inputs: &'a [InputRange],
    },
    /// A batch ended.
    Batch(&'a BatchReport),
    /// A batch was not committed, or its outcome was in doubt.
    Replayed {
        /// The batch, if one was in flight.
        report: Option<&'a BatchReport>,
        /// Why, as far as is known.
        why: Option<&'a str>,
        /// Whether the log did not say if it was committed.
        unknown: bool,
        /// Since the batch was cut.
        took: Duration,
    },
    /// Rows for the console, after the commit.
    Console {
        /// The output.
        node: NodeId,
        /// The batch.
        time: BatchTime,
        /// What it shows.
        printed: &'a Printed,
    },
    /// A receiver started, failed, or ended.
    Receiver {
        /// Its name.
        name: &'a str,
        /// Its current state.
        state: ReceiverState,
        /// Why, if it had an error.
        message: &'a str,
    },
    /// Batches are given up again and again (`Some` = why), or one is committed again.
    NoProgress(Option<&'a str>),
    /// The log cannot be reached (`Some` = why), or is reachable again.
    Connection(Option<&'a str>),
    /// The loop completed a turn: it is alive.
    Alive,
}

/// How far the restore of a state partition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// Which.
    pub partition: Partition,
    /// Offsets of the changelog passed: about as many rows.
    pub done: u64,
    /// Offsets to pass in all.
    pub total: u64,
    /// Since it began to read; 0 = it waits for others.
    pub took: Duration,
}

/// The state of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverState {
    /// It was started, for the first time here or again after an error: one that failed may still fail.
    Started,
    /// It failed and is restarted; or it reported an error and continues.
    Error,
    /// It receives again after an error.
    Recovered,
    /// It ended, or was stopped.
    Stopped,
}

/// Numbers of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchReport {
    /// Number.
    pub id: u64,
    /// Time.
    pub time_ms: i64,
    /// How far its time is ahead of the clock, because the clock was ahead before or went back, milliseconds.
    pub ahead_ms: i64,
    /// What was counted while it was computed.
    pub counters: Counters,
    /// From the cut to the end of apply.
    pub total: Duration,
    /// From the last input to the end of apply.
    pub checkpoint: Duration,
    /// The parts of the checkpoint.
    pub phases: Phases,
    /// Whether anything was committed (an empty batch is not).
    pub committed: bool,
    /// Approximate bytes of local state by partition; reported every few seconds.
    pub state_bytes: Vec<(Partition, u64)>,
    /// Estimated rows of local state by partition; reported with the bytes.
    pub state_rows: Vec<(Partition, u64)>,
    /// How far the source partitions are read.
    pub positions: Vec<SourcePosition>,
    /// How long the loop waited for input.
    pub waited: Duration,
    /// What was read, by source partition and by local source of this process.
    pub inputs: Vec<InputRange>,
    /// What each operator did, summed over all tasks; a sink outside the log with its own work.
    pub work: Vec<(NodeId, Work)>,
}

/// How far a source partition is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The partition.
    pub at: TopicPartition,
    /// The next offset.
    pub next: Offset,
    /// The greatest timestamp read since the partition was assigned, milliseconds since the epoch.
    pub newest_ms: Option<i64>,
}

/// What a batch read from a source partition, or from a local source of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRange {
    /// Its source node.
    pub node: NodeId,
    /// The partition; `None` = a local source of this process, whose rows have no offsets.
    pub at: Option<TopicPartition>,
    /// The first offset.
    pub from: Offset,
    /// The next offset.
    pub until: Offset,
    /// Records, good and bad.
    pub records: usize,
}

/// How long the parts of a checkpoint took; the rest of it is ending the batch in the operators and sealing
/// state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Waiting for the acknowledgements of what was sent.
    pub flush: Duration,
    /// Sending the offsets and ending the transaction.
    pub commit: Duration,
    /// Writing the changes to the databases.
    pub apply: Duration,
}
