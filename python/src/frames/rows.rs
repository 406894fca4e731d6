//! Rows that the program is given: those of a batch, or of a table in memory.
//!
//! Owns how values become Python objects, and how rows become Arrow. Knows no query. Invariant: a value of a type that has no form in Python is
//! an error, never another value.

use super::types::schema_json;
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
    ipc::writer::StreamWriter,
};
use pyo3::{
    IntoPyObjectExt,
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};
use tidegate::sql::sink::{shown_records, shown_table};

/// Rows with their columns.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// Python's classes for the values that have no type of Rust.
pub struct Classes<'py> {
    pub py: Python<'py>,
    pub epoch: Bound<'py, PyAny>,
    timedelta: Bound<'py, PyAny>,
    pub date: Bound<'py, PyAny>,
    pub decimal: Bound<'py, PyAny>,
    row: Bound<'py, PyAny>,
}

/// The day of 1970-01-01 in Python's count.
pub const EPOCH_DAY: i32 = 719_163;

impl<'py> Classes<'py> {
    pub fn new(py: Python<'py>) -> PyResult<Self> {
        let datetime = py.import(intern!(py, "datetime"))?;
        Ok(Classes {
            py,
            epoch: datetime.getattr("datetime")?.call1((1970, 1, 1))?,
            timedelta: datetime.getattr("timedelta")?,
            date: datetime.getattr("date")?,
            decimal: py.import(intern!(py, "decimal"))?.getattr("Decimal")?,
            row: py.import(intern!(py, "tidegate.pyspark.sql.types"))?.getattr("_row")?,
        })
    }

    fn time(&self, time: i64, unit: TimeUnit) -> PyResult<Bound<'py, PyAny>> {
        // timedelta(days, seconds, microseconds) takes numbers of any size.
        let after = match unit {
            TimeUnit::Second => self.timedelta.call1((0, time))?,
            TimeUnit::Millisecond => {
                self.timedelta.call1((0, time.div_euclid(1_000), time.rem_euclid(1_000) * 1_000))?
            }
            TimeUnit::Microsecond => self.timedelta.call1((0, 0, time))?,
            TimeUnit::Nanosecond => self.timedelta.call1((0, 0, time.div_euclid(1_000)))?,
        };
        self.epoch.add(after)
    }

    /// The values of a column.
    pub fn list(&self, values: &ArrayRef) -> PyResult<Bound<'py, PyAny>> {
        let values = (0..values.len()).map(|row| self.object(values.as_ref(), row));
        PyList::new(self.py, values.collect::<PyResult<Vec<_>>>()?)?.into_bound_py_any(self.py)
    }

    /// A value as Python has it.
    pub fn object(&self, column: &dyn Array, row: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        if column.is_null(row) {
            return Ok(py.None().into_bound(py));
        }
        macro_rules! number {
            ($type:ty) => {
                column.as_primitive::<$type>().value(row).into_bound_py_any(py)
            };
        }
        match column.data_type() {
            DataType::Null => Ok(py.None().into_bound(py)),
            DataType::Boolean => column.as_boolean().value(row).into_bound_py_any(py),
            DataType::Int8 => number!(Int8Type),
            DataType::Int16 => number!(Int16Type),
            DataType::Int32 => number!(Int32Type),
            DataType::Int64 => number!(Int64Type),
            DataType::UInt8 => number!(UInt8Type),
            DataType::UInt16 => number!(UInt16Type),
            DataType::UInt32 => number!(UInt32Type),
            DataType::UInt64 => number!(UInt64Type),
            DataType::Float32 => number!(Float32Type),
            DataType::Float64 => number!(Float64Type),
            DataType::Utf8 => column.as_string::<i32>().value(row).into_bound_py_any(py),
            DataType::LargeUtf8 => column.as_string::<i64>().value(row).into_bound_py_any(py),
            DataType::Utf8View => column.as_string_view().value(row).into_bound_py_any(py),
            DataType::Binary => PyBytes::new(py, column.as_binary::<i32>().value(row)).into_bound_py_any(py),
            DataType::Decimal128(..) => {
                self.decimal.call1((column.as_primitive::<Decimal128Type>().value_as_string(row),))
            }
            DataType::Date32 => {
                let day = column.as_primitive::<Date32Type>().value(row).saturating_add(EPOCH_DAY);
                self.date.call_method1(intern!(py, "fromordinal"), (day,))
            }
            DataType::Timestamp(unit, _) => {
                let time = match unit {
                    TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value(row),
                    TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().value(row),
                    TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().value(row),
                    TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().value(row),
                };
                self.time(time, *unit)
            }
            DataType::List(_) => self.list(&column.as_list::<i32>().value(row)),
            DataType::Map(..) => {
                let (entries, dict) = (column.as_map().value(row), PyDict::new(py));
                for entry in 0..entries.len() {
                    let key = self.object(entries.column(0).as_ref(), entry)?;
                    dict.set_item(key, self.object(entries.column(1).as_ref(), entry)?)?;
                }
                Ok(dict.into_any())
            }
            DataType::Struct(fields) => {
                let names = PyTuple::new(py, fields.iter().map(|field| field.name()))?;
                let columns = column.as_struct().columns().iter();
                let values = columns.map(|of| self.object(of.as_ref(), row)).collect::<PyResult<Vec<_>>>()?;
                self.row.call1((names, PyTuple::new(py, values)?))
            }
            other => Err(PyTypeError::new_err(format!("a value of type {other} has no form in Python"))),
        }
    }
}

impl Rows {
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Rows { schema, batches }
    }

    /// The rows as the engine has them; at least one batch, which says the columns.
    pub fn batches(&self) -> Vec<RecordBatch> {
        if self.batches.is_empty() {
            return vec![RecordBatch::new_empty(self.schema.clone())];
        }
        self.batches.clone()
    }
}

pub fn arrow_error(error: arrow::error::ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymethods]
impl Rows {
    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The columns as JSON of Spark.
    fn schema_json(&self) -> String {
        schema_json(&self.schema)
    }

    /// The first rows, each a tuple.
    fn tuples<'py>(&self, py: Python<'py>, rows_max: usize) -> PyResult<Bound<'py, PyList>> {
        let classes = Classes::new(py)?;
        let mut rows = vec![];
        for batch in &self.batches {
            for row in 0..batch.num_rows().min(rows_max - rows.len()) {
                let values = batch.columns().iter().map(|column| classes.object(column.as_ref(), row));
                rows.push(PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)?);
            }
        }
        PyList::new(py, rows)
    }

    /// All rows as a stream of Arrow IPC.
    fn ipc<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| -> Result<Vec<u8>, arrow::error::ArrowError> {
            let mut writer = StreamWriter::try_new(vec![], &self.schema)?;
            self.batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()?;
            writer.into_inner()
        });
        Ok(PyBytes::new(py, &bytes.map_err(arrow_error)?))
    }

    /// The lines of a table, as Spark's `show` draws it.
    #[pyo3(signature = (rows_max, cut_at, vertical))]
    fn table(&self, rows_max: usize, cut_at: Option<usize>, vertical: bool) -> PyResult<Vec<String>> {
        let rows = arrow::compute::concat_batches(&self.schema, &self.batches).map_err(arrow_error)?;
        let draw = if vertical { shown_records } else { shown_table };
        draw(&rows, rows_max, cut_at).map_err(|e| PyValueError::new_err(e.to_string()))
    }
}
