//! Topics and partitions that appear while the program runs, and where a first start begins.
//!
//! Owns the looks at the log for them. Knows no batch. Invariants: it is looked only at the barrier; what appeared is read from its
//! beginning, whatever a first start was told; a log that does not answer changes nothing.

use super::{engine::Engine, topics};
use crate::{
    error::{Error, Result},
    record::Offset,
    source::Starting,
    task::recovery::SourceFacts,
};

impl Engine {
    /// Where a partition is read from that was never read before, by a program that never ran.
    pub(super) fn first_offset(&self, facts: &SourceFacts) -> Result<Offset> {
        let of_program = || Starting::from(self.config.starting_offsets);
        let at = &facts.at;
        let starting = self.plan.source_of(&at.topic).and_then(|(_, source)| source.starting.clone());
        match starting.unwrap_or_else(of_program) {
            Starting::Earliest => Ok(facts.start),
            Starting::Latest => Ok(facts.end),
            Starting::Timestamp(ms) => self.env.log.offset_at(at, ms),
            Starting::Offsets(offsets) => match offsets.get(at) {
                Some(offset) if (facts.start..=facts.end).contains(offset) => Ok(*offset),
                Some(offset) => Err(Error::Refused(format!(
                    "{at}: is to be read from {offset} on, but there is {} to {}\n  next: name an offset between them",
                    facts.start, facts.end
                ))),
                None if of_program() == Starting::Latest => Ok(facts.end),
                None => Ok(facts.start),
            },
        }
    }

    /// Looks now and then for topics that match a pattern and for partitions that were added, and asks the group for a new assignment.
    pub(super) fn refresh_topics(&mut self) -> Result {
        let now = self.env.clock.monotonic();
        let last = *self.refreshed.get_or_insert(now);
        let is_settled = self.unrecovered.is_empty() && !self.must_rejoin && !self.places().is_empty();
        if now.saturating_sub(last) < self.config.metadata_refresh || !is_settled {
            return Ok(());
        }
        self.refreshed = Some(now);
        let found = match topics::inputs(self.env.log.as_ref(), &self.plan, &self.names) {
            Ok(found) => found,
            Err(e) => {
                tracing::warn!("new topics and partitions cannot be looked for: {e}");
                return Ok(());
            }
        };
        if let Some(meta) = &self.meta {
            meta.check(&found)?;
        }
        let is_new = |name: &String| !self.topics.inputs.contains_key(name);
        let added: Vec<&String> = found.inputs.keys().filter(|name| is_new(name)).collect();
        let has_grown =
            |name: &String, n: u32| self.topics.inputs.get(name).is_some_and(|t| t.partitions < n);
        let grown: Vec<&String> =
            found.inputs.iter().filter(|(n, t)| has_grown(n, t.partitions)).map(|(n, _)| n).collect();
        if added.is_empty() && grown.is_empty() {
            return Ok(());
        }
        tracing::info!(
            ?added,
            ?grown,
            "topics or partitions were added: asking the group for a new assignment"
        );
        self.topics.inputs.extend(found.inputs); // a topic that is gone is told by its fetcher
        (self.first_rows_sent, self.rejoined) = (false, false);
        let _ = self.close_tasks();
        Ok(())
    }
}
