//! What a batch sends, and the producer that sends it.
//!
//! Owns the records that are held until a batch is computed, when a transaction is open, and when the producer has
//! to be replaced. Knows no batch: what is held is the caller's. Invariants: a transaction is open only while held
//! records are sent and committed, never while a batch is computed; a producer whose requests may still be in flight
//! (it is suspect) begins no further transaction; the calling thread never waits for the log without attending.

use super::{
    held::Held,
    pending_producer::{self, PendingProducer},
};
use crate::{
    error::{Error, Failure, Reaction, Result},
    log::{Committed, Membership, Producer, RefusedRecord, RequestSizes},
    record::{Partition, RawChunk, TopicPartition},
    runtime::{
        app::{App, RETRY_PAUSE},
        pool::{Attend, Pool, Working},
    },
};
use crossbeam_channel::bounded;
use std::{sync::Arc, time::Duration};

/// A producer that is lost within this time after the previous one was probably taken by a process that is
/// about to claim our name: as long as we have open transactions, its own producer does not become ready.
const RIVAL_WINDOW: Duration = Duration::from_secs(10);

/// How long the last rows of a run are waited for.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The producer, with what it is to send; moves to the thread that talks to the log and back.
struct Sender {
    producer: Box<dyn Producer>,
    held: Held,
}

impl Sender {
    /// Sends what is held in a transaction of its own, and waits for the acknowledgements.
    fn flush(&mut self) -> Result {
        self.producer.begin()?;
        let producer = &mut self.producer;
        self.held.drain(|topic, partition, records| {
            producer.send(topic, partition, records)?;
            let _ = crate::failpoint::passes("after-send");
            Ok::<_, Error>(())
        })?;
        Ok(producer.flush()?)
    }
}

/// What a batch sends, and the producer behind it.
pub struct Transaction {
    /// The producer, if it is ready.
    producer: Option<Box<dyn Producer>>,
    pending: Option<PendingProducer>,
    /// How much the next producer puts into one request.
    sizes: RequestSizes,
    held: Held,
    /// The thread that waits for the log.
    thread: Pool,
    is_open: bool,
    /// When the last batch was committed, until the next one begins.
    last_commit: Option<Duration>,
    /// When a lost producer was last replaced.
    last_replaced: Option<Duration>,
}

/// Sending, on a thread of its own.
#[must_use = "the producer is gone until it is waited for"]
pub struct Flushing(Working<Sender, Result>);

impl Transaction {
    /// Without a producer so far.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let sizes = RequestSizes::default();
        let spill = app.config.state_dir.clone().filter(|d| d.is_dir()).unwrap_or_else(std::env::temp_dir);
        Transaction {
            producer: None,
            pending: Some(PendingProducer::WhenNeeded(app.producer_spec(sizes))),
            sizes,
            held: Held::new(spill),
            thread: Pool::new("producer", app.config.threads.min(1)),
            is_open: false,
            last_commit: None,
            last_replaced: None,
        }
    }

    /// Begins to make the producer ready, beside the loop, if there is none yet.
    pub fn make_ready(&mut self, app: &App) {
        if let Some(PendingProducer::WhenNeeded(spec)) = &self.pending
            && app.config.threads > 0
        {
            self.pending = Some(PendingProducer::on_thread(&app.env.log, spec.clone(), None));
        }
    }

    /// The topics that are written call for other sizes than a producer has by default: another one takes its place.
    pub fn fit(&mut self, app: &App, sizes: RequestSizes) {
        if self.sizes == sizes {
            return;
        }
        self.sizes = sizes;
        let spec = app.producer_spec(sizes);
        self.pending = Some(match self.pending.take() {
            Some(before) if app.config.threads > 0 => {
                PendingProducer::on_thread(&app.env.log, spec, Some(before))
            }
            _ => PendingProducer::WhenNeeded(spec),
        });
    }

    /// Sets the sizes of the next producer.
    pub fn set_sizes(&mut self, sizes: RequestSizes) {
        self.sizes = sizes;
    }

    /// The records that the log has refused since the last call.
    pub fn take_refused(&mut self) -> Vec<RefusedRecord> {
        self.producer.as_mut().map_or_else(Vec::new, |producer| producer.take_refused())
    }

    /// Whether the producer is ready; `false` = it is still being created, or must be created again.
    /// `may_retry`: whether a failure that may be temporary is tolerated.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn is_ready(&mut self, app: &App, may_retry: bool) -> Result<bool> {
        self.make_ready(app);
        match self.pending.take() {
            None => Ok(true),
            Some(pending) if !pending.is_finished() => {
                self.pending = Some(pending);
                Ok(false)
            }
            Some(pending) => match pending.wait(app.env.log.as_ref()) {
                Ok(producer) => {
                    self.producer = Some(producer);
                    Ok(true)
                }
                // Another process with our name was made ready at the same time; and after the first start
                // any failure may be temporary.
                Err(Error::Log(f))
                    if f.reaction == Reaction::RecreateProducer || (may_retry && f.reaction.may_pass()) =>
                {
                    tracing::warn!("{f}; trying again");
                    self.pending = Some(PendingProducer::WhenNeeded(app.producer_spec(self.sizes)));
                    app.env.clock.sleep(RETRY_PAUSE);
                    Ok(false)
                }
                Err(e) => Err(e),
            },
        }
    }

    /// Gives the producer up; another one is created when it is needed.
    pub fn recreate_later(&mut self, app: &App) {
        self.producer = None;
        self.pending = Some(PendingProducer::WhenNeeded(app.producer_spec(self.sizes)));
    }

    /// Replaces the producer, which ends what the old one left open.
    ///
    /// # Errors
    /// If the log does not make the new one ready, or with what `attend` fails with.
    pub fn replace(&mut self, app: &App, attend: Attend<'_>) -> Result {
        drop(self.producer.take());
        let (log, spec) = (app.env.log.clone(), app.producer_spec(self.sizes));
        let making = self.thread.start(&mut vec![()], move |()| pending_producer::ready(log.as_ref(), &spec));
        let made = making.wait(&mut vec![], attend)?.pop();
        self.producer = Some(made.expect("one was asked for")?);
        self.last_replaced = Some(app.now());
        self.is_open = false;
        Ok(())
    }

    /// Whether a producer was replaced so recently that a rival is likely.
    #[must_use]
    pub fn was_replaced_recently(&self, now: Duration) -> bool {
        self.last_replaced.is_some_and(|at| now.saturating_sub(at) < RIVAL_WINDOW)
    }

    /// Whether a transaction is open at the log.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// What is held so far is put aside, for a transaction that is committed before it.
    pub fn put_aside(&mut self) -> Held {
        let emptied = self.held.emptied();
        std::mem::replace(&mut self.held, emptied)
    }

    /// Holds what was put aside.
    pub fn take_up(&mut self, held: Held) {
        self.held = held;
    }

    /// Whether the batch sends nothing so far.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// How much the batch will send so far, bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// The batch takes no more input: what it holds from now on may be large.
    pub fn input_ended(&mut self) {
        self.held.ending();
    }

    /// Holds records until the batch is computed; without `partition` they are placed by key.
    ///
    /// # Errors
    /// If they do not fit in memory and cannot be written to a file.
    pub fn hold(&mut self, topic: &Arc<str>, partition: Option<Partition>, records: RawChunk) -> Result {
        self.held.push(topic, partition, records)
    }

    /// Commits these rows to the meta topic in a transaction of their own, without offsets.
    ///
    /// # Errors
    /// As [`Transaction::commit`]; the producer is then of no further use.
    pub fn commit_alone(
        &mut self,
        topic: Arc<str>,
        rows: RawChunk,
        membership: Membership,
        attend: Attend<'_>,
    ) -> Result<Result<(), Failure>> {
        self.call(move |producer| commit_rows(producer, &topic, &rows, &membership), attend)
    }

    /// Commits rows to the meta topic as the last thing, if the log answers soon.
    pub fn commit_last(mut self, app: &App, rows: RawChunk, membership: Membership) {
        if self.is_open || self.is_suspect() {
            return;
        }
        let Some(mut producer) = self.producer.take() else { return };
        let topic = app.names.meta.clone();
        let mut commit = move || {
            if let Err(f) = commit_rows(producer.as_mut(), &topic, &rows, &membership) {
                tracing::debug!("the last rows are not written: {f}");
            }
        };
        if app.config.threads == 0 {
            return commit();
        }
        let (done, ended) = bounded::<()>(0);
        let work = move || {
            commit();
            drop(done);
        };
        if std::thread::Builder::new().name("last-rows".into()).spawn(work).is_ok() {
            let _ = ended.recv_timeout(LAST_WAIT);
        }
    }

    /// Opens the transaction and sends everything that is held, on the thread that waits for the log.
    pub fn start_flush(&mut self) -> Flushing {
        self.is_open = true;
        let producer = self.producer.take().expect("ready before the first batch");
        let emptied = self.held.emptied();
        let held = std::mem::replace(&mut self.held, emptied);
        Flushing(self.thread.start(&mut vec![Sender { producer, held }], Sender::flush))
    }

    /// Waits until all of it is acknowledged.
    ///
    /// # Errors
    /// If something was not, or with what `attend` fails with.
    pub fn wait_for(&mut self, flushing: Flushing, attend: Attend<'_>) -> Result {
        let mut back = vec![];
        let flushed = flushing.0.wait(&mut back, attend)?.pop();
        self.producer = back.pop().map(|sender| sender.producer);
        flushed.expect("one was started")
    }

    /// Ends the transaction with these offsets of the group.
    ///
    /// # Errors
    /// With [`Reaction::Unknown`] if the log did not say whether it is committed, or with what `attend` fails with.
    pub fn commit(
        &mut self,
        offsets: Vec<(TopicPartition, Committed)>,
        membership: Membership,
        app: &App,
        attend: Attend<'_>,
    ) -> Result<Result<(), Failure>> {
        let committed = self.call(move |producer| producer.commit(&offsets, &membership), attend)?;
        if committed.is_ok() {
            self.is_open = false;
            self.last_commit = Some(app.now());
        }
        Ok(committed)
    }

    /// Aborts the transaction, if one is open.
    ///
    /// # Errors
    /// If the log does not say that it is aborted, or with what `attend` fails with.
    pub fn abort(&mut self, attend: Attend<'_>) -> Result<Result<(), Failure>> {
        if self.is_open && self.producer.is_some() {
            let aborted = self.call(|producer| producer.abort(), attend)?;
            if aborted.is_err() {
                return Ok(aborted);
            }
            self.is_open = false;
        }
        Ok(Ok(()))
    }

    /// The batch is over for us, however it ended: nothing of it is held.
    pub fn forget(&mut self) {
        self.is_open = false;
        self.held.clear();
    }

    /// Whether requests of the producer may still be in flight.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.producer.as_ref().is_some_and(|producer| producer.suspect())
    }

    /// When the last batch was committed; answered once.
    pub fn take_last_commit(&mut self) -> Option<Duration> {
        self.last_commit.take()
    }

    /// Calls the producer on the thread that waits for the log.
    fn call<R: Send + 'static>(
        &mut self,
        work: impl Fn(&mut dyn Producer) -> R + Send + Sync + 'static,
        attend: Attend<'_>,
    ) -> Result<R> {
        let mut one = self.producer.take().into_iter().collect();
        let working =
            self.thread.start(&mut one, move |producer: &mut Box<dyn Producer>| work(producer.as_mut()));
        let answer = working.wait(&mut one, attend)?.pop();
        self.producer = one.pop();
        Ok(answer.expect("ready before the first batch"))
    }
}

/// Commits rows to the meta topic in a transaction of their own.
fn commit_rows(
    producer: &mut dyn Producer,
    topic: &str,
    rows: &RawChunk,
    membership: &Membership,
) -> Result<(), Failure> {
    producer.begin()?;
    producer.send(topic, Some(Partition(0)), rows)?;
    producer.commit(&[], membership)
}
