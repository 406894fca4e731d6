//! How much a batch may hold until its end: the configured bound, and less where the log takes long to accept it.
//!
//! What a batch holds at its end is sent in one transaction, which has a timeout; on a slow machine or broker
//! it would time out again and again. So the bound follows how long the previous batches took. Where no result
//! depends on where batches begin and end, they are smaller: they keep memory and the time to a commit small. Pure: knows no
//! clock. Invariant: the bound is never above the configured one, and never so low that nothing could be
//! staged.

use std::time::Duration;

/// A batch may always stage this much, however slow the log is, bytes.
const STAGED_BYTES_MIN: usize = 1 << 20;
/// A batch that may end anywhere ends when it holds so much, bytes.
const PART_BYTES: usize = 48 << 20;
/// The same without state, where a larger one combines nothing: it only takes memory.
const STATELESS_BYTES: usize = 4 << 20;
/// The part of the transaction's timeout that sending and committing may take, one in this many.
const PART_OF_TIMEOUT: u32 = 2;

/// The bound on the bytes that a batch stages.
#[derive(Clone, Copy, Debug)]
pub struct Staging {
    configured: usize,
    bytes_max: usize,
    allowed: Duration,
}

impl Staging {
    /// Nothing learned yet.
    #[must_use]
    pub fn new(staged_bytes_max: usize, transaction_timeout: Duration) -> Self {
        let allowed = transaction_timeout / PART_OF_TIMEOUT;
        Staging { configured: staged_bytes_max, bytes_max: staged_bytes_max, allowed }
    }

    /// A batch takes no more input once it holds this much, bytes; `is_whole`: whether an interval must be one
    /// batch; `has_state`: whether state is kept.
    #[must_use]
    pub fn bytes_max(&self, is_whole: bool, has_state: bool) -> usize {
        match (is_whole, has_state) {
            (true, _) => self.bytes_max,
            (false, true) => self.bytes_max.min(PART_BYTES),
            (false, false) => self.bytes_max.min(STATELESS_BYTES),
        }
    }

    /// Whether the log, rather than the configuration, is what bounds a batch.
    #[must_use]
    pub fn is_bound_by_log(&self) -> bool {
        self.bytes_max < self.configured
    }

    /// Learns that sending `bytes` and committing them, or giving them up, took this long.
    pub fn learn(&mut self, bytes: usize, took: Duration) {
        let least = STAGED_BYTES_MIN.min(self.configured);
        if took > self.allowed {
            let (allowed, took) = (self.allowed.as_millis(), took.as_millis().max(1));
            let fits = (bytes as u128).saturating_mul(allowed) / took;
            let fits = usize::try_from(fits).unwrap_or(usize::MAX);
            self.bytes_max = fits.min(self.bytes_max).max(least);
        } else if took < self.allowed / 2 {
            self.bytes_max = self.bytes_max.saturating_mul(2).min(self.configured);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_log_gets_smaller_batches_and_a_fast_one_what_is_configured() {
        let ms = Duration::from_millis;
        let mut staging = Staging::new(64 << 20, ms(8_000));
        staging.learn(64 << 20, ms(4_000));
        assert_eq!(staging.bytes_max(true, true), 64 << 20, "in time");
        staging.learn(64 << 20, ms(16_000));
        assert_eq!(staging.bytes_max(true, true), 16 << 20, "a quarter would have been in time");
        staging.learn(16 << 20, ms(3_000));
        assert_eq!(staging.bytes_max(true, true), 16 << 20, "just in time");
        staging.learn(1000, ms(60_000));
        assert_eq!(staging.bytes_max(true, true), 1 << 20, "never so little that nothing makes progress");
        assert_eq!(staging.bytes_max(false, true), 1 << 20);
        for _ in 0..10 {
            staging.learn(1 << 20, ms(10));
        }
        assert_eq!((staging.bytes_max(true, true), staging.bytes_max(false, true)), (64 << 20, 48 << 20));
        assert_eq!(
            (staging.bytes_max(true, false), staging.bytes_max(false, false)),
            (64 << 20, STATELESS_BYTES)
        );
    }
}
