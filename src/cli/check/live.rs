//! What the log says: whether it can be reached, and how far one comes; topics, rights and replication.
//!
//! Owns the order of the steps of a connection. Invariant: the only thing that is written is an empty transaction's name, which shows
//! that transactions are allowed.

use super::{Outcome, Ticks};
use crate::{
    cli::display::counted,
    config::{Config, Guarantee},
    error::{Error, Result, Step, listed},
    log::{self, Log, ProducerSpec, RequestSizes, TopicInfo},
    record::TopicPartition,
    runtime::{
        clock::{Clock, SystemClock},
        group::{guarantee, meta::Meta},
        names::Names,
    },
};
use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

const TCP: Duration = Duration::from_secs(5);
/// How long the first record of a topic may take; no record is no failure.
const FETCH: Duration = Duration::from_secs(2);
const TRANSACTION: Duration = Duration::from_secs(15);
/// How often the members of the group are asked for, and how long it takes until they are asked for again.
const MEMBERS_TRIES: u32 = 10;
const MEMBERS_PAUSE: Duration = Duration::from_millis(500);
/// The ticks that need a connection, in order.
const OF_TOPICS: [&str; 4] = ["topics", "rights", "transactions", "replication"];

/// Checks.
pub(super) fn check(config: &Config, log: Option<&dyn Log>, topics: &[String], ticks: &mut Ticks) {
    let Some(log) = log else {
        skip(ticks, &["resolve", "tcp", "tls", "sasl", "metadata"], "the settings of the log are wrong");
        return skip(ticks, &OF_TOPICS, "the settings of the log are wrong");
    };
    if !connection(config, log, ticks) {
        return skip(ticks, &OF_TOPICS, "there is no connection");
    }
    let names = Names::of(&config.application_id);
    let Some(wanted) = ticks.note("topics", topics_of(log, &names, topics), |found| told(found, &names))
    else {
        return skip(ticks, &OF_TOPICS[1..], "topics are missing");
    };
    ticks.note("rights", rights(config, log, &wanted), Clone::clone);
    ticks.note("transactions", transactions(config, log), Clone::clone);
    replication(config, log, &wanted, ticks);
}

fn skip(ticks: &mut Ticks, names: &[&'static str], why: &str) {
    names.iter().for_each(|name| ticks.push(name, Outcome::Skipped, why));
}

/// The steps of a connection; `true` = it is there.
fn connection(config: &Config, log: &dyn Log, ticks: &mut Ticks) -> bool {
    let steps = ["resolve", "tcp", "tls", "sasl", "metadata"];
    if log::ends_with_process(&config.bootstrap) || config.bootstrap.starts_with("embedded:") {
        skip(ticks, &steps, "this log is not on the network");
        return true;
    }
    let Some(places) = ticks.note("resolve", resolve(&config.bootstrap), |places| {
        listed(&places.iter().map(|(name, at)| format!("{name} is {}", at.ip())).collect::<Vec<_>>())
    }) else {
        skip(ticks, &steps[1..], "the name is not known");
        return false;
    };
    if ticks.note("tcp", tcp(&config.bootstrap, &places), Clone::clone).is_none() {
        skip(ticks, &steps[2..], "nobody answers");
        return false;
    }
    let protocol =
        config.properties.get("security.protocol").map_or("PLAINTEXT", String::as_str).to_uppercase();
    let failed = log.connect(config.connect_timeout).err();
    let at = match &failed {
        None => steps.len(),
        Some(Error::Unreachable { step: Step::Tls, .. }) => 2,
        Some(Error::Unreachable { step: Step::Sasl, .. }) => 3,
        Some(_) => 4,
    };
    for (index, (name, uses)) in
        [("tls", protocol.contains("SSL")), ("sasl", protocol.contains("SASL"))].into_iter().enumerate()
    {
        match &failed {
            Some(e) if index + 2 == at => ticks.failed(name, e),
            Some(_) if index + 2 > at => ticks.push(name, Outcome::Skipped, "there is no connection"),
            _ if uses => ticks.ok(name, format!("security.protocol is {protocol}")),
            _ => ticks.push(name, Outcome::Skipped, format!("security.protocol is {protocol}")),
        }
    }
    match &failed {
        None => ticks.ok("metadata", "a broker answers"),
        Some(e) if at == 4 => ticks.failed("metadata", e),
        Some(_) => ticks.push("metadata", Outcome::Skipped, "there is no connection"),
    }
    failed.is_none()
}

fn unreachable(target: &str, step: Step, cause: String, next: &str) -> Error {
    Error::Unreachable { target: target.to_owned(), step, cause, next: next.to_owned() }
}

/// An address for each name that has one; at least one does.
fn resolve(bootstrap: &str) -> Result<Vec<(String, SocketAddr)>> {
    let (mut found, mut failed) = (vec![], vec![]);
    for place in bootstrap.split(',').map(str::trim) {
        match place.to_socket_addrs().map(|mut all| all.next()) {
            Ok(Some(at)) => found.push((place.to_owned(), at)),
            Ok(None) => failed.push(format!("`{place}` has no address")),
            Err(e) => failed.push(format!("`{place}`: {e}")),
        }
    }
    let next = "check the host name (a container's name is known only inside its network)";
    if found.is_empty() {
        Err(unreachable(bootstrap, Step::Resolve, failed.join("; "), next))
    } else {
        Ok(found)
    }
}

/// Which addresses take a connection; at least one does.
fn tcp(bootstrap: &str, places: &[(String, SocketAddr)]) -> Result<String> {
    let (mut open, mut closed) = (vec![], vec![]);
    for (name, at) in places {
        match TcpStream::connect_timeout(at, TCP) {
            Ok(_) => open.push(name.as_str()),
            Err(e) => closed.push(format!("{name} ({}): {e}", at.ip())),
        }
    }
    let next = "check that a broker listens there and that no firewall is in the way";
    match (open.is_empty(), closed.is_empty()) {
        (true, _) => Err(unreachable(bootstrap, Step::Connect, closed.join("; "), next)),
        (false, true) => Ok(format!("{} takes connections", listed(&open))),
        (false, false) => Ok(format!("{} takes connections, but not {}", listed(&open), closed.join("; "))),
    }
}

/// Topics that were found.
struct Found {
    /// What the application reads, as far as it is known, and what was asked for.
    others: Vec<(String, TopicInfo)>,
    internal: Vec<(String, TopicInfo)>,
}

fn topics_of(log: &dyn Log, names: &Names, asked: &[String]) -> Result<Found> {
    let mut internal = vec![];
    for name in log.topics()?.into_iter().filter(|name| names.is_internal(name)) {
        internal.extend(log.describe(&[&name])?.remove(0).map(|info| (name, info)));
    }
    let mut wanted: BTreeSet<String> = asked.iter().cloned().collect();
    if internal.iter().any(|(name, _)| **name == *names.meta) {
        let (meta, _) = Meta::read_so_far(log, &names.meta)?;
        wanted.extend(meta.known_topics().into_iter().map(str::to_owned));
    }
    wanted.retain(|name| !names.is_internal(name));
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let (mut others, mut missing) = (vec![], vec![]);
    for (name, info) in wanted.iter().zip(log.describe(&wanted)?) {
        match info {
            Some(info) => others.push(((*name).to_owned(), info)),
            None => missing.push(*name),
        }
    }
    match missing.as_slice() {
        [] => Ok(Found { others, internal }),
        [first, ..] => {
            let all =
                if missing.len() > 1 { format!(" (missing: {})", listed(&missing)) } else { String::new() };
            let what = format!(
                "does not exist ({}){all}\n  next: create it, or correct the name; look for its name with `kafka-topics.sh --list`",
                log.name()
            );
            Err(Error::Topic { topic: (*first).to_owned(), what })
        }
    }
}

fn told(found: &Found, names: &Names) -> String {
    let others: Vec<&str> = found.others.iter().map(|(name, _)| name.as_str()).collect();
    let mut told = match others.as_slice() {
        [] => "none was named with --topic".to_owned(),
        _ => format!("{} exist", listed(&others)),
    };
    told += &if found.internal.iter().any(|(name, _)| **name == *names.meta) {
        format!("; the application has {} of its own", counted(found.internal.len() as u64, "topic"))
    } else {
        "; the application never ran: its own topics are created at the first start".to_owned()
    };
    told
}

/// Whether what the application does is allowed: reading, writing to its own topics, asking the group.
fn rights(config: &Config, log: &dyn Log, found: &Found) -> Result<String> {
    for (name, info) in &found.internal {
        if info.may_write == Some(false) {
            let what = "authorisation failed: this user may not write to it\n  next: ask for the permission WRITE on topics that begin with the application id";
            return Err(Error::Topic { topic: name.clone(), what: what.into() });
        }
    }
    for (name, _) in &found.others {
        let at = TopicPartition::new(name.as_str(), 0);
        let start = log.start_offset(&at)?;
        if start < log.end_offset(&at)? {
            log.read(&at, start)?.next(FETCH)?;
        }
    }
    let members = members(log, &config.application_id)?;
    let unwritable = found.others.iter().filter(|(_, info)| info.may_write == Some(false));
    let unwritable: Vec<&str> = unwritable.map(|(name, _)| name.as_str()).collect();
    let read_only = if unwritable.is_empty() {
        String::new()
    } else {
        format!("; only to be read: {}", listed(&unwritable))
    };
    Ok(format!("topics can be read; the group has {}{read_only}", counted(members, "process")))
}

/// How many processes are in the group. A broker that has just started says for a moment that it is not the one to ask.
fn members(log: &dyn Log, group: &str) -> Result<u64> {
    let mut left = MEMBERS_TRIES;
    loop {
        left -= 1;
        match log.members(group) {
            Err(Error::Log(f)) if left > 0 && f.reaction.may_pass() => {
                SystemClock::new().sleep(MEMBERS_PAUSE);
            }
            answer => return Ok(answer?.len() as u64),
        }
    }
}

/// Whether transactions are allowed.
fn transactions(config: &Config, log: &dyn Log) -> Result<String> {
    if config.guarantee == Guarantee::AtLeastOnce {
        return Ok("not used at least once".into());
    }
    let spec = ProducerSpec {
        transactional_id: Some(format!("{}-tidegate-check", config.application_id)),
        transaction_timeout: TRANSACTION,
        group: config.application_id.clone(),
        buffer_bytes: 1 << 20,
        sizes: RequestSizes::default(),
    };
    log.producer(&spec)?.init()?;
    Ok(format!("allowed under ids that begin with `{}-`", config.application_id))
}

/// What the copies of topics are worth.
fn replication(config: &Config, log: &dyn Log, found: &Found, ticks: &mut Ticks) {
    if log.keeps_one_copy() {
        return ticks.ok("replication", guarantee::of_one_copy(config.guarantee, &log.name()));
    }
    let mut written: Vec<guarantee::Written> = found.internal.iter().chain(&found.others).cloned().collect();
    for name in ["__consumer_offsets", "__transaction_state"] {
        let there = log.describe(&[name]).ok().and_then(|mut found| found.remove(0));
        written.extend(there.map(|info| (name.to_owned(), info)));
    }
    let line = guarantee::of_cluster(config.guarantee, &written);
    let warnings = guarantee::warnings(&written);
    if line.contains("next:") || !warnings.is_empty() {
        let line = line.replace(" (next: ", "\n  next: ").trim_end_matches(')').to_owned();
        return ticks.push("replication", Outcome::Warning, [vec![line], warnings].concat().join("\n"));
    }
    ticks.ok("replication", line);
}
