//! Event time as one operator on one state partition knows it: how far each of its upstreams is, and the watermark that follows.
//!
//! Owns how a watermark advances. Knows no window and no store. Invariants: the watermark is the least of the greatest event times of
//! all upstreams, so one that has had no row yet holds it back; it never goes back, also not when an upstream appears or tells less
//! than before.

use super::Upstream;
use crate::record::Text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The durable name of an upstream, as state and rows of an exchange have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpstreamName(Text);

impl From<&Upstream> for UpstreamName {
    fn from(upstream: &Upstream) -> Self {
        UpstreamName(upstream.to_string().into())
    }
}

/// How far an upstream is in event time: its greatest time, milliseconds since the epoch; `None` = it has had no row yet.
pub type UpstreamMark = (UpstreamName, Option<i64>);

/// How far the upstreams of an operator are, and the watermark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    pub(super) upstreams: BTreeMap<UpstreamName, Option<i64>>,
    pub(super) watermark: Option<i64>,
}

impl Watermarks {
    /// The watermark, milliseconds since the epoch; `None` = an upstream has had no row yet.
    #[must_use]
    pub fn get(&self) -> Option<i64> {
        self.watermark
    }

    /// Takes up what upstreams told.
    pub fn advance(&mut self, news: impl IntoIterator<Item = UpstreamMark>) {
        for (upstream, time) in news {
            let known = self.upstreams.entry(upstream).or_default();
            *known = (*known).max(time);
        }
        let least = self.upstreams.values().copied().min().flatten();
        self.watermark = self.watermark.max(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_that_of_the_slowest_upstream_and_never_goes_back() {
        let mut watermarks = Watermarks::default();
        let mut at = |news: &[(&str, Option<i64>)]| {
            watermarks.advance(news.iter().map(|(name, time)| (UpstreamName((*name).into()), *time)));
            watermarks.get()
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
}
