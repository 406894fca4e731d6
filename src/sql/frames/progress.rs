//! What a query did in a batch, in the shape of Spark's `StreamingQueryProgress`.
//!
//! Owns the names of its fields, which are Spark's, and how they follow from what the engine reports. Knows no query's rows. Invariant: a
//! number that the engine does not know is left out, never 0.

use crate::{
    observe::{BatchReport, listener::BatchInfo},
    record::Partition,
};
use chrono::DateTime;
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, fmt};

/// As Spark and others write 128 bits of an identity.
fn hyphenated(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    let part = |from: usize, to: usize| &digits[from..to];
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hyphenated(self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

ids! {
    /// Identifies a query: the same after each restart, as it follows from the query's name and the log.
    QueryId;
    /// Identifies a run of a query.
    RunId;
}

/// What a query did in a batch. As [`json`](Self::json) it has Spark's names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryProgress {
    /// Which query: the same after a restart.
    pub id: QueryId,
    /// Which run of it.
    pub run_id: RunId,
    /// What it is called.
    pub name: Option<String>,
    /// The time of the batch, in ISO 8601.
    pub timestamp: String,
    /// The number of the batch in this run.
    pub batch_id: u64,
    /// Rows that it read.
    pub num_input_rows: usize,
    /// Rows per second since the batch before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_rows_per_second: Option<f64>,
    /// Rows per second of the time that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed_rows_per_second: Option<f64>,
    /// How long its parts took, milliseconds: `addBatch` (computing and sending), `walCommit` (committing offsets and results),
    /// `commitOffsets` (writing local state), `triggerExecution` (all of it); with the first batch `queryPlanning`.
    pub duration_ms: BTreeMap<&'static str, u64>,
    /// `watermark`: how far event time has come, in ISO 8601, if windows follow it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event_time: BTreeMap<&'static str, String>,
    /// What keeps state.
    pub state_operators: Vec<StateOperatorProgress>,
    /// What was read.
    pub sources: Vec<SourceProgress>,
    /// What was written.
    pub sink: SinkProgress,
}

impl StreamingQueryProgress {
    /// As JSON in one line, with Spark's names.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As JSON in lines, as Spark prints `lastProgress`.
    #[must_use]
    pub fn pretty_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// An operator that keeps state.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperatorProgress {
    /// The durable name of its state.
    pub operator_name: String,
    /// About how many rows are kept, if the query has one such operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_rows_total: Option<u64>,
    /// Rows that it was given, or partial results of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_rows_updated: Option<u64>,
    /// Rows that came too late for their windows, if the query has one such operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_rows_dropped_by_watermark: Option<u64>,
    /// Size of the state, if the query has one such operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
}

/// A source of a query.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// What is read, such as `KafkaV2[Subscribe[lines]]`.
    pub description: String,
    /// Topic, partition, offset: where the batch began to read; only partitions that it read.
    pub start_offset: BTreeMap<String, BTreeMap<String, u64>>,
    /// The same: where it ended.
    pub end_offset: BTreeMap<String, BTreeMap<String, u64>>,
    /// Rows that it gave.
    pub num_input_rows: usize,
    /// Rows per second since the batch before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_rows_per_second: Option<f64>,
    /// Rows per second of the time that the batch took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed_rows_per_second: Option<f64>,
}

/// The sink of a query.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// What is written to, such as `kafka[counts]`.
    pub description: String,
    /// Records that were written, if it is a topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_output_rows: Option<usize>,
}

/// What is the same in all batches of a query.
#[derive(Clone, Debug)]
pub struct QueryFacts {
    pub id: QueryId,
    pub run_id: RunId,
    pub name: Option<String>,
    /// The durable names of states, each with the number of its node in the topology.
    pub states: Vec<(String, usize)>,
    /// Whether what is written are records of a topic.
    pub writes_topic: bool,
    pub sink: String,
    /// How long planning took, milliseconds.
    pub planning_ms: u64,
}

/// Sizes of the state, which the engine tells now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateSizes {
    rows: Option<u64>,
    bytes: Option<u64>,
}

impl StateSizes {
    /// Takes up what a batch tells of them.
    pub fn learn(&mut self, report: &BatchReport) {
        let sum = |sizes: &[(Partition, u64)]| sizes.iter().map(|(_, size)| size).sum();
        if !report.state_bytes.is_empty() {
            (self.rows, self.bytes) = (Some(sum(&report.state_rows)), Some(sum(&report.state_bytes)));
        }
    }
}

/// A time in ISO 8601.
pub fn iso(time_ms: i64) -> String {
    DateTime::from_timestamp_millis(time_ms)
        .map_or_else(|| time_ms.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

#[expect(clippy::cast_precision_loss, reason = "rates are for people")]
fn per_second(rows: usize, ms: u64) -> Option<f64> {
    (ms > 0).then(|| rows as f64 * 1_000.0 / ms as f64)
}

/// The progress of a batch; `since_ms` is the time since the batch before.
pub fn of_batch(
    facts: &QueryFacts,
    batch: &BatchInfo,
    report: &BatchReport,
    since_ms: Option<u64>,
    sizes: StateSizes,
) -> StreamingQueryProgress {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let phases = batch.phases.unwrap_or_default();
    let took_ms = ms(batch.processing_delay.unwrap_or(report.total));
    let mut duration_ms = BTreeMap::from([
        ("addBatch", ms(phases.input + phases.end + phases.flush)),
        ("walCommit", ms(phases.commit)),
        ("commitOffsets", ms(phases.apply)),
        ("triggerExecution", took_ms),
    ]);
    if since_ms.is_none() {
        duration_ms.insert("queryPlanning", facts.planning_ms);
    }
    let rows = batch.num_records();
    let sources = batch.streams.iter().map(|stream| {
        let mut start = BTreeMap::<String, BTreeMap<String, u64>>::new();
        let mut end = start.clone();
        for range in &stream.ranges {
            let partition = range.at.partition.to_string();
            start.entry(range.at.topic.to_string()).or_default().insert(partition.clone(), range.from.0);
            end.entry(range.at.topic.to_string()).or_default().insert(partition, range.until.0);
        }
        let topics: Vec<&str> = end.keys().map(String::as_str).collect();
        let description = match topics[..] {
            [] => stream.name.trim_start_matches('#').to_owned(),
            _ => format!("KafkaV2[Subscribe[{}]]", topics.join(",")),
        };
        SourceProgress {
            description,
            start_offset: start,
            end_offset: end,
            num_input_rows: stream.num_records,
            input_rows_per_second: since_ms.and_then(|since| per_second(stream.num_records, since)),
            processed_rows_per_second: per_second(stream.num_records, took_ms.max(1)),
        }
    });
    let is_only = facts.states.len() == 1;
    let state = |(name, node): &(String, usize)| StateOperatorProgress {
        operator_name: name.clone(),
        num_rows_total: sizes.rows.filter(|_| is_only),
        num_rows_updated: Some(
            batch
                .operators
                .iter()
                .filter(|operator| operator.id == *node)
                .map(|o| o.num_records as u64)
                .sum(),
        ),
        num_rows_dropped_by_watermark: is_only.then_some(report.counters.late as u64),
        memory_used_bytes: sizes.bytes.filter(|_| is_only),
    };
    StreamingQueryProgress {
        id: facts.id,
        run_id: facts.run_id,
        name: facts.name.clone(),
        timestamp: iso(batch.batch_time_ms),
        batch_id: batch.id,
        num_input_rows: rows,
        input_rows_per_second: since_ms.and_then(|since| per_second(rows, since)),
        processed_rows_per_second: per_second(rows, took_ms.max(1)),
        duration_ms,
        event_time: batch.watermark_ms.map(|ms| ("watermark", iso(ms))).into_iter().collect(),
        state_operators: facts.states.iter().map(state).collect(),
        sources: sources.collect(),
        sink: SinkProgress {
            description: facts.sink.clone(),
            num_output_rows: facts.writes_topic.then(|| report.counters.records_out()),
        },
    }
}
