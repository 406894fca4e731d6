//! From partitions that the group has assigned to partitions that can compute.
//!
//! Owns the databases that are being brought up to date, and what is waiting for them. Knows no batch.
//! Decides nothing: that is `task::recovery`. Invariants: databases are brought up to date beside the loop, within one
//! memory budget; a restore that is given up resumes where it stopped; what may be refused is looked at before anything
//! is computed.

mod replay;
mod restore;
mod restorer;
pub mod sources;

use crate::{
    config::ExchangeThrough,
    error::Result,
    log::Membership,
    record::{Token, TopicPartition},
    runtime::{
        app::App,
        batch::{state_partition::Recovered, under_restore::UnderRestore},
        group::CommittedPosition,
        pool::Attend,
    },
    task::stage_row,
};
use restore::{Found, Restore};
pub use restorer::{Ended, Restorer};
use std::sync::Arc;

/// A recovery under way.
pub struct Recovery {
    /// Our membership when the committed positions were read.
    pub membership: Membership,
    /// Source partitions, waiting for the state.
    pub sources: Vec<CommittedPosition>,
    /// State partitions whose databases are up to date.
    pub ready: Vec<Recovered>,
    /// State partitions whose databases are being brought up to date.
    pub restoring: Vec<UnderRestore>,
    /// State partitions that have no committed record to go by yet: nothing is computed before they are ready.
    unrecorded: Vec<TopicPartition>,
}

/// What is assigned, with the offsets that the group has of it.
pub struct Committed {
    /// State partitions, named by their partitions of the exchange topic.
    pub states: Vec<CommittedPosition>,
    /// The source partitions that go with them.
    pub sources: Vec<CommittedPosition>,
}

impl Recovery {
    /// Opens the databases of state partitions, on the workers, decides what to do with each, and begins the restores; `token` is that of
    /// no batch of this process.
    ///
    /// # Errors
    /// If a database or the changelog cannot be used, or they contradict each other, or what `attend` fails with.
    pub fn begin(
        app: &App,
        restorer: &mut Restorer,
        token: &Token,
        membership: Membership,
        committed: Committed,
        attend: Attend<'_>,
    ) -> Result<Self> {
        let Committed { mut states, sources } = committed;
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
        let mut recovery =
            Recovery { membership, sources, ready: vec![], restoring: vec![], unrecorded: vec![] };
        let mut begun = vec![];
        for (position, found) in states.into_iter().zip(found) {
            let restore = Restore::decide(app, token, position, found?, &stores, restorer.width())?;
            if restore.is_done() {
                recovery.ready.push(restore.into_recovered());
                continue;
            }
            if !restore.is_recorded() {
                recovery.unrecorded.push(restore.at().clone());
            }
            recovery.restoring.push(restore.under_restore());
            begun.push(restore);
        }
        restorer.add(begun)?;
        Ok(recovery)
    }

    /// Whether all databases are up to date.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.restoring.is_empty()
    }

    /// How many databases are up to date, of how many.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.ready.len(), self.ready.len() + self.restoring.len())
    }

    /// Whether a partition has no committed record to go by yet.
    #[must_use]
    pub fn is_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// A database is up to date; returned if it is not of this recovery.
    pub fn is_ready(&mut self, recovered: Recovered) -> Option<Recovered> {
        let of = self.restoring.iter().position(|restoring| restoring.at == recovered.at);
        let Some(index) = of else { return Some(recovered) };
        self.restoring.remove(index);
        self.unrecorded.retain(|at| *at != recovered.at);
        self.ready.push(recovered);
        None
    }

    /// All partitions that it covers.
    #[must_use]
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let restoring = self.restoring.iter().map(|restoring| &restoring.at);
        let ready = self.ready.iter().map(|recovered| &recovered.at);
        self.sources.iter().map(|p| &p.at).chain(restoring).chain(ready).cloned().collect()
    }

    /// Gives up partitions that were revoked.
    pub fn remove(&mut self, at: &[TopicPartition]) {
        self.sources.retain(|p| !at.contains(&p.at));
        self.restoring.retain(|restoring| !at.contains(&restoring.at));
        self.unrecorded.retain(|partition| !at.contains(partition));
        self.ready.retain(|recovered| !at.contains(&recovered.at));
    }
}
