//! A producer that is not ready yet: it must first end what a dead process left open under the same id.
//!
//! Owns the thread that waits for that. Knows no batch. Invariants: the producer is handed over ready, or not at all;
//! of one process, one is made ready at a time.

use crate::{
    error::Result,
    log::{Log, Producer, ProducerSpec},
};
use std::{sync::Arc, thread::JoinHandle};

/// A producer that is made ready beside the loop, for example while the group is joined: both wait for the log.
pub enum PendingProducer {
    /// On a thread of its own.
    OnThread(JoinHandle<Result<Box<dyn Producer>>>),
    /// Not begun: once it is needed, and without threads on the calling thread.
    WhenNeeded(ProducerSpec),
}

impl PendingProducer {
    /// Starts a thread, which first waits for `before`: two that are made ready at once would fence each other.
    ///
    /// # Panics
    /// If the system cannot start one.
    pub fn on_thread(log: &Arc<dyn Log>, spec: ProducerSpec, before: Option<PendingProducer>) -> Self {
        let log = log.clone();
        let make = move || {
            if let Some(PendingProducer::OnThread(handle)) = before {
                drop(handle.join()); // why it failed, the next one says
            }
            ready(log.as_ref(), &spec)
        };
        let thread = std::thread::Builder::new().name("producer-init".into());
        PendingProducer::OnThread(thread.spawn(make).expect("the system can start a thread"))
    }

    /// Whether waiting would not block for long.
    pub fn is_finished(&self) -> bool {
        match self {
            PendingProducer::OnThread(handle) => handle.is_finished(),
            PendingProducer::WhenNeeded(_) => true,
        }
    }

    /// Waits for the producer.
    ///
    /// # Errors
    /// If the log does not make it ready.
    pub fn wait(self, log: &dyn Log) -> Result<Box<dyn Producer>> {
        match self {
            PendingProducer::OnThread(handle) => match handle.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            },
            PendingProducer::WhenNeeded(spec) => ready(log, &spec),
        }
    }
}

/// A producer that has ended what a dead process left open under the same id.
///
/// # Errors
/// If the log does not make it ready.
pub fn ready(log: &dyn Log, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
    let mut producer = log.producer(spec)?;
    producer.init()?;
    Ok(producer)
}
