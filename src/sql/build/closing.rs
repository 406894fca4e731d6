//! What operators that close with windows over event time have in common.

use super::Builder;
use crate::{
    operator::Gives,
    sql::{
        op::{Closing, WindowEnds, WindowMarks},
        plan::stream_plan::{ClosingWindows, StreamNodeId},
    },
    state::{Handle, StoreSpec},
};
use std::sync::Arc;

/// How an operator closes.
#[derive(Clone)]
pub(super) struct Closes {
    gives: Gives,
    ends: WindowEnds,
    sends_as: Option<Arc<str>>,
}

impl Closes {
    /// For one state partition, with its marks in this store.
    pub fn make(&self, marks: usize) -> Closing {
        Closing::new(self.gives, self.ends, Handle::at(marks), self.sends_as.clone())
    }
}

impl Builder<'_> {
    /// How the operator that is added next closes, whose state has this name; its marks get a store.
    pub(super) fn closes(
        &mut self,
        windows: Option<ClosingWindows>,
        name: &str,
        stores: &mut Vec<StoreSpec>,
    ) -> Option<Closes> {
        let ClosingWindows { ends, gives } = windows?;
        self.topology.closes_by_event_time = true;
        stores.push(WindowMarks::store(name));
        let sends_as = self.plan.feeds_windows(StreamNodeId(self.nodes.len())).then(|| name.into());
        Some(Closes { gives, ends, sends_as })
    }
}
