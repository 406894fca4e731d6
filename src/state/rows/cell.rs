//! What the value of a key was before a batch and what it has become, as bytes.
//!
//! Owns the rule of what counts as a change. Knows no map and no database. Invariant: a value whose bytes equal the committed ones is
//! not a change, however often it was written.

use crate::{
    record::{Bytes, RawChunkBuilder},
    state::{merged::Changed, staged::INLINE_BYTES},
};
use std::convert::Infallible;

impl Changed for RowCell {
    fn value(&self) -> Option<&[u8]> {
        self.new_value()
    }
}

/// A key that was touched in this batch.
pub(super) struct RowCell {
    committed: Committed,
    staged: Staged,
}

enum Committed {
    Nothing,
    Value(Bytes),
    /// Written without reading the committed value: always counts as a change.
    Unread,
}

enum Staged {
    /// As it is committed.
    Same,
    Put(Bytes),
    Deleted,
}

impl RowCell {
    /// A key as the database has it.
    pub fn read(committed: Option<&[u8]>) -> Self {
        let committed = committed.map_or(Committed::Nothing, |bytes| Committed::Value(bytes.into()));
        RowCell { committed, staged: Staged::Same }
    }

    /// A key that the database was not asked for.
    pub fn unread() -> Self {
        RowCell { committed: Committed::Unread, staged: Staged::Same }
    }

    /// Whether the database was asked for it.
    pub fn is_read(&self) -> bool {
        !matches!(self.committed, Committed::Unread)
    }

    /// The committed value, now that the database was asked for it.
    pub fn set_committed(&mut self, committed: Option<&[u8]>) {
        self.committed = committed.map_or(Committed::Nothing, |bytes| Committed::Value(bytes.into()));
    }

    /// The committed value.
    pub fn old(&self) -> Option<&[u8]> {
        match &self.committed {
            Committed::Value(bytes) => Some(bytes),
            Committed::Nothing | Committed::Unread => None,
        }
    }

    /// The value as this batch has left it.
    pub fn new_value(&self) -> Option<&[u8]> {
        match &self.staged {
            Staged::Same => self.old(),
            Staged::Put(bytes) => Some(bytes),
            Staged::Deleted => None,
        }
    }

    pub fn put(&mut self, value: &[u8]) {
        self.staged = Staged::Put(value.into());
    }

    pub fn delete(&mut self) {
        self.staged = Staged::Deleted;
    }

    /// The heap that the bytes use.
    pub fn heap_bytes(&self) -> usize {
        let heap = |bytes: &Bytes| if bytes.len() > INLINE_BYTES { bytes.len() } else { 0 };
        let committed = if let Committed::Value(bytes) = &self.committed { heap(bytes) } else { 0 };
        committed + if let Staged::Put(bytes) = &self.staged { heap(bytes) } else { 0 }
    }

    /// Appends the changelog row if there is a change.
    pub fn seal(&self, key: &[u8], rows: &mut RawChunkBuilder) {
        let value = match (&self.staged, &self.committed) {
            (Staged::Same, _) | (Staged::Deleted, Committed::Nothing) => return,
            (Staged::Put(new), Committed::Value(old)) if new == old => return,
            (Staged::Put(new), _) => Some(new),
            (Staged::Deleted, _) => None,
        };
        let Ok(()) = rows.push_with(-1, Some(key), |out| {
            if let Some(value) = value {
                out.extend_from_slice(value);
            }
            Ok::<_, Infallible>(value.is_some())
        });
    }
}
