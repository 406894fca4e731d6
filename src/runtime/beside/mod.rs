//! What runs on threads of its own beside the loop: receivers, writers of outboxes, requests for the ends of partitions, looks for
//! what has changed in the log, and the deletion of what was taken of the exchange topic and of what is kept no longer of state partitions that moved away.
//!
//! Owns who starts and stops them. Knows no batch. Invariant: the loop never waits for any of them except
//! when it ends.

pub mod ends;
mod kept;
mod looks;
mod outboxes;
mod purge;
mod receivers;

use crate::{
    config::ExchangeThrough,
    error::Result,
    record::TopicPartition,
    runtime::{app::App, group::Look},
};
use ends::Ends;
pub use kept::Kept;
pub use looks::Looks;
pub use outboxes::Outboxes;
pub use purge::Purge;
pub use receivers::Receivers;

/// Everything that runs beside the loop.
pub struct Beside {
    /// Receivers, and the writers of what they store.
    pub receivers: Receivers,
    /// Writers that take rows of internal topics to destinations outside the log.
    pub outboxes: Outboxes,
    /// Ends of changelogs.
    pub ends: Ends,
    /// Topics and partitions that appeared, and partitions that nobody reads.
    pub looks: Looks<Look>,
    /// What was taken of the exchange topic is deleted.
    pub purge: Purge,
    /// What is kept of state partitions that moved away is limited.
    pub kept: Kept,
    /// Ends of inputs, where event time depends on them; of a log in this process they are known at once.
    pub input_ends: Ends,
}

impl Beside {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn new(app: &App) -> Result<Self> {
        let (log, clock) = (&app.env.log, &app.env.clock);
        let threads = app.config.threads > 0;
        Ok(Beside {
            receivers: Receivers::new(
                app.plan.receivers.clone(),
                log.clone(),
                app.env.observer.clone(),
                clock.clone(),
            ),
            outboxes: Outboxes::new(
                app.plan.outboxes.clone(),
                &app.config.application_id,
                threads,
                log.clone(),
                clock.clone(),
                app.env.observer.clone(),
            ),
            ends: Ends::new(log.clone(), threads.then_some("changelog-ends"))?,
            looks: Looks::new(log.clone(), threads.then_some("looks"))?,
            purge: Purge::new(log.clone(), threads && app.config.exchange != ExchangeThrough::Memory)?,
            kept: Kept::new(app)?,
            input_ends: Ends::new(
                log.clone(),
                (app.plan.closes_by_event_time && !log.keeps_one_copy()).then_some("input-ends"),
            )?,
        })
    }

    /// Runs what belongs to a process that owns these partitions; if `is_first`, what only one process of the application
    /// does; `has_locals`: it does not stand by, so what feeds the sources of the process itself runs.
    ///
    /// # Errors
    /// Why a writer could not continue, or a thread could not be started.
    pub fn run(&mut self, owned: &[TopicPartition], is_first: bool, has_locals: bool) -> Result {
        self.outboxes.run(is_first)?;
        self.receivers.run_in(owned, has_locals)
    }

    /// Stops everything for good.
    pub fn stop(&mut self) {
        self.receivers.stop();
        self.outboxes.stop();
    }
}
