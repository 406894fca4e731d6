//! Runs receivers: a thread that receives, and one that writes what was received to the receiver's topic.
//!
//! Owns those threads and their restarts. Knows no batch. Invariants: a receiver runs in the one process that
//! owns partition 0 of its topic (if its rows stay in memory: in every process that does not stand by), and on one thread at a time;
//! rows are confirmed only once the log has them; what a receiver handed over is written before its stop
//! completes; a row that the log refuses holds up no other row and no stop; a receiver that fails is restarted, after a
//! longer pause each time.

use crate::{
    error::{Error, Reaction, Result, Stage, panic_text},
    log::{Log, Producer, ProducerSpec, RequestSizes},
    record::{Partition, RawChunk, RawChunkBuilder, TopicPartition},
    runtime::{
        clock::Clock,
        events::{Observed, Observer, ReceiverState},
    },
    source::{
        ReceiverSpec,
        receiver::{Budget, Health, Intake, Load, PARCELS_MAX, Parcel, ReceiverTarget},
    },
};
use crossbeam_channel::{Receiver as Inbox, Sender, TryRecvError, bounded};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Most bytes that a receiver has handed over and that are not written yet.
const WAITING_BYTES: usize = 16 << 20;
/// About how much is written at once, bytes.
const WRITE_BYTES: usize = 1 << 20;
/// A record of this size is written by itself: if it is refused, no other is written twice.
const LARGE_BYTES: usize = 512 << 10;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A receiver that ran this long is healthy: its next restart comes quickly again.
const HEALTHY: Duration = Duration::from_secs(5);
/// How often the end of a program checks whether its receivers have ended, and the pause between checks.
const FAREWELL_LOOKS: u32 = 400;
const FAREWELL_PAUSE: Duration = Duration::from_millis(5);
/// How often a write is tried again after the stop.
const LAST_TRIES: u32 = 3;

/// The receivers of a program.
pub struct Receivers {
    specs: Vec<ReceiverSpec>,
    running: Vec<Option<Running>>,
    /// Asked to stop but not ended yet: until then such a receiver is not started again.
    ending: Vec<Vec<JoinHandle<()>>>,
    /// Whether what was there when each began is in its topic.
    have_caught_up: Vec<Arc<AtomicBool>>,
    ended: bool,
    looks: u32,
    log: Arc<dyn Log>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
}

struct Running {
    stop: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Receivers {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(
        specs: Vec<ReceiverSpec>,
        log: Arc<dyn Log>,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let running = specs.iter().map(|_| None).collect();
        let ending = specs.iter().map(|_| vec![]).collect();
        let have_caught_up = specs.iter().map(|spec| Arc::new(AtomicBool::new(!spec.catches_up))).collect();
        Receivers { specs, running, ending, have_caught_up, ended: false, looks: 0, log, observer, clock }
    }

    /// Runs those receivers whose topic's first partition is owned and, if `has_locals`, those whose rows stay in memory;
    /// stops the others. To be called at each barrier.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn run_in(&mut self, owned: &[TopicPartition], has_locals: bool) -> Result {
        if self.ended {
            return Ok(());
        }
        for index in 0..self.specs.len() {
            let ours = match &self.specs[index].target {
                ReceiverTarget::Topic { name, .. } => {
                    owned.iter().any(|o| *o.topic == **name && o.partition == Partition(0))
                }
                ReceiverTarget::Memory(..) => has_locals,
            };
            self.ending[index].retain(|thread| !thread.is_finished());
            if !ours {
                self.stop_one(index);
            } else if self.running[index].is_none() && self.ending[index].is_empty() {
                self.running[index] = Some(self.start(index)?);
            }
        }
        Ok(())
    }

    fn stop_one(&mut self, index: usize) {
        if let Some(Running { stop, threads }) = self.running[index].take() {
            drop(stop);
            self.ending[index].extend(threads);
        }
    }

    fn start(&self, index: usize) -> Result<Running> {
        let spec = self.specs[index].clone();
        let (stop, stopped) = bounded(0);
        let (name, mut threads): (Arc<str>, _) = (spec.name.as_str().into(), vec![]);
        let (observer, told) = (self.observer.clone(), name.clone());
        let health = Arc::new(Health::new(move |error| {
            let state = if error.is_some() { ReceiverState::Error } else { ReceiverState::Recovered };
            observer.on(&Observed::Receiver { name: &told, state, message: error.unwrap_or_default() });
        }));
        let (parcels, budget, topic) = match &spec.target {
            ReceiverTarget::Memory(parcels, budget) => (parcels.clone(), budget.clone(), None),
            ReceiverTarget::Topic { name: topic, .. } => {
                let (parcels, inbox) = bounded(PARCELS_MAX);
                let writer = Writer {
                    log: self.log.clone(),
                    topic: topic.clone(),
                    producer: None,
                    health: health.clone(),
                    stopped: stopped.clone(),
                };
                threads.push(spawn(&format!("ingest-{name}"), move || writer.run(&inbox))?);
                (parcels, Budget::new(WAITING_BYTES), Some((self.log.clone(), topic.clone())))
            }
        };
        let has_caught_up = self.have_caught_up[index].clone();
        let intake = Intake { parcels, budget, stop: stopped, health, topic, has_caught_up };
        let (observer, clock) = (self.observer.clone(), self.clock.clone());
        let work = move || receive(&spec, &name, &intake, observer.as_ref(), clock.as_ref());
        threads.push(spawn(&format!("receiver-{}", self.specs[index].name), work)?);
        Ok(Running { stop, threads })
    }

    /// Whether a receiver writes to this topic.
    #[must_use]
    pub fn fill(&self, topic: &str) -> bool {
        self.specs.iter().any(|s| matches!(&s.target, ReceiverTarget::Topic { name, .. } if name == topic))
    }

    /// Whether a topic may still get what was there when its receiver began.
    #[must_use]
    pub fn catches_up(&self, topic: &str) -> bool {
        let writes =
            |spec: &ReceiverSpec| matches!(&spec.target, ReceiverTarget::Topic { name, .. } if name == topic);
        let mut receivers = self.specs.iter().zip(&self.have_caught_up);
        receivers.any(|(spec, has)| writes(spec) && !has.load(Ordering::Acquire))
    }

    /// Stops all receivers for good and waits until everything they handed over is written. A receiver that
    /// does not end within two seconds is not waited for any longer.
    pub fn stop(&mut self) {
        while !self.has_stopped() {
            self.clock.sleep(FAREWELL_PAUSE);
        }
    }

    fn has_stopped(&mut self) -> bool {
        self.ended = true;
        (0..self.specs.len()).for_each(|index| self.stop_one(index));
        self.looks += 1;
        let alive = self.ending.iter().flatten().any(|thread| !thread.is_finished());
        if alive && self.looks == FAREWELL_LOOKS {
            tracing::warn!("a receiver did not end; no longer waiting for it");
        }
        !alive || self.looks >= FAREWELL_LOOKS
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(work).map_err(Error::io(format!("starting the thread {name}")))
}

/// Runs a receiver until it ends or is stopped.
fn receive(spec: &ReceiverSpec, name: &str, intake: &Intake, observer: &dyn Observer, clock: &dyn Clock) {
    let mut receiver = spec.receiver.lock().unwrap_or_else(PoisonError::into_inner);
    let tell = |state| observer.on(&Observed::Receiver { name, state, message: "" });
    let mut pause = PAUSE_MIN;
    while !intake.is_stopped() {
        tell(ReceiverState::Started);
        let began = clock.monotonic();
        let ended = catch_unwind(AssertUnwindSafe(|| receiver.run(intake)));
        let why = match ended {
            Ok(Ok(())) => break,
            Ok(Err(_)) if intake.is_stopped() => break,
            Ok(Err(e)) => e.to_string(),
            Err(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
        };
        intake.health.failed(&why);
        if clock.monotonic().saturating_sub(began) > HEALTHY {
            pause = PAUSE_MIN;
        }
        tracing::warn!(receiver = name, restart_in_ms = pause.as_millis(), "{why}");
        intake.sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
    tell(ReceiverState::Stopped);
}

/// Writes parcels to the topic of a receiver.
struct Writer {
    log: Arc<dyn Log>,
    topic: String,
    producer: Option<Box<dyn Producer>>,
    health: Arc<Health>,
    stopped: Inbox<()>,
}

impl Writer {
    /// Ends when the receiver has dropped its handle, so that nothing it handed over is forgotten.
    fn run(mut self, inbox: &Inbox<Parcel>) {
        while let Ok(first) = inbox.recv() {
            if !self.write_all(first, inbox) {
                return;
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Writes a parcel and those queued behind it; `false` = the log does not accept it and the receiver was
    /// stopped.
    fn write_all(&mut self, first: Parcel, inbox: &Inbox<Parcel>) -> bool {
        let (mut records, mut shares): (RawChunkBuilder, Vec<_>) = Default::default();
        // Who waits, and for the records up to which one.
        let mut waiting: Vec<(usize, Sender<Result<(), String>>)> = vec![];
        let mut next = Some(first);
        while let Some(Parcel { load, share }) = next {
            shares.push(share);
            if let Load::Records(chunk, stored) = load {
                chunk.iter().for_each(|record| records.push(record));
                waiting.extend(stored.map(|stored| (records.len(), stored)));
            }
            next = if records.bytes() < WRITE_BYTES { inbox.try_recv().ok() } else { None };
        }
        let Some(refused) = self.write_apart(&records.build()) else { return false };
        let mut from = 0;
        for (to, stored) in waiting {
            let why = refused.iter().find(|(at, _)| (from..to).contains(at));
            from = to;
            let _ = stored.send(why.map_or(Ok(()), |(_, why)| Err(why.clone()))); // whoever waited for it may be gone
        }
        true
    }

    /// Writes records, large ones by themselves, and answers which of them were refused, with the reason; `None` = the log
    /// does not accept them and the receiver was stopped.
    fn write_apart(&mut self, records: &RawChunk) -> Option<Vec<(usize, String)>> {
        let is_large = |at: usize| records.get(at).value.is_some_and(|value| value.len() >= LARGE_BYTES);
        let (mut done, mut part, mut refused) = (0, records.len(), vec![]);
        while done < records.len() {
            let most = (done + part).min(records.len());
            let end = (done + 1..most).find(|at| is_large(*at) || is_large(at - 1)).unwrap_or(most);
            match self.write_patiently(&records.slice(done..end)) {
                Ok(()) => done = end,
                Err(None) => return None,
                Err(Some(_)) if end - done > 1 => part = (end - done) / 2,
                Err(Some(why)) => {
                    tracing::error!(topic = self.topic, "a row of a receiver is left out: {why}");
                    self.health.failed(&format!("a row was left out: {why}"));
                    refused.push((done, why));
                    (done, part) = (end, records.len());
                }
            }
        }
        Some(refused)
    }

    /// Writes records, however long the log cannot take them.
    ///
    /// # Errors
    /// Why the log will never take them; `None` = the receiver was stopped in the meantime.
    fn write_patiently(&mut self, records: &RawChunk) -> Result<(), Option<String>> {
        let (mut pause, mut tries_left) = (PAUSE_MIN, LAST_TRIES);
        while let Err(e) = self.write(records) {
            self.producer = None; // what it had in flight may be written twice
            if self.is_of_the_records(&e) {
                return Err(Some(e.to_string()));
            }
            tracing::warn!(
                topic = self.topic,
                retry_in_ms = pause.as_millis(),
                "what a receiver stored is not written yet: {e}"
            );
            if self.is_stopped() {
                tries_left -= 1;
            }
            if tries_left == 0 {
                return Err(None); // it was never confirmed as stored
            }
            let _ = self.stopped.recv_timeout(pause); // nothing is sent: the time is over, or the receiver is stopped
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Whether a refusal is about the records, not about the topic or our rights on it.
    fn is_of_the_records(&self, e: &Error) -> bool {
        let Error::Log(failure) = e else { return false };
        if (failure.stage, failure.reaction) != (Stage::Produce, Reaction::StopPipeline) {
            return false;
        }
        let described = self.log.describe(&[&self.topic]).ok().and_then(|mut found| found.pop().flatten());
        described.is_some_and(|topic| topic.may_write != Some(false))
    }

    fn write(&mut self, records: &RawChunk) -> Result {
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => {
                let mut producer = self.log.producer(&ProducerSpec {
                    transactional_id: None,
                    transaction_timeout: Duration::from_secs(15),
                    group: String::new(),
                    buffer_bytes: 2 * WRITE_BYTES,
                    sizes: RequestSizes::default(),
                })?;
                producer.init()?;
                none.insert(producer)
            }
        };
        producer.begin()?;
        producer.send(&self.topic, Some(Partition(0)), records)?;
        producer.flush()?;
        Ok(())
    }
}
