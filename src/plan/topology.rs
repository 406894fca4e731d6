//! Nodes and edges, and the stages that follow from them.
//!
//! Owns the graph. Knows no task. Invariants: inputs of a node come before it; a node's stage is the number of exchanges
//! upstream; stores stand only after an exchange; leaving out what nothing needs changes no id and no name.

use crate::{
    operator::{ExchangeFormat, NodeId, Operator, Port, Target},
    sink::{TwoPhaseSpec, View, outbox::OutboxSpec},
    source::{MakeLocal, ReceiverSpec, SourceSpec, receiver::ReceiverTarget},
    state::StoreSpec,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::Location,
    sync::Arc,
};

/// Makes the operator of a node for one task; gets the positions of the node's stores. Called again after an abort.
pub type Factory = Arc<dyn Fn(&[usize]) -> Box<dyn Operator> + Send + Sync>;

/// How rows lie: decides whether a join or a reduce needs an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Anywhere.
    Any,
    /// By the key of the pair, over the state partitions.
    Keyed,
}

/// What a node does.
#[derive(Clone)]
pub enum Role {
    /// Reads topics.
    Source(SourceSpec),
    /// Takes rows that this process makes or receives.
    Local(MakeLocal),
    /// Computes.
    Operator(Factory),
    /// Ends a stage: rows go on to the owner of their state partition.
    Exchange(Factory, Arc<dyn ExchangeFormat>),
    /// Nothing: no output needs it.
    Idle,
    /// Ends a path: writes records to a topic, or shows rows.
    Sink {
        /// Makes the operator that encodes.
        factory: Factory,
        /// The topic, if there is one.
        topic: Option<Arc<str>>,
        /// The output outside the log that takes the rows, if there is one.
        two_phase: Option<TwoPhaseSpec>,
    },
}

/// One operation of the user's program.
#[derive(Clone)]
pub struct Node {
    /// The operation, as the user wrote it: `map`, `reduce_by_key`.
    pub kind: &'static str,
    /// Sources and stateful ancestors: the base of durable names.
    pub path: String,
    /// Where in the user's program.
    pub at: &'static Location<'static>,
    /// The nodes it reads, in the order of its ports.
    pub inputs: Vec<NodeId>,
    /// How its output lies.
    pub layout: Layout,
    /// What it does.
    pub role: Role,
    /// Its stores.
    pub stores: Vec<StoreSpec>,
}

/// Everything that a program computes.
#[derive(Clone, Default)]
pub struct Topology {
    /// In topological order.
    pub nodes: Vec<Node>,
    /// Receivers that fill topics or sources of this process.
    pub receivers: Vec<ReceiverSpec>,
    /// Writers of internal topics to places outside the log.
    pub outboxes: Vec<OutboxSpec>,
    /// What the running program can be asked for.
    pub views: Vec<View>,
    /// Mistakes found while building, with file and line.
    pub mistakes: Vec<String>,
    /// Nodes that are computed although no sink reads them, as they are wanted for their state.
    pub kept: BTreeSet<NodeId>,
    /// Windows over batch times, by their node.
    pub windows: BTreeMap<NodeId, super::WindowSpec>,
}

impl Topology {
    /// Appends a node. Faces add nodes in order, so a cycle cannot be built.
    ///
    /// # Panics
    /// If an input does not exist yet: a bug of the face.
    pub fn add(&mut self, node: Node) -> NodeId {
        assert!(node.inputs.iter().all(|i| i.0 < self.nodes.len()), "inputs come first");
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// The topology without what no output needs, which is never computed: its nodes stay in their places, but do nothing, read
    /// nothing and keep nothing.
    #[must_use]
    pub fn computed(mut self) -> Self {
        let mut needed = vec![false; self.nodes.len()];
        for id in (0..self.nodes.len()).rev() {
            let node = &self.nodes[id];
            needed[id] |= matches!(node.role, Role::Sink { .. }) || self.kept.contains(&NodeId(id));
            if needed[id] {
                node.inputs.iter().for_each(|input| needed[input.0] = true);
            }
        }
        for (node, _) in self.nodes.iter_mut().zip(&needed).filter(|(_, needed)| !**needed) {
            node.role = Role::Idle;
            node.inputs.clear();
            node.stores.clear();
        }
        self.windows.retain(|id, _| needed[id.0]);
        let receivers = std::mem::take(&mut self.receivers);
        self.receivers = receivers.into_iter().filter(|feed| self.reader_of(feed).is_some()).collect();
        self
    }

    /// The source that reads what a receiver stores.
    #[must_use]
    pub fn reader_of(&self, feed: &ReceiverSpec) -> Option<NodeId> {
        let reads = |node: &Node| match (&node.role, &feed.target) {
            (Role::Source(spec), ReceiverTarget::Topic { name, .. }) => spec.topics.contains(name),
            (Role::Local(_), ReceiverTarget::Memory(..)) => node.path == feed.name,
            _ => false,
        };
        self.iter().find(|(_, node)| reads(node)).map(|(id, _)| id)
    }

    /// The node `id`.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Every node with its id.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId(i), n))
    }

    /// Number of exchanges upstream of a node.
    #[must_use]
    pub fn stage(&self, id: NodeId) -> u32 {
        self.node(id).inputs.iter().map(|i| self.stage_after(*i)).max().unwrap_or(0)
    }

    /// The stage that reads a node's output.
    #[must_use]
    pub fn stage_after(&self, id: NodeId) -> u32 {
        self.stage(id) + u32::from(matches!(self.node(id).role, Role::Exchange(..)))
    }

    /// Number of stages.
    #[must_use]
    pub fn stages(&self) -> u32 {
        self.iter().map(|(id, _)| self.stage(id) + 1).max().unwrap_or(0)
    }

    /// Whether rows are re-keyed or kept: then there are state partitions.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.stages() > 1
    }

    /// Sources in this process, with their node.
    pub fn locals(&self) -> impl Iterator<Item = (NodeId, &MakeLocal)> {
        self.iter().filter_map(|(id, n)| match &n.role {
            Role::Local(make) => Some((id, make)),
            _ => None,
        })
    }

    /// Whether the group assigns state partitions: also for sources in this process, which run beside the first of them.
    #[must_use]
    pub fn has_state_partitions(&self) -> bool {
        self.is_keyed() || self.locals().next().is_some()
    }

    /// Whether there is an output outside the log that has something to finish.
    #[must_use]
    pub fn has_two_phase(&self) -> bool {
        self.nodes
            .iter()
            .any(|n| matches!(&n.role, Role::Sink { two_phase: Some(o), .. } if !o.name.is_empty()))
    }

    /// The sources with their node.
    pub fn sources(&self) -> impl Iterator<Item = (NodeId, &SourceSpec)> {
        self.iter().filter_map(|(id, n)| match &n.role {
            Role::Source(s) => Some((id, s)),
            _ => None,
        })
    }

    /// The source that reads a topic.
    #[must_use]
    pub fn source_of(&self, topic: &str) -> Option<(NodeId, &SourceSpec)> {
        self.sources().find(|(_, s)| s.reads(topic))
    }

    /// Names of the topics that sinks write to, each once.
    #[must_use]
    pub fn sink_topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<Arc<str>> = vec![];
        for node in &self.nodes {
            if let Role::Sink { topic: Some(t), .. } = &node.role
                && !topics.contains(t)
            {
                topics.push(t.clone());
            }
        }
        topics
    }

    /// The nodes of a task, in order: those of `stage`; in stage 0 only what `source` reaches.
    #[must_use]
    pub fn task_nodes(&self, stage: u32, source: Option<NodeId>) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = vec![];
        for (id, node) in self.iter().filter(|(id, _)| self.stage(*id) == stage) {
            let belongs = match source {
                None => true,
                Some(s) => id == s || node.inputs.iter().any(|i| nodes.contains(i)),
            };
            if belongs {
                nodes.push(id);
            }
        }
        nodes
    }

    /// Where the output of `id` goes, seen from a task that consists of `local`.
    #[must_use]
    pub fn targets(&self, id: NodeId, local: &[NodeId]) -> Vec<Target> {
        let mut targets = vec![];
        let ends_stage = self.stage_after(id) > self.stage(id);
        for (to, node) in self.iter() {
            for (port, _) in node.inputs.iter().enumerate().filter(|(_, i)| **i == id) {
                let port = Port(u8::try_from(port).expect("operators have few inputs"));
                let index = if ends_stage { None } else { local.iter().position(|l| *l == to) };
                targets.push(match index {
                    Some(index) => Target::Local { index, port },
                    None => Target::Stage { node: to, port },
                });
            }
        }
        targets
    }

    /// The durable name of the edge behind an exchange: carried by rows on the exchange topic. It is that of the operation that the
    /// exchange is a part of, so it does not depend on what else the program does.
    #[must_use]
    pub fn edge_name(&self, id: NodeId) -> String {
        let at = self.node(id).at;
        let (mut last, mut port) = (id, None);
        // The nodes of one operation were made at one place of the program.
        while let Some((next, node)) = self.iter().find(|(_, n)| n.at == at && n.inputs.contains(&last)) {
            if node.inputs.len() > 1 {
                port = node.inputs.iter().position(|input| *input == last);
            }
            last = next;
        }
        let (exchange, operation) = (self.node(id), self.node(last));
        let kind =
            if operation.path == exchange.path { format!(".{}", operation.kind) } else { String::new() };
        let port = port.map_or_else(String::new, |port| format!("-{port}"));
        format!("{}{kind}.exchange{port}", operation.path)
    }
}
