//! What moves between operators: one type-erased payload per chunk, shared where a stream fans out, moved otherwise.
//!
//! Owns the bounds on user types. Knows no operator. Invariant: a chunk's payload is never changed while shared;
//! `take` moves it for the last reader and clones it for the others.

use super::{Stamps, StampsBuilder};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::Any, hash::Hash, sync::Arc};

/// Anything a stream can carry. `Clone` is used only where a stream has several readers and each must own the data.
pub trait Data: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Data for T {}

/// What may be kept in state or sent to another task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in state or sent to another task",
    label = "this operation keeps or re-keys `{Self}` values",
    note = "put `#[derive(Clone, serde::Serialize, serde::Deserialize)]` on `{Self}`"
)]
pub trait Value: Data + Serialize + DeserializeOwned {}
#[diagnostic::do_not_recommend]
impl<T: Data + Serialize + DeserializeOwned> Value for T {}

/// What a stream can be keyed by.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "keys are compared, hashed and stored; floats cannot be keys, use an integer or a string",
    note = "put `#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]` on your key type"
)]
pub trait Key: Value + Hash + Eq {}
#[diagnostic::do_not_recommend]
impl<T: Value + Hash + Eq> Key for T {}

/// About how many bytes a row takes whose size is not known.
const ROW_BYTES: usize = 64;

/// How many rows there are, and about how many bytes they take in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Size {
    /// About how many bytes `rows` rows take that were made from these: as much for each, but no more in total.
    fn of_results(self, rows: usize) -> usize {
        self.bytes.min(rows.saturating_mul(self.bytes.div_ceil(self.rows.max(1))))
    }
}

/// A bounded piece of a stream: `Vec<T>` of the typed API, or a record batch of SQL. The engine never looks inside.
#[derive(Clone)]
pub struct Chunk {
    payload: Arc<dyn Any + Send + Sync>,
    type_name: &'static str,
    len: usize,
    bytes: usize,
    is_guess: bool,
    stamps: Stamps,
}

impl Chunk {
    /// A chunk of `len` rows in any payload; its size is guessed.
    pub fn new<P: Any + Send + Sync>(payload: P, len: usize) -> Self {
        Chunk { is_guess: true, ..Chunk::sized(payload, len, len * ROW_BYTES) }
    }

    /// A chunk of `len` rows in a payload that knows that it takes about `bytes` of memory.
    pub fn sized<P: Any + Send + Sync>(payload: P, len: usize, bytes: usize) -> Self {
        let (payload, type_name) = (Arc::new(payload), std::any::type_name::<P>());
        Chunk { payload, type_name, len, bytes, is_guess: false, stamps: Stamps::Unknown }
    }

    /// A chunk of typed rows. What a row holds elsewhere in memory is guessed.
    pub fn rows<T: Data>(rows: Vec<T>) -> Self {
        let (len, row_bytes) = (rows.len(), ROW_BYTES.max(size_of::<T>()));
        Chunk { is_guess: std::mem::needs_drop::<T>(), ..Chunk::sized(rows, len, len * row_bytes) }
    }

    /// The same rows, which were made from others of this size: where their own is guessed, it is about as large.
    #[must_use]
    pub fn made_from(self, size: Size) -> Self {
        let bytes = if self.is_guess { self.bytes.max(size.of_results(self.len)) } else { self.bytes };
        Chunk { bytes, ..self }
    }

    /// The same rows with these timestamps.
    ///
    /// # Panics
    /// If there is one for each row, but not as many as rows: a bug of the caller.
    #[must_use]
    pub fn stamped(self, stamps: Stamps) -> Self {
        assert!(stamps.fits(self.len), "a timestamp for each row");
        Chunk { stamps, ..self }
    }

    /// The timestamps of the records that the rows were made from.
    #[must_use]
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About how many bytes it takes in memory: as its maker said, or a guess from the number of rows and what they
    /// were made from.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes its rows take in vectors of `T`.
    #[must_use]
    pub fn held_bytes<T>(&self) -> usize {
        let flat = self.len * size_of::<T>();
        if std::mem::needs_drop::<T>() { flat.max(self.bytes) } else { flat }
    }

    /// How much it is.
    #[must_use]
    pub fn size(&self) -> Size {
        Size { rows: self.len, bytes: self.bytes }
    }

    /// Borrows the payload.
    ///
    /// # Panics
    /// If the payload is of another type, which is a bug in the plan; the task catches the panic.
    #[must_use]
    pub fn view<P: Any>(&self) -> &P {
        match self.payload.downcast_ref() {
            Some(p) => p,
            None => wrong_type::<P>(self.type_name),
        }
    }

    /// Takes the payload: moves it if this is the last reader, clones it otherwise.
    ///
    /// # Panics
    /// As [`Chunk::view`].
    #[must_use]
    pub fn take<P: Any + Send + Sync + Clone>(self) -> P {
        match self.payload.downcast::<P>() {
            Ok(p) => Arc::unwrap_or_clone(p),
            Err(_) => wrong_type::<P>(self.type_name),
        }
    }

    /// As [`Chunk::take`], with the timestamps of the rows.
    ///
    /// # Panics
    /// As [`Chunk::view`].
    #[must_use]
    pub fn take_stamped<P: Any + Send + Sync + Clone>(mut self) -> (P, Stamps) {
        let stamps = std::mem::take(&mut self.stamps);
        (self.take(), stamps)
    }
}

/// Collects typed rows with their timestamps.
pub struct StampedRows<T> {
    rows: Vec<T>,
    stamps: StampsBuilder,
}

impl<T> StampedRows<T> {
    /// No rows, with room for `rows` of them.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        StampedRows { rows: Vec::with_capacity(rows), stamps: StampsBuilder::default() }
    }

    /// Appends a row with its timestamp, or [`Stamps::NONE`].
    #[inline]
    pub fn push(&mut self, row: T, ms: i64) {
        self.rows.push(row);
        self.stamps.push(ms);
    }

    /// Appends what `add` appends; all of it has this timestamp.
    #[inline]
    pub fn append(&mut self, ms: i64, add: impl FnOnce(&mut Vec<T>)) {
        let before = self.rows.len();
        add(&mut self.rows);
        self.stamps.repeat(ms, self.rows.len() - before);
    }

    /// The finished chunk.
    #[must_use]
    pub fn into_chunk(self) -> Chunk
    where
        T: Data,
    {
        Chunk::rows(self.rows).stamped(self.stamps.build())
    }
}

impl<T> FromIterator<(T, i64)> for StampedRows<T> {
    fn from_iter<I: IntoIterator<Item = (T, i64)>>(rows: I) -> Self {
        let rows = rows.into_iter();
        let mut collected = StampedRows::with_capacity(rows.size_hint().0);
        rows.for_each(|(row, ms)| collected.push(row, ms));
        collected
    }
}

fn wrong_type<P>(got: &str) -> ! {
    panic!("plan bug: expected a chunk of {}, got {got}", std::any::type_name::<P>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reader_gets_the_allocation_and_earlier_ones_a_copy() {
        let rows = vec![1u64, 2, 3];
        let at = rows.as_ptr();
        let chunk = Chunk::rows(rows);
        let second = chunk.clone();
        assert_eq!(second.view::<Vec<u64>>().as_ptr(), at);
        let (copy, same): (Vec<u64>, Vec<u64>) = (chunk.take(), second.take());
        assert_ne!(copy.as_ptr(), at);
        assert_eq!(same.as_ptr(), at);
    }

    #[test]
    fn the_size_is_the_makers_or_a_guess() {
        assert_eq!(Chunk::rows(vec![1u8, 2, 3]).bytes(), 3 * ROW_BYTES);
        let wide = Chunk::sized(vec![0u8; 1 << 20], 1, 1 << 20);
        assert_eq!((wide.len(), wide.bytes()), (1, 1 << 20));
    }

    #[test]
    fn rows_that_own_memory_are_as_large_as_what_they_were_made_from() {
        let wide = Size { rows: 4, bytes: 4_000 };
        let texts = |n: usize| Chunk::rows(vec![String::new(); n]).made_from(wide).bytes();
        assert_eq!(texts(4), 4_000);
        assert_eq!(texts(1), 1_000, "a filter");
        assert_eq!(texts(40), 4_000, "the words of lines");
        assert_eq!(texts(1_000), 1_000 * ROW_BYTES, "no less than without");
        assert_eq!(Chunk::rows(vec![1u64; 4]).made_from(wide).bytes(), 4 * ROW_BYTES, "numbers own nothing");
        assert_eq!(Chunk::rows(vec![[0u8; 900]; 4]).bytes(), 3_600);
        assert_eq!(Chunk::rows(vec![1u64; 4]).held_bytes::<u64>(), 32);
        assert_eq!(Chunk::rows(vec![String::new(); 4]).made_from(wide).held_bytes::<String>(), 4_000);
        assert_eq!(Chunk::sized((), 4, 7).made_from(wide).bytes(), 7, "its maker knows");
        assert_eq!(Chunk::rows(vec![String::new()]).made_from(Size::default()).bytes(), ROW_BYTES);
    }

    #[test]
    fn rows_that_are_appended_together_have_one_timestamp_and_no_rows_have_none() {
        let mut rows = StampedRows::with_capacity(0);
        rows.append(5, |out| out.extend(['a', 'b']));
        rows.append(6, |_| ());
        rows.push('c', 7);
        let chunk = rows.into_chunk();
        assert_eq!(chunk.stamps(), &[5, 5, 7].into_iter().collect::<StampsBuilder>().build());
        assert_eq!(chunk.take::<Vec<char>>(), ['a', 'b', 'c']);
    }

    #[test]
    #[should_panic(expected = "expected a chunk of alloc::vec::Vec<u32>, got alloc::vec::Vec<u64>")]
    fn a_wrong_type_is_reported_as_a_plan_bug() {
        let _ = Chunk::rows(vec![1u64]).view::<Vec<u32>>();
    }
}
