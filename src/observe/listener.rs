//! What a program can be notified of while it runs, in the terms of Spark's `StreamingListener`.
//!
//! Owns the trait and the facts about a batch, an output operation and a receiver. Knows no loop and no clock: the
//! caller fills in the times. Invariant: a batch is submitted, started and completed once, in this order; its
//! operations fall in between.

use crate::record::{Offset, TopicPartition};
use std::{fmt, sync::Arc, time::Duration};

/// Notified of events on the loop's thread: each method must return quickly. By default all of them do nothing.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tidegate::observe::listener::{BatchInfo, StreamingListener};
///
/// #[derive(Default)]
/// struct Records(AtomicUsize);
///
/// impl StreamingListener for Records {
///     fn on_batch_completed(&self, batch: &BatchInfo) {
///         if !batch.has_failed() {
///             self.0.fetch_add(batch.num_records(), Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait StreamingListener: Send + Sync {
    /// Partitions have been assigned and recovered for the first time: batches begin.
    fn on_streaming_started(&self, started: &StreamingStarted) {
        let _ = started;
    }

    /// A receiver was assigned to this process, or is reading again after an error.
    fn on_receiver_started(&self, receiver: &ReceiverInfo) {
        let _ = receiver;
    }

    /// A receiver could not read, or met a record that could not be decoded or processed (at most five of these per
    /// second are reported).
    fn on_receiver_error(&self, receiver: &ReceiverInfo) {
        let _ = receiver;
    }

    /// A receiver has ended, was taken from this process, or is idle while its application waits for partitions.
    fn on_receiver_stopped(&self, receiver: &ReceiverInfo) {
        let _ = receiver;
    }

    /// The input of a batch is complete.
    fn on_batch_submitted(&self, batch: &BatchInfo) {
        let _ = batch;
    }

    /// The end of a batch has begun: the last operators, then the checkpoint.
    fn on_batch_started(&self, batch: &BatchInfo) {
        let _ = batch;
    }

    /// A batch was committed, was empty, or was given up ([`BatchInfo::has_failed`]): in the last case its input
    /// comes again in a later batch.
    fn on_batch_completed(&self, batch: &BatchInfo) {
        let _ = batch;
    }

    /// Like [`on_batch_started`](Self::on_batch_started), for each output operation.
    fn on_output_operation_started(&self, operation: &OutputOperationInfo) {
        let _ = operation;
    }

    /// Like [`on_batch_completed`](Self::on_batch_completed), for each output operation; called before it.
    fn on_output_operation_completed(&self, operation: &OutputOperationInfo) {
        let _ = operation;
    }
}

/// The start of the first batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamingStarted {
    /// When, in milliseconds since the epoch.
    pub time_ms: i64,
}

/// A batch. What is not yet known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchInfo {
    /// Its number within this incarnation of the process.
    pub id: u64,
    /// Its time, in milliseconds since the epoch: with an interval, the boundary at which its input ends. No two
    /// batches are reported with the same time: what comes again after a failure is reported one millisecond later.
    pub batch_time_ms: i64,
    /// What each stream read.
    pub streams: Vec<StreamInputInfo>,
    /// When its input was complete by its time: the batch time.
    pub submission_time_ms: i64,
    /// When its end could begin, in milliseconds since the epoch. Input is computed as it arrives, so most of the
    /// work may be done before.
    pub processing_start_ms: Option<i64>,
    /// When it was committed and applied, or given up, in milliseconds since the epoch.
    pub processing_end_ms: Option<i64>,
    /// From the batch time to the moment its end could begin; 0 without an interval, and unless earlier work took
    /// too long.
    pub scheduling_delay: Option<Duration>,
    /// How long the loop was busy with it, from its first record to its checkpoint, excluding the wait for input.
    pub processing_delay: Option<Duration>,
    /// From the batch time to the end; without an interval, the processing delay. It may be less than the sum of
    /// the other two, as the input is processed while it arrives.
    pub total_delay: Option<Duration>,
    /// How far event time has come in the windows over it, milliseconds since the epoch; the least of them, as of this batch or the
    /// last one that moved it.
    pub watermark_ms: Option<i64>,
    /// One for each sink of the program.
    pub output_operations: Vec<OutputOperationInfo>,
    /// The parts of the processing delay; together they are all of it.
    pub phases: Option<BatchPhases>,
    /// What its operators did, those that did anything; in the order of the topology.
    pub operators: Vec<OperatorInfo>,
}

impl BatchInfo {
    /// Records of all streams.
    #[must_use]
    pub fn num_records(&self) -> usize {
        self.streams.iter().map(|s| s.num_records).sum()
    }

    /// Whether it was given up; its input comes again.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failure_reason().is_some()
    }

    /// Why it was given up.
    #[must_use]
    pub fn failure_reason(&self) -> Option<&str> {
        self.output_operations.iter().find_map(|o| o.failure_reason.as_deref())
    }
}

/// Where the processing delay of a batch went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchPhases {
    /// Computing while input arrived.
    pub input: Duration,
    /// Ending the batch in the operators, and what outputs outside the log did with their rows. If the batch was given
    /// up, also that.
    pub end: Duration,
    /// Sending the results, and waiting until the log has them.
    pub flush: Duration,
    /// Sending the offsets and ending the transaction.
    pub commit: Duration,
    /// Writing the changes of local state.
    pub apply: Duration,
}

/// What an operator did in a batch, summed over all tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorInfo {
    /// Its number in the topology.
    pub id: usize,
    /// Rows that it got.
    pub num_records: usize,
    /// How long it took.
    pub duration: Duration,
}

/// What a stream contributed to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInputInfo {
    /// The stream: the number of its source in the topology.
    pub stream_id: usize,
    /// Its name: its topics.
    pub name: Arc<str>,
    /// Records.
    pub num_records: usize,
    /// The offsets they were at; only partitions that moved. Rows of sources within this process have no offsets.
    pub ranges: Vec<OffsetRange>,
}

/// A piece of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The partition.
    pub at: TopicPartition,
    /// The first offset.
    pub from: Offset,
    /// The offset after the last.
    pub until: Offset,
    /// Records in it; offsets of markers and compacted records do not count.
    pub records: usize,
}

/// An output operation of a batch: a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputOperationInfo {
    /// The batch.
    pub batch_time_ms: i64,
    /// Its position among the output operations of the program.
    pub id: usize,
    /// Its name, such as `to_kafka counts`.
    pub name: Arc<str>,
    /// The place in the program.
    pub description: Arc<str>,
    /// How long all operators took that its rows came through, its own included, summed over all tasks; at most the
    /// processing delay of the batch. What several outputs need is part of each. `None` = not known yet.
    pub duration: Option<Duration>,
    /// Why its batch was given up: outputs of a batch become durable together, or none does.
    pub failure_reason: Option<Arc<str>>,
}

/// Identifies a receiver. Shown as its name, or as topic and partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiverId {
    /// A receiver with a name, for data that someone sends, such as a socket.
    Named(Arc<str>),
    /// The reader of a partition of an input.
    Partition(TopicPartition),
}

impl fmt::Display for ReceiverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiverId::Named(name) => f.write_str(name),
            ReceiverId::Partition(at) => at.fmt(f),
        }
    }
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverInfo {
    /// The stream it feeds.
    pub stream_id: usize,
    /// Which receiver it is.
    pub id: ReceiverId,
    /// Its status.
    pub status: ReceiverStatus,
    /// The process that it runs in.
    pub instance: Arc<str>,
    /// That process's machine.
    pub host: Arc<str>,
    /// The last error, even if it has recovered since.
    pub last_error: Option<ReceiverError>,
}

/// The status of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiverStatus {
    /// It is reading.
    Active,
    /// It has ended, was taken from this process, or its application is waiting for partitions.
    Inactive,
    /// It could not read, and has not read since.
    Error,
}

impl ReceiverStatus {
    /// The status as shown on the page and in labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ReceiverStatus::Active => "ACTIVE",
            ReceiverStatus::Inactive => "INACTIVE",
            ReceiverStatus::Error => "ERROR",
        }
    }
}

/// What went wrong in a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverError {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub message: String,
}
