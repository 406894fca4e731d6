//! A state partition of this process whose database is being brought up to date.
//!
//! Owns what is committed for it meanwhile: its offset and its record as they are, with the time of the input of its sources, which are
//! read although its rows are not taken yet. Knows no database. Invariant: what is committed never claims more of the state than before.

use super::state_partition::Recovered;
use crate::{
    record::{BatchTime, Offset, TopicPartition},
    task::recovery_record::RecoveryRecord,
};
use std::collections::BTreeMap;

/// A state partition under restore.
pub struct UnderRestore {
    /// Its partition of the exchange topic.
    pub at: TopicPartition,
    /// The committed offset there.
    pub offset: Offset,
    /// How far the committed state goes: the end of the changelog, and the closed times.
    committed: (Option<Offset>, Vec<BatchTime>),
    /// The source offsets that the local database had recorded as consumed when it was opened.
    pub seen: Option<BTreeMap<String, Offset>>,
    /// What was restored, until it is taken up.
    pub recovered: Option<Recovered>,
}

impl UnderRestore {
    /// The one for which this offset and this record are committed, and whose database had recorded `seen`.
    #[must_use]
    pub fn new(
        at: TopicPartition,
        offset: Offset,
        record: Option<&RecoveryRecord>,
        seen: Option<BTreeMap<String, Offset>>,
    ) -> Self {
        let committed = record.map(|r| (r.changelog_end, r.closed.clone())).unwrap_or_default();
        UnderRestore { at, offset, committed, seen, recovered: None }
    }

    /// The record to commit for it with the input of a batch.
    #[must_use]
    pub fn record(&self, of_batch: &RecoveryRecord) -> RecoveryRecord {
        let mut record = of_batch.clone();
        (record.changelog_end, record.closed) = self.committed.clone();
        record
    }
}
