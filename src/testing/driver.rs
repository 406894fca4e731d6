//! The driver: one process of a program, stepped from batch to batch, ended and restarted.
//!
//! Owns the log, the local state and the engine's thread. Knows nothing of the form of tables. Invariants: between
//! two calls the engine is held with nothing in flight; a batch that was cut off runs again at the same time.

use super::{
    Between, Settings, Written, WrittenBatch,
    table::{self, Reading},
    turnstile::{Crash, Turnstile},
};
use crate::{
    config::{Config, Trigger},
    context::StreamingContext,
    error::{Error, Result},
    log::{
        Log,
        embedded::{Embedded, Time},
        sim::{Fate, SimLog},
    },
    record::{Incarnation, InstanceId},
    runtime::{self, BatchReport, Env, Observed, Observer, Shutdown},
    state::MemoryStorage,
};
use std::{
    panic::resume_unwind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Runs one program, batch by batch. See the [module](super) for an example.
pub struct Driver<'p> {
    program: Box<dyn Fn(&StreamingContext) + 'p>,
    settings: Settings,
    config: Config,
    log: Arc<Embedded>,
    storage: MemoryStorage,
    seen: Arc<Seen>,
    reading: Reading,
    now_ms: i64,
    crash: Option<Crash>,
    crashes: usize,
    process: Option<Process>,
}

/// One process.
struct Process {
    turnstile: Arc<Turnstile>,
    thread: JoinHandle<Result>,
    outputs: Vec<Arc<str>>,
}

/// What the engine reported, over all processes.
#[derive(Default)]
struct Seen {
    console: Mutex<Vec<String>>,
    bad_records: Mutex<Vec<String>>,
    batches: Mutex<Vec<BatchReport>>,
}

/// Reports to the turnstile and the driver.
struct ToDriver {
    seen: Arc<Seen>,
    turnstile: Arc<Turnstile>,
}

fn taken<T>(from: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *from.lock().unwrap_or_else(PoisonError::into_inner))
}

fn push<T>(to: &Mutex<Vec<T>>, items: impl IntoIterator<Item = T>) {
    to.lock().unwrap_or_else(PoisonError::into_inner).extend(items);
}

impl<'p> Driver<'p> {
    /// A program with the default [`Settings`], at time 0. Nothing runs before the first batch.
    pub fn new(program: impl Fn(&StreamingContext) + 'p) -> Self {
        Self::with(Settings::default(), program)
    }

    /// A program with other settings. `program` is called at each start of the process.
    pub fn with(settings: Settings, program: impl Fn(&StreamingContext) + 'p) -> Self {
        let mut config = Config::new("app", "memory:");
        config.trigger =
            Trigger::Interval(Duration::from_millis(u64::try_from(settings.interval_ms).unwrap_or(0)));
        config.threads = settings.threads;
        config.state_partitions = settings.state_partitions;
        config.admin_bind = None;
        config.exchange = settings.exchange;
        let stamps = AtomicU64::new(0);
        let steady = move || Duration::from_millis(stamps.fetch_add(1, Ordering::Relaxed));
        Driver {
            program: Box::new(program),
            settings,
            config,
            log: Arc::new(Embedded::in_memory(Time::new(|| table::EPOCH_MS, steady))),
            storage: MemoryStorage::default(),
            seen: Arc::default(),
            reading: Reading::default(),
            now_ms: 0,
            crash: None,
            crashes: 0,
            process: None,
        }
    }

    /// All settings of the application, for those that [`Settings`] does not have; takes effect at the next start
    /// of the process.
    pub fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    /// The log, to create topics or to write and read records by hand.
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    /// The time of the last batch, milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Advances the clock while no process runs: the next batch ends an interval later.
    ///
    /// # Panics
    /// If it is not a later multiple of the interval.
    pub fn set_now_ms(&mut self, now_ms: i64) {
        assert!(now_ms >= self.now_ms && now_ms % self.settings.interval_ms == 0, "{now_ms} ms");
        self.end();
        self.now_ms = now_ms;
    }

    /// Writes `input` and runs the batch an interval after the last one.
    ///
    /// # Errors
    /// See [`Driver::batch_at`].
    pub fn batch(&mut self, input: &str) -> Result<Written> {
        self.batch_at(self.now_ms + self.settings.interval_ms, input)
    }

    /// Runs the batches up to `time_ms`: empty ones at each interval before it, then the one at `time_ms` over
    /// `input`, which may be empty too. Returns what each of them wrote.
    ///
    /// # Errors
    /// If the time is not a later multiple of the interval, a row is malformed, the program has mistakes, or it
    /// fails; the next batch then starts a new process.
    pub fn batch_at(&mut self, time_ms: i64, input: &str) -> Result<Written> {
        let interval = self.settings.interval_ms;
        self.config.validate()?;
        if time_ms <= self.now_ms || time_ms % interval != 0 {
            return Err(Error::Config(format!(
                "a batch at {time_ms} ms: it must be a multiple of the interval ({interval} ms) after the last batch ({} ms)",
                self.now_ms
            )));
        }
        let mut written = Written::default();
        while self.now_ms + interval < time_ms {
            written.batches.push(self.next("")?);
        }
        written.batches.push(self.next(input)?);
        Ok(written)
    }

    /// The process dies at this point of the next batch that commits anything; a new one then continues with the
    /// local state.
    pub fn crash_at(&mut self, crash: Crash) {
        self.crash = Some(crash);
    }

    /// How often the process died where it was asked to.
    #[must_use]
    pub fn crashes(&self) -> usize {
        self.crashes
    }

    /// Ends the process; the next batch starts a new one on the local state.
    pub fn restart(&mut self) {
        self.end();
    }

    /// Ends the process; the next batch starts a new one without local state, which is restored from the changelog.
    pub fn restart_without_state(&mut self) {
        self.end();
        self.storage = MemoryStorage::default();
    }

    /// Ends the process; the next batch starts a different program on its state.
    pub fn restart_as(&mut self, program: impl Fn(&StreamingContext) + 'p) {
        self.end();
        self.program = Box::new(program);
    }

    /// Reports of the batches since the last call.
    #[must_use]
    pub fn take_reports(&self) -> Vec<BatchReport> {
        taken(&self.seen.batches)
    }

    /// Bad records since the last call, as `topic-partition offset: reason`; reported again when their batch is
    /// replayed.
    #[must_use]
    pub fn take_bad_records(&self) -> Vec<String> {
        taken(&self.seen.bad_records)
    }

    /// The committed rows of any topic that were not returned before.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn new_rows(&mut self, topic: &str) -> Result<Vec<String>> {
        self.reading.new_rows(&*self.log, topic)
    }

    fn next(&mut self, input: &str) -> Result<WrittenBatch> {
        let goal = self.now_ms + self.settings.interval_ms;
        let first = self.settings.between != Between::GoesOn && self.now_ms > 0;
        match self.settings.between {
            Between::Restart if first => self.restart(),
            Between::RestartWithoutState if first => self.restart_without_state(),
            Between::CrashBeforeCommit => self.crash = Some(Crash::BeforeCommit),
            Between::CrashAfterCommit => self.crash = Some(Crash::AfterCommit),
            _ => {}
        }
        table::feed(&*self.log, self.settings.input_partitions, input)?;
        let ended = self.run_to(goal);
        if self.settings.between != Between::GoesOn {
            self.crash = None;
        }
        self.now_ms = goal;
        ended?;
        Ok(WrittenBatch { time_ms: goal, rows: self.new_output()? })
    }

    /// Lets the process run up to a time, starting it if there is none.
    fn run_to(&mut self, goal: i64) -> Result {
        let mut now = goal - self.settings.interval_ms;
        loop {
            match &self.process {
                Some(process) => process.turnstile.go_to(goal, self.crash),
                None => self.process = Some(self.start(now, goal)?),
            }
            if self.process.as_ref().is_some_and(|process| process.turnstile.reached()) {
                return Ok(());
            }
            let Some(process) = self.process.take() else { continue };
            let crashed = process.turnstile.has_crashed();
            let result = process.thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            if !crashed {
                return result.and(Err(Error::Killed));
            }
            self.crashes += 1;
            if self.crash.take() == Some(Crash::AfterCommit) {
                now = goal; // the batch of that time is committed
            }
        }
    }

    fn start(&self, now: i64, goal: i64) -> Result<Process> {
        let ssc = StreamingContext::new(self.config.clone());
        (self.program)(&ssc);
        let plan = ssc.topology();
        for topic in plan.sources().flat_map(|(_, source)| &source.topics) {
            table::make_topic(&*self.log, topic, self.settings.input_partitions)?;
        }
        let outputs = plan.sink_topics();
        let turnstile = Arc::new(Turnstile::new(now, goal, self.crash));
        let env = Env {
            log: Arc::new(SimLog::new(self.log.clone(), turnstile.clone())),
            storage: Arc::new(self.storage.clone()),
            clock: turnstile.clone(),
            shutdown: Shutdown::default(),
            observer: Arc::new(ToDriver { seen: self.seen.clone(), turnstile: turnstile.clone() }),
            instance: InstanceId("test".into()),
            incarnation_before: Incarnation(0),
        };
        let (config, ending) = (self.config.clone(), Ending(turnstile.clone()));
        let work = move || {
            let _ending = ending;
            runtime::run(config, plan, env)
        };
        let thread = std::thread::Builder::new().name("tidegate".into()).spawn(work);
        Ok(Process { turnstile, thread: thread.map_err(Error::io("starting the engine's thread"))?, outputs })
    }

    fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.turnstile.kill();
            let _ = process.thread.join(); // it ends with an error, as it was killed
        }
    }

    fn new_output(&mut self) -> Result<Vec<String>> {
        let mut rows = taken(&self.seen.console);
        let dead_letters = format!("{}-dlq", self.config.application_id);
        let outputs = self.process.as_ref().map_or(&[][..], |process| &process.outputs);
        for topic in outputs.iter().map(|t| &**t).chain([&*dead_letters]) {
            rows.extend(self.reading.new_rows(&*self.log, topic)?);
        }
        rows.sort();
        Ok(rows)
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reports that the engine's thread has ended, however it ends.
struct Ending(Arc<Turnstile>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Observer for ToDriver {
    fn on(&self, event: &Observed<'_>) {
        match event {
            Observed::Running { .. } => self.turnstile.set_running(true),
            Observed::Waiting(_) => self.turnstile.set_running(false),
            Observed::Console { rows, rows_max, .. } => {
                let shown = rows.iter().take(*rows_max).map(|row| format!("console | {row}"));
                push(&self.seen.console, shown);
                if rows.len() > *rows_max {
                    push(&self.seen.console, ["console | ...".into()]);
                }
            }
            Observed::BadRecord { at, offset, reason, .. } => {
                push(&self.seen.bad_records, [format!("{at} {offset}: {reason}")]);
            }
            Observed::BadRow { place, reason, .. } => {
                push(&self.seen.bad_records, [format!("{place}: {reason}")]);
            }
            Observed::Batch(report) => push(&self.seen.batches, [(*report).clone()]),
            _ => {}
        }
    }
}
