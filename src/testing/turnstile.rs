//! Lets the engine run up to a time and no further: the clock of a test, and the place where its process dies.
//!
//! Sits behind the simulated log as the fate of a process without faults. Knows no batch and no table. Invariants:
//! time stands still while there is input; once the engine waits for more, time jumps to the goal and the engine is
//! held there; a dead process has no effect.

use crate::{
    log::{
        GroupSpec,
        sim::{Call, Fate, Fault, Verdict},
    },
    runtime::clock::Clock,
};
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Where the process of a test dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Everything is computed and sent, nothing is committed: the batch is run again.
    BeforeCommit,
    /// The batch is committed, but the local state does not have it yet. Console rows are lost.
    AfterCommit,
}

/// What engine and driver share.
pub(super) struct Turnstile {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    now_ms: i64,
    goal_ms: i64,
    /// Grows with each wait, so that nothing waits forever in the log.
    elapsed: Duration,
    last_call: Call,
    phase: Phase,
    dead: bool,
    crash: Option<Crash>,
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

impl Turnstile {
    /// For a process that starts at `now_ms` with the goal `goal_ms`, and dies at `crash`.
    pub fn new(now_ms: i64, goal_ms: i64, crash: Option<Crash>) -> Self {
        let state = State {
            now_ms,
            goal_ms,
            elapsed: Duration::ZERO,
            last_call: Call::Describe,
            phase: Phase::Starting,
            dead: false,
            crash,
        };
        Turnstile { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.moved.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the engine run on to a time, where it may die at `crash`.
    pub fn go_to(&self, goal_ms: i64, crash: Option<Crash>) {
        let mut state = self.state();
        (state.goal_ms, state.crash) = (goal_ms, crash);
        if state.phase == Phase::Held {
            state.phase = Phase::Running;
        }
        self.moved.notify_all();
    }

    /// Waits until the engine is held at its goal (`true`) or has ended.
    pub fn reached(&self) -> bool {
        let mut state = self.state();
        while !matches!(state.phase, Phase::Held | Phase::Ended) {
            state = self.wait(state);
        }
        state.phase == Phase::Held
    }

    /// Whether it died where it was asked to.
    pub fn has_crashed(&self) -> bool {
        self.state().dead
    }

    /// The engine has its partitions, or is waiting for them.
    pub fn set_running(&self, running: bool) {
        self.state().phase = if running { Phase::Running } else { Phase::Starting };
    }

    /// The engine's thread has ended.
    pub fn end(&self) {
        self.state().phase = Phase::Ended;
        self.moved.notify_all();
    }
}

impl Fate for Turnstile {
    fn step(&self, call: Call, offers: &[Fault]) -> Verdict {
        let mut state = self.state();
        state.last_call = call;
        if state.dead {
            return Verdict::Killed;
        }
        match (state.crash, call) {
            (Some(Crash::BeforeCommit), Call::AddOffsets) => {
                state.dead = true;
                Verdict::Killed
            }
            // Before it runs, a process commits the claim of its name; before the batch of the goal, instants of windows
            // that it passed over.
            (Some(Crash::AfterCommit), Call::Commit)
                if state.phase == Phase::Running
                    && state.now_ms >= state.goal_ms
                    && offers.contains(&Fault::CrashAfter) =>
            {
                Verdict::Fault(Fault::CrashAfter)
            }
            _ => Verdict::Go,
        }
    }

    fn now(&self) -> Duration {
        self.state().elapsed
    }

    fn block(&self, timeout: Duration) {
        let mut state = self.state();
        state.elapsed += timeout;
        if state.phase != Phase::Running || state.last_call != Call::Wait {
            return;
        }
        if state.now_ms < state.goal_ms {
            state.now_ms = state.goal_ms;
            return;
        }
        state.phase = Phase::Held;
        self.moved.notify_all();
        while state.goal_ms <= state.now_ms && !state.dead {
            state = self.wait(state);
        }
    }

    fn later(&self, _: Fault, _: Box<dyn FnOnce() -> bool + Send>) {}

    fn kill(&self) {
        self.state().dead = true;
        self.moved.notify_all();
    }

    fn alive(&self) -> bool {
        !self.state().dead
    }

    fn joined(&self, _: &GroupSpec) {}
}

impl Clock for Turnstile {
    fn now_ms(&self) -> i64 {
        self.state().now_ms
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, time: Duration) {
        self.state().elapsed += time;
    }
}
