//! `map_with_state`: a function over each row and the state of its key; only touched keys cost anything.
//!
//! Knows no log. Invariants: a key with a timeout has exactly one row in the index of timeouts, at the time stored
//! in its state; a key that times out is passed to the function once, without a value, and has no state afterwards;
//! a snapshot is taken after the timeouts.

use super::Initial;
use crate::{
    error::Result,
    operator::{Context, EmitSchedule, Operator, Port},
    record::{BatchTime, Chunk, Data, Key, StampedRows, Value},
    state::{Handle, OrderedTable, Table},
};
use serde::{Deserialize, Serialize};
use std::{ops::Bound, sync::Arc};

/// How many timeouts, or rows of a snapshot, are processed at a time.
const SLICE: usize = 8_192;

/// The state of one key, in the hands of the function of `map_with_state`.
#[derive(Debug)]
pub struct State<S> {
    value: Option<S>,
    is_timing_out: bool,
    is_removed: bool,
}

impl<S> State<S> {
    fn of(value: Option<S>, is_timing_out: bool) -> Self {
        State { value, is_timing_out, is_removed: false }
    }

    /// The state, if the key has one.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let before = |_: BatchTime, _: &char, new: Option<i32>, last: &mut State<i32>| {
    ///     let before = last.get().copied();
    ///     last.update(new?);
    ///     Some(before)
    /// };
    /// let befores = |pairs: DStream<(char, i32)>| pairs.map_with_state(StateSpec::function(before)).clone();
    /// assert_eq!(outputs([[('a', 1)], [('a', 2)]], befores)?, [[None], [Some(1)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self) -> Option<&S> {
        self.value.as_ref()
    }

    /// The state, to be changed in place, if the key has one.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let history = |_: BatchTime, _: &char, new: Option<i32>, all: &mut State<Vec<i32>>| {
    ///     match all.get_mut() {
    ///         Some(all) => all.push(new?), // changed in place
    ///         None => all.update(vec![new?]),
    ///     }
    ///     all.get().cloned()
    /// };
    /// let histories = |pairs: DStream<(char, i32)>| pairs.map_with_state(StateSpec::function(history)).clone();
    /// assert_eq!(outputs([[('a', 1)], [('a', 2)]], histories)?, [[vec![1]], [vec![1, 2]]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the key is timing out.
    pub fn get_mut(&mut self) -> Option<&mut S> {
        assert!(!self.is_timing_out, "Cannot update the state that is timing out");
        self.value.as_mut()
    }

    /// Whether the key has a state.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let is_new = |_: BatchTime, key: &char, new: Option<i32>, seen: &mut State<i32>| {
    ///     let is_new = !seen.exists();
    ///     seen.update(new?);
    ///     is_new.then_some(*key)
    /// };
    /// let firsts = |pairs: DStream<(char, i32)>| pairs.map_with_state(StateSpec::function(is_new)).clone();
    /// assert_eq!(outputs([[('a', 1), ('a', 2)], [('a', 3), ('b', 4)]], firsts)?, [['a'], ['b']]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// Sets the state of the key.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let greatest = |_: BatchTime, _: &char, new: Option<i32>, most: &mut State<i32>| {
    ///     let most_now = new?.max(*most.get().unwrap_or(&0));
    ///     most.update(most_now);
    ///     Some(most_now)
    /// };
    /// let greatest = |pairs: DStream<(char, i32)>| pairs.map_with_state(StateSpec::function(greatest)).clone();
    /// assert_eq!(outputs([[('a', 5)], [('a', 3)], [('a', 8)]], greatest)?, [[5], [5], [8]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// As in Spark: if it was removed in this call, or the key is timing out. The engine reports it as a failure of
    /// the function.
    pub fn update(&mut self, state: S) {
        assert!(!self.is_removed, "Cannot update the state that has been removed");
        assert!(!self.is_timing_out, "Cannot update the state that is timing out");
        self.value = Some(state);
    }

    /// Removes the state of the key.
    ///
    /// ```
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let open = |_: BatchTime, _: &char, is_open: Option<bool>, opened: &mut State<bool>| {
    ///     if is_open? {
    ///         opened.update(true);
    ///     } else if opened.exists() {
    ///         opened.remove();
    ///     }
    ///     None::<()>
    /// };
    /// let keys = |pairs: DStream<(char, bool)>| pairs.map_with_state(StateSpec::function(open)).state_snapshots().keys();
    /// assert_eq!(outputs([[('a', true), ('b', true)], [('a', false), ('c', false)]], keys)?, [vec!['a', 'b'], vec!['b']]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// As in Spark: if it was already removed, or the key is timing out, which removes it anyway.
    pub fn remove(&mut self) {
        assert!(!self.is_timing_out, "Cannot remove the state that is timing out");
        assert!(!self.is_removed, "Cannot remove the state that has already been removed");
        self.value = None;
        self.is_removed = true;
    }

    /// Whether the key is about to be removed because it was idle for too long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{BatchTime, DStream, State, StateSpec, testing::outputs};
    /// let goodbye = |_: BatchTime, key: &char, new: Option<i32>, last: &mut State<i32>| {
    ///     if last.is_timing_out() {
    ///         return Some((*key, *last.get()?)); // gone after this call
    ///     }
    ///     last.update(new?);
    ///     None
    /// };
    /// let gone = |pairs: DStream<(char, i32)>| {
    ///     pairs.map_with_state(StateSpec::function(goodbye).idle_timeout(Duration::from_secs(1))).clone()
    /// };
    /// assert_eq!(outputs([vec![('a', 7)], vec![], vec![]], gone)?, [vec![], vec![], vec![('a', 7)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn is_timing_out(&self) -> bool {
        self.is_timing_out
    }
}

/// The state of a key in the store. Times are 0 if there is no timeout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept<S> {
    /// Time of the last batch with a row of the key, milliseconds.
    touched_ms: i64,
    /// The time under which the key is in the index of timeouts: at most `touched_ms`.
    indexed_ms: i64,
    state: S,
}

/// Keys by a time at which they were touched.
pub type TimeoutIndex<K> = OrderedTable<(i64, K), ()>;

/// The function of `map_with_state`.
pub type MapState<K, V, S, M> =
    Arc<dyn Fn(BatchTime, &K, Option<V>, &mut State<S>) -> Option<M> + Send + Sync>;

/// The output on which all states of a task are emitted; what the function returns is on the first one.
pub const STATE_SNAPSHOTS: Port = Port(1);

/// The operator.
pub struct MapWithState<K: Key, V, S: Value, M> {
    /// The function.
    pub map: MapState<K, V, S, M>,
    /// The states.
    pub states: Handle<Table<K, Kept<S>>>,
    /// After how many milliseconds an idle key times out, and the index.
    pub timeout: Option<(i64, Handle<TimeoutIndex<K>>)>,
    /// States before the first batch.
    pub initial: Option<Initial<K, S>>,
    /// In which batches without rows all states are emitted.
    pub emit_schedule: EmitSchedule,
    /// Whether this batch had rows.
    pub touched: bool,
    /// While they are being emitted: where the next part begins.
    pub giving: Option<Vec<u8>>,
}

impl<K: Key, V: Value, S: Value, M: Data> MapWithState<K, V, S, M> {
    fn seed(&mut self, cx: &mut Context<'_>) -> Result {
        let Some(initial) = &mut self.initial else { return Ok(()) };
        let rows = initial.take(cx)?;
        cx.stores.open(self.states).prefetch(rows.iter().map(|(key, _)| key))?;
        let time_ms = if self.timeout.is_some() { cx.batch.time.0 } else { 0 };
        for (key, state) in rows {
            let mut slot = cx.stores.open(self.states).entry(key.clone())?;
            if slot.get().is_some() {
                continue;
            }
            slot.set(Kept { touched_ms: time_ms, indexed_ms: time_ms, state });
            drop(slot);
            if let Some((_, index)) = self.timeout {
                cx.stores.open(index).insert(&(time_ms, key), ())?;
            }
        }
        Ok(())
    }

    /// Passes one row to the function and keeps the state it left.
    fn touch(&self, key: K, value: V, cx: &mut Context<'_>) -> Result<Option<M>> {
        let time = cx.batch.time;
        let mut slot = cx.stores.open(self.states).entry(key.clone())?;
        let kept = slot.take();
        let indexed_ms = kept.as_ref().map_or(0, |kept| kept.indexed_ms);
        let mut state = State::of(kept.map(|kept| kept.state), false);
        let mapped = (self.map)(time, &key, Some(value), &mut state);
        let has_state = state.exists();
        let Some((_, index)) = self.timeout else {
            if let Some(state) = state.value {
                slot.set(Kept { touched_ms: 0, indexed_ms, state });
            }
            return Ok(mapped);
        };
        if let Some(state) = state.value {
            let indexed_ms = if indexed_ms == 0 { time.0 } else { indexed_ms };
            slot.set(Kept { touched_ms: time.0, indexed_ms, state });
        }
        drop(slot);
        match (has_state, indexed_ms) {
            (true, 0) => cx.stores.open(index).insert(&(time.0, key), ())?,
            (false, 1..) => {
                cx.stores.open(index).entry(&(indexed_ms, key))?.take();
            }
            _ => {}
        }
        Ok(mapped)
    }

    /// Keys that were last touched before `T - timeout` time out; those that were touched since they were indexed
    /// are indexed again.
    fn time_out(&self, cx: &mut Context<'_>) -> Result {
        let Some((timeout_ms, index)) = self.timeout else { return Ok(()) };
        let threshold = cx.batch.time.0.saturating_sub(timeout_ms);
        let mut after = Bound::Unbounded;
        loop {
            let mut due: Vec<(i64, K)> = vec![];
            cx.stores.open(index).visit((after, Bound::Unbounded), |entry, slot| {
                if entry.0 >= threshold || due.len() == SLICE {
                    return Ok(false);
                }
                due.push(entry.clone());
                slot.take();
                Ok(true)
            })?;
            let Some(last) = due.last() else { return Ok(()) };
            after = Bound::Excluded(last.clone());
            cx.stores.open(self.states).prefetch(due.iter().map(|(_, key)| key))?;
            let mut rows = vec![];
            for (_, key) in due {
                let mut slot = cx.stores.open(self.states).entry(key.clone())?;
                let Some(mut kept) = slot.take() else { continue };
                if kept.touched_ms < threshold {
                    let mut state = State::of(Some(kept.state), true);
                    rows.extend((self.map)(cx.batch.time, &key, None, &mut state));
                    continue;
                }
                let touched_ms = kept.touched_ms;
                kept.indexed_ms = touched_ms;
                slot.set(kept);
                drop(slot);
                cx.stores.open(index).insert(&(touched_ms, key), ())?;
            }
            cx.out.rows::<M>(rows);
        }
    }

    /// Emits a part of the states.
    fn snapshot(&mut self, from: Option<&[u8]>, cx: &mut Context<'_>) -> Result {
        let mut rows = vec![];
        let states = cx.stores.open(self.states);
        self.giving = states.update_some(from, SLICE, |key, slot| {
            rows.extend(slot.get().map(|kept| (key.clone(), kept.state.clone())));
            Ok(())
        })?;
        cx.out.chunk_on(STATE_SNAPSHOTS, Chunk::rows(rows));
        Ok(())
    }
}

impl<K: Key, V: Value, S: Value, M: Data> Operator for MapWithState<K, V, S, M> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        self.seed(cx)?;
        let (rows, stamps) = input.take_stamped::<Vec<(K, V)>>();
        self.touched |= !rows.is_empty();
        cx.stores.open(self.states).prefetch(rows.iter().map(|(key, _)| key))?;
        let mut mapped: StampedRows<M> = StampedRows::with_capacity(rows.len());
        let mut stamps = stamps.each();
        for (key, value) in rows {
            let ms = stamps.next_ms();
            if let Some(row) = self.touch(key, value, cx)? {
                mapped.push(row, ms);
            }
        }
        cx.out.chunk(mapped.into_chunk());
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if let Some(from) = self.giving.take() {
            return self.snapshot(Some(&from), cx);
        }
        self.seed(cx)?;
        self.time_out(cx)?;
        let has_rows = std::mem::take(&mut self.touched);
        let is_due = cx.out.is_read(STATE_SNAPSHOTS) && self.emit_schedule.is_due(has_rows, cx.batch.time);
        if is_due { self.snapshot(None, cx) } else { Ok(()) }
    }

    fn has_more(&self) -> bool {
        self.giving.is_some()
    }
}
