//! Event time as one operator on one state partition knows it: how far each of its upstreams is, and the watermark that follows.
//!
//! Owns how a watermark advances. Knows no window and no store. Invariants: the watermark is the least of the greatest event times of
//! all upstreams that are not idle, so one that has had no row yet holds it back until it is idle; it never goes back, also not when an
//! upstream appears, goes, or tells less than before. While all upstreams are idle it goes on with the batch time, only as far as
//! something is waiting for it.

use super::Upstream;
use crate::record::{BatchTime, Text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The durable name of an upstream, as state and rows of an exchange have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpstreamName(Text);

impl UpstreamName {
    /// One of several parts of an upstream that each say how far they are; `part` is durable too.
    #[must_use]
    pub fn of_part(upstream: &Upstream, part: &str) -> Self {
        UpstreamName(format!("{upstream} {part}").into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Upstream> for UpstreamName {
    fn from(upstream: &Upstream) -> Self {
        UpstreamName(upstream.to_string().into())
    }
}

/// How far an upstream is in event time; travels behind the rows of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamMark {
    /// Which one.
    pub upstream: UpstreamName,
    /// Its greatest time, milliseconds since the epoch; `None` = it has had no row since its task began.
    pub time_ms: Option<i64>,
    /// Whether it does not hold the watermark back: everything that was there is read, and no row has come for a while.
    pub idle: bool,
}

/// How far an upstream is, as it is in state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamProgress {
    /// Its greatest time; `None` = it has had no row yet.
    pub time_ms: Option<i64>,
    /// Whether it does not hold the watermark back.
    pub idle: bool,
}

/// How far the upstreams of an operator are, and the watermark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    upstreams: BTreeMap<UpstreamName, UpstreamProgress>,
    watermark: Option<i64>,
    /// Since all upstreams are idle: a batch time, and the watermark then.
    idle_since: Option<(BatchTime, i64)>,
}

impl Watermarks {
    /// The watermark, milliseconds since the epoch; `None` = an upstream has had no row yet.
    #[must_use]
    pub fn get(&self) -> Option<i64> {
        self.watermark
    }

    /// Whether all upstreams are idle.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.upstreams.is_empty() && self.upstreams.values().all(|upstream| upstream.idle)
    }

    /// Takes up what upstreams told. In a roll call all of them tell: those that do not are gone.
    pub fn advance(&mut self, news: Vec<UpstreamMark>, is_roll_call: bool) {
        if is_roll_call {
            let here: BTreeSet<&UpstreamName> = news.iter().map(|mark| &mark.upstream).collect();
            self.upstreams.retain(|upstream, _| here.contains(upstream));
        }
        for UpstreamMark { upstream, time_ms, idle } in news {
            let known = self.upstreams.entry(upstream).or_default();
            *known = UpstreamProgress { time_ms: known.time_ms.max(time_ms), idle };
        }
        let active = self.upstreams.values().filter(|upstream| !upstream.idle);
        let reached = match active.map(|upstream| upstream.time_ms).min() {
            Some(least) => least,
            None => self.upstreams.values().filter_map(|upstream| upstream.time_ms).max(),
        };
        self.watermark = self.watermark.max(reached);
    }

    /// While all upstreams are idle, the watermark goes on as fast as batch times do, up to `wanted_ms`, the last one that anything
    /// waits for. It moves only to what `step` makes of a time: the last one before it at which something happens.
    pub fn go_on(&mut self, now: BatchTime, wanted_ms: Option<i64>, step: impl Fn(i64) -> i64) {
        if !self.is_idle() {
            self.idle_since = None;
            return;
        }
        let (Some(watermark), Some(wanted)) = (self.watermark, wanted_ms) else { return };
        if watermark >= wanted {
            return;
        }
        let (since, from) = *self.idle_since.get_or_insert((now, watermark));
        let reached = from.saturating_add(now.0.saturating_sub(since.0)).min(wanted);
        self.watermark = self.watermark.max(Some(step(reached)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark((name, time_ms, idle): &(&str, Option<i64>, bool)) -> UpstreamMark {
        UpstreamMark { upstream: UpstreamName((*name).into()), time_ms: *time_ms, idle: *idle }
    }

    fn told(watermarks: &mut Watermarks, news: &[(&str, Option<i64>, bool)]) -> Option<i64> {
        watermarks.advance(news.iter().map(mark).collect(), false);
        watermarks.get()
    }

    #[test]
    fn the_watermark_is_that_of_the_slowest_upstream_and_never_goes_back() {
        let mut watermarks = Watermarks::default();
        let mut at = |news: &[(&str, Option<i64>)]| {
            let news: Vec<_> = news.iter().map(|(name, time)| (*name, *time, false)).collect();
            told(&mut watermarks, &news)
        };
        assert_eq!(at(&[("a", Some(10)), ("b", None)]), None, "an upstream without rows holds it back");
        assert_eq!(at(&[("b", Some(7))]), Some(7));
        assert_eq!(at(&[("a", Some(9)), ("b", Some(12))]), Some(10), "a's 10 stays");
        assert_eq!(
            at(&[("a", None), ("c", None)]),
            Some(10),
            "neither a restart nor a new upstream moves it back"
        );
        assert_eq!(at(&[("c", Some(3))]), Some(10));
    }

    #[test]
    fn an_idle_upstream_holds_nothing_back_until_it_has_rows_again() {
        let mut watermarks = Watermarks::default();
        assert_eq!(told(&mut watermarks, &[("a", Some(10), false), ("b", None, false)]), None);
        assert_eq!(told(&mut watermarks, &[("b", None, true)]), Some(10), "b never had a row");
        assert_eq!(told(&mut watermarks, &[("a", Some(20), false)]), Some(20));
        assert!(!watermarks.is_idle(), "a has rows");
        assert_eq!(told(&mut watermarks, &[("b", Some(15), false)]), Some(20), "never back");
        assert_eq!(told(&mut watermarks, &[("a", Some(30), false)]), Some(20), "b is at 15");
        assert_eq!(
            told(&mut watermarks, &[("a", Some(30), true), ("b", None, true)]),
            Some(30),
            "the greatest"
        );
        assert!(watermarks.is_idle() && !Watermarks::default().is_idle());
    }

    #[test]
    fn who_does_not_answer_a_roll_call_is_gone() {
        let mut watermarks = Watermarks::default();
        told(&mut watermarks, &[("a", Some(10), false), ("gone", Some(3), false)]);
        assert_eq!(watermarks.get(), Some(3));
        watermarks.advance(vec![mark(&("a", None, false))], true);
        assert_eq!((watermarks.get(), watermarks.upstreams.len()), (Some(10), 1));
    }

    #[test]
    fn while_all_are_idle_it_goes_on_with_batch_time_as_far_as_wanted() {
        let mut watermarks = Watermarks::default();
        told(&mut watermarks, &[("a", Some(1_012), true)]);
        let mut at = |now, wanted| {
            watermarks.go_on(BatchTime(now), wanted, |time| time / 10 * 10);
            watermarks.get()
        };
        assert_eq!(at(500, None), Some(1_012), "nothing waits");
        assert_eq!(at(600, Some(1_045)), Some(1_012), "from here on");
        assert_eq!(at(607, Some(1_045)), Some(1_012));
        assert_eq!(at(608, Some(1_045)), Some(1_020), "1012 + 8");
        assert_eq!(at(900, Some(1_045)), Some(1_040), "not further than wanted");
        told(&mut watermarks, &[("a", Some(1_030), false)]);
        watermarks.go_on(BatchTime(950), Some(2_000), |time| time);
        assert_eq!(watermarks.get(), Some(1_040), "rows again: they say how late it is");
        told(&mut watermarks, &[("a", None, true)]);
        watermarks.go_on(BatchTime(1_000), Some(2_000), |time| time);
        watermarks.go_on(BatchTime(1_007), Some(2_000), |time| time);
        assert_eq!(watermarks.get(), Some(1_047), "from the new standstill on");
    }
}
