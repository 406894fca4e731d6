//! Functions with `OVER`, behind the exchange.
//!
//! Owns the rows that wait, and what is kept of those that have left. Knows no text. Invariants: a row leaves in the batch in which the
//! watermark passes its time, and those of a partition in the order of their times; a row whose time the watermark had passed before the
//! batch is late; of rows that have left no more is kept than some frame can still see.

use super::{
    compute::Rows,
    partition::PartitionRows,
    plan::{OverFunction, OverPlan},
};
use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{Chunk, varint::put_varint},
    sql::{
        Delta, Payload,
        agg::GroupStates,
        op::{
            exchange::{batch, failed, stamped},
            weights::{added, put_weight, weight_of},
            window::{Closing, WindowMarks, time_bytes, time_of, times_ms},
        },
        rows::KeyTable,
    },
    state::{Handle, RowIndex, RowTable, View},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    compute::concat,
    datatypes::{Int64Type, TimestampMicrosecondType, TimestampMillisecondType},
};
use std::sync::Arc;

/// Rows that leave in one chunk, more or less.
const ROWS_PER_CHUNK: usize = 4_096;

/// Gives rows the values of calls.
pub struct Over {
    plan: Arc<OverPlan>,
    state: Handle<RowTable>,
    waiting: Handle<RowIndex>,
    /// Rows that have left, if any are kept.
    kept: Option<Handle<RowIndex>>,
    closing: Closing,
    keys: KeyTable,
    counts: Vec<i64>,
    ending: Option<(WindowMarks, Option<Vec<u8>>)>,
}

impl Over {
    /// Keeps partitions in the store `state`, rows that wait in `waiting`, and rows that have left in `kept`.
    #[must_use]
    pub fn new(
        plan: Arc<OverPlan>,
        state: Handle<RowTable>,
        waiting: Handle<RowIndex>,
        kept: Option<Handle<RowIndex>>,
        closing: Closing,
    ) -> Self {
        let (keys, counts) = (KeyTable::default(), vec![]);
        Over { plan, state, waiting, kept, closing, keys, counts, ending: None }
    }

    /// Writes the rows of the batch to those that wait.
    fn write(&mut self, store: &mut RowIndex) -> Result {
        store.touch(self.keys.iter())?;
        let (number, mut value) = (store.formats().present(), vec![]);
        for (key, count) in self.keys.iter().zip(&self.counts) {
            value.clear();
            put_weight(
                number,
                added(weight_of(store.old(key)).map_err(store.failed())?, *count)?,
                &mut value,
            );
            store.put(key, &value);
        }
        self.keys.clear();
        self.counts.clear();
        Ok(())
    }

    /// A part of the rows that the watermark has passed; returns where the next part begins.
    fn leave(&self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let (to, mut keys, mut next) = (time_bytes(watermark.saturating_add(1)), vec![], None);
        let waiting = cx.stores.open(self.waiting);
        waiting.visit_range(from, &to, &mut |key, value| {
            // Rows of one time leave together.
            let is_new = keys.last().is_none_or(|last: &Vec<u8>| last[..8] != key[..8]);
            if is_new && keys.len() >= ROWS_PER_CHUNK {
                next = Some(key.to_vec());
                return Ok(false);
            }
            let times = usize::try_from(weight_of(Some(value))?).unwrap_or_default();
            keys.extend(std::iter::repeat_n(key.to_vec(), times));
            Ok(true)
        })?;
        waiting.delete_range(from, next.as_deref().unwrap_or(&to), usize::MAX)?;
        if !keys.is_empty() {
            let chunk = self.computed(&keys, watermark, cx)?;
            cx.out.chunk(chunk);
        }
        Ok(next)
    }

    /// These rows with the values of the calls.
    fn computed(&self, keys: &[Vec<u8>], watermark: i64, cx: &mut Context<'_>) -> Result<Chunk> {
        let (table, kept) = match self.kept {
            Some(kept) => {
                let (table, kept) = cx.stores.open2(self.state, kept);
                (table, Some(kept))
            }
            None => (cx.stores.open(self.state), None),
        };
        let new = self.plan.waiting.columns(keys.iter().map(Vec::as_slice))?;
        let (partitions, of_rows) = self.partitions(keys)?;
        let mut places = vec![];
        table.touch(partitions.iter(), &mut places)?;
        let (before, mut states) = self.stored(table, &places)?;
        let mut of: Vec<PartitionRows> = (0..partitions.len())
            .map(|at| {
                let mut prefix = vec![];
                put_varint(&mut prefix, partitions.get(at).len() as u64);
                prefix.extend_from_slice(partitions.get(at));
                let (rows, numbers) = (vec![], vec![]);
                PartitionRows { place: places[at] as usize, prefix, rows, numbers, before: before[at] }
            })
            .collect();
        let old = kept.as_ref().map(|kept| self.read(kept, &mut of)).transpose()?;
        let first_new = old.as_ref().map_or(0, |old| old.first().map_or(0, Array::len));
        for (row, partition) in (first_new..).zip(of_rows) {
            of[partition].rows.push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        let mut columns = vec![];
        for (at, column) in self.plan.kept.iter().enumerate() {
            columns.push(match &old {
                Some(old) => concat(&[&old[at], &new[*column]]).map_err(|e| failed(&e))?,
                None => new[*column].clone(),
            });
        }
        let first_new = u32::try_from(first_new).unwrap_or(u32::MAX);
        let times = raw_times(&columns[0]);
        let rows = Rows { plan: &self.plan, kept: columns, times, new, first_new, partitions: of };
        let mut output = rows.new.clone();
        for (call, states) in self.plan.calls.iter().zip(&mut states) {
            output.push(rows.values(call, states.as_mut())?);
        }
        self.store(table, &rows, &mut states)?;
        if let Some(kept) = kept {
            self.keep(kept, &rows, watermark)?;
        }
        let stamps: Vec<i64> = keys.iter().map(|key| time_of(key).saturating_sub(1)).collect();
        Ok(stamped(Delta::added(batch(&self.plan.output, output, keys.len())?), &stamps))
    }

    /// The partitions of rows that wait, and that of each row.
    fn partitions(&self, keys: &[Vec<u8>]) -> Result<(KeyTable, Vec<usize>)> {
        let (mut partitions, mut of_rows) = (KeyTable::default(), vec![]);
        for key in keys {
            let (start, end) = self.plan.waiting.partition_of(key)?;
            of_rows.push(partitions.insert(&key[start..end]).index);
        }
        Ok((partitions, of_rows))
    }

    /// How many rows and times partitions have had, and the states of calls that have one.
    fn stored(
        &self,
        table: &RowTable,
        places: &[u32],
    ) -> Result<(Vec<[i64; 2]>, Vec<Option<Box<dyn GroupStates>>>)> {
        let mut decoder = self.plan.state.decoder(table.formats().present(), places.len())?;
        let mut found = vec![];
        for (at, place) in (0u32..).zip(places) {
            if let Some(value) = table.new_value(*place as usize) {
                decoder.push(value).map_err(table.failed())?;
                found.push(at);
            }
        }
        let columns = decoder.finish().map_err(table.failed())?;
        let [rows, times] = [0, 1].map(|at| columns[at].as_primitive::<Int64Type>());
        let mut before = vec![[0, 0]; places.len()];
        for (row, at) in found.iter().enumerate() {
            before[*at as usize] = [rows.value(row), times.value(row)];
        }
        let (mut states, mut column) = (vec![], 2);
        for call in &self.plan.calls {
            let OverFunction::Aggregate(aggregate) = &call.function else {
                states.push(None);
                continue;
            };
            if call.frame.preceding.is_some() {
                states.push(None);
                continue;
            }
            let mut groups = aggregate.group_states(&self.plan.input)?;
            let count = groups.columns().len();
            groups.resize(places.len());
            groups.merge(&found, &columns[column..column + count])?;
            column += count;
            states.push(Some(groups));
        }
        Ok((before, states))
    }

    /// Writes what partitions have become.
    fn store(
        &self,
        table: &mut RowTable,
        rows: &Rows<'_>,
        states: &mut [Option<Box<dyn GroupStates>>],
    ) -> Result {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let of = |which: &dyn Fn(&PartitionRows) -> i64| -> ArrayRef {
            Arc::new(rows.partitions.iter().map(which).collect::<Int64Array>())
        };
        let mut columns = vec![
            of(&|partition| partition.before[0] + count(partition.rows.len() - partition.old())),
            of(&|partition| partition.before[1] + count(partition.times(&rows.times).len())),
        ];
        for states in states.iter_mut().flatten() {
            states.settle()?;
            columns.extend(states.states(0..rows.partitions.len())?);
        }
        let encoder = self.plan.state.encoder(table.formats().present(), &columns)?;
        let mut value = vec![];
        for (at, partition) in rows.partitions.iter().enumerate() {
            value.clear();
            encoder.encode(at, &mut value);
            table.put(partition.place, &value);
        }
        Ok(())
    }

    /// The rows of partitions that have left and are kept.
    fn read(&self, kept: &RowIndex, partitions: &mut [PartitionRows]) -> Result<Vec<ArrayRef>> {
        let mut order: Vec<usize> = (0..partitions.len()).collect();
        order.sort_unstable_by(|a, b| partitions[*a].prefix.cmp(&partitions[*b].prefix));
        let prefixes: Vec<Vec<u8>> = order.iter().map(|at| partitions[*at].prefix.clone()).collect();
        let prefixes: Vec<&[u8]> = prefixes.iter().map(Vec::as_slice).collect();
        let mut decoder = self.plan.kept_format.decoder(kept.formats().present(), 0)?;
        let mut row = 0;
        kept.visit_prefixes(View::Staged, &prefixes, &mut |index, key, value| {
            decoder.push(value)?;
            let partition = &mut partitions[order[index]];
            partition.numbers.push(time_of(&key[prefixes[index].len()..]));
            partition.rows.push(row);
            row += 1;
            Ok(true)
        })?;
        decoder.finish().map_err(kept.failed())
    }

    /// Keeps the rows that some frame can still see, and forgets the others.
    fn keep(&self, kept: &mut RowIndex, rows: &Rows<'_>, watermark: i64) -> Result {
        let columns: Vec<ArrayRef> = rows.kept.clone();
        let encoder = self.plan.kept_format.encoder(kept.formats().present(), &columns)?;
        let seen_from =
            self.plan.kept_ms.map(|ms| watermark.saturating_sub(ms).saturating_mul(self.plan.units_a_ms()));
        let (mut key, mut value) = (vec![], vec![]);
        for partition in &rows.partitions {
            let (old, all) = (partition.old(), partition.rows.len());
            for (at, row) in partition.rows.iter().enumerate() {
                let number = match partition.numbers.get(at) {
                    Some(number) => *number,
                    None => partition.before[0] + i64::try_from(at - old).unwrap_or_default(),
                };
                let is_seen = at + self.plan.kept_rows >= all
                    || seen_from.is_some_and(|from| rows.times[*row as usize] >= from)
                    || self.plan.keeps_first && number == 0;
                if is_seen == (at < old) {
                    continue;
                }
                key.clear();
                key.extend_from_slice(&partition.prefix);
                key.extend_from_slice(&time_bytes(number));
                if is_seen {
                    value.clear();
                    encoder.encode(*row as usize, &mut value);
                    kept.put(&key, &value);
                } else {
                    kept.delete(&key);
                }
            }
        }
        Ok(())
    }
}

/// The times of a column, in its unit.
fn raw_times(column: &ArrayRef) -> Vec<i64> {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => times.values().to_vec(),
        None => column.as_primitive::<TimestampMillisecondType>().values().to_vec(),
    }
}

impl Operator for Over {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        let delta = match payload {
            Payload::Rows(delta) => delta,
            Payload::Marks(marks) => {
                self.closing.heard(marks);
                return Ok(());
            }
        };
        // A row at a time waits until the watermark is behind it, as the last row of a window does.
        let ends = |delta: &Delta| -> Result<Int64Array> {
            let times = times_ms(delta.rows.column(self.plan.time))?;
            if times.null_count() > 0 {
                let name = self.plan.input.field(self.plan.time).name();
                return Err(Error::Row(format!(
                    "the event time `{name}` is NULL, so the row has no place in the order"
                )));
            }
            Ok(times.unary(|ms| ms.saturating_add(1)))
        };
        let all = ends(&delta)?;
        let (delta, _) = self.closing.in_time(delta, stamps, &all, cx)?;
        let ends = ends(&delta)?;
        let (keys, counts) = (&mut self.keys, &mut self.counts);
        self.plan.waiting.each_key(&delta.rows, Some(&ends), |_, key, _| {
            let slot = keys.insert(key);
            if slot.is_new {
                counts.push(0);
            }
            counts[slot.index] += 1;
            Ok(())
        })
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let (mut marks, from) = if let Some(ending) = self.ending.take() {
            ending
        } else {
            self.write(cx.stores.open(self.waiting))?;
            let marks = self.closing.advance(cx)?;
            let after = |ms: i64| time_bytes(ms.saturating_add(1)).to_vec();
            let from =
                (marks.time.get() > marks.deleted_to_ms).then(|| marks.deleted_to_ms.map_or(vec![], after));
            (marks, from)
        };
        if let (Some(from), Some(watermark)) = (from, marks.time.get()) {
            if let Some(next) = self.leave(&from, watermark, cx)? {
                self.ending = Some((marks, Some(next)));
                return Ok(());
            }
            marks.deleted_to_ms = Some(watermark);
        }
        self.closing.done(marks, cx)
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        if self.keys.is_empty() { 0 } else { self.keys.memory_bytes() + size_of_val(&self.counts[..]) }
    }
}
