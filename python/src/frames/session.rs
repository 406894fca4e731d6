//! Sessions as the Python package holds them: what is declared, read, and told of queries.
//!
//! Owns the way from settings to a session. Knows no query's rows. Invariant: what a listener raises is printed by the interpreter, and queries
//! go on.

use super::{
    frame::{Frame, at},
    mistakes::analysis,
    query::{Query, in_slices, waited_for},
    rows::{Rows, arrow_error},
    udf::{over_columns, over_rows},
    values::batch,
};
use crate::{
    context::config,
    interpreter::{as_engine, is_thread_of_the_engine},
    stream::At,
};
use arrow::ipc::reader::StreamReader;
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyList, PyTuple},
};
use std::{collections::BTreeMap, time::Duration};
use tidegate::sql::{
    self as engine, ArgumentTypes, QueryProgressEvent, QueryStartedEvent, QueryTerminatedEvent,
    StreamSession, StreamingQueryListener, parse,
};

/// A session.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Session(StreamSession);

/// Calls an object of the program with the name of what happened, and the facts.
struct Listener(Py<PyAny>);

impl Listener {
    fn tell(&self, facts: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>>) {
        as_engine(|| {
            Python::attach(|py| {
                if let Err(e) = facts(py).and_then(|facts| self.0.bind(py).call1(facts)) {
                    e.write_unraisable(py, Some(self.0.bind(py)));
                }
            });
        });
    }
}

impl StreamingQueryListener for Listener {
    fn on_query_started(&self, event: &QueryStartedEvent) {
        let (id, run_id) = (event.id.to_string(), event.run_id.to_string());
        let (name, time_ms) = (event.name.clone(), event.timestamp_ms);
        self.tell(|py| ("started", id, run_id, name, time_ms).into_pyobject(py));
    }

    fn on_query_progress(&self, event: &QueryProgressEvent) {
        let json = event.progress.json();
        self.tell(|py| ("progress", json).into_pyobject(py));
    }

    fn on_query_terminated(&self, event: &QueryTerminatedEvent) {
        let (id, run_id) = (event.id.to_string(), event.run_id.to_string());
        let exception = event.exception.clone();
        self.tell(|py| ("terminated", id, run_id, exception).into_pyobject(py));
    }
}

#[pymethods]
impl Session {
    /// The session of this name, or a new one with these settings.
    #[new]
    fn new(name: &str, flags: Vec<String>, others: BTreeMap<String, String>) -> PyResult<Self> {
        let settings = config(&flags, &others)?;
        let session = StreamSession::builder(name).configure(move |config| *config = settings);
        session.get_or_create().map(Session).map_err(|e| analysis(&e))
    }

    fn sql(&self, text: &str, at: At) -> PyResult<Frame> {
        self::at(at, || self.0.sql(text)).map(Frame)
    }

    fn table(&self, name: &str, at: At) -> PyResult<Frame> {
        self::at(at, || self.0.table(name)).map(Frame)
    }

    fn tables(&self) -> Vec<String> {
        self.0.tables()
    }

    #[pyo3(signature = (format, schema, options, at))]
    fn read(
        &self,
        format: Option<&str>,
        schema: Option<&str>,
        options: BTreeMap<String, String>,
        at: At,
    ) -> PyResult<Frame> {
        let mut reader = self.0.read_stream();
        if let Some(format) = format {
            reader = reader.format(format);
        }
        if let Some(schema) = schema {
            reader = reader.schema(schema);
        }
        let reader = reader.options(options.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        self::at(at, || reader.load()).map(Frame)
    }

    /// Makes a function of the program known, which takes from so many to so many arguments: to all queries under its name, or to columns that
    /// call it by the name that this gives.
    #[expect(clippy::too_many_arguments, reason = "they are what a function is made of")]
    fn add_function(
        &self,
        name: &str,
        is_registered: bool,
        function: Py<PyAny>,
        takes_columns: bool,
        arguments: (usize, usize),
        returns: &str,
        is_deterministic: bool,
        at: At,
    ) -> PyResult<String> {
        let data_type = parse::data_type(returns).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let compute = if takes_columns { over_columns } else { over_rows };
        let compute = compute(function, data_type);
        let (types, udf) = (ArgumentTypes::any(arguments.0..=arguments.1), self.0.udf());
        let made = self::at(at, || {
            if is_registered {
                udf.register_arrow(name, types, returns, compute)
            } else {
                udf.hidden_arrow(name, types, returns, compute)
            }
        })?;
        let made = if is_deterministic { made } else { made.as_nondeterministic() };
        Ok(made.name().to_owned())
    }

    /// What is read once.
    #[pyo3(signature = (format, schema, options, at))]
    fn read_once(
        &self,
        format: Option<&str>,
        schema: Option<&str>,
        options: BTreeMap<String, String>,
        at: At,
    ) -> PyResult<Frame> {
        let mut reader = self.0.read();
        if let Some(format) = format {
            reader = reader.format(format);
        }
        if let Some(schema) = schema {
            reader = reader.schema(schema);
        }
        let reader = reader.options(options.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        self::at(at, || reader.load()).map(Frame)
    }

    fn range(&self, start: i64, end: i64, step: i64, at: At) -> PyResult<Frame> {
        self::at(at, || self.0.range(start, end, step)).map(Frame)
    }

    /// Rows of the program, each a tuple, with these columns in words of SQL.
    fn of_tuples(&self, columns: &str, tuples: &Bound<'_, PyList>, at: At) -> PyResult<Frame> {
        let schema = engine::parse_schema(columns).map_err(|e| analysis(&e))?;
        let rows = batch(&schema, tuples)?;
        self::at(at, || self.0.create_data_frame([rows])).map(Frame)
    }

    /// Rows that the program was given.
    fn of_rows(&self, rows: &Rows, at: At) -> PyResult<Frame> {
        let batches = rows.batches();
        self::at(at, || self.0.create_data_frame(batches)).map(Frame)
    }

    /// Rows of a stream of Arrow IPC.
    fn of_ipc(&self, bytes: &[u8], at: At) -> PyResult<Frame> {
        let reader = StreamReader::try_new(bytes, None).map_err(arrow_error)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(arrow_error)?;
        let batches = Rows::new(schema, batches).batches();
        self::at(at, || self.0.create_data_frame(batches)).map(Frame)
    }

    /// The queries that run.
    fn active(&self, py: Python<'_>) -> Vec<Query> {
        py.detach(|| self.0.streams().active()).into_iter().map(Query).collect()
    }

    /// Waits until a query has ended, for so many seconds at most; whether one has.
    #[pyo3(signature = (timeout=None))]
    fn wait_any(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let streams = self.0.streams();
        in_slices(py, timeout, |slice| streams.await_any_termination_or_timeout(slice))
    }

    fn reset_terminated(&self) {
        self.0.streams().reset_terminated();
    }

    fn add_listener(&self, listener: Py<PyAny>) {
        self.0.streams().add_listener(Listener(listener));
    }

    /// Where the page is.
    fn page(&self) -> Option<String> {
        self.0.admin_address().map(|address| format!("http://{address}"))
    }

    /// Ends all queries, and waits for that, for so many seconds at most; whether they have ended.
    #[pyo3(signature = (timeout))]
    fn stop(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let session = self.0.clone();
        if is_thread_of_the_engine() {
            std::thread::spawn(move || session.stop());
            return Ok(false);
        }
        let limit = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match waited_for(py, limit, move || session.stop())? {
            Some(ended) => ended.map(|()| true).map_err(|e| super::mistakes::failed(&e)),
            None => Ok(false),
        }
    }
}
