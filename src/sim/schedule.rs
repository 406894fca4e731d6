//! The scheduler of a world: real threads, of which exactly one runs, and virtual time.
//!
//! A thread that makes a call passes the turn to whichever thread the seed picks; when nobody can run, time jumps
//! to the next moment at which somebody can. Knows no oracle. Invariants: what happens follows from the seed alone;
//! nothing is decided by the operating system's scheduler or clock; a thread that is not a simulated process passes
//! without a turn.

use super::{
    disk::Disk,
    faults::Faults,
    process::{self, Ended, Process},
    random::Random,
    trace::Trace,
};
use crate::{
    error::Result,
    log::{
        GroupSpec, Log,
        embedded::Embedded,
        sim::{Call, Fault, Verdict},
    },
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

/// Whose turn it is when no process runs.
const HARNESS: usize = usize::MAX;
/// How often the harness checks whether the world has come to its end.
const CHECK_US: u64 = 100_000;
/// A process that makes this many calls after its death evidently does not notice that it is dead.
const CALLS_AFTER_DEATH: u32 = 10_000;
/// Faults that can happen at every call.
const ALWAYS: [Fault; 3] = [Fault::Crash, Fault::Pause, Fault::Duplicate];

thread_local! {
    /// The scheduler and the task of this thread, if it belongs to a simulated process.
    static MINE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

pub(super) struct Scheduler {
    state: Mutex<State>,
    now_us: Arc<AtomicU64>,
    turn: AtomicUsize,
    pub log: Arc<Embedded>,
}

pub(super) struct State {
    pub random: Random,
    pub faults: Faults,
    pub processes: Vec<Process>,
    pub trace: Trace,
    pub ended: Vec<Ended>,
    tasks: Vec<Task>,
    threads: Vec<JoinHandle<()>>,
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    next_check_us: u64,
    harness: Thread,
    stopping: bool,
}

/// One incarnation of a process.
struct Task {
    name: String,
    process: usize,
    disk: Arc<Disk>,
    thread: Option<Thread>,
    dead: bool,
    done: bool,
    /// Waits until this time, or until the log's change counter differs from this one.
    blocked: Option<(u64, u64)>,
    paused_until_us: u64,
    member: Option<GroupSpec>,
    calls_after_death: u32,
}

enum Event {
    Start { process: usize, disk: Option<Arc<Disk>> },
    Late { fault: Fault, action: Box<dyn FnOnce() -> bool + Send> },
    Session { group: String, instance: String, member_id: String },
    Script(Box<dyn FnOnce(&dyn Log) + Send>),
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Scheduler {
    pub fn new(
        random: Random,
        faults: Faults,
        log: Arc<Embedded>,
        now_us: Arc<AtomicU64>,
        keep: bool,
    ) -> Arc<Self> {
        let state = State {
            random,
            faults,
            processes: vec![],
            trace: Trace::new(keep),
            ended: vec![],
            tasks: vec![],
            threads: vec![],
            events: BTreeMap::new(),
            events_made: 0,
            next_check_us: 0,
            harness: thread::current(),
            stopping: false,
        };
        Arc::new(Scheduler { state: Mutex::new(state), now_us, turn: AtomicUsize::new(HARNESS), log })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    /// Each reading of a clock advances time a little, so that nobody waits forever for time that stands still.
    pub fn tick(&self) -> Duration {
        Duration::from_micros(self.now_us.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub fn start(&self, process: usize, at: Duration) {
        self.lock().event(us(at), Event::Start { process, disk: None });
    }

    pub fn script(&self, at: Duration, action: Box<dyn FnOnce(&dyn Log) + Send>) {
        self.lock().event(us(at), Event::Script(action));
    }

    pub fn later(&self, after: Duration, fault: Fault, action: Box<dyn FnOnce() -> bool + Send>) {
        let at = us(self.now() + after);
        self.lock().event(at, Event::Late { fault, action });
    }

    /// The harness passes its turn on and gets it back when the next check is due. `false` = nothing will happen
    /// any more.
    pub fn run_until_check(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        state.harness = thread::current();
        if state.tasks.iter().all(|t| t.done) && state.events.is_empty() {
            return false;
        }
        state.next_check_us = us(self.now()) + CHECK_US;
        let next = self.pick(&mut state);
        self.hand_over(state, next);
        self.await_turn(HARNESS);
        true
    }

    /// Ends all processes where they are, and their threads.
    pub fn stop(self: &Arc<Self>) {
        let tasks = {
            let mut state = self.lock();
            (state.stopping, state.harness) = (true, thread::current());
            state.events.clear();
            state.tasks.iter_mut().for_each(|t| t.dead = true);
            state.tasks.len()
        };
        for task in 0..tasks {
            let state = self.lock();
            if !state.tasks[task].done {
                self.hand_over(state, task);
                self.await_turn(HARNESS);
            }
        }
        let threads = std::mem::take(&mut self.lock().threads);
        for thread in threads {
            // A panic was caught and recorded earlier.
            let _ = thread.join();
        }
    }

    /// One call of a process: others may run first, and something may go wrong.
    pub fn step(self: &Arc<Self>, task: usize, call: Call, offers: &[Fault]) -> Verdict {
        let mut state = self.lock();
        if state.tasks[task].dead {
            state.died_long_ago(task);
            return Verdict::Killed;
        }
        if !self.is_mine(task) {
            return Verdict::Go;
        }
        let passes = state.random.below(1500);
        self.now_us.fetch_add(passes, Ordering::Relaxed);
        let mut state = self.others_first(state, task);
        if state.tasks[task].dead {
            return Verdict::Killed;
        }
        let verdict = self.decide(&mut state, task, offers);
        let now = self.now_us.load(Ordering::Relaxed);
        let State { trace, tasks, .. } = &mut *state;
        trace.call(now, &tasks[task].name, call, verdict);
        if verdict == Verdict::Fault(Fault::Pause) {
            let state = self.others_first(state, task);
            return if state.tasks[task].dead { Verdict::Killed } else { Verdict::Go };
        }
        verdict
    }

    /// Waits for a change of the log, for at most `timeout`.
    pub fn block(self: &Arc<Self>, task: usize, timeout: Duration) {
        let mut state = self.lock();
        if state.tasks[task].dead {
            return;
        }
        assert!(self.is_mine(task), "a simulated process must wait on the thread that it was given");
        let until = us(self.now() + timeout);
        state.tasks[task].blocked = Some((until, self.log.changes()));
        drop(self.others_first(state, task));
    }

    /// Waits without watching the log.
    pub fn sleep(self: &Arc<Self>, task: usize, time: Duration) {
        let until = self.now() + time;
        while self.now() < until && self.step(task, Call::Sleep, &[]) != Verdict::Killed {
            assert!(self.is_mine(task), "a simulated process must wait on the thread that it was given");
            let mut state = self.lock();
            state.tasks[task].paused_until_us = us(until);
            drop(self.others_first(state, task));
        }
    }

    pub fn alive(&self, task: usize) -> bool {
        !self.lock().tasks[task].dead
    }

    pub fn kill(&self, task: usize) {
        self.lock().kill(task);
    }

    pub fn joined(&self, task: usize, group: &GroupSpec) {
        self.lock().tasks[task].member = Some(group.clone());
    }

    fn is_mine(&self, task: usize) -> bool {
        MINE.get() == (std::ptr::from_ref(self).addr(), task)
    }

    fn others_first<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        task: usize,
    ) -> MutexGuard<'a, State> {
        let next = self.pick(&mut state);
        if next == task {
            return state;
        }
        self.hand_over(state, next);
        self.await_turn(task);
        self.lock()
    }

    fn hand_over(&self, state: MutexGuard<'_, State>, next: usize) {
        let thread = if next == HARNESS { Some(&state.harness) } else { state.tasks[next].thread.as_ref() };
        let thread = thread.cloned();
        drop(state);
        self.turn.store(next, Ordering::Release);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    fn await_turn(&self, who: usize) {
        while self.turn.load(Ordering::Acquire) != who {
            thread::park();
        }
    }

    /// Decides who runs next; lets time pass until somebody can.
    fn pick(self: &Arc<Self>, state: &mut State) -> usize {
        loop {
            let now = self.now_us.load(Ordering::Relaxed);
            if state.stopping {
                return HARNESS;
            }
            if state.events.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
                if let Some((_, event)) = state.events.pop_first() {
                    self.happen(state, event);
                }
                continue;
            }
            if now >= state.next_check_us {
                return HARNESS;
            }
            let changes = self.log.changes();
            let can_run = |t: &Task| {
                let waits = t.blocked.is_some_and(|(until, seen)| now < until && seen == changes);
                !t.done && (t.dead || (t.paused_until_us <= now && !waits))
            };
            let able: Vec<usize> = (0..state.tasks.len()).filter(|i| can_run(&state.tasks[*i])).collect();
            if !able.is_empty() {
                let choice = state.random.below(able.len() as u64);
                let chosen = able[usize::try_from(choice).expect("an index of a list in memory")];
                state.tasks[chosen].blocked = None;
                return chosen;
            }
            let wakes = |t: &Task| t.blocked.map_or(0, |(until, _)| until).max(t.paused_until_us);
            let tasks = state.tasks.iter().filter(|t| !t.done).map(wakes);
            let event = state.events.first_key_value().map(|((at, _), _)| *at);
            let next = tasks.chain(event).chain([state.next_check_us]).min().unwrap_or(now);
            self.now_us.fetch_max(next, Ordering::Relaxed);
        }
    }

    fn happen(self: &Arc<Self>, state: &mut State, event: Event) {
        let now = self.now_us.load(Ordering::Relaxed);
        match event {
            Event::Start { process, disk } => self.spawn(state, process, disk),
            Event::Late { fault, action } => {
                let effect = action();
                state.trace.late(now, fault, effect);
            }
            Event::Session { group, instance, member_id } => {
                let effect = self.log.expel(&group, &instance, &member_id);
                state.trace.note(now, &format!("session of {member_id} over: {effect}"));
            }
            Event::Script(action) => {
                action(&*self.log);
                state.trace.note(now, "script");
            }
        }
    }

    fn spawn(self: &Arc<Self>, state: &mut State, process: usize, disk: Option<Arc<Disk>>) {
        let task = state.tasks.len();
        let disk = disk.unwrap_or_else(|| state.processes[process].new_disk());
        let incarnation = state.processes[process].begin();
        let name = format!("{}/{incarnation}", state.processes[process].instance);
        state.trace.note(self.now_us.load(Ordering::Relaxed), &format!("{name} starts"));
        state.tasks.push(Task {
            name: name.clone(),
            process,
            disk: disk.clone(),
            thread: None,
            dead: false,
            done: false,
            blocked: None,
            paused_until_us: 0,
            member: None,
            calls_after_death: 0,
        });
        let env = self.environment(task, &state.processes[process], incarnation, disk);
        let body = state.processes[process].body.clone();
        let scheduler = self.clone();
        let run = move || {
            MINE.set((Arc::as_ptr(&scheduler).addr(), task));
            scheduler.await_turn(task);
            let result = if scheduler.alive(task) { process::run(&*body, env) } else { Ok(()) };
            scheduler.finish(task, result);
        };
        let thread = thread::Builder::new().name(name).spawn(run).expect("the system has room for a thread");
        state.tasks[task].thread = Some(thread.thread().clone());
        state.threads.push(thread);
    }

    fn finish(self: &Arc<Self>, task: usize, result: Result<(), String>) {
        let mut state = self.lock();
        let now = self.now_us.load(Ordering::Relaxed);
        state.tasks[task].done = true;
        let Task { name, process, dead, disk, .. } = &state.tasks[task];
        let (name, process, dead, disk) = (name.clone(), *process, *dead, disk.clone());
        if !state.stopping {
            state.trace.note(now, &format!("{name} ends: dead {dead}, {result:?}"));
            let failed = dead || result.is_err();
            let replaced = state.tasks.iter().any(|t| t.process == process && !t.done);
            if failed && !replaced && state.processes[process].restart {
                let short = state.random.below(2) == 0;
                let delay = state.random.below(if short { 2_000_000 } else { 20_000_000 });
                state.event(now + delay, Event::Start { process, disk: Some(disk) });
            }
        }
        let panicked = result.as_ref().is_err_and(|e| e.starts_with(process::PANICKED));
        if !dead || panicked {
            state.ended.push(Ended { name, result });
        }
        let next = self.pick(&mut state);
        self.hand_over(state, next);
    }

    fn decide(&self, state: &mut State, task: usize, offers: &[Fault]) -> Verdict {
        let now = self.now();
        if now >= state.faults.calm_after {
            return Verdict::Go;
        }
        let State { random, faults, .. } = state;
        let Some(fault) = faults.choose(random, ALWAYS.into_iter().chain(offers.iter().copied())) else {
            return Verdict::Go;
        };
        match fault {
            Fault::Crash => state.kill(task),
            Fault::Pause => self.pause(state, task),
            Fault::Duplicate => {
                let process = state.tasks[task].process;
                if state.tasks.iter().filter(|t| t.process == process && !t.done).count() > 1 {
                    return Verdict::Go;
                }
                let at = us(now) + state.random.below(2_000_000);
                state.event(at, Event::Start { process, disk: None });
            }
            _ => {}
        }
        state.trace.fired(fault);
        match fault {
            Fault::Crash => Verdict::Killed,
            Fault::Duplicate => Verdict::Go,
            fault => Verdict::Fault(fault),
        }
    }

    fn pause(&self, state: &mut State, task: usize) {
        let now = us(self.now());
        let length = 100_000 + state.random.below(40_000_000);
        state.tasks[task].paused_until_us = now + length;
        let Some(member) = state.tasks[task].member.clone() else { return };
        let session = us(member.session_timeout);
        let Some(member_id) = self.log.holder(&member.group, &member.instance).filter(|_| length > session)
        else {
            return;
        };
        let GroupSpec { group, instance, .. } = member;
        state.event(now + session, Event::Session { group, instance, member_id });
    }
}

impl State {
    fn event(&mut self, at_us: u64, event: Event) {
        self.events_made += 1;
        self.events.insert((at_us, self.events_made), event);
    }

    fn kill(&mut self, task: usize) {
        if std::mem::replace(&mut self.tasks[task].dead, true) {
            return;
        }
        let disk = self.tasks[task].disk.clone();
        let (lost, behind) = (self.faults.rate(Fault::DiskLost), self.faults.rate(Fault::DiskBehind));
        if self.random.in_a_million(lost) {
            disk.lose();
            self.trace.fired(Fault::DiskLost);
        } else if self.random.in_a_million(behind) {
            let batches = usize::try_from(1 + self.random.below(3)).expect("a small number");
            disk.fall_back(batches).expect("a storage in memory accepts again what it accepted before");
            self.trace.fired(Fault::DiskBehind);
        }
    }

    fn died_long_ago(&mut self, task: usize) {
        self.tasks[task].calls_after_death += 1;
        let (calls, name) = (self.tasks[task].calls_after_death, &self.tasks[task].name);
        assert!(calls < CALLS_AFTER_DEATH, "{name} keeps running after it was killed");
    }
}
