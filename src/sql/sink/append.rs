//! Rows that are only added, and changes as they are, become records of a topic.
//!
//! Owns the operator. Knows no log. Invariants: rows keep their order; a record has the timestamp that its row gives it, otherwise the
//! greatest of the records that the row was made from.

use super::encode::RecordEncoder;
use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Output, Port},
    record::{Chunk, RawChunkBuilder},
    sql::Payload,
};
use arrow::array::Array;
use std::sync::Arc;

/// Writes each row as a record.
pub struct AppendSink {
    topic: Arc<str>,
    encoder: Arc<RecordEncoder>,
    /// Whether it is a topic of the application, whose records are stamped when they are written.
    is_internal: bool,
    key: Vec<u8>,
}

impl AppendSink {
    /// Writes to this topic; `is_internal` = it is one of the application, whose records are stamped when they are written.
    #[must_use]
    pub fn new(topic: Arc<str>, encoder: Arc<RecordEncoder>, is_internal: bool) -> Self {
        AppendSink { topic, encoder, is_internal, key: vec![] }
    }
}

impl Operator for AppendSink {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let rows = self.encoder.rows(&delta.rows)?;
        let times = self.encoder.timestamps(&delta.rows)?;
        let encoder = self.encoder.encoder(&rows)?;
        let mut stamps = input.stamps().each();
        let mut out = RawChunkBuilder::with_capacity(rows.num_rows(), rows.num_rows() * 64);
        for row in 0..rows.num_rows() {
            let of_records = Some(stamps.next_ms()).filter(|ms| (0..=cx.batch.clock_ms).contains(ms));
            let of_row = times.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row));
            let ms = of_row.or(of_records).filter(|_| !self.is_internal).unwrap_or(-1);
            let weight = delta.weight(row);
            if weight < 0 && !self.encoder.writes_changes() {
                return Err(Error::Row("plan bug: a row was taken away from a table that only grows".into()));
            }
            self.key.clear();
            let has_key = encoder.key(row, &mut self.key)?;
            for _ in 0..weight.unsigned_abs() {
                let key = has_key.then_some(&self.key[..]);
                out.push_with(ms, key, |value| encoder.change(row, weight > 0, value))?;
            }
        }
        if !out.is_empty() {
            cx.out.output(Output::Records { topic: self.topic.clone(), records: out.build() });
        }
        Ok(())
    }
}
