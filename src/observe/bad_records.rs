//! Decides which of many bad records are logged.
//!
//! Owns the count of one second. Knows no record and no metric: all bad records are counted elsewhere. Invariant:
//! those that are not logged are reported as a number, once, when their second is over.

/// Bad records that are logged per second.
const LOGGED: u32 = 5;

/// The bad records of one second.
#[derive(Default)]
pub struct BadRecords {
    second: i64,
    logged: u32,
    suppressed: u64,
}

impl BadRecords {
    /// How many were not logged in the second that has just ended, if one has.
    pub fn suppressed(&mut self, now_ms: i64) -> Option<u64> {
        let second = now_ms / 1000;
        if self.second == second {
            return None;
        }
        let over = std::mem::replace(self, BadRecords { second, ..BadRecords::default() });
        Some(over.suppressed).filter(|n| *n > 0)
    }

    /// Whether the next one is logged.
    pub fn is_logged(&mut self) -> bool {
        let is_logged = self.logged < LOGGED;
        self.logged += u32::from(is_logged);
        self.suppressed += u64::from(!is_logged);
        is_logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_per_second_are_logged_and_the_others_reported_once_as_a_number() {
        let mut bad = BadRecords::default();
        assert_eq!(bad.suppressed(7_000), None);
        assert_eq!((0..1_000).filter(|_| bad.is_logged()).count(), 5);
        assert_eq!(bad.suppressed(7_999), None, "the second is not over");
        assert_eq!(
            (bad.suppressed(8_000), bad.suppressed(8_001), bad.suppressed(9_000)),
            (Some(995), None, None)
        );
        assert_eq!((0..6).filter(|_| bad.is_logged()).count(), 5);
        assert_eq!(bad.suppressed(3_000), Some(1), "the clock went back");
        assert!(bad.is_logged());
        assert_eq!(bad.suppressed(4_000), None, "nothing was suppressed");
    }
}
