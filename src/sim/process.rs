//! A simulated process: what runs, what it is given, and how it ended.
//!
//! Knows no scheduling. Invariant: a life sees the world only through its environment.

use super::disk::{Disk, MakeStorage};
use crate::{error::Result, log::Log, runtime::clock::Clock, state::Storage};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// How the message of a life that panicked begins.
pub(super) const PANICKED: &str = "panicked: ";
/// Wall time at the start of each world.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;

/// What a process runs; called again for each of its lives.
pub(super) type Body = dyn Fn(ProcessEnv) -> Result + Send + Sync;

/// All that one life of a process has. To be used by the thread it was given to: calls of other threads are carried out,
/// but nobody else runs meanwhile and nothing goes wrong at them.
pub struct ProcessEnv {
    /// The log, with its faults.
    pub log: Arc<dyn Log>,
    /// The local disk: what was written survives this life, unless a fault takes it.
    pub storage: Arc<dyn Storage>,
    /// Virtual time.
    pub clock: Arc<dyn Clock>,
    /// Stable name of the process.
    pub instance: String,
    /// Which life of the process this is, from 1; duplicates count too.
    pub life: u32,
}

/// A life that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Instance and life.
    pub name: String,
    /// What it answered; a panic is an error too.
    pub result: Result<(), String>,
}

pub(super) struct Process {
    pub instance: String,
    pub body: Arc<Body>,
    pub restart: bool,
    make: MakeStorage,
    lives: u32,
}

impl Process {
    pub fn new(instance: &str, restart: bool, body: Arc<Body>, make: MakeStorage) -> Self {
        Process { instance: instance.to_owned(), body, restart, make, lives: 0 }
    }

    pub fn new_disk(&self) -> Arc<Disk> {
        Arc::new(Disk::new(self.make.clone()))
    }

    pub fn begin(&mut self) -> u32 {
        self.lives += 1;
        self.lives
    }
}

pub(super) fn run(body: &Body, env: ProcessEnv) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| body(env))) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("{PANICKED}{}", text.unwrap_or("without a message")))
        }
    }
}
