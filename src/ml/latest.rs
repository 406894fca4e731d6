//! Keeps the newest model for anyone who asks for it.
//!
//! Owns the operator that passes it to an output: each new model, and after a start the one learned before. Knows
//! no algorithm. Invariant: only the task that trains emits models, so no reader sees a model older than one it has
//! already seen.

use crate::{
    error::Result,
    operator::{Context, Operator, Port, SinglePartition},
    record::{Chunk, Value},
    state::{Handle, Table},
};

/// Passes models on and keeps the newest one, so that it is available after a restart without a new example.
pub(super) struct Show<M: Value> {
    pub home: SinglePartition,
    pub initial: M,
    pub state: Handle<Table<(), M>>,
    /// Whether a model has been emitted since this task began.
    pub shown: bool,
}

impl<M: Value> Operator for Show<M> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        if let Some(model) = input.take::<Vec<M>>().pop() {
            cx.stores.open(self.state).entry(())?.set(model.clone());
            cx.out.rows(vec![model]);
            self.shown = true;
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if !std::mem::replace(&mut self.shown, true) && self.home.is_here(cx) {
            let model = cx.stores.open(self.state).get(&())?.unwrap_or_else(|| self.initial.clone());
            cx.out.rows(vec![model]);
        }
        Ok(())
    }
}
