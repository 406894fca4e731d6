//! The world as one incarnation of a process sees it: its log with faults, its disk, its clock.
//!
//! Knows no scheduling and no probabilities: each call is handed to the scheduler. Invariant: every view belongs to one task.

use super::{
    disk::{Disk, SimStorage},
    process::{EPOCH_MS, Process, ProcessEnv},
    schedule::Scheduler,
};
use crate::{
    log::{
        GroupSpec,
        sim::{Call, Fate, Fault, SimLog, Verdict},
    },
    runtime::clock::Clock,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

impl Scheduler {
    /// What an incarnation of a process is given.
    pub fn environment(
        self: &Arc<Self>,
        task: usize,
        process: &Process,
        incarnation: u32,
        disk: Arc<Disk>,
    ) -> ProcessEnv {
        let clock_offset_ms = process.clock_offset_ms.clone();
        let view = Arc::new(View { scheduler: self.clone(), task, clock_offset_ms });
        ProcessEnv {
            log: Arc::new(SimLog::new(self.log.clone(), view.clone())),
            storage: Arc::new(SimStorage { disk, fate: view.clone() }),
            clock: view,
            instance: process.instance.clone(),
            incarnation,
        }
    }
}

/// The scheduler as one incarnation sees it.
struct View {
    scheduler: Arc<Scheduler>,
    task: usize,
    clock_offset_ms: Arc<AtomicI64>,
}

impl Fate for View {
    fn step(&self, call: Call, offers: &[Fault]) -> Verdict {
        self.scheduler.step(self.task, call, offers)
    }

    fn now(&self) -> Duration {
        self.scheduler.now()
    }

    fn block(&self, timeout: Duration) {
        self.scheduler.block(self.task, timeout);
    }

    fn later(&self, fault: Fault, action: Box<dyn FnOnce() -> bool + Send>) {
        let within_us = match fault {
            Fault::ExpelledSoon => 500_000,
            Fault::MarkersApart => 3_000_000,
            Fault::SlowRestore => 300_000,
            _ => 8_000_000,
        };
        let after = self.scheduler.lock().random.below(within_us);
        self.scheduler.later(Duration::from_micros(after), fault, action);
    }

    fn kill(&self) {
        self.scheduler.kill(self.task);
    }

    fn alive(&self) -> bool {
        self.scheduler.alive(self.task)
    }

    fn joined(&self, group: &GroupSpec) {
        self.scheduler.joined(self.task, group);
    }
}

impl Clock for View {
    fn now_ms(&self) -> i64 {
        let right = EPOCH_MS + i64::try_from(self.scheduler.tick().as_millis()).expect("worlds are short");
        right + self.clock_offset_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.scheduler.tick()
    }

    fn sleep(&self, time: Duration) {
        self.scheduler.sleep(self.task, time);
    }
}
