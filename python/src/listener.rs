//! What a program is told of its batches.
//!
//! Owns the facts as Python objects; the names that PySpark gives them are in the Python package. Knows no loop. Invariant: what a listener
//! raises is printed by the interpreter, and the loop goes on.

use pyo3::{IntoPyObjectExt, prelude::*, types::PyDict};
use std::time::Duration;
use tidegate::observe::listener::{
    BatchInfo, OutputOperationInfo, ReceiverInfo, StreamInputInfo, StreamingListener, StreamingStarted,
};

/// Calls an object of the program with the name of what happened, and the facts.
pub struct Listener(pub Py<PyAny>);

type Facts<'py> = PyResult<Bound<'py, PyDict>>;

impl Listener {
    fn tell(&self, what: &str, facts: impl for<'py> FnOnce(Python<'py>) -> Facts<'py>) {
        Python::attach(|py| {
            let told = facts(py).and_then(|facts| self.0.bind(py).call1((what, facts)));
            if let Err(e) = told {
                e.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}

fn millis(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn dict<'py, const N: usize>(py: Python<'py>, facts: [(&str, PyResult<Bound<'py, PyAny>>); N]) -> Facts<'py> {
    let dict = PyDict::new(py);
    for (name, value) in facts {
        dict.set_item(name, value?)?;
    }
    Ok(dict)
}

fn batch<'py>(py: Python<'py>, info: &BatchInfo) -> Facts<'py> {
    let streams = info.streams.iter().map(|of| stream(py, of)).collect::<PyResult<Vec<_>>>()?;
    let operations =
        info.output_operations.iter().map(|of| operation(py, of)).collect::<PyResult<Vec<_>>>()?;
    dict(
        py,
        [
            ("batchTime", info.batch_time_ms.into_bound_py_any(py)),
            ("numRecords", info.num_records().into_bound_py_any(py)),
            ("submissionTime", info.submission_time_ms.into_bound_py_any(py)),
            ("processingStartTime", info.processing_start_ms.into_bound_py_any(py)),
            ("processingEndTime", info.processing_end_ms.into_bound_py_any(py)),
            ("schedulingDelay", millis(info.scheduling_delay).into_bound_py_any(py)),
            ("processingDelay", millis(info.processing_delay).into_bound_py_any(py)),
            ("totalDelay", millis(info.total_delay).into_bound_py_any(py)),
            ("streamIdToInputInfo", streams.into_bound_py_any(py)),
            ("outputOperationInfos", operations.into_bound_py_any(py)),
        ],
    )
}

fn stream<'py>(py: Python<'py>, info: &StreamInputInfo) -> Facts<'py> {
    dict(
        py,
        [
            ("inputStreamId", info.stream_id.into_bound_py_any(py)),
            ("name", info.name.into_bound_py_any(py)),
            ("numRecords", info.num_records.into_bound_py_any(py)),
        ],
    )
}

fn operation<'py>(py: Python<'py>, info: &OutputOperationInfo) -> Facts<'py> {
    dict(
        py,
        [
            ("batchTime", info.batch_time_ms.into_bound_py_any(py)),
            ("id", info.id.into_bound_py_any(py)),
            ("name", info.name.into_bound_py_any(py)),
            ("description", info.description.into_bound_py_any(py)),
            ("duration", millis(info.duration).into_bound_py_any(py)),
            ("failureReason", info.failure_reason.as_deref().into_bound_py_any(py)),
        ],
    )
}

fn receiver<'py>(py: Python<'py>, info: &ReceiverInfo) -> Facts<'py> {
    let error = info.last_error.as_ref();
    dict(
        py,
        [
            ("streamId", info.stream_id.into_bound_py_any(py)),
            ("name", info.id.to_string().into_bound_py_any(py)),
            ("active", (info.status.name() == "ACTIVE").into_bound_py_any(py)),
            ("location", info.host.into_bound_py_any(py)),
            ("executorId", info.instance.into_bound_py_any(py)),
            ("lastErrorMessage", error.map_or("", |e| e.message.as_str()).into_bound_py_any(py)),
            ("lastError", error.map_or("", |e| e.message.as_str()).into_bound_py_any(py)),
            ("lastErrorTime", error.map_or(-1, |e| e.at_ms).into_bound_py_any(py)),
        ],
    )
}

impl StreamingListener for Listener {
    fn on_streaming_started(&self, started: &StreamingStarted) {
        let time_ms = started.time_ms;
        self.tell("onStreamingStarted", |py| dict(py, [("time", time_ms.into_bound_py_any(py))]));
    }

    fn on_receiver_started(&self, info: &ReceiverInfo) {
        self.tell("onReceiverStarted", |py| receiver(py, info));
    }

    fn on_receiver_error(&self, info: &ReceiverInfo) {
        self.tell("onReceiverError", |py| receiver(py, info));
    }

    fn on_receiver_stopped(&self, info: &ReceiverInfo) {
        self.tell("onReceiverStopped", |py| receiver(py, info));
    }

    fn on_batch_submitted(&self, info: &BatchInfo) {
        self.tell("onBatchSubmitted", |py| batch(py, info));
    }

    fn on_batch_started(&self, info: &BatchInfo) {
        self.tell("onBatchStarted", |py| batch(py, info));
    }

    fn on_batch_completed(&self, info: &BatchInfo) {
        self.tell("onBatchCompleted", |py| batch(py, info));
    }

    fn on_output_operation_started(&self, info: &OutputOperationInfo) {
        self.tell("onOutputOperationStarted", |py| operation(py, info));
    }

    fn on_output_operation_completed(&self, info: &OutputOperationInfo) {
        self.tell("onOutputOperationCompleted", |py| operation(py, info));
    }
}
