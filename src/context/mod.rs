//! The one object that a program holds: builds streams, starts them, waits for their end.
//!
//! Owns the way from a configuration to a running loop: state directory, log, metrics, status page, signals. Knows both faces and the
//! runtime; nothing knows it. Invariant: nothing runs before `start`.

mod observer;
mod signals;

use crate::{
    codec::{Decode, Utf8},
    config::{Args, Config},
    dstream::{DStream, SourceOptions, StreamBuilder},
    error::{Error, Result},
    log,
    plan::Topology,
    record::{Data, Incarnation, InstanceId, Text},
    runtime::{
        self, BatchReport, Env, Shutdown,
        clock::{Clock, SystemClock},
        logging,
        metrics::Metrics,
        status::{Phase, Status},
    },
    state::{MemoryStorage, RocksStorage, StateDirectory, Storage},
    ui::{Server, Settings},
};
use observer::{Listener, Telling};
use std::{
    io::Read,
    net::{IpAddr, SocketAddr},
    panic::Location,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

/// Builds a program of streams and runs it.
///
/// ```no_run
/// use tidegate::{Config, StreamingContext, codec::{AsText, Utf8}};
///
/// fn main() -> tidegate::Result {
///     let ssc = StreamingContext::new(Config::new("word-count", "127.0.0.1:9092"));
///     let words = ssc.text("lines").flat_map(|line| line.split(' ')).filter(|word| !word.is_empty());
///     let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
///     counts.to_kafka("counts", Utf8, AsText);
///     ssc.run()
/// }
/// ```
pub struct StreamingContext {
    config: Config,
    builder: StreamBuilder,
    listeners: Mutex<Vec<Listener>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    shutdown: Shutdown,
    thread: JoinHandle<Result>,
    address: Option<SocketAddr>,
    metrics: Arc<Metrics>,
}

impl StreamingContext {
    /// A context for an application.
    #[must_use]
    pub fn new(config: Config) -> Self {
        StreamingContext {
            config,
            builder: StreamBuilder::default(),
            listeners: Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// The lines of a topic: each record's value as text.
    #[track_caller]
    pub fn text(&self, topic: &str) -> DStream<Text> {
        self.builder.source(SourceOptions::topic(topic), Utf8, Location::caller())
    }

    /// The records of topics, decoded. See [`Messages`](crate::codec::Messages) to keep key, timestamp and headers beside the value.
    #[track_caller]
    pub fn source<T: Data>(&self, options: SourceOptions, decode: impl Decode<T> + 'static) -> DStream<T> {
        self.builder.source(options, decode, Location::caller())
    }

    /// Calls `listener` after each batch, on the loop's thread: what it is told was committed, unless
    /// [`BatchReport::committed`] says that there was nothing to commit. It must return soon. To be called before `start`.
    pub fn add_listener(&self, listener: impl Fn(&BatchReport) + Send + Sync + 'static) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }

    /// What was built so far; its `Display` form is the plan for a person.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.builder.topology()
    }

    /// Checks the program, and starts it on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Plan`] with every mistake in the program, [`Error::Config`] for a setting, or what keeps the log or the state
    /// directory from being opened. What goes wrong later comes out of [`await_termination`](Self::await_termination).
    pub fn start(&self) -> Result {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Err(Error::Config("this context was started already".into()));
        }
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *running = Some(start(&self.config, self.topology(), listeners)?);
        self.builder.start();
        Ok(())
    }

    /// Whether the loop runs: `false` before the start, and once it has ended for whatever reason.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_some_and(|r| !r.thread.is_finished())
    }

    /// The address of metrics and health, once started; `None` = switched off.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|r| r.address)
    }

    /// The metrics, once started.
    #[must_use]
    pub fn metrics(&self) -> Option<Arc<Metrics>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|r| r.metrics.clone())
    }

    /// Asks the loop to finish its batch, commit and end; returns at once.
    pub fn stop(&self) {
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            running.shutdown.request();
        }
    }

    /// Waits until the program ends by itself, is stopped, or fails.
    ///
    /// # Errors
    /// Why it failed.
    pub fn await_termination(&self) -> Result {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return Err(Error::Config("this context was not started".into())) };
        match running.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Starts, ends in order at SIGINT or SIGTERM (a second signal ends the process at once), and waits for the end.
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
    /// # Errors
    /// If it was not started, or the system does not let signals be watched.
    pub fn stop_on_signals(&self) -> Result {
        let shutdown = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().map(|r| r.shutdown.clone())
        };
        signals::watch(shutdown.ok_or_else(|| Error::Config("this context was not started".into()))?)
    }
}

fn start(config: &Config, plan: Topology, listeners: Vec<Listener>) -> Result<Running> {
    config.validate()?;
    plan.validate()?;
    let log = log::open(&config.bootstrap, &config.properties)?;
    let home = Home::open(config)?;
    let metrics = Arc::new(Metrics::new(&config.application_id));
    let status = Arc::new(Status::new(&config.application_id, &*home.instance.0, log.name()));
    let server = match &config.admin_bind {
        Some(bind) => Some(Server::start(settings(bind)?, metrics.clone(), status.clone())?),
        None => None,
    };
    let address = server.as_ref().map(Server::address);
    if let Some(address) = address {
        tracing::info!("metrics and health: http://{address}/");
    }
    let (shutdown, clock): (_, Arc<dyn Clock>) = (Shutdown::default(), Arc::new(SystemClock::new()));
    let observer = Telling::new(log.clone(), metrics.clone(), status.clone(), clock.clone());
    let observer = Arc::new(observer.telling(listeners, config.progress_line));
    let env = Env {
        log,
        storage: home.storage,
        clock,
        shutdown: shutdown.clone(),
        observer,
        instance: home.instance,
        incarnation_before: home.incarnation_before,
    };
    let config = config.clone();
    let work = move || {
        let result = runtime::run(config, plan, env);
        let reason = result.as_ref().map_or_else(ToString::to_string, |()| "in order".into());
        status.phase(Phase::Stopped { reason });
        drop((server, home.directory)); // the lock on the directory is held to the very end
        result
    };
    let thread = std::thread::Builder::new().name("tidegate".into());
    let thread = thread.spawn(work).map_err(Error::io("starting the loop's thread"))?;
    Ok(Running { shutdown, thread, address, metrics })
}

/// Who this process is and where its state lives.
struct Home {
    storage: Arc<dyn Storage>,
    instance: InstanceId,
    incarnation_before: Incarnation,
    /// Holds the lock; a log in memory ends with the process, and so does its state.
    directory: Option<StateDirectory>,
}

impl Home {
    fn open(config: &Config) -> Result<Self> {
        if config.bootstrap.starts_with("memory:") {
            let instance = InstanceId(config.instance_id.as_deref().unwrap_or("memory").into());
            let storage = Arc::new(MemoryStorage::default());
            return Ok(Home { storage, instance, incarnation_before: Incarnation(0), directory: None });
        }
        let directory = StateDirectory::open(&config.state_dir, &config.application_id)?;
        let random = |bits: &mut [u8]| std::fs::File::open("/dev/urandom")?.read_exact(bits);
        let instance = directory.instance_id(config.instance_id.as_deref(), random)?;
        let this = directory.next_incarnation(Incarnation(1))?;
        let storage = Arc::new(RocksStorage::new(directory.databases(), config.state_memory_bytes)?);
        let incarnation_before = Incarnation(this.0 - 1);
        Ok(Home { storage, instance, incarnation_before, directory: Some(directory) })
    }
}

/// Runs the body of a program with flags: sets up logs, tells an error for a person, and gives the exit code
/// (0 in order, 1 failure, 3 configuration, 4 the log or a topic is missing, 5 fenced by a newer process).
pub fn program(args: &Args, body: impl FnOnce(&Args) -> Result) -> ExitCode {
    let result = args.log_format.parse().and_then(|format| {
        logging::init(format, args.log_level.as_deref())?;
        body(args)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn settings(bind: &str) -> Result<Settings> {
    let wrong = || Error::Config(format!("admin address `{bind}` is not IP:PORT, such as 127.0.0.1:4040"));
    let (ip, port) = bind.rsplit_once(':').ok_or_else(wrong)?;
    let bind: IpAddr = ip.trim_matches(['[', ']']).parse().map_err(|_| wrong())?;
    Ok(Settings { bind, port: port.parse().map_err(|_| wrong())?, ..Settings::default() })
}
