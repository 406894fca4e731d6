//! Keys back to columns: the counterpart of `key.rs`.
//!
//! Owns the decoder. Knows no store. Invariant: bytes that are not exactly one key of the format are an error, never a panic, and leave
//! the columns as they were.

use super::{
    build::{ColumnBuilder, Store},
    key::{KeyColumn, KeyFormat, NULL, NULL_LAST, SOME},
};
use crate::error::{Error, Result};
use arrow::{array::ArrayRef, datatypes::DataType};

/// Collects keys into columns.
pub struct KeyDecoder {
    columns: Vec<(KeyColumn, ColumnBuilder)>,
    rows: usize,
}

impl KeyFormat {
    /// Ready to decode keys, about `rows` of them.
    ///
    /// # Errors
    /// None that the format has not told before.
    pub fn decoder(&self, rows: usize) -> Result<KeyDecoder> {
        let column = |column: &KeyColumn| Ok((column.clone(), ColumnBuilder::new(&column.data_type, rows)?));
        Ok(KeyDecoder { columns: self.columns().iter().map(column).collect::<Result<_>>()?, rows: 0 })
    }
}

impl KeyDecoder {
    /// Appends the key that `bytes` is.
    ///
    /// # Errors
    /// [`Error::Codec`] if it is none; nothing is appended then.
    pub fn push(&mut self, bytes: &[u8]) -> Result {
        match self.push_prefix(bytes) {
            Ok([]) => Ok(()),
            Ok(rest) => {
                let left = rest.len();
                self.rows -= 1;
                self.cut_back();
                Err(not_a_key(bytes, &format!("{left} bytes are left over")))
            }
            Err(e) => Err(e),
        }
    }

    /// Appends the key that `bytes` begins with, and gives the bytes behind it.
    ///
    /// # Errors
    /// As [`KeyDecoder::push`].
    pub fn push_prefix<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let mut cursor = Cursor { rest: bytes, flip: 0 };
        for (column, builder) in &mut self.columns {
            cursor.flip = if column.is_descending { 0xff } else { 0 };
            let null = if column.is_null_greatest { NULL_LAST } else { NULL };
            if let Err(reason) = cursor.cell(builder, null) {
                self.cut_back();
                return Err(not_a_key(bytes, &reason));
            }
        }
        self.rows += 1;
        Ok(cursor.rest)
    }

    /// Keys so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The columns of all keys; the decoder is then empty.
    ///
    /// # Errors
    /// [`Error::Codec`] if a string is not UTF-8.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().map(|(_, builder)| builder.finish()).collect()
    }

    fn cut_back(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().for_each(|(_, builder)| builder.truncate(rows));
    }
}

fn not_a_key(bytes: &[u8], reason: &str) -> Error {
    Error::Codec(format!("key b\"{}\" cannot be decoded: {reason}", bytes.escape_ascii()))
}

struct Cursor<'b> {
    rest: &'b [u8],
    /// All bytes of a descending column are flipped.
    flip: u8,
}

impl Cursor<'_> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err("the bytes end too early".into());
        };
        self.rest = rest;
        Ok(head.map(|byte| byte ^ self.flip))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    fn cell(&mut self, builder: &mut ColumnBuilder, null: u8) -> Result<(), String> {
        match self.byte()? {
            marker if marker == null => {
                builder.push_null();
                return Ok(());
            }
            SOME => {}
            other => return Err(format!("{other:#04x} where {null} or 1 was expected")),
        }
        self.value(builder)?;
        builder.end_cell().map_err(|e| e.to_string())
    }

    fn value(&mut self, builder: &mut ColumnBuilder) -> Result<(), String> {
        // Only the type knows how wide a number is.
        let width = match builder.data_type() {
            DataType::Int8 | DataType::UInt8 => 1,
            DataType::Int16 | DataType::UInt16 => 2,
            DataType::Int32 | DataType::UInt32 | DataType::Date32 => 4,
            _ => 8,
        };
        let is_unsigned = builder.data_type().is_unsigned_integer();
        match &mut builder.store {
            Store::Boolean(cells) => cells.push(match self.byte()? {
                0 => false,
                1 => true,
                other => return Err(format!("{other:#04x} is no boolean")),
            }),
            Store::Integer(cells) => {
                let bits = match (width, is_unsigned) {
                    (1, true) => u64::from(u8::from_be_bytes(self.array()?)),
                    (2, true) => u64::from(u16::from_be_bytes(self.array()?)),
                    (4, true) => u64::from(u32::from_be_bytes(self.array()?)),
                    (_, true) => u64::from_be_bytes(self.array()?),
                    (1, false) => i64::from(i8::from_be_bytes(self.array()?) ^ i8::MIN).cast_unsigned(),
                    (2, false) => i64::from(i16::from_be_bytes(self.array()?) ^ i16::MIN).cast_unsigned(),
                    (4, false) => i64::from(i32::from_be_bytes(self.array()?) ^ i32::MIN).cast_unsigned(),
                    (_, false) => (i64::from_be_bytes(self.array()?) ^ i64::MIN).cast_unsigned(),
                };
                cells.push(bits);
            }
            Store::Float32(cells) => {
                let bits = u32::from_be_bytes(self.array()?);
                let sign = 1 << 31;
                cells.push(f32::from_bits(if bits & sign == 0 { !bits } else { bits ^ sign }));
            }
            Store::Float64(cells) => {
                let bits = u64::from_be_bytes(self.array()?);
                let sign = 1 << 63;
                cells.push(f64::from_bits(if bits & sign == 0 { !bits } else { bits ^ sign }));
            }
            Store::Decimal(cells) => cells.push(i128::from_be_bytes(self.array()?) ^ i128::MIN),
            Store::Bytes(_, bytes) => self.bytes(bytes)?,
            Store::List(_, items) => loop {
                match self.byte()? {
                    NULL => break,
                    SOME => self.cell(items, NULL)?,
                    other => return Err(format!("{other:#04x} where 0 or 1 was expected")),
                }
            },
            Store::Struct(parts) => {
                for part in parts {
                    self.cell(part, NULL)?;
                }
            }
            Store::Map(..) => return Err("a map cannot be a key".into()),
        }
        Ok(())
    }

    /// The bytes up to the end mark.
    fn bytes(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let flip = self.flip;
        loop {
            let Some(zero) = self.rest.iter().position(|byte| *byte == flip) else {
                return Err("the bytes end too early".into());
            };
            let (piece, rest) = self.rest.split_at(zero);
            if flip == 0 {
                out.extend_from_slice(piece);
            } else {
                out.extend(piece.iter().map(|byte| byte ^ flip));
            }
            self.rest = rest;
            match self.array()? {
                [0, 0] => return Ok(()),
                [0, 0xff] => out.push(0),
                _ => return Err("a zero byte is neither escaped nor an end mark".into()),
            }
        }
    }
}
