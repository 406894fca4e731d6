//! Rows of a database merged with what was changed in front of it, by the beginnings of keys.
//!
//! Owns the order of such a visit. Knows no store. Invariants: each key is visited once, in order, with what it was changed to; a prefix
//! that its visitor has ended is not gone on with.

use super::VisitPrefixed;
use crate::{error::Result, record::Bytes};
use std::{
    collections::{BTreeMap, btree_map},
    iter::Peekable,
    ops::Bound,
};

/// What a key was changed to.
pub(super) trait Changed {
    /// The value; `None` = it has none any more.
    fn value(&self) -> Option<&[u8]>;
}

impl Changed for Option<Bytes> {
    fn value(&self) -> Option<&[u8]> {
        self.as_deref()
    }
}

/// Visits rows by sorted prefixes: those that `scan` finds in the database, and those that were changed.
pub(super) fn visit_prefixes<C: Changed>(
    changed: &BTreeMap<Bytes, C>,
    prefixes: &[&[u8]],
    visit: &mut VisitPrefixed<'_>,
    scan: impl FnOnce(&mut VisitPrefixed<'_>) -> Result,
) -> Result {
    let mut merge = Merge { changed, prefixes, visit, of: None };
    scan(&mut |index, key, value| {
        merge.begin(index)?;
        merge.row(index, key, value)
    })?;
    merge.begin(prefixes.len())
}

struct Merge<'a, 'v, C> {
    changed: &'a BTreeMap<Bytes, C>,
    prefixes: &'a [&'a [u8]],
    visit: &'a mut VisitPrefixed<'v>,
    /// The prefix that is visited.
    of: Option<OfPrefix<'a, C>>,
}

struct OfPrefix<'a, C> {
    index: usize,
    prefix: &'a [u8],
    /// What was changed of it and was not visited yet.
    left: Peekable<btree_map::Range<'a, Bytes, C>>,
    goes_on: bool,
}

impl<C: Changed> Merge<'_, '_, C> {
    /// Ends the prefixes before this one.
    fn begin(&mut self, index: usize) -> Result {
        loop {
            let next = match &self.of {
                Some(of) if of.index == index => return Ok(()),
                Some(of) => of.index + 1,
                None => 0,
            };
            self.changed_before(None)?;
            let Some(prefix) = self.prefixes.get(next) else { return Ok(()) };
            let from = (Bound::Included(*prefix), Bound::Unbounded);
            let left = self.changed.range::<[u8], _>(from).peekable();
            self.of = Some(OfPrefix { index: next, prefix, left, goes_on: true });
        }
    }

    /// Visits what was changed before a key of the database; with `None`, all that is left of the prefix.
    fn changed_before(&mut self, key: Option<&[u8]>) -> Result {
        let Some(of) = &mut self.of else { return Ok(()) };
        while of.goes_on {
            let prefix = of.prefix;
            let is_next =
                |(ours, _): &(&Bytes, &C)| ours.starts_with(prefix) && key.is_none_or(|key| &***ours < key);
            let Some((ours, change)) = of.left.next_if(is_next) else { return Ok(()) };
            if let Some(value) = change.value() {
                of.goes_on = (self.visit)(of.index, ours, value)?;
            }
        }
        Ok(())
    }

    /// Visits a row of the database.
    fn row(&mut self, index: usize, key: &[u8], value: &[u8]) -> Result<bool> {
        self.changed_before(Some(key))?;
        let Some(of) = self.of.as_mut().filter(|of| of.goes_on) else { return Ok(false) };
        let change = of.left.next_if(|(ours, _)| &***ours == key);
        if let Some(value) = change.map_or(Some(value), |(_, change)| change.value()) {
            of.goes_on = (self.visit)(index, key, value)?;
        }
        Ok(of.goes_on)
    }
}
