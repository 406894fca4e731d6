//! Lets the engines of an application run up to a time and no further: the clocks of a test, and the place where a process dies.
//!
//! Sits behind the simulated log as the fate of processes without faults. Knows no batch and no table. Invariants: time stands still
//! while there is input; once all engines wait for more, and none has written what another one has not looked at, time jumps to the goal
//! and they are held there; no process takes up work before all have joined the group, so each is given its partitions once; a dead
//! process has no effect.

use crate::{
    log::{
        GroupSpec,
        embedded::Embedded,
        sim::{Call, Fate, Fault, Verdict},
    },
    runtime::clock::Clock,
};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Where a process of a test dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Everything is computed and sent, nothing is committed: the batch is run again.
    BeforeCommit,
    /// The batch is committed, but the local state does not have it yet. Console rows are lost.
    AfterCommit,
}

/// What engines and driver share.
pub(super) struct Turnstile {
    log: Arc<Embedded>,
    /// Number of state partitions, which the processes have between them.
    state_partitions: usize,
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    goal_ms: i64,
    seats: Vec<Seat>,
    crash: Option<Crash>,
}

/// What is known of one process.
struct Seat {
    now_ms: i64,
    /// Grows with each wait, so that nothing waits forever in the log.
    elapsed: Duration,
    last_call: Call,
    phase: Phase,
    has_joined: bool,
    /// How many state partitions it has.
    states: usize,
    /// How many restores are under way beside it: it has something to do then, also while it waits.
    restores: usize,
    /// How much had happened in the log when it last waited: what came before it has looked at.
    seen: Option<u64>,
    /// It waits, and knows nothing that it could do.
    is_quiet: bool,
    is_dead: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for partitions.
    Starting,
    /// Partitions are owned: a wait is a wait for input.
    Running,
    /// At the goal, with nothing in flight.
    Held,
    /// The engine's thread has ended.
    Ended,
}

/// How the engines have come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// All are held at the goal.
    AtTheGoal,
    /// This one has ended.
    Ended(usize),
}

impl Turnstile {
    /// For the processes of an application that has so many state partitions; none has started.
    pub fn new(log: Arc<Embedded>, state_partitions: u32) -> Self {
        let state = State { goal_ms: 0, seats: vec![], crash: None };
        let state_partitions = state_partitions as usize;
        Turnstile { log, state_partitions, state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a process whose clock stands at `now_ms`.
    pub fn enter(self: &Arc<Self>, now_ms: i64) -> Arc<Place> {
        let mut state = self.state();
        state.seats.push(Seat::new(now_ms));
        Arc::new(Place { turnstile: self.clone(), index: state.seats.len() - 1 })
    }

    /// The place of a process that has ended, for the next one.
    pub fn enter_again(self: &Arc<Self>, index: usize, now_ms: i64) -> Arc<Place> {
        self.state().seats[index] = Seat::new(now_ms);
        Arc::new(Place { turnstile: self.clone(), index })
    }

    /// Lets the engines run on to a time, where one may die at `crash`.
    pub fn go_to(&self, goal_ms: i64, crash: Option<Crash>) {
        let mut state = self.state();
        (state.goal_ms, state.crash) = (goal_ms, crash);
        for seat in state.seats.iter_mut().filter(|seat| seat.phase == Phase::Held) {
            (seat.phase, seat.is_quiet) = (Phase::Running, false);
        }
        self.moved.notify_all();
    }

    /// Waits until all engines are held at their goal or one has ended.
    pub fn rest(&self) -> Rest {
        let mut state = self.state();
        loop {
            if let Some(index) = state.seats.iter().position(|seat| seat.phase == Phase::Ended) {
                return Rest::Ended(index);
            }
            if state.seats.iter().all(|seat| seat.phase == Phase::Held) {
                return Rest::AtTheGoal;
            }
            state = self.wait(state);
        }
    }

    /// All processes die where they are.
    pub fn kill_all(&self) {
        self.state().seats.iter_mut().for_each(|seat| seat.is_dead = true);
        self.moved.notify_all();
    }
}

impl Seat {
    fn new(now_ms: i64) -> Self {
        Seat {
            now_ms,
            elapsed: Duration::ZERO,
            last_call: Call::Describe,
            phase: Phase::Starting,
            has_joined: false,
            states: 0,
            restores: 0,
            seen: None,
            is_quiet: false,
            is_dead: false,
        }
    }
}

impl State {
    /// Whether nothing happens any more before time goes on.
    fn is_at_rest(&self, changes: u64, state_partitions: usize) -> bool {
        let is_quiet =
            |seat: &Seat| seat.phase == Phase::Running && seat.is_quiet && seat.seen == Some(changes);
        let states: usize = self.seats.iter().map(|seat| seat.states).sum();
        self.seats.iter().all(is_quiet) && (self.seats.len() == 1 || states == state_partitions)
    }

    /// Time goes on for those that have not reached the goal; if all have, they are held.
    fn go_on(&mut self) {
        let goal_ms = self.goal_ms;
        let mut behind = self.seats.iter_mut().filter(|seat| seat.now_ms < goal_ms).peekable();
        if behind.peek().is_some() {
            behind.for_each(|seat| (seat.now_ms, seat.is_quiet) = (goal_ms, false));
        } else {
            self.seats.iter_mut().for_each(|seat| seat.phase = Phase::Held);
        }
    }
}

/// The turnstile as one process sees it.
pub(super) struct Place {
    turnstile: Arc<Turnstile>,
    index: usize,
}

impl Place {
    /// Which of the processes it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether its process died where it was asked to.
    pub fn has_crashed(&self) -> bool {
        self.with(|seat| seat.is_dead)
    }

    /// The engine has its partitions, so many of them of the state.
    pub fn is_running(&self, states: usize) {
        self.with(|seat| (seat.phase, seat.states) = (Phase::Running, states));
    }

    /// So many of its state partitions are being restored.
    pub fn is_restoring(&self, restores: usize) {
        self.with(|seat| seat.restores = restores);
    }

    /// The engine waits for partitions.
    pub fn is_waiting(&self) {
        self.with(|seat| seat.phase = Phase::Starting);
    }

    /// The engine's thread has ended.
    pub fn end(&self) {
        self.with(|seat| seat.phase = Phase::Ended);
        self.turnstile.moved.notify_all();
    }

    fn with<R>(&self, act: impl FnOnce(&mut Seat) -> R) -> R {
        act(&mut self.turnstile.state().seats[self.index])
    }

    /// Waits for the others: until there is something to look at, time has gone on, or the process is dead.
    fn wait_quietly(&self, mut state: MutexGuard<'_, State>, changes: u64) {
        let turnstile = &*self.turnstile;
        state.seats[self.index].is_quiet = true;
        if state.is_at_rest(changes, turnstile.state_partitions) {
            state.go_on();
            turnstile.moved.notify_all();
        }
        loop {
            let seat = &state.seats[self.index];
            let has_news = seat.phase == Phase::Running && turnstile.log.changes() != changes;
            if !seat.is_quiet || seat.is_dead || has_news {
                break;
            }
            state = turnstile.wait(state);
        }
        state.seats[self.index].is_quiet = false;
    }
}

impl Fate for Place {
    fn step(&self, call: Call, offers: &[Fault]) -> Verdict {
        let mut state = self.turnstile.state();
        let goal_ms = state.goal_ms;
        // What the call before did may concern those that wait.
        if state.seats.iter().any(|seat| seat.is_quiet) {
            let changes = self.turnstile.log.changes();
            if state.seats.iter().any(|seat| seat.is_quiet && seat.seen != Some(changes)) {
                self.turnstile.moved.notify_all();
            }
        }
        let crash = state.crash;
        let seat = &mut state.seats[self.index];
        seat.last_call = call;
        if seat.is_dead {
            return Verdict::Killed;
        }
        match (crash, call) {
            (Some(Crash::BeforeCommit), Call::AddOffsets) => {
                seat.is_dead = true;
                state.crash = None;
                Verdict::Killed
            }
            // Before it runs, a process commits the claim of its name; before the batch of the goal, instants of windows
            // that it passed over.
            (Some(Crash::AfterCommit), Call::Commit)
                if seat.phase == Phase::Running
                    && seat.now_ms >= goal_ms
                    && offers.contains(&Fault::CrashAfter) =>
            {
                state.crash = None;
                Verdict::Fault(Fault::CrashAfter)
            }
            _ => Verdict::Go,
        }
    }

    fn now(&self) -> Duration {
        self.with(|seat| seat.elapsed)
    }

    fn block(&self, timeout: Duration) {
        let changes = self.turnstile.log.changes();
        let mut state = self.turnstile.state();
        let is_alone = state.seats.len() == 1;
        let seat = &mut state.seats[self.index];
        seat.elapsed += timeout;
        if seat.phase != Phase::Running || seat.last_call != Call::Wait || seat.restores > 0 {
            return;
        }
        // What came meanwhile is looked at first.
        let has_looked = seat.seen.replace(changes) == Some(changes);
        if has_looked || is_alone {
            self.wait_quietly(state, changes);
        }
    }

    fn later(&self, _: Fault, _: Box<dyn FnOnce() -> bool + Send>) {}

    fn kill(&self) {
        self.with(|seat| seat.is_dead = true);
        self.turnstile.moved.notify_all();
    }

    fn alive(&self) -> bool {
        self.with(|seat| !seat.is_dead)
    }

    fn joined(&self, _: &GroupSpec) {
        let mut state = self.turnstile.state();
        state.seats[self.index].has_joined = true;
        self.turnstile.moved.notify_all();
        let is_awaited = |seat: &Seat| !seat.has_joined && seat.phase == Phase::Starting;
        while state.seats.iter().any(is_awaited) && !state.seats[self.index].is_dead {
            state = self.turnstile.wait(state);
        }
    }
}

impl Clock for Place {
    fn now_ms(&self) -> i64 {
        self.with(|seat| seat.now_ms)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, time: Duration) {
        self.with(|seat| seat.elapsed += time);
    }
}
