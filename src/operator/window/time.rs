//! When windows over batch times are emitted and which batches they cover.
//!
//! Pure arithmetic on batch times. Knows no rows, no key and no state. Invariants: instants are the multiples of the slide, counted
//! from the epoch, so they are the same after any restart; an instant is emitted at most once; what a later instant covers is never
//! expired.

use std::ops::RangeInclusive;

/// Length and slide of a window over batch times, milliseconds.
///
/// The window of the instant `b` covers the batch times in `(b - length, b]`. Instants are the multiples of the slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "units come last")]
pub struct Slides {
    length_ms: i64,
    slide_ms: i64,
    parent_ms: i64,
}

impl Slides {
    /// The length, milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> i64 {
        self.length_ms
    }

    /// A window that is emitted at each multiple of `slide_ms`, over the rows of a stream that itself has
    /// rows only at multiples of `parent_ms`. 1 means "at every batch".
    #[must_use]
    pub fn new(length_ms: i64, slide_ms: i64, parent_ms: i64) -> Self {
        Slides { length_ms: length_ms.max(1), slide_ms: slide_ms.max(1), parent_ms: parent_ms.max(1) }
    }

    /// The time that the rows of a batch have in this window. Rows of a parent with a slide have the instant
    /// that they were emitted for, which is before the batch time if batches were skipped.
    #[must_use]
    pub fn time_of(&self, batch_ms: i64) -> i64 {
        floor(batch_ms, self.parent_ms)
    }

    /// The instant to be emitted at `time_ms`, if the last one was `emitted`. A stream that begins between
    /// two instants emits nothing before the second one. Skipped instants are not made up for.
    #[must_use]
    pub fn due(&self, time_ms: i64, emitted: Option<i64>) -> Option<i64> {
        let instant = floor(time_ms, self.slide_ms);
        match emitted {
            Some(last) => (instant > last).then_some(instant),
            None => (instant == time_ms).then_some(instant),
        }
    }

    /// The instant at or before a time.
    #[must_use]
    pub fn instant(&self, time_ms: i64) -> i64 {
        floor(time_ms, self.slide_ms)
    }

    /// The length of the panes that rows can be reduced to beforehand: each window consists of whole panes.
    #[must_use]
    pub fn pane_ms(&self) -> i64 {
        gcd(self.length_ms, self.slide_ms)
    }

    /// The end of the pane of `pane_ms` that contains a time; the end belongs to the pane.
    #[must_use]
    pub fn pane(&self, time_ms: i64, pane_ms: i64) -> i64 {
        floor(time_ms + pane_ms - 1, pane_ms)
    }

    /// The times that the window of an instant covers.
    #[must_use]
    pub fn covered(&self, instant: i64) -> RangeInclusive<i64> {
        instant - self.length_ms + 1..=instant
    }

    /// Everything up to this time is in no window after the instant `emitted`.
    #[must_use]
    pub fn expired_after(&self, emitted: i64) -> i64 {
        emitted + self.slide_ms - self.length_ms
    }

    /// The times that enter a running value from one instant to a later one.
    #[must_use]
    pub fn entering(&self, before: Option<i64>, instant: i64) -> RangeInclusive<i64> {
        let first = *self.covered(instant).start();
        before.map_or(first, |b| first.max(b + 1))..=instant
    }

    /// The times that leave a running value from one instant to a later one.
    #[must_use]
    pub fn leaving(&self, before: Option<i64>, instant: i64) -> RangeInclusive<i64> {
        let Some(before) = before else { return RangeInclusive::new(1, 0) };
        before - self.length_ms + 1..=(instant - self.length_ms).min(before)
    }
}

fn floor(time_ms: i64, step_ms: i64) -> i64 {
    time_ms.div_euclid(step_ms) * step_ms
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_3_that_slides_by_2() {
        let w = Slides::new(3, 2, 1);
        let due: Vec<_> = (1..=6).map(|t| w.due(t, None)).collect();
        assert_eq!(due, [None, Some(2), None, Some(4), None, Some(6)]);
        assert_eq!((w.covered(4), w.pane_ms(), w.expired_after(4)), (2..=4, 1, 3));
        assert_eq!((w.entering(Some(2), 4), w.leaving(Some(2), 4)), (3..=4, 0..=1));
    }

    #[test]
    fn skipped_instants_are_ignored_and_so_is_what_came_and_went_in_between() {
        let w = Slides::new(30, 10, 1);
        assert_eq!(w.due(47, Some(10)), Some(40));
        assert_eq!(w.due(47, Some(40)), None);
        assert_eq!((w.entering(Some(10), 20), w.leaving(Some(10), 20)), (11..=20, -19..=-10));
        assert_eq!((w.entering(Some(10), 90), w.leaving(Some(10), 90)), (61..=90, -19..=10));
        assert!(w.leaving(None, 40).is_empty());
        assert_eq!(w.entering(None, 40), 11..=40);
    }

    #[test]
    fn panes_tile_every_window() {
        for (length, slide) in [(3, 2), (30, 10), (10, 10), (10, 30), (7, 1)] {
            let w = Slides::new(length, slide, 1);
            let pane = w.pane_ms();
            for instant in [0, slide, 5 * slide] {
                for time in *w.covered(instant).start() - 40..=instant + 40 {
                    let inside = w.covered(instant).contains(&time);
                    assert_eq!(
                        w.covered(instant).contains(&w.pane(time, pane)),
                        inside,
                        "{length} {slide} {time}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_child_sees_rows_at_the_instant_they_were_emitted_for() {
        let child = Slides::new(40, 20, 10);
        assert_eq!((child.time_of(43), child.due(child.time_of(43), Some(20))), (40, Some(40)));
    }
}
