//! A client that reads partitions without a group, each into a queue of its own.
//!
//! Owns which partitions it reads. Knows no limits and no records. Invariants: a client reads a partition once at a time;
//! what was queued before the offset was changed is never seen, because the queue is another one.

use crate::{
    error::Result,
    log::kafka::{
        client::{self, Owned, QueryContext},
        config::config_error,
        ffi::{self, Queue, Topic, Waker},
    },
    record::{Offset, TopicPartition},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Long enough to make the library connect, or ask, now.
const NUDGE: Duration = Duration::from_millis(5);

pub(super) struct Client {
    reads: Mutex<BTreeSet<TopicPartition>>,
    made: Instant,
    events: Queue,
    consumer: Arc<Owned<BaseConsumer<QueryContext>>>,
}

impl Client {
    pub(super) fn new(config: &ClientConfig) -> Result<Arc<Client>> {
        let consumer: BaseConsumer<QueryContext> =
            config.create_with_context(QueryContext::default()).map_err(config_error)?;
        let consumer = Arc::new(Owned::new(consumer, "reader"));
        let native = consumer.client().native_ptr();
        let events = Queue::of_events(consumer.clone(), native, false);
        ffi::reach(native, NUDGE);
        Ok(Arc::new(Client { reads: Mutex::default(), made: Instant::now(), events, consumer }))
    }

    /// How long ago it was made.
    pub(super) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Serves errors and log lines; records come through the queues.
    pub(super) fn serve(&self) {
        if self.events.len() > 0 {
            client::serve(&self.consumer);
        }
    }

    /// Looks for new partitions of the topics that it reads, which the library would do after minutes.
    pub(super) fn learn(&self) {
        ffi::reach(self.consumer.client().native_ptr(), NUDGE);
    }

    /// Reads a partition; `None` = it does so already.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn read(
        self: &Arc<Self>,
        at: &TopicPartition,
        from: Offset,
        waker: &Arc<Waker>,
    ) -> Result<Option<Reading>, String> {
        let native = self.consumer.client().native_ptr();
        let topic = Topic::new(native, &at.topic).ok_or("is not a valid topic name")?;
        if !self.reads().insert(at.clone()) {
            return Ok(None);
        }
        let reading = Reading { at: at.clone(), topic, queue: self.queue(waker), client: Arc::clone(self) };
        reading.start(from)?;
        Ok(Some(reading))
    }

    fn reads(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, waker: &Arc<Waker>) -> Queue {
        Queue::new(self.consumer.clone(), self.consumer.client().native_ptr(), Arc::clone(waker))
    }
}

/// A partition that a client reads, until this is dropped.
pub(super) struct Reading {
    pub(super) at: TopicPartition,
    /// Both belong to the client and are dropped before it, in this order.
    topic: Topic,
    pub(super) queue: Queue,
    pub(super) client: Arc<Client>,
}

impl Reading {
    fn start(&self, from: Offset) -> Result<(), String> {
        let first = i64::try_from(from.0).map_err(|_| format!("has no offset {from}"))?;
        let partition = ffi::partition_number(&self.at);
        let started = self.topic.start(partition, first, &self.queue);
        started.map_err(|code| format!("partition {partition} cannot be read: {code}"))
    }

    /// Goes on from another offset.
    pub(super) fn seek(&mut self, to: Offset, waker: &Arc<Waker>) -> Result<(), String> {
        self.topic.stop(ffi::partition_number(&self.at));
        self.queue = self.client.queue(waker);
        self.start(to)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.topic.stop(ffi::partition_number(&self.at));
        self.client.reads().remove(&self.at);
    }
}
