//! Which records the topics of a program refuse, and what is learned when one refuses a record all the same.
//!
//! Owns the limits of the topics that are written, and the records that were refused for a reason that no limit shows.
//! Knows no batch and no policy. Invariant: each refusal that calls for a replay adds knowledge, so replays end.

use crate::{
    config::Config,
    log::{
        RefusedRecord, RequestSizes, TopicInfo,
        limits::{RecordLimits, Refusal, fingerprint},
    },
    record::{RawChunk, RawRecord},
};
use std::collections::BTreeMap;

/// The limits of the topics that a program writes.
#[derive(Debug, Default)]
pub struct Limits {
    topics: BTreeMap<String, RecordLimits>,
    /// By topic and fingerprint: why the log refused the record.
    told: BTreeMap<String, BTreeMap<u64, String>>,
    /// Records are compressed on their way: what they take is not known here.
    is_compressed: bool,
    /// Each record is sent in a batch of its own.
    is_alone: bool,
}

/// What a refusal by the log means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Nothing new: another attempt would end in the same way.
    Nothing,
    /// The next attempt knows which records are refused.
    Limits,
    /// The next attempt needs a producer with other sizes.
    Sizes,
}

impl Limits {
    /// The limits of these topics.
    #[must_use]
    pub fn of<'a>(topics: impl Iterator<Item = (&'a str, &'a TopicInfo)>, config: &Config) -> Self {
        let property = |name: &str| config.properties.get(name).is_some_and(|kind| kind != "none");
        let is_compressed = property("compression.type") || property("compression.codec");
        let topics = topics.map(|(name, info)| (name.to_owned(), RecordLimits::of(info))).collect();
        Limits { topics, is_compressed, ..Limits::default() }
    }

    /// How much a producer for these topics puts into one request.
    #[must_use]
    pub fn sizes(&self) -> RequestSizes {
        let sizes = RequestSizes::of(self.topics.values());
        if self.is_alone { RequestSizes { batch_bytes_max: 1, ..sizes } } else { sizes }
    }

    /// The limits of a topic.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<&RecordLimits> {
        self.topics.get(topic)
    }

    /// Whether the topic refuses any of these records, as far as is known.
    #[must_use]
    pub fn refuses_any(&self, topic: &str, records: &RawChunk, now_ms: i64) -> bool {
        if self.told.contains_key(topic) {
            return records.iter().any(|record| self.refusal(topic, &record, now_ms).is_some());
        }
        let limits = self.topics.get(topic);
        limits.is_some_and(|limits| {
            if self.is_compressed {
                limits.clone().without_size().refuses_any(records, now_ms)
            } else {
                limits.refuses_any(records, now_ms)
            }
        })
    }

    /// Why the topic refuses a record, as far as is known.
    #[must_use]
    pub fn refusal(&self, topic: &str, record: &RawRecord<'_>, now_ms: i64) -> Option<Refusal> {
        let told = self.told.get(topic);
        if let Some(why) = told.and_then(|told| told.get(&fingerprint(record.key, record.value))) {
            return Some(Refusal::Told(why.clone()));
        }
        let refusal = self.topics.get(topic)?.refusal(record, now_ms)?;
        let is_known = !self.is_compressed || !matches!(refusal, Refusal::TooLarge { .. });
        is_known.then_some(refusal)
    }

    /// The first record that the topic refuses.
    #[must_use]
    pub fn first_refused<'a>(
        &self,
        topic: &str,
        records: &'a RawChunk,
        now_ms: i64,
    ) -> Option<(RawRecord<'a>, Refusal)> {
        if !self.refuses_any(topic, records, now_ms) {
            return None;
        }
        records.iter().find_map(|record| Some((record, self.refusal(topic, &record, now_ms)?)))
    }

    /// The log has refused records that nothing here refuses: settings may have changed, may not be shown, or a batch of
    /// small records was too large.
    /// `topics` are theirs, as far as the log describes them now.
    pub fn learn(&mut self, topics: Vec<(String, Option<TopicInfo>)>, refused: &[RefusedRecord]) -> Learned {
        let (sizes, mut changed) = (self.sizes(), false);
        for (name, info) in topics {
            let Some(limits) = self.topics.get_mut(&name) else { continue };
            if let Some(info) = info.filter(|info| !info.config.is_empty()) {
                let new = RecordLimits::of(&info);
                changed |= new != *limits;
                *limits = new;
            } else {
                changed |= limits.assume_defaults();
            }
        }
        if !changed && !self.is_alone && !refused.iter().all(|r| r.is_named) {
            let next = if self.is_compressed {
                "raise the topic's `max.message.bytes`: what a record takes that the client compresses is known to the topic alone"
            } else {
                "allow this user to describe the topic's settings, or set the client property `batch.size` below the topic's `max.message.bytes`"
            };
            tracing::warn!(
                "topic `{}` has refused a batch of records without saying which of them: from now on each record is sent in a batch of its own, which is slow (next: {next})",
                refused[0].topic
            );
            self.is_alone = true;
        }
        match (self.sizes() == sizes, changed) {
            (false, _) => Learned::Sizes,
            (true, true) => Learned::Limits,
            (true, false) => Learned::Nothing,
        }
    }

    /// Remembers that the log refuses these records. `false` = that was known, so it has not helped.
    pub fn remember(&mut self, refused: Vec<RefusedRecord>) -> bool {
        let mut is_new = false;
        for record in refused {
            let told = self.told.entry(record.topic).or_default();
            is_new |= told.insert(record.fingerprint, record.why).is_none();
        }
        is_new
    }

    /// Forgets refused records whose batch is committed: they will not come again.
    pub fn committed(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::{Log, TopicSpec, embedded::Embedded},
        record::{Headers, Offset, RawChunkBuilder},
    };

    fn chunk(keys: &[Option<&[u8]>]) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        for key in keys {
            let record = RawRecord {
                offset: Offset(0),
                timestamp_ms: -1,
                key: *key,
                value: Some(b"v"),
                headers: Headers::NONE,
            };
            rows.push(record);
        }
        rows.build()
    }

    fn refused(topic: &str, rows: &RawChunk, index: usize, is_named: bool) -> RefusedRecord {
        let record = rows.get(index);
        RefusedRecord {
            topic: topic.into(),
            fingerprint: fingerprint(record.key, record.value),
            is_named,
            why: "no".into(),
        }
    }

    fn spec(policy: &str) -> TopicSpec {
        let config = BTreeMap::from([("cleanup.policy".into(), policy.into())]);
        TopicSpec { name: "out".into(), partitions: 1, replication_factor: None, config }
    }

    fn described(log: &Embedded) -> Vec<(String, Option<TopicInfo>)> {
        vec![("out".into(), log.describe(&["out"]).unwrap().remove(0))]
    }

    #[test]
    fn each_refusal_adds_knowledge_until_there_is_none_to_add() {
        let log = Embedded::named("limits-that-change");
        log.create(&spec("compact")).unwrap();
        let now = log.describe(&["out"]).unwrap().remove(0).unwrap();
        let before =
            TopicInfo { config: BTreeMap::from([("cleanup.policy".into(), "delete".into())]), ..now };
        let mut limits = Limits::of([("out", &before)].into_iter(), &Config::new("app", "memory:"));
        let rows = chunk(&[Some(b"a"), None, Some(b"b")]);
        assert!(limits.first_refused("out", &rows, 0).is_none());
        // The settings are read again, and now they say it.
        assert_eq!(limits.learn(described(&log), &[refused("out", &rows, 1, true)]), Learned::Limits);
        let (record, why) = limits.first_refused("out", &rows, 0).unwrap();
        assert_eq!((record.key, why), (None, Refusal::NoKey));
        // A reason that they do not explain.
        let told = vec![refused("out", &rows, 2, true)];
        assert_eq!(limits.learn(described(&log), &told), Learned::Nothing);
        assert!(limits.remember(told.clone()) && !limits.remember(told));
        assert_eq!(limits.refusal("out", &rows.get(2), 0), Some(Refusal::Told("no".into())));
        assert_eq!(limits.refusal("out", &rows.get(0), 0), None);
        limits.committed();
        assert_eq!(limits.refusal("out", &rows.get(2), 0), None);
    }

    #[test]
    fn a_refused_batch_leads_to_batches_of_one_record_once() {
        let log = Embedded::named("limits-of-a-batch");
        log.create(&spec("delete")).unwrap();
        let info = log.describe(&["out"]).unwrap().remove(0).unwrap();
        let mut limits = Limits::of([("out", &info)].into_iter(), &Config::new("app", "memory:"));
        let rows = chunk(&[Some(b"a"), Some(b"b")]);
        let both: Vec<_> = (0..2).map(|i| refused("out", &rows, i, false)).collect();
        assert_eq!(
            (limits.learn(described(&log), &both), limits.sizes().batch_bytes_max),
            (Learned::Sizes, 1)
        );
        assert_eq!(limits.learn(described(&log), &both), Learned::Nothing);
    }

    #[test]
    fn a_compressed_record_may_be_larger_than_the_topic_accepts() {
        let info = TopicInfo {
            id: String::new(),
            partitions: 1,
            replication_factor: 1,
            may_write: None,
            config: BTreeMap::from([("max.message.bytes".into(), "60".into())]),
        };
        let mut config = Config::new("app", "memory:");
        let rows = chunk(&[Some(b"a")]);
        let refuses = |info: &TopicInfo, config: &Config| {
            Limits::of([("out", info)].into_iter(), config).first_refused("out", &rows, 0).is_some()
        };
        assert!(refuses(&info, &config));
        config.properties.insert("compression.type".into(), "none".into());
        assert!(refuses(&info, &config));
        config.properties.insert("compression.type".into(), "zstd".into());
        assert!(!refuses(&info, &config));
    }
}
