//! Queries that run, as the Python package holds them.
//!
//! Owns the start of a query, the waits for it, and the calls of functions that are given its batches. Knows no engine. Invariants: whoever waits
//! has let go of the interpreter, and looks for signals many times a second; a function of the program never waits for the query that calls it.

use super::{
    mistakes::{analysis, failed},
    rows::Rows,
};
use crate::{
    errors::ConfigError,
    function::traceback,
    interpreter::{as_engine, is_thread_of_the_engine},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use pyo3::prelude::*;
use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};
use tidegate::{
    Result,
    host::{self, Line},
    sql::{DataFrame, StreamingQuery, Trigger},
};

/// How often a wait looks for signals.
pub const SLICE: Duration = Duration::from_millis(50);

/// A query.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Query(pub StreamingQuery);

/// What a writer says of a query.
pub struct Started {
    pub frame: DataFrame,
    pub schema: SchemaRef,
    pub format: Option<String>,
    pub mode: Option<String>,
    /// Its kind, and its interval.
    pub trigger: (String, String),
    pub options: BTreeMap<String, String>,
    pub name: Option<String>,
    pub partition_by: Vec<String>,
    pub foreach_batch: Option<Py<PyAny>>,
    pub table: Option<String>,
    pub line: Line,
}

impl Started {
    /// Starts it.
    pub fn start(self, py: Python<'_>) -> PyResult<Query> {
        let trigger = match self.trigger.0.as_str() {
            "processingTime" => Trigger::processing_time(&self.trigger.1).map_err(|e| analysis(&e))?,
            "once" => Trigger::Once,
            "availableNow" => Trigger::AvailableNow,
            _ => Trigger::AsSoonAsPossible,
        };
        let line = self.line.clone();
        let start = move || host::called_from(line, || self.started(trigger));
        waited(py, start)?.map(Query).map_err(|e| analysis(&e))
    }

    fn started(self, trigger: Trigger) -> Result<StreamingQuery> {
        let mut writer = self.frame.write_stream().trigger(trigger);
        if let Some(format) = &self.format {
            writer = writer.format(format);
        }
        if let Some(mode) = &self.mode {
            writer = writer.output_mode(mode);
        }
        if let Some(name) = &self.name {
            writer = writer.query_name(name);
        }
        writer = writer.options(self.options.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        writer = writer.partition_by(self.partition_by.iter().map(String::as_str));
        if let Some(function) = self.foreach_batch {
            let (schema, line) = (self.schema, self.line);
            writer = writer.foreach_batch(move |batches, id| called(&function, &schema, batches, id, &line));
        }
        match &self.table {
            Some(table) => writer.to_table(table),
            None => writer.start(),
        }
    }
}

/// Calls a function of the program with the rows of a batch.
fn called(
    function: &Py<PyAny>,
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    id: i64,
    Line { file, line }: &Line,
) -> std::result::Result<(), Box<dyn StdError + Send + Sync>> {
    let schema = batches.first().map_or_else(|| schema.clone(), RecordBatch::schema);
    as_engine(|| {
        Python::attach(|py| {
            let rows = Rows::new(schema, batches);
            let called = Bound::new(py, rows).and_then(|rows| function.bind(py).call1((rows, id)));
            called.map(drop).map_err(|e| {
                let told = traceback(py, &e);
                format!("the function of `foreachBatch` of the query at {file}:{line} failed\n{told}").into()
            })
        })
    })
}

/// What `work` gives, on a thread of its own, while this one looks for signals.
pub fn waited<T: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> T + Send + 'static) -> PyResult<T> {
    let ended = || ConfigError::new_err("a thread of the engine has ended: see above");
    waited_for(py, None, work)?.ok_or_else(ended)
}

/// The same, for so long at most; `None` = it takes longer.
pub fn waited_for<T: Send + 'static>(
    py: Python<'_>,
    mut limit: Option<Duration>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<Option<T>> {
    let (done, mut result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    loop {
        let slice = limit.unwrap_or(SLICE).min(SLICE);
        let received;
        (result, received) = py.detach(move || {
            let received = result.recv_timeout(slice);
            (result, received)
        });
        match received {
            Ok(value) => return Ok(Some(value)),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
        if let Some(left) = &mut limit {
            *left = left.saturating_sub(slice);
            if left.is_zero() {
                return Ok(None);
            }
        }
    }
}

/// Waits in slices until `wait` says that it is over, for so many seconds at most; whether it is over. On a thread of the engine it does not
/// wait.
pub fn in_slices(
    py: Python<'_>,
    timeout: Option<f64>,
    wait: impl Fn(Duration) -> Result<bool> + Sync,
) -> PyResult<bool> {
    let mut left =
        timeout.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    loop {
        let may_wait = !is_thread_of_the_engine();
        let slice = if may_wait { left.unwrap_or(SLICE).min(SLICE) } else { Duration::ZERO };
        let is_over = py.detach(|| wait(slice)).map_err(|e| failed(&e))?;
        py.check_signals()?;
        if is_over || !may_wait {
            return Ok(is_over);
        }
        if let Some(left) = &mut left {
            *left = left.saturating_sub(slice);
            if left.is_zero() {
                return Ok(false);
            }
        }
    }
}

#[pymethods]
impl Query {
    fn id(&self) -> String {
        self.0.id().to_string()
    }

    fn run_id(&self) -> String {
        self.0.run_id().to_string()
    }

    fn name(&self) -> Option<&str> {
        self.0.name()
    }

    fn is_active(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.is_active())
    }

    /// The message, whether data is available, whether a batch is computed.
    fn status(&self, py: Python<'_>) -> (String, bool, bool) {
        let status = py.detach(|| self.0.status());
        (status.message, status.is_data_available, status.is_trigger_active)
    }

    /// The progress of the last batch as JSON.
    fn last_progress(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.0.last_progress().map(|progress| progress.json()))
    }

    /// The progress of recent batches as JSON.
    fn recent_progress(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.0.recent_progress().iter().map(|progress| progress.json()).collect())
    }

    fn explained(&self) -> &str {
        self.0.explained()
    }

    /// Why it has failed.
    fn exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = py.detach(|| self.0.exception())?;
        Some(failed(&error).into_value(py).into_any())
    }

    /// Waits for the end, for so many seconds at most; whether it has come.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        in_slices(py, timeout, |slice| self.0.await_termination_or_timeout(slice))
    }

    fn process_all_available(&self, py: Python<'_>) -> PyResult<()> {
        let query = self.0.clone();
        waited(py, move || query.process_all_available())?.map_err(|e| failed(&e))
    }

    /// Asks it to end, and waits for that, unless a function of the query calls.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let query = self.0.clone();
        if is_thread_of_the_engine() {
            std::thread::spawn(move || query.stop());
            return Ok(());
        }
        waited(py, move || query.stop())?.map_err(|e| failed(&e))
    }
}
