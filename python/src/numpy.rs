//! Numbers and arrays of numpy as values.
//!
//! Owns which of them have a form, and that form of arrays (`docs/state-format.md`, "Values of Python"). Knows no stream, and numpy only by its
//! names: a program without it never imports it. Invariants: an array comes back with its kind of numbers and its shape; a single number
//! or text comes back as Python's own; an array whose bytes do not fit its shape is malformed.

use crate::value::{Malformed, Reader, put_bytes, put_varint, tag};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyList, PyTuple, PyType},
};

/// The kinds of numbers that arrays have, as numpy writes them, with their size in bytes. Durable: names are never used for something else.
const KINDS: [(&str, usize); 12] = [
    ("|b1", 1),
    ("|i1", 1),
    ("|u1", 1),
    ("<i2", 2),
    ("<u2", 2),
    ("<i4", 4),
    ("<u4", 4),
    ("<i8", 8),
    ("<u8", 8),
    ("<f2", 2),
    ("<f4", 4),
    ("<f8", 8),
];
/// As many dimensions as numpy allows.
const DIMENSIONS_MAX: usize = 64;

/// Whether a type is one of numpy's own.
pub fn has_type(kind: &Bound<'_, PyType>) -> bool {
    kind.fully_qualified_name().is_ok_and(|name| name.to_string_lossy().starts_with("numpy."))
}

/// Whether an object is an array, and not of a class that is derived from it.
fn is_array(object: &Bound<'_, PyAny>) -> bool {
    let name = object.get_type().fully_qualified_name();
    name.is_ok_and(|name| name.to_string_lossy() == "numpy.ndarray")
}

/// What a single number, truth or text of numpy is in Python; `None` = it is something else.
///
/// # Errors
/// What numpy raises.
pub fn scalar<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let generic = py.import(intern!(py, "numpy"))?.getattr(intern!(py, "generic"))?;
    if !object.is_instance(&generic)? {
        return Ok(None);
    }
    let kind = object.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?;
    if !matches!(kind.extract::<String>()?.as_str(), "b" | "i" | "u" | "f" | "S" | "U") {
        return Ok(None);
    }
    let plain = object.call_method0(intern!(py, "item"))?;
    // Numbers that Python's float cannot hold stay what they are.
    Ok((!plain.get_type().is(object.get_type())).then_some(plain))
}

/// Writes an array; `false` = it is none that has a form.
///
/// # Errors
/// What numpy raises.
pub fn write_array(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    if !is_array(object) {
        return Ok(false);
    }
    let py = object.py();
    let kind = object.getattr(intern!(py, "dtype"))?.call_method1(intern!(py, "newbyteorder"), ("<",))?;
    let name = kind.getattr(intern!(py, "str"))?.extract::<String>()?;
    if !KINDS.iter().any(|(known, _)| *known == name) {
        return Ok(false);
    }
    let shape = object.getattr(intern!(py, "shape"))?.extract::<Vec<u64>>()?;
    let numbers =
        object.call_method1(intern!(py, "astype"), (kind,))?.call_method0(intern!(py, "tobytes"))?;
    out.push(tag::ARRAY);
    put_bytes(name.as_bytes(), out);
    put_varint(shape.len() as u64, out);
    for size in shape {
        put_varint(size, out);
    }
    put_bytes(numbers.cast::<PyBytes>()?.as_bytes(), out);
    Ok(true)
}

/// The elements of an array of one dimension as Python's own, made by one call; `None` = it is something else.
///
/// # Errors
/// What numpy raises.
pub fn list_of<'py>(rows: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyList>>> {
    let py = rows.py();
    if rows.is_exact_instance_of::<PyList>() || !is_array(rows) {
        return Ok(None);
    }
    let kind = rows.getattr(intern!(py, "dtype"))?.getattr(intern!(py, "kind"))?.extract::<String>()?;
    let dimensions = rows.getattr(intern!(py, "ndim"))?.extract::<usize>()?;
    if dimensions != 1 || !matches!(kind.as_str(), "b" | "i" | "u" | "f" | "S" | "U") {
        return Ok(None);
    }
    Ok(rows.call_method0(intern!(py, "tolist"))?.cast_into::<PyList>().ok())
}

/// An array as it is in a value.
pub struct Array<'b> {
    kind: &'static str,
    pub shape: Vec<u64>,
    numbers: &'b [u8],
}

impl<'b> Array<'b> {
    /// Reads one, behind its first byte.
    ///
    /// # Errors
    /// If the bytes are no array.
    pub fn read(from: &mut Reader<'b>) -> Result<Self, Malformed> {
        let name = from.bytes()?;
        let known = KINDS.iter().find(|(known, _)| known.as_bytes() == name);
        let &(kind, size) =
            known.ok_or(Malformed("a kind of numbers in an array that this version does not know"))?;
        let dimensions = from.length()?;
        if dimensions > DIMENSIONS_MAX {
            return Err(Malformed("an array has too many dimensions"));
        }
        let shape = (0..dimensions).map(|_| from.varint()).collect::<Result<Vec<u64>, _>>()?;
        let numbers = from.bytes()?;
        let expected = shape.iter().try_fold(size as u64, |bytes, size| bytes.checked_mul(*size));
        if expected != Some(numbers.len() as u64) {
            return Err(Malformed("the numbers of an array do not fit its shape"));
        }
        Ok(Array { kind, shape, numbers })
    }

    /// The same as an array of numpy.
    ///
    /// # Errors
    /// If numpy is not there.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let numpy = py.import(intern!(py, "numpy"))?;
        let shape = PyTuple::new(py, &self.shape)?;
        if self.numbers.is_empty() {
            return numpy.call_method1(intern!(py, "empty"), (shape, self.kind));
        }
        let flat =
            numpy.call_method1(intern!(py, "frombuffer"), (PyBytes::new(py, self.numbers), self.kind))?;
        // A copy, because what is made from bytes cannot be written to.
        flat.call_method1(intern!(py, "reshape"), (shape,))?.call_method0(intern!(py, "copy"))
    }

    /// Its numbers, in their order.
    #[expect(clippy::cast_precision_loss, reason = "as numpy makes doubles of integers")]
    pub fn doubles(&self) -> Vec<f64> {
        macro_rules! each {
            ($type:ty => $double:expr) => {
                self.numbers
                    .chunks_exact(size_of::<$type>())
                    .filter_map(|bytes| bytes.try_into().ok().map(<$type>::from_le_bytes).map($double))
                    .collect()
            };
        }
        match self.kind {
            "|b1" | "|u1" => each!(u8 => f64::from),
            "|i1" => each!(i8 => f64::from),
            "<i2" => each!(i16 => f64::from),
            "<u2" => each!(u16 => f64::from),
            "<i4" => each!(i32 => f64::from),
            "<u4" => each!(u32 => f64::from),
            "<i8" => each!(i64 => |number| number as f64),
            "<u8" => each!(u64 => |number| number as f64),
            "<f2" => each!(half::f16 => f64::from),
            "<f4" => each!(f32 => f64::from),
            _ => each!(f64 => |number| number),
        }
    }

    /// Its numbers as places; `None` = one of them is none.
    pub fn places(&self) -> Option<Vec<u64>> {
        macro_rules! each {
            ($type:ty) => {
                self.numbers
                    .chunks_exact(size_of::<$type>())
                    .map(|bytes| bytes.try_into().ok().map(<$type>::from_le_bytes)?.try_into().ok())
                    .collect()
            };
        }
        match self.kind {
            "<i4" => each!(i32),
            "<i8" => each!(i64),
            _ => None,
        }
    }
}
