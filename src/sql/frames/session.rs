//! The object that a program of DataFrames holds: what it has declared, and the queries that it has started.
//!
//! Owns the declarations, the settings that all queries share, and the registry of sessions. Knows no query's rows. Invariants: a name means
//! one relation in all of a session; nothing runs before a query is started.

use super::{
    mistake::wrong,
    streams::Streams,
    tree::{self, Parts},
};
use crate::{
    config::Config,
    error::Result,
    sql::{SqlResult, catalog::NoCalls, plan::Planner, sink::MemoryTable},
    state::RocksMemory,
    ui::Server,
};
use arrow::{array::RecordBatch, datatypes::Schema};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    panic::Location,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

/// The sessions of the process, by their names.
static SESSIONS: Mutex<BTreeMap<String, Weak<Session>>> = Mutex::new(BTreeMap::new());

/// Names of relations that only DataFrames know begin with it.
const HIDDEN: char = '#';

/// Declares tables, makes DataFrames and runs queries: Spark's `SparkSession`.
///
/// Each query that is started is an engine of its own: one application, with its trigger, its state in a folder of the checkpoint directory
/// under its name, and one transaction per batch. All queries of a session share one log, one page, and one bound for the memory of their states.
///
/// ```
/// use tidegate::sql::{StreamSession, Trigger, functions::{col, count, explode, split}};
///
/// let spark = StreamSession::builder("session-doc").get_or_create()?;
/// spark.sql("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '10',
///     'fields.n.kind' = 'sequence', 'fields.n.start' = '1')")?;
/// let counts = spark.table("ticks")?.group_by([(col("n") % 2).alias("odd")]).count()?;
/// let query = counts.write_stream().format("memory").query_name("odds").output_mode("complete").trigger(Trigger::AvailableNow).start()?;
/// query.await_termination()?;
/// let rows: usize = spark.memory("odds")?.iter().map(|rows| rows.num_rows()).sum();
/// assert_eq!(rows, 2);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct StreamSession(pub(super) Arc<Session>);

/// What all handles of a session share.
pub struct Session {
    pub name: String,
    pub config: Config,
    /// Whether nobody has named the log: a query that names one is on that one.
    pub has_own_log: bool,
    pub planner: Mutex<Planner>,
    /// The tables in memory that queries fill, by the names of the queries.
    pub memory: Mutex<BTreeMap<String, MemoryTable>>,
    pub streams: Streams,
    /// Bounds the memory of all states; made with the first query that keeps one on disk.
    pub state_memory: OnceLock<RocksMemory>,
    /// How many relations have no name of the program's.
    hidden: Mutex<usize>,
    /// Names of them that no DataFrame has any more.
    unused: Mutex<Vec<String>>,
}

/// The name of a relation that only DataFrames know. Without the last of them the relation is forgotten.
pub struct HiddenName {
    session: Weak<Session>,
    pub name: String,
}

impl Drop for HiddenName {
    fn drop(&mut self) {
        if let Some(session) = self.session.upgrade() {
            // The planner may be in use: it is told when it is asked for the next time.
            session.unused().push(std::mem::take(&mut self.name));
        }
    }
}

/// The planner, while this thread has it: it calls no function of the program meanwhile.
pub struct Planning<'s> {
    planner: MutexGuard<'s, Planner>,
    _no_calls: NoCalls,
}

impl Deref for Planning<'_> {
    type Target = Planner;

    fn deref(&self) -> &Planner {
        &self.planner
    }
}

impl DerefMut for Planning<'_> {
    fn deref_mut(&mut self) -> &mut Planner {
        &mut self.planner
    }
}

impl Session {
    pub fn planner(&self) -> Planning<'_> {
        let mut planner = self.planner.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = std::mem::take(&mut *self.unused());
        unused.iter().for_each(|name| planner.forget(name));
        Planning { planner, _no_calls: NoCalls::begin() }
    }

    fn unused(&self) -> MutexGuard<'_, Vec<String>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process makes a new session of this name from now on.
    pub fn forget(self: &Arc<Self>) {
        let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.get(&self.name).is_some_and(|other| std::ptr::eq(other.as_ptr(), Arc::as_ptr(self))) {
            sessions.remove(&self.name);
        }
    }

    pub fn tables(&self) -> MutexGuard<'_, BTreeMap<String, MemoryTable>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that a query of this name keeps in memory are a relation with these columns, from now on.
    pub fn keep(&self, name: &str, table: &MemoryTable, columns: &Schema) -> SqlResult {
        let query = Parts::of(tree::alone(tree::table(name)), None).query();
        let kept = table.clone();
        self.planner().declare_kept(name, query, columns, Arc::new(move || kept.rows()))?;
        self.tables().insert(name.to_owned(), table.clone());
        Ok(())
    }

    /// A name that no relation of the program has.
    pub fn hidden_name(self: &Arc<Self>) -> Arc<HiddenName> {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        *hidden += 1;
        Arc::new(HiddenName { session: Arc::downgrade(self), name: format!("{HIDDEN}{hidden}") })
    }
}

/// Builds a [`StreamSession`]: see [`StreamSession::builder`].
#[derive(Clone, Debug)]
#[must_use = "call `get_or_create`"]
pub struct SessionBuilder {
    name: String,
    config: Config,
}

impl SessionBuilder {
    /// The log: `host:port` for Kafka, `embedded:DIR` or `memory:`. Default: a log in the checkpoint directory, or in memory if there is none.
    pub fn log(mut self, bootstrap: &str) -> Self {
        bootstrap.clone_into(&mut self.config.bootstrap);
        self
    }

    /// The directory where state is kept, and the log, if none is named. Each query has a folder in it. Without it nothing outlives the
    /// process.
    pub fn checkpoint(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.state_dir = Some(dir.into());
        self
    }

    /// Worker threads of each query; default: one per core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.threads = threads;
        self
    }

    /// Any other setting, for all queries. The application id and the trigger are those of each query.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The session of this name that the process has already, or a new one.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a setting cannot be.
    pub fn get_or_create(self) -> Result<StreamSession> {
        let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&self.name).and_then(Weak::upgrade) {
            return Ok(StreamSession(session));
        }
        let SessionBuilder { name, mut config } = self;
        config.validate()?;
        let has_own_log = config.bootstrap.is_empty() && config.state_dir.is_none();
        if config.bootstrap.is_empty() {
            config.bootstrap = match &config.state_dir {
                Some(dir) => format!("embedded:{}", dir.join("log").display()),
                None => format!("memory:session-{}", config.application_id),
            };
            config.state_dir = config.state_dir.map(|dir| dir.join("state"));
        }
        let session = Arc::new(Session {
            name: name.clone(),
            config,
            has_own_log,
            planner: Mutex::default(),
            memory: Mutex::default(),
            streams: Streams::default(),
            state_memory: OnceLock::new(),
            hidden: Mutex::default(),
            unused: Mutex::default(),
        });
        sessions.insert(name, Arc::downgrade(&session));
        Ok(StreamSession(session))
    }
}

impl StreamSession {
    /// A session on its own log: in the checkpoint directory, or in memory if there is none.
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let dir = tempfile::tempdir().unwrap();
    /// let spark = StreamSession::builder("orders").checkpoint(dir.path()).threads(2).get_or_create()?;
    /// assert_eq!(spark.name(), "orders");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn builder(name: &str) -> SessionBuilder {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let id: String = name.chars().map(allowed).collect();
        SessionBuilder { name: name.to_owned(), config: Config::new(id, "") }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where the page of its queries is, once one of them was started; `None` = there is no page.
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("session-page").configure(|config| config.admin_bind = None).get_or_create()?;
    /// assert!(spark.admin_address().is_none());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.0.streams.server().as_ref().map(Server::address)
    }

    /// The names of the tables and views that were declared, in alphabetical order.
    ///
    /// ```
    /// use tidegate::sql::StreamSession;
    /// let spark = StreamSession::builder("session-tables").get_or_create()?;
    /// spark.sql("CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw')")?;
    /// assert_eq!(spark.tables(), ["lines"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn tables(&self) -> Vec<String> {
        let planner = self.0.planner();
        planner.catalog().names().filter(|name| !name.starts_with(HIDDEN)).map(str::to_owned).collect()
    }

    /// The rows that a query of this name has written to the sink `memory`: those of all batches, or in complete mode those of the last one.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) if no query of that name writes to memory.
    #[track_caller]
    pub fn memory(&self, query: &str) -> Result<Vec<RecordBatch>> {
        match self.0.tables().get(query) {
            Some(table) => Ok(table.rows()),
            None => Err(wrong(
                Location::caller(),
                format!("no query `{query}` writes to memory"),
                "start it: write_stream().format(\"memory\").query_name(..).start()",
            )),
        }
    }
}

impl std::fmt::Debug for StreamSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamSession({})", self.0.name)
    }
}
