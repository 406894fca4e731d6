//! Reads one partition in order, without a group. Used to restore state.
//!
//! Owns a client besides the one that fetches, so that a slow restore delays nothing else. Knows no state. Invariants:
//! only committed records are returned, and `next` skips control and aborted records up to the end that the broker
//! reports; readers that begin at about the same time share a client, later ones have one that has lost track of no
//! broker.

use super::{
    client::{Client, Reading},
    partition::Batches,
};
use crate::{
    error::{Error, Failure, Result},
    log::{
        Fetched, Reader,
        kafka::{config::Settings, ffi::Waker},
    },
    record::{Offset, TopicPartition},
};
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

/// A client is shared by the readers that begin within this time.
const SHARED_FOR: Duration = Duration::from_secs(10);
/// Upper bounds of one answer.
const MOST_RECORDS: usize = 8_192;
const MOST_BYTES: usize = 8 << 20;

/// What readers are made from.
pub(in crate::log::kafka) struct Readers {
    settings: Settings,
    /// The client that was made last, as long as a reader uses it.
    last: Mutex<Weak<Client>>,
}

impl Readers {
    pub(in crate::log::kafka) fn new(settings: &Settings) -> Readers {
        Readers { settings: settings.clone(), last: Mutex::default() }
    }

    pub(in crate::log::kafka) fn read(&self, at: &TopicPartition, from: Offset) -> Result<PartitionReader> {
        let cannot = |what| Error::Topic { topic: at.topic.to_string(), what };
        let waker = Arc::new(Waker::default());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = last.upgrade().filter(|client| client.age() < SHARED_FOR);
        let shared = shared.map(|client| client.read(at, from, &waker)).transpose().map_err(cannot)?;
        let reading = if let Some(reading) = shared.flatten() {
            reading
        } else {
            let client = Client::new(&self.settings.reader())?;
            *last = Arc::downgrade(&client);
            let reading = client.read(at, from, &waker).map_err(cannot)?;
            reading.expect("a new client reads nothing yet")
        };
        Ok(PartitionReader { batches: Batches::default(), waker, reading })
    }
}

/// See [`Reader`].
pub(in crate::log::kafka) struct PartitionReader {
    batches: Batches,
    waker: Arc<Waker>,
    reading: Reading,
}

impl Reader for PartitionReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<Fetched>, Failure> {
        let started = Instant::now();
        loop {
            self.reading.client.serve();
            let (fetched, _) =
                self.batches.take(&self.reading.at, &self.reading.queue, MOST_RECORDS, MOST_BYTES)?;
            let left = timeout.saturating_sub(started.elapsed());
            if fetched.is_some() || left.is_zero() {
                return Ok(fetched);
            }
            self.waker.wait(left);
        }
    }
}
