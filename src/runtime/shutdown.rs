//! The request to stop, shared by everyone who may make it.
//!
//! Owns two flags. Knows no signal: the context maps signals to it. Invariant: a request is never withdrawn.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Requests that a loop finish its batch, commit, and end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    end: AtomicBool,
    drain: AtomicBool,
}

impl Shutdown {
    /// Requests the stop; may be called from any thread, any number of times.
    pub fn request(&self) {
        self.0.end.store(true, Ordering::SeqCst);
    }

    /// Requests a drain: stop receiving, process what receivers have stored, then end.
    pub fn request_drain(&self) {
        self.0.drain.store(true, Ordering::SeqCst);
    }

    /// Whether a drain was requested: the end once everything that receivers have stored is processed.
    #[must_use]
    pub fn is_drain_requested(&self) -> bool {
        self.0.drain.load(Ordering::SeqCst)
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.end.load(Ordering::SeqCst)
    }
}
