//! The queries that a process has run, for the page of Structured Streaming.
//!
//! Owns what the page shows of them; told by whoever runs them. Knows no query and no HTTP. Invariants: memory is bounded (progress of a
//! query, and queries that have ended); readers get copies.

use super::{history::History, metrics::Metrics, status::Status};
use serde_json::Value;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many batches of a query are kept.
const PROGRESS_MAX: usize = 1_000;
/// How many queries that have ended are kept.
const ENDED_MAX: usize = 100;

/// What the page shows. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct QueryBoard(Arc<Mutex<Vec<Arc<QueryView>>>>);

/// A run of a query.
pub struct QueryView {
    /// What it is called; `None` = it has no name.
    pub name: Option<String>,
    /// Which query.
    pub id: String,
    /// Which run of it.
    pub run_id: String,
    /// When it was started, in milliseconds since the epoch.
    pub started_ms: i64,
    /// Its plans, as text.
    pub plan: String,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// What it is doing.
    pub status: Arc<Status>,
    /// Its batches.
    pub history: Arc<History>,
    seen: Mutex<Seen>,
}

/// What has happened in a run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The progress of the last batches, oldest first, as Spark's JSON.
    pub progress: VecDeque<Value>,
    /// When it ended, in milliseconds since the epoch, and why it failed, if it did.
    pub ended: Option<(i64, Option<String>)>,
}

impl fmt::Debug for QueryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryView").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

impl QueryView {
    /// A run that has just begun.
    #[expect(clippy::too_many_arguments, reason = "one for each thing that the page shows")]
    #[must_use]
    pub fn new(
        name: Option<String>,
        id: String,
        run_id: String,
        started_ms: i64,
        plan: String,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        history: Arc<History>,
    ) -> Self {
        QueryView { name, id, run_id, started_ms, plan, metrics, status, history, seen: Mutex::default() }
    }

    /// What has happened so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// A batch was committed.
    pub fn progress(&self, progress: Value) {
        let mut seen = self.lock();
        seen.progress.push_back(progress);
        if seen.progress.len() > PROGRESS_MAX {
            seen.progress.pop_front();
        }
    }

    /// It has ended.
    pub fn ended(&self, at_ms: i64, why: Option<String>) {
        self.lock().ended = Some((at_ms, why));
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueryBoard {
    /// One more; the oldest of those that have ended is forgotten if there are too many.
    pub fn add(&self, query: Arc<QueryView>) {
        let mut queries = self.lock();
        queries.push(query);
        let has_ended = |query: &Arc<QueryView>| query.lock().ended.is_some();
        if queries.iter().filter(|query| has_ended(query)).count() > ENDED_MAX
            && let Some(oldest) = queries.iter().position(has_ended)
        {
            queries.remove(oldest);
        }
    }

    /// All of them, in the order in which they were started.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<QueryView>> {
        self.lock().clone()
    }

    /// The run of this id.
    #[must_use]
    pub fn run(&self, run_id: &str) -> Option<Arc<QueryView>> {
        self.lock().iter().find(|query| query.run_id == run_id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<QueryView>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
