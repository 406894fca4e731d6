//! Limits what is kept of state partitions that have moved to other processes, without holding up the loop.
//!
//! Owns one thread, in a program with state. Knows no database. Invariants: what this process uses is told with each request; what is
//! deleted is told; what cannot be deleted is told, and does no harm but to the disk.

use crate::{
    error::{Error, Result},
    record::Partition,
    runtime::{app::App, clock::Clock},
    state::{Keep, Storage},
};
use crossbeam_channel::{Sender, bounded};
use std::{sync::Arc, time::Duration};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);

/// Deletes databases that are kept no longer.
pub struct Kept {
    ask: Option<Sender<Vec<Partition>>>,
    asked: Option<Duration>,
}

impl Kept {
    /// Deletes nothing yet; nothing at all without state, or without threads.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn new(app: &App) -> Result<Self> {
        if app.config.threads == 0 || !app.plan.has_state_partitions() {
            return Ok(Kept { ask: None, asked: None });
        }
        let (ask, asked) = bounded::<Vec<Partition>>(1);
        let keep = Keep { time: app.config.state_kept_for, bytes: app.config.state_kept_bytes };
        let (storage, clock) = (app.env.storage.clone(), app.env.clock.clone());
        let work = move || {
            let mut failures = 0u32;
            asked.iter().for_each(|used| limit(&storage, &*clock, &keep, &used, &mut failures));
        };
        let thread = std::thread::Builder::new().name("kept-state".into());
        thread.spawn(work).map_err(Error::io("starting the thread kept-state"))?;
        Ok(Kept { ask: Some(ask), asked: None })
    }

    /// Limits what is kept besides the state partitions `used`, at once and then from time to time.
    pub fn limit(&mut self, now: Duration, used: impl FnOnce() -> Vec<Partition>) {
        let Some(ask) = &self.ask else { return };
        if self.asked.is_none_or(|asked| now.saturating_sub(asked) >= EVERY) {
            self.asked = Some(now);
            drop(ask.try_send(used()));
        }
    }
}

fn limit(storage: &Arc<dyn Storage>, clock: &dyn Clock, keep: &Keep, used: &[Partition], failures: &mut u32) {
    let now_ms = clock.now_ms();
    match storage.limit_kept(used, keep, now_ms) {
        Ok(deleted) => {
            *failures = 0;
            for database in deleted {
                let unused_s = now_ms.saturating_sub(database.used_ms) / 1_000;
                tracing::info!(
                    bytes = database.bytes,
                    unused_s,
                    "the database of state partition {}, which has moved to another process, is kept no longer (--state-kept-for-ms, --state-kept-bytes)",
                    database.partition
                );
            }
        }
        Err(e) => {
            *failures += 1;
            if failures.is_power_of_two() {
                tracing::warn!("databases that are kept no longer are not deleted: {e}");
            }
        }
    }
}
