//! What is counted while a batch is computed.
//!
//! Owns the list of these numbers and how they are summed: over the tasks of a batch, and what the loop itself counts. Knows no metric
//! and no log. Invariant: a number that tasks count is one field here, `cx.counters` in an operator, and one metric; nothing between
//! the two names it.

use crate::record::{Map, Timestamps};
use std::{ops::AddAssign, sync::Arc, time::Duration};

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Number of records.
    pub records: usize,
    /// Bytes of keys, values and headers.
    pub bytes: usize,
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// What an operator did in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Rows that it got.
    pub rows: usize,
    /// How long it took.
    pub time: Duration,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.time += other.time;
    }
}

/// Numbers of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken, good and bad.
    pub records_in: usize,
    /// Their bytes.
    pub bytes_in: usize,
    /// What was read, by topic or source of this process.
    pub read: Map<Arc<str>, Volume>,
    /// What was written, by topic of a sink.
    pub written: Map<Arc<str>, Volume>,
    /// Bad records that were skipped.
    pub skipped: usize,
    /// Bad records that were written to the dead-letter topic.
    pub dead_letters: usize,
    /// Records that came after the end of their window and its lateness, and were left out of it.
    pub late: usize,
    /// Whether it held all that it may, so that records were left for the next one.
    pub is_full: bool,
    /// Parts of batches that were sent on before the rest was there, because the batch held all that it may.
    pub parts: usize,
    /// Timestamps of the records taken.
    pub timestamps: Option<Timestamps>,
    /// How far event time has come in the windows over it that moved, milliseconds since the epoch; the least of them.
    pub watermark_ms: Option<i64>,
}

impl Counters {
    /// Records written to topics of sinks.
    #[must_use]
    pub fn records_out(&self) -> usize {
        self.written.values().map(|volume| volume.records).sum()
    }

    /// A watermark moved.
    pub fn watermark_moved(&mut self, to_ms: i64) {
        self.watermark_ms = self.watermark_ms.into_iter().chain([to_ms]).min();
    }

    /// Records with these timestamps were taken.
    pub fn saw(&mut self, timestamps: Option<Timestamps>) {
        self.timestamps = self.timestamps.into_iter().chain(timestamps).reduce(Timestamps::and);
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.records_in += other.records_in;
        self.bytes_in += other.bytes_in;
        other.read.into_iter().for_each(|(topic, volume)| *self.read.entry(topic).or_default() += volume);
        other
            .written
            .into_iter()
            .for_each(|(topic, volume)| *self.written.entry(topic).or_default() += volume);
        self.skipped += other.skipped;
        self.dead_letters += other.dead_letters;
        self.late += other.late;
        self.is_full |= other.is_full;
        self.parts += other.parts;
        self.saw(other.timestamps);
        other.watermark_ms.into_iter().for_each(|ms| self.watermark_moved(ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_every_number() {
        let read = |topic: &str, records| Map::from_iter([(Arc::from(topic), Volume { records, bytes: 10 })]);
        let timestamps = |least_ms, greatest_ms| Some(Timestamps { least_ms, greatest_ms });
        let one = Counters {
            records_in: 1,
            bytes_in: 2,
            read: read("a", 1),
            written: read("out", 3),
            skipped: 4,
            dead_letters: 5,
            late: 6,
            is_full: true,
            parts: 7,
            timestamps: timestamps(100, 200),
            watermark_ms: Some(50),
        };
        let mut sum = Counters::default();
        sum += one.clone();
        assert_eq!(sum, one, "a default adds nothing");
        sum += Counters { timestamps: timestamps(150, 300), watermark_ms: Some(40), ..one };
        sum += Counters { read: read("b", 7), ..Counters::default() };
        assert_eq!(
            (sum.records_in, sum.bytes_in, sum.skipped, sum.dead_letters, sum.late, sum.parts),
            (2, 4, 8, 10, 12, 14)
        );
        assert_eq!((sum.records_out(), sum.read["a"].records, sum.read["b"].records), (6, 2, 7));
        assert_eq!((sum.timestamps, sum.watermark_ms), (timestamps(100, 300), Some(40)));
    }
}
