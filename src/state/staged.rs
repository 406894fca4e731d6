//! One key's value within a batch: what is committed, what it has become, and how much memory it takes.
//!
//! Owns the rule of what counts as a change. Knows no map and no database. Invariants: a value whose bytes equal the
//! committed ones is not a change, however often it was written; reading never causes a change.

use crate::{
    codec::{Stored, value_bytes},
    error::Result,
    record::{Bytes, RawChunkBuilder, Value},
};
use std::mem::needs_drop;

/// Up to this length bytes are inline: they neither share a buffer nor use the heap.
pub(super) const INLINE_BYTES: usize = 23;

/// What the database holds for a key.
enum Committed {
    Nothing,
    Value(Bytes),
    /// Written without reading the committed value: always counts as a change.
    Unread,
}

/// A value that was read or written in this batch.
pub(super) struct Cell<V> {
    value: Option<V>,
    committed: Committed,
    writes: u32,
    /// The number of writes when `heap_bytes` was measured.
    weighed: u32,
    heap_bytes: usize,
    changed: bool,
}

impl<V: Value> Cell<V> {
    /// The value as it is in the database.
    pub fn read(committed: Option<&[u8]>, values: &Stored<V>) -> Result<Self> {
        Ok(match committed {
            Some(bytes) => {
                Cell { committed: Committed::Value(bytes.into()), ..Cell::passing(bytes, values)? }
            }
            None => Cell::nothing(),
        })
    }

    /// A key that the database does not have.
    pub fn nothing() -> Self {
        Cell {
            value: None,
            committed: Committed::Nothing,
            writes: 0,
            weighed: 0,
            heap_bytes: 0,
            changed: false,
        }
    }

    /// A committed value that is staged only if it is changed: its bytes are not kept yet.
    pub fn passing(committed: &[u8], values: &Stored<V>) -> Result<Self> {
        let value = Some(values.decode(committed)?);
        Ok(Cell { value, committed: Committed::Unread, ..Cell::nothing() })
    }

    /// A value written without reading the database.
    pub fn unread(value: V) -> Self {
        Cell { value: Some(value), committed: Committed::Unread, writes: 1, ..Cell::nothing() }
    }

    /// After a visit to a value that is not staged: the cell to stage, if the value was changed.
    pub fn differing(
        mut self,
        committed: &[u8],
        values: &Stored<V>,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Self>> {
        if self.writes == 0 {
            return Ok(None);
        }
        if let Some(value) = &self.value {
            scratch.clear();
            values.encode(value, scratch)?;
            if scratch == committed {
                return Ok(None);
            }
        }
        self.committed = Committed::Value(committed.into());
        Ok(Some(self))
    }

    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// Whether the database has no row of this key.
    pub fn is_new(&self) -> bool {
        matches!(self.committed, Committed::Nothing)
    }

    /// Takes the value if it differs from the committed one. A committed value becomes a deletion.
    pub fn close(&mut self, values: &Stored<V>, scratch: &mut Vec<u8>) -> Result<Option<V>> {
        let (Some(value), true) = (&self.value, self.writes > 0) else { return Ok(None) };
        if let Committed::Value(committed) = &self.committed {
            scratch.clear();
            values.encode(value, scratch)?;
            if scratch[..] == **committed {
                return Ok(None);
            }
        }
        Ok(self.value.take())
    }

    /// Whether the last seal found a change.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The heap that the committed bytes use.
    pub fn committed_heap_bytes(&self) -> usize {
        match &self.committed {
            Committed::Value(bytes) if bytes.len() > INLINE_BYTES => bytes.len(),
            _ => 0,
        }
    }

    /// Measures the value again when the number of writes has doubled, so that measuring costs little however often a
    /// value is written. Only values that own heap count for anything beyond the cell.
    pub fn weigh(&mut self, staged_bytes: &mut usize) {
        if needs_drop::<V>() && self.writes > 0 && self.writes >= self.weighed.saturating_mul(2) {
            let now = self.value.as_ref().map_or(0, value_bytes);
            *staged_bytes = *staged_bytes + now - self.heap_bytes;
            (self.heap_bytes, self.weighed) = (now, self.writes);
        }
    }

    /// Appends the changelog row if there is a change. The value of a sample is read back.
    pub fn seal(
        &mut self,
        key: &[u8],
        values: &Stored<V>,
        is_sample: bool,
        rows: &mut RawChunkBuilder,
    ) -> Result {
        self.changed = false;
        if self.writes == 0 {
            return Ok(());
        }
        let sealed = rows.push_with(-1, Some(key), |out| {
            let start = out.len();
            if let Some(value) = &self.value {
                values.encode(value, out).map_err(Some)?;
                if is_sample {
                    values.comes_back(value, &out[start..]).map_err(Some)?;
                }
            }
            let same = match &self.committed {
                Committed::Nothing => self.value.is_none(),
                Committed::Value(bytes) => self.value.is_some() && out[start..] == **bytes,
                Committed::Unread => false,
            };
            if same { Err(None) } else { Ok(self.value.is_some()) }
        });
        match sealed {
            Ok(()) => self.changed = true,
            Err(None) => {}
            Err(Some(e)) => return Err(e),
        }
        Ok(())
    }
}

/// Access to the value of one key. Writing marks it; whether that is a change is decided at the end of the batch.
pub struct Slot<'a, V: Value> {
    cell: &'a mut Cell<V>,
    /// The counter that the measured size is added to; `None` = the cell is not staged.
    staged_bytes: Option<&'a mut usize>,
}

impl<'a, V: Value> Slot<'a, V> {
    pub(super) fn staged(cell: &'a mut Cell<V>, staged_bytes: &'a mut usize) -> Self {
        Slot { cell, staged_bytes: Some(staged_bytes) }
    }

    pub(super) fn passing(cell: &'a mut Cell<V>) -> Self {
        Slot { cell, staged_bytes: None }
    }

    /// The value, if the key has one.
    #[must_use]
    pub fn get(&self) -> Option<&V> {
        self.cell.value.as_ref()
    }

    /// The value to change in place, if the key has one.
    pub fn get_mut(&mut self) -> Option<&mut V> {
        if self.cell.value.is_some() {
            self.write();
        }
        self.cell.value.as_mut()
    }

    /// The value to change in place; `default` if the key has none.
    pub fn get_or_insert_with(&mut self, default: impl FnOnce() -> V) -> &mut V {
        self.write();
        self.cell.value.get_or_insert_with(default)
    }

    /// Writes a value.
    pub fn set(&mut self, value: V) {
        self.write();
        self.cell.value = Some(value);
    }

    /// Deletes the key and returns its value.
    pub fn take(&mut self) -> Option<V> {
        self.write();
        self.cell.value.take()
    }

    fn write(&mut self) {
        self.cell.writes = self.cell.writes.saturating_add(1);
    }
}

impl<V: Value> Drop for Slot<'_, V> {
    fn drop(&mut self) {
        if let Some(staged_bytes) = self.staged_bytes.as_deref_mut() {
            self.cell.weigh(staged_bytes);
        }
    }
}
