//! `tidegate explain`: what an application computes, as far as it is committed, and the plan of a process that runs; or what a script
//! would compute.
//!
//! Owns the question. Invariants: without a page to ask, everything comes from the row `topology` of the meta topic; a script is
//! explained without a log.

mod page;

use super::{
    application::Application,
    connection::Connection,
    display::{Table, or_dash, show},
};
use crate::{config::AdminToken, error::Result};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, io::Write};

/// The flags of `tidegate explain`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    connection: Connection,
    /// Also ask the page of a running process for its plan, such as 127.0.0.1:4040
    #[arg(long, value_name = "HOST:PORT")]
    page: Option<String>,
    /// What that page asks for
    #[command(flatten)]
    token: AdminToken,
    /// A script of SQL: its plans are shown, without a log
    #[cfg(feature = "sql")]
    #[arg(long, value_name = "FILE", conflicts_with = "page")]
    script: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    application_id: String,
    fingerprint: Option<String>,
    state_partitions: u32,
    /// What each source reads, by its name.
    sources: BTreeMap<String, String>,
    /// The format of each store, by its name.
    stores: BTreeMap<String, String>,
    /// Stores that have rows, but are not used.
    unused: Vec<String>,
    processes: Vec<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    instance: String,
    host: String,
    state_partitions: Vec<u32>,
    /// Told by processes that may share the state.
    version: Option<String>,
}

/// What a script would compute.
#[cfg(feature = "sql")]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfScript {
    stream_plan: String,
    topology: String,
}

/// Answers.
///
/// # Errors
/// If the log or the page cannot be reached, there is no such application, or the script has mistakes.
pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result {
    #[cfg(feature = "sql")]
    if let Some(file) = &options.script {
        let script = super::run::read(file)?;
        let plans = OfScript { stream_plan: script.explained(), topology: script.topology() };
        return show(out, options.connection.output, &plans, || {
            format!("stream plan:\n{}\ntopology:\n{}", plans.stream_plan, plans.topology)
        });
    }
    let app = options.connection.application()?;
    let states = app.state_places()?;
    let topology = app.meta.topology.as_ref();
    let process = |member: &crate::log::GroupMember| Process {
        instance: member.instance.clone(),
        host: member.host.clone(),
        state_partitions: states
            .iter()
            .filter(|place| place.process().as_ref() == Some(&member.instance))
            .map(|place| place.at.partition.0)
            .collect(),
        version: app.meta.peers.get(&member.instance).map(|peer| peer.version().to_owned()),
    };
    let plan = options.page.as_ref().map(|address| {
        let path = format!("/api/v1/applications/{}/topology", app.id);
        page::get(address, &path, options.token.read()?.as_ref())
    });
    let explained = Explained {
        application_id: app.id.clone(),
        fingerprint: topology.map(|remains| remains.fingerprint.short()),
        state_partitions: topology.map_or(0, |remains| remains.fingerprint.state_partitions),
        sources: topology
            .iter()
            .flat_map(|remains| &remains.sources)
            .map(|(name, read)| (name.clone(), read.told()))
            .collect(),
        stores: topology.map(|remains| remains.fingerprint.stores.clone()).unwrap_or_default(),
        unused: topology.iter().flat_map(|remains| remains.unused.keys().cloned()).collect(),
        processes: app.members.iter().map(process).collect(),
        plan: plan.transpose()?.map(|body| plan_of(&body)),
    };
    show(out, options.connection.output, &explained, || text(&app, &explained))
}

/// The page's answer is JSON with the plan as text.
fn plan_of(body: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(body).ok();
    let text = answer.as_ref().and_then(|answer| answer["text"].as_str());
    text.unwrap_or(body).to_owned()
}

fn text(app: &Application, explained: &Explained) -> String {
    let mut text = app.title();
    text += &format!("program: fingerprint {}\n", or_dash(explained.fingerprint.as_ref()));
    let mut section = |title: &str, table: Table| text += &format!("\n{title}\n{}", table.text());
    let mut sources = Table::new(&["source", "reads"]);
    explained.sources.iter().for_each(|(name, read)| sources.row(vec![name.clone(), read.clone()]));
    section("sources", sources);
    if explained.stores.is_empty() {
        text += "\nno state\n";
    } else {
        let mut stores = Table::new(&["store", "format"]);
        explained.stores.iter().for_each(|(name, format)| stores.row(vec![name.clone(), format.clone()]));
        explained.unused.iter().for_each(|name| stores.row(vec![name.clone(), "not used any more".into()]));
        text += &format!("\nstate, in {} partitions\n{}", explained.state_partitions, stores.text());
    }
    let mut processes = Table::new(&["process", "host", "tidegate", "committed last for state partitions"]);
    for process in &explained.processes {
        let partitions: Vec<String> = process.state_partitions.iter().map(ToString::to_string).collect();
        let host = if process.host.is_empty() { "-".into() } else { process.host.clone() };
        processes.row(vec![
            process.instance.clone(),
            host,
            or_dash(process.version.as_ref()),
            or_dash((!partitions.is_empty()).then(|| partitions.join(" "))),
        ]);
    }
    if !explained.processes.is_empty() {
        text += &format!("\nprocesses\n{}", processes.text());
    }
    match &explained.plan {
        Some(plan) => text + "\nplan\n" + plan.trim_end() + "\n",
        None => text + "\nThe plan itself is known by its processes: --page HOST:PORT asks one\n",
    }
}
