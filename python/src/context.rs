//! A program as the Python package holds it: settings, inputs, and its run.
//!
//! Owns the way from a program's settings to a configuration, and the waits. Knows no operation. Invariants: a wait lets go of the
//! interpreter, and looks for signals many times a second; no thread of the engine waits for its own end.

use crate::{
    encode::{allow_pickle, value_of},
    errors::{ConfigError, exception},
    function::values_in,
    interpreter::is_thread_of_the_engine,
    kafka::{Records, options},
    listener::Listener,
    stream::{At, Stream, plain},
    value::Value,
};
use clap::{CommandFactory, FromArgMatches, Parser, parser::ValueSource};
use pyo3::prelude::*;
use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, mpsc},
    time::Duration,
};
use tidegate::{
    Config, StorageLevel, StreamingContext,
    config::{Args, Trigger},
    host,
    observe::logging::{self, LogFormat},
    source::Queue,
};

/// How often a wait looks for signals.
const SLICE: Duration = Duration::from_millis(50);

#[derive(Parser)]
#[command(name = "tidegate", no_binary_name = true, disable_help_flag = true)]
struct Flags {
    #[command(flatten)]
    args: Args,
}

/// The configuration of flags as on a command line, and of settings that have none.
pub fn config(flags: &[String], others: &BTreeMap<String, String>) -> PyResult<Config> {
    let parsed = Flags::command().try_get_matches_from(flags);
    let matches = parsed.map_err(|e| ConfigError::new_err(e.render().to_string()))?;
    let flags = Flags::from_arg_matches(&matches).map_err(|e| ConfigError::new_err(e.to_string()))?;
    let mut config = flags.args.config();
    let is_given = |flag: &str| matches.value_source(flag) != Some(ValueSource::DefaultValue);
    if !is_given("bootstrap") {
        config.bootstrap = String::new(); // a log of its own
    }
    if !is_given("state_dir") {
        config.state_dir = None; // until there is a checkpoint directory
    }
    config.progress_line = false;
    for (name, value) in others {
        let number = || {
            value.parse::<u64>().map_err(|_| ConfigError::new_err(format!("{name}: `{value}` is no number")))
        };
        match name.as_str() {
            "interval_ms" => config.trigger = Trigger::Interval(Duration::from_millis(number()?)),
            "threads" => config.threads = usize::try_from(number()?).unwrap_or(usize::MAX),
            "backpressure" => config.backpressure = value == "true",
            "initial_rate" => config.initial_rate = Some(number()?),
            "max_rate_per_partition" => config.max_rate_per_partition = Some(number()?),
            "allow_pickle" => {
                if value == "true" {
                    allow_pickle();
                }
            }
            other => return Err(ConfigError::new_err(format!("no setting is called `{other}`"))),
        }
    }
    let is_bounded = flags.args.available_now || flags.args.once;
    if is_bounded || flags.args.batch_interval_ms != 1_000 {
        config.trigger = flags.args.config().trigger;
    }
    Ok(config)
}

/// A program.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Context {
    ssc: Arc<StreamingContext>,
}

#[pymethods]
impl Context {
    #[new]
    fn new(flags: Vec<String>, others: BTreeMap<String, String>) -> PyResult<Self> {
        Ok(Context { ssc: Arc::new(StreamingContext::new(config(&flags, &others)?)) })
    }

    fn checkpoint(&self, dir: &str) {
        self.ssc.checkpoint(dir);
    }

    fn remember(&self, seconds: f64) {
        self.ssc.remember(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    }

    fn add_listener(&self, listener: Py<PyAny>) {
        self.ssc.add_streaming_listener(Listener(listener));
    }

    fn socket(&self, host: &str, port: u16, in_memory: bool, at: At) -> Stream {
        let level = if in_memory { StorageLevel::Memory } else { StorageLevel::default() };
        host::called_from(at.line(), || {
            plain(self.ssc.socket_text_stream_at(host, port, level).map(|line| Value::text(&line)))
        })
    }

    fn files(&self, dir: &str, at: At) -> Stream {
        host::called_from(at.line(), || plain(self.ssc.text_file_stream(dir).map(|line| Value::text(&line))))
    }

    fn binary_records(&self, dir: &str, record_bytes: u32, at: At) -> PyResult<Stream> {
        let record_bytes = NonZeroU32::new(record_bytes)
            .ok_or_else(|| ConfigError::new_err("a record has one byte at least\n  next: give its length"))?;
        Ok(host::called_from(at.line(), || {
            plain(self.ssc.binary_records_stream(dir, record_bytes).map(|record| Value::raw(&record)))
        }))
    }

    #[pyo3(signature = (topics, pattern, key, value, part, on_bad_record, starting, at))]
    #[expect(clippy::too_many_arguments, reason = "they are the keyword arguments of a Python function")]
    fn topics(
        &self,
        topics: Vec<String>,
        pattern: Option<String>,
        key: &str,
        value: &str,
        part: &str,
        on_bad_record: &str,
        starting: Option<(String, i64)>,
        at: At,
    ) -> PyResult<Stream> {
        let (options, records) =
            (options(topics, pattern, on_bad_record, starting)?, Records::new(key, value, part)?);
        Ok(host::called_from(at.line(), || plain(self.ssc.source::<Value>(options, records))))
    }

    /// Rows of the program: a list for each batch.
    #[pyo3(signature = (batches, one_at_a_time, otherwise, at))]
    fn queue(
        &self,
        batches: Vec<Bound<'_, PyAny>>,
        one_at_a_time: bool,
        otherwise: Option<Bound<'_, PyAny>>,
        at: At,
    ) -> PyResult<(Stream, Waiting)> {
        let queue = Queue::default();
        for rows in batches {
            queue.push(values_in(&rows)?);
        }
        if let Some(rows) = otherwise {
            queue.otherwise(values_in(&rows)?);
        }
        let rows = host::called_from(at.line(), || self.ssc.queue_stream(&queue, one_at_a_time));
        Ok((plain(rows), Waiting(queue)))
    }

    /// Checks the program, and starts it.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let (done, mut started) = mpsc::channel();
        let ssc = self.ssc.clone();
        // On a thread of its own, because a log that cannot be reached is waited for, and a signal must be seen meanwhile.
        std::thread::spawn(move || done.send(ssc.start()));
        loop {
            let result;
            (started, result) = py.detach(move || {
                let result = started.recv_timeout(SLICE);
                (started, result)
            });
            match result {
                Ok(result) => return result.map_err(|e| exception(&e)),
                Err(mpsc::RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(ConfigError::new_err("the program could not be started: see above"));
                }
            }
        }
    }

    /// Asks the program to end.
    fn stop(&self, py: Python<'_>, gracefully: bool) {
        py.detach(|| self.ssc.stop(gracefully));
    }

    /// Waits for the end, for so many seconds at most; whether it has come. On a thread of the engine it does not wait.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let mut left =
            timeout.map(|timeout| Duration::try_from_secs_f64(timeout.max(0.0)).unwrap_or(Duration::MAX));
        loop {
            let slice =
                if is_thread_of_the_engine() { Duration::ZERO } else { left.unwrap_or(SLICE).min(SLICE) };
            let has_ended =
                py.detach(|| self.ssc.await_termination_or_timeout(slice)).map_err(|e| exception(&e))?;
            py.check_signals()?;
            if has_ended || is_thread_of_the_engine() {
                return Ok(has_ended);
            }
            if let Some(left) = &mut left {
                *left = left.saturating_sub(slice);
                if left.is_zero() {
                    return Ok(false);
                }
            }
        }
    }

    fn is_running(&self, py: Python<'_>) -> bool {
        py.detach(|| self.ssc.is_running())
    }

    /// Where the streaming page is.
    fn page(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.ssc.admin_address()).map(|address| format!("http://{address}"))
    }

    /// The metrics, as Prometheus reads them.
    fn metrics(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.ssc.metrics().map(|metrics| metrics.render()))
    }

    /// The plan as text.
    fn explain(&self, py: Python<'_>) -> String {
        py.detach(|| self.ssc.topology().to_string())
    }
}

/// The batches that wait in a queue.
#[pyclass(frozen, module = "tidegate._tidegate")]
pub struct Waiting(Queue<Value>);

#[pymethods]
impl Waiting {
    fn push(&self, rows: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.push(values_in(rows)?);
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// Sends log lines to standard error, as `text` or `json`: see `tidegate::observe::logging`.
#[pyfunction]
pub fn log_to_stderr(level: &str, format: &str) -> PyResult<()> {
    let format: LogFormat = format.parse().map_err(|e| exception(&e))?;
    logging::init(format, Some(level)).map_err(|e| exception(&e))
}

/// The bytes of an object in state and on the exchange.
#[pyfunction]
pub fn encode<'py>(
    py: Python<'py>,
    object: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, pyo3::types::PyBytes>> {
    Ok(pyo3::types::PyBytes::new(py, value_of(object)?.bytes()))
}

/// The object of such bytes.
#[pyfunction]
pub fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    crate::decode::object_of(py, &Value::written(bytes))
}
