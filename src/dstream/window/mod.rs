//! Windows over batch times: Spark's window operations, with the window in the state store.
//!
//! Owns which exchange and which stores a window needs. Knows no clock. Invariants: a window stands behind an
//! exchange, as state does; its stores are named after its path; durations are checked at `start`, together with
//! everything else.
//!
//! A window at instant `b` covers the batches in `(b - length, b]`; instants are multiples of the slide, counted
//! from the epoch (Spark counts from the start of the program), so they stay the same after a restart. Early
//! windows are partial. Intervals that were missed while the program ran have batches of their own, so the results
//! for their instants are emitted too, each by its batch. Instants for which there is no batch, because the program
//! was down or more than a hundred intervals late, are not made up for (Spark replays them): only the last one is
//! emitted. Windows are kept in state, so nothing of them is lost when a process dies, and a window may be larger
//! than memory.

mod event;

pub use event::EventWindow;

use crate::{
    dstream::{
        DStream,
        keyed::NoCombine,
        stream::{one_to_one, per_chunk},
    },
    host,
    operator::{
        Blocks, Invertible, KeepIf, Mark, Panes, Slides, Totals, WindowInverse, WindowReduce, WindowRows,
    },
    plan::{Factory, Layout, Node, Operation, Role, WindowSpec},
    record::{Data, Key, Value},
    state::{Handle, Merge, Placement, StoreSpec, Table},
};
use std::{sync::Arc, time::Duration};

/// The only key of windows without keys.
const ALL: u8 = 0;

impl<T: Value> DStream<T> {
    /// The rows of recent batches, at every batch: those of all batches whose time lies within the last `length`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let last_two_seconds = |numbers: DStream<i32>| numbers.window(Duration::from_secs(2));
    /// let written = outputs([vec![1], vec![2], vec![3], vec![], vec![]], last_two_seconds)?; // a batch each second
    /// assert_eq!(written, [vec![1], vec![1, 2], vec![2, 3], vec![3], vec![]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn window(&self, length: Duration) -> DStream<T> {
        self.rows_window(length, None, &self.here())
    }

    /// Like [`window`](DStream::window), at every multiple of `slide` instead of at every batch.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(3), Duration::from_secs(2));
    /// let written = outputs([[1], [2], [3], [4]], |numbers: DStream<i32>| numbers.window_by(length, slide))?;
    /// assert_eq!(written, [vec![], vec![1, 2], vec![], vec![2, 3, 4]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn window_by(&self, length: Duration, slide: Duration) -> DStream<T> {
        self.rows_window(length, Some(slide), &self.here())
    }

    /// The number of rows in a window, at each slide; 0 if there are none, even before the first row (Spark emits
    /// nothing until then).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let written =
    ///     outputs([vec!['a', 'b'], vec!['c'], vec![], vec![]], |rows: DStream<char>| rows.count_by_window(length, slide))?;
    /// assert_eq!(written, [[2], [3], [1], [0]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_window(&self, length: Duration, slide: Duration) -> DStream<u64> {
        let op = self.here();
        let count = per_chunk(|chunk, cx| {
            cx.out.rows(vec![(ALL, chunk.len() as u64)]);
            Ok(())
        });
        let counts: DStream<(u8, u64)> = self.then("map", &op, Layout::Any, Role::Operator(count));
        let functions = Invertible {
            reduce: Arc::new(|a: u64, b: u64| a + b),
            inverse: Arc::new(|a: u64, b: u64| a - b),
            keep_if: None,
            always: Some((ALL, 0)),
        };
        counts.inverse_window("count_by_window", functions, window(length, slide), &op).without_key(&op)
    }

    /// Reduces all rows of a window to one, at each slide; emits nothing for an empty window. `f` must be
    /// associative.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let greatest = |numbers: DStream<i32>| numbers.reduce_by_window(Ord::max, length, slide);
    /// assert_eq!(outputs([vec![5, 7], vec![6], vec![], vec![]], greatest)?, [vec![7], vec![7], vec![6], vec![]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce_by_window(
        &self,
        f: impl Fn(T, T) -> T + Send + Sync + 'static,
        length: Duration,
        slide: Duration,
    ) -> DStream<T> {
        let (op, f) = (self.here(), Arc::new(f));
        self.with_key(&op)
            .reduce_window("reduce_by_window", f, window(length, slide), None, &op)
            .without_key(&op)
    }

    /// Like [`reduce_by_window`](DStream::reduce_by_window), but adds what entered the window with `f` and removes
    /// what left it with `inverse`: `inverse(f(a, b), b)` must be `a`. The cost of a slide does not grow with the
    /// length of the window. After the first row, there is a result at each slide.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let sums = |numbers: DStream<i32>| numbers.reduce_by_window_inverse(|a, b| a + b, |a, b| a - b, length, slide);
    /// assert_eq!(outputs([vec![1, 2], vec![3], vec![], vec![]], sums)?, [[3], [6], [3], [0]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce_by_window_inverse(
        &self,
        f: impl Fn(T, T) -> T + Send + Sync + 'static,
        inverse: impl Fn(T, T) -> T + Send + Sync + 'static,
        length: Duration,
        slide: Duration,
    ) -> DStream<T> {
        let op = self.here();
        let functions =
            Invertible { reduce: Arc::new(f), inverse: Arc::new(inverse), keep_if: None, always: None };
        let pairs = self.with_key(&op);
        pairs
            .inverse_window("reduce_by_window_inverse", functions, window(length, slide), &op)
            .without_key(&op)
    }

    /// How many times each value occurs in a window, at each slide; values that no longer occur are omitted.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let counts = |letters: DStream<char>| letters.count_by_value_and_window(length, slide);
    /// let written = outputs([vec!['a', 'b'], vec!['a'], vec![]], counts)?;
    /// assert_eq!(written, [vec![('a', 1), ('b', 1)], vec![('a', 2), ('b', 1)], vec![('a', 1)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_value_and_window(&self, length: Duration, slide: Duration) -> DStream<(T, u64)>
    where
        T: Key,
    {
        let op = self.here();
        let ones = |rows: Vec<T>| Ok(rows.into_iter().map(|row| (row, 1u64)).collect());
        let ones: DStream<(T, u64)> = self.then("map", &op, Layout::Any, Role::Operator(one_to_one(ones)));
        let keep_if: KeepIf<T, u64> = Arc::new(|_, count| *count > 0);
        let functions = Invertible {
            reduce: Arc::new(|a: u64, b: u64| a + b),
            inverse: Arc::new(|a: u64, b: u64| a - b),
            keep_if: Some(keep_if),
            always: None,
        };
        ones.inverse_window("count_by_value_and_window", functions, window(length, slide), &op)
    }

    fn with_key(&self, op: &Operation) -> DStream<(u8, T)> {
        let step = |rows: Vec<T>| Ok(rows.into_iter().map(|row| (ALL, row)).collect());
        self.then("map", op, Layout::Any, Role::Operator(one_to_one(step)))
    }

    fn rows_window(&self, length: Duration, slide: Option<Duration>, op: &Operation) -> DStream<T> {
        let spec = WindowSpec { length, slide: slide.or(self.slide()) };
        let slides = self.slides(spec);
        let placed = if self.is_on_state() { self.clone() } else { self.spread(op) };
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            Box::new(WindowRows::<T>::new(slides, Handle::at(stores[0]), Handle::at(stores[1])))
        });
        placed.windowed("window", op, factory, spec, |path| {
            vec![Blocks::<T>::spec(path).placed(Placement::Blocks), marks(path)]
        })
    }
}

impl<K: Key, V: Value> DStream<(K, V)> {
    /// Reduces the values of each key in a window, at each slide. `f` must be associative. A slide reads the whole
    /// window, reduced to panes; [the form with an inverse](DStream::reduce_by_key_and_window_inverse) reads only
    /// what entered and left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(3), Duration::from_secs(2));
    /// let counts = |words: DStream<(char, u32)>| words.reduce_by_key_and_window(|a, b| a + b, length, slide);
    /// let written = outputs([vec![('a', 1u32)], vec![('b', 1)], vec![('a', 1)], vec![('a', 1)]], counts)?;
    /// assert_eq!(written, [vec![], vec![('a', 1), ('b', 1)], vec![], vec![('a', 2), ('b', 1)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce_by_key_and_window(
        &self,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        length: Duration,
        slide: Duration,
    ) -> DStream<(K, V)> {
        let op = self.here();
        self.reduce_window("reduce_by_key_and_window", Arc::new(f), window(length, slide), None, &op)
    }

    /// Like [`reduce_by_key_and_window`](DStream::reduce_by_key_and_window), but adds what entered the window with
    /// `f` and removes what left it with `inverse`: `inverse(f(a, b), b)` must be `a`.
    ///
    /// A slide reads and writes only what entered and left, however long the window is; then it emits every key, as
    /// Spark does, which is one pass over the running values. A key stays, with the value 0 for instance, after all
    /// its rows have left: [the form with a filter](DStream::reduce_by_key_and_window_filtered) drops it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let counts =
    ///     |words: DStream<(char, i32)>| words.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, length, slide);
    /// let written = outputs([vec![('a', 1)], vec![('a', 2), ('b', 1)], vec![], vec![]], counts)?;
    /// assert_eq!(written, [vec![('a', 1)], vec![('a', 3), ('b', 1)], vec![('a', 2), ('b', 1)], vec![('a', 0), ('b', 0)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce_by_key_and_window_inverse(
        &self,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        inverse: impl Fn(V, V) -> V + Send + Sync + 'static,
        length: Duration,
        slide: Duration,
    ) -> DStream<(K, V)> {
        let functions =
            Invertible { reduce: Arc::new(f), inverse: Arc::new(inverse), keep_if: None, always: None };
        let op = self.here();
        self.inverse_window("reduce_by_key_and_window_inverse", functions, window(length, slide), &op)
    }

    /// Like [`reduce_by_key_and_window_inverse`](DStream::reduce_by_key_and_window_inverse); keys whose value does
    /// not pass `filter_fn` are not emitted, and are dropped once all their rows have left. (Spark forgets the
    /// value of such a key at once, and fails when a row of it leaves and none enters.)
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let counts = |words: DStream<(char, i32)>| {
    ///     words.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, length, slide, |_, count| *count > 0)
    /// };
    /// let written = outputs([vec![('a', 1), ('b', 1)], vec![('a', 2)], vec![], vec![]], counts)?;
    /// assert_eq!(written, [vec![('a', 1), ('b', 1)], vec![('a', 3), ('b', 1)], vec![('a', 2)], vec![]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce_by_key_and_window_filtered(
        &self,
        f: impl Fn(V, V) -> V + Send + Sync + 'static,
        inverse: impl Fn(V, V) -> V + Send + Sync + 'static,
        length: Duration,
        slide: Duration,
        filter_fn: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> DStream<(K, V)> {
        let functions = Invertible {
            reduce: Arc::new(f),
            inverse: Arc::new(inverse),
            keep_if: Some(Arc::new(filter_fn) as KeepIf<K, V>),
            always: None,
        };
        let op = self.here();
        self.inverse_window("reduce_by_key_and_window_filtered", functions, window(length, slide), &op)
    }

    /// The values of each key in a window, at each slide, in the order of their batches. All values of a key in one
    /// batch are one value in the store and must fit into one record of the changelog.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{DStream, testing::outputs};
    /// let (length, slide) = (Duration::from_secs(2), Duration::from_secs(1));
    /// let groups = |pairs: DStream<(char, i32)>| pairs.group_by_key_and_window(length, slide);
    /// let written = outputs([vec![('a', 5)], vec![('a', 3), ('b', 4)], vec![]], groups)?;
    /// assert_eq!(
    ///     written,
    ///     [vec![('a', vec![5])], vec![('a', vec![5, 3]), ('b', vec![4])], vec![('a', vec![3]), ('b', vec![4])]]
    /// );
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by_key_and_window(&self, length: Duration, slide: Duration) -> DStream<(K, Vec<V>)> {
        let op = self.here();
        let placed = self.by_key::<NoCombine<V>>(&op, None);
        let step = |rows: Vec<(K, V)>| Ok(rows.into_iter().map(|(key, value)| (key, vec![value])).collect());
        let lists: DStream<(K, Vec<V>)> =
            placed.then("map_values", &op, placed.layout(), Role::Operator(one_to_one(step)));
        let join = |mut a: Vec<V>, b: Vec<V>| {
            a.extend(b);
            a
        };
        // Values are kept by batch: a pane of several batches would be rewritten in each.
        lists.reduce_window("group_by_key_and_window", Arc::new(join), window(length, slide), Some(1), &op)
    }

    fn reduce_window<F: Fn(V, V) -> V + Send + Sync + 'static>(
        &self,
        kind: &'static str,
        f: Arc<F>,
        spec: WindowSpec,
        pane_ms: Option<i64>,
        op: &Operation,
    ) -> DStream<(K, V)> {
        let slides = self.slides(spec);
        let pane_ms = pane_ms.unwrap_or(slides.pane_ms());
        let placed = self.by_key(op, Some(f.clone()));
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let (panes, marks) = (Handle::at(stores[0]), Handle::at(stores[1]));
            Box::new(WindowReduce::<K, V, F>::new(slides, pane_ms, f.clone(), panes, marks))
        });
        placed.windowed(kind, op, factory, spec, |path| {
            vec![Panes::<K, V>::spec(path).placed(Placement::KeyAfterTime), marks(path)]
        })
    }

    fn inverse_window<F, G>(
        &self,
        kind: &'static str,
        functions: Invertible<K, V, F, G>,
        spec: WindowSpec,
        op: &Operation,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Send + Sync + 'static,
        G: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let slides = self.slides(spec);
        let placed = self.by_key(op, Some(functions.reduce.clone()));
        let factory: Factory = Arc::new(move |stores: &[usize]| {
            let (panes, totals, marks) =
                (Handle::at(stores[0]), Handle::at(stores[1]), Handle::at(stores[2]));
            Box::new(WindowInverse::<K, V, F, G>::new(slides, functions.clone(), panes, totals, marks))
        });
        placed.windowed(kind, op, factory, spec, |path| {
            let totals = Totals::<K, V>::spec(format!("{path}.totals"));
            vec![Panes::<K, V>::spec(path).placed(Placement::KeyAfterTime), totals, marks(path)]
        })
    }
}

impl<T: Data> DStream<T> {
    /// The slide of this stream; `None` = the batch interval.
    fn slide(&self) -> Option<Duration> {
        self.builder.plan().slide_of(self.node)
    }

    /// Whether its rows are on state partitions already.
    fn is_on_state(&self) -> bool {
        self.builder.plan().stage_after(self.node) > 0
    }

    fn slides(&self, spec: WindowSpec) -> Slides {
        let millis = |d: Option<Duration>| d.map_or(1, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        Slides::new(millis(Some(spec.length)), millis(spec.slide), millis(self.slide()))
    }

    fn windowed<U>(
        &self,
        kind: &'static str,
        op: &Operation,
        factory: Factory,
        spec: WindowSpec,
        stores: impl FnOnce(&str) -> Vec<StoreSpec>,
    ) -> DStream<U> {
        let mut path = format!("{}.{kind}", self.path());
        if host::caller().is_some() {
            path = format!("{path}{}", durations(spec));
        }
        let stores = stores(&path);
        let node = Node::new(op, kind, path, Role::Operator(factory)).reading([self.node]);
        self.builder.add(node.laid(self.layout()).keeping(stores).windowed(spec))
    }
}

impl<V: Data> DStream<(u8, V)> {
    fn without_key(&self, op: &Operation) -> DStream<V> {
        let step = |rows: Vec<(u8, V)>| Ok(rows.into_iter().map(|(_, value)| value).collect());
        self.then("map", op, Layout::Any, Role::Operator(one_to_one(step)))
    }
}

/// What the default name of a window has of its durations where the program is of a language in which nothing is named: several windows may
/// then stand over one stream.
fn durations(spec: WindowSpec) -> String {
    let of = |duration: Duration| match duration.subsec_nanos() {
        0 => format!(".{}s", duration.as_secs()),
        _ => format!(".{}ms", duration.as_millis()),
    };
    of(spec.length) + &spec.slide.map_or_else(String::new, of)
}

fn window(length: Duration, slide: Duration) -> WindowSpec {
    WindowSpec { length, slide: Some(slide) }
}

fn marks(path: &str) -> StoreSpec {
    Table::<u8, Mark>::spec(format!("{path}.mark")).placed(Placement::Each(Merge::Least))
}
