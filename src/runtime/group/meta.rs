//! The meta topic: what an application knows about itself besides the group's offsets.
//!
//! Owns its rows: the topology's fingerprint, identities of input topics, a witness per source partition, and
//! the current incarnation of each instance. Knows no task. Invariants: rows are written only inside a
//! transaction of a process that is not fenced; a topic that was deleted and recreated stops the start.

use super::topics::Topics;
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
}

/// What an earlier run wrote.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// What is durable of the program that ran last.
    pub topology: Option<Remains>,
    topics: BTreeMap<String, TopicRow>,
    witnesses: BTreeMap<String, Offset>,
    prepared: BTreeMap<String, Vec<Vec<u8>>>,
    claims: BTreeMap<String, Incarnation>,
    batches: BTreeMap<String, String>,
    /// The position that reading has reached.
    next: Offset,
}

impl Meta {
    /// Reads the meta topic to its end.
    ///
    /// # Errors
    /// If it cannot be read, or a row is not ours.
    pub fn read(log: &dyn Log, topic: &str) -> Result<Self> {
        let at = TopicPartition::new(topic, 0);
        let mut from = log.start_offset(&at)?;
        let (rows, whole) = rows(log, &at, &mut from, SILENCE_S)?;
        if !whole {
            let what = format!(
                "{at} can be read only up to {from}: a transaction is open there, of this application or of another producer; it is waited for until it ends, or the log ends it after its timeout"
            );
            return Err(Failure::new(Stage::Fetch, Reaction::RetrySame, what).into());
        }
        Ok(Meta { next: from, ..Self::parse(&rows)? })
    }

    /// Reads further, for incarnations and outcomes only: what this run left in the other rows says nothing about
    /// an earlier run. Rows behind another process's open transaction are not waited for; `false` = there may be
    /// some.
    ///
    /// # Errors
    /// As [`Meta::read`].
    pub fn read_on(&mut self, log: &dyn Log, topic: &str) -> Result<bool> {
        let (rows, whole) = rows(log, &TopicPartition::new(topic, 0), &mut self.next, SILENCE_OF_CLAIMS_S)?;
        let Meta { claims, batches, .. } = Self::parse(&rows)?;
        self.claims.extend(claims);
        self.batches.extend(batches);
        Ok(whole)
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

    /// Whether topics or partitions were added since the last run.
    #[must_use]
    pub fn subscription_changed(&self, topics: &Topics) -> bool {
        self.ran_before()
            && topics.inputs.iter().any(|(name, info)| self.topics.get(name) != Some(&row(info)))
    }

    /// Fails if an input topic is not the one that was read before.
    ///
    /// # Errors
    /// [`Error::Topic`].
    pub fn check(&self, topics: &Topics) -> Result {
        for (name, now) in &topics.inputs {
            let Some(before) = self.topics.get(name) else { continue };
            let replaced = !before.id.is_empty() && !now.id.is_empty() && before.id != now.id;
            if replaced || now.partitions < before.partitions {
                let what = format!(
                    "was deleted and recreated since this application read it (id {} is now {}, {} partitions are now {})\n  next: start under a new application id",
                    before.id, now.id, before.partitions, now.partitions
                );
                return Err(Error::Topic { topic: name.clone(), what });
            }
        }
        Ok(())
    }

    /// The rows from which a later start learns what ran: written with the first batch of a run.
    #[must_use]
    pub fn first_rows(topology: &Remains, topics: &Topics) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, TOPOLOGY, topology);
        for (name, info) in &topics.inputs {
            push(&mut rows, &format!("topic/{name}"), &row(info));
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

    /// The row by which older processes of an instance learn that a newer one runs.
    #[must_use]
    pub fn claim_row(instance: &InstanceId, incarnation: Incarnation) -> RawChunk {
        let mut rows = RawChunkBuilder::default();
        push(&mut rows, &format!("instance/{instance}"), &incarnation);
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

/// The last value of each key from an offset on; the offset moves to where reading stopped. `false` = short
/// of the end.
fn rows(
    log: &dyn Log,
    at: &TopicPartition,
    from: &mut Offset,
    silence_s: u32,
) -> Result<(Map<Vec<u8>, Vec<u8>>, bool)> {
    let end = log.end_offset(at)?;
    let mut rows: Map<Vec<u8>, Vec<u8>> = Map::default();
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
            rows.insert(row.key.unwrap_or_default().to_vec(), row.value.unwrap_or_default().to_vec());
        }
    }
    Ok((rows, true))
}

fn row(info: &TopicInfo) -> TopicRow {
    TopicRow { id: info.id.clone(), partitions: info.partitions }
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
    fn what_was_written_is_read_and_a_replaced_topic_stops() {
        let topics = Topics { inputs: BTreeMap::from([("in".to_owned(), info("a", 4))]) };
        let row = r#"{"state_partitions":2,"placement":"p","stores":{"a":"table u8 -> u8"},"edges":{}}"#;
        let print: Remains = serde_json::from_str(row).unwrap(); // as an earlier version wrote it
        assert_eq!(print.fingerprint.stores["a"], "table u8 -> u8");
        let at = TopicPartition::new("in", 3);
        let mut rows = Map::default();
        let (one, other) = (InstanceId("a".into()), InstanceId("b".into()));
        let token = |n| Token { instance: one.clone(), incarnation: Incarnation(7), batch: BatchId(n) };
        for chunk in [
            Meta::first_rows(&print, &topics),
            Meta::witness_rows([(&at, Offset(9))].into_iter()),
            Meta::claim_row(&one, Incarnation(6)),
            Meta::claim_row(&one, Incarnation(7)),
            Meta::batch_row(&token(1)),
            Meta::batch_row(&token(2)),
        ] {
            rows.extend(chunk.iter().map(|r| (r.key.unwrap().to_vec(), r.value.unwrap().to_vec())));
        }
        let meta = Meta::parse(&rows).unwrap();
        assert_eq!((meta.topology.clone(), meta.witness(&at)), (Some(print), Some(Offset(9))));
        assert_eq!((meta.claim(&one), meta.claim(&other)), (Some(Incarnation(7)), None));
        assert!(
            !meta.is_committed(&token(1)) && meta.is_committed(&token(2)) && !meta.is_committed(&token(3))
        );
        assert!(!meta.subscription_changed(&topics));
        meta.check(&topics).unwrap();
        let grown = Topics { inputs: BTreeMap::from([("in".to_owned(), info("a", 6))]) };
        assert!(meta.subscription_changed(&grown));
        meta.check(&grown).unwrap();
        for other in [info("b", 4), info("a", 2)] {
            let topics = Topics { inputs: BTreeMap::from([("in".to_owned(), other)]) };
            assert!(meta.check(&topics).unwrap_err().to_string().contains("`in`: was deleted and recreated"));
        }
    }
}
