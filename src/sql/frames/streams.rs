//! The queries of a session: Spark's `StreamingQueryManager`.
//!
//! Owns the list of those that run, who listens, and what is told of ends. Knows no engine. Invariants: of the active queries no two have one
//! name; listeners are told of each query in order; a listener that panics ends nothing.

use super::{
    listener::{Listeners, StreamingQueryListener},
    progress::{QueryId, RunId},
    query::StreamingQuery,
    session::StreamSession,
};
use crate::{
    error::{Error, Result},
    observe::queries::QueryBoard,
    ui::Server,
};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What all handles of a session share of its queries.
#[derive(Clone, Default)]
pub struct Streams(Arc<Known>);

#[derive(Default)]
struct Known {
    queries: Mutex<Queries>,
    ended: Condvar,
    listeners: Listeners,
    board: QueryBoard,
    server: Mutex<Option<Server>>,
}

#[derive(Default)]
struct Queries {
    active: Vec<StreamingQuery>,
    /// The names of those that are being started.
    starting: Vec<String>,
    /// How those ended that have ended since the last reset.
    ended: Vec<Result>,
}

/// A name that is taken for a query until it runs.
pub struct Claim {
    streams: Streams,
    pub name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.streams.queries().starting.retain(|name| *name != self.name);
    }
}

impl Streams {
    fn queries(&self) -> MutexGuard<'_, Queries> {
        self.0.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an application's name for a query; `None` = one that runs has it.
    pub fn claim(&self, name: &str) -> Option<Claim> {
        let mut queries = self.queries();
        let is_taken =
            queries.active.iter().any(|query| query.is_active() && query.0.config.application_id == name)
                || queries.starting.iter().any(|starting| starting == name);
        if is_taken {
            return None;
        }
        queries.starting.push(name.to_owned());
        Some(Claim { streams: self.clone(), name: name.to_owned() })
    }

    /// A query runs.
    pub fn add(&self, query: &StreamingQuery) {
        self.queries().active.push(query.clone());
    }

    pub fn listeners(&self) -> &Listeners {
        &self.0.listeners
    }

    /// A query has ended, and its listeners were told.
    pub fn ended(&self, run_id: RunId, outcome: Result) {
        let mut queries = self.queries();
        queries.active.retain(|query| query.run_id() != run_id);
        queries.ended.push(outcome);
        drop(queries);
        self.0.ended.notify_all();
    }

    pub fn board(&self) -> &QueryBoard {
        &self.0.board
    }

    /// The server of the session's page; started by the first query that has one.
    pub fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.0.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queries of a session: see [`StreamSession::streams`].
#[derive(Clone)]
pub struct StreamingQueryManager(Streams);

impl StreamSession {
    /// The queries that run, and who listens to them.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, Trigger};
    /// let spark = StreamSession::builder("streams-doc").get_or_create()?;
    /// let ticks = spark.read_stream().format("rate").load()?;
    /// let query = ticks.write_stream().format("blackhole").query_name("ticks").start()?;
    /// assert_eq!(spark.streams().active().len(), 1);
    /// assert_eq!(spark.streams().get(query.id()).unwrap().name(), Some("ticks"));
    /// query.stop()?;
    /// assert!(spark.streams().active().is_empty());
    /// spark.streams().await_any_termination()?; // one has ended: returns at once
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn streams(&self) -> StreamingQueryManager {
        StreamingQueryManager(self.0.streams.clone())
    }

    /// Stops all queries, and waits until they have ended. The next [`get_or_create`](super::SessionBuilder::get_or_create) of its name makes a new
    /// session.
    ///
    /// # Errors
    /// The first error of one of them.
    pub fn stop(&self) -> Result {
        self.0.forget();
        let queries = self.streams().active();
        queries.iter().for_each(|query| query.0.context.stop(false));
        queries.iter().map(StreamingQuery::await_termination).collect::<Vec<_>>().into_iter().collect()
    }
}

impl StreamingQueryManager {
    /// The queries that run, in the order in which they were started.
    #[must_use]
    pub fn active(&self) -> Vec<StreamingQuery> {
        self.0.queries().active.iter().filter(|query| query.is_active()).cloned().collect()
    }

    /// The query that runs under this id.
    #[must_use]
    pub fn get(&self, id: QueryId) -> Option<StreamingQuery> {
        self.active().into_iter().find(|query| query.id() == id)
    }

    /// Waits until a query has ended since the session was made, or since the last [reset](Self::reset_terminated).
    ///
    /// # Errors
    /// The error of the first one that has ended with one.
    pub fn await_any_termination(&self) -> Result {
        let ended = self.0.0.ended.wait_while(self.0.queries(), |queries| queries.ended.is_empty());
        first_error(&ended.unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, but at most for `timeout`: `false` = none has ended.
    ///
    /// # Errors
    /// As [`await_any_termination`](Self::await_any_termination).
    pub fn await_any_termination_or_timeout(&self, timeout: Duration) -> Result<bool> {
        let waited =
            self.0.0.ended.wait_timeout_while(self.0.queries(), timeout, |queries| queries.ended.is_empty());
        let queries = waited.unwrap_or_else(PoisonError::into_inner).0;
        first_error(&queries).map(|()| !queries.ended.is_empty())
    }

    /// Forgets the queries that have ended, so that [`await_any_termination`](Self::await_any_termination) waits for the next one.
    pub fn reset_terminated(&self) {
        self.0.queries().ended.clear();
    }

    /// Notifies a listener of all queries of the session from now on.
    pub fn add_listener(&self, listener: impl StreamingQueryListener + 'static) {
        self.0.listeners().add(Arc::new(listener));
    }
}

fn first_error(queries: &Queries) -> Result {
    queries.ended.iter().find_map(|outcome| outcome.clone().err()).map_or(Ok(()), Err::<(), Error>)
}

impl std::fmt::Debug for StreamingQueryManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.active()).finish()
    }
}
