//! SIGINT and SIGTERM: the first one asks the loop to end in order, the second one ends the process at once.
//!
//! Owns one thread. Knows only how to request a stop.

use crate::{
    error::{Error, Result},
    event_loop::event_loop,
    runtime::Shutdown,
};
use tokio::signal::unix::{SignalKind, signal};

/// Exit status of a process that was signalled twice (128 + SIGINT).
const KILLED: i32 = 130;

/// Watches the signals from now on.
pub(super) fn watch(shutdown: Shutdown) -> Result {
    let runtime = event_loop().map_err(Error::io("watching for signals"))?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("watching for SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("watching for SIGTERM"))?;
    drop(inside);
    let work = move || {
        runtime.block_on(async move {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if shutdown.is_requested() {
                    end_at_once();
                }
                tracing::info!("ending after the batch in flight; signal again to end at once");
                shutdown.request();
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(work)
        .map_err(Error::io("watching for signals"))?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a second signal asks for exactly this; committed data is safe"
)]
fn end_at_once() {
    std::process::exit(KILLED);
}
