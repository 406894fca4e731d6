//! The rows of one partition while some of them leave: those that are kept of before, and the new ones.
//!
//! Knows no function. Invariant: rows are in the order of their times.

use std::ops::Range;

/// The rows of a partition, as rows of the combined columns.
pub(super) struct PartitionRows {
    /// The place of the partition in the store.
    pub place: usize,
    /// The part of its keys in the store of rows that have left.
    pub prefix: Vec<u8>,
    /// Rows that have left before, then those that leave now.
    pub rows: Vec<u32>,
    /// The numbers of the former.
    pub numbers: Vec<i64>,
    /// How many rows, and how many times, there were before.
    pub before: [i64; 2],
}

impl PartitionRows {
    /// How many have left before.
    pub fn old(&self) -> usize {
        self.numbers.len()
    }

    /// The rows that leave now, divided by their times, each a range of `rows`.
    pub fn times(&self, times: &[i64]) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> = vec![];
        for at in self.old()..self.rows.len() {
            let time = |at: usize| times[self.rows[at] as usize];
            match all.last_mut() {
                Some(last) if time(last.start) == time(at) => last.end = at + 1,
                _ => all.push(at..at + 1),
            }
        }
        all
    }
}
