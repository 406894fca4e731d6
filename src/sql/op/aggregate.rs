//! Aggregation behind the exchange: the states of all groups, and what has become of their rows in a batch.
//!
//! Owns the way from stored states to changed rows. Knows no function. Invariants: a group's state is read once and written once per
//! batch; what leaves is the difference between the group's row after the batch and before it, at most one of each; a group without rows
//! has no row, but for the group of all rows, which always has one; a row carries the greatest timestamp of the batch's rows of its group.

use super::{
    Aggregation,
    aggregation::Groups,
    exchange::{batch, failed, stamped},
    values::{Pace, Values, fill, group_prefix},
};
use crate::{
    error::{Error, Result},
    operator::{Context, Operator, Port},
    record::{Chunk, Stamps, partition_of},
    sql::{Delta, Payload},
    state::{Handle, RowIndex, RowTable, Stores, View},
};
use arrow::{
    array::{ArrayRef, DynComparator, Int64Array, UInt32Array, make_comparator},
    compute::{SortOptions, concat, take},
    datatypes::SchemaRef,
};
use std::{cmp::Ordering, ops::Range, sync::Arc};

/// Groups whose changes leave in one chunk: at most 8,192 rows.
pub(super) const GROUPS_PER_CHUNK: usize = 4_096;

/// What the rows of an aggregation's input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Those of its input.
    Rows,
    /// Those that [`PartialAggregate`](super::PartialAggregate) makes of them.
    Partials,
}

/// The half of an aggregation behind the exchange: one row for each group, of its keys and the value of each call.
pub struct Aggregate {
    pub(super) aggregation: Arc<Aggregation>,
    pub(super) takes: Takes,
    pub(super) state: Handle<RowTable>,
    pub(super) output: SchemaRef,
    /// The touched groups, by their place in the store.
    pub(super) groups: Groups,
    newest_ms: Vec<i64>,
    pub(super) values: Option<(Handle<RowIndex>, Values)>,
    pub(super) pace: Pace,
    /// While the batch ends: the first group whose change has not left yet.
    ending: Option<usize>,
    places: Vec<u32>,
    encoded: Vec<u8>,
}

impl Aggregate {
    /// Keeps the states of `aggregation` in the store `state`, and the values of its groups, if it needs them, in the store `values`. It
    /// sends rows of the columns `output`: those of the keys, then one for each call.
    ///
    /// # Errors
    /// [`Error::Plan`] if the aggregation needs values, and there is no store or the rows are [`Takes::Partials`].
    pub fn new(
        aggregation: Arc<Aggregation>,
        takes: Takes,
        state: Handle<RowTable>,
        values: Option<Handle<RowIndex>>,
        output: SchemaRef,
    ) -> Result<Self> {
        let values = match (aggregation.needs_values(), values) {
            (true, Some(values)) if takes == Takes::Rows => Some((values, Values::new()?)),
            (false, _) => None,
            _ => {
                return Err(Error::Plan(
                    "a call needs values, but nothing keeps them; this is a bug in the plan".into(),
                ));
            }
        };
        let groups = aggregation.groups()?;
        let pace = Pace::new(GROUPS_PER_CHUNK, aggregation.reads_all_values());
        let (newest_ms, places, encoded) = (vec![], vec![], vec![]);
        Ok(Aggregate {
            aggregation,
            takes,
            state,
            output,
            groups,
            newest_ms,
            values,
            pace,
            ending: None,
            places,
            encoded,
        })
    }

    /// Finds the groups of rows in the store; their places are then in `places`.
    fn touch(&mut self, table: &mut RowTable, keys: &[ArrayRef], rows: usize) -> Result {
        let encoder = self.aggregation.key_format().encoder(keys)?;
        self.encoded.clear();
        let mut ends = Vec::with_capacity(rows);
        for row in 0..rows {
            encoder.encode(row, &mut self.encoded);
            ends.push(self.encoded.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let keys = starts.zip(&ends).map(|(start, end)| &self.encoded[start..*end]);
        self.places.clear();
        table.touch(keys, &mut self.places)?;
        self.load(table)
    }

    /// Takes the states of the groups that were touched since the last call.
    fn load(&mut self, table: &RowTable) -> Result {
        let first = self.groups.len();
        self.groups.resize(table.touched());
        self.newest_ms.resize(table.touched(), Stamps::NONE);
        let stored = |place| table.new_value(place);
        stored_states(&self.aggregation, table, first..table.touched(), 0, stored, &mut self.groups)
    }

    /// Takes rows.
    pub(super) fn take(&mut self, delta: &Delta, stamps: &Stamps, table: &mut RowTable) -> Result {
        let added = crate::failpoint::passes("mutant-weights-forgotten")
            .then(|| Delta { weights: None, ..delta.clone() });
        let delta = added.as_ref().unwrap_or(delta);
        let (rows, columns) = (delta.rows.num_rows(), delta.rows.columns());
        match self.takes {
            Takes::Rows => {
                self.touch(table, &self.aggregation.key_columns(columns), rows)?;
                self.groups.update(&self.aggregation, &self.places, delta)?;
                if let Some((_, values)) = &mut self.values {
                    values.add(&self.aggregation, &*table, &self.places, delta)?;
                }
            }
            Takes::Partials => {
                let (keys, states) = columns.split_at(self.aggregation.key_format().columns().len());
                self.touch(table, keys, rows)?;
                self.groups.merge(&self.places, states)?;
            }
        }
        let mut stamps = stamps.each();
        for place in &self.places {
            let newest_ms = &mut self.newest_ms[*place as usize];
            *newest_ms = stamps.next_ms().max(*newest_ms);
        }
        Ok(())
    }

    /// Takes up what the batch has done to the values of groups.
    pub(super) fn end_values(&mut self, cx: &mut Context<'_>) -> Result {
        let Some((handle, values)) = &mut self.values else { return Ok(()) };
        let (table, stored) = cx.stores.open2(self.state, *handle);
        values.end(&self.aggregation, &*table, table.touched(), stored, &mut self.groups)
    }

    /// Writes the states of all touched groups; of those that are not kept there is none then.
    pub(super) fn stage(&mut self, table: &mut RowTable, is_kept: impl Fn(&[u8]) -> bool) -> Result {
        self.groups.settle()?;
        let columns = self.groups.columns(0..self.groups.len())?;
        let encoder = self.aggregation.row_format().encoder(table.formats().present(), &columns)?;
        for place in 0..self.groups.len() {
            if self.groups.weight(place) < 0 {
                let what = "a row was taken from a group that does not have it; the source sends changes that contradict each other";
                return Err(Error::Row(what.into()));
            }
            if self.has_row(place) && is_kept(table.key(place)) {
                self.encoded.clear();
                encoder.encode(place, &mut self.encoded);
                table.put(place, &self.encoded);
            } else {
                table.delete(place);
            }
        }
        Ok(())
    }

    pub(super) fn has_row(&self, place: usize) -> bool {
        self.groups.weight(place) != 0 || self.aggregation.is_global()
    }

    /// The states of groups, and their values if they are kept.
    pub(super) fn open<'s>(&self, stores: &'s mut Stores) -> (&'s mut RowTable, Option<&'s mut RowIndex>) {
        match &self.values {
            Some((handle, _)) => {
                let (table, values) = stores.open2(self.state, *handle);
                (table, Some(values))
            }
            None => (stores.open(self.state), None),
        }
    }

    /// Computes what calls give of all values, for groups with these keys.
    pub(super) fn fill<'k>(
        &self,
        values: Option<&RowIndex>,
        view: View,
        keys: impl Iterator<Item = &'k [u8]>,
        columns: &mut [ArrayRef],
    ) -> Result {
        let Some(values) = values.filter(|_| self.aggregation.reads_all_values()) else { return Ok(()) };
        let prefixes: Vec<Vec<u8>> = keys.map(group_prefix).collect();
        fill(&self.aggregation, &self.pace, values, view, &prefixes, columns)
    }

    /// What has become of the rows of some groups; `None` = nothing.
    pub(super) fn changes(
        &self,
        table: &RowTable,
        values: Option<&RowIndex>,
        places: Range<usize>,
    ) -> Result<Option<Chunk>> {
        let count = places.len();
        let mut before = self.aggregation.groups()?;
        before.resize(count);
        let committed = |place| table.old(place);
        stored_states(&self.aggregation, table, places.clone(), places.start, committed, &mut before)?;
        before.settle()?;
        let (mut old, mut new) = (before.values(&(0..count))?, self.groups.values(&places)?);
        self.fill(values, View::Committed, table.keys(places.clone()), &mut old)?;
        self.fill(values, View::Staged, table.keys(places.clone()), &mut new)?;
        let is_same =
            |row: usize, same: &[DynComparator]| same.iter().all(|same| same(row, row) == Ordering::Equal);
        let comparators: Vec<DynComparator> = old
            .iter()
            .zip(&new)
            .map(|(old, new)| make_comparator(old, new, SortOptions::default()).map_err(|e| failed(&e)))
            .collect::<Result<_>>()?;
        // Of each group the old row comes before the new one. New values are behind the old ones in one column.
        let (mut of_groups, mut of_values, mut weights, mut newest_ms) = (vec![], vec![], vec![], vec![]);
        let mut keys = self.aggregation.key_format().decoder(count)?;
        let takes_back = !crate::failpoint::passes("mutant-old-row-stays");
        for (row, place) in places.enumerate() {
            keys.push(table.key(place))?;
            let (had_row, has_row) = (table.old(place).is_some(), self.has_row(place));
            if had_row && has_row && is_same(row, &comparators) {
                continue;
            }
            for (is_there, at, weight) in [(had_row && takes_back, row, -1), (has_row, row + count, 1)] {
                if is_there {
                    of_groups.push(u32::try_from(row).unwrap_or(u32::MAX));
                    of_values.push(u32::try_from(at).unwrap_or(u32::MAX));
                    weights.push(weight);
                    newest_ms.push(self.newest_ms[place]);
                }
            }
        }
        if weights.is_empty() {
            return Ok(None);
        }
        let rows = weights.len();
        let (of_groups, of_values) = (UInt32Array::from(of_groups), UInt32Array::from(of_values));
        let mut columns = vec![];
        for keys in keys.finish()? {
            columns.push(take(&keys, &of_groups, None).map_err(|e| failed(&e))?);
        }
        for (old, new) in old.iter().zip(&new) {
            let both = concat(&[old, new]).map_err(|e| failed(&e))?;
            columns.push(take(&both, &of_values, None).map_err(|e| failed(&e))?);
        }
        let weights = weights.iter().any(|weight| *weight < 0).then(|| Int64Array::from(weights));
        let delta = Delta { rows: batch(&self.output, columns, rows)?, weights };
        Ok(Some(stamped(delta, &newest_ms)))
    }

    /// The batch is over.
    pub(super) fn clear(&mut self) {
        self.groups.resize(0);
        self.newest_ms.clear();
    }
}

/// Adds what is stored of groups to `groups`, where the group at `places.start` has the number `places.start - base`.
pub(super) fn stored_states<'t>(
    aggregation: &Aggregation,
    table: &RowTable,
    places: Range<usize>,
    base: usize,
    stored: impl Fn(usize) -> Option<&'t [u8]>,
    groups: &mut Groups,
) -> Result {
    let mut decoder = aggregation.row_format().decoder(table.formats().present(), places.len())?;
    let mut numbers = vec![];
    for place in places {
        if let Some(value) = stored(place) {
            decoder.push(value).map_err(table.failed())?;
            numbers.push(u32::try_from(place - base).unwrap_or(u32::MAX));
        }
    }
    if numbers.is_empty() {
        return Ok(());
    }
    groups.merge(&numbers, &decoder.finish().map_err(table.failed())?)
}

impl Operator for Aggregate {
    fn process(&mut self, _: Port, input: Chunk, cx: &mut Context<'_>) -> Result {
        let (payload, stamps) = input.take_stamped::<Payload>();
        let Payload::Rows(delta) = payload else { return Ok(()) };
        self.take(&delta, &stamps, cx.stores.open(self.state))
    }

    fn end_batch(&mut self, cx: &mut Context<'_>) -> Result {
        if self.ending.is_none() {
            self.end_values(cx)?;
        }
        let table = cx.stores.open(self.state);
        let first = if let Some(first) = self.ending {
            first
        } else {
            let is_home = partition_of(&[], cx.out.partitions) == cx.out.partition;
            if self.aggregation.is_global() && is_home && table.touched() == 0 {
                self.touch(table, &[], 1)?;
            }
            self.stage(table, |_| true)?;
            0
        };
        let end = self.groups.len().min(first + self.pace.groups());
        let (table, values) = self.open(cx.stores);
        if let Some(chunk) = self.changes(table, values.as_deref(), first..end)? {
            cx.out.chunk(chunk);
        }
        self.ending = (end < self.groups.len()).then_some(end);
        if self.ending.is_none() {
            self.clear();
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.ending.is_some()
    }

    fn held_bytes(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |(_, values)| values.memory_bytes());
        self.groups.memory_bytes() + size_of_val(&self.newest_ms[..]) + values
    }
}
