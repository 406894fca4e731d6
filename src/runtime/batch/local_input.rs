//! Local sources of this process in the loop: what they delivered is kept until its batch is committed.
//!
//! Owns the replay of their rows. Knows no log. Invariant: after a batch is given up, its rows are delivered
//! again, in order, and no others before them.

use super::source_partition::Progress;
use crate::{
    error::Result,
    operator::{Batch, NodeId, Port},
    plan::Topology,
    record::{Chunk, Offset, Partition, TaskId},
    runtime::events::InputRange,
    source::LocalSource,
    task::Task,
};
use std::{collections::VecDeque, sync::Arc};

/// One local source.
pub struct LocalInput {
    /// Its source node.
    pub node: NodeId,
    /// The name by which the user knows it.
    pub name: Arc<str>,
    /// Its task of stage 0.
    pub task: Task,
    source: Box<dyn LocalSource>,
    /// Delivered in the batch in flight.
    taken: VecDeque<Chunk>,
    /// Delivered in a batch that was given up, to be delivered again.
    again: VecDeque<Chunk>,
    /// Whether the batch in flight began with such rows: then it gets no others.
    replays: bool,
}

impl LocalInput {
    /// The local sources of `plan`.
    #[must_use]
    pub fn all(plan: &Topology, state_partitions: u32) -> Vec<Self> {
        let input = |(index, (node, make)): (u32, (_, &crate::source::MakeLocal))| {
            let id = TaskId { stage: 0, partition: Partition(index) };
            let task = Task::open(plan, id, Some(node), state_partitions, None);
            LocalInput::new(node, &plan.node(node).path, task, make())
        };
        (0..).zip(plan.locals()).map(input).collect()
    }

    /// An input that takes from `source`.
    #[must_use]
    pub fn new(node: NodeId, name: &str, task: Task, source: Box<dyn LocalSource>) -> Self {
        let (taken, again) = (VecDeque::new(), VecDeque::new());
        LocalInput { node, name: name.into(), task, source, taken, again, replays: false }
    }

    /// What a batch that begins here has read: nothing yet.
    #[must_use]
    pub fn nothing_read(&self) -> InputRange {
        InputRange { node: self.node, at: None, from: Offset(0), until: Offset(0), records: 0 }
    }

    /// Passes what is available, up to `rows_max` rows, through the task.
    ///
    /// # Errors
    /// If the source is broken or an operator fails.
    pub fn advance(&mut self, batch: &Batch, rows_max: usize) -> Result<Progress> {
        let mut progress = Progress::default();
        while progress.records < rows_max {
            let next = match self.again.pop_front() {
                Some(chunk) => {
                    self.replays = true;
                    Some(chunk)
                }
                None if self.replays => None,
                None => self.source.take(batch)?,
            };
            let Some(chunk) = next else { break };
            progress.records += chunk.len();
            self.task.takes(chunk.len());
            self.taken.push_back(chunk.clone());
            self.task.process(batch, self.node, Port(0), chunk)?;
        }
        progress.outputs = self.task.take_outputs();
        Ok(progress)
    }

    /// Whether the batch in flight has rows of it.
    #[must_use]
    pub fn has_given(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Whether rows are waiting.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.again.is_empty() || self.source.has_more()
    }

    /// The batch in flight is committed and applied.
    pub fn applied(&mut self) {
        self.taken.clear();
        self.replays = false;
        if self.again.is_empty() {
            self.source.committed();
        }
    }

    /// The batch in flight changed nothing: its rows are done with.
    pub fn rest(&mut self) {
        self.task.rest();
        self.applied();
    }

    /// The batch in flight was given up: its rows are delivered again.
    pub fn abort(&mut self) {
        self.task.abort();
        std::mem::swap(&mut self.taken, &mut self.again);
        self.again.append(&mut self.taken);
        self.replays = false;
    }
}
