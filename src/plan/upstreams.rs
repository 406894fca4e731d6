//! Which tasks send rows to a stage.
//!
//! Owns the table from a stage to its senders. Knows no rows. Invariant: a stage has an upstream if and only if rows of it can come on an
//! edge that the stage reads, so a stage that reads one topic does not wait for another.

use super::{Role, Topology};
use crate::{
    operator::{NodeId, Upstream},
    record::TaskId,
};
use std::collections::BTreeSet;

/// The senders of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstreams {
    /// Sources, of topics or of this process, whose rows come without passing another stage.
    pub sources: BTreeSet<NodeId>,
    /// Later stages; each sends from every state partition.
    pub stages: BTreeSet<u32>,
}

impl Topology {
    /// The senders of a stage of what is computed.
    #[must_use]
    pub fn upstreams(&self, stage: u32) -> Upstreams {
        let mut found = Upstreams::default();
        let (mut todo, mut seen) = (vec![], BTreeSet::new());
        for (_, edge) in self.edges_into(stage) {
            if edge.stage == 0 {
                todo.push(edge.from.node);
            } else {
                found.stages.insert(edge.stage);
            }
        }
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = self.node(id);
            if matches!(node.role, Role::Source(_) | Role::Local(_)) {
                found.sources.insert(id);
            }
            todo.extend(node.inputs.iter().map(|input| input.node));
        }
        found
    }

    /// Whether rows of `upstream` come to a stage.
    #[must_use]
    pub fn is_upstream(&self, upstream: &Upstream, stage: u32) -> bool {
        let of = self.upstreams(stage);
        match upstream {
            Upstream::Source(at) => self.source_of(&at.topic).is_some_and(|(id, _)| of.sources.contains(&id)),
            Upstream::Task(TaskId { stage: 0, partition }) => {
                let local = self.locals().nth(partition.0 as usize);
                local.is_some_and(|(id, _)| of.sources.contains(&id))
            }
            Upstream::Task(TaskId { stage, .. }) => of.stages.contains(stage),
        }
    }
}
