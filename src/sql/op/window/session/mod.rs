//! Aggregation of sessions over event time, behind the exchange: the rows of a group with no gap between them that is as long as a given
//! one.
//!
//! Owns which sessions there are, what leaves and what is deleted. Knows no function. Invariants: rows are taken up when the batch ends,
//! so sessions do not depend on their order in it; a row is late if its session, with those that it joins, was closed when the batch
//! began; a session leaves when the watermark has passed its end, or at each batch that changes it, in the place of those that it was
//! made of; the mark of event time comes behind the rows.

mod keys;
mod merge;

use self::{
    keys::{after, end_format, end_key, end_of, session_format, session_key, start_of},
    merge::{Of, Session, Stretch, merged},
};
use super::{WindowEnds, WindowMarks, report::MarksOut, time::WindowTime, times_ms};
use crate::{
    error::{Error, Result},
    operator::{Context, Gives, Operator, Port},
    record::{Chunk, Stamps},
    sql::{
        Delta, Payload,
        op::{
            Aggregation,
            aggregation::Groups,
            exchange::{batch, failed, stamped},
            values::{GroupPrefixes, Pace, Values, fill, group_prefix},
        },
        rows::{KeyTable, RowFormat},
    },
    state::{Handle, RowIndex, RowTable, StoreSpec, Table, View},
};
use arrow::{
    array::{
        ArrayRef, AsArray, BooleanArray, DynComparator, Int64Array, TimestampMillisecondArray, UInt32Array,
        make_comparator,
    },
    compute::{SortOptions, concat, nullif, take, take_record_batch},
    datatypes::{DataType, Int64Type, SchemaRef},
};
use std::{cmp::Ordering, collections::BTreeMap, ops::Range, sync::Arc};

/// Sessions whose changes leave in one chunk.
const SESSIONS_PER_CHUNK: usize = 4_096;
/// How many closed sessions a batch deletes whose rows have left before.
const DELETED_PER_BATCH: usize = 8_192;

/// A column of what leaves, before the values of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionColumn {
    /// Where the session starts.
    Start,
    /// Where it ends.
    End,
    /// The last time before its end.
    Time,
    /// A column of the group's key, by its position in it.
    Group(usize),
}

/// What sessions are made of.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    /// What is computed of each; its keys are those of the group, without times.
    pub aggregation: Arc<Aggregation>,
    /// The column of the input with the time of each row.
    pub time: usize,
    /// How far that time is behind the time of the row, milliseconds.
    pub shift_ms: i64,
    /// How far apart rows of one session are at most, milliseconds.
    pub gap_ms: i64,
    /// Which rows leave.
    pub gives: Gives,
    /// The columns that leave before the values of the calls.
    pub columns: Vec<SessionColumn>,
    /// All columns that leave.
    pub output: SchemaRef,
}

impl SessionPlan {
    /// How the plan declares the stores.
    ///
    /// # Errors
    /// None that the aggregation has not told when it was made.
    pub fn stores(&self, name: &str) -> Result<Vec<StoreSpec>> {
        keys::stores(&self.aggregation, name)
    }
}

/// Where the operator finds its state.
#[derive(Clone, Copy)]
pub struct SessionStores {
    sessions: Handle<RowIndex>,
    ends: Handle<RowTable>,
    values: Option<Handle<RowIndex>>,
    marks: Handle<Table<u8, WindowMarks>>,
}

impl SessionStores {
    /// Those that [`SessionPlan::stores`] has declared, at these places.
    #[must_use]
    pub fn at(places: &[usize]) -> Self {
        SessionStores {
            sessions: Handle::at(places[0]),
            ends: Handle::at(places[1]),
            values: (places.len() > 3).then(|| Handle::at(places[2])),
            marks: Handle::at(places[places.len() - 1]),
        }
    }
}

/// The half of an aggregation of sessions behind the exchange.
pub struct SessionAggregate {
    plan: Arc<SessionPlan>,
    stores: SessionStores,
    format: RowFormat,
    end_format: RowFormat,
    values: Option<Values>,
    pace: Pace,
    time: WindowTime,
    marks_out: MarksOut,
    /// The rows of the batch.
    held: Vec<(Delta, Stamps)>,
    held_bytes: usize,
    ending: Option<Ending>,
}

/// While the batch ends.
struct Ending {
    marks: WindowMarks,
    changed: Changed,
    /// The first changed session that has not left yet.
    place: usize,
    /// Stored sessions whose ends are from this key on are still to be taken.
    from: Option<Vec<u8>>,
}

/// The sessions that the batch has changed.
struct Changed {
    sessions: Vec<Session>,
    /// The keys of their groups, by number.
    groups: KeyTable,
    states: Groups,
    newest_ms: Vec<i64>,
    stored: Stored,
}

impl Changed {
    /// The key of a session.
    fn key(&self, place: usize) -> Vec<u8> {
        let Session { group, start_ms, .. } = &self.sessions[place];
        session_key(self.groups.get(*group), *start_ms)
    }

    fn is_closed(&self, place: usize, watermark: Option<i64>) -> bool {
        watermark.is_some_and(|watermark| self.sessions[place].end_ms <= watermark)
    }
}

impl GroupPrefixes for Changed {
    fn put(&self, place: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key(place));
    }
}

/// Sessions as they were before the batch.
#[derive(Default)]
struct Stored {
    /// Group, start and end of each.
    spans: Vec<(usize, i64, i64)>,
    /// The columns that are stored of them: end, weight, states.
    columns: Vec<ArrayRef>,
}

impl SessionAggregate {
    /// Makes sessions so.
    ///
    /// # Errors
    /// [`Error::Plan`] if the aggregation needs values and there is no store for them.
    pub fn new(plan: Arc<SessionPlan>, stores: SessionStores) -> Result<Self> {
        let values = match (plan.aggregation.needs_values(), stores.values) {
            (false, _) => None,
            (true, Some(_)) => Some(Values::new()?),
            (true, None) => {
                return Err(Error::Plan(
                    "a call needs values, but nothing keeps them; this is a bug in the plan".into(),
                ));
            }
        };
        let (format, end_format) = (session_format(&plan.aggregation)?, end_format()?);
        let time = WindowTime::new(WindowEnds { step_ms: 1, offset_ms: 0 }, stores.marks);
        let pace = Pace::new(SESSIONS_PER_CHUNK, plan.aggregation.reads_all_values());
        let (marks_out, held, held_bytes, ending) = (MarksOut::default(), vec![], 0, None);
        Ok(SessionAggregate {
            plan,
            stores,
            format,
            end_format,
            values,
            pace,
            time,
            marks_out,
            held,
            held_bytes,
            ending,
        })
    }

    /// Says how far it is to windows behind it, under its durable name.
    #[must_use]
    pub fn sending_marks(mut self, name: Arc<str>) -> Self {
        self.marks_out = MarksOut::named(name);
        self
    }

    /// Makes the sessions of the batch and writes those that are open then.
    fn begin_end(&mut self, cx: &mut Context<'_>) -> Result<Ending> {
        let before = self.time.before(cx)?.time.get();
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let changed = self.changed(&held, before, cx)?;
        let ends = changed.sessions.iter().map(|session| session.end_ms);
        ends.max().into_iter().for_each(|end_ms| self.time.saw(end_ms));
        let marks = self.time.advance(cx)?;
        self.stage(&changed, marks.time.get(), cx)?;
        let watermark = marks.time.get();
        let from = (watermark > marks.deleted_to_ms).then(|| marks.deleted_to_ms.map_or(vec![], after));
        Ok(Ending { marks, changed, place: 0, from })
    }

    /// The sessions that the rows of the batch are part of, with their states.
    fn changed(
        &mut self,
        held: &[(Delta, Stamps)],
        before: Option<i64>,
        cx: &mut Context<'_>,
    ) -> Result<Changed> {
        let plan = self.plan.clone();
        let (mut groups, mut stretches, mut encoded) = (KeyTable::default(), vec![], vec![]);
        for (delta, _) in held {
            let keys = plan.aggregation.key_columns(delta.rows.columns());
            let encoder = plan.aggregation.key_format().encoder(&keys)?;
            for (row, time_ms) in times_ms(delta.rows.column(plan.time))?.values().iter().enumerate() {
                encoded.clear();
                encoder.encode(row, &mut encoded);
                let (group, start_ms) =
                    (groups.insert(&encoded).index, time_ms.saturating_sub(plan.shift_ms));
                let of = Of::Row(stretches.len());
                stretches.push(Stretch { group, start_ms, end_ms: start_ms.saturating_add(plan.gap_ms), of });
            }
        }
        let rows = stretches.len();
        let stored = self.stored(&groups, before, cx)?;
        stretches.extend((0..).zip(&stored.spans).map(|(number, (group, start_ms, end_ms))| Stretch {
            group: *group,
            start_ms: *start_ms,
            end_ms: *end_ms,
            of: Of::Stored(number),
        }));
        // Stored ones were open when the batch began: a session that was closed then has late rows only.
        let (late, sessions): (Vec<Session>, Vec<Session>) = merged(stretches)
            .into_iter()
            .partition(|session| before.is_some_and(|time| session.end_ms <= time));
        cx.counters.late += late.iter().map(|session| session.rows.len()).sum::<usize>();
        let mut of_rows = vec![u32::MAX; rows];
        for (number, session) in (0u32..).zip(&sessions) {
            session.rows.iter().for_each(|row| of_rows[*row] = number);
        }
        let mut states = plan.aggregation.groups()?;
        states.resize(sessions.len());
        let newest_ms = vec![Stamps::NONE; sessions.len()];
        let mut changed = Changed { sessions, groups, states, newest_ms, stored };
        self.join(&mut changed)?;
        self.add(&mut changed, held, &of_rows)?;
        self.end_values(&mut changed, cx)?;
        changed.states.settle()?;
        Ok(changed)
    }

    /// The sessions of groups that were open when the batch began.
    fn stored(&self, groups: &KeyTable, before: Option<i64>, cx: &mut Context<'_>) -> Result<Stored> {
        let prefixes: BTreeMap<Vec<u8>, usize> = groups.iter().map(group_prefix).zip(0..).collect();
        let numbers: Vec<usize> = prefixes.values().copied().collect();
        let prefixes: Vec<&[u8]> = prefixes.keys().map(|prefix| &prefix[..]).collect();
        let sessions = cx.stores.open(self.stores.sessions);
        let mut decoder = self.format.decoder(sessions.formats().present(), prefixes.len())?;
        let mut starts = vec![];
        sessions.visit_prefixes(View::Committed, &prefixes, &mut |index, key, value| {
            starts.push((numbers[index], start_of(&key[prefixes[index].len()..])?));
            decoder.push(value)?;
            Ok(true)
        })?;
        if starts.is_empty() {
            return Ok(Stored::default());
        }
        let columns = decoder.finish().map_err(sessions.failed())?;
        let ends = columns[0].as_primitive::<Int64Type>();
        let spans = starts.into_iter().zip(ends.values()).map(|((group, start), end)| (group, start, *end));
        let spans: Vec<(usize, i64, i64)> = spans.collect();
        // Where changes leave, some that were closed before may not be deleted yet.
        let is_open = |(_, _, end): &(usize, i64, i64)| before.is_none_or(|time| *end > time);
        if spans.iter().all(is_open) {
            return Ok(Stored { spans, columns });
        }
        let open: UInt32Array =
            (0u32..).zip(&spans).filter(|(_, span)| is_open(span)).map(|(number, _)| number).collect();
        let taken = columns.iter().map(|column| take(column, &open, None).map_err(|e| failed(&e)));
        let columns = taken.collect::<Result<_>>()?;
        Ok(Stored { spans: spans.into_iter().filter(is_open).collect(), columns })
    }

    /// Adds the states of stored sessions to those that they are part of.
    fn join(&self, changed: &mut Changed) -> Result {
        let Changed { sessions, states, stored, .. } = changed;
        let (mut from, mut to, mut is_other) = (vec![], vec![], vec![]);
        for (number, session) in (0u32..).zip(&*sessions) {
            for at in &session.stored {
                from.push(u32::try_from(*at).unwrap_or(u32::MAX));
                to.push(number);
                is_other.push(stored.spans[*at].1 != session.start_ms);
            }
        }
        if from.is_empty() {
            return Ok(());
        }
        let (from, is_other) = (UInt32Array::from(from), BooleanArray::from(is_other));
        let of_values = self.plan.aggregation.of_value_calls()?;
        let mut columns = vec![];
        for (at, column) in stored.columns[1..].iter().enumerate() {
            let column = take(column, &from, None).map_err(|e| failed(&e))?;
            // Values that move are counted when they arrive.
            let moves = at > 0 && of_values.get(at - 1).copied().unwrap_or(false);
            columns.push(if moves { nullif(&column, &is_other).map_err(|e| failed(&e))? } else { column });
        }
        states.merge(&to, &columns)
    }

    /// Adds the rows of the batch to their sessions.
    fn add(&mut self, changed: &mut Changed, held: &[(Delta, Stamps)], of_rows: &[u32]) -> Result {
        let aggregation = self.plan.aggregation.clone();
        let mut rest = of_rows;
        for (delta, stamps) in held {
            let (of_delta, others) = rest.split_at(delta.rows.num_rows());
            rest = others;
            let mut stamps = stamps.each();
            for number in of_delta {
                let ms = stamps.next_ms();
                if let Some(newest_ms) = changed.newest_ms.get_mut(*number as usize) {
                    *newest_ms = ms.max(*newest_ms);
                }
            }
            let kept: Vec<u32> = (0u32..)
                .zip(of_delta)
                .filter(|(_, number)| **number != u32::MAX)
                .map(|(row, _)| row)
                .collect();
            let numbers: Vec<u32> = kept.iter().map(|row| of_delta[*row as usize]).collect();
            let delta = if kept.len() == delta.rows.num_rows() {
                delta.clone()
            } else {
                let kept = UInt32Array::from(kept);
                Delta::added(take_record_batch(&delta.rows, &kept).map_err(|e| failed(&e))?)
            };
            changed.states.update(&aggregation, &numbers, &delta)?;
            if let Some(values) = &mut self.values {
                values.add(&aggregation, &*changed, &numbers, &delta)?;
            }
        }
        Ok(())
    }

    /// Moves the values of sessions that became part of others, and takes up those of the batch.
    fn end_values(&mut self, changed: &mut Changed, cx: &mut Context<'_>) -> Result {
        let (Some(values), Some(handle)) = (&mut self.values, self.stores.values) else { return Ok(()) };
        let store = cx.stores.open(handle);
        let aggregation = &self.plan.aggregation;
        for (number, session) in changed.sessions.iter().enumerate() {
            for at in &session.stored {
                let start_ms = changed.stored.spans[*at].1;
                if start_ms != session.start_ms {
                    let from = session_key(changed.groups.get(session.group), start_ms);
                    values.adopt(aggregation, &from, &*changed, number, store)?;
                }
            }
        }
        let count = changed.sessions.len();
        let mut states = std::mem::replace(&mut changed.states, aggregation.groups()?);
        let ended = values.end(aggregation, &*changed, count, store, &mut states);
        changed.states = states;
        ended
    }

    /// Writes the sessions that are open at this watermark, and deletes those that they were made of.
    fn stage(&self, changed: &Changed, watermark: Option<i64>, cx: &mut Context<'_>) -> Result {
        let count = changed.sessions.len();
        if count == 0 {
            return Ok(());
        }
        let is_open = |session: &&Session| watermark.is_none_or(|watermark| session.end_ms > watermark);
        let group = |session: &Session| changed.groups.get(session.group);
        let ends: ArrayRef =
            Arc::new(changed.sessions.iter().map(|s| Some(s.end_ms)).collect::<Int64Array>());
        let mut columns = vec![ends];
        columns.extend(changed.states.columns(0..count)?);
        let store = cx.stores.open(self.stores.sessions);
        let encoder = self.format.encoder(store.formats().present(), &columns)?;
        let (mut gone, mut new) = (vec![], vec![]);
        for (number, session) in changed.sessions.iter().enumerate() {
            for at in &session.stored {
                let (_, start_ms, end_ms) = changed.stored.spans[*at];
                store.delete(&session_key(group(session), start_ms));
                gone.push(end_key(end_ms, group(session)));
            }
            if is_open(&session) {
                let mut value = vec![];
                encoder.encode(number, &mut value);
                store.put(&session_key(group(session), session.start_ms), &value);
                new.push((end_key(session.end_ms, group(session)), session.start_ms));
            }
        }
        let table = cx.stores.open(self.stores.ends);
        let mut places = vec![];
        let touched = gone.iter().chain(new.iter().map(|(key, _)| key));
        table.touch(touched.map(|key| &key[..]), &mut places)?;
        let starts: [ArrayRef; 1] =
            [Arc::new(new.iter().map(|(_, start)| Some(*start)).collect::<Int64Array>())];
        let encoder = self.end_format.encoder(table.formats().present(), &starts)?;
        let (of_gone, of_new) = places.split_at(gone.len());
        of_gone.iter().for_each(|place| table.delete(*place as usize));
        for (number, place) in of_new.iter().enumerate() {
            let mut value = vec![];
            encoder.encode(number, &mut value);
            table.put(*place as usize, &value);
        }
        Ok(())
    }

    /// Computes what calls give of all values, for sessions with these keys.
    fn fill(
        &self,
        values: Option<&RowIndex>,
        view: View,
        keys: impl Iterator<Item = Vec<u8>>,
        columns: &mut [ArrayRef],
    ) -> Result {
        let aggregation = &self.plan.aggregation;
        let Some(values) = values.filter(|_| aggregation.reads_all_values()) else { return Ok(()) };
        let keys: Vec<Vec<u8>> = keys.collect();
        fill(aggregation, &self.pace, values, view, &keys, columns)
    }

    /// What leaves of some of the changed sessions.
    fn leaving(
        &self,
        changed: &Changed,
        kept: Option<&RowIndex>,
        places: Range<usize>,
        watermark: Option<i64>,
    ) -> Result<Option<Chunk>> {
        let mut values = changed.states.values(&places)?;
        if self.plan.gives == Gives::Updates {
            self.fill(kept, View::Staged, places.clone().map(|place| changed.key(place)), &mut values)?;
            return self.replaced(changed, kept, places, &values);
        }
        let first = places.start;
        let closed: Vec<usize> = places.filter(|place| changed.is_closed(*place, watermark)).collect();
        if closed.is_empty() {
            return Ok(None);
        }
        let rows: UInt32Array =
            closed.iter().map(|at| u32::try_from(at - first).unwrap_or(u32::MAX)).collect();
        let taken = values.iter().map(|column| take(column, &rows, None).map_err(|e| failed(&e)));
        let mut values = taken.collect::<Result<Vec<_>>>()?;
        self.fill(kept, View::Staged, closed.iter().map(|place| changed.key(*place)), &mut values)?;
        let spans: Vec<Span<'_>> =
            closed.iter().map(|place| Span::of(changed, &changed.sessions[*place])).collect();
        self.closed(&spans, values)
    }

    /// Rows of sessions that close.
    fn closed(&self, spans: &[Span<'_>], values: Vec<ArrayRef>) -> Result<Option<Chunk>> {
        if spans.is_empty() {
            return Ok(None);
        }
        let rows = self.rows(spans, values)?;
        let times: Vec<i64> = spans.iter().map(|span| span.end_ms - 1).collect();
        Ok(Some(stamped(Delta::added(rows), &times)))
    }

    /// The rows of changed sessions, and those that they take the place of.
    fn replaced(
        &self,
        changed: &Changed,
        kept: Option<&RowIndex>,
        places: Range<usize>,
        new: &[ArrayRef],
    ) -> Result<Option<Chunk>> {
        let of_places = || places.clone().map(|place| (place, &changed.sessions[place]));
        let (old, of_stored) = self.before(changed, kept, places.clone())?;
        let comparators = old
            .iter()
            .zip(new)
            .map(|(old, new)| make_comparator(old, new, SortOptions::default()).map_err(|e| failed(&e)));
        let comparators: Vec<DynComparator> = comparators.collect::<Result<_>>()?;
        // New values are behind the old ones in one column.
        let (mut spans, mut of_values, mut weights, mut newest_ms) = (vec![], vec![], vec![], vec![]);
        let mut at_old = 0;
        for (place, session) in of_places() {
            let at_new = place - places.start;
            let stored: Vec<_> = session.stored.iter().map(|at| changed.stored.spans[*at]).collect();
            let is_same = matches!(stored[..], [(_, start, end)] if (start, end) == (session.start_ms, session.end_ms))
                && comparators.iter().all(|same| same(at_old, at_new) == Ordering::Equal);
            let group = changed.groups.get(session.group);
            for (number, (_, start_ms, end_ms)) in stored.iter().enumerate().filter(|_| !is_same) {
                spans.push(Span { group, start_ms: *start_ms, end_ms: *end_ms });
                of_values.push(u32::try_from(at_old + number).unwrap_or(u32::MAX));
                weights.push(-1);
                newest_ms.push(changed.newest_ms[place]);
            }
            if !is_same {
                spans.push(Span::of(changed, session));
                of_values.push(u32::try_from(of_stored + at_new).unwrap_or(u32::MAX));
                weights.push(1);
                newest_ms.push(changed.newest_ms[place]);
            }
            at_old += stored.len();
        }
        if spans.is_empty() {
            return Ok(None);
        }
        let of_values = UInt32Array::from(of_values);
        let mut values = vec![];
        for (old, new) in old.iter().zip(new) {
            let both = concat(&[old, new]).map_err(|e| failed(&e))?;
            values.push(take(&both, &of_values, None).map_err(|e| failed(&e))?);
        }
        let rows = self.rows(&spans, values)?;
        let weights = weights.iter().any(|weight| *weight < 0).then(|| Int64Array::from(weights));
        Ok(Some(stamped(Delta { rows, weights }, &newest_ms)))
    }

    /// What the calls gave of the stored sessions that some changed ones are made of, and how many those are.
    fn before(
        &self,
        changed: &Changed,
        kept: Option<&RowIndex>,
        places: Range<usize>,
    ) -> Result<(Vec<ArrayRef>, usize)> {
        let (mut from, mut keys) = (vec![], vec![]);
        for session in &changed.sessions[places] {
            for at in &session.stored {
                from.push(u32::try_from(*at).unwrap_or(u32::MAX));
                keys.push(session_key(changed.groups.get(session.group), changed.stored.spans[*at].1));
            }
        }
        let count = from.len();
        let mut before = self.plan.aggregation.groups()?;
        before.resize(count);
        if count > 0 {
            let numbers: Vec<u32> = (0u32..).take(count).collect();
            let from = UInt32Array::from(from);
            let columns = changed.stored.columns[1..].iter();
            let columns = columns.map(|column| take(column, &from, None).map_err(|e| failed(&e)));
            before.merge(&numbers, &columns.collect::<Result<Vec<_>>>()?)?;
        }
        before.settle()?;
        let mut old = before.values(&(0..count))?;
        self.fill(kept, View::Committed, keys.into_iter(), &mut old)?;
        Ok((old, count))
    }

    /// Rows of sessions with these values.
    fn rows(&self, spans: &[Span<'_>], values: Vec<ArrayRef>) -> Result<arrow::array::RecordBatch> {
        let mut decoder = self.plan.aggregation.key_format().decoder(spans.len())?;
        spans.iter().try_for_each(|span| decoder.push(span.group))?;
        let of_group = decoder.finish()?;
        let mut columns: Vec<ArrayRef> = vec![];
        for (at, column) in self.plan.columns.iter().enumerate() {
            let time = |of: fn(&Span<'_>) -> i64| -> ArrayRef {
                let zone = match self.plan.output.field(at).data_type() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                let times: TimestampMillisecondArray = spans.iter().map(|span| Some(of(span))).collect();
                Arc::new(times.with_timezone_opt(zone))
            };
            columns.push(match column {
                SessionColumn::Start => time(|span| span.start_ms),
                SessionColumn::End => time(|span| span.end_ms),
                SessionColumn::Time => time(|span| span.end_ms - 1),
                SessionColumn::Group(at) => of_group[*at].clone(),
            });
        }
        columns.extend(values);
        batch(&self.plan.output, columns, spans.len())
    }

    /// Takes a part of the closed sessions that this batch has not touched; returns where the next part begins.
    fn take_stored(&self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let gives = self.plan.gives;
        let limit = if gives == Gives::Updates { DELETED_PER_BATCH } else { self.pace.groups() };
        let table = cx.stores.open(self.stores.ends);
        let mut decoder = self.end_format.decoder(table.formats().present(), 0)?;
        let mut ends = vec![];
        let next = table.take_range(from, &after(watermark), limit, |key, value| {
            let (end_ms, group) = end_of(key)?;
            ends.push((end_ms, group.to_vec()));
            decoder.push(value)
        })?;
        if ends.is_empty() {
            return Ok(next);
        }
        let starts = decoder.finish().map_err(table.failed())?;
        let starts = starts[0].as_primitive::<Int64Type>();
        let mut spans = vec![];
        for ((end_ms, group), start_ms) in ends.iter().zip(starts.values()) {
            spans.push(Span { group, start_ms: *start_ms, end_ms: *end_ms });
        }
        let keys: Vec<Vec<u8>> = spans.iter().map(|span| session_key(span.group, span.start_ms)).collect();
        let sessions = cx.stores.open(self.stores.sessions);
        sessions.touch(keys.iter().map(|key| &key[..]))?;
        let mut chunk = None;
        if gives == Gives::Finals {
            let mut decoder = self.format.decoder(sessions.formats().present(), keys.len())?;
            for key in &keys {
                let lost = || Error::Codec("a session is to close that is not stored".into());
                decoder.push(sessions.old(key).ok_or_else(lost)?).map_err(sessions.failed())?;
            }
            let columns = decoder.finish().map_err(sessions.failed())?;
            let mut states = self.plan.aggregation.groups()?;
            states.resize(keys.len());
            let numbers: Vec<u32> = (0u32..).take(keys.len()).collect();
            states.merge(&numbers, &columns[1..])?;
            states.settle()?;
            let mut values = states.values(&(0..keys.len()))?;
            let kept = self.stores.values.map(|handle| &*cx.stores.open(handle));
            self.fill(kept, View::Staged, keys.iter().cloned(), &mut values)?;
            chunk = self.closed(&spans, values)?;
        }
        let sessions = cx.stores.open(self.stores.sessions);
        keys.iter().for_each(|key| sessions.delete(key));
        if let Some(values) = self.stores.values {
            Values::forget(cx.stores.open(values), keys.into_iter())?;
        }
        chunk.into_iter().for_each(|chunk| cx.out.chunk(chunk));
        Ok(next)
    }

    /// Sends something on; returns what is left to do.
    fn go_on(&self, mut ending: Ending, cx: &mut Context<'_>) -> Result<Ending> {
        let watermark = ending.marks.time.get();
        let count = ending.changed.sessions.len();
        if ending.place < count {
            let places = ending.place..count.min(ending.place + self.pace.groups());
            ending.place = places.end;
            let mut kept = self.stores.values.map(|handle| cx.stores.open(handle));
            let changed = &ending.changed;
            let chunk = self.leaving(changed, kept.as_deref(), places.clone(), watermark)?;
            if let Some(kept) = &mut kept {
                let closed = places.filter(|place| changed.is_closed(*place, watermark));
                Values::forget(kept, closed.map(|place| changed.key(place)))?;
            }
            chunk.into_iter().for_each(|chunk| cx.out.chunk(chunk));
        } else if let (Some(from), Some(watermark)) = (ending.from.take(), watermark) {
            let next = self.take_stored(&from, watermark, cx)?;
            match (next, self.plan.gives) {
                (Some(next), Gives::Finals) => ending.from = Some(next),
                // Nothing leaves, so the rest can go with later batches.
                (Some(next), Gives::Updates) => ending.marks.deleted_to_ms = Some(end_of(&next)?.0 - 1),
                (None, _) => ending.marks.deleted_to_ms = Some(watermark),
            }
        }
        Ok(ending)
    }
}

/// A session that leaves.
#[derive(Clone, Copy)]
struct Span<'k> {
    group: &'k [u8],
    start_ms: i64,
    end_ms: i64,
}

impl<'k> Span<'k> {
    fn of(changed: &'k Changed, session: &Session) -> Self {
        Span { group: changed.groups.get(session.group), start_ms: session.start_ms, end_ms: session.end_ms }
    }
}

impl Operator for SessionAggregate {
    fn process(&mut self, _: Port, input: Chunk, _: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        match payload {
            Payload::Marks(marks) => self.time.heard(marks),
            Payload::Rows(delta) => {
                if delta
                    .weights
                    .as_ref()
                    .is_some_and(|weights| weights.values().iter().any(|weight| *weight != 1))
                {
                    let what = "sessions of rows that change; this is a bug in the plan";
                    return Err(Error::Codec(what.into()));
                }
                self.held_bytes += delta.rows.get_array_memory_size();
                self.held.push((delta, stamps));
            }
        }
        Ok(())
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        let ending = match self.ending.take() {
            Some(ending) => ending,
            None => self.begin_end(cx)?,
        };
        let ending = self.go_on(ending, cx)?;
        if ending.place < ending.changed.sessions.len() || ending.from.is_some() {
            self.ending = Some(ending);
            return Ok(());
        }
        self.marks_out.report(&ending.marks, cx);
        self.time.end(ending.marks, cx)
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}
