//! Rows become records of a topic.
//!
//! Owns the operator that encodes them. Knows no log: what it produces leaves the task and is sent in the
//! batch's transaction. Invariants: encoding is part of compute (pure, parallel), so a commit only moves
//! bytes; a record to which `encode` gives no timestamp gets the greatest one of the records that it was made from, or, if that is
//! ahead of the clock and brokers would refuse it, none.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Output, Port},
    record::{Chunk, Data, RawChunkBuilder, Stamps},
};
use std::{marker::PhantomData, sync::Arc};

/// Encodes rows for a topic.
pub struct TopicSink<T, F> {
    topic: Arc<str>,
    encode: Arc<F>,
    rows: PhantomData<fn(T)>,
}

impl<T, F> TopicSink<T, F> {
    /// Writes what `encode` appends for each row to `topic`.
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
        match input.stamps() {
            Stamps::Each(stamps) => {
                for (row, stamp) in rows.iter().zip(&**stamps) {
                    let first = out.len();
                    (self.encode)(row, &mut out)?;
                    if *stamp <= cx.batch.clock_ms {
                        out.stamp(first, *stamp);
                    }
                }
            }
            Stamps::Unknown | Stamps::Greatest(_) => {
                rows.iter().try_for_each(|row| (self.encode)(row, &mut out))?;
                if let Some(newest) = input.stamps().greatest().filter(|ms| *ms <= cx.batch.clock_ms) {
                    out.stamp(0, newest);
                }
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
        for row in input.view::<Vec<T>>() {
            let index = (self.choose)(row)?;
            let records = out.get_mut(index).ok_or_else(|| {
                Error::Row(format!("topic number {index} was chosen, but there are {}", self.topics.len()))
            })?;
            (self.encode)(row, records)?;
        }
        for (topic, records) in self.topics.iter().zip(out).filter(|(_, records)| !records.is_empty()) {
            cx.out.output(Output::Records { topic: topic.clone(), records: records.build() });
        }
        Ok(())
    }
}
