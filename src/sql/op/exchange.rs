//! Rows to the state partitions of their keys.
//!
//! Owns the split of rows by the hash of their encoded key, and the joining of small pieces. Knows no log. Invariants: a key goes to the
//! state partition of its encoded bytes, whichever operator sends it; rows for one partition keep their order; what is held back is sent
//! before the batch ends, and marks of event time go to every state partition behind it.

use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port, UpstreamMark},
    record::{Chunk, Partition, StampsBuilder, partition_of},
    sql::{Delta, Payload, rows::KeyFormat},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array},
    compute::{concat, concat_batches, take, take_record_batch},
    datatypes::Int64Type,
    error::ArrowError,
};

/// Fewer rows than this are held back for one chunk with those that follow.
const ROWS_MIN: usize = 512;

/// Splits rows by the columns of their key.
pub struct ByColumns {
    columns: Vec<usize>,
    key: KeyFormat,
    encoded: Vec<u8>,
    /// What is held back, by state partition.
    held: Vec<Held>,
    marks: Vec<UpstreamMark>,
}

/// Sends marks to every state partition.
pub(super) fn send_marks(marks: &mut Vec<UpstreamMark>, cx: &mut Context<'_>) {
    if marks.is_empty() {
        return;
    }
    for partition in (0..cx.out.partitions).map(Partition) {
        cx.out.to_partition(partition, Payload::marks(marks.clone()));
    }
    marks.clear();
}

impl ByColumns {
    /// Splits by these columns, whose keys have this format.
    #[must_use]
    pub fn new(columns: Vec<usize>, key: KeyFormat) -> Self {
        ByColumns { columns, key, encoded: vec![], held: vec![], marks: vec![] }
    }
}

impl Operator for ByColumns {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        let delta = match payload {
            Payload::Rows(delta) => delta,
            Payload::Marks(marks) => {
                self.marks.extend(marks);
                return Ok(());
            }
        };
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let encoder = self.key.encoder(&columns)?;
        let (mut stamps, mut newest_ms) = (stamps.each(), Vec::with_capacity(delta.rows.num_rows()));
        let mut parts = Parts::new(cx.out.partitions);
        for row in 0..delta.rows.num_rows() {
            self.encoded.clear();
            encoder.encode(row, &mut self.encoded);
            parts.add(partition_of(&self.encoded, cx.out.partitions))?;
            newest_ms.push(stamps.next_ms());
        }
        self.held.resize_with(cx.out.partitions as usize, Held::default);
        for (partition, rows) in parts.into_rows() {
            let held = &mut self.held[partition.0 as usize];
            held.push(taken(&delta, &newest_ms, rows)?);
            if held.rows >= ROWS_MIN {
                cx.out.to_partition(partition, held.join()?);
            }
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        for (partition, held) in (0..).map(Partition).zip(&mut self.held) {
            if held.rows > 0 {
                cx.out.to_partition(partition, held.join()?);
            }
        }
        send_marks(&mut self.marks, cx);
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes).sum()
    }
}

/// The numbers of rows, by the state partition that they are for.
pub(super) struct Parts {
    by_partition: Vec<Vec<u32>>,
    rows: u32,
}

impl Parts {
    pub fn new(partitions: u32) -> Self {
        Parts { by_partition: vec![vec![]; partitions as usize], rows: 0 }
    }

    /// The next row is for this partition.
    pub fn add(&mut self, partition: Partition) -> Result {
        self.by_partition[partition.0 as usize].push(self.rows);
        let too_many = || Error::Codec("a chunk of more than 2^32 rows".into());
        self.rows = self.rows.checked_add(1).ok_or_else(too_many)?;
        Ok(())
    }

    /// The partitions that get rows, with the numbers of these.
    pub fn into_rows(self) -> impl Iterator<Item = (Partition, Vec<u32>)> {
        (0..).map(Partition).zip(self.by_partition).filter(|(_, rows)| !rows.is_empty())
    }
}

/// Some of the rows, with their timestamps.
pub(super) fn taken(delta: &Delta, newest_ms: &[i64], rows: Vec<u32>) -> Result<(Delta, Vec<i64>)> {
    let stamps = rows.iter().map(|row| newest_ms[*row as usize]).collect();
    if rows.len() == delta.rows.num_rows() {
        return Ok((delta.clone(), stamps));
    }
    let rows = UInt32Array::from(rows);
    let weights = delta.weights.as_ref().map(|weights| take(weights, &rows, None)).transpose();
    let weights = weights.map_err(|e| failed(&e))?.map(|weights| weights.as_primitive::<Int64Type>().clone());
    Ok((Delta { rows: take_record_batch(&delta.rows, &rows).map_err(|e| failed(&e))?, weights }, stamps))
}

/// A chunk of rows, each with its timestamp.
pub(super) fn stamped(delta: Delta, newest_ms: &[i64]) -> Chunk {
    delta.into_chunk().stamped(newest_ms.iter().copied().collect::<StampsBuilder>().build())
}

/// Rows for one state partition that wait for more.
#[derive(Default)]
struct Held {
    pieces: Vec<Delta>,
    newest_ms: Vec<i64>,
    rows: usize,
    bytes: usize,
}

impl Held {
    fn push(&mut self, (delta, newest_ms): (Delta, Vec<i64>)) {
        self.rows += delta.rows.num_rows();
        self.bytes += delta.bytes() + size_of_val(&newest_ms[..]);
        self.newest_ms.extend(newest_ms);
        self.pieces.push(delta);
    }

    /// One chunk of all that is held.
    fn join(&mut self) -> Result<Chunk> {
        let Held { mut pieces, newest_ms, .. } = std::mem::take(self);
        let delta = match (pieces.len(), pieces.pop()) {
            (1, Some(piece)) => piece,
            (_, Some(last)) => {
                pieces.push(last);
                joined(&pieces).map_err(|e| failed(&e))?
            }
            (_, None) => return Err(Error::Codec("nothing is held".into())),
        };
        Ok(stamped(delta, &newest_ms))
    }
}

fn joined(pieces: &[Delta]) -> Result<Delta, ArrowError> {
    let rows = concat_batches(pieces[0].rows.schema_ref(), pieces.iter().map(|piece| &piece.rows))?;
    if pieces.iter().all(|piece| piece.weights.is_none()) {
        return Ok(Delta::added(rows));
    }
    let ones = |piece: &Delta| Int64Array::from(vec![1; piece.rows.num_rows()]);
    let weights: Vec<Int64Array> =
        pieces.iter().map(|piece| piece.weights.clone().unwrap_or_else(|| ones(piece))).collect();
    let weights: Vec<&dyn Array> = weights.iter().map(|weights| weights as &dyn Array).collect();
    let weights = concat(&weights)?.as_primitive::<Int64Type>().clone();
    Ok(Delta { rows, weights: Some(weights) })
}

/// An operation on columns failed.
pub(super) fn failed(e: &ArrowError) -> Error {
    Error::Codec(format!("an operation on columns failed: {e}"))
}

/// A batch of these columns, which may have no column.
pub(super) fn batch(
    schema: &arrow::datatypes::SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| failed(&e))
}
