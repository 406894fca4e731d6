//! User-defined state for each key: updated for all keys in each batch, or for touched keys only, with timeouts.
//!
//! Knows no backend. Invariant: initial state is loaded once in the lifetime of a store.

use super::NoCombine;
use crate::{
    dstream::{DStream, stream::pass_on},
    operator::{
        Initial, Kept, MapState, MapWithState, STATE_SNAPSHOTS, Seeded, State, TimeoutIndex, UpdateState,
    },
    plan::{Factory, Input, Layout, Node, Operation},
    record::{BatchTime, Data, Key, Value},
    state::{Handle, Merge, Placement, Table},
};
use std::{ops::Deref, sync::Arc, time::Duration};

impl<K: Data, V: Data> DStream<(K, V)> {
    /// Spark's `updateStateByKey`: `f` gets the new values of a key and its state, **for every key with state in
    /// every batch**, even without new values; `None` drops the key. Emits every state in every batch (behind a
    /// window: at each slide).
    ///
    /// In each batch, a key without new values costs a step of the scan over the database, decoding, a call of `f`
    /// and a row of output; it is written only if its state changed. Where only touched keys matter,
    /// [`running_reduce_by_key`](DStream::running_reduce_by_key) and [`map_with_state`](DStream::map_with_state)
    /// cost nothing for the others.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let sums = |pairs: DStream<(char, i32)>| {
    ///     pairs.update_state_by_key(|new, sum: Option<i32>| Some(sum.unwrap_or(0) + new.into_iter().sum::<i32>()))
    /// };
    /// let written = outputs([vec![('a', 1), ('b', 5)], vec![('a', 1)], vec![]], sums)?;
    /// assert_eq!(written, [[('a', 1), ('b', 5)], [('a', 2), ('b', 5)], [('a', 2), ('b', 5)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn update_state_by_key<S: Value>(
        &self,
        f: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
    ) -> DStream<(K, S)>
    where
        K: Key,
        V: Value,
    {
        self.update_state(None, f, &self.here())
    }

    /// Like [`update_state_by_key`](DStream::update_state_by_key), with states that keys have before the first
    /// batch. They are loaded once in the lifetime of the store: a key that `f` drops does not come back after a
    /// restart, and a changed `initial` has no effect on existing state. Each process holds them in memory until
    /// then.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let stock = |sales: DStream<(char, i32)>| {
    ///     let left = |sold: Vec<i32>, left: Option<i32>| Some(left? - sold.into_iter().sum::<i32>());
    ///     sales.update_state_by_key_from([('a', 40)], left) // an item that was never in stock has no state
    /// };
    /// assert_eq!(outputs([vec![('a', 3), ('b', 1)], vec![('a', 1)]], stock)?, [[('a', 37)], [('a', 36)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn update_state_by_key_from<S: Value>(
        &self,
        initial: impl IntoIterator<Item = (K, S)>,
        f: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
    ) -> DStream<(K, S)>
    where
        K: Key,
        V: Value,
    {
        self.update_state(Some(Arc::new(initial.into_iter().collect())), f, &self.here())
    }

    fn update_state<S: Value>(
        &self,
        initial: Option<Arc<Vec<(K, S)>>>,
        f: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
        op: &Operation,
    ) -> DStream<(K, S)>
    where
        K: Key,
        V: Value,
    {
        let (f, has_initial, emit_schedule) = (Arc::new(f), initial.is_some(), self.emit_schedule());
        let rows = self.by_key::<NoCombine<V>>(op, None);
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let initial = initial.clone().map(|rows| Initial::new(rows, Handle::at(stores[1])));
            Box::new(UpdateState::<K, V, S, _>::new(f.clone(), Handle::at(stores[0]), initial, emit_schedule))
        });
        rows.operation("update_state_by_key", op, factory, |name| {
            let mut stores = vec![Table::<K, S>::spec(name)];
            stores.extend(
                has_initial
                    .then(|| Seeded::spec(format!("{name}.seeded")).placed(Placement::Each(Merge::Least))),
            );
            stores
        })
    }

    /// Spark's `mapWithState`: the function of `spec` gets each row with the state of its key, and may return a
    /// row. **Only touched keys cost anything**, no matter how many have state.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let running_sum = |_: BatchTime, key: &char, new: Option<i32>, sum: &mut State<i32>| {
    ///     let now = sum.get().unwrap_or(&0) + new?;
    ///     sum.update(now);
    ///     Some((*key, now))
    /// };
    /// let sums = |pairs: DStream<(char, i32)>| pairs.map_with_state(StateSpec::function(running_sum)).clone();
    /// assert_eq!(
    ///     outputs([vec![('a', 1), ('a', 2)], vec![], vec![('a', 5)]], sums)?,
    ///     [vec![('a', 1), ('a', 3)], vec![], vec![('a', 8)]]
    /// );
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn map_with_state<S: Value, M: Data>(
        &self,
        spec: StateSpec<K, V, S, M>,
    ) -> MapWithStateDStream<K, S, M>
    where
        K: Key,
        V: Value,
    {
        let op = self.here();
        let StateSpec { map, idle_timeout, initial } = spec;
        let timeout_ms = idle_timeout.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
        let (has_initial, emit_schedule) = (!initial.is_empty(), self.emit_schedule());
        let initial = Arc::new(initial);
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let timeout = timeout_ms.map(|ms| (ms, Handle::at(stores[1])));
            let seeded = Handle::at(*stores.last().expect("it has a store"));
            let operator: MapWithState<K, V, S, M> = MapWithState {
                map: map.clone(),
                states: Handle::at(stores[0]),
                timeout,
                initial: has_initial.then(|| Initial::new(initial.clone(), seeded)),
                emit_schedule,
                touched: false,
                giving: None,
            };
            Box::new(operator)
        });
        let rows = self.by_key::<NoCombine<V>>(&op, None);
        let states: DStream<(K, S)> = rows.operation("map_with_state", &op, factory, |name| {
            let mut stores = vec![Table::<K, Kept<S>>::spec(name)];
            stores.extend(idle_timeout.map(|_| {
                TimeoutIndex::<K>::spec(format!("{name}.timeouts")).placed(Placement::KeyAfterTime)
            }));
            stores.extend(
                has_initial
                    .then(|| Seeded::spec(format!("{name}.seeded")).placed(Placement::Each(Merge::Least))),
            );
            stores
        });
        let mapped = states.then("mapped", &op, Layout::Any, pass_on());
        MapWithStateDStream { states, mapped, op }
    }
}

/// What [`map_with_state`](DStream::map_with_state) does: a function, and settings that apply to the state of all
/// keys.
///
/// ```
/// use std::time::Duration;
/// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
/// let session = |time: BatchTime, user: &char, click: Option<u32>, clicks: &mut State<u32>| {
///     if clicks.is_timing_out() {
///         return Some((time.0, *user, *clicks.get()?)); // the session is over
///     }
///     let now = clicks.get().unwrap_or(&0) + click?;
///     clicks.update(now);
///     None
/// };
/// let sessions = |clicks: DStream<(char, u32)>| {
///     clicks.map_with_state(StateSpec::function(session).idle_timeout(Duration::from_secs(2))).clone()
/// };
/// let written = outputs([vec![('a', 1u32), ('a', 1)], vec![], vec![], vec![], vec![]], sessions)?;
/// assert_eq!(written.concat(), [(4_000, 'a', 2)]); // the first batch more than 2 s after the one at 1,000 ms
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct StateSpec<K, V, S, M> {
    map: MapState<K, V, S, M>,
    idle_timeout: Option<Duration>,
    initial: Vec<(K, S)>,
}

impl<K, V, S, M> StateSpec<K, V, S, M> {
    /// The function gets the time of the batch, the key, the value and the state of the key. It is called for each
    /// row, in the order of a partition's rows, and once more, without a value, for a key that times out. It must
    /// depend on nothing else.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let first_seen = |time: BatchTime, key: &char, _: Option<u32>, seen: &mut State<i64>| {
    ///     if seen.exists() {
    ///         return None;
    ///     }
    ///     seen.update(time.0);
    ///     Some((*key, time.0))
    /// };
    /// let firsts = |pairs: DStream<(char, u32)>| pairs.map_with_state(StateSpec::function(first_seen)).clone();
    /// assert_eq!(outputs([[('a', 1u32)], [('a', 1)], [('b', 1)]], firsts)?, [vec![('a', 1_000)], vec![], vec![('b', 3_000)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn function(
        f: impl Fn(BatchTime, &K, Option<V>, &mut State<S>) -> Option<M> + Send + Sync + 'static,
    ) -> Self {
        StateSpec { map: Arc::new(f), idle_timeout: None, initial: vec![] }
    }

    /// The state of a key is removed in the first batch whose time is more than `timeout` after the key's last row.
    /// Spark may do so some batches later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let last_words = |_: BatchTime, key: &char, value: Option<u32>, state: &mut State<u32>| match value {
    ///     Some(value) => {
    ///         state.update(value);
    ///         None
    ///     }
    ///     None => Some((*key, *state.get()?)), // without a value: the key times out
    /// };
    /// let expired = |pairs: DStream<(char, u32)>| {
    ///     pairs.map_with_state(StateSpec::function(last_words).idle_timeout(Duration::from_secs(1))).clone()
    /// };
    /// assert_eq!(outputs([vec![('a', 7u32)], vec![], vec![]], expired)?, [vec![], vec![], vec![('a', 7)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// States that keys have before the first batch; loaded once in the lifetime of the store. Their idle time
    /// starts with the first batch. The function is not called for them.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let running_sum = |_: BatchTime, key: &char, new: Option<i32>, sum: &mut State<i32>| {
    ///     let now = sum.get().unwrap_or(&0) + new?;
    ///     sum.update(now);
    ///     Some((*key, now))
    /// };
    /// let sums = |pairs: DStream<(char, i32)>| {
    ///     pairs.map_with_state(StateSpec::function(running_sum).initial_state([('a', 100)])).clone()
    /// };
    /// assert_eq!(outputs([[('a', 1), ('b', 1)]], sums)?, [[('a', 101), ('b', 1)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn initial_state(mut self, rows: impl IntoIterator<Item = (K, S)>) -> Self {
        self.initial = rows.into_iter().collect();
        self
    }
}

/// The rows that the function of [`map_with_state`](DStream::map_with_state) returns: a stream like any other, with
/// an additional view of the states.
///
/// ```
/// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
/// let longest = |_: BatchTime, _: &char, new: Option<u32>, most: &mut State<u32>| {
///     let more = new? > *most.get().unwrap_or(&0);
///     more.then(|| most.update(new.unwrap_or(0)))
/// };
/// let records_and_keys = |runs: DStream<(char, u32)>| {
///     let mapped = runs.map_with_state(StateSpec::function(longest));
///     let records = mapped.count(); // what the function returned, like any stream
///     records.union(&mapped.state_snapshots().count().named("keys"))
/// };
/// assert_eq!(outputs([[('a', 5u32), ('b', 7)], [('a', 4), ('b', 9)]], records_and_keys)?, [[2, 2], [1, 2]]);
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct MapWithStateDStream<K, S, M> {
    states: DStream<(K, S)>,
    mapped: DStream<M>,
    op: Operation,
}

impl<K: Key, S: Value, M: Data> MapWithStateDStream<K, S, M> {
    /// Every key with its state, in every batch, after the changes of the batch. Costs a pass over all states per
    /// batch, and memory for them while the batch is computed.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let keep_last = |_: BatchTime, _: &char, new: Option<i32>, last: &mut State<i32>| {
    ///     last.update(new?);
    ///     None::<()>
    /// };
    /// let all = |pairs: DStream<(char, i32)>| pairs.map_with_state(StateSpec::function(keep_last)).state_snapshots();
    /// assert_eq!(outputs([vec![('a', 1), ('b', 2)], vec![('a', 3)]], all)?, [[('a', 1), ('b', 2)], [('a', 3), ('b', 2)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn state_snapshots(&self) -> DStream<(K, S)> {
        let snapshots = Input { node: self.states.node, port: STATE_SNAPSHOTS };
        let node = Node::new(&self.op, "state_snapshots", self.states.path(), pass_on());
        self.states.builder.add(node.reading([snapshots]).laid(self.states.layout()))
    }

    /// Gives the operation a name; see [`DStream::named`].
    ///
    /// ```
    /// use tidegate::{BatchTime, State, StateSpec, StreamingContext, Text, testing::Driver};
    /// let count = |_: BatchTime, word: &Text, one: Option<u64>, count: &mut State<u64>| {
    ///     let now = count.get().unwrap_or(&0) + one?;
    ///     count.update(now);
    ///     Some((word.clone(), now))
    /// };
    /// let mut driver = Driver::new(move |ssc: &StreamingContext| {
    ///     let words = ssc.text("words").map(|word| (word, 1u64));
    ///     words.map_with_state(StateSpec::function(count)).named("counts").print();
    /// });
    /// assert_eq!(driver.batch("words 0 | - | tide\n")?.to_string(), "console | (tide,1)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let (states, mapped) = (self.states.named(name), self.mapped.named(name));
        MapWithStateDStream { states, mapped, ..self }
    }
}

impl<K, S, M> Deref for MapWithStateDStream<K, S, M> {
    type Target = DStream<M>;

    fn deref(&self) -> &DStream<M> {
        &self.mapped
    }
}
