//! Values of a key in a batch that become one value of another type.
//!
//! Knows no store. Invariant: what can be combined is combined before the exchange too.

use super::{DStream, pair::NoCombine};
use crate::{
    operator::{CombineValues, Group, Reduce},
    plan::{Factory, Layout, Role},
    record::{Data, Key, Value},
};
use std::{panic::Location, sync::Arc};

impl<K: Data, V: Data> DStream<(K, V)> {
    /// Spark's `combineByKey`: the first value of a key makes a combined one, the others are merged into it, and combined values of
    /// one key are merged behind the exchange. Within each batch; `merge_combiners` must be associative.
    ///
    /// ```
    /// # use tidegate::{Config, StreamingContext};
    /// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
    /// # let prices = ssc.text("prices").map(|line| (line.len(), line.len() as u64));
    /// let sums_and_counts = prices.combine_by_key(
    ///     |price| (price, 1u64),
    ///     |(sum, n), price| (sum + price, n + 1),
    ///     |a, b| (a.0 + b.0, a.1 + b.1),
    /// );
    /// let means = sums_and_counts.map_values(|(sum, n)| sum / n);
    /// # means.print();
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
        self.combined("combine_by_key", Location::caller(), (create, merge_value), merge_combiners)
    }

    /// As [`combine_by_key`](DStream::combine_by_key), beginning with a copy of `zero` for each key and task. `zero` must change
    /// nothing when it is merged.
    ///
    /// ```
    /// # use tidegate::{Config, StreamingContext};
    /// # use std::collections::BTreeSet;
    /// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
    /// # let visits = ssc.text("visits").key_by(|line| line.len());
    /// let visitors = visits.aggregate_by_key(
    ///     BTreeSet::new(),
    ///     |mut seen, visitor| {
    ///         seen.insert(visitor);
    ///         seen
    ///     },
    ///     |a, b| &a | &b,
    /// );
    /// # visitors.print();
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
        self.combined("aggregate_by_key", Location::caller(), (create, merge_value), merge_combiners)
    }

    fn combined<C: Value, F, G, H>(
        &self,
        kind: &'static str,
        at: &'static Location<'static>,
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
        let parts: DStream<(K, C)> = self.then("combine_values", at, self.layout(), Role::Operator(factory));
        let (parts, merge) = (parts.by_key::<NoCombine<C>>(at, None), Arc::new(merge_combiners));
        let factory: Factory = Arc::new(move |_| Box::new(Reduce::<K, C, H>::new(merge.clone())));
        parts.operation(kind, at, Layout::Keyed, factory, |_| vec![])
    }

    /// All values of each key in a batch. Every value crosses the exchange: where they are reduced afterwards,
    /// [`reduce_by_key`](DStream::reduce_by_key) or [`combine_by_key`](DStream::combine_by_key) is cheaper.
    ///
    /// ```
    /// # use tidegate::{Config, StreamingContext};
    /// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
    /// let by_length = ssc.text("words").key_by(|word| word.len()).group_by_key();
    /// # by_length.print();
    /// ```
    #[track_caller]
    pub fn group_by_key(&self) -> DStream<(K, Vec<V>)>
    where
        K: Key,
        V: Value,
    {
        let at = Location::caller();
        let factory: Factory = Arc::new(|_| Box::new(Group::<K, V>::default()));
        self.by_key::<NoCombine<V>>(at, None).operation(
            "group_by_key",
            at,
            Layout::Keyed,
            factory,
            |_| vec![],
        )
    }
}
