//! The run of a context: how it is asked to stop, and how it ended.
//!
//! Owns the outcome of the loop's thread, for all threads that wait for it. Knows no loop. Invariants: a run ends once;
//! all waiting threads get the same outcome; a waiting thread holds nothing that `stop` needs.

use crate::{
    error::{Result, panic_text},
    observe::{history::History, metrics::Metrics, status::Status},
    runtime::Shutdown,
};
use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The state of a context.
#[derive(Clone, Default)]
pub(super) enum Lifecycle {
    /// Streams are being built.
    #[default]
    Built,
    /// It was started; it may have ended since.
    Started(Running),
    /// It was stopped before it was started.
    Stopped,
}

/// A context that was started.
#[derive(Clone)]
pub(super) struct Running {
    pub shutdown: Shutdown,
    pub address: Option<SocketAddr>,
    pub metrics: Arc<Metrics>,
    #[cfg_attr(
        not(feature = "sql"),
        expect(dead_code, reason = "only streaming queries are watched by their program")
    )]
    pub status: Arc<Status>,
    #[cfg_attr(
        not(feature = "sql"),
        expect(dead_code, reason = "only streaming queries are watched by their program")
    )]
    pub history: Arc<History>,
    pub end: Arc<End>,
}

impl Running {
    /// Whether a stop was requested, or the run has ended.
    pub fn is_stopped(&self) -> bool {
        self.end.has_come() || self.shutdown.is_requested() || self.shutdown.is_drain_requested()
    }
}

/// How the loop's thread ended; `Err` is the text of its panic.
type Outcome = Result<Result, String>;

/// The end of a run; any number of threads can wait for it.
#[derive(Default)]
pub(super) struct End {
    outcome: Mutex<Option<Outcome>>,
    come: Condvar,
}

impl End {
    /// Runs `work`, and publishes the outcome once everything that it held is gone.
    pub fn of(&self, work: impl FnOnce() -> Result) {
        let outcome =
            catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(panic.as_ref()).to_owned());
        *self.outcome() = Some(outcome);
        self.come.notify_all();
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the run has ended.
    pub fn has_come(&self) -> bool {
        self.outcome().is_some()
    }

    /// Waits for the end. A panic of the loop is resumed in the waiting thread.
    pub fn wait(&self) -> Result {
        let outcome = self.come.wait_while(self.outcome(), |outcome| outcome.is_none());
        result_of(outcome.unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or(Ok(()))
    }

    /// Like `wait`, but at most for `timeout`: `None` = it is still running.
    pub fn wait_at_most(&self, timeout: Duration) -> Option<Result> {
        let waited = self.come.wait_timeout_while(self.outcome(), timeout, |outcome| outcome.is_none());
        result_of(waited.unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn result_of(outcome: Option<Outcome>) -> Option<Result> {
    match outcome? {
        Ok(result) => Some(result),
        Err(panic) => resume_unwind(Box::new(panic)),
    }
}
