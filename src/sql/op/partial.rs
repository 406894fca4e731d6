//! Aggregation before the exchange: rows of one group become one row with its weight and states.
//!
//! Owns what is held of the groups until they are sent on. Knows no store. Invariants: a group goes to the state partition of its encoded
//! key; its row carries the greatest timestamp of those that it was made from; what is held back is sent before the batch ends; the sum
//! of what was sent of a group does not depend on when it was sent; marks of event time go to every state partition behind the rows, if
//! the other half closes windows by them.

use super::{
    Aggregation,
    aggregation::Groups,
    exchange::{Parts, batch, send_marks, stamped, taken},
};
use crate::{
    error::Result,
    operator::{Context, Operator, Port, UpstreamMark},
    record::{Chunk, Stamps, partition_of},
    sql::{Delta, Payload, rows::KeyTable},
};
use std::sync::Arc;

/// Groups that one task holds at most before it sends them on.
const HELD_MAX: usize = 1 << 16;
/// From so many on they are sent on at once if keys hardly repeat: holding them would save nothing.
const HELD_DISTINCT_MAX: usize = 1 << 13;

/// The half of an aggregation before the exchange: its rows have the columns of [`Aggregation::partial_schema`].
pub struct PartialAggregate {
    aggregation: Arc<Aggregation>,
    keys: KeyTable,
    groups: Groups,
    newest_ms: Vec<i64>,
    /// Rows that became the held groups.
    taken: usize,
    of_rows: Vec<u32>,
    encoded: Vec<u8>,
    /// Marks of the batch; `None` = the other half takes none.
    marks: Option<Vec<UpstreamMark>>,
}

impl PartialAggregate {
    /// Aggregates like this.
    ///
    /// # Errors
    /// None that the aggregation has not told when it was made.
    pub fn new(aggregation: Arc<Aggregation>) -> Result<Self> {
        let groups = aggregation.groups()?;
        let (keys, of_rows) = (KeyTable::default(), vec![]);
        let (newest_ms, encoded, marks) = (vec![], vec![], None);
        Ok(PartialAggregate { aggregation, keys, groups, newest_ms, taken: 0, of_rows, encoded, marks })
    }

    /// Sends marks of event time on.
    #[must_use]
    pub fn with_marks(mut self) -> Self {
        self.marks = Some(vec![]);
        self
    }

    fn add(&mut self, delta: &Delta, stamps: &Stamps) -> Result {
        let columns = self.aggregation.key_columns(delta.rows.columns());
        let encoder = self.aggregation.key_format().encoder(&columns)?;
        let mut stamps = stamps.each();
        self.of_rows.clear();
        for row in 0..delta.rows.num_rows() {
            self.encoded.clear();
            encoder.encode(row, &mut self.encoded);
            let group = self.keys.insert(&self.encoded).index;
            let ms = stamps.next_ms();
            match self.newest_ms.get_mut(group) {
                Some(newest_ms) => *newest_ms = ms.max(*newest_ms),
                None => self.newest_ms.push(ms),
            }
            self.of_rows.push(u32::try_from(group).unwrap_or(u32::MAX));
        }
        self.groups.resize(self.keys.len());
        self.taken += delta.rows.num_rows();
        self.groups.update(&self.aggregation, &self.of_rows, delta)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result {
        let groups = self.keys.len();
        if groups == 0 {
            return Ok(());
        }
        let mut decoder = self.aggregation.key_format().decoder(groups)?;
        let mut parts = Parts::new(cx.out.partitions);
        for key in self.keys.iter() {
            decoder.push(key)?;
            parts.add(partition_of(key, cx.out.partitions))?;
        }
        let mut columns = decoder.finish()?;
        columns.extend(self.groups.columns(0..groups)?);
        let rows = Delta::added(batch(self.aggregation.partial_schema(), columns, groups)?);
        for (partition, of_partition) in parts.into_rows() {
            let (delta, newest_ms) = taken(&rows, &self.newest_ms, of_partition)?;
            cx.out.to_partition(partition, stamped(delta, &newest_ms));
        }
        self.keys.clear();
        self.groups.resize(0);
        self.newest_ms.clear();
        self.taken = 0;
        Ok(())
    }
}

impl Operator for PartialAggregate {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        let delta = match payload {
            Payload::Rows(delta) => delta,
            Payload::Marks(marks) => {
                self.marks.iter_mut().for_each(|held| held.extend_from_slice(&marks));
                return Ok(());
            }
        };
        self.add(&delta, &stamps)?;
        let hardly_repeat = self.keys.len() >= HELD_DISTINCT_MAX && self.taken < 2 * self.keys.len();
        if hardly_repeat || self.keys.len() >= HELD_MAX { self.flush(cx) } else { Ok(()) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        self.flush(cx)?;
        self.marks.iter_mut().for_each(|marks| send_marks(marks, cx));
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        if self.keys.is_empty() {
            return 0;
        }
        self.keys.memory_bytes() + self.groups.memory_bytes() + size_of_val(&self.newest_ms[..])
    }
}
