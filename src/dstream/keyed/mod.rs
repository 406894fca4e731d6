//! Operations on pairs of a key and a value.
//!
//! Owns where an exchange is needed: only where rows are not partitioned by key already. Knows no backend.
//! Invariant: trait bounds are on the methods, so that the error for a type that cannot be a key appears where the
//! type is used.

mod combine;
mod join;
mod lookup;
mod state;

pub use state::{MapWithStateDStream, StateSpec};

use crate::{
    dstream::{
        DStream,
        stream::{one_to_one, per_row},
    },
    operator::{ByKey, Pairs, Reduce, RunningReduce},
    plan::{Factory, Layout, Operation, Role},
    record::{Data, Key, Value},
    state::{Handle, Table},
};
use std::sync::Arc;

pub(in crate::dstream) type NoCombine<V> = fn(V, V) -> V;

impl<K: Data, V: Data> DStream<(K, V)> {
    /// Maps the values and keeps the keys; rows stay in their partitions.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let tenfold = outputs([[('a', 1), ('b', 2)]], |pairs: DStream<(char, i32)>| pairs.map_values(|n| n * 10))?;
    /// assert_eq!(tenfold, [[('a', 10), ('b', 20)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn map_values<W: Data>(&self, f: impl Fn(V) -> W + Send + Sync + 'static) -> DStream<(K, W)> {
        let step = move |rows: Vec<(K, V)>| Ok(rows.into_iter().map(|(k, v)| (k, f(v))).collect());
        self.then("map_values", &self.here(), self.layout(), Role::Operator(one_to_one(step)))
    }

    /// Maps each value to any number of values under the same key; rows stay in their partitions.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let up_to = |pairs: DStream<(char, i32)>| pairs.flat_map_values(|n| 0..n);
    /// assert_eq!(outputs([[('a', 2), ('b', 1), ('c', 0)]], up_to)?, [[('a', 0), ('a', 1), ('b', 0)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map_values<W: Data, I: IntoIterator<Item = W>>(
        &self,
        f: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> DStream<(K, W)> {
        let step = per_row(1, move |(key, value): (K, V), out: &mut Vec<(K, W)>| {
            let mut made = f(value).into_iter().peekable();
            while let Some(value) = made.next() {
                if made.peek().is_none() {
                    out.push((key, value)); // the last one moves the key
                    break;
                }
                out.push((key.clone(), value));
            }
        });
        self.then("flat_map_values", &self.here(), self.layout(), Role::Operator(step))
    }

    /// The keys, one for each row.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let keys = outputs([[('a', 1), ('b', 2), ('a', 3)]], |pairs: DStream<(char, i32)>| pairs.keys())?;
    /// assert_eq!(keys, [['a', 'a', 'b']]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn keys(&self) -> DStream<K> {
        let step = |rows: Vec<(K, V)>| Ok(rows.into_iter().map(|(key, _)| key).collect());
        self.then("keys", &self.here(), Layout::Any, Role::Operator(one_to_one(step)))
    }

    /// The values, one for each row.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let values = outputs([[('a', 1), ('b', 2), ('a', 3)]], |pairs: DStream<(char, i32)>| pairs.values())?;
    /// assert_eq!(values, [[1, 2, 3]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn values(&self) -> DStream<V> {
        let step = |rows: Vec<(K, V)>| Ok(rows.into_iter().map(|(_, value)| value).collect());
        self.then("values", &self.here(), Layout::Any, Role::Operator(one_to_one(step)))
    }

    /// Swaps keys and values.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let swapped = outputs([[('a', 2), ('b', 1)]], |pairs: DStream<(char, i32)>| pairs.swap())?;
    /// assert_eq!(swapped, [[(1, 'b'), (2, 'a')]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn swap(&self) -> DStream<(V, K)> {
        let step = |rows: Vec<(K, V)>| Ok(rows.into_iter().map(|(key, value)| (value, key)).collect());
        self.then("swap", &self.here(), Layout::Any, Role::Operator(one_to_one(step)))
    }

    /// Places the rows by key over the state partitions and leaves them as they are: keyed operations behind it need no exchange
    /// of their own. Where Spark takes a partitioner, the placement here is always that of the state.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let least_and_sum = |pairs: DStream<(char, i32)>| {
    ///     let placed = pairs.partition_by(); // the only exchange
    ///     placed.reduce_by_key(Ord::min).join(&placed.reduce_by_key(|a, b| a + b))
    /// };
    /// assert_eq!(outputs([[('a', 2), ('b', 5), ('a', 3)]], least_and_sum)?, [[('a', (2, 5)), ('b', (5, 5))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn partition_by(&self) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
    {
        if self.layout().is_keyed() {
            return self.clone();
        }
        let op = self.here();
        let factory: Factory = Arc::new(|_| Box::new(ByKey::<K, V, NoCombine<V>>::new(None)));
        let format = Arc::new(Pairs::<K, V>::default());
        self.placed("partition_by", &op, Layout::keyed(&op), factory, format)
    }

    /// Reduces the values of each key **within each batch**, like Spark's `reduceByKey`. `f` must be associative;
    /// it also runs before the exchange. For a value over all batches see
    /// [`running_reduce_by_key`](DStream::running_reduce_by_key).
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let sums = |pairs: DStream<(char, i32)>| pairs.reduce_by_key(|a, b| a + b);
    /// assert_eq!(
    ///     outputs([vec![('a', 1), ('b', 2), ('a', 3)], vec![('a', 1)]], sums)?,
    ///     [vec![('a', 4), ('b', 2)], vec![('a', 1)]]
    /// );
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce_by_key(&self, f: impl Fn(V, V) -> V + Send + Sync + 'static) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
    {
        self.reduce_values("reduce_by_key", &self.here(), Arc::new(f))
    }

    pub(in crate::dstream) fn reduce_values<F>(&self, kind: &'static str, op: &Operation, f: Arc<F>) -> Self
    where
        K: Key,
        V: Value,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let parts = self.by_key(op, Some(f.clone()));
        let factory: Factory = Arc::new(move |_| Box::new(Reduce::<K, V, F>::new(f.clone())));
        parts.operation(kind, op, factory, |_| vec![])
    }

    /// Reduces the values of each key **over all batches**; emits one row per changed key and batch. `f` must be
    /// associative.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let sums = |pairs: DStream<(char, i32)>| pairs.running_reduce_by_key(|a, b| a + b);
    /// assert_eq!(
    ///     outputs([vec![('a', 1), ('b', 2), ('a', 3)], vec![('a', 1)]], sums)?,
    ///     [vec![('a', 4), ('b', 2)], vec![('a', 5)]]
    /// );
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn running_reduce_by_key(&self, f: impl Fn(V, V) -> V + Send + Sync + 'static) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
    {
        let (op, f) = (self.here(), Arc::new(f));
        let parts = self.by_key(&op, Some(f.clone()));
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            Box::new(RunningReduce::<K, V, _>::new(f.clone(), Handle::at(stores[0])))
        });
        parts.operation("running_reduce_by_key", &op, factory, |name| vec![Table::<K, V>::spec(name)])
    }

    pub(in crate::dstream) fn by_key<F>(&self, op: &Operation, combine: Option<Arc<F>>) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        if self.layout().is_keyed() {
            return self.clone();
        }
        let factory: Factory = Arc::new(move |_| Box::new(ByKey::<K, V, F>::new(combine.clone())));
        let role = Role::Exchange(factory, Arc::new(Pairs::<K, V>::default()));
        self.then("by_key", op, Layout::keyed(op), role)
    }
}
