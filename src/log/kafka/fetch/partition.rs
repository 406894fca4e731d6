//! The records of one partition, taken in batches from its own queue.
//!
//! Owns the limit on what one call takes. Knows no group. Invariants: records come before the error that follows them; no
//! record is handed over twice unless the position was set back; a topic that is gone yields nothing (whether it is gone
//! is found out where topics are looked for).

use super::client::{Client, Reading};
use crate::{
    error::{Failure, Reaction, Stage},
    log::{
        Fetched, Fetcher,
        kafka::{
            classify::{Flags, classify},
            ffi::{CONSUME_BATCH, Queue, Taken, Waker},
        },
    },
    record::{Offset, RawChunkBuilder, TopicPartition},
};
use std::sync::{Arc, Mutex};

/// One partition that is fetched, shared by its fetcher and by what divides the buffer.
pub(super) struct Slot {
    reading: Reading,
    batches: Batches,
    /// The offset after everything that was handed over.
    next: Offset,
    waker: Arc<Waker>,
}

impl Slot {
    pub(super) fn begin(
        client: &Arc<Client>,
        at: &TopicPartition,
        from: Offset,
        waker: &Arc<Waker>,
    ) -> Result<Slot, Failure> {
        let reading = begin(client, at, from, waker)?;
        let batches = Batches { topic_may_go: true, ..Batches::default() };
        Ok(Slot { reading, batches, next: from, waker: Arc::clone(waker) })
    }

    /// Another client fetches what comes next.
    pub(super) fn go_over_to(&mut self, client: &Arc<Client>) -> Result<(), Failure> {
        self.reading = begin(client, &self.reading.at, self.next, &self.waker)?;
        self.batches.forget_error();
        Ok(())
    }

    fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Option<Fetched>, Failure> {
        let Reading { at, queue, client, .. } = &self.reading;
        client.serve();
        let (fetched, more) = self.batches.take(at, queue, max_records, max_bytes)?;
        if let Some(fetched) = &fetched {
            in_order(at, fetched, self.next)?;
            self.next = fetched.next;
        }
        if more {
            self.waker.wake();
        }
        Ok(fetched)
    }

    fn seek(&mut self, to: Offset) {
        if to == self.next {
            return; // nothing was handed over since
        }
        self.next = to;
        self.batches.failed =
            self.reading.seek(to, &self.waker).err().map(|why| failed(&self.reading.at, &why));
    }
}

fn begin(
    client: &Arc<Client>,
    at: &TopicPartition,
    from: Offset,
    waker: &Arc<Waker>,
) -> Result<Reading, Failure> {
    let reading = client.read(at, from, waker).map_err(|why| failed(at, &why))?;
    reading.ok_or_else(|| failed(at, "is fetched already; this is a bug"))
}

fn failed(at: &TopicPartition, why: &str) -> Failure {
    Failure::new(Stage::Fetch, Reaction::CloseTasks, format!("{at}: {why}"))
}

/// See [`Fetcher`].
pub(super) struct PartitionFetcher(pub(super) Arc<Mutex<Slot>>);

impl Fetcher for PartitionFetcher {
    fn take(&mut self, max_records: usize, max_bytes: usize) -> Result<Option<Fetched>, Failure> {
        super::lock(&self.0).take(max_records, max_bytes)
    }

    fn seek(&mut self, to: Offset) {
        super::lock(&self.0).seek(to);
    }
}

/// Fails if the client goes back without having been asked to: the records would be processed twice.
fn in_order(at: &TopicPartition, fetched: &Fetched, next: Offset) -> Result<(), Failure> {
    match fetched.records.iter().next() {
        Some(record) if record.offset < next => {
            let what =
                format!("{at}: the client handed over offset {} after {next} was reached", record.offset);
            Err(Failure::new(Stage::Fetch, Reaction::CloseTasks, what))
        }
        _ => Ok(()),
    }
}

/// Takes batches from a queue, bounded by records and, using the size of recent records, by bytes.
#[derive(Debug, Default)]
pub(super) struct Batches {
    bytes_per_record: usize,
    last_records: usize,
    failed: Option<Failure>,
    /// Whether a topic that is gone is no error.
    topic_may_go: bool,
}

/// An arena holds less than 4 GiB; this is far below that.
const MOST_BYTES: usize = 1 << 30;
/// First estimate and lower bound of a record's size, so that after a run of tiny records the next batch does not
/// become huge.
const SMALL_RECORD: usize = 64;
/// Records of unknown size are taken a few at a time.
const FIRST_RECORDS: usize = 16;

impl Batches {
    fn forget_error(&mut self) {
        self.failed = None;
    }

    /// What is available now, and whether there may be more.
    pub(super) fn take(
        &mut self,
        at: &TopicPartition,
        queue: &Queue,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<(Option<Fetched>, bool), Failure> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        if max_records == 0 || queue.len() == 0 {
            return Ok((None, false));
        }
        let max_bytes = max_bytes.clamp(1, MOST_BYTES);
        let records = self.last_records.min(max_records);
        let mut into =
            RawChunkBuilder::with_capacity(records, (records * self.bytes_per_record).min(max_bytes));
        let mut taken = Taken::default();
        let mut more = true;
        while more && into.len() < max_records && into.bytes() < max_bytes {
            more = queue.consume(self.want(&into, max_records, max_bytes), &mut into, &mut taken);
            if !into.is_empty() {
                self.bytes_per_record = (into.bytes() / into.len()).max(SMALL_RECORD);
            }
        }
        self.last_records = into.len();
        self.finish(at, into, taken, more)
    }

    fn want(&self, into: &RawChunkBuilder, max_records: usize, max_bytes: usize) -> usize {
        let left = max_records - into.len();
        if self.bytes_per_record == 0 {
            return left.min(FIRST_RECORDS);
        }
        left.min(CONSUME_BATCH).min(((max_bytes - into.bytes()) / self.bytes_per_record).max(1))
    }

    fn finish(
        &mut self,
        at: &TopicPartition,
        into: RawChunkBuilder,
        taken: Taken,
        more: bool,
    ) -> Result<(Option<Fetched>, bool), Failure> {
        let is_gone = |code| {
            use rdkafka::error::RDKafkaErrorCode as Code;
            matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
        };
        let error = taken.error.filter(|(code, text)| {
            let ignored = self.topic_may_go && is_gone(*code);
            if ignored {
                tracing::debug!("{at}: {text} ({code:?})");
            }
            !ignored
        });
        let failed = error.map(|(code, text)| {
            let next = advice(code);
            Failure::new(
                Stage::Fetch,
                classify(Stage::Fetch, code, Flags::default()),
                format!("{at}: {text} ({code:?}){next}"),
            )
        });
        let Some(next) = taken.next else {
            return failed.map_or(Ok((None, more)), Err);
        };
        let more = more || failed.is_some();
        self.failed = failed;
        let next = Offset(u64::try_from(next).expect("offsets of records and of the end are not negative"));
        Ok((Some(Fetched { records: into.build(), next, leader_epoch: taken.leader_epoch }), more))
    }
}

fn advice(code: rdkafka::error::RDKafkaErrorCode) -> &'static str {
    use rdkafka::error::RDKafkaErrorCode as Code;
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            "\n  next: the records were deleted before they were read; check the topic's retention, then choose a new start"
        }
        Code::LogTruncation => {
            "\n  next: the broker lost records that were read; check the cluster before going on"
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "\n  next: check whether the topic was deleted"
        }
        Code::TopicAuthorizationFailed => "\n  next: ask for permission to read it",
        Code::BadMessage | Code::InvalidMessage => {
            "\n  next: the record is damaged on the broker's disk or on the way; check the broker's log"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, RawRecord};

    #[test]
    fn a_client_that_goes_back_is_found_out() {
        let mut records = RawChunkBuilder::default();
        let (key, value, headers) = (None, None, Headers::NONE);
        records.push(RawRecord { offset: Offset(7), timestamp_ms: 0, key, value, headers });
        let fetched = Fetched { records: records.build(), next: Offset(8), leader_epoch: None };
        let at = TopicPartition::new("lines", 0);
        assert!(in_order(&at, &fetched, Offset(7)).is_ok() && in_order(&at, &fetched, Offset(5)).is_ok());
        let failure = in_order(&at, &fetched, Offset(8)).unwrap_err();
        assert_eq!(failure.reaction, Reaction::CloseTasks);
        assert!(failure.message.contains("lines-0: the client handed over offset 7"), "{failure}");
    }
}
