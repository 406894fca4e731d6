//! Event loops of one thread, for the status page and for signals.
//!
//! Owns how one is made. Knows nothing of what runs on it. Invariant: a process that may not open files gets an error, never a panic.

use std::{io, os::unix::net::UnixStream};
use tokio::runtime::{Builder, Runtime};

/// Pairs of sockets that are opened and closed beforehand: as many files as a runtime opens and more, because it panics where it cannot open
/// the pair that tells it of signals.
const PROBES: usize = 4;

/// An event loop that runs on the thread that blocks on it.
///
/// # Errors
/// If the process may not open as many files as it needs.
pub(crate) fn event_loop() -> io::Result<Runtime> {
    let room: Vec<_> = (0..PROBES).map(|_| UnixStream::pair()).collect::<io::Result<_>>()?;
    drop(room);
    Builder::new_current_thread().enable_all().build()
}
