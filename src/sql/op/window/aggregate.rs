//! Aggregation of windows over event time, behind the exchange: a group is in one window, and its state goes when the window has closed.
//!
//! Owns what is late, what leaves and what is deleted. Knows no function. Invariants: the first key is the end of the window, so the states
//! of a window lie together; a window that can still take a row is never deleted, and one that no longer can is not stored by the batch
//! that closes it; a row leaves for each group when its window closes, or for each batch that changes it, and is never taken back because
//! its window has closed; the mark of event time that goes on comes behind the rows.

use super::{WindowEnds, WindowMarks, report::MarksOut, time::WindowTime};
use crate::{
    error::{Error, Result},
    operator::{Context, Gives, Operator, Port},
    record::{Chunk, Stamps},
    sql::{
        Delta, Payload,
        op::{
            Aggregate, Aggregation, Takes,
            aggregate::stored_states,
            exchange::{batch, failed, stamped},
            values::{Values, group_prefix},
        },
    },
    state::{Handle, RowIndex, RowTable, Table, View},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array},
    compute::{take, take_record_batch},
    datatypes::{Int64Type, SchemaRef, TimestampMillisecondType},
};
use std::{ops::Range, sync::Arc};

/// How many closed groups a batch deletes whose rows have left before.
const DELETED_PER_BATCH: usize = 8_192;

/// Where the operator finds its state.
#[derive(Clone, Copy)]
pub struct WindowStores {
    state: Handle<RowTable>,
    values: Option<Handle<RowIndex>>,
    marks: Handle<Table<u8, WindowMarks>>,
}

impl WindowStores {
    /// Those of the aggregation at these places, with that of the marks behind them.
    #[must_use]
    pub fn at(places: &[usize]) -> Self {
        WindowStores {
            state: Handle::at(places[0]),
            values: (places.len() > 2).then(|| Handle::at(places[1])),
            marks: Handle::at(places[places.len() - 1]),
        }
    }
}

/// The half of a windowed aggregation behind the exchange: one row for each group, of its keys and the value of each call.
pub struct WindowAggregate {
    inner: Aggregate,
    gives: Gives,
    time: WindowTime,
    marks_out: MarksOut,
    ending: Option<Ending>,
}

/// While the batch ends.
struct Ending {
    marks: WindowMarks,
    /// The first touched group that has not left yet.
    place: usize,
    /// Stored groups from this key on are still to be taken.
    from: Option<Vec<u8>>,
}

impl WindowAggregate {
    /// Keeps what it has of `aggregation` in the stores, and sends rows of the columns `output`: those of the keys, then one for each call. The first key is the end of the window, in milliseconds. It takes what
    /// [`PartialAggregate`](crate::sql::op::PartialAggregate) makes; if the aggregation needs values it takes rows.
    ///
    /// # Errors
    /// None that the aggregation has not told when it was made, and if values are needed and there is no store for them.
    pub fn new(
        aggregation: Arc<Aggregation>,
        gives: Gives,
        ends: WindowEnds,
        stores: WindowStores,
        output: SchemaRef,
    ) -> Result<Self> {
        let takes = if aggregation.needs_values() { Takes::Rows } else { Takes::Partials };
        let inner = Aggregate::new(aggregation, takes, stores.state, stores.values, output)?;
        let time = WindowTime::new(ends, stores.marks);
        Ok(WindowAggregate { inner, gives, time, marks_out: MarksOut::default(), ending: None })
    }

    /// Says how far it is to windows behind it, under its durable name.
    #[must_use]
    pub fn sending_marks(mut self, name: Arc<str>) -> Self {
        self.marks_out = MarksOut::named(name);
        self
    }

    /// Rows without those of windows that were closed when the batch began.
    fn in_time(&mut self, delta: Delta, stamps: Stamps, cx: &mut Context<'_>) -> Result<(Delta, Stamps)> {
        let first_key = match self.inner.takes {
            Takes::Rows => self.inner.aggregation.first_key().unwrap_or_default(),
            Takes::Partials => 0,
        };
        let ends = ends_of(delta.rows.column(first_key))?;
        let watermark = self.time.before(cx)?.time.get();
        let is_late = |end: &i64| watermark.is_some_and(|watermark| *end <= watermark);
        let late: Vec<usize> = (0..ends.len()).filter(|row| is_late(&ends.value(*row))).collect();
        ends.values()
            .iter()
            .filter(|end| !is_late(end))
            .max()
            .into_iter()
            .for_each(|end| self.time.saw(*end));
        if late.is_empty() {
            return Ok((delta, stamps));
        }
        let partial = delta.rows.columns().get(self.inner.aggregation.key_format().columns().len());
        let partial = partial.filter(|_| self.inner.takes == Takes::Partials);
        let partial = partial.map(AsArray::as_primitive::<Int64Type>);
        for row in &late {
            let weight = partial.map_or_else(|| delta.weight(*row), |weights| weights.value(*row));
            cx.counters.late += usize::try_from(weight.unsigned_abs()).unwrap_or(usize::MAX);
        }
        let kept: UInt32Array =
            (0u32..).zip(ends.values()).filter(|(_, end)| !is_late(end)).map(|(row, _)| row).collect();
        let rows = take_record_batch(&delta.rows, &kept).map_err(|e| failed(&e))?;
        let weights = delta.weights.as_ref().map(|weights| take(weights, &kept, None)).transpose();
        let weights = weights.map_err(|e| failed(&e))?.map(|weights| weights.as_primitive().clone());
        Ok((Delta { rows, weights }, stamps.without(&late)))
    }

    /// Advances event time, writes the states of windows that are open then, and says what is still to be done.
    fn begin_end(&mut self, cx: &mut Context<'_>) -> Result<Ending> {
        let marks = self.time.advance(cx)?;
        let watermark = marks.time.get();
        let is_open = |key: &[u8]| watermark.is_none_or(|watermark| end_of(key) > watermark);
        self.inner.end_values(cx)?;
        self.inner.stage(cx.stores.open(self.inner.state), is_open)?;
        let from = (watermark > marks.deleted_to_ms).then(|| marks.deleted_to_ms.map_or(vec![], after));
        Ok(Ending { marks, place: 0, from })
    }

    /// What leaves of some of the touched groups.
    fn touched(
        &self,
        table: &RowTable,
        values: Option<&RowIndex>,
        places: Range<usize>,
        watermark: Option<i64>,
    ) -> Result<Option<Chunk>> {
        if self.gives == Gives::Updates {
            return self.inner.changes(table, values, places);
        }
        let Some(watermark) = watermark else { return Ok(None) };
        let leaves = |place: &usize| self.inner.has_row(*place) && end_of(table.key(*place)) <= watermark;
        let first = places.start;
        let leaving: Vec<usize> = places.clone().filter(leaves).collect();
        if leaving.is_empty() {
            return Ok(None);
        }
        let rows: UInt32Array =
            leaving.iter().map(|place| u32::try_from(place - first).unwrap_or(u32::MAX)).collect();
        let taken = |column: &ArrayRef| take(column, &rows, None).map_err(|e| failed(&e));
        let mut columns = self.inner.groups.values(&places)?.iter().map(taken).collect::<Result<Vec<_>>>()?;
        let keys = || leaving.iter().map(|place| table.key(*place));
        self.inner.fill(values, View::Staged, keys(), &mut columns)?;
        self.closed(keys(), columns).map(Some)
    }

    /// Rows of closed groups: their keys, and the values of the calls.
    fn closed<'k>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
        values: Vec<ArrayRef>,
    ) -> Result<Chunk> {
        let rows = keys.len();
        let mut decoder = self.inner.aggregation.key_format().decoder(rows)?;
        let mut times_ms = Vec::with_capacity(rows);
        for key in keys {
            decoder.push(key)?;
            times_ms.push(end_of(key) - 1);
        }
        let mut columns = decoder.finish()?;
        columns.extend(values);
        Ok(stamped(Delta::added(batch(&self.inner.output, columns, rows)?), &times_ms))
    }

    /// Takes a part of the closed groups that this batch has not touched; returns where the next part begins.
    fn take_stored(&self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let (table, mut kept) = self.inner.open(cx.stores);
        let mut taken: Vec<(Vec<u8>, Vec<u8>)> = vec![];
        let (gives, to, keeps_values) = (self.gives, after(watermark), kept.is_some());
        let limit = if gives == Gives::Updates { DELETED_PER_BATCH } else { self.inner.pace.groups() };
        let next = table.take_range(from, &to, limit, |key, value| {
            if gives == Gives::Finals || keeps_values {
                taken.push((key.to_vec(), value.to_vec()));
            }
            Ok(())
        })?;
        if gives == Gives::Finals && !taken.is_empty() {
            let mut groups = self.inner.aggregation.groups()?;
            groups.resize(taken.len());
            let stored = |at: usize| Some(&taken[at].1[..]);
            stored_states(&self.inner.aggregation, table, 0..taken.len(), 0, stored, &mut groups)?;
            groups.settle()?;
            let mut columns = groups.values(&(0..taken.len()))?;
            let keys = || taken.iter().map(|(key, _)| &key[..]);
            self.inner.fill(kept.as_deref(), View::Staged, keys(), &mut columns)?;
            let chunk = self.closed(keys(), columns)?;
            cx.out.chunk(chunk);
        }
        if let Some(kept) = &mut kept {
            Values::forget(kept, taken.iter().map(|(key, _)| group_prefix(key)))?;
        }
        Ok(next)
    }

    /// Sends something on; returns what is left to do.
    fn go_on(&self, mut ending: Ending, cx: &mut Context<'_>) -> Result<Ending> {
        let watermark = ending.marks.time.get();
        let groups = self.inner.groups.len();
        if ending.place < groups {
            let places = ending.place..groups.min(ending.place + self.inner.pace.groups());
            ending.place = places.end;
            let (table, mut kept) = self.inner.open(cx.stores);
            let chunk = self.touched(table, kept.as_deref(), places.clone(), watermark)?;
            if let Some(kept) = &mut kept {
                let is_closed = |key: &&[u8]| watermark.is_some_and(|watermark| end_of(key) <= watermark);
                Values::forget(kept, table.keys(places).filter(is_closed).map(group_prefix))?;
            }
            chunk.into_iter().for_each(|chunk| cx.out.chunk(chunk));
        } else if let (Some(from), Some(watermark)) = (ending.from.take(), watermark) {
            let next = self.take_stored(&from, watermark, cx)?;
            match (next, self.gives) {
                (Some(next), Gives::Finals) => ending.from = Some(next),
                // Nothing leaves, so the rest can go with later batches.
                (Some(next), Gives::Updates) => ending.marks.deleted_to_ms = Some(end_of(&next) - 1),
                (None, _) => ending.marks.deleted_to_ms = Some(watermark),
            }
        }
        Ok(ending)
    }

    fn is_done(&self, ending: &Ending) -> bool {
        ending.place >= self.inner.groups.len() && ending.from.is_none()
    }
}

/// The times of the first key.
fn ends_of(column: &ArrayRef) -> Result<Int64Array> {
    let times = column.as_primitive_opt::<TimestampMillisecondType>().filter(|times| times.null_count() == 0);
    let wrong = || Error::Codec("the end of a window is no time in milliseconds".into());
    Ok(times.ok_or_else(wrong)?.reinterpret_cast())
}

/// The end of the window of a group, from its encoded keys: 1 (there is a value), then eight bytes whose order is that of times.
fn end_of(key: &[u8]) -> i64 {
    let bytes = key.get(1..9).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).unwrap_or_default();
    i64::from_be_bytes(bytes) ^ i64::MIN
}

/// The first key of windows that end after a time.
fn after(end_ms: i64) -> Vec<u8> {
    let next = end_ms.saturating_add(1) ^ i64::MIN;
    [&[1][..], &next.to_be_bytes()].concat()
}

impl Operator for WindowAggregate {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        match payload {
            Payload::Marks(marks) => {
                self.time.heard(marks);
                Ok(())
            }
            Payload::Rows(delta) => {
                let (delta, stamps) = self.in_time(delta, stamps, cx)?;
                if delta.rows.num_rows() == 0 {
                    return Ok(());
                }
                self.inner.take(&delta, &stamps, cx.stores.open(self.inner.state))
            }
        }
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let ending = match self.ending.take() {
            Some(ending) => ending,
            None => self.begin_end(cx)?,
        };
        let ending = self.go_on(ending, cx)?;
        if !self.is_done(&ending) {
            self.ending = Some(ending);
            return Ok(());
        }
        self.inner.clear();
        self.marks_out.report(&ending.marks, cx);
        self.time.end(ending.marks, cx)
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.inner.held_bytes()
    }
}
