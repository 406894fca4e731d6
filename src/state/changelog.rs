//! The rows of a changelog topic and the meaning of their bytes.
//!
//! Owns the layout of their keys (`docs/state-format.md`): the store's id as 4 bytes, big-endian, then the key as
//! stored; id 0 and `marker` for the row that carries a recovery record. Knows no topic and no database. Invariant: no
//! store has the id 0.

use super::StoreId;
use crate::record::{RawChunkBuilder, RawRecord};

/// The id that no store has: it marks rows of the engine itself.
pub const ENGINE: StoreId = StoreId(0);
const MARKER: &[u8] = b"\0\0\0\0marker";

/// A row of a changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row<'a> {
    /// A key of a store was set to this value; `None` = deleted.
    Change {
        /// The store.
        store: StoreId,
        /// The key, as stored.
        key: &'a [u8],
        /// The value, as stored.
        value: Option<&'a [u8]>,
    },
    /// The recovery record of a batch that was committed up to here.
    Marker(&'a [u8]),
    /// Not written by this engine, or written by a later version; to be ignored.
    Unknown,
}

/// Classifies a record of a changelog topic.
#[must_use]
pub fn row(record: RawRecord<'_>) -> Row<'_> {
    match (record.key, record.value) {
        (Some(MARKER), Some(value)) => Row::Marker(value),
        (Some(key), value) => match key.split_first_chunk() {
            Some((id, key)) if u32::from_be_bytes(*id) != ENGINE.0 => {
                Row::Change { store: StoreId(u32::from_be_bytes(*id)), key, value }
            }
            _ => Row::Unknown,
        },
        _ => Row::Unknown,
    }
}

/// Appends a marker row that carries a recovery record.
pub fn push_marker(recovery_record: &[u8], rows: &mut RawChunkBuilder) {
    let pushed = rows.push_with(-1, Some(MARKER), |out| {
        out.extend_from_slice(recovery_record);
        Ok::<_, std::convert::Infallible>(true)
    });
    let Ok(()) = pushed;
}

/// Sets `out` to the beginning of a row key of `store`.
pub(super) fn store_key(store: StoreId, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&store.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_rows_are_distinguished() {
        let mut b = RawChunkBuilder::default();
        let mut push = |key: Option<&[u8]>, value: Option<&[u8]>| {
            b.push_with(-1, key, |out| {
                out.extend_from_slice(value.unwrap_or_default());
                Ok::<_, ()>(value.is_some())
            })
            .unwrap();
        };
        push(Some(b"\0\0\0\x07key"), Some(b"v"));
        push(Some(b"\0\0\0\x07"), None);
        push(None, Some(b"v"));
        push(Some(b"\0\0"), Some(b"v"));
        push(Some(b"\0\0\0\0later"), Some(b"v"));
        push_marker(b"first", &mut b);
        push_marker(b"last", &mut b);
        let rows = b.build();
        let store = StoreId(7);
        let all: Vec<Row<'_>> = rows.iter().map(row).collect();
        assert_eq!(
            all,
            [
                Row::Change { store, key: b"key", value: Some(b"v") },
                Row::Change { store, key: b"", value: None },
                Row::Unknown,
                Row::Unknown,
                Row::Unknown,
                Row::Marker(b"first"),
                Row::Marker(b"last"),
            ]
        );
    }
}
