//! One side of a join while a batch is computed: its rows in the store, and which of them the batch has touched.
//!
//! Owns how a row is added to the store and taken from it. Knows no pair. Invariants: a row is read once and written once per chunk; at
//! the end of a batch no row has a negative weight, or the input contradicts itself.

use super::{
    entries::{Change, entries, with_changed},
    plan::SidePlan,
};
use crate::{
    error::{Error, Result},
    record::Stamps,
    sql::rows::KeyTable,
    state::{Handle, RowIndex},
};

/// Pieces of bytes, one behind the other.
#[derive(Default)]
pub(super) struct Arena {
    pub bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arena {
    /// What was appended to `bytes` since the last call is a piece.
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.end();
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// The bytes of the piece that is being appended.
    pub fn open(&self) -> &[u8] {
        &self.bytes[self.ends.last().copied().unwrap_or_default()..]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// What a batch has touched of a side, by the keys of the store.
#[derive(Default)]
pub(super) struct Touched {
    pub keys: KeyTable,
    /// For each key the greatest timestamp of the records behind what has touched it.
    pub newest_ms: Vec<i64>,
    /// For each key the number of its group, where groups are kept.
    pub groups: Vec<u32>,
}

impl Touched {
    /// Touches a key.
    pub fn touch(&mut self, key: &[u8], group: u32, ms: i64) {
        let slot = self.keys.insert(key);
        if slot.is_new {
            self.newest_ms.push(ms);
            self.groups.push(group);
        } else {
            let newest_ms = &mut self.newest_ms[slot.index];
            *newest_ms = ms.max(*newest_ms);
        }
    }

    /// The timestamp of a key that was touched.
    pub fn ms_of(&self, key: &[u8]) -> i64 {
        if self.keys.is_empty() {
            return Stamps::NONE;
        }
        self.keys.find(key).map_or(Stamps::NONE, |at| self.newest_ms[at])
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.newest_ms.clear();
        self.groups.clear();
    }

    pub fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes() + size_of_val(&self.newest_ms[..]) + size_of_val(&self.groups[..])
    }
}

/// One side while a batch is computed.
pub(super) struct SideRows {
    pub store: Handle<RowIndex>,
    pub touched: Touched,
    /// How many rows have a negative weight.
    below_zero: i64,
    scratch: Vec<u8>,
}

impl SideRows {
    pub fn new(store: Handle<RowIndex>) -> Self {
        SideRows { store, touched: Touched::default(), below_zero: 0, scratch: vec![] }
    }

    /// Adds a row, whose key was touched in the store.
    pub fn add(
        &mut self,
        plan: &SidePlan,
        store: &mut RowIndex,
        (key, row): (&[u8], &[u8]),
        weight: i64,
    ) -> Result {
        let below_zero = &mut self.below_zero;
        let mut add = |before: i64, is_matched: bool| {
            let too_many = || Error::Codec("a row is there more than 2^63 times".into());
            let after = before.checked_add(weight).ok_or_else(too_many)?;
            *below_zero += i64::from(after < 0) - i64::from(before < 0);
            Ok((after, is_matched))
        };
        change(plan, store, (key, row), &mut add, &mut self.scratch)
    }

    /// A row has met a partner; its key was touched in the store.
    pub fn set_matched(&mut self, plan: &SidePlan, store: &mut RowIndex, key: &[u8], row: &[u8]) -> Result {
        if crate::failpoint::passes("mutant-match-forgotten") {
            return Ok(());
        }
        change(plan, store, (key, row), &mut |weight, _| Ok((weight, true)), &mut self.scratch)
    }

    /// The batch ends.
    ///
    /// # Errors
    /// If more was taken of a row than there was.
    pub fn settle(&self) -> Result {
        if self.below_zero == 0 {
            return Ok(());
        }
        let what = "a row was taken from a side of a join that does not have it; the source sends changes that contradict each other";
        Err(Error::Codec(what.into()))
    }

    pub fn clear(&mut self) {
        self.touched.clear();
        self.below_zero = 0;
    }
}

fn change(
    plan: &SidePlan,
    store: &mut RowIndex,
    (key, row): (&[u8], &[u8]),
    change: &mut Change<'_>,
    scratch: &mut Vec<u8>,
) -> Result {
    let before = store.new_value(key).unwrap_or_default();
    with_changed(before, row, plan.has_flags, change, scratch).map_err(store.failed())?;
    if scratch.is_empty() {
        store.delete(key);
    } else {
        store.put(key, scratch);
    }
    Ok(())
}

/// Whether a value has any row.
pub(super) fn has_rows(plan: &SidePlan, value: &[u8]) -> Result<bool> {
    for entry in entries(value, plan.has_flags) {
        if entry?.weight > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
