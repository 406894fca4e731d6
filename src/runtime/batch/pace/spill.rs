//! Whether a process that has all the state hands rows over through the exchange topic, because an interval had more than a batch may hold.
//!
//! Pure: the clock's readings are arguments. Knows no topic. Invariants: it is asked for once for each batch that is given up for it;
//! memory is taken up again only after whole intervals that had room in one batch, and later each time if that did not last.

use std::time::Duration;

/// So many intervals in a row must have had room in one batch.
const QUIET_INTERVALS: u32 = 2;
/// Rows go through the topic for at least so long after an interval that had no room, and at most.
const STAY: Duration = Duration::from_secs(2);
const STAY_MAX: Duration = Duration::from_secs(600);

/// When rows go through the exchange topic although one process has all the state.
#[derive(Clone, Copy, Debug)]
pub struct Spill {
    is_wanted: bool,
    /// When a batch had no room for what came last.
    last_full: Option<Duration>,
    /// Intervals since then that had room.
    quiet: u32,
    /// How long rows go through the topic from then on.
    stay: Duration,
    /// When memory was taken up again last.
    returned: Option<Duration>,
}

impl Default for Spill {
    fn default() -> Self {
        Spill { is_wanted: false, last_full: None, quiet: 0, stay: STAY, returned: None }
    }
}

impl Spill {
    /// A batch in memory has no room for its interval: the same interval is to go through the topic.
    pub fn ask(&mut self, now: Duration) {
        let did_not_last = self.returned.is_some_and(|at| now.saturating_sub(at) < 2 * self.stay);
        self.stay = if did_not_last { (2 * self.stay).min(STAY_MAX) } else { STAY };
        self.is_wanted = true;
        self.part(now);
    }

    /// Whether rows are to go through the topic from the next batch on.
    #[must_use]
    pub fn is_wanted(self) -> bool {
        self.is_wanted
    }

    /// Rows go through the topic now.
    pub fn began(&mut self) {
        self.is_wanted = false;
    }

    /// A part of an interval was sent, because all of it has no room in one batch.
    pub fn part(&mut self, now: Duration) {
        (self.last_full, self.quiet) = (Some(now), 0);
    }

    /// An interval is over; what `part` was told of it counts.
    pub fn interval_ended(&mut self, had_parts: bool) {
        self.quiet = if had_parts { 0 } else { self.quiet.saturating_add(1) };
    }

    /// Whether memory may be taken up again.
    #[must_use]
    pub fn is_over(self, now: Duration) -> bool {
        self.last_full.is_none_or(|at| self.quiet >= QUIET_INTERVALS && now.saturating_sub(at) >= self.stay)
    }

    /// Rows are handed over in memory again.
    pub fn returned(&mut self, now: Duration) {
        if self.last_full.take().is_some() {
            self.returned = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_up_again_after_quiet_intervals_and_later_if_that_did_not_last() {
        let s = Duration::from_secs;
        let mut spill = Spill::default();
        assert!(!spill.is_wanted() && spill.is_over(s(0)), "it never was asked for");
        spill.ask(s(10));
        assert!(spill.is_wanted());
        spill.began();
        assert!(!spill.is_wanted());
        spill.interval_ended(true);
        spill.interval_ended(false);
        assert!(!spill.is_over(s(100)), "one interval says little");
        spill.interval_ended(false);
        assert!(!spill.is_over(s(11)) && spill.is_over(s(12)));
        spill.part(s(13));
        assert!(!spill.is_over(s(100)));
        (0..2).for_each(|_| spill.interval_ended(false));
        assert!(spill.is_over(s(15)));
        spill.returned(s(15));
        // It did not last.
        spill.ask(s(16));
        (0..2).for_each(|_| spill.interval_ended(false));
        assert!(!spill.is_over(s(19)) && spill.is_over(s(20)));
        spill.returned(s(20));
        // It did.
        spill.ask(s(100));
        (0..2).for_each(|_| spill.interval_ended(false));
        assert!(spill.is_over(s(102)));
        for n in 0..20 {
            spill.returned(s(200 + n));
            spill.ask(s(200 + n));
        }
        (0..2).for_each(|_| spill.interval_ended(false));
        assert!(!spill.is_over(s(218) + STAY_MAX) && spill.is_over(s(219) + STAY_MAX));
    }
}
