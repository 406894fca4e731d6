//! What a state partition gets through the exchange topic.
//!
//! Owns the reader of its partition there, and the alignment. Knows no task. Invariants: a record that cannot be read is
//! never passed over; what is given to a stage is there again after an abort.

use crate::{
    error::{Error, Result},
    log::Fetcher,
    operator::Upstream,
    record::{BatchTime, Bytes, Offset, TopicPartition},
    task::{
        alignment::{self, Alignment, Record, StageProgress},
        closing_rows::ClosingRows,
        exchange_record::{Block, ExchangeEdges, Part, RecordReader},
    },
};
use std::sync::Arc;

/// One call of the reader takes so much.
const TAKE_RECORDS: usize = 1_000;
const TAKE_BYTES: usize = 4 << 20;

/// What comes through the exchange topic for one state partition.
pub struct Incoming {
    at: TopicPartition,
    edges: Arc<ExchangeEdges>,
    fetcher: Box<dyn Fetcher>,
    alignment: Alignment<Block>,
    /// After everything that was fetched, also after what is no record.
    next: Offset,
}

impl Incoming {
    /// Goes on as `alignment` says, with the records of `at` that `fetcher` hands over from its position on.
    #[must_use]
    pub fn new(
        at: TopicPartition,
        edges: Arc<ExchangeEdges>,
        fetcher: Box<dyn Fetcher>,
        alignment: Alignment<Block>,
    ) -> Self {
        let next = alignment.next_offset();
        Incoming { at, edges, fetcher, alignment, next }
    }

    /// Takes what has arrived, without waiting. Returns whether there was anything.
    ///
    /// # Errors
    /// If the partition cannot be read, or a record in it cannot be understood.
    pub fn take(&mut self) -> Result<bool> {
        let from = self.alignment.read_from(self.next);
        if from != self.next {
            self.fetcher.seek(from);
            self.next = from;
        }
        let Some(fetched) = self.fetcher.take(TAKE_RECORDS, TAKE_BYTES)? else { return Ok(false) };
        for index in 0..fetched.records.len() {
            let offset = fetched.records.get(index).offset;
            let value = fetched.records.shared_value(index).map(Bytes::from);
            self.read(offset, value)
                .map_err(|why| Error::Refused(format!("{}, offset {offset}: {why}", self.at)))?;
            let from = self.alignment.read_from(offset.next());
            if from != offset.next() {
                self.fetcher.seek(from);
                self.next = from;
                return Ok(true);
            }
        }
        self.next = fetched.next;
        Ok(true)
    }

    fn read(&mut self, offset: Offset, value: Option<Bytes>) -> Result<(), String> {
        let value = value.ok_or(
            "the record has no value\n  next: look for what writes to this topic besides the program",
        )?;
        let (mut blocks, mut marks) = (vec![], vec![]);
        let parts = RecordReader::new(&self.edges, value).map_err(|e| e.to_string())?;
        for part in parts {
            match part.map_err(|e| e.to_string())? {
                Part::Block(block) => blocks.push(alignment::Block {
                    edge: block.edge,
                    upstream: block.upstream.clone(),
                    time: block.time,
                    bytes: block.bytes(),
                    payload: block,
                }),
                Part::Mark(mark) => marks.push(alignment::Mark { upstream: mark.upstream, time: mark.time }),
            }
        }
        self.alignment.push(Record { offset, blocks, marks })
    }

    /// After everything that was fetched.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The upstreams that the program does not read any more, and that have sent a part of a batch and not its end.
    pub fn cut_off(&self) -> impl Iterator<Item = &Upstream> {
        self.alignment.cut_off()
    }

    /// Whether nothing of what was fetched is needed any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alignment.position() == self.alignment.next_offset()
    }

    /// How many bytes wait for their time.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.alignment.waiting_bytes()
    }

    /// The time that a stage can close next.
    #[must_use]
    pub fn closable(&self, stage: u32) -> Option<BatchTime> {
        self.alignment.closable(stage)
    }

    /// The same, also if its rows have to be read again before.
    #[must_use]
    pub fn marked(&self, stage: u32) -> Option<BatchTime> {
        self.alignment.marked(stage)
    }

    /// Whether the rows of the next time are held however many they are.
    pub fn set_loading(&mut self, loads: bool) {
        self.alignment.set_loading(loads);
    }

    /// The last time that a stage has closed, with what is prepared.
    #[must_use]
    pub fn closed(&self, stage: u32) -> BatchTime {
        self.alignment.closed(stage)
    }

    /// The rows that closing a time in a stage takes.
    #[must_use]
    pub fn rows(&self, stage: u32, time: BatchTime) -> ClosingRows {
        let blocks = self.alignment.units(stage, time).into_iter().map(|block| block.payload.clone());
        ClosingRows::new(format!("{}, batch time {time}", self.at), blocks)
    }

    /// About how many bytes they are.
    #[must_use]
    pub fn due_bytes(&self, stage: u32, time: BatchTime) -> usize {
        self.alignment.units(stage, time).into_iter().map(|block| block.bytes).sum()
    }

    /// Prepares the closing of a time in a stage.
    pub fn close(&mut self, stage: u32, time: BatchTime) {
        self.alignment.close(stage, time);
    }

    /// The offset to commit with what is prepared.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.alignment.position()
    }

    /// What has to be committed of a stage with what is prepared, if it has changed.
    #[must_use]
    pub fn changed_progress(&self, stage: u32) -> Option<StageProgress> {
        self.alignment.row_is_due(stage).then(|| self.alignment.progress(stage))
    }

    /// What was prepared is committed.
    pub fn apply(&mut self) {
        self.alignment.apply();
    }

    /// What was prepared is not committed.
    pub fn abort(&mut self) {
        self.alignment.abort();
    }
}
