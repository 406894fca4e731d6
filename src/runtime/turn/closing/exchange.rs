//! How rows go through the exchange topic: what comes, from where it was committed, and what a transaction sends.
//!
//! Knows no operator. Invariants: a state partition goes on with the offset, the closed times and the upstreams that were
//! committed together; the marks of a batch's input are sent in the transaction of its offsets.

use crate::{
    error::Result,
    log::{Fetcher, TopicInfo},
    operator::{Batch, Upstream},
    record::{BatchTime, Partition, TaskId, TopicPartition},
    runtime::{
        batch::{
            incoming::Incoming, outgoing::Outgoing, pace::trigger::reaches_ms,
            state_partition::StatePartition,
        },
        turn::Loop,
    },
    state::Backend as _,
    task::{
        alignment::{Alignment, NEVER, StageProgress, Window},
        exchange_record::ExchangeEdges,
        recovery_record::RecoveryRecord,
        stage_row,
    },
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How rows go through the exchange topic.
pub(in crate::runtime::turn) struct Exchange {
    edges: Arc<ExchangeEdges>,
    /// The times of batches in which all upstreams have said how far they are.
    pub(super) roll_calls: BTreeSet<BatchTime>,
    /// When it was last tried to hand rows over in memory again.
    pub(super) tried: Duration,
    /// Whether no input is taken because of what waits for other processes.
    pub(in crate::runtime::turn) is_held_up: bool,
}

impl Loop {
    /// Lets state partitions get their rows through the exchange topic, from where that was committed. Records of batches in memory say of
    /// no stage what it has closed.
    pub(in crate::runtime::turn) fn open_exchange(
        &mut self,
        states: &mut [StatePartition],
        fetchers: Vec<Box<dyn Fetcher>>,
    ) -> Result {
        let app = &self.app;
        let new = || Exchange {
            edges: Arc::new(ExchangeEdges::of(&app.plan)),
            roll_calls: BTreeSet::new(),
            tried: app.now(),
            is_held_up: false,
        };
        let edges = self.exchange.get_or_insert_with(new).edges.clone();
        let share = app.config.receive_buffer_bytes / app.config.state_partitions as usize;
        let reaches = app.plan.window_reaches();
        let windows: Vec<Window> = reaches_ms(app.config.trigger, &reaches)
            .map(|(slide_ms, reach_ms)| Window { slide_ms, reach_ms })
            .collect();
        for (state, fetcher) in states.iter_mut().zip(fetchers) {
            let place = format!("the local state of {}", state.at);
            let record = state.backend.record()?;
            let record = record
                .map(|bytes| RecoveryRecord::parse(&String::from_utf8_lossy(&bytes), &place))
                .transpose()?;
            let mut progress = vec![];
            for stage in 1..app.plan.stages() {
                let committed = record
                    .as_ref()
                    .map(|record| stage_row::read(&*state.backend, record, stage))
                    .transpose()?
                    .flatten();
                let all = || StageProgress::new(NEVER, self.upstreams(stage));
                progress.push(committed.unwrap_or_else(all));
            }
            let has_begun = |stage: u32| {
                let closed = record.as_ref().map(|record| record.closed.get(stage as usize - 1));
                closed.is_some_and(|closed| closed != Some(&NEVER))
            };
            // Only a watermark depends on it; otherwise each batch is closed by itself from the first one on.
            let begins: Vec<u32> = (1..app.plan.stages())
                .filter(|stage| app.plan.closes_by_event_time && !has_begun(*stage))
                .collect();
            let alignment =
                Alignment::new(&app.plan, state.position(), progress, share).with_windows(&windows);
            let alignment = begins.into_iter().fold(alignment, Alignment::beginning);
            state.incoming = Some(Incoming::new(state.at.clone(), edges.clone(), fetcher, alignment));
        }
        Ok(())
    }

    /// All upstreams of a stage that there are now.
    fn upstreams(&self, stage: u32) -> BTreeSet<Upstream> {
        let (plan, inputs) = (&self.app.plan, &self.group.topics.inputs);
        let of_topic = |(topic, info): (&String, &TopicInfo)| {
            let topic: Arc<str> = topic.as_str().into();
            (0..info.partitions).map(move |p| Upstream::Source(TopicPartition::new(topic.clone(), p)))
        };
        let locals = self.partitions.locals.iter().map(|local| Upstream::Task(local.task.id()));
        let partitions = 0..self.app.config.state_partitions;
        let tasks = (1..stage).flat_map(|stage| {
            let task = move |p| Upstream::Task(TaskId { stage, partition: Partition(p) });
            partitions.clone().map(task)
        });
        let all = inputs.iter().flat_map(of_topic).chain(locals).chain(tasks);
        all.filter(|upstream| plan.is_upstream(upstream, stage)).collect()
    }

    /// What a transaction sends through the exchange topic, if rows go through it.
    pub(in crate::runtime::turn) fn outgoing(&self) -> Option<Outgoing> {
        let exchange = self.exchange.as_ref()?;
        Some(Outgoing::new(&exchange.edges, self.app.config.state_partitions))
    }

    /// Ends the input of a batch: its rows, and the marks of all sources, go through the exchange topic. If it is a part, only its
    /// rows do: the marks go with the last one.
    pub(in crate::runtime::turn) fn end_input(&mut self, batch: &Batch) -> Result {
        self.end_first_stage(batch)?;
        self.in_flight.commit_id = Some(self.pace.next_id());
        if self.in_flight.is_part {
            self.in_flight.counters.parts += 1;
            if !crate::failpoint::passes("mutant-mark-with-first-part") {
                return Ok(());
            }
        }
        if crate::failpoint::passes("mutant-asks-before-commit") {
            self.input_is_committed();
        }
        let sources = self.partitions.sources.iter().map(|source| Upstream::Source(source.at.clone()));
        let locals = self.partitions.locals.iter().map(|local| Upstream::Task(local.task.id()));
        let rows = crate::failpoint::passes("mutant-mark-before-rows").then(|| self.outgoing()).flatten();
        let outgoing = self.in_flight.outgoing.as_mut().expect("input goes through the topic");
        let rows = rows.map(|marks| std::mem::replace(outgoing, marks));
        let incoming = self.partitions.states.iter().filter_map(|state| state.incoming.as_ref());
        let cut_off: BTreeSet<Upstream> = incoming.flat_map(Incoming::cut_off).cloned().collect();
        sources.chain(locals).chain(cut_off).for_each(|upstream| outgoing.mark(&upstream, batch.time));
        if let Some(rows) = rows {
            self.hold_outgoing()?;
            self.in_flight.outgoing = Some(rows);
        }
        // The time of the input is committed with each state partition.
        self.partitions.states.iter_mut().for_each(|state| state.touched = true);
        Ok(())
    }

    /// The input of a batch is committed. Only now it is a fact that all upstreams have answered at its time: one that is given up may
    /// leave the time to input of other processes.
    pub(in crate::runtime::turn) fn input_is_committed(&mut self) {
        let batch = self.in_flight.batch();
        // Upstreams of other processes do not answer.
        let asks_all = batch.is_roll_call && self.has_all_states();
        if let Some(exchange) = self.exchange.as_mut().filter(|_| asks_all) {
            exchange.roll_calls.insert(batch.time);
        }
    }

    /// Lets the log delete what is committed as taken, from time to time.
    pub(in crate::runtime::turn) fn purge_exchange(&mut self) {
        let Loop { app, partitions, beside, .. } = self;
        let states = partitions.states.iter();
        beside.purge.before(app.now(), || states.map(|s| (s.at.clone(), s.exchange_committed)).collect());
    }

    /// Holds what goes through the exchange topic.
    pub(in crate::runtime::turn) fn hold_outgoing(&mut self) -> Result {
        let Some(outgoing) = self.in_flight.outgoing.take() else { return Ok(()) };
        for (partition, records) in outgoing.finish() {
            self.check_internal(&self.app.names.exchange, &records)?;
            self.transaction.hold(&self.app.names.exchange, Some(partition), records)?;
        }
        Ok(())
    }
}
