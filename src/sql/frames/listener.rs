//! What a program can be notified of while its queries run, in the terms of Spark's `StreamingQueryListener`.
//!
//! Owns the trait and its events. Knows no engine. Invariant: of each query `started` comes first, before `start` returns, and `terminated` last,
//! once.

use super::progress::{QueryId, RunId, StreamingQueryProgress};
use crate::error::panic_text;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

/// Notified of queries. Progress is told on the loop's thread of a query: each method must return quickly. By default all of them do nothing.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tidegate::sql::{QueryProgressEvent, QueryStartedEvent, QueryTerminatedEvent, StreamSession, StreamingQueryListener, Trigger};
///
/// #[derive(Clone, Default)]
/// struct Events(Arc<Mutex<Vec<String>>>);
///
/// impl StreamingQueryListener for Events {
///     fn on_query_started(&self, event: &QueryStartedEvent) {
///         self.0.lock().unwrap().push(format!("started {}", event.name.as_deref().unwrap_or("-")));
///     }
///     fn on_query_progress(&self, event: &QueryProgressEvent) {
///         self.0.lock().unwrap().push(format!("{} rows", event.progress.num_input_rows));
///     }
///     fn on_query_terminated(&self, event: &QueryTerminatedEvent) {
///         self.0.lock().unwrap().push(format!("terminated {:?}", event.exception));
///     }
/// }
///
/// let spark = StreamSession::builder("listener-doc").get_or_create()?;
/// let events = Events::default();
/// spark.streams().add_listener(events.clone());
/// spark.sql("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '5')")?;
/// let query = spark.table("ticks")?.write_stream().format("memory").query_name("kept").trigger(Trigger::AvailableNow).start()?;
/// query.await_termination()?;
/// let events = events.0.lock().unwrap();
/// assert_eq!((&*events[0], &**events.last().unwrap()), ("started kept", "terminated None"));
/// # Ok::<(), tidegate::Error>(())
/// ```
pub trait StreamingQueryListener: Send + Sync {
    /// A query was started.
    fn on_query_started(&self, event: &QueryStartedEvent) {
        let _ = event;
    }

    /// A batch of a query that had rows was committed.
    fn on_query_progress(&self, event: &QueryProgressEvent) {
        let _ = event;
    }

    /// A query has ended: it was stopped, has processed all that was available, or has failed.
    fn on_query_terminated(&self, event: &QueryTerminatedEvent) {
        let _ = event;
    }
}

/// A query was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryStartedEvent {
    /// Which query: the same after a restart.
    pub id: QueryId,
    /// Which run of it.
    pub run_id: RunId,
    /// What it is called; `None` = it has no name.
    pub name: Option<String>,
    /// When, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// A batch of a query was committed.
#[derive(Clone, Debug)]
pub struct QueryProgressEvent {
    /// What it did.
    pub progress: Arc<StreamingQueryProgress>,
}

/// A query has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryTerminatedEvent {
    /// Which query.
    pub id: QueryId,
    /// Which run of it.
    pub run_id: RunId,
    /// Why it failed; `None` = it did not.
    pub exception: Option<String>,
}

/// Who is notified of the queries of a session. Cheap to clone.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Mutex<Vec<Arc<dyn StreamingQueryListener>>>>);

impl Listeners {
    /// One more.
    pub fn add(&self, listener: Arc<dyn StreamingQueryListener>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    fn each(&self, tell: impl Fn(&dyn StreamingQueryListener)) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(listener.as_ref()))) {
                tracing::error!("a listener of queries panicked: {}", panic_text(panic.as_ref()));
            }
        }
    }

    pub fn started(&self, event: &QueryStartedEvent) {
        self.each(|listener| listener.on_query_started(event));
    }

    pub fn progress(&self, event: &QueryProgressEvent) {
        self.each(|listener| listener.on_query_progress(event));
    }

    pub fn terminated(&self, event: &QueryTerminatedEvent) {
        self.each(|listener| listener.on_query_terminated(event));
    }
}
