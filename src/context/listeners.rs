//! Tells listeners of batches, output operations and receivers.
//!
//! Owns the way from what the loop reports to what a listener is told: times, names, and the order of calls. Knows no page.
//! Invariants: a batch is submitted, started and completed once; a listener that panics is told again next time, and the loop goes on.

use crate::{
    config::{Config, Trigger},
    operator::{Batch, NodeId},
    plan::{Node, Role, Topology},
    record::{BatchId, BatchTime, TopicPartition},
    runtime::{
        BatchReport, InputRange,
        history::Program,
        listener::{
            BatchInfo, OffsetRange, OutputOperationInfo, ReceiverError, ReceiverInfo, ReceiverStatus,
            StreamInputInfo, StreamingListener, StreamingStarted,
        },
    },
    source::SourceSpec,
    task::panic_text,
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// Why a batch was given up when the loop does not know a failure of its own.
const GIVEN_UP: &str = "the batch was given up; its input comes again";

/// What is known of a program before it runs.
pub(super) fn program(plan: &Topology, config: &Config, instance: Arc<str>, launched_ms: i64) -> Program {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let sinks = plan.nodes.iter().filter_map(|node| {
        let Role::Sink { topic, .. } = &node.role else { return None };
        let name = topic.as_ref().map_or_else(|| node.kind.to_owned(), |t| format!("{} {t}", node.kind));
        Some((name.into(), node.at.to_string().into()))
    });
    Program {
        application_id: config.application_id.clone(),
        instance,
        host: host.trim().into(),
        trigger: config.trigger,
        streams: plan.sources().map(|(id, spec)| (id.0, spec.topics.join(", ").into())).collect(),
        operations: sinks.collect(),
        topology: plan.to_string(),
        launched_ms,
    }
}

/// Everybody who is told.
pub(super) struct Listeners {
    listeners: Vec<Arc<dyn StreamingListener>>,
    program: Program,
    /// The stream of each input topic.
    streams: BTreeMap<String, usize>,
    /// The sinks, in the order of the program's operations.
    sinks: Vec<NodeId>,
    receivers: BTreeMap<TopicPartition, ReceiverInfo>,
    started: bool,
    /// The batch in flight, once its input is complete.
    open: Option<BatchInfo>,
    /// The last batch that was completed.
    ended: Option<u64>,
}

impl Listeners {
    pub(super) fn new(plan: &Topology, program: Program, listeners: Vec<Arc<dyn StreamingListener>>) -> Self {
        let topics = |(id, spec): (NodeId, &SourceSpec)| {
            spec.topics.iter().map(|t| (t.clone(), id.0)).collect::<Vec<_>>()
        };
        let is_sink = |(id, node): (NodeId, &Node)| match node.role {
            Role::Sink { .. } => Some(id),
            _ => None,
        };
        Listeners {
            listeners,
            streams: plan.sources().flat_map(topics).collect(),
            sinks: plan.iter().filter_map(is_sink).collect(),
            program,
            receivers: BTreeMap::new(),
            started: false,
            open: None,
            ended: None,
        }
    }

    // ---- receivers ----------------------------------------------------------------------------------------------

    /// These partitions, and no others, are read from now on.
    pub(super) fn running(&mut self, owned: &[TopicPartition], now_ms: i64) {
        if !self.started {
            self.started = true;
            self.tell(|l| l.on_streaming_started(&StreamingStarted { time_ms: now_ms }));
        }
        let gone = self.receivers.keys().filter(|at| !owned.contains(at)).cloned().collect::<Vec<_>>();
        gone.iter().for_each(|at| self.stopped(at));
        for at in owned {
            let Some(stream_id) = self.streams.get(&*at.topic).copied() else { continue };
            let before = self.receivers.get(at);
            if before.is_some_and(|r| r.status == ReceiverStatus::Active) {
                continue;
            }
            let receiver = ReceiverInfo {
                stream_id,
                at: at.clone(),
                status: ReceiverStatus::Active,
                instance: self.program.instance.clone(),
                host: self.program.host.clone(),
                last_error: before.and_then(|r| r.last_error.clone()),
            };
            self.tell(|l| l.on_receiver_started(&receiver));
            self.receivers.insert(at.clone(), receiver);
        }
    }

    /// No batches are run: partitions were taken away, or an application waits for its other partitions.
    pub(super) fn waiting(&mut self) {
        let active = self.receivers.values().filter(|r| r.status != ReceiverStatus::Inactive);
        let active: Vec<_> = active.map(|r| r.at.clone()).collect();
        active.iter().for_each(|at| self.stopped(at));
    }

    fn stopped(&mut self, at: &TopicPartition) {
        let Some(receiver) = self.receivers.get_mut(at) else { return };
        if receiver.status != ReceiverStatus::Inactive {
            receiver.status = ReceiverStatus::Inactive;
            let receiver = receiver.clone();
            self.tell(|l| l.on_receiver_stopped(&receiver));
        }
    }

    /// A receiver could not read (`ReceiverStatus::Error`), or met a bad record and goes on (`ReceiverStatus::Active`).
    pub(super) fn receiver_error(
        &mut self,
        at: &TopicPartition,
        status: ReceiverStatus,
        why: &str,
        now_ms: i64,
    ) {
        let Some(receiver) = self.receivers.get_mut(at) else { return };
        receiver.status = status;
        receiver.last_error = Some(ReceiverError { at_ms: now_ms, message: why.to_owned() });
        let receiver = receiver.clone();
        self.tell(|l| l.on_receiver_error(&receiver));
    }

    /// The log cannot be reached, or can be again.
    pub(super) fn connection(&mut self, why: Option<&str>, now_ms: i64) {
        let reads = |r: &&ReceiverInfo| r.status != ReceiverStatus::Inactive;
        let places: Vec<_> = self.receivers.values().filter(reads).map(|r| r.at.clone()).collect();
        match why {
            Some(why) => {
                let error = ReceiverStatus::Error;
                places.iter().for_each(|at| self.receiver_error(at, error, why, now_ms));
            }
            None => places.iter().for_each(|at| self.recovered(at)),
        }
    }

    fn recovered(&mut self, at: &TopicPartition) {
        let Some(receiver) = self.receivers.get_mut(at) else { return };
        if receiver.status == ReceiverStatus::Error {
            receiver.status = ReceiverStatus::Active;
            let receiver = receiver.clone();
            self.tell(|l| l.on_receiver_started(&receiver));
        }
    }

    // ---- batches ------------------------------------------------------------------------------------------------

    /// The input is complete.
    pub(super) fn input_ended(&mut self, batch: Batch, inputs: &[InputRange], now_ms: i64) {
        let info = self.submitted(batch.id.0, batch.time.0, inputs, now_ms);
        self.tell(|l| l.on_batch_submitted(&info));
        self.tell(|l| l.on_batch_started(&info));
        info.output_operations.iter().for_each(|o| self.tell(|l| l.on_output_operation_started(o)));
        self.open = Some(info);
    }

    /// The batch is over; `failure` says why it was given up.
    pub(super) fn ended(&mut self, report: &BatchReport, failure: Option<Option<&str>>, now_ms: i64) {
        if self.ended == Some(report.id) {
            return; // given up once is enough
        }
        self.ended = Some(report.id);
        if self.open.as_ref().is_none_or(|open| open.id != report.id) {
            let batch = Batch { id: BatchId(report.id), time: BatchTime(report.time_ms) };
            self.input_ended(batch, &report.inputs, now_ms); // it failed while it took input
        }
        let Some(mut info) = self.open.take() else { return };
        let reason: Option<Arc<str>> = failure.map(|why| why.unwrap_or(GIVEN_UP).into());
        for (operation, sink) in info.output_operations.iter_mut().zip(&self.sinks) {
            let time = report.sinks.iter().find(|(node, _)| node == sink);
            operation.duration = Some(time.map_or(Duration::ZERO, |(_, time)| *time));
            operation.failure_reason.clone_from(&reason);
        }
        info.processing_end_ms = Some(now_ms);
        let processing = report.total.saturating_sub(report.waited);
        info.processing_delay = Some(processing);
        info.total_delay = Some(match self.program.trigger {
            Trigger::Interval(_) => since(info.batch_time_ms, now_ms),
            _ => processing,
        });
        info.output_operations.iter().for_each(|o| self.tell(|l| l.on_output_operation_completed(o)));
        self.tell(|l| l.on_batch_completed(&info));
        if reason.is_none() {
            report.inputs.iter().for_each(|input| self.recovered(&input.at));
        }
    }

    fn submitted(&self, id: u64, batch_time_ms: i64, inputs: &[InputRange], now_ms: i64) -> BatchInfo {
        let mut streams: Vec<StreamInputInfo> = vec![];
        for (stream_id, name) in &self.program.streams {
            let own = inputs.iter().filter(|i| i.node.0 == *stream_id);
            let moved = own.filter(|i| i.until > i.from);
            let ranges: Vec<_> = moved
                .map(|i| OffsetRange { at: i.at.clone(), from: i.from, until: i.until, records: i.records })
                .collect();
            let num_records = ranges.iter().map(|r| r.records).sum();
            streams.push(StreamInputInfo { stream_id: *stream_id, name: name.clone(), num_records, ranges });
        }
        let operation = |(id, (name, place)): (usize, &(Arc<str>, Arc<str>))| OutputOperationInfo {
            batch_time_ms,
            id,
            name: name.clone(),
            description: place.clone(),
            duration: None,
            failure_reason: None,
        };
        let delay = match self.program.trigger {
            Trigger::Interval(_) => since(batch_time_ms, now_ms),
            _ => Duration::ZERO,
        };
        BatchInfo {
            id,
            batch_time_ms,
            streams,
            submission_time_ms: batch_time_ms,
            processing_start_ms: Some(now_ms),
            scheduling_delay: Some(delay),
            output_operations: self.program.operations.iter().enumerate().map(operation).collect(),
            ..BatchInfo::default()
        }
    }

    fn tell(&self, what: impl Fn(&dyn StreamingListener)) {
        for listener in &self.listeners {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| what(listener.as_ref()))) {
                tracing::error!("a streaming listener panicked: {}", panic_text(panic.as_ref()));
            }
        }
    }

    /// How many receivers are in a status.
    pub(super) fn receivers_in(&self, status: ReceiverStatus) -> u64 {
        self.receivers.values().filter(|r| r.status == status).count() as u64
    }
}

/// Zero if `from_ms` is still to come.
fn since(from_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms - from_ms).unwrap_or(0))
}
