//! Membership in the consumer group: classic protocol, cooperative, static.
//!
//! Owns the consumer, the order of assignment events and the answers to them. Knows no batch. Invariants: a callback
//! only records what happened; the library waits for `start` or `release`, and keeps sending heartbeats meanwhile; a
//! partition's queue is split off before the partition is assigned, so that no record ever passes through the common
//! queue; a membership has a member id and a generation, because without them the broker does not fence a commit.

mod assignment;

use super::{
    classify::{Flags, classify},
    client::{self, Owned},
    config::{Settings, config_error},
    fetcher::{PartitionFetcher, Slot},
    ffi::{self, GroupMetadata, Queue, Waker},
    queries::{self, QueryClient},
};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Committed, Fetcher, GroupEvent, GroupSpec, Member, Membership, Question},
    record::{Offset, TopicPartition},
};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
const GROUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The most events that one `poll` serves.
const POLL_EVENTS: usize = 256;

/// The consumer, kept alive by the member and the queues of its partitions.
type Shared = Arc<Owned<GroupConsumer>>;

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
        let answer = match self.context().state().unanswered.take() {
            Some(Unanswered::Assigned) => self.incremental_assign(&TopicPartitionList::new()),
            Some(Unanswered::Revoked(at)) => give_up(&self.0, &at),
            None => Ok(()),
        };
        if let Err(e) = answer {
            tracing::debug!("leaving the group: {e}");
        }
    }
}

/// What the library reports about the group.
pub(super) struct Group {
    state: Mutex<State>,
    waker: Arc<Waker>,
    /// The member is closing: assignments are answered at once, in the callback.
    closing: AtomicBool,
    /// A rebalance that changes nothing here is waiting for its answer.
    empty_rebalance: AtomicBool,
}

#[derive(Default)]
struct State {
    events: VecDeque<GroupEvent>,
    unanswered: Option<Unanswered>,
    /// No broker can be reached.
    down: bool,
    /// A thread looks whether one can be reached.
    watched: bool,
    /// The broker refused a commit of this member because another member has taken its place.
    place_taken: Option<String>,
    /// The last error with its text, which the binding does not pass on to the caller of `poll`.
    last_error: Option<(Code, String)>,
}

/// The answer that the library waits for before it continues.
enum Unanswered {
    Assigned,
    Revoked(Vec<TopicPartition>),
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
        if code == Code::AllBrokersDown && !state.down {
            state.down = true;
            state.events.push_back(GroupEvent::Connection(Some(reason.to_owned())));
            self.waker.wake();
        }
        state.last_error = Some((code, reason.to_owned()));
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let at = partitions(list);
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let answer = if assigned { consumer.incremental_assign(list) } else { give_up(consumer, &at) };
            if let Err(e) = answer {
                tracing::warn!("rebalance: {e}");
            }
            return;
        }
        // An empty change needs no answer from the engine, but the library waits for one: the next poll gives it.
        if at.is_empty() {
            let unanswered = if assigned { Unanswered::Assigned } else { Unanswered::Revoked(at) };
            self.state().unanswered = Some(unanswered);
            self.empty_rebalance.store(true, Ordering::Release);
            self.waker.wake();
            return;
        }
        let (event, unanswered) = match (assigned, consumer.assignment_lost()) {
            (true, _) => (GroupEvent::Assigned(at), Unanswered::Assigned),
            (false, false) => (GroupEvent::Revoking(at.clone()), Unanswered::Revoked(at)),
            (false, true) => (GroupEvent::Lost(at.clone()), Unanswered::Revoked(at)),
        };
        let mut state = self.state();
        state.events.push_back(event);
        state.unanswered = Some(unanswered);
        self.waker.wake();
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
    /// What the group assigned to us, started or not.
    assigned: BTreeSet<TopicPartition>,
    slots: BTreeMap<TopicPartition, Arc<Slot>>,
    /// Dropped before the consumer, which this queue keeps alive.
    events: Queue,
    consumer: Shared,
    waker: Arc<Waker>,
    topics: Vec<String>,
    group: String,
    instance: String,
    /// Set when the place in the group is lost for good.
    place_lost: Option<Failure>,
    /// Kept partitions still have to be sought to what was handed over; see `reposition`.
    must_reposition: bool,
    /// Longest wait for a pending transaction of another process.
    committed_timeout: Duration,
}

/// Joins; the assignment arrives as an event. The buffer is divided among `partitions`; a transaction of the group
/// takes at most `transaction_timeout`.
pub(super) fn join(
    settings: &Settings,
    spec: &GroupSpec,
    partitions: usize,
    transaction_timeout: Duration,
) -> Result<KafkaMember> {
    let waker = Arc::new(Waker::default());
    let context = Group {
        state: Mutex::default(),
        waker: Arc::clone(&waker),
        closing: AtomicBool::new(false),
        empty_rebalance: AtomicBool::new(false),
    };
    let config = settings.member(spec, partitions);
    let mut consumer: BaseConsumer<Group> = config.create_with_context(context).map_err(config_error)?;
    let wake = Arc::clone(&waker);
    consumer.set_nonempty_callback(move || wake.wake());
    let consumer = Arc::new(Owned::new(GroupConsumer(consumer), "consumer"));
    let events = Queue::of_events(consumer.clone(), consumer.client().native_ptr(), true);
    let member = KafkaMember {
        settings: settings.clone(),
        assigned: BTreeSet::new(),
        slots: BTreeMap::new(),
        events,
        consumer,
        waker,
        topics: spec.topics.clone(),
        group: spec.group.clone(),
        instance: spec.instance.clone(),
        place_lost: None,
        must_reposition: false,
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

    /// After a lost connection somebody has to ask whether it is back: the library does not report that. Nor does it report
    /// a broker that is connected and does not answer; that costs the place in the group.
    fn watch_connection(&self) {
        if std::mem::replace(&mut self.consumer.context().state().watched, true) {
            return;
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

    /// Seeks every kept partition to the offset after what was really handed over.
    ///
    /// Each rebalance, even one that changes nothing here, makes the library stop the fetching of all partitions and
    /// start it again from the position that it believes in. That position can be wrong:
    ///
    /// - Records that the library is just handing over when it stops are purged, and can be lost to it.
    /// - Once it has reported the end of a partition, its position is one offset past that end. The broker answers a
    ///   fetch from there that no such offset exists.
    ///
    /// So this is called twice for each rebalance, before and after it is answered:
    ///
    /// ```text
    /// library                               this file
    /// -------                               ---------
    /// reports a rebalance             -->   the engine may finish its batch first
    ///                                 <--   1. seek to `Slot::next`, so that the restart begins where we are
    ///                                 <--   2. answer: `incremental_assign` or `incremental_unassign`
    /// stops and restarts all fetching
    ///                                 <--   3. seek to `Slot::next` once more
    /// fetches from `Slot::next`
    /// ```
    ///
    /// If a seek fails, `must_reposition` stays set, and the next poll makes up for it.
    fn reposition(&mut self, kept: &[Arc<Slot>]) -> Result<(), Failure> {
        self.must_reposition = true;
        kept.iter().try_for_each(|slot| self.seek_slot(slot, slot.next()))?;
        self.must_reposition = false;
        Ok(())
    }

    fn kept(&self) -> Vec<Arc<Slot>> {
        self.slots.values().cloned().collect()
    }

    /// Answers a rebalance that changes nothing for this member.
    fn answer_empty_rebalance(&mut self) -> Result<(), Failure> {
        let kept = self.kept();
        let set = self.reposition(&kept);
        let answer = match self.consumer.context().state().unanswered.take() {
            Some(Unanswered::Assigned) => self.consumer.incremental_assign(&TopicPartitionList::new()),
            Some(Unanswered::Revoked(at)) => give_up(&self.consumer, &at),
            None => Ok(()),
        };
        if let Err(e) = answer {
            tracing::warn!("rebalance: {e}");
        }
        let _ = crate::failpoint::passes("after-answer");
        set.and_then(|()| self.reposition(&kept))
    }

    fn seek_slot(&self, slot: &Slot, to: Offset) -> Result<(), Failure> {
        let at = &slot.at;
        if crate::failpoint::passes("fail-seek") {
            let message = format!("seeking in {at}: a test refuses it");
            return Err(Failure::new(Stage::Group, Reaction::CloseTasks, message));
        }
        let offset = rdkafka::Offset::Offset(i64::try_from(to.0).expect("Kafka counts offsets with 63 bits"));
        self.consumer
            .seek(&at.topic, ffi::partition_number(at), offset, SEEK_TIMEOUT)
            .map_err(|e| refused(&format!("seeking in {at}"), &e))?;
        slot.sought(to);
        Ok(())
    }

    fn slot(&self, at: &TopicPartition) -> Result<&Arc<Slot>, Failure> {
        self.slots.get(at).ok_or_else(|| {
            Failure::new(Stage::Group, Reaction::CloseTasks, format!("{at} is not owned by this process"))
        })
    }

    /// Gives up everything that the group revokes until nothing is owned, then leaves.
    fn leave_group(&self) {
        if self.consumer.client().fatal_error().is_some() {
            return; // the group no longer has a place for us, and the library does not say that it forgot ours
        }
        self.consumer.unsubscribe();
        let started = Instant::now();
        while started.elapsed() < CLOSE_TIMEOUT {
            let _ = self.consumer.poll(Duration::from_millis(10));
            let owned = self.consumer.assignment().map_or(0, |list| list.count());
            let known = GroupMetadata::of(self.consumer.client().native_ptr());
            if owned == 0 && known.is_none_or(|m| m.member_id().is_empty()) {
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
        context.waker.wake();
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
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Ok(record)) => return Err(stray(&record)),
                Some(Err(error)) => {
                    if let Some(failure) = self.failure_of(&error) {
                        self.place_lost = Some(failure.clone()).filter(|f| f.reaction == Reaction::Exit);
                        return Err(failure);
                    }
                }
            }
            served += 1;
            if self.events.len() == 0 {
                break;
            }
            if served == POLL_EVENTS {
                self.waker.wake();
                break;
            }
        }
        if self.consumer.context().empty_rebalance.swap(false, Ordering::AcqRel) {
            self.answer_empty_rebalance()?;
        } else if self.must_reposition {
            // Not `answer_empty_rebalance`: what waits for an answer now may be a change that only the engine can answer.
            let kept = self.kept();
            self.reposition(&kept)?;
        }
        let events: Vec<GroupEvent> = self.consumer.context().state().events.drain(..).collect();
        for event in &events {
            if let GroupEvent::Assigned(at) = event {
                self.assigned.extend(at.iter().cloned());
            }
        }
        if events.iter().any(|e| matches!(e, GroupEvent::Connection(Some(_)) | GroupEvent::Lost(_))) {
            self.watch_connection();
        }
        Ok(events)
    }

    fn wait(&mut self, timeout: Duration) {
        self.waker.wait(timeout);
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

    fn start(&mut self, at: &[(TopicPartition, Offset)]) -> Result<Vec<Box<dyn Fetcher>>, Failure> {
        let mut list = TopicPartitionList::with_capacity(at.len());
        let mut slots = vec![];
        if let Some((at, _)) = at.iter().find(|(at, _)| !self.assigned.contains(at)) {
            let message = format!("{at} is not assigned to this process");
            return Err(Failure::new(Stage::Group, Reaction::CloseTasks, message));
        }
        let again: Vec<_> =
            at.iter().map(|(at, _)| at.clone()).filter(|at| self.slots.contains_key(at)).collect();
        for slot in again.iter().filter_map(|at| self.slots.remove(at)) {
            slot.close();
        }
        if !again.is_empty() {
            give_up(&self.consumer, &again).map_err(|e| refused("starting partitions again", &e))?;
        }
        for (at, first) in at {
            let from = i64::try_from(first.0).expect("Kafka counts offsets with 63 bits");
            list.add_partition_offset(&at.topic, ffi::partition_number(at), rdkafka::Offset::Offset(from))
                .expect("an offset is not negative");
            let client = self.consumer.client().native_ptr();
            let queue = Queue::of_partition(self.consumer.clone(), client, at, Arc::clone(&self.waker))
                .ok_or_else(|| {
                    Failure::new(Stage::Group, Reaction::StopPipeline, format!("{at}: no such partition"))
                })?;
            slots.push(Arc::new(Slot::new(at.clone(), *first, queue, Arc::clone(&self.waker))));
        }
        let kept = self.kept();
        self.reposition(&kept)?;
        self.consumer.incremental_assign(&list).map_err(|e| refused("starting partitions", &e))?;
        self.consumer.context().state().unanswered = None;
        // Whatever fails from here on, the partitions are started, and the next attempt has to give them up first.
        self.slots.extend(slots.iter().map(|slot| (slot.at.clone(), Arc::clone(slot))));
        let _ = crate::failpoint::passes("after-answer");
        self.reposition(&kept)?;
        Ok(slots.into_iter().map(|slot| Box::new(PartitionFetcher::new(slot)) as Box<dyn Fetcher>).collect())
    }

    fn seek(&mut self, at: &TopicPartition, to: Offset) -> Result<(), Failure> {
        self.seek_slot(self.slot(at)?, to)
    }

    fn release(&mut self, at: &[TopicPartition]) -> Result<(), Failure> {
        for at in at {
            self.assigned.remove(at);
            if let Some(slot) = self.slots.remove(at) {
                slot.close();
            }
        }
        self.consumer.context().state().unanswered = None;
        let kept = self.kept();
        let set = self.reposition(&kept);
        give_up(&self.consumer, at).map_err(|e| refused("giving up partitions", &e))?;
        let _ = crate::failpoint::passes("after-answer");
        set.and_then(|()| self.reposition(&kept))
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
        for slot in self.slots.values() {
            slot.close();
        }
        self.consumer.end();
        if leave {
            self.leave_group();
        }
        let KafkaMember { slots, events, consumer, .. } = *self;
        drop((slots, events));
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

/// Answers a revocation. The library refuses a list that contains partitions which `start` has not started, and then
/// still waits.
fn give_up(consumer: &BaseConsumer<Group>, at: &[TopicPartition]) -> KafkaResult<()> {
    let mut held = partitions(&consumer.assignment()?);
    held.retain(|held| at.contains(held));
    consumer.incremental_unassign(&list_of(&held))
}

fn list_of(at: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(at.len());
    for at in at {
        list.add_partition(&at.topic, ffi::partition_number(at));
    }
    list
}

fn refused(what: &str, error: &KafkaError) -> Failure {
    Failure::new(Stage::Group, Reaction::CloseTasks, format!("{what}: {error}"))
}

fn stray(record: &impl rdkafka::Message) -> Failure {
    let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
    Failure::new(
        Stage::Fetch,
        Reaction::StopPipeline,
        format!(
            "a record of {topic}-{partition} at offset {offset} arrived outside its partition's queue; this is a bug"
        ),
    )
}
