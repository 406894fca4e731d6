//! Topics: describing and creating them.
//!
//! Owns the requests to the broker about topics and their settings. Knows no group and no record. Invariants: a missing
//! topic is an answer, not an error; when `create` returns, every partition of the topic has a leader.

use super::{
    client::{Owned, QueryContext},
    config::{Settings, config_error},
    ffi,
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::{TopicInfo, TopicSpec},
    record::{Offset, TopicPartition},
};
use rdkafka::{
    TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// No broker has answered, which may pass.
const UNANSWERED: [Code; 4] =
    [Code::OperationTimedOut, Code::RequestTimedOut, Code::BrokerTransportFailure, Code::AllBrokersDown];
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long after its creation a topic may still be unknown to a broker: each learns of it in its own time, and any of
/// them may answer.
const SPREADS_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// What to do when the broker does not create a topic.
const BY_HAND: &str = "create it by hand, or ask for the permission";
const FEWER_COPIES: &str =
    "start with --replication-factor of at most the number of brokers, or start more brokers";

/// The topic settings that matter to the guarantee.
const SETTINGS: &[&str] = &[
    "cleanup.policy",
    "retention.ms",
    "delete.retention.ms",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "max.message.bytes",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.difference.max.ms",
];

/// The client that describes and creates topics.
pub(super) struct Admin {
    client: Owned<AdminClient<QueryContext>>,
    /// Topics, and when they were created here.
    created: Mutex<BTreeMap<String, Instant>>,
}

impl Admin {
    pub(super) fn new(settings: &Settings) -> Result<Admin> {
        let client = settings.admin().create_with_context(QueryContext::default()).map_err(config_error)?;
        let client = Owned::new(client, "administration client");
        Ok(Admin { client, created: Mutex::default() })
    }

    /// Describes each topic, in order.
    pub(super) fn describe(
        &self,
        handle: &BaseConsumer<QueryContext>,
        topics: &[&str],
    ) -> Result<Vec<Option<TopicInfo>>> {
        // The broker refuses a request that names a topic twice.
        let names: Vec<&str> = topics.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if names.is_empty() {
            return Ok(vec![]);
        }
        let answers = loop {
            let answers = ffi::describe_topics(handle.client().native_ptr(), &names, TIMEOUT)
                .map_err(|e| topic_error(&names.join(", "), &e))?;
            let mut pairs = names.iter().zip(&answers);
            if !pairs.any(|(name, answer)| is_unknown(answer) && self.is_spreading(name)) {
                break answers;
            }
            thread::sleep(PAUSE);
        };
        let mut infos = BTreeMap::new();
        for (name, answer) in names.into_iter().zip(answers) {
            match answer {
                Ok(description) => drop(infos.insert(name, info(description))),
                ref unknown if is_unknown(unknown) => {}
                Err(e) => return Err(topic_error(name, &e)),
            }
        }
        let known: Vec<&str> = infos.keys().copied().collect();
        for (info, config) in infos.values_mut().zip(self.configs(&known)) {
            info.config = config;
        }
        Ok(topics.iter().map(|topic| infos.get(topic).cloned()).collect())
    }

    /// Whether a topic was created a moment ago.
    fn is_spreading(&self, topic: &str) -> bool {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.get(topic).is_some_and(|at| at.elapsed() < SPREADS_WITHIN)
    }

    /// The settings of each topic; empty where the broker does not return them.
    fn configs(&self, topics: &[&str]) -> Vec<BTreeMap<String, String>> {
        let nothing = vec![BTreeMap::new(); topics.len()];
        if topics.is_empty() || crate::failpoint::passes("hide-settings") {
            return nothing;
        }
        let asked: Vec<ResourceSpecifier<'_>> = topics.iter().map(|t| ResourceSpecifier::Topic(t)).collect();
        let answer = match block_on(self.client.describe_configs(&asked, &options())) {
            Ok(answer) => answer,
            Err(e) => {
                tracing::warn!("the broker does not return the settings of {}: {e}", topics.join(", "));
                return nothing;
            }
        };
        let of = |resource: rdkafka::admin::ConfigResource| {
            let known = resource.entries.into_iter().filter(|e| SETTINGS.contains(&e.name.as_str()));
            known.filter_map(|e| Some((e.name, e.value?))).collect()
        };
        answer.into_iter().map(|resource| resource.map(of).unwrap_or_default()).collect()
    }

    /// Creates a topic and waits until it can be used.
    pub(super) fn create(&self, handle: &BaseConsumer<QueryContext>, topic: &TopicSpec) -> Result {
        let partitions = i32::try_from(topic.partitions).map_err(|_| too_many(topic))?;
        let replication = topic.replication_factor.map_or(-1, i32::from);
        let mut new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(replication));
        for (name, value) in &topic.config {
            new = new.set(name, value);
        }
        let made = block_on(self.client.create_topics([&new], &options()))
            .map_err(|e| refused(&topic.name, &e.to_string(), BY_HAND))?;
        for result in made {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {
                    let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
                    created.insert(topic.name.clone(), Instant::now());
                }
                Err((_, code @ Code::InvalidReplicationFactor)) => {
                    let copies =
                        topic.replication_factor.map_or("as many as its default".into(), |n| n.to_string());
                    let why = format!("copies: {copies}; {code}");
                    return Err(refused(&topic.name, &why, FEWER_COPIES));
                }
                Err((_, code)) => return Err(refused(&topic.name, &code.to_string(), BY_HAND)),
            }
        }
        await_leaders(handle, &topic.name)
    }
}

impl Admin {
    /// Deletes the records before these offsets.
    pub(super) fn delete_before(&self, places: &[(TopicPartition, Offset)]) -> Result {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (at, before) in places {
            let offset = rdkafka::Offset::Offset(i64::try_from(before.0).unwrap_or(i64::MAX));
            let partition = i32::try_from(at.partition.0).unwrap_or(i32::MAX);
            let added = list.add_partition_offset(&at.topic, partition, offset);
            added.map_err(|e| refused_to_delete(&at.to_string(), &e.to_string()))?;
        }
        let topics = || places.first().map_or("", |(at, _)| &*at.topic);
        let answer = block_on(self.client.delete_records(&list, &options()))
            .map_err(|e| refused_to_delete(topics(), &e.to_string()))?;
        match answer.elements().iter().find_map(|place| Some((place.partition(), place.error().err()?))) {
            Some((partition, e)) => {
                Err(refused_to_delete(&format!("{}-{partition}", topics()), &e.to_string()))
            }
            None => Ok(()),
        }
    }
}

fn refused_to_delete(at: &str, why: &str) -> Error {
    let what = format!("records are not deleted: {why}\n  next: ask for the permission DELETE on the topic");
    Error::Topic { topic: at.into(), what }
}

fn is_unknown(answer: &Result<ffi::Description, ffi::CallError>) -> bool {
    answer.as_ref().is_err_and(|e| e.code == Code::UnknownTopicOrPartition)
}

/// A new topic is known to the controller first; it can be used once every partition has a leader.
fn await_leaders(handle: &BaseConsumer<QueryContext>, topic: &str) -> Result {
    let started = Instant::now();
    loop {
        let found = ffi::describe_topics(handle.client().native_ptr(), &[topic], TIMEOUT);
        match found.map(|mut all| all.pop()) {
            Ok(Some(Ok(d))) if d.partitions > 0 && d.led == d.partitions => return Ok(()),
            Ok(_) if started.elapsed() < TIMEOUT => thread::sleep(PAUSE),
            Ok(_) => {
                return Err(Error::Topic {
                    topic: topic.to_owned(),
                    what: format!(
                        "was created, but has no leader after {TIMEOUT:?}\n  next: check the brokers"
                    ),
                });
            }
            Err(e) => return Err(topic_error(topic, &e)),
        }
    }
}

fn info(found: ffi::Description) -> TopicInfo {
    TopicInfo {
        id: found.id,
        partitions: u32::try_from(found.partitions).unwrap_or(u32::MAX),
        replication_factor: u16::try_from(found.replication_factor).unwrap_or(u16::MAX),
        may_write: found.may_write,
        config: BTreeMap::new(),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

fn topic_error(topic: &str, error: &ffi::CallError) -> Error {
    if UNANSWERED.contains(&error.code) {
        let what = format!(
            "topic `{topic}`: {} ({:?})\n  next: check that the brokers can be reached at their advertised addresses",
            error.message, error.code
        );
        return Failure::new(Stage::Fetch, Reaction::RetrySame, what).into();
    }
    let next = match error.code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            "\n  next: ask for permission to describe it"
        }
        Code::InvalidTopic => "\n  next: use letters, digits, `.`, `_` and `-`, at most 249 of them",
        _ => "",
    };
    Error::Topic { topic: topic.to_owned(), what: format!("{} ({:?}){next}", error.message, error.code) }
}

fn refused(topic: &str, why: &str, next: &str) -> Error {
    let what = format!("the broker refuses to create it: {why}\n  next: {next}");
    Error::Topic { topic: topic.to_owned(), what }
}

fn too_many(topic: &TopicSpec) -> Error {
    Error::Topic { topic: topic.name.clone(), what: format!("cannot have {} partitions", topic.partitions) }
}

struct Unpark(Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer on this thread; a thread of the client completes it.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
