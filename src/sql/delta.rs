//! What moves between the operators of SQL: rows of columns, each with a weight.
//!
//! Owns the payload of a chunk. Knows no operator. Invariant: there are as many weights as rows, none of them 0; a relation without
//! weights only grows.

use crate::{operator::UpstreamMark, record::Chunk};
use arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch},
    datatypes::DataType,
};

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

    /// About how much these rows take in memory, bytes. Buffers that other rows share are counted as far as these rows are in them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let weights = self.weights.as_ref().map_or(0, |weights| weights.len() * size_of::<i64>());
        self.rows.columns().iter().map(|column| bytes_of(column.as_ref())).sum::<usize>() + weights
    }

    /// A chunk of these rows.
    #[must_use]
    pub fn into_chunk(self) -> Chunk {
        let (len, bytes) = (self.rows.num_rows(), self.bytes());
        Chunk::sized(Payload::Rows(self), len, bytes)
    }
}

/// The bytes of the cells of an array.
fn bytes_of(array: &dyn Array) -> usize {
    let rows = array.len();
    let nulls = array.nulls().map_or(0, |_| rows.div_ceil(8));
    let between = |offsets: &[i32]| match offsets {
        [first, .., last] => usize::try_from(last - first).unwrap_or_default(),
        _ => 0,
    };
    let cells = match array.data_type() {
        DataType::Boolean => rows.div_ceil(8),
        DataType::Utf8 => between(array.as_string::<i32>().value_offsets()) + 4 * rows,
        DataType::Binary => between(array.as_binary::<i32>().value_offsets()) + 4 * rows,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            part_of(list.values().as_ref(), between(list.value_offsets())) + 4 * rows
        }
        DataType::Map(..) => {
            let map = array.as_map();
            part_of(map.entries(), between(map.value_offsets())) + 4 * rows
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| bytes_of(column.as_ref())).sum()
        }
        other => other.primitive_width().map_or(0, |width| rows * width),
    };
    cells + nulls
}

/// The bytes of some of the cells of an array, on the average.
fn part_of(array: &dyn Array, cells: usize) -> usize {
    if array.is_empty() { 0 } else { bytes_of(array).saturating_mul(cells) / array.len() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::rows::samples::{For, Samples};

    #[test]
    fn rows_that_share_buffers_with_others_are_counted_alone() {
        let mut samples = Samples::new(3, For::Values);
        for _ in 0..500 {
            let data_type = samples.data_type(2);
            let column = samples.column(&data_type, 64);
            let rows = RecordBatch::try_from_iter([("x", column.clone())]).unwrap();
            let whole = Delta::added(rows.clone()).bytes();
            let halves = [0, 32].map(|from| Delta::added(rows.slice(from, 32)).bytes());
            let (sum, slack) = (halves[0] + halves[1], 64 + whole / 2);
            assert!(
                sum <= whole + slack && sum + slack >= whole,
                "{}: {halves:?} of {whole}",
                column.data_type()
            );
            assert!(whole <= rows.get_array_memory_size() + 64, "{}", column.data_type());
        }
        let many =
            RecordBatch::try_from_iter([("n", std::sync::Arc::new(Int64Array::from(vec![7; 8_192])) as _)]);
        let one = Delta { rows: many.unwrap().slice(5, 1), weights: Some(Int64Array::from(vec![-1])) };
        assert_eq!(one.bytes(), 16);
    }
}
