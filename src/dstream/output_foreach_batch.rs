//! The output operation that calls a function with committed batches.
//!
//! Owns its name. Knows no batch. Invariant: rows are committed in the internal topic with their batch, and given from there.

use super::DStream;
use crate::{
    record::Value,
    sink::{CommittedBatch, ForeachBatch, Rdd},
};
use std::{fmt::Display, panic::Location};

impl<T: Value> DStream<T> {
    /// Calls `f` with the rows of each batch that has rows, its id and its time, after the batch was committed, in the order of the ids. After a
    /// crash, or an error of `f`, it is called again with **exactly the same rows under the same id and time**. A place that keeps the
    /// id with the rows, such as a table with `INSERT ... ON CONFLICT (batch_id) DO NOTHING` in the transaction of the rows, thus has
    /// each batch once. This is Spark's `foreachRDD` with an id that can be relied on, as `foreachBatch` gives it.
    ///
    /// Rows and time are committed with the batch in the topic `<application id>-foreach-<name>`; one process reads them from there on a
    /// thread of its own and calls `f`. How far it came is kept in the topic `<application id>-delivered`. An error or a panic of `f` stops the
    /// program; the next start calls it again. A slow `f` does not slow the program down: what it has not taken waits in the topic, for 7 days.
    ///
    /// ```
    /// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
    /// use tidegate::{StreamingContext, codec::{AsText, Utf8}, testing::Driver};
    ///
    /// let table: Arc<Mutex<BTreeMap<i64, Vec<String>>>> = Arc::default(); // stands for one with the key `batch_id`
    /// let words = |ssc: &StreamingContext| {
    ///     let table = table.clone();
    ///     ssc.text("lines").flat_map(|line| line.split(' ')).map(|word| word.to_string()).foreach_batch("words", move |rdd, batch| {
    ///         table.lock().unwrap().entry(batch.id).or_insert_with(|| rdd.collect()); // ON CONFLICT DO NOTHING
    ///         Ok::<_, std::io::Error>(())
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
    /// With `--guarantee at-least-once` the start is refused.
    #[track_caller]
    pub fn foreach_batch<E: Display + 'static>(
        &self,
        name: &str,
        f: impl Fn(Rdd<T>, CommittedBatch) -> Result<(), E> + Send + Sync + 'static,
    ) {
        let at = Location::caller();
        self.end_in("foreach_batch", at, ForeachBatch::new(name, f, at));
    }
}
