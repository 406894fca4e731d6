//! From the value of a record to blocks and marks.
//!
//! Knows no topic. Invariants: rows are decoded only when they are asked for; a block shares the bytes of its record; reading ends with
//! the first error.

use super::{ExchangeEdges, HEADER, Unreadable, VERSION, part, stamps};
use crate::{
    operator::{EdgeId, Envelope, ExchangeFormat, RowReader, Upstream},
    record::{
        BatchTime, Bytes, Partition, Size, Stamps, TaskId, TopicPartition,
        varint::{take_varint, take_zigzag},
    },
};
use std::{ops::Range, sync::Arc};

/// A part of a record.
#[derive(Clone, Debug)]
pub enum Part {
    /// Rows.
    Block(Block),
    /// No more rows of an upstream.
    Mark(Mark),
}

/// The upstream has no more rows of times up to this one for the state partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which one.
    pub upstream: Upstream,
    /// The time.
    pub time: BatchTime,
}

/// Rows that are not decoded yet.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which way they go.
    pub edge: EdgeId,
    /// Who made them.
    pub upstream: Upstream,
    /// The time of their batch.
    pub time: BatchTime,
    /// How many they are.
    pub rows: usize,
    stamps: BlockStamps,
    bytes: Bytes,
    format: Arc<dyn ExchangeFormat>,
}

#[derive(Clone, Copy, Debug)]
enum BlockStamps {
    One(Option<i64>),
    Each { greatest: i64 },
}

impl Block {
    /// The bytes of its rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Its rows as bytes.
    #[must_use]
    pub fn encoded(&self) -> RowReader<'_> {
        let rows = RowReader::new(&self.bytes, self.rows);
        match self.stamps {
            BlockStamps::One(_) => rows,
            BlockStamps::Each { greatest } => rows.stamped(greatest),
        }
    }

    /// The rows at these positions alone, which are given in order.
    ///
    /// # Errors
    /// If its rows are cut off.
    pub fn only(&self, positions: &[usize]) -> Result<Block, Unreadable> {
        let (mut bytes, mut wanted) = (vec![], positions.iter().peekable());
        let mut rows = self.encoded();
        for position in 0..self.rows {
            let from = self.bytes.len() - rows.rest();
            let Some(row) = rows.next() else { break };
            row.map_err(|cause| Unreadable::Rows { edge: self.edge, cause })?;
            if wanted.next_if_eq(&&position).is_some() {
                bytes.extend_from_slice(&self.bytes[from..self.bytes.len() - rows.rest()]);
            }
        }
        Ok(Block { rows: positions.len(), bytes: bytes.into(), ..self.clone() })
    }

    /// Decodes its rows.
    ///
    /// # Errors
    /// If they are not of the format of their edge.
    pub fn envelope(&self) -> Result<Envelope, Unreadable> {
        let unreadable = |cause| Unreadable::Rows { edge: self.edge, cause };
        let mut rows = self.encoded();
        let chunk = self.format.decode(&mut rows).map_err(unreadable)?;
        if rows.rest() > 0 || chunk.len() != self.rows {
            let cause = format!("{} of {} rows, {} bytes are left over", chunk.len(), self.rows, rows.rest());
            return Err(unreadable(crate::Error::Codec(cause)));
        }
        let stamps = match (self.stamps, rows.into_stamps()) {
            (BlockStamps::Each { .. }, Some(each)) => each.build(),
            (BlockStamps::Each { greatest }, None) => Stamps::Greatest(greatest),
            (BlockStamps::One(greatest), _) => greatest.into(),
        };
        let (edge, upstream, time) = (self.edge, self.upstream.clone(), self.time);
        let size = Size { rows: self.rows, bytes: self.bytes() };
        Ok(Envelope { edge, upstream, time, chunk: chunk.stamped(stamps).made_from(size) })
    }
}

/// Gives the parts of a record, in order.
pub struct RecordReader<'e> {
    edges: &'e ExchangeEdges,
    value: Bytes,
    at: usize,
    /// The last topic that was named: most parts name the same.
    topic: Option<Arc<str>>,
}

impl<'e> RecordReader<'e> {
    /// Reads the value of a record.
    ///
    /// # Errors
    /// If it was written by another version or another program, or is no record.
    pub fn new(edges: &'e ExchangeEdges, value: Bytes) -> Result<Self, Unreadable> {
        let damaged = |at, what| Err(Unreadable::Damaged { at, what });
        match value.first() {
            Some(&VERSION) => {}
            Some(&version) if version > VERSION => return Err(Unreadable::Later(version)),
            Some(_) => return damaged(0, "there is a version that never was"),
            None => return damaged(0, "there is nothing"),
        }
        let found = value.get(1..HEADER).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        match found {
            Some(found) if found != edges.fingerprint => {
                Err(Unreadable::OtherEdges { found, here: edges.fingerprint })
            }
            Some(_) if value.len() > HEADER => Ok(RecordReader { edges, value, at: HEADER, topic: None }),
            _ => damaged(value.len(), "the record ends"),
        }
    }

    fn part(&mut self) -> Result<Part, Unreadable> {
        let mut input = Input { value: &self.value, rest: &self.value[self.at..] };
        let part = match input.byte()? {
            part::BLOCK => {
                let edge = EdgeId(input.u32()?);
                let upstream = input.upstream(&mut self.topic)?;
                let time = input.time()?;
                let stamps = input.stamps(time)?;
                let (rows, bytes) = input.rows(stamps)?;
                let of = self.edges.edges.get(&edge).ok_or(Unreadable::UnknownEdge(edge))?;
                if of.stage != upstream.stage() {
                    return input
                        .damaged("the rows come from another stage than those of their edge before this");
                }
                let (bytes, format) = (self.value.part(bytes), of.format.clone());
                Part::Block(Block { edge, upstream, time, rows, stamps, bytes, format })
            }
            part::MARK => {
                let upstream = input.upstream(&mut self.topic)?;
                Part::Mark(Mark { upstream, time: input.time()? })
            }
            _ => return input.damaged("there is neither a block nor a mark before this"),
        };
        self.at = input.at();
        Ok(part)
    }
}

impl Iterator for RecordReader<'_> {
    type Item = Result<Part, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.value.len() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.at = self.value.len();
        }
        Some(part)
    }
}

/// The part of a value that is not read yet.
struct Input<'a> {
    value: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn at(&self) -> usize {
        self.value.len() - self.rest.len()
    }

    fn damaged<T>(&self, what: &'static str) -> Result<T, Unreadable> {
        Err(Unreadable::Damaged { at: self.at(), what })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return self.damaged("there are fewer bytes than follow");
        };
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        match take_varint(&mut self.rest) {
            Some(number) => Ok(number),
            None => self.damaged("there is no number before this"),
        }
    }

    fn number_32(&mut self) -> Result<u32, Unreadable> {
        match u32::try_from(self.number()?) {
            Ok(number) => Ok(number),
            Err(_) => self.damaged("a number is too large before this"),
        }
    }

    fn signed(&mut self) -> Result<i64, Unreadable> {
        match take_zigzag(&mut self.rest) {
            Some(number) => Ok(number),
            None => self.damaged("there is no number before this"),
        }
    }

    fn time(&mut self) -> Result<BatchTime, Unreadable> {
        Ok(BatchTime(self.signed()?))
    }

    fn upstream(&mut self, known: &mut Option<Arc<str>>) -> Result<Upstream, Unreadable> {
        if let Some(stage) = self.number_32()?.checked_sub(1) {
            return Ok(Upstream::Task(TaskId { stage, partition: Partition(self.number_32()?) }));
        }
        let length = self.number_32()? as usize;
        let Ok(name) = std::str::from_utf8(self.take(length)?) else {
            return self.damaged("the name of a topic is no text before this");
        };
        let topic = match known {
            Some(topic) if **topic == *name => topic.clone(),
            _ => known.insert(name.into()).clone(),
        };
        Ok(Upstream::Source(TopicPartition { topic, partition: Partition(self.number_32()?) }))
    }

    fn stamps(&mut self, time: BatchTime) -> Result<BlockStamps, Unreadable> {
        let kind = self.byte()?;
        if kind == stamps::UNKNOWN {
            return Ok(BlockStamps::One(None));
        }
        let greatest = self.signed()?.wrapping_add(time.0);
        match kind {
            stamps::GREATEST => Ok(BlockStamps::One(Some(greatest))),
            stamps::EACH => Ok(BlockStamps::Each { greatest }),
            _ => self.damaged("timestamps are of an unknown kind before this"),
        }
    }

    /// Number of rows, and where they are.
    fn rows(&mut self, stamps: BlockStamps) -> Result<(usize, Range<usize>), Unreadable> {
        let (rows, bytes) = (self.u32()? as usize, self.u32()? as usize);
        let at = self.at();
        let least = if matches!(stamps, BlockStamps::Each { .. }) { 3 } else { 2 };
        if rows == 0 || rows > self.take(bytes)?.len() / least {
            return Err(Unreadable::Damaged { at, what: "the number of rows cannot be right before this" });
        }
        Ok((rows, at..at + bytes))
    }
}
