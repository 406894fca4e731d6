//! Rows that the program gives: objects of Python as columns.
//!
//! Owns which objects are values of a type. Knows no query. Invariant: a value that is none of its column's type, or that the type has no room for, is
//! an error that names the column.

use super::rows::arrow_error;
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, RecordBatchOptions,
        StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, FieldRef, Fields, SchemaRef, TimeUnit},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyFloat, PyList, PyString, PyTuple},
};
use std::sync::Arc;

/// The day of 1970-01-01 in Python's count.
const EPOCH_DAY: i32 = 719_163;

type Values<'py> = Vec<Option<Bound<'py, PyAny>>>;

/// Rows of tuples, which have a value for each column.
pub fn batch(schema: &SchemaRef, tuples: &Bound<'_, PyList>) -> PyResult<RecordBatch> {
    let tuples: Vec<Bound<'_, PyTuple>> =
        tuples.iter().map(|row| Ok(row.cast_into::<PyTuple>()?)).collect::<PyResult<_>>()?;
    let mut columns = vec![];
    for (at, field) in schema.fields().iter().enumerate() {
        let values = tuples.iter().map(|row| row.get_item(at).map(some)).collect::<PyResult<Values<'_>>>()?;
        columns.push(column(&values, field, field.name())?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(tuples.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(arrow_error)
}

fn some(value: Bound<'_, PyAny>) -> Option<Bound<'_, PyAny>> {
    (!value.is_none()).then_some(value)
}

/// Each value as `of` makes it.
fn each<'py, T>(
    values: &Values<'py>,
    name: &str,
    of: impl Fn(&Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<Option<T>>> {
    let one = |value: &Option<Bound<'py, PyAny>>| match value {
        None => Ok(None),
        Some(value) => of(value).map(Some).map_err(|e| {
            let told = |py: Python<'_>| e.value(py).to_string();
            let what = format!("column `{name}`: {}", told(value.py()));
            if e.is_instance_of::<PyTypeError>(value.py()) {
                PyTypeError::new_err(what)
            } else {
                PyValueError::new_err(what)
            }
        }),
    };
    values.iter().map(one).collect()
}

/// The values of a column, or of a field or an item in it.
fn column(values: &Values<'_>, field: &FieldRef, name: &str) -> PyResult<ArrayRef> {
    if !field.is_nullable() && values.iter().any(Option::is_none) {
        return Err(PyValueError::new_err(format!("column `{name}` is None, and it is not nullable")));
    }
    macro_rules! extracted {
        ($array:ty, $type:ty) => {
            Arc::new(<$array>::from(each(values, name, |value| integer(value)?.extract::<$type>())?))
        };
    }
    Ok(match field.data_type() {
        DataType::Boolean => {
            Arc::new(BooleanArray::from(each(values, name, |value| value.extract::<bool>())?))
        }
        DataType::Int8 => extracted!(Int8Array, i8),
        DataType::Int16 => extracted!(Int16Array, i16),
        DataType::Int32 => extracted!(Int32Array, i32),
        DataType::Int64 => extracted!(Int64Array, i64),
        DataType::Float32 => {
            Arc::new(Float32Array::from(each(values, name, |value| value.extract::<f32>())?))
        }
        DataType::Float64 => {
            Arc::new(Float64Array::from(each(values, name, |value| value.extract::<f64>())?))
        }
        DataType::Utf8 => {
            let text = |value: &Bound<'_, PyAny>| Ok(value.cast::<PyString>()?.to_string());
            Arc::new(StringArray::from(each(values, name, text)?))
        }
        DataType::Binary => {
            let bytes = each(values, name, |value| value.extract::<Vec<u8>>())?;
            Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
        }
        DataType::Date32 => Arc::new(Date32Array::from(each(values, name, day)?)),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            let times = each(values, name, |value| Ok(microseconds(value)?.div_euclid(1_000)))?;
            Arc::new(TimestampMillisecondArray::from(times).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = TimestampMicrosecondArray::from(each(values, name, microseconds)?);
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let numbers = each(values, name, |value| decimal(value, *precision, *scale))?;
            let array = Decimal128Array::from(numbers).with_precision_and_scale(*precision, *scale);
            Arc::new(array.map_err(arrow_error)?)
        }
        DataType::List(item) => list(values, item, name)?,
        DataType::Map(entries, _) => map(values, entries, name)?,
        DataType::Struct(fields) => row(values, fields, name)?,
        other => {
            return Err(PyTypeError::new_err(format!("column `{name}`: no object of Python is a {other}")));
        }
    })
}

/// A number that is no truth value and has no fraction.
fn integer<'a, 'py>(value: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyAny>> {
    let is_other = value.is_instance_of::<pyo3::types::PyBool>() || value.is_instance_of::<PyFloat>();
    if is_other {
        return Err(PyTypeError::new_err(format!("{} is no integer", value.repr()?)));
    }
    Ok(value)
}

fn day(value: &Bound<'_, PyAny>) -> PyResult<i32> {
    let day: i32 = value.call_method0(intern!(value.py(), "toordinal"))?.extract()?;
    Ok(day - EPOCH_DAY)
}

/// Microseconds since the epoch; a time without a zone is taken as it is.
fn microseconds(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = value.py();
    let datetime = py.import(intern!(py, "datetime"))?;
    let mut value = value.clone();
    if !value.getattr(intern!(py, "tzinfo"))?.is_none() {
        let utc = datetime.getattr(intern!(py, "timezone"))?.getattr(intern!(py, "utc"))?;
        let none = PyDict::new(py);
        none.set_item("tzinfo", py.None())?;
        let in_utc = value.call_method1(intern!(py, "astimezone"), (utc,))?;
        value = in_utc.call_method(intern!(py, "replace"), (), Some(&none))?;
    }
    let since = value.sub(datetime.getattr(intern!(py, "datetime"))?.call1((1970, 1, 1))?)?;
    let part = |name: &str| since.getattr(name)?.extract::<i64>();
    Ok((part("days")? * 86_400 + part("seconds")?) * 1_000_000 + part("microseconds")?)
}

/// The digits of a number, as many behind the point as the type has.
fn decimal(value: &Bound<'_, PyAny>, precision: u8, scale: i8) -> PyResult<i128> {
    let py = value.py();
    let number = py.import(intern!(py, "decimal"))?.getattr(intern!(py, "Decimal"))?.call1((value,))?;
    let text: String = number.call_method1(intern!(py, "__format__"), ("f",))?.extract()?;
    let no_room = || PyValueError::new_err(format!("{text} has no room in DECIMAL({precision}, {scale})"));
    let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = usize::try_from(scale).map_err(|_| no_room())?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(no_room());
    }
    let digits = format!("{whole}{fraction:0<places$}");
    let digits = digits.trim_start_matches('0');
    if digits.len() > usize::from(precision) {
        return Err(no_room());
    }
    if digits.is_empty() {
        return Ok(0);
    }
    digits.parse::<i128>().map(|number| sign * number).map_err(|_| no_room())
}

/// Where the parts of each value begin and end, and which values are there.
fn parts(counts: &[Option<usize>]) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
    let offsets = OffsetBuffer::from_lengths(counts.iter().map(|count| count.unwrap_or(0)));
    let nulls = NullBuffer::from(counts.iter().map(Option::is_some).collect::<Vec<_>>());
    (offsets, (nulls.null_count() > 0).then_some(nulls))
}

fn list(values: &Values<'_>, item: &FieldRef, name: &str) -> PyResult<ArrayRef> {
    let mut items = vec![];
    let mut counts = vec![];
    for value in values {
        let Some(value) = value else {
            counts.push(None);
            continue;
        };
        let before = items.len();
        for item in value.try_iter()? {
            items.push(some(item?));
        }
        counts.push(Some(items.len() - before));
    }
    let (offsets, nulls) = parts(&counts);
    let items = column(&items, item, name)?;
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls).map_err(arrow_error)?))
}

fn map(values: &Values<'_>, entries: &FieldRef, name: &str) -> PyResult<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(PyTypeError::new_err(format!("column `{name}` is no map")));
    };
    let (mut keys, mut of, mut counts) = (vec![], vec![], vec![]);
    for value in values {
        let Some(value) = value else {
            counts.push(None);
            continue;
        };
        let dict = value.cast::<PyDict>()?;
        for (key, value) in dict {
            keys.push(some(key));
            of.push(some(value));
        }
        counts.push(Some(dict.len()));
    }
    let (offsets, nulls) = parts(&counts);
    let columns = vec![column(&keys, &fields[0], name)?, column(&of, &fields[1], name)?];
    let entries_of = StructArray::try_new(fields.clone(), columns, None).map_err(arrow_error)?;
    let map = MapArray::try_new(entries.clone(), offsets, entries_of, nulls, false);
    Ok(Arc::new(map.map_err(arrow_error)?))
}

/// Rows in rows: tuples, or dictionaries by the names of the fields.
fn row(values: &Values<'_>, fields: &Fields, name: &str) -> PyResult<ArrayRef> {
    let mut columns = vec![];
    for (at, field) in fields.iter().enumerate() {
        let mut of = vec![];
        for value in values {
            of.push(match value {
                None => None,
                Some(value) => match value.cast::<PyDict>() {
                    Ok(dict) => dict.get_item(field.name())?.and_then(some),
                    Err(_) => some(value.get_item(at)?),
                },
            });
        }
        columns.push(column(&of, field, &format!("{name}.{}", field.name()))?);
    }
    let nulls = NullBuffer::from(values.iter().map(Option::is_some).collect::<Vec<_>>());
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls).map_err(arrow_error)?))
}
