//! The first rows of each partition, behind the exchange.
//!
//! Owns the way from stored rows to changed ones. Knows no text. Invariants: what leaves at the end of a batch is the difference between
//! the first rows of each touched partition after it and before it; where rows are only added, no more than the first ones are kept. Of
//! windows that close, the first rows leave once, or with each batch that changes them, and the state goes with the window.

use super::{
    pending::Pending,
    plan::TopNPlan,
    ranks::{Passes, Ranked, Ranker, differences, push_rows},
};
use crate::{
    error::Result,
    operator::{Context, Gives, Operator, Port},
    record::Chunk,
    sql::{
        Delta, Payload,
        op::{
            exchange::{batch, stamped},
            weights::{added, negative, put_weight, weight_of},
            window::{Closing, DELETED_PER_BATCH, WindowMarks, ends_ms, time_bytes, time_of},
        },
    },
    state::{Handle, RowIndex, View},
};
use arrow::array::{ArrayRef, Int64Array};
use std::sync::Arc;

/// Partitions whose changes leave in one chunk.
const PARTITIONS_PER_CHUNK: usize = 512;
/// Rows of closed windows that leave in one chunk, more or less.
const ROWS_PER_CHUNK: usize = 4_096;

/// Lets the first rows of each partition pass.
pub struct TopN {
    plan: Arc<TopNPlan>,
    rows: Handle<RowIndex>,
    /// If the first column of partitions is the end of a window that closes.
    closing: Option<Closing>,
    pending: Pending,
    ending: Option<Ending>,
}

/// While the batch ends.
struct Ending {
    /// The touched partitions that have not been looked at yet, the last one first, each with the timestamp of what leaves.
    partitions: Vec<(Vec<u8>, i64)>,
    marks: Option<WindowMarks>,
    /// Stored rows from this key on are still to be taken.
    from: Option<Vec<u8>>,
}

impl TopN {
    /// Keeps rows in the store `rows`, until windows close if there are any.
    #[must_use]
    pub fn new(plan: Arc<TopNPlan>, rows: Handle<RowIndex>, closing: Option<Closing>) -> Self {
        TopN { plan, rows, closing, pending: Pending::default(), ending: None }
    }

    fn is_final(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.gives() == Gives::Finals)
    }

    /// Writes what the batch has changed.
    fn write(&self, store: &mut RowIndex) -> Result {
        store.touch(self.pending.rows().map(|(key, _)| key))?;
        let number = store.formats().present();
        let mut value = vec![];
        for (key, change) in self.pending.rows() {
            let weight = added(weight_of(store.old(key)).map_err(store.failed())?, change)?;
            match weight {
                ..=-1 => return Err(negative()),
                0 => store.delete(key),
                _ => {
                    value.clear();
                    put_weight(number, weight, &mut value);
                    store.put(key, &value);
                }
            }
        }
        Ok(())
    }

    /// The rows of these partitions that pass. Of rows that do not, the keys go into `beyond`, if that is wanted.
    fn first(
        &self,
        store: &RowIndex,
        view: View,
        partitions: &[&[u8]],
        mut beyond: Option<&mut Vec<Vec<u8>>>,
    ) -> Result<Vec<Vec<Ranked>>> {
        let mut first = vec![vec![]; partitions.len()];
        let (mut ranker, mut at) = (Ranker::new(&self.plan)?, None);
        store.visit_prefixes(view, partitions, &mut |index, key, value| {
            if at != Some(index) {
                ranker.begin();
                at = Some(index);
            }
            match ranker.next(key, partitions[index].len(), weight_of(Some(value))?)? {
                Passes::Yes(ranked) => push_rows(&mut first[index], ranked, &self.plan),
                Passes::NotYet => {}
                Passes::NoMore => {
                    let Some(beyond) = &mut beyond else { return Ok(false) };
                    beyond.push(key.to_vec());
                }
            }
            Ok(true)
        })?;
        Ok(first)
    }

    /// Some of the touched partitions: what leaves of them, if anything does before they close.
    fn touched(&self, store: &mut RowIndex, partitions: &[(Vec<u8>, i64)]) -> Result<Option<Chunk>> {
        let keys: Vec<&[u8]> = partitions.iter().map(|(key, _)| &key[..]).collect();
        let mut beyond = self.plan.is_append_only.then(Vec::new);
        if self.is_final() && beyond.is_none() {
            return Ok(None);
        }
        let new = self.first(store, View::Staged, &keys, beyond.as_mut())?;
        for key in beyond.into_iter().flatten() {
            store.delete(&key);
        }
        if self.is_final() {
            return Ok(None);
        }
        let old = self.first(store, View::Committed, &keys, None)?;
        let (mut changes, mut stamps) = (vec![], vec![]);
        for ((old, new), (_, newest_ms)) in old.iter().zip(&new).zip(partitions) {
            differences(old, new, &mut changes);
            stamps.resize(changes.len(), *newest_ms);
        }
        self.chunk(&changes, &stamps)
    }

    /// These rows; `None` if there are none.
    fn chunk(&self, rows: &[(&Ranked, i64)], stamps: &[i64]) -> Result<Option<Chunk>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let mut columns = self.plan.columns(rows.iter().map(|(row, _)| &row.key[..]))?;
        if self.plan.ranking.shows_rank {
            let ranks = rows.iter().map(|(row, _)| row.rank);
            columns.push(Arc::new(Int64Array::from_iter_values(ranks)) as ArrayRef);
        }
        // Rows of closed windows are only added.
        let weights =
            (!self.is_final()).then(|| rows.iter().map(|(_, weight)| *weight).collect::<Int64Array>());
        let delta = Delta { rows: batch(&self.plan.output, columns, rows.len())?, weights };
        Ok(Some(stamped(delta, stamps)))
    }

    /// A part of the rows of windows that have closed; returns where the next part begins.
    fn closed(&self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let store = cx.stores.open(self.rows);
        let to = time_bytes(watermark.saturating_add(1));
        if !self.is_final() {
            return store.delete_range(from, &to, DELETED_PER_BATCH);
        }
        let (mut rows, mut stamps, mut next): (Vec<Ranked>, _, _) = (vec![], vec![], None);
        let (mut ranker, mut partition) = (Ranker::new(&self.plan)?, vec![]);
        store.visit_range(from, &to, &mut |key, value| {
            let (_, shared) = self.plan.partition_of(key)?;
            if partition != key[..shared] {
                if rows.len() >= ROWS_PER_CHUNK {
                    next = Some(key.to_vec());
                    return Ok(false);
                }
                partition.clear();
                partition.extend_from_slice(&key[..shared]);
                ranker.begin();
            }
            if let Passes::Yes(ranked) = ranker.next(key, shared, weight_of(Some(value))?)? {
                push_rows(&mut rows, ranked, &self.plan);
            }
            stamps.resize(rows.len(), time_of(key).saturating_sub(1));
            Ok(true)
        })?;
        store.delete_range(from, next.as_deref().unwrap_or(&to), usize::MAX)?;
        let (mut all, mut stamps_of_all) = (vec![], vec![]);
        for (row, stamp_ms) in rows.iter().zip(&stamps) {
            let times = usize::try_from(row.count).unwrap_or_default();
            all.extend(std::iter::repeat_n((row, 1), times));
            stamps_of_all.resize(all.len(), *stamp_ms);
        }
        if let Some(chunk) = self.chunk(&all, &stamps_of_all)? {
            cx.out.chunk(chunk);
        }
        Ok(next)
    }

    fn begin_end(&mut self, cx: &mut Context<'_>) -> Result<Ending> {
        self.write(cx.stores.open(self.rows))?;
        let mut partitions = self.pending.partitions();
        partitions.reverse();
        self.pending.clear();
        let Some(closing) = &mut self.closing else {
            return Ok(Ending { partitions, marks: None, from: None });
        };
        let marks = closing.advance(cx)?;
        let from = (marks.time.get() > marks.deleted_to_ms)
            .then(|| marks.deleted_to_ms.map_or(vec![], |ms| time_bytes(ms.saturating_add(1)).to_vec()));
        Ok(Ending { partitions, marks: Some(marks), from })
    }

    fn go_on(&self, ending: &mut Ending, cx: &mut Context<'_>) -> Result {
        if !ending.partitions.is_empty() {
            let left = ending.partitions.len().saturating_sub(PARTITIONS_PER_CHUNK);
            let mut some = ending.partitions.split_off(left);
            some.reverse();
            if let Some(chunk) = self.touched(cx.stores.open(self.rows), &some)? {
                cx.out.chunk(chunk);
            }
        } else if let (Some(from), Some(marks)) = (ending.from.take(), &mut ending.marks)
            && let Some(watermark) = marks.time.get()
        {
            match self.closed(&from, watermark, cx)? {
                Some(next) if self.is_final() => ending.from = Some(next),
                // Nothing leaves, so the rest can go with later batches.
                Some(next) => marks.deleted_to_ms = Some(time_of(&next).saturating_sub(1)),
                None => marks.deleted_to_ms = Some(watermark),
            }
        }
        Ok(())
    }
}

impl Operator for TopN {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, mut stamps) = input.take_stamped::<Payload>();
        let mut delta = match payload {
            Payload::Rows(delta) => delta,
            Payload::Marks(marks) => {
                self.closing.iter_mut().for_each(|closing| closing.heard(marks.clone()));
                return Ok(());
            }
        };
        let mut ends = None;
        if let Some(closing) = &mut self.closing {
            let column = self.plan.ranking.partition.first().copied().unwrap_or_default();
            let all = ends_ms(delta.rows.column(column))?;
            (delta, stamps) = closing.in_time(delta, stamps, &all, cx)?;
            ends = Some(ends_ms(delta.rows.column(column))?);
        }
        let mut stamps = stamps.each();
        self.plan.each_key(&delta.rows, ends.as_ref(), |row, key, shared| {
            self.pending.add(key, shared, delta.weight(row), stamps.next_ms())
        })?;
        if self.plan.is_append_only { self.pending.prune(&self.plan) } else { Ok(()) }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut ending = match self.ending.take() {
            Some(ending) => ending,
            None => self.begin_end(cx)?,
        };
        self.go_on(&mut ending, cx)?;
        if !ending.partitions.is_empty() || ending.from.is_some() {
            self.ending = Some(ending);
            return Ok(());
        }
        match (&mut self.closing, ending.marks) {
            (Some(closing), Some(marks)) => closing.done(marks, cx),
            _ => Ok(()),
        }
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.pending.memory_bytes()
    }
}
