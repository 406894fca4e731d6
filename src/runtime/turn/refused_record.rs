//! Records that a topic refuses: found before they are sent where its settings say so, otherwise when the log has refused
//! them. They go where the program's policy says.
//!
//! Knows no operator. Invariants: no record is left out without a trace; a row of an internal topic is never left out; a
//! batch is replayed for a refusal only if something was learned from it.

use super::Loop;
use crate::{
    config::RefusedRecordPolicy,
    error::{Error, Failure, Reaction, Result, Stage},
    log::limits::{Refusal, shown_key},
    record::{RawChunk, RawChunkBuilder, RawRecord},
    runtime::{
        commit::{dead_letter::dead_letter, limits::Learned},
        events::Observed,
    },
    state::{StoreId, changelog},
    task::checkpoint::Event,
};
use std::collections::BTreeSet;

impl Loop {
    /// The records of an output that its topic accepts; the others go where the policy says.
    pub(super) fn accepted(&mut self, topic: &str, records: RawChunk) -> Result<RawChunk> {
        let now_ms = self.app.env.clock.now_ms();
        if !self.limits.refuses_any(topic, &records, now_ms) {
            return Ok(records);
        }
        let mut accepted = RawChunkBuilder::default();
        for record in records.iter() {
            match self.limits.refusal(topic, &record, now_ms) {
                None => accepted.push(record),
                Some(why) => self.refused_record(topic, &record, &why)?,
            }
        }
        Ok(accepted.build())
    }

    fn refused_record(&mut self, topic: &str, record: &RawRecord<'_>, why: &Refusal) -> Result {
        let place = self.place(topic, record);
        if self.app.config.on_refused_record == RefusedRecordPolicy::Fail {
            let next = format!(
                "{}, or have such records written to the dead-letter topic (--on-refused-record dead-letter)",
                why.next(topic)
            );
            return Err(Error::RefusedRecord { place, reason: why.to_string(), next });
        }
        let reason = format!("{place}: {why}");
        let headers = [
            ("__tidegate.errors.application", self.app.config.application_id.as_str()),
            ("__tidegate.errors.output", topic),
            ("__tidegate.errors.message", &reason),
        ];
        let dead_letters = self.app.names.dead_letters.clone();
        let letter = dead_letter(*record, &headers, self.limits.topic(&dead_letters));
        self.in_flight.counters.dead_letters += 1;
        self.transaction.hold(&dead_letters, None, letter)?;
        self.app.observe(&Observed::RefusedRecord { reason: &reason });
        Ok(())
    }

    fn place(&self, topic: &str, record: &RawRecord<'_>) -> String {
        let partition = self.limits.topic(topic).and_then(|limits| limits.partition_of(record.key));
        let partition = partition.map_or_else(String::new, |p| format!(", partition {p}"));
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        format!(
            "topic `{topic}`{partition}, a record of {bytes} bytes with the key {}",
            shown_key(record.key)
        )
    }

    /// Fails if an internal topic would refuse a row: nothing of these may be left out.
    pub(super) fn check_internal(&self, topic: &str, rows: &RawChunk) -> Result {
        let now_ms = self.app.env.clock.now_ms();
        let Some((row, why)) = self.limits.first_refused(topic, rows, now_ms) else { return Ok(()) };
        let stored = changelog::change(row).filter(|_| *topic == *self.app.names.changelog);
        let place = match stored {
            Some(change) => {
                let mut names = self.app.fingerprint.stores.keys();
                let store = names.find(|name| StoreId::of(name) == change.store).map_or("?", String::as_str);
                let bytes = change.value.map_or(0, <[u8]>::len);
                let key = shown_key(Some(change.key));
                format!("store `{store}`, key {key}, a value of {bytes} bytes: topic `{topic}`")
            }
            None => self.place(topic, &row),
        };
        let next = match (&why, stored) {
            (Refusal::TooLarge { .. }, Some(_)) => {
                format!("raise `max.message.bytes` of the topic `{topic}`, or keep less under one key")
            }
            _ => why.next(topic),
        };
        Err(Error::RefusedRecord { place, reason: why.to_string(), next })
    }

    /// The log has refused records that were sent. `Some` = something was learned, and the batch is replayed with that;
    /// `None` = the failure stands.
    pub(super) fn refused_by_log(&mut self, failure: &Failure) -> Result<Option<Event>> {
        if failure.stage != Stage::Produce || failure.reaction != Reaction::StopPipeline {
            return Ok(None);
        }
        let refused = self.transaction.take_refused();
        if refused.is_empty() {
            return Ok(None);
        }
        let names: BTreeSet<String> = refused.iter().map(|record| record.topic.clone()).collect();
        let described = self.ask("the settings of topics that refused records", move |log| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let infos = log.describe(&names).unwrap_or_default();
            Ok(names.into_iter().map(str::to_owned).zip(infos).collect())
        })?;
        let replay = |reaction| {
            tracing::warn!("{failure}; the batch is processed again, with what is known now");
            Ok(Some(Event::Failed(reaction)))
        };
        match self.limits.learn(described, &refused) {
            Learned::Sizes => {
                self.transaction.set_sizes(self.limits.sizes());
                return replay(Reaction::RecreateProducer);
            }
            Learned::Limits => return replay(Reaction::AbortReplay),
            Learned::Nothing => {}
        }
        let may_leave_out = self.app.config.on_refused_record == RefusedRecordPolicy::DeadLetter
            && !refused.iter().any(|record| self.app.names.is_of_engine(&record.topic));
        if may_leave_out && self.limits.remember(refused) { replay(Reaction::AbortReplay) } else { Ok(None) }
    }
}
