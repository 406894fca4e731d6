//! The producer and its transaction.
//!
//! Owns when a transaction is open and when the producer has to be replaced. Knows no batch: what is sent in
//! it is the caller's. Invariants: a transaction opens with the first thing that is sent; a producer whose
//! requests may still be in flight (it is suspect) begins no further transaction.

use super::pending_producer::{self, PendingProducer};
use crate::{
    error::{Error, Failure, Reaction, Result},
    log::{Committed, Membership, Producer, RefusedRecord, RequestSizes},
    record::{Partition, RawChunk, TopicPartition},
    runtime::app::{App, RETRY_PAUSE},
};
use std::time::Duration;

/// A producer that is lost within this time after the previous one was probably taken by a process that is
/// about to claim our name: as long as we have open transactions, its own producer does not become ready.
const RIVAL_WINDOW: Duration = Duration::from_secs(10);

/// The transaction of the batch in flight, and the producer behind it.
pub struct Transaction {
    producer: Option<Box<dyn Producer>>,
    pending: Option<PendingProducer>,
    /// How much the next producer puts into one request.
    sizes: RequestSizes,
    is_open: bool,
    /// When the last batch was committed, until the next one begins.
    last_commit: Option<Duration>,
    /// When a lost producer was last replaced.
    last_replaced: Option<Duration>,
}

impl Transaction {
    /// Starts making a producer ready.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let sizes = RequestSizes::default();
        let spec = app.producer_spec(sizes);
        let pending = match app.config.threads {
            0 => PendingProducer::WhenNeeded(spec),
            _ => PendingProducer::on_thread(&app.env.log, spec),
        };
        Transaction {
            producer: None,
            pending: Some(pending),
            sizes,
            is_open: false,
            last_commit: None,
            last_replaced: None,
        }
    }

    /// The topics that are written call for other sizes than a producer has by default: another one takes its place.
    pub fn fit(&mut self, app: &App, sizes: RequestSizes) {
        if self.sizes == sizes {
            return;
        }
        self.sizes = sizes;
        if let Some(pending) = self.pending.take() {
            // Two that are made ready at once would fence each other; why the first one failed, the next one says.
            let _ = pending.wait(app.env.log.as_ref());
        }
        self.recreate_later(app);
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
    /// If the log does not make the new one ready.
    pub fn replace(&mut self, app: &App) -> Result {
        drop(self.producer.take());
        self.producer = Some(pending_producer::ready(app.env.log.as_ref(), &app.producer_spec(self.sizes))?);
        self.last_replaced = Some(app.now());
        self.is_open = false;
        Ok(())
    }

    /// Whether a producer was replaced so recently that a rival is likely.
    #[must_use]
    pub fn was_replaced_recently(&self, now: Duration) -> bool {
        self.last_replaced.is_some_and(|at| now.saturating_sub(at) < RIVAL_WINDOW)
    }

    /// Whether something was sent since the last commit or abort.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Sends records, in a transaction that is opened if none is.
    ///
    /// # Errors
    /// If the log refuses.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<Partition>,
        records: &RawChunk,
    ) -> Result<(), Failure> {
        self.begin()?;
        self.producer().send(topic, partition, records)?;
        let _ = crate::failpoint::passes("after-send");
        Ok(())
    }

    /// Commits these records in a transaction of their own, without offsets.
    ///
    /// # Errors
    /// As [`Transaction::commit`]; the producer is then of no further use.
    pub fn commit_alone(
        &mut self,
        topic: &str,
        partition: Partition,
        records: &RawChunk,
        membership: &Membership,
    ) -> Result<(), Failure> {
        let producer = self.producer();
        producer.begin()?;
        producer.send(topic, Some(partition), records)?;
        producer.commit(&[], membership)
    }

    /// Waits for the acknowledgements of everything sent; if nothing was sent, opens the transaction.
    ///
    /// # Errors
    /// If something was not acknowledged.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if self.is_open { self.producer().flush() } else { self.begin() }
    }

    /// Ends the transaction with these offsets of the group.
    ///
    /// # Errors
    /// With [`Reaction::Unknown`] if the log did not say whether it is committed.
    pub fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
        app: &App,
    ) -> Result<(), Failure> {
        self.producer().commit(offsets, membership)?;
        self.is_open = false;
        self.last_commit = Some(app.now());
        Ok(())
    }

    /// Aborts the transaction, if one is open.
    ///
    /// # Errors
    /// If the log does not say that it is aborted.
    pub fn abort(&mut self) -> Result<(), Failure> {
        if self.is_open
            && let Some(producer) = &mut self.producer
        {
            producer.abort()?;
            self.is_open = false;
        }
        Ok(())
    }

    /// The transaction is over for us, however it ended.
    pub fn forget(&mut self) {
        self.is_open = false;
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

    fn begin(&mut self) -> Result<(), Failure> {
        if !self.is_open {
            self.producer().begin()?;
            self.is_open = true;
        }
        Ok(())
    }

    fn producer(&mut self) -> &mut dyn Producer {
        self.producer.as_deref_mut().expect("ready before the first batch")
    }
}
