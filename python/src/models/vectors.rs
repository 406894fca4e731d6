//! Vectors and labelled points in the rows of a program.
//!
//! Owns how a row is read as what a model learns from: the package's `DenseVector`, `SparseVector` and `LabeledPoint`, arrays of numpy,
//! and lists and tuples of numbers. Knows no model and no interpreter. Invariant: no more memory is taken than the bytes have, but for the
//! zeros of a sparse vector that is as long as the model's.

use crate::{
    function::short,
    numpy::Array,
    value::{Reader, Value, tag},
};
use tidegate::ml::LabeledPoint;

const DENSE: &[u8] = b"tidegate.pyspark.mllib.linalg:DenseVector";
const SPARSE: &[u8] = b"tidegate.pyspark.mllib.linalg:SparseVector";
const POINT: &[u8] = b"tidegate.pyspark.mllib.regression:LabeledPoint";

/// A row as a vector for a model of so many dimensions.
///
/// # Errors
/// If it is none, or a sparse one of another length.
pub fn vector_of(row: &Value, dimensions: usize) -> Result<Vec<f64>, String> {
    let mut reader = Reader::new(row.bytes());
    let vector = vector(&mut reader, dimensions).map_err(|why| told(row, "vector", &why))?;
    whole(&reader, row, "vector").map(|()| vector)
}

/// A row as an example for a model of so many dimensions.
///
/// # Errors
/// If it is no labelled point.
pub fn point_of(row: &Value, dimensions: usize) -> Result<LabeledPoint, String> {
    let mut reader = Reader::new(row.bytes());
    let point = point(&mut reader, dimensions).map_err(|why| told(row, "LabeledPoint", &why))?;
    whole(&reader, row, "LabeledPoint").map(|()| point)
}

fn told(row: &Value, what: &str, why: &str) -> String {
    format!("the model takes rows that are a {what}, and this one is none: {why}: {}", short(row))
}

fn whole(reader: &Reader<'_>, row: &Value, what: &str) -> Result<(), String> {
    if reader.is_at_end() { Ok(()) } else { Err(told(row, what, "bytes are left over")) }
}

fn point(from: &mut Reader<'_>, dimensions: usize) -> Result<LabeledPoint, String> {
    let is_point = from.byte()? == tag::DATACLASS && from.bytes()? == POINT && from.varint()? == 2;
    if !is_point {
        return Err("it is of another class".into());
    }
    field(from, "label")?;
    let label = number(from)?;
    field(from, "features")?;
    Ok(LabeledPoint { label, features: vector(from, dimensions)? })
}

fn vector(from: &mut Reader<'_>, dimensions: usize) -> Result<Vec<f64>, String> {
    match from.byte()? {
        tag::LIST | tag::TUPLE => {
            let count = from.length()?;
            (0..count).map(|_| number(from)).collect()
        }
        tag::ARRAY => Ok(line(from)?.doubles()),
        tag::DATACLASS => match (from.bytes()?, from.varint()?) {
            (DENSE, 1) => {
                field(from, "array")?;
                array(from).map(|array| array.doubles())
            }
            (SPARSE, 3) => sparse(from, dimensions),
            _ => Err("it is of another class".into()),
        },
        _ => Err("it is of another type".into()),
    }
}

fn sparse(from: &mut Reader<'_>, dimensions: usize) -> Result<Vec<f64>, String> {
    field(from, "size")?;
    let size = if from.byte()? == tag::INT { from.int()? } else { -1 };
    field(from, "indices")?;
    let places = array(from)?.places().ok_or("its indices are no places")?;
    field(from, "values")?;
    let values = array(from)?.doubles();
    // Before there is room for its zeros.
    if usize::try_from(size) != Ok(dimensions) {
        return Err(format!("a vector of {size} numbers for a model of {dimensions}"));
    }
    if places.len() != values.len() {
        return Err("it has not as many indices as values".into());
    }
    let mut dense = vec![0.0; dimensions];
    for (place, value) in places.into_iter().zip(values) {
        let at = usize::try_from(place).ok().and_then(|place| dense.get_mut(place));
        *at.ok_or_else(|| format!("it has a value at {place}, and ends before"))? = value;
    }
    Ok(dense)
}

/// An array of one dimension, with its first byte.
fn array<'b>(from: &mut Reader<'b>) -> Result<Array<'b>, String> {
    if from.byte()? == tag::ARRAY { line(from) } else { Err("a field of it is no array".into()) }
}

/// The same without its first byte.
fn line<'b>(from: &mut Reader<'b>) -> Result<Array<'b>, String> {
    let array = Array::read(from)?;
    match array.shape.len() {
        1 => Ok(array),
        dimensions => Err(format!("an array of {dimensions} dimensions")),
    }
}

fn field(from: &mut Reader<'_>, name: &str) -> Result<(), String> {
    if from.bytes()? == name.as_bytes() { Ok(()) } else { Err(format!("it has no field `{name}`")) }
}

#[expect(clippy::cast_precision_loss, reason = "as Python makes doubles of integers")]
fn number(from: &mut Reader<'_>) -> Result<f64, String> {
    match from.byte()? {
        tag::FLOAT => Ok(from.float()?),
        tag::INT => Ok(from.int()? as f64),
        tag::FALSE => Ok(0.0),
        tag::TRUE => Ok(1.0),
        _ => Err("a part of it is no number".into()),
    }
}
