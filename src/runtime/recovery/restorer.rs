//! Restores on threads of their own, beside the loop.
//!
//! Owns the jobs, the threads, and what a job does when the changelog cannot be read. Knows no group. Invariants: the job with the fewest
//! offsets left goes first; so many run at a time as there are threads, which are at most half of the workers; whoever is cancelled keeps
//! what is in its database, with how far that goes; a partition has one job at a time. Without threads a job takes a short step whenever
//! the loop looks, which is how the simulator gets a single order.

use super::{
    replay::Step,
    restore::{Contradiction, Restore},
};
use crate::{
    error::{Error, Result, listed},
    log::Log,
    record::{Partition, TopicPartition},
    runtime::{
        app::App,
        batch::state_partition::Recovered,
        clock::Clock,
        events::{Observed, Restoring},
    },
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// A job that finds nothing to read leaves its thread to another one for so long.
const SILENCE: Duration = Duration::from_millis(50);
/// After a failure to read, a job waits so long, and longer after each more; at most the other.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long the end of a program waits for the threads.
const FAREWELL: Duration = Duration::from_secs(5);
/// What a thread does before it looks around.
const ON_THREAD: Step = Step { time: Duration::from_millis(200), wait: Duration::from_millis(100) };
/// What the loop does where there are no threads.
const IN_LOOP: Step = Step { time: Duration::ZERO, wait: Duration::ZERO };

/// The restores of a process.
pub struct Restorer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    /// The topic whose partitions name those of the state.
    exchange: Arc<str>,
    /// When progress was last reported, and of how many restores.
    reported: (Duration, usize),
}

/// How a job has ended.
pub enum Ended {
    /// The database is up to date.
    Ready(Box<Recovered>),
    /// It contradicts what the group says.
    Contradicts(Contradiction),
}

struct Shared {
    jobs: Mutex<Jobs>,
    changed: Condvar,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Jobs {
    /// Jobs that no thread works on.
    idle: Vec<Job>,
    /// All jobs that have not ended: how far they are.
    progress: BTreeMap<Partition, Restoring>,
    /// Jobs that a thread works on, and whether they are cancelled.
    running: BTreeMap<Partition, bool>,
    /// Jobs that have ended, until the loop takes them; the panic of one is the loop's.
    ended: Vec<std::thread::Result<Result<Restore>>>,
    is_stopped: bool,
}

struct Job {
    restore: Restore,
    /// Not to be taken before this time, on the monotonic clock.
    not_before: Duration,
    failures: u32,
}

impl Restorer {
    /// Nothing is restored yet.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let shared = Shared {
            jobs: Mutex::default(),
            changed: Condvar::new(),
            log: app.env.log.clone(),
            clock: app.env.clock.clone(),
        };
        let threads_max = app.config.threads.div_ceil(2);
        Restorer {
            shared: Arc::new(shared),
            threads: vec![],
            threads_max,
            exchange: app.names.exchange.clone(),
            reported: (Duration::ZERO, 0),
        }
    }

    /// How many jobs run at a time.
    #[must_use]
    pub fn width(&self) -> usize {
        self.threads_max.max(1)
    }

    /// Begins these restores.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn add(&mut self, restores: Vec<Restore>) -> Result {
        while self.threads.len() < self.threads_max.min(restores.len()) {
            let (shared, name) = (self.shared.clone(), format!("restore-{}", self.threads.len()));
            let thread = std::thread::Builder::new().name(name.clone());
            let thread =
                thread.spawn(move || shared.work()).map_err(Error::io(format!("starting {name}")))?;
            self.threads.push(thread);
        }
        let mut jobs = self.shared.jobs();
        for restore in restores {
            let progress = restore.progress(&*self.shared.clock);
            jobs.progress.insert(progress.partition, progress);
            jobs.idle.push(Job { restore, not_before: Duration::ZERO, failures: 0 });
        }
        drop(jobs);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Ends the restores of these partitions; what is in their databases is kept, with how far it goes.
    pub fn cancel(&mut self, at: &[TopicPartition]) {
        let of = self.states(at);
        self.cancel_those(|partition| of.contains(&partition));
    }

    /// Ends all restores.
    pub fn cancel_all(&mut self) {
        self.cancel_those(|_| true);
    }

    /// The state partitions among these.
    fn states(&self, at: &[TopicPartition]) -> Vec<Partition> {
        at.iter().filter(|at| at.topic == self.exchange).map(|at| at.partition).collect()
    }

    fn cancel_those(&mut self, is_one: impl Fn(Partition) -> bool) {
        let mut jobs = self.shared.jobs();
        let of = |restore: &Restore| restore.at().partition;
        jobs.idle.retain(|job| !is_one(of(&job.restore)));
        jobs.ended.retain(|ended| !matches!(ended, Ok(Ok(restore)) if is_one(of(restore))));
        jobs.running.iter_mut().for_each(|(partition, is_cancelled)| *is_cancelled |= is_one(*partition));
        let given_up: Vec<String> =
            jobs.progress.keys().filter(|partition| is_one(**partition)).map(ToString::to_string).collect();
        jobs.progress.retain(|partition, _| !is_one(*partition));
        if !given_up.is_empty() && !jobs.is_stopped {
            let which = listed(&given_up);
            tracing::info!(
                "the restore of state partition {which} is given up; what it has restored is kept"
            );
        }
    }

    /// Whether no job uses the databases of these partitions: one that was cancelled may still be in the middle of a step.
    #[must_use]
    pub fn is_free(&self, at: &[TopicPartition]) -> bool {
        let jobs = self.shared.jobs();
        !self.states(at).iter().any(|partition| jobs.running.contains_key(partition))
    }

    /// Whether anything is being restored.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.shared.jobs().progress.is_empty()
    }

    /// What has ended since the last call; where there are no threads, after a step.
    ///
    /// # Errors
    /// Why a job cannot go on.
    ///
    /// # Panics
    /// If a job did: a bug of the engine.
    pub fn take_ended(&mut self, app: &App) -> Result<Vec<Ended>> {
        if self.threads_max == 0 {
            self.shared.step(IN_LOOP);
        }
        let ended = std::mem::take(&mut self.shared.jobs().ended);
        let mut taken = vec![];
        for ended in ended {
            let restore = ended.unwrap_or_else(|panic| resume_unwind(panic))?;
            taken.push(if let Some(contradiction) = restore.contradiction() {
                Ended::Contradicts(contradiction)
            } else {
                app.observe(&Observed::Restored(&restore.progress(&*self.shared.clock)));
                Ended::Ready(Box::new(restore.into_recovered()))
            });
        }
        Ok(taken)
    }

    /// Reports how far all are, once a second, and whenever there are more or fewer; `awaited`: how many are ready, of how many that the
    /// loop waits for.
    pub fn report(&mut self, app: &App, awaited: Option<(usize, usize)>) {
        let ((at, count), jobs) = (self.reported, self.shared.jobs());
        let is_due = !jobs.progress.is_empty() && app.since(at) >= REPORT_EVERY;
        if is_due || jobs.progress.len() != count {
            let restores: Vec<Restoring> = jobs.progress.values().cloned().collect();
            drop(jobs);
            self.reported = (app.now(), restores.len());
            app.observe(&Observed::Restores { restores: &restores, awaited });
        }
    }

    /// Ends all restores and the threads, for good.
    pub fn stop(mut self) {
        self.shared.jobs().is_stopped = true;
        self.cancel_all();
        self.shared.changed.notify_all();
        let clock = &self.shared.clock;
        let until = clock.monotonic() + FAREWELL;
        let mut threads = std::mem::take(&mut self.threads);
        while threads.iter().any(|thread| !thread.is_finished()) && clock.monotonic() < until {
            clock.sleep(Duration::from_millis(5));
        }
        threads.retain(|thread| !thread.is_finished());
        if !threads.is_empty() {
            tracing::warn!("{} restores did not end in time; they are left alone", threads.len());
        }
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until it is told to stop.
    fn work(&self) {
        while !self.jobs().is_stopped {
            if !self.step(ON_THREAD) {
                let jobs = self.jobs();
                let has_jobs = !jobs.idle.is_empty();
                if has_jobs {
                    drop(self.changed.wait_timeout(jobs, SILENCE));
                } else if !jobs.is_stopped {
                    drop(self.changed.wait(jobs));
                }
            }
        }
    }

    /// Takes one job a step further. `false` = there is none that can be taken now.
    fn step(&self, step: Step) -> bool {
        let now = self.clock.monotonic();
        let mut jobs = self.jobs();
        let can = jobs.idle.iter().enumerate().filter(|(_, job)| job.not_before <= now);
        let first = can.min_by_key(|(_, job)| (!job.restore.may_be_refused(), job.restore.left()));
        let Some((index, _)) = first else { return false };
        let mut job = jobs.idle.swap_remove(index);
        let partition = job.restore.at().partition;
        jobs.running.insert(partition, false);
        drop(jobs);

        let result = catch_unwind(AssertUnwindSafe(|| self.advance(&mut job, step)));
        let progress = job.restore.progress(&*self.clock);

        let mut jobs = self.jobs();
        if jobs.running.get(&partition) == Some(&true) {
            drop(jobs);
            drop(job); // closes its database
            self.jobs().running.remove(&partition);
            return true;
        }
        jobs.running.remove(&partition);
        let ended = match result {
            Ok(Ok(false)) => {
                jobs.progress.insert(partition, progress);
                jobs.idle.push(job);
                return true;
            }
            Ok(Ok(true)) => Ok(Ok(job.restore)),
            Ok(Err(e)) => Ok(Err(e)),
            Err(panic) => Err(panic),
        };
        jobs.progress.remove(&partition);
        jobs.ended.push(ended);
        true
    }

    /// Whether the job has ended.
    fn advance(&self, job: &mut Job, step: Step) -> Result<bool> {
        match job.restore.step(&*self.log, &*self.clock, step) {
            Ok(has_moved) => {
                job.failures = 0;
                if !has_moved {
                    job.not_before = self.clock.monotonic() + SILENCE;
                }
            }
            Err(Error::Log(f)) if f.reaction.may_pass() => {
                let pause = (PAUSE_MIN * (1 << job.failures.min(8))).min(PAUSE_MAX);
                job.failures += 1;
                job.not_before = self.clock.monotonic() + pause;
                if job.failures.is_power_of_two() {
                    let partition = job.restore.at().partition;
                    tracing::warn!(
                        retry_in_ms = pause.as_millis(),
                        "the restore of state partition {partition} waits: {f}"
                    );
                }
            }
            Err(e) => return Err(e),
        }
        Ok(job.restore.is_done() || crate::failpoint::passes("mutant-taken-up-early"))
    }
}
