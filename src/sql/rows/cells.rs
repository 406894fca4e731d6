//! The cells of a column, to be read row by row.
//!
//! Owns the view of an array: downcast once, then slices. Knows no bytes. Invariant: offsets and slices are those of the rows of the
//! array, also where it is a part of a larger one.

use crate::error::{Error, Result};
use arrow::{
    array::{Array, AsArray},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
        Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use std::ops::Range;

/// A column.
pub(in crate::sql) struct CellColumn<'a> {
    nulls: Option<&'a NullBuffer>,
    /// Its cells; where there is NULL, anything.
    pub cells: Cells<'a>,
}

/// The cells by the form in which they are kept. Dates are `i32`, timestamps `i64`.
pub(in crate::sql) enum Cells<'a> {
    Boolean(&'a BooleanBuffer),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128]),
    /// Strings and byte strings.
    Bytes(&'a [i32], &'a [u8]),
    List(&'a [i32], Box<CellColumn<'a>>),
    Struct(Vec<CellColumn<'a>>),
    /// Keys and values.
    Map(&'a [i32], Box<[CellColumn<'a>; 2]>),
}

impl<'a> CellColumn<'a> {
    /// The cells of an array.
    ///
    /// # Errors
    /// If its type cannot be in a row.
    pub fn of(array: &'a dyn Array) -> Result<Self> {
        let cells = cells(array).ok_or_else(|| {
            let data_type = array.data_type();
            let reason = super::type_refusal(data_type);
            Error::Codec(reason.unwrap_or_else(|| format!("an array of type {data_type} is of another type")))
        })?;
        Ok(CellColumn { nulls: array.nulls().filter(|nulls| nulls.null_count() > 0), cells })
    }

    /// Whether a row is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

/// The items of a row.
#[inline]
pub(in crate::sql) fn range(offsets: &[i32], row: usize) -> Range<usize> {
    // Offsets of arrays are never negative.
    usize::try_from(offsets[row]).unwrap_or_default()..usize::try_from(offsets[row + 1]).unwrap_or_default()
}

fn cells(array: &dyn Array) -> Option<Cells<'_>> {
    fn values<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
        array.as_primitive_opt::<T>().map(|array| &array.values()[..])
    }
    Some(match array.data_type() {
        DataType::Boolean => Cells::Boolean(array.as_boolean_opt()?.values()),
        DataType::Int8 => Cells::Int8(values::<Int8Type>(array)?),
        DataType::Int16 => Cells::Int16(values::<Int16Type>(array)?),
        DataType::Int32 => Cells::Int32(values::<Int32Type>(array)?),
        DataType::Int64 => Cells::Int64(values::<Int64Type>(array)?),
        DataType::UInt8 => Cells::UInt8(values::<UInt8Type>(array)?),
        DataType::UInt16 => Cells::UInt16(values::<UInt16Type>(array)?),
        DataType::UInt32 => Cells::UInt32(values::<UInt32Type>(array)?),
        DataType::UInt64 => Cells::UInt64(values::<UInt64Type>(array)?),
        DataType::Float32 => Cells::Float32(values::<Float32Type>(array)?),
        DataType::Float64 => Cells::Float64(values::<Float64Type>(array)?),
        DataType::Decimal128(..) => Cells::Decimal(values::<Decimal128Type>(array)?),
        DataType::Date32 => Cells::Int32(values::<Date32Type>(array)?),
        DataType::Timestamp(unit, _) => Cells::Int64(match unit {
            TimeUnit::Second => values::<TimestampSecondType>(array)?,
            TimeUnit::Millisecond => values::<TimestampMillisecondType>(array)?,
            TimeUnit::Microsecond => values::<TimestampMicrosecondType>(array)?,
            TimeUnit::Nanosecond => values::<TimestampNanosecondType>(array)?,
        }),
        DataType::Utf8 => {
            let array = array.as_string_opt::<i32>()?;
            Cells::Bytes(array.value_offsets(), array.value_data())
        }
        DataType::Binary => {
            let array = array.as_binary_opt::<i32>()?;
            Cells::Bytes(array.value_offsets(), array.value_data())
        }
        DataType::List(_) => {
            let array = array.as_list_opt::<i32>()?;
            Cells::List(array.value_offsets(), Box::new(CellColumn::of(array.values()).ok()?))
        }
        DataType::Struct(_) => {
            let parts = array.as_struct_opt()?.columns().iter().map(|part| CellColumn::of(part).ok());
            Cells::Struct(parts.collect::<Option<_>>()?)
        }
        DataType::Map(..) => {
            let array = array.as_map_opt()?;
            let parts = [CellColumn::of(array.keys()).ok()?, CellColumn::of(array.values()).ok()?];
            Cells::Map(array.value_offsets(), Box::new(parts))
        }
        _ => return None,
    })
}
