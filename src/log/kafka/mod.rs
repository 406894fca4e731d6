//! The production log: Apache Kafka through librdkafka.
//!
//! Owns the clients. Knows no task and no state. Invariants: only committed records are read; the end of a partition is
//! its high watermark, queried through a client of its own; nothing here blocks a thread of an asynchronous runtime.

#![allow(clippy::disallowed_methods, reason = "timeouts at the edge to a broker are in real time")]

mod admin;
mod classify;
mod client;
mod config;
mod connect;
#[cfg(test)]
mod faults;
mod fetch;
mod ffi;
mod listing;
mod member;
mod producer;
mod queries;

use self::{
    admin::Admin,
    client::serve,
    config::Settings,
    fetch::{KafkaFetch, Readers},
    queries::{GroupQueries, Queries, QueryClient},
};
use super::{
    Committed, Fetch, FetchSpec, GroupMember, GroupSpec, Log, Member, Producer, ProducerSpec, Reader,
    TopicInfo, TopicSpec, Wake,
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    record::{Offset, TopicPartition},
};
use rdkafka::{consumer::Consumer, error::RDKafkaErrorCode as Code, metadata::MetadataTopic};
use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long one offset query may take.
const OFFSET_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the leader of a partition may be silent before it is asked for again; then twice as long, and so on.
const LEADER_PATIENCE: Duration = Duration::from_secs(1);
const OFFSET_PAUSE: Duration = Duration::from_millis(20);

/// A Kafka cluster.
pub struct KafkaLog {
    settings: Settings,
    queries: Queries,
    group_queries: GroupQueries,
    admin: OnceLock<Admin>,
    readers: Readers,
    /// The longest transaction of any producer created here, in milliseconds: how long committed offsets may stay
    /// pending.
    transaction_ms: AtomicU64,
}

/// Assumed until a producer is created.
const TRANSACTION_MS: u64 = 15_000;

impl KafkaLog {
    /// The cluster at `bootstrap` (`host:port`, several separated by commas), with properties of librdkafka. Connects
    /// later.
    ///
    /// # Errors
    /// If a property is unknown, malformed, or one that the guarantee depends on.
    pub fn new(bootstrap: &str, properties: &BTreeMap<String, String>) -> Result<KafkaLog> {
        let settings = Settings::new(bootstrap, properties)?;
        let queries = Queries::new(&settings)?;
        Ok(KafkaLog {
            queries,
            group_queries: GroupQueries::new(&settings),
            admin: OnceLock::new(),
            readers: Readers::new(&settings),
            transaction_ms: AtomicU64::new(TRANSACTION_MS),
            settings,
        })
    }

    fn admin(&self) -> Result<&Admin> {
        if let Some(admin) = self.admin.get() {
            return Ok(admin);
        }
        let made = Admin::new(&self.settings)?;
        Ok(self.admin.get_or_init(|| made))
    }

    /// The first offset and the high watermark.
    fn watermarks(&self, at: &TopicPartition) -> Result<(Offset, Offset)> {
        let (started, queries) = (Instant::now(), self.queries.client());
        let mut patience = LEADER_PATIENCE;
        let (low, high) = loop {
            serve(&queries);
            let left = OFFSET_TIMEOUT.saturating_sub(started.elapsed()).min(patience);
            match queries.client().fetch_watermarks(&at.topic, ffi::partition_number(at), left) {
                Ok(found) => break found,
                Err(e) => {
                    let code = e.rdkafka_error_code();
                    let is_silent = code == Some(Code::OperationTimedOut);
                    if is_silent {
                        learn_leaders(&queries, &at.topic, patience);
                        patience *= 2;
                    }
                    let helps = is_silent
                        || leader_is_changing(code)
                        || (code == Some(Code::UnknownPartition) && exists(&queries, at));
                    if helps && started.elapsed() >= OFFSET_TIMEOUT {
                        self.queries.replace(&queries);
                    }
                    if !helps || started.elapsed() >= OFFSET_TIMEOUT {
                        return Err(no_offset(&queries, at, code));
                    }
                    thread::sleep(OFFSET_PAUSE);
                }
            }
        };
        let offset = |raw: i64| u64::try_from(raw).map(Offset).map_err(|_| no_offset(&queries, at, None));
        Ok((offset(low)?, offset(high)?))
    }
}

/// Whether this partition exists, as far as can be found out: the library also reports a partition without a leader
/// as unknown.
fn exists(queries: &QueryClient, at: &TopicPartition) -> bool {
    let found = queries.client().fetch_metadata(Some(&at.topic), OFFSET_TIMEOUT);
    let exists = |t: &MetadataTopic| *t.name() == *at.topic && t.partitions().len() > at.partition.0 as usize;
    found.map_or(true, |found| found.topics().iter().any(exists))
}

fn no_offset(queries: &QueryClient, at: &TopicPartition, code: Option<Code>) -> Error {
    let mut what = format!("partition {}: the broker gives no offsets", at.partition);
    if let Some(code) = code {
        what = format!("{what}: {code} ({code:?})");
    }
    what.push_str(&last_error(queries));
    let next = match code {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            "check that the topic exists and has this partition"
        }
        Some(Code::UnknownPartition) if !exists(queries, at) => {
            "check that the topic exists and has this partition"
        }
        Some(Code::TopicAuthorizationFailed) => "ask for the permission to describe and read it",
        _ => {
            let next =
                "check that the broker that leads the partition can be reached at its advertised address";
            let what = format!("topic `{}`: {what}\n  next: {next}", at.topic);
            return Failure::new(Stage::Fetch, Reaction::RetrySame, what).into();
        }
    };
    Error::Topic { topic: at.topic.to_string(), what: format!("{what}\n  next: {next}") }
}

/// What the connection has said last, to be appended to a message.
fn last_error(queries: &QueryClient) -> String {
    serve(queries);
    let last = queries.context().last_error();
    last.map_or_else(String::new, |(_, reason)| format!("; last error of the connection: {reason}"))
}

/// Asks any broker for the leaders of a topic: the library remembers a leader for minutes and goes on asking it, even
/// if it is gone and another broker has taken over.
fn learn_leaders(queries: &QueryClient, topic: &str, timeout: Duration) {
    let _ = queries.client().fetch_metadata(Some(topic), timeout);
}

/// Whether the partition's leader is changing, so that it helps to ask again.
fn leader_is_changing(code: Option<Code>) -> bool {
    matches!(
        code,
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::OffsetNotAvailable
                | Code::BrokerTransportFailure
        )
    )
}

impl Log for KafkaLog {
    fn name(&self) -> String {
        format!("kafka at {}", self.settings.bootstrap())
    }

    fn creates_output_topics(&self) -> bool {
        false
    }

    fn deletes_consumed(&self) -> bool {
        false
    }

    fn keeps_one_copy(&self) -> bool {
        false
    }

    fn connect(&self, timeout: Duration) -> Result {
        connect::reach(&self.queries.client(), self.settings.bootstrap(), timeout)
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicInfo>>> {
        self.admin()?.describe(&self.queries.client(), topics)
    }

    fn create(&self, topic: &TopicSpec) -> Result {
        self.admin()?.create(&self.queries.client(), topic)
    }

    fn end_offset(&self, at: &TopicPartition) -> Result<Offset> {
        Ok(self.watermarks(at)?.1)
    }

    fn start_offset(&self, at: &TopicPartition) -> Result<Offset> {
        Ok(self.watermarks(at)?.0)
    }

    fn offset_at(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Offset> {
        listing::offset_at(&self.queries.client(), at, timestamp_ms)?.map_or_else(|| self.end_offset(at), Ok)
    }

    fn topics(&self) -> Result<Vec<String>> {
        listing::topics(&self.queries.client())
    }

    fn fetch(&self, spec: &FetchSpec) -> Result<Box<dyn Fetch>> {
        Ok(Box::new(KafkaFetch::new(&self.settings, spec)?))
    }

    fn read(&self, at: &TopicPartition, from: Offset) -> Result<Box<dyn Reader>> {
        Ok(Box::new(self.readers.read(at, from)?))
    }

    fn delete_before(&self, places: &[(TopicPartition, Offset)]) -> Result {
        self.admin()?.delete_before(places)
    }

    fn members(&self, group: &str) -> Result<Vec<GroupMember>> {
        let queries = self.queries.client();
        let found = ffi::describe_group(queries.client().native_ptr(), group, OFFSET_TIMEOUT);
        found.map_err(|e| {
            if matches!(e.code, Code::OperationTimedOut | Code::NotCoordinator) {
                self.queries.replace(&queries);
            }
            let f = classify::failure(Stage::Group, &e);
            let message = match e.code {
                Code::GroupAuthorizationFailed => format!(
                    "authorisation failed: {}\n  next: ask for the permission READ on the group `{group}`",
                    f.message
                ),
                _ => format!("describing the group `{group}`: {}{}", f.message, last_error(&queries)),
            };
            Failure { message, ..f }.into()
        })
    }

    fn last_committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        let Some(first) = at.first() else { return Ok(vec![]) };
        let queries = self.group_queries.client(group)?;
        ffi::committed(queries.client().native_ptr(), at, OFFSET_TIMEOUT).map_err(|code| {
            self.group_queries.forget();
            let what = format!(
                "offsets of the group `{group}`, {first} and {} more: {code} ({code:?})",
                at.len() - 1
            );
            let reaction = classify::classify(Stage::OffsetFetch, code, classify::Flags::default());
            Failure::new(Stage::OffsetFetch, reaction, what).into()
        })
    }

    fn join(&self, group: &GroupSpec, wake: Wake) -> Result<Box<dyn Member>> {
        let transaction = Duration::from_millis(self.transaction_ms.load(Ordering::Relaxed));
        Ok(Box::new(member::join(&self.settings, group, wake, transaction)?))
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        let transaction = u64::try_from(config::patience(spec).as_millis()).unwrap_or(u64::MAX);
        self.transaction_ms.fetch_max(transaction, Ordering::Relaxed);
        Ok(Box::new(producer::KafkaProducer::new(&self.settings, spec)?))
    }
}
