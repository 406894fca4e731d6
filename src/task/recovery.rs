//! What to do with a partition that was just assigned: a pure function from observed facts to a decision.
//!
//! Knows no log and no database: the runtime reads the facts, and only after the producer is ready, and carries out the
//! decision. Invariants: nothing is guessed (what contradicts a witness is refused, with a way out); a database ahead
//! of the log is put aside, never trusted; only a partition that was there at the first start follows `starting-offsets`.

use super::{recovery_record::RecoveryRecord, restore_progress::RestoreProgress};
use crate::record::{Offset, Token, TopicPartition};

/// What is known about a source partition.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// The partition.
    pub at: TopicPartition,
    /// The group's committed offset.
    pub committed: Option<Offset>,
    /// The greatest offset that any witness has seen consumed.
    pub witness: Option<Offset>,
    /// Whether the setting for a first start covers it: it was there when the application first read its topic.
    pub is_first: bool,
    /// Whether the user accepts what contradicts a witness.
    pub accept: bool,
    /// The first offset that is still stored.
    pub start: Offset,
    /// High watermark.
    pub end: Offset,
}

/// What to do with a source partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceDecision {
    /// Read from here.
    From(Offset),
    /// Never read: begin where the setting for a first start says.
    First,
    /// Stop; the text says why and what to do.
    Refuse(String),
}

/// Decides where to read a source partition from.
#[must_use]
pub fn source(facts: &SourceFacts) -> SourceDecision {
    use SourceDecision::{First, From, Refuse};
    let at = &facts.at;
    match (facts.committed, facts.witness) {
        (Some(c), Some(w)) if c < w && !facts.accept => Refuse(format!(
            "{at}: the group's offset {c} lies before {w}, which was consumed and committed already: the offsets were reset, or the broker lost data\n  next: restore the offset, or start under a new application id; --accept-offsets takes the group's offset as it is (records are then processed twice)"
        )),
        (None, Some(w)) if !facts.accept => Refuse(format!(
            "{at}: the group has no offset, but {w} was consumed and committed: the offsets expired or were deleted\n  next: start once with --accept-offsets, which reads from the last known offsets and keeps the state; or set the group's offset to {w} with Kafka's own tools; or start under a new application id"
        )),
        (Some(c), _) | (None, Some(c)) if c < facts.start => Refuse(format!(
            "{at}: the records from {c} on are gone (the first one left is {}): retention passed an unread part\n  next: accept the loss by setting the group's offset to {}, and lengthen the retention",
            facts.start, facts.start
        )),
        (Some(c), _) | (None, Some(c)) if c > facts.end => {
            let whose = if facts.committed.is_some() { "the group's" } else { "the last known" };
            Refuse(format!(
                "{at}: {whose} offset {c} lies after the end {}: the topic was truncated or recreated\n  next: start under a new application id",
                facts.end
            ))
        }
        (Some(c), _) | (None, Some(c)) => From(c),
        (None, None) if facts.is_first => First,
        (None, None) => From(facts.start),
    }
}

/// What is known about a state partition.
#[derive(Clone, Debug)]
pub struct StateFacts {
    /// Its partition of the changelog.
    pub at: TopicPartition,
    /// The record committed in the group for it.
    pub committed: Option<RecoveryRecord>,
    /// Whether the state is to be taken as it is where there is no committed record: the group has an offset that was
    /// set by hand, or the user accepts that it has none.
    pub accept: bool,
    /// The copy in the local database.
    pub local: Option<RecoveryRecord>,
    /// How far an interrupted restore of the local database got.
    pub progress: Option<RestoreProgress>,
    /// The current time, in milliseconds since the epoch.
    pub now_ms: i64,
    /// High watermark of the changelog.
    pub changelog_end: Offset,
    /// First offset of the changelog.
    pub changelog_start: Offset,
    /// The minimum time for which the changelog keeps tombstones, in milliseconds.
    pub delete_retention_ms: i64,
}

/// What to do with a state partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDecision {
    /// The database is exactly the committed one: the changelog is not read.
    Ready,
    /// Nothing was ever committed; the changelog must hold no committed row below its end.
    Fresh,
    /// Apply the changelog to the local database, from here to its end.
    RollForward(Offset),
    /// Continue an interrupted restore from here to the changelog's end.
    Resume(Offset),
    /// Fill an empty database from the whole changelog.
    Restore,
    /// Put the local database aside for this reason, then do as for `Restore`.
    Quarantine(String),
    /// Stop; the text says why and what to do.
    Refuse(String),
}

/// Decides how a state partition is brought to the committed state.
#[must_use]
pub fn state(facts: &StateFacts) -> StateDecision {
    use StateDecision::{Fresh, Quarantine, Ready, Refuse, Restore, RollForward};
    let at = &facts.at;
    let of = facts.local.as_ref().map(|l| &l.token).or(facts.progress.as_ref().map(|p| &p.token));
    let (committed, local) = match (&facts.committed, of) {
        (None, _) if facts.accept => return as_it_is(facts),
        (None, None) => return Fresh,
        (None, Some(of)) => {
            return Refuse(format!(
                "{at}: there is local state of batch {of}, but the group has no offset for it: the offsets expired or were deleted\n  next: {ACCEPT_STATE}",
            ));
        }
        (Some(c), _) => (c, &facts.local),
    };
    let committed_end = committed.changelog_end.unwrap_or_default();
    if facts.changelog_end < committed_end {
        return Refuse(format!(
            "{at}: the changelog ends at {}, but {committed_end} was committed: the broker lost rows\n  next: start under a new application id, or restore the broker's data",
            facts.changelog_end
        ));
    }
    if let Some(progress) = &facts.progress {
        return resume(facts, progress, committed);
    }
    let Some(local) = local else { return Restore };
    if local.token == committed.token {
        return Ready;
    }
    let local_end = local.changelog_end.unwrap_or_default();
    if local_end > committed_end || (local_end == committed_end && is_later(&local.token, &committed.token)) {
        return Quarantine(format!(
            "the database is ahead of the log: it holds batch {} up to {local_end}, committed is {} up to {committed_end}",
            local.token, committed.token
        ));
    }
    if local_end < facts.changelog_start {
        return Quarantine(format!(
            "the changelog no longer holds what follows {local_end}; its first offset is {}",
            facts.changelog_start
        ));
    }
    if outlived_tombstones(facts, local, committed) {
        return too_old(facts);
    }
    RollForward(local_end)
}

/// What to do about state whose offset is lost.
pub const ACCEPT_STATE: &str =
    "start once with --accept-offsets, which takes the state as it is; or start under a new application id";

/// Without a committed record: the changelog holds every committed row, so its end is the state, whatever the local
/// database has of it.
fn as_it_is(facts: &StateFacts) -> StateDecision {
    use StateDecision::{Fresh, Quarantine, Restore, RollForward};
    let is_empty = facts.changelog_start == facts.changelog_end;
    let Some(local) = facts.local.as_ref().filter(|_| facts.progress.is_none()) else {
        return match &facts.progress {
            Some(_) => Quarantine("a restore was interrupted, and the offset that it led to is lost".into()),
            None if is_empty => Fresh,
            None => Restore,
        };
    };
    let end = local.changelog_end.unwrap_or_default();
    if !(facts.changelog_start..=facts.changelog_end).contains(&end) {
        return Quarantine(format!(
            "the database goes up to {end}, but the changelog holds {} to {}",
            facts.changelog_start, facts.changelog_end
        ));
    }
    if outlived_tombstones(facts, local, local) {
        return too_old(facts);
    }
    RollForward(end)
}

/// Whether an interrupted restore may continue. It began with an empty database or with the one of `facts.local`.
fn resume(facts: &StateFacts, progress: &RestoreProgress, committed: &RecoveryRecord) -> StateDecision {
    use StateDecision::{Quarantine, Resume};
    if facts.changelog_end < progress.target || is_later(&progress.token, &committed.token) {
        return Quarantine(format!(
            "a restore was on the way to batch {} and the end {} of the changelog, but committed is {} and the end is {}: the log went back",
            progress.token, progress.target, committed.token, facts.changelog_end
        ));
    }
    if progress.next < facts.changelog_start {
        return Quarantine(format!(
            "the changelog no longer holds what follows {}, where a restore was interrupted; its first offset is {}",
            progress.next, facts.changelog_start
        ));
    }
    // Half of the time is left for the rest of the restore.
    let age_ms = facts.now_ms.saturating_sub(progress.began_ms);
    let local_is_old = facts.local.as_ref().is_some_and(|local| outlived_tombstones(facts, local, committed));
    if !(0..=facts.delete_retention_ms / 2).contains(&age_ms) || local_is_old {
        return too_old(facts);
    }
    Resume(progress.next)
}

/// Whether tombstones that the database lacks may by now be gone from the changelog: the keys that they deleted would
/// come back. The time of the last batch is considered too, in case the clock went back.
fn outlived_tombstones(facts: &StateFacts, local: &RecoveryRecord, committed: &RecoveryRecord) -> bool {
    facts.now_ms.max(committed.time.0).saturating_sub(local.time.0) > facts.delete_retention_ms
}

fn too_old(facts: &StateFacts) -> StateDecision {
    StateDecision::Quarantine(format!(
        "the database is older than the tombstones that the changelog keeps ({} ms)",
        facts.delete_retention_ms
    ))
}

/// Whether `a` is a later batch than `b`, of the same instance.
fn is_later(a: &Token, b: &Token) -> bool {
    a.instance == b.instance && (a.incarnation, a.batch) > (b.incarnation, b.batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchId, BatchTime, Incarnation, InstanceId};

    /// Every combination of a few values, so that no case is left to chance.
    #[test]
    fn a_source_is_read_from_the_committed_offset_or_refused() {
        let options = [None, Some(0), Some(3), Some(5), Some(9)];
        let mut refused = 0;
        for committed in options {
            for witness in options {
                for is_first in [false, true] {
                    for accept in [false, true] {
                        let facts = SourceFacts {
                            at: TopicPartition::new("t", 1),
                            committed: committed.map(Offset),
                            witness: witness.map(Offset),
                            is_first,
                            accept,
                            start: Offset(2),
                            end: Offset(7),
                        };
                        match source(&facts) {
                            SourceDecision::From(o) => match (committed, witness) {
                                (Some(c), w) => {
                                    assert_eq!(o.0, c);
                                    assert!((2..=7).contains(&c), "{facts:?}");
                                    assert!(accept || w.is_none_or(|w| w <= c), "{facts:?}");
                                }
                                (None, Some(w)) => {
                                    assert_eq!((o.0, accept), (w, true), "without its offset: {facts:?}");
                                }
                                (None, None) => {
                                    assert_eq!(
                                        (o.0, is_first),
                                        (2, false),
                                        "an added one is read from its start"
                                    );
                                }
                            },
                            SourceDecision::First => {
                                assert_eq!((committed, witness, is_first), (None, None, true));
                            }
                            SourceDecision::Refuse(why) => {
                                refused += 1;
                                assert!(why.contains("t-1") && why.contains("next:"), "{why}");
                                assert!(committed.is_some() || witness.is_some());
                                let names_one = why.lines().next().unwrap().contains("the group's offset");
                                assert!(committed.is_some() || !names_one, "it has none: {why}");
                            }
                        }
                    }
                }
            }
        }
        assert!(refused > 20);
    }

    fn record(incarnation: u64, batch: u64, end: u64, time: i64) -> RecoveryRecord {
        let token = Token {
            instance: InstanceId("i".into()),
            incarnation: Incarnation(incarnation),
            batch: BatchId(batch),
        };
        let mut r = RecoveryRecord::new(token, BatchTime(time), "f");
        r.changelog_end = Some(Offset(end));
        r
    }

    fn facts(committed: Option<RecoveryRecord>, local: Option<RecoveryRecord>, end: u64) -> StateFacts {
        StateFacts {
            at: TopicPartition::new("c", 0),
            committed,
            accept: false,
            local,
            progress: None,
            now_ms: 10_000,
            changelog_end: Offset(end),
            changelog_start: Offset(0),
            delete_retention_ms: 1000,
        }
    }

    #[test]
    fn each_row_of_the_recovery_table() {
        let (n, next) = (record(1, 5, 50, 9_800), record(1, 6, 60, 9_900));
        for (committed, local, end, expect) in [
            (None, None, 0, "Fresh"),
            (None, None, 9, "Fresh"),
            (None, Some(&n), 50, "Refuse"),
            (Some(&n), Some(&n), 50, "Ready"),
            (Some(&n), Some(&n), 70, "Ready"),
            (Some(&next), Some(&n), 61, "RollForward(Offset(50))"),
            (Some(&n), None, 51, "Restore"),
            (Some(&n), Some(&next), 61, "Quarantine"),
            (Some(&record(1, 5, 50, 9_800)), Some(&record(1, 6, 50, 9_800)), 50, "Quarantine"),
            (Some(&record(2, 1, 50, 9_800)), Some(&record(1, 6, 50, 9_800)), 50, "RollForward(Offset(50))"),
            (Some(&next), Some(&n), 59, "Refuse"),
            (Some(&next), None, 59, "Refuse"),
            (Some(&record(1, 9, 90, 15_000)), Some(&n), 90, "Quarantine"),
        ] {
            let f = facts(committed.cloned(), local.cloned(), end);
            let got = format!("{:?}", state(&f));
            assert!(got.starts_with(expect), "{f:?}\n expected {expect}, got {got}");
        }
        let mut truncated = facts(Some(next), Some(n), 61);
        truncated.changelog_start = Offset(55);
        assert!(matches!(state(&truncated), StateDecision::Quarantine(_)));
    }

    /// An application that was idle: its last batch is as old as the tombstones that the directory lacks.
    #[test]
    fn the_age_of_a_database_is_measured_up_to_now_even_if_nothing_was_committed_since() {
        for (now_ms, expect) in
            [(10_000, "RollForward(Offset(50))"), (10_800, "RollForward"), (10_801, "Quarantine")]
        {
            let mut f = facts(Some(record(2, 1, 60, 9_900)), Some(record(1, 5, 50, 9_800)), 61);
            f.now_ms = now_ms;
            let got = format!("{:?}", state(&f));
            assert!(got.starts_with(expect), "at {now_ms}: {got}");
        }
    }

    /// Every combination of a few values for what is committed, what is local, the changelog and the clock.
    #[test]
    fn a_database_is_trusted_only_where_nothing_contradicts_it() {
        let mut records = vec![None];
        for (incarnation, batch) in [(1, 5), (1, 6), (2, 1)] {
            for end in [40, 50, 60] {
                for time in [8_900, 9_800, 9_900, 10_050] {
                    records.push(Some(record(incarnation, batch, end, time)));
                }
            }
        }
        let mut other = record(7, 7, 50, 9_800);
        other.token.instance = InstanceId("other".into());
        records.push(Some(other));
        let mut seen = std::collections::BTreeMap::<&str, usize>::new();
        for committed in &records {
            for local in &records {
                for start in [0, 45, 55] {
                    for end in [39, 50, 61] {
                        for now_ms in [9_000, 10_000, 10_850] {
                            let mut f = facts(committed.clone(), local.clone(), end);
                            f.changelog_start = Offset(start);
                            f.now_ms = now_ms;
                            let decided = state(&f);
                            let (expect, says) = expected(&f);
                            let (got, said) = match &decided {
                                StateDecision::Ready => ("ready", ""),
                                StateDecision::Fresh => ("fresh", ""),
                                StateDecision::RollForward(from) => {
                                    assert_eq!(Some(*from), f.local.as_ref().and_then(|l| l.changelog_end));
                                    ("roll forward", "")
                                }
                                StateDecision::Restore => ("restore", ""),
                                StateDecision::Quarantine(why) => ("quarantine", why.as_str()),
                                StateDecision::Refuse(why) if why.contains("next:") => {
                                    ("refuse", why.as_str())
                                }
                                other => panic!("{f:?}: {other:?}"),
                            };
                            assert_eq!(got, expect, "{f:?}: {decided:?}");
                            assert!(said.contains(says), "{f:?}: {said}");
                            *seen.entry(if says.is_empty() { got } else { says }).or_default() += 1;
                        }
                    }
                }
            }
        }
        assert!(seen.len() == 9 && seen.values().all(|n| *n >= 9), "{seen:?}");
    }

    /// The table of the architecture page, written down a second time: the decision, and the text of its reason.
    fn expected(f: &StateFacts) -> (&'static str, &'static str) {
        let (c, l) = match (&f.committed, &f.local) {
            (None, None) => return ("fresh", ""),
            (None, Some(_)) => return ("refuse", "the group has no offset"),
            (Some(c), _) if f.changelog_end < c.changelog_end.unwrap() => {
                return ("refuse", "the broker lost rows");
            }
            (Some(_), None) => return ("restore", ""),
            (Some(c), Some(l)) => (c, l),
        };
        if c.token == l.token {
            return ("ready", "");
        }
        let batch = |r: &RecoveryRecord| (r.changelog_end, r.token.incarnation, r.token.batch);
        let same_instance = c.token.instance == l.token.instance;
        let is_ahead = if same_instance { batch(l) > batch(c) } else { l.changelog_end > c.changelog_end };
        if is_ahead {
            ("quarantine", "ahead of the log")
        } else if l.changelog_end < Some(f.changelog_start) {
            ("quarantine", "no longer holds")
        } else if f.now_ms - l.time.0 > 1000 || c.time.0 - l.time.0 > 1000 {
            ("quarantine", "older than the tombstones")
        } else {
            ("roll forward", "")
        }
    }

    /// Every combination of a few values: a restore continues only where nothing contradicts it, and from where it
    /// stopped.
    #[test]
    fn an_interrupted_restore_continues_or_starts_again() {
        let committed = record(1, 6, 60, 9_700);
        let (before, after) = (record(1, 5, 50, 9_600), record(1, 7, 70, 9_800));
        let old = record(1, 5, 50, 8_999);
        let mut seen = std::collections::BTreeMap::<&str, usize>::new();
        for local in [None, Some(&before), Some(&committed), Some(&after), Some(&old)] {
            for began_with in [&before, &committed, &after] {
                for next in [0, 20, 55, 61, 80] {
                    for target in [61, 80, 90] {
                        for (start, end) in [(0, 59), (0, 80), (30, 80), (0, 95)] {
                            for began_ms in [9_999, 9_500, 9_499, 0, 10_001] {
                                let (next, target) = (Offset(next), Offset(target));
                                let mut f = facts(Some(committed.clone()), local.cloned(), end);
                                f.changelog_start = Offset(start);
                                f.progress = Some(RestoreProgress::new(
                                    next,
                                    target,
                                    began_with.token.clone(),
                                    began_ms,
                                ));
                                let went_back = target.0 > end || std::ptr::eq(began_with, &raw const after);
                                let expect = if end < 60 {
                                    "refused"
                                } else if went_back || next.0 < start {
                                    "anew"
                                } else if local == Some(&old) || !(9_500..=10_000).contains(&began_ms) {
                                    "too old"
                                } else {
                                    "resumed"
                                };
                                let got = match state(&f) {
                                    StateDecision::Refuse(why) if why.contains("next:") => "refused",
                                    StateDecision::Quarantine(why) if why.contains("older") => "too old",
                                    StateDecision::Quarantine(_) => "anew",
                                    StateDecision::Resume(from) if from == next => "resumed",
                                    other => panic!("{f:?}: {other:?}"),
                                };
                                assert_eq!(got, expect, "{f:?}");
                                *seen.entry(got).or_default() += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(seen.len() == 4 && seen.values().all(|n| *n > 50), "{seen:?}");
    }

    /// Every combination of a few values without a committed record: whatever is decided, the database ends up with
    /// the rows of the changelog up to its end.
    #[test]
    fn state_is_taken_as_it_is_only_where_that_is_accepted() {
        let (n, old) = (record(1, 5, 50, 9_800), record(1, 5, 50, 8_000));
        for (local, start, end, restoring, expect) in [
            (None, 0, 0, false, "Fresh"),
            (None, 7, 9, false, "Restore"),
            (Some(&n), 0, 50, false, "RollForward(Offset(50))"),
            (Some(&n), 0, 61, false, "RollForward(Offset(50))"),
            (Some(&n), 0, 49, false, "Quarantine"),
            (Some(&n), 51, 61, false, "Quarantine"),
            (Some(&old), 0, 61, false, "Quarantine"),
            (Some(&n), 0, 61, true, "Quarantine"),
            (None, 0, 61, true, "Quarantine"),
        ] {
            let mut f = facts(None, local.cloned(), end);
            f.changelog_start = Offset(start);
            f.progress =
                restoring.then(|| RestoreProgress::new(Offset(9), Offset(50), n.token.clone(), 9_999));
            let refused = format!("{:?}", state(&f));
            let has_state = local.is_some() || restoring;
            assert!(refused.starts_with(if has_state { "Refuse" } else { "Fresh" }), "{f:?}: {refused}");
            f.accept = true;
            let got = format!("{:?}", state(&f));
            assert!(got.starts_with(expect), "{f:?}\n expected {expect}, got {got}");
        }
    }

    #[test]
    fn part_of_a_restore_without_a_committed_offset_is_refused() {
        let mut f = facts(None, None, 50);
        f.progress = Some(RestoreProgress::new(Offset(9), Offset(50), record(1, 5, 50, 0).token, 9_999));
        assert!(matches!(state(&f), StateDecision::Refuse(why) if why.contains("no offset for it")));
    }
}
