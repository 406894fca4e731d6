//! Errors of the engine as exceptions.
//!
//! Owns which exception an error is. Knows no stream. Invariant: the text is the engine's, with its next step.

use pyo3::{create_exception, exceptions::PyRuntimeError, prelude::*};
use tidegate::Error;

create_exception!(
    tidegate,
    StreamingError,
    PyRuntimeError,
    "What went wrong in the engine, and what to do next."
);
create_exception!(
    tidegate,
    ConfigError,
    StreamingError,
    "A setting or the program itself is wrong; found before anything runs."
);
create_exception!(
    tidegate,
    UnreachableError,
    StreamingError,
    "Nobody answers at the address of the log, or of what the program needs beside it."
);
create_exception!(
    tidegate,
    TopicError,
    StreamingError,
    "A topic is not there, or is not as the program needs it."
);
create_exception!(
    tidegate,
    BadRecordError,
    StreamingError,
    "A record could not be processed, and the policy of its source is to fail: `topic`, `partition`, `offset` and `reason` say which and why."
);
create_exception!(tidegate, FencedError, StreamingError, "A newer process runs under the name of this one.");

/// The exception for an error.
pub fn exception(error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Config(_) | Error::Plan(_) => ConfigError::new_err(text),
        Error::Unreachable { .. } => UnreachableError::new_err(text),
        Error::Topic { .. } => TopicError::new_err(text),
        Error::Fenced(_) => FencedError::new_err(text),
        Error::BadRecord { topic, partition, offset, reason } => {
            let exception = BadRecordError::new_err(text);
            Python::attach(|py| {
                let value = exception.value(py);
                let set = || -> PyResult<()> {
                    value.setattr("topic", topic)?;
                    value.setattr("partition", partition)?;
                    value.setattr("offset", offset)?;
                    value.setattr("reason", reason)
                };
                match set() {
                    Ok(()) => exception.clone_ref(py),
                    Err(e) => e,
                }
            })
        }
        _ => StreamingError::new_err(text),
    }
}

/// Adds them to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("StreamingError", py.get_type::<StreamingError>())?;
    module.add("ConfigError", py.get_type::<ConfigError>())?;
    module.add("UnreachableError", py.get_type::<UnreachableError>())?;
    module.add("TopicError", py.get_type::<TopicError>())?;
    module.add("BadRecordError", py.get_type::<BadRecordError>())?;
    module.add("FencedError", py.get_type::<FencedError>())
}
