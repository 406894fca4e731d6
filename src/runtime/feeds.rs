//! Runs receivers: a thread that receives, and one that writes what was received to the receiver's topic.
//!
//! Owns those threads and their restarts. Knows no batch. Invariants: a receiver runs in the one process that owns partition 0 of its
//! topic (in every process if its rows stay in memory); rows are confirmed only once the log has them; a receiver that fails is
//! started again, after a longer pause each time.

use super::{
    clock::Clock,
    engine::{Observed, Observer},
};
use crate::{
    error::{Error, Result, panic_text},
    log::{Log, Producer, ProducerSpec},
    record::{Partition, RawChunkBuilder, TopicPartition},
    source::{
        FeedSpec,
        feed::{FeedTarget, Intake, Parcel},
    },
};
use crossbeam_channel::{Receiver as Inbox, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// Parcels that wait to be written.
const PARCELS_MAX: usize = 1_024;
/// About how much is written at once, bytes.
const WRITE_BYTES: usize = 1 << 20;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A receiver that ran so long is healthy: its next restart comes soon again.
const HEALTHY: Duration = Duration::from_secs(5);
/// How long the end of a program waits for its receivers.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverState {
    /// It receives.
    Started,
    /// It failed, and is started again; or it told of an error and goes on.
    Error,
    /// It has ended, or was stopped.
    Stopped,
}

/// The receivers of a program.
pub struct Feeds {
    specs: Vec<FeedSpec>,
    running: Vec<Option<Running>>,
    ended: bool,
    log: Arc<dyn Log>,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
}

struct Running {
    stop: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Feeds {
    /// Runs nothing yet.
    #[must_use]
    pub fn new(
        specs: Vec<FeedSpec>,
        log: Arc<dyn Log>,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let running = specs.iter().map(|_| None).collect();
        Feeds { specs, running, ended: false, log, observer, clock }
    }

    /// Runs those receivers whose topic's first partition is owned, and stops the others.
    ///
    /// # Errors
    /// If a thread or a producer cannot be made.
    pub fn run_in(&mut self, owned: &[TopicPartition]) -> Result {
        if self.ended {
            return Ok(());
        }
        for index in 0..self.specs.len() {
            let ours = match &self.specs[index].target {
                FeedTarget::Topic { name, .. } => {
                    owned.iter().any(|o| *o.topic == **name && o.partition == Partition(0))
                }
                FeedTarget::Memory(_) => true,
            };
            match (ours, self.running[index].take()) {
                (true, None) => self.running[index] = Some(self.start(index)?),
                (true, running) => self.running[index] = running,
                (false, Some(running)) => drop(running.stop()),
                (false, None) => {}
            }
        }
        Ok(())
    }

    fn start(&self, index: usize) -> Result<Running> {
        let spec = self.specs[index].clone();
        let (stop, stopped) = bounded(0);
        let (name, mut threads): (Arc<str>, _) = (spec.name.as_str().into(), vec![]);
        let (parcels, topic) = match &spec.target {
            FeedTarget::Memory(parcels) => (parcels.clone(), None),
            FeedTarget::Topic { name: topic, .. } => {
                let (parcels, inbox) = bounded(PARCELS_MAX);
                let writer = Writer {
                    log: self.log.clone(),
                    topic: topic.clone(),
                    producer: None,
                    clock: self.clock.clone(),
                    stopped: stopped.clone(),
                };
                threads.push(spawn(&format!("ingest-{name}"), move || writer.run(&inbox))?);
                (parcels, Some((self.log.clone(), topic.clone())))
            }
        };
        let (observer, told) = (self.observer.clone(), name.clone());
        let report = Arc::new(move |what: &str| {
            observer.on(&Observed::Receiver { name: &told, state: ReceiverState::Error, message: what });
        });
        let intake = Intake { parcels, stop: stopped, report, topic };
        let (observer, clock) = (self.observer.clone(), self.clock.clone());
        let work = move || receive(&spec, &name, &intake, observer.as_ref(), clock.as_ref());
        threads.push(spawn(&format!("receiver-{}", self.specs[index].name), work)?);
        Ok(Running { stop, threads })
    }

    /// Whether a receiver writes to this topic.
    #[must_use]
    pub fn fill(&self, topic: &str) -> bool {
        self.specs.iter().any(|s| matches!(&s.target, FeedTarget::Topic { name, .. } if name == topic))
    }

    /// Stops all receivers for good and waits for what they stored to be written.
    pub fn stop(&mut self) {
        self.ended = true;
        let running = self.running.iter_mut().filter_map(Option::take);
        let threads: Vec<_> = running.flat_map(Running::stop).collect();
        let until = self.clock.monotonic() + FAREWELL;
        let alive = || threads.iter().any(|t| !t.is_finished());
        while alive() && self.clock.monotonic() < until {
            self.clock.sleep(Duration::from_millis(5));
        }
    }
}

impl Running {
    fn stop(self) -> Vec<JoinHandle<()>> {
        drop(self.stop);
        self.threads
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(work).map_err(Error::io(format!("starting the thread {name}")))
}

/// Runs a receiver until it ends or is stopped.
fn receive(spec: &FeedSpec, name: &str, intake: &Intake, observer: &dyn Observer, clock: &dyn Clock) {
    let mut feed = spec.feed.lock().unwrap_or_else(PoisonError::into_inner);
    let tell = |state, message: &str| observer.on(&Observed::Receiver { name, state, message });
    let mut pause = PAUSE_MIN;
    while !intake.is_stopped() {
        tell(ReceiverState::Started, "");
        let began = clock.monotonic();
        let ended = catch_unwind(AssertUnwindSafe(|| feed.run(intake)));
        let why = match ended {
            Ok(Ok(())) => break,
            Ok(Err(_)) if intake.is_stopped() => break,
            Ok(Err(e)) => e.to_string(),
            Err(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
        };
        tell(ReceiverState::Error, &why);
        if clock.monotonic().saturating_sub(began) > HEALTHY {
            pause = PAUSE_MIN;
        }
        tracing::warn!(receiver = name, restart_in_ms = pause.as_millis(), "{why}");
        intake.sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
    tell(ReceiverState::Stopped, "");
}

/// Writes parcels to the topic of a receiver.
struct Writer {
    log: Arc<dyn Log>,
    topic: String,
    producer: Option<Box<dyn Producer>>,
    clock: Arc<dyn Clock>,
    stopped: Inbox<()>,
}

impl Writer {
    fn run(mut self, inbox: &Inbox<Parcel>) {
        loop {
            match inbox.recv_timeout(Duration::from_millis(50)) {
                Ok(first) => self.write_all(first, inbox),
                Err(RecvTimeoutError::Timeout) if !self.is_stopped() => {}
                Err(_) => return,
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn write_all(&mut self, first: Parcel, inbox: &Inbox<Parcel>) {
        let (mut records, mut waiting): (RawChunkBuilder, Vec<Sender<()>>) = Default::default();
        let mut next = Some(first);
        while let Some(parcel) = next {
            if let Parcel::Records(chunk, stored) = parcel {
                chunk.iter().for_each(|record| records.push(record));
                waiting.extend(stored);
            }
            next = if records.bytes() < WRITE_BYTES { inbox.try_recv().ok() } else { None };
        }
        let records = records.build();
        let mut pause = PAUSE_MIN;
        while let Err(e) = self.write(&records) {
            self.producer = None; // what it had under way may be written twice
            tracing::warn!(
                topic = self.topic,
                retry_in_ms = pause.as_millis(),
                "what a receiver stored is not written yet: {e}"
            );
            if self.is_stopped() {
                return; // nobody was told that it is stored
            }
            self.clock.sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        for stored in waiting {
            let _ = stored.send(()); // whoever asked may have gone
        }
    }

    fn write(&mut self, records: &crate::record::RawChunk) -> Result {
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => {
                let mut producer = self.log.producer(&ProducerSpec {
                    transactional_id: None,
                    transaction_timeout: Duration::from_secs(15),
                    group: String::new(),
                    buffer_bytes: 2 * WRITE_BYTES,
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
