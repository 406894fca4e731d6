//! `tidegate checkpoint show`: what an application has committed, partition by partition.
//!
//! Owns the question. Knows no database: what is local to a process is not looked at. Invariant: what it says a start would do
//! is decided by the same function as at a start, for a process without local state.

use super::{
    application::{Application, Place},
    connection::Connection,
    display::{Table, first_line, grouped, or_dash, show, time},
};
use crate::{
    error::Result,
    record::Offset,
    task::recovery::{self, SourceDecision, SourceFacts},
};
use serde::Serialize;
use std::{collections::BTreeMap, io::Write};

/// `tidegate checkpoint`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows committed offsets, recovery records, tokens and the ends of changelogs
    Show(Options),
}

/// The flags of `tidegate checkpoint show`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoint {
    application_id: String,
    fingerprint: Option<String>,
    members: Vec<String>,
    /// The incarnation that started last, by instance.
    instances: BTreeMap<String, u64>,
    inputs: Vec<Input>,
    state_partitions: Vec<State>,
    stores: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

/// What was committed with an offset.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    token: String,
    batch_time_ms: i64,
    fingerprint: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    topic: String,
    partition: u32,
    committed: Option<u64>,
    witness: Option<u64>,
    start: u64,
    end: u64,
    #[serde(flatten)]
    record: Option<Record>,
    /// What a start does.
    start_reads: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    partition: u32,
    /// The next offset of the exchange topic.
    exchange: Option<u64>,
    #[serde(flatten)]
    record: Option<Record>,
    /// At most the end of the changelog when that was committed.
    changelog_committed: Option<u64>,
    changelog_start: u64,
    changelog_end: u64,
    /// The batch time up to which each stage has given its results, where rows go through the exchange topic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    closed_times_ms: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Answers.
///
/// # Errors
/// If the log cannot be reached, or there is no such application.
pub(super) fn run(Command::Show(options): &Command, out: &mut dyn Write) -> Result {
    let app = options.connection.application()?;
    let inputs: Vec<Input> = app.input_places()?.iter().map(|place| input(&app, place)).collect();
    let states: Result<Vec<State>> = app.state_places()?.iter().map(|place| state(&app, place)).collect();
    let topology = app.meta.topology.as_ref();
    let checkpoint = Checkpoint {
        application_id: app.id.clone(),
        fingerprint: topology.map(|remains| remains.fingerprint.short()),
        members: app.members.iter().map(|member| member.instance.clone()).collect(),
        instances: app.meta.instances().map(|(instance, at)| (instance.to_owned(), at.0)).collect(),
        inputs,
        state_partitions: states?,
        stores: topology.map(|remains| remains.fingerprint.stores.clone()).unwrap_or_default(),
        notice: app.notice.clone(),
    };
    show(out, options.connection.output, &checkpoint, || text(&app, &checkpoint))
}

fn record(place: &Place) -> Option<Record> {
    let record = place.record.as_ref()?;
    let (token, fingerprint) = (record.token.to_string(), record.fingerprint.clone());
    Some(Record { token, batch_time_ms: record.time.0, fingerprint })
}

fn input(app: &Application, place: &Place) -> Input {
    let committed = place.committed.as_ref().map(|committed| committed.offset);
    let witness = app.meta.witness(&place.at);
    let facts = SourceFacts {
        at: place.at.clone(),
        committed,
        witness,
        is_first: app.meta.was_first(&place.at),
        accept: false,
        start: place.start,
        end: place.end,
    };
    let start_reads = match recovery::source(&facts) {
        SourceDecision::From(offset) => format!("from {}", grouped(offset.0)),
        SourceDecision::First => "as --starting-offsets says".into(),
        SourceDecision::Refuse(why) => {
            let why = first_line(&why).trim_start_matches(&format!("{}: ", place.at)).to_owned();
            format!("refused: {why}")
        }
    };
    Input {
        topic: place.at.topic.to_string(),
        partition: place.at.partition.0,
        committed: committed.map(|offset| offset.0),
        witness: witness.map(|offset| offset.0),
        start: place.start.0,
        end: place.end.0,
        record: record(place),
        start_reads,
    }
}

fn state(app: &Application, place: &Place) -> Result<State> {
    let changelog = app.names.changelog_of(place.at.partition);
    let (start, end) = (app.log.start_offset(&changelog)?, app.log.end_offset(&changelog)?);
    let committed_end = place.record.as_ref().and_then(|record| record.changelog_end);
    let note = match (&place.committed, &place.record) {
        (None, _) if end > Offset(0) => {
            Some("no offset is committed, although there is a changelog".to_owned())
        }
        (Some(committed), None) if committed.metadata.is_empty() => {
            Some("set by hand: the next start takes the state as the changelog has it".to_owned())
        }
        (Some(_), None) => Some("the metadata is not tidegate's".to_owned()),
        _ if committed_end.is_some_and(|committed| committed > end) => {
            Some("the changelog has lost rows: a start is refused".to_owned())
        }
        _ => None,
    };
    Ok(State {
        partition: place.at.partition.0,
        exchange: place.committed.as_ref().map(|committed| committed.offset.0),
        record: record(place),
        changelog_committed: committed_end.map(|offset| offset.0),
        changelog_start: start.0,
        changelog_end: end.0,
        closed_times_ms: place.record.iter().flat_map(|record| &record.closed).map(|time| time.0).collect(),
        note,
    })
}

fn text(app: &Application, checkpoint: &Checkpoint) -> String {
    let mut text = app.title();
    text += &format!("program: fingerprint {}\n", or_dash(checkpoint.fingerprint.as_ref()));
    text += "\ninputs\n";
    let token = |record: Option<&Record>| or_dash(record.map(|record| &record.token));
    let at = |record: Option<&Record>| or_dash(record.map(|record| time(record.batch_time_ms)));
    let mut table = Table::new(&[
        "topic",
        ">partition",
        ">first",
        ">committed",
        ">end",
        ">witness",
        "token",
        "batch time",
        "a start reads",
    ]);
    for input in &checkpoint.inputs {
        table.row(vec![
            input.topic.clone(),
            input.partition.to_string(),
            grouped(input.start),
            or_dash(input.committed.map(grouped)),
            grouped(input.end),
            or_dash(input.witness.map(grouped)),
            token(input.record.as_ref()),
            at(input.record.as_ref()),
            input.start_reads.clone(),
        ]);
    }
    text += &table.text();
    if checkpoint.state_partitions.is_empty() {
        text += "\nno state partitions\n";
    } else {
        text += "\nstate partitions\n";
        text += &states(checkpoint, token);
    }
    text += "\nprocesses that ran\n";
    let mut table = Table::new(&["instance", ">incarnation", "in the group"]);
    for (instance, incarnation) in &checkpoint.instances {
        let is_member = checkpoint.members.contains(instance);
        table.row(vec![
            instance.clone(),
            incarnation.to_string(),
            if is_member { "yes" } else { "no" }.into(),
        ]);
    }
    text + &table.text()
}

fn states(checkpoint: &Checkpoint, token: impl Fn(Option<&Record>) -> String) -> String {
    let titles = [
        ">partition",
        "token",
        "batch time",
        ">exchange",
        ">changelog first",
        ">changelog committed",
        ">changelog end",
        "results up to",
        "note",
    ];
    let mut table = Table::new(&titles);
    for state in &checkpoint.state_partitions {
        let record = state.record.as_ref();
        table.row(vec![
            state.partition.to_string(),
            token(record),
            or_dash(record.map(|record| time(record.batch_time_ms))),
            or_dash(state.exchange.map(grouped)),
            grouped(state.changelog_start),
            or_dash(state.changelog_committed.map(grouped)),
            grouped(state.changelog_end),
            or_dash(state.closed_times_ms.iter().min().filter(|ms| **ms > 0).map(|ms| time(*ms))),
            state.note.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}
