//! What a program can be told while it runs, in the words of Spark's `StreamingListener`.
//!
//! Owns the trait and the facts of a batch, an output operation and a receiver. Knows no loop and no clock: times are filled in by
//! whoever tells. Invariant: a batch is submitted, started and completed once, in this order; its operations lie between.

use crate::record::{Offset, TopicPartition};
use std::{fmt, sync::Arc, time::Duration};

/// Told of what happens, on the loop's thread: each method must return soon. All do nothing unless they are written.
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
    /// Partitions are assigned and recovered for the first time: batches begin.
    fn on_streaming_started(&self, started: &StreamingStarted) {
        let _ = started;
    }

    /// A receiver was assigned to this process, or reads again after an error.
    fn on_receiver_started(&self, receiver: &ReceiverInfo) {
        let _ = receiver;
    }

    /// A receiver could not read, or met a record that could not be decoded or processed (of these, five a second are told).
    fn on_receiver_error(&self, receiver: &ReceiverInfo) {
        let _ = receiver;
    }

    /// A receiver has ended, was taken from this process, or rests while its application waits for partitions.
    fn on_receiver_stopped(&self, receiver: &ReceiverInfo) {
        let _ = receiver;
    }

    /// The input of a batch is complete.
    fn on_batch_submitted(&self, batch: &BatchInfo) {
        let _ = batch;
    }

    /// The end of a batch begins: the last operators, then the checkpoint.
    fn on_batch_started(&self, batch: &BatchInfo) {
        let _ = batch;
    }

    /// A batch was committed, was empty, or was given up ([`BatchInfo::has_failed`]): then its input comes again in a later batch.
    fn on_batch_completed(&self, batch: &BatchInfo) {
        let _ = batch;
    }

    /// As [`on_batch_started`](Self::on_batch_started), for each output operation.
    fn on_output_operation_started(&self, operation: &OutputOperationInfo) {
        let _ = operation;
    }

    /// As [`on_batch_completed`](Self::on_batch_completed), for each output operation; before it.
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

/// A batch. What is not known yet is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchInfo {
    /// Its number in this life of the process.
    pub id: u64,
    /// Its time, in milliseconds since the epoch: with an interval, the boundary at which its input ends. No two batches are told
    /// with the same time: what comes again after a failure has one a millisecond later.
    pub batch_time_ms: i64,
    /// What each stream read.
    pub streams: Vec<StreamInputInfo>,
    /// When its input was complete by its time: the batch time.
    pub submission_time_ms: i64,
    /// When its end could begin, in milliseconds since the epoch. Input is computed while it arrives, so most of the work may lie before.
    pub processing_start_ms: Option<i64>,
    /// When it was committed and applied, or given up, in milliseconds since the epoch.
    pub processing_end_ms: Option<i64>,
    /// From the batch time to the moment its end could begin; 0 without an interval, and unless earlier work took too long.
    pub scheduling_delay: Option<Duration>,
    /// How long the loop was busy with it, from its first record to its checkpoint, without the waiting for input.
    pub processing_delay: Option<Duration>,
    /// From the batch time to the end; without an interval, the processing delay. It may be less than the sum of the other two, as
    /// the input is processed while it arrives.
    pub total_delay: Option<Duration>,
    /// One for each sink of the program.
    pub output_operations: Vec<OutputOperationInfo>,
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

/// What a stream gave to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInputInfo {
    /// The stream: the number of its source in the topology.
    pub stream_id: usize,
    /// Its name: its topics.
    pub name: Arc<str>,
    /// Records.
    pub num_records: usize,
    /// Where they were; only partitions that moved. Rows of sources of this process have no offsets.
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
    /// Records in it; offsets of markers and compacted records are none.
    pub records: usize,
}

/// An output operation of a batch: a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputOperationInfo {
    /// The batch.
    pub batch_time_ms: i64,
    /// Its position among the output operations of the program.
    pub id: usize,
    /// What the program calls it, such as `to_kafka counts`.
    pub name: Arc<str>,
    /// The place in the program.
    pub description: Arc<str>,
    /// How long its operator took, summed over all tasks; `None` = not known yet.
    pub duration: Option<Duration>,
    /// Why its batch was given up: outputs of a batch become durable together, or none does.
    pub failure_reason: Option<Arc<str>>,
}

/// Which receiver. Shown as its name, or as topic and partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiverId {
    /// One that receives what somebody sends, such as a socket, by its name.
    Named(Arc<str>),
    /// One that reads a partition of an input.
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
    /// The stream that it serves.
    pub stream_id: usize,
    /// Which it is.
    pub id: ReceiverId,
    /// How it is.
    pub status: ReceiverStatus,
    /// The process that it runs in.
    pub instance: Arc<str>,
    /// That process's machine.
    pub host: Arc<str>,
    /// The last error, also if it has recovered since.
    pub last_error: Option<ReceiverError>,
}

/// How a receiver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiverStatus {
    /// It reads.
    Active,
    /// It has ended, was taken from this process, or its application waits for partitions.
    Inactive,
    /// It could not read, and has not read since.
    Error,
}

impl ReceiverStatus {
    /// The word on the page and in labels.
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
