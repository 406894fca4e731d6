//! Values to Python objects.
//!
//! Owns the way back. Knows no stream. Invariant: bytes that are not exactly one value become an exception, never another value.

use crate::{
    classes, encode, numpy,
    value::{DEPTH_MAX, Malformed, Reader, Value, tag},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple},
};

/// The object of a value.
///
/// # Errors
/// `ValueError` if the bytes are no value; what the class of an object raises.
pub fn object_of<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = Reader::new(value.bytes());
    let object = read(py, &mut reader, 0)?;
    if reader.is_at_end() { Ok(object) } else { Err(malformed(Malformed("bytes are left over"))) }
}

fn malformed(why: Malformed) -> PyErr {
    PyValueError::new_err(why.to_string())
}

fn read<'py>(py: Python<'py>, from: &mut Reader<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEPTH_MAX {
        return Err(malformed(Malformed("they are nested too deep")));
    }
    Ok(match from.byte().map_err(malformed)? {
        tag::NONE => py.None().into_bound(py),
        tag::FALSE => PyBool::new(py, false).to_owned().into_any(),
        tag::TRUE => PyBool::new(py, true).to_owned().into_any(),
        tag::INT => PyInt::new(py, from.int().map_err(malformed)?).into_any(),
        tag::BIG_INT => {
            let bytes = PyBytes::new(py, from.bytes().map_err(malformed)?);
            let options = PyDict::new(py);
            options.set_item(intern!(py, "signed"), true)?;
            py.get_type::<PyInt>().call_method(
                intern!(py, "from_bytes"),
                (bytes, "little"),
                Some(&options),
            )?
        }
        tag::FLOAT => PyFloat::new(py, from.float().map_err(malformed)?).into_any(),
        tag::STR => PyString::new(py, text(from.bytes().map_err(malformed)?)?).into_any(),
        tag::BYTES => PyBytes::new(py, from.bytes().map_err(malformed)?).into_any(),
        tag::TUPLE => {
            let count = from.length().map_err(malformed)?;
            if count == 2 {
                let (first, second) = (read(py, from, depth + 1)?, read(py, from, depth + 1)?);
                (first, second).into_pyobject(py)?.into_any()
            } else {
                PyTuple::new(py, parts(py, from, count, depth)?)?.into_any()
            }
        }
        tag::LIST => {
            let count = from.length().map_err(malformed)?;
            PyList::new(py, parts(py, from, count, depth)?)?.into_any()
        }
        tag::DICT => {
            let entries = PyDict::new(py);
            for _ in 0..from.length().map_err(malformed)? {
                let key = read(py, from, depth + 1)?;
                entries.set_item(key, read(py, from, depth + 1)?)?;
            }
            entries.into_any()
        }
        tag::SET => {
            let count = from.length().map_err(malformed)?;
            PySet::new(py, parts(py, from, count, depth)?)?.into_any()
        }
        tag::FROZEN_SET => {
            let count = from.length().map_err(malformed)?;
            PyFrozenSet::new(py, parts(py, from, count, depth)?)?.into_any()
        }
        tag::NAMED_TUPLE | tag::DATACLASS => {
            let name = text(from.bytes().map_err(malformed)?)?;
            let fields = PyDict::new(py);
            for _ in 0..from.length().map_err(malformed)? {
                let field = text(from.bytes().map_err(malformed)?)?;
                fields.set_item(field, read(py, from, depth + 1)?)?;
            }
            classes::make(py, name, &fields)?
        }
        tag::PICKLE => unpickled(py, from.bytes().map_err(malformed)?)?,
        tag::ARRAY => numpy::Array::read(from).map_err(malformed)?.object(py)?,
        _ => return Err(malformed(Malformed("a kind of value that this version does not know"))),
    })
}

fn unpickled<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if !encode::is_pickle_allowed() {
        return Err(PyTypeError::new_err(
            "a value was written by `pickle`, which is not allowed here\n  next: set `tidegate.allow-pickle` to `true`, if only this program writes its topics",
        ));
    }
    py.import(intern!(py, "pickle"))?.call_method1(intern!(py, "loads"), (PyBytes::new(py, bytes),))
}

fn parts<'py>(
    py: Python<'py>,
    from: &mut Reader<'_>,
    count: usize,
    depth: usize,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    (0..count).map(|_| read(py, from, depth + 1)).collect()
}

fn text(bytes: &[u8]) -> PyResult<&str> {
    std::str::from_utf8(bytes).map_err(|_| malformed(Malformed("a text is not UTF-8")))
}
