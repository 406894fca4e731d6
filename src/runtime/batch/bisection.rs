//! The search for a record that makes its batch fail.
//!
//! Pure: outcomes of batches in, the limit of the next batch and a verdict out. An operator that fails does
//! not say on which source record, so the batch is replayed in smaller and smaller parts until one record
//! fails alone. It is to blame only if a batch without any record (a trial, which leaves no trace) does not
//! fail as well. Invariants: each failure makes the next batch smaller, or ends the search; a record is
//! accused only after it failed alone, and convicted only after a trial.

use crate::{
    error::Error,
    record::{Offset, TopicPartition},
};

/// A search begins with at most this many records.
const FIRST_LIMIT: usize = 4_096;
/// Batches that grow beyond this are no longer limited: the search is over.
const LAST_LIMIT: usize = 8_192;

/// Where a record is.
pub type RecordAt = (TopicPartition, Offset);

/// A search, or none.
#[derive(Debug, Default)]
pub struct Bisection {
    state: State,
    /// The record that the batch in flight took last.
    last_taken: Option<RecordAt>,
    /// Records committed since the last conviction: the next record to blame is probably about as far.
    clean: usize,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing fails.
    #[default]
    Idle,
    /// Batches are limited.
    Narrowing {
        /// Most records of a batch; at least one.
        limit: usize,
    },
    /// The next batch has no record.
    Trial {
        /// The record that failed alone, and how.
        accused: RecordAt,
        error: Error,
    },
}

/// What to do after a failure.
#[derive(Debug)]
pub enum Next {
    /// The batch is replayed within the new limit; the error is what would be reported if the search had to
    /// stop.
    Replay(Option<Error>),
    /// No record is to blame: the program stops.
    Stop(Error),
}

impl Bisection {
    /// Most records of the next batch; `None` = this search sets no limit.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        match &self.state {
            State::Idle => None,
            State::Narrowing { limit } => Some(*limit),
            State::Trial { .. } => Some(0),
        }
    }

    /// Whether a search is under way.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Whether the batch in flight is a trial, which leaves no trace.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        matches!(self.state, State::Trial { .. })
    }

    /// Begins a batch.
    pub fn begin(&mut self) {
        self.last_taken = None;
    }

    /// The batch in flight took this record, after everything that it took before.
    pub fn took(&mut self, at: &TopicPartition, offset: Offset) {
        self.last_taken = Some((at.clone(), offset));
    }

    /// An operator failed in a batch that had taken `records`; an unlimited batch takes at most
    /// `records_max`.
    pub fn failed(&mut self, records: usize, records_max: usize, error: Error) -> Next {
        let limit = match &self.state {
            State::Trial { .. } => return Next::Stop(error),
            State::Narrowing { limit: 1 } => {
                let Some(accused) = self.last_taken.take() else { return Next::Stop(error) };
                self.state = State::Trial { accused, error };
                return Next::Replay(None);
            }
            State::Narrowing { limit } => (limit / 2).max(1),
            State::Idle => (records.max(1).min(records_max) / 2).clamp(1, FIRST_LIMIT),
        };
        self.state = State::Narrowing { limit };
        Next::Replay(Some(error))
    }

    /// The trial did not fail: the record that is to blame, and how it failed. The next batch takes half as many
    /// records as there were since the last one that was to blame.
    ///
    /// # Panics
    /// If the batch in flight was no trial: a bug in the loop.
    pub fn convict(&mut self) -> (RecordAt, Error) {
        let limit = (std::mem::take(&mut self.clean) / 2).max(1);
        match std::mem::replace(&mut self.state, State::Narrowing { limit }) {
            State::Trial { accused, error } => (accused, error),
            other => panic!("not a trial: {other:?}"),
        }
    }

    /// A batch of so many records was committed: the next one may be larger.
    pub fn committed(&mut self, records: usize) {
        self.clean = self.clean.saturating_add(records);
        if let State::Narrowing { limit } = self.state {
            let limit = limit * 2;
            self.state = if limit < LAST_LIMIT { State::Narrowing { limit } } else { State::Idle };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::State("it failed".into())
    }

    /// A log of `len` records whose record `bad` fails in every batch that holds it; `always` = every batch
    /// fails. Returns the offsets that were convicted, and how many batches it took.
    fn search(len: u64, bad: &[u64], always: bool) -> (Vec<u64>, usize, bool) {
        let (at, mut bisection) = (TopicPartition::new("in", 0), Bisection::default());
        let (mut next, mut rejected, mut batches) = (0, vec![], 0);
        while next < len {
            batches += 1;
            assert!(batches < 1_000, "the search does not end");
            bisection.begin();
            let limit = bisection.limit().unwrap_or(usize::MAX);
            let end = len.min(next.saturating_add(limit as u64));
            (next..end).for_each(|offset| bisection.took(&at, Offset(offset)));
            let fails = always || (next..end).any(|n| bad.contains(&n) && !rejected.contains(&n));
            let records = usize::try_from(end - next).unwrap();
            if fails {
                if let Next::Stop(_) = bisection.failed(records, 100_000, failure()) {
                    return (rejected, batches, true);
                }
            } else if bisection.is_trial() {
                let ((_, offset), _) = bisection.convict();
                rejected.push(offset.0);
            } else {
                bisection.committed(records);
                next = end;
            }
        }
        assert!(batches > 1 || !bisection.is_active());
        (rejected, batches, false)
    }

    #[test]
    fn the_failing_records_are_found_and_no_others() {
        for bad in [vec![], vec![0], vec![9_999], vec![4_711], vec![0, 1, 2], vec![17, 4_711, 4_712, 9_998]] {
            let (rejected, batches, stopped) = search(10_000, &bad, false);
            assert_eq!((rejected, stopped), (bad.clone(), false), "{batches} batches");
            assert!(batches < 5 + 60 * bad.len(), "{batches} batches for {bad:?}");
        }
    }

    #[test]
    fn what_fails_without_any_record_stops_the_program() {
        let (rejected, _, stopped) = search(100, &[], true);
        assert!(rejected.is_empty() && stopped);
    }

    #[test]
    fn each_failure_halves_the_limit_and_each_commit_doubles_it() {
        let (at, mut b) = (TopicPartition::new("in", 0), Bisection::default());
        assert_eq!((b.limit(), b.is_active()), (None, false));
        assert!(matches!(b.failed(5, 100_000, failure()), Next::Replay(Some(_))));
        assert_eq!(b.limit(), Some(2));
        assert!(matches!(b.failed(2, 100_000, failure()), Next::Replay(Some(_))));
        assert_eq!(b.limit(), Some(1));
        b.took(&at, Offset(7));
        assert!(matches!(b.failed(1, 100_000, failure()), Next::Replay(None)));
        assert_eq!((b.limit(), b.is_trial()), (Some(0), true));
        let ((_, offset), _) = b.convict();
        assert_eq!((offset, b.limit(), b.is_trial()), (Offset(7), Some(1), false));
        (0..6).for_each(|n| b.committed(1 << n));
        assert_eq!(b.limit(), Some(64));
        b.took(&at, Offset(71));
        while b.limit() > Some(1) {
            assert!(matches!(b.failed(1, 100_000, failure()), Next::Replay(Some(_))));
        }
        assert!(matches!(b.failed(1, 100_000, failure()), Next::Replay(None)));
        let _ = b.convict();
        assert_eq!(b.limit(), Some(31), "half the distance between the two");
        (0..9).for_each(|_| b.committed(1));
        assert!(!b.is_active(), "{:?}", b.limit());
    }

    #[test]
    fn a_batch_of_one_that_took_nothing_accuses_no_record() {
        let mut b = Bisection::default();
        let _ = b.failed(1, 100_000, failure());
        assert!(matches!(b.failed(0, 100_000, failure()), Next::Stop(_)), "no record to blame");
        let mut b = Bisection::default();
        let _ = b.failed(1_000_000, 10, failure());
        assert_eq!(b.limit(), Some(5), "an unbounded batch has a bound of its own");
    }
}
