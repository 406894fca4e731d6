//! Rows that leave by themselves, computed anew for each key that a batch has touched: as it was committed, and as it is now.
//!
//! Owns which rows of a key have a partner. Knows no time. Invariants: without a condition besides equal keys, a row has a partner exactly
//! if the other side has any row of its key, so nothing else is read of it; keys are taken in the order of their bytes.

use super::{
    entries::{each_row, entries},
    joining::Joining,
    pairs::{Condition, ROWS_PER_CHUNK},
    plan::SidePlan,
    side::has_rows,
    singles::{SingleRows, send_change},
    time::Side,
};
use crate::{
    error::Result,
    operator::Context,
    sql::rows::KeyTable,
    state::{RowIndex, View},
};
use arrow::array::{ArrayRef, UInt32Array};
use std::ops::Range;

/// Keys that are computed in one step: without a condition, and with one, where all rows of a key are read.
const KEYS_PER_STEP: [usize; 2] = [2_048, 64];

/// The touched keys while a batch ends.
pub(super) struct Groups {
    /// Their numbers, in the order of their bytes.
    order: Vec<u32>,
    /// For each side its touched rows, each with the place of its key in `order`.
    rows: [Vec<(u32, u32)>; 2],
    next: usize,
}

impl Groups {
    pub fn of(join: &Joining) -> Self {
        let groups = &join.groups;
        let mut order: Vec<u32> = (0u32..).zip(groups.iter()).map(|(at, _)| at).collect();
        order.sort_unstable_by(|a, b| groups.get(*a as usize).cmp(groups.get(*b as usize)));
        let mut rank = vec![0_u32; order.len()];
        (0u32..).zip(&order).for_each(|(at, group)| rank[*group as usize] = at);
        let rows = |side: Side| {
            if join.plan.kind.singles(side).is_none() {
                return vec![];
            }
            let of_rows = &join.sides[side.index()].touched.groups;
            let mut rows: Vec<(u32, u32)> =
                of_rows.iter().zip(0u32..).map(|(group, row)| (rank[*group as usize], row)).collect();
            rows.sort_unstable();
            rows
        };
        Groups { rows: Side::BOTH.map(rows), order, next: 0 }
    }

    /// Sends what has become of some keys; returns what is left.
    pub fn step(mut self, join: &Joining, cx: &mut Context<'_>) -> Result<Option<Self>> {
        let keys = KEYS_PER_STEP[usize::from(join.condition.is_some())];
        let range = self.next..self.order.len().min(self.next + keys);
        self.next = range.end;
        match &join.condition {
            None => {
                for side in Side::BOTH {
                    self.by_key(join, side, range.clone(), cx)?;
                }
            }
            Some(condition) => self.by_condition(join, condition, range, cx)?,
        }
        Ok((self.next < self.order.len()).then_some(self))
    }

    fn prefixes<'j>(&self, join: &'j Joining, range: Range<usize>) -> Vec<&'j [u8]> {
        self.order[range].iter().map(|group| join.groups.get(*group as usize)).collect()
    }

    fn ms(&self, join: &Joining, at: usize) -> i64 {
        join.groups_ms[self.order[at] as usize]
    }

    /// The rows of one side whose partner is a matter of the key alone.
    fn by_key(&self, join: &Joining, side: Side, range: Range<usize>, cx: &mut Context<'_>) -> Result {
        let Some(singles) = join.plan.kind.singles(side) else { return Ok(()) };
        let prefixes = self.prefixes(join, range.clone());
        let other = side.other();
        let partners = cx.stores.open(join.sides[other.index()].store);
        let had = which_have_rows(join.plan.side(other), partners, View::Committed, &prefixes)?;
        let has = which_have_rows(join.plan.side(other), partners, View::Staged, &prefixes)?;
        let store = cx.stores.open(join.sides[side.index()].store);
        let of_side = join.plan.side(side);
        let mut leaving = SingleRows::new(&join.plan, side, store.formats().present())?;
        // Where nothing has become of the partners, only touched rows have changed.
        let rows = &self.rows[side.index()];
        let first = rows.partition_point(|(at, _)| (*at as usize) < range.start);
        let touched = &join.sides[side.index()].touched;
        for (at, row) in rows[first..].iter().take_while(|(at, _)| (*at as usize) < range.end) {
            let at = *at as usize;
            let is_matched = has[at - range.start];
            if had[at - range.start] != is_matched || singles.leaves(1, is_matched) == 0 {
                continue;
            }
            let key = touched.keys.get(*row as usize);
            let lists = [store.old(key), store.new_value(key)].map(Option::unwrap_or_default);
            each_row(lists, of_side.has_flags, |row, old, new| {
                let said = [(old.0, is_matched), (new.0, is_matched)];
                send_change(&mut leaving, row, said, self.ms(join, at), &mut cx.out)
            })
            .map_err(store.failed())?;
        }
        for (view, sign, matched) in [(View::Committed, -1, &had), (View::Staged, 1, &has)] {
            let is_wanted = |at: &usize| had[*at] != has[*at] && singles.leaves(1, matched[*at]) != 0;
            let wanted: Vec<usize> = (0..prefixes.len()).filter(is_wanted).collect();
            let of_wanted: Vec<&[u8]> = wanted.iter().map(|at| prefixes[*at]).collect();
            store.visit_prefixes(view, &of_wanted, &mut |index, _, value| {
                let at = wanted[index];
                for entry in entries(value, of_side.has_flags) {
                    let entry = entry.map_err(store.failed())?;
                    let ms = self.ms(join, range.start + at);
                    leaving.push(entry.row, sign * entry.weight, matched[at], ms, &mut cx.out)?;
                }
                Ok(true)
            })?;
        }
        leaving.flush(&mut cx.out)
    }

    /// The rows of both sides, where a condition is tried for each pair.
    fn by_condition(
        &self,
        join: &Joining,
        condition: &Condition,
        range: Range<usize>,
        cx: &mut Context<'_>,
    ) -> Result {
        let prefixes = self.prefixes(join, range.clone());
        // For each row that may leave: how often it leaves more than before, without a partner and with one.
        let mut rows = [KeyTable::default(), KeyTable::default()];
        let mut changes: [Vec<[i64; 2]>; 2] = [vec![], vec![]];
        for (view, sign) in [(View::Committed, -1), (View::Staged, 1)] {
            let mut sides = vec![];
            for side in Side::BOTH {
                let store = cx.stores.open(join.sides[side.index()].store);
                sides.push(GroupRows::read(join.plan.side(side), store, view, &prefixes)?);
            }
            let matched = matched(condition, &sides)?;
            for side in Side::BOTH {
                let Some(singles) = join.plan.kind.singles(side) else { continue };
                let (index, of_side) = (side.index(), &sides[side.index()]);
                for (row, is_matched) in matched[index].iter().enumerate() {
                    let slot = rows[index].insert(of_side.named.get(row));
                    if slot.is_new {
                        changes[index].push([0, 0]);
                    }
                    let weight = singles.leaves(of_side.weights[row], *is_matched);
                    changes[index][slot.index][usize::from(*is_matched)] += sign * weight;
                }
            }
        }
        for side in Side::BOTH {
            let format = cx.stores.open(join.sides[side.index()].store).formats().present();
            let mut leaving = SingleRows::new(&join.plan, side, format)?;
            for (named, change) in rows[side.index()].iter().zip(&changes[side.index()]) {
                let (at, row) = named.split_at(size_of::<u32>());
                let at = u32::from_be_bytes(at.try_into().unwrap_or_default()) as usize;
                for (is_matched, weight) in [(false, change[0]), (true, change[1])] {
                    leaving.push(row, weight, is_matched, self.ms(join, range.start + at), &mut cx.out)?;
                }
            }
            leaving.flush(&mut cx.out)?;
        }
        Ok(())
    }
}

fn which_have_rows(
    of_side: &SidePlan,
    store: &RowIndex,
    view: View,
    prefixes: &[&[u8]],
) -> Result<Vec<bool>> {
    let mut have = vec![false; prefixes.len()];
    store.visit_prefixes(view, prefixes, &mut |index, _, value| {
        have[index] = has_rows(of_side, value).map_err(store.failed())?;
        Ok(!have[index])
    })?;
    Ok(have)
}

/// The rows of some keys on one side.
struct GroupRows {
    columns: Vec<ArrayRef>,
    weights: Vec<i64>,
    /// For each key its rows.
    by_key: Vec<Range<u32>>,
    /// For each row the number of its key (4 bytes, big-endian) and the row.
    named: super::side::Arena,
}

impl GroupRows {
    fn read(of_side: &SidePlan, store: &RowIndex, view: View, prefixes: &[&[u8]]) -> Result<Self> {
        let mut decoder = of_side.row_format.decoder(store.formats().present(), 64)?;
        let (mut weights, mut by_key) = (vec![], vec![0..0; prefixes.len()]);
        let mut named = super::side::Arena::default();
        store.visit_prefixes(view, prefixes, &mut |index, _, value| {
            for entry in entries(value, of_side.has_flags) {
                let entry = entry.map_err(store.failed())?;
                let at = u32::try_from(weights.len()).unwrap_or(u32::MAX);
                decoder.push(entry.row).map_err(store.failed())?;
                weights.push(entry.weight);
                named.bytes.extend_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes());
                named.bytes.extend_from_slice(entry.row);
                named.end();
                let range: &mut Range<u32> = &mut by_key[index];
                *range = if range.end == 0 { at..at + 1 } else { range.start..at + 1 };
            }
            Ok(true)
        })?;
        Ok(GroupRows { columns: decoder.finish()?, weights, by_key, named })
    }
}

/// Which rows of both sides have a partner.
fn matched(condition: &Condition, sides: &[GroupRows]) -> Result<[Vec<bool>; 2]> {
    let [left, right] = sides else { return Ok([vec![], vec![]]) };
    let mut matched = [left, right].map(|side| vec![false; side.weights.len()]);
    let mut pairs: [Vec<u32>; 2] = [vec![], vec![]];
    let mut flush = |pairs: &mut [Vec<u32>; 2]| -> Result {
        let [a, b] = pairs.each_mut().map(|rows| UInt32Array::from(std::mem::take(rows)));
        if a.is_empty() {
            return Ok(());
        }
        let holds = condition.holds([&left.columns, &right.columns], [&a, &b])?;
        for pair in (0..a.len()).filter(|pair| holds.value(*pair)) {
            matched[0][a.value(pair) as usize] = true;
            matched[1][b.value(pair) as usize] = true;
        }
        Ok(())
    };
    for (of_left, of_right) in left.by_key.iter().zip(&right.by_key) {
        for a in of_left.clone() {
            for b in of_right.clone() {
                pairs[0].push(a);
                pairs[1].push(b);
                if pairs[0].len() >= ROWS_PER_CHUNK {
                    flush(&mut pairs)?;
                }
            }
        }
    }
    flush(&mut pairs)?;
    Ok(matched)
}
