//! One stage on one partition: its operators, its stores, and the batch that it computes.
//!
//! Owns the order in which chunks pass through the operators. Knows no log, no thread and no typed API. Invariants:
//! computing is pure; targets always come later in the order, so one forward pass empties all queues; after an abort
//! the operators are recreated.

pub mod alignment;
pub mod checkpoint;
pub mod closing_rows;
pub mod exchange_record;
pub mod failing_rows;
pub mod recovery;
pub mod recovery_record;
pub mod restore_progress;
mod running;
pub mod stage_row;

pub use running::Running;

use crate::{
    error::{Error, Result},
    operator::{
        Batch, Context, Counters, EdgeId, Emitter, Envelope, NodeId, Operator, Output, Port, Target,
        Upstream, Work,
    },
    panics,
    plan::{EdgeReader, Factory, Role, Topology},
    record::{BatchTime, Chunk, RawChunk, Size, TaskId, TopicPartition},
    state::{Backend, Stores},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Time since some fixed moment, for measurements only: what a task computes does not depend on it.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// About how many bytes the end of a batch produces at a time.
const OUTPUT_BYTES: usize = 4 << 20;

/// The operators of one stage on one partition.
pub struct Task {
    id: TaskId,
    /// What it is to those who get its rows.
    upstream: Upstream,
    nodes: Vec<NodeId>,
    slots: Vec<Slot>,
    /// What it reads of other stages.
    edges: BTreeMap<EdgeId, Inlet>,
    queues: Vec<VecDeque<(Port, Chunk)>>,
    stores: Stores,
    outputs: Vec<Output>,
    counters: Counters,
    /// The next operator in which to end the batch.
    ending: usize,
    state_partitions: u32,
    /// Everything that was in its input partition at this batch time is read.
    caught_up: BatchTime,
    /// Who sent the rows that are taken, if they are of an edge.
    sender: Option<Upstream>,
    stopwatch: Option<Stopwatch>,
    running: Arc<Running>,
    /// Whether panics are hidden.
    quiet: bool,
}

/// Where rows of an edge come in.
struct Inlet {
    /// The stage that they come from.
    stage: u32,
    /// The operators that read them, by position, and their inputs.
    readers: Arc<[(usize, Port)]>,
}

struct Slot {
    operator: Box<dyn Operator>,
    factory: Factory,
    stores: Vec<usize>,
    targets: Vec<Vec<Target>>,
    label: Arc<str>,
    /// What it has done since this was last asked.
    work: Work,
    /// The greatest timestamp of the records behind what it has taken in this batch, milliseconds since the epoch.
    newest_ms: Option<i64>,
}

impl Task {
    /// The task of `stage` on `partition`; in stage 0, of the source node `source`. `plan` is a topology as it is
    /// [computed](Topology::computed), `backend` the database of the state partition (stage 0 has none).
    #[must_use]
    pub fn open(
        plan: &Topology,
        id: TaskId,
        source: Option<NodeId>,
        state_partitions: u32,
        backend: Option<&Arc<dyn Backend>>,
    ) -> Self {
        let nodes = plan.task_nodes(id.stage, source);
        let mut stores = Stores::default();
        let mut slots = vec![];
        for node_id in &nodes {
            let node = plan.node(*node_id);
            let first = stores.0.len();
            if let Some(backend) = backend {
                let open = node.stores.iter().map(|s| (s.open)(&s.name, backend.clone(), &s.formats));
                stores.0.extend(open);
            }
            let indexes: Vec<usize> = (first..stores.0.len()).collect();
            let factory = match &node.role {
                Role::Source(_) | Role::Local(_) | Role::Idle => pass_on(),
                Role::Operator(f) | Role::Exchange(f, _) | Role::Sink { factory: f, .. } => f.clone(),
            };
            slots.push(Slot {
                operator: factory(&indexes),
                factory,
                stores: indexes,
                targets: plan.targets(*node_id, &nodes),
                label: format!("{} (made at {})", node.kind, node.operation.place).into(),
                work: Work::default(),
                newest_ms: None,
            });
        }
        let running = Arc::new(Running::new(slots.iter().map(|s: &Slot| s.label.clone()).collect()));
        let queues = nodes.iter().map(|_| VecDeque::new()).collect();
        let edges = plan.edges_into(id.stage).map(|(edge, of)| {
            let position = |reader: &EdgeReader| nodes.iter().position(|node| *node == reader.node);
            let readers = of.readers.iter().filter_map(|reader| Some((position(reader)?, reader.port)));
            (edge, Inlet { stage: of.stage, readers: readers.collect() })
        });
        Task {
            id,
            upstream: Upstream::Task(id),
            edges: edges.collect(),
            nodes,
            slots,
            queues,
            stores,
            outputs: vec![],
            counters: Counters::default(),
            ending: 0,
            state_partitions,
            caught_up: BatchTime(i64::MAX), // what another task makes comes in the same batch
            sender: None,
            stopwatch: None,
            running,
            quiet: false,
        }
    }

    /// Sets the input partition that the task reads.
    #[must_use]
    pub fn reading(mut self, source: TopicPartition) -> Self {
        self.upstream = Upstream::Source(source);
        self.caught_up = BatchTime(i64::MIN);
        self
    }

    /// Whether an operator wants to know when everything that is in the input partition is read.
    #[must_use]
    pub fn awaits_end(&self) -> bool {
        self.slots.iter().any(|slot| slot.operator.awaits_end())
    }

    /// Everything that was in the input partition at this batch time is read.
    pub fn set_caught_up(&mut self, at: BatchTime) {
        self.caught_up = at;
    }

    /// Makes the task measure how long its operators take.
    #[must_use]
    pub fn timed(self, stopwatch: Stopwatch) -> Self {
        Task { stopwatch: Some(stopwatch), ..self }
    }

    /// What each operator did since the last call.
    pub fn take_work(&mut self) -> impl Iterator<Item = (NodeId, Work)> {
        let slots = self.nodes.iter().zip(&mut self.slots);
        slots.map(|(node, slot)| (*node, std::mem::take(&mut slot.work)))
    }

    /// Says which operator is running.
    #[must_use]
    pub fn running(&self) -> Arc<Running> {
        self.running.clone()
    }

    /// The batch takes these records.
    pub fn takes(&self, records: usize) {
        self.running.take(records);
    }

    /// The task's label.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Whether panics are hidden from now on, as they are during the search for a failing record.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Takes a chunk through the operators as far as it goes, beginning with `node`.
    ///
    /// # Errors
    /// [`Error::Operator`] if an operator fails or panics; the batch must be dropped then.
    pub fn process(&mut self, batch: &Batch, node: NodeId, port: Port, chunk: Chunk) -> Result {
        let index = self.nodes.iter().position(|n| *n == node).expect("a node of this task");
        self.hand_over(batch, (index, port), chunk)
    }

    /// Takes rows of an earlier stage through the operators that read them.
    ///
    /// # Errors
    /// As [`Task::process`].
    ///
    /// # Panics
    /// If nothing here reads their edge, or they are of another batch or stage: a bug of the routing.
    pub fn receive(&mut self, batch: &Batch, envelope: Envelope) -> Result {
        let Envelope { edge, upstream, time, chunk } = envelope;
        let inlet = self.edges.get(&edge).unwrap_or_else(|| panic!("task {} reads no edge {edge}", self.id));
        assert!(time <= batch.time, "rows of a later batch, from {upstream} on edge {edge}");
        assert_eq!(inlet.stage, upstream.stage(), "rows of another stage on edge {edge}");
        let readers = inlet.readers.clone();
        let Some((last, rest)) = readers.split_last() else { return Ok(()) };
        self.sender = Some(upstream);
        let mut handed = Ok(());
        for to in rest {
            handed = handed.and_then(|()| self.hand_over(batch, *to, chunk.clone()));
        }
        handed = handed.and_then(|()| self.hand_over(batch, *last, chunk));
        self.sender = None;
        handed
    }

    /// Ends the batch in every operator, in order.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn end_batch(&mut self, batch: &Batch) -> Result {
        while self.end_some(batch)? {}
        Ok(())
    }

    /// Like [`Task::end_batch`], but only until about 4 MiB of records wait to be taken: a window may be larger than
    /// memory. `true` = take the outputs and call again.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn end_some(&mut self, batch: &Batch) -> Result<bool> {
        while self.ending < self.slots.len() {
            let index = self.ending;
            self.call(batch, index, Size::default(), |operator, cx| operator.end_batch(cx))?;
            self.drain(batch, index + 1)?;
            if !self.slots[index].operator.has_more() {
                self.slots[index].newest_ms = None;
                self.ending += 1;
            } else if self.is_full() {
                return Ok(true);
            }
        }
        self.ending = 0;
        Ok(false)
    }

    /// Whether so much waits to be taken that no more is to be passed through before that.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outputs.iter().map(Output::bytes).sum::<usize>() >= OUTPUT_BYTES
    }

    /// What has left the task since the last call.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// What was counted since the last call.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// About how many bytes the batch holds until it ends: staged state changes, and rows that operators hold back.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        let held = self.slots.iter().map(|s| s.operator.held_bytes()).sum::<usize>();
        held + self.stores.0.iter().map(|s| s.staged_bytes()).sum::<usize>()
    }

    /// Whether what it gives depends on where a batch begins and ends.
    #[must_use]
    pub fn sees_batches(&self) -> bool {
        self.slots.iter().any(|slot| slot.operator.sees_batches())
    }

    /// Before an exchange: whether parts of a batch can be sent on before the rest is there.
    #[must_use]
    pub fn takes_parts(&self) -> bool {
        self.slots.iter().all(|slot| slot.operator.takes_parts())
    }

    /// The staged changes of all stores as changelog rows; empty chunks are left out.
    ///
    /// # Errors
    /// If a key or value cannot be encoded; [`Error::Operator`] if its encoding panics.
    pub fn seal(&mut self) -> Result<Vec<RawChunk>> {
        let mut sealed = vec![];
        for (index, store) in self.stores.0.iter_mut().enumerate() {
            let rows = match panics::caught(self.quiet, || store.seal()) {
                Ok(rows) => rows?,
                Err(panic) => {
                    let slot = self.slots.iter().find(|s| s.stores.contains(&index));
                    let operator = slot.map_or_else(String::new, |s| s.label.to_string());
                    let reason = panics::reason(panic.as_ref(), "panicked");
                    return Err(Error::Operator { operator, partition: self.id.partition.0, reason });
                }
            };
            if !rows.is_empty() {
                sealed.push(rows);
            }
        }
        Ok(sealed)
    }

    /// The staged changes are in the database.
    pub fn applied(&mut self) {
        self.stores.0.iter_mut().for_each(|s| s.applied());
    }

    /// Ends a batch that changed nothing: discards what was read.
    pub fn rest(&mut self) {
        self.stores.0.iter_mut().for_each(|s| s.aborted());
        self.outputs.clear();
        self.ending = 0;
    }

    /// Discards the batch: staged changes, queues and outputs; the operators are recreated.
    pub fn abort(&mut self) {
        self.stores.0.iter_mut().for_each(|s| s.aborted());
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.outputs.clear();
        self.counters = Counters::default();
        self.ending = 0;
        for slot in &mut self.slots {
            slot.operator = (slot.factory)(&slot.stores);
            slot.newest_ms = None;
        }
    }

    fn hand_over(&mut self, batch: &Batch, (index, port): (usize, Port), chunk: Chunk) -> Result {
        self.queues[index].push_back((port, chunk));
        self.drain(batch, index)
    }

    fn drain(&mut self, batch: &Batch, from: usize) -> Result {
        for index in from..self.slots.len() {
            while let Some((port, chunk)) = self.queues[index].pop_front() {
                self.slots[index].newest_ms = self.slots[index].newest_ms.max(chunk.stamps().greatest());
                self.slots[index].work.rows += chunk.len();
                let given = chunk.size();
                self.call(batch, index, given, |operator, cx| operator.process(port, chunk, cx))?;
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        batch: &Batch,
        index: usize,
        given: Size,
        f: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Result,
    ) -> Result {
        let Slot { operator, targets, label, newest_ms, work, .. } = &mut self.slots[index];
        let out = Emitter {
            node: self.nodes[index],
            targets,
            queues: &mut self.queues,
            outputs: &mut self.outputs,
            time: batch.time,
            newest_ms: *newest_ms,
            given,
            upstream: &self.upstream,
            partition: self.id.partition,
            partitions: self.state_partitions,
        };
        let mut cx = Context {
            batch,
            stores: &mut self.stores,
            counters: &mut self.counters,
            caught_up: self.caught_up,
            sender: self.sender.as_ref().unwrap_or(&self.upstream),
            out,
        };
        let failed = |reason: String| Error::Operator {
            operator: label.to_string(),
            partition: self.id.partition.0,
            reason,
        };
        self.running.begin(index);
        let timing = self.stopwatch.as_ref().map(|now| (now, now()));
        let result = panics::caught(self.quiet, || f(operator.as_mut(), &mut cx));
        if let Some((now, began)) = timing {
            work.time += now().saturating_sub(began);
        }
        self.running.end();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e @ (Error::State(_) | Error::Killed | Error::Io { .. }))) => Err(e),
            Ok(Err(e)) => Err(failed(e.to_string())),
            Err(panic) => Err(failed(panics::reason(panic.as_ref(), "panicked"))),
        }
    }
}

/// A source node inside a task: passes its chunks on.
fn pass_on() -> Factory {
    Arc::new(|_| {
        Box::new(crate::operator::PerChunk(|chunk, cx: &mut Context<'_>| {
            cx.out.chunk(chunk);
            Ok(())
        }))
    })
}
