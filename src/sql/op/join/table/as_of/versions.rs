//! The versions of the rows of a table.
//!
//! Owns which of them are there, and which are forgotten. Knows no row of the stream. Invariants: a key has one version for each time, the one
//! that came last; of versions that the watermark has passed a key keeps the newest, and none if that says that there is no row.

use crate::{
    error::{Error, Result},
    operator::Context,
    record::varint::put_varint,
    sql::{
        op::window::{time_bytes, time_of},
        rows::KeyTable,
    },
    state::{Handle, RowIndex, View},
};
use std::collections::{BTreeMap, BTreeSet};

/// Keys that are looked at in one step.
const KEYS_PER_STEP: usize = 4_096;

/// What begins the value of a version that is a row.
const IS_ROW: u8 = 1;

/// The row of a version, as it is stored; `None` = there is no row.
pub(super) fn row_of(value: &[u8]) -> Result<Option<&[u8]>> {
    match value.split_first() {
        None => Ok(None),
        Some((&IS_ROW, row)) => Ok(Some(row)),
        Some(_) => Err(Error::Codec("a version begins with a byte that is not known".into())),
    }
}

/// What the keys of the versions of a key begin with.
pub(super) fn prefix_of(key: &[u8]) -> Vec<u8> {
    let mut prefix = vec![];
    put_varint(&mut prefix, key.len() as u64);
    prefix.extend_from_slice(key);
    prefix
}

/// Versions that came in a batch, in the order in which they came.
#[derive(Default)]
pub(super) struct Arrived {
    keys: KeyTable,
    /// For each key its versions: since when, if it is said, and the value.
    versions: Vec<Vec<(Option<i64>, Vec<u8>)>>,
    bytes: usize,
}

impl Arrived {
    /// A row that is valid from a time on; `None` = there is none, and without a time from the time of its last version on.
    pub fn push(&mut self, key: &[u8], since_ms: Option<i64>, row: Option<&[u8]>) {
        let slot = self.keys.insert(key);
        if slot.is_new {
            self.versions.push(vec![]);
        }
        let value = row.map_or_else(Vec::new, |row| [&[IS_ROW][..], row].concat());
        self.bytes += value.len() + size_of::<(Option<i64>, Vec<u8>)>();
        self.versions[slot.index].push((since_ms, value));
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.versions.clear();
        self.bytes = 0;
    }

    pub fn memory_bytes(&self) -> usize {
        if self.keys.is_empty() { 0 } else { self.keys.memory_bytes() + self.bytes }
    }
}

/// Where versions are kept.
#[derive(Clone, Copy)]
pub(super) struct Versions {
    pub rows: Handle<RowIndex>,
    pub passing: Handle<RowIndex>,
}

/// The versions of a key, by the time since when they are valid.
type OfKey = BTreeMap<i64, Vec<u8>>;

impl Versions {
    /// Adds a part of what arrived, from the key of this number on; returns where the next part begins. `watermark` is that before the batch.
    pub fn add(
        self,
        arrived: &Arrived,
        from: usize,
        watermark: Option<i64>,
        cx: &mut Context<'_>,
    ) -> Result<Option<usize>> {
        let to = arrived.len().min(from + KEYS_PER_STEP);
        let mut order: Vec<usize> = (from..to).collect();
        let prefixes: Vec<Vec<u8>> = order.iter().map(|at| prefix_of(arrived.keys.get(*at))).collect();
        order.sort_unstable_by(|a, b| prefixes[a - from].cmp(&prefixes[b - from]));
        let sorted: Vec<&[u8]> = order.iter().map(|at| prefixes[at - from].as_slice()).collect();
        let (rows, passing) = cx.stores.open2(self.rows, self.passing);
        let mut known: Vec<OfKey> = vec![BTreeMap::new(); order.len()];
        rows.visit_prefixes(View::Staged, &sorted, &mut |index, key, value| {
            known[index].insert(time_of(&key[sorted[index].len()..]), value.to_vec());
            Ok(true)
        })?;
        for ((at, prefix), mut of_key) in order.iter().zip(&sorted).zip(known) {
            for (since_ms, value) in &arrived.versions[*at] {
                let Some(since_ms) = since_ms.or_else(|| of_key.last_key_value().map(|(last, _)| *last))
                else {
                    continue;
                };
                // A row that has not left is at the watermark or behind it: what a newer version hides from there on is met by none.
                let is_hidden =
                    |watermark| of_key.range(since_ms.saturating_add(1)..=watermark).next().is_some();
                if watermark.is_some_and(|watermark| since_ms < watermark && is_hidden(watermark)) {
                    cx.counters.late += 1;
                    continue;
                }
                rows.put(&[*prefix, &time_bytes(since_ms)].concat(), value);
                let passed_at =
                    watermark.map_or(since_ms, |watermark| since_ms.max(watermark.saturating_add(1)));
                passing.put(&[&time_bytes(passed_at)[..], arrived.keys.get(*at)].concat(), &[]);
                of_key.insert(since_ms, value.clone());
            }
        }
        Ok((to < arrived.len()).then_some(to))
    }

    /// The versions of these keys, given by their sorted prefixes: for each the time since when it is valid and the value, in order.
    pub fn of(self, prefixes: &[&[u8]], cx: &mut Context<'_>) -> Result<Vec<Vec<(i64, Vec<u8>)>>> {
        let mut found = vec![vec![]; prefixes.len()];
        cx.stores.open(self.rows).visit_prefixes(View::Staged, prefixes, &mut |index, key, value| {
            found[index].push((time_of(&key[prefixes[index].len()..]), value.to_vec()));
            Ok(true)
        })?;
        Ok(found)
    }

    /// Forgets a part of the versions that no row can meet now; returns where the next part begins.
    pub fn forget(self, from: &[u8], watermark: i64, cx: &mut Context<'_>) -> Result<Option<Vec<u8>>> {
        let (rows, passing) = cx.stores.open2(self.rows, self.passing);
        let mut passed: BTreeSet<Vec<u8>> = BTreeSet::new();
        let to = time_bytes(watermark.saturating_add(1));
        let next = passing.take_range(from, &to, KEYS_PER_STEP, |key, _| {
            passed.insert(prefix_of(&key[8..]));
            Ok(())
        })?;
        let prefixes: Vec<&[u8]> = passed.iter().map(Vec::as_slice).collect();
        let mut forgotten: Vec<Vec<u8>> = vec![];
        // The newest version so far that the watermark has passed, and whether it is a row.
        let mut newest: Option<(usize, Vec<u8>, bool)> = None;
        rows.visit_prefixes(View::Staged, &prefixes, &mut |index, key, value| {
            if time_of(&key[prefixes[index].len()..]) > watermark {
                return Ok(true);
            }
            let before = newest.replace((index, key.to_vec(), row_of(value)?.is_some()));
            if let Some((of, key, is_row)) = before
                && (of == index || !is_row)
            {
                forgotten.push(key);
            }
            Ok(true)
        })?;
        forgotten.extend(newest.filter(|(.., is_row)| !is_row).map(|(_, key, _)| key));
        forgotten.iter().for_each(|key| rows.delete(key));
        Ok(next)
    }
}
