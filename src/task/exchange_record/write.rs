//! From envelopes to the values of records, all for one state partition.
//!
//! Knows no topic. Invariants: rows are encoded where they stay; rows of one edge and upstream keep their order over all records; a
//! record larger than the bound consists of one row, or of marks; all marks are in the last record.

use super::{ExchangeEdges, HEADER, RECORD_BYTES_MAX, VERSION, part, stamps};
use crate::{
    error::Result,
    operator::{Envelope, Piece, RowWriter, Upstream},
    record::{
        BatchTime, Stamps, TaskId,
        varint::{put_varint, put_zigzag},
    },
};
use std::sync::Arc;

/// Collects what one transaction, or one source in it, sends to one state partition.
///
/// ```
/// use std::sync::Arc;
/// use tidegate::{
///     BatchTime, Config, StreamingContext, Text,
///     codec::{Json, Utf8},
///     operator::{Envelope, Upstream},
///     record::{Bytes, Chunk, TopicPartition},
///     task::exchange_record::{ExchangeEdges, Part, RecordReader, RecordWriter},
/// };
/// let ssc = StreamingContext::new(Config::new("words", "memory:"));
/// ssc.text("lines").map(|word| (word, 1u64)).group_by_key().to_kafka("out", Utf8, Json);
/// let plan = ssc.topology().computed();
/// let (edge, _) = plan.edges().next().unwrap();
/// let edges = Arc::new(ExchangeEdges::of(&plan));
///
/// let (upstream, time) = (Upstream::Source(TopicPartition::new("lines", 0)), BatchTime(1_700_000_000_000));
/// let chunk = Chunk::rows(vec![(Text::from("tide"), 1u64)]);
/// let mut writer = RecordWriter::new(edges.clone());
/// writer.add_block(&Envelope { edge, upstream: upstream.clone(), time, chunk })?;
/// writer.add_mark(&upstream, time);
/// for value in writer.finish() {
///     for part in RecordReader::new(&edges, Bytes::from(value)).unwrap() {
///         match part.unwrap() {
///             Part::Block(block) => {
///                 let rows = block.envelope().unwrap().chunk.take::<Vec<(Text, u64)>>();
///                 assert_eq!(rows, [(Text::from("tide"), 1)]);
///             }
///             Part::Mark(mark) => assert_eq!((mark.upstream, mark.time), (upstream.clone(), time)),
///         }
///     }
/// }
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct RecordWriter {
    edges: Arc<ExchangeEdges>,
    /// Records that are full.
    full: Vec<Vec<u8>>,
    /// The record that is being filled; empty before its first block.
    open: Vec<u8>,
    marks: Vec<u8>,
}

impl RecordWriter {
    /// For rows of these edges.
    #[must_use]
    pub fn new(edges: Arc<ExchangeEdges>) -> Self {
        RecordWriter { edges, full: vec![], open: vec![], marks: vec![] }
    }

    /// Adds rows, in several blocks if they are many.
    ///
    /// # Errors
    /// If a row cannot be encoded; nothing is added then.
    ///
    /// # Panics
    /// If the program has no such edge, or its rows are of another type: a bug of the routing.
    pub fn add_block(&mut self, envelope: &Envelope) -> Result {
        let Envelope { edge, upstream, time, chunk } = envelope;
        if chunk.is_empty() {
            return Ok(());
        }
        let of = self.edges.edges.get(edge).unwrap_or_else(|| panic!("there is no edge {edge}"));
        begin(&mut self.open, &self.edges);
        let head_at = self.open.len();
        let out = &mut self.open;
        out.push(part::BLOCK);
        out.extend(edge.0.to_be_bytes());
        put_upstream(out, upstream);
        put_zigzag(out, time.0);
        let greatest = put_stamps(out, chunk.stamps(), *time);
        out.extend([0; 8]); // rows and bytes
        let rows_at = out.len();
        let head = rows_at - head_at;
        let (room, whole) = (RECORD_BYTES_MAX.saturating_sub(rows_at), RECORD_BYTES_MAX - HEADER - head);
        let mut rows = RowWriter::new(out).in_pieces(room, whole);
        if let (Stamps::Runs(_), Some(greatest)) = (chunk.stamps(), greatest) {
            rows = rows.stamped(chunk.stamps().each(), greatest);
        }
        if let Err(e) = of.format.encode(chunk, &mut rows) {
            self.open.truncate(head_at);
            return Err(e);
        }
        let pieces = rows.finish();
        self.place(head_at, rows_at, &pieces);
        Ok(())
    }

    /// Adds a mark: the upstream has no more rows of times up to `time` for this state partition.
    pub fn add_mark(&mut self, upstream: &Upstream, time: BatchTime) {
        self.marks.push(part::MARK);
        put_upstream(&mut self.marks, upstream);
        put_zigzag(&mut self.marks, time.0);
    }

    /// Adds all that another writer of the same edges has, behind what is here.
    pub fn append(&mut self, other: RecordWriter) {
        self.marks.extend(&other.marks);
        let parts = other.open.get(HEADER..).unwrap_or_default();
        let fits = self.open.len() + parts.len() <= RECORD_BYTES_MAX;
        if other.full.is_empty() && fits && !self.open.is_empty() {
            self.open.extend(parts);
        } else {
            self.close();
            self.full.extend(other.full);
            self.open = other.open;
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.full.iter().map(Vec::len).sum::<usize>() + self.open.len() + self.marks.len()
    }

    /// The values of the records, in the order in which they are to be sent; none if nothing was added.
    #[must_use]
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.marks.is_empty() {
            begin(&mut self.open, &self.edges);
            self.open.extend(&self.marks);
        }
        self.close();
        self.full
    }

    /// Gives each piece of the last block a head, and further pieces records of their own.
    fn place(&mut self, head_at: usize, rows_at: usize, pieces: &[Piece]) {
        let Some((first, further)) = pieces.split_first() else { return };
        if further.is_empty() {
            return count(&mut self.open, rows_at, first.rows);
        }
        let head = self.open[head_at..rows_at].to_vec();
        let rest = self.open.split_off(first.end);
        if first.rows == 0 {
            self.open.truncate(head_at);
        } else {
            count(&mut self.open, rows_at, first.rows);
        }
        let mut at = first.end;
        for piece in further {
            self.close();
            begin(&mut self.open, &self.edges);
            self.open.extend(&head);
            let rows_at = self.open.len();
            self.open.extend(&rest[at - first.end..piece.end - first.end]);
            count(&mut self.open, rows_at, piece.rows);
            at = piece.end;
        }
    }

    fn close(&mut self) {
        if self.open.len() > HEADER {
            self.full.push(std::mem::take(&mut self.open));
        }
    }
}

/// Begins a record unless there is one.
fn begin(record: &mut Vec<u8>, edges: &ExchangeEdges) {
    if record.is_empty() {
        record.push(VERSION);
        record.extend(edges.fingerprint.to_be_bytes());
    }
}

/// Writes how many rows there are from `rows_at` on, and how long they are.
fn count(record: &mut [u8], rows_at: usize, rows: u32) {
    let bytes = u32::try_from(record.len() - rows_at).expect("a row is limited to far below 4 GiB");
    record[rows_at - 8..rows_at - 4].copy_from_slice(&rows.to_be_bytes());
    record[rows_at - 4..rows_at].copy_from_slice(&bytes.to_be_bytes());
}

/// Answers the greatest timestamp.
fn put_stamps(out: &mut Vec<u8>, of: &Stamps, time: BatchTime) -> Option<i64> {
    out.push(match of {
        Stamps::Unknown => stamps::UNKNOWN,
        Stamps::Greatest(_) => stamps::GREATEST,
        Stamps::Runs(_) => stamps::EACH,
    });
    let greatest = of.greatest()?;
    put_zigzag(out, greatest.wrapping_sub(time.0));
    Some(greatest)
}

fn put_upstream(out: &mut Vec<u8>, upstream: &Upstream) {
    match upstream {
        Upstream::Source(at) => {
            out.push(0);
            put_varint(out, at.topic.len() as u64);
            out.extend(at.topic.as_bytes());
            put_varint(out, u64::from(at.partition.0));
        }
        Upstream::Task(TaskId { stage, partition }) => {
            put_varint(out, u64::from(*stage) + 1);
            put_varint(out, u64::from(partition.0));
        }
    }
}
