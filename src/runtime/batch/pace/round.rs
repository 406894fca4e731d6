//! How much a round takes, so that it is short however slow the program's functions are.
//!
//! Pure: learns from the time that each round took. A round is the piece of a batch between two looks at the
//! clock, the group and signals. Invariants: a round may always take one record; the first ones are small, because
//! nothing is known yet.

use std::time::Duration;

/// The first round takes so many records.
const FIRST: usize = 64;
/// Rounds are not made larger than this: then bytes bound them.
const MOST: usize = 1 << 20;
/// A round should take about this long.
const AIM: Duration = Duration::from_millis(100);

/// How many records a round may take.
#[derive(Clone, Copy, Debug)]
pub struct RoundSize {
    records_max: usize,
}

impl Default for RoundSize {
    fn default() -> Self {
        RoundSize { records_max: FIRST }
    }
}

impl RoundSize {
    /// So many records.
    #[must_use]
    pub fn records_max(self) -> usize {
        self.records_max
    }

    /// Learns that a round of so many records, through all stages, took this long.
    pub fn learn(&mut self, records: usize, took: Duration) {
        if took > AIM * 2 {
            let fits = records as u128 * AIM.as_micros() / took.as_micros();
            self.records_max = usize::try_from(fits).unwrap_or(MOST).clamp(1, self.records_max);
        } else if took < AIM && records >= self.records_max / 2 {
            self.records_max = (self.records_max * 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of a program that takes `cost` for each record, until `records` are done: the longest of the later
    /// ones, and how many there were.
    fn run(size: &mut RoundSize, cost: Duration, records: usize) -> (Duration, usize) {
        let (mut left, mut longest, mut rounds) = (records, Duration::ZERO, 0);
        while left > 0 {
            let taken = size.records_max().min(left);
            let took = cost * u32::try_from(taken).unwrap();
            size.learn(taken, took);
            rounds += 1;
            if rounds > 1 {
                longest = longest.max(took);
            }
            left -= taken;
        }
        (longest, rounds)
    }

    #[test]
    fn rounds_of_slow_functions_are_short_and_those_of_fast_ones_large() {
        for cost_us in [1, 20, 1_000, 50_000] {
            let mut size = RoundSize::default();
            let cost = Duration::from_micros(cost_us);
            let (longest, _) = run(&mut size, cost, 2_000_000 / usize::try_from(cost_us).unwrap());
            assert!(longest <= AIM * 2, "{cost:?}: {longest:?}");
        }
        let mut size = RoundSize::default();
        assert!(run(&mut size, Duration::from_nanos(100), 10_000_000).1 < 40, "few rounds");
        assert_eq!(size.records_max(), MOST);
        size.learn(MOST, Duration::from_secs(1_000));
        assert!(size.records_max() < 200, "a function that has become slow: {}", size.records_max());
        size.learn(1, Duration::from_secs(1));
        assert_eq!(size.records_max(), 1, "one record is always taken");
        let (longest, _) = run(&mut size, Duration::from_micros(1), 1_000);
        assert!(longest < AIM && size.records_max() > 100, "and fast again");
    }
}
