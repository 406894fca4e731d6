//! The values of groups, for what cannot be computed from a state: `min`, `max`, `first_value` and `last_value` over rows that are taken
//! away again, calls that are DISTINCT, and functions of all values.
//!
//! Owns how often each group has each value. Knows no output. Invariants: a value is read once and written once per batch, and is gone
//! when its weight is 0; a function that is DISTINCT is told when a value comes and when it goes; `min`, `max`, `first_value` and
//! `last_value` are the first value of the group after the batch, as values are kept in the order in which they are asked for; functions
//! of all values ([`listed`]) read them when the row of the group leaves.
//!
//! A key is the length of the group's key (varint), that key, the start of the session if groups are sessions, the number of the call
//! (varint), and the key of the value.

mod listed;
mod pace;

pub(super) use listed::fill;
pub(super) use pace::Pace;

use super::{
    Aggregation,
    aggregation::Groups,
    value_call::{ValueCall, value_format},
};
use crate::{
    error::{Error, Result},
    record::varint::{put_varint, take_varint},
    sql::{
        Delta,
        agg::{AggregateRows, GroupStates},
        rows::{KeyTable, RowFormat},
    },
    state::{RowIndex, RowTable, View},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, UInt32Array},
    compute::take,
    datatypes::Int64Type,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The values that a batch has touched.
pub(super) struct Values {
    format: RowFormat,
    keys: KeyTable,
    touched: Vec<Touched>,
    scratch: Vec<u8>,
}

/// What a batch does to one value.
struct Touched {
    /// The group's place.
    group: u32,
    /// The position among the calls that need values.
    call: usize,
    /// Where the value begins in the key.
    start: usize,
    change: i64,
}

impl Values {
    pub fn new() -> Result<Self> {
        Ok(Values { format: value_format()?, keys: KeyTable::default(), touched: vec![], scratch: vec![] })
    }

    /// Takes the rows of a chunk, whose groups have these places.
    pub fn add(
        &mut self,
        of: &Aggregation,
        prefixes: &impl GroupPrefixes,
        groups: &[u32],
        delta: &Delta,
    ) -> Result {
        for (at, value_call) in of.value_calls().iter().enumerate() {
            let call = &of.calls()[value_call.number];
            let columns = delta.rows.columns();
            let of_input = |these: &[usize]| -> Vec<ArrayRef> {
                these.iter().map(|column| columns[*column].clone()).collect()
            };
            let (values, counted) = (of_input(&value_call.columns), of_input(&value_call.counted));
            let filter = call.filter.map(|column| columns[column].as_boolean());
            let encoder = value_call.key.encoder(&values)?;
            let rows = AggregateRows { groups, arguments: &counted, filter, weights: delta.weights.as_ref() };
            rows.each(|row, group, weight| {
                self.scratch.clear();
                prefixes.put(group, &mut self.scratch);
                put_varint(&mut self.scratch, value_call.number as u64);
                let start = self.scratch.len();
                encoder.encode(row, &mut self.scratch);
                self.change(group, at, start, weight)
            })?;
        }
        Ok(())
    }

    /// Moves the values of a group that has become part of another one.
    pub fn adopt(
        &mut self,
        of: &Aggregation,
        from: &[u8],
        prefixes: &impl GroupPrefixes,
        to: usize,
        values: &mut RowIndex,
    ) -> Result {
        let mut decoder = self.format.decoder(values.formats().present(), 0)?;
        let mut moved = vec![];
        values.visit_prefixes(View::Committed, &[from], &mut |_, key, value| {
            decoder.push(value)?;
            moved.push(key.to_vec());
            Ok(true)
        })?;
        let columns = decoder.finish().map_err(values.failed())?;
        let weights = columns[0].as_primitive::<Int64Type>();
        let no_call = || Error::Codec("the key of a value names no call".into());
        for (key, weight) in moved.iter().zip(weights.values()) {
            values.delete(key);
            let mut rest = &key[from.len()..];
            let before = rest.len();
            let number = take_varint(&mut rest).ok_or_else(no_call)?;
            let is_called = |call: &ValueCall| call.number as u64 == number;
            let call = of.value_calls().iter().position(is_called).ok_or_else(no_call)?;
            self.scratch.clear();
            prefixes.put(to, &mut self.scratch);
            let start = self.scratch.len() + before - rest.len();
            self.scratch.extend_from_slice(&key[from.len()..]);
            self.change(to, call, start, *weight)?;
        }
        Ok(())
    }

    /// Changes the weight of the value whose key is in `scratch`.
    fn change(&mut self, group: usize, call: usize, start: usize, weight: i64) -> Result {
        let slot = self.keys.insert(&self.scratch);
        if slot.is_new {
            let group = u32::try_from(group).unwrap_or(u32::MAX);
            self.touched.push(Touched { group, call, start, change: 0 });
        }
        let change = &mut self.touched[slot.index].change;
        *change = change.checked_add(weight).ok_or_else(too_many)?;
        Ok(())
    }

    /// Writes the values, and brings the states of the calls to what the values now are; there are so many groups.
    pub fn end(
        &mut self,
        of: &Aggregation,
        prefixes: &impl GroupPrefixes,
        count: usize,
        values: &mut RowIndex,
        groups: &mut Groups,
    ) -> Result {
        if self.keys.is_empty() {
            return Ok(());
        }
        values.touch(self.keys.iter())?;
        let before = self.weights(values)?;
        let mut after = Vec::with_capacity(before.len());
        for (old, touched) in before.iter().zip(&self.touched) {
            let new = old.checked_add(touched.change).ok_or_else(too_many)?;
            if new < 0 {
                let what = "a value was taken from a group that does not have it; the source sends changes that contradict each other";
                return Err(Error::Row(what.into()));
            }
            after.push(new);
        }
        self.write(values, &before, &after)?;
        for (at, call) in of.value_calls().iter().enumerate() {
            let function = of.calls()[call.number].function;
            if function.is_of_all_values() {
                continue;
            }
            let crossing: Vec<(usize, i64)> = (0..before.len())
                .filter(|index| self.touched[*index].call == at)
                .filter_map(|index| match (before[index] > 0, after[index] > 0) {
                    (false, true) => Some((index, 1)),
                    (true, false) => Some((index, -1)),
                    _ => None,
                })
                .collect();
            let states = groups.states_of(call.number);
            if crossing.is_empty() {
                continue;
            }
            if function.takes_back() {
                self.tell(call, &crossing, states.as_mut())?;
            } else {
                let places = crossing.iter().map(|(index, _)| self.touched[*index].group);
                let mut first = firsts(call, function.is_of_one_row(), prefixes, values, places)?;
                first.replace(of.calls()[call.number].group_states(of.input())?, states, count)?;
            }
        }
        self.keys.clear();
        self.touched.clear();
        Ok(())
    }

    /// The committed weights of the touched values.
    fn weights(&self, values: &RowIndex) -> Result<Vec<i64>> {
        let mut decoder = self.format.decoder(values.formats().present(), self.keys.len())?;
        let mut weights = vec![0; self.keys.len()];
        let mut found = vec![];
        for (index, key) in self.keys.iter().enumerate() {
            if let Some(old) = values.old(key) {
                decoder.push(old).map_err(values.failed())?;
                found.push(index);
            }
        }
        let columns = decoder.finish()?;
        let stored = columns[0].as_primitive::<Int64Type>();
        for (row, index) in found.into_iter().enumerate() {
            weights[index] = if stored.is_valid(row) { stored.value(row) } else { 0 };
        }
        Ok(weights)
    }

    fn write(&mut self, values: &mut RowIndex, before: &[i64], after: &[i64]) -> Result {
        let column: [ArrayRef; 1] = [Arc::new(Int64Array::from(after.to_vec()))];
        let encoder = self.format.encoder(values.formats().present(), &column)?;
        for (index, key) in self.keys.iter().enumerate() {
            if after[index] == 0 {
                values.delete(key);
            } else if after[index] != before[index] {
                self.scratch.clear();
                encoder.encode(index, &mut self.scratch);
                values.put(key, &self.scratch);
            }
        }
        Ok(())
    }

    /// Tells a function of values that have come and gone.
    fn tell(&self, call: &ValueCall, crossing: &[(usize, i64)], states: &mut dyn GroupStates) -> Result {
        let mut decoder = call.key.decoder(crossing.len())?;
        for (index, _) in crossing {
            decoder.push(&self.keys.get(*index)[self.touched[*index].start..])?;
        }
        let arguments = decoder.finish()?;
        let groups: Vec<u32> = crossing.iter().map(|(index, _)| self.touched[*index].group).collect();
        let weights: Int64Array = crossing.iter().map(|(_, weight)| *weight).collect();
        states.update(&AggregateRows {
            groups: &groups,
            arguments: &arguments,
            filter: None,
            weights: Some(&weights),
        })
    }

    /// Deletes all values of groups that are gone, whose keys begin so.
    pub fn forget(values: &mut RowIndex, prefixes: impl Iterator<Item = Vec<u8>>) -> Result {
        let prefixes: BTreeSet<Vec<u8>> = prefixes.collect();
        let prefixes: Vec<&[u8]> = prefixes.iter().map(|prefix| &prefix[..]).collect();
        let mut gone = vec![];
        values.visit_prefixes(View::Staged, &prefixes, &mut |_, key, _| {
            gone.push(key.to_vec());
            Ok(true)
        })?;
        gone.iter().for_each(|key| values.delete(key));
        Ok(())
    }

    pub fn memory_bytes(&self) -> usize {
        if self.keys.is_empty() { 0 } else { self.keys.memory_bytes() + size_of_val(&self.touched[..]) }
    }
}

/// Groups and the state of the first value that each has now; those without a value are among the groups only.
struct Firsts {
    groups: Vec<u32>,
    with_value: Vec<u32>,
    states: Vec<ArrayRef>,
}

/// Looks up the first value of groups: its columns, or its key if that is the state of the call.
fn firsts(
    call: &ValueCall,
    is_key: bool,
    of_groups: &impl GroupPrefixes,
    values: &RowIndex,
    places: impl Iterator<Item = u32>,
) -> Result<Firsts> {
    let mut prefixes = BTreeMap::new();
    for place in places {
        let mut prefix = vec![];
        of_groups.put(place as usize, &mut prefix);
        put_varint(&mut prefix, call.number as u64);
        prefixes.insert(prefix, place);
    }
    let groups: Vec<u32> = prefixes.values().copied().collect();
    let prefixes: Vec<&[u8]> = prefixes.keys().map(|prefix| &prefix[..]).collect();
    let (mut decoder, mut keys) = (call.key.decoder(prefixes.len())?, BinaryBuilder::new());
    let mut with_value = vec![];
    values.visit_prefixes(View::Staged, &prefixes, &mut |index, key, _| {
        let value = &key[prefixes[index].len()..];
        if is_key {
            keys.append_value(value);
        } else {
            decoder.push(value)?;
        }
        with_value.push(groups[index]);
        Ok(false)
    })?;
    let states = if is_key { vec![Arc::new(keys.finish()) as ArrayRef] } else { decoder.finish()? };
    Ok(Firsts { groups, with_value, states })
}

impl Firsts {
    /// Puts the values in the place of the states of their groups.
    fn replace(
        &mut self,
        mut fresh: Box<dyn GroupStates>,
        states: &mut Box<dyn GroupStates>,
        groups: usize,
    ) -> Result {
        fresh.resize(groups);
        self.groups.sort_unstable();
        let all = 0..u32::try_from(groups).unwrap_or(u32::MAX);
        let others: Vec<u32> = all.filter(|group| self.groups.binary_search(group).is_err()).collect();
        let rows = UInt32Array::from(others.clone());
        let mut kept = vec![];
        for column in states.states(0..groups)? {
            kept.push(take(&column, &rows, None).map_err(|e| super::exchange::failed(&e))?);
        }
        fresh.merge(&others, &kept)?;
        fresh.merge(&self.with_value, &self.states)?;
        *states = fresh;
        Ok(())
    }
}

/// What the keys of the values of a group begin with.
pub(super) trait GroupPrefixes {
    /// Appends that of the group at this place.
    fn put(&self, place: usize, out: &mut Vec<u8>);
}

impl GroupPrefixes for RowTable {
    fn put(&self, place: usize, out: &mut Vec<u8>) {
        put_group(self.key(place), out);
    }
}

/// The key of a group behind its length.
pub(super) fn put_group(group: &[u8], out: &mut Vec<u8>) {
    put_varint(out, group.len() as u64);
    out.extend_from_slice(group);
}

/// What the keys of the values of the group with this key begin with.
pub(super) fn group_prefix(group: &[u8]) -> Vec<u8> {
    let mut prefix = vec![];
    put_group(group, &mut prefix);
    prefix
}

fn too_many() -> Error {
    Error::Codec("a value is there more than 2^63 times".into())
}
