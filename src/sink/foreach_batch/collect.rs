//! From the rows of a batch to the records of the internal topic.
//!
//! Knows no log. Invariants: rows are encoded in tasks, so a row that cannot be encoded is handled as a bad
//! record; a batch without rows sends nothing; the key of the records identifies the batch among those of all
//! processes.

use super::{BLOCK_BYTES, END, End, TASK, push_row};
use crate::{
    error::{Error, Result},
    operator::{Batch, Context, Operator, Output, Port, SinglePartition},
    record::{Chunk, Headers, Offset, RawChunk, RawChunkBuilder, RawRecord, Value},
    sink::two_phase::{Collected, TwoPhaseContext, TwoPhaseSink},
};
use std::{marker::PhantomData, sync::Arc};

/// A chunk of records ends with the block that brings it to this size.
const CHUNK_BYTES: usize = 4 << 20;

type Blocks = Vec<Vec<u8>>;

/// Encodes rows in blocks and passes them to the output of its node, or sends them to the state partition where all are gathered.
pub struct EncodeRows<T> {
    home: Option<SinglePartition>,
    rows: PhantomData<fn(T)>,
}

impl<T> EncodeRows<T> {
    /// Sends to `home`, if there is one.
    #[must_use]
    pub fn new(home: Option<SinglePartition>) -> Self {
        EncodeRows { home, rows: PhantomData }
    }
}

impl<T: Value> Operator for EncodeRows<T> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (mut blocks, mut block): (Blocks, Vec<u8>) = (vec![], vec![]);
        for row in input.view::<Vec<T>>() {
            push_row(row, &mut block)?;
            if block.len() >= BLOCK_BYTES {
                blocks.push(std::mem::take(&mut block));
            }
        }
        if !block.is_empty() {
            blocks.push(block);
        }
        let bytes = blocks.iter().map(Vec::capacity).sum();
        if let Some(home) = &self.home {
            let count = blocks.len();
            cx.out.to_partition(home.among(cx.out.partitions), Chunk::sized(blocks, count, bytes));
            return Ok(());
        }
        let (node, from) = (cx.out.node(), cx.out.upstream.clone());
        let chunk = Chunk::sized(blocks, input.len(), bytes);
        cx.out.output(Output::Collected { node, from, chunk });
        Ok(())
    }
}

/// Sends the rows of each batch to the internal topic, in its transaction.
pub struct SendBatch {
    topic: Arc<str>,
    /// That of the rows.
    format: String,
    instance: Arc<str>,
    /// A name that no other process, and no other incarnation of this one, has.
    incarnation: String,
    records: Vec<RawChunk>,
}

impl SendBatch {
    /// Sends to `topic`.
    #[must_use]
    pub fn new(topic: Arc<str>, format: &str, context: &TwoPhaseContext) -> Self {
        SendBatch {
            topic,
            format: format.to_owned(),
            instance: context.instance.clone(),
            incarnation: String::new(),
            records: vec![],
        }
    }
}

impl TwoPhaseSink for SendBatch {
    fn recover(&mut self, incarnation: &str, _: &[Vec<u8>]) -> Result {
        incarnation.clone_into(&mut self.incarnation);
        Ok(())
    }

    fn prepare(&mut self, batch: &Batch, gathered: Collected) -> Result<Option<Vec<u8>>> {
        self.records.clear();
        let name = format!("{}/{}/{}", self.instance, self.incarnation, batch.id);
        let key = Some(name.as_bytes());
        let (mut chunk, mut blocks) = (RawChunkBuilder::default(), 0);
        for (task, chunks) in gathered.chunks() {
            let task = task.to_string();
            for block in chunks.into_iter().flat_map(Chunk::take::<Blocks>) {
                let value = Some(block.as_slice());
                chunk.push(RawRecord {
                    offset: Offset(0),
                    timestamp_ms: -1,
                    key,
                    value,
                    headers: Headers::NONE,
                });
                chunk.push_header(TASK, Some(task.as_bytes()));
                blocks += 1;
                if chunk.bytes() >= CHUNK_BYTES {
                    self.records.push(std::mem::take(&mut chunk).build());
                }
            }
        }
        if blocks == 0 {
            return Ok(None);
        }
        let end = End { time_ms: batch.time.0, blocks, format: self.format.clone() };
        let write = |bytes: &mut Vec<u8>| serde_json::to_writer(bytes, &end).map(|()| true);
        chunk.push_with(-1, key, write).map_err(|e| Error::Codec(e.to_string()))?;
        chunk.push_header(END, None);
        self.records.push(chunk.build());
        Ok(None)
    }

    fn take_records(&mut self) -> Vec<(Arc<str>, RawChunk)> {
        self.records.drain(..).map(|chunk| (self.topic.clone(), chunk)).collect()
    }
}
