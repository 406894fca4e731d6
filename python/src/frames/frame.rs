//! DataFrames as the Python package holds them.
//!
//! Owns the translation of its methods into those of `tidegate::sql::DataFrame`. Knows no plan. Invariant: each method stands at the line of the
//! program that called it.

use super::{
    column::{column_of, held},
    mistakes::analysis,
    query::{Query, Started, waited},
    rows::Rows,
    types::schema_json,
};
use crate::stream::At;
use pyo3::{exceptions::PyTypeError, prelude::*};
use std::collections::BTreeMap;
use tidegate::{
    Result, host,
    sql::{Column, DataFrame},
};

/// A DataFrame.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Frame(pub DataFrame);

type Objects<'py> = Vec<Bound<'py, PyAny>>;

/// What `f` makes at a line of the program.
pub fn at<T>(at: At, f: impl FnOnce() -> Result<T>) -> PyResult<T> {
    host::called_from(at.line(), f).map_err(|e| analysis(&e))
}

fn columns(objects: &Objects<'_>) -> PyResult<Vec<Column>> {
    objects.iter().map(column_of).collect()
}

/// Columns, where the name of one is not enough.
fn computed(objects: &Objects<'_>) -> PyResult<Vec<Column>> {
    let column = |object: &Bound<'_, PyAny>| {
        held(object)
            .ok_or_else(|| PyTypeError::new_err("all of them must be columns, such as `count(\"*\")`"))
    };
    objects.iter().map(column).collect()
}

fn frame(line: At, f: impl FnOnce() -> Result<DataFrame>) -> PyResult<Frame> {
    at(line, f).map(Frame)
}

fn names(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str)
}

#[pymethods]
impl Frame {
    fn columns(&self) -> Vec<String> {
        self.0.columns()
    }

    fn schema_json(&self) -> String {
        schema_json(&self.0.schema())
    }

    fn is_streaming(&self) -> bool {
        self.0.is_streaming()
    }

    fn explained(&self, at: At) -> PyResult<String> {
        self::at(at, || self.0.explained())
    }

    fn select(&self, columns: Objects<'_>, at: At) -> PyResult<Frame> {
        let columns = self::columns(&columns)?;
        frame(at, || self.0.select(columns))
    }

    fn filter(&self, condition: &Bound<'_, PyAny>, at: At) -> PyResult<Frame> {
        let condition = column_of(condition)?;
        frame(at, || self.0.filter(condition))
    }

    fn with_column(&self, name: &str, column: &Bound<'_, PyAny>, at: At) -> PyResult<Frame> {
        let column = column_of(column)?;
        frame(at, || self.0.with_column(name, column))
    }

    fn with_column_renamed(&self, existing: &str, new: &str, at: At) -> PyResult<Frame> {
        frame(at, || self.0.with_column_renamed(existing, new))
    }

    fn drop(&self, names: Vec<String>, at: At) -> PyResult<Frame> {
        frame(at, || self.0.drop(self::names(&names)))
    }

    fn alias(&self, name: &str, at: At) -> PyResult<Frame> {
        frame(at, || self.0.alias(name))
    }

    fn distinct(&self, at: At) -> PyResult<Frame> {
        frame(at, || self.0.distinct())
    }

    fn drop_duplicates(&self, names: Vec<String>, at: At) -> PyResult<Frame> {
        frame(at, || self.0.drop_duplicates(self::names(&names)))
    }

    fn drop_duplicates_within_watermark(&self, names: Vec<String>, at: At) -> PyResult<Frame> {
        frame(at, || self.0.drop_duplicates_within_watermark(self::names(&names)))
    }

    fn union(&self, other: &Frame, at: At) -> PyResult<Frame> {
        frame(at, || self.0.union(&other.0))
    }

    fn union_by_name(&self, other: &Frame, at: At) -> PyResult<Frame> {
        frame(at, || self.0.union_by_name(&other.0))
    }

    fn intersect(&self, other: &Frame, at: At) -> PyResult<Frame> {
        frame(at, || self.0.intersect(&other.0))
    }

    fn except_(&self, other: &Frame, at: At) -> PyResult<Frame> {
        frame(at, || self.0.except(&other.0))
    }

    fn join(&self, other: &Frame, on: &Bound<'_, PyAny>, how: &str, at: At) -> PyResult<Frame> {
        let on = column_of(on)?;
        frame(at, || self.0.join(&other.0, on, how))
    }

    fn join_using(&self, other: &Frame, names: Vec<String>, how: &str, at: At) -> PyResult<Frame> {
        frame(at, || self.0.join_using(&other.0, self::names(&names), how))
    }

    fn with_watermark(&self, column: &str, delay: &str, at: At) -> PyResult<Frame> {
        frame(at, || self.0.with_watermark(column, delay))
    }

    fn order_by(&self, columns: Objects<'_>, at: At) -> PyResult<Frame> {
        let columns = self::columns(&columns)?;
        frame(at, || self.0.order_by(columns))
    }

    fn limit(&self, rows: u64, at: At) -> PyResult<Frame> {
        frame(at, || self.0.limit(rows))
    }

    /// Aggregates of the groups of these keys.
    fn aggregated(&self, keys: Objects<'_>, aggregates: Objects<'_>, at: At) -> PyResult<Frame> {
        let (keys, aggregates) = (columns(&keys)?, computed(&aggregates)?);
        frame(at, || self.0.group_by(keys).agg(aggregates))
    }

    fn create_or_replace_temp_view(&self, name: &str, at: At) -> PyResult<()> {
        self::at(at, || self.0.create_or_replace_temp_view(name))
    }

    /// All rows, now.
    fn collect(&self, py: Python<'_>, at: At) -> PyResult<Rows> {
        let (frame, line) = (self.0.clone(), at.line());
        let rows = waited(py, move || host::called_from(line, || frame.collect()))?;
        let rows = rows.map_err(|e| analysis(&e))?;
        Ok(Rows::new(rows.schema(), vec![rows]))
    }

    /// Writes all rows, now, into files.
    #[pyo3(signature = (format, mode, options, partition_by, path, at))]
    #[expect(clippy::too_many_arguments, reason = "they are what a writer holds")]
    fn write(
        &self,
        py: Python<'_>,
        format: String,
        mode: String,
        options: BTreeMap<String, String>,
        partition_by: Vec<String>,
        path: String,
        at: At,
    ) -> PyResult<()> {
        let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let writer = self.0.write().format(&format).mode(&mode).options(options);
        let writer = writer.partition_by(names(&partition_by));
        let line = at.line();
        let written = waited(py, move || host::called_from(line, || writer.save(&path)))?;
        written.map_err(|e| analysis(&e))
    }

    /// Starts a query, as a writer says.
    #[pyo3(signature = (format, mode, trigger, options, name, partition_by, foreach_batch, table, at))]
    #[expect(clippy::too_many_arguments, reason = "they are what a writer holds")]
    fn start(
        &self,
        py: Python<'_>,
        format: Option<String>,
        mode: Option<String>,
        trigger: (String, String),
        options: BTreeMap<String, String>,
        name: Option<String>,
        partition_by: Vec<String>,
        foreach_batch: Option<Py<PyAny>>,
        table: Option<String>,
        at: At,
    ) -> PyResult<Query> {
        let wanted = Started {
            frame: self.0.clone(),
            schema: self.0.schema(),
            format,
            mode,
            trigger,
            options,
            name,
            partition_by,
            foreach_batch,
            table,
            line: at.line(),
        };
        wanted.start(py)
    }
}
