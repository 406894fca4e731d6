//! Streams of the records of topics.
//!
//! Owns what can be said of a source. Knows no log. Invariant: a source is named after its topics, so its durable names do too.

use super::{DStream, StreamBuilder};
use crate::{
    codec::Decode,
    plan::{Layout, Node, Role},
    record::Data,
    source::{BadRecordPolicy, SourceSpec, decoder},
};
use std::panic::Location;

/// Which topics a stream reads, and what happens to records that cannot be processed.
///
/// ```
/// use tidegate::{BadRecordPolicy, SourceOptions};
/// let clicks = SourceOptions::topic("clicks").on_bad_record(BadRecordPolicy::DeadLetter);
/// ```
#[derive(Clone, Debug)]
pub struct SourceOptions {
    topics: Vec<String>,
    policy: BadRecordPolicy,
}

impl SourceOptions {
    /// One topic.
    #[must_use]
    pub fn topic(name: impl Into<String>) -> Self {
        SourceOptions { topics: vec![name.into()], policy: BadRecordPolicy::default() }
    }

    /// Several topics whose records have one format.
    #[must_use]
    pub fn topics(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        SourceOptions {
            topics: names.into_iter().map(Into::into).collect(),
            policy: BadRecordPolicy::default(),
        }
    }

    /// What happens to records that cannot be decoded, or that make an operator fail.
    #[must_use]
    pub fn on_bad_record(mut self, policy: BadRecordPolicy) -> Self {
        self.policy = policy;
        self
    }
}

impl StreamBuilder {
    /// A stream of decoded records; `at` is the place in the user's program.
    pub fn source<T: Data>(
        &self,
        options: SourceOptions,
        decode: impl Decode<T> + 'static,
        at: &'static Location<'static>,
    ) -> DStream<T> {
        let SourceOptions { topics, policy } = options;
        if topics.is_empty() {
            self.plan().mistakes.push(format!("{at}: a source without a topic"));
        }
        let path = topics.join("+");
        let role = Role::Source(SourceSpec { topics, decoder: decoder(decode), policy, starting: None });
        self.add(Node { kind: "source", path, at, inputs: vec![], layout: Layout::Any, role, stores: vec![] })
    }
}
