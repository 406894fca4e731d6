//! Columns to value bytes: compact, and readable by later formats of the same store.
//!
//! Owns the encoder and the formats of rows. Knows no store. Invariants: the bytes of a row depend on its values and the format alone; a
//! column is known by its id, so columns can be added, dropped and moved between formats.
//!
//! A value is the number of its format (1 to 254), one bit for each column (in bytes, the least significant bit first; 1 = NULL), then
//! the columns that are not NULL:
//!
//! | column | bytes |
//! |---|---|
//! | signed integers, dates (days), timestamps (their unit) | varint in zigzag |
//! | unsigned integers | varint |
//! | bool | 0 or 1 |
//! | floats | 4 or 8 bytes, the least significant first |
//! | decimals | unscaled, 16 bytes, the least significant first |
//! | strings, byte strings | length (varint) and bytes |
//! | list | number of items (varint), a bit for each (1 = NULL), the items that are not NULL |
//! | row | a bit for each field, the fields that are not NULL |
//! | map | number of entries (varint), the keys, a bit for each value, the values that are not NULL |

use super::{
    cells::{CellColumn, Cells, range},
    types::{ColumnId, quoted, type_name},
};
use crate::{
    error::{Error, Result},
    record::varint::{put_varint, put_zigzag},
};
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Schema},
};
use std::{collections::BTreeSet, fmt};

/// A column of stored rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowColumn {
    /// Its identity.
    pub id: ColumnId,
    /// Its name, for people.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

/// The columns of stored rows, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFormat {
    columns: Vec<RowColumn>,
}

impl RowFormat {
    /// Rows of these columns.
    ///
    /// # Errors
    /// If a type cannot be in a row, or two columns have one id.
    pub fn new(columns: impl IntoIterator<Item = RowColumn>) -> Result<Self> {
        let columns: Vec<_> = columns.into_iter().collect();
        let mut ids = BTreeSet::new();
        for RowColumn { id, name, data_type } in &columns {
            if let Some(reason) = super::type_refusal(data_type) {
                return Err(Error::Plan(format!("column {name}: {reason}")));
            }
            if !ids.insert(*id) {
                return Err(Error::Plan(format!(
                    "two columns of a store have the id {}; {name} is the second",
                    id.0
                )));
            }
        }
        Ok(RowFormat { columns })
    }

    /// Rows of these columns, with the ids 1, 2, ..
    ///
    /// # Errors
    /// If a type cannot be in a row.
    pub fn of_schema(schema: &Schema) -> Result<Self> {
        let column = |(id, field): (u32, &std::sync::Arc<arrow::datatypes::Field>)| RowColumn {
            id: ColumnId(id),
            name: field.name().clone(),
            data_type: field.data_type().clone(),
        };
        Self::new((1..).zip(schema.fields()).map(column))
    }

    /// Its columns.
    #[must_use]
    pub fn columns(&self) -> &[RowColumn] {
        &self.columns
    }

    /// Ready to encode the rows of these columns as format `number` of the store, 1 to 254.
    ///
    /// # Errors
    /// If they are not of this format.
    pub fn encoder<'a>(&self, number: u8, columns: &'a [ArrayRef]) -> Result<ValueEncoder<'a>> {
        if columns.len() != self.columns.len() {
            return Err(Error::Codec(format!(
                "{} columns for rows of {}",
                columns.len(),
                self.columns.len()
            )));
        }
        let column = |(array, RowColumn { name, data_type, .. }): (&'a ArrayRef, &RowColumn)| {
            if type_name(array.data_type()) != type_name(data_type) {
                let is = array.data_type();
                return Err(Error::Codec(format!("column {name} is of type {is}, expected {data_type}")));
            }
            CellColumn::of(array)
        };
        let parts = columns.iter().zip(&self.columns).map(column).collect::<Result<_>>()?;
        Ok(ValueEncoder { number, parts })
    }
}

/// As it stands in the format of a store: `#1 weight i64, #2 total decimal(38,2)`.
impl fmt::Display for RowFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, RowColumn { id, name, data_type }) in self.columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}#{} {} {}", id.0, quoted(name), type_name(data_type).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Encodes the rows of a batch.
pub struct ValueEncoder<'a> {
    number: u8,
    parts: Vec<CellColumn<'a>>,
}

impl ValueEncoder<'_> {
    /// Appends the value of a row.
    ///
    /// # Panics
    /// If there are fewer rows: a bug of the caller.
    #[inline]
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) {
        out.push(self.number);
        put_row(&self.parts, row, out);
    }
}

fn put_row(parts: &[CellColumn<'_>], row: usize, out: &mut Vec<u8>) {
    put_bitmap(parts.len(), out, |part| parts[part].is_null(row));
    for part in parts {
        if !part.is_null(row) {
            put(part, row, out);
        }
    }
}

#[inline]
fn put_bitmap(cells: usize, out: &mut Vec<u8>, is_null: impl Fn(usize) -> bool) {
    for first in (0..cells).step_by(8) {
        let bit = |cell: usize| u8::from(is_null(cell)) << (cell - first);
        out.push((first..cells.min(first + 8)).map(bit).fold(0, |byte, bit| byte | bit));
    }
}

#[inline]
fn put(column: &CellColumn<'_>, row: usize, out: &mut Vec<u8>) {
    match &column.cells {
        Cells::Boolean(cells) => out.push(u8::from(cells.value(row))),
        Cells::Int8(cells) => put_zigzag(out, i64::from(cells[row])),
        Cells::Int16(cells) => put_zigzag(out, i64::from(cells[row])),
        Cells::Int32(cells) => put_zigzag(out, i64::from(cells[row])),
        Cells::Int64(cells) => put_zigzag(out, cells[row]),
        Cells::UInt8(cells) => put_varint(out, u64::from(cells[row])),
        Cells::UInt16(cells) => put_varint(out, u64::from(cells[row])),
        Cells::UInt32(cells) => put_varint(out, u64::from(cells[row])),
        Cells::UInt64(cells) => put_varint(out, cells[row]),
        Cells::Float32(cells) => out.extend_from_slice(&cells[row].to_le_bytes()),
        Cells::Float64(cells) => out.extend_from_slice(&cells[row].to_le_bytes()),
        Cells::Decimal(cells) => out.extend_from_slice(&cells[row].to_le_bytes()),
        Cells::Bytes(offsets, bytes) => {
            let bytes = &bytes[range(offsets, row)];
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Cells::List(offsets, items) => {
            let range = range(offsets, row);
            put_varint(out, range.len() as u64);
            put_items(items, range, out);
        }
        Cells::Struct(parts) => put_row(parts, row, out),
        Cells::Map(offsets, parts) => {
            let range = range(offsets, row);
            put_varint(out, range.len() as u64);
            range.clone().for_each(|entry| put(&parts[0], entry, out));
            put_items(&parts[1], range, out);
        }
    }
}

fn put_items(items: &CellColumn<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    put_bitmap(range.len(), out, |item| items.is_null(range.start + item));
    range.filter(|item| !items.is_null(*item)).for_each(|item| put(items, item, out));
}
