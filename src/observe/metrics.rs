//! The numbers that `/metrics` shows, and the only file that names the metrics library.
//!
//! Owns names, help texts and labels. Knows no loop: whoever does something reports it here, once per batch, never
//! once per record. Invariants: names follow Prometheus' rules (prefix `tidegate_`, base units, counters end in
//! `_total`); labels are bounded by topics, owned partitions and fixed words.

use super::{
    listener::{BatchInfo, OutputOperationInfo, ReceiverStatus, StreamingListener},
    processes::Processes,
    restores::Restore,
};
use crate::{operator::Counters, record::TopicPartition, runtime::BatchReport};
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Upper bounds in seconds: a checkpoint takes a few milliseconds, a batch deadline is 5 s, an outage of a broker
/// takes a minute.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How a checkpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Input offsets, state and outputs are durable.
    Committed,
    /// Nothing of the batch is durable; it is replayed.
    Aborted,
    /// The log did not say; settled later by the token.
    Unknown,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Unknown => "unknown",
        }
    }
}

/// Sums since the start, for the progress line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records read.
    pub records_in: u64,
    /// Records written.
    pub records_out: u64,
    /// Lag over all owned partitions; `None` = that of at least one is not known yet.
    pub lag: Option<u64>,
}

/// All metrics of one process. Share it by reference or in an `Arc`; every method is cheap and may be called on any thread.
///
/// ```
/// use tidegate::observe::metrics::Metrics;
/// let metrics = Metrics::new("orders");
/// metrics.restarted();
/// assert!(metrics.render().contains(r#"tidegate_restarts_total{application_id="orders"} 1"#));
/// ```
pub struct Metrics {
    registry: Registry,
    traffic: Traffic,
    distance: Distance,
    state: State,
    batch_duration: Histogram,
    batches: IntCounterVec,
    processing_time: Histogram,
    scheduling_delay: Histogram,
    total_delay: Histogram,
    operation_duration: HistogramVec,
    receivers: IntGaugeVec,
    checkpoint_duration: Histogram,
    checkpoints: IntCounterVec,
    last_checkpoint: Gauge,
    assigned_partitions: IntGauge,
    rebalances: IntCounter,
    restarts: IntCounter,
    process: Process,
    owned: Mutex<Owned>,
}

/// The owned partitions with the lag last reported, so that the series of a partition disappear with it.
type Owned = BTreeMap<TopicPartition, Option<u64>>;

impl Metrics {
    /// Metrics that all carry `application_id` as a label.
    #[must_use]
    pub fn new(application_id: &str) -> Self {
        let labels = [("application_id".to_string(), application_id.to_string())].into();
        let registry = Registry::new_custom(None, Some(labels)).expect("a label with a valid name");
        let r = Register(&registry);
        r.gauges("tidegate_build_info", "1; the label says which build runs.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let metrics = Metrics {
            traffic: Traffic::new(&r),
            distance: Distance::new(&r),
            state: State::new(&r),
            batch_duration: r
                .histogram("tidegate_batch_duration_seconds", "From the start of a batch to its end."),
            batches: r.counters("tidegate_batches_total", "Batches by how they ended.", &["status"]),
            processing_time: r.histogram(
                "tidegate_batch_processing_time_seconds",
                "How long the loop was busy with a batch, without the wait for input.",
            ),
            scheduling_delay: r.histogram(
                "tidegate_batch_scheduling_delay_seconds",
                "From the batch time to the moment its end could begin.",
            ),
            total_delay: r.histogram(
                "tidegate_batch_total_delay_seconds",
                "From the batch time to the end of the batch.",
            ),
            operation_duration: r.histograms(
                "tidegate_output_operation_duration_seconds",
                "How long all operators took that the rows of an output operation came through, summed over tasks.",
                &["operation"],
            ),
            receivers: r.gauges("tidegate_receivers", "Receivers of this process by status.", &["status"]),
            checkpoint_duration: r.histogram(
                "tidegate_checkpoint_duration_seconds",
                "From the last record computed to batch committed and applied.",
            ),
            checkpoints: r.counters(
                "tidegate_checkpoints_total",
                "Checkpoints by how they ended.",
                &["status"],
            ),
            last_checkpoint: r.seconds(
                "tidegate_checkpoint_last_success_timestamp_seconds",
                "When a batch was last committed, in seconds since the epoch.",
            ),
            assigned_partitions: r
                .gauge("tidegate_assigned_partitions", "Partitions that the group assigned to this process."),
            rebalances: r.counter("tidegate_rebalances_total", "Changes of this process's assignment."),
            restarts: r.counter("tidegate_restarts_total", "Restarts of the pipeline in this process."),
            process: Process::new(&r),
            owned: Mutex::default(),
            registry,
        };
        metrics.begin();
        metrics
    }

    /// Every status is there from the start, at 0: a rate over a counter sees its first step only if there was one before it.
    fn begin(&self) {
        for status in ["completed", "failed"] {
            self.batches.with_label_values(&[status]);
        }
        for outcome in [Outcome::Committed, Outcome::Aborted, Outcome::Unknown] {
            self.checkpoints.with_label_values(&[outcome.label()]);
        }
        for reason in ["skipped", "dead-letter"] {
            self.traffic.records_failed.with_label_values(&[reason]);
        }
    }

    /// A batch is done at `now_ms` (milliseconds since the epoch): committed and applied, or empty.
    pub fn batch(&self, report: &BatchReport, now_ms: i64) {
        self.counted(&report.counters);
        self.batch_duration.observe(report.total.as_secs_f64());
        self.distance.ahead.set(seconds(report.ahead_ms));
        if report.committed {
            self.checkpoint_done(Outcome::Committed, report.checkpoint, now_ms);
            if let Some(read) = report.counters.timestamps {
                self.distance.end_to_end.observe(seconds(now_ms.saturating_sub(read.least_ms).max(0)));
            }
        }
        for (partition, bytes) in &report.state_bytes {
            self.state.bytes.with_label_values(&[&partition.to_string()]).set(gauge(*bytes));
        }
        for (partition, rows) in &report.state_rows {
            self.state.rows.with_label_values(&[&partition.to_string()]).set(gauge(*rows));
        }
    }

    /// What the group says of the processes that share the state.
    pub fn processes(&self, processes: &Processes) {
        self.state.members.set(i64::try_from(processes.members.len()).unwrap_or(i64::MAX));
        for state in &processes.state_partitions {
            let partition = state.partition.to_string();
            self.state.exchange_lag.with_label_values(&[&partition]).set(gauge(state.lag));
            let of = [
                (&self.state.input_time, state.input_time_ms),
                (&self.state.closed_time, state.closed_time_ms),
            ];
            for (metric, ms) in of {
                if let Some(ms) = ms {
                    metric.with_label_values(&[&partition]).set(seconds(ms));
                }
            }
        }
    }

    /// Every number that tasks and the loop count has its line here.
    fn counted(&self, counters: &Counters) {
        let traffic = &self.traffic;
        for (topic, volume) in &counters.read {
            traffic.records_in.with_label_values(&[topic]).inc_by(volume.records as u64);
            traffic.bytes_in.with_label_values(&[topic]).inc_by(volume.bytes as u64);
        }
        for (topic, volume) in &counters.written {
            traffic.records_out.with_label_values(&[topic]).inc_by(volume.records as u64);
            traffic.bytes_out.with_label_values(&[topic]).inc_by(volume.bytes as u64);
        }
        traffic.records_failed.with_label_values(&["skipped"]).inc_by(counters.skipped as u64);
        traffic.records_failed.with_label_values(&["dead-letter"]).inc_by(counters.dead_letters as u64);
        traffic.dead_letters.inc_by(counters.dead_letters as u64);
        traffic.late.inc_by(counters.late as u64);
        traffic.full.inc_by(u64::from(counters.is_full));
        traffic.parts.inc_by(counters.parts as u64);
        if let Some(ms) = counters.watermark_ms {
            self.distance.watermark.set(seconds(ms));
        }
    }

    /// A destination outside the log refused a row that is already committed.
    pub fn refused_row(&self, is_kept: bool) {
        let reason = if is_kept { "dead-letter" } else { "skipped" };
        self.traffic.records_failed.with_label_values(&[reason]).inc();
    }

    /// How many receivers are in each status.
    pub fn receivers(&self, count: impl Fn(ReceiverStatus) -> u64) {
        for (status, label) in [
            (ReceiverStatus::Active, "active"),
            (ReceiverStatus::Inactive, "inactive"),
            (ReceiverStatus::Error, "error"),
        ] {
            self.receivers.with_label_values(&[label]).set(gauge(count(status)));
        }
    }

    /// A checkpoint ended `at_ms` (milliseconds since the epoch) after `took`.
    pub fn checkpoint_done(&self, outcome: Outcome, took: Duration, at_ms: i64) {
        self.checkpoints.with_label_values(&[outcome.label()]).inc();
        if outcome == Outcome::Committed {
            self.checkpoint_duration.observe(took.as_secs_f64());
            self.last_checkpoint.set(seconds(at_ms));
        }
    }

    /// The assignment changed: these are all partitions that are owned now.
    pub fn assigned(&self, partitions: &[TopicPartition]) {
        self.rebalances.inc();
        // Those that are still owned are reported again with the next batches.
        self.state.bytes.reset();
        self.state.rows.reset();
        self.assigned_partitions.set(gauge(partitions.len() as u64));
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<&TopicPartition> = partitions.iter().collect();
        owned.retain(|tp, _| {
            let stays = now.contains(tp);
            if !stays {
                // Fails only if its lag was never reported.
                let partition = tp.partition.to_string();
                let _ = self.distance.lag.remove_label_values(&[&*tp.topic, &partition]);
                let _ = self.distance.lag_seconds.remove_label_values(&[&*tp.topic, &partition]);
            }
            stays
        });
        for tp in partitions {
            owned.entry(tp.clone()).or_insert(None);
        }
    }

    /// How far an owned partition is behind, in records and in time (`None` = nothing of it has been read yet, or
    /// it has no timestamps); a partition that is not (or no longer) owned is ignored.
    pub fn lag(&self, at: &TopicPartition, records: u64, age_ms: Option<i64>) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = owned.get_mut(at) {
            *known = Some(records);
            let partition = at.partition.to_string();
            self.distance.lag.with_label_values(&[&*at.topic, &partition]).set(gauge(records));
            if let Some(age_ms) = age_ms {
                self.distance.lag_seconds.with_label_values(&[&*at.topic, &partition]).set(seconds(age_ms));
            }
        }
    }

    /// The pipeline was restarted within this process.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// These are all state partitions of this process that are being restored.
    pub fn restores(&self, restores: &[Restore]) {
        let State { restore_records, restore_remaining, restore_rate, restore_left, .. } = &self.state;
        let all = [restore_records, restore_remaining, restore_rate, restore_left];
        all.iter().for_each(|metric| metric.reset());
        for restore in restores {
            let numbers = [
                Some(restore.records),
                Some(restore.left()),
                restore.records_per_second,
                restore.seconds_left,
            ];
            for (metric, number) in all.iter().zip(numbers) {
                if let Some(number) = number {
                    metric.with_label_values(&[&restore.partition.to_string()]).set(gauge(number));
                }
            }
        }
    }

    /// A database was moved aside.
    pub fn quarantined(&self) {
        self.state.quarantined.inc();
    }

    /// Sums for the progress line.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        Totals {
            records_in: sum(&self.traffic.records_in),
            records_out: sum(&self.traffic.records_out),
            lag: (!owned.is_empty()).then(|| owned.values().copied().sum()).flatten(),
        }
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.refresh();
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("encoding into memory")
    }

    /// The metrics of several programs of one process as one text: each metric once, with the series of all of them.
    #[must_use]
    pub fn render_all(all: &[&Metrics]) -> String {
        let mut families = BTreeMap::<String, prometheus::proto::MetricFamily>::new();
        for metrics in all {
            metrics.process.refresh();
            for family in metrics.registry.gather() {
                match families.entry(family.name().to_owned()) {
                    Entry::Vacant(free) => drop(free.insert(family)),
                    Entry::Occupied(mut known) => {
                        known.get_mut().mut_metric().extend_from_slice(family.get_metric());
                    }
                }
            }
        }
        let families: Vec<_> = families.into_values().collect();
        TextEncoder::new().encode_to_string(&families).expect("encoding into memory")
    }

    /// The content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;
}

impl StreamingListener for Metrics {
    fn on_batch_completed(&self, batch: &BatchInfo) {
        let status = if batch.has_failed() { "failed" } else { "completed" };
        self.batches.with_label_values(&[status]).inc();
        if batch.has_failed() {
            return;
        }
        let of = [&self.processing_time, &self.scheduling_delay, &self.total_delay];
        let times = [batch.processing_delay, batch.scheduling_delay, batch.total_delay];
        for (histogram, time) in of.into_iter().zip(times) {
            histogram.observe(time.unwrap_or_default().as_secs_f64());
        }
    }

    fn on_output_operation_completed(&self, operation: &OutputOperationInfo) {
        if let Some(time) = operation.duration.filter(|_| operation.failure_reason.is_none()) {
            let label = format!("{} {}", operation.id, operation.name);
            self.operation_duration.with_label_values(&[&label]).observe(time.as_secs_f64());
        }
    }
}

fn sum(of: &IntCounterVec) -> u64 {
    let families = of.collect();
    let series = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter of whole records")]
    series.map(|m| m.get_counter().get_value() as u64).sum()
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch have 41 bits")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Creates metrics and registers them. Names are constants of this file, so a clash is a bug that any test reveals.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let metric = made.expect("a well-formed metric");
        self.0.register(Box::new(metric.clone())).expect("a name used once");
        metric
    }
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }
    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }
    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }
    fn seconds(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }
    fn seconds_counted(&self, name: &str, help: &str) -> Counter {
        self.add(Counter::new(name, help))
    }
    fn seconds_of(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }
    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels))
    }
    fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())))
    }
}

/// How far processing is behind the events.
struct Distance {
    end_to_end: Histogram,
    watermark: Gauge,
    ahead: Gauge,
    lag: IntGaugeVec,
    lag_seconds: GaugeVec,
}

impl Distance {
    fn new(r: &Register<'_>) -> Self {
        Distance {
            end_to_end: r.histogram(
                "tidegate_end_to_end_latency_seconds",
                "From the least timestamp of the records of a batch to its commit.",
            ),
            watermark: r.seconds(
                "tidegate_watermark_timestamp_seconds",
                "How far event time has come in windows over it, in seconds since the epoch; 0 = not known yet.",
            ),
            ahead: r.seconds(
                "tidegate_batch_time_ahead_seconds",
                "How far the time of the last batch was ahead of the clock, because the clock was ahead before or went back.",
            ),
            lag_seconds: r.seconds_of(
                "tidegate_consumer_lag_seconds",
                "Age of the newest record read of an owned partition that has more; 0 = it has no more.",
                &["topic", "partition"],
            ),
            lag: r.gauges(
                "tidegate_consumer_lag_records",
                "Records between the committed position and the end of an owned partition.",
                &["topic", "partition"],
            ),
        }
    }
}

/// The databases of the owned state partitions.
struct State {
    bytes: IntGaugeVec,
    rows: IntGaugeVec,
    restore_records: IntGaugeVec,
    restore_remaining: IntGaugeVec,
    restore_rate: IntGaugeVec,
    restore_left: IntGaugeVec,
    quarantined: IntCounter,
    members: IntGauge,
    exchange_lag: IntGaugeVec,
    input_time: GaugeVec,
    closed_time: GaugeVec,
}

impl State {
    fn new(r: &Register<'_>) -> Self {
        State {
            bytes: r.gauges("tidegate_state_bytes", "Size of the local state.", &["partition"]),
            rows: r.gauges("tidegate_state_rows", "Rows of the local state, estimated.", &["partition"]),
            restore_records: r.gauges(
                "tidegate_restore_records",
                "Changelog records that a state partition under restore has to read in all.",
                &["partition"],
            ),
            restore_remaining: r.gauges(
                "tidegate_restore_records_remaining",
                "Changelog records that a state partition has still to read.",
                &["partition"],
            ),
            restore_rate: r.gauges(
                "tidegate_restore_records_per_second",
                "Changelog records that a state partition under restore reads per second.",
                &["partition"],
            ),
            restore_left: r.gauges(
                "tidegate_restore_seconds_left",
                "How long the restore of a state partition will still take at its rate.",
                &["partition"],
            ),
            quarantined: r.counter(
                "tidegate_quarantined_stores_total",
                "Databases moved aside because they were corrupt or contradicted the log.",
            ),
            members: r.gauge("tidegate_processes", "Processes that share the state, those in the group."),
            exchange_lag: r.gauges(
                "tidegate_exchange_lag_records",
                "Records of the exchange topic that a state partition of any process has still to take.",
                &["partition"],
            ),
            input_time: r.seconds_of(
                "tidegate_input_time_seconds",
                "The batch time up to which the input of a state partition of any process has been taken.",
                &["partition"],
            ),
            closed_time: r.seconds_of(
                "tidegate_closed_time_seconds",
                "The batch time up to which a state partition of any process has given its results.",
                &["partition"],
            ),
        }
    }
}

/// What flows through the process.
struct Traffic {
    records_in: IntCounterVec,
    bytes_in: IntCounterVec,
    records_out: IntCounterVec,
    bytes_out: IntCounterVec,
    records_failed: IntCounterVec,
    dead_letters: IntCounter,
    late: IntCounter,
    full: IntCounter,
    parts: IntCounter,
}

impl Traffic {
    fn new(r: &Register<'_>) -> Self {
        Traffic {
            records_in: r.counters("tidegate_records_in_total", "Records read.", &["topic"]),
            bytes_in: r.counters(
                "tidegate_bytes_in_total",
                "Bytes of keys, values and headers read.",
                &["topic"],
            ),
            records_out: r.counters(
                "tidegate_records_out_total",
                "Records committed to a topic.",
                &["topic"],
            ),
            bytes_out: r.counters("tidegate_bytes_out_total", "Bytes committed to a topic.", &["topic"]),
            records_failed: r.counters(
                "tidegate_records_failed_total",
                "Records that could not be decoded or processed.",
                &["reason"],
            ),
            dead_letters: r.counter("tidegate_dead_letters_total", "Records written to a dead-letter topic."),
            late: r.counter(
                "tidegate_late_records_dropped_total",
                "Records that came after their window was closed.",
            ),
            full: r.counter(
                "tidegate_full_batches_total",
                "Batches that held all that they may, so that records were left for the next interval.",
            ),
            parts: r.counter(
                "tidegate_batch_parts_total",
                "Parts of batches that were sent to the exchange topic before the rest of their interval was there.",
            ),
        }
    }
}

/// What the operating system says about this process, under the names that all Prometheus clients use. Read on
/// request; stays 0 where there is no `/proc`.
struct Process {
    cpu: Counter,
    resident: IntGauge,
    files: IntGauge,
    threads: IntGauge,
    started: Gauge,
}

impl Process {
    fn new(r: &Register<'_>) -> Self {
        Process {
            cpu: r.seconds_counted("process_cpu_seconds_total", "User and system CPU time."),
            resident: r.gauge("process_resident_memory_bytes", "Resident memory."),
            files: r.gauge("process_open_fds", "Open file descriptors."),
            threads: r.gauge("process_threads", "Threads."),
            started: r
                .seconds("process_start_time_seconds", "Start of the process, in seconds since the epoch."),
        }
    }

    fn refresh(&self) {
        let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
        // After the command's name, which may contain anything but ends at the last parenthesis.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        let used = (field(14) + field(15)) / TICKS_PER_SECOND;
        // A counter only rises. Two requests at once may both add what has been used since the last one; the counter then
        // stands still until the time used has caught up.
        self.cpu.inc_by((used - self.cpu.get()).max(0.0));
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers of the kernel")]
        {
            self.threads.set(field(20) as i64);
            self.resident.set(field(24) as i64 * PAGE_BYTES);
        }
        self.started.set(boot_time() + field(22) / TICKS_PER_SECOND);
        self.files.set(fs::read_dir("/proc/self/fd").map_or(0, |d| gauge(d.count() as u64)));
    }
}

/// `USER_HZ`, which Linux fixes for all programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// The page size of Linux on the supported machines (`x86_64`, and `aarch64` in its usual configuration).
const PAGE_BYTES: i64 = 4096;

fn boot_time() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operator::Volume,
        record::{Map, Partition, Timestamps},
    };

    fn used() -> Metrics {
        let m = Metrics::new("app");
        let of = |topic: &str, records, bytes| Map::from_iter([(topic.into(), Volume { records, bytes })]);
        let mut counters = Counters {
            read: of("in", 10, 1_000),
            written: of("out", 7, 70),
            skipped: 1,
            dead_letters: 2,
            late: 3,
            is_full: true,
            parts: 2,
            timestamps: Some(Timestamps { least_ms: 1_460, greatest_ms: 1_500 }),
            watermark_ms: Some(7_000),
            // Not shown: sums of what is read.
            records_in: 0,
            bytes_in: 0,
        };
        counters += Counters { read: of("in", 5, 500), ..Counters::default() };
        let report = BatchReport {
            counters,
            total: Duration::from_millis(30),
            checkpoint: Duration::from_millis(4),
            committed: true,
            ..BatchReport::default()
        };
        m.batch(&report, 1_500);
        m.on_batch_completed(&BatchInfo {
            scheduling_delay: Some(Duration::from_millis(200)),
            processing_delay: Some(Duration::from_millis(25)),
            total_delay: Some(Duration::from_millis(230)),
            ..BatchInfo::default()
        });
        let operation = OutputOperationInfo {
            batch_time_ms: 0,
            id: 1,
            name: "to_kafka out".into(),
            description: "x.rs:1".into(),
            duration: Some(Duration::from_millis(3)),
            failure_reason: None,
        };
        m.on_output_operation_completed(&operation);
        let failed = OutputOperationInfo { failure_reason: Some("no luck".into()), ..operation };
        m.on_output_operation_completed(&failed);
        let batch = BatchInfo { output_operations: vec![failed], ..BatchInfo::default() };
        m.on_batch_completed(&batch);
        m.receivers(|status| if status == ReceiverStatus::Active { 2 } else { 0 });
        m.checkpoint_done(Outcome::Aborted, Duration::from_secs(9), 9_000);
        m.assigned(&[TopicPartition::new("in", 0), TopicPartition::new("in", 1)]);
        m.lag(&TopicPartition::new("in", 0), 3, None);
        m.lag(&TopicPartition::new("in", 1), 4, Some(2_500));
        m.restarted();
        let (state_bytes, state_rows) = (vec![(Partition(2), 4096)], vec![(Partition(2), 12)]);
        m.batch(&BatchReport { state_bytes, state_rows, ahead_ms: 2_500, ..BatchReport::default() }, 1_600);
        m.restores(&[Restore {
            partition: 2,
            records: 100,
            records_done: 23,
            records_per_second: Some(11),
            seconds_left: Some(7),
        }]);
        m.quarantined();
        m
    }

    fn value(text: &str, series: &str) -> Option<f64> {
        text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn what_is_reported_is_shown() {
        let text = used().render();
        for (series, expected) in [
            (r#"tidegate_records_in_total{topic="in",application_id="app"}"#, 15.0),
            (r#"tidegate_bytes_in_total{topic="in",application_id="app"}"#, 1500.0),
            (r#"tidegate_records_out_total{topic="out",application_id="app"}"#, 7.0),
            (r#"tidegate_bytes_out_total{topic="out",application_id="app"}"#, 70.0),
            (r#"tidegate_records_failed_total{reason="skipped",application_id="app"}"#, 1.0),
            (r#"tidegate_records_failed_total{reason="dead-letter",application_id="app"}"#, 2.0),
            (r#"tidegate_dead_letters_total{application_id="app"}"#, 2.0),
            (r#"tidegate_late_records_dropped_total{application_id="app"}"#, 3.0),
            (r#"tidegate_full_batches_total{application_id="app"}"#, 1.0),
            (r#"tidegate_batch_parts_total{application_id="app"}"#, 2.0),
            (r#"tidegate_batch_duration_seconds_sum{application_id="app"}"#, 0.03),
            (r#"tidegate_batches_total{status="completed",application_id="app"}"#, 1.0),
            (r#"tidegate_batches_total{status="failed",application_id="app"}"#, 1.0),
            (r#"tidegate_batch_processing_time_seconds_sum{application_id="app"}"#, 0.025),
            (
                r#"tidegate_output_operation_duration_seconds_count{operation="1 to_kafka out",application_id="app"}"#,
                1.0,
            ),
            (r#"tidegate_receivers{status="active",application_id="app"}"#, 2.0),
            (r#"tidegate_receivers{status="error",application_id="app"}"#, 0.0),
            (r#"tidegate_batch_scheduling_delay_seconds_sum{application_id="app"}"#, 0.2),
            (r#"tidegate_batch_total_delay_seconds_sum{application_id="app"}"#, 0.23),
            (r#"tidegate_checkpoint_duration_seconds_count{application_id="app"}"#, 1.0),
            (r#"tidegate_checkpoints_total{status="committed",application_id="app"}"#, 1.0),
            (r#"tidegate_checkpoints_total{status="aborted",application_id="app"}"#, 1.0),
            (r#"tidegate_checkpoint_last_success_timestamp_seconds{application_id="app"}"#, 1.5),
            (r#"tidegate_consumer_lag_records{partition="1",topic="in",application_id="app"}"#, 4.0),
            (r#"tidegate_consumer_lag_seconds{partition="1",topic="in",application_id="app"}"#, 2.5),
            (r#"tidegate_end_to_end_latency_seconds_sum{application_id="app"}"#, 0.04),
            (r#"tidegate_watermark_timestamp_seconds{application_id="app"}"#, 7.0),
            (r#"tidegate_batch_time_ahead_seconds{application_id="app"}"#, 2.5),
            (r#"tidegate_state_rows{partition="2",application_id="app"}"#, 12.0),
            (r#"tidegate_assigned_partitions{application_id="app"}"#, 2.0),
            (r#"tidegate_rebalances_total{application_id="app"}"#, 1.0),
            (r#"tidegate_restarts_total{application_id="app"}"#, 1.0),
            (r#"tidegate_state_bytes{partition="2",application_id="app"}"#, 4096.0),
            (r#"tidegate_restore_records_remaining{partition="2",application_id="app"}"#, 77.0),
            (r#"tidegate_restore_records{partition="2",application_id="app"}"#, 100.0),
            (r#"tidegate_restore_records_per_second{partition="2",application_id="app"}"#, 11.0),
            (r#"tidegate_restore_seconds_left{partition="2",application_id="app"}"#, 7.0),
            (r#"tidegate_quarantined_stores_total{application_id="app"}"#, 1.0),
        ] {
            assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
        }
        assert!(text.contains(concat!("tidegate_build_info{version=\"", env!("CARGO_PKG_VERSION"))));
    }

    #[test]
    fn the_series_of_a_partition_disappear_with_it() {
        let m = used();
        assert_eq!(m.totals(), Totals { records_in: 15, records_out: 7, lag: Some(7) });
        m.assigned(&[TopicPartition::new("in", 1), TopicPartition::new("in", 2)]);
        m.lag(&TopicPartition::new("in", 0), 9, Some(1)); // a late report on a partition that we do not own
        m.restores(&[]);
        let text = m.render();
        assert!(!text.contains(r#"partition="0""#) && !text.contains(r#"partition="2""#), "{text}");
        assert_eq!(m.totals().lag, None, "the lag of partition 2 is not known yet");
        m.lag(&TopicPartition::new("in", 2), 1, None);
        assert_eq!(m.totals().lag, Some(5));
        m.assigned(&[]);
        assert_eq!(m.totals().lag, None);
    }

    #[test]
    fn names_help_and_types_follow_the_rules_of_prometheus() {
        let text = used().render();
        let (mut names, mut helps) = (BTreeMap::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
                assert!(help.len() > 5, "{line}");
                helps.insert(name);
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
                assert!(names.insert(name, kind).is_none(), "{name} twice");
            } else {
                let (series, number) = line.rsplit_once(' ').expect("series and value");
                number.parse::<f64>().expect("a number");
                assert!(series.contains("application_id=\"app\""), "{line}");
            }
        }
        assert!(names.len() > 20);
        for (name, kind) in names {
            assert!(helps.contains(name), "{name} has no help");
            assert!(name.starts_with("tidegate_") || name.starts_with("process_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert_eq!(
                name.ends_with("_seconds"),
                kind == "histogram" || name.contains("_time") || name.ends_with("_lag_seconds"),
                "{name} is a {kind}"
            );
            assert!(
                !["_ms", "_millis", "_kb", "_mb"].iter().any(|unit| name.ends_with(unit)),
                "{name}: base units only"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_metrics_are_read() {
        let metrics = Metrics::new("app");
        let mut text = metrics.render();
        let cpu =
            |text: &str| value(text, "process_cpu_seconds_total{application_id=\"app\"}").expect("CPU time");
        while cpu(&text) < 0.05 {
            let next = metrics.render();
            assert!(cpu(&next) >= cpu(&text), "a counter rises");
            text = next;
        }
        let of = |name: &str| value(&text, &format!("{name}{{application_id=\"app\"}}")).expect(name);
        assert!(of("process_resident_memory_bytes") > 1e6);
        assert!(of("process_open_fds") >= 3.0);
        assert!(of("process_threads") >= 1.0);
        assert!(of("process_start_time_seconds") > 1.6e9);
    }
}
