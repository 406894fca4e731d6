//! Which source partitions go with which state partition.
//!
//! The group of a program with state assigns the exchange topic only: a state partition, with all that belongs to it.
//! Whoever owns one also reads its share of the source partitions, and commits their offsets in the same group. So new
//! topics and partitions need no new assignment. Owns the arithmetic. Knows no log. Invariants: a source partition
//! goes with one state partition, the same in every process and every run; a topic or a partition that is added moves no
//! other; the sources of the process itself go with state partition 0.

use super::Group;
use crate::{
    record::{Partition, TopicPartition, short_hash},
    runtime::app::App,
};

/// The state partition, of `count`, that a source partition goes with: those of a topic go round, and topics begin at
/// different ones.
fn shard_of(at: &TopicPartition, count: u32) -> Partition {
    let number = u64::from(short_hash(at.topic.as_bytes())) + u64::from(at.partition.0);
    Partition(u32::try_from(number % u64::from(count)).expect("below `count`, which is a u32"))
}

impl Group {
    /// The topics that the group assigns.
    pub(super) fn subscription(&self, app: &App) -> Vec<String> {
        if app.plan.has_state_partitions() {
            return vec![app.names.exchange.to_string()];
        }
        self.topics.inputs.keys().cloned().collect()
    }

    /// What the group has assigned or revoked, with the source partitions that go with it.
    #[must_use]
    pub fn with_sources(&self, app: &App, mut at: Vec<TopicPartition>) -> Vec<TopicPartition> {
        if app.plan.has_state_partitions() {
            let shards: Vec<Partition> =
                at.iter().filter(|at| at.topic == app.names.exchange).map(|at| at.partition).collect();
            at.extend(self.sources_of(app, &shards));
        }
        at
    }

    /// The source partitions that go with these state partitions, as far as their topics are known.
    pub fn sources_of(&self, app: &App, shards: &[Partition]) -> impl Iterator<Item = TopicPartition> {
        let inputs = self.topics.inputs.iter();
        let all = inputs.flat_map(|(topic, info)| {
            let topic = TopicPartition::new(topic.as_str(), 0).topic;
            (0..info.partitions)
                .map(move |p| TopicPartition { topic: topic.clone(), partition: Partition(p) })
        });
        let count = app.config.state_partitions;
        all.filter(move |at| shards.contains(&shard_of(at, count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn source_partitions_go_round_the_state_partitions_from_a_place_that_follows_from_the_topic() {
        let of = |topic: &str, p, count| shard_of(&TopicPartition::new(topic, p), count).0;
        // Written down: a change moves source partitions between the processes of a running application.
        assert_eq!([0, 1, 2, 7, 8].map(|p| of("lines", p, 8)), [0, 1, 2, 7, 0]);
        assert_eq!([0, 1, 2].map(|p| of("events", p, 8)), [3, 4, 5]);
        for count in [1, 3, 8, 1_000] {
            let first: BTreeSet<u32> = (0..count).map(|p| of("lines", p, count)).collect();
            assert_eq!(first.len(), count as usize, "each has one of the first {count}");
        }
        assert!(of("lines", u32::MAX, 8) < 8);
    }
}
