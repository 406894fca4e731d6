//! What has one result for a whole batch: all rows, or a partial result of each task, come to one state partition.
//!
//! Knows no log and no key. Invariants: empty between batches; the partition is chosen by the operation's name, so that several
//! global operations do not meet on one; only there a batch without rows has a result.

use super::{Context, EmitSchedule, Operator, Port};
use crate::{
    error::Result,
    record::{BatchTime, Chunk, Data, Partition, StampedRows, partition_of},
};
use std::{marker::PhantomData, sync::Arc};

/// The state partition of a global operation.
#[derive(Clone)]
pub struct SinglePartition(Arc<str>);

impl SinglePartition {
    /// Of the operation of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        SinglePartition(name.into())
    }

    /// Which of so many it is.
    #[must_use]
    pub fn among(&self, partitions: u32) -> Partition {
        partition_of(self.0.as_bytes(), partitions)
    }

    /// Whether this task is it.
    #[must_use]
    pub fn is_here(&self, cx: &Context<'_>) -> bool {
        self.among(cx.out.partitions) == cx.out.partition
    }
}

/// An exchange that brings all rows to one state partition.
pub struct GatherExchange(pub SinglePartition);

impl Operator for GatherExchange {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        cx.out.to_partition(self.0.among(cx.out.partitions), input);
        Ok(())
    }
}

/// An exchange that spreads the rows of each task over the first state partitions in turn.
pub struct SpreadOver<T> {
    partitions: u32,
    next: u32,
    rows: PhantomData<fn() -> T>,
}

impl<T> SpreadOver<T> {
    /// Over `partitions`, or all of them if that is more.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        SpreadOver { partitions: partitions.max(1), next: 0, rows: PhantomData }
    }
}

impl<T: Data> Operator for SpreadOver<T> {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let over = self.partitions.min(cx.out.partitions);
        let (rows, stamps) = input.take_stamped::<Vec<T>>();
        let share = rows.len().div_ceil(over as usize);
        let (mut rows, mut stamps) = (rows.into_iter(), stamps.each());
        while rows.len() > 0 {
            let to = Partition((cx.out.partition.0 + self.next) % over);
            let part: StampedRows<T> = rows.by_ref().take(share).map(|row| (row, stamps.next_ms())).collect();
            cx.out.to_partition(to, part.into_chunk());
            self.next = (self.next + 1) % over;
        }
        Ok(())
    }

    fn end_batch(&mut self, _: &mut Context<'_>) -> Result {
        self.next = 0; // a replay places rows as the first time
        Ok(())
    }
}

/// Reduces the rows that come to one task; nothing for a batch without rows. Stands before and behind the exchange.
pub struct ReduceRows<T, F> {
    reduce: Arc<F>,
    held: Option<T>,
}

impl<T, F> ReduceRows<T, F> {
    /// Reduces with `reduce`.
    #[must_use]
    pub fn new(reduce: Arc<F>) -> Self {
        ReduceRows { reduce, held: None }
    }
}

impl<T: Data, F: Fn(T, T) -> T + Send + Sync> Operator for ReduceRows<T, F> {
    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let rows = self.held.take().into_iter().chain(input.take::<Vec<T>>());
        self.held = rows.reduce(&*self.reduce);
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        cx.out.rows::<T>(self.held.take().into_iter().collect());
        Ok(())
    }
}

/// Counts the rows of one task, whatever they are.
#[derive(Default)]
pub struct CountRows(u64);

impl Operator for CountRows {
    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.0 += input.len() as u64;
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let count = std::mem::take(&mut self.0);
        cx.out.rows(if count == 0 { vec![] } else { vec![count] });
        Ok(())
    }
}

/// Adds the counts of all tasks; one row per batch, or per slide of a window, also when it is 0.
pub struct Total {
    home: SinglePartition,
    emit_schedule: EmitSchedule,
    sum: u64,
}

impl Total {
    /// At `home`.
    #[must_use]
    pub fn new(home: SinglePartition, emit_schedule: EmitSchedule) -> Self {
        Total { home, emit_schedule, sum: 0 }
    }
}

impl Operator for Total {
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.sum += input.view::<Vec<u64>>().iter().sum::<u64>();
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let sum = std::mem::take(&mut self.sum);
        if self.emit_schedule.is_due(sum > 0, cx.batch.time) && self.home.is_here(cx) {
            cx.out.rows(vec![sum]);
        }
        Ok(())
    }
}

/// A function over all rows that one task has in a batch, also when there are none; with a home, only of the task there.
pub struct WholeBatch<T, F> {
    f: Arc<F>,
    home: Option<SinglePartition>,
    emit_schedule: EmitSchedule,
    rows: Vec<T>,
    bytes: usize,
}

impl<T, F> WholeBatch<T, F> {
    /// Of each task.
    #[must_use]
    pub fn of_each_task(f: Arc<F>, emit_schedule: EmitSchedule) -> Self {
        WholeBatch { f, home: None, emit_schedule, rows: vec![], bytes: 0 }
    }

    /// Of the task at `home`.
    #[must_use]
    pub fn at(home: SinglePartition, f: Arc<F>, emit_schedule: EmitSchedule) -> Self {
        WholeBatch { f, home: Some(home), emit_schedule, rows: vec![], bytes: 0 }
    }
}

impl<T: Data, U: Data, I, F> Operator for WholeBatch<T, F>
where
    I: IntoIterator<Item = U>,
    F: Fn(Vec<T>, BatchTime, Partition) -> I + Send + Sync,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        self.bytes += input.held_bytes::<T>();
        append(&mut self.rows, input.take());
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let is_due = self.emit_schedule.is_due(!rows.is_empty(), cx.batch.time);
        if is_due && self.home.as_ref().is_none_or(|home| home.is_here(cx)) {
            let made = (self.f)(rows, cx.batch.time, cx.out.partition).into_iter().collect();
            cx.out.rows::<U>(made);
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.bytes
    }
}

/// A function over all rows of a batch of two streams, also when there are none.
pub struct TwoBatches<T, U, F> {
    f: Arc<F>,
    home: SinglePartition,
    emit_schedule: EmitSchedule,
    left: Vec<T>,
    right: Vec<U>,
    bytes: usize,
}

impl<T, U, F> TwoBatches<T, U, F> {
    /// At `home`. The stream itself is port 0, the other one port 1.
    #[must_use]
    pub fn new(home: SinglePartition, f: Arc<F>, emit_schedule: EmitSchedule) -> Self {
        TwoBatches { f, home, emit_schedule, left: vec![], right: vec![], bytes: 0 }
    }
}

impl<T: Data, U: Data, W: Data, I, F> Operator for TwoBatches<T, U, F>
where
    I: IntoIterator<Item = W>,
    F: Fn(Vec<T>, Vec<U>, BatchTime) -> I + Send + Sync,
{
    fn sees_batches(&self) -> bool {
        true
    }

    fn process(&mut self, port: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        if port == Port(0) {
            self.bytes += input.held_bytes::<T>();
            append(&mut self.left, input.take());
        } else {
            self.bytes += input.held_bytes::<U>();
            append(&mut self.right, input.take());
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let (left, right) = (std::mem::take(&mut self.left), std::mem::take(&mut self.right));
        self.bytes = 0;
        let has_rows = !left.is_empty() || !right.is_empty();
        if self.emit_schedule.is_due(has_rows, cx.batch.time) && self.home.is_here(cx) {
            let made = (self.f)(left, right, cx.batch.time).into_iter().collect();
            cx.out.rows::<W>(made);
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.bytes
    }
}

fn append<T>(rows: &mut Vec<T>, more: Vec<T>) {
    if rows.is_empty() {
        *rows = more;
    } else {
        rows.extend(more);
    }
}
