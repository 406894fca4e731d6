//! Rows become records of a topic.
//!
//! Owns the operator that encodes them. Knows no log: what it produces leaves the task and is sent in the
//! batch's transaction. Invariants: encoding is part of compute (pure, parallel), so a commit only moves
//! bytes; a record to which `encode` gives no timestamp gets the greatest one of the records that it was made from, or, if that is
//! ahead of the clock and brokers would refuse it, none. A record of an internal topic gets none at all: its retention counts from
//! when it is written.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Output, Port},
    record::{Chunk, Data, RawChunkBuilder},
};
use std::{marker::PhantomData, sync::Arc};

/// Encodes rows for a topic.
pub struct TopicSink<T, F> {
    topic: Arc<str>,
    encode: Arc<F>,
    is_internal: bool,
    rows: PhantomData<fn(T)>,
}

impl<T, F> TopicSink<T, F> {
    /// Writes what `encode` appends for each row to `topic`.
    #[must_use]
    pub fn new(topic: Arc<str>, encode: Arc<F>) -> Self {
        TopicSink { topic, encode, is_internal: false, rows: PhantomData }
    }

    /// As [`new`](Self::new), for a topic of the application itself.
    #[must_use]
    pub fn internal(topic: Arc<str>, encode: Arc<F>) -> Self {
        TopicSink { is_internal: true, ..Self::new(topic, encode) }
    }
}

/// The rows, each with the timestamp of what is made from it, unless that has one of its own.
fn stamped<T: Data>(input: &Chunk, clock_ms: i64) -> impl ExactSizeIterator<Item = (&T, Option<i64>)> {
    let (rows, mut stamps) = (input.view::<Vec<T>>(), input.stamps().each());
    rows.iter().map(move |row| (row, Some(stamps.next_ms()).filter(|ms| (0..=clock_ms).contains(ms))))
}

impl<T: Data, F> Operator for TopicSink<T, F>
where
    F: Fn(&T, &mut RawChunkBuilder) -> Result + Send + Sync,
{
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let mut out = RawChunkBuilder::with_capacity(input.len(), input.len() * 64);
        for (row, ms) in stamped(&input, cx.batch.clock_ms) {
            let first = out.len();
            (self.encode)(row, &mut out)?;
            if let Some(ms) = ms.filter(|_| !self.is_internal) {
                out.stamp(first, ms);
            }
        }
        if !out.is_empty() {
            cx.out.output(Output::Records { topic: self.topic.clone(), records: out.build() });
        }
        Ok(())
    }
}

/// Encodes rows for one of several topics each.
pub struct TopicsSink<T, C, F> {
    topics: Vec<Arc<str>>,
    choose: Arc<C>,
    encode: Arc<F>,
    rows: PhantomData<fn(T)>,
}

impl<T, C, F> TopicsSink<T, C, F> {
    /// Writes what `encode` appends for each row to the topic whose index `choose` gives.
    #[must_use]
    pub fn new(topics: Vec<Arc<str>>, choose: Arc<C>, encode: Arc<F>) -> Self {
        TopicsSink { topics, choose, encode, rows: PhantomData }
    }
}

impl<T: Data, C, F> Operator for TopicsSink<T, C, F>
where
    C: Fn(&T) -> Result<usize> + Send + Sync,
    F: Fn(&T, &mut RawChunkBuilder) -> Result + Send + Sync,
{
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let mut out: Vec<RawChunkBuilder> = self.topics.iter().map(|_| RawChunkBuilder::default()).collect();
        for (row, ms) in stamped(&input, cx.batch.clock_ms) {
            let index = (self.choose)(row)?;
            let records = out.get_mut(index).ok_or_else(|| {
                Error::Row(format!("topic number {index} was chosen, but there are {}", self.topics.len()))
            })?;
            let first = records.len();
            (self.encode)(row, records)?;
            if let Some(ms) = ms {
                records.stamp(first, ms);
            }
        }
        for (topic, records) in self.topics.iter().zip(out).filter(|(_, records)| !records.is_empty()) {
            cx.out.output(Output::Records { topic: topic.clone(), records: records.build() });
        }
        Ok(())
    }
}
