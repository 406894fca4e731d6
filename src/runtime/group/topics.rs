//! The topics of an application: how the internal ones are created, and whether all are as required.
//!
//! Owns policies. Knows no batch. Invariants: an internal topic that differs from the plan stops
//! the start; the guarantee that the replication gives is stated, not assumed.

use super::guarantee::{self, Written};
use crate::{
    config::{Config, ExchangeThrough, Guarantee, RefusedRecordPolicy},
    error::{Error, Result},
    log::{Log, TopicInfo, TopicSpec},
    operator::Upstream,
    plan::Topology,
    record::Partition,
    runtime::{app::App, commit::dead_letter::HEADERS_BYTES_MAX, names::Names},
    source::{BadRecordPolicy, receiver::ReceiverTarget},
};
use std::collections::{BTreeMap, BTreeSet};

const UNSEEN: &str = "was created, but cannot be seen yet\n  next: start again";
const DAY_MS: i64 = 86_400_000;
/// For a compacted topic that gets rows all the time and is read at each start: only closed segments are compacted, and
/// without the last setting only once half of them is new. A topic that exists keeps what it has.
const COMPACTED_SOON: [(&str, &str); 3] =
    [("segment.ms", "600000"), ("segment.bytes", "16777216"), ("max.compaction.lag.ms", "600000")];
/// The most that a broker takes for `max.message.bytes`.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;
/// How long a changelog keeps tombstones, and topics of receivers and outputs keep rows.
pub const RETENTION_MS: i64 = 7 * DAY_MS;
/// How much the embedded log keeps of rows that are already written outside: a table may go back this far,
/// for example when it is restored from a backup.
const OUTBOX_BYTES: u64 = 64 << 20;

/// What is known about the topics of a program after [`prepare`].
#[derive(Clone, Debug, Default)]
pub struct Topics {
    /// Input topics and their state; identity and number of partitions are recorded.
    pub inputs: BTreeMap<String, TopicInfo>,
}

impl Topics {
    /// The number of a task among those of its stage. The partitions of all input topics are numbered consecutively, as Spark
    /// numbers those of a union: tasks of two topics, which may run in two processes, never have the same number.
    #[must_use]
    pub fn task_number(&self, task: &Upstream) -> Partition {
        match task {
            Upstream::Source(at) => {
                let before = self.inputs.iter().take_while(|(name, _)| name.as_str() < &*at.topic);
                let first: u32 = before.map(|(_, info)| info.partitions).sum();
                Partition(first + at.partition.0)
            }
            Upstream::Task(id) => id.partition,
        }
    }
}

/// What a program says about one of its input topics.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicPolicy {
    /// Its source says itself where a first start begins.
    pub starts_by_itself: bool,
    /// It may be deleted and made anew: the new one is read from its beginning.
    pub may_return: bool,
}

/// What the program says about an input topic; `accept` = the user allows any of them to be another topic than
/// before.
pub(super) fn policy(app: &App, topic: &str, accept: bool) -> TopicPolicy {
    let source = app.plan.source_of(topic).map(|(_, source)| source);
    let is_named = source.is_some_and(|source| source.topics.iter().any(|name| name == topic));
    TopicPolicy {
        starts_by_itself: is_named && source.is_some_and(|source| source.starting.is_some()),
        may_return: accept || !is_named,
    }
}

/// Checks the topics of a plan and creates the internal ones that are missing. Returns those that are read and those that
/// are written.
///
/// # Errors
/// [`Error::Topic`] that names the topic and what to do.
pub fn prepare(
    log: &dyn Log,
    config: &Config,
    plan: &Topology,
    names: &Names,
) -> Result<(Topics, Vec<Written>)> {
    let mut written = vec![];
    for feed in &plan.receivers {
        if let ReceiverTarget::Topic { name, compact } = &feed.target {
            let spec = TopicSpec { config: ingest(log, *compact, 0), ..spec(config, name, 1, &[]) };
            written.push((spec.name.clone(), ensure_internal(log, &spec, false)?));
        }
    }
    let outboxes = prepare_outboxes(log, config, plan)?;
    let topics = inputs(log, plan, names)?;
    for topic in plan.sink_topics() {
        let info = ensure_output(log, &topic)?;
        written.push((topic.to_string(), info));
    }
    let compact =
        [("cleanup.policy", "compact".to_owned()), ("delete.retention.ms", RETENTION_MS.to_string())];
    let of_meta: Vec<_> =
        compact.iter().cloned().chain(COMPACTED_SOON.map(|(k, v)| (k, v.to_owned()))).collect();
    let mut internal = vec![spec(config, &names.meta, 1, &of_meta)];
    if plan.has_state_partitions() {
        internal.push(spec(config, &names.exchange, config.state_partitions, &of_exchange(log)));
        internal.push(spec(config, &names.changelog, config.state_partitions, &compact));
    }
    let of_bad_records = plan.sources().any(|(_, s)| s.policy == BadRecordPolicy::DeadLetter);
    if of_bad_records || config.on_refused_record == RefusedRecordPolicy::DeadLetter {
        internal.push(spec(config, &names.dead_letters, 1, &of_dead_letters(&topics)));
    }
    for spec in &internal {
        let is_of_state = [&*names.exchange, &*names.changelog].contains(&spec.name.as_str());
        let info = ensure_internal(log, spec, is_of_state)?;
        if *spec.name == *names.exchange
            && config.exchange != ExchangeThrough::Memory
            && !log.deletes_consumed()
            && let Err(e) = check_exchange(&spec.name, &info)
        {
            tracing::warn!("{e}");
        }
        written.push((spec.name.clone(), info));
    }
    tell_guarantee(log, config, written.clone());
    written.extend(outboxes);
    Ok((topics, written))
}

/// Rows on their way are needed until they are taken, however long that takes; then the process that took them deletes them, by
/// whole segments.
fn of_exchange(log: &dyn Log) -> Vec<(&'static str, String)> {
    let mut kept = vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", "-1".to_owned())];
    if log.deletes_consumed() {
        kept.extend([("retention.bytes", "0".to_owned()), ("delete.consumed.only", "true".to_owned())]);
    } else {
        kept.push(("segment.bytes", (50 << 20).to_string()));
    }
    kept
}

/// Dead letters are kept, and any record that was read fits in, with the headers that say why.
fn of_dead_letters(topics: &Topics) -> Vec<(&'static str, String)> {
    let sizes =
        topics.inputs.values().filter_map(|topic| topic.config.get("max.message.bytes")?.parse().ok());
    let largest: Option<usize> = sizes.max();
    let mut kept = vec![("retention.ms", "-1".to_owned())];
    let bytes_max = largest.map(|bytes| bytes.saturating_add(HEADERS_BYTES_MAX).min(MESSAGE_BYTES_MAX));
    kept.extend(bytes_max.map(|bytes| ("max.message.bytes", bytes.to_string())));
    kept
}

/// Creates the topics between the program and destinations outside the log; their positions are read at each
/// start, so they are compacted soon.
fn prepare_outboxes(log: &dyn Log, config: &Config, plan: &Topology) -> Result<Vec<Written>> {
    let mut written = vec![];
    for drain in &plan.outboxes {
        let kept = ingest(log, false, OUTBOX_BYTES);
        let of_outbox = TopicSpec { config: kept, ..spec(config, &drain.topic, 1, &[]) };
        let info = ensure_internal(log, &of_outbox, false)?;
        written.push((drain.topic.to_string(), info));
        let Some(positions) = &drain.positions else { continue };
        if config.guarantee == Guarantee::AtLeastOnce {
            let what = format!(
                "output `{}`: `foreach_batch` passes the same rows under the same id again, which at least once cannot guarantee\n  next: start with --guarantee exactly-once, or use `foreach_rdd`",
                drain.name
            );
            return Err(Error::Config(what));
        }
        let mut compact = vec![("cleanup.policy", "compact".to_owned())];
        compact.extend(COMPACTED_SOON.map(|(k, v)| (k, v.to_owned())));
        ensure_internal(log, &spec(config, positions, 1, &compact), false)?;
    }
    Ok(written)
}

/// The topics that the sources of a plan read, as far as they exist.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that exist.
    pub topics: Topics,
    /// Names without a topic.
    pub missing: Vec<String>,
    /// Patterns without one.
    pub unmatched: Vec<String>,
}

/// Looks for the topics that the program reads.
pub fn finding(app: &App) -> impl FnOnce(&dyn Log) -> Result<Found> + Send + use<> {
    let (plan, names) = (app.plan.clone(), app.names.clone());
    move |log| find(log, &plan, &names)
}

/// Looks for the topics that the sources of a plan read.
///
/// # Errors
/// If the log does not answer.
fn find(log: &dyn Log, plan: &Topology, names: &Names) -> Result<Found> {
    let named: BTreeSet<String> = plan.sources().flat_map(|(_, s)| s.topics.iter().cloned()).collect();
    let (mut wanted, mut found) = (named.clone(), Found::default());
    if plan.sources().any(|(_, s)| s.pattern.is_some()) {
        let there = log.topics()?;
        for pattern in plan.sources().filter_map(|(_, s)| s.pattern.as_ref()) {
            let before = wanted.len();
            wanted.extend(there.iter().filter(|t| pattern.matches(t) && !names.is_internal(t)).cloned());
            if wanted.len() == before {
                found.unmatched.push(pattern.as_str().into());
            }
        }
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    for (name, info) in wanted.iter().zip(log.describe(&wanted)?) {
        match info {
            Some(info) => drop(found.topics.inputs.insert((*name).into(), info)),
            None if named.contains(*name) => found.missing.push((*name).into()),
            None => {} // deleted between the two requests
        }
    }
    Ok(found)
}

/// All topics that the sources of a plan read.
fn inputs(log: &dyn Log, plan: &Topology, names: &Names) -> Result<Topics> {
    let Found { topics, missing, unmatched } = find(log, plan, names)?;
    let refused = |topic: &String, what: String| Err(Error::Topic { topic: topic.clone(), what });
    if let Some(pattern) = unmatched.first() {
        let next = "create the first one, or correct the pattern";
        return refused(pattern, format!("matches no topic yet ({})\n  next: {next}", log.name()));
    }
    match missing.first() {
        None => Ok(topics),
        Some(name) => {
            let next = how_to_create(log);
            refused(name, format!("does not exist ({})\n  next: {next}, or correct the name", log.name()))
        }
    }
}

/// How long a topic of a receiver or an outbox keeps rows. It has one partition, so that what is stored keeps
/// its order. In a log that deletes what was consumed only the newest `consumed_bytes` of read rows stay,
/// unless the topic is compacted.
fn ingest(log: &dyn Log, compact: bool, consumed_bytes: u64) -> BTreeMap<String, String> {
    let policy = if compact { "compact" } else { "delete" };
    let mut kept = vec![("cleanup.policy", policy.to_owned()), ("retention.ms", RETENTION_MS.to_string())];
    if log.deletes_consumed() && !compact {
        kept.push(("retention.bytes", consumed_bytes.to_string()));
        kept.push(("delete.consumed.only", "true".to_owned()));
    }
    kept.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// Fails before rows are sent that the log might delete before they are taken.
///
/// # Errors
/// [`Error::Topic`] with what is to be altered.
pub fn check_exchange(topic: &str, info: &TopicInfo) -> Result {
    match info.config.get("retention.ms") {
        Some(is) if is != "-1" => {
            let what = format!(
                "has retention.ms={is}, but needs -1: rows on their way between processes must not be lost, however long the processes are stopped\n  next: kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config retention.ms=-1"
            );
            Err(Error::Topic { topic: topic.into(), what })
        }
        _ => Ok(()),
    }
}

fn tell_guarantee(log: &dyn Log, config: &Config, mut written: Vec<Written>) {
    if log.keeps_one_copy() {
        tracing::info!("guarantee: {}", guarantee::of_one_copy(config.guarantee, &log.name()));
        return;
    }
    // Where offsets and outcomes of transactions are kept; created with the first group, and not every user
    // may describe them.
    for name in ["__consumer_offsets", "__transaction_state"] {
        let found = log.describe(&[name]).ok().and_then(|mut found| found.remove(0));
        written.extend(found.map(|info| (name.to_owned(), info)));
    }
    tracing::info!("guarantee: {}", guarantee::of_cluster(config.guarantee, &written));
    for warning in guarantee::warnings(&written) {
        tracing::warn!("{warning}");
    }
}

/// Fails before anything is processed whose result could not be written.
fn check_rights(topic: &str, info: &TopicInfo) -> Result {
    if info.may_write != Some(false) {
        return Ok(());
    }
    let what = "authorisation failed: this user may not write to it\n  next: ask for the permission WRITE on the topic";
    Err(Error::Topic { topic: topic.into(), what: what.into() })
}

fn spec(config: &Config, name: &str, partitions: u32, settings: &[(&str, String)]) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        replication_factor: config.replication_factor,
        config: settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
    }
}

/// What makes a topic to be read come into being.
fn how_to_create(log: &dyn Log) -> &'static str {
    if log.creates_output_topics() {
        "no command creates it: let another program write it, or call `tidegate::log::write` or `Log::create`"
    } else {
        "create it"
    }
}

fn ensure_output(log: &dyn Log, topic: &str) -> Result<TopicInfo> {
    let missing = |what: &str| Error::Topic { topic: topic.into(), what: what.into() };
    if let Some(info) = log.describe(&[topic])?.remove(0) {
        check_rights(topic, &info)?;
        return Ok(info);
    }
    if !log.creates_output_topics() {
        return Err(missing(&format!(
            "is written to, but does not exist ({})\n  next: create it",
            log.name()
        )));
    }
    log.create(&TopicSpec {
        name: topic.into(),
        partitions: 4,
        replication_factor: None,
        config: BTreeMap::new(),
    })?;
    log.describe(&[topic])?.remove(0).ok_or_else(|| missing(UNSEEN))
}

/// A topic that exists, created by hand or by an earlier run, needs no permission to create. `is_of_state`: whether it has as
/// many partitions as the state.
fn ensure_internal(log: &dyn Log, spec: &TopicSpec, is_of_state: bool) -> Result<TopicInfo> {
    let mut info = log.describe(&[&spec.name])?.remove(0);
    if info.is_none() {
        log.create(spec)?;
        info = log.describe(&[&spec.name])?.remove(0);
    }
    let info = info.ok_or_else(|| Error::Topic { topic: spec.name.clone(), what: UNSEEN.into() })?;
    check_rights(&spec.name, &info)?;
    if info.partitions != spec.partitions {
        let (has, needs) = (info.partitions, spec.partitions);
        let why = if is_of_state {
            format!(
                "the number of state partitions is fixed for the life of an application\n  next: start with --state-partitions {has}, or under a new application id"
            )
        } else {
            "partitions were added to it, or it was made by hand\n  next: start under a new application id; if no application has used it yet, delete it instead".to_owned()
        };
        let what = format!("has {has} partitions, the program needs {needs}: {why}");
        return Err(Error::Topic { topic: spec.name.clone(), what });
    }
    for key in ["cleanup.policy", "delete.retention.ms"] {
        let (Some(is), Some(must)) = (info.config.get(key), spec.config.get(key)) else { continue };
        let fits = match (key, is.parse::<i64>(), must.parse::<i64>()) {
            ("delete.retention.ms", Ok(is), Ok(must)) => {
                is >= must || spec.config["cleanup.policy"] != "compact"
            }
            _ => is == must,
        };
        if !fits {
            let what = format!("has {key}={is}, but needs {must}\n  next: alter the topic's configuration");
            return Err(Error::Topic { topic: spec.name.clone(), what });
        }
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::Embedded;

    #[test]
    fn a_topic_with_other_partitions_is_refused_with_what_can_be_done_about_it() {
        let log = Embedded::named("internal-topics-by-hand");
        let config = Config::new("app", "memory:");
        for name in ["app-meta", "app-exchange"] {
            log.create(&spec(&config, name, 3, &[])).unwrap();
        }
        let refused = |name, partitions, is_of_state| {
            let spec = spec(&config, name, partitions, &[]);
            ensure_internal(&*log, &spec, is_of_state).unwrap_err().to_string()
        };
        let meta = refused("app-meta", 1, false);
        assert!(
            meta.contains("has 3 partitions, the program needs 1") && meta.contains("delete it instead"),
            "{meta}"
        );
        assert!(!meta.contains("--state-partitions"), "it would not help: {meta}");
        assert!(refused("app-exchange", 8, true).contains("next: start with --state-partitions 3"));
    }

    #[test]
    fn an_exchange_topic_that_forgets_rows_is_refused_where_processes_share_the_state() {
        let log = Embedded::named("exchange-topic-of-before");
        let mut config = Config::new("app", "memory:");
        log.create(&spec(&config, "app-exchange", 8, &[("retention.ms", "604800000".to_owned())])).unwrap();
        let ssc = crate::StreamingContext::new(config.clone());
        ssc.text("in").map(|line| (line, 1u64)).reduce_by_key(|a, b| a + b).to_kafka(
            "out",
            crate::codec::Utf8,
            crate::codec::AsText,
        );
        log.create(&spec(&config, "in", 1, &[])).unwrap();
        let (plan, names) = (ssc.topology().computed(), Names::of("app"));
        config.exchange = ExchangeThrough::Shared;
        prepare(&*log, &config, &plan, &names).unwrap(); // one process alone sends none
        let info = log.describe(&["app-exchange"]).unwrap().remove(0).unwrap();
        let error = check_exchange("app-exchange", &info).unwrap_err().to_string();
        assert!(
            error.contains("app-exchange") && error.contains("has retention.ms=604800000, but needs -1"),
            "{error}"
        );
        assert!(error.contains("next: kafka-configs.sh"), "{error}");
        let info =
            TopicInfo { config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]), ..info };
        check_exchange("app-exchange", &info).unwrap();
    }

    #[test]
    fn dead_letters_ask_for_no_more_than_a_broker_takes() {
        let bytes_max = |of_input: usize| {
            let config = BTreeMap::from([("max.message.bytes".to_owned(), of_input.to_string())]);
            let info = TopicInfo {
                id: String::new(),
                partitions: 1,
                replication_factor: 1,
                may_write: None,
                config,
            };
            let topics = Topics { inputs: BTreeMap::from([("in".to_owned(), info)]) };
            of_dead_letters(&topics).into_iter().find(|(name, _)| *name == "max.message.bytes").unwrap().1
        };
        assert_eq!(bytes_max(1_000), (1_000 + HEADERS_BYTES_MAX).to_string());
        assert_eq!(bytes_max(MESSAGE_BYTES_MAX), "2147483647");
    }
}
