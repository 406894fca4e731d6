//! Topics and partitions that appear or go while the program runs.
//!
//! Owns when the log is queried for them. Knows no batch. The group of a program without state has to be asked for a new
//! assignment then; with state, whoever owns the state partition that a source partition goes with takes it up by
//! itself. Invariants: the log is queried only at the barrier;
//! a partition that appears later is read from its beginning, whatever `starting_offsets` says; a topic that a
//! pattern matched may go, or be made anew; one that the program names may not; a log that does not answer
//! changes nothing.

use super::{Group, topics::Found};
use crate::{
    error::{Error, Result},
    log::TopicInfo,
    record::TopicPartition,
    runtime::{app::App, events::Observed},
};
use std::{mem, time::Duration};

/// When the log was queried, and what followed.
#[derive(Debug)]
pub(super) struct Discovery {
    /// When it was last queried for new topics and partitions.
    asked: Duration,
    /// Whether the group was asked for partitions that an earlier assignment could not know of.
    has_rejoined: bool,
    /// Whether the group was asked for an assignment without topics that no longer exist.
    has_left: bool,
    /// Topics that the program names, or patterns, that did not exist when the log was last queried.
    missing: Vec<String>,
}

impl Discovery {
    /// The topics are known as of `now`.
    pub(super) fn since(now: Duration) -> Self {
        Discovery { asked: now, has_rejoined: false, has_left: false, missing: vec![] }
    }
}

impl Group {
    /// Whether it is time to look for topics that appeared or are gone, and for partitions that were added.
    pub fn must_discover(&mut self, app: &App) -> bool {
        let is_time = app.since(self.discovery.asked) >= app.config.metadata_refresh;
        if is_time {
            self.discovery.asked = app.now();
        }
        is_time
    }

    /// What was found. Returns, if anything has changed, the topics that are not what they were: gone, or made anew.
    ///
    /// # Errors
    /// If a topic that the program names was deleted and made anew.
    pub fn discovered(&mut self, app: &App, found: Found) -> Result<Option<Vec<String>>> {
        self.report_missing(app, [found.missing, found.unmatched].concat());
        self.identity.learn(app, &found.topics)?;
        let (before, now) = (&self.topics.inputs, &found.topics.inputs);
        let names = |of: Vec<&String>| of.into_iter().cloned().collect::<Vec<String>>();
        let added = names(now.keys().filter(|name| !before.contains_key(*name)).collect());
        let is_gone = |name: &&String| !now.contains_key(*name) && !self.discovery.missing.contains(*name);
        // Without any topic the group cannot be joined: then all wait until one exists.
        let gone = names(before.keys().filter(|_| !now.is_empty()).filter(is_gone).collect());
        let is_anew =
            |(name, topic): &(&String, &TopicInfo)| before.get(*name).is_some_and(|b| b.id != topic.id);
        let anew = names(now.iter().filter(is_anew).map(|(name, _)| name).collect());
        let has_grown = |(name, topic): &(&String, &TopicInfo)| {
            before.get(*name).is_some_and(|b| b.id == topic.id && b.partitions < topic.partitions)
        };
        let grown = names(now.iter().filter(has_grown).map(|(name, _)| name).collect());
        if [&added, &gone, &anew, &grown].iter().all(|topics| topics.is_empty()) {
            return Ok(None);
        }
        tracing::info!(?added, ?gone, ?anew, ?grown, "input topics have changed");
        self.topics.inputs.retain(|name, _| !gone.contains(name));
        self.topics.inputs.extend(found.topics.inputs);
        self.discovery.has_rejoined = false;
        Ok(Some([gone, anew].concat()))
    }

    /// Says once that input topics are gone, and once that they are back.
    fn report_missing(&mut self, app: &App, missing: Vec<String>) {
        if self.discovery.missing == missing {
            return;
        }
        if missing.is_empty() {
            tracing::info!("all input topics exist again");
        } else {
            tracing::warn!(
                "input topics that do not exist any more: {}; nothing is read from them\n  next: create them, or change the program",
                missing.join(", ")
            );
        }
        app.observe(&Observed::InputsMissing(&missing));
        self.discovery.missing = missing;
    }

    /// Asks the group for a new assignment, unless it was already asked since topics or partitions were
    /// added.
    ///
    /// # Errors
    /// If the subscription is refused.
    pub fn rejoin_once(&mut self) -> Result {
        if mem::replace(&mut self.discovery.has_rejoined, true)
            || crate::failpoint::passes("mutant-no-rejoin")
        {
            return Ok(());
        }
        tracing::info!(
            "topics or partitions were added since the last run: asking the group for a new assignment"
        );
        Ok(self.joined_mut()?.rejoin()?)
    }

    /// Whether partitions were assigned that we have not asked for. A static member that starts again gets its old
    /// assignment back even if a topic of it was deleted, or if an earlier version subscribed to other topics: then the
    /// group has to be left once.
    ///
    /// # Errors
    /// If that has not helped.
    pub fn must_leave_for(&mut self, app: &App, assigned: &[TopicPartition]) -> Result<bool> {
        let subscription = self.subscription(app);
        let is_ours = |topic: &str| subscription.iter().any(|name| name == topic);
        let Some(other) = assigned.iter().find(|at| !is_ours(&at.topic)) else { return Ok(false) };
        if mem::replace(&mut self.discovery.has_left, true) {
            return Err(Error::Refused(format!(
                "the group assigned {other}, which this program does not subscribe to: another program runs, or ran a moment ago, under the application id `{}` (or this one, with another input)\n  next: give each program an application id of its own (--application-id); if only the input has changed, start again after the session timeout",
                app.config.application_id
            )));
        }
        tracing::warn!(
            "the group assigned {other}, which an earlier process of this name has subscribed to, and this one has not: asking the group for a new assignment"
        );
        Ok(true)
    }

    /// Everything that was assigned could be taken over.
    pub fn assignment_is_known(&mut self) {
        self.discovery.has_left = false;
    }
}
