//! `tidegate lag`: how far an application is behind.
//!
//! Owns the question. Invariant: a lag is counted from the committed offset, so what a process has read but not committed is
//! still behind.

use super::{
    application::{Application, Place},
    connection::Connection,
    display::{Table, ago, counted, grouped, or_dash, show},
};
use crate::error::Result;
use serde::Serialize;
use std::io::Write;

/// The flags of `tidegate lag`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lag {
    application_id: String,
    processes: Vec<String>,
    /// Records of the inputs.
    records: u64,
    inputs: Vec<Of>,
    /// Rows on their way between processes, by state partition.
    exchange: Vec<Of>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Of {
    topic: String,
    partition: u32,
    committed: Option<u64>,
    start: u64,
    end: u64,
    lag: u64,
    process: Option<String>,
    batch_time_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Of {
    fn new(place: &Place) -> Self {
        let committed = place.committed.as_ref().map(|committed| committed.offset);
        let note = match committed {
            None => Some("no offset is committed".to_owned()),
            Some(offset) if offset < place.start => {
                Some(format!("the records from {} to {} are gone", grouped(offset.0), grouped(place.start.0)))
            }
            Some(offset) if offset > place.end => Some("the topic ends before the offset".to_owned()),
            Some(_) => None,
        };
        Of {
            topic: place.at.topic.to_string(),
            partition: place.at.partition.0,
            committed: committed.map(|offset| offset.0),
            start: place.start.0,
            end: place.end.0,
            lag: place.lag(),
            process: place.process(),
            batch_time_ms: place.batch_time_ms(),
            note,
        }
    }
}

/// Answers.
///
/// # Errors
/// If the log cannot be reached, or there is no such application.
pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result {
    let app = options.connection.application()?;
    let inputs: Vec<Of> = app.input_places()?.iter().map(Of::new).collect();
    let exchange: Vec<Of> =
        app.state_places()?.iter().filter(|place| place.committed.is_some()).map(Of::new).collect();
    let lag = Lag {
        application_id: app.id.clone(),
        processes: app.members.iter().map(|member| member.instance.clone()).collect(),
        records: inputs.iter().map(|of| of.lag).sum(),
        inputs,
        exchange,
        notice: app.notice.clone(),
    };
    show(out, options.connection.output, &lag, || text(&app, &lag))
}

fn text(app: &Application, lag: &Lag) -> String {
    let mut text = app.title();
    text += &format!(
        "{} behind, in {}\n\n",
        counted(lag.records, "record"),
        counted(lag.inputs.len() as u64, "input partition")
    );
    let mut table =
        Table::new(&["topic", ">partition", ">committed", ">end", ">lag", "process", "last batch", "note"]);
    let waiting = lag.exchange.iter().filter(|of| of.lag > 0);
    for of in lag.inputs.iter().chain(waiting) {
        let age = of.batch_time_ms.map(|ms| ago(app.now_ms, ms));
        table.row(vec![
            of.topic.clone(),
            of.partition.to_string(),
            or_dash(of.committed.map(grouped)),
            grouped(of.end),
            grouped(of.lag),
            or_dash(of.process.as_ref()),
            or_dash(age),
            of.note.clone().unwrap_or_default(),
        ]);
    }
    text += &table.text();
    let rows: u64 = lag.exchange.iter().map(|of| of.lag).sum();
    if rows > 0 {
        text += &format!(
            "\n`{}` holds {} on their way between processes, which a state partition has still to take\n",
            app.names.exchange,
            counted(rows, "record")
        );
    }
    text
}
