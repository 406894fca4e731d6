//! Outputs outside the log: files, and user functions.
//!
//! Owns the two steps of such an output and the operator that collects its rows. Knows no format. Invariants:
//! `prepare` runs before the batch is committed, `finish` after it; what `prepare` returns is committed with
//! the batch, so that a later process can finish what a dead one could not; `finish` may run again for a
//! batch that is finished.

use crate::{
    error::{Error, Result},
    operator::{Batch, Context, Operator, Output, Port},
    record::{Chunk, Data, Partition, RawChunk},
};
use std::{collections::BTreeMap, sync::Arc};

/// The rows of a batch that an output was given, by task.
#[derive(Default)]
pub struct Collected {
    chunks: BTreeMap<Partition, Vec<Chunk>>,
    bytes: usize,
}

impl Collected {
    /// Adds rows of a task.
    pub fn push(&mut self, task: Partition, chunk: Chunk) {
        self.bytes += chunk.bytes();
        self.chunks.entry(task).or_default().push(chunk);
    }

    /// About how many bytes the rows take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.values().flatten().all(Chunk::is_empty)
    }

    /// All rows, task by task, in the order of each task.
    ///
    /// # Panics
    /// If `T` is not the type of the rows of the stream.
    pub fn rows<T: Data>(self) -> impl Iterator<Item = T> {
        self.chunks.into_values().flatten().flat_map(Chunk::take::<Vec<T>>)
    }

    /// The rows of each task that produced any, with the task's number: that of the input partition, or of
    /// the state partition after a keyed operation.
    ///
    /// # Panics
    /// As [`Collected::rows`].
    pub fn tasks<T: Data>(self) -> impl Iterator<Item = (Partition, Vec<T>)> {
        let rows = |chunks: Vec<Chunk>| chunks.into_iter().flat_map(Chunk::take::<Vec<T>>).collect();
        self.chunks.into_iter().map(move |(task, chunks)| (task, rows(chunks)))
    }

    /// The chunks of each task.
    pub(super) fn chunks(self) -> impl Iterator<Item = (Partition, Vec<Chunk>)> {
        self.chunks.into_iter()
    }
}

/// An output outside the log. A program with state that has one of another crate runs as one process.
pub trait TwoPhaseSink: Send {
    /// Called whenever partitions were assigned, with no batch in flight: `committed` holds what was prepared
    /// with the last committed batch of each process of the application. Finishes all of it, even what
    /// another process is about to finish itself, and deletes what this process prepared in vain.
    /// `incarnation` is a short name that no other process, and no other incarnation of this one, is given: it tells
    /// what this incarnation prepares from the rest, as numbers of batches begin again with each. Called before the
    /// first `prepare`, and again with each assignment; `committed` also holds what is finished already. A sink without
    /// a durable name is not asked.
    ///
    /// # Errors
    /// If the destination cannot be used.
    fn recover(&mut self, incarnation: &str, committed: &[Vec<u8>]) -> Result {
        let _ = (incarnation, committed);
        Ok(())
    }

    /// Stores the rows of a batch, even of an empty one, where no reader looks yet; called on a worker. Returns what
    /// [`TwoPhaseSink::finish`] needs, at most a few hundred bytes, as it becomes a row of the meta topic;
    /// `None` = there is nothing to finish.
    ///
    /// # Errors
    /// If the destination cannot be used; the program then stops, and the batch is not committed.
    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>>;

    /// After `prepare`: what is sent to the first partition of topics, in the transaction of the batch.
    fn take_records(&mut self) -> Vec<(Arc<str>, RawChunk)> {
        vec![]
    }

    /// The batch is committed: shows the rows to readers. Called on the loop, which waits for it.
    ///
    /// # Errors
    /// If the destination cannot be used, best as [`Error::Undelivered`], as the rows are
    /// committed; the next start finishes it.
    fn finish(&mut self, prepared: &[u8]) -> Result {
        let _ = prepared;
        Ok(())
    }

    /// As [`TwoPhaseSink::prepare`], of the share of this process in a batch that several prepare; what is returned is given to
    /// [`TwoPhaseSink::join_shares`], by the process that finishes the batch. [`TwoPhaseSink::recover`] leaves it alone.
    ///
    /// # Errors
    /// As [`TwoPhaseSink::prepare`].
    #[doc(hidden)]
    fn prepare_share(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        self.prepare(batch, rows)
    }

    /// All shares of a batch are committed: what [`TwoPhaseSink::finish`] needs to finish them together. Called before that is committed.
    ///
    /// # Errors
    /// If one is out of reach.
    #[doc(hidden)]
    fn join_shares(&mut self, batch: &Batch, shares: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        let _ = (batch, shares);
        Err(Error::Output("this output does not take shares".into()))
    }

    /// The batch was given up: deletes what was prepared.
    ///
    /// # Errors
    /// If the destination cannot be used.
    fn discard(&mut self, prepared: &[u8]) -> Result {
        let _ = prepared;
        Ok(())
    }
}

/// What a new output is given about the process.
#[derive(Clone, Debug)]
pub struct TwoPhaseContext {
    /// The application: keeps what two programs prepare apart.
    pub application: Arc<str>,
    /// The name of the process: keeps what two processes prepare apart.
    pub instance: Arc<str>,
    /// How long rows of past batches are kept for the program itself.
    pub remember: std::time::Duration,
    /// How often a batch ends, if batches follow the clock.
    pub interval: Option<std::time::Duration>,
}

/// Creates the output when the program starts.
#[doc(hidden)]
pub type MakeTwoPhaseSink = Arc<dyn Fn(&TwoPhaseContext) -> Box<dyn TwoPhaseSink> + Send + Sync>;

/// An output of the plan.
#[doc(hidden)]
#[derive(Clone)]
pub struct TwoPhaseSpec {
    /// Durable name, such as that of the destination; empty = it has nothing to finish.
    pub name: String,
    /// Creates it.
    pub make: MakeTwoPhaseSink,
    /// Whether several processes may each prepare a share of a batch.
    pub in_shares: bool,
}

/// Passes chunks to the output of its node.
#[doc(hidden)]
pub struct Collect;

impl Operator for Collect {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, chunk: Chunk, cx: &mut Context<'_>) -> Result {
        let (node, from) = (cx.out.node(), cx.out.upstream.clone());
        cx.out.output(Output::Collected { node, from, chunk });
        Ok(())
    }
}
