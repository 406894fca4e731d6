//! The functions of the program: how they are called, and what becomes of what they raise.
//!
//! Owns the calls. Knows no stream. Invariants: what a function raises becomes the reason why its row is rejected, with Python's traceback,
//! and is never only printed; the interpreter is held for a call, or for a chunk of them, and for nothing else.

use crate::{decode::object_of, encode::value_of, numpy, value::Value};
use pyo3::{call::PyCallArgs, exceptions::PyTypeError, intern, prelude::*, sync::PyOnceLock, types::PyList};
use tidegate::host::{self, Line};

/// What a stream carries: a value, or a key with a value.
pub trait Row: tidegate::Value {
    /// As the program sees it.
    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// As one value.
    fn into_value(self) -> Value;
}

impl Row for Value {
    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object_of(py, self)
    }

    fn into_value(self) -> Value {
        self
    }
}

impl Row for (Value, Value) {
    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok((object_of(py, &self.0)?, object_of(py, &self.1)?).into_pyobject(py)?.into_any())
    }

    fn into_value(self) -> Value {
        Value::tuple([&self.0, &self.1])
    }
}

/// Rows, each with the index of the row that it was made from.
pub type Made = Vec<(usize, Value)>;

/// A function of the program, and where the program passes it.
pub struct Function {
    callable: Py<PyAny>,
    /// The operation that calls it.
    operation: &'static str,
    at: Line,
}

impl Function {
    pub fn new(operation: &'static str, callable: Py<PyAny>, at: &Line) -> Self {
        Function { callable, operation, at: at.clone() }
    }

    /// Calls it.
    pub fn call<'py>(&self, py: Python<'py>, args: impl PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.callable.bind(py).call1(args)
    }

    /// What it makes of these values.
    pub fn of_one(&self, value: &Value) -> Value {
        self.or_reject(|py| value_of(&self.call(py, (object_of(py, value)?,))?))
    }

    /// What it makes of two values.
    pub fn of_two(&self, a: &Value, b: &Value) -> Value {
        self.or_reject(|py| value_of(&self.call(py, (object_of(py, a)?, object_of(py, b)?))?))
    }

    /// Whether it holds for a row.
    pub fn holds(&self, row: &impl Row) -> bool {
        self.or_reject(|py| self.call(py, (row.object(py)?,))?.is_truthy())
    }

    /// The values in what it makes of a value.
    pub fn many_of(&self, value: &Value) -> Vec<Value> {
        self.or_reject(|py| values_in(&self.call(py, (object_of(py, value)?,))?))
    }

    /// What it makes of each row.
    pub fn map<T: Row>(&self, rows: Vec<T>) -> Result<Made, String> {
        self.over(&rows, |_, result, made, index| {
            made.push((index, value_of(result)?));
            Ok(())
        })
    }

    /// All that is in what it makes of each row.
    pub fn flat_map<T: Row>(&self, rows: Vec<T>) -> Result<Made, String> {
        self.over(&rows, |_, result, made, index| {
            if let Ok(list) = result.cast_exact::<PyList>() {
                for part in list.iter() {
                    made.push((index, value_of(&part)?));
                }
                return Ok(());
            }
            for part in result.try_iter()? {
                made.push((index, value_of(&part?)?));
            }
            Ok(())
        })
    }

    /// The rows for which it holds.
    pub fn filter(&self, rows: Vec<Value>) -> Result<Made, String> {
        let mut kept = Vec::with_capacity(rows.len());
        self.over(&rows, |_, result, _, _| {
            kept.push(result.is_truthy()?);
            Ok(())
        })?;
        Ok(rows.into_iter().enumerate().zip(kept).filter_map(|(row, keeps)| keeps.then_some(row)).collect())
    }

    /// Calls it for each row, by one call of the interpreter, and takes each result.
    fn over<T: Row>(
        &self,
        rows: &[T],
        mut take: impl FnMut(Python<'_>, &Bound<'_, PyAny>, &mut Made, usize) -> PyResult<()>,
    ) -> Result<Made, String> {
        self.attached(|py| {
            let given = rows.iter().map(|row| row.object(py)).collect::<PyResult<Vec<_>>>()?;
            let given = PyList::new(py, given)?;
            let results = list_of_map(py)?.call1((self.callable.bind(py), given))?.cast_into::<PyList>()?;
            let mut made = Vec::with_capacity(rows.len());
            for (index, result) in results.iter().enumerate() {
                take(py, &result, &mut made, index)?;
            }
            Ok(made)
        })
    }

    /// Runs `f` with the interpreter; what it raises is told as the reason.
    pub fn attached<R>(&self, f: impl FnOnce(Python<'_>) -> PyResult<R>) -> Result<R, String> {
        Python::attach(|py| f(py).map_err(|e| self.reason(py, &e)))
    }

    /// The same, where the operation that calls cannot be told of an error.
    pub fn or_reject<R>(&self, f: impl FnOnce(Python<'_>) -> PyResult<R>) -> R {
        self.attached(f).unwrap_or_else(|reason| host::reject(reason))
    }

    fn reason(&self, py: Python<'_>, error: &PyErr) -> String {
        let Line { file, line } = &self.at;
        format!("the function of `{}` at {file}:{line} failed\n{}", self.operation, traceback(py, error))
    }
}

/// `lambda f, rows: list(map(f, rows))`: the loop over the rows is the interpreter's own, which calls functions faster.
fn list_of_map(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LIST_OF_MAP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = LIST_OF_MAP
        .get_or_try_init(py, || py.import("tidegate._calls")?.getattr("list_of_map").map(Bound::unbind))?;
    Ok(made.bind(py))
}

/// An exception as Python prints it.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let text = || -> PyResult<String> {
        let lines = py
            .import(intern!(py, "tidegate._calls"))?
            .call_method1("traceback_of", (error.value(py), error.traceback(py)))?;
        lines.extract()
    };
    text().unwrap_or_else(|_| error.to_string())
}

/// The values in something that can be iterated over.
pub fn values_in(rows: &Bound<'_, PyAny>) -> PyResult<Vec<Value>> {
    if let Some(list) = numpy::list_of(rows)? {
        return list.iter().map(|row| value_of(&row)).collect();
    }
    rows.try_iter()?.map(|row| value_of(&row?)).collect()
}

/// Pairs in something that can be iterated over.
pub fn pairs_in(rows: &Bound<'_, PyAny>) -> PyResult<Vec<(Value, Value)>> {
    let pair = |row: Value| pair_of(row, "initialRDD").map_err(PyTypeError::new_err);
    rows.try_iter()?.map(|row| pair(value_of(&row?)?)).collect()
}

/// A list of rows.
pub fn list_of<'py, T: Row>(py: Python<'py>, rows: &[T]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, rows.iter().map(|row| row.object(py)).collect::<PyResult<Vec<_>>>()?)
}

/// A list of lists of rows.
pub fn lists_of<'py, T: Row>(py: Python<'py>, partitions: &[Vec<T>]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, partitions.iter().map(|rows| list_of(py, rows)).collect::<PyResult<Vec<_>>>()?)
}

/// A row as a key with a value.
///
/// # Errors
/// If it is no pair, or its first part cannot be a key.
pub fn pair_of(row: Value, operation: &str) -> Result<(Value, Value), String> {
    let (key, value) = row.into_pair().map_err(|row| {
        let shown = short(&row);
        format!("`{operation}` takes pairs of a key and a value, and this row is none: {shown}")
    })?;
    Ok((key_of(key, operation)?, value))
}

/// A value as a key.
///
/// # Errors
/// If it cannot be one.
pub fn key_of(value: Value, operation: &str) -> Result<Value, String> {
    let shown = value.clone();
    value.into_key().map_err(|kind| {
        let shown = short(&shown);
        format!(
            "the key of a row of `{operation}` is unhashable: {kind} in {shown}\n  next: make a tuple of it"
        )
    })
}

/// As `str` shows it.
pub fn shown(value: &Value) -> Result<String, String> {
    Python::attach(|py| {
        let text = || object_of(py, value)?.str()?.extract::<String>();
        text().map_err(|e| traceback(py, &e))
    })
}

/// As `repr` shows it, cut off.
pub fn short(value: &Value) -> String {
    const LENGTH_MAX: usize = 200;
    let text = Python::attach(|py| object_of(py, value)?.repr()?.extract::<String>())
        .unwrap_or_else(|e| e.to_string());
    match text.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text,
    }
}
