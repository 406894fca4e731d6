//! Partitions whose records cannot be read although there are some.
//!
//! Owns how long each partition has stood still, and what its decoder waits for. Knows no log and no metric. Invariant: a partition is reported only if a
//! whole batch that began when there were records took none of them, and at most once a minute.

use crate::{
    record::{Offset, TopicPartition},
    runtime::SourcePosition,
    source::HeldUp,
};
use std::collections::BTreeMap;

/// Standing still for this long is reported.
const STALLED_MS: i64 = 5_000;
/// And again after this long.
const AGAIN_MS: i64 = 60_000;

#[derive(Debug)]
struct Still {
    next: Offset,
    /// Since records behind `next` are known.
    unread: Option<Unread>,
    told_ms: Option<i64>,
}

#[derive(Debug)]
struct Unread {
    /// Since when nothing but the partition itself has kept the program from reading them.
    since_ms: i64,
    /// The batch is still in flight that was when they became known: it may have them, or may be past its input.
    is_busy: bool,
    /// Batches that began and ended since then.
    batches: u32,
}

/// The partitions of a program, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    partitions: BTreeMap<TopicPartition, Still>,
    held_up: BTreeMap<TopicPartition, HeldUp>,
}

impl Stalled {
    /// Records of a partition wait for what their decoder needs.
    pub(super) fn held_up(&mut self, at: &TopicPartition, held_up: &HeldUp) {
        self.held_up.insert(at.clone(), held_up.clone());
    }

    /// A batch ended with these positions.
    pub(super) fn after_batch(&mut self, positions: &[SourcePosition], now_ms: i64) {
        self.partitions.retain(|at, _| positions.iter().any(|p| p.at == *at));
        self.held_up.retain(|at, held_up| positions.iter().any(|p| p.at == *at && p.next <= held_up.from));
        for SourcePosition { at, next, .. } in positions {
            if let Some(still) = self.partitions.get_mut(at).filter(|still| still.next == *next) {
                match &mut still.unread {
                    Some(unread) if unread.is_busy => {
                        *unread = Unread { since_ms: now_ms, is_busy: false, batches: 0 };
                    }
                    Some(unread) => unread.batches += 1,
                    None => {}
                }
            } else {
                let still = Still { next: *next, unread: None, told_ms: None };
                self.partitions.insert(at.clone(), still);
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
        let still = self.partitions.get_mut(at).filter(|still| still.next == *next)?;
        if *next >= end {
            still.unread = None;
            return None;
        }
        let new = || Unread { since_ms: now_ms, is_busy: takes_input, batches: 0 };
        let unread = still.unread.get_or_insert_with(new);
        let tried = !unread.is_busy && (unread.batches > 0 || !takes_input);
        let is_due = still.told_ms.is_none_or(|told_ms| now_ms - told_ms >= AGAIN_MS);
        if !tried || !is_due || now_ms - unread.since_ms < STALLED_MS {
            return None;
        }
        still.told_ms = Some(now_ms);
        let (for_s, records) = ((now_ms - unread.since_ms) / 1000, end.0 - next.0);
        if let Some(HeldUp { from, why }) = self.held_up.get(at) {
            return Some(format!(
                "waiting for {at}: the records from offset {from} on cannot be decoded yet, for {for_s} s now: {why}"
            ));
        }
        Some(format!(
            "waiting for {at}: nothing can be read from offset {next} on, for {for_s} s now, although {records} more are written: the transaction of another producer is open there, or the broker is too slow to send them (next: on Kafka, `kafka-transactions.sh --bootstrap-server .. describe-producers --topic {} --partition {}` names a producer with an open transaction: let it end that; if there is none, look at the broker's load and the network)",
            at.topic, at.partition
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: u64) -> SourcePosition {
        SourcePosition { at: TopicPartition::new("in", 3), next: Offset(next), newest_ms: None }
    }

    #[test]
    fn a_partition_is_reported_once_a_whole_batch_took_nothing_of_what_is_there() {
        let (here, end) = (at(7), Offset(9));
        let mut stalled = Stalled::default();
        stalled.after_batch(std::slice::from_ref(&here), 1_000);
        assert_eq!(stalled.why(&here, end, 1_500, true), None, "a batch is in flight");
        stalled.after_batch(std::slice::from_ref(&here), 2_000);
        assert_eq!(
            stalled.why(&here, end, 60_000, true),
            None,
            "the first batch after it is still in flight"
        );
        stalled.after_batch(std::slice::from_ref(&here), 3_000);
        assert_eq!(stalled.why(&here, end, 6_999, true), None, "too early");
        let why = stalled.why(&here, end, 7_000, true).unwrap();
        for part in ["in-3", "offset 7", "for 5 s", "2 more", "--topic in --partition 3"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert_eq!(stalled.why(&here, end, 66_999, true), None, "told a moment ago");
        assert!(stalled.why(&here, end, 67_000, true).is_some());
        stalled.after_batch(&[at(8)], 70_000);
        assert_eq!(stalled.why(&here, end, 90_000, false), None, "it moved");
        assert_eq!(stalled.why(&at(8), end, 90_000, false), None, "a moment ago there was nothing");
        assert!(stalled.why(&at(8), end, 95_000, false).is_some(), "no batch is in flight");
    }

    #[test]
    fn records_that_wait_for_a_schema_are_told_with_what_they_wait_for_until_they_are_taken() {
        let (here, end) = (at(7), Offset(9));
        let mut stalled = Stalled::default();
        stalled.after_batch(std::slice::from_ref(&here), 1_000);
        let held_up =
            HeldUp { from: Offset(7), why: "the registry is away; the record waits for schema 2".into() };
        stalled.held_up(&here.at, &held_up);
        assert_eq!(stalled.why(&here, end, 1_500, false), None, "too early");
        let why = stalled.why(&here, end, 7_000, false).unwrap();
        assert_eq!(
            why,
            "waiting for in-3: the records from offset 7 on cannot be decoded yet, for 5 s now: the registry is away; the record waits for schema 2"
        );
        stalled.after_batch(&[at(8)], 70_000);
        assert_eq!(stalled.why(&at(8), end, 71_000, false), None);
        let why = stalled.why(&at(8), end, 77_000, false).unwrap();
        assert!(why.contains("another producer"), "what held up the first record is over: {why}");
    }

    #[test]
    fn records_that_come_after_a_long_silence_are_not_waited_for_since_then() {
        let here = at(7);
        let mut stalled = Stalled::default();
        for second in 1..=60 {
            stalled.after_batch(std::slice::from_ref(&here), second * 1_000);
            assert_eq!(stalled.why(&here, Offset(7), second * 1_000 + 10, true), None);
        }
        assert_eq!(stalled.why(&here, Offset(9), 60_500, true), None, "the batch in flight may take them");
        assert_eq!(stalled.why(&here, Offset(9), 90_000, true), None, "it is in a slow function");
        stalled.after_batch(std::slice::from_ref(&here), 90_100); // it was past its input when they came
        assert_eq!(stalled.why(&here, Offset(9), 90_100, false), None, "the next one takes them");
        assert_eq!(stalled.why(&here, Offset(9), 99_000, true), None, "and is slow, too");
        stalled.after_batch(&[at(9)], 99_500);
        assert_eq!(stalled.why(&at(9), Offset(9), 120_000, true), None, "they are read");
    }
}
