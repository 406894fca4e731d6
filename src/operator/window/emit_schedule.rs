//! In which batches an operation acts if it does something even without rows, such as printing a header.
//!
//! Pure arithmetic. Invariant: behind a window it acts only at slides, as in Spark; rows of a slide whose
//! batch was missed come later and are never held back.

use crate::record::BatchTime;
use std::time::Duration;

/// Every batch, or every slide of the preceding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitSchedule {
    /// 1 = every batch.
    every_ms: i64,
}

impl EmitSchedule {
    /// For a stream with this slide; `None` = the batch interval.
    #[must_use]
    pub fn of(slide: Option<Duration>) -> Self {
        EmitSchedule {
            every_ms: slide.map_or(1, |s| i64::try_from(s.as_millis()).unwrap_or(i64::MAX)).max(1),
        }
    }

    /// Whether to act in the batch of this time.
    #[must_use]
    pub fn is_due(self, has_rows: bool, time: BatchTime) -> bool {
        has_rows || time.0 % self.every_ms == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rows_only_slides_count() {
        let due =
            |emit_schedule: EmitSchedule| [1, 2, 3, 4].map(|t| emit_schedule.is_due(false, BatchTime(t)));
        assert_eq!(due(EmitSchedule::of(None)), [true; 4]);
        let slides = EmitSchedule::of(Some(Duration::from_millis(2)));
        assert_eq!(due(slides), [false, true, false, true]);
        assert!(slides.is_due(true, BatchTime(3)), "rows of a slide that was missed");
    }
}
