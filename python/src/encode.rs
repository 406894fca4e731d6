//! Python objects to values.
//!
//! Owns which types have a form of their own. Knows no stream. Invariants: only exact types are taken, so that what comes back is of the
//! type that was given, but for single numbers and texts of numpy, which come back as Python's; `pickle` is used only where the program
//! says so.

use crate::{
    classes::{self, Kind},
    numpy,
    value::{DEPTH_MAX, Value, put_bytes, put_float, put_text, put_varint, tag, zigzag},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType},
};
use std::{
    cell::RefCell,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether the program allows objects that only `pickle` can write. One setting for the process: a value does not know its context.
static PICKLE: AtomicBool = AtomicBool::new(false);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

pub fn allow_pickle() {
    PICKLE.store(true, Ordering::Relaxed);
}

pub fn is_pickle_allowed() -> bool {
    PICKLE.load(Ordering::Relaxed)
}

/// The value of an object.
///
/// # Errors
/// `TypeError` or `ValueError` if it has none.
pub fn value_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    // Taken, because Python code may run meanwhile, and write another value on this thread.
    let mut out = BUFFER.take();
    out.clear();
    let written = write(object, 0, &mut out).map(|()| Value::written(&out));
    BUFFER.set(out);
    written
}

fn write(object: &Bound<'_, PyAny>, depth: usize, out: &mut Vec<u8>) -> PyResult<()> {
    if depth > DEPTH_MAX {
        return Err(PyValueError::new_err(format!("a row is nested more than {DEPTH_MAX} deep")));
    }
    if let Ok(text) = object.cast_exact::<PyString>() {
        put_text(tag::STR, text.to_str()?.as_bytes(), out);
    } else if let Ok(parts) = object.cast_exact::<PyTuple>() {
        out.push(tag::TUPLE);
        put_varint(parts.len() as u64, out);
        for part in parts.iter_borrowed() {
            write(&part, depth + 1, out)?;
        }
    } else if object.is_exact_instance_of::<PyInt>() {
        write_int(object, out)?;
    } else if let Ok(number) = object.cast_exact::<PyFloat>() {
        put_float(number.value(), out);
    } else if let Ok(truth) = object.cast_exact::<PyBool>() {
        out.push(if truth.is_true() { tag::TRUE } else { tag::FALSE });
    } else if object.is_none() {
        out.push(tag::NONE);
    } else if let Ok(parts) = object.cast_exact::<PyList>() {
        out.push(tag::LIST);
        put_varint(parts.len() as u64, out);
        for part in parts.iter() {
            write(&part, depth + 1, out)?;
        }
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        put_text(tag::BYTES, bytes.as_bytes(), out);
    } else if let Ok(entries) = object.cast_exact::<PyDict>() {
        out.push(tag::DICT);
        put_varint(entries.len() as u64, out);
        for (key, value) in entries.iter() {
            write(&key, depth + 1, out)?;
            write(&value, depth + 1, out)?;
        }
    } else if object.is_exact_instance_of::<PySet>() {
        write_set(tag::SET, object, depth, out)?;
    } else if object.is_exact_instance_of::<PyFrozenSet>() {
        write_set(tag::FROZEN_SET, object, depth, out)?;
    } else {
        write_other(object, depth, out)?;
    }
    Ok(())
}

fn write_int(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    if let Ok(number) = object.extract::<i64>() {
        out.push(tag::INT);
        put_varint(zigzag(number), out);
        return Ok(());
    }
    let py = object.py();
    let bits: usize = object.call_method0(intern!(py, "bit_length"))?.extract()?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "signed"), true)?;
    let bytes = object.call_method(intern!(py, "to_bytes"), (bits / 8 + 1, "little"), Some(&options))?;
    put_text(tag::BIG_INT, bytes.cast::<PyBytes>()?.as_bytes(), out);
    Ok(())
}

fn write_set(tag: u8, elements: &Bound<'_, PyAny>, depth: usize, out: &mut Vec<u8>) -> PyResult<()> {
    let mut written = vec![];
    for element in elements.try_iter()? {
        let mut one = vec![];
        write(&element?, depth + 1, &mut one)?;
        written.push(one);
    }
    written.sort_unstable();
    out.push(tag);
    put_varint(written.len() as u64, out);
    out.extend(written.concat());
    Ok(())
}

/// An object of a class of the program, or of one that has no form.
fn write_other(object: &Bound<'_, PyAny>, depth: usize, out: &mut Vec<u8>) -> PyResult<()> {
    let kind = object.get_type();
    if let Some(class) = classes::of(&kind)? {
        out.push(match class.kind {
            Kind::NamedTuple => tag::NAMED_TUPLE,
            Kind::Dataclass => tag::DATACLASS,
        });
        put_bytes(class.name.as_bytes(), out);
        put_varint(class.fields.len() as u64, out);
        for field in &class.fields {
            put_bytes(field.as_bytes(), out);
            write(&object.getattr(field.as_str())?, depth + 1, out)?;
        }
        return Ok(());
    }
    if numpy::has_type(&kind) {
        if let Some(plain) = numpy::scalar(object)? {
            return write(&plain, depth, out);
        }
        if numpy::write_array(object, out)? {
            return Ok(());
        }
    }
    if !is_pickle_allowed() {
        return Err(PyTypeError::new_err(refusal(&kind)));
    }
    let py = object.py();
    let pickle = py.import(intern!(py, "pickle"))?;
    // The protocol of Python 3.4: every version that this package runs on reads it.
    let bytes = pickle.call_method1(intern!(py, "dumps"), (object, 4))?;
    put_text(tag::PICKLE, bytes.cast::<PyBytes>()?.as_bytes(), out);
    Ok(())
}

fn refusal(kind: &Bound<'_, PyType>) -> String {
    let name = kind.fully_qualified_name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    let instead = match name.as_str() {
        "generator" => "make a list of it",
        "numpy.datetime64" | "numpy.timedelta64" => "use `str(..)`, or `.astype('int64')`",
        _ if name.starts_with("numpy.") => {
            "use an array of numbers of up to 64 bits, `float(..)` of a longdouble, or `.tolist()` of anything else"
        }
        "datetime.datetime" | "datetime.date" | "datetime.time" => "use `.isoformat()`, or `.timestamp()`",
        "bytearray" | "memoryview" => "use `bytes(..)`",
        _ => {
            "use None, bool, int, float, str, bytes, tuple, list, dict, set, a named tuple or a dataclass; or set `tidegate.allow-pickle` to `true`, if only this program writes its topics"
        }
    };
    format!("a row cannot hold an object of type {name}\n  next: {instead}")
}
