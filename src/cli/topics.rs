//! `tidegate topics`: the topics of an application and why they are there.
//!
//! Owns the reasons. Invariant: an internal topic is recognised by its name alone, whether or not a program still uses it.

use super::{
    application::Application,
    connection::Connection,
    display::{Table, bytes, grouped, or_dash, show},
    reading,
};
use crate::{
    error::Result,
    log::{Log, TopicInfo},
    record::{Offset, TopicPartition},
};
use serde::Serialize;
use std::io::Write;

/// The flags of `tidegate topics`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
    /// Read the topics through, to count records and bytes
    #[arg(long)]
    measure: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Topics {
    application_id: String,
    topics: Vec<Topic>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Topic {
    name: String,
    is_internal: bool,
    why: String,
    partitions: u32,
    replication_factor: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_ms: Option<String>,
    /// From the first offset to the end, over all partitions; more than there are records where a topic is compacted.
    offsets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
}

/// What a topic holds, without compression.
#[derive(Clone, Copy, Default, Serialize)]
struct Measured {
    records: u64,
    bytes: u64,
}

/// Answers.
///
/// # Errors
/// If the log cannot be reached, or there is no such application.
pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result {
    let app = options.connection.application()?;
    let mut internal: Vec<String> =
        app.log.topics()?.into_iter().filter(|name| app.names.is_internal(name)).collect();
    internal.sort();
    let named: Vec<&str> = internal.iter().map(String::as_str).collect();
    let found = internal.iter().zip(app.log.describe(&named)?);
    let mut topics = vec![];
    for (name, info) in found.filter_map(|(name, info)| Some((name.clone(), info?))) {
        topics.push(topic(&app, name, &info, true, options.measure)?);
    }
    for (name, info) in app.inputs()?.into_iter().filter(|(name, _)| !internal.contains(name)) {
        topics.push(topic(&app, name, &info, false, options.measure)?);
    }
    let answer = Topics { application_id: app.id.clone(), topics };
    show(out, options.connection.output, &answer, || text(&app, &answer))
}

fn topic(
    app: &Application,
    name: String,
    info: &TopicInfo,
    is_internal: bool,
    measure: bool,
) -> Result<Topic> {
    let log = app.log.as_ref();
    let (mut offsets, mut measured) = (0, Measured::default());
    for at in (0..info.partitions).map(|partition| TopicPartition::new(name.as_str(), partition)) {
        let start = log.start_offset(&at)?;
        offsets += log.end_offset(&at)?.0.saturating_sub(start.0);
        if measure {
            let of = measured_of(log, &at, start)?;
            measured = Measured { records: measured.records + of.records, bytes: measured.bytes + of.bytes };
        }
    }
    let config = |name: &str| info.config.get(name).cloned();
    Ok(Topic {
        why: if is_internal { why(app, &name) } else { "input".into() },
        name,
        is_internal,
        partitions: info.partitions,
        replication_factor: info.replication_factor,
        cleanup_policy: config("cleanup.policy"),
        retention_ms: config("retention.ms"),
        offsets,
        measured: measure.then_some(measured),
    })
}

fn measured_of(log: &dyn Log, at: &TopicPartition, start: Offset) -> Result<Measured> {
    let mut measured = Measured::default();
    reading::through(log, at, start, &mut |records| {
        measured.records += records.len() as u64;
        measured.bytes += records.bytes() as u64;
        Ok(())
    })?;
    Ok(measured)
}

/// What an internal topic is for.
fn why(app: &Application, name: &str) -> String {
    let rest = name.strip_prefix(&format!("{}-", app.id)).unwrap_or(name);
    let of = |kind: &str| rest.strip_prefix(kind);
    match rest {
        "meta" => {
            "what the application knows of itself: topology, inputs, witnesses of offsets, processes".into()
        }
        "changelog" => "changes of state, from which lost state is rebuilt".into(),
        "exchange" => "rows on their way between processes; the group assigns state partitions by it".into(),
        "dlq" => "records that could not be processed (tidegate dlq list)".into(),
        "delivered" => "how far foreach_batch has come".into(),
        _ if of("ingest-").is_some() => {
            format!("what the receiver `{}` has stored", of("ingest-").unwrap_or_default())
        }
        _ if of("postgres-").is_some() => {
            format!("rows on their way to the table `{}`", of("postgres-").unwrap_or_default())
        }
        _ if of("foreach-").is_some() => {
            format!("batches for the function `{}`", of("foreach-").unwrap_or_default())
        }
        _ => format!("rows on their way to the output `{}`", of("outbox-").unwrap_or(rest)),
    }
}

fn text(app: &Application, answer: &Topics) -> String {
    let is_measured = answer.topics.iter().any(|topic| topic.measured.is_some());
    let mut titles = vec!["topic", ">partitions", ">copies", "cleanup", ">offsets"];
    if is_measured {
        titles.extend([">records", ">bytes"]);
    }
    titles.push("why");
    let mut table = Table::new(&titles);
    for topic in &answer.topics {
        let mut cells = vec![
            topic.name.clone(),
            topic.partitions.to_string(),
            topic.replication_factor.to_string(),
            or_dash(topic.cleanup_policy.as_ref()),
            grouped(topic.offsets),
        ];
        if let Some(measured) = topic.measured {
            cells.extend([grouped(measured.records), bytes(measured.bytes)]);
        }
        cells.push(topic.why.clone());
        table.row(cells);
    }
    app.title() + "\n" + &table.text()
}
