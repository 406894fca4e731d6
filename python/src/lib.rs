//! tidegate for Python: what the package `tidegate` is built on.
//!
//! Owns the module `tidegate._tidegate`. Knows of the engine what `cargo doc` shows, and `tidegate::host`. The names of PySpark are not here
//! but in the Python package, which is thin: it names things, and knows what PySpark's methods take.
//!
//! ```text
//! python/tidegate/      names: SparkContext, StreamingContext, DStream, RDD, listeners
//!        |
//! context  stream       a program; a stream             kafka  listener  errors    at the edges
//! models/               models that learn from a stream
//! frames/               DataFrames and queries
//!        |
//! function  command     how functions are called, the command        interpreter                threads
//!        |
//! encode  decode  classes  numpy  value                 objects <-> bytes
//! ```

mod classes;
mod command;
mod context;
mod decode;
mod encode;
mod errors;
mod frames;
mod function;
mod interpreter;
mod kafka;
mod listener;
mod models;
mod numpy;
mod stream;
mod value;

use pyo3::prelude::*;

#[pymodule]
fn _tidegate(module: &Bound<'_, PyModule>) -> PyResult<()> {
    tidegate::host::set(interpreter::Interpreter);
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<context::Context>()?;
    module.add_class::<context::Waiting>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<stream::Past>()?;
    errors::add_to(module)?;
    frames::add_to(module)?;
    models::add_to(module)?;
    module.add_function(wrap_pyfunction!(context::log_to_stderr, module)?)?;
    module.add_function(wrap_pyfunction!(context::encode, module)?)?;
    module.add_function(wrap_pyfunction!(context::decode, module)?)?;
    module.add_function(wrap_pyfunction!(command::command, module)?)
}
