//! Which of many bad records are logged.
//!
//! Owns the count of a second. Knows no record and no metric: all of them are counted elsewhere. Invariant: what is not logged is
//! told as a number, once, when its second is over.

/// Bad records that are logged in a second.
const LOGGED: u32 = 5;

/// The bad records of a second.
#[derive(Default)]
pub struct BadRecords {
    second: i64,
    logged: u32,
    left_out: u64,
}

impl BadRecords {
    /// How many were left out in the second that is over now, if it is.
    pub fn left_out(&mut self, now_ms: i64) -> Option<u64> {
        let second = now_ms / 1000;
        if self.second == second {
            return None;
        }
        let over = std::mem::replace(self, BadRecords { second, ..BadRecords::default() });
        Some(over.left_out).filter(|n| *n > 0)
    }

    /// Whether the next one is logged.
    pub fn is_logged(&mut self) -> bool {
        let is_logged = self.logged < LOGGED;
        self.logged += u32::from(is_logged);
        self.left_out += u64::from(!is_logged);
        is_logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_a_second_are_logged_and_the_others_told_once_as_a_number() {
        let mut bad = BadRecords::default();
        assert_eq!(bad.left_out(7_000), None);
        assert_eq!((0..1_000).filter(|_| bad.is_logged()).count(), 5);
        assert_eq!(bad.left_out(7_999), None, "the second is not over");
        assert_eq!((bad.left_out(8_000), bad.left_out(8_001), bad.left_out(9_000)), (Some(995), None, None));
        assert_eq!((0..6).filter(|_| bad.is_logged()).count(), 5);
        assert_eq!(bad.left_out(3_000), Some(1), "the clock went back");
        assert!(bad.is_logged());
        assert_eq!(bad.left_out(4_000), None, "nothing was left out");
    }
}
