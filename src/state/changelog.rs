//! The rows of a changelog topic and the meaning of their bytes.
//!
//! Owns the layout of their keys (`docs/state-format.md`): the store's id as 4 bytes, big-endian, then the key as
//! stored. Knows no topic and no database. Invariant: no store has the id 0.

use super::StoreId;
use crate::record::RawRecord;

/// The id that no store has: it marks rows of the engine itself.
pub const ENGINE: StoreId = StoreId(0);

/// The content of a changelog row: a key of a store was set to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The store.
    pub store: StoreId,
    /// The key, as stored.
    pub key: &'a [u8],
    /// The value, as stored; `None` = deleted.
    pub value: Option<&'a [u8]>,
}

/// The change in a record of a changelog topic; `None` = it belongs to no store and is to be ignored.
#[must_use]
pub fn change(record: RawRecord<'_>) -> Option<Change<'_>> {
    let (id, key) = record.key?.split_first_chunk()?;
    let store = StoreId(u32::from_be_bytes(*id));
    (store != ENGINE).then_some(Change { store, key, value: record.value })
}

/// Sets `out` to the beginning of a row key of `store`.
pub(crate) fn store_key(store: StoreId, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&store.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Offset};

    #[test]
    fn rows_of_stores_are_changes_and_others_are_ignored() {
        let of = |key| {
            change(RawRecord {
                offset: Offset(0),
                timestamp_ms: 0,
                key,
                value: Some(b"v"),
                headers: Headers::NONE,
            })
        };
        let (store, value) = (StoreId(7), Some(&b"v"[..]));
        assert_eq!(of(Some(b"\0\0\0\x07key")), Some(Change { store, key: b"key", value }));
        assert_eq!(of(Some(b"\0\0\0\x07")), Some(Change { store, key: b"", value }));
        assert_eq!([None, Some(&b"\0\0"[..]), Some(b"\0\0\0\0marker")].map(of), [None; 3]);
    }
}
