//! The wish to stop, shared by whoever may have it.
//!
//! Owns two flags. Knows no signal: the context maps signals to it. Invariant: a wish is never taken back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Asks a loop to finish its batch, commit, and end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    end: AtomicBool,
    drain: AtomicBool,
}

impl Shutdown {
    /// Asks; may be called from any thread, any number of times.
    pub fn request(&self) {
        self.0.end.store(true, Ordering::SeqCst);
    }

    /// Asks to stop receiving, to process what receivers have stored, and then to end.
    pub fn request_drain(&self) {
        self.0.drain.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked for the end after what receivers have stored.
    #[must_use]
    pub fn is_drain_requested(&self) -> bool {
        self.0.drain.load(Ordering::SeqCst)
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.end.load(Ordering::SeqCst)
    }
}
