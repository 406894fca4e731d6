//! Functions of the program over columns.
//!
//! Owns how they are called: for rows, which the interpreter goes through by itself, or with whole columns as bytes of Arrow. Knows no query.
//! Invariants: the interpreter is held for the rows that come together, and not for each of them; what a function raises is the reason why its
//! rows fail, with Python's traceback.

use super::{
    objects::{column, given},
    rows::Classes,
};
use crate::function::traceback;
use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};
use std::sync::Arc;

/// What the engine calls.
pub type Compute = Box<dyn Fn(&[ArrayRef]) -> Result<ArrayRef, String> + Send + Sync>;

/// A function that is called for each row.
pub fn over_rows(function: Py<PyAny>, returns: DataType) -> Compute {
    Box::new(move |columns| {
        Python::attach(|py| of_rows(py, &function, columns, &returns).map_err(|e| traceback(py, &e)))
    })
}

fn of_rows(
    py: Python<'_>,
    function: &Py<PyAny>,
    columns: &[ArrayRef],
    returns: &DataType,
) -> PyResult<ArrayRef> {
    let classes = Classes::new(py)?;
    let rows = columns.first().map_or(0, Array::len);
    // A column of NULLs alone stands for no argument at all.
    let arguments = columns.iter().filter(|column| *column.data_type() != DataType::Null);
    let arguments = arguments.map(|column| classes.list(column)).collect::<PyResult<Vec<_>>>()?;
    let arguments = PyTuple::new(py, arguments)?;
    let calls = py.import(intern!(py, "tidegate._calls"))?;
    let results = calls.call_method1(intern!(py, "of_rows"), (function.bind(py), arguments, rows))?;
    let results: Vec<_> = results.cast_into::<PyList>()?.iter().map(given).collect();
    column(&classes, &results, returns)
}

/// A function that is called with all rows of columns: with a stream of Arrow IPC, and one that has the type of its result.
pub fn over_columns(function: Py<PyAny>, returns: DataType) -> Compute {
    let schema = Arc::new(Schema::new(vec![Field::new("result", returns, true)]));
    Box::new(move |columns| {
        let told = |e: ArrowError| e.to_string();
        let fields = columns.iter().enumerate();
        let fields =
            fields.map(|(at, column)| Field::new(format!("_{at}"), column.data_type().clone(), true));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns.to_vec());
        let rows = rows.and_then(|rows| written(&rows.schema(), Some(&rows))).map_err(told)?;
        let wanted = written(&schema, None).map_err(told)?;
        let result = Python::attach(|py| {
            let call = || {
                let given = (PyBytes::new(py, &rows), PyBytes::new(py, &wanted));
                Ok(function.bind(py).call1(given)?.cast_into::<PyBytes>()?.as_bytes().to_vec())
            };
            call().map_err(|e: PyErr| traceback(py, &e))
        })?;
        read(&result).map_err(told)
    })
}

fn written(schema: &SchemaRef, rows: Option<&RecordBatch>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(vec![], schema)?;
    rows.map_or(Ok(()), |rows| writer.write(rows))?;
    writer.finish()?;
    writer.into_inner()
}

/// The first column of a stream of Arrow IPC with one batch.
fn read(bytes: &[u8]) -> Result<ArrayRef, ArrowError> {
    let mut batches = StreamReader::try_new(bytes, None)?;
    match batches.next().transpose()? {
        Some(rows) => Ok(rows.column(0).clone()),
        None => Err(ArrowError::IpcError("there is no batch".to_owned())),
    }
}
