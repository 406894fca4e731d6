//! Partitions whose records cannot be read although there are some.
//!
//! Owns how long each partition has stood still although more was there. Knows no log and no metric. Invariant: a partition is
//! reported only if a batch ended without taking what was seen there before, and at most once a minute; what has just come to a
//! partition that was idle is no stall.

use crate::{
    record::{Offset, TopicPartition},
    runtime::SourcePosition,
};
use std::collections::BTreeMap;

/// Standing still for this long is reported.
const STALLED_MS: i64 = 5_000;
/// And again after this long.
const AGAIN_MS: i64 = 60_000;

#[derive(Debug)]
struct Still {
    next: Offset,
    /// Since when records are known that were not read.
    behind_ms: Option<i64>,
    /// Batches that ended since then.
    batches: u32,
    told_ms: Option<i64>,
}

/// The partitions of a program, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct Stalled(BTreeMap<TopicPartition, Still>);

impl Stalled {
    /// A batch ended with these positions.
    pub(super) fn after_batch(&mut self, positions: &[SourcePosition]) {
        self.0.retain(|at, _| positions.iter().any(|p| p.at == *at));
        for SourcePosition { at, next, .. } in positions {
            if let Some(still) = self.0.get_mut(at).filter(|still| still.next == *next) {
                still.batches += u32::from(still.behind_ms.is_some());
            } else {
                let still = Still { next: *next, behind_ms: None, batches: 0, told_ms: None };
                self.0.insert(at.clone(), still);
            }
        }
    }

    /// What to report about a partition that ends at `end`; `takes_input` = a batch is in flight.
    pub(super) fn why(
        &mut self,
        position: &SourcePosition,
        end: Offset,
        now_ms: i64,
        takes_input: bool,
    ) -> Option<String> {
        let SourcePosition { at, next, .. } = position;
        let still = self.0.get_mut(at).filter(|still| still.next == *next && *next < end)?;
        let since_ms = *still.behind_ms.get_or_insert(now_ms);
        let tried = still.batches > 0 || !takes_input;
        let is_due = still.told_ms.is_none_or(|told_ms| now_ms - told_ms >= AGAIN_MS);
        if !tried || !is_due || now_ms - since_ms < STALLED_MS {
            return None;
        }
        still.told_ms = Some(now_ms);
        let (for_s, records) = ((now_ms - since_ms) / 1000, end.0 - next.0);
        Some(format!(
            "waiting for {at}: nothing can be read from offset {next} on, for {for_s} s now, although {records} more are written; most likely the transaction of another producer is open there (next: let that producer end it; on Kafka, `kafka-transactions.sh --bootstrap-server .. describe-producers --topic {} --partition {}` names it)",
            at.topic, at.partition
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_reported_once_it_stood_still_over_a_batch() {
        let at =
            |next| SourcePosition { at: TopicPartition::new("in", 3), next: Offset(next), newest_ms: None };
        let (here, end) = (at(7), Offset(9));
        let mut stalled = Stalled::default();
        stalled.after_batch(std::slice::from_ref(&here));
        assert_eq!(stalled.why(&here, Offset(7), 30_000, true), None, "there is nothing to read");
        stalled.after_batch(std::slice::from_ref(&here));
        assert_eq!(stalled.why(&here, end, 60_000, true), None, "it has just come");
        assert_eq!(stalled.why(&here, end, 65_000, true), None, "the batch is still in flight");
        stalled.after_batch(std::slice::from_ref(&here));
        assert_eq!(stalled.why(&here, end, 64_999, true), None, "too early");
        let why = stalled.why(&here, end, 65_000, true).unwrap();
        for part in ["in-3", "offset 7", "for 5 s", "2 more", "--topic in --partition 3"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert_eq!(stalled.why(&here, end, 124_999, true), None, "told a moment ago");
        assert!(stalled.why(&here, end, 125_000, true).is_some());
        stalled.after_batch(&[at(8)]);
        assert_eq!(stalled.why(&here, end, 190_000, false), None, "it moved");
        assert_eq!(stalled.why(&at(8), end, 190_000, false), None, "another one has just come");
        assert!(stalled.why(&at(8), end, 195_000, false).is_some(), "no batch is in flight");
    }
}
