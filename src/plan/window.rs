//! Windows over batch times, as the plan knows them: what must divide what.
//!
//! Owns the slide of a stream and the checks of durations. Knows no operator. Invariant: a stream has rows only at multiples of its
//! slide, which without a window is the batch interval.

use super::{Input, Node, Topology, WindowSpec};
use crate::{config::Trigger, operator::NodeId};
use std::time::Duration;

impl Topology {
    /// The slide of a stream; `None` = the batch interval.
    #[must_use]
    pub fn slide_of(&self, id: NodeId) -> Option<Duration> {
        self.node(id).slide
    }

    fn windows(&self) -> impl Iterator<Item = (&Node, WindowSpec)> {
        self.nodes.iter().filter_map(|node| Some((node, node.window?)))
    }

    /// The slide of each window (`None` = the batch interval), and how long after a row of the input it may still give it: its length
    /// and those of the windows before it.
    #[must_use]
    pub fn window_reaches(&self) -> Vec<(Option<Duration>, Duration)> {
        let (mut reaches, mut windows): (Vec<Duration>, _) = (vec![], vec![]);
        for node in &self.nodes {
            let before = node.inputs.iter().map(|input| reaches[input.node.0]).max().unwrap_or_default();
            let reach = node.window.map_or(before, |window| before + window.length);
            windows.extend(node.window.map(|window| (window.slide, reach)));
            reaches.push(reach);
        }
        windows
    }

    pub(super) fn check_windows(&self, trigger: Trigger, mistakes: &mut Vec<String>) {
        let Trigger::Interval(interval) = trigger else {
            mistakes.extend(self.windows().map(|(node, _)| {
                format!(
                    "{}: `{}` needs a batch interval\n  help: set one (--batch-interval-ms), or use a window over event time",
                    node.operation.place,
                    node.kind
                )
            }));
            return;
        };
        for (node, window) in self.windows() {
            let parent = node.inputs.iter().find_map(|i| self.slide_of(i.node)).unwrap_or(interval);
            let durations = [("window", Some(window.length)), ("slide", window.slide)];
            for (what, duration) in durations.into_iter().filter_map(|(what, d)| Some((what, d?))) {
                if !is_multiple(duration, parent) {
                    mistakes.push(format!(
                        "{}: The {what} duration of windowed DStream ({}) must be a multiple of the slide duration of parent DStream ({})",
                        node.operation.place,
                        shown(duration),
                        shown(parent)
                    ));
                }
            }
        }
        for node in self.nodes.iter().filter(|node| node.inputs.len() > 1) {
            let slide = |input: &Input| self.slide_of(input.node).unwrap_or(interval);
            if node.inputs.iter().any(|i| slide(i) != slide(&node.inputs[0])) {
                let slides: Vec<String> = node.inputs.iter().map(|i| shown(slide(i))).collect();
                mistakes.push(format!(
                    "{}: Some of the DStreams have different slide durations ({})\n  help: give both windows the same slide",
                    node.operation.place,
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
