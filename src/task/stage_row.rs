//! The row of state that says which upstreams a stage of a shard waits for.
//!
//! Owns its form (`docs/state-format.md`). Knows no alignment in motion. Invariant: it is written with the closed time that
//! it belongs to, in one batch; the time itself is in the recovery record.

use super::{alignment::StageProgress, recovery_record::RecoveryRecord};
use crate::{
    error::{Error, Result},
    operator::Upstream,
    record::{
        BatchTime, Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord, TaskId, TopicPartition,
    },
    state::{Backend, StoreId, changelog},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The store that holds these rows, in programs whose rows go through the exchange topic.
pub const STORE: &str = "tidegate.upstreams";

/// An upstream in such a row.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Source(String, u32),
    Task(u32, u32),
}

impl From<&Upstream> for Name {
    fn from(upstream: &Upstream) -> Self {
        match upstream {
            Upstream::Source(at) => Name::Source(at.topic.to_string(), at.partition.0),
            Upstream::Task(id) => Name::Task(id.stage, id.partition.0),
        }
    }
}

impl From<Name> for Upstream {
    fn from(name: Name) -> Self {
        match name {
            Name::Source(topic, partition) => Upstream::Source(TopicPartition::new(&*topic, partition)),
            Name::Task(stage, partition) => Upstream::Task(TaskId { stage, partition: Partition(partition) }),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Row {
    members: Vec<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(Name, BatchTime)>,
}

/// The changelog row for what a stage waits for.
#[must_use]
pub fn changelog_row(stage: u32, progress: &StageProgress) -> RawChunk {
    let row = Row {
        members: progress.members.iter().map(Name::from).collect(),
        others: progress.others.iter().map(|(upstream, time)| (Name::from(upstream), *time)).collect(),
    };
    let value = serde_json::to_vec(&row).expect("strings and numbers only");
    let mut key = vec![];
    changelog::store_key(StoreId::of(STORE), &mut key);
    key.extend_from_slice(&stage.to_be_bytes());
    let mut rows = RawChunkBuilder::default();
    let (key, value) = (Some(key.as_slice()), Some(value.as_slice()));
    rows.push(RawRecord { offset: Offset(0), timestamp_ms: -1, key, value, headers: Headers::NONE });
    rows.build()
}

/// How far a stage is, as a database and the record that was committed with it say; `None` = nothing is committed of it.
///
/// # Errors
/// If the database cannot be read.
pub fn read(backend: &dyn Backend, record: &RecoveryRecord, stage: u32) -> Result<Option<StageProgress>> {
    let Some(closed) = record.closed.get(stage as usize - 1) else { return Ok(None) };
    let mut found = None;
    backend.get_many(StoreId::of(STORE), &[&stage.to_be_bytes()], &mut |_, value| {
        found = value
            .map(serde_json::from_slice::<Row>)
            .transpose()
            .map_err(|e| Error::State(format!("the upstreams of stage {stage} cannot be read: {e}")))?;
        Ok(())
    })?;
    let progress = found.map(|Row { members, others }| StageProgress {
        closed: *closed,
        members: members.into_iter().map(Upstream::from).collect::<BTreeSet<_>>(),
        others: others
            .into_iter()
            .map(|(name, time)| (Upstream::from(name), time))
            .collect::<BTreeMap<_, _>>(),
    });
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{BatchId, Incarnation, InstanceId, Token},
        state::{MemoryStorage, Storage as _},
    };

    #[test]
    fn a_row_is_stable_and_comes_back_with_its_closed_time() {
        let task = |stage, partition| Upstream::Task(TaskId { stage, partition: Partition(partition) });
        let progress = StageProgress {
            closed: BatchTime(9),
            members: [Upstream::Source(TopicPartition::new("a-b", 2)), task(0, 3)].into(),
            others: [(task(1, 0), BatchTime(7))].into(),
        };
        let row = changelog_row(2, &progress);
        let value = String::from_utf8(row.get(0).value.unwrap().to_vec()).unwrap();
        assert_eq!(
            value,
            r#"{"members":[{"source":["a-b",2]},{"task":[0,3]}],"others":[[{"task":[1,0]},7]]}"#
        );
        let token =
            Token { instance: InstanceId("i".into()), incarnation: Incarnation(1), batch: BatchId(1) };
        let mut record = RecoveryRecord::new(token, BatchTime(9), "00ff");
        let backend = MemoryStorage::default().open(Partition(0), &[STORE.into()]).unwrap().backend;
        backend.apply(&[row], Some(record.to_text().as_bytes())).unwrap();
        assert_eq!(read(&*backend, &record, 2).unwrap(), None, "no time of the stage was committed");
        record.closed = vec![BatchTime(8), BatchTime(9)];
        assert_eq!(read(&*backend, &record, 2).unwrap(), Some(progress));
        assert_eq!(read(&*backend, &record, 1).unwrap(), None, "another stage");
    }
}
