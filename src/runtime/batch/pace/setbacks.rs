//! Batches that are given up again and again: each time smaller, and in the end no more.
//!
//! Pure: what happened to batches in, the limit of the next one or a verdict out. Invariants: a batch that was given
//! up twice for the same reason takes fewer records than before; nothing is replayed for ever unless the log is what is
//! missing; one batch that makes progress ends it all.

use crate::error::{Failure, Reaction, Stage};
use std::time::Duration;

/// A batch that takes only one record is given up so often while the log is there; then the program stops.
const LAST_TRIES: u32 = 5;
/// What fails after this time waited for the log.
const WAITED: Duration = Duration::from_secs(5);

/// The batches that were given up since the last one that made progress.
#[derive(Debug, Default)]
pub struct Setbacks {
    total: u32,
    /// In a row, for the same reason.
    same: u32,
    /// With a batch of one record, while the log was there.
    alone: u32,
    reason: Option<(Stage, Reaction)>,
    /// Most records of the next batch.
    limit: Option<usize>,
}

impl Setbacks {
    /// Most records of the next batch; `None` = no limit.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// How many there were in a row.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// A batch that had taken `records` was given up because of `failure`, after this time. Whether the program
    /// should stop: it makes no progress, and not because the log is away.
    pub fn given_up(&mut self, failure: &Failure, records: usize, took: Duration) -> bool {
        let reason = (failure.stage, failure.reaction);
        if self.reason != Some(reason) {
            (self.reason, self.same) = (Some(reason), 0);
        }
        self.total += 1;
        self.same += 1;
        if self.same >= 2 {
            let records = self.limit.map_or(records, |limit| limit.min(records.max(1)));
            self.limit = Some((records / 2).max(1));
        }
        let log_is_away = match failure.reaction {
            Reaction::RecreateProducer => false,
            Reaction::AbortReplay => took > WAITED,
            _ => true,
        };
        self.alone += u32::from(records <= 1 && !log_is_away);
        self.alone >= LAST_TRIES
    }

    /// A batch was committed.
    pub fn committed(&mut self, records: usize) {
        if records == 0 && self.total > 0 {
            return; // nothing of what was given up
        }
        (self.total, self.same, self.alone, self.reason) = (0, 0, 0, None);
        self.limit = self.limit.map(|limit| limit.saturating_mul(2)).filter(|limit| *limit < 1 << 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reaction: Reaction) -> Failure {
        Failure::new(Stage::Produce, reaction, "it failed")
    }

    #[test]
    fn a_batch_that_fails_twice_is_made_smaller_and_grows_again_after_a_commit() {
        let (mut setbacks, fenced) = (Setbacks::default(), failure(Reaction::RecreateProducer));
        let second = Duration::from_secs(1);
        assert!(!setbacks.given_up(&fenced, 1_000, second));
        assert_eq!((setbacks.limit(), setbacks.total()), (None, 1), "once may be chance");
        assert!(!setbacks.given_up(&fenced, 1_000, second));
        assert_eq!(setbacks.limit(), Some(500));
        assert!(!setbacks.given_up(&fenced, 500, second));
        assert_eq!((setbacks.limit(), setbacks.total()), (Some(250), 3));
        setbacks.committed(0);
        assert_eq!(setbacks.total(), 3, "a batch without records is no progress");
        setbacks.committed(250);
        assert_eq!((setbacks.limit(), setbacks.total()), (Some(500), 0));
        (0..20).for_each(|_| setbacks.committed(1));
        assert_eq!(setbacks.limit(), None);
    }

    #[test]
    fn a_record_that_fails_alone_stops_the_program_unless_the_log_is_away() {
        let tries = |reaction, took: u64, records| {
            let mut setbacks = Setbacks::default();
            (1..100).find(|_| setbacks.given_up(&failure(reaction), records, Duration::from_secs(took)))
        };
        assert_eq!(tries(Reaction::RecreateProducer, 20, 1), Some(5));
        assert_eq!(tries(Reaction::AbortReplay, 0, 1), Some(5));
        assert_eq!(tries(Reaction::AbortReplay, 20, 1), None, "no acknowledgement came");
        assert_eq!(tries(Reaction::CloseTasks, 0, 1), None);
        assert_eq!(tries(Reaction::RecreateProducer, 20, 2), None, "it can be made smaller");
    }

    #[test]
    fn another_reason_does_not_make_batches_smaller_but_ends_the_replay_as_well() {
        let mut setbacks = Setbacks::default();
        let mut other = |n: u32, records| {
            let reaction =
                if n.is_multiple_of(2) { Reaction::RecreateProducer } else { Reaction::AbortReplay };
            (setbacks.given_up(&failure(reaction), records, Duration::ZERO), setbacks.limit())
        };
        assert!((0..20).all(|n| other(n, 2) == (false, None)));
        assert_eq!((0..20).find(|n| other(*n, 1).0), Some(4));
    }
}
