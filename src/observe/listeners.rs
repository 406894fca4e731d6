//! Notifies listeners of batches, output operations and receivers.
//!
//! Owns the translation of the loop's reports into what a listener gets: times, names, and the order of calls.
//! Knows no page. Invariants: a batch is submitted, started and completed once; a listener that panics is called
//! again next time, and the loop goes on.

use super::{
    history::{OperatorDescription, Program, Stream},
    listener::{
        BatchInfo, BatchPhases, OffsetRange, OperatorInfo, OutputOperationInfo, ReceiverError, ReceiverId,
        ReceiverInfo, ReceiverStatus, StreamInputInfo, StreamingListener, StreamingStarted,
    },
};
use crate::{
    config::{Config, Trigger},
    error::panic_text,
    operator::{Batch, NodeId, Work},
    plan::{Node, Role, Topology},
    record::{BatchId, BatchTime, TopicPartition},
    runtime::{BatchReport, InputRange, Phases, ReceiverState},
    source::{ReceiverSpec, SourceSpec, receiver::ReceiverTarget},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// Why a batch was given up, if the loop knows of no failure of its own.
pub const GIVEN_UP: &str = "the batch was given up; its input comes again";

/// What is known of a program before it runs.
pub fn program(plan: &Topology, config: &Config, instance: Arc<str>, launched_ms: i64) -> Program {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let sinks = plan.outputs().into_iter().filter_map(|(_, node)| {
        let Role::Sink { topics, .. } = &node.role else { return None };
        let name = format!("{} {}", node.kind, topics.join(", "));
        let name = name.trim_end().to_owned();
        Some((name.into(), node.operation.place.to_string().into()))
    });
    Program {
        application_id: config.application_id.clone(),
        operators: operators(plan),
        settings: settings(config, &instance),
        instance,
        host: host.trim().into(),
        trigger: config.trigger,
        streams: streams(plan),
        operations: sinks.collect(),
        topology: plan.to_string(),
        views: plan.views.clone(),
        launched_ms,
    }
}

/// Every source with its node and the name that the user knows it by: receiver, topics, or kind.
fn streams(plan: &Topology) -> Vec<Stream> {
    let stream = |id: NodeId, node: &Node| {
        let (topics, name) = match &node.role {
            Role::Source(spec) => (spec.topics.clone(), spec.topics.join(", ")),
            Role::Local(_) => (vec![], node.path.clone()),
            _ => return None,
        };
        let feed = plan.receivers.iter().find(|f| stream_of(plan, f) == Some(id.0));
        let name = feed.map_or(name, |f| f.name.clone()).into();
        Some(Stream { id: id.0, name, topics: topics.into_iter().map(Into::into).collect() })
    };
    plan.iter().filter_map(|(id, node)| stream(id, node)).collect()
}

/// Every node that does something.
fn operators(plan: &Topology) -> Vec<OperatorDescription> {
    let description = |(id, node): (NodeId, &Node)| OperatorDescription {
        id: id.0,
        stage: plan.stage(id),
        name: node.kind.to_string().into(),
        place: node.operation.place.to_string().into(),
    };
    plan.iter().filter(|(_, node)| !matches!(node.role, Role::Idle)).map(description).collect()
}

/// The settings, with the name that this process has after all.
fn settings(config: &Config, instance: &Arc<str>) -> Vec<(String, String)> {
    let config = Config { instance_id: Some(instance.to_string()), ..config.clone() };
    config.settings()
}

/// A node, and all that its rows come through.
fn lineage(plan: &Topology, node: NodeId) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::from([node]);
    for id in (0..=node.0).rev().map(NodeId) {
        if found.contains(&id) {
            found.extend(plan.node(id).inputs.iter().map(|input| input.node));
        }
    }
    found
}

/// The source that reads what a receiver stores.
fn stream_of(plan: &Topology, receiver: &ReceiverSpec) -> Option<usize> {
    plan.reader_of(receiver).map(|id| id.0)
}

fn topic_of(receiver: &ReceiverSpec) -> Option<&str> {
    match &receiver.target {
        ReceiverTarget::Topic { name, .. } => Some(name),
        ReceiverTarget::Memory(..) => None,
    }
}

/// All listeners, and the facts to report to them.
pub struct Listeners {
    registered: Vec<Arc<dyn StreamingListener>>,
    program: Program,
    /// The stream of each input topic.
    streams: BTreeMap<String, usize>,
    /// What the rows of each of the program's operations come through, in their order.
    lineages: Vec<BTreeSet<NodeId>>,
    /// The stream of each named receiver.
    receiver_streams: BTreeMap<String, usize>,
    /// The receiver that fills each of the program's own topics.
    ingest: BTreeMap<String, Arc<str>>,
    receivers: BTreeMap<ReceiverId, ReceiverInfo>,
    /// Named receivers that failed and have not reported since that they receive again.
    failing: BTreeSet<ReceiverId>,
    started: bool,
    /// The batch in flight, once its input is complete.
    open: Option<BatchInfo>,
    /// The last batch that was completed or given up.
    ended: Option<u64>,
    /// The newest batch, and the time it is reported with.
    newest: (Option<u64>, i64),
    /// The watermark that a batch that is done told last.
    watermark_ms: Option<i64>,
}

impl Listeners {
    pub fn new(plan: &Topology, program: Program, registered: Vec<Arc<dyn StreamingListener>>) -> Self {
        let topics = |(id, spec): (NodeId, &SourceSpec)| {
            spec.topics.iter().map(|t| (t.clone(), id.0)).collect::<Vec<_>>()
        };
        Listeners {
            registered,
            streams: plan.sources().flat_map(topics).collect(),
            lineages: plan.outputs().into_iter().map(|(id, _)| lineage(plan, id)).collect(),
            program,
            receiver_streams: plan
                .receivers
                .iter()
                .filter_map(|f| Some((f.name.clone(), stream_of(plan, f)?)))
                .collect(),
            ingest: plan
                .receivers
                .iter()
                .filter_map(|f| Some((topic_of(f)?.to_owned(), f.name.as_str().into())))
                .collect(),
            receivers: BTreeMap::new(),
            failing: BTreeSet::new(),
            started: false,
            open: None,
            ended: None,
            newest: (None, i64::MIN),
            watermark_ms: None,
        }
    }

    // ---- receivers ----------------------------------------------------------------------------------------------

    /// From now on these partitions, and no others, are read.
    pub fn running(&mut self, owned: &[TopicPartition], now_ms: i64) {
        if !self.started {
            self.started = true;
            self.notify(|l| l.on_streaming_started(&StreamingStarted { time_ms: now_ms }));
        }
        let is_gone = |id: &&ReceiverId| matches!(id, ReceiverId::Partition(at) if !owned.contains(at));
        let gone: Vec<_> = self.receivers.keys().filter(is_gone).cloned().collect();
        gone.iter().for_each(|id| self.stopped(id));
        for at in owned {
            let stream = self.streams.get(&*at.topic).filter(|_| !self.ingest.contains_key(&*at.topic));
            if let Some(stream_id) = stream.copied() {
                self.reads(ReceiverId::Partition(at.clone()), stream_id);
            }
        }
    }

    /// A receiver exists and is reading; reported unless it was reading before.
    fn reads(&mut self, id: ReceiverId, stream_id: usize) {
        let before = self.receivers.get(&id);
        if before.is_some_and(|r| r.status == ReceiverStatus::Active) {
            return;
        }
        let last_error = before.and_then(|r| r.last_error.clone());
        let (instance, host) = (self.program.instance.clone(), self.program.host.clone());
        let status = ReceiverStatus::Active;
        let receiver = ReceiverInfo { stream_id, id: id.clone(), status, instance, host, last_error };
        self.notify(|l| l.on_receiver_started(&receiver));
        self.receivers.insert(id, receiver);
    }

    /// A named receiver was started, failed, receives again, or has ended.
    pub fn named_receiver(&mut self, name: &str, state: ReceiverState, message: &str, now_ms: i64) {
        let id = ReceiverId::Named(name.into());
        let Some(stream_id) = self.receiver_streams.get(name).copied() else { return };
        match state {
            ReceiverState::Started if self.failing.contains(&id) => {}
            ReceiverState::Started => self.reads(id, stream_id),
            ReceiverState::Error => {
                self.receiver_error(&id, ReceiverStatus::Error, message, now_ms);
                self.failing.insert(id);
            }
            ReceiverState::Recovered => {
                self.failing.remove(&id);
                self.recovered(&id);
            }
            ReceiverState::Stopped => {
                self.failing.remove(&id);
                self.stopped(&id);
            }
        }
    }

    /// No batches are run: partitions were taken away, or the application waits for its other partitions.
    pub fn waiting(&mut self) {
        let reads = |r: &&ReceiverInfo| {
            r.status != ReceiverStatus::Inactive && matches!(r.id, ReceiverId::Partition(_))
        };
        let reading: Vec<_> = self.receivers.values().filter(reads).map(|r| r.id.clone()).collect();
        reading.iter().for_each(|id| self.stopped(id));
    }

    fn stopped(&mut self, id: &ReceiverId) {
        let Some(receiver) = self.receivers.get_mut(id) else { return };
        if receiver.status != ReceiverStatus::Inactive {
            receiver.status = ReceiverStatus::Inactive;
            let receiver = receiver.clone();
            self.notify(|l| l.on_receiver_stopped(&receiver));
        }
    }

    /// A partition could not be read (`ReceiverStatus::Error`), or had a bad record and is still being read
    /// (`ReceiverStatus::Active`).
    pub fn partition_error(&mut self, at: &TopicPartition, status: ReceiverStatus, why: &str, now_ms: i64) {
        self.receiver_error(&self.receiver_of(at), status, why, now_ms);
    }

    fn receiver_error(&mut self, id: &ReceiverId, status: ReceiverStatus, why: &str, now_ms: i64) {
        let Some(receiver) = self.receivers.get_mut(id) else { return };
        receiver.status = status;
        receiver.last_error = Some(ReceiverError { at_ms: now_ms, message: why.to_owned() });
        let receiver = receiver.clone();
        self.notify(|l| l.on_receiver_error(&receiver));
    }

    /// The receiver that fills the partition's topic, if this program has one; otherwise the reader of the
    /// partition.
    fn receiver_of(&self, at: &TopicPartition) -> ReceiverId {
        let name = self.ingest.get(&*at.topic);
        name.map_or_else(|| ReceiverId::Partition(at.clone()), |name| ReceiverId::Named(name.clone()))
    }

    /// The log cannot be reached, or can be reached again.
    pub fn connection(&mut self, why: Option<&str>, now_ms: i64) {
        let reads = |r: &&ReceiverInfo| {
            r.status != ReceiverStatus::Inactive && matches!(r.id, ReceiverId::Partition(_))
        };
        let reading: Vec<_> = self.receivers.values().filter(reads).map(|r| r.id.clone()).collect();
        for id in &reading {
            match why {
                Some(why) => self.receiver_error(id, ReceiverStatus::Error, why, now_ms),
                None => self.recovered(id),
            }
        }
    }

    fn recovered(&mut self, id: &ReceiverId) {
        let Some(receiver) = self.receivers.get_mut(id) else { return };
        if receiver.status == ReceiverStatus::Error {
            receiver.status = ReceiverStatus::Active;
            let receiver = receiver.clone();
            self.notify(|l| l.on_receiver_started(&receiver));
        }
    }

    /// A committed batch has read all its partitions. That says nothing about a receiver that fails: its rows may
    /// be older.
    fn recovered_by(&mut self, inputs: &[InputRange]) {
        if self.receivers.values().all(|r| r.status != ReceiverStatus::Error) {
            return;
        }
        for at in inputs.iter().filter_map(|input| input.at.as_ref()) {
            let id = self.receiver_of(at);
            if !self.failing.contains(&id) {
                self.recovered(&id);
            }
        }
    }

    // ---- batches ------------------------------------------------------------------------------------------------

    /// The time a batch is reported with: its own, or the next one that no earlier attempt has.
    pub fn time_of(&mut self, batch: Batch) -> i64 {
        if self.newest.0 != Some(batch.id.0) {
            self.newest = (Some(batch.id.0), batch.time.0.max(self.newest.1.saturating_add(1)));
        }
        self.newest.1
    }

    /// The input is complete.
    pub fn input_ended(&mut self, batch: Batch, inputs: &[InputRange], now_ms: i64) {
        let time_ms = self.time_of(batch);
        let info = self.submitted(batch.id.0, time_ms, inputs, now_ms);
        self.notify(|l| l.on_batch_submitted(&info));
        self.notify(|l| l.on_batch_started(&info));
        info.output_operations.iter().for_each(|o| self.notify(|l| l.on_output_operation_started(o)));
        self.open = Some(info);
    }

    /// The batch has ended; `failure` says why it was given up.
    pub fn ended(&mut self, report: &BatchReport, failure: Option<&str>, now_ms: i64) {
        if self.ended == Some(report.id) {
            return; // given up once is enough
        }
        self.ended = Some(report.id);
        if self.open.as_ref().is_none_or(|open| open.id != report.id) {
            let batch = Batch::new(BatchId(report.id), BatchTime(report.time_ms));
            self.input_ended(batch, &report.inputs, now_ms); // it failed while it was taking input
        }
        let Some(mut info) = self.open.take() else { return };
        let reason: Option<Arc<str>> = failure.map(Into::into);
        let processing = report.total.saturating_sub(report.waited);
        for (operation, lineage) in info.output_operations.iter_mut().zip(&self.lineages) {
            let own = report.work.iter().filter(|(node, _)| lineage.contains(node));
            operation.duration = Some(own.map(|(_, work)| work.time).sum::<Duration>().min(processing));
            operation.failure_reason.clone_from(&reason);
        }
        if failure.is_none() {
            self.watermark_ms = report.counters.watermark_ms.or(self.watermark_ms);
        }
        info.watermark_ms = self.watermark_ms;
        info.phases = Some(phases(report));
        info.operators = operators_of(report);
        info.processing_end_ms = Some(now_ms);
        info.processing_delay = Some(processing);
        info.total_delay = Some(match self.program.trigger {
            Trigger::Interval(_) => since(info.batch_time_ms, now_ms),
            _ => processing,
        });
        info.output_operations.iter().for_each(|o| self.notify(|l| l.on_output_operation_completed(o)));
        self.notify(|l| l.on_batch_completed(&info));
        if reason.is_none() {
            self.recovered_by(&report.inputs);
        }
    }

    fn submitted(&self, id: u64, batch_time_ms: i64, inputs: &[InputRange], now_ms: i64) -> BatchInfo {
        let mut streams: Vec<StreamInputInfo> = vec![];
        for Stream { id: stream_id, name, .. } in &self.program.streams {
            let own = || inputs.iter().filter(|i| i.node.0 == *stream_id);
            let range = |i: &InputRange| {
                let at = i.at.clone().filter(|_| i.until > i.from)?;
                Some(OffsetRange { at, from: i.from, until: i.until, records: i.records })
            };
            let (ranges, num_records) = (own().filter_map(range).collect(), own().map(|i| i.records).sum());
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

    fn notify(&self, what: impl Fn(&dyn StreamingListener)) {
        for listener in &self.registered {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| what(listener.as_ref()))) {
                tracing::error!("a streaming listener panicked: {}", panic_text(panic.as_ref()));
            }
        }
    }

    /// How many receivers have this status.
    pub fn receivers_in(&self, status: ReceiverStatus) -> u64 {
        self.receivers.values().filter(|r| r.status == status).count() as u64
    }
}

/// Where the time went; the wait for input is no part of it.
fn phases(report: &BatchReport) -> BatchPhases {
    let Phases { flush, commit, apply } = report.phases;
    let input = report.total.saturating_sub(report.checkpoint).saturating_sub(report.waited);
    BatchPhases { input, end: report.checkpoint.saturating_sub(flush + commit + apply), flush, commit, apply }
}

fn operators_of(report: &BatchReport) -> Vec<OperatorInfo> {
    let worked = report.work.iter().filter(|(_, work)| *work != Work::default());
    let info = |&(id, Work { rows, time }): &(NodeId, Work)| OperatorInfo {
        id: id.0,
        num_records: rows,
        duration: time,
    };
    worked.map(info).collect()
}

/// Zero if `from_ms` is in the future.
fn since(from_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms - from_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{AsText, Utf8},
        dstream::{SourceOptions, StreamBuilder},
        observe::history::{History, Moment},
        record::{Offset, Text},
    };
    use std::panic::Location;

    fn listeners(trigger: Trigger) -> (Listeners, Arc<History>) {
        let builder = StreamBuilder::default();
        let lines = builder.source::<Text>(SourceOptions::topic("in"), Utf8, Location::caller());
        lines.map(|line| (line, 1u64)).to_kafka("out", Utf8, AsText);
        lines.print();
        let plan = builder.topology();
        let mut config = Config::new("app", "memory:");
        config.trigger = trigger;
        let program = program(&plan, &config, "pod-0".into(), 0);
        let history = Arc::new(History::new(program.clone()));
        (Listeners::new(&plan, program, vec![history.clone()]), history)
    }

    fn at(partition: u32) -> TopicPartition {
        TopicPartition::new("in", partition)
    }

    fn input(until: u64) -> InputRange {
        InputRange { at: Some(at(0)), node: NodeId(0), from: Offset(1), until: Offset(until), records: 3 }
    }

    /// A batch of time 1,000 that was cut at 0, waited for 600 ms and ends 40 ms after its input was complete.
    fn report(id: u64) -> BatchReport {
        let millis = Duration::from_millis;
        let work = [(0, 3, 1), (1, 3, 200), (2, 3, 7), (3, 3, 900), (4, 0, 0)];
        BatchReport {
            id,
            time_ms: 1_000,
            total: Duration::from_millis(1_050),
            waited: Duration::from_millis(600),
            inputs: vec![input(5)],
            checkpoint: Duration::from_millis(40),
            phases: Phases { flush: millis(12), commit: millis(8), apply: millis(3) },
            work: work.map(|(node, rows, ms)| (NodeId(node), Work { rows, time: millis(ms) })).into(),
            ..BatchReport::default()
        }
    }

    fn run(listeners: &mut Listeners, failure: Option<&str>) {
        listeners.input_ended(Batch::new(BatchId(1), BatchTime(1_000)), &[input(5)], 1_010);
        listeners.ended(&report(1), failure, 1_050);
    }

    fn statuses(moment: &Moment) -> Vec<&str> {
        moment.receivers.values().map(|r| r.status.name()).collect()
    }

    #[test]
    fn batch_times_show_how_late_it_was_and_how_long_the_loop_was_busy() {
        let (mut with_interval, history) = listeners(Trigger::Interval(Duration::from_secs(1)));
        run(&mut with_interval, None);
        let batch = history.moment().completed[0].clone();
        let millis = |n| Some(Duration::from_millis(n));
        let times = |b: &BatchInfo| (b.scheduling_delay, b.processing_delay, b.total_delay);
        assert_eq!(times(&batch), (millis(10), millis(450), millis(50)));
        assert_eq!((batch.processing_start_ms, batch.processing_end_ms), (Some(1_010), Some(1_050)));
        assert_eq!((batch.num_records(), batch.streams[0].ranges[0].until), (3, Offset(5)));
        let operations: Vec<_> = batch.output_operations.iter().map(|o| (&*o.name, o.duration)).collect();
        // The source and the map before it, and its own; what takes longer than the batch was parallel.
        assert_eq!(operations, [("to_kafka out", millis(208)), ("print", millis(450))]);
        let operators: Vec<_> = batch.operators.iter().map(|o| (o.id, o.num_records)).collect();
        assert_eq!(operators, [(0, 3), (1, 3), (2, 3), (3, 3)], "those that did anything");
        let phases = batch.phases.unwrap();
        let BatchPhases { input, end, flush, commit, apply } = phases;
        assert_eq!(
            [input, end, flush, commit, apply].map(|t| t.as_millis()),
            [410, 17, 12, 8, 3],
            "cut to end without the wait, then the parts of the 40 ms"
        );
        assert_eq!(Some(input + end + flush + commit + apply), batch.processing_delay);

        let (mut without, history) = listeners(Trigger::AsSoonAsPossible);
        run(&mut without, None);
        assert_eq!(times(&history.moment().completed[0]), (millis(0), millis(450), millis(450)));
    }

    #[test]
    fn a_batch_that_fails_while_it_takes_input_is_submitted_first_and_completed_once() {
        let (mut listeners, history) = listeners(Trigger::AsSoonAsPossible);
        listeners.ended(&report(7), Some("no luck"), 1_050);
        listeners.ended(&report(7), Some("reported twice"), 1_060);
        let moment = history.moment();
        assert_eq!((moment.ended, moment.total_failed, moment.completed[0].num_records()), (1, 1, 3));
        assert_eq!(moment.completed[0].failure_reason(), Some("no luck"));
        assert!(moment.completed[0].output_operations.iter().all(|o| o.failure_reason.is_some()));
    }

    #[test]
    fn attempts_of_one_batch_are_distinguished_by_their_times() {
        let (mut listeners, history) = listeners(Trigger::Interval(Duration::from_secs(1)));
        listeners.ended(&report(1), Some("no luck"), 1_050);
        listeners.ended(&report(2), Some("again"), 1_060);
        assert_eq!(listeners.time_of(Batch::new(BatchId(3), BatchTime(1_000))), 1_002);
        listeners.ended(&report(3), None, 1_070);
        let moment = history.moment();
        let why = |time| moment.batch(time).unwrap().0.failure_reason();
        assert_eq!((why(1_000), why(1_001), why(1_002)), (Some("no luck"), Some("again"), None));
    }

    #[test]
    fn a_receiver_fails_recovers_with_the_next_batch_and_keeps_its_last_error() {
        let (mut listeners, history) = listeners(Trigger::AsSoonAsPossible);
        listeners.running(&[at(0), at(1), TopicPartition::new("app-exchange", 0)], 5);
        assert_eq!(statuses(&history.moment()), ["ACTIVE", "ACTIVE"], "an exchange has no receiver");
        listeners.partition_error(&at(0), ReceiverStatus::Error, "unreadable", 6);
        run(&mut listeners, Some("unreadable"));
        assert_eq!(statuses(&history.moment()), ["ERROR", "ACTIVE"], "nothing has been read since");
        listeners.ended(&report(2), None, 9);
        let moment = history.moment();
        assert_eq!(statuses(&moment), ["ACTIVE", "ACTIVE"]);
        let error = moment.receivers[&ReceiverId::Partition(at(0))].last_error.clone().unwrap();
        assert_eq!((error.at_ms, error.message.as_str()), (6, "unreadable"));
        assert_eq!(listeners.receivers_in(ReceiverStatus::Active), 2);
    }

    #[test]
    fn receivers_follow_the_connection_and_the_assignment() {
        let (mut listeners, history) = listeners(Trigger::AsSoonAsPossible);
        listeners.running(&[at(0), at(1)], 5);
        listeners.connection(Some("brokers are down"), 6);
        assert_eq!(statuses(&history.moment()), ["ERROR", "ERROR"]);
        listeners.connection(None, 7);
        assert_eq!(statuses(&history.moment()), ["ACTIVE", "ACTIVE"]);
        listeners.running(&[at(1)], 8);
        assert_eq!(statuses(&history.moment()), ["INACTIVE", "ACTIVE"]);
        listeners.waiting();
        listeners.connection(Some("brokers are down"), 9);
        assert_eq!(statuses(&history.moment()), ["INACTIVE", "INACTIVE"], "what is not ours cannot fail");
        listeners.running(&[at(0)], 10);
        assert_eq!(
            (statuses(&history.moment()), history.moment().started_ms),
            (vec!["ACTIVE", "INACTIVE"], Some(5))
        );
    }

    #[test]
    fn a_named_receiver_stands_for_the_partitions_of_its_topic() {
        use crate::source::{Receiver, ReceiverContext, StorageLevel};
        struct Quiet;
        impl Receiver<Text> for Quiet {
            fn receive(&mut self, _: &ReceiverContext<Text>) -> Result<(), crate::source::ReceiverError> {
                Ok(())
            }
        }
        let builder = StreamBuilder::default();
        for (name, level) in [("kept", StorageLevel::Log), ("quick", StorageLevel::Memory)] {
            let spec = crate::dstream::ReceiverOptions {
                name: name.into(),
                receiver: Quiet,
                level,
                format: None,
                refusal: None,
            };
            builder.receiver("app", spec, Utf8, Location::caller()).print();
        }
        let plan = builder.topology();
        let program = program(&plan, &Config::new("app", "memory:"), "pod-0".into(), 0);
        let names: Vec<_> = program.streams.iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["kept", "quick"]);
        let streams: Vec<_> = program.streams.iter().map(|s| NodeId(s.id)).collect();
        let history = Arc::new(History::new(program.clone()));
        let mut listeners = Listeners::new(&plan, program, vec![history.clone()]);
        let ingest = TopicPartition::new("app-ingest-kept", 0);
        listeners.running(std::slice::from_ref(&ingest), 1);
        assert!(history.moment().receivers.is_empty(), "none was started");
        for name in ["kept", "quick"] {
            listeners.named_receiver(name, ReceiverState::Started, "", 2);
            listeners.named_receiver(name, ReceiverState::Error, "no answer", 3);
        }
        assert_eq!(statuses(&history.moment()), ["ERROR", "ERROR"]);
        let read = |node: NodeId, at: Option<TopicPartition>| {
            let (from, until) = (Offset(0), Offset(1));
            InputRange { node, at, from, until, records: 1 }
        };
        let inputs = vec![read(streams[0], Some(ingest.clone())), read(streams[1], None)];
        let report = |id| BatchReport { id, inputs: inputs.clone(), ..BatchReport::default() };
        for name in ["kept", "quick"] {
            listeners.named_receiver(name, ReceiverState::Started, "", 4);
        }
        listeners.ended(&report(1), None, 4);
        assert_eq!(statuses(&history.moment()), ["ERROR", "ERROR"], "started again; the rows are older");
        for name in ["kept", "quick"] {
            listeners.named_receiver(name, ReceiverState::Recovered, "", 5);
        }
        assert_eq!(statuses(&history.moment()), ["ACTIVE", "ACTIVE"]);
        listeners.partition_error(&ingest, ReceiverStatus::Error, "unreadable", 6);
        listeners.named_receiver("quick", ReceiverState::Stopped, "", 7);
        assert_eq!(statuses(&history.moment()), ["ERROR", "INACTIVE"]);
        listeners.ended(&report(2), None, 8);
        assert_eq!(statuses(&history.moment()), ["ACTIVE", "INACTIVE"], "its topic could be read");
        listeners.named_receiver("quick", ReceiverState::Started, "", 9);
        assert_eq!(statuses(&history.moment()), ["ACTIVE", "ACTIVE"]);
    }
}
