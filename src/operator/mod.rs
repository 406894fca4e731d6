//! The one trait that every face compiles to.
//!
//! Pure: no I/O but reads of local state, no clock, no randomness, no threads. Knows no log. Invariant: the same input chunks
//! and state give the same outputs and staged changes; `self` holds settings, and scratch that is empty between batches.

mod combined;
mod counters;
mod envelope;
mod exchange;
mod exchange_format;
mod exchange_rows;
mod global;
mod keyed;
mod watermark;
mod window;

pub use counters::{Counters, Volume, Work};
pub use envelope::{EdgeId, Envelope, Upstream};
pub use exchange::{ByKey, Spread};
pub use exchange_format::{ExchangeFormat, Pairs, Rows};
pub use exchange_rows::{EncodedRow, Piece, RowReader, RowWriter};
pub use global::{
    CountRows, GatherExchange, ReduceRows, SinglePartition, SpreadOver, Total, TwoBatches, WholeBatch,
};
pub use keyed::{
    CoGroup, CoGroup3, CombineValues, Group, Initial, Kept, MapState, MapWithState, Reduce, RunningReduce,
    STATE_SNAPSHOTS, Seeded, State, TimeoutIndex, UpdateState, WithStamps, pair_up,
};
pub use watermark::{UpstreamMark, UpstreamName, UpstreamProgress, Watermarks};
pub use window::{
    Blocks, EmitSchedule, EventFormat, EventLimits, EventMarks, EventReduce, EventRow, EventRows, EventSpans,
    Gives, IntoEventWindows, Invertible, KeepIf, Mark, Marks, Panes, Slides, Totals, WindowInverse,
    WindowKey, WindowReduce, WindowRows, WindowValue, Windowed,
};

use crate::{
    error::Result,
    record::{BatchId, BatchTime, Chunk, Data, Partition, RawChunk, Size, StampedRows, Stamps},
    state::Stores,
};
use std::{collections::VecDeque, sync::Arc};

/// Which input or output of an operator; 0 unless it has several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u8);

/// A node of the plan, by position in topological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// The facts of a batch: everything time-like that compute may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of the batch in this life of the process.
    pub id: BatchId,
    /// Its time.
    pub time: BatchTime,
    /// The greatest time that the clock may show while it takes input, milliseconds since the epoch, as far as was known when it was
    /// cut; for batches that are late or ahead of the clock, the clock's time. What is beyond it is in the future.
    pub clock_ms: i64,
    /// Whether partitions have come or gone since the last one: then each upstream tells how far it is, and one that does not is gone.
    pub is_roll_call: bool,
}

impl Batch {
    /// A batch of this number and time, while the clock shows its time.
    #[must_use]
    pub fn new(id: BatchId, time: BatchTime) -> Self {
        Batch { id, time, clock_ms: time.0, is_roll_call: false }
    }

    /// How far its time is ahead of the clock, milliseconds; 0 = it is not.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        (self.time.0 - self.clock_ms).max(0)
    }
}

/// One operator of one task. After an abort the task drops its operators and makes new ones from the factories, so there
/// is no reset to forget.
pub trait Operator: Send {
    /// Takes one chunk of one input.
    ///
    /// # Errors
    /// If a record cannot be processed; the batch is dropped then.
    fn process(&mut self, port: Port, input: Chunk, cx: &mut Context<'_>) -> Result;

    /// Once per batch, in topological order, also when no chunk came; all inputs have ended before.
    ///
    /// # Errors
    /// As [`Operator::process`].
    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let _ = cx;
        Ok(())
    }

    /// Whether `end_batch` has more to give: it is called again once what it gave was passed on, so that a large result need
    /// not be in memory at once.
    fn has_more(&self) -> bool {
        false
    }

    /// Whether its results depend on where a batch begins and ends: then an interval must be one batch.
    fn sees_batches(&self) -> bool {
        false
    }

    /// Before an exchange: whether nothing depends on how often it ends one batch, so that parts of a batch can be sent on before the
    /// rest is there.
    fn takes_parts(&self) -> bool {
        !self.sees_batches()
    }

    /// Whether it has had no row for so long that its input is idle once everything in the partition is read.
    fn awaits_end(&self) -> bool {
        false
    }

    /// About how many bytes of rows it holds back until the batch ends; a batch that holds too much ends early.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// How many rows leave an operator at a time at the end of a batch, so that a large result need not be in memory at once.
const ROWS_PER_CHUNK: usize = 8_192;

/// What a row takes in a map: the row, its hash and its place in the index.
const fn map_row_bytes<T>() -> usize {
    size_of::<(u64, T)>() + 2 * size_of::<usize>()
}

/// What an operator may touch. Public fields on purpose: `cx.stores` can stay borrowed in a loop that also uses `cx.out`.
pub struct Context<'a> {
    /// The batch being computed.
    pub batch: &'a Batch,
    /// The stores of this task.
    pub stores: &'a mut Stores,
    /// What is counted of the batch; not part of what compute gives, so a number that is wrong makes no result wrong.
    pub counters: &'a mut Counters,
    /// Everything that was in the task's input partition at this batch time is read.
    pub caught_up: BatchTime,
    /// Who made the rows that are taken: for what reads an edge the task at its other end, otherwise this one.
    pub sender: &'a Upstream,
    /// Where results go.
    pub out: Emitter<'a>,
}

/// A stateless operator: a closure over chunks instead of one type per method.
pub struct PerChunk<F>(pub F);

impl<F: FnMut(Chunk, &mut Context<'_>) -> Result + Send> Operator for PerChunk<F> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        cx.out.newest_ms = input.stamps().greatest(); // it holds nothing back
        (self.0)(input, cx)
    }
}

/// Where the output of an operator leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An operator of the same task, always later in its order.
    Local {
        /// Position in the task.
        index: usize,
        /// Its input.
        port: Port,
    },
    /// Later stages; same state partition unless sent with [`Emitter::to_partition`].
    Edge(EdgeId),
}

/// What leaves a task.
#[derive(Clone)]
pub enum Output {
    /// Rows for a later stage: handed over in memory, or encoded for the exchange topic.
    Rows {
        /// The state partition that they are for.
        to: Partition,
        /// The rows and their edge.
        envelope: Envelope,
    },
    /// Encoded records for a topic, in the batch's transaction.
    Records {
        /// The topic.
        topic: Arc<str>,
        /// The records.
        records: RawChunk,
    },
    /// Rows for an output outside the log.
    Collected {
        /// The sink node.
        node: NodeId,
        /// The task that made them.
        from: Upstream,
        /// The rows.
        chunk: Chunk,
    },
    /// Text for the console, shown after the commit only.
    Console {
        /// The sink node.
        node: NodeId,
        /// What is shown.
        printed: Printed,
    },
}

/// The rows of a batch as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// What stands above them.
    pub heading: Heading,
    /// Each on a line of its own; one more than `rows_max` says that there are more.
    pub rows: Vec<String>,
    /// How many rows of a batch are shown.
    pub rows_max: usize,
}

/// What stands above the printed rows of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heading {
    /// The batch time, as above DStreams of Spark.
    #[default]
    Time,
    /// How many batches the output has printed before, as above streaming queries of Spark.
    Count,
    /// Nothing.
    None,
}

impl Output {
    /// What it takes in memory, bytes; of rows that are not encoded, a guess.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Output::Records { records, .. } => records.bytes(),
            Output::Rows { envelope: Envelope { chunk, .. }, .. } | Output::Collected { chunk, .. } => {
                chunk.bytes()
            }
            Output::Console { .. } => 0,
        }
    }
}

/// Sends chunks on.
pub struct Emitter<'a> {
    pub(crate) node: NodeId,
    /// By output.
    pub(crate) targets: &'a [Vec<Target>],
    pub(crate) queues: &'a mut [VecDeque<(Port, Chunk)>],
    pub(crate) outputs: &'a mut Vec<Output>,
    pub(crate) time: BatchTime,
    /// The greatest timestamp of the records behind what the operator has taken in this batch; chunks that say nothing of their own
    /// get it.
    pub(crate) newest_ms: Option<i64>,
    /// The size of the rows that the operator is given; nothing at the end of a batch.
    pub(crate) given: Size,
    /// This task, for those who get its rows.
    pub upstream: &'a Upstream,
    /// Source or state partition of this task.
    pub partition: Partition,
    /// Number of state partitions.
    pub partitions: u32,
}

impl Emitter<'_> {
    /// Sends typed rows.
    pub fn rows<T: Data>(&mut self, rows: Vec<T>) {
        self.chunk(Chunk::rows(rows));
    }

    /// Sends typed rows, each with the greatest timestamp of the records that it was made from.
    pub fn stamped_rows<T: Data>(&mut self, rows: impl IntoIterator<Item = (T, i64)>) {
        self.chunk(rows.into_iter().collect::<StampedRows<T>>().into_chunk());
    }

    /// Fan-out: every reader gets the same chunk (a reference count), the last one ours. Empty chunks go nowhere.
    pub fn chunk(&mut self, chunk: Chunk) {
        self.chunk_on(Port(0), chunk);
    }

    /// As [`Emitter::chunk`], on one output of several.
    pub fn chunk_on(&mut self, output: Port, chunk: Chunk) {
        self.fan_out(output, chunk, self.partition);
    }

    /// Whether anything reads an output.
    #[must_use]
    pub fn is_read(&self, output: Port) -> bool {
        self.targets.get(usize::from(output.0)).is_some_and(|targets| !targets.is_empty())
    }

    /// For exchanges only: the chunk belongs to one state partition.
    pub fn to_partition(&mut self, partition: Partition, chunk: Chunk) {
        self.fan_out(Port(0), chunk, partition);
    }

    /// For sinks only: something that leaves the topology.
    pub fn output(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// The node that is running.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    fn fan_out(&mut self, output: Port, chunk: Chunk, partition: Partition) {
        if chunk.is_empty() {
            return;
        }
        let is_silent = *chunk.stamps() == Stamps::Unknown;
        let chunk = if is_silent { chunk.stamped(self.newest_ms.into()) } else { chunk };
        let chunk = chunk.made_from(self.given);
        let targets: &[Target] = self.targets.get(usize::from(output.0)).map_or(&[], Vec::as_slice);
        if let Some((last, rest)) = targets.split_last() {
            for target in rest {
                self.send(*target, chunk.clone(), partition);
            }
            self.send(*last, chunk, partition);
        }
    }

    fn send(&mut self, target: Target, chunk: Chunk, partition: Partition) {
        match target {
            Target::Local { index, port } => self.queues[index].push_back((port, chunk)),
            Target::Edge(edge) => {
                let envelope = Envelope { edge, upstream: self.upstream.clone(), time: self.time, chunk };
                self.outputs.push(Output::Rows { to: partition, envelope });
            }
        }
    }
}
