//! Edges: where rows leave a stage for a later one.
//!
//! Owns their names, their formats and the table from an edge to its readers. Knows no rows. Invariants: an edge behind an exchange is named after
//! the operation that the exchange is a part of; where operations without state would share a name, the later ones are numbered,
//! so the name of an edge that leads to state does not depend on what else the program does; names are those of the whole program,
//! even if a part of it is not computed.

use super::{Input, Node, OperationId, Role, Topology};
use crate::{
    operator::{EdgeId, ExchangeFormat, NodeId, Port, Target},
    record::{Map, hash_bytes},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

/// A node that reads an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeReader {
    /// Its stage.
    pub stage: u32,
    /// The node.
    pub node: NodeId,
    /// Its input.
    pub port: Port,
}

/// Rows on their way from one stage to later ones.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Its name.
    pub name: String,
    /// The output that gives the rows.
    pub from: Input,
    /// The stage of that output.
    pub stage: u32,
    /// Who reads them, in the order of nodes.
    pub readers: Vec<EdgeReader>,
    /// What they are as bytes.
    pub format: Arc<dyn ExchangeFormat>,
}

impl Edge {
    /// The stages that read it, each once, in order.
    pub fn stages(&self) -> impl Iterator<Item = u32> {
        let mut stages: Vec<u32> = self.readers.iter().map(|reader| reader.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        stages.into_iter()
    }
}

impl Topology {
    /// An edge of what is computed.
    ///
    /// # Panics
    /// If there is none of this id, as before [`Topology::computed`]: a bug of the engine.
    #[must_use]
    pub fn edge(&self, id: EdgeId) -> &Edge {
        self.edges.get(&id).unwrap_or_else(|| panic!("there is no edge {id}"))
    }

    /// The edges of what is computed, with their ids, in the order of these.
    pub fn edges(&self) -> impl Iterator<Item = (EdgeId, &Edge)> {
        self.edges.iter().map(|(id, edge)| (*id, edge))
    }

    /// A hash of the edges of what is computed: their ids, names and formats, and the stages between which they lead. Programs in which
    /// it is the same understand each other's records of the exchange topic.
    #[must_use]
    pub fn edge_fingerprint(&self) -> u64 {
        let mut text = String::new();
        for (id, edge) in self.edges() {
            let stages: Vec<String> = edge.stages().map(|stage| stage.to_string()).collect();
            let (name, from, format) = (&edge.name, edge.stage, edge.format.name());
            let _ = writeln!(text, "{id} {name}: {from} -> {}: {format}", stages.join(", "));
        }
        hash_bytes(text.as_bytes())
    }

    /// The edges that a stage reads, with their ids.
    pub fn edges_into(&self, stage: u32) -> impl Iterator<Item = (EdgeId, &Edge)> {
        let is_read = move |edge: &Edge| edge.readers.iter().any(|reader| reader.stage == stage);
        self.edges.iter().map(|(id, edge)| (*id, edge)).filter(move |(_, edge)| is_read(edge))
    }

    /// Where the outputs of `id` go, by port, seen from a task that consists of `local`.
    #[must_use]
    pub fn targets(&self, id: NodeId, local: &[NodeId]) -> Vec<Vec<Target>> {
        let mut targets: Vec<Vec<Target>> = vec![];
        let mut push = |port: Port, target: Target| {
            let ports = usize::from(port.0) + 1;
            targets.resize(targets.len().max(ports), vec![]);
            targets[ports - 1].push(target);
        };
        for (to, input, port) in self.readers_of(id).filter(|(to, ..)| !self.is_crossed(id, *to)) {
            let index =
                local.iter().position(|l| *l == to).expect("a task has all of its stage that it reaches");
            push(input.port, Target::Local { index, port });
        }
        for (edge, to) in self.edges.iter().filter(|(_, edge)| edge.from.node == id) {
            push(to.from.port, Target::Edge(*edge));
        }
        targets
    }

    /// The names of the edges behind all exchanges. Those that lead to state keep the names of their operations; the others get a
    /// number where that name is taken.
    #[must_use]
    pub fn edge_names(&self) -> Map<NodeId, String> {
        let stateful: BTreeSet<OperationId> =
            self.nodes.iter().filter(|node| !node.stores.is_empty()).map(|node| node.operation.id).collect();
        let leads_to_state = |id: NodeId| stateful.contains(&self.node(id).operation.id);
        let exchanges = || self.iter().filter(|(_, node)| node.is_exchange()).map(|(id, _)| id);
        let mut names: Map<NodeId, String> =
            exchanges().filter(|id| leads_to_state(*id)).map(|id| (id, self.edge_name(id))).collect();
        let mut taken: BTreeSet<String> = names.values().cloned().collect();
        for id in exchanges().filter(|id| !leads_to_state(*id)) {
            let name = self.edge_name(id);
            let numbered = (2..).map(|number| format!("{name}.{number}"));
            let mut free = std::iter::once(name.clone()).chain(numbered);
            let free = free.find(|name| !taken.contains(name)).expect("numbers do not end");
            taken.insert(free.clone());
            names.insert(id, free);
        }
        names
    }

    /// The name of the edge behind an exchange, if no other operation has it.
    fn edge_name(&self, id: NodeId) -> String {
        let exchange = self.node(id);
        let (mut last, mut port) = (id, None);
        let follows = |node: &Node, last: NodeId| {
            node.operation.id == exchange.operation.id && node.inputs.iter().any(|i| i.node == last)
        };
        while let Some((next, node)) = self.iter().find(|(_, node)| follows(node, last)) {
            if node.inputs.len() > 1 {
                port = node.inputs.iter().position(|input| input.node == last);
            }
            last = next;
        }
        let operation = self.node(last);
        let kind =
            if operation.path == exchange.path { format!(".{}", operation.kind) } else { String::new() };
        let port = port.map_or_else(String::new, |port| format!("-{port}"));
        format!("{}{kind}.exchange{port}", operation.path)
    }

    /// All edges, in the order of the outputs that give their rows. One without an exchange leads along a state partition past a
    /// stage; such edges are numbered among those of their path, and their rows have the format that their first reader asks for.
    pub(super) fn all_edges(&self) -> Vec<Edge> {
        let mut edges: Map<Input, Edge> = Map::default();
        let names = self.edge_names();
        let mut unnamed: BTreeMap<&str, u32> = BTreeMap::new();
        for (from, node) in self.iter() {
            for (to, input, port) in self.readers_of(from).filter(|(to, ..)| self.is_crossed(from, *to)) {
                let edge = edges.entry(input).or_insert_with(|| {
                    let name = names.get(&from).cloned().unwrap_or_else(|| {
                        let number = unnamed.entry(&node.path).or_default();
                        *number += 1;
                        format!("{}.carried-{number}", node.path)
                    });
                    let format = match &node.role {
                        Role::Exchange(_, format) => format,
                        _ => &self.node(to).formats[usize::from(port.0)],
                    };
                    let (stage, format) = (node.stage, format.clone());
                    Edge { name, from: input, stage, readers: vec![], format }
                });
                edge.readers.push(EdgeReader { stage: self.stage(to), node: to, port });
            }
        }
        edges.into_values().collect()
    }

    /// Who reads the outputs of a node, what of it, and at which input.
    fn readers_of(&self, id: NodeId) -> impl Iterator<Item = (NodeId, Input, Port)> {
        self.iter().flat_map(move |(to, node)| {
            let inputs = node.inputs.iter().enumerate().filter(move |(_, input)| input.node == id);
            inputs.map(move |(port, input)| {
                (to, *input, Port(u8::try_from(port).expect("operators have few inputs")))
            })
        })
    }

    /// Whether rows from one node to a reader leave their stage.
    fn is_crossed(&self, from: NodeId, to: NodeId) -> bool {
        self.stage(to) > self.stage(from)
    }
}
