//! From the records of the internal topic to calls of the function.
//!
//! Owns the position of the output: a row of the application's topic of deliveries. Knows no thread.
//! Invariants: batches are delivered in the order of their ends, each as a whole; the position moves only
//! after the function has returned; a process that was replaced may still write an older position. So a batch
//! may be delivered again, but never another batch under its id.

use super::{CommittedBatch, End, Part, rows};
use crate::{
    codec::stored_format,
    error::{Error, Failure, Reaction, panic_text},
    log::{Log, Producer, ProducerSpec, RequestSizes},
    record::{
        BatchTime, Bytes, Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord, TopicPartition,
        Value,
    },
    sink::{
        Outcome, Rdd,
        outbox::{OutboxFailure, OutboxSource, OutboxWriter},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Display,
    marker::PhantomData,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// Seconds without a row, short of the end of the topic of deliveries, after which a read is given up.
const SILENCE_S: u32 = 10;

/// How far an output has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Identity of the topic that the position refers to; empty = not known.
    topic_id: String,
    /// No record before this offset belongs to a batch that is still to be delivered.
    from: u64,
    /// Batches that end before this offset were delivered.
    given: u64,
}

/// A batch whose end has not been read yet.
struct Begun {
    first: Offset,
    blocks: Vec<(Partition, Bytes)>,
}

/// Delivers committed batches to a function.
pub struct Deliver<T, R, F> {
    function: Arc<F>,
    at: &'static Location<'static>,
    /// The topic of deliveries.
    positions: Arc<str>,
    open: Option<Open>,
    begun: BTreeMap<Vec<u8>, Begun>,
    types: PhantomData<fn(T) -> R>,
}

struct Open {
    source: OutboxSource,
    producer: Box<dyn Producer>,
    position: Position,
}

impl<T, R, F> Deliver<T, R, F> {
    /// Calls `function`, which the program passes at `at`; keeps its position in the topic `positions`.
    #[must_use]
    pub fn new(function: Arc<F>, at: &'static Location<'static>, positions: Arc<str>) -> Self {
        Deliver { function, at, positions, open: None, begun: BTreeMap::new(), types: PhantomData }
    }

    fn broken(&self, what: impl Display) -> OutboxFailure {
        OutboxFailure::Broken(Error::Undelivered(format!("foreach_batch at {}: {what}", self.at)))
    }
}

impl<T: Value, R: Outcome, F> Deliver<T, R, F>
where
    F: Fn(Rdd<T>, CommittedBatch) -> R + Send + Sync,
{
    /// Handles the end of a batch.
    fn end(&mut self, end: &End, key: &[u8], at: Offset) -> Result<(), OutboxFailure> {
        let open = self.open.as_ref().expect("opened before");
        let (topic, given) = (open.source.topic.clone(), at.0 < open.position.given);
        let blocks = self.begun.remove(key).map(|begun| begun.blocks).unwrap_or_default();
        if given {
            return Ok(());
        }
        if blocks.len() != end.blocks {
            let (is, must) = (blocks.len(), end.blocks);
            let what = format!("{topic} has {is} of {must} records of the batch that ends at offset {at}");
            return Err(self.broken(what));
        }
        self.call(&blocks, end, at)?;
        let _ = crate::failpoint::passes("before-acknowledged");
        let from = self.begun.values().map(|begun| begun.first).min().unwrap_or(at.next());
        self.acknowledge(from, at.next())?;
        let _ = crate::failpoint::passes("after-drained");
        Ok(())
    }

    fn call(&self, blocks: &[(Partition, Bytes)], end: &End, at: Offset) -> Result<(), OutboxFailure> {
        let id = i64::try_from(at.0).map_err(|e| self.broken(e))?;
        let batch = CommittedBatch { id, time: BatchTime(end.time_ms) };
        let failed = |why: String| self.broken(format!("batch {id} of {}: {why}", batch.time));
        let (was, is) = (&end.format, stored_format::<T>());
        if !was.is_empty() && *was != is {
            return Err(failed(format!(
                "its rows were written by a program with another type of rows: they are {was}, the program reads {is}"
            )));
        }
        let mut tasks: BTreeMap<Partition, Vec<T>> = BTreeMap::new();
        for (task, block) in blocks {
            rows(block, tasks.entry(*task).or_default()).map_err(|e| {
                failed(format!("its rows were written by a program with another type of rows: {e}"))
            })?;
        }
        let _ = crate::failpoint::passes("before-drained");
        let rdd = Rdd::from(tasks.into_values().collect::<Vec<_>>());
        match catch_unwind(AssertUnwindSafe(|| (self.function)(rdd, batch).reason())) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(failed(why)),
            Err(panic) => Err(failed(format!("panicked: {}", panic_text(panic.as_ref())))),
        }
    }
}

impl<T, R, F> Deliver<T, R, F> {
    /// Makes the position durable.
    fn acknowledge(&mut self, from: Offset, given: Offset) -> Result<(), OutboxFailure> {
        let open = self.open.as_mut().expect("opened before");
        let topic_id = open.source.topic_id.clone();
        let position = Position { topic_id, from: from.0, given: given.0 };
        let value = serde_json::to_vec(&position).map_err(|e| OutboxFailure::Unavailable(e.to_string()))?;
        let (key, value) = (Some(open.source.topic.as_bytes()), Some(value.as_slice()));
        let mut row = RawChunkBuilder::default();
        row.push(RawRecord { offset: Offset(0), timestamp_ms: -1, key, value, headers: Headers::NONE });
        let producer = &mut open.producer;
        producer
            .begin()
            .and_then(|()| producer.send(&self.positions, Some(Partition(0)), &row.build()))
            .and_then(|()| producer.flush())
            .map_err(of_log)?;
        open.position = position;
        Ok(())
    }

    /// The greatest position that was made durable.
    fn position(&self, log: &dyn Log, source: &OutboxSource) -> Result<Position, OutboxFailure> {
        let unavailable = |e: Error| OutboxFailure::Unavailable(e.to_string());
        let at = TopicPartition::new(self.positions.clone(), 0);
        let mut from = log.start_offset(&at).map_err(unavailable)?;
        let end = log.end_offset(&at).map_err(unavailable)?;
        let (mut position, mut silent_s) = (Position::default(), 0);
        if from >= end {
            return Ok(position);
        }
        let mut reader = log.read(&at, from).map_err(unavailable)?;
        while from < end {
            let Some(fetched) = reader.next(Duration::from_secs(1)).map_err(of_log)? else {
                silent_s += 1;
                if silent_s > SILENCE_S {
                    return Err(OutboxFailure::Unavailable(format!("{at} cannot be read to its end, {end}")));
                }
                continue;
            };
            from = fetched.next;
            for row in fetched.records.iter().filter(|row| row.key == Some(source.topic.as_bytes())) {
                let read: Position = serde_json::from_slice(row.value.unwrap_or_default())
                    .map_err(|e| self.broken(format!("a row of {at} is not ours: {e}")))?;
                if read.given >= position.given {
                    position = read;
                }
            }
        }
        Ok(position)
    }
}

impl<T: Value, R: Outcome, F> OutboxWriter for Deliver<T, R, F>
where
    F: Fn(Rdd<T>, CommittedBatch) -> R + Send + Sync,
{
    fn open(&mut self, source: &OutboxSource, log: &dyn Log) -> Result<Offset, OutboxFailure> {
        let position = self.position(log, source)?;
        let (is, was) = (&source.topic_id, &position.topic_id);
        if !is.is_empty() && !was.is_empty() && is != was {
            let what = format!("{} was deleted and recreated (id {was} is now {is})", source.topic);
            return Err(self.broken(format!("{what}\n  next: {}", self.reposition(Offset(0)))));
        }
        let spec = ProducerSpec {
            transactional_id: None,
            transaction_timeout: Duration::from_secs(15),
            group: source.application.clone(),
            buffer_bytes: 1 << 20,
            sizes: RequestSizes::default(),
        };
        let mut producer = log.producer(&spec).map_err(|e| OutboxFailure::Unavailable(e.to_string()))?;
        producer.init().map_err(of_log)?;
        let from = Offset(position.from);
        self.begun.clear();
        self.open = Some(Open { source: source.clone(), producer, position });
        Ok(from)
    }

    fn write(&mut self, records: &RawChunk, _: Offset, to: Offset) -> Result<(), OutboxFailure> {
        for (index, record) in records.iter().enumerate() {
            let (key, offset) = (record.key.unwrap_or_default(), record.offset);
            match Part::of(&record) {
                Some(Part::Block(task)) => {
                    let begun = || Begun { first: offset, blocks: vec![] };
                    let begun = self.begun.entry(key.to_vec()).or_insert_with(begun);
                    begun
                        .blocks
                        .push((task, records.shared_value(index).map(Bytes::from).unwrap_or_default()));
                }
                Some(Part::End(end)) => self.end(&end, key, offset)?,
                None => return Err(self.broken(format!("the record at offset {offset} is not ours"))),
            }
        }
        // Nothing has come for a while: what lies between batches is no longer needed.
        if records.is_empty() && self.begun.is_empty() {
            self.acknowledge(to, to)?;
        }
        Ok(())
    }

    /// A batch that was read in part is read again from its first record.
    fn read_again_from(&self, _: Offset) -> Offset {
        self.open.as_ref().map_or(Offset(0), |open| Offset(open.position.from))
    }

    fn reposition(&self, _: Offset) -> String {
        "give the output another name: it then begins with the next batch".into()
    }
}

fn of_log(failure: Failure) -> OutboxFailure {
    match failure.reaction {
        Reaction::StopPipeline | Reaction::Exit => OutboxFailure::Broken(failure.into()),
        _ => OutboxFailure::Unavailable(failure.to_string()),
    }
}
