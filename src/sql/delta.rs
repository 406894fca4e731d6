//! What moves between the operators of SQL: rows of columns, each with a weight.
//!
//! Owns the payload of a chunk. Knows no operator. Invariant: there are as many weights as rows, none of them 0; a relation without
//! weights only grows.

use crate::{operator::UpstreamMark, record::Chunk};
use arrow::array::{Array, Int64Array, RecordBatch};

/// Rows that were added to a relation or taken from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// The rows.
    pub rows: RecordBatch,
    /// How often each was added; negative = taken away. `None` = each once.
    pub weights: Option<Int64Array>,
}

impl Delta {
    /// Rows that were added once each.
    #[must_use]
    pub fn added(rows: RecordBatch) -> Self {
        Delta { rows, weights: None }
    }

    /// The weight of a row.
    #[must_use]
    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights.value(row))
    }

    /// A chunk of these rows.
    #[must_use]
    pub fn into_chunk(self) -> Chunk {
        let weights = self.weights.as_ref().map_or(0, Array::get_array_memory_size);
        let (len, bytes) = (self.rows.num_rows(), self.rows.get_array_memory_size() + weights);
        Chunk::sized(Payload::Rows(self), len, bytes)
    }
}

/// The payload of a chunk of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Rows.
    Rows(Delta),
    /// How far upstreams are in event time; comes behind the rows of a batch.
    Marks(Vec<UpstreamMark>),
}

impl Payload {
    /// A chunk of marks.
    #[must_use]
    pub fn marks(marks: Vec<UpstreamMark>) -> Chunk {
        let (len, bytes) = (marks.len(), marks.len() * size_of::<UpstreamMark>());
        Chunk::sized(Payload::Marks(marks), len, bytes)
    }
}
