//! Membership in the consumer group: classic protocol, cooperative, static.
//!
//! Owns the consumer, the order of assignment events and the answers to them. Knows no batch. Invariants: a callback
//! only records what happened; the library waits for `accept` or `release`, and keeps sending heartbeats meanwhile; what
//! the group assigns is never assigned to this client, so it fetches nothing, and a rebalance stops nothing; a
//! membership has a member id and a generation, because without them the broker does not fence a commit.

mod assignment;

use super::{
    classify::{Flags, classify},
    client::{self, Owned},
    config::{Settings, config_error},
    ffi::{self, GroupMetadata, Queue},
    queries::{self, QueryClient},
};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Committed, GroupEvent, GroupSpec, Member, Membership, Question, Wake},
    record::TopicPartition,
};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};
use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Added to the longest transaction: the coordinator looks for expired transactions every 10 s, and a retry needs time.
const PENDING_MARGIN: Duration = Duration::from_secs(15);
/// How long the brokers may take to answer before they count as silent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a membership to end; after that the shutdown continues in the background.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Joining does not wait for a broker; a request to one makes the library connect now.
const CONNECT_NUDGE: Duration = Duration::from_millis(5);
const GROUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The most events that one `poll` serves.
const POLL_EVENTS: usize = 256;

/// A consumer that, when it is dropped, gives the answer that the library still waits for.
pub(super) struct GroupConsumer(BaseConsumer<Group>);

impl Deref for GroupConsumer {
    type Target = BaseConsumer<Group>;
    fn deref(&self) -> &BaseConsumer<Group> {
        &self.0
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.end();
    }
}

impl GroupConsumer {
    /// From now on the callback answers assignments itself; what is still unanswered is answered here.
    fn end(&self) {
        self.context().closing.store(true, Ordering::Release);
        if let Err(e) = self.answer() {
            tracing::debug!("leaving the group: {e}");
        }
    }

    /// Gives the answer that the library waits for, if it waits.
    fn answer(&self) -> KafkaResult<()> {
        let unanswered = self.context().state().unanswered.take();
        unanswered.map_or(Ok(()), |change| change.answer(&self.0))
    }
}

/// What the library reports about the group.
pub(super) struct Group {
    state: Mutex<State>,
    wake: Wake,
    /// The member is closing: assignments are answered at once, in the callback.
    closing: AtomicBool,
    /// A rebalance that changes nothing here is waiting for its answer.
    empty_rebalance: AtomicBool,
}

#[derive(Default)]
struct State {
    events: VecDeque<GroupEvent>,
    unanswered: Option<Change>,
    /// No broker can be reached.
    down: bool,
    /// The library says so, which has to be checked: it counts brokers that went away once and that this client, which talks
    /// to the group's coordinator alone, has not needed since.
    suspected: bool,
    /// A thread looks whether one can be reached.
    watched: bool,
    /// The broker refused a commit of this member because another member has taken its place.
    place_taken: Option<String>,
    /// The last error with its text, which the binding does not pass on to the caller of `poll`.
    last_error: Option<(Code, String)>,
}

/// A change of the assignment; the library waits for the answer before it continues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Assigned,
    Revoked,
}

impl Change {
    /// Nothing is assigned to the client and nothing is taken from it: it fetches nothing. What the group has assigned, the
    /// library remembers by itself.
    fn answer(self, consumer: &BaseConsumer<Group>) -> KafkaResult<()> {
        let nothing = TopicPartitionList::new();
        match self {
            Change::Assigned => consumer.incremental_assign(&nothing),
            Change::Revoked => consumer.incremental_unassign(&nothing),
        }
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut state = self.state();
        if code == Code::AllBrokersDown {
            state.suspected = true;
            (self.wake)();
        }
        state.last_error = Some((code, reason.to_owned()));
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let at = partitions(list);
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let change = if assigned { Change::Assigned } else { Change::Revoked };
        if self.closing.load(Ordering::Acquire) {
            if let Err(e) = change.answer(consumer) {
                tracing::warn!("rebalance: {e}");
            }
            return;
        }
        let mut state = self.state();
        state.unanswered = Some(change);
        if at.is_empty() {
            // The engine need not answer, but the library waits for an answer: the next poll gives it.
            self.empty_rebalance.store(true, Ordering::Release);
        } else {
            state.events.push_back(match change {
                Change::Assigned => GroupEvent::Assigned(at),
                Change::Revoked if consumer.assignment_lost() => GroupEvent::Lost(at),
                Change::Revoked => GroupEvent::Revoking(at),
            });
        }
        (self.wake)();
    }
}

/// What a producer needs to commit in a member's name.
pub(super) struct Handle {
    pub(super) metadata: GroupMetadata,
    /// Dangling once the member is closed.
    pub(super) consumer: Weak<Owned<GroupConsumer>>,
}

impl Handle {
    /// Reports to the member at once what the library would report only at its next heartbeat: another member has taken
    /// its place.
    pub(super) fn place_taken(&self, why: &str) {
        if let Some(consumer) = self.consumer.upgrade() {
            consumer.context().state().place_taken = Some(why.to_owned());
        }
    }
}

/// See [`Member`].
pub(super) struct KafkaMember {
    settings: Settings,
    /// Dropped before the consumer, which this queue keeps alive.
    events: Queue,
    consumer: Arc<Owned<GroupConsumer>>,
    wake: Wake,
    topics: Vec<String>,
    group: String,
    instance: String,
    /// Set when the place in the group is lost for good.
    place_lost: Option<Failure>,
    /// Longest wait for a pending transaction of another process.
    committed_timeout: Duration,
}

/// Joins; the assignment arrives as an event. A transaction of the group takes at most `transaction_timeout`.
pub(super) fn join(
    settings: &Settings,
    spec: &GroupSpec,
    wake: Wake,
    transaction_timeout: Duration,
) -> Result<KafkaMember> {
    let context = Group {
        state: Mutex::default(),
        wake: Arc::clone(&wake),
        closing: AtomicBool::new(false),
        empty_rebalance: AtomicBool::new(false),
    };
    let config = settings.member(spec);
    let mut consumer: BaseConsumer<Group> = config.create_with_context(context).map_err(config_error)?;
    let of_event = Arc::clone(&wake);
    consumer.set_nonempty_callback(move || of_event());
    let consumer = Arc::new(Owned::new(GroupConsumer(consumer), "consumer"));
    let events = Queue::of_events(consumer.clone(), consumer.client().native_ptr(), true);
    let member = KafkaMember {
        settings: settings.clone(),
        events,
        consumer,
        wake,
        topics: spec.topics.clone(),
        group: spec.group.clone(),
        instance: spec.instance.clone(),
        place_lost: None,
        committed_timeout: transaction_timeout + PENDING_MARGIN,
    };
    member.subscribe()?;
    ffi::reach(member.consumer.client().native_ptr(), CONNECT_NUDGE);
    Ok(member)
}

impl KafkaMember {
    fn subscribe(&self) -> Result<(), Failure> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(|e| {
            Failure::new(Stage::Group, Reaction::StopPipeline, format!("subscribing to {topics:?}: {e}"))
        })
    }

    /// The failure that an error of the consumer requires, if it is one.
    fn failure_of(&self, error: &KafkaError) -> Option<Failure> {
        let code = error.rdkafka_error_code()?;
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let reported = self.consumer.context().state().last_error.take().filter(|(c, _)| *c == code);
        // The library raises one code for every fatal error and keeps the cause elsewhere.
        let (code, text) = match (self.consumer.client().fatal_error(), reported) {
            (Some(cause), _) if fatal || code == Code::Fatal => cause,
            (_, Some(reported)) => reported,
            _ => (code, error.to_string()),
        };
        let reaction = classify(Stage::Group, code, Flags { fatal, ..Flags::default() });
        let message = match reaction {
            Reaction::RetrySame => {
                tracing::debug!("consumer group: {text} ({code:?})");
                return None;
            }
            Reaction::Exit => return Some(self.place_taken(&text)),
            _ if code == Code::GroupAuthorizationFailed => format!(
                "authorisation failed: {text} ({code:?})\n  next: ask for the permission READ on the group `{}`",
                self.group
            ),
            _ if code == Code::TopicAuthorizationFailed => {
                let next = format!("ask for the permission READ on {}", self.topics.join(", "));
                format!("authorisation failed: {text} ({code:?})\n  next: {next}")
            }
            _ if code == Code::InconsistentGroupProtocol => format!(
                "the group `{}` has members that divide partitions in another way, so another program (or an ordinary consumer) uses this name: {text} ({code:?})\n  next: stop it, or give this program an application id of its own (--application-id)",
                self.group
            ),
            _ => format!("{text} ({code:?})"),
        };
        Some(Failure::new(Stage::Group, reaction, message))
    }

    fn place_taken(&self, why: &str) -> Failure {
        let message = format!("another member has taken the place of instance `{}` ({why})", self.instance);
        Failure::new(Stage::Group, Reaction::Exit, message)
    }

    /// Somebody has to ask whether a lost connection is really lost, and when it is back: the library does not report that.
    /// Nor does it report a broker that is connected and does not answer; that costs the place in the group.
    fn watch_connection(&self) {
        {
            let mut state = self.consumer.context().state();
            if state.watched {
                return;
            }
            (state.watched, state.suspected) = (true, false);
        }
        let (consumer, settings) = (Arc::downgrade(&self.consumer), self.settings.clone());
        let topic = self.topics.first().cloned().unwrap_or_default();
        let watch = move || {
            // With a client of its own: a request of the member's that times out costs its connection, and with that the
            // answer to a request to join.
            match queries::client(&settings) {
                Ok(probe) => while is_down(&consumer, &probe, &topic) {},
                Err(e) => tracing::warn!("nobody looks whether the log can be reached: {e}"),
            }
        };
        if thread::Builder::new().name("kafka-probe".into()).spawn(watch).is_err() {
            self.consumer.context().state().watched = false;
        }
    }

    /// Answers a change.
    fn answer(&self, what: &str) -> Result<(), Failure> {
        let answered = self.consumer.answer();
        let _ = crate::failpoint::passes("after-answer");
        answered.map_err(|e| Failure::new(Stage::Group, Reaction::CloseTasks, format!("{what}: {e}")))
    }

    /// Leaves, and waits until the library says so.
    fn leave_group(&self) {
        if self.consumer.client().fatal_error().is_some() {
            return; // the group no longer has a place for us, and the library does not say that it forgot ours
        }
        self.consumer.unsubscribe();
        let started = Instant::now();
        while started.elapsed() < CLOSE_TIMEOUT {
            let _ = self.consumer.poll(Duration::from_millis(10));
            let known = GroupMetadata::of(self.consumer.client().native_ptr());
            if known.is_none_or(|m| m.member_id().is_empty()) {
                return;
            }
        }
        tracing::warn!("the group did not confirm within {CLOSE_TIMEOUT:?} that this process left it");
    }
}

fn is_down(consumer: &Weak<Owned<GroupConsumer>>, probe: &QueryClient, topic: &str) -> bool {
    let Some(consumer) = consumer.upgrade() else { return false };
    let context = consumer.context();
    if context.closing.load(Ordering::Acquire) {
        return false;
    }
    let answered = probe.client().fetch_metadata(Some(topic), ANSWER_TIMEOUT).is_ok();
    let mut state = context.state();
    if state.down == answered {
        state.down = !answered;
        let silent = (!answered).then(|| format!("no broker has answered for {ANSWER_TIMEOUT:?}"));
        state.events.push_back(GroupEvent::Connection(silent));
        (context.wake)();
    }
    state.watched = !answered;
    drop(state);
    drop(consumer);
    if !answered {
        thread::sleep(Duration::from_millis(100));
    }
    !answered
}

impl Member for KafkaMember {
    fn poll(&mut self) -> Result<Vec<GroupEvent>, Failure> {
        let taken = self.consumer.context().state().place_taken.take();
        if let Some(why) = taken {
            self.place_lost = Some(self.place_taken(&why));
        }
        if let Some(failure) = &self.place_lost {
            return Err(failure.clone());
        }
        let mut served = 0;
        loop {
            // Called even when nothing is there: the call shows the library that this process is alive.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO)
                && let Some(failure) = self.failure_of(&error)
            {
                self.place_lost = Some(failure.clone()).filter(|f| f.reaction == Reaction::Exit);
                return Err(failure);
            }
            served += 1;
            if self.events.len() == 0 {
                break;
            }
            if served == POLL_EVENTS {
                (self.wake)();
                break;
            }
        }
        if self.consumer.context().empty_rebalance.swap(false, Ordering::AcqRel) {
            self.answer("rebalance")?;
        }
        let events: Vec<GroupEvent> = self.consumer.context().state().events.drain(..).collect();
        let is_suspected = self.consumer.context().state().suspected;
        if is_suspected || events.iter().any(|e| matches!(e, GroupEvent::Lost(_))) {
            self.watch_connection();
        }
        Ok(events)
    }

    fn membership(&self) -> Result<Membership, Failure> {
        let not_joined = || {
            Failure::new(
                Stage::Group,
                Reaction::RetrySame,
                "this process has not joined the group (a rebalance is in progress)",
            )
        };
        let metadata = GroupMetadata::of(self.consumer.client().native_ptr()).ok_or_else(not_joined)?;
        let (member_id, generation) = (metadata.member_id(), metadata.generation());
        if member_id.is_empty() || generation < 0 {
            return Err(not_joined());
        }
        let handle = Arc::new(Handle { metadata, consumer: Arc::downgrade(&self.consumer) });
        Ok(Membership { member_id, generation, handle })
    }

    fn assignment_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    fn committed(&self, at: &[TopicPartition]) -> Question<Vec<Option<Committed>>> {
        let (consumer, at, timeout) = (Arc::clone(&self.consumer), at.to_vec(), self.committed_timeout);
        Box::new(move || {
            let Some(first) = at.first() else { return Ok(vec![]) };
            ffi::committed(consumer.client().native_ptr(), &at, timeout).map_err(|code| {
                let reaction = classify(Stage::OffsetFetch, code, Flags::default());
                let what = format!("{first} and {} more: {code} ({code:?})", at.len() - 1);
                Failure::new(Stage::OffsetFetch, reaction, what)
            })
        })
    }

    fn accept(&mut self) -> Result<(), Failure> {
        if self.consumer.context().state().unanswered == Some(Change::Assigned) {
            self.answer("taking over partitions")?;
        }
        Ok(())
    }

    fn release(&mut self, _: &[TopicPartition]) -> Result<(), Failure> {
        self.answer("giving up partitions")
    }

    fn unassigned(&self, topics: &[(String, u32)]) -> Question<Vec<TopicPartition>> {
        let (consumer, name, topics) = (Arc::clone(&self.consumer), self.group.clone(), topics.to_vec());
        Box::new(move || {
            let found = consumer.fetch_group_list(Some(&name), GROUP_TIMEOUT).map_err(|e| {
                let message = format!("describing the group `{name}`: {e}");
                Failure::new(Stage::Group, Reaction::RetrySame, message)
            })?;
            let group = found.groups().iter().find(|g| g.name() == name);
            Ok(group.and_then(|group| assignment::unassigned(group, &topics)).unwrap_or_default())
        })
    }

    fn rejoin(&mut self) -> Result<(), Failure> {
        self.consumer.unsubscribe();
        self.subscribe()
    }

    fn leave(&mut self) {
        self.consumer.end();
        self.leave_group();
    }

    fn close(self: Box<Self>, leave: bool) {
        self.consumer.end();
        if leave {
            self.leave_group();
        }
        let KafkaMember { events, consumer, .. } = *self;
        drop(events);
        // The thread that watches a lost connection may hold it a little longer.
        let started = Instant::now();
        while Arc::strong_count(&consumer) > 1 && started.elapsed() < CLOSE_TIMEOUT {
            thread::sleep(Duration::from_millis(5));
        }
        if let Some(consumer) = Arc::into_inner(consumer) {
            let _ = consumer.destroy().recv_timeout(CLOSE_TIMEOUT);
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let of = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        TopicPartition::new(
            e.topic(),
            u32::try_from(e.partition()).expect("an assigned partition has a number"),
        )
    };
    list.elements().iter().map(of).collect()
}
