//! The timestamps of the records behind rows, kept for runs of rows that have the same one.
//!
//! Owns how they are kept. Knows no row. Invariant: there are as many timestamps as rows, in their order; rows next to each other
//! with the same one cost as much as one row.

use std::sync::Arc;

/// The timestamps of the records that rows were made from, milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stamps {
    /// None of them had one, or nobody has said.
    #[default]
    Unknown,
    /// The greatest of all rows together.
    Greatest(i64),
    /// The greatest of each row.
    Runs(Arc<[Run]>),
}

/// Rows next to each other with the same timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many they are.
    pub rows: usize,
    /// The timestamp; [`Stamps::NONE`] = they have none.
    pub ms: i64,
}

impl Stamps {
    /// Stands for no timestamp: less than any.
    pub const NONE: i64 = -1;

    /// To be asked for that of each row, in their order.
    #[must_use]
    pub fn each(&self) -> EachStamp<'_> {
        let (rest, rows, ms): (&[Run], _, _) = match self {
            Stamps::Unknown => (&[], usize::MAX, Stamps::NONE),
            Stamps::Greatest(ms) => (&[], usize::MAX, *ms),
            Stamps::Runs(runs) => (runs, 0, Stamps::NONE),
        };
        EachStamp { rest, run: Run { rows, ms } }
    }

    /// The runs of `rows` rows.
    pub fn runs(&self, rows: usize) -> impl Iterator<Item = Run> {
        let (all, runs): (_, &[Run]) = match self {
            Stamps::Unknown => (Some(Run { rows, ms: Stamps::NONE }), &[]),
            Stamps::Greatest(ms) => (Some(Run { rows, ms: *ms }), &[]),
            Stamps::Runs(runs) => (None, runs),
        };
        all.into_iter().chain(runs.iter().copied())
    }

    /// Those that are left when the rows at these places, in order, are left out.
    #[must_use]
    pub fn without(self, dropped: &[usize]) -> Self {
        let Stamps::Runs(runs) = &self else { return self };
        if dropped.is_empty() {
            return self;
        }
        let (mut end, mut dropped, mut left) = (0, dropped, StampsBuilder::default());
        for run in runs.iter() {
            end += run.rows;
            let (of_run, of_others) = dropped.split_at(dropped.partition_point(|row| *row < end));
            left.repeat(run.ms, run.rows - of_run.len());
            dropped = of_others;
        }
        left.build()
    }

    /// The greatest of all rows.
    #[must_use]
    pub fn greatest(&self) -> Option<i64> {
        match self {
            Stamps::Unknown => None,
            Stamps::Greatest(ms) => Some(*ms),
            Stamps::Runs(runs) => runs.iter().map(|run| run.ms).max(),
        }
    }

    /// Whether it is for that many rows.
    pub(super) fn fits(&self, rows: usize) -> bool {
        match self {
            Stamps::Runs(runs) => runs.iter().map(|run| run.rows).sum::<usize>() == rows,
            _ => true,
        }
    }
}

impl From<Option<i64>> for Stamps {
    fn from(greatest: Option<i64>) -> Self {
        greatest.map_or(Stamps::Unknown, Stamps::Greatest)
    }
}

/// The timestamps of rows, one after the other. Not an iterator: rows that are zipped with one are moved once more, which is measurable.
pub struct EachStamp<'a> {
    rest: &'a [Run],
    /// What is left of the current run.
    run: Run,
}

impl EachStamp<'_> {
    /// That of the next row, or [`Stamps::NONE`].
    #[inline]
    pub fn next_ms(&mut self) -> i64 {
        if self.run.rows == 0 {
            let Some((run, rest)) = self.rest.split_first() else { return Stamps::NONE };
            (self.run, self.rest) = (*run, rest);
        }
        self.run.rows -= 1;
        self.run.ms
    }
}

/// Collects timestamps, row by row.
#[derive(Debug, Default)]
pub struct StampsBuilder(Vec<Run>);

impl StampsBuilder {
    /// The next row has this timestamp, or [`Stamps::NONE`].
    #[inline]
    pub fn push(&mut self, ms: i64) {
        self.repeat(ms, 1);
    }

    /// So have the next `rows` rows.
    #[inline]
    pub fn repeat(&mut self, ms: i64, rows: usize) {
        match self.0.last_mut() {
            Some(run) if run.ms == ms => run.rows += rows,
            _ if rows == 0 => {}
            _ => self.0.push(Run { rows, ms }),
        }
    }

    /// What was collected.
    #[must_use]
    pub fn build(self) -> Stamps {
        match self.0[..] {
            [] | [Run { ms: Stamps::NONE, .. }] => Stamps::Unknown,
            [Run { ms, .. }] => Stamps::Greatest(ms),
            _ => Stamps::Runs(self.0.into()),
        }
    }
}

impl FromIterator<i64> for StampsBuilder {
    fn from_iter<I: IntoIterator<Item = i64>>(stamps: I) -> Self {
        let mut builder = StampsBuilder::default();
        stamps.into_iter().for_each(|ms| builder.push(ms));
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(each: &[i64]) -> Stamps {
        each.iter().copied().collect::<StampsBuilder>().build()
    }

    #[test]
    fn what_is_collected_comes_back_row_by_row() {
        for each in [&[][..], &[7], &[7, 7, 7], &[7, 7, -1, 9, 7], &[-1, -1], &[-1, 0]] {
            let stamps = stamps(each);
            let mut next = stamps.each();
            let of_rows: Vec<i64> = each.iter().map(|_| next.next_ms()).collect();
            assert_eq!(of_rows, each);
            let of_runs = stamps.runs(each.len()).flat_map(|run| std::iter::repeat_n(run.ms, run.rows));
            assert_eq!(of_runs.collect::<Vec<_>>(), each);
            assert_eq!(stamps.greatest(), each.iter().copied().max().filter(|ms| *ms >= 0), "{each:?}");
            assert!(stamps.fits(each.len()));
        }
    }

    #[test]
    fn rows_that_are_left_keep_their_own() {
        let all = stamps(&[5, 5, 6, 7, 7, 7]);
        assert_eq!(all.clone().without(&[]), all);
        assert_eq!(all.clone().without(&[0, 3, 5]), stamps(&[5, 6, 7]));
        assert_eq!(all.clone().without(&[2]), stamps(&[5, 5, 7, 7, 7]));
        assert_eq!(all.clone().without(&[0, 1, 2]), Stamps::Greatest(7));
        assert_eq!(all.without(&[0, 1, 2, 3, 4, 5]), Stamps::Unknown);
        assert_eq!(Stamps::Greatest(5).without(&[0]), Stamps::Greatest(5));
    }

    #[test]
    fn rows_with_the_same_timestamp_are_one_run() {
        assert_eq!(stamps(&[5, 5, 5]), Stamps::Greatest(5));
        assert_eq!(stamps(&[-1, -1]), Stamps::Unknown);
        let Stamps::Runs(runs) = stamps(&[5, 5, 6]) else { panic!("two runs") };
        assert_eq!(*runs, [Run { rows: 2, ms: 5 }, Run { rows: 1, ms: 6 }]);
        assert!(!stamps(&[5, 5, 6]).fits(4));
    }
}
