//! Nodes and edges, and the stages that follow from them.
//!
//! Owns the graph. Knows no task. Invariants: inputs of a node come before it; a node's stage is the number of exchanges
//! upstream; stores stand only after an exchange; leaving out what nothing needs changes no id and no name.

use super::{
    edge::Edge,
    node::{Input, Node, Role},
    operation::{Operation, OperationId, Place},
};
use crate::{
    error::Result,
    operator::{EdgeId, NodeId, Upstream},
    sink::{View, outbox::OutboxSpec},
    source::{BadRecordPolicy, MakeLocal, ReceiverSpec, SourceSpec, receiver::ReceiverTarget},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a program needs before it can start, such as a schema in a registry.
pub type Preparation = Arc<dyn Fn() -> Result + Send + Sync>;
/// Looks at what a start needs outside the log, changes nothing, and tells what it found.
pub type Look = Arc<dyn Fn() -> Result<String> + Send + Sync>;

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
    /// Nodes that are computed although no sink reads them, as they are wanted for their state, or take what outputs say.
    pub kept: BTreeSet<NodeId>,
    /// Whether an operation closes something when event time has passed: then batches are cut also while nothing comes.
    pub closes_by_event_time: bool,
    /// What is done once before anything is read, in order: it may wait, and an error ends the start.
    pub preparations: Vec<Preparation>,
    /// What a person can ask before a start: whether these preparations would succeed.
    pub looks: Vec<Look>,
    /// Number of operations.
    operations: u32,
    /// The edges of what is computed.
    pub(super) edges: BTreeMap<EdgeId, Edge>,
}

impl Topology {
    /// Does what is to be done before anything is read.
    ///
    /// # Errors
    /// Why the program cannot start.
    pub fn prepare(&self) -> Result {
        self.preparations.iter().try_for_each(|prepare| prepare())
    }

    /// An operation of the user's program, with an identity of its own.
    pub fn operation(&mut self, at: impl Into<Place>) -> Operation {
        self.operations += 1;
        Operation { id: OperationId(self.operations), place: at.into() }
    }

    /// Appends a node. Faces add nodes in order, so a cycle cannot be built.
    ///
    /// # Panics
    /// If an input does not exist yet, or leads past a stage in a format that is not known: a bug of the face.
    pub fn add(&mut self, mut node: Node) -> NodeId {
        assert!(node.inputs.iter().all(|i| i.node.0 < self.nodes.len()), "inputs come first");
        node.stage = node.inputs.iter().map(|i| self.stage_after(i.node)).max().unwrap_or(0);
        let is_carried = node.inputs.iter().any(|input| self.is_carried(*input, node.stage));
        assert!(!is_carried || node.formats.len() == node.inputs.len(), "`{}` has formats", node.path);
        node.slide = match node.window {
            Some(window) => window.slide,
            None => node.inputs.iter().find_map(|i| self.slide_of(i.node)),
        };
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// The topology as it is computed: with its edges, and without what no output needs, whose nodes stay in their places, but do
    /// nothing, read nothing and keep nothing.
    #[must_use]
    pub fn computed(mut self) -> Self {
        let known = std::mem::take(&mut self.edges);
        let edges = if known.is_empty() {
            if self.needed().into_iter().zip(&self.nodes).any(|(is_needed, node)| is_needed && node.stage > 0)
            {
                self = self.gathered();
            }
            self.all_edges()
        } else {
            known.into_values().collect()
        };
        let needed = self.needed();
        let idle = self.nodes.iter_mut().zip(&needed).filter(|(_, needed)| !**needed);
        idle.for_each(|(node, _)| node.make_idle());
        for mut edge in edges {
            edge.readers.retain(|reader| needed[reader.node.0]);
            if !edge.readers.is_empty() {
                self.edges.insert(EdgeId::of(&edge.name), edge);
            }
        }
        let receivers = std::mem::take(&mut self.receivers);
        self.receivers = receivers.into_iter().filter(|feed| self.reader_of(feed).is_some()).collect();
        self
    }

    /// Which nodes an output needs.
    fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for id in (0..self.nodes.len()).rev() {
            let node = &self.nodes[id];
            needed[id] |= matches!(node.role, Role::Sink { .. }) || self.kept.contains(&NodeId(id));
            if needed[id] {
                node.inputs.iter().for_each(|input| needed[input.node.0] = true);
            }
        }
        needed
    }

    /// The outputs, in the order of the program.
    #[must_use]
    pub fn outputs(&self) -> Vec<(NodeId, &Node)> {
        let mut outputs: Vec<_> =
            self.iter().filter(|(_, node)| matches!(node.role, Role::Sink { .. })).collect();
        outputs.sort_by_key(|(_, node)| node.operation.id);
        outputs
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
        self.node(id).stage
    }

    /// The stage that reads a node's output.
    #[must_use]
    pub fn stage_after(&self, id: NodeId) -> u32 {
        self.stage(id) + u32::from(self.node(id).is_exchange())
    }

    /// Whether rows get from an output to a stage without an exchange, but past others.
    pub(super) fn is_carried(&self, from: Input, to_stage: u32) -> bool {
        !self.node(from.node).is_exchange() && self.stage(from.node) < to_stage
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

    /// What is done with rows of an edge that fail behind it: what the sources say that they come from, the strictest of them.
    #[must_use]
    pub fn policy_behind(&self, edge: EdgeId, upstream: &Upstream) -> BadRecordPolicy {
        let from = self.edge(edge).from.node.0;
        let (mut leads_there, mut policies) = (vec![false; from + 1], vec![]);
        leads_there[from] = true;
        for (id, node) in self.nodes[..=from].iter().enumerate().rev() {
            if !leads_there[id] {
                continue;
            }
            node.inputs.iter().for_each(|input| leads_there[input.node.0] = true);
            match (&node.role, upstream) {
                (Role::Source(spec), Upstream::Source(at)) if !spec.reads(&at.topic) => {}
                (Role::Source(spec), _) => policies.push(spec.policy),
                _ => {}
            }
        }
        let by_strictness = [BadRecordPolicy::Fail, BadRecordPolicy::DeadLetter, BadRecordPolicy::Skip];
        by_strictness.into_iter().find(|policy| policies.contains(policy)).unwrap_or_default()
    }

    /// Whether rows of a source, or what is made of them, get to a topic: then each of them keeps the timestamp of its record.
    #[must_use]
    pub fn keeps_timestamps(&self, source: NodeId) -> bool {
        let mut is_reached = vec![false; self.nodes.len()];
        for (id, node) in self.iter() {
            is_reached[id.0] = id == source || node.inputs.iter().any(|input| is_reached[input.node.0]);
        }
        let is_topic = |node: &Node| matches!(&node.role, Role::Sink { topics, .. } if !topics.is_empty());
        self.nodes.iter().zip(is_reached).any(|(node, is_reached)| is_reached && is_topic(node))
    }

    /// Names of the topics that sinks write to, each once.
    #[must_use]
    pub fn sink_topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<Arc<str>> = vec![];
        for node in &self.nodes {
            let Role::Sink { topics: of_sink, .. } = &node.role else { continue };
            for topic in of_sink {
                if !topics.contains(topic) {
                    topics.push(topic.clone());
                }
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
                Some(s) => id == s || node.inputs.iter().any(|i| nodes.contains(&i.node)),
            };
            if belongs {
                nodes.push(id);
            }
        }
        nodes
    }
}
