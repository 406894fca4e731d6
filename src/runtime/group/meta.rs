//! The meta topic: what an application knows about itself besides the group's offsets.
//!
//! Owns its rows: the topology's fingerprint, identities of input topics, a witness per source partition, the
//! current incarnation of each instance, and who has claimed the state. Knows no task. Invariants: rows are written only inside a
//! transaction of a process that is not fenced; a topic that was deleted and made anew is either read as a new
//! one or stops the program, never continued from an old offset; what counts as a first start is a fact of
//! each partition, which later runs carry forward.

use super::{
    peers::Peer,
    topics::{TopicPolicy, Topics},
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::{Log, TopicInfo},
    plan::Remains,
    record::{
        Headers, Incarnation, InstanceId, Map, Offset, RawChunk, RawChunkBuilder, RawRecord, Token,
        TopicPartition,
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

const TOPOLOGY: &str = "topology";
/// Prefix of the key, before the instance and the name of an output outside the log.
const OUTPUT: &str = "output/";
/// Prefix of the key, before the instance, of a claim of the state; the value is the member id.
const OWNER: &str = "owner/";
/// Prefix of the key, before the instance, of what a process that shares the state runs.
const PEER: &str = "process/";
/// Seconds without a row, short of the end, after which a read is given up, to be tried again: meanwhile the group is
/// served, and an operator learns what is waited for.
const SILENCE_S: u32 = 5;
/// The same for claims alone: a process ends our open transactions before it writes its claim.
const SILENCE_OF_CLAIMS_S: u32 = 2;

/// The identity of an input topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TopicRow {
    id: String,
    partitions: u32,
    /// How many partitions it had when the application first read it, as far as the setting for a first start
    /// covers it: what was added later is read from its beginning.
    #[serde(default)]
    first_partitions: u32,
    /// Whether the name belonged to another topic before, or its offsets were reset: what databases have recorded of it is about
    /// what was before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_returned: bool,
}

impl TopicRow {
    fn is(&self, info: &TopicInfo) -> bool {
        let replaced = !self.id.is_empty() && !info.id.is_empty() && self.id != info.id;
        !replaced && info.partitions >= self.partitions
    }
}

/// What an earlier run wrote.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// What is durable of the program that ran last.
    pub topology: Option<Remains>,
    topics: BTreeMap<String, TopicRow>,
    /// The rows of the topics that this run reads, to be written with its next batch.
    known: BTreeMap<String, TopicRow>,
    witnesses: BTreeMap<String, Offset>,
    prepared: BTreeMap<String, Vec<Vec<u8>>>,
    claims: BTreeMap<String, Incarnation>,
    batches: BTreeMap<String, String>,
    /// What processes run, or ran, by instance.
    pub peers: BTreeMap<String, Peer>,
    /// The position that reading has reached.
    next: Offset,
}

impl Meta {
    /// Reads the meta topic to its end.
    ///
    /// # Errors
    /// If it cannot be read, or a row is not ours.
    pub fn read(log: &dyn Log, topic: &str) -> Result<Self> {
        let (meta, is_whole) = Self::read_so_far(log, topic)?;
        if !is_whole {
            let (at, from) = (TopicPartition::new(topic, 0), meta.next);
            let what = format!(
                "{at} can be read only up to {from}: a transaction is open there, of this application or of another producer; it is waited for until it ends, or the log ends it after its timeout"
            );
            return Err(Failure::new(Stage::Fetch, Reaction::RetrySame, what).into());
        }
        Ok(meta)
    }

    /// Reads the meta topic as far as it can be read now; `false` = not to its end, because a transaction is open there.
    ///
    /// # Errors
    /// As [`Meta::read`].
    pub fn read_so_far(log: &dyn Log, topic: &str) -> Result<(Self, bool)> {
        let at = TopicPartition::new(topic, 0);
        let mut from = log.start_offset(&at)?;
        let (rows, is_whole) = rows(log, &at, &mut from, SILENCE_S)?;
        let rows = rows.into_iter().map(|(key, (_, value))| (key, value)).collect();
        Ok((Meta { next: from, ..Self::parse(&rows)? }, is_whole))
    }

    /// Reads further, for incarnations and outcomes only: what this run left in the other rows says nothing about
    /// an earlier run. Rows behind another process's open transaction are not waited for; `false` = there may be
    /// some.
    ///
    /// # Errors
    /// As [`Meta::read`].
    pub fn read_on(&mut self, log: &dyn Log, topic: &str) -> Result<bool> {
        let (rows, whole) = rows(log, &TopicPartition::new(topic, 0), &mut self.next, SILENCE_OF_CLAIMS_S)?;
        let rows = rows.into_iter().map(|(key, (_, value))| (key, value)).collect();
        let Meta { claims, batches, .. } = Self::parse(&rows)?;
        self.claims.extend(claims);
        self.batches.extend(batches);
        Ok(whole)
    }

    /// The claims of the state, as far as they can be read: the member id of each, and its offset.
    ///
    /// # Errors
    /// As [`Meta::read`].
    pub fn owners(log: &dyn Log, topic: &str) -> Result<BTreeMap<String, Offset>> {
        let at = TopicPartition::new(topic, 0);
        let mut from = log.start_offset(&at)?;
        let (rows, _) = rows(log, &at, &mut from, SILENCE_OF_CLAIMS_S)?;
        let owners = rows.into_iter().filter(|(key, _)| key.starts_with(OWNER.as_bytes()));
        Ok(owners.filter_map(|(_, (at, id))| Some((serde_json::from_slice(&id).ok()?, at))).collect())
    }

    fn parse(rows: &Map<Vec<u8>, Vec<u8>>) -> Result<Self> {
        let mut meta = Meta::default();
        for (key, value) in rows {
            let key = String::from_utf8_lossy(key);
            let foreign = |e: serde_json::Error| {
                Error::Refused(format!("the meta topic's row `{key}` is not ours: {e}"))
            };
            if key == TOPOLOGY {
                meta.topology = Some(serde_json::from_slice(value).map_err(foreign)?);
            } else if let Some(topic) = key.strip_prefix("topic/") {
                meta.topics.insert(topic.into(), serde_json::from_slice(value).map_err(foreign)?);
            } else if let Some(at) = key.strip_prefix("source/") {
                meta.witnesses.insert(at.into(), serde_json::from_slice(value).map_err(foreign)?);
            } else if let Some((_, name)) = key.strip_prefix(OUTPUT).and_then(|rest| rest.split_once('/')) {
                meta.prepared.entry(name.into()).or_default().push(value.clone());
            } else if let Some(instance) = key.strip_prefix("batch/") {
                meta.batches.insert(instance.into(), serde_json::from_slice(value).map_err(foreign)?);
            } else if let Some(instance) = key.strip_prefix(PEER) {
                meta.peers.insert(instance.into(), serde_json::from_slice(value).map_err(foreign)?);
            } else if let Some(instance) = key.strip_prefix("instance/") {
                meta.claims.insert(instance.into(), serde_json::from_slice(value).map_err(foreign)?);
            }
        }
        Ok(meta)
    }

    /// Whether the application ever committed anything.
    #[must_use]
    pub fn ran_before(&self) -> bool {
        self.topology.is_some()
    }

    /// The input topics that were read.
    #[must_use]
    pub fn known_topics(&self) -> Vec<&str> {
        self.topics.keys().map(String::as_str).collect()
    }

    /// The greatest offset of a source partition that was witnessed.
    #[must_use]
    pub fn witness(&self, at: &TopicPartition) -> Option<Offset> {
        self.witnesses.get(&at.to_string()).copied()
    }

    /// What each process prepared, with its last committed batch, for an output outside the log.
    #[must_use]
    pub fn prepared(&self, output: &str) -> Vec<Vec<u8>> {
        self.prepared.get(output).cloned().unwrap_or_default()
    }

    /// The row that carries what a process prepared for an output.
    pub fn push_prepared(output: &str, instance: &InstanceId, prepared: &[u8], rows: &mut RawChunkBuilder) {
        let key = format!("{OUTPUT}{instance}/{output}");
        let (key, value) = (Some(key.as_bytes()), Some(prepared));
        rows.push(RawRecord { offset: Offset(0), timestamp_ms: -1, key, value, headers: Headers::NONE });
    }

    /// The incarnation of an instance that started last.
    #[must_use]
    pub fn claim(&self, instance: &InstanceId) -> Option<Incarnation> {
        self.claims.get(&*instance.0).copied()
    }

    /// The processes that ever ran, by instance, with the incarnation that started last.
    pub fn instances(&self) -> impl Iterator<Item = (&str, Incarnation)> {
        self.claims.iter().map(|(instance, incarnation)| (instance.as_str(), *incarnation))
    }

    /// Whether the setting for a first start covered a partition of a topic that was read before.
    #[must_use]
    pub fn was_first(&self, at: &TopicPartition) -> bool {
        self.topics.get(&*at.topic).is_some_and(|row| at.partition.0 < row.first_partitions)
    }

    /// Whether topics or partitions were added since the last run.
    #[must_use]
    pub fn subscription_changed(&self, topics: &Topics) -> bool {
        self.ran_before()
            && topics.inputs.iter().any(|(name, info)| {
                let before = self.topics.get(name);
                before.is_none_or(|row| (&row.id, row.partitions) != (&info.id, info.partitions))
            })
    }

    /// Takes note of the topics that the program reads.
    ///
    /// # Errors
    /// [`Error::Topic`] if one is not the one that was read before, and its policy does not allow that.
    pub fn learn(&mut self, topics: &Topics, policy: impl Fn(&str) -> TopicPolicy) -> Result {
        let ran_before = self.ran_before() || !self.known.is_empty();
        for (name, info) in &topics.inputs {
            let policy = policy(name);
            let (id, partitions) = (info.id.clone(), info.partitions);
            let row = match self.known.get(name).or_else(|| self.topics.get(name)) {
                Some(before) if before.is(info) => TopicRow { id, partitions, ..before.clone() },
                Some(before) if policy.may_return => {
                    let (was, is) = (&before.id, &info.id);
                    tracing::warn!(
                        "topic `{name}` was deleted and made anew (id {was} is now {is}): it is read from its beginning"
                    );
                    TopicRow { id, partitions, first_partitions: 0, has_returned: true }
                }
                Some(before) => return Err(made_anew(name, before, info)),
                None if ran_before && !policy.starts_by_itself => {
                    TopicRow { id, partitions, first_partitions: 0, has_returned: false }
                }
                None => TopicRow { id, partitions, first_partitions: partitions, has_returned: false },
            };
            self.known.insert(name.clone(), row);
        }
        Ok(())
    }

    /// Reads again which topics are committed as read, if one of them was made anew and that is not known to
    /// be committed.
    ///
    /// # Errors
    /// As [`Meta::read`].
    pub fn refreshed(self, log: &dyn Log, topic: &str) -> Result<Self> {
        if !self.known.keys().any(|name| self.is_new(name)) {
            return Ok(self);
        }
        let Meta { topics, witnesses, .. } = Self::read(log, topic)?;
        Ok(Meta { topics, witnesses, ..self })
    }

    /// Whether nothing of this topic is committed: what the group has under its name is about another one.
    #[must_use]
    pub fn is_new(&self, topic: &str) -> bool {
        let (before, now) = (self.topics.get(topic), self.known.get(topic));
        before.zip(now).is_some_and(|(before, now)| now.has_returned && before.id != now.id)
    }

    /// Whether what databases have recorded under this topic's name may be about another one.
    #[must_use]
    pub fn has_returned(&self, topic: &str) -> bool {
        self.known.get(topic).is_some_and(|row| row.has_returned)
    }

    /// Whether the setting for a first start covers a partition.
    #[must_use]
    pub fn is_first(&self, at: &TopicPartition) -> bool {
        self.known.get(&*at.topic).is_some_and(|row| at.partition.0 < row.first_partitions)
    }

    /// The rows from which a later start learns what ran: written with the first batch of a run.
    #[must_use]
    pub fn first_rows(&self, topology: &Remains, topics: &Topics) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, TOPOLOGY, topology);
        for (name, row) in self.known.iter().filter(|(name, _)| topics.inputs.contains_key(*name)) {
            push(&mut rows, &format!("topic/{name}"), row);
            if self.is_new(name) {
                let all = (0..row.partitions).map(|p| TopicPartition::new(name.as_str(), p));
                all.for_each(|at| push(&mut rows, &format!("source/{at}"), &Offset(0)));
            }
        }
        rows.build()
    }

    /// The rows from which a later start learns that reading goes on at these offsets, wherever the application was before: what
    /// databases have recorded of the inputs is not about this any more. Without `keep_state` it also learns of no store.
    #[must_use]
    pub fn reset_rows(&self, to: &[(TopicPartition, Offset)], keep_state: bool) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        let is_moved = |name: &str| to.iter().any(|(at, _)| *at.topic == *name);
        for (name, row) in self.topics.iter().filter(|(name, _)| is_moved(name)) {
            push(&mut rows, &format!("topic/{name}"), &TopicRow { has_returned: true, ..row.clone() });
        }
        to.iter().for_each(|(at, offset)| push(&mut rows, &format!("source/{at}"), offset));
        if let Some(topology) = self.topology.as_ref().filter(|_| !keep_state) {
            push(&mut rows, TOPOLOGY, &topology.without_stores());
        }
        rows.build()
    }

    /// Whether this is the last batch with rows of the process itself that its instance has committed.
    #[must_use]
    pub fn is_committed(&self, token: &Token) -> bool {
        self.batches.get(&*token.instance.0).is_some_and(|last| *last == token.to_string())
    }

    /// The row that goes with a batch whose rows no offset covers.
    #[must_use]
    pub fn batch_row(token: &Token) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, &format!("batch/{}", token.instance), &token.to_string());
        rows.build()
    }

    /// The row by which other processes learn what this one runs.
    #[must_use]
    pub fn peer_row(instance: &InstanceId, peer: &Peer) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, &format!("{PEER}{instance}"), peer);
        rows.build()
    }

    /// The row by which older processes of an instance learn that a newer one runs.
    #[must_use]
    pub fn claim_row(instance: &InstanceId, incarnation: Incarnation) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, &format!("instance/{instance}"), &incarnation);
        rows.build()
    }

    /// The row by which this member of the group claims the state.
    #[must_use]
    pub fn owner_row(instance: &InstanceId, member_id: &str) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, &format!("{OWNER}{instance}"), &member_id);
        rows.build()
    }

    /// Witness rows of source partitions.
    #[must_use]
    pub fn witness_rows<'a>(sources: impl Iterator<Item = (&'a TopicPartition, Offset)>) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        sources.for_each(|(at, offset)| push(&mut rows, &format!("source/{at}"), &offset));
        rows.build()
    }
}

/// By key, the last value and its offset.
type Rows = Map<Vec<u8>, (Offset, Vec<u8>)>;

/// The last value of each key from an offset on; the offset moves to where reading stopped. `false` = short
/// of the end.
fn rows(log: &dyn Log, at: &TopicPartition, from: &mut Offset, silence_s: u32) -> Result<(Rows, bool)> {
    let end = log.end_offset(at)?;
    let mut rows = Rows::default();
    if *from >= end {
        return Ok((rows, true));
    }
    let (mut reader, mut silent_s) = (log.read(at, *from)?, 0);
    while *from < end {
        let Some(fetched) = reader.next(Duration::from_secs(1))? else {
            silent_s += 1;
            if silent_s > silence_s {
                return Ok((rows, false));
            }
            continue;
        };
        *from = fetched.next;
        for row in fetched.records.iter() {
            let value = (row.offset, row.value.unwrap_or_default().to_vec());
            rows.insert(row.key.unwrap_or_default().to_vec(), value);
        }
    }
    Ok((rows, true))
}

fn made_anew(name: &str, before: &TopicRow, now: &TopicInfo) -> Error {
    let what = format!(
        "was deleted and made anew since this application read it (id {} is now {}, {} partitions are now {})\n  next: start once with --accept-offsets, which reads the new topic from its beginning and keeps the state; or start under a new application id",
        before.id, now.id, before.partitions, now.partitions
    );
    Error::Topic { topic: name.to_owned(), what }
}

fn push(rows: &mut RawChunkBuilder, key: &str, value: &impl Serialize) {
    let write = |bytes: &mut Vec<u8>| serde_json::to_writer(bytes, value).map(|()| true);
    rows.push_with(-1, Some(key.as_bytes()), write).expect("strings and numbers only");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchId;

    fn info(id: &str, partitions: u32) -> TopicInfo {
        let config = BTreeMap::new();
        TopicInfo { id: id.into(), partitions, replication_factor: 1, may_write: None, config }
    }

    #[test]
    fn what_was_written_is_read_and_a_topic_made_anew_stops() {
        let topics = Topics { inputs: BTreeMap::from([("in".to_owned(), info("a", 4))]) };
        let row = r#"{"state_partitions":2,"placement":"p","stores":{"a":"table u8 -> u8"},"edges":{}}"#;
        let print: Remains = serde_json::from_str(row).unwrap(); // as an earlier version wrote it
        assert_eq!(print.fingerprint.stores["a"], "table u8 -> u8");
        let at = TopicPartition::new("in", 3);
        let mut rows = Map::default();
        let mut first = Meta::default();
        first.learn(&topics, |_| TopicPolicy::default()).unwrap();
        let (one, other) = (InstanceId("a".into()), InstanceId("b".into()));
        let token = |n| Token { instance: one.clone(), incarnation: Incarnation(7), batch: BatchId(n) };
        for chunk in [
            first.first_rows(&print, &topics),
            Meta::witness_rows([(&at, Offset(9))].into_iter()),
            Meta::claim_row(&one, Incarnation(6)),
            Meta::claim_row(&one, Incarnation(7)),
            Meta::batch_row(&token(1)),
            Meta::batch_row(&token(2)),
        ] {
            rows.extend(chunk.iter().map(|r| (r.key.unwrap().to_vec(), r.value.unwrap().to_vec())));
        }
        let mut meta = Meta::parse(&rows).unwrap();
        assert_eq!((meta.topology.clone(), meta.witness(&at)), (Some(print), Some(Offset(9))));
        assert_eq!((meta.claim(&one), meta.claim(&other)), (Some(Incarnation(7)), None));
        assert!(
            !meta.is_committed(&token(1)) && meta.is_committed(&token(2)) && !meta.is_committed(&token(3))
        );
        assert!(!meta.subscription_changed(&topics));
        meta.learn(&topics, |_| TopicPolicy::default()).unwrap();
        let grown = Topics { inputs: BTreeMap::from([("in".to_owned(), info("a", 6))]) };
        assert!(meta.subscription_changed(&grown));
        meta.learn(&grown, |_| TopicPolicy::default()).unwrap();
        assert!(meta.is_first(&at) && !meta.is_first(&TopicPartition::new("in", 4)));
        for other in [info("b", 4), info("a", 2)] {
            let topics = Topics { inputs: BTreeMap::from([("in".to_owned(), other)]) };
            let refused = meta.learn(&topics, |_| TopicPolicy::default()).unwrap_err().to_string();
            assert!(refused.contains("`in`: was deleted and made anew"), "{refused}");
        }
        let anew = Topics { inputs: BTreeMap::from([("in".to_owned(), info("b", 2))]) };
        meta.learn(&anew, |_| TopicPolicy { may_return: true, ..TopicPolicy::default() }).unwrap();
        assert!(
            meta.is_new("in") && meta.has_returned("in") && !meta.is_first(&TopicPartition::new("in", 0))
        );
    }

    #[test]
    fn what_a_first_start_covers_is_a_fact_of_each_topic() {
        let of = |names: &[(&str, u32)]| Topics {
            inputs: names.iter().map(|(name, n)| ((*name).to_owned(), info(name, *n))).collect(),
        };
        let by_itself =
            |name: &str| TopicPolicy { starts_by_itself: name == "own", ..TopicPolicy::default() };
        let mut meta = Meta::default();
        meta.learn(&of(&[("in", 2)]), by_itself).unwrap();
        meta.learn(&of(&[("in", 3), ("later", 1), ("own", 1)]), by_itself).unwrap();
        let is_first = |topic, p| meta.is_first(&TopicPartition::new(topic, p));
        assert_eq!([is_first("in", 1), is_first("in", 2)], [true, false]);
        assert_eq!([is_first("later", 0), is_first("own", 0)], [false, true]);
    }
}
