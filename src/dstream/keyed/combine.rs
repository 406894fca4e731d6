//! Combines the values of a key in a batch into one value of another type.
//!
//! Knows no store. Invariant: whatever can be combined is combined before the exchange too.

use super::NoCombine;
use crate::{
    dstream::DStream,
    operator::{CombineValues, Group, Reduce},
    plan::{Factory, Operation, Role},
    record::{Data, Key, Value},
};
use std::sync::Arc;

impl<K: Data, V: Data> DStream<(K, V)> {
    /// Spark's `combineByKey`: the first value of a key creates a combiner, later values are merged into it, and
    /// the combiners of a key are merged behind the exchange. Works within each batch; `merge_combiners` must be
    /// associative.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let means = |prices: DStream<(char, u64)>| {
    ///     let sums_and_counts = prices.combine_by_key(
    ///         |price| (price, 1u64),
    ///         |(sum, n), price| (sum + price, n + 1),
    ///         |a, b| (a.0 + b.0, a.1 + b.1),
    ///     );
    ///     sums_and_counts.map_values(|(sum, n)| sum / n)
    /// };
    /// assert_eq!(outputs([[('a', 10u64), ('a', 20), ('b', 7)]], means)?, [[('a', 15), ('b', 7)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn combine_by_key<C: Value>(
        &self,
        create: impl Fn(V) -> C + Send + Sync + 'static,
        merge_value: impl Fn(C, V) -> C + Send + Sync + 'static,
        merge_combiners: impl Fn(C, C) -> C + Send + Sync + 'static,
    ) -> DStream<(K, C)>
    where
        K: Key,
    {
        self.combined("combine_by_key", &self.here(), (create, merge_value), merge_combiners)
    }

    /// Like [`combine_by_key`](DStream::combine_by_key), but starts from a copy of `zero` for each key and task.
    /// Merging `zero` must change nothing.
    ///
    /// ```
    /// use std::collections::BTreeSet;
    /// use tidegate::{DStream, testing::outputs};
    /// let visitors = |visits: DStream<(char, u32)>| {
    ///     let add = |mut seen: BTreeSet<u32>, visitor| {
    ///         seen.insert(visitor);
    ///         seen
    ///     };
    ///     visits.aggregate_by_key(BTreeSet::new(), add, |a, b| &a | &b).map_values(|seen| seen.len())
    /// };
    /// assert_eq!(outputs([[('a', 7u32), ('a', 9), ('a', 7), ('b', 7)]], visitors)?, [[('a', 2), ('b', 1)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn aggregate_by_key<C: Value>(
        &self,
        zero: C,
        merge_value: impl Fn(C, V) -> C + Send + Sync + 'static,
        merge_combiners: impl Fn(C, C) -> C + Send + Sync + 'static,
    ) -> DStream<(K, C)>
    where
        K: Key,
    {
        let merge_value = Arc::new(merge_value);
        let merge = merge_value.clone();
        let create = move |value| merge(zero.clone(), value);
        let merge_value = move |combined, value| merge_value(combined, value);
        self.combined("aggregate_by_key", &self.here(), (create, merge_value), merge_combiners)
    }

    fn combined<C: Value, F, G, H>(
        &self,
        kind: &'static str,
        op: &Operation,
        (create, merge_value): (F, G),
        merge_combiners: H,
    ) -> DStream<(K, C)>
    where
        K: Key,
        F: Fn(V) -> C + Send + Sync + 'static,
        G: Fn(C, V) -> C + Send + Sync + 'static,
        H: Fn(C, C) -> C + Send + Sync + 'static,
    {
        let (create, merge) = (Arc::new(create), Arc::new(merge_value));
        let factory: Factory =
            Arc::new(move |_| Box::new(CombineValues::<K, V, C, F, G>::new(create.clone(), merge.clone())));
        let parts: DStream<(K, C)> = self.then("combine_values", op, self.layout(), Role::Operator(factory));
        let (parts, merge) = (parts.by_key::<NoCombine<C>>(op, None), Arc::new(merge_combiners));
        let factory: Factory = Arc::new(move |_| Box::new(Reduce::<K, C, H>::new(merge.clone())));
        parts.operation(kind, op, factory, |_| vec![])
    }

    /// Groups all values of each key in a batch. Every value crosses the exchange; if they are reduced afterwards,
    /// [`reduce_by_key`](DStream::reduce_by_key) or [`combine_by_key`](DStream::combine_by_key) is cheaper.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let groups = |pairs: DStream<(char, i32)>| pairs.group_by_key();
    /// assert_eq!(outputs([[('a', 3), ('b', 2), ('a', 1)]], groups)?, [[('a', vec![3, 1]), ('b', vec![2])]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by_key(&self) -> DStream<(K, Vec<V>)>
    where
        K: Key,
        V: Value,
    {
        let op = self.here();
        let factory: Factory = Arc::new(|_| Box::new(Group::<K, V>::default()));
        self.by_key::<NoCombine<V>>(&op, None).operation("group_by_key", &op, factory, |_| vec![])
    }
}
