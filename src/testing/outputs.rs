//! The shortest form of a test: rows of batches in, rows of batches out.
//!
//! Owns how an operation is fed and how its output is read back. Knows no table. Invariant: the n-th element of the
//! result is what the batch over the n-th element of the input produced, even if it produced nothing.

use super::Driver;
use crate::{context::StreamingContext, dstream::DStream, error::Result, record::Data, source::Queue};
use std::{
    cmp::Ordering,
    sync::{Arc, Mutex, PoisonError},
};

/// What an operation produces from the rows of each batch. There is a batch every second of virtual time, the first
/// one at 1,000 ms. The rows of a batch come from one partition, in their order; those of the result are sorted, as
/// their order across partitions means nothing.
///
/// ```
/// use tidegate::{DStream, Text, testing::outputs};
/// let count = |lines: DStream<Text>| lines.flat_map(|line| line.split(' ')).count_by_value();
/// let counted = outputs([vec!["a b", "a"], vec![]], count)?;
/// assert_eq!(counted, [vec![("a".into(), 2), ("b".into(), 1)], vec![]]);
/// # Ok::<(), tidegate::Error>(())
/// ```
///
/// For restarts, crashes, other settings, and a program's own sources and sinks, use [`Driver`].
///
/// # Errors
/// If the operation has mistakes or fails.
///
/// # Panics
/// May panic if rows of the result cannot be ordered, like `NaN`.
pub fn outputs<T: Data, R: Into<T>, U: Data + PartialOrd>(
    input: impl IntoIterator<Item = impl IntoIterator<Item = R>>,
    operation: impl Fn(DStream<T>) -> DStream<U>,
) -> Result<Vec<Vec<U>>> {
    let (queue, batches) = queue(input);
    batches_of(batches, |ssc| operation(ssc.queue_stream(&queue, true)))
}

/// Like [`outputs`], for an operation over two streams; where one has fewer batches, its last ones are empty.
///
/// ```
/// use tidegate::{DStream, testing::outputs_of_two};
/// let join = |a: DStream<(char, i32)>, b: DStream<(char, bool)>| a.join(&b);
/// let joined = outputs_of_two([[('x', 1), ('y', 2)]], [[('y', true)]], join)?;
/// assert_eq!(joined, [[('y', (2, true))]]);
/// # Ok::<(), tidegate::Error>(())
/// ```
///
/// # Errors
/// See [`outputs`].
///
/// # Panics
/// See [`outputs`].
pub fn outputs_of_two<T: Data, R: Into<T>, S: Data, Q: Into<S>, U: Data + PartialOrd>(
    left: impl IntoIterator<Item = impl IntoIterator<Item = R>>,
    right: impl IntoIterator<Item = impl IntoIterator<Item = Q>>,
    operation: impl Fn(DStream<T>, DStream<S>) -> DStream<U>,
) -> Result<Vec<Vec<U>>> {
    let ((left, of_left), (right, of_right)) = (queue(left), queue(right));
    batches_of(of_left.max(of_right), |ssc| {
        operation(ssc.queue_stream(&left, true), ssc.queue_stream(&right, true).named("right"))
    })
}

/// The rows, and how many batches they form.
fn queue<T, R: Into<T>>(input: impl IntoIterator<Item = impl IntoIterator<Item = R>>) -> (Queue<T>, usize) {
    let queue = Queue::default();
    input.into_iter().for_each(|rows| queue.push(rows.into_iter().map(Into::into).collect()));
    let batches = queue.len();
    (queue, batches)
}

fn batches_of<U: Data + PartialOrd>(
    batches: usize,
    stream: impl Fn(&StreamingContext) -> DStream<U>,
) -> Result<Vec<Vec<U>>> {
    let output: Arc<Mutex<Option<Vec<U>>>> = Arc::default();
    let mut driver = Driver::new(|ssc| {
        let output = output.clone();
        stream(ssc).foreach_rdd_here(move |rdd, _| {
            let mut rows = rdd.collect();
            rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
            output.lock().unwrap_or_else(PoisonError::into_inner).replace(rows);
        });
    });
    let mut all = vec![];
    for _ in 0..batches {
        driver.batch("")?;
        // Behind a window nothing is called between slides.
        all.push(output.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default());
    }
    Ok(all)
}
