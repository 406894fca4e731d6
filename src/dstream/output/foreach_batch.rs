//! The output operation that calls a function with committed batches.
//!
//! Owns the names of its topics. Knows no batch. Invariant: rows are committed to the internal topic with their
//! batch, and delivered from there.

use crate::{
    dstream::DStream,
    record::Value,
    sink::{CommittedBatch, ForeachBatch, Outcome, Rdd},
};
use std::panic::Location;

impl<T: Value> DStream<T> {
    /// Calls `f` with the rows of each batch that has rows, its id and its time, after the batch has been
    /// committed, in the order of the ids. After a crash, or an error of `f`, it is called again with **exactly the
    /// same rows under the same id and time**. A destination that stores the id with the rows, such as a table with
    /// `INSERT ... ON CONFLICT (batch_id) DO NOTHING` in the same transaction as the rows, thus gets each batch
    /// once. This is Spark's `foreachRDD` with an id that can be relied on, as in `foreachBatch`.
    ///
    /// Rows and time are committed with the batch in the topic `<application id>-foreach-<name>`; one process reads
    /// them from there on a thread of its own and calls `f`. The progress of `f` is kept in the topic `<application
    /// id>-delivered`. An error or a panic of `f` stops the program; the next start calls it again. A slow `f` does
    /// not slow the program down: batches it has not processed yet wait in the topic, for 7 days. Like that of
    /// [`foreach_rdd`](DStream::foreach_rdd), `f` gives nothing, or a `Result` with a boxed error.
    ///
    /// ```
    /// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
    /// use tidegate::{StreamingContext, codec::{AsText, Utf8}, testing::Driver};
    ///
    /// let table: Arc<Mutex<BTreeMap<i64, Vec<String>>>> = Arc::default(); // stands in for a table with the key `batch_id`
    /// let words = |ssc: &StreamingContext| {
    ///     let table = table.clone();
    ///     ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| word.to_string()).foreach_batch("words", move |rdd, batch| {
    ///         table.lock().unwrap().entry(batch.id).or_insert_with(|| rdd.collect()); // ON CONFLICT DO NOTHING
    ///     });
    /// };
    /// let mut driver = Driver::new(words);
    /// driver.batch_at(1_000, "lines 0 | - | to be\n")?;
    /// driver.restart();
    /// driver.batch("lines 0 | - | or not\n")?;
    /// let rows: Vec<Vec<String>> = table.lock().unwrap().values().cloned().collect();
    /// assert_eq!(rows, [["to", "be"], ["or", "not"]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// With `--guarantee at-least-once` the program refuses to start.
    #[track_caller]
    pub fn foreach_batch<R: Outcome>(
        &self,
        name: &str,
        f: impl Fn(Rdd<T>, CommittedBatch) -> R + Send + Sync + 'static,
    ) {
        let at = Location::caller();
        self.end_in("foreach_batch", &self.here(), ForeachBatch::new(name, f, at));
    }
}
