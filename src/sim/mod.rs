//! Simulated worlds: several processes, one log, virtual time, and a seed that decides who runs and what goes wrong.
//!
//! A world is a pure function of its seed, its faults and its processes: two runs agree in every call. The log is
//! the embedded one in memory, with the markers of Kafka's transactions. Each process has a wall clock of its own.
//! Knows nothing of what the processes compute; the caller supplies them, and the oracle. Processes must be
//! single-threaded as far as they use what they are given.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tidegate::sim::{Faults, World};
//! # use tidegate::{Result, record::Partition, state::{Opened, Storage}};
//! # struct NoDisk;
//! # impl Storage for NoDisk {
//! #     fn open(&self, _: Partition, _: &[String]) -> Result<Opened> { unreachable!() }
//! #     fn quarantine(&self, _: Partition, _: &str) -> Result { Ok(()) }
//! # }
//! let mut world = World::new(7, Faults::none(), || Arc::new(NoDisk));
//! world.process("a", true, |env| {
//!     env.clock.sleep(Duration::from_secs(3600));
//!     Ok(())
//! });
//! let outcome = world.run(Duration::from_secs(7200), |world| world.ended().len() == 1);
//! assert!(outcome.finished);
//! ```

mod disk;
mod faults;
mod process;
mod random;
mod schedule;
mod trace;
mod view;

pub use crate::log::sim::{Call, Fault};
pub use faults::Faults;
pub use process::{Ended, ProcessEnv};
pub use random::Random;

use crate::{
    error::Result,
    log::{
        Log,
        embedded::{Embedded, Time},
    },
    state::Storage,
};
use disk::MakeStorage;
use process::Process;
use schedule::Scheduler;
use std::{
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// One world. All calls to it are made by one thread; between them the processes do not run.
pub struct World {
    scheduler: Arc<Scheduler>,
    log: Arc<Embedded>,
    make: MakeStorage,
    stopped: bool,
}

/// How a world ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the awaited condition came true in time.
    pub finished: bool,
    /// Virtual time since the start.
    pub time: Duration,
    /// Calls that processes made.
    pub calls: u64,
    /// Equal for two runs of one seed.
    pub trace_hash: u64,
    /// How often each fault fired.
    pub fired: BTreeMap<Fault, u64>,
    /// Incarnations that ended by themselves: returned, failed or panicked.
    pub ended: Vec<Ended>,
    /// Every call in order, if requested.
    pub trace: Vec<String>,
}

impl World {
    /// A world for a seed; `storage` creates the (empty) content of each process's disk.
    pub fn new(
        seed: u64,
        faults: Faults,
        storage: impl Fn() -> Arc<dyn Storage> + Send + Sync + 'static,
    ) -> Self {
        Self::build(seed, faults, Arc::new(storage), false)
    }

    /// The same, keeping the text of the trace: to inspect one seed.
    pub fn traced(
        seed: u64,
        faults: Faults,
        storage: impl Fn() -> Arc<dyn Storage> + Send + Sync + 'static,
    ) -> Self {
        Self::build(seed, faults, Arc::new(storage), true)
    }

    fn build(seed: u64, faults: Faults, make: MakeStorage, keep: bool) -> Self {
        let now_us = Arc::new(AtomicU64::new(0));
        let (wall, steady) = (now_us.clone(), now_us.clone());
        let since = |us: &AtomicU64| Duration::from_micros(us.load(Ordering::Relaxed));
        let now_ms =
            move || process::EPOCH_MS + i64::try_from(since(&wall).as_millis()).expect("worlds are short");
        let log = Arc::new(Embedded::in_memory(Time::new(now_ms, move || since(&steady))));
        log.write_markers();
        let mut random = Random::new(seed);
        let faults = faults.draw(&mut random);
        let scheduler = Scheduler::new(random, faults, log.clone(), now_us, keep);
        World { scheduler, log, make, stopped: false }
    }

    /// The log as the harness sees it: without faults, for creating topics, writing input and reading what was
    /// committed. Nothing waits: a reader at the end of the committed records returns nothing at once.
    pub fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    /// Adds a process that starts at once; `restart` = start it again after a while if it was killed or failed.
    /// `body` is called once for each incarnation.
    pub fn process(
        &mut self,
        instance: &str,
        restart: bool,
        body: impl Fn(ProcessEnv) -> Result + Send + Sync + 'static,
    ) {
        self.process_at(Duration::ZERO, instance, restart, body);
    }

    /// The same, starting later.
    pub fn process_at(
        &mut self,
        start: Duration,
        instance: &str,
        restart: bool,
        body: impl Fn(ProcessEnv) -> Result + Send + Sync + 'static,
    ) {
        let process = Process::new(instance, restart, Arc::new(body), self.make.clone());
        let index = {
            let mut state = self.scheduler.lock();
            state.processes.push(process);
            state.processes.len() - 1
        };
        self.scheduler.start(index, start);
    }

    /// Does something at a given time, as if from outside: writes input, adds partitions.
    pub fn at(&mut self, time: Duration, action: impl FnOnce(&dyn Log) + Send + 'static) {
        self.scheduler.script(time, Box::new(action));
    }

    /// Gives a topic more partitions at a given time.
    ///
    /// # Panics
    /// At that time, if the topic does not exist.
    pub fn add_partitions(&mut self, time: Duration, topic: &str, partitions: u32) {
        let (log, topic) = (self.log.clone(), topic.to_owned());
        self.at(time, move |_| log.add_partitions(&topic, partitions).expect("the topic exists"));
    }

    /// From a given time on, the wall clock of a process is ahead by so much, or behind; it jumps there.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn set_clock(&mut self, time: Duration, instance: &str, ahead_ms: i64) {
        let offset_ms = {
            let state = self.scheduler.lock();
            let process = state.processes.iter().find(|process| process.instance == instance);
            process.expect("a process of this name was added").clock_offset_ms.clone()
        };
        self.at(time, move |_| offset_ms.store(ahead_ms, Ordering::Relaxed));
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.scheduler.now()
    }

    /// Incarnations that have ended by themselves so far.
    pub fn ended(&self) -> Vec<Ended> {
        self.scheduler.lock().ended.clone()
    }

    /// Runs until `done` returns true (checked every 100 ms of virtual time), or `limit` of virtual time is over,
    /// or nothing can happen any more; then ends all processes where they are.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> Outcome {
        let finished = loop {
            let goes_on = self.scheduler.run_until_check();
            if done(self) {
                break true;
            }
            if !goes_on || self.now() >= limit {
                break false;
            }
        };
        let time = self.now();
        self.stop();
        let mut state = self.scheduler.lock();
        Outcome {
            finished,
            time,
            calls: state.trace.calls,
            trace_hash: state.trace.digest(),
            fired: state.trace.fired.clone(),
            ended: state.ended.clone(),
            trace: std::mem::take(&mut state.trace.lines),
        }
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.scheduler.stop();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Checks many seeds on `threads` threads; returns the seeds that failed (or panicked) with their messages, in
/// order.
pub fn sweep(
    seeds: Range<u64>,
    threads: usize,
    check: impl Fn(u64) -> Result<(), String> + Sync,
) -> BTreeMap<u64, String> {
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let checked = catch_unwind(AssertUnwindSafe(|| check(seed)));
        if let Err(what) = checked.unwrap_or_else(|_| Err("the check panicked".into())) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, what);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
