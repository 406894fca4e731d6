//! Writes records and commits a batch, either transactional (exactly once) or idempotent (at least once).
//!
//! Owns the producer, its delivery reports and the end of a transaction. Knows no task. Invariants: everything is
//! acknowledged before offsets are added to a transaction, and nothing is produced afterwards; once the end of a
//! transaction has been requested, no error is taken to mean "aborted"; dropping never waits.

use super::{
    classify::{Flags, classify, failure},
    client::{self, Owned},
    config::{self, Settings, config_error},
    ffi::{self, CallError, GroupMetadata, Queue, Topic},
    member::Handle,
};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{
        Committed, Membership, Producer, ProducerSpec, RefusedRecord,
        limits::{fingerprint, shown_key},
    },
    record::{Partition, RawChunk, RawRecord, TopicPartition},
};
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    producer::{BaseProducer, Producer as _, ProducerContext},
};
use std::{
    cell::Cell,
    ffi::CString,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Duration of one attempt to end a transaction.
const SLICE: Duration = Duration::from_secs(5);
/// Pause between two attempts, after an error that the library calls retriable.
const PAUSE: Duration = Duration::from_millis(10);
/// How long to wait for acknowledgements without serving reports.
const FLUSH: Duration = Duration::from_millis(50);
/// How long to wait at a time for room in a full buffer.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// How long to wait for the report that names the refused record, once it is known that there is one.
const REPORT_WAIT: Duration = Duration::from_secs(2);
/// How many refused records of a transaction are remembered.
const REFUSED_MAX: usize = 10_000;
/// How the library begins what it says about a record whose batch was refused because of another one.
const INNOCENT: &str = "Failed to append record because it was part of a batch";
/// How much longer than it was told to the library may take with offsets.
const GRACE: Duration = Duration::from_secs(1);
/// Added to the transaction timeout: the coordinator looks for expired transactions every 10 s.
const MARGIN: Duration = Duration::from_secs(10);

/// What the library reports about records and connections.
#[derive(Debug, Default)]
struct Reports {
    failed: Mutex<Failed>,
    /// A request timed out or a connection broke.
    disturbed: AtomicBool,
}

/// What failed in the transaction.
#[derive(Debug, Default)]
struct Failed {
    /// The records that the broker refused for what they are, the first of them first.
    refused: Vec<Refusal>,
    /// The broker said which records of a batch it refused, and others were in the batch.
    has_innocent: bool,
    /// The first record that failed for another reason.
    other: Option<Refusal>,
    /// The first record that was dropped because something else failed.
    dropped: Option<Refusal>,
    /// Why the library gave the transaction up.
    transaction: Option<(Code, String)>,
}

#[derive(Clone, Debug)]
struct Refusal {
    code: Code,
    topic: usize,
    partition: i32,
    bytes: usize,
    key: String,
    fingerprint: u64,
    /// What was said about it.
    text: String,
}

impl Refusal {
    fn of(
        code: Code,
        (topic, partition): (usize, i32),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        text: String,
    ) -> Self {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        Refusal {
            code,
            topic,
            partition,
            bytes,
            key: shown_key(key),
            fingerprint: fingerprint(key, value),
            text,
        }
    }
}

impl Failed {
    fn add(&mut self, refusal: Refusal) {
        self.has_innocent |= refusal.code == Code::InvalidDifferentRecord;
        if is_consequence(refusal.code) {
            self.dropped.get_or_insert(refusal);
        } else if !is_of_record(refusal.code) {
            self.other.get_or_insert(refusal);
        } else if self.refused.len() < REFUSED_MAX {
            self.refused.push(refusal);
        }
    }

    /// The record that explains the failure, if it has been reported.
    fn cause(&self) -> Option<Refusal> {
        self.refused.first().or(self.other.as_ref()).cloned()
    }
}

/// Whether a code says that something else failed: the other records of a refused batch, and what is dropped with the
/// transaction.
fn is_consequence(code: Code) -> bool {
    matches!(
        code,
        Code::PurgeQueue | Code::PurgeInflight | Code::State | Code::Fatal | Code::InvalidDifferentRecord
    )
}

/// Whether a code says that the record itself is refused.
fn is_of_record(code: Code) -> bool {
    is_of_size(code)
        || matches!(
            code,
            Code::InvalidRecord | Code::InvalidTimestamp | Code::InvalidMessage | Code::PolicyViolation
        )
}

fn is_of_size(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize)
}

/// What the broker said about a record, which is nothing but a code for some of them.
fn said(code: Code, text: &str) -> String {
    if text.is_empty() { code.to_string() } else { format!("{text} ({code:?})") }
}

impl Reports {
    fn failed(&self) -> std::sync::MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if matches!(facility, "REQTMOUT" | "FAIL") {
            self.disturbed.store(true, Ordering::Release);
        }
        if facility == "TXNERR"
            && let Some(cause) = cause_of_txnerr(line)
        {
            self.failed().transaction.get_or_insert(cause);
            tracing::debug!(target: "kafka", "{facility}: {line}"); // reported with its consequence
            return;
        }
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.disturbed.store(true, Ordering::Release);
        tracing::debug!(target: "kafka", "producer: {error}: {reason}");
    }
}

/// The library logs why it gave a transaction up, and says it nowhere else:
/// `.. Current transaction failed in state InTransaction: <reason> (<CODE>, requires epoch bump)`.
fn cause_of_txnerr(line: &str) -> Option<(Code, String)> {
    let (_, after) = line.split_once("transaction failed in state ")?;
    let (_, reason) = after.split_once(": ")?;
    let (text, code) = reason.rsplit_once(" (")?;
    let name = code.split([',', ')']).next()?;
    Some((ffi::code_of_name(name)?, text.to_owned()))
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, topic: usize) {
        let Err((error, record)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        if code == Code::PurgeQueue && self.failed().dropped.is_some() {
            return; // there may be very many
        }
        let text = ffi::refusal_text(record);
        // If one record of a batch is refused, the library gives the others the same code, but not the same text.
        let code = if text.starts_with(INNOCENT) { Code::InvalidDifferentRecord } else { code };
        let refusal = Refusal::of(code, (topic, record.partition()), record.key(), record.payload(), text);
        self.failed().add(refusal);
    }
}

/// See [`Producer`].
pub(super) struct KafkaProducer {
    /// Dropped before the client that they belong to.
    topics: Vec<(Arc<str>, Topic)>,
    events: Queue,
    client: Arc<Owned<BaseProducer<Reports>>>,
    transactional: bool,
    transactional_id: String,
    /// How long the producer's calls wait for answers.
    transaction_timeout: Duration,
    /// The broker aborts a transaction that has been open for this long.
    open_longest: Duration,
    socket_timeout: Duration,
    /// A transactional call was slow or had to be repeated.
    slow: Cell<bool>,
    header_names: Vec<CString>,
}

impl KafkaProducer {
    pub(super) fn new(settings: &Settings, spec: &ProducerSpec) -> Result<KafkaProducer> {
        let config = settings.producer(spec);
        let client: BaseProducer<Reports> =
            config.create_with_context(Reports::default()).map_err(config_error)?;
        let client = Arc::new(Owned::new(client, "producer"));
        let events = Queue::of_events(client.clone(), client.client().native_ptr(), false);
        Ok(KafkaProducer {
            topics: vec![],
            events,
            client,
            transactional: spec.transactional_id.is_some(),
            transactional_id: spec.transactional_id.clone().unwrap_or_default(),
            transaction_timeout: config::patience(spec),
            open_longest: spec.transaction_timeout,
            socket_timeout: settings.socket_timeout(spec),
            slow: Cell::new(false),
            header_names: vec![],
        })
    }

    fn reports(&self) -> &Reports {
        self.client.client().context()
    }

    /// Serves the reports, errors and log lines that have arrived.
    fn serve(&self) {
        while self.events.len() > 0 {
            self.client.poll(Duration::ZERO);
        }
    }

    fn topic(&mut self, name: &str) -> Result<usize, Failure> {
        if let Some(known) = self.topics.iter().position(|(n, _)| **n == *name) {
            return Ok(known);
        }
        let topic = Topic::new(self.client.client().native_ptr(), name).ok_or_else(|| {
            Failure::new(
                Stage::Produce,
                Reaction::StopPipeline,
                format!("`{name}` is not a valid topic name"),
            )
        })?;
        self.topics.push((name.into(), topic));
        Ok(self.topics.len() - 1)
    }

    fn send_one(&mut self, topic: usize, partition: i32, record: &RawRecord<'_>) -> Result<(), Failure> {
        let mut since = None;
        loop {
            let (name, handle) = &self.topics[topic];
            let native = self.client.client().native_ptr();
            match ffi::produce(native, handle, partition, record, topic, &mut self.header_names) {
                Ok(()) => return Ok(()),
                Err(e) if e.code == Code::QueueFull => {
                    let since = since.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.transaction_timeout + MARGIN {
                        return Err(Failure::new(
                            Stage::Produce,
                            Reaction::AbortReplay,
                            format!("{name}: the buffer stayed full for {:?}", since.elapsed()),
                        ));
                    }
                    self.make_room(*since)?;
                }
                Err(e) => {
                    let refused =
                        Refusal::of(e.code, (topic, partition), record.key, record.value, e.message);
                    if is_consequence(e.code) {
                        self.failed_first()?;
                    }
                    self.reports().failed().add(refused.clone());
                    return Err(self.refusal(&refused));
                }
            }
        }
    }

    /// Waits until half of the buffer is free, so that large requests go out instead of one for each free slot.
    fn make_room(&self, since: Instant) -> Result<(), Failure> {
        let full = self.client.in_flight_count();
        while self.client.in_flight_count() > full / 2 && since.elapsed() <= self.transaction_timeout + MARGIN
        {
            thread::sleep(FULL_PAUSE); // without a flush, which would send small requests
            self.serve();
            self.first_failure()?;
        }
        Ok(())
    }

    fn first_failure(&self) -> Result<(), Failure> {
        let failed = self.reports().failed();
        let (cause, dropped) = (failed.cause(), failed.dropped.clone());
        drop(failed);
        match (cause, dropped) {
            (Some(refused), _) => Err(self.refusal(&refused)),
            (None, Some(dropped)) => {
                self.failed_first()?;
                Err(self.refusal(&dropped))
            }
            (None, None) => Ok(()),
        }
    }

    /// Something was dropped because something else had failed: waits for the report of that. The library gives the
    /// transaction up before it reports the record.
    fn failed_first(&self) -> Result<(), Failure> {
        let started = Instant::now();
        while started.elapsed() < REPORT_WAIT && self.client.client().fatal_error().is_none() {
            self.serve();
            let failed = self.reports().failed();
            let (cause, transaction) = (failed.cause(), failed.transaction.clone());
            drop(failed);
            if let Some(refused) = cause {
                return Err(self.refusal(&refused));
            }
            if let Some((code, text)) = transaction.filter(|(code, _)| !is_of_record(*code)) {
                return Err(self.given_up(code, &text));
            }
            thread::sleep(FULL_PAUSE);
        }
        let transaction = self.reports().failed().transaction.clone();
        transaction.map_or(Ok(()), |(code, text)| Err(self.given_up(code, &text)))
    }

    /// The transaction was given up for a reason that belongs to no record.
    fn given_up(&self, code: Code, text: &str) -> Failure {
        let reaction = classify(Stage::Produce, code, Flags::default());
        let next = match code {
            Code::TopicAuthorizationFailed => {
                "\n  next: ask for the permission WRITE on the topics that the program writes".into()
            }
            Code::TransactionalIdAuthorizationFailed => format!(
                "\n  next: ask for the permissions DESCRIBE and WRITE on the transactional id `{}`",
                self.transactional_id
            ),
            _ => String::new(),
        };
        Failure::new(Stage::Produce, reaction, format!("{text} ({code:?}){next}"))
    }

    fn refusal(&self, refused: &Refusal) -> Failure {
        let Refusal { code, topic, partition, bytes, ref key, ref text, .. } = *refused;
        // The library reports the cause of a fatal error separately.
        let cause = self.client.client().fatal_error();
        let fatal = cause.is_some();
        let (code, text) = match cause {
            Some((cause, text)) if matches!(code, Code::Fatal | Code::State | Code::PurgeQueue) => {
                (cause, text)
            }
            _ => (code, text.clone()),
        };
        let reaction = classify(Stage::Produce, code, Flags { fatal, ..Flags::default() });
        let next = match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
                "\n  next: raise `max.message.bytes` of the topic (and the client property `message.max.bytes`, if you set it), or write smaller records"
            }
            Code::InvalidRecord => {
                "\n  next: give each record a key if the topic is compacted, and a timestamp that the topic accepts"
            }
            Code::InvalidTimestamp => {
                "\n  next: correct the timestamp, or raise `message.timestamp.after.max.ms` (or `.before.max.ms`) of the topic"
            }
            Code::PolicyViolation => {
                "\n  next: ask the cluster's administrator what its policy requires of records"
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                "\n  next: create the topic, with enough partitions"
            }
            Code::TopicAuthorizationFailed => "\n  next: ask for the permission to write to it",
            _ => "",
        };
        let name = &self.topics[topic].0;
        let to = if partition < 0 { String::new() } else { format!(", partition {partition}") };
        let said = said(code, &text);
        let message =
            format!("topic `{name}`{to}, a record of {bytes} bytes with the key {key}: {said}{next}");
        Failure::new(Stage::Produce, reaction, message)
    }

    /// Waits for all acknowledgements.
    fn drain(&self) -> Result<(), Failure> {
        let started = Instant::now();
        let native = self.client.client().native_ptr();
        // Every record is acknowledged or given up within its timeout, so this loop ends.
        loop {
            self.serve();
            if self.client.in_flight_count() == 0 {
                break;
            }
            let given_up = self.reports().failed().transaction.is_some();
            if given_up {
                self.failed_first()?;
            }
            ffi::flush(native, FLUSH);
        }
        self.note(started);
        self.first_failure()
    }

    /// Remembers that a call was so slow that a request may have been sent twice.
    fn note(&self, started: Instant) {
        if started.elapsed() > self.socket_timeout / 2 {
            self.slow.set(true);
        }
    }

    /// Repeats a call that ends the transaction until it is settled or its time is over.
    fn settle(
        &self,
        stage: Stage,
        limit: Duration,
        call: impl Fn(Duration) -> Result<(), KafkaError>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut slice = if stage == Stage::Abort { PAUSE } else { SLICE };
        loop {
            let answer = call(slice.min(limit)).map_err(|e| failure(stage, &call_error(&e)));
            self.serve();
            let Err(failed) = answer else {
                self.note(started);
                return Ok(());
            };
            // An abort waits for the reports of what it drops, and these are served here, between two calls.
            let first_abort = stage == Stage::Abort && slice == PAUSE;
            self.slow.set(self.slow.get() || !first_abort);
            if failed.reaction != Reaction::RetrySame || started.elapsed() >= limit {
                return Err(failed);
            }
            slice = SLICE;
            thread::sleep(PAUSE);
        }
    }

    /// The call runs on a thread of its own, because the library may never return from it: it waits for a coordinator
    /// of the group that is gone, without a limit. Then thread and client are left behind; nothing can be committed by
    /// them, because the next producer fences them.
    fn add_offsets(
        &self,
        offsets: &[(TopicPartition, Committed)],
        member: &Membership,
        handle: &Handle,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let (client, list) = (self.client.clone(), ffi::offset_list(offsets));
        let (member, timeout) = (member.clone(), self.transaction_timeout);
        let (answer, answered) = mpsc::channel();
        let send = move || {
            let _ = crate::failpoint::passes("during-offsets");
            let sent = member.handle.downcast_ref::<Handle>().map(|handle| {
                ffi::send_offsets(client.client().native_ptr(), &list, &handle.metadata, timeout)
            });
            let _ = answer.send(sent);
        };
        let started_thread = thread::Builder::new().name("offsets".into()).spawn(send);
        let sent = started_thread.ok().and_then(|_| answered.recv_timeout(timeout + GRACE).ok().flatten());
        self.note(started);
        let Some(sent) = sent else {
            let what = format!("the client library has not sent the offsets within {:?}", started.elapsed());
            return Err(Failure::new(Stage::SendOffsets, Reaction::RecreateProducer, what));
        };
        sent.map_err(|e| {
            self.slow.set(true);
            if e.code == Code::FencedInstanceId {
                handle.place_taken(&e.message);
            }
            failure(Stage::SendOffsets, &e)
        })
    }

    fn end_transaction(&self) -> Result<(), Failure> {
        let limit = self.transaction_timeout + MARGIN;
        self.settle(Stage::Commit, limit, |slice| self.client.commit_transaction(slice))
            .map_err(|f| Failure { reaction: Reaction::Unknown, ..f })
    }

    fn commit_offsets(
        &self,
        offsets: &[(TopicPartition, Committed)],
        member: &Membership,
        handle: &Handle,
    ) -> Result<(), Failure> {
        let ended = || {
            let message =
                format!("the membership {} is over; its partitions belong to others", member.member_id);
            Failure::new(Stage::SendOffsets, Reaction::CloseTasks, message)
        };
        let consumer = handle.consumer.upgrade().ok_or_else(ended)?;
        let native = consumer.client().native_ptr();
        // The broker fences by the consumer's current identity, which must not commit records of an earlier membership.
        let now = GroupMetadata::of(native).map(|m| m.member_id());
        if now.as_ref() != Some(&member.member_id) || consumer.assignment_lost() {
            return Err(ended());
        }
        ffi::commit_offsets(native, &ffi::offset_list(offsets), self.transaction_timeout).map_err(|code| {
            if code == Code::FencedInstanceId {
                handle.place_taken(&code.to_string());
            }
            let reaction = classify(Stage::SendOffsets, code, Flags::default());
            Failure::new(Stage::SendOffsets, reaction, format!("{code} ({code:?})"))
        })
    }
}

impl Producer for KafkaProducer {
    fn init(&mut self) -> Result<(), Failure> {
        if !self.transactional {
            return Ok(());
        }
        let limit = self.transaction_timeout + MARGIN + MARGIN;
        // With a connected broker the library asks for the coordinator at once, otherwise half a second later.
        let started = Instant::now();
        ffi::reach(self.client.client().native_ptr(), limit);
        self.serve();
        let answer = self.client.init_transactions(limit.saturating_sub(started.elapsed()).max(SLICE));
        self.serve();
        answer.map_err(|e| {
            let error = call_error(&e);
            let mut failed = failure(Stage::Init, &error);
            if error.code == Code::TransactionalIdAuthorizationFailed {
                failed.message = format!(
                    "authorisation failed: {}\n  next: ask for the permissions DESCRIBE and WRITE on the transactional id `{}`",
                    failed.message, self.transactional_id
                );
            }
            if error.code == Code::InvalidTransactionTimeout {
                failed.message = format!(
                    "a transaction of this program may be open for {:?}, longer than the broker allows ({})\n  next: choose a shorter batch interval or transaction timeout, or raise the broker's `transaction.max.timeout.ms`",
                    self.open_longest, failed.message
                );
            }
            failed
        })
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.serve();
        *self.reports().failed() = Failed::default();
        self.reports().disturbed.store(false, Ordering::Release);
        self.slow.set(false);
        if !self.transactional {
            return Ok(());
        }
        self.client.begin_transaction().map_err(|e| failure(Stage::Begin, &call_error(&e)))
    }

    fn send(&mut self, topic: &str, partition: Option<Partition>, records: &RawChunk) -> Result<(), Failure> {
        let topic = self.topic(topic)?;
        let partition =
            partition.map_or(-1, |p| i32::try_from(p.0).expect("Kafka numbers partitions with 31 bits"));
        for record in records.iter() {
            self.send_one(topic, partition, &record)?;
        }
        self.serve();
        self.first_failure()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.drain()
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        member: &Membership,
    ) -> Result<(), Failure> {
        self.drain()?;
        if !offsets.is_empty() {
            let handle = member.handle.downcast_ref::<Handle>().ok_or_else(|| {
                let message = "the membership belongs to another log; this is a bug";
                Failure::new(Stage::SendOffsets, Reaction::StopPipeline, message)
            })?;
            if !self.transactional {
                return self.commit_offsets(offsets, member, handle);
            }
            if crate::failpoint::passes("mutant-offsets-outside") {
                self.end_transaction()?;
                let _ = crate::failpoint::passes("after-offsets");
                return self.commit_offsets(offsets, member, handle);
            }
            self.add_offsets(offsets, member, handle)?;
        }
        let _ = crate::failpoint::passes("after-offsets");
        if self.transactional { self.end_transaction() } else { Ok(()) }
    }

    fn abort(&mut self) -> Result<(), Failure> {
        if self.transactional {
            let limit = self.transaction_timeout + MARGIN;
            self.settle(Stage::Abort, limit, |slice| self.client.abort_transaction(slice))
                .map_err(|f| Failure { reaction: Reaction::RecreateProducer, ..f })?;
        } else {
            // What was sent stays: at least once. Its failure no longer matters.
            let _ = self.drain();
        }
        *self.reports().failed() = Failed::default();
        Ok(())
    }

    fn take_refused(&mut self) -> Vec<RefusedRecord> {
        self.serve();
        let mut failed = self.reports().failed();
        let refused = std::mem::take(&mut failed.refused);
        let (is_named, is_alone) = (failed.has_innocent, refused.len() == 1);
        drop(failed);
        let of = |r: Refusal| RefusedRecord {
            topic: self.topics[r.topic].0.to_string(),
            fingerprint: r.fingerprint,
            is_named: is_named && !is_of_size(r.code) || is_alone,
            why: said(r.code, &r.text),
        };
        refused.into_iter().map(of).collect()
    }

    fn suspect(&self) -> bool {
        self.serve();
        if crate::failpoint::passes("mutant-suspect-goes-on") {
            return false;
        }
        self.transactional && (self.slow.get() || self.reports().disturbed.load(Ordering::Acquire))
    }
}

fn call_error(error: &KafkaError) -> CallError {
    if let KafkaError::Transaction(e) = error {
        return CallError {
            code: e.code(),
            message: e.string(),
            fatal: e.is_fatal(),
            retriable: e.is_retriable(),
            requires_abort: e.txn_requires_abort(),
        };
    }
    let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
    // The binding flushes before it commits; the flush may be repeated.
    let retriable = matches!(error, KafkaError::Flush(Code::OperationTimedOut));
    CallError { code, message: error.to_string(), fatal: false, retriable, requires_abort: false }
}
