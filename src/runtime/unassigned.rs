//! Partitions that no process of the application reads, found and given to somebody.
//!
//! A process that is killed in the middle of a rebalance and is back within its session takes its place in the group as it was. What
//! it was about to give back then belongs to nobody, and the group thinks that all is well. Owns the looking for such partitions.
//! Knows no batch. Invariants: it is looked once for each generation of the group, after a session in which nothing changed, so
//! that partitions on their way are not taken for lost; what did not help is not tried again.

use super::engine::Engine;
use crate::record::TopicPartition;
use std::time::Duration;

/// How often the generation is compared.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the group.
#[derive(Debug, Default)]
pub(super) struct Unassigned {
    /// When it is compared again.
    next: Duration,
    generation: Option<i32>,
    since: Duration,
    has_looked: bool,
    /// What nobody held when it was last looked.
    before: Vec<TopicPartition>,
}

impl Unassigned {
    /// Whether it is time to look, now that the group is in this generation.
    fn is_time(&mut self, generation: i32, now: Duration, session: Duration) -> bool {
        if self.generation != Some(generation) {
            (self.generation, self.since, self.has_looked) = (Some(generation), now, false);
        }
        let is_time = !self.has_looked && now.saturating_sub(self.since) > session;
        self.has_looked |= is_time;
        is_time
    }
}

impl Engine {
    /// Asks the group for a new assignment if there are partitions that nobody reads. Called at the barrier.
    pub(super) fn find_unassigned(&mut self) {
        let now = self.env.clock.monotonic();
        let is_settled = self.unrecovered.is_empty() && !self.must_rejoin;
        if now < self.unassigned.next || !is_settled {
            return;
        }
        self.unassigned.next = now + PAUSE;
        let Ok(membership) = self.member.membership() else { return };
        if !self.unassigned.is_time(membership.generation, now, self.config.session_timeout) {
            return;
        }
        let mut topics: Vec<_> =
            self.topics.inputs.iter().map(|(name, info)| (name.clone(), info.partitions)).collect();
        if self.plan.has_state_partitions() {
            topics.push((self.names.exchange.to_string(), self.config.state_partitions));
        }
        let unassigned = match self.member.unassigned(&topics) {
            Ok(unassigned) => unassigned,
            Err(f) => {
                tracing::warn!("partitions that nobody reads cannot be looked for: {f}");
                return;
            }
        };
        if !unassigned.is_empty() && unassigned != self.unassigned.before {
            let list: Vec<_> = unassigned.iter().map(ToString::to_string).collect();
            tracing::warn!(
                "no process of `{}` reads {}: a rebalance was not finished; asking the group for a new assignment",
                self.config.application_id,
                list.join(", ")
            );
            let _ = self.close_tasks();
        }
        self.unassigned.before = unassigned;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_once_in_each_generation_after_a_quiet_session() {
        let mut unassigned = Unassigned::default();
        let at = Duration::from_secs;
        let mut is_time = |generation, now| unassigned.is_time(generation, at(now), at(10));
        assert!(!is_time(1, 0) && !is_time(1, 10));
        assert!(is_time(1, 11) && !is_time(1, 12) && !is_time(1, 100));
        assert!(!is_time(2, 101) && !is_time(3, 111) && !is_time(3, 121));
        assert!(is_time(3, 122) && !is_time(3, 200));
    }
}
