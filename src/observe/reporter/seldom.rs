//! Decides when something that goes on is logged again.
//!
//! Owns the count since the last line. Knows no text. Invariant: everything that is counted is told, at once or when the pause is over.

/// Pause between two lines, milliseconds.
const PAUSE_MS: i64 = 10_000;

/// Something that is told once in a while, with how much of it there was.
#[derive(Default)]
pub struct Seldom {
    told_at_ms: Option<i64>,
    untold: u64,
}

impl Seldom {
    /// There was more of it.
    pub fn add(&mut self, count: u64) {
        self.untold += count;
    }

    /// How much there was since this was last answered, if it is time to tell.
    pub fn due(&mut self, now_ms: i64) -> Option<u64> {
        let is_due = self.untold > 0
            && self.told_at_ms.is_none_or(|told| !(told..told.saturating_add(PAUSE_MS)).contains(&now_ms));
        is_due.then(|| {
            self.told_at_ms = Some(now_ms);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_what_follows_together() {
        let mut late = Seldom::default();
        assert_eq!(late.due(5_000), None, "nothing happened");
        late.add(3);
        assert_eq!((late.due(5_000), late.due(5_000)), (Some(3), None));
        late.add(1);
        late.add(2);
        assert_eq!((late.due(14_999), late.due(15_000)), (None, Some(3)));
        late.add(1);
        assert_eq!(late.due(2_000), Some(1), "the clock went back");
    }
}
