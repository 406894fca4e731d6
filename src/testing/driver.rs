//! The driver: the processes of a program, stepped from batch to batch, ended and restarted.
//!
//! Owns the log, the local state and the engines' threads. Knows nothing of the form of tables. Invariants: between
//! two calls the engines are held with nothing in flight; a batch that was cut off runs again at the same time; several processes
//! share all the work from the first batch on.

use super::{
    Between, Settings, Written, WrittenBatch,
    table::{self, Reading},
    turnstile::{Crash, Place, Rest, Turnstile},
};
use crate::{
    config::{Config, ExchangeThrough, Trigger},
    context::StreamingContext,
    error::{Error, Result},
    log::{
        Log,
        embedded::{Embedded, Time},
        sim::SimLog,
    },
    operator::Printed,
    plan::Topology,
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
    /// Of each process.
    storages: Vec<MemoryStorage>,
    seen: Arc<Seen>,
    reading: Reading,
    now_ms: i64,
    crash: Option<Crash>,
    crashes: usize,
    running: Option<Running>,
}

/// The processes, once they have started.
struct Running {
    turnstile: Arc<Turnstile>,
    processes: Vec<Process>,
    outputs: Vec<Arc<str>>,
}

impl Running {
    fn kill(&self) {
        self.turnstile.kill_all();
    }

    fn end(self) {
        self.kill();
        for process in self.processes {
            let _ = process.thread.join(); // it ends with an error, as it was killed
        }
    }
}

/// One process.
struct Process {
    place: Arc<Place>,
    thread: JoinHandle<Result>,
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
    place: Arc<Place>,
    exchange: Arc<str>,
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
        config.exchange = if settings.processes > 1 { ExchangeThrough::Shared } else { settings.exchange };
        config.shared_files = true; // all on one machine
        let stamps = AtomicU64::new(0);
        let steady = move || Duration::from_millis(stamps.fetch_add(1, Ordering::Relaxed));
        Driver {
            program: Box::new(program),
            settings,
            config,
            log: Arc::new(Embedded::in_memory(Time::new(|| table::EPOCH_MS, steady))),
            storages: vec![MemoryStorage::default(); settings.processes.max(1)],
            seen: Arc::default(),
            reading: Reading::default(),
            now_ms: 0,
            crash: None,
            crashes: 0,
            running: None,
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
        self.storages.iter_mut().for_each(|storage| *storage = MemoryStorage::default());
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

    /// Lets the processes run up to a time, starting them if there are none.
    fn run_to(&mut self, goal: i64) -> Result {
        let mut now = goal - self.settings.interval_ms;
        let mut running = match self.running.take() {
            Some(running) => {
                running.turnstile.go_to(goal, self.crash);
                running
            }
            None => self.start_all(now, goal)?,
        };
        loop {
            let Rest::Ended(index) = running.turnstile.rest() else {
                self.running = Some(running);
                return Ok(());
            };
            let process = running.processes.remove(index);
            let crashed = process.place.has_crashed();
            let result = process.thread.join().unwrap_or_else(|panic| {
                running.kill();
                resume_unwind(panic)
            });
            if !crashed {
                running.end();
                return result.and(Err(Error::Killed));
            }
            self.crashes += 1;
            if self.crash.take() == Some(Crash::AfterCommit) {
                now = goal; // the batch of that time is committed
            }
            let place = running.turnstile.enter_again(index, now);
            running.processes.insert(index, self.start(place, self.plan())?);
        }
    }

    /// Whether several processes would share the program.
    pub(super) fn may_be_shared(&self) -> bool {
        let config = Config { exchange: ExchangeThrough::Shared, ..self.config.clone() };
        runtime::is_shared(&config, &self.plan().computed())
    }

    fn plan(&self) -> Topology {
        let ssc = StreamingContext::new(self.config.clone());
        (self.program)(&ssc);
        ssc.topology()
    }

    fn start_all(&self, now: i64, goal: i64) -> Result<Running> {
        let (plan, count) = (self.plan(), self.settings.processes.max(1));
        if count > 1 {
            self.check_shared(&plan)?;
        }
        for topic in plan.sources().flat_map(|(_, source)| &source.topics) {
            table::make_topic(&*self.log, topic, self.settings.input_partitions)?;
        }
        let outputs = plan.sink_topics();
        let plans: Vec<Topology> = std::iter::once(plan).chain((1..count).map(|_| self.plan())).collect();
        let turnstile = Arc::new(Turnstile::new(self.log.clone(), self.config.state_partitions));
        turnstile.go_to(goal, self.crash);
        let places: Vec<_> = (0..count).map(|_| turnstile.enter(now)).collect();
        let mut running = Running { turnstile, processes: vec![], outputs };
        for (place, plan) in places.into_iter().zip(plans) {
            running.processes.push(self.start(place, plan)?);
        }
        Ok(running)
    }

    /// Whether several processes may run it.
    fn check_shared(&self, plan: &Topology) -> Result {
        let (processes, states) = (self.settings.processes, self.config.state_partitions);
        if processes > states as usize {
            return Err(Error::Config(format!(
                "{processes} processes have only {states} state partitions to share\n  next: set `state_partitions` to {processes} or more"
            )));
        }
        if runtime::is_shared(&self.config, &plan.clone().computed()) {
            return Ok(());
        }
        Err(Error::Config(
            "several processes do not share this program: it has no state, or something that one process does by itself, such as a queue as its source\n  next: run it with `processes: 1`".into(),
        ))
    }

    fn start(&self, place: Arc<Place>, plan: Topology) -> Result<Process> {
        plan.prepare()?;
        let index = place.index();
        let name = if self.settings.processes > 1 { format!("test-{index}") } else { "test".into() };
        let exchange = format!("{}-exchange", self.config.application_id).into();
        let observer = ToDriver { seen: self.seen.clone(), place: place.clone(), exchange };
        let env = Env {
            log: Arc::new(SimLog::new(self.log.clone(), place.clone())),
            storage: Arc::new(self.storages[index].clone()),
            clock: place.clone(),
            shutdown: Shutdown::default(),
            observer: Arc::new(observer),
            instance: InstanceId(name.as_str().into()),
            incarnation_before: Incarnation(0),
        };
        let (config, ending) = (self.config.clone(), Ending(place.clone()));
        let work = move || {
            let _ending = ending;
            runtime::run(config, plan, env)
        };
        let thread = std::thread::Builder::new().name("tidegate".into()).spawn(work);
        Ok(Process { place, thread: thread.map_err(Error::io("starting the engine's thread"))? })
    }

    fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }

    fn new_output(&mut self) -> Result<Vec<String>> {
        let mut rows = taken(&self.seen.console);
        let dead_letters = format!("{}-dlq", self.config.application_id);
        let outputs = self.running.as_ref().map_or(&[][..], |running| &running.outputs);
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
struct Ending(Arc<Place>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Observer for ToDriver {
    fn on(&self, event: &Observed<'_>) {
        match event {
            Observed::Running { owned } => {
                self.place.is_running(owned.iter().filter(|at| at.topic == self.exchange).count());
            }
            Observed::Restores { restores, .. } => self.place.is_restoring(restores.len()),
            Observed::Waiting(_) => self.place.is_waiting(),
            Observed::Console { printed: Printed { rows, rows_max, .. }, .. } => {
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
