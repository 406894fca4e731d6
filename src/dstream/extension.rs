//! What the other user-facing modules (`ml`) need of a stream to build on it.
//!
//! Knows no operation. Invariant: nodes are added in order.

use super::DStream;
use crate::{
    operator::NodeId,
    plan::{Layout, Node, Operation},
    record::{Data, Value},
    sink::View,
};

impl<T: Data> DStream<T> {
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn add<U>(&self, node: Node) -> DStream<U> {
        self.builder.add(node)
    }

    /// Makes sure the stream is computed even if no output reads it.
    pub(crate) fn kept(self) -> Self {
        self.builder.plan().kept.insert(self.node);
        self
    }

    /// Registers a view that can be queried while the program runs.
    pub(crate) fn view(&self, view: View) {
        self.builder.plan().views.push(view);
    }

    /// Records a mistake, to be reported when the program starts.
    pub(crate) fn mistake(&self, what: String) {
        self.builder.plan().mistakes.push(what);
    }

    /// The same rows, placed where state may be kept: spread, unless they have passed an exchange already.
    pub(crate) fn in_state_partitions(&self, op: &Operation) -> DStream<T>
    where
        T: Value,
    {
        let stage = self.builder.plan().stage_after(self.node);
        if stage > 0 || self.layout() != Layout::Any { self.clone() } else { self.spread(op) }
    }
}
