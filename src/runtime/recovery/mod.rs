//! From partitions that the group has assigned to partitions that can compute.
//!
//! Owns the databases that are being brought up to date, and what is waiting for them. Knows no batch.
//! Decides nothing: that is `task::recovery`. Invariants: the loop takes one step of it per turn, so that the
//! group is served meanwhile; as many partitions are restored at a time as there are workers, within one
//! memory budget; a restore that is given up resumes where it stopped.

mod replay;
mod restore;
pub mod sources;

use crate::{
    config::ExchangeThrough,
    error::Result,
    log::Membership,
    record::{Token, TopicPartition},
    runtime::{
        app::App, batch::state_partition::Recovered, events::Observed, group::CommittedPosition, pool::Attend,
    },
    task::stage_row,
};
pub use restore::Contradiction;
use restore::{Found, Restore};
use std::{collections::VecDeque, sync::Arc};

/// A recovery under way.
pub struct Recovery {
    /// Our membership when the committed positions were read.
    pub membership: Membership,
    /// Source partitions, waiting for the state.
    pub sources: Vec<CommittedPosition>,
    /// Restores that have not begun.
    waiting: VecDeque<Restore>,
    /// Restores that are under way.
    active: Vec<Restore>,
    /// State partitions whose databases are up to date.
    pub ready: Vec<Recovered>,
    /// How many state partitions there are in all.
    of: usize,
}

impl Recovery {
    /// Opens the databases of state partitions, on the workers, and decides what to do with each; `token` is that of
    /// no batch of this process.
    ///
    /// # Errors
    /// If a database or the changelog cannot be used, or they contradict each other, or what `attend` fails with.
    pub fn begin(
        app: &App,
        token: &Token,
        membership: Membership,
        mut states: Vec<CommittedPosition>,
        sources: Vec<CommittedPosition>,
        attend: Attend<'_>,
    ) -> Result<Self> {
        let mut stores: Vec<String> =
            app.plan.nodes.iter().flat_map(|n| n.stores.iter().map(|s| s.name.clone())).collect();
        if app.config.exchange != ExchangeThrough::Memory {
            stores.push(stage_row::STORE.into());
        }
        let stores = Arc::new(stores);
        let opening = app.pool.start(&mut states, {
            let (storage, log, names) = (app.env.storage.clone(), app.env.log.clone(), app.names.clone());
            let (clock, stores) = (app.env.clock.clone(), stores.clone());
            move |position| {
                let (at, began) = (names.changelog_of(position.at.partition), clock.monotonic());
                let found = Found::open(&*storage, &*log, position, &at, &stores);
                let took = clock.monotonic().saturating_sub(began);
                tracing::debug!(%at, took_ms = took.as_millis(), "database opened");
                found
            }
        });
        let found = opening.wait(&mut states, attend)?;
        let mut recovery = Recovery {
            membership,
            sources,
            waiting: VecDeque::new(),
            active: vec![],
            ready: vec![],
            of: found.len(),
        };
        for (position, found) in states.into_iter().zip(found) {
            let restore = Restore::decide(app, token, position, found?, &stores)?;
            if restore.is_done() {
                recovery.is_ready(app, restore);
            } else {
                recovery.waiting.push_back(restore);
            }
        }
        // What may be refused is looked at before anything is restored.
        recovery.waiting.make_contiguous().sort_by_key(|restore| !restore.may_be_refused());
        Ok(recovery)
    }

    /// Whether all databases are up to date.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Advances the restores by a short step, on the workers. A contradiction ends the recovery: it cannot go on.
    ///
    /// # Errors
    /// If the changelog cannot be read or a database cannot be written, or what `attend` fails with.
    pub fn step(&mut self, app: &App, attend: Attend<'_>) -> Result<Option<Contradiction>> {
        while self.active.len() < app.pool.width()
            && let Some(next) = self.waiting.pop_front()
        {
            self.active.push(next);
        }
        let (log, clock) = (app.env.log.clone(), app.env.clock.clone());
        let stepping = app.pool.start(&mut self.active, move |restore| restore.step(&*log, &*clock));
        let stepped = stepping.wait(&mut self.active, attend)?;
        for (mut restore, result) in std::mem::take(&mut self.active).into_iter().zip(stepped) {
            result?;
            restore.report(app);
            if restore.is_done() {
                if let Some(contradiction) = restore.contradiction() {
                    return Ok(Some(contradiction));
                }
                self.is_ready(app, restore);
            } else {
                self.active.push(restore);
            }
        }
        Ok(None)
    }

    fn is_ready(&mut self, app: &App, restore: Restore) {
        let recovered = restore.into_recovered();
        let partition = recovered.at.partition;
        self.ready.push(recovered);
        app.observe(&Observed::StateReady { partition, done: self.ready.len(), of: self.of });
    }

    /// All partitions that it covers.
    #[must_use]
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let restores = self.waiting.iter().chain(&self.active).map(Restore::at);
        let ready = self.ready.iter().map(|recovered| &recovered.at);
        self.sources.iter().map(|p| &p.at).chain(restores).chain(ready).cloned().collect()
    }

    /// Gives up partitions that were revoked.
    pub fn remove(&mut self, at: &[TopicPartition]) {
        self.sources.retain(|p| !at.contains(&p.at));
        self.waiting.retain(|restore| !at.contains(restore.at()));
        self.active.retain(|restore| !at.contains(restore.at()));
        self.ready.retain(|recovered| !at.contains(&recovered.at));
    }
}
