//! What the process is doing, for health checks and the status page.
//!
//! Owns one small snapshot behind a lock, written by the loop and read by the HTTP thread. Knows no clock, no log
//! and no HTTP. Invariant: ready means assigned, restored and connected; a rebalance or lag alone never makes the
//! process count as dead.

use super::{
    processes::Processes,
    restores::{Restore, seconds_left},
};
use crate::record::BatchId;
use serde::Serialize;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// How far the process has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Phase {
    /// Reaching the log, checking topics.
    Starting,
    /// In the group, without all the partitions that the program needs.
    WaitingForAssignment {
        /// What is missing.
        why: String,
    },
    /// Outside the group: another process holds the state, and this one takes over when that one ends.
    Standby {
        /// The other process.
        owner: String,
    },
    /// Rebuilding local state from the changelog.
    Restoring {
        /// State partitions that are ready.
        done: usize,
        /// State partitions in total.
        of: usize,
    },
    /// Batches are run.
    Running,
    /// The loop has ended.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// The last checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Its batch.
    pub batch: BatchId,
    /// When it ended, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// The status at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusSnapshot {
    /// The application.
    pub application_id: String,
    /// This process of the application.
    pub instance: String,
    /// The log it works with.
    pub log: String,
    /// How far it has come.
    pub phase: Phase,
    /// Why the log cannot be reached; `None` = it can, as far as is known.
    pub disconnected: Option<String>,
    /// Input topics that do not exist any more.
    pub missing_inputs: Vec<String>,
    /// Why batches are given up again and again; `None` = they are not.
    pub stuck: Option<String>,
    /// The last checkpoint; `None` = there has been none in this incarnation.
    pub last_checkpoint: Option<Checkpoint>,
    /// The last progress line.
    pub progress: String,
    /// The state partitions of this process that are being restored.
    #[serde(skip)]
    pub restores: Vec<Restore>,
    /// The processes that share the state; `None` = it is not shared, or not known yet.
    #[serde(skip)]
    pub processes: Option<Processes>,
}

impl StatusSnapshot {
    /// What is missing for readiness; empty = ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = vec![];
        match &self.phase {
            Phase::Starting => missing.push("the log has not been reached and checked yet".to_string()),
            Phase::WaitingForAssignment { why } => missing.push(why.clone()),
            Phase::Restoring { done, of } => {
                let (left, time) = (of.saturating_sub(*done), self.time_left());
                missing.push(format!("{left} of {of} state partitions are not restored yet{time}"));
            }
            Phase::Running if !self.restores.is_empty() => {
                let (count, time) = (self.restores.len(), self.time_left());
                let are = if count == 1 { "state partition is" } else { "state partitions are" };
                missing.push(format!("{count} {are} being restored{time}"));
            }
            Phase::Running | Phase::Standby { .. } => {}
            Phase::Stopped { reason } => missing.push(format!("the pipeline has stopped: {reason}")),
        }
        if let Some(why) = &self.disconnected {
            missing.push(format!("the log cannot be reached: {why}"));
        }
        if !self.missing_inputs.is_empty() {
            let inputs = self.missing_inputs.join(", ");
            missing.push(format!("input topics that do not exist any more: {inputs}"));
        }
        if let Some(why) = &self.stuck {
            missing.push(format!("batches are given up again and again: {why}"));
        }
        missing
    }

    fn time_left(&self) -> String {
        seconds_left(&self.restores).map_or_else(String::new, |seconds| format!(", about {seconds} s left"))
    }

    /// What a reader should know although nothing is missing.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        match &self.phase {
            Phase::Standby { owner } => Some(format!(
                "Standing by: {owner} holds the state, and this process takes over when that one ends"
            )),
            _ => self.processes.as_ref().and_then(Processes::notice),
        }
    }
}

/// The shared status. Put it in an `Arc`; every method is short.
#[derive(Debug)]
pub struct Status {
    snapshot: Mutex<StatusSnapshot>,
    turns: AtomicU64,
}

impl Status {
    /// The status of a process that is starting.
    pub fn new(
        application_id: impl Into<String>,
        instance: impl Into<String>,
        log: impl Into<String>,
    ) -> Self {
        Status {
            snapshot: Mutex::new(StatusSnapshot {
                application_id: application_id.into(),
                instance: instance.into(),
                log: log.into(),
                phase: Phase::Starting,
                disconnected: None,
                missing_inputs: vec![],
                stuck: None,
                last_checkpoint: None,
                progress: String::new(),
                restores: vec![],
                processes: None,
            }),
            turns: AtomicU64::new(0),
        }
    }

    /// The loop has turned: call it at least every few seconds, even while waiting, restoring and retrying.
    pub fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the loop has turned.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Enters a phase.
    pub fn phase(&self, phase: Phase) {
        self.change().phase = phase;
    }

    /// The log cannot be reached (`Some` = why) or can be reached again. Returns whether it could be reached before.
    pub fn disconnected(&self, why: Option<String>) -> bool {
        std::mem::replace(&mut self.change().disconnected, why).is_none()
    }

    /// These input topics do not exist any more.
    pub fn missing_inputs(&self, topics: &[String]) {
        self.change().missing_inputs = topics.to_vec();
    }

    /// Batches are given up again and again (`Some` = why), or one is committed again.
    pub fn stuck(&self, why: Option<String>) {
        self.change().stuck = why;
    }

    /// These state partitions of this process are being restored.
    pub fn restores(&self, restores: Vec<Restore>) {
        self.change().restores = restores;
    }

    /// What is known of the processes that share the state.
    pub fn processes(&self, processes: Processes) {
        self.change().processes = Some(processes);
    }

    /// A checkpoint was committed.
    pub fn checkpoint(&self, last: Checkpoint) {
        self.change().last_checkpoint = Some(last);
    }

    /// The line that is also shown on the terminal.
    pub fn progress(&self, line: String) {
        self.change().progress = line;
    }

    /// The status at this moment.
    #[must_use]
    pub fn snapshot(&self) -> StatusSnapshot {
        self.change().clone()
    }

    /// A panic elsewhere leaves whole fields, so the status stays usable.
    fn change(&self) -> MutexGuard<'_, StatusSnapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_comes_with_running_and_goes_with_the_connection() {
        let status = Status::new("orders", "a", "kafka at b:9092");
        let missing = || status.snapshot().missing().join("; ");
        assert_eq!(missing(), "the log has not been reached and checked yet");
        status.phase(Phase::WaitingForAssignment { why: "waiting for 2 partitions".into() });
        assert_eq!(missing(), "waiting for 2 partitions");
        status.phase(Phase::Standby { owner: "instance `b`".into() });
        assert_eq!(missing(), "");
        assert!(status.snapshot().notice().unwrap().contains("instance `b` holds the state"));
        status.phase(Phase::Restoring { done: 3, of: 8 });
        assert_eq!(missing(), "5 of 8 state partitions are not restored yet");
        status.phase(Phase::Running);
        assert_eq!(missing(), "");
        let (records, records_done) = (900, 500);
        let restore = Restore {
            partition: 1,
            records,
            records_done,
            records_per_second: Some(100),
            seconds_left: Some(4),
        };
        status.restores(vec![restore.clone()]);
        assert_eq!(missing(), "1 state partition is being restored, about 4 s left", "the rest goes on");
        let waits = Restore { records_per_second: None, seconds_left: None, ..restore };
        status.restores(vec![waits.clone(), waits]);
        assert_eq!(missing(), "2 state partitions are being restored");
        status.restores(vec![]);
        status.disconnected(Some("connection refused".into()));
        assert_eq!(missing(), "the log cannot be reached: connection refused");
        status.disconnected(None);
        status.missing_inputs(&["lines".into()]);
        status.stuck(Some("too large".into()));
        assert_eq!(
            missing(),
            "input topics that do not exist any more: lines; batches are given up again and again: too large"
        );
        status.missing_inputs(&[]);
        status.stuck(None);
        status.phase(Phase::Stopped { reason: "fenced".into() });
        assert_eq!(missing(), "the pipeline has stopped: fenced");
    }

    #[test]
    fn the_picture_is_json_with_named_phases() {
        let status = Status::new("orders", "a", "memory");
        status.phase(Phase::Restoring { done: 1, of: 2 });
        status.checkpoint(Checkpoint { batch: BatchId(7), at_ms: 99 });
        let json = serde_json::to_value(status.snapshot()).unwrap();
        assert_eq!(json["phase"], serde_json::json!({"name": "restoring", "done": 1, "of": 2}));
        assert_eq!(json["last_checkpoint"], serde_json::json!({"batch": 7, "at_ms": 99}));
    }

    #[test]
    fn turns_of_the_loop_are_counted() {
        let status = Status::new("", "", "");
        status.turned();
        status.turned();
        assert_eq!(status.turns(), 2);
    }
}
