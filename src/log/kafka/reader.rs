//! Reads one partition in order, without a group. Used to restore state.
//!
//! Owns a client of its own, so that a slow restore delays nothing else. Knows no state. Invariant: only committed
//! records are returned, and `next` skips control and aborted records up to the end that the broker reports.

use super::{
    client::{Owned, QueryContext, serve},
    config::{Settings, config_error},
    fetcher::Batches,
    ffi::{self, Queue, Topic, Waker},
};
use crate::{
    error::{Error, Failure, Result},
    log::{Fetched, Reader},
    record::{Offset, TopicPartition},
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Long enough to make the library connect now.
const CONNECT_NUDGE: Duration = Duration::from_millis(5);
/// Upper bounds of one answer.
const MOST_RECORDS: usize = 8_192;
const MOST_BYTES: usize = 8 << 20;

/// See [`Reader`].
pub(super) struct PartitionReader {
    at: TopicPartition,
    batches: Batches,
    waker: Arc<Waker>,
    /// Both belong to the client and are dropped before it, in this order.
    topic: Topic,
    queue: Queue,
    client: Arc<Owned<BaseConsumer<QueryContext>>>,
}

impl PartitionReader {
    pub(super) fn new(settings: &Settings, at: &TopicPartition, from: Offset) -> Result<PartitionReader> {
        let client: BaseConsumer<QueryContext> =
            settings.reader().create_with_context(QueryContext::default()).map_err(config_error)?;
        let client = Arc::new(Owned::new(client, "reader"));
        let native = client.client().native_ptr();
        let waker = Arc::new(Waker::default());
        let queue = Queue::new(client.clone(), native, Arc::clone(&waker));
        let cannot = |why: String| Error::Topic { topic: at.topic.to_string(), what: why };
        ffi::reach(native, CONNECT_NUDGE);
        let topic =
            Topic::new(native, &at.topic).ok_or_else(|| cannot("is not a valid topic name".into()))?;
        let from = i64::try_from(from.0).map_err(|_| cannot(format!("has no offset {from}")))?;
        topic
            .start(ffi::partition_number(at), from, &queue)
            .map_err(|code| cannot(format!("partition {} cannot be read: {code}", at.partition)))?;
        Ok(PartitionReader { at: at.clone(), batches: Batches::default(), waker, topic, queue, client })
    }
}

impl Reader for PartitionReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<Fetched>, Failure> {
        let started = Instant::now();
        loop {
            // Serves the client's errors and log lines; records come through the queue.
            serve(&self.client);
            let (fetched, _) = self.batches.take(&self.at, &self.queue, MOST_RECORDS, MOST_BYTES)?;
            let left = timeout.saturating_sub(started.elapsed());
            if fetched.is_some() || left.is_zero() {
                return Ok(fetched);
            }
            self.waker.wait(left);
        }
    }
}

impl Drop for PartitionReader {
    fn drop(&mut self) {
        self.topic.stop(ffi::partition_number(&self.at));
    }
}
