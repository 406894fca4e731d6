//! State of one's own for each key: over all keys in each batch, or over touched keys with timeouts.
//!
//! Knows no backend. Invariant: initial state is taken up once in the life of a store.

use super::{DStream, pair::NoCombine};
use crate::{
    operator::{
        Context, Initial, Kept, MapState, MapWithState, Operator, PerChunk, Seeded, Snapshot, State,
        TimeoutIndex, UpdateState,
    },
    plan::{Factory, Layout, Role},
    record::{BatchTime, Chunk, Data, Key, Value},
    state::{Handle, Table},
};
use std::{
    ops::Deref,
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

type At = &'static Location<'static>;

impl<K: Data, V: Data> DStream<(K, V)> {
    /// Spark's `updateStateByKey`: `f` gets the new values of a key and its state, **for every key with state in every batch**, also
    /// without new values; `None` drops the key. Gives every state in every batch.
    ///
    /// A key without new values costs a pass of the database's cursor, decoding, a call of `f` and a row of output in each batch; it
    /// is written only if its state changed. Where only touched keys matter,
    /// [`running_reduce_by_key`](DStream::running_reduce_by_key) and [`map_with_state`](DStream::map_with_state) cost nothing for the
    /// others.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let words = ssc.text("words").map(|word| (word, 1u64));
    ///     let counts = words.update_state_by_key(|new, count: Option<u64>| {
    ///         Some(count.unwrap_or(0) + new.into_iter().sum::<u64>())
    ///     });
    ///     counts.print();
    /// });
    /// assert_eq!(driver.batch("words 0 | - | a\n")?.to_string(), "console | (a,1)\n");
    /// assert_eq!(driver.batch("")?.to_string(), "console | (a,1)\n");
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
        self.update_state(None, f, Location::caller())
    }

    /// As [`update_state_by_key`](DStream::update_state_by_key), with states that keys have before the first batch. They are taken up
    /// once in the life of the store: a key that `f` drops does not come back at a restart, and a changed `initial` has no effect
    /// on existing state. Each process holds them in memory until then.
    ///
    /// ```
    /// # use tidegate::{Config, StreamingContext, Text};
    /// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
    /// # let sales = ssc.text("sales").map(|item| (item, 1i64));
    /// let stock = sales.update_state_by_key_from([(Text::from("chair"), 40)], |sold, left: Option<i64>| {
    ///     Some(left? - sold.into_iter().sum::<i64>())
    /// });
    /// # stock.print();
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
        self.update_state(Some(Arc::new(initial.into_iter().collect())), f, Location::caller())
    }

    fn update_state<S: Value>(
        &self,
        initial: Option<Arc<Vec<(K, S)>>>,
        f: impl Fn(Vec<V>, Option<S>) -> Option<S> + Send + Sync + 'static,
        at: At,
    ) -> DStream<(K, S)>
    where
        K: Key,
        V: Value,
    {
        let (f, has_initial) = (Arc::new(f), initial.is_some());
        let rows = self.by_key::<NoCombine<V>>(at, None);
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let initial = initial.clone().map(|rows| Initial::new(rows, Handle::at(stores[1])));
            Box::new(UpdateState::<K, V, S, _>::new(f.clone(), Handle::at(stores[0]), initial))
        });
        rows.operation("update_state_by_key", at, Layout::Keyed, factory, |name| {
            let mut stores = vec![Table::<K, S>::spec(name)];
            stores.extend(has_initial.then(|| Seeded::spec(format!("{name}.seeded"))));
            stores
        })
    }

    /// Spark's `mapWithState`: the function of `spec` gets each row with the state of its key, and may give a row. **Only touched keys
    /// cost anything**, however many have state.
    ///
    /// ```
    /// use tidegate::{BatchTime, State, StateSpec, StreamingContext, Text, testing::Driver};
    /// let running_sum = |_: BatchTime, word: &Text, one: Option<u64>, sum: &mut State<u64>| {
    ///     let now = sum.get().unwrap_or(&0) + one?;
    ///     sum.update(now);
    ///     Some((word.clone(), now))
    /// };
    /// let mut driver = Driver::new(move |ssc: &StreamingContext| {
    ///     let words = ssc.text("words").map(|word| (word, 1u64));
    ///     words.map_with_state(StateSpec::function(running_sum)).print();
    /// });
    /// assert_eq!(driver.batch("words 0 | - | a\nwords 0 | - | a\n")?.to_string(), "console | (a,1)\nconsole | (a,2)\n");
    /// assert_eq!(driver.batch("")?.to_string(), "");
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
        let at = Location::caller();
        let StateSpec { map, idle_timeout, initial } = spec;
        let timeout_ms = idle_timeout.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
        let gives_snapshots = Arc::new(AtomicBool::new(false));
        let (switch, has_initial) = (gives_snapshots.clone(), !initial.is_empty());
        let initial = Arc::new(initial);
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let timeout = timeout_ms.map(|ms| (ms, Handle::at(stores[1])));
            let seeded = Handle::at(*stores.last().expect("it has a store"));
            let operator: MapWithState<K, V, S, M> = MapWithState {
                map: map.clone(),
                states: Handle::at(stores[0]),
                timeout,
                initial: has_initial.then(|| Initial::new(initial.clone(), seeded)),
                gives_snapshots: switch.load(Ordering::Relaxed),
            };
            Box::new(operator)
        });
        let rows = self.by_key::<NoCombine<V>>(at, None);
        let states: DStream<(K, S)> = rows.operation("map_with_state", at, Layout::Keyed, factory, |name| {
            let mut stores = vec![Table::<K, Kept<S>>::spec(name)];
            stores.extend(idle_timeout.map(|_| TimeoutIndex::<K>::spec(format!("{name}.timeouts"))));
            stores.extend(has_initial.then(|| Seeded::spec(format!("{name}.seeded"))));
            stores
        });
        let mapped = states.then("mapped", at, Layout::Any, Role::Operator(only::<Vec<M>, M>(|rows| rows)));
        MapWithStateDStream { states, mapped, gives_snapshots, at }
    }
}

/// What [`map_with_state`](DStream::map_with_state) does: a function, and what holds for the state of all keys.
///
/// ```
/// # use tidegate::{BatchTime, Config, State, StateSpec, StreamingContext, Text};
/// # use std::time::Duration;
/// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
/// # let clicks = ssc.text("clicks").map(|user| (user, 1u64));
/// let session = |_time: BatchTime, user: &Text, click: Option<u64>, clicks: &mut State<u64>| {
///     if clicks.is_timing_out() {
///         return Some(format!("{user} left after {} clicks", clicks.get()?));
///     }
///     clicks.update(clicks.get().unwrap_or(&0) + click?);
///     None
/// };
/// let sessions = clicks.map_with_state(StateSpec::function(session).idle_timeout(Duration::from_secs(1800)));
/// # sessions.print();
/// ```
pub struct StateSpec<K, V, S, M> {
    map: MapState<K, V, S, M>,
    idle_timeout: Option<Duration>,
    initial: Vec<(K, S)>,
}

impl<K, V, S, M> StateSpec<K, V, S, M> {
    /// The function gets the time of the batch, the key, the value and the state of the key. It is called for each row, in the order
    /// of a partition's rows; for a key that times out once more, without a value. It must depend on nothing else.
    pub fn function(
        f: impl Fn(BatchTime, &K, Option<V>, &mut State<S>) -> Option<M> + Send + Sync + 'static,
    ) -> Self {
        StateSpec { map: Arc::new(f), idle_timeout: None, initial: vec![] }
    }

    /// The state of a key is removed in the first batch whose time is more than `timeout` after the key's last row. Spark may do so
    /// some batches later.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// States that keys have before the first batch; taken up once in the life of the store. Their idle time begins with the first
    /// batch. The function is not called for them.
    #[must_use]
    pub fn initial_state(mut self, rows: impl IntoIterator<Item = (K, S)>) -> Self {
        self.initial = rows.into_iter().collect();
        self
    }
}

/// The rows that the function of [`map_with_state`](DStream::map_with_state) gives: a stream like any other, with a view of the states.
pub struct MapWithStateDStream<K, S, M> {
    states: DStream<(K, S)>,
    mapped: DStream<M>,
    gives_snapshots: Arc<AtomicBool>,
    at: At,
}

impl<K: Key, S: Value, M: Data> MapWithStateDStream<K, S, M> {
    /// Every key with its state, in every batch, after what the batch changed. Costs a pass over all states per batch, and memory
    /// for them while the batch is computed.
    ///
    /// ```
    /// # use tidegate::{BatchTime, Config, State, StateSpec, StreamingContext, Text};
    /// # let ssc = StreamingContext::new(Config::new("app", "memory:"));
    /// # let pairs = ssc.text("words").map(|word| (word, 1u64));
    /// # let function = |_: BatchTime, _: &Text, one: Option<u64>, sum: &mut State<u64>| { sum.update(one?); one };
    /// let mapped = pairs.map_with_state(StateSpec::function(function));
    /// let all = mapped.state_snapshots();
    /// # all.print();
    /// ```
    pub fn state_snapshots(&self) -> DStream<(K, S)> {
        self.gives_snapshots.store(true, Ordering::Relaxed);
        let rows = only::<Snapshot<K, S>, (K, S)>(|snapshot| snapshot.0);
        self.states.then("state_snapshots", self.at, Layout::Keyed, Role::Operator(rows))
    }

    /// Gives the operation a name, as [`DStream::named`].
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

/// Passes on only chunks of one of the payloads of an operator.
fn only<P: Clone + Send + Sync + 'static, T: Data>(rows: fn(P) -> Vec<T>) -> Factory {
    Arc::new(move |_| {
        Box::new(PerChunk(move |chunk: Chunk, cx: &mut Context<'_>| {
            if chunk.is::<P>() {
                cx.out.rows(rows(chunk.take()));
            }
            Ok(())
        })) as Box<dyn Operator>
    })
}
