//! Windows over batch times, as the plan knows them: what must divide what.
//!
//! Owns the slide of a stream and the checks of durations. Knows no operator. Invariant: a stream has rows only at multiples of its
//! slide, which without a window is the batch interval.

use super::Topology;
use crate::{config::Trigger, operator::NodeId};
use std::time::Duration;

/// Length and slide of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// How far back it reaches.
    pub length: Duration,
    /// How often it gives rows; `None` = at every batch.
    pub slide: Option<Duration>,
}

impl Topology {
    /// The slide of a stream; `None` = the batch interval.
    #[must_use]
    pub fn slide_of(&self, id: NodeId) -> Option<Duration> {
        match self.windows.get(&id) {
            Some(window) => window.slide,
            None => self.node(id).inputs.iter().find_map(|input| self.slide_of(*input)),
        }
    }

    pub(super) fn check_windows(&self, trigger: Trigger, mistakes: &mut Vec<String>) {
        let Trigger::Interval(interval) = trigger else {
            mistakes.extend(self.windows.keys().map(|id| {
                format!(
                    "{}: `{}` needs a batch interval\n  help: set one (--batch-interval-ms), or use a window over event time",
                    self.node(*id).at,
                    self.node(*id).kind
                )
            }));
            return;
        };
        for (id, window) in &self.windows {
            let node = self.node(*id);
            let parent = node.inputs.iter().find_map(|i| self.slide_of(*i)).unwrap_or(interval);
            let durations = [("window", Some(window.length)), ("slide", window.slide)];
            for (what, duration) in durations.into_iter().filter_map(|(what, d)| Some((what, d?))) {
                if !is_multiple(duration, parent) {
                    mistakes.push(format!(
                        "{}: The {what} duration of windowed DStream ({}) must be a multiple of the slide duration of parent DStream ({})",
                        node.at,
                        shown(duration),
                        shown(parent)
                    ));
                }
            }
        }
        for (id, node) in self.iter().filter(|(_, n)| n.inputs.len() > 1) {
            let slide = |input: &NodeId| self.slide_of(*input).unwrap_or(interval);
            if node.inputs.iter().any(|i| slide(i) != slide(&node.inputs[0])) {
                let slides: Vec<String> = self.node(id).inputs.iter().map(|i| shown(slide(i))).collect();
                mistakes.push(format!(
                    "{}: Some of the DStreams have different slide durations ({})\n  help: give both windows the same slide",
                    node.at,
                    slides.join(", ")
                ));
            }
        }
    }
}

fn is_multiple(duration: Duration, of: Duration) -> bool {
    !duration.is_zero() && duration.as_nanos().is_multiple_of(of.as_nanos().max(1))
}

/// As Spark prints a duration.
fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    if duration == Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)) {
        format!("{millis} ms")
    } else {
        format!("{duration:?}")
    }
}
