//! The names of the internal topics of an application.
//!
//! Owns the names. Knows no log. Invariant: a name follows from the application id alone, so every process finds the same topics.

use crate::{
    record::{InstanceId, Partition, TopicPartition},
    sink::outbox,
};
use std::sync::Arc;

/// The names of the internal topics.
#[derive(Clone, Debug)]
pub struct Names {
    /// Rows between processes; the group assigns state partitions by it.
    pub exchange: Arc<str>,
    /// Changes of state.
    pub changelog: Arc<str>,
    /// Topology, topic identities and witnesses.
    pub meta: Arc<str>,
    /// Records that could not be processed.
    pub dead_letters: Arc<str>,
}

/// The name of the transactions of a process.
#[must_use]
pub fn transactional_id(application_id: &str, instance: &InstanceId) -> String {
    format!("{application_id}-{instance}")
}

impl Names {
    /// The names of an application.
    #[must_use]
    pub fn of(application_id: &str) -> Self {
        let name = |suffix: &str| Arc::from(format!("{application_id}-{suffix}"));
        Names {
            exchange: name("exchange"),
            changelog: name("changelog"),
            meta: name("meta"),
            dead_letters: name("dlq"),
        }
    }

    /// Whether a topic is one of the application's own.
    #[must_use]
    pub fn is_internal(&self, topic: &str) -> bool {
        let prefix = self.exchange.trim_end_matches("exchange");
        let of_kind = |rest: &str| rest.starts_with("ingest-") || outbox::is_internal(rest);
        self.is_of_engine(topic) || topic.strip_prefix(prefix).is_some_and(of_kind)
    }

    /// Whether a topic holds what the engine itself needs: none of its rows can be left out.
    #[must_use]
    pub fn is_of_engine(&self, topic: &str) -> bool {
        [&self.exchange, &self.changelog, &self.meta, &self.dead_letters].iter().any(|name| ***name == *topic)
    }

    /// The changelog of a state partition.
    #[must_use]
    pub fn changelog_of(&self, partition: Partition) -> TopicPartition {
        TopicPartition { topic: self.changelog.clone(), partition }
    }
}
