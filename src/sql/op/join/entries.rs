//! The rows that a join keeps under one key, as bytes.
//!
//! Owns the bytes of such a list. Knows no store. Invariants: the rows of a list differ and are in the order of their bytes; none has the
//! weight 0.
//!
//! An entry is the length of what follows (varint), the weight (varint in zigzag), a byte that says whether the row has met a partner, if
//! the side keeps that, and the row as it is stored (see `sql/rows/value.rs`).

use crate::{
    error::{Error, Result},
    record::varint::{put_varint, put_zigzag, take_varint, take_zigzag},
};
use std::cmp::Ordering;

/// A row of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'v> {
    /// How often it is there.
    pub weight: i64,
    /// Whether it has met a partner; never, if the side does not keep that.
    pub is_matched: bool,
    /// The row.
    pub row: &'v [u8],
}

/// The entries of a value.
pub(super) struct Entries<'v> {
    rest: &'v [u8],
    has_flags: bool,
}

/// Reads a list; `has_flags` = the side keeps whether its rows have met a partner.
pub(super) fn entries(value: &[u8], has_flags: bool) -> Entries<'_> {
    Entries { rest: value, has_flags }
}

impl<'v> Entries<'v> {
    fn entry(&mut self) -> Option<Entry<'v>> {
        let length = usize::try_from(take_varint(&mut self.rest)?).ok()?;
        let (mut body, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let weight = take_zigzag(&mut body)?;
        let mut is_matched = false;
        if self.has_flags {
            let (flag, row) = body.split_first()?;
            (is_matched, body) = (*flag == 1, row);
        }
        Some(Entry { weight, is_matched, row: body })
    }
}

impl<'v> Iterator for Entries<'v> {
    type Item = Result<Entry<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.rest = &[];
        }
        Some(entry.ok_or_else(|| Error::Codec("a list of rows ends too early".into())))
    }
}

/// Appends an entry.
pub(super) fn put_entry(out: &mut Vec<u8>, entry: Entry<'_>, has_flags: bool) {
    let mut weight = Vec::with_capacity(10);
    put_zigzag(&mut weight, entry.weight);
    let length = weight.len() + usize::from(has_flags) + entry.row.len();
    put_varint(out, length as u64);
    out.extend_from_slice(&weight);
    if has_flags {
        out.push(u8::from(entry.is_matched));
    }
    out.extend_from_slice(entry.row);
}

/// What becomes of a row of a list: gets its weight (0 = it is not there) and whether it has met a partner, and answers with the new ones.
pub(super) type Change<'c> = dyn FnMut(i64, bool) -> Result<(i64, bool)> + 'c;

/// Writes the list with one row changed to `out`; it is empty if no row is left.
pub(super) fn with_changed(
    value: &[u8],
    row: &[u8],
    has_flags: bool,
    change: &mut Change<'_>,
    out: &mut Vec<u8>,
) -> Result {
    out.clear();
    let mut is_done = false;
    let put_changed = |(weight, is_matched): (i64, bool), out: &mut Vec<u8>| {
        if weight != 0 {
            put_entry(out, Entry { weight, is_matched, row }, has_flags);
        }
    };
    for entry in entries(value, has_flags) {
        let entry = entry?;
        if !is_done && entry.row >= row {
            is_done = true;
            if entry.row == row {
                put_changed(change(entry.weight, entry.is_matched)?, out);
                continue;
            }
            put_changed(change(0, false)?, out);
        }
        put_entry(out, entry, has_flags);
    }
    if !is_done {
        put_changed(change(0, false)?, out);
    }
    Ok(())
}

/// Visits the rows of two lists, with weight and whether they have met a partner in each; (0, false) where a row is not there.
pub(super) fn each_row(
    [old, new]: [&[u8]; 2],
    has_flags: bool,
    mut visit: impl FnMut(&[u8], (i64, bool), (i64, bool)) -> Result,
) -> Result {
    let read = |value| entries(value, has_flags).collect::<Result<Vec<Entry<'_>>>>();
    let (old, new) = (read(old)?, read(new)?);
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let facts =
        |entry: Option<&Entry<'_>>| entry.map_or((0, false), |entry| (entry.weight, entry.is_matched));
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.row.cmp(new.row),
        };
        let old = if order == Ordering::Greater { None } else { old.next() };
        let new = if order == Ordering::Less { None } else { new.next() };
        if let Some(row) = old.or(new).map(|entry| entry.row) {
            visit(row, facts(old), facts(new))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &[(i64, bool, &[u8])], has_flags: bool) -> Vec<u8> {
        let mut out = vec![];
        for (weight, is_matched, row) in rows {
            put_entry(&mut out, Entry { weight: *weight, is_matched: *is_matched, row }, has_flags);
        }
        out
    }

    fn changed(value: &[u8], row: &[u8], has_flags: bool, to: (i64, bool)) -> Vec<u8> {
        let mut out = vec![9];
        with_changed(value, row, has_flags, &mut |_, _| Ok(to), &mut out).unwrap();
        out
    }

    #[test]
    fn a_list_has_these_bytes_and_keeps_its_order() {
        let two = list(&[(1, false, b"a"), (-2, true, b"cd")], true);
        assert_eq!(two, [3, 2, 0, b'a', 4, 3, 1, b'c', b'd']);
        let between = changed(&two, b"b", true, (3, true));
        assert_eq!(between, list(&[(1, false, b"a"), (3, true, b"b"), (-2, true, b"cd")], true));
        assert_eq!(changed(&between, b"b", true, (0, true)), two);
        assert_eq!(changed(&two, b"d", true, (0, false)), two, "what is not there stays so");
        let plain = list(&[(1, false, b"a")], false);
        assert_eq!(plain, [2, 2, b'a']);
        assert_eq!(changed(&plain, b"a", false, (0, false)), Vec::<u8>::new());
        assert_eq!(
            changed(&plain, b"b", false, (7, false)),
            list(&[(1, false, b"a"), (7, false, b"b")], false)
        );
    }

    #[test]
    fn bytes_that_are_no_list_are_an_error() {
        let two = list(&[(1, false, b"a"), (5, true, b"cd")], true);
        for cut in [1, 2, 5, 8] {
            assert!(entries(&two[..cut], true).any(|entry| entry.is_err()), "{cut}");
        }
    }
}
