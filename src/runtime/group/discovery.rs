//! Topics and partitions that appear while the program runs.
//!
//! Owns when the log is queried for them. Knows no batch. Invariants: the log is queried only at the barrier;
//! a partition that appears later is read from its beginning, whatever `starting_offsets` says; a log that
//! does not answer changes nothing.

use super::{Group, topics};
use crate::{error::Result, runtime::app::App};
use std::time::Duration;

/// When the log was queried, and what followed.
#[derive(Debug)]
pub(super) struct Discovery {
    /// When it was last queried for new topics and partitions.
    asked: Duration,
    /// Whether the group was asked for partitions that an earlier assignment could not know of.
    has_rejoined: bool,
}

impl Discovery {
    /// The topics are known as of `now`.
    pub(super) fn since(now: Duration) -> Self {
        Discovery { asked: now, has_rejoined: false }
    }
}

impl Group {
    /// Queries the log from time to time for topics that match a pattern and for partitions that were added.
    /// `true` = there are some: the group must be asked for a new assignment.
    ///
    /// # Errors
    /// If a topic was deleted and recreated.
    pub fn discover(&mut self, app: &App) -> Result<bool> {
        if app.since(self.discovery.asked) < app.config.metadata_refresh {
            return Ok(false);
        }
        self.discovery.asked = app.now();
        let found = match topics::inputs(app.env.log.as_ref(), &app.plan, &app.names) {
            Ok(found) => found,
            Err(e) => {
                tracing::warn!("cannot look for new topics and partitions: {e}");
                return Ok(false);
            }
        };
        if let Some(meta) = self.identity.meta() {
            meta.check(&found)?;
        }
        let known = |name: &String| self.topics.inputs.get(name).map(|topic| topic.partitions);
        let added: Vec<&String> = found.inputs.keys().filter(|name| known(name).is_none()).collect();
        let has_grown = |name: &String, partitions: u32| known(name).is_some_and(|known| known < partitions);
        let grown: Vec<&String> =
            found.inputs.iter().filter(|(n, t)| has_grown(n, t.partitions)).map(|(n, _)| n).collect();
        if added.is_empty() && grown.is_empty() {
            return Ok(false);
        }
        tracing::info!(
            ?added,
            ?grown,
            "topics or partitions were added: asking the group for a new assignment"
        );
        self.topics.inputs.extend(found.inputs); // a topic that is gone is reported by its fetcher
        self.discovery.has_rejoined = false;
        Ok(true)
    }

    /// Asks the group for a new assignment, unless it was already asked since topics or partitions were
    /// added.
    ///
    /// # Errors
    /// If the subscription is refused.
    pub fn rejoin_once(&mut self) -> Result {
        if std::mem::replace(&mut self.discovery.has_rejoined, true)
            || crate::failpoint::passes("mutant-no-rejoin")
        {
            return Ok(());
        }
        tracing::info!(
            "topics or partitions were added since the last run: asking the group for a new assignment"
        );
        Ok(self.member.rejoin()?)
    }
}
