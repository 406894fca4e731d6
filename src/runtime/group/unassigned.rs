//! Partitions that no process of the application reads: they are found and get assigned again.
//!
//! A process that is killed in the middle of a rebalance and is back within its session timeout takes its old
//! place in the group. The partitions that it was about to give back then belong to nobody, and the group
//! believes that all is well. Owns the search for such partitions. Knows no batch. Invariants: the group is
//! inspected once per generation, after a session in which nothing changed, so that partitions on their way
//! to another member are not taken for lost; what did not help is not tried again.

use super::Group;
use crate::{log::Question, record::TopicPartition, runtime::app::App};
use std::time::Duration;

/// How often the generation is compared.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known about the group.
#[derive(Debug, Default)]
pub(super) struct Unassigned {
    /// When the generation is compared next.
    next: Duration,
    generation: Option<i32>,
    since: Duration,
    has_looked: bool,
    /// The partitions that nobody held at the last inspection.
    before: Vec<TopicPartition>,
}

impl Unassigned {
    /// Whether it is time to inspect the group, now that it is in this generation.
    fn is_time(&mut self, generation: i32, now: Duration, session: Duration) -> bool {
        if self.generation != Some(generation) {
            (self.generation, self.since, self.has_looked) = (Some(generation), now, false);
        }
        let is_time = !self.has_looked && now.saturating_sub(self.since) > session;
        self.has_looked |= is_time;
        is_time
    }
}

impl Group {
    /// Asks for partitions that nobody reads, once in each generation of the group, which is given with it.
    pub fn finding_unassigned(&mut self, app: &App) -> Option<(i32, Question<Vec<TopicPartition>>)> {
        let now = app.now();
        if now < self.unassigned.next {
            return None;
        }
        self.unassigned.next = now + PAUSE;
        let membership = self.membership().ok()?;
        if !self.unassigned.is_time(membership.generation, now, app.config.session_timeout) {
            return None;
        }
        let partitions =
            |topic: &str| self.topics.inputs.get(topic).map_or(app.config.state_partitions, |t| t.partitions);
        let subscription = self.subscription(app).into_iter();
        let topics: Vec<_> = subscription.map(|topic| (topic.clone(), partitions(&topic))).collect();
        Some((membership.generation, self.joined().ok()?.unassigned(&topics)))
    }

    /// Nobody read these partitions in that generation. `true` = the group must be asked for a new assignment.
    pub fn found_unassigned(&mut self, app: &App, generation: i32, unassigned: Vec<TopicPartition>) -> bool {
        if self.unassigned.generation != Some(generation) {
            return false; // they have been assigned since
        }
        let found = !unassigned.is_empty() && unassigned != self.unassigned.before;
        if found {
            let list: Vec<_> = unassigned.iter().map(ToString::to_string).collect();
            tracing::warn!(
                "no process of `{}` reads {}: a rebalance did not finish; asking the group for a new assignment",
                app.config.application_id,
                list.join(", ")
            );
        }
        self.unassigned.before = unassigned;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_inspected_once_per_generation_after_a_quiet_session() {
        let mut unassigned = Unassigned::default();
        let at = Duration::from_secs;
        let mut is_time = |generation, now| unassigned.is_time(generation, at(now), at(10));
        assert!(!is_time(1, 0) && !is_time(1, 10));
        assert!(is_time(1, 11) && !is_time(1, 12) && !is_time(1, 100));
        assert!(!is_time(2, 101) && !is_time(3, 111) && !is_time(3, 121));
        assert!(is_time(3, 122) && !is_time(3, 200));
    }
}
