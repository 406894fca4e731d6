//! DataFrames and their queries, for `tidegate.pyspark.sql`.
//!
//! Owns what that package is built on: columns, frames, sessions, queries, and the rows that the program is given. Knows no operator: it calls
//! `tidegate::sql`. Invariants: a mistake is an `AnalysisException` with the line of the program and the names that Python has; whoever waits has
//! let go of the interpreter, and sees signals.
//!
//! ```text
//! session -> frame -> query        column  functions  types     what the program writes
//!    |                  |
//! udf -> objects        rows                                      rows that it gives, and those that it gets
//! values
//! ```

mod column;
mod frame;
mod functions;
mod mistakes;
mod objects;
mod query;
mod rows;
mod session;
mod types;
mod udf;
mod values;

use pyo3::prelude::*;

/// Adds them to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<column::ColumnOfPython>()?;
    module.add_class::<frame::Frame>()?;
    module.add_class::<query::Query>()?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<session::Session>()?;
    module.add_function(wrap_pyfunction!(functions::function_names, module)?)?;
    mistakes::add_to(module)
}
