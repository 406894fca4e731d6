//! The numbers of the streaming page as JSON, in the shape of Spark's REST API for streaming applications.
//!
//! Owns names and units of the fields: Spark's where Spark has one, milliseconds and records otherwise. Knows the
//! history only. Invariant: an unknown number is omitted, never 0.

use super::{
    openapi,
    state::{Shared, as_json, not_found},
};
use crate::{
    config::Trigger,
    observe::{
        history::{Active, Moment, OperatorDescription, Position, Program, Stream},
        listener::{
            BatchInfo, BatchPhases, OutputOperationInfo, ReceiverId, ReceiverInfo, ReceiverStatus,
            StreamInputInfo,
        },
    },
    record::{Offset, TopicPartition},
    runtime::LATE_INTERVALS_MAX,
    sink::View,
};
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde::Serialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};

type Api = State<Arc<Shared>>;

/// Everything below `/api/v1`.
pub(super) fn routes() -> Router<Arc<Shared>> {
    let all = table().into_iter().fold(Router::new(), |router, (path, answer)| router.route(&path, answer));
    all.route("/api/v1/{*rest}", get(|| async { not_found("no such resource; see docs/api.md") }))
}

/// The resources by their paths, which the document of OpenAPI has too.
fn table() -> Vec<(String, MethodRouter<Arc<Shared>>)> {
    let of = |path: &str| format!("/api/v1/applications/{{app}}{path}");
    vec![
        (openapi::PATH.into(), get(openapi::of_program)),
        ("/api/v1/version".into(), get(version)),
        ("/api/v1/applications".into(), get(applications)),
        (of(""), get(application)),
        (of("/topology"), get(topology)),
        (of("/environment"), get(environment)),
        (of("/processes"), get(processes)),
        (of("/restores"), get(restores)),
        (of("/models"), get(models)),
        (of("/models/{name}"), get(model)),
        (of("/streaming/statistics"), get(statistics)),
        (of("/streaming/receivers"), get(receivers)),
        (of("/streaming/receivers/{stream}"), get(stream_receivers)),
        (of("/streaming/batches"), get(batches)),
        (of("/streaming/batches/{batch}"), get(batch)),
        (of("/streaming/batches/{batch}/operations"), get(operations)),
        (of("/streaming/batches/{batch}/operations/{operation}"), get(operation)),
    ]
}

// ---- the shapes -------------------------------------------------------------------------------------------------

/// Sums and averages over the kept batches.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statistics {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    /// 0 = as soon as possible.
    batch_duration: u64,
    num_receivers: usize,
    num_active_receivers: usize,
    num_inactive_receivers: usize,
    num_total_completed_batches: u64,
    num_retained_completed_batches: usize,
    num_active_batches: usize,
    num_processed_records: u64,
    num_received_records: u64,
    /// Records per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_input_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_scheduling_delay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_processing_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_total_delay: Option<u64>,
    /// Beyond Spark: batches that were given up; their input came again.
    num_failed_batches: u64,
    /// Beyond Spark: size of the local state in bytes.
    state_bytes: u64,
}

/// A receiver: the reader of a partition, or one with a name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receiver {
    stream_id: usize,
    stream_name: String,
    is_active: bool,
    executor_id: Arc<str>,
    executor_host: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_event_rate: Option<f64>,
    /// Batch time, records per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_rates: Option<Vec<(i64, f64)>>,
    /// Beyond Spark: `ACTIVE`, `INACTIVE` or `ERROR`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
}

/// A batch.
#[expect(clippy::struct_field_names, reason = "the names of Spark's fields")]
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    /// The batch time in milliseconds.
    batch_id: i64,
    batch_time: String,
    /// `QUEUED`, `PROCESSING` or `COMPLETED`.
    status: &'static str,
    batch_duration: u64,
    /// Records.
    input_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduling_delay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processing_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_delay: Option<u64>,
    num_active_output_ops: usize,
    num_completed_output_ops: usize,
    num_failed_output_ops: usize,
    num_total_output_ops: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure_reason: Option<String>,
    /// Beyond Spark: whether it is still taking input.
    taking_input: bool,
    /// Beyond Spark: since when it takes input, while it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_time: Option<String>,
    /// Beyond Spark: what is running, while it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Arc<str>>,
    /// Beyond Spark: records per second, over the time since the previous batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_rate: Option<f64>,
    /// Beyond Spark: what each stream contributed; with the offsets if a single batch was requested.
    streams: Vec<StreamInput>,
    /// Beyond Spark, if a single batch was requested: where its processing time went.
    #[serde(skip_serializing_if = "Option::is_none")]
    phases: Option<Phases>,
    /// Beyond Spark, if a single batch was requested: what each operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    operators: Option<Vec<OperatorWork>>,
}

/// The parts of a processing time.
#[derive(Debug, Serialize)]
struct Phases {
    input: u64,
    end: u64,
    flush: u64,
    commit: u64,
    apply: u64,
}

/// What an operator did in a batch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OperatorWork {
    operator_id: usize,
    stage: u32,
    name: Arc<str>,
    description: Arc<str>,
    num_records: usize,
    duration: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamInput {
    stream_id: usize,
    stream_name: Arc<str>,
    num_records: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranges: Option<Vec<Range>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    topic: Arc<str>,
    partition: u32,
    from_offset: u64,
    until_offset: u64,
    num_records: usize,
}

/// An output operation of a batch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    output_op_id: usize,
    name: Arc<str>,
    description: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<Arc<str>>,
    /// Always empty: there are no jobs.
    job_ids: [u32; 0],
}

// ---- from the history -------------------------------------------------------------------------------------------

pub(super) fn statistics_of(program: &Program, moment: &Moment, now_ms: i64) -> Statistics {
    let retained: Vec<&Arc<BatchInfo>> = moment.succeeded().collect();
    let inactive = moment.receivers_in(ReceiverStatus::Inactive) + moment.receivers_in(ReceiverStatus::Error);
    let open = moment.active.as_ref().map_or(0, |active| active.records as u64);
    Statistics {
        start_time: moment.started_ms.map(date),
        batch_duration: interval_ms(program),
        num_receivers: moment.receivers.len(),
        num_active_receivers: moment.receivers_in(ReceiverStatus::Active),
        num_inactive_receivers: inactive,
        num_total_completed_batches: moment.total_completed,
        num_retained_completed_batches: retained.len(),
        num_active_batches: usize::from(moment.active.is_some()) + queued(program, moment, now_ms).count(),
        num_processed_records: moment.total_records,
        num_received_records: moment.total_records + open,
        avg_input_rate: average_rate(program, &retained, BatchInfo::num_records),
        avg_scheduling_delay: average_ms(&retained, |b| b.scheduling_delay),
        avg_processing_time: average_ms(&retained, |b| b.processing_delay),
        avg_total_delay: average_ms(&retained, |b| b.total_delay),
        num_failed_batches: moment.total_failed,
        state_bytes: moment.state_bytes.values().sum(),
    }
}

/// `rates`: include the rates of each batch, which takes a walk over all of them.
pub(super) fn receivers_of(program: &Program, moment: &Moment, rates: bool) -> Vec<Receiver> {
    let retained: Vec<&Arc<BatchInfo>> = moment.succeeded().collect();
    moment.receivers.values().map(|r| receiver(program, moment, &retained, r, rates)).collect()
}

fn receiver(
    program: &Program,
    moment: &Moment,
    retained: &[&Arc<BatchInfo>],
    info: &ReceiverInfo,
    rates: bool,
) -> Receiver {
    let at = match &info.id {
        ReceiverId::Partition(at) => Some(at),
        ReceiverId::Named(_) => None,
    };
    let position = match at {
        Some(at) => moment.positions.get(at).copied(),
        None => position_of_stream(program, moment, info.stream_id),
    };
    let records = |batch: &BatchInfo| match at {
        Some(at) => records_of(batch, at),
        None => batch.streams.iter().filter(|s| s.stream_id == info.stream_id).map(|s| s.num_records).sum(),
    };
    let rate = |(i, batch): (usize, &&Arc<BatchInfo>)| {
        (batch.batch_time_ms, rate(records(batch), gap_ms(program, retained, i)))
    };
    Receiver {
        stream_id: info.stream_id,
        stream_name: info.id.to_string(),
        is_active: info.status == ReceiverStatus::Active,
        executor_id: info.instance.clone(),
        executor_host: info.host.clone(),
        last_error_time: info.last_error.as_ref().map(|e| date(e.at_ms)),
        last_error_message: info.last_error.as_ref().map(|e| e.message.clone()),
        avg_event_rate: rates.then(|| average_rate(program, retained, records)).flatten(),
        event_rates: rates.then(|| retained.iter().enumerate().map(rate).collect()),
        status: info.status.name(),
        topic: at.map(|at| at.topic.clone()),
        partition: at.map(|at| at.partition.0),
        next_offset: position.map(|p| p.next.0),
        end_offset: position.map(|p| p.end.0),
        lag: position.map(|p| p.end.0.saturating_sub(p.next.0)),
    }
}

/// How far the topic that a named receiver fills is read.
fn position_of_stream(program: &Program, moment: &Moment, stream_id: usize) -> Option<Position> {
    let Stream { topics, .. } = program.streams.iter().find(|s| s.id == stream_id)?;
    let own = moment.positions.iter().filter(|(at, _)| topics.contains(&at.topic)).map(|(_, p)| *p);
    own.reduce(|a, b| Position { next: Offset(a.next.0 + b.next.0), end: Offset(a.end.0 + b.end.0) })
}

fn records_of(batch: &BatchInfo, at: &TopicPartition) -> usize {
    let ranges = batch.streams.iter().flat_map(|s| &s.ranges);
    ranges.filter(|r| r.at == *at).map(|r| r.records).sum()
}

/// The last `count` batches that ended, oldest first, including those that were given up.
pub(super) fn last_batches_of(program: &Program, moment: &Moment, count: usize) -> Vec<Batch> {
    let first = moment.completed.len().saturating_sub(count);
    let mut before: Option<i64> = None;
    let mut batches = vec![];
    for (i, info) in moment.completed.iter().enumerate() {
        if i >= first {
            let mut batch = batch_of(program, info, None, false);
            batch.input_rate =
                (!info.has_failed()).then(|| rate(info.num_records(), gap_between_ms(program, before, info)));
            batches.push(batch);
        }
        if !info.has_failed() {
            before = Some(info.batch_time_ms);
        }
    }
    batches
}

/// The batch under way, and those whose time has passed in the meantime.
pub(super) fn active_batches_of(program: &Program, moment: &Moment, now_ms: i64) -> Vec<Batch> {
    let running = moment.active.iter().map(|active| batch_of(program, &active.batch, Some(active), false));
    let waiting = queued(program, moment, now_ms).map(|time_ms| {
        let info = BatchInfo { batch_time_ms: time_ms, ..BatchInfo::default() };
        Batch { status: "QUEUED", num_active_output_ops: 0, ..batch_of(program, &info, None, false) }
    });
    running.chain(waiting).collect()
}

/// The times of batches that are waiting for the one under way.
fn queued(program: &Program, moment: &Moment, now_ms: i64) -> impl Iterator<Item = i64> {
    let interval = i64::try_from(interval_ms(program)).unwrap_or(i64::MAX);
    let active = moment.active.as_ref().filter(|_| interval > 0).map(|a| a.batch.batch_time_ms);
    let first =
        active.map_or(i64::MAX, |time| time.div_euclid(interval).saturating_add(1).saturating_mul(interval));
    let last = now_ms.min(first.saturating_add((LATE_INTERVALS_MAX - 1).saturating_mul(interval)));
    (first..=last).step_by(usize::try_from(interval).unwrap_or(1).max(1))
}

/// `active`: how far it is, if it has not ended. `is_whole`: with all that is known of it.
pub(super) fn batch_of(
    program: &Program,
    info: &BatchInfo,
    active: Option<&Active>,
    is_whole: bool,
) -> Batch {
    let failed = info.output_operations.iter().filter(|o| o.failure_reason.is_some()).count();
    let (total, is_done) = (program.operations.len(), info.processing_end_ms.is_some());
    Batch {
        batch_id: info.batch_time_ms,
        batch_time: date(info.batch_time_ms),
        status: if is_done { "COMPLETED" } else { "PROCESSING" },
        batch_duration: interval_ms(program),
        input_size: active.map_or_else(|| info.num_records(), |active| active.records),
        scheduling_delay: info.scheduling_delay.map(millis),
        processing_time: info.processing_delay.map(millis),
        total_delay: info.total_delay.map(millis),
        num_active_output_ops: if is_done { 0 } else { total },
        num_completed_output_ops: if is_done { total - failed } else { 0 },
        num_failed_output_ops: failed,
        num_total_output_ops: total,
        first_failure_reason: info.failure_reason().map(ToOwned::to_owned),
        taking_input: active.is_some_and(|active| active.takes_input),
        cut_time: active.and_then(|active| active.cut_ms).map(date),
        running: active.and_then(|active| active.running.clone()),
        input_rate: None,
        streams: info.streams.iter().map(|s| stream_input(s, is_whole)).collect(),
        phases: info.phases.filter(|_| is_whole).map(phases_of),
        operators: (is_whole && is_done).then(|| operators_of(program, info)),
    }
}

fn phases_of(phases: BatchPhases) -> Phases {
    let BatchPhases { input, end, flush, commit, apply } = phases;
    let [input, end, flush, commit, apply] = [input, end, flush, commit, apply].map(millis);
    Phases { input, end, flush, commit, apply }
}

fn operators_of(program: &Program, batch: &BatchInfo) -> Vec<OperatorWork> {
    let of = |operator: &OperatorDescription| {
        let work = batch.operators.iter().find(|work| work.id == operator.id);
        OperatorWork {
            operator_id: operator.id,
            stage: operator.stage,
            name: operator.name.clone(),
            description: operator.place.clone(),
            num_records: work.map_or(0, |work| work.num_records),
            duration: work.map_or(0, |work| millis(work.duration)),
        }
    };
    let mut all: Vec<_> = program.operators.iter().map(of).collect();
    all.sort_by_key(|operator| operator.stage); // keeps the order within a stage
    all
}

fn stream_input(stream: &StreamInputInfo, with_ranges: bool) -> StreamInput {
    let range = |r: &crate::observe::listener::OffsetRange| Range {
        topic: r.at.topic.clone(),
        partition: r.at.partition.0,
        from_offset: r.from.0,
        until_offset: r.until.0,
        num_records: r.records,
    };
    StreamInput {
        stream_id: stream.stream_id,
        stream_name: stream.name.clone(),
        num_records: stream.num_records,
        ranges: with_ranges.then(|| stream.ranges.iter().map(range).collect()),
    }
}

pub(super) fn operations_of(batch: &BatchInfo) -> Vec<Operation> {
    let of = |o: &OutputOperationInfo| Operation {
        output_op_id: o.id,
        name: o.name.clone(),
        description: o.description.clone(),
        start_time: batch.processing_start_ms.map(date),
        end_time: batch.processing_end_ms.map(date),
        duration: o.duration.map(millis),
        failure_reason: o.failure_reason.clone(),
        job_ids: [],
    };
    batch.output_operations.iter().map(of).collect()
}

// ---- units ------------------------------------------------------------------------------------------------------

/// 0 = as soon as possible.
pub(super) fn interval_ms(program: &Program) -> u64 {
    match program.trigger {
        Trigger::Interval(interval) => millis(interval),
        _ => 0,
    }
}

/// To the nearest millisecond.
fn millis(time: Duration) -> u64 {
    u64::try_from((time.as_micros() + 500) / 1000).unwrap_or(u64::MAX)
}

/// A date as Spark writes it.
fn date(at_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at_ms)
        .map_or_else(|| at_ms.to_string(), |t| t.format("%Y-%m-%dT%H:%M:%S%.3fGMT").to_string())
}

/// The time over which the input of a batch arrived, in milliseconds, at least 1.
fn gap_ms(program: &Program, batches: &[&Arc<BatchInfo>], index: usize) -> u64 {
    let before = index.checked_sub(1).map(|i| batches[i].batch_time_ms);
    gap_between_ms(program, before, batches[index])
}

fn gap_between_ms(program: &Program, before: Option<i64>, batch: &BatchInfo) -> u64 {
    let since = before.map_or(0, |b| u64::try_from(batch.batch_time_ms - b).unwrap_or(0));
    let first = if before.is_none() { batch.processing_delay.map_or(0, millis) } else { 0 };
    since.max(interval_ms(program)).max(if interval_ms(program) == 0 { first } else { 0 }).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "for human readers; counts below 2^53 are exact")]
fn rate(records: usize, gap_ms: u64) -> f64 {
    records as f64 * 1000.0 / gap_ms as f64
}

fn average_rate(
    program: &Program,
    batches: &[&Arc<BatchInfo>],
    records: impl Fn(&BatchInfo) -> usize,
) -> Option<f64> {
    let time: u64 = (0..batches.len()).map(|i| gap_ms(program, batches, i)).sum();
    (time > 0).then(|| rate(batches.iter().map(|b| records(b)).sum(), time))
}

fn average_ms(batches: &[&Arc<BatchInfo>], time: impl Fn(&BatchInfo) -> Option<Duration>) -> Option<u64> {
    let known: Vec<Duration> = batches.iter().filter_map(|b| time(b)).collect();
    let count = u32::try_from(known.len()).ok().filter(|n| *n > 0)?;
    Some(millis(known.iter().sum::<Duration>() / count))
}

// ---- the requests -----------------------------------------------------------------------------------------------

async fn version() -> Response {
    as_json(&json!({ "tidegate": env!("CARGO_PKG_VERSION") }))
}

fn application_of(program: &Program) -> serde_json::Value {
    json!({
        "id": program.application_id,
        "name": program.application_id,
        "attempts": [{
            "attemptId": &*program.instance,
            "startTime": date(program.launched_ms),
            "startTimeEpoch": program.launched_ms,
            "completed": false,
            "appSparkVersion": "",
            "tidegateVersion": env!("CARGO_PKG_VERSION"),
        }],
    })
}

async fn applications(State(shared): Api) -> Response {
    as_json(&json!([application_of(shared.history.program())]))
}

async fn application(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |program, _| as_json(&application_of(program)))
}

async fn topology(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |program, _| as_json(&json!({ "text": program.topology })))
}

async fn environment(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |program, _| as_json(&environment_of(program)))
}

pub(super) fn environment_of(program: &Program) -> serde_json::Value {
    json!({ "tidegateVersion": env!("CARGO_PKG_VERSION"), "settings": program.settings })
}

/// A model that does not exist yet in this process has only a name.
fn model_of(view: &View) -> serde_json::Value {
    let name = &*view.name;
    match (view.newest)() {
        Some((time, model)) => {
            json!({ "name": name, "batchId": time.0, "batchTime": date(time.0), "model": model })
        }
        None => json!({ "name": name }),
    }
}

async fn processes(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |_, _| match shared.status.snapshot().processes {
        Some(processes) => as_json(&processes),
        None => not_found("the state is not shared by several processes, or nothing is known of them yet"),
    })
}

async fn restores(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |_, _| as_json(&shared.status.snapshot().restores))
}

async fn models(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |program, _| as_json(&program.views.iter().map(model_of).collect::<Vec<_>>()))
}

async fn model(State(shared): Api, Path((app, name)): Path<(String, String)>) -> Response {
    shared.of(&app, |program, _| match program.views.iter().find(|v| *v.name == name) {
        Some(view) => as_json(&model_of(view)),
        None => not_found(&format!("unknown model: {name}; `latest()` makes a model known")),
    })
}

async fn statistics(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |program, moment| as_json(&statistics_of(program, moment, (shared.now_ms)())))
}

async fn receivers(State(shared): Api, Path(app): Path<String>) -> Response {
    shared.of(&app, |program, moment| as_json(&receivers_of(program, moment, true)))
}

async fn stream_receivers(State(shared): Api, Path((app, stream)): Path<(String, String)>) -> Response {
    shared.of(&app, |program, moment| {
        if !program.streams.iter().any(|s| s.id.to_string() == stream) {
            return not_found(&format!("unknown stream: {stream}"));
        }
        let mut all = receivers_of(program, moment, true);
        all.retain(|r| r.stream_id.to_string() == stream);
        as_json(&all)
    })
}

/// Newest first, as in Spark. `?status=processing` or `completed` may be given, even more than once.
async fn batches(State(shared): Api, Path(app): Path<String>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let wanted: Vec<String> =
        query.split('&').filter_map(|p| p.strip_prefix("status=")).map(str::to_uppercase).collect();
    if let Some(unknown) =
        wanted.iter().find(|s| !["PROCESSING", "COMPLETED", "QUEUED"].contains(&s.as_str()))
    {
        let why = format!("unknown status `{unknown}`: processing, completed or queued");
        return (StatusCode::BAD_REQUEST, as_json(&json!({ "error": why }))).into_response();
    }
    shared.of(&app, |program, moment| {
        let mut all = last_batches_of(program, moment, usize::MAX);
        all.extend(active_batches_of(program, moment, (shared.now_ms)()));
        all.retain(|b| wanted.is_empty() || wanted.iter().any(|s| s == b.status));
        all.reverse();
        as_json(&all)
    })
}

async fn batch(State(shared): Api, Path((app, id)): Path<(String, String)>) -> Response {
    shared.of_batch(&app, &id, |program, batch, active| as_json(&batch_of(program, batch, active, true)))
}

async fn operations(State(shared): Api, Path((app, id)): Path<(String, String)>) -> Response {
    shared.of_batch(&app, &id, |_, batch, _| as_json(&operations_of(batch)))
}

async fn operation(State(shared): Api, Path((app, id, wanted)): Path<(String, String, String)>) -> Response {
    shared.of_batch(&app, &id, |_, batch, _| {
        let found = operations_of(batch).into_iter().find(|o| o.output_op_id.to_string() == wanted);
        found.map_or_else(|| not_found(&format!("unknown output operation: {wanted}")), |o| as_json(&o))
    })
}

impl Shared {
    /// The response for this moment, if `app` is this application.
    fn of(&self, app: &str, answer: impl FnOnce(&Program, &Moment) -> Response) -> Response {
        let program = self.history.program();
        if app == program.application_id {
            answer(program, &self.history.moment())
        } else {
            not_found(&format!("unknown application: {app}; this is {}", program.application_id))
        }
    }

    fn of_batch(
        &self,
        app: &str,
        id: &str,
        answer: impl FnOnce(&Program, &BatchInfo, Option<&Active>) -> Response,
    ) -> Response {
        self.of(app, |program, moment| match id.parse().ok().and_then(|ms| moment.batch(ms)) {
            Some((batch, active)) => answer(program, batch, active),
            None => not_found(&format!("unknown batch: {id}; the last 1,000 are kept")),
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_of_openapi_has_each_resource() {
        let served: std::collections::BTreeSet<String> =
            super::table().into_iter().map(|(path, _)| path).collect();
        assert_eq!(super::openapi::described(false), served);
    }
}
