//! The edge on the right: typed chunks become records of a topic, or lines of the console.
//!
//! Owns the operators that end a path. Knows no log: what they make leaves the task and is sent in the batch's transaction, or
//! shown after it. Invariant: encoding is part of compute (pure, parallel), so a commit only moves bytes.

mod display;
pub mod files;
mod foreach_batch;
mod latest;
pub mod outbox;
mod postgres;
mod rdd;
mod remembered;
pub mod two_phase;

pub use display::{PrintOptions, to_display};
pub use files::{FileSink, TimeUnit};
pub use foreach_batch::{CommittedBatch, Deliver, EncodeRows, SendBatch};
pub use latest::{KeepLatest, Latest, View};
pub use postgres::PostgresSink;
pub use rdd::{ForeachRdd, Rdd};
pub use remembered::{Remember, Remembered};
pub use two_phase::{Collect, MakeTwoPhaseSink, TwoPhaseContext, TwoPhaseSink, TwoPhaseSpec};

use crate::{
    error::Result,
    operator::{Context, EmitSchedule, Operator, Output, Port},
    record::{Chunk, Data, RawChunkBuilder, Value},
};
use std::{marker::PhantomData, sync::Arc};

/// Encodes rows for a topic.
pub struct TopicSink<T, F> {
    topic: Arc<str>,
    encode: Arc<F>,
    rows: PhantomData<fn(T)>,
}

impl<T, F> TopicSink<T, F> {
    /// Writes to `topic` what `encode` appends for each row.
    #[must_use]
    pub fn new(topic: Arc<str>, encode: Arc<F>) -> Self {
        TopicSink { topic, encode, rows: PhantomData }
    }
}

impl<T: Data, F> Operator for TopicSink<T, F>
where
    F: Fn(&T, &mut RawChunkBuilder) -> Result + Send + Sync,
{
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let rows = input.view::<Vec<T>>();
        let mut out = RawChunkBuilder::with_capacity(rows.len(), rows.len() * 64);
        rows.iter().try_for_each(|row| (self.encode)(row, &mut out))?;
        if !out.is_empty() {
            cx.out.output(Output::Records { topic: self.topic.clone(), records: out.build() });
        }
        Ok(())
    }
}

/// `print`: the first rows of each batch, shown after the commit.
pub struct ConsoleSink<T> {
    options: PrintOptions,
    emit_schedule: EmitSchedule,
    shown: Vec<String>,
    rows: PhantomData<fn(T)>,
}

impl<T> ConsoleSink<T> {
    /// Shows the first rows of a batch; one more is kept to know that there are more.
    #[must_use]
    pub fn new(options: PrintOptions, emit_schedule: EmitSchedule) -> Self {
        ConsoleSink { options, emit_schedule, shown: vec![], rows: PhantomData }
    }
}

impl<T: Value> Operator for ConsoleSink<T> {
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
