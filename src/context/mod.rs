//! The one object that a program holds: it builds streams, starts them, and waits for their end.
//!
//! Owns the way from a configuration to a running loop: state directory, log, metrics, status page, signals. Knows both
//! APIs and the runtime; nothing knows it. Invariant: nothing runs before `start`.

mod builder;
mod checkpoint;
mod lifecycle;
mod process_state;
mod signals;
mod streams;

pub use builder::ContextBuilder;

use crate::{
    config::{Args, Config, memory, open_files},
    dstream::StreamBuilder,
    error::{Error, Result},
    host,
    log::{self, Log},
    observe::{
        self, AfterBatch, Listeners, Reporter,
        history::History,
        listener::StreamingListener,
        logging::{self, LogFormat},
        metrics::Metrics,
        processes::{Processes, Watch},
        status::{Phase, Status},
    },
    plan::Topology,
    runtime::{
        self, BatchReport, Env, Shutdown,
        clock::{Clock, SystemClock},
        ends::Ends,
    },
    state::RocksMemory,
    ui::{Server, Settings},
};
use lifecycle::{End, Lifecycle, Running};
use process_state::ProcessState;
use std::{
    net::SocketAddr,
    panic::Location,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Builds a program of streams and runs it.
///
/// ```no_run
/// use std::process::ExitCode;
/// use tidegate::{Config, StreamingContext, codec::{AsText, Utf8}, program_in};
///
/// fn main() -> ExitCode {
///     program_in("info", word_count)
/// }
///
/// fn word_count() -> tidegate::Result {
///     let ssc = StreamingContext::new(Config::new("word-count", "127.0.0.1:9092"));
///     ssc.checkpoint("state");
///     let words = ssc.text("lines").flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
///     let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
///     counts.to_kafka("counts", Utf8, AsText);
///     ssc.run()
/// }
/// ```
pub struct StreamingContext {
    config: Mutex<Config>,
    builder: StreamBuilder,
    listeners: Mutex<Observers>,
    lifecycle: Mutex<Lifecycle>,
    /// The memory that its databases share with those of other programs of the process, if they do.
    state_memory: OnceLock<RocksMemory>,
}

/// The observers that are notified of batches.
#[derive(Clone, Default)]
struct Observers {
    after_batch: Vec<AfterBatch>,
    listeners: Vec<Arc<dyn StreamingListener>>,
}

impl StreamingContext {
    /// A context for an application.
    ///
    /// ```
    /// use tidegate::{Config, StreamingContext};
    /// let mut config = Config::new("app", "memory:");
    /// config.state_partitions = 4;
    /// let ssc = StreamingContext::new(config);
    /// assert!(!ssc.is_running());
    /// ```
    #[must_use]
    pub fn new(config: Config) -> Self {
        let builder = StreamBuilder::of(&config.application_id);
        StreamingContext {
            config: Mutex::new(config),
            builder,
            listeners: Mutex::default(),
            lifecycle: Mutex::default(),
            state_memory: OnceLock::new(),
        }
    }

    /// Adds to the program what another face builds.
    #[cfg(feature = "sql")]
    pub(crate) fn add_plan<T>(&self, build: impl FnOnce(&mut Topology) -> T) -> T {
        build(&mut self.builder.plan())
    }

    /// The databases of this program share their memory with those of others. Call it before `start`.
    #[cfg(feature = "sql")]
    pub(crate) fn share_state_memory(&self, memory: &RocksMemory) {
        let _ = self.state_memory.set(memory.clone()); // whoever comes first decides
    }

    /// What can be seen of the program, once it was started.
    #[cfg(feature = "sql")]
    pub(crate) fn watched(&self) -> Option<(Arc<Metrics>, Arc<Status>, Arc<History>)> {
        self.started().map(|running| (running.metrics, running.status, running.history))
    }

    /// A context with one batch per second, on its own log: in the checkpoint directory, or in memory if there is none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("word count").batch_interval(Duration::from_secs(5)).threads(2).build();
    /// ssc.text("lines").count().print();
    /// assert!(ssc.topology().to_string().contains("lines"));
    /// ```
    pub fn builder(name: &str) -> ContextBuilder {
        ContextBuilder::new(name)
    }

    /// The context that `create` returns, with its checkpoint in `dir`: if an earlier run left one there, the program
    /// continues from it. Streams are always built by `create`, so the program may change between runs; state is
    /// identified by the names of its operations.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let (dir, queue) = (tempfile::tempdir().unwrap(), Queue::default());
    /// let run = || -> tidegate::Result<Vec<(char, i32)>> {
    ///     let mut counts = None;
    ///     let ssc = StreamingContext::get_or_create(dir.path(), || {
    ///         let ssc =
    ///             StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    ///         let letters = ssc.queue_stream(&queue, true).map(|letter| (letter, 1));
    ///         counts = Some(letters.running_reduce_by_key(|a, b| a + b).remembered());
    ///         ssc
    ///     });
    ///     queue.push(vec!['a']);
    ///     ssc.start()?;
    ///     ssc.await_termination()?;
    ///     let kept = counts.unwrap().slice(tidegate::BatchTime(0), tidegate::BatchTime(i64::MAX));
    ///     Ok(kept.into_iter().flat_map(|(_, rows)| rows).collect())
    /// };
    /// assert_eq!(run()?, [('a', 1)]);
    /// assert_eq!(run()?, [('a', 2)]); // a second run continues with the state of the first
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn get_or_create(dir: impl Into<PathBuf>, create: impl FnOnce() -> Self) -> Self {
        let context = create();
        context.checkpoint(dir);
        context
    }

    /// Sets the directory where state is kept (and the log, if none was named): a path, or a `file:` URL. Operations
    /// with state need it.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let (dir, queue) = (tempfile::tempdir().unwrap(), Queue::default());
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.checkpoint(dir.path());
    /// ssc.queue_stream(&queue, true).running_reduce_by_key(|a: i32, b| a + b).print();
    /// queue.push(vec![('a', 1)]);
    /// ssc.start()?;
    /// ssc.await_termination()?;
    /// assert!(dir.path().join("state").is_dir());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// After the start.
    #[track_caller]
    pub fn checkpoint(&self, dir: impl Into<PathBuf>) {
        self.must_be_new("checkpoint");
        self.config().state_dir = Some(dir.into());
    }

    /// How long streams that are [remembered](crate::DStream::remembered) keep the rows of past batches; default: one
    /// minute. Call it before `start`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{BatchTime, StreamingContext, config::Trigger, source::Queue};
    /// let (queue, app) = (Queue::default(), StreamingContext::builder("app").log("memory:remember"));
    /// let ssc = app.trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.remember(Duration::from_millis(1)); // batches are at least that far apart: the newest one stays
    /// let seen = ssc.queue_stream(&queue, true).remembered();
    /// (1..=3).for_each(|n| queue.push(vec![n]));
    /// ssc.start()?;
    /// ssc.await_termination()?;
    /// let kept = seen.slice(BatchTime(0), BatchTime(i64::MAX));
    /// assert_eq!(kept.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [[3]]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// After the start.
    #[track_caller]
    pub fn remember(&self, duration: Duration) {
        self.must_be_new("remember");
        self.config().remember = duration;
    }

    /// Panics after the start, when a setting would no longer have an effect.
    #[track_caller]
    fn must_be_new(&self, method: &str) {
        let is_new = matches!(*self.lock_lifecycle(), Lifecycle::Built);
        assert!(is_new, "{}: `{method}` after starting a context is not supported", Location::caller());
    }

    /// The settings.
    pub(crate) fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn application_id(&self) -> String {
        self.config().application_id.clone()
    }

    /// Calls `listener` after each batch, on the loop's thread. What it receives was committed, unless
    /// [`BatchReport::committed`] says that there was nothing to commit. It must return soon; if it panics, that is
    /// logged. Call this before `start`.
    ///
    /// ```
    /// use std::sync::{
    ///     Arc,
    ///     atomic::{AtomicUsize, Ordering},
    /// };
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let (queue, batches) = (Queue::default(), Arc::new(AtomicUsize::new(0)));
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&queue, true).map(|n: i32| n * 2).print();
    /// let counter = batches.clone();
    /// ssc.add_listener(move |_report| {
    ///     counter.fetch_add(1, Ordering::Relaxed);
    /// });
    /// queue.push(vec![1]);
    /// ssc.start()?;
    /// ssc.await_termination()?;
    /// assert!(batches.load(Ordering::Relaxed) > 0);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// After the start.
    #[track_caller]
    pub fn add_listener(&self, listener: impl Fn(&BatchReport) + Send + Sync + 'static) {
        self.must_be_new("add_listener");
        let mut observers = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        observers.after_batch.push(Arc::new(listener));
    }

    /// Notifies `listener` of batches, output operations and receivers. Call it before `start`. See
    /// [`StreamingListener`].
    ///
    /// ```
    /// use std::sync::{
    ///     Arc,
    ///     atomic::{AtomicUsize, Ordering},
    /// };
    /// use tidegate::{
    ///     StreamingContext,
    ///     config::Trigger,
    ///     observe::listener::{BatchInfo, StreamingListener},
    ///     source::Queue,
    /// };
    /// struct Rows(Arc<AtomicUsize>);
    /// impl StreamingListener for Rows {
    ///     fn on_batch_completed(&self, batch: &BatchInfo) {
    ///         self.0.fetch_add(batch.num_records(), Ordering::Relaxed);
    ///     }
    /// }
    /// let (queue, rows) = (Queue::default(), Arc::new(AtomicUsize::new(0)));
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&queue, true).map(|n: i32| n * 2).print();
    /// ssc.add_streaming_listener(Rows(rows.clone()));
    /// queue.push(vec![1, 2, 3]);
    /// ssc.start()?;
    /// ssc.await_termination()?;
    /// assert_eq!(rows.load(Ordering::Relaxed), 3);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Panics
    /// After the start.
    #[track_caller]
    pub fn add_streaming_listener(&self, listener: impl StreamingListener + 'static) {
        self.must_be_new("add_streaming_listener");
        let mut observers = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        observers.listeners.push(Arc::new(listener));
    }

    /// What has been built so far; its `Display` form is the plan in readable form.
    ///
    /// ```
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").build();
    /// ssc.text("lines").map(|line| (line, 1)).running_reduce_by_key(|a, b| a + b).print();
    /// let plan = ssc.topology().to_string();
    /// assert!(plan.contains("running_reduce_by_key"), "{plan}");
    /// ```
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.builder.topology()
    }

    /// Checks the program, and starts it on its own thread.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let queue = Queue::default();
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// ssc.queue_stream(&queue, true).foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|n| sender.send(n * 2))?));
    /// queue.push(vec![1, 2]);
    /// ssc.start()?;
    /// assert!(ssc.start().is_err()); // only once
    /// ssc.await_termination()?;
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 4]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Plan`] with every mistake in the program, [`Error::Config`] for a setting, or the reason why the log or
    /// the state directory cannot be opened. Later failures are returned by
    /// [`await_termination`](Self::await_termination).
    pub fn start(&self) -> Result {
        let mut lifecycle = self.lock_lifecycle();
        let refused = match &*lifecycle {
            Lifecycle::Built => None,
            Lifecycle::Started(running) if !running.is_stopped() => {
                Some("this context has already been started")
            }
            Lifecycle::Started(_) => Some(
                "this context has already been started; it was stopped and cannot be started again: create a new one",
            ),
            Lifecycle::Stopped => {
                Some("this context was stopped and cannot be started again: create a new one")
            }
        };
        if let Some(why) = refused {
            return Err(Error::Config(why.into()));
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut config, plan) = (self.config().clone(), self.topology());
        config.state_dir = config.state_dir.as_deref().map(checkpoint::directory).transpose()?;
        check_checkpoint(&config, &plan.clone().computed())?;
        plan.prepare()?;
        *lifecycle = Lifecycle::Started(start(&settle(config), plan, listeners, self.state_memory.get())?);
        self.builder.start();
        Ok(())
    }

    fn lock_lifecycle(&self) -> MutexGuard<'_, Lifecycle> {
        self.lifecycle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The started run, if any. Waiting for its end holds no lock, so other threads can stop it in the meantime.
    fn started(&self) -> Option<Running> {
        match &*self.lock_lifecycle() {
            Lifecycle::Started(running) => Some(running.clone()),
            Lifecycle::Built | Lifecycle::Stopped => None,
        }
    }

    /// Whether the loop is running: `false` before the start, and once it has ended for whatever reason.
    ///
    /// ```
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").configure(|c| c.admin_bind = None).build();
    /// ssc.rate_stream(1).print();
    /// assert!(!ssc.is_running());
    /// ssc.start()?;
    /// assert!(ssc.is_running());
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// assert!(!ssc.is_running());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.started().is_some_and(|running| !running.end.has_come())
    }

    /// The address of the streaming page, metrics and health while the loop runs; `None` = switched off.
    ///
    /// ```
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").configure(|c| c.admin_bind = Some("127.0.0.1:0".into())).build();
    /// ssc.rate_stream(1).print();
    /// ssc.start()?;
    /// let page = ssc.admin_address().unwrap(); // http://127.0.0.1:PORT/
    /// assert!(page.ip().is_loopback() && page.port() > 0);
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.started().filter(|running| !running.end.has_come()).and_then(|running| running.address)
    }

    /// The metrics, once started; they remain available after the end.
    ///
    /// ```
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").configure(|c| c.admin_bind = None).build();
    /// ssc.rate_stream(1).print();
    /// ssc.start()?;
    /// let text = ssc.metrics().unwrap().render();
    /// assert!(text.contains("tidegate_build_info"));
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Option<Arc<Metrics>> {
        self.started().map(|running| running.metrics)
    }

    /// Asks the loop to end and returns at once. May be called from any thread, also while others wait for the end, and
    /// from a listener. In any case the batch in flight is finished and committed. With `graceful`, receivers stop
    /// first, and what they have stored is processed before the end; otherwise it is processed after the next start
    /// (what is kept only in memory is lost). A context that was stopped cannot be started again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{StreamingContext, source::Queue};
    /// let queue = Queue::default();
    /// let ssc = StreamingContext::builder("app")
    ///     .batch_interval(Duration::from_millis(20))
    ///     .configure(|c| c.admin_bind = None)
    ///     .build();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// ssc.queue_stream(&queue, true).foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|n| sender.send(n * 2))?));
    /// ssc.start()?;
    /// queue.push(vec![21]);
    /// ssc.stop(true);
    /// ssc.await_termination()?; // `stop` itself does not wait
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [42]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn stop(&self, graceful: bool) {
        let mut lifecycle = self.lock_lifecycle();
        self.builder.stop();
        match &*lifecycle {
            Lifecycle::Started(running) if graceful => running.shutdown.request_drain(),
            Lifecycle::Started(running) => running.shutdown.request(),
            Lifecycle::Built | Lifecycle::Stopped => *lifecycle = Lifecycle::Stopped,
        }
    }

    /// Like [`await_termination`](Self::await_termination), but at most for `timeout`: `false` = it is still running.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").configure(|c| c.admin_bind = None).build();
    /// ssc.rate_stream(1).print();
    /// ssc.start()?;
    /// assert!(!ssc.await_termination_or_timeout(Duration::from_millis(20))?); // it is still running
    /// ssc.stop(false);
    /// assert!(ssc.await_termination_or_timeout(Duration::from_secs(60))?);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`await_termination`](Self::await_termination).
    pub fn await_termination_or_timeout(&self, timeout: Duration) -> Result<bool> {
        match self.awaited()? {
            Some(running) => {
                running.end.wait_at_most(timeout).map_or(Ok(false), |ended| ended.map(|()| true))
            }
            None => Ok(true),
        }
    }

    /// Waits until the program ends by itself, is stopped, or fails. Any number of threads may wait, also after the
    /// end: all get the same result.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let queue = Queue::default();
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// ssc.queue_stream(&queue, true)
    ///     .foreach_rdd(|rdd, _| if rdd.iter().any(|n: &i32| *n < 0) { Err("a negative number".into()) } else { Ok(()) });
    /// queue.push(vec![1, -1]);
    /// ssc.start()?;
    /// let why = ssc.await_termination().unwrap_err().to_string();
    /// assert!(why.contains("a negative number"), "{why}");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// The reason why it failed, or that it was not started.
    pub fn await_termination(&self) -> Result {
        self.awaited()?.map_or(Ok(()), |running| running.end.wait())
    }

    /// The run to wait for; `None` = it was stopped before it began.
    fn awaited(&self) -> Result<Option<Running>> {
        match &*self.lock_lifecycle() {
            Lifecycle::Started(running) => Ok(Some(running.clone())),
            Lifecycle::Stopped => Ok(None),
            Lifecycle::Built => Err(Error::Config("this context was not started".into())),
        }
    }

    /// Starts the program, ends it in order at SIGINT or SIGTERM (a second signal ends the process at once), and waits
    /// for the end.
    ///
    /// ```
    /// use tidegate::{StreamingContext, config::Trigger, source::Queue};
    /// let queue = Queue::default();
    /// queue.push(vec!["tide".to_owned()]);
    /// let ssc = StreamingContext::builder("app").trigger(Trigger::AvailableNow).configure(|c| c.admin_bind = None).build();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// ssc.queue_stream(&queue, true).foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|word| sender.send(word.len()))?));
    /// ssc.run()?; // until everything is processed, a signal, or a failure
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [4]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`await_termination`](Self::await_termination).
    pub fn run(&self) -> Result {
        self.start()?;
        self.stop_on_signals()?;
        self.await_termination()
    }

    /// From now on SIGINT or SIGTERM ends the program in order; a second signal ends the process at once.
    ///
    /// ```no_run
    /// use tidegate::StreamingContext;
    /// let ssc = StreamingContext::builder("app").build();
    /// ssc.rate_stream(1).print();
    /// ssc.start()?;
    /// ssc.stop_on_signals()?;
    /// // the program's own work
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it was not started, or the system does not allow watching signals.
    pub fn stop_on_signals(&self) -> Result {
        let shutdown = self.started().map(|running| running.shutdown);
        signals::watch(shutdown.ok_or_else(|| Error::Config("this context was not started".into()))?)
    }
}

/// Chooses the log of a program that named none.
fn settle(mut config: Config) -> Config {
    static CONTEXTS: AtomicU32 = AtomicU32::new(0);
    if config.bootstrap.is_empty() {
        config.bootstrap = match &config.state_dir {
            Some(dir) => format!("embedded:{}", dir.join("log").display()),
            None => format!("memory:context-{}", CONTEXTS.fetch_add(1, Ordering::Relaxed)),
        };
        config.state_dir = config.state_dir.map(|dir| dir.join("state"));
    }
    config
}

/// State needs a directory, unless the user chose a log in memory, where nothing outlives the process.
fn check_checkpoint(config: &Config, plan: &Topology) -> Result {
    let stateful = plan.nodes.iter().find(|n| !n.stores.is_empty());
    match (stateful, &config.state_dir) {
        (Some(node), None) if !log::ends_with_process(&config.bootstrap) => Err(Error::Plan(format!(
            "{}: the checkpoint directory has not been set, but `{}` keeps state\n  help: set it with `StreamingContext::checkpoint(\"dir\")`",
            node.operation.place, node.kind
        ))),
        _ => Ok(()),
    }
}

fn start(
    config: &Config,
    plan: Topology,
    observers: Observers,
    state_memory: Option<&RocksMemory>,
) -> Result<Running> {
    config.validate()?;
    plan.validate(config.trigger)?;
    memory::tell(config);
    open_files::raise_limit();
    let log = log::open(&config.bootstrap, &config.properties)?;
    let process = ProcessState::open(config, state_memory)?;
    let metrics = Arc::new(Metrics::new(&config.application_id));
    let status = Arc::new(Status::new(&config.application_id, &*process.instance.0, log.name()));
    let (shutdown, clock): (_, Arc<dyn Clock>) = (Shutdown::default(), Arc::new(SystemClock::new()));
    let computed = plan.clone().computed();
    let program = observe::program(&computed, config, process.instance.0.clone(), clock.now_ms());
    let history = Arc::new(History::new(program.clone()));
    let server = match Settings::of(config)? {
        Some(page) => Some(Server::start(&page, metrics.clone(), status.clone(), history.clone())?),
        None => None,
    };
    let address = server.as_ref().map(Server::address);
    if let Some(server) = &server {
        tell_address(server, config);
    }
    let mut batch_listeners: Vec<Arc<dyn StreamingListener>> = vec![metrics.clone(), history.clone()];
    batch_listeners.extend(observers.listeners);
    let listeners = Listeners::new(&computed, program, batch_listeners);
    let ends = Ends::new(log.clone(), Some("lag"))?;
    let observer =
        Reporter::new(ends, metrics.clone(), status.clone(), clock.clone(), history.clone(), listeners);
    let observer = Arc::new(observer.reporting_to(observers.after_batch, config.progress_line));
    let watch = watch_processes(config, &computed, &log, &status, &metrics)?;
    let env = Env {
        log,
        storage: process.storage,
        clock,
        shutdown: shutdown.clone(),
        observer: observer.clone(),
        instance: process.instance,
        incarnation_before: process.incarnation_before,
    };
    let config = config.clone();
    let (end, of_run) = (Arc::new(End::default()), status.clone());
    let running = Running { shutdown, address, metrics, status, history, end: end.clone() };
    let work = move || {
        let result = host::around(|| runtime::run(config, plan, env));
        let reason = result.as_ref().map_or_else(ToString::to_string, |()| "in order".into());
        of_run.phase(Phase::Stopped { reason });
        observer.ended();
        drop((watch, server, process.directory)); // the lock on the directory is held until the very end
        result
    };
    let thread = std::thread::Builder::new().name("tidegate".into());
    thread.spawn(move || end.of(work)).map_err(Error::io("starting the loop's thread"))?;
    Ok(running)
}

/// Keeps the status and the metrics informed of the processes that share the state, if any do.
fn watch_processes(
    config: &Config,
    plan: &Topology,
    log: &Arc<dyn Log>,
    status: &Arc<Status>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Watch>> {
    if !runtime::is_shared(config, plan) || log.keeps_one_copy() {
        return Ok(None);
    }
    let (status, metrics) = (Arc::downgrade(status), Arc::downgrade(metrics));
    let tell = move |processes: Processes| {
        if let (Some(status), Some(metrics)) = (status.upgrade(), metrics.upgrade()) {
            metrics.processes(&processes);
            status.processes(processes);
        }
    };
    let exchange = runtime::exchange_partitions(config);
    Watch::start(log.clone(), config.application_id.clone(), exchange, tell).map(Some)
}

/// Says where the page is: louder if it is not where it was asked for, or if everybody may read it.
fn tell_address(server: &Server, config: &Config) {
    let port =
        config.admin_bind.as_ref().and_then(|bind| bind.rsplit_once(':')).map_or("0", |(_, port)| port);
    let (at, url) = (server.address(), server.url());
    if port == "0" || port == at.port().to_string() {
        tracing::info!("streaming page, metrics and health: {url}");
    } else {
        tracing::warn!("port {port} is in use: streaming page, metrics and health are at {url}");
    }
    if config.admin_access.admin_insecure && !at.ip().is_loopback() {
        tracing::warn!(
            "everybody who reaches {at} may read the page, the JSON and the metrics (--admin-insecure)"
        );
    }
}

/// Runs the body of a program with flags: sets up logging, prints an error in readable form, and returns the exit code
/// (0 in order, 1 failure, 3 configuration, 4 the log or a topic is missing, 5 fenced by a newer process).
///
/// ```no_run
/// use clap::Parser;
/// use tidegate::{StreamingContext, config::Args};
///
/// #[derive(Parser)]
/// struct Program {
///     #[command(flatten)]
///     args: Args,
/// }
///
/// fn main() -> std::process::ExitCode {
///     tidegate::program(&Program::parse().args, |args| {
///         let ssc = StreamingContext::new(args.config());
///         ssc.text("lines").count().print();
///         ssc.run()
///     })
/// }
/// ```
pub fn program(args: &Args, body: impl FnOnce(&Args) -> Result) -> ExitCode {
    let result = args.log_format.parse().and_then(|format| {
        logging::init(format, args.log_level.as_deref())?;
        body(args)
    });
    exit_code(result)
}

/// Like [`program`], for programs that parse their own flags or have none: `log_level` is used for the program's logs, unless
/// `RUST_LOG` says otherwise.
///
/// ```
/// use std::process::ExitCode;
/// use tidegate::Error;
/// assert_eq!(tidegate::program_in("warn", || Ok(())), ExitCode::SUCCESS);
/// assert_eq!(tidegate::program_in("warn", || Err(Error::Config("no topic".into()))), ExitCode::from(3));
/// ```
pub fn program_in(log_level: &str, body: impl FnOnce() -> Result) -> ExitCode {
    exit_code(logging::init(LogFormat::Text, Some(log_level)).and_then(|()| body()))
}

fn exit_code(result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
