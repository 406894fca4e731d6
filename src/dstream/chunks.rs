//! Functions that take many rows in one call.
//!
//! Owns the step of such a function. Knows no store. Invariant: a row that is made has the timestamp of the row it was made from.

use super::{DStream, stream::per_chunk};
use crate::{
    error::{Error, Result},
    plan::{Layout, Role},
    record::{Chunk, Data, StampedRows},
};
use std::fmt::Display;

impl<T: Data> DStream<T> {
    /// Like [`flat_map`](DStream::flat_map), many rows in one call, as they happen to come together: for functions with a cost of their
    /// own for each call, such as those of another language or of a model. `f` returns the rows that it makes, each with the index of
    /// the row that it was made from, in rising order. An error makes the batch fail, and the record behind it is searched for: `f` is
    /// then called with fewer rows, and at last with those of a single record.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let halves = |numbers: DStream<i32>| {
    ///     numbers.flat_map_chunks(|numbers| {
    ///         let even = numbers.into_iter().enumerate().filter(|(_, n)| n % 2 == 0);
    ///         Ok::<_, String>(even.map(|(index, n)| (index, n / 2)).collect())
    ///     })
    /// };
    /// assert_eq!(outputs([[1, 2, 3, 4]], halves)?, [[1, 2]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map_chunks<U: Data, E: Display>(
        &self,
        f: impl Fn(Vec<T>) -> Result<Vec<(usize, U)>, E> + Send + Sync + 'static,
    ) -> DStream<U> {
        let step = move |chunk: Chunk| {
            let (rows, stamps) = chunk.take_stamped::<Vec<T>>();
            let (count, runs) = (rows.len(), stamps.runs(rows.len()));
            let made = f(rows).map_err(|e| Error::Row(e.to_string()))?;
            let mut stamped = StampedRows::with_capacity(made.len());
            let (mut made, mut end) = (made.into_iter().peekable(), 0);
            for run in runs {
                end += run.rows;
                while let Some((_, row)) = made.next_if(|(index, _)| *index < end) {
                    stamped.push(row, run.ms);
                }
            }
            match made.next() {
                None => Ok(stamped.into_chunk()),
                Some((index, _)) => {
                    Err(Error::Row(format!("a row is said to be made from row {index} of {count}")))
                }
            }
        };
        let role = Role::Operator(per_chunk(move |chunk, cx| {
            cx.out.chunk(step(chunk)?);
            Ok(())
        }));
        self.then("flat_map_chunks", &self.here(), Layout::Any, role)
    }
}
