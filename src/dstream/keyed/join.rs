//! Joins and groups of streams by key, within each batch.
//!
//! Knows no store. Invariant: a side that is partitioned by key already is not exchanged again.

use super::NoCombine;
use crate::{
    dstream::DStream,
    operator::{CoGroup, CoGroup3, ExchangeFormat, Pairs, WithStamps, pair_up},
    plan::{Factory, Node, Operation, Role},
    record::{Data, Key, StampedRows, Stamps, Value},
};
use std::sync::Arc;

/// Appends the rows made from all values of a key on both sides.
type Rows<K, V, W, U> = fn(K, WithStamps<V>, WithStamps<W>, &mut StampedRows<(K, U)>);

impl<K: Data, V: Data> DStream<(K, V)> {
    /// The inner join of two streams within each batch, as in Spark: every pair of values with the same key.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let paid = |orders: DStream<(u32, char)>, payments: DStream<(u32, i32)>| orders.join(&payments);
    /// let written = outputs_of_two([[(1u32, 'a'), (2, 'b')]], [[(1u32, 30), (1, 20)]], paid)?;
    /// assert_eq!(written, [[(1, ('a', 20)), (1, ('a', 30))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn join<W: Value>(&self, other: &DStream<(K, W)>) -> DStream<(K, (V, W))>
    where
        K: Key,
        V: Value,
    {
        self.meet("join", other, pair_up, &self.here())
    }

    /// The left outer join within each batch: a value without a match is paired with `None`.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let paid = |orders: DStream<(u32, char)>, payments: DStream<(u32, i32)>| orders.left_outer_join(&payments);
    /// let written = outputs_of_two([[(1u32, 'a'), (2, 'b')]], [[(1u32, 30), (3, 20)]], paid)?;
    /// assert_eq!(written, [[(1, ('a', Some(30))), (2, ('b', None))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn left_outer_join<W: Value>(&self, other: &DStream<(K, W)>) -> DStream<(K, (V, Option<W>))>
    where
        K: Key,
        V: Value,
    {
        let rows: Rows<K, V, W, (V, Option<W>)> =
            |key, left, right, made| pair_up(key, left, or_none(right), made);
        self.meet("left_outer_join", other, rows, &self.here())
    }

    /// The right outer join within each batch: a value of `other` without a match is paired with `None`.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let paid = |orders: DStream<(u32, char)>, payments: DStream<(u32, i32)>| orders.right_outer_join(&payments);
    /// let written = outputs_of_two([[(1u32, 'a'), (2, 'b')]], [[(1u32, 30), (3, 20)]], paid)?;
    /// assert_eq!(written, [[(1, (Some('a'), 30)), (3, (None, 20))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn right_outer_join<W: Value>(&self, other: &DStream<(K, W)>) -> DStream<(K, (Option<V>, W))>
    where
        K: Key,
        V: Value,
    {
        let rows: Rows<K, V, W, (Option<V>, W)> =
            |key, left, right, made| pair_up(key, or_none(left), right, made);
        self.meet("right_outer_join", other, rows, &self.here())
    }

    /// The full outer join within each batch: a value without a match on the other side is paired with `None`.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let paid = |orders: DStream<(u32, char)>, payments: DStream<(u32, i32)>| orders.full_outer_join(&payments);
    /// let written = outputs_of_two([[(1u32, 'a'), (2, 'b')]], [[(1u32, 30), (3, 20)]], paid)?;
    /// assert_eq!(written, [[(1, (Some('a'), Some(30))), (2, (Some('b'), None)), (3, (None, Some(20)))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn full_outer_join<W: Value>(&self, other: &DStream<(K, W)>) -> DStream<(K, (Option<V>, Option<W>))>
    where
        K: Key,
        V: Value,
    {
        let rows: Rows<K, V, W, (Option<V>, Option<W>)> =
            |key, left, right, made| pair_up(key, or_none(left), or_none(right), made);
        self.meet("full_outer_join", other, rows, &self.here())
    }

    /// All values of each key on both sides within each batch.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let both = |views: DStream<(char, u32)>, clicks: DStream<(char, u32)>| views.cogroup(&clicks);
    /// let written = outputs_of_two([[('a', 1u32), ('a', 2)]], [[('a', 3u32), ('b', 4)]], both)?;
    /// assert_eq!(written, [[('a', (vec![1, 2], vec![3])), ('b', (vec![], vec![4]))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup<W: Value>(&self, other: &DStream<(K, W)>) -> DStream<(K, (Vec<V>, Vec<W>))>
    where
        K: Key,
        V: Value,
    {
        let rows: Rows<K, V, W, (Vec<V>, Vec<W>)> = |key, left, right, made| {
            let greatest = left.iter().map(|(_, ms)| *ms).chain(right.iter().map(|(_, ms)| *ms)).max();
            let values =
                (left.into_iter().map(|(v, _)| v).collect(), right.into_iter().map(|(w, _)| w).collect());
            made.push((key, values), greatest.unwrap_or(Stamps::NONE));
        };
        self.meet("cogroup", other, rows, &self.here())
    }

    /// All values of each key in three streams within each batch.
    ///
    /// ```
    /// use tidegate::{DStream, testing::outputs_of_two};
    /// let all = |views: DStream<(char, u32)>, clicks: DStream<(char, u32)>| {
    ///     views.cogroup3(&clicks, &views.map_values(|n| n * 10).named("tenfold"))
    /// };
    /// let written = outputs_of_two([[('a', 1u32)]], [[('a', 3u32), ('b', 4)]], all)?;
    /// assert_eq!(written, [[('a', (vec![1], vec![3], vec![10])), ('b', (vec![], vec![4], vec![]))]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup3<W: Value, X: Value>(
        &self,
        second: &DStream<(K, W)>,
        third: &DStream<(K, X)>,
    ) -> DStream<(K, (Vec<V>, Vec<W>, Vec<X>))>
    where
        K: Key,
        V: Value,
    {
        let op = self.here();
        let path = format!("{}*{}*{}.cogroup3", self.path(), second.path(), third.path());
        let first = self.by_key::<NoCombine<V>>(&op, None);
        let second = second.by_key::<NoCombine<W>>(&op, None);
        let third = third.by_key::<NoCombine<X>>(&op, None);
        let factory: Factory = Arc::new(|_| Box::new(CoGroup3::<K, V, W, X>::default()));
        let node = Node::new(&op, "cogroup3", path, Role::Operator(factory));
        let node = node.reading([first.node, second.node, third.node]).laid(first.layout());
        let formats = [pairs::<K, V>(), pairs::<K, W>(), pairs::<K, X>()];
        self.builder.add(node.in_formats(formats))
    }

    fn meet<W: Value, U: Data>(
        &self,
        kind: &'static str,
        other: &DStream<(K, W)>,
        rows: Rows<K, V, W, U>,
        op: &Operation,
    ) -> DStream<(K, U)>
    where
        K: Key,
        V: Value,
    {
        let path = format!("{}*{}.{kind}", self.path(), other.path());
        let (left, right) = (self.by_key::<NoCombine<V>>(op, None), other.by_key::<NoCombine<W>>(op, None));
        let factory: Factory = Arc::new(move |_| Box::new(CoGroup::<K, V, W, U, _>::new(rows)));
        let node = Node::new(op, kind, path, Role::Operator(factory));
        let node = node.reading([left.node, right.node]).laid(left.layout());
        self.builder.add(node.in_formats([pairs::<K, V>(), pairs::<K, W>()]))
    }
}

fn pairs<K: Key, V: Value>() -> Arc<dyn ExchangeFormat> {
    Arc::new(Pairs::<K, V>::default())
}

/// The values, or a single `None` if there are none.
fn or_none<T>(values: WithStamps<T>) -> WithStamps<Option<T>> {
    if values.is_empty() {
        return vec![(None, Stamps::NONE)];
    }
    values.into_iter().map(|(value, ms)| (Some(value), ms)).collect()
}
