//! A simulated process: what runs, what it is given, and how it ended.
//!
//! Knows no scheduling. Invariant: an incarnation sees the world only through its environment.

use super::disk::{Disk, MakeStorage};
use crate::{error::Result, log::Log, runtime::clock::Clock, state::Storage};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicI64},
};

/// How the message of an incarnation that panicked begins.
pub(super) const PANICKED: &str = "panicked: ";
/// Wall time at the start of each world.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;

/// What a process runs; called again for each of its incarnations.
pub(super) type Body = dyn Fn(ProcessEnv) -> Result + Send + Sync;

/// All that one incarnation of a process has. To be used by the thread it was given to: calls from other threads
/// are carried out, but nobody else runs meanwhile and no faults happen in them.
pub struct ProcessEnv {
    /// The log, with its faults.
    pub log: Arc<dyn Log>,
    /// The local disk: what was written survives this incarnation, unless a fault takes it.
    pub storage: Arc<dyn Storage>,
    /// Virtual time; its wall clock may be off.
    pub clock: Arc<dyn Clock>,
    /// Stable name of the process.
    pub instance: String,
    /// Which incarnation of the process this is, from 1; duplicates count too.
    pub incarnation: u32,
}

/// An incarnation that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Instance and incarnation.
    pub name: String,
    /// What it returned; a panic is an error too.
    pub result: Result<(), String>,
}

pub(super) struct Process {
    pub instance: String,
    pub body: Arc<Body>,
    pub restart: bool,
    /// How far its wall clock is ahead, in milliseconds.
    pub clock_offset_ms: Arc<AtomicI64>,
    make: MakeStorage,
    incarnations: u32,
}

impl Process {
    pub fn new(instance: &str, restart: bool, body: Arc<Body>, make: MakeStorage) -> Self {
        let clock_offset_ms = Arc::default();
        Process { instance: instance.to_owned(), body, restart, clock_offset_ms, make, incarnations: 0 }
    }

    pub fn new_disk(&self) -> Arc<Disk> {
        Arc::new(Disk::new(self.make.clone()))
    }

    pub fn begin(&mut self) -> u32 {
        self.incarnations += 1;
        self.incarnations
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
