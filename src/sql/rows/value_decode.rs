//! Value bytes back to columns, of this format or a former one.
//!
//! Owns the decoder. Knows no store. Invariants: bytes that are not exactly one row of a known format are an error, never a panic, and
//! leave the columns as they were; a number of items that was read is compared with the bytes that are there before anything is kept.

use super::{
    build::{ColumnBuilder, Store},
    types::type_name,
    value::{RowColumn, RowFormat},
};
use crate::{
    error::{Error, Result},
    record::varint::{take_varint, take_zigzag},
};
use arrow::{array::ArrayRef, datatypes::DataType};

/// Collects values into columns.
pub struct ValueDecoder {
    format: RowFormat,
    columns: Vec<ColumnBuilder>,
    /// How rows of each known format are read, by its number.
    plans: Vec<(u8, Plan)>,
    rows: usize,
}

/// How rows of one format become those of another.
struct Plan {
    /// For each column of the bytes: where it goes.
    steps: Vec<Step>,
    /// Columns that the bytes do not have.
    absent: Vec<usize>,
}

enum Step {
    To(usize),
    /// It is read and forgotten.
    Drop(Box<ColumnBuilder>),
}

impl RowFormat {
    /// Ready to decode rows which were written as format `number`, about `rows` of them.
    ///
    /// # Errors
    /// None that the format has not told before.
    pub fn decoder(&self, number: u8, rows: usize) -> Result<ValueDecoder> {
        let columns = self.columns().iter().map(|column| ColumnBuilder::new(&column.data_type, rows));
        let decoder = ValueDecoder {
            format: self.clone(),
            columns: columns.collect::<Result<_>>()?,
            plans: vec![],
            rows: 0,
        };
        decoder.or(number, self)
    }
}

/// Whether the bytes of one type are read as the other.
fn is_readable(former: &DataType, now: &DataType) -> bool {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    type_name(former) == type_name(now)
        || match now {
            Int64 => matches!(former, Int8 | Int16 | Int32),
            Int32 => matches!(former, Int8 | Int16),
            Int16 => matches!(former, Int8),
            UInt64 => matches!(former, UInt8 | UInt16 | UInt32),
            UInt32 => matches!(former, UInt8 | UInt16),
            UInt16 => matches!(former, UInt8),
            _ => false,
        }
}

impl ValueDecoder {
    /// Reads rows of a former format as well: columns are found by their ids, those that it does not have are NULL.
    ///
    /// # Errors
    /// If a column has another type now, and not just a wider integer.
    pub fn or(mut self, number: u8, former: &RowFormat) -> Result<Self> {
        let now = self.format.columns();
        let step = |column: &RowColumn| {
            let Some(to) = now.iter().position(|now| now.id == column.id) else {
                return Ok(Step::Drop(Box::new(ColumnBuilder::new(&column.data_type, 0)?)));
            };
            if is_readable(&column.data_type, &now[to].data_type) {
                return Ok(Step::To(to));
            }
            let (name, was, is) = (&now[to].name, &column.data_type, &now[to].data_type);
            Err(Error::Plan(format!(
                "column {name} was of type {was} in stored rows and is of type {is} now"
            )))
        };
        let steps = former.columns().iter().map(step).collect::<Result<Vec<_>>>()?;
        let has = |id| former.columns().iter().any(|column| column.id == id);
        let absent = (0..now.len()).filter(|index| !has(now[*index].id)).collect();
        self.plans.push((number, Plan { steps, absent }));
        Ok(self)
    }

    /// Appends the row that `bytes` is.
    ///
    /// # Errors
    /// [`Error::Codec`] if it is none; nothing is appended then.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result {
        match self.row(bytes) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(reason) => Err(self.refused(bytes, &reason)),
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The columns of all rows; the decoder is then empty.
    ///
    /// # Errors
    /// [`Error::Codec`] if a string is not UTF-8.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }

    #[cold]
    fn refused(&mut self, bytes: &[u8], reason: &str) -> Error {
        let rows = self.rows;
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        let dropped = self.plans.iter_mut().flat_map(|(_, plan)| &mut plan.steps);
        dropped.for_each(|step| {
            if let Step::Drop(column) = step {
                column.truncate(0);
            }
        });
        let shown = &bytes[..bytes.len().min(64)];
        Error::Codec(format!("row b\"{}\" cannot be decoded: {reason}", shown.escape_ascii()))
    }

    fn row(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some((number, mut input)) = bytes.split_first() else { return Err("it is empty".into()) };
        let Some((_, plan)) = self.plans.iter_mut().find(|(of, _)| of == number) else {
            return Err(format!("its format {number} is not known to this program"));
        };
        let nulls = take_bitmap(plan.steps.len(), &mut input)?;
        for (index, step) in plan.steps.iter_mut().enumerate() {
            match step {
                Step::To(to) => cell(&mut self.columns[*to], is_set(nulls, index), &mut input)?,
                Step::Drop(column) => {
                    cell(column, is_set(nulls, index), &mut input)?;
                    column.truncate(0);
                }
            }
        }
        plan.absent.iter().for_each(|absent| self.columns[*absent].push_null());
        if input.is_empty() { Ok(()) } else { Err(format!("{} bytes are left over", input.len())) }
    }
}

fn short() -> String {
    "the bytes end too early".into()
}

#[inline]
fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap[index / 8] >> (index % 8) & 1 == 1
}

#[inline]
fn take_bitmap<'b>(cells: usize, input: &mut &'b [u8]) -> Result<&'b [u8], String> {
    let (bitmap, rest) = input.split_at_checked(cells.div_ceil(8)).ok_or_else(short)?;
    *input = rest;
    Ok(bitmap)
}

#[inline]
fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], String> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or_else(short)?;
    *input = rest;
    Ok(*head)
}

fn take_length(input: &mut &[u8]) -> Result<usize, String> {
    let length = take_varint(input).ok_or_else(short)?;
    usize::try_from(length).map_err(|_| short())
}

#[inline]
fn cell(column: &mut ColumnBuilder, is_null: bool, input: &mut &[u8]) -> Result<(), String> {
    if is_null {
        column.push_null();
        return Ok(());
    }
    let integer = match column.data_type() {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 | DataType::Date32 => (32, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => (64, true),
    };
    match &mut column.store {
        Store::Boolean(cells) => cells.push(match take(input)? {
            [0] => false,
            [1] => true,
            [other] => return Err(format!("{other:#04x} is no boolean")),
        }),
        Store::Integer(cells) => cells.push(take_integer(integer, input)?),
        Store::Float32(cells) => cells.push(f32::from_le_bytes(take(input)?)),
        Store::Float64(cells) => cells.push(f64::from_le_bytes(take(input)?)),
        Store::Decimal(cells) => cells.push(i128::from_le_bytes(take(input)?)),
        Store::Bytes(_, bytes) => {
            let length = take_length(input)?;
            let (piece, rest) = input.split_at_checked(length).ok_or_else(short)?;
            bytes.extend_from_slice(piece);
            *input = rest;
        }
        Store::List(_, list) => {
            let length = take_length(input)?;
            items(list, length, input)?;
        }
        Store::Struct(parts) => {
            let nulls = take_bitmap(parts.len(), input)?;
            for (index, part) in parts.iter_mut().enumerate() {
                cell(part, is_set(nulls, index), input)?;
            }
        }
        Store::Map(_, parts) => {
            let length = take_length(input)?;
            let [keys, values] = &mut **parts;
            // Each entry has a bit at least.
            if length.div_ceil(8) > input.len() {
                return Err(short());
            }
            for _ in 0..length {
                cell(keys, false, input)?;
            }
            items(values, length, input)?;
        }
    }
    column.end_cell().map_err(|e| e.to_string())
}

fn items(column: &mut ColumnBuilder, length: usize, input: &mut &[u8]) -> Result<(), String> {
    let nulls = take_bitmap(length, input)?;
    (0..length).try_for_each(|index| cell(column, is_set(nulls, index), input))
}

#[inline]
fn take_integer((bits, is_signed): (u32, bool), input: &mut &[u8]) -> Result<u64, String> {
    let unused = u64::BITS - bits;
    let out_of_range = |shown: String| format!("{shown} is out of the range of its type");
    if is_signed {
        let value = take_zigzag(input).ok_or_else(short)?;
        if value << unused >> unused != value {
            return Err(out_of_range(value.to_string()));
        }
        Ok(value.cast_unsigned())
    } else {
        let value = take_varint(input).ok_or_else(short)?;
        if value << unused >> unused != value {
            return Err(out_of_range(value.to_string()));
        }
        Ok(value)
    }
}
