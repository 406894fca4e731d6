//! Finds the mistakes of a program, all at once, when it starts.
//!
//! Owns the checks that need the whole topology. Knows no log: topics are checked by the runtime. Invariant: every message
//! names file, line and column of the user's program and what to change.

use super::{Role, Topology};
use crate::{
    config::Trigger,
    error::{Error, Result},
    record::Map,
    state::StoreId,
};
use std::panic::Location;

impl Topology {
    /// Checks the topology as a whole, for batches that end as `trigger` says.
    ///
    /// # Errors
    /// [`Error::Plan`] with every mistake, one after another.
    pub fn validate(&self, trigger: Trigger) -> Result {
        let mut mistakes = self.mistakes.clone();
        self.check_outputs(&mut mistakes);
        let told = self.check_stores(&mut mistakes);
        self.check_edges(&told, &mut mistakes);
        self.check_sources(&mut mistakes);
        self.check_patterns(&mut mistakes);
        self.check_two_phase(&mut mistakes);
        self.check_windows(trigger, &mut mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(Error::Plan(mistakes.join("\n"))) }
    }

    fn check_outputs(&self, mistakes: &mut Vec<String>) {
        if !self.nodes.iter().any(|n| matches!(n.role, Role::Sink { .. })) {
            mistakes.push(
                "no output operations registered, so nothing to execute\n  help: end a stream with `.print()` or `.to_kafka(\"topic\")`"
                    .into(),
            );
        }
    }

    /// Answers the places of operations whose names were found wanting.
    fn check_stores(&self, mistakes: &mut Vec<String>) -> Vec<&'static Location<'static>> {
        let mut told = vec![];
        let mut names: Map<&str, &Location<'_>> = Map::default();
        let mut ids: Map<StoreId, &str> = Map::default();
        for (node, store) in self.nodes.iter().flat_map(|n| n.stores.iter().map(move |s| (n, s))) {
            let at = node.at;
            if let Some(other) = names.insert(&store.name, at) {
                if node.stores.first().is_some_and(|first| first.name != store.name) {
                    continue; // a further store of the same operation
                }
                told.push(at);
                mistakes.push(format!(
                    "{at}: this state and the one made at {other} would both be called `{}`\n  help: name one of them: `.named(\"...\")`",
                    store.name
                ));
            } else if let Some(other) = ids.insert(StoreId::of(&store.name), &store.name) {
                mistakes.push(format!(
                    "{at}: the store names `{}` and `{other}` have the same short id\n  help: choose another name for one of them",
                    store.name
                ));
            }
        }
        told
    }

    fn check_edges(&self, told: &[&Location<'_>], mistakes: &mut Vec<String>) {
        let mut names: Map<String, &Location<'_>> = Map::default();
        for (id, node) in self.iter().filter(|(_, n)| matches!(n.role, Role::Exchange(..))) {
            let name = self.edge_name(id);
            if let Some(other) = names.insert(name.clone(), node.at)
                && !told.contains(&node.at)
            {
                mistakes.push(format!(
                    "{}: the exchange of this operation and of the one made at {other} would both be called `{name}`\n  help: name one of them: `.named(\"...\")`",
                    node.at
                ));
            }
        }
    }

    fn check_two_phase(&self, mistakes: &mut Vec<String>) {
        let mut names: Map<&str, &Location<'_>> = Map::default();
        for node in &self.nodes {
            let Role::Sink { two_phase: Some(spec), .. } = &node.role else { continue };
            if let Some(other) = names.insert(&spec.name, node.at).filter(|_| !spec.name.is_empty()) {
                mistakes.push(format!(
                    "{}: `{}` is written here and at {other}\n  help: choose another place for one of them",
                    node.at, spec.name
                ));
            }
        }
    }

    /// A stream that reads what it writes would never end; with a pattern that is easily overlooked.
    fn check_patterns(&self, mistakes: &mut Vec<String>) {
        let patterns = self.sources().filter_map(|(id, s)| Some((self.node(id).at, s.pattern.as_ref()?)));
        for (at, pattern) in patterns {
            let text = pattern.as_str();
            if let Some(topic) = self.sink_topics().iter().find(|topic| pattern.matches(topic)) {
                mistakes.push(format!("{at}: the pattern `{text}` speaks of topic `{topic}`, which this program writes\n  help: choose a narrower pattern"));
            }
            let others = self.sources().filter(|(id, _)| self.node(*id).at != at);
            for topic in others.flat_map(|(_, s)| &s.topics).filter(|topic| pattern.matches(topic)) {
                mistakes.push(format!("{at}: the pattern `{text}` speaks of topic `{topic}`, which is read elsewhere\n  help: read it once and use the stream twice"));
            }
        }
    }

    fn check_sources(&self, mistakes: &mut Vec<String>) {
        let mut topics: Map<&str, &Location<'_>> = Map::default();
        for (id, source) in self.sources() {
            let at = self.node(id).at;
            for topic in &source.topics {
                if let Some(other) = topics.insert(topic, at) {
                    mistakes.push(format!(
                        "{at}: topic `{topic}` is read here and at {other}\n  help: read it once and use the stream twice"
                    ));
                }
            }
        }
    }
}
