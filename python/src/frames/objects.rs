//! Objects that functions of the program have returned, as columns.
//!
//! Owns which objects are values of a type. Knows no function. Invariants, which are PySpark's: an object of another type is NULL, save that a
//! text is made of anything; where a date, a time or a row is wanted it is an error. A value that does not fit into its type is an error, too.

use super::rows::{Classes, EPOCH_DAY};
use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray,
        NullArray, PrimitiveArray, StringArray, StructArray, TimestampMicrosecondArray,
        TimestampMillisecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{
        DataType, Date32Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimeUnit,
    },
    error::ArrowError,
};
use pyo3::{
    exceptions::{PyOverflowError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use std::sync::Arc;
use tidegate::sql::parse::type_name;

type Object<'py> = Bound<'py, PyAny>;
/// `None` for None.
type Given<'py> = Option<Object<'py>>;

/// A column of a type.
///
/// # Errors
/// What an object raises, and the error of one that is no value of the type.
pub fn column<'py>(
    classes: &Classes<'py>,
    objects: &[Given<'py>],
    data_type: &DataType,
) -> PyResult<ArrayRef> {
    Ok(match data_type {
        DataType::Null => Arc::new(NullArray::new(objects.len())),
        DataType::Boolean => {
            let truth = |object: &Object<'py>| Ok(object.cast::<PyBool>().ok().map(PyBoolMethods::is_true));
            Arc::new(each(objects, truth)?.into_iter().collect::<BooleanArray>())
        }
        DataType::Int8 => integers::<Int8Type>(objects, data_type)?,
        DataType::Int16 => integers::<Int16Type>(objects, data_type)?,
        DataType::Int32 => integers::<Int32Type>(objects, data_type)?,
        DataType::Int64 => integers::<Int64Type>(objects, data_type)?,
        DataType::Float32 => {
            #[expect(clippy::cast_possible_truncation, reason = "a FLOAT is the nearest of 32 bits")]
            let number = |object: &Object<'py>| Ok(float(object).map(|number| number as f32));
            Arc::new(each(objects, number)?.into_iter().collect::<PrimitiveArray<Float32Type>>())
        }
        DataType::Float64 => {
            let number = |object: &Object<'py>| Ok(float(object));
            Arc::new(each(objects, number)?.into_iter().collect::<PrimitiveArray<Float64Type>>())
        }
        DataType::Utf8 => Arc::new(each(objects, text)?.into_iter().collect::<StringArray>()),
        DataType::Binary => Arc::new(each(objects, bytes)?.into_iter().collect::<BinaryArray>()),
        DataType::Decimal128(precision, scale) => {
            let units = each(objects, |object| units(classes, object, *precision, *scale))?;
            let decimals = units.into_iter().collect::<Decimal128Array>();
            Arc::new(decimals.with_precision_and_scale(*precision, *scale).map_err(|e| failed(&e))?)
        }
        DataType::Date32 => {
            let days = each(objects, |object| day(classes, object).map(Some))?;
            Arc::new(days.into_iter().collect::<PrimitiveArray<Date32Type>>())
        }
        DataType::Timestamp(unit, zone) => {
            let times = each(objects, |object| microseconds(classes, object).map(Some))?.into_iter();
            let zone = zone.clone();
            if *unit == TimeUnit::Microsecond {
                Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone_opt(zone))
            } else {
                let times = times.map(|time| time.map(|time| time.div_euclid(1_000)));
                Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone_opt(zone))
            }
        }
        DataType::List(item) => lists(classes, objects, item)?,
        DataType::Map(entries, _) => maps(classes, objects, entries)?,
        DataType::Struct(fields) => rows(classes, objects, fields)?,
        other => return Err(PyTypeError::new_err(format!("a function cannot return {}", type_name(other)))),
    })
}

fn failed(error: &ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The value of each object. Numbers and arrays of numpy are taken as those of Python.
fn each<'py, T>(
    objects: &[Given<'py>],
    value: impl Fn(&Object<'py>) -> PyResult<Option<T>>,
) -> PyResult<Vec<Option<T>>> {
    let of = |object: &Given<'py>| {
        let Some(object) = object else { return Ok(None) };
        let found = value(object)?;
        if found.is_some() || !is_array(object)? {
            return Ok(found);
        }
        value(&object.call_method0(intern!(object.py(), "tolist"))?)
    };
    objects.iter().map(of).collect()
}

fn is_array(object: &Object<'_>) -> PyResult<bool> {
    Ok(["numpy", "array"].contains(&object.get_type().module()?.to_str()?))
}

fn shown(object: &Object<'_>) -> String {
    object.repr().map_or_else(|_| "an object".to_owned(), |text| text.to_string())
}

fn no_value(object: &Object<'_>, data_type: &DataType, wanted: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "the function has returned {}, which is no {}\n  next: return {wanted}",
        shown(object),
        type_name(data_type)
    ))
}

fn does_not_fit(object: &Object<'_>, data_type: &DataType) -> PyErr {
    PyOverflowError::new_err(format!(
        "the function has returned {}, which does not fit into {}",
        shown(object),
        type_name(data_type)
    ))
}

fn integers<'py, T: ArrowPrimitiveType<Native: TryFrom<i64>>>(
    objects: &[Given<'py>],
    data_type: &DataType,
) -> PyResult<ArrayRef> {
    let integer = |object: &Object<'py>| {
        if object.is_instance_of::<PyBool>() || !object.is_instance_of::<PyInt>() {
            return Ok(None);
        }
        let number = object.extract::<i64>().ok().and_then(|number| T::Native::try_from(number).ok());
        number.map(Some).ok_or_else(|| does_not_fit(object, data_type))
    };
    Ok(Arc::new(PrimitiveArray::<T>::from_iter(each(objects, integer)?)))
}

fn float(object: &Object<'_>) -> Option<f64> {
    object.cast::<PyFloat>().ok().map(PyFloatMethods::value)
}

fn text(object: &Object<'_>) -> PyResult<Option<String>> {
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Some(truth.is_true().to_string()));
    }
    Ok(Some(object.str()?.to_str()?.to_owned()))
}

fn bytes(object: &Object<'_>) -> PyResult<Option<Vec<u8>>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Some(bytes.as_bytes().to_vec()));
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Some(bytes.to_vec()));
    }
    let text = object.cast::<PyString>().ok();
    text.map(|text| Ok(text.to_str()?.as_bytes().to_vec())).transpose()
}

/// A decimal as a number of its last digit.
fn units<'py>(
    classes: &Classes<'py>,
    object: &Object<'py>,
    precision: u8,
    scale: i8,
) -> PyResult<Option<i128>> {
    if !object.is_instance(&classes.decimal)? {
        return Ok(None);
    }
    let text: String = object.call_method1(intern!(classes.py, "__format__"), ("f",))?.extract()?;
    let scale_or_none = usize::try_from(scale).unwrap_or(0);
    let fits = |units: &i128| units.unsigned_abs() < 10_u128.pow(u32::from(precision));
    let units = rounded(&text, scale_or_none).filter(fits);
    units.map(Some).ok_or_else(|| does_not_fit(object, &DataType::Decimal128(precision, scale)))
}

/// A decimal as a number of its digit at this place behind the point; halves are rounded away from zero.
fn rounded(text: &str, scale: usize) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let kept = fraction.bytes().chain(std::iter::repeat(b'0')).take(scale);
    let mut units = 0_i128;
    for digit in whole.bytes().chain(kept) {
        units = units.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let is_up = fraction.as_bytes().get(scale).is_some_and(|next| *next >= b'5');
    units.checked_add(i128::from(is_up))?.checked_mul(sign)
}

fn day<'py>(classes: &Classes<'py>, object: &Object<'py>) -> PyResult<i32> {
    if !object.is_instance(&classes.date)? {
        return Err(no_value(object, &DataType::Date32, "a datetime.date"));
    }
    let day: i32 = object.call_method0(intern!(classes.py, "toordinal"))?.extract()?;
    Ok(day - EPOCH_DAY)
}

/// Since 1970; a time without a zone is in UTC.
fn microseconds<'py>(classes: &Classes<'py>, object: &Object<'py>) -> PyResult<i64> {
    let py = classes.py;
    if !object.is_instance(classes.epoch.get_type().as_any())? {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        return Err(no_value(object, &time, "a datetime.datetime"));
    }
    let since = match object.getattr(intern!(py, "tzinfo"))? {
        zone if zone.is_none() => object.sub(&classes.epoch)?,
        _ => {
            let calls = py.import(intern!(py, "tidegate._calls"))?;
            calls.call_method1(intern!(py, "utc_of"), (object,))?.sub(&classes.epoch)?
        }
    };
    let part = |name: &Bound<'py, PyString>| since.getattr(name)?.extract::<i64>();
    let seconds = part(intern!(py, "days"))? * 86_400 + part(intern!(py, "seconds"))?;
    Ok(seconds * 1_000_000 + part(intern!(py, "microseconds"))?)
}

/// The elements of a list or tuple.
fn elements<'py>(object: &Object<'py>) -> PyResult<Option<Vec<Given<'py>>>> {
    if !object.is_instance_of::<PyList>() && !object.is_instance_of::<PyTuple>() {
        return Ok(None);
    }
    parts(object).map(Some)
}

fn parts<'py>(object: &Object<'py>) -> PyResult<Vec<Given<'py>>> {
    object.try_iter()?.map(|part| part.map(given)).collect()
}

/// An object, unless it is None.
pub fn given(object: Object<'_>) -> Given<'_> {
    (!object.is_none()).then_some(object)
}

/// Which of some are there, and how long each is.
fn shape<T>(parts: &[Option<Vec<T>>]) -> (NullBuffer, OffsetBuffer<i32>) {
    let nulls = parts.iter().map(Option::is_some).collect();
    (nulls, OffsetBuffer::from_lengths(parts.iter().map(|part| part.as_ref().map_or(0, Vec::len))))
}

fn lists<'py>(classes: &Classes<'py>, objects: &[Given<'py>], item: &FieldRef) -> PyResult<ArrayRef> {
    let lists = each(objects, |object| {
        let is_bytes = object.is_instance_of::<PyByteArray>();
        if is_bytes { parts(object).map(Some) } else { elements(object) }
    })?;
    let (nulls, offsets) = shape(&lists);
    let elements: Vec<Given<'py>> = lists.into_iter().flatten().flatten().collect();
    let elements = column(classes, &elements, item.data_type())?;
    let lists = ListArray::try_new(item.clone(), offsets, elements, Some(nulls));
    Ok(Arc::new(lists.map_err(|e| failed(&e))?))
}

fn maps<'py>(classes: &Classes<'py>, objects: &[Given<'py>], entries: &FieldRef) -> PyResult<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(PyTypeError::new_err("a map has no entries"));
    };
    let dicts = each(objects, |object| {
        let Ok(dict) = object.cast::<PyDict>() else { return Ok(None) };
        Ok(Some(dict.iter().map(|(key, value)| [given(key), given(value)]).collect::<Vec<_>>()))
    })?;
    let (nulls, offsets) = shape(&dicts);
    let (keys, values): (Vec<_>, Vec<_>) =
        dicts.into_iter().flatten().flatten().map(|[key, value]| (key, value)).unzip();
    let pairs = [keys, values];
    let columns = pairs.iter().zip(fields);
    let columns = columns.map(|(objects, field)| column(classes, objects, field.data_type()));
    let rows = StructArray::try_new(fields.clone(), columns.collect::<PyResult<Vec<_>>>()?, None);
    let maps = rows.and_then(|rows| MapArray::try_new(entries.clone(), offsets, rows, Some(nulls), false));
    Ok(Arc::new(maps.map_err(|e| failed(&e))?))
}

fn rows<'py>(classes: &Classes<'py>, objects: &[Given<'py>], fields: &Fields) -> PyResult<ArrayRef> {
    let rows = each(objects, |object| values_of(object, fields).map(Some))?;
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    let of = |at: usize| -> Vec<Given<'py>> {
        rows.iter().map(|row| row.as_ref().and_then(|row| row[at].clone())).collect()
    };
    let columns = fields.iter().enumerate().map(|(at, field)| column(classes, &of(at), field.data_type()));
    let rows = StructArray::try_new(fields.clone(), columns.collect::<PyResult<Vec<_>>>()?, Some(nulls));
    Ok(Arc::new(rows.map_err(|e| failed(&e))?))
}

/// The values of a row: of a tuple or list by their places, of a dict or an object by their names.
fn values_of<'py>(object: &Object<'py>, fields: &Fields) -> PyResult<Vec<Given<'py>>> {
    if let Some(values) = elements(object)? {
        if values.len() == fields.len() {
            return Ok(values);
        }
        let (wanted, got) = (fields.len(), values.len());
        let what = format!("the function has returned {}: {got} values for {wanted} fields", shown(object));
        return Err(PyValueError::new_err(what));
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        return fields.iter().map(|field| Ok(dict.get_item(field.name())?.and_then(given))).collect();
    }
    if object.hasattr(intern!(object.py(), "__dict__"))? {
        let value = |field: &FieldRef| {
            Ok(if object.hasattr(field.name())? { given(object.getattr(field.name())?) } else { None })
        };
        return fields.iter().map(value).collect();
    }
    Err(no_value(object, &DataType::Struct(fields.clone()), "a tuple, a Row or a dict"))
}
