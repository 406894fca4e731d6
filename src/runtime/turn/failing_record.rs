//! Records that cannot be processed: bad records go where the policy of their source says, and a record that
//! makes its batch fail is searched for.
//!
//! Knows no operator. Invariant: no record is skipped without a trace: it is counted and reported, and with
//! the policy `DeadLetter` written as it came.

use super::Loop;
use crate::{
    error::{Error, Result},
    log::Log,
    record::{Offset, Partition, RawChunk, RawChunkBuilder, TopicPartition},
    runtime::{
        batch::{bisection::Next, source_partition::SourcePartition},
        commit::dead_letter::dead_letter,
        events::Observed,
    },
    source::{BadRecordAt, BadRecordPolicy},
    task::checkpoint::Event,
};
use std::time::Duration;

impl Loop {
    /// A record of a source that could not be decoded, or that made its batch fail.
    pub(super) fn bad_record(&mut self, source: usize, bad: &BadRecordAt) -> Result {
        let source = &self.partitions.sources[source];
        let (at, policy) = (source.at.clone(), source.policy);
        if policy == BadRecordPolicy::Fail {
            return Err(bad_record_error(&at, bad.offset, &bad.reason));
        }
        let dead_letter = policy == BadRecordPolicy::DeadLetter;
        self.in_flight.counters.dead_letters += usize::from(dead_letter);
        self.in_flight.counters.skipped += usize::from(!dead_letter);
        if dead_letter {
            let letter = self.dead_letter(&at, bad)?;
            self.transaction.hold(&self.app.names.dead_letters, None, letter)?;
        }
        let (offset, reason) = (bad.offset, bad.reason.as_str());
        self.app.observe(&Observed::BadRecord { at: &at, offset, reason, dead_letter });
        Ok(())
    }

    /// The record as it came, with where it came from and why it is here.
    fn dead_letter(&self, at: &TopicPartition, bad: &BadRecordAt) -> Result<RawChunk> {
        let fetched;
        let record = if bad.record.is_empty() {
            // A record that failed in an operator is read again from its source.
            fetched = fetch_one(self.app.env.log.as_ref(), at, bad.offset)?;
            fetched.get(0)
        } else {
            bad.record.get(0)
        };
        let (partition, offset) = (at.partition.to_string(), bad.offset.to_string());
        let headers = [
            ("__tidegate.errors.application", self.app.config.application_id.as_str()),
            ("__tidegate.errors.topic", &at.topic),
            ("__tidegate.errors.partition", &partition),
            ("__tidegate.errors.offset", &offset),
            ("__tidegate.errors.message", &bad.reason),
        ];
        let limits = self.limits.topic(&self.app.names.dead_letters);
        Ok(dead_letter(record, &headers, limits))
    }

    /// An operator failed. In stage 0 the records of the partition are tried one by one when the batch is replayed; elsewhere
    /// the batch is taken in pieces, where that changes no result. What that does not find is searched for by smaller
    /// and smaller batches until the record is alone, then a batch without any record.
    pub(super) fn search_failing_record(&mut self, error: Error) -> Event {
        let has_begun = self.bisection.is_active() || self.pieces.are_taken();
        if !has_begun && self.partitions.sources.iter().any(SourcePartition::is_suspicious) {
            tracing::debug!("a record failed; from now on records are tried one by one: {error}");
            self.checkpoint.failure = Some(error);
            return Event::GivenUp;
        }
        if !has_begun && self.may_take_pieces() {
            tracing::debug!("an operator failed; from now on batches are taken in pieces: {error}");
            self.pieces.begin();
            self.partitions.sources.iter_mut().for_each(|source| source.set_in_pieces(true));
            self.checkpoint.failure = Some(error);
            return Event::GivenUp;
        }
        self.end_pieces();
        let records = self.in_flight.counters.records_in;
        match self.bisection.failed(records, self.app.config.batch_records_max, error) {
            Next::Replay(None) => Event::GivenUp,
            Next::Replay(Some(error)) => {
                tracing::debug!(
                    records = self.bisection.limit(),
                    "an operator failed; searching for the record: {error}"
                );
                self.checkpoint.failure = Some(error);
                Event::GivenUp
            }
            Next::Stop(error) => self.broken(error),
        }
    }

    /// Batches are no longer taken in pieces.
    pub(super) fn end_pieces(&mut self) {
        if self.pieces.are_taken() {
            self.pieces.end();
            self.partitions.sources.iter_mut().for_each(|source| source.set_in_pieces(false));
        }
    }

    /// The batch without records did not fail: the accused record is bad. The trial leaves no trace.
    pub(super) fn convict(&mut self) -> Event {
        let ((at, offset), error) = self.bisection.convict();
        let Some(source) = self.partitions.sources.iter_mut().find(|s| s.at == at) else {
            return Event::GivenUp;
        };
        if source.policy == BadRecordPolicy::Fail {
            return self.broken(bad_record_error(&at, offset, &error.to_string()));
        }
        source.rejected = Some((offset, error.to_string()));
        Event::GivenUp
    }
}

fn fetch_one(log: &dyn Log, at: &TopicPartition, offset: Offset) -> Result<RawChunk> {
    let mut reader = log.read(at, offset)?;
    for _ in 0..100 {
        let Some(fetched) = reader.next(Duration::from_millis(100))? else { continue };
        if let Some(record) = fetched.records.iter().find(|r| r.offset == offset) {
            let mut alone = RawChunkBuilder::default();
            alone.push(record);
            return Ok(alone.build());
        }
        break;
    }
    Err(Error::State(format!("{at}: the record at offset {offset} could not be read again")))
}

fn bad_record_error(at: &TopicPartition, offset: Offset, reason: &str) -> Error {
    let Partition(partition) = at.partition;
    Error::BadRecord { topic: at.topic.to_string(), partition, offset: offset.0, reason: reason.into() }
}
