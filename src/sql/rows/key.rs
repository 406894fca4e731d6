//! Columns to keys whose bytes are ordered as their values: those that the typed face makes of a tuple of options.
//!
//! Owns the encoder. Knows no store. Invariants: the bytes are those of `codec::encode_key` for `(Option<A>, Option<B>, ..)`, column after
//! column, so a group is placed alike whichever face made its key; values that SQL calls equal have the same bytes (-0 is 0, every NaN
//! is one); no key is a prefix of another one of its columns.
//!
//! | column | bytes behind the option's 1 |
//! |---|---|
//! | integers, dates (days, `i32`), timestamps (their unit, `i64`), decimals (unscaled, `i128`) | big-endian, sign bit flipped |
//! | bool | 0 or 1 |
//! | floats | bits big-endian; positive: sign bit set, negative: all bits flipped; -0 as 0, every NaN as one, above infinity |
//! | strings, byte strings | the bytes, 0x00 as 0x00 0xff, then 0x00 0x00 |
//! | list | each item as an option after a 1, then a 0 |
//! | row | each field as an option |
//!
//! NULL is a 0, which comes first; where it comes last, it is a 2. A descending column has all its bits flipped.

use super::{
    cells::{CellColumn, Cells, range},
    types::type_name,
};
use crate::error::{Error, Result};
use arrow::{array::ArrayRef, datatypes::DataType};

/// Before a cell that is NULL.
pub(super) const NULL: u8 = 0;
/// Before a cell, and before an item of a list.
pub(super) const SOME: u8 = 1;
/// Before a cell that is NULL, where NULL is greater than all values.
pub(super) const NULL_LAST: u8 = 2;

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its type.
    pub data_type: DataType,
    /// Whether the greatest value comes first.
    pub is_descending: bool,
    /// Whether NULL counts as greater than all values, and not as less.
    pub is_null_greatest: bool,
}

/// The columns of a key, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    columns: Vec<KeyColumn>,
}

impl KeyFormat {
    /// Keys of these types, each ascending with NULL first: those of groups.
    ///
    /// # Errors
    /// If a type cannot be in a key.
    pub fn new<'t>(types: impl IntoIterator<Item = &'t DataType>) -> Result<Self> {
        let ascending =
            |t: &DataType| KeyColumn { data_type: t.clone(), is_descending: false, is_null_greatest: false };
        Self::ordered(types.into_iter().map(ascending))
    }

    /// Keys in a given order.
    ///
    /// # Errors
    /// If a type cannot be in a key.
    pub fn ordered(columns: impl IntoIterator<Item = KeyColumn>) -> Result<Self> {
        let columns: Vec<_> = columns.into_iter().collect();
        match columns.iter().find_map(|column| refusal(&column.data_type)) {
            None => Ok(KeyFormat { columns }),
            Some(reason) => Err(Error::Plan(reason)),
        }
    }

    /// Its columns.
    #[must_use]
    pub fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// Ready to encode the rows of these columns.
    ///
    /// # Errors
    /// If they are not of this format.
    pub fn encoder<'a>(&self, columns: &'a [ArrayRef]) -> Result<KeyEncoder<'a>> {
        if columns.len() != self.columns.len() {
            return Err(Error::Codec(format!(
                "{} columns for a key of {}",
                columns.len(),
                self.columns.len()
            )));
        }
        let column = |(array, column): (&'a ArrayRef, &KeyColumn)| {
            if type_name(array.data_type()) != type_name(&column.data_type) {
                let (is, expected) = (array.data_type(), &column.data_type);
                return Err(Error::Codec(format!("a column of a key is of type {is}, expected {expected}")));
            }
            let null = if column.is_null_greatest { NULL_LAST } else { NULL };
            Ok(Part { cells: CellColumn::of(array)?, null, is_descending: column.is_descending })
        };
        Ok(KeyEncoder { parts: columns.iter().zip(&self.columns).map(column).collect::<Result<_>>()? })
    }
}

/// Why a column of this type cannot be in a key, if it cannot.
fn refusal(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Map(..) => {
            Some("a map cannot be a key, as its entries have no order; group by one of them instead".into())
        }
        DataType::List(item) => refusal(item.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| refusal(field.data_type())),
        _ => super::type_refusal(data_type),
    }
}

/// Encodes the keys of the rows of a batch.
pub struct KeyEncoder<'a> {
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    cells: CellColumn<'a>,
    null: u8,
    is_descending: bool,
}

impl KeyEncoder<'_> {
    /// Appends the key of a row.
    ///
    /// # Panics
    /// If there are fewer rows: a bug of the caller.
    #[inline]
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) {
        for part in &self.parts {
            let start = out.len();
            put(&part.cells, row, part.null, out);
            if part.is_descending {
                out[start..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
    }
}

macro_rules! put_float {
    ($name:ident $float:ident $unsigned:ident) => {
        #[inline]
        fn $name(value: $float) -> [u8; size_of::<$float>()] {
            let value = if value.is_nan() {
                $float::NAN
            } else if value == 0.0 {
                0.0
            } else {
                value
            };
            let bits = value.to_bits();
            let sign = 1 << ($unsigned::BITS - 1);
            (if value.is_sign_negative() { !bits } else { bits | sign }).to_be_bytes()
        }
    };
}
put_float!(float32 f32 u32);
put_float!(float64 f64 u64);

#[inline]
fn put(column: &CellColumn<'_>, row: usize, null: u8, out: &mut Vec<u8>) {
    macro_rules! some {
        ($bytes:expr) => {{
            let bytes = $bytes;
            let mut cell = [SOME; 1 + 16];
            let cell = &mut cell[..=bytes.len()];
            cell[1..].copy_from_slice(&bytes);
            out.extend_from_slice(cell);
        }};
    }
    if column.is_null(row) {
        out.push(null);
        return;
    }
    match &column.cells {
        Cells::Boolean(cells) => some!([u8::from(cells.value(row))]),
        Cells::Int8(cells) => some!((cells[row] ^ i8::MIN).to_be_bytes()),
        Cells::Int16(cells) => some!((cells[row] ^ i16::MIN).to_be_bytes()),
        Cells::Int32(cells) => some!((cells[row] ^ i32::MIN).to_be_bytes()),
        Cells::Int64(cells) => some!((cells[row] ^ i64::MIN).to_be_bytes()),
        Cells::UInt8(cells) => some!(cells[row].to_be_bytes()),
        Cells::UInt16(cells) => some!(cells[row].to_be_bytes()),
        Cells::UInt32(cells) => some!(cells[row].to_be_bytes()),
        Cells::UInt64(cells) => some!(cells[row].to_be_bytes()),
        Cells::Float32(cells) => some!(float32(cells[row])),
        Cells::Float64(cells) => some!(float64(cells[row])),
        Cells::Decimal(cells) => some!((cells[row] ^ i128::MIN).to_be_bytes()),
        Cells::Bytes(offsets, bytes) => put_bytes(&bytes[range(offsets, row)], out),
        nested => put_nested(nested, row, out),
    }
}

#[inline]
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 3);
    out.push(SOME);
    if bytes.contains(&0) {
        for byte in bytes {
            out.push(*byte);
            if *byte == 0 {
                out.push(0xff);
            }
        }
    } else {
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(&[0, 0]);
}

fn put_nested(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    out.push(SOME);
    match cells {
        Cells::List(offsets, items) => {
            for item in range(offsets, row) {
                out.push(SOME);
                put(items, item, NULL, out);
            }
            out.push(NULL);
        }
        Cells::Struct(parts) => parts.iter().for_each(|part| put(part, row, NULL, out)),
        _ => {} // a map is refused, and the others have no parts
    }
}
