//! The rows of one chunk as bytes, one after the other, as a record of the exchange topic has them.
//!
//! Owns the bytes of a row: its timestamp if each row has one, its key, its value. Knows no record and no type. Invariants: a row is
//! written where it stays, and nothing is allocated for it; a length that was read is compared with the bytes that are there.

use crate::{
    codec::{encode_key, encode_value},
    error::{Error, Result},
    record::{
        EachStamp, Key, StampsBuilder, Value,
        varint::{put_varint, take_varint},
    },
};

/// Rows that stay in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where the bytes after the last of them are.
    pub end: usize,
    /// How many they are.
    pub rows: u32,
}

/// Appends rows to a buffer, and notes where it must be divided so that no piece gets too large.
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The timestamp of each row, and the greatest of them.
    stamps: Option<(EachStamp<'a>, i64)>,
    /// Pieces that are complete.
    pieces: Vec<Piece>,
    /// Where the present piece begins, and the rows in it.
    start: usize,
    rows: u32,
    /// Where the present piece is full.
    full_at: usize,
    /// Bytes of each further piece at most.
    piece_bytes_max: usize,
}

impl<'a> RowWriter<'a> {
    /// Appends to `out`, in one piece.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        RowWriter {
            out,
            stamps: None,
            pieces: vec![],
            start,
            rows: 0,
            full_at: usize::MAX,
            piece_bytes_max: usize::MAX,
        }
    }

    /// In pieces of at most `first` bytes and then `further` bytes each, or of a single row. Where there is less room for the first
    /// piece than for the others, it may have no row.
    #[must_use]
    pub fn in_pieces(mut self, first: usize, further: usize) -> Self {
        (self.full_at, self.piece_bytes_max) = (self.start + first.min(further), further);
        self
    }

    /// Each row with its timestamp, as far as it lies before the greatest of them.
    #[must_use]
    pub fn stamped(mut self, each: EachStamp<'a>, greatest: i64) -> Self {
        self.stamps = Some((each, greatest));
        self
    }

    /// Appends a row with a key.
    ///
    /// # Errors
    /// If it cannot be encoded; what is in the buffer is then of no use.
    #[inline]
    pub fn pair<K: Key, V: Value>(&mut self, key: &K, value: &V) -> Result {
        let start = self.begin();
        part(self.out, |out| encode_key(key, out))?;
        part(self.out, |out| encode_value(value, out))?;
        self.end(start);
        Ok(())
    }

    /// Appends a row without a key.
    ///
    /// # Errors
    /// As [`RowWriter::pair`].
    #[inline]
    pub fn value<T: Value>(&mut self, row: &T) -> Result {
        let start = self.begin();
        self.out.push(0);
        part(self.out, |out| encode_value(row, out))?;
        self.end(start);
        Ok(())
    }

    /// Appends a row without a key whose value `write` gives as bytes.
    #[inline]
    pub fn bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin();
        self.out.push(0);
        let at = self.out.len();
        self.out.push(0);
        write(self.out);
        end_part(self.out, at);
        self.end(start);
    }

    /// The pieces, in order; the last one has the rest.
    #[must_use]
    pub fn finish(mut self) -> Vec<Piece> {
        self.pieces.push(Piece { end: self.out.len(), rows: self.rows });
        self.pieces
    }

    #[inline]
    fn begin(&mut self) -> usize {
        let start = self.out.len();
        if let Some((each, greatest)) = &mut self.stamps {
            put_varint(self.out, greatest.wrapping_sub(each.next_ms()).cast_unsigned());
        }
        start
    }

    #[inline]
    fn end(&mut self, start: usize) {
        self.rows += 1;
        if self.out.len() > self.full_at {
            self.divide(start);
        }
    }

    /// The last row, which begins at `start`, made the piece too large.
    #[cold]
    fn divide(&mut self, start: usize) {
        let room = self.full_at - self.start;
        if start > self.start || room < self.piece_bytes_max {
            self.pieces.push(Piece { end: start, rows: self.rows - 1 });
            (self.start, self.rows, self.full_at) = (start, 1, start + self.piece_bytes_max);
        }
    }
}

/// Appends what `write` gives, behind its length plus one.
#[inline]
fn part(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result) -> Result {
    let at = out.len();
    out.push(0);
    write(out)?;
    end_part(out, at);
    Ok(())
}

/// Writes the length of a part, plus one, into the byte at `at` that is kept for it.
#[inline]
fn end_part(out: &mut Vec<u8>, at: usize) {
    let length = out.len() - at;
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out[at] = short,
        _ => lengthen(out, at, length),
    }
}

/// Makes room for a length that needs more than the one byte that it has.
#[cold]
fn lengthen(out: &mut Vec<u8>, at: usize, length: usize) {
    let end = out.len();
    put_varint(out, length as u64);
    let bytes = out.len() - end;
    let mut prefix = [0; 10];
    prefix[..bytes].copy_from_slice(&out[end..]);
    out.truncate(end + bytes - 1);
    out.copy_within(at + 1..end, at + bytes);
    out[at..at + bytes].copy_from_slice(&prefix[..bytes]);
}

/// One row as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedRow<'a> {
    /// The encoded key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The encoded value.
    pub value: Option<&'a [u8]>,
}

/// Reads what a [`RowWriter`] wrote. Ends after an error.
pub struct RowReader<'a> {
    bytes: &'a [u8],
    rows: usize,
    left: usize,
    /// The greatest timestamp, if each row has one, and those that were read.
    stamps: Option<(i64, StampsBuilder)>,
}

impl<'a> RowReader<'a> {
    /// Reads `rows` rows without timestamps.
    #[must_use]
    pub fn new(bytes: &'a [u8], rows: usize) -> Self {
        let rows = rows.min(bytes.len());
        RowReader { bytes, rows, left: rows, stamps: None }
    }

    /// Each row has a timestamp, and this is the greatest of them.
    #[must_use]
    pub fn stamped(mut self, greatest: i64) -> Self {
        self.stamps = Some((greatest, StampsBuilder::default()));
        self
    }

    /// The timestamps of the rows so far, if each has one.
    #[must_use]
    pub fn into_stamps(self) -> Option<StampsBuilder> {
        self.stamps.map(|(_, each)| each)
    }

    /// Bytes that are not read yet.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn row(&mut self) -> Option<EncodedRow<'a>> {
        if let Some((greatest, each)) = &mut self.stamps {
            each.push(greatest.wrapping_sub(take_varint(&mut self.bytes)?.cast_signed()));
        }
        let (key, value) = (take_part(&mut self.bytes)?, take_part(&mut self.bytes)?);
        Some(EncodedRow { key, value })
    }

    #[cold]
    fn cut_off(&mut self) -> Error {
        let number = self.rows - self.left;
        self.left = 0;
        Error::Codec(format!("row {number} of {} is cut off", self.rows))
    }
}

impl<'a> Iterator for RowReader<'a> {
    type Item = Result<EncodedRow<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(match self.row() {
            Some(row) => Ok(row),
            None => Err(self.cut_off()),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left)) // fewer if one is cut off
    }
}

#[inline]
#[expect(clippy::option_option, reason = "outside: whole or cut off; inside: null or not")]
fn take_part<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Some(length) = take_varint(input)?.checked_sub(1) else { return Some(None) };
    let (part, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
    *input = rest;
    Some(Some(part))
}
