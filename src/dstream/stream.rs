//! Streams and the operations that need no key.
//!
//! Owns [`DStream`] and the builder behind it. Knows no store. Invariant: a stream is a node and the promise that
//! its chunks are `Vec<T>`; closures are `Fn`, so hidden mutable state does not compile.

use crate::{
    error::{Error, Result},
    operator::{Context, ExchangeFormat, NodeId, Operator, PerChunk, Rows, Spread},
    plan::{Factory, Layout, Node, Operation, Place, Role, Topology},
    record::{Chunk, Data, StampedRows, Value},
    source::StorageLevel,
    state::StoreSpec,
};
use std::{
    collections::BTreeMap,
    marker::PhantomData,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Collects the operations of a program.
#[derive(Clone, Default)]
pub struct StreamBuilder {
    plan: Arc<Mutex<Topology>>,
    pub(super) levels: Arc<Mutex<BTreeMap<NodeId, StorageLevel>>>,
    /// The topics that are read as text.
    pub(super) texts: Arc<Mutex<BTreeMap<String, NodeId>>>,
    started: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    /// The application id: the prefix of the names of internal topics.
    application: Arc<str>,
}

impl StreamBuilder {
    /// A builder for the program of this application.
    #[must_use]
    pub fn of(application_id: &str) -> Self {
        StreamBuilder { application: application_id.into(), ..StreamBuilder::default() }
    }

    pub(super) fn application(&self) -> &str {
        &self.application
    }

    /// The topology built so far.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.plan().clone()
    }

    /// Marks the program as running: from now on nothing can be added to it.
    pub fn start(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Marks the program as stopped, perhaps before it ever ran.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// An operation of the user's program, at its place.
    pub(super) fn operation(&self, at: impl Into<Place>) -> Operation {
        self.plan().operation(at)
    }

    pub(crate) fn plan(&self) -> MutexGuard<'_, Topology> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Panics
    /// If the program is already running, or was stopped.
    pub(super) fn add<T>(&self, node: Node) -> DStream<T> {
        let after = if self.stopped.load(Ordering::Relaxed) { "stopping" } else { "starting" };
        assert!(
            after == "starting" && !self.is_started(),
            "{}: Adding new inputs, transformations, and output operations after {after} a context is not supported",
            node.operation.place
        );
        let node = self.plan().add(node);
        DStream { builder: self.clone(), node, rows: PhantomData }
    }
}

/// A stream of `T`. Cheap to clone; every method borrows, so one stream may feed any number of others and is
/// computed once.
///
/// ```
/// use tidegate::{DStream, Text, testing::outputs};
/// let known = |lines: DStream<Text>| {
///     let words = lines.flat_map(|line| line.split(' ')); // computed once, read twice
///     words.filter(|word| word.len() > 2).union(&words.map(|word| word.to_uppercase().into()))
/// };
/// assert_eq!(outputs([["to be", "not"]], known)?, [["BE", "NOT", "TO", "not"]]);
/// # Ok::<(), tidegate::Error>(())
/// ```
pub struct DStream<T> {
    pub(super) builder: StreamBuilder,
    pub(super) node: NodeId,
    pub(super) rows: PhantomData<fn() -> T>,
}

impl<T> Clone for DStream<T> {
    fn clone(&self) -> Self {
        DStream { builder: self.builder.clone(), node: self.node, rows: PhantomData }
    }
}

/// The factory of a stateless operator: one closure over chunks.
pub(super) fn per_chunk(step: impl Fn(Chunk, &mut Context<'_>) -> Result + Send + Sync + 'static) -> Factory {
    let step = Arc::new(step);
    Arc::new(move |_| {
        let step = step.clone();
        let step = move |chunk: Chunk, cx: &mut Context<'_>| step(chunk, cx);
        Box::new(PerChunk(step)) as Box<dyn Operator>
    })
}

/// As [`per_chunk`], for steps over one row, which append what they make of it (there is room for `room` rows at first): it keeps the row's timestamp.
pub(super) fn per_row<T: Data, U: Data>(
    room: usize,
    step: impl Fn(T, &mut Vec<U>) + Send + Sync + 'static,
) -> Factory {
    per_chunk(move |chunk, cx| {
        let (rows, stamps) = chunk.take_stamped::<Vec<T>>();
        let mut made = StampedRows::with_capacity(rows.len() * room);
        let runs = stamps.runs(rows.len());
        let mut rows = rows.into_iter();
        for run in runs {
            made.append(run.ms, |out| rows.by_ref().take(run.rows).for_each(|row| step(row, out)));
        }
        cx.out.chunk(made.into_chunk());
        Ok(())
    })
}

/// As [`per_chunk`], for steps that make one row of each: the rows keep their timestamps.
pub(super) fn one_to_one<T: Data, U: Data>(
    step: impl Fn(Vec<T>) -> Result<Vec<U>> + Send + Sync + 'static,
) -> Factory {
    per_chunk(move |chunk, cx| {
        let (rows, stamps) = chunk.take_stamped();
        let rows = step(rows)?;
        cx.out.chunk(Chunk::rows(rows).stamped(stamps));
        Ok(())
    })
}

/// The factory of a filter.
fn kept_if<T: Data>(keep: impl Fn(&T) -> bool + Send + Sync + 'static) -> Factory {
    per_chunk(move |chunk, cx| {
        let (mut rows, stamps) = chunk.take_stamped::<Vec<T>>();
        let (mut index, mut dropped) = (0, vec![]);
        rows.retain(|row| {
            let keeps = keep(row);
            if !keeps {
                dropped.push(index);
            }
            index += 1;
            keeps
        });
        cx.out.chunk(Chunk::rows(rows).stamped(stamps.without(&dropped)));
        Ok(())
    })
}

/// A step that changes nothing.
pub(super) fn pass_on() -> Role {
    Role::Operator(per_chunk(|chunk, cx| {
        cx.out.chunk(chunk);
        Ok(())
    }))
}

impl<T: Data> DStream<T> {
    pub(crate) fn layout(&self) -> Layout {
        self.builder.plan().node(self.node).layout
    }

    /// An operation on this stream, where the user called the method that asks.
    #[track_caller]
    pub(crate) fn here(&self) -> Operation {
        self.builder.operation(Location::caller())
    }

    pub(crate) fn path(&self) -> String {
        self.builder.plan().node(self.node).path.clone()
    }

    pub(crate) fn then<U>(
        &self,
        kind: &'static str,
        op: &Operation,
        layout: Layout,
        role: Role,
    ) -> DStream<U> {
        self.builder.add(Node::new(op, kind, self.path(), role).reading([self.node]).laid(layout))
    }

    /// Adds the step of an operation that appears in durable names: whatever follows is named after it. `path` is its
    /// name unless the user gives one. Its rows are placed like those of this stream.
    pub(crate) fn operation<U>(
        &self,
        kind: &'static str,
        op: &Operation,
        factory: Factory,
        stores: impl FnOnce(&str) -> Vec<StoreSpec>,
    ) -> DStream<U> {
        let path = format!("{}.{kind}", self.path());
        let stores = stores(&path);
        let node = Node::new(op, kind, path, Role::Operator(factory)).reading([self.node]);
        self.builder.add(node.laid(self.layout()).keeping(stores))
    }

    /// Adds an operation that is nothing but an exchange.
    pub(crate) fn placed(
        &self,
        kind: &'static str,
        op: &Operation,
        layout: Layout,
        factory: Factory,
        format: Arc<dyn ExchangeFormat>,
    ) -> DStream<T> {
        let (path, role) = (format!("{}.{kind}", self.path()), Role::Exchange(factory, format));
        self.builder.add(Node::new(op, kind, path, role).reading([self.node]).laid(layout))
    }

    /// Maps each row to one row. Pairs lose their partitioning by key; [`map_values`](DStream::map_values) keeps
    /// it.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let doubled = outputs([[1, 2]], |numbers: DStream<i32>| numbers.map(|n| n * 2))?;
    /// assert_eq!(doubled, [[2, 4]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn map<U: Data>(&self, f: impl Fn(T) -> U + Send + Sync + 'static) -> DStream<U> {
        let role = Role::Operator(one_to_one(move |rows: Vec<T>| Ok(rows.into_iter().map(&f).collect())));
        self.then("map", &self.here(), Layout::Any, role)
    }

    /// Maps each row to one row or an error; on an error, the source record behind the row is handled by the
    /// source's bad-record policy.
    ///
    /// ```
    /// use tidegate::{BadRecordPolicy, SourceOptions, StreamingContext, Text, codec::Utf8, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let lines = SourceOptions::topic("lines").on_bad_record(BadRecordPolicy::DeadLetter);
    ///     ssc.source::<Text>(lines, Utf8).try_map(|line| line.parse::<i64>()).print();
    /// });
    /// let written = driver.batch("lines 0 | - | 7\nlines 0 | - | seven\n")?;
    /// assert!(written.rows().any(|row| row == "console | 7"));
    /// assert!(written.rows().any(|row| row.starts_with("app-dlq | - | seven | "))); // with the reason
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn try_map<U: Data, E: std::fmt::Display>(
        &self,
        f: impl Fn(T) -> Result<U, E> + Send + Sync + 'static,
    ) -> DStream<U> {
        let step = move |rows: Vec<T>| {
            let row = |row| f(row).map_err(|e| Error::Row(e.to_string()));
            rows.into_iter().map(row).collect()
        };
        self.then("try_map", &self.here(), Layout::Any, Role::Operator(one_to_one(step)))
    }

    /// Maps each row to any number of rows.
    ///
    /// ```
    /// use tidegate::{DStream, Text, testing::outputs};
    /// let words = outputs([["to be", "or not"]], |lines: DStream<Text>| lines.flat_map(|line| line.split(' ')))?;
    /// assert_eq!(words, [["be", "not", "or", "to"]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<U: Data, I: IntoIterator<Item = U>>(
        &self,
        f: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> DStream<U> {
        let step = per_row(4, move |row, out: &mut Vec<U>| out.extend(f(row)));
        self.then("flat_map", &self.here(), Layout::Any, Role::Operator(step))
    }

    /// Keeps only the rows for which `f` holds.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let even = outputs([[1, 2, 3, 4]], |numbers: DStream<i32>| numbers.filter(|n| n % 2 == 0))?;
    /// assert_eq!(even, [[2, 4]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn filter(&self, f: impl Fn(&T) -> bool + Send + Sync + 'static) -> DStream<T> {
        self.then("filter", &self.here(), self.layout(), Role::Operator(kept_if(f)))
    }

    /// Keeps the rows for which `f` returns `Some`: `map` and `filter` in one.
    ///
    /// ```
    /// use tidegate::{DStream, Text, testing::outputs};
    /// let numbers = outputs([["7", "x"]], |lines: DStream<Text>| lines.filter_map(|line| line.parse::<i64>().ok()))?;
    /// assert_eq!(numbers, [[7]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<U: Data>(&self, f: impl Fn(T) -> Option<U> + Send + Sync + 'static) -> DStream<U> {
        let step = per_row(0, move |row, out: &mut Vec<U>| {
            if let Some(made) = f(row) {
                out.push(made);
            }
        });
        self.then("filter_map", &self.here(), Layout::Any, Role::Operator(step))
    }

    /// Pairs each row with a key.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let by_parity = outputs([[1, 2, 3]], |numbers: DStream<i32>| numbers.key_by(|n| n % 2))?;
    /// assert_eq!(by_parity, [[(0, 2), (1, 1), (1, 3)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn key_by<K: Data>(&self, f: impl Fn(&T) -> K + Send + Sync + 'static) -> DStream<(K, T)> {
        let role = Role::Operator(one_to_one(move |rows: Vec<T>| {
            Ok(rows.into_iter().map(|row| (f(&row), row)).collect())
        }));
        self.then("key_by", &self.here(), Layout::Any, role)
    }

    /// The rows of both streams. Rows of one source partition keep their order.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let both = outputs_of_two([[1, 2]], [[2, 3]], |a: DStream<i32>, b: DStream<i32>| a.union(&b))?;
    /// assert_eq!(both, [[1, 2, 2, 3]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn union(&self, other: &DStream<T>) -> DStream<T>
    where
        T: Value,
    {
        self.union_all([other])
    }

    /// The rows of this stream and of all the others; see [`union`](DStream::union).
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let (eu, us, asia) = (ssc.text("eu"), ssc.text("us"), ssc.text("asia"));
    ///     eu.union_all([&us, &asia]).print();
    /// });
    /// let written = driver.batch("eu 0 | - | Oslo\nus 0 | - | Reno\nasia 0 | - | Osaka\n")?;
    /// assert_eq!(written.to_string(), "console | Osaka\nconsole | Oslo\nconsole | Reno\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn union_all<'s>(&self, others: impl IntoIterator<Item = &'s DStream<T>>) -> DStream<T>
    where
        T: Value,
    {
        let op = self.here();
        let streams: Vec<DStream<T>> =
            std::iter::once(self.clone()).chain(others.into_iter().cloned()).collect();
        if streams.len() > 255 {
            self.builder.plan().mistakes.push(format!("{}: a union of more than 255 streams", op.place));
            return self.clone();
        }
        let path = streams.iter().map(Self::path).collect::<Vec<_>>().join("+");
        let streams = self.same_stage(streams, &op);
        let keyed = streams.iter().all(|stream| stream.layout().is_keyed());
        let layout = if keyed { self.layout() } else { Layout::Any };
        let inputs = streams.iter().map(|stream| stream.node);
        let rows: Arc<dyn ExchangeFormat> = Arc::new(Rows::<T>::default());
        let node = Node::new(&op, "union", path, pass_on()).reading(inputs).laid(layout);
        self.builder.add(node.in_formats(vec![rows; streams.len()]))
    }

    /// Gives the last operation a name that survives changes of the program: its state, its exchange and everything
    /// derived from them are known by that name. Call it immediately, before other operations read the stream.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let counts = |ssc: &StreamingContext, topic: &str| {
    ///     let words = ssc.text(topic).map(|word| (word, 1u64));
    ///     words.running_reduce_by_key(|a, b| a + b).named("counts").print();
    /// };
    /// let mut driver = Driver::new(|ssc: &StreamingContext| counts(ssc, "words"));
    /// assert_eq!(driver.batch("words 0 | - | tide\n")?.to_string(), "console | (tide,1)\n");
    /// driver.restart_as(|ssc| counts(ssc, "terms")); // another source, the same state
    /// assert_eq!(driver.batch("terms 0 | - | tide\n")?.to_string(), "console | (tide,2)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let mut plan = self.builder.plan();
        let node = &mut plan.nodes[self.node.0];
        let before = std::mem::replace(&mut node.path, name.to_owned());
        for store in &mut node.stores {
            let part = store.name.strip_prefix(&before).unwrap_or_default();
            store.name = format!("{name}{part}");
        }
        drop(plan);
        self
    }

    /// Streams of different stages can be united only behind an exchange; rows without a key are spread.
    fn same_stage(&self, streams: Vec<DStream<T>>, op: &Operation) -> Vec<DStream<T>>
    where
        T: Value,
    {
        let stages: Vec<u32> = {
            let plan = self.builder.plan();
            streams.iter().map(|stream| plan.stage_after(stream.node)).collect()
        };
        if stages.iter().all(|stage| *stage == 0) {
            return streams;
        }
        let meet = |(stream, stage): (DStream<T>, u32)| if stage == 0 { stream.spread(op) } else { stream };
        streams.into_iter().zip(stages).map(meet).collect()
    }

    pub(super) fn spread(&self, op: &Operation) -> DStream<T>
    where
        T: Value,
    {
        let factory: Factory = Arc::new(|_| Box::new(Spread));
        self.then("spread", op, Layout::Any, Role::Exchange(factory, Arc::new(Rows::<T>::default())))
    }
}
