//! The simulated log: the embedded log in memory, as seen by one process that fails, stalls and is cut off.
//!
//! Wraps each handle of the log boundary and asks the process's `Fate` at each call who runs first and what goes wrong.
//! Knows no threads, no seed and no probabilities. Invariants: a fault is one that Kafka and its client can really
//! show; a killed process changes nothing any more.

mod member;
mod producer;

use super::{
    Committed, Fetch, FetchSpec, Fetched, Fetcher, GroupMember, GroupSpec, Log, Member, Producer,
    ProducerSpec, Reader, TopicInfo, TopicSpec, Wake,
    embedded::{Embedded, EmbeddedFetch},
    timestamps,
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    record::{Offset, TopicPartition},
};
use member::SimMember;
use producer::SimProducer;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Calls at which other processes may run and a fault may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named after the calls")]
pub enum Call {
    Describe,
    Create,
    Offsets,
    Read,
    Join,
    Poll,
    Wait,
    Committed,
    Accept,
    Start,
    Release,
    Rejoin,
    Fetch,
    Init,
    Begin,
    Send,
    Flush,
    AddOffsets,
    Commit,
    Abort,
    OpenState,
    StateRecord,
    Apply,
    Quarantine,
    Sleep,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before the call.
    Crash,
    /// The process dies after the call was carried out, before it returns: at a commit, at an apply.
    CrashAfter,
    /// The process dies while its commit is on the way, which arrives later (or is overtaken by the next `init`).
    CrashCommitLate,
    /// With a crash: the local disk is gone.
    DiskLost,
    /// With a crash: the last writes of the local disk are gone (power loss).
    DiskBehind,
    /// The process stands still; if that takes longer than its session, its partitions go to others.
    Pause,
    /// A second process of the same instance starts, with an empty disk.
    Duplicate,
    /// The log answers that the same call should be tried again.
    Transient,
    /// A fetch returns nothing although there is something.
    EmptyFetch,
    /// A fetch returns a single record.
    ShortFetch,
    /// A changelog is read record by record, with a pause after each: its restore takes long.
    SlowRestore,
    /// The group computes a new assignment.
    Rebalance,
    /// The member was expelled, and it is reported to it that it lost everything.
    Expelled,
    /// The member was expelled and joins again under a new member id, and nothing is reported to it (a static member of
    /// librdkafka).
    ExpelledSilently,
    /// A late request of its own makes the group expel the member for good, as if a newer one had taken its place.
    FencedByItself,
    /// A member that was replaced joins again and expels the newer one.
    Usurp,
    /// The member is expelled a moment after something was reported to it.
    ExpelledSoon,
    /// Partitions are given back late.
    AnswerLate,
    /// An answer to a rebalance is refused, either one of the engine or one that the client gives by itself.
    AnswerRefused,
    /// The log cannot be reached for a while, as an event.
    Disconnected,
    /// The commit is refused; none of it happened.
    CommitRefused,
    /// Committed, but the answer is lost.
    CommitLost,
    /// Aborted, but the answer is lost.
    CommitAborted,
    /// The request is on the way: it is committed later, unless an `init` comes first; the answer is lost.
    CommitLate,
    /// Committed after a long time; the producer is suspect.
    CommitSlow,
    /// The transaction has ended, but its markers reach the partitions at different times, and the group's offsets too.
    MarkersApart,
    /// A second copy of an older request to commit ends a later transaction of a producer that should have been replaced.
    StaleCommit,
    /// The producer can no longer be used; its transaction stays open.
    ProducerFatal,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call is made.
    Go,
    /// One of the offered faults happens.
    Fault(Fault),
    /// The process is dead: no call has any effect.
    Killed,
}

/// The fate of one incarnation of a process: a scheduler with a seed, or whatever a test needs.
pub trait Fate: Send + Sync {
    /// Lets others run first, then decides what happens at the call; `offers` are the faults that make sense at it, besides
    /// those that can always happen.
    fn step(&self, call: Call, offers: &[Fault]) -> Verdict;

    /// Virtual time since the start of the world.
    fn now(&self) -> Duration;

    /// Lets others run until something in the log changes or `timeout` is over.
    fn block(&self, timeout: Duration);

    /// Carries out an action at a later time; the action returns whether it had an effect, which counts as `fault`.
    fn later(&self, fault: Fault, action: Box<dyn FnOnce() -> bool + Send>);

    /// The process dies here.
    fn kill(&self);

    /// Whether the process lives: the calls of a dead one have no effect.
    fn alive(&self) -> bool;

    /// The process is now a member, so a long pause can cost it its place.
    fn joined(&self, group: &GroupSpec);
}

/// The log as one simulated process sees it.
pub struct SimLog {
    inner: Arc<Embedded>,
    fate: Arc<dyn Fate>,
}

impl SimLog {
    /// The view of the process with this fate.
    pub fn new(inner: Arc<Embedded>, fate: Arc<dyn Fate>) -> Self {
        SimLog { inner, fate }
    }

    fn step(&self, call: Call) -> Result {
        match self.fate.step(call, &[]) {
            Verdict::Killed => Err(Error::Killed),
            Verdict::Fault(Fault::Transient) => Err(transient(Stage::Fetch).into()), // by a test's script only
            _ => Ok(()),
        }
    }

    fn step_offsets(&self) -> Result {
        match self.fate.step(Call::Offsets, &[Fault::Transient]) {
            Verdict::Killed => Err(Error::Killed),
            Verdict::Fault(Fault::Transient) => Err(transient(Stage::Fetch).into()),
            _ => Ok(()),
        }
    }
}

/// How a call fails in a process that is dead.
fn killed(stage: Stage) -> Failure {
    Failure::new(stage, Reaction::Exit, "the simulated process was killed")
}

fn transient(stage: Stage) -> Failure {
    Failure::new(stage, Reaction::RetrySame, "simulated: try again")
}

impl Log for SimLog {
    fn name(&self) -> String {
        "simulated log".into()
    }

    fn creates_output_topics(&self) -> bool {
        true
    }

    fn deletes_consumed(&self) -> bool {
        true
    }

    fn keeps_one_copy(&self) -> bool {
        true
    }

    fn connect(&self, _: Duration) -> Result {
        self.step(Call::Describe)
    }

    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicInfo>>> {
        self.step(Call::Describe)?;
        self.inner.describe(topics)
    }

    fn create(&self, topic: &TopicSpec) -> Result {
        self.step(Call::Create)?;
        self.inner.create(topic)
    }

    fn end_offset(&self, at: &TopicPartition) -> Result<Offset> {
        self.step_offsets()?;
        if crate::failpoint::passes("mutant-stable-end") {
            return self.inner.stable_end(at);
        }
        self.inner.end_offset(at)
    }

    fn start_offset(&self, at: &TopicPartition) -> Result<Offset> {
        self.step_offsets()?;
        self.inner.start_offset(at)
    }

    fn offset_at(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Offset> {
        timestamps::scan(self, at, timestamp_ms)
    }

    fn topics(&self) -> Result<Vec<String>> {
        self.step(Call::Describe)?;
        self.inner.topics()
    }

    fn fetch(&self, _: &FetchSpec) -> Result<Box<dyn Fetch>> {
        self.step(Call::Join)?;
        Ok(Box::new(SimFetch { inner: self.inner.fetch_embedded(), fate: self.fate.clone() }))
    }

    fn read(&self, at: &TopicPartition, from: Offset) -> Result<Box<dyn Reader>> {
        self.step(Call::Read)?;
        let (inner, fate) = (self.inner.read(at, from)?, self.fate.clone());
        let is_changelog = at.topic.ends_with("-changelog");
        Ok(Box::new(SimReader { inner, fate, is_changelog, rest: None, pauses: Arc::default() }))
    }

    fn passed(&self, reader: &str, at: &TopicPartition, until: Offset) -> Result {
        self.step(Call::Offsets)?;
        self.inner.passed(reader, at, until)
    }

    fn members(&self, group: &str) -> Result<Vec<GroupMember>> {
        self.step_offsets()?;
        self.inner.members(group)
    }

    fn last_committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        self.step_offsets()?;
        self.inner.last_committed(group, at)
    }

    fn join(&self, group: &GroupSpec, _: Wake) -> Result<Box<dyn Member>> {
        self.step(Call::Join)?;
        let inner = self.inner.join_embedded(group);
        self.fate.joined(group);
        Ok(Box::new(SimMember::new(inner, self.inner.clone(), self.fate.clone(), group.clone())))
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        self.step(Call::Describe)?;
        Ok(Box::new(SimProducer::new(self.inner.producer_embedded(spec), self.fate.clone())))
    }
}

struct SimReader {
    inner: Box<dyn Reader>,
    fate: Arc<dyn Fate>,
    is_changelog: bool,
    /// What was fetched and not handed over.
    rest: Option<Fetched>,
    /// Whether nothing is handed over for now.
    pauses: Arc<AtomicBool>,
}

impl SimReader {
    fn fetch(&mut self) -> Result<Option<Fetched>, Failure> {
        match self.rest.take() {
            None => self.inner.next(Duration::ZERO),
            rest => Ok(rest),
        }
    }

    /// Hands over one record, and nothing more for a while.
    fn fetch_one(&mut self) -> Result<Option<Fetched>, Failure> {
        let Some(mut fetched) = self.fetch()? else { return Ok(None) };
        let pauses = self.pauses.clone();
        pauses.store(true, Ordering::Relaxed);
        let end = Box::new(move || pauses.swap(false, Ordering::Relaxed));
        self.fate.later(Fault::SlowRestore, end);
        let records = fetched.records.len();
        if records > 1 {
            let first = fetched.records.slice(0..1);
            let (next, leader_epoch) = (fetched.records.get(1).offset, fetched.leader_epoch);
            fetched.records = fetched.records.slice(1..records);
            self.rest = Some(std::mem::replace(&mut fetched, Fetched { records: first, next, leader_epoch }));
        }
        Ok(Some(fetched))
    }
}

impl Reader for SimReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<Fetched>, Failure> {
        let deadline = self.fate.now() + timeout;
        let offers: &[Fault] = if self.is_changelog {
            &[Fault::Transient, Fault::EmptyFetch, Fault::SlowRestore]
        } else {
            &[Fault::Transient, Fault::EmptyFetch]
        };
        loop {
            let verdict = self.fate.step(Call::Read, offers);
            let fetched = match verdict {
                Verdict::Killed => return Err(killed(Stage::Fetch)),
                _ if self.pauses.load(Ordering::Relaxed) => None,
                Verdict::Fault(Fault::Transient) => return Err(transient(Stage::Fetch)),
                Verdict::Fault(Fault::EmptyFetch) => None,
                Verdict::Fault(Fault::SlowRestore) => self.fetch_one()?,
                _ => self.fetch()?,
            };
            if fetched.is_some() {
                return Ok(fetched);
            }
            let left = deadline.saturating_sub(self.fate.now());
            if left.is_zero() {
                return Ok(None);
            }
            self.fate.block(left);
        }
    }
}

struct SimFetch {
    inner: EmbeddedFetch,
    fate: Arc<dyn Fate>,
}

impl Fetch for SimFetch {
    fn start(&mut self, at: &[(TopicPartition, Offset)]) -> Result<Vec<Box<dyn Fetcher>>, Failure> {
        if self.fate.step(Call::Start, &[]) == Verdict::Killed {
            return Err(killed(Stage::Fetch));
        }
        let wrap = |inner| Box::new(SimFetcher { inner, fate: self.fate.clone() }) as Box<dyn Fetcher>;
        Ok(self.inner.start(at)?.into_iter().map(wrap).collect())
    }

    fn wait(&mut self, timeout: Duration) {
        let deadline = self.fate.now() + timeout;
        while self.fate.step(Call::Wait, &[]) != Verdict::Killed && !self.inner.has_changed() {
            let left = deadline.saturating_sub(self.fate.now());
            if left.is_zero() {
                return;
            }
            self.fate.block(left);
        }
    }

    fn wake(&self) -> Wake {
        self.inner.wake()
    }
}

struct SimFetcher {
    inner: Box<dyn Fetcher>,
    fate: Arc<dyn Fate>,
}

impl Fetcher for SimFetcher {
    fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Option<Fetched>, Failure> {
        match self.fate.step(Call::Fetch, &[Fault::Transient, Fault::EmptyFetch, Fault::ShortFetch]) {
            Verdict::Killed => Err(killed(Stage::Fetch)),
            Verdict::Fault(Fault::Transient) => Err(transient(Stage::Fetch)),
            Verdict::Fault(Fault::EmptyFetch) => Ok(None),
            Verdict::Fault(Fault::ShortFetch) => self.inner.take(max_records.min(1), max_bytes),
            _ => self.inner.take(max_records, max_bytes),
        }
    }

    fn seek(&mut self, to: Offset) {
        self.inner.seek(to);
    }
}
