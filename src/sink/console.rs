//! Rows become lines of the console.
//!
//! Owns the operators that format them, and those that show what came from many tasks. Knows no terminal: the program shows them
//! after the commit, at most once.

use super::{
    display::{self, PrintOptions},
    gather::Gather,
};
use crate::{
    error::Result,
    operator::{Context, EmitSchedule, Heading, Operator, Output, Port, Printed, Rows, SinglePartition},
    record::{Chunk, Value},
};
use std::{marker::PhantomData, sync::Arc};

/// The first rows of a task in a batch, as text; one more is kept, so that it is known whether there are more.
struct FirstRows<T> {
    options: PrintOptions,
    shown: Vec<String>,
    rows: PhantomData<fn(T)>,
}

impl<T: Value> FirstRows<T> {
    fn of(options: PrintOptions) -> Self {
        FirstRows { options, shown: vec![], rows: PhantomData }
    }

    fn add(&mut self, input: &Chunk) -> Result {
        let room = room(&self.shown, self.options.rows_max);
        for row in input.view::<Vec<T>>().iter().take(room) {
            self.shown.push(display::shown(row, self.options.format)?);
        }
        Ok(())
    }
}

fn room(shown: &[String], rows_max: usize) -> usize {
    (rows_max + 1).saturating_sub(shown.len())
}

/// `print` of each task: the first rows of each batch, shown after the commit.
pub struct ConsoleSink<T> {
    first: FirstRows<T>,
    emit_schedule: EmitSchedule,
}

impl<T: Value> ConsoleSink<T> {
    /// Shows the first rows of a batch.
    #[must_use]
    pub fn new(options: PrintOptions, emit_schedule: EmitSchedule) -> Self {
        ConsoleSink { first: FirstRows::of(options), emit_schedule }
    }
}

impl<T: Value> Operator for ConsoleSink<T> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.first.add(&input)
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let rows = std::mem::take(&mut self.first.shown);
        if self.emit_schedule.is_due(!rows.is_empty(), cx.batch.time) {
            let printed = Printed { heading: Heading::Time, rows, rows_max: self.first.options.rows_max };
            cx.out.output(Output::Console { node: cx.out.node(), printed });
        }
        Ok(())
    }
}

/// `print` of all tasks together: each sends its first rows, as text, to one.
#[must_use]
pub fn gathered<T: Value>(options: PrintOptions, emit_schedule: EmitSchedule) -> Gather {
    let rows_max = options.rows_max;
    Gather {
        exchange: Arc::new(move |home| {
            Box::new(SendFirstRows { first: FirstRows::<T>::of(options), home: home.clone() })
        }),
        format: Arc::new(Rows::<String>::default()),
        sink: Arc::new(move |home| {
            Box::new(ShowFirstRows { home: home.clone(), rows_max, emit_schedule, shown: vec![] })
        }),
    }
}

struct SendFirstRows<T> {
    first: FirstRows<T>,
    home: SinglePartition,
}

impl<T: Value> Operator for SendFirstRows<T> {
    fn sees_batches(&self) -> bool {
        true
    }

    fn takes_parts(&self) -> bool {
        true // the first rows of each part have those of the batch among them
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.first.add(&input)
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let rows = std::mem::take(&mut self.first.shown);
        cx.out.to_partition(self.home.among(cx.out.partitions), Chunk::rows(rows));
        Ok(())
    }
}

struct ShowFirstRows {
    home: SinglePartition,
    rows_max: usize,
    emit_schedule: EmitSchedule,
    shown: Vec<String>,
}

impl Operator for ShowFirstRows {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let room = room(&self.shown, self.rows_max);
        self.shown.extend(input.take::<Vec<String>>().into_iter().take(room));
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let rows = std::mem::take(&mut self.shown);
        if self.emit_schedule.is_due(!rows.is_empty(), cx.batch.time) && self.home.is_here(cx) {
            let printed = Printed { heading: Heading::Time, rows, rows_max: self.rows_max };
            cx.out.output(Output::Console { node: cx.out.node(), printed });
        }
        Ok(())
    }
}
