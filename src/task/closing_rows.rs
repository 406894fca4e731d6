//! The rows that the closing of a time takes, as they came.
//!
//! Pure. Owns their numbering: by position over all blocks, in the order in which they are taken, so that some of them can be left
//! out. Knows no task. Invariants: a position means the same row as long as the time is not closed and none was taken; they are decoded
//! block by block, as they are taken, so no more than one block of them is in memory as rows.

use crate::{
    error::{Error, Result},
    operator::{EdgeId, EncodedRow, Envelope, Upstream},
    record::{BatchTime, Map},
    task::exchange_record::{Block, Unreadable},
};
use std::collections::VecDeque;

/// The rows of one time for one stage of a state partition.
pub struct ClosingRows {
    /// Where they were read, for errors.
    place: String,
    blocks: VecDeque<Block>,
}

/// A row that makes its stage fail.
#[derive(Debug)]
pub struct FailedRow {
    /// Which way it came.
    pub edge: EdgeId,
    /// Who made it.
    pub upstream: Upstream,
    /// The time of its batch.
    pub time: BatchTime,
    /// Its timestamp, or -1.
    pub timestamp_ms: i64,
    /// The encoded key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The encoded value.
    pub value: Option<Vec<u8>>,
    /// How it fails.
    pub error: Error,
}

impl ClosingRows {
    /// These blocks, read at `place`.
    #[must_use]
    pub fn new(place: String, blocks: impl IntoIterator<Item = Block>) -> Self {
        ClosingRows { place, blocks: blocks.into_iter().collect() }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes the rows of the first block.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn take(&mut self) -> Result<Option<Envelope>> {
        let first = self.blocks.pop_front();
        first.map(|block| block.envelope().map_err(|e| self.refused(&e))).transpose()
    }

    /// Those at these positions, which are given in order.
    ///
    /// # Errors
    /// If rows cannot be decoded.
    pub fn only(&self, positions: &[usize]) -> Result<ClosingRows> {
        let (mut first, mut rest, mut blocks) = (0, positions, VecDeque::new());
        for block in &self.blocks {
            let (of_block, later) = rest.split_at(rest.partition_point(|p| *p < first + block.rows));
            let of_block: Vec<usize> = of_block.iter().map(|position| position - first).collect();
            if of_block.len() == block.rows {
                blocks.push_back(block.clone());
            } else if !of_block.is_empty() {
                blocks.push_back(block.only(&of_block).map_err(|e| self.refused(&e))?);
            }
            (first, rest) = (first + block.rows, later);
        }
        Ok(ClosingRows { place: self.place.clone(), blocks })
    }

    /// All positions, those of one key together; a row without a key stands alone.
    ///
    /// # Errors
    /// If rows cannot be decoded.
    pub fn by_key(&self) -> Result<Vec<Vec<usize>>> {
        let (mut groups, mut known): (Vec<Vec<usize>>, Map<&[u8], usize>) = (vec![], Map::default());
        for (position, row) in self.blocks.iter().flat_map(Block::encoded).enumerate() {
            let EncodedRow { key, .. } = row.map_err(|e| Error::Refused(format!("{}: {e}", self.place)))?;
            let group = key.map_or(groups.len(), |key| *known.entry(key).or_insert(groups.len()));
            if group == groups.len() {
                groups.push(vec![]);
            }
            groups[group].push(position);
        }
        Ok(groups)
    }

    /// The row at a position, which fails like this.
    ///
    /// # Errors
    /// If rows cannot be decoded.
    ///
    /// # Panics
    /// If there is none.
    pub fn failed(&self, position: usize, error: Error) -> Result<FailedRow> {
        let mut left = position;
        let found = self.blocks.iter().find(|block| {
            let is_here = left < block.rows;
            left -= if is_here { 0 } else { block.rows };
            is_here
        });
        let block = found.expect("a row that was tried");
        let alone = block.only(&[left]).map_err(|e| self.refused(&e))?;
        let stamps = alone.envelope().map_err(|e| self.refused(&e))?.chunk.stamps().clone();
        let row = alone.encoded().next().expect("it is alone")?;
        Ok(FailedRow {
            edge: block.edge,
            upstream: block.upstream.clone(),
            time: block.time,
            timestamp_ms: stamps.each().next_ms(),
            key: row.key.map(<[u8]>::to_vec),
            value: row.value.map(<[u8]>::to_vec),
            error,
        })
    }

    fn refused(&self, why: &Unreadable) -> Error {
        Error::Refused(format!("{}: {why}", self.place))
    }
}
