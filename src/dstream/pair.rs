//! Operations on pairs of a key and a value.
//!
//! Owns where an exchange is needed: only where rows do not lie by key already. Knows no backend. Invariant: bounds stand on the
//! methods, so that a type that cannot be a key is explained where it is used.

use super::{DStream, stream::per_rows};
use crate::{
    operator::{ByKey, Join, Operator, Pairs, Reduce, RunningReduce, UpdateState},
    plan::{Factory, Layout, Node, Role},
    record::{Data, Key, Value},
    state::{Handle, Table},
};
use std::{panic::Location, sync::Arc};

pub(super) type NoCombine<V> = fn(V, V) -> V;

impl<K: Data, V: Data> DStream<(K, V)> {
    /// The same keys with other values; rows stay where they lie.
    #[track_caller]
    pub fn map_values<W: Data>(&self, f: impl Fn(V) -> W + Send + Sync + 'static) -> DStream<(K, W)> {
        let step = move |rows: Vec<(K, V)>| Ok(rows.into_iter().map(|(k, v)| (k, f(v))).collect());
        self.then("map_values", Location::caller(), self.layout(), Role::Operator(per_rows(step)))
    }

    /// Reduces the values of each key **within each batch**, as Spark's `reduceByKey`. `f` must be associative; it runs before
    /// the exchange too. For a value over all batches see [`running_reduce_by_key`](DStream::running_reduce_by_key).
    #[track_caller]
    #[must_use]
    pub fn reduce_by_key(&self, f: impl Fn(V, V) -> V + Send + Sync + 'static) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
    {
        let (at, f) = (Location::caller(), Arc::new(f));
        let parts = self.by_key(at, Some(f.clone()));
        let factory = move |_: &[usize]| Box::new(Reduce::<K, V, _>::new(f.clone())) as Box<dyn Operator>;
        parts.then("reduce_by_key", at, Layout::Keyed, Role::Operator(Arc::new(factory)))
    }

    /// Reduces the values of each key **over all batches**; gives one row per changed key and batch. `f` must be associative.
    ///
    /// ```
    /// # use tidegate::{Config, StreamingContext};
    /// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
    /// let words = ssc.text("lines").flat_map(|line| line.split(' '));
    /// let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
    /// # counts.print();
    /// ```
    #[track_caller]
    #[must_use]
    pub fn running_reduce_by_key(&self, f: impl Fn(V, V) -> V + Send + Sync + 'static) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
    {
        let (at, f) = (Location::caller(), Arc::new(f));
        let parts = self.by_key(at, Some(f.clone()));
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            Box::new(RunningReduce::<K, V, _>::new(f.clone(), Handle::at(stores[0])))
        });
        parts.stateful("running_reduce_by_key", at, factory, Table::<K, V>::spec)
    }

    /// Spark's `updateStateByKey`: `f` gets the new values of a key and its state, **for every key with state in every batch**;
    /// `None` drops the key. Gives every state in every batch. The cost of a batch grows with the number of keys: where only keys
    /// with new values matter, [`running_reduce_by_key`](DStream::running_reduce_by_key) is cheaper.
    #[track_caller]
    pub fn update_state_by_key<S: Value>(
        &self,
        f: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
    ) -> DStream<(K, S)>
    where
        K: Key,
        V: Value,
    {
        let (at, f) = (Location::caller(), Arc::new(f));
        let rows = self.by_key::<NoCombine<V>>(at, None);
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            Box::new(UpdateState::<K, V, S, _>::new(f.clone(), Handle::at(stores[0])))
        });
        rows.stateful("update_state_by_key", at, factory, Table::<K, S>::spec)
    }

    /// The inner join of two streams within each batch, as in Spark: every pairing of the values of a key.
    #[track_caller]
    pub fn join<W: Value>(&self, other: &DStream<(K, W)>) -> DStream<(K, (V, W))>
    where
        K: Key,
        V: Value,
    {
        let at = Location::caller();
        let left = self.by_key::<NoCombine<V>>(at, None);
        let right = other.by_key::<NoCombine<W>>(at, None);
        let factory: Factory = Arc::new(|_| Box::new(Join::<K, V, W>::default()));
        let path = format!("{}*{}", left.path(), right.path());
        left.builder.add(Node {
            kind: "join",
            path,
            at,
            inputs: vec![left.node, right.node],
            layout: Layout::Keyed,
            role: Role::Operator(factory),
            stores: vec![],
        })
    }

    pub(super) fn by_key<F>(&self, at: &'static Location<'static>, combine: Option<Arc<F>>) -> DStream<(K, V)>
    where
        K: Key,
        V: Value,
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        if self.layout() == Layout::Keyed {
            return self.clone();
        }
        let factory: Factory = Arc::new(move |_| Box::new(ByKey::<K, V, F>::new(combine.clone())));
        self.then("by_key", at, Layout::Keyed, Role::Exchange(factory, Arc::new(Pairs::<K, V>::default())))
    }
}
