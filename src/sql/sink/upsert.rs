//! Rows of a relation that changes become records of a topic by key: the last record of a key is its row, a null value deletes it.
//!
//! Owns the changes of each key in a batch. Knows no log and no state. Invariants: one record for each key and batch, or none if the
//! batch left its row as it was; empty between batches; a key that has several rows is an error, not a choice.

use super::encode::RecordEncoder;
use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Output, Port},
    record::{Chunk, Map, RawChunkBuilder, Stamps},
    sql::Payload,
};
use std::{mem::size_of, sync::Arc};

/// How many records leave at a time at the end of a batch.
const RECORDS_MAX: usize = 8_192;

/// What a batch made of the rows of one key.
#[derive(Default)]
struct Change {
    /// Values, and how often each came less how often it went; one in most batches.
    values: Vec<(Option<Box<[u8]>>, i64)>,
    /// The greatest timestamp behind them.
    newest_ms: i64,
}

impl Change {
    fn add(&mut self, value: Option<&[u8]>, weight: i64, ms: i64) {
        self.newest_ms = self.newest_ms.max(ms);
        if let Some((_, known)) = self.values.iter_mut().find(|(other, _)| other.as_deref() == value) {
            *known += weight;
        } else {
            self.values.push((value.map(Box::from), weight));
        }
    }
}

/// Writes the new row of each key that changed.
pub struct UpsertSink {
    topic: Arc<str>,
    encoder: Arc<RecordEncoder>,
    /// Whether it is a topic of the application, whose records are stamped when they are written.
    is_internal: bool,
    changes: Map<Box<[u8]>, Change>,
    held_bytes: usize,
    /// Keys whose records have left, at the end of a batch.
    sent: usize,
}

impl UpsertSink {
    /// Writes to this topic; `is_internal` = it is one of the application, whose records are stamped when they are written.
    #[must_use]
    pub fn new(topic: Arc<str>, encoder: Arc<RecordEncoder>, is_internal: bool) -> Self {
        UpsertSink { topic, encoder, is_internal, changes: Map::default(), held_bytes: 0, sent: 0 }
    }
}

impl Operator for UpsertSink {
    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let Payload::Rows(delta) = input.view::<Payload>() else { return Ok(()) };
        let rows = self.encoder.rows(&delta.rows)?;
        let times = self.encoder.timestamps(&delta.rows)?;
        let encoder = self.encoder.encoder(&rows)?;
        let mut stamps = input.stamps().each();
        let (mut key, mut value) = (vec![], vec![]);
        for row in 0..rows.num_rows() {
            key.clear();
            value.clear();
            if !encoder.key(row, &mut key)? {
                return Err(Error::Row("the key of the row is NULL".into()));
            }
            let has_value = encoder.value(row, &mut value)?;
            let of_records = stamps.next_ms();
            let ms = times.as_ref().map_or(of_records, |times| times.value(row));
            if !self.changes.contains_key(&key[..]) {
                self.held_bytes += key.len() + size_of::<(Box<[u8]>, Change)>() + 2 * size_of::<usize>();
                let fresh = Change { values: vec![], newest_ms: Stamps::NONE };
                self.changes.insert(key.as_slice().into(), fresh);
            }
            let Some(change) = self.changes.get_mut(&key[..]) else { continue };
            self.held_bytes += value.len() + size_of::<(Option<Box<[u8]>>, i64)>();
            change.add(has_value.then_some(&value[..]), delta.weight(row), ms);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut out = RawChunkBuilder::default();
        for (key, change) in self.changes.iter().skip(self.sent).take(RECORDS_MAX) {
            let is_known = |ms: &i64| !self.is_internal && (0..=cx.batch.clock_ms).contains(ms);
            let ms = Some(change.newest_ms).filter(is_known).unwrap_or(-1);
            let mut came = change.values.iter().filter(|(_, weight)| *weight > 0);
            let value = match (came.next(), came.next()) {
                (None, _) if change.values.iter().all(|(_, weight)| *weight == 0) => continue,
                (None, _) => None,
                (Some((value, 1)), None) => value.as_deref(),
                _ => {
                    let key = String::from_utf8_lossy(key);
                    return Err(Error::Row(format!(
                        "the key {key} has several rows\n  next: choose a PRIMARY KEY that tells them apart"
                    )));
                }
            };
            out.push_with(ms, Some(key), |bytes| {
                bytes.extend_from_slice(value.unwrap_or_default());
                Ok::<_, Error>(value.is_some())
            })?;
        }
        self.sent += RECORDS_MAX;
        if !out.is_empty() {
            cx.out.output(Output::Records { topic: self.topic.clone(), records: out.build() });
        }
        if !self.has_more() {
            self.changes.clear();
            (self.held_bytes, self.sent) = (0, 0);
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.sent > 0 && self.sent < self.changes.len()
    }

    fn held_bytes(&self) -> usize {
        // Each becomes a record as well.
        2 * self.held_bytes
    }
}
