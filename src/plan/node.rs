//! One node of the graph: what it is called, what it reads, what it does, and what follows from its place in the graph.
//!
//! Owns the parts that the engine reads. Knows no other node. Invariant: stage and slide are set once, when a topology takes the
//! node.

use super::operation::{Kind, Operation, OperationId};
use crate::{
    operator::{ExchangeFormat, NodeId, Operator, Port},
    sink::{Intake, TwoPhaseSpec},
    source::{MakeLocal, SourceSpec},
    state::StoreSpec,
};
use std::{sync::Arc, time::Duration};

/// Makes the operator of a node for one task; gets the positions of the node's stores. Called again after an abort.
pub type Factory = Arc<dyn Fn(&[usize]) -> Box<dyn Operator> + Send + Sync>;

/// The key by which rows are placed, identified by the operation that placed them.
///
/// Streams with the same id are placed alike: rows with equal keys are on one state partition. The typed API only asks whether a
/// stream is keyed: its key is always that of the pair, and the partition follows from the key's bytes, so there streams with
/// different ids are placed alike too. A planner that keys rows by columns of its choice compares ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(OperationId);

impl KeyId {
    /// The key by which an operation places rows.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        KeyId(operation.id)
    }
}

/// How rows lie: decides whether a join or a reduce needs an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Anywhere.
    Any,
    /// By a key, over the state partitions.
    Keyed(KeyId),
}

impl Layout {
    /// By the key by which `operation` places rows.
    #[must_use]
    pub fn keyed(operation: &Operation) -> Self {
        Layout::Keyed(KeyId::of(operation))
    }

    /// Whether rows are placed by a key, whichever it is.
    #[must_use]
    pub fn is_keyed(self) -> bool {
        matches!(self, Layout::Keyed(_))
    }
}

/// What a node reads: an output of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input {
    /// The node.
    pub node: NodeId,
    /// Its output; 0 unless it has several.
    pub port: Port,
}

impl From<NodeId> for Input {
    fn from(node: NodeId) -> Self {
        Input { node, port: Port(0) }
    }
}

/// Length and slide of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// How far back it reaches.
    pub length: Duration,
    /// How often it gives rows; `None` = at every batch.
    pub slide: Option<Duration>,
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
        /// The topics that it may write to.
        topics: Vec<Arc<str>>,
        /// The output outside the log that takes the rows, if there is one.
        two_phase: Option<TwoPhaseSpec>,
        /// Where it takes rows.
        intake: Intake,
    },
}

/// A step of one operation of the user's program.
#[derive(Clone)]
pub struct Node {
    /// The operation that it is a part of.
    pub operation: Operation,
    /// What it is called; the node that produces the operation's result is called what the user wrote.
    pub kind: Kind,
    /// Sources and stateful ancestors: the base of durable names.
    pub path: String,
    /// What it reads, in the order of its ports.
    pub inputs: Vec<Input>,
    /// The formats of the rows that it reads, by port, if it reads more than one output: from an earlier stage than its own they come as
    /// bytes where that stage is computed by another process.
    pub formats: Vec<Arc<dyn ExchangeFormat>>,
    /// How its output lies.
    pub layout: Layout,
    /// What it does.
    pub role: Role,
    /// Its stores.
    pub stores: Vec<StoreSpec>,
    /// The window over batch times that it is.
    pub window: Option<WindowSpec>,
    /// Number of exchanges upstream.
    pub(super) stage: u32,
    /// It has rows only at multiples of this; `None` = of the batch interval.
    pub(super) slide: Option<Duration>,
}

impl Node {
    /// A node that reads nothing, keeps nothing and whose rows lie anywhere.
    #[must_use]
    pub fn new(operation: &Operation, kind: impl Into<Kind>, path: String, role: Role) -> Self {
        Node {
            operation: operation.clone(),
            kind: kind.into(),
            path,
            inputs: vec![],
            formats: vec![],
            layout: Layout::Any,
            role,
            stores: vec![],
            window: None,
            stage: 0,
            slide: None,
        }
    }

    /// Reads these outputs, the first at port 0.
    #[must_use]
    pub fn reading<I: Into<Input>>(mut self, inputs: impl IntoIterator<Item = I>) -> Self {
        self.inputs = inputs.into_iter().map(Into::into).collect();
        self
    }

    /// The rows of its inputs have these formats, by port.
    #[must_use]
    pub fn in_formats(mut self, formats: impl Into<Vec<Arc<dyn ExchangeFormat>>>) -> Self {
        self.formats = formats.into();
        self
    }

    /// Its output is placed like this.
    #[must_use]
    pub fn laid(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Keeps state in these stores.
    #[must_use]
    pub fn keeping(mut self, stores: Vec<StoreSpec>) -> Self {
        self.stores = stores;
        self
    }

    /// Is a window over batch times.
    #[must_use]
    pub fn windowed(mut self, window: WindowSpec) -> Self {
        self.window = Some(window);
        self
    }

    /// Whether it ends its stage.
    #[must_use]
    pub fn is_exchange(&self) -> bool {
        matches!(self.role, Role::Exchange(..))
    }

    /// What is left of a node that no output needs.
    pub(super) fn make_idle(&mut self) {
        self.role = Role::Idle;
        self.inputs.clear();
        self.formats.clear();
        self.stores.clear();
        (self.window, self.stage, self.slide) = (None, 0, None);
    }
}
