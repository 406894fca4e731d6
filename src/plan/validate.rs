//! Finds the mistakes of a program, all at once, when it starts.
//!
//! Owns the checks that need the whole topology. Knows no log: topics are checked by the runtime. Invariant: every message
//! names file, line and column of the user's program and what to change.

use super::{OperationId, Place, Role, Topology};
use crate::{
    config::Trigger,
    error::{Error, Result},
    operator::EdgeId,
    record::Map,
    state::StoreId,
};

impl Topology {
    /// Checks the topology as a whole, for batches that end as `trigger` says.
    ///
    /// # Errors
    /// [`Error::Plan`] with every mistake, one after another.
    pub fn validate(&self, trigger: Trigger) -> Result {
        let mut mistakes = self.mistakes.clone();
        self.check_outputs(&mut mistakes);
        self.check_types(&mut mistakes);
        let told = self.check_stores(&mut mistakes);
        self.check_edges(&told, &mut mistakes);
        self.check_sources(&mut mistakes);
        self.check_loops(&mut mistakes);
        self.check_patterns(&mut mistakes);
        self.check_two_phase(&mut mistakes);
        self.check_windows(trigger, &mut mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(Error::Plan(mistakes.join("\n"))) }
    }

    fn check_outputs(&self, mistakes: &mut Vec<String>) {
        if !self.nodes.iter().any(|n| matches!(n.role, Role::Sink { .. })) {
            mistakes.push(
                "no output operations registered, so nothing to execute\n  help: end a stream with `.print()`, with `.to_kafka_values(\"topic\", Utf8)`, or, if its rows are pairs, with `.to_kafka(\"topic\", Utf8, Json)`"
                    .into(),
            );
        }
    }

    /// What is kept or moved must come back as it was.
    fn check_types(&self, mistakes: &mut Vec<String>) {
        const HELP: &str = "make its `Serialize` and `Deserialize` agree, or use another type";
        let mut told = vec![];
        for node in &self.nodes {
            let of_store = node.stores.iter().find_map(|store| store.refusal.clone());
            let of_exchange = || match &node.role {
                Role::Exchange(_, format) => format.refusal(),
                _ => None,
            };
            let of_carried = || {
                let inputs = node.inputs.iter().zip(&node.formats);
                let mut carried = inputs.filter(|(input, _)| self.is_carried(**input, node.stage));
                carried.find_map(|(_, format)| format.refusal())
            };
            let Some(why) = of_store.or_else(of_exchange).or_else(of_carried) else { continue };
            if !told.contains(&node.operation.id) {
                told.push(node.operation.id);
                mistakes.push(format!("{}: {why}\n  help: {HELP}", node.operation.place));
            }
        }
    }

    /// Answers the operations whose names were found wanting.
    fn check_stores(&self, mistakes: &mut Vec<String>) -> Vec<OperationId> {
        let mut told = vec![];
        let mut names: Map<&str, &Place> = Map::default();
        let mut ids: Map<StoreId, &str> = Map::default();
        for (node, store) in self.nodes.iter().flat_map(|n| n.stores.iter().map(move |s| (n, s))) {
            let at = &node.operation.place;
            if let Some(other) = names.insert(&store.name, at) {
                if node.stores.first().is_some_and(|first| first.name != store.name) {
                    continue; // a further store of the same operation
                }
                told.push(node.operation.id);
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

    fn check_edges(&self, told: &[OperationId], mistakes: &mut Vec<String>) {
        let plan = if self.is_keyed() { self.clone().gathered() } else { self.clone() };
        let mut names: Map<String, &Place> = Map::default();
        for (id, name) in plan.edge_names() {
            let operation = &plan.node(id).operation;
            let at = &operation.place;
            if let Some(other) = names.insert(name, at).filter(|_| !told.contains(&operation.id)) {
                mistakes.push(format!(
                    "{at}: this operation and the one made at {other} would have the same durable name\n  help: name one of them: `.named(\"...\")`"
                ));
            }
        }
        let mut ids: Map<EdgeId, String> = Map::default();
        for edge in plan.all_edges() {
            let (name, at) = (edge.name, &plan.node(edge.from.node).operation.place);
            if let Some(other) = ids.insert(EdgeId::of(&name), name.clone()).filter(|other| *other != name) {
                mistakes.push(format!(
                    "{at}: the exchanges `{name}` and `{other}` have the same short id\n  help: name one of the operations: `.named(\"...\")`"
                ));
            }
        }
    }

    fn check_two_phase(&self, mistakes: &mut Vec<String>) {
        let mut names: Map<&str, &Place> = Map::default();
        for node in &self.nodes {
            let Role::Sink { two_phase: Some(spec), .. } = &node.role else { continue };
            let at = &node.operation.place;
            if let Some(other) = names.insert(&spec.name, at).filter(|_| !spec.name.is_empty()) {
                mistakes.push(format!(
                    "{at}: `{}` is written here and at {other}\n  help: choose another place for one of them",
                    spec.name
                ));
            }
        }
    }

    /// A stream that reads what it writes would never end; with a pattern that is easily overlooked.
    fn check_patterns(&self, mistakes: &mut Vec<String>) {
        let patterns = self.sources().filter_map(|(id, s)| Some((id, s.pattern.as_ref()?)));
        for (source, pattern) in patterns {
            let (at, text) = (&self.node(source).operation.place, pattern.as_str());
            if let Some(topic) = self.sink_topics().iter().find(|topic| pattern.matches(topic)) {
                mistakes.push(format!("{at}: the pattern `{text}` speaks of topic `{topic}`, which this program writes\n  help: choose a narrower pattern"));
            }
            let others = self.sources().filter(|(id, _)| *id != source);
            for topic in others.flat_map(|(_, s)| &s.topics).filter(|topic| pattern.matches(topic)) {
                mistakes.push(format!("{at}: the pattern `{text}` speaks of topic `{topic}`, which is read elsewhere\n  help: read it once and use the stream twice"));
            }
        }
    }

    /// A program that reads a topic that it writes would never end, and each record would come again.
    fn check_loops(&self, mistakes: &mut Vec<String>) {
        for node in &self.nodes {
            let Role::Sink { topics, .. } = &node.role else { continue };
            for (topic, (source, spec)) in topics.iter().flat_map(|t| self.sources().map(move |s| (t, s))) {
                if spec.topics.iter().any(|read| **read == **topic) {
                    let (at, read) = (&node.operation.place, &self.node(source).operation.place);
                    mistakes.push(format!(
                        "{at}: topic `{topic}` is written here and read at {read}: the program would read what it writes, without end\n  help: write to another topic"
                    ));
                }
            }
        }
    }

    fn check_sources(&self, mistakes: &mut Vec<String>) {
        let mut topics: Map<&str, &Place> = Map::default();
        for (id, source) in self.sources() {
            let at = &self.node(id).operation.place;
            for topic in &source.topics {
                if let Some(other) = topics.insert(topic, at) {
                    mistakes.push(format!(
                        "{at}: topic `{topic}` is read here and at {other}, with another codec or other options\n  help: read it once and use the stream twice; where the formats differ, read bytes (`Raw`) and decode in `try_map`"
                    ));
                }
            }
        }
    }
}
