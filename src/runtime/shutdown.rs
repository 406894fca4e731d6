//! The wish to stop, shared by whoever may have it.
//!
//! Owns one flag. Knows no signal: the context maps signals to it. Invariant: a wish is never taken back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Asks a loop to finish its batch, commit, and end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Asks; may be called from any thread, any number of times.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
