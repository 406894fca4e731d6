//! Which windows over event time are open: their spans, and what a state partition remembers of event time.
//!
//! Owns the arithmetic of windows and the one row of state with the marks. Knows no key, no value and no clock. Invariants: rows are
//! late against the watermark before the batch, windows close with the one after it, so a batch's own rows never make its rows late;
//! while all upstreams are idle event time goes on until every window that has a row is closed, and no further.

use crate::{
    error::Result,
    operator::{Context, UpstreamMark, Watermarks},
    state::{Handle, Table},
};
use serde::{Deserialize, Serialize};

/// A key in a window, as it is in state and in rows of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowKey<K> {
    /// Where the window starts, milliseconds since the epoch; comes first, so that windows expire in key
    /// order.
    pub start_ms: i64,
    /// The key.
    pub key: K,
}

/// Size, hop and lateness of windows over event time, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpans {
    /// A window covers `[start, start + size)`.
    pub size_ms: i64,
    /// Windows start at multiples of this.
    pub hop_ms: i64,
    /// How long after its end a window still takes rows.
    pub lateness_ms: i64,
}

impl EventSpans {
    /// The starts of the windows that contain a time, the latest first; none before the epoch.
    pub fn starts(self, time_ms: i64) -> impl Iterator<Item = i64> {
        let last = self.hop_before(time_ms);
        let first = (time_ms - self.size_ms + 1).max(0);
        (0..).map(move |n| last - n * self.hop_ms).take_while(move |start| *start >= first)
    }

    /// The first start of a window that is not closed at a watermark; every earlier one is.
    #[must_use]
    pub fn first_open(self, watermark_ms: i64) -> i64 {
        watermark_ms.saturating_sub(self.lateness_ms).saturating_sub(self.size_ms).saturating_add(1)
    }

    /// The first start of a window that is open at the watermark of these marks.
    #[must_use]
    pub fn open_at(self, marks: &EventMarks) -> i64 {
        marks.time.get().map_or(i64::MIN, |watermark| self.first_open(watermark))
    }

    /// The least watermark at which the window that starts here is closed.
    #[must_use]
    pub fn closed_at(self, start_ms: i64) -> i64 {
        start_ms.saturating_add(self.size_ms).saturating_add(self.lateness_ms)
    }

    /// The greatest multiple of the hop at or before `start_ms`.
    fn hop_before(self, start_ms: i64) -> i64 {
        start_ms.div_euclid(self.hop_ms) * self.hop_ms
    }

    /// The first multiple of the hop that is not before `start_ms`.
    #[must_use]
    pub fn hop_from(self, start_ms: i64) -> i64 {
        self.hop_before(start_ms.saturating_add(self.hop_ms - 1))
    }

    /// The last watermark up to `watermark_ms` at which a window closes.
    #[must_use]
    pub fn last_close(self, watermark_ms: i64) -> i64 {
        self.closed_at(self.hop_before(self.first_open(watermark_ms).saturating_sub(1)))
    }
}

/// What a state partition knows about event time and about its windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMarks {
    /// How far event time is.
    pub time: Watermarks,
    /// The greatest start of a window that has had a row: later ones need not be looked up.
    pub newest: Option<i64>,
    /// Every window that starts before this is deleted.
    pub deleted: i64,
}

/// The marks while a batch is computed.
pub(super) struct EventTime {
    pub spans: EventSpans,
    store: Handle<Table<u8, EventMarks>>,
    /// As they were when the batch began, once something has asked.
    before: Option<EventMarks>,
    newest: Option<i64>,
    news: Vec<UpstreamMark>,
}

impl EventTime {
    pub fn new(spans: EventSpans, store: Handle<Table<u8, EventMarks>>) -> Self {
        EventTime { spans, store, before: None, newest: None, news: vec![] }
    }

    /// The marks as they were when the batch began.
    pub fn before(&mut self, cx: &mut Context<'_>) -> Result<&EventMarks> {
        if self.before.is_none() {
            self.before = Some(cx.stores.open(self.store).get(&0)?.unwrap_or_default());
        }
        Ok(self.before.get_or_insert_default())
    }

    /// A window has a row.
    pub fn saw(&mut self, start_ms: i64) {
        self.newest = self.newest.max(Some(start_ms));
    }

    /// Upstreams told how far they are; taken up when the batch ends.
    pub fn heard(&mut self, marks: Vec<UpstreamMark>) {
        self.news.extend(marks);
    }

    /// The marks that follow at the end of the batch.
    pub fn advance(&mut self, cx: &mut Context<'_>) -> Result<EventMarks> {
        let mut marks = self.before(cx)?.clone();
        marks.time.advance(std::mem::take(&mut self.news), cx.batch.is_roll_call);
        marks.newest = marks.newest.max(self.newest.take());
        let wanted = marks.newest.map(|start| self.spans.closed_at(start));
        marks.time.go_on(cx.batch.time, wanted, |watermark| self.spans.last_close(watermark));
        Ok(marks)
    }

    /// Stores the marks, if they have changed.
    pub fn end(&mut self, marks: EventMarks, cx: &mut Context<'_>) -> Result {
        if self.before.take().as_ref() != Some(&marks) {
            marks.time.get().into_iter().for_each(|watermark| cx.counters.watermark_moved(watermark));
            cx.stores.open(self.store).entry(0)?.set(marks);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_time() {
        let starts = |size_ms, hop_ms, time| {
            EventSpans { size_ms, hop_ms, lateness_ms: 0 }.starts(time).collect::<Vec<_>>()
        };
        assert_eq!(starts(10, 10, 29), [20]);
        assert_eq!(starts(30, 10, 59), [50, 40, 30]);
        assert_eq!(starts(30, 10, 60), [60, 50, 40]);
        assert_eq!(starts(30, 10, 9), [0], "none before the epoch");
        assert_eq!(starts(10, 30, 15), [0_i64; 0], "between two windows");
        assert_eq!(starts(25, 10, 24), [20, 10, 0]);
    }

    #[test]
    fn a_window_closes_when_the_watermark_is_past_its_end_and_lateness() {
        let spans = EventSpans { size_ms: 10, hop_ms: 10, lateness_ms: 5 };
        assert_eq!(spans.first_open(34), 20, "the window from 20 ends at 30 and takes rows until 35");
        assert_eq!(spans.first_open(35), 21);
        assert_eq!(spans.closed_at(20), 35);
        assert_eq!([34, 35, 44, 45].map(|watermark| spans.last_close(watermark)), [25, 35, 35, 45]);
        let hops = EventSpans { size_ms: 25, hop_ms: 10, lateness_ms: 0 };
        assert_eq!([34, 35, 44].map(|watermark| hops.last_close(watermark)), [25, 35, 35]);
        assert_eq!((hops.hop_from(20), hops.hop_from(21)), (20, 30));
    }
}
