//! Outputs that take the rows of a whole batch, where several processes may make them.
//!
//! Owns how such an output becomes an exchange and what stands behind it, and which programs several processes may compute. Knows
//! no particular output. Invariants: nodes keep their ids; stores, the names of other edges and the fingerprint do not depend on
//! it; without state partitions nothing is gathered.

use super::{
    node::{Factory, Node, Role},
    topology::Topology,
};
use crate::{
    operator::{NodeId, Rows, SinglePartition},
    sink::{CollectGathered, Gather, Intake, SendNotes, Shares},
};
use std::sync::Arc;

impl Topology {
    /// The topology in which outputs that take the rows of a whole batch take them on one state partition. Their nodes become
    /// the exchanges that lead there, and those that take the rows come last, so nodes keep their ids. An output whose rows
    /// would not come back from bytes as they were takes them in each task.
    pub(super) fn gathered(mut self) -> Self {
        for id in 0..self.nodes.len() {
            let node = &mut self.nodes[id];
            let Role::Sink { topics, two_phase, intake: Intake::Gathered(gather), .. } = &node.role else {
                continue;
            };
            if gather.format.refusal().is_some() {
                continue;
            }
            let (topics, two_phase, Gather { exchange, format, sink }) =
                (topics.clone(), two_phase.clone(), gather.clone());
            let home = SinglePartition::of(&format!("{}.{}", node.path, node.kind));
            let (at, there) = (home.clone(), home.clone());
            node.role = Role::Exchange(Arc::new(move |_| exchange(&at)), format);
            let kind = std::mem::replace(&mut node.kind, "gather".into());
            let (operation, path) = (node.operation.clone(), node.path.clone());
            let factory: Factory = Arc::new(move |_| sink(&there));
            let role = Role::Sink { factory, topics, two_phase, intake: Intake::At(home) };
            self.add(Node::new(&operation, kind, path, role).reading([NodeId(id)]));
        }
        self.finished_together()
    }

    /// The topology in which outputs of which each process prepares a share say so to one state partition, where all of a batch is
    /// finished. The nodes for that come last, so nodes keep their ids.
    fn finished_together(mut self) -> Self {
        for id in 0..self.nodes.len() {
            let node = &self.nodes[id];
            let Role::Sink { two_phase: Some(spec), intake: Intake::EachTask, .. } = &node.role else {
                continue;
            };
            if !spec.in_shares {
                continue;
            }
            let (operation, path, kind) = (node.operation.clone(), node.path.clone(), node.kind.clone());
            let home = SinglePartition::of(&format!("{path}.{kind}"));
            let send: Factory = Arc::new(|_| Box::new(SendNotes));
            let role = Role::Exchange(send, Arc::new(Rows::<Vec<u8>>::default()));
            let exchange = self.add(Node::new(&operation, "notes", path.clone(), role).reading([NodeId(id)]));
            let take: Factory = Arc::new(|_| Box::new(CollectGathered { sees_batches: false }));
            let taken_by =
                self.add(Node::new(&operation, kind, path, Role::Operator(take)).reading([exchange]));
            self.kept.insert(taken_by);
            if let Role::Sink { intake, .. } = &mut self.nodes[id].role {
                *intake = Intake::InShares(Shares { exchange, taken_by, home });
            }
        }
        self
    }

    /// Whether state partitions may close a batch time in transactions of their own: no output takes the rows of several of them at once.
    #[must_use]
    pub fn may_be_closed_apart(&self) -> bool {
        self.iter().all(|(_, node)| match &node.role {
            Role::Sink { intake: Intake::At(_), .. } => true,
            Role::Sink { topics, two_phase, .. } => !topics.is_empty() && two_phase.is_none(),
            _ => true,
        })
    }

    /// Whether all output is records of topics.
    #[must_use]
    pub fn writes_only_topics(&self) -> bool {
        self.iter().all(|(_, node)| match &node.role {
            Role::Sink { topics, two_phase, .. } => !topics.is_empty() && two_phase.is_none(),
            _ => true,
        })
    }

    /// Whether several processes may each compute a share of it. Outputs outside the log that take rows in each task and finish each by
    /// itself, and rows that come from the process itself or are received by it, keep it in one.
    #[must_use]
    pub fn may_be_shared(&self) -> bool {
        let takes_part = |node: &Node| match &node.role {
            Role::Sink { intake: Intake::At(_) | Intake::InShares(_), .. } => true,
            Role::Sink { topics, two_phase, .. } => !topics.is_empty() && two_phase.is_none(),
            Role::Local(_) => false,
            _ => true,
        };
        self.is_keyed() && self.receivers.is_empty() && self.nodes.iter().all(takes_part)
    }

    /// Whether it writes files, of which several processes would each write a share.
    #[must_use]
    pub fn writes_files_in_shares(&self) -> bool {
        let in_shares = |node: &Node| matches!(node.role, Role::Sink { intake: Intake::InShares(_), .. });
        self.nodes.iter().any(in_shares)
    }
}
