//! Operations on whole batches and whole partitions of a batch.
//!
//! Owns the choice of which of them need all rows in one place, and documents what that costs. Knows no store.
//! Invariant: a global result is built from partial results wherever the operation allows it.

use super::DStream;
use crate::{
    operator::{
        CountRows, EmitSchedule, GatherExchange, Operator, ReduceRows, Rows, SinglePartition, SpreadOver,
        Total, TwoBatches, WholeBatch,
    },
    plan::{Factory, Layout, Node, Operation, Role},
    record::{BatchTime, Data, Key, Partition, Value},
};
use std::sync::Arc;

impl<T: Data> DStream<T> {
    /// Spark's `mapPartitions`: `f` gets all rows of one partition in a batch (behind a window: in a slide), and is
    /// called even when there are none. A partition is a partition of the input topic or, behind an exchange, a
    /// state partition. All rows of a partition are held in memory together.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let greatest = |numbers: DStream<i32>| numbers.map_partitions(|rows| rows.into_iter().max());
    /// assert_eq!(outputs([vec![3, 7, 5], vec![], vec![2]], greatest)?, [vec![7], vec![], vec![2]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn map_partitions<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        f: impl Fn(Vec<T>) -> I + Send + Sync + 'static,
    ) -> DStream<U> {
        self.each_task("map_partitions", &self.here(), move |rows, _, _| f(rows))
    }

    /// Like [`map_partitions`](DStream::map_partitions), but also passes the batch time: the part of
    /// [`transform`](DStream::transform) that needs no exchange.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let stamped =
    ///     |numbers: DStream<i32>| numbers.transform_partitions(|rows, time| rows.into_iter().map(move |n| (time.0, n)));
    /// assert_eq!(outputs([[5], [6]], stamped)?, [[(1_000, 5)], [(2_000, 6)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn transform_partitions<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        f: impl Fn(Vec<T>, BatchTime) -> I + Send + Sync + 'static,
    ) -> DStream<U> {
        self.each_task("transform_partitions", &self.here(), move |rows, time, _| f(rows, time))
    }

    /// Like [`map_partitions`](DStream::map_partitions), but also passes the number of the partition.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let numbered =
    ///     |numbers: DStream<i32>| numbers.map_partitions_with_index(|at, rows| rows.into_iter().map(move |n| (at.0, n)));
    /// assert_eq!(outputs([[5, 6]], numbered)?, [[(0, 5), (0, 6)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn map_partitions_with_index<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        f: impl Fn(Partition, Vec<T>) -> I + Send + Sync + 'static,
    ) -> DStream<U> {
        self.each_task("map_partitions_with_index", &self.here(), move |rows, _, partition| {
            f(partition, rows)
        })
    }

    /// The rows of each partition in a batch as one row, even when there are none.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// assert_eq!(outputs([vec![3, 1], vec![]], |numbers: DStream<i32>| numbers.glom())?, [[vec![3, 1]], [vec![]]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn glom(&self) -> DStream<Vec<T>> {
        self.each_task("glom", &self.here(), |rows, _, _| [rows])
    }

    fn each_task<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        kind: &'static str,
        op: &Operation,
        f: impl Fn(Vec<T>, BatchTime, Partition) -> I + Send + Sync + 'static,
    ) -> DStream<U> {
        let (f, emit_schedule) = (Arc::new(f), self.emit_schedule());
        let factory: Factory =
            Arc::new(move |_| Box::new(WholeBatch::of_each_task(f.clone(), emit_schedule)));
        self.then(kind, op, Layout::Any, Role::Operator(factory))
    }

    /// Spreads the rows over `n` state partitions, to get more tasks for a topic with few partitions, or fewer. `n`
    /// is a hint: at most as many partitions are used as there are state partitions. The order of the rows is lost.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let spread = outputs([[1, 2, 3, 4]], |numbers: DStream<i32>| numbers.repartition(2).glom().map(|rows| rows.len()))?;
    /// assert_eq!(spread[0].iter().sum::<usize>(), 4);
    /// assert!(spread[0].len() > 1); // more than the one partition they came from
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn repartition(&self, n: u32) -> DStream<T>
    where
        T: Value,
    {
        let op = self.here();
        if n == 0 {
            self.mistake(format!("{}: `repartition` into 0 partitions", op.place));
        }
        let factory: Factory = Arc::new(move |_| Box::new(SpreadOver::<T>::new(n)));
        self.placed("repartition", &op, Layout::Any, factory, Arc::new(Rows::<T>::default()))
    }

    /// The number of rows of each batch (behind a window: of each slide), as one row per batch: 0 if there are no
    /// rows. Each task counts its own rows first.
    ///
    /// ```
    /// use tidegate::{DStream, Text, testing::outputs};
    /// let counts = outputs([vec!["a", "b"], vec![]], |lines: DStream<Text>| lines.count())?;
    /// assert_eq!(counts, [[2], [0]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn count(&self) -> DStream<u64> {
        let op = self.here();
        let home = SinglePartition::of(&format!("{}.count", self.path()));
        let partial: Factory = Arc::new(|_| Box::new(CountRows::default()));
        let partial: DStream<u64> = self.then("count", &op, Layout::Any, Role::Operator(partial));
        let gathered = partial.gather(home.clone(), &op);
        let emit_schedule = self.emit_schedule();
        let factory: Factory = Arc::new(move |_| Box::new(Total::new(home.clone(), emit_schedule)));
        gathered.operation("count", &op, factory, |_| vec![])
    }

    /// Reduces all rows of each batch to one; a batch without rows yields nothing. `f` must be associative; each
    /// task reduces its own rows first.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let greatest = outputs([vec![3, 7, 5], vec![]], |numbers: DStream<i32>| numbers.reduce(Ord::max))?;
    /// assert_eq!(greatest, [vec![7], vec![]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn reduce(&self, f: impl Fn(T, T) -> T + Send + Sync + 'static) -> DStream<T>
    where
        T: Value,
    {
        let (op, f) = (self.here(), Arc::new(f));
        let home = SinglePartition::of(&format!("{}.reduce", self.path()));
        let factory: Factory = Arc::new(move |_| Box::new(ReduceRows::<T, _>::new(f.clone())));
        let partial: DStream<T> = self.then("reduce", &op, Layout::Any, Role::Operator(factory.clone()));
        partial.gather(home, &op).operation("reduce", &op, factory, |_| vec![])
    }

    /// How many times each row occurs in each batch.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let counts = outputs([vec!['a', 'b', 'a'], vec!['a']], |letters: DStream<char>| letters.count_by_value())?;
    /// assert_eq!(counts, [vec![('a', 2), ('b', 1)], vec![('a', 1)]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_value(&self) -> DStream<(T, u64)>
    where
        T: Key,
    {
        let op = self.here();
        let step = |rows: Vec<T>| Ok(rows.into_iter().map(|row| (row, 1u64)).collect());
        let ones: DStream<(T, u64)> =
            self.then("map", &op, Layout::Any, Role::Operator(super::stream::one_to_one(step)));
        ones.reduce_values("count_by_value", &op, Arc::new(|a, b| a + b))
    }

    /// An arbitrary function over all rows of a batch (behind a window: of a slide) and its time; it is called for
    /// a batch without rows too. Spark's `transform` gets the batch as a distributed collection; here **all rows of
    /// the batch go to one task**, so this is meant for small batches, and for work that needs all rows at once:
    /// sorting, the top rows, a join with a table of your own. The relative order of rows from different partitions
    /// is undefined. Where the rows of one partition are enough,
    /// [`transform_partitions`](DStream::transform_partitions) runs in parallel and needs no exchange.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs};
    /// let greatest_two = |numbers: DStream<i32>| {
    ///     numbers.transform(|mut rows, _time| {
    ///         rows.sort_unstable_by(|a, b| b.cmp(a));
    ///         rows.into_iter().take(2)
    ///     })
    /// };
    /// assert_eq!(outputs([vec![5, 9, 7], vec![3]], greatest_two)?, [vec![7, 9], vec![3]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn transform<U: Data, I: IntoIterator<Item = U> + 'static>(
        &self,
        f: impl Fn(Vec<T>, BatchTime) -> I + Send + Sync + 'static,
    ) -> DStream<U>
    where
        T: Value,
    {
        let (op, emit_schedule) = (self.here(), self.emit_schedule());
        let f = Arc::new(move |rows, time, _| f(rows, time));
        let home = SinglePartition::of(&format!("{}.transform", self.path()));
        let gathered = self.gather(home.clone(), &op);
        let factory: Factory =
            Arc::new(move |_| Box::new(WholeBatch::at(home.clone(), f.clone(), emit_schedule)));
        gathered.operation("transform", &op, factory, |_| vec![])
    }

    /// Like [`transform`](DStream::transform), over the rows of two streams in a batch, at the same cost.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let valid = |orders: DStream<u32>, stopped: DStream<u32>| {
    ///     orders.transform_with(&stopped, |mut orders, stopped, _time| {
    ///         orders.retain(|order| !stopped.contains(order));
    ///         orders
    ///     })
    /// };
    /// assert_eq!(outputs_of_two([[1u32, 2, 3]], [[2u32]], valid)?, [[1, 3]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn transform_with<U: Value, W: Data, I: IntoIterator<Item = W> + 'static>(
        &self,
        other: &DStream<U>,
        f: impl Fn(Vec<T>, Vec<U>, BatchTime) -> I + Send + Sync + 'static,
    ) -> DStream<W>
    where
        T: Value,
    {
        let (op, f, emit_schedule) = (self.here(), Arc::new(f), self.emit_schedule());
        let path = format!("{}*{}.transform_with", self.path(), other.path());
        let home = SinglePartition::of(&path);
        let inputs = [self.gather(home.clone(), &op).node, other.gather(home.clone(), &op).node];
        let factory: Factory = Arc::new(move |_| {
            Box::new(TwoBatches::<T, U, _>::new(home.clone(), f.clone(), emit_schedule)) as Box<dyn Operator>
        });
        self.builder.add(Node::new(&op, "transform_with", path, Role::Operator(factory)).reading(inputs))
    }

    /// When operators built on this stream act if there are no rows.
    pub(crate) fn emit_schedule(&self) -> EmitSchedule {
        EmitSchedule::of(self.builder.plan().slide_of(self.node))
    }

    pub(crate) fn gather(&self, home: SinglePartition, op: &Operation) -> DStream<T>
    where
        T: Value,
    {
        let factory: Factory = Arc::new(move |_| Box::new(GatherExchange(home.clone())));
        self.then("gather", op, Layout::Any, Role::Exchange(factory, Arc::new(Rows::<T>::default())))
    }
}
