//! What the loop does while it waits for workers or for the log: it hears the group, sees a request to stop, and
//! says what takes long.
//!
//! Owns the deadline of a stop and what was told. Knows no batch. Invariants: the loop turns at least once a
//! second, however long a function of the program runs or the log does not answer; events of the group only wait for
//! the barrier; after a request to stop nothing is waited for longer than the stop timeout.

use crate::{
    error::{Error, Result},
    log::Log,
    runtime::{app::App, events::Observed, group::Group, pool::Working},
    task::Running,
};
use std::{sync::Arc, time::Duration};

/// What takes this long is told; then again each time it has taken twice as long.
const LONG: Duration = Duration::from_secs(10);
/// How often the progress of a batch is reported.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// The attention of the loop.
#[derive(Default)]
pub struct Attention {
    /// When the request to stop was seen, on the monotonic clock.
    stopping_since: Option<Duration>,
    is_overdue: bool,
    /// What was told last of what takes long.
    told: Duration,
    /// The operators of all tasks.
    running: Vec<Arc<Running>>,
    /// Outputs that are being called.
    outputs: Vec<String>,
    /// What the log is being asked for.
    asking: Option<&'static str>,
    /// When the progress of the batch is reported next; `None` = it has just begun.
    report_at: Option<Duration>,
}

impl Attention {
    /// Watches these tasks from now on.
    pub fn watch(&mut self, running: impl Iterator<Item = Arc<Running>>) {
        self.running.clear();
        self.running.extend(running);
        self.running.iter().for_each(|task| task.begin_batch());
        self.report_at = None;
    }

    /// These outputs are called now; none, once they have returned.
    pub fn call(&mut self, outputs: Vec<String>) {
        self.outputs = outputs;
    }

    /// Whether the loop ends because a stop took too long.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.is_overdue
    }

    /// Whether the loop ends while the log still has not answered a question.
    #[must_use]
    pub fn has_left_a_question(&self) -> bool {
        self.is_overdue && self.asking.is_some()
    }

    /// Asks the log, on a worker, and attends meanwhile; `what` completes "stopping without waiting for ...".
    /// Without workers the question is asked here.
    ///
    /// # Errors
    /// The answer, or [`Error::Killed`] if a stop takes too long.
    pub fn ask<R: Send + 'static, Q: FnOnce(&dyn Log) -> Result<R> + Send + 'static>(
        &mut self,
        app: &App,
        group: &mut Group,
        what: &'static str,
        question: Q,
    ) -> Result<R> {
        self.asking = Some(what);
        let log = app.env.log.clone();
        let ask = move |question: &mut Option<Q>| Some(question.take()?(log.as_ref()));
        let answer = self.each(app, group, &mut vec![Some(question)], ask)?.pop().flatten();
        self.asking = None;
        answer.expect("one question has one answer")
    }

    /// Runs `work` on every item, on the workers, and attends meanwhile.
    ///
    /// # Errors
    /// [`Error::Killed`] if a stop takes too long.
    pub fn each<T: Send + 'static, R: Send + 'static>(
        &mut self,
        app: &App,
        group: &mut Group,
        items: &mut Vec<T>,
        work: impl Fn(&mut T) -> R + Send + Sync + 'static,
    ) -> Result<Vec<R>> {
        let working = app.pool.start(items, work);
        self.wait(app, group, working, items)
    }

    /// Waits for workers, and attends meanwhile.
    ///
    /// # Errors
    /// As [`Attention::each`].
    pub fn wait<T, R>(
        &mut self,
        app: &App,
        group: &mut Group,
        working: Working<T, R>,
        items: &mut Vec<T>,
    ) -> Result<Vec<R>> {
        working.wait(items, &mut |waited| self.attend(app, group, waited))
    }

    /// One look around, after having waited for so long.
    ///
    /// # Errors
    /// [`Error::Killed`] if a stop takes too long.
    pub fn attend(&mut self, app: &App, group: &mut Group, waited: Duration) -> Result {
        group.hear(app);
        self.tell(waited);
        self.report(app, Some(Self::what));
        if !app.env.shutdown.is_requested() {
            return Ok(());
        }
        let since = *self.stopping_since.get_or_insert_with(|| app.now());
        if app.since(since) < app.config.stop_timeout {
            return Ok(());
        }
        self.is_overdue = true;
        tracing::warn!(
            "stopping without waiting any longer for {}: what is not committed is processed by the next start",
            self.what()
        );
        Err(Error::Killed)
    }

    /// Reports how far the batch has come, if it is time; `what` is running, or it waits for input.
    pub fn report(&mut self, app: &App, what: Option<fn(&Self) -> String>) {
        let now = app.now();
        if now < *self.report_at.get_or_insert(now + REPORT_EVERY) {
            return;
        }
        self.report_at = Some(now + REPORT_EVERY);
        let (records, running) =
            (self.running.iter().map(|r| r.records()).sum(), what.map(|what| what(self)));
        app.observe(&Observed::Progress { records, running: running.as_deref() });
    }

    /// Says what takes long.
    fn tell(&mut self, waited: Duration) {
        if waited < self.told {
            self.told = Duration::ZERO; // something else is waited for
        }
        if waited >= LONG.max(self.told * 2) {
            self.told = waited;
            tracing::warn!("{} has been running for {} s", self.what(), waited.as_secs());
        }
    }

    /// What is being waited for.
    fn what(&self) -> String {
        if let Some(what) = self.asking {
            return what.into();
        }
        let running = self.running.iter().filter_map(|r| Some(&**r.label()?));
        let mut labels: Vec<&str> = running.chain(self.outputs.iter().map(String::as_str)).collect();
        labels.sort_unstable();
        labels.dedup();
        if labels.is_empty() { "a call of the log".into() } else { format!("`{}`", labels.join("`, `")) }
    }
}
