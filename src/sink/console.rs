//! Rows become lines of the console.
//!
//! Owns the operator that formats them. Knows no terminal: the program shows them after the commit, at most
//! once.

use super::display::{self, PrintOptions};
use crate::{
    error::Result,
    operator::{Context, EmitSchedule, Operator, Output, Port},
    record::{Chunk, Value},
};
use std::marker::PhantomData;

/// `print`: the first rows of each batch, shown after the commit.
pub struct ConsoleSink<T> {
    options: PrintOptions,
    emit_schedule: EmitSchedule,
    shown: Vec<String>,
    rows: PhantomData<fn(T)>,
}

impl<T> ConsoleSink<T> {
    /// Shows the first rows of a batch; one more is kept, so that it is known whether there are more.
    #[must_use]
    pub fn new(options: PrintOptions, emit_schedule: EmitSchedule) -> Self {
        ConsoleSink { options, emit_schedule, shown: vec![], rows: PhantomData }
    }
}

impl<T: Value> Operator for ConsoleSink<T> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let room = (self.options.rows_max + 1).saturating_sub(self.shown.len());
        for row in input.view::<Vec<T>>().iter().take(room) {
            self.shown.push(display::shown(row, self.options.format)?);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let rows = std::mem::take(&mut self.shown);
        if self.emit_schedule.is_due(!rows.is_empty(), cx.batch.time) {
            cx.out.output(Output::Console { node: cx.out.node(), rows, rows_max: self.options.rows_max });
        }
        Ok(())
    }
}
