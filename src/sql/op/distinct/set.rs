//! `INTERSECT`, `EXCEPT`, and both with `ALL`, behind the exchange.
//!
//! Owns how often each side has a row. Knows no text. Invariants: a row is read once and written once per batch; what leaves is the
//! difference between how often it is in the answer after the batch and before it; of windows that close it leaves once, or with each
//! batch that changes it, and its state goes with the window.

use crate::{
    error::{Error, Result},
    operator::{Context, Gives, Operator, Port},
    record::{Chunk, Stamps},
    sql::{
        Delta, Payload,
        op::{
            exchange::{batch, stamped},
            weights::{added, negative},
            window::{Closing, DELETED_PER_BATCH, WindowMarks, ends_ms, time_bytes, time_of},
        },
        rows::{ColumnId, KeyFormat, RowColumn, RowFormat, quoted, type_name},
    },
    state::{Handle, RowTable, StoreSpec},
};
use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::{DataType, Int64Type, SchemaRef},
};
use std::{ops::Range, sync::Arc};

/// Rows whose changes leave in one chunk.
const ROWS_PER_CHUNK: usize = 4_096;

/// Which rows are in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// Those that both sides have, once.
    Intersect,
    /// Each as often as the side has it that has it less often.
    IntersectAll,
    /// Those that the first side has and the second has not, once.
    Except,
    /// Each as often as the first side has it more often than the second.
    ExceptAll,
}

impl SetKind {
    /// Its words in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SetKind::Intersect => "INTERSECT",
            SetKind::IntersectAll => "INTERSECT ALL",
            SetKind::Except => "EXCEPT",
            SetKind::ExceptAll => "EXCEPT ALL",
        }
    }

    /// Whether the answer only grows if both sides do.
    #[must_use]
    pub fn grows(self) -> bool {
        matches!(self, SetKind::Intersect | SetKind::IntersectAll)
    }

    /// Whether a row is in the answer at most once.
    #[must_use]
    pub fn is_distinct(self) -> bool {
        matches!(self, SetKind::Intersect | SetKind::Except)
    }

    /// How often a row is in the answer.
    fn count(self, [first, second]: [i64; 2]) -> i64 {
        match self {
            SetKind::Intersect => i64::from(first > 0 && second > 0),
            SetKind::IntersectAll => first.min(second),
            SetKind::Except => i64::from(first > 0 && second == 0),
            SetKind::ExceptAll => (first - second).max(0),
        }
    }
}

/// A set operation over rows of some columns.
#[derive(Clone, Debug)]
pub struct SetPlan {
    kind: SetKind,
    output: SchemaRef,
    /// The columns of the key; the end of the window comes first if windows close.
    key_columns: Vec<usize>,
    key: KeyFormat,
    /// For each column its place in the key.
    at: Vec<usize>,
    weights: RowFormat,
    /// Whether rows are only added to the answer.
    is_append_only: bool,
}

impl SetPlan {
    /// Over rows of `output`, whose key has these columns: all of them, in the order in which they are sent by key. `is_append_only` =
    /// rows are only added to the answer.
    ///
    /// # Errors
    /// [`Error::Plan`] if a column cannot be part of a key.
    pub fn new(
        kind: SetKind,
        key_columns: Vec<usize>,
        output: SchemaRef,
        is_append_only: bool,
    ) -> Result<Self> {
        let key = KeyFormat::new(key_columns.iter().map(|at| output.field(*at).data_type()))?;
        let at = |column| key_columns.iter().position(|other| *other == column);
        let lost = || Error::Plan("a column has no place in the key of a set operation".into());
        let at =
            (0..output.fields().len()).map(|column| at(column).ok_or_else(lost)).collect::<Result<_>>()?;
        let weight = |(id, name): (u32, &str)| RowColumn {
            id: ColumnId(id),
            name: name.into(),
            data_type: DataType::Int64,
        };
        let weights = RowFormat::new([(1, "first"), (2, "second")].map(weight))?;
        Ok(SetPlan { kind, output, key_columns, key, at, weights, is_append_only })
    }

    /// The store of its rows.
    #[must_use]
    pub fn store(&self, name: &str) -> StoreSpec {
        let column = |at: &usize| {
            let field = self.output.field(*at);
            format!("{} {}", quoted(field.name()), type_name(field.data_type()).unwrap_or_default())
        };
        let columns: Vec<String> = self.key_columns.iter().map(column).collect();
        RowTable::spec(name, &format!("key({}) -> {}", columns.join(", "), self.weights))
    }

    /// The columns of these keys.
    fn columns<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Result<Vec<ArrayRef>> {
        let mut decoder = self.key.decoder(keys.len())?;
        for key in keys {
            decoder.push(key)?;
        }
        let columns = decoder.finish()?;
        Ok(self.at.iter().map(|at| columns[*at].clone()).collect())
    }

    /// How often each side has the rows of these values.
    fn stored<'v>(
        &self,
        table: &RowTable,
        values: impl ExactSizeIterator<Item = Option<&'v [u8]>>,
    ) -> Result<Vec<[i64; 2]>> {
        let mut decoder = self.weights.decoder(table.formats().present(), values.len())?;
        let mut found = vec![];
        for value in values {
            if let Some(value) = value {
                decoder.push(value).map_err(table.failed())?;
            }
            found.push(value.is_some());
        }
        let columns = decoder.finish().map_err(table.failed())?;
        let (mut row, sides) = (0, [0, 1].map(|side| columns[side].as_primitive::<Int64Type>()));
        let next = |is_there: bool| {
            if !is_there {
                return [0, 0];
            }
            row += 1;
            sides.map(|side| side.value(row - 1))
        };
        Ok(found.into_iter().map(next).collect())
    }
}

/// The rows of two relations that are in the answer.
pub struct SetOperation {
    plan: Arc<SetPlan>,
    rows: Handle<RowTable>,
    closing: Option<Closing>,
    /// For each touched row: how often each side got it, and the greatest timestamp.
    changes: Vec<([i64; 2], i64)>,
    ending: Option<Ending>,
    places: Vec<u32>,
}

/// While the batch ends.
struct Ending {
    /// The first touched row that has not been looked at yet, and behind the last one.
    touched: Range<usize>,
    marks: Option<WindowMarks>,
    /// Stored rows from this key on are still to be taken.
    from: Option<Vec<u8>>,
}

impl SetOperation {
    /// Keeps rows in the store `rows`, until windows close if there are any. The first side comes in at port 0, the second at port 1.
    #[must_use]
    pub fn new(plan: Arc<SetPlan>, rows: Handle<RowTable>, closing: Option<Closing>) -> Self {
        SetOperation { plan, rows, closing, changes: vec![], ending: None, places: vec![] }
    }

    fn is_final(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.gives() == Gives::Finals)
    }

    fn touch(&mut self, delta: &Delta, table: &mut RowTable) -> Result {
        let columns: Vec<ArrayRef> =
            self.plan.key_columns.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let encoder = self.plan.key.encoder(&columns)?;
        let (mut keys, mut ends) = (vec![], vec![0]);
        for row in 0..delta.rows.num_rows() {
            encoder.encode(row, &mut keys);
            ends.push(keys.len());
        }
        self.places.clear();
        table.touch(ends.windows(2).map(|ends| &keys[ends[0]..ends[1]]), &mut self.places)?;
        self.changes.resize(table.touched(), ([0, 0], Stamps::NONE));
        Ok(())
    }

    /// Writes the weights of the touched rows.
    fn write(&self, table: &mut RowTable) -> Result {
        let touched = self.changes.len();
        let before = self.plan.stored(table, (0..touched).map(|place| table.old(place)))?;
        let mut after: [Vec<i64>; 2] = [vec![], vec![]];
        for (before, (change, _)) in before.iter().zip(&self.changes) {
            for side in 0..2 {
                let weight = added(before[side], change[side])?;
                if weight < 0 {
                    return Err(negative());
                }
                after[side].push(weight);
            }
        }
        let columns: Vec<ArrayRef> =
            after.iter().map(|side| Arc::new(Int64Array::from(side.clone())) as ArrayRef).collect();
        let encoder = self.plan.weights.encoder(table.formats().present(), &columns)?;
        let mut value = vec![];
        for place in 0..touched {
            if after.iter().all(|side| side[place] == 0) {
                table.delete(place);
            } else {
                value.clear();
                encoder.encode(place, &mut value);
                table.put(place, &value);
            }
        }
        Ok(())
    }

    /// What has become of some of the touched rows.
    fn touched(&self, table: &RowTable, places: Range<usize>) -> Result<Option<Chunk>> {
        let before = self.plan.stored(table, places.clone().map(|place| table.old(place)))?;
        let after = self.plan.stored(table, places.clone().map(|place| table.new_value(place)))?;
        let mut changes = vec![];
        for ((before, after), place) in before.iter().zip(&after).zip(places) {
            let change = self.plan.kind.count(*after) - self.plan.kind.count(*before);
            if change != 0 {
                changes.push((table.key(place), change, self.changes[place].1));
            }
        }
        self.chunk(&changes)
    }

    /// These rows, each so often; `None` if there are none.
    fn chunk(&self, rows: &[(&[u8], i64, i64)]) -> Result<Option<Chunk>> {
        let repeats = self.plan.is_append_only;
        let times = |weight: i64| if repeats { usize::try_from(weight).unwrap_or_default() } else { 1 };
        let rows: Vec<&(&[u8], i64, i64)> =
            rows.iter().flat_map(|row| std::iter::repeat_n(row, times(row.1))).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = self.plan.columns(rows.iter().map(|row| row.0))?;
        let weights = (!repeats).then(|| rows.iter().map(|row| row.1).collect::<Int64Array>());
        let stamps: Vec<i64> = rows.iter().map(|row| row.2).collect();
        Ok(Some(stamped(Delta { rows: batch(&self.plan.output, columns, rows.len())?, weights }, &stamps)))
    }

    /// The touched rows of windows that have closed, which are not stored then.
    fn touched_closed(&self, table: &mut RowTable, watermark: i64, cx_out: &mut Vec<Chunk>) -> Result {
        let closed: Vec<usize> =
            (0..self.changes.len()).filter(|place| time_of(&table.key(*place)[1..]) <= watermark).collect();
        if self.is_final() {
            for places in closed.chunks(ROWS_PER_CHUNK) {
                let stored = self.plan.stored(table, places.iter().map(|place| table.new_value(*place)))?;
                let rows: Vec<(&[u8], i64, i64)> = places
                    .iter()
                    .zip(stored)
                    .map(|(place, weights)| (table.key(*place), self.plan.kind.count(weights)))
                    .map(|(key, count)| (key, count, time_of(&key[1..]).saturating_sub(1)))
                    .collect();
                cx_out.extend(self.chunk(&rows)?);
            }
        }
        closed.into_iter().for_each(|place| table.delete(place));
        Ok(())
    }

    /// A part of the stored rows of windows that have closed and were not touched; returns where the next part begins.
    fn stored_closed(&self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let table = cx.stores.open(self.rows);
        let to = key_of(watermark.saturating_add(1));
        let mut taken: Vec<(Vec<u8>, Vec<u8>)> = vec![];
        let limit = if self.is_final() { ROWS_PER_CHUNK } else { DELETED_PER_BATCH };
        let next = table.take_range(from, &to, limit, |key, value| {
            if self.is_final() {
                taken.push((key.to_vec(), value.to_vec()));
            }
            Ok(())
        })?;
        let stored = self.plan.stored(table, taken.iter().map(|(_, value)| Some(&value[..])))?;
        let rows: Vec<(&[u8], i64, i64)> = taken
            .iter()
            .zip(stored)
            .map(|((key, _), weights)| (&key[..], self.plan.kind.count(weights)))
            .map(|(key, count)| (key, count, time_of(&key[1..]).saturating_sub(1)))
            .collect();
        if let Some(chunk) = self.chunk(&rows)? {
            cx.out.chunk(chunk);
        }
        Ok(next)
    }

    fn begin_end(&mut self, cx: &mut Context<'_>) -> Result<Ending> {
        self.write(cx.stores.open(self.rows))?;
        let touched = 0..self.changes.len();
        let Some(closing) = &mut self.closing else { return Ok(Ending { touched, marks: None, from: None }) };
        let marks = closing.advance(cx)?;
        let from = (marks.time.get() > marks.deleted_to_ms)
            .then(|| marks.deleted_to_ms.map_or(vec![], |ms| key_of(ms.saturating_add(1)).to_vec()));
        let touched = if self.is_final() { 0..0 } else { touched };
        Ok(Ending { touched, marks: Some(marks), from })
    }

    fn go_on(&mut self, ending: &mut Ending, cx: &mut Context<'_>) -> Result {
        if !ending.touched.is_empty() {
            let end = ending.touched.end.min(ending.touched.start + ROWS_PER_CHUNK);
            let chunk = self.touched(cx.stores.open(self.rows), ending.touched.start..end)?;
            ending.touched.start = end;
            chunk.into_iter().for_each(|chunk| cx.out.chunk(chunk));
            return Ok(());
        }
        let Some(marks) = &mut ending.marks else { return Ok(()) };
        let (Some(watermark), Some(from)) = (marks.time.get(), ending.from.take()) else { return Ok(()) };
        if !self.changes.is_empty() {
            let mut chunks = vec![];
            self.touched_closed(cx.stores.open(self.rows), watermark, &mut chunks)?;
            chunks.into_iter().for_each(|chunk| cx.out.chunk(chunk));
            self.changes.clear();
        }
        match self.stored_closed(&from, watermark, cx)? {
            Some(next) if self.is_final() => ending.from = Some(next),
            // Nothing leaves, so the rest can go with later batches.
            Some(next) => marks.deleted_to_ms = Some(time_of(&next[1..]).saturating_sub(1)),
            None => marks.deleted_to_ms = Some(watermark),
        }
        Ok(())
    }
}

/// The first key of windows that end at this time: 1 (there is a value), then eight bytes whose order is that of times.
fn key_of(end_ms: i64) -> [u8; 9] {
    let mut key = [1; 9];
    key[1..].copy_from_slice(&time_bytes(end_ms));
    key
}

impl Operator for SetOperation {
    fn process(&mut self, port: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, mut stamps) = input.take_stamped::<Payload>();
        let mut delta = match payload {
            Payload::Rows(delta) => delta,
            Payload::Marks(marks) => {
                self.closing.iter_mut().for_each(|closing| closing.heard(marks.clone()));
                return Ok(());
            }
        };
        if let Some(closing) = &mut self.closing {
            let column = self.plan.key_columns.first().copied().unwrap_or_default();
            let ends = ends_ms(delta.rows.column(column))?;
            (delta, stamps) = closing.in_time(delta, stamps, &ends, cx)?;
        }
        self.touch(&delta, cx.stores.open(self.rows))?;
        let (mut stamps, side) = (stamps.each(), usize::from(port.0).min(1));
        for (row, place) in self.places.iter().enumerate() {
            let (change, newest_ms) = &mut self.changes[*place as usize];
            change[side] = added(change[side], delta.weight(row))?;
            *newest_ms = stamps.next_ms().max(*newest_ms);
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let mut ending = match self.ending.take() {
            Some(ending) => ending,
            None => self.begin_end(cx)?,
        };
        self.go_on(&mut ending, cx)?;
        if !ending.touched.is_empty() || ending.from.is_some() {
            self.ending = Some(ending);
            return Ok(());
        }
        self.changes.clear();
        match (&mut self.closing, ending.marks) {
            (Some(closing), Some(marks)) => closing.done(marks, cx),
            _ => Ok(()),
        }
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        size_of_val(&self.changes[..])
    }
}
