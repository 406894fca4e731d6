//! A column that is filled cell by cell, and can be cut back.
//!
//! Owns the cells until they are an array. Knows no bytes and no text. Invariants: a builder has as many cells as it was given, and
//! parts of rows exactly as many as their rows; after `truncate` it is as it was when it had so many.

use super::types::map_parts;
use crate::error::{Error, Result};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array,
        Int16Array, Int32Array, Int64Array, ListArray, MapArray, NullBufferBuilder, PrimitiveArray,
        StringArray, StructArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    error::ArrowError,
};
use std::{mem, sync::Arc};

/// A column in the making.
pub(in crate::sql) struct ColumnBuilder {
    data_type: DataType,
    nulls: NullBufferBuilder,
    /// The cells; a filler where there is NULL.
    pub store: Store,
}

/// Cells by the form in which they are kept.
pub(in crate::sql) enum Store {
    Boolean(Vec<bool>),
    /// Integers, dates and timestamps: the 64 bits of the sign-extended number.
    Integer(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
    /// Strings and byte strings: ends and bytes.
    Bytes(Vec<i32>, Vec<u8>),
    /// Ends and items.
    List(Vec<i32>, Box<ColumnBuilder>),
    Struct(Vec<ColumnBuilder>),
    /// Ends, keys and values.
    Map(Vec<i32>, Box<[ColumnBuilder; 2]>),
}

fn too_long() -> Error {
    Error::Codec("a chunk has more than 2 GiB in one column; fewer rows must go into a chunk".into())
}

impl ColumnBuilder {
    /// An empty column with room for `rows` rows.
    ///
    /// # Errors
    /// If the type cannot be in a row.
    pub fn new(data_type: &DataType, rows: usize) -> Result<Self> {
        let with = |data_type: &DataType| ColumnBuilder::new(data_type, rows);
        let refused = || {
            Error::Codec(
                super::type_refusal(data_type).unwrap_or_else(|| format!("{data_type} is no type of a row")),
            )
        };
        super::type_name(data_type).ok_or_else(refused)?;
        let store = match data_type {
            DataType::Boolean => Store::Boolean(Vec::with_capacity(rows)),
            DataType::Float32 => Store::Float32(Vec::with_capacity(rows)),
            DataType::Float64 => Store::Float64(Vec::with_capacity(rows)),
            DataType::Decimal128(..) => Store::Decimal(Vec::with_capacity(rows)),
            DataType::Utf8 | DataType::Binary => Store::Bytes(offsets(rows), Vec::with_capacity(rows * 8)),
            DataType::List(item) => Store::List(offsets(rows), Box::new(with(item.data_type())?)),
            DataType::Struct(fields) => {
                Store::Struct(fields.iter().map(|field| with(field.data_type())).collect::<Result<_>>()?)
            }
            DataType::Map(entries, _) => {
                let (key, value) = map_parts(entries.data_type()).ok_or_else(refused)?;
                Store::Map(offsets(rows), Box::new([with(key)?, with(value)?]))
            }
            _ => Store::Integer(Vec::with_capacity(rows)),
        };
        Ok(ColumnBuilder { data_type: data_type.clone(), nulls: NullBufferBuilder::new(rows), store })
    }

    /// Its type.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Cells so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.store {
            Store::Boolean(cells) => cells.push(false),
            Store::Integer(cells) => cells.push(0),
            Store::Float32(cells) => cells.push(0.0),
            Store::Float64(cells) => cells.push(0.0),
            Store::Decimal(cells) => cells.push(0),
            Store::Bytes(ends, _) | Store::List(ends, _) | Store::Map(ends, _) => {
                ends.push(ends.last().copied().unwrap_or_default());
            }
            Store::Struct(parts) => parts.iter_mut().for_each(ColumnBuilder::push_null),
        }
    }

    /// Says that the cell which was put into `store` is complete: for parts of rows behind the last of them, for the others with it.
    ///
    /// # Errors
    /// If the column is too large for one chunk. The builder must then be cut back.
    #[inline]
    pub fn end_cell(&mut self) -> Result {
        match &mut self.store {
            Store::Bytes(ends, bytes) => ends.push(end(bytes.len())?),
            Store::List(ends, items) => ends.push(end(items.len())?),
            Store::Map(ends, parts) => ends.push(end(parts[0].len())?),
            _ => {}
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Appends a string or a byte string, if the column is one of those.
    ///
    /// # Errors
    /// If the column is too large for one chunk.
    #[inline]
    pub fn push_bytes(&mut self, cell: &[u8]) -> Result {
        if let Store::Bytes(_, bytes) = &mut self.store {
            bytes.extend_from_slice(cell);
        }
        self.end_cell()
    }

    /// Appends an integer, a date or a timestamp, if the column is one of those.
    #[inline]
    pub fn push_integer(&mut self, cell: i64) {
        if let Store::Integer(cells) = &mut self.store {
            cells.push(cell.cast_unsigned());
        }
        self.nulls.append_non_null();
    }

    /// Cuts off what came after the first `rows` cells.
    pub fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        let kept = |ends: &mut Vec<i32>| {
            ends.truncate(rows + 1);
            usize::try_from(ends.last().copied().unwrap_or_default()).unwrap_or_default()
        };
        match &mut self.store {
            Store::Boolean(cells) => cells.truncate(rows),
            Store::Integer(cells) => cells.truncate(rows),
            Store::Float32(cells) => cells.truncate(rows),
            Store::Float64(cells) => cells.truncate(rows),
            Store::Decimal(cells) => cells.truncate(rows),
            Store::Bytes(ends, bytes) => bytes.truncate(kept(ends)),
            Store::List(ends, items) => items.truncate(kept(ends)),
            Store::Struct(parts) => parts.iter_mut().for_each(|part| part.truncate(rows)),
            Store::Map(ends, parts) => {
                let kept = kept(ends);
                parts.iter_mut().for_each(|part| part.truncate(kept));
            }
        }
    }

    /// The array of all cells; the builder is then empty.
    ///
    /// # Errors
    /// If a string is not UTF-8, or NULL stands where the type of a nested column forbids it.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        self.array().map_err(|e| Error::Codec(format!("no column of type {}: {e}", self.data_type)))
    }

    fn array(&mut self) -> Result<ArrayRef, ArrowError> {
        let nested = |builder: &mut ColumnBuilder| {
            builder.finish().map_err(|e| ArrowError::ComputeError(e.to_string()))
        };
        let rows = self.nulls.len();
        let nulls = self.nulls.finish();
        Ok(match (&mut self.store, &self.data_type) {
            (Store::Boolean(cells), _) => {
                Arc::new(BooleanArray::new(BooleanBuffer::from(mem::take(cells)), nulls)) as ArrayRef
            }
            (Store::Integer(cells), data_type) => integers(mem::take(cells), nulls, data_type)?,
            (Store::Float32(cells), _) => Arc::new(Float32Array::try_new(mem::take(cells).into(), nulls)?),
            (Store::Float64(cells), _) => Arc::new(Float64Array::try_new(mem::take(cells).into(), nulls)?),
            (Store::Decimal(cells), data_type) => {
                let cells = Decimal128Array::try_new(mem::take(cells).into(), nulls)?;
                Arc::new(cells.with_data_type(data_type.clone()))
            }
            (Store::Bytes(ends, bytes), data_type) => {
                let (ends, bytes) = (taken(ends), Buffer::from_vec(mem::take(bytes)));
                match data_type {
                    DataType::Utf8 => Arc::new(StringArray::try_new(ends, bytes, nulls)?),
                    _ => Arc::new(BinaryArray::try_new(ends, bytes, nulls)?),
                }
            }
            (Store::List(ends, items), DataType::List(field)) => {
                Arc::new(ListArray::try_new(field.clone(), taken(ends), nested(items)?, nulls)?)
            }
            (Store::Struct(parts), DataType::Struct(fields)) => {
                let parts = parts.iter_mut().map(nested).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), parts, nulls, rows)?)
            }
            (Store::Map(ends, parts), DataType::Map(entries, is_sorted)) => {
                let DataType::Struct(fields) = entries.data_type() else { return Err(mismatch()) };
                let [keys, values] = &mut **parts;
                let all = StructArray::try_new(fields.clone(), vec![nested(keys)?, nested(values)?], None)?;
                Arc::new(MapArray::try_new(entries.clone(), taken(ends), all, nulls, *is_sorted)?)
            }
            _ => return Err(mismatch()),
        })
    }
}

fn mismatch() -> ArrowError {
    ArrowError::SchemaError("cells of another type".into())
}

fn offsets(rows: usize) -> Vec<i32> {
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    ends
}

#[inline]
fn end(length: usize) -> Result<i32> {
    i32::try_from(length).map_err(|_| too_long())
}

fn taken(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(mem::replace(ends, vec![0])))
}

fn integers(
    cells: Vec<u64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    fn array<T: ArrowPrimitiveType>(
        cells: Vec<T::Native>,
        nulls: Option<NullBuffer>,
        data_type: &DataType,
    ) -> Result<ArrayRef, ArrowError> {
        let cells = PrimitiveArray::<T>::try_new(ScalarBuffer::from(cells), nulls)?;
        Ok(Arc::new(cells.with_data_type(data_type.clone())))
    }
    // The low bytes of the number: a cell is in the range of its type.
    macro_rules! low {
        ($array:ident $number:ident $($byte:ident)*) => {{
            let low = |cell: u64| {
                let [$($byte,)* ..] = cell.to_le_bytes();
                $number::from_le_bytes([$($byte),*])
            };
            Arc::new($array::try_new(cells.into_iter().map(low).collect(), nulls)?) as ArrayRef
        }};
    }
    let signed = |cells: Vec<u64>| cells.into_iter().map(u64::cast_signed).collect::<Vec<_>>();
    Ok(match data_type {
        DataType::Int8 => low!(Int8Array i8 a),
        DataType::Int16 => low!(Int16Array i16 a b),
        DataType::Int32 => low!(Int32Array i32 a b c d),
        DataType::Int64 => Arc::new(Int64Array::try_new(signed(cells).into(), nulls)?),
        DataType::UInt8 => low!(UInt8Array u8 a),
        DataType::UInt16 => low!(UInt16Array u16 a b),
        DataType::UInt32 => low!(UInt32Array u32 a b c d),
        DataType::UInt64 => Arc::new(UInt64Array::try_new(cells.into(), nulls)?),
        DataType::Date32 => {
            let days = |cell: u64| {
                let [a, b, c, d, ..] = cell.to_le_bytes();
                i32::from_le_bytes([a, b, c, d])
            };
            array::<Date32Type>(cells.into_iter().map(days).collect(), nulls, data_type)?
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            array::<TimestampSecondType>(signed(cells), nulls, data_type)?
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array::<TimestampMillisecondType>(signed(cells), nulls, data_type)?
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array::<TimestampMicrosecondType>(signed(cells), nulls, data_type)?
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array::<TimestampNanosecondType>(signed(cells), nulls, data_type)?
        }
        _ => return Err(mismatch()),
    })
}
