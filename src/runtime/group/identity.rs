//! Two processes with the same name: which of them is older and must end.
//!
//! Owns the incarnation of this process, and what the meta topic says about earlier ones. An incarnation is
//! claimed in the meta topic, in a transaction of its own, before anything is recovered or processed;
//! committed recovery records also carry it. Knows no group protocol. Invariants: a process ends as fenced
//! only after it has read a higher incarnation of its own name; losing a place in the group, or a producer,
//! proves nothing, because a broker that was away can expel a process by a late request of that same process.

use super::{
    CommittedPosition,
    meta::Meta,
    topics::{Topics, policy},
};
use crate::{
    error::{Error, Result},
    log::Log,
    plan::{Change, Start, Takeover, Topology},
    record::{BatchId, Incarnation, Token},
    runtime::app::App,
};

/// The identity of this process.
#[derive(Default)]
pub struct Identity {
    incarnation: Option<Incarnation>,
    /// What an earlier run left behind; read once the producer is ready.
    meta: Option<Meta>,
}

impl Identity {
    /// Our incarnation, once it is taken.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    /// What an earlier run left behind, once it is read.
    #[must_use]
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// The name of our attempt to commit this batch.
    ///
    /// # Panics
    /// Before the incarnation is taken: a bug in the loop.
    #[must_use]
    pub fn token(&self, app: &App, batch: BatchId) -> Token {
        let incarnation = self.incarnation.expect("taken before the first batch");
        Token { instance: app.env.instance.clone(), incarnation, batch }
    }

    /// Reads what an earlier run left behind, or reads it again as far as that is needed.
    pub fn looking_back(&self, app: &App) -> impl FnOnce(&dyn Log) -> Result<Meta> + Send + use<> {
        let (known, topic) = (self.meta.clone(), app.names.meta.clone());
        move |log| match known {
            Some(meta) => meta.refreshed(log, &topic),
            None => Meta::read(log, &topic),
        }
    }

    /// Checks, once, that this program may continue from what an earlier run left behind, and how.
    ///
    /// # Errors
    /// [`Error::Refused`] if it may not.
    pub fn looked_back(&mut self, app: &App, topics: &Topics, found: Meta) -> Result<Option<Takeover>> {
        if self.meta.is_some() {
            self.meta = Some(found);
            return Ok(None);
        }
        let mut meta = found;
        meta.learn(topics, |name| policy(app, name, app.config.accept_offsets))?;
        let mut takeover = None;
        if let Some(before) = &meta.topology {
            let inputs: Vec<&str> = topics.inputs.keys().map(String::as_str).collect();
            let start = Start {
                known_topics: &meta.known_topics(),
                topics: &inputs,
                now_ms: app.env.clock.now_ms(),
                accept_state_changes: app.config.accept_state_changes,
            };
            let plan = Topology::clone(&app.plan);
            takeover = Some(Takeover::of(plan, &app.fingerprint, before, &start).map_err(Error::Refused)?);
            for change in app.fingerprint.edge_changes_since(&before.fingerprint) {
                if let Change::Incompatible { name, was, is } = change {
                    tracing::info!("the rows of {name} were {was}, and are {is} from now on");
                }
            }
        }
        self.meta = Some(meta);
        Ok(takeover)
    }

    /// Takes note of topics that were found while the program runs.
    ///
    /// # Errors
    /// If a topic that the program names was deleted and made anew.
    pub fn learn(&mut self, app: &App, topics: &Topics) -> Result {
        self.meta.as_mut().map_or(Ok(()), |meta| meta.learn(topics, |name| policy(app, name, false)))
    }

    /// Reads further in what is known; returns it with whether it was read to the end. `None` = nothing is known yet.
    pub fn reading_on(
        &self,
        app: &App,
    ) -> Option<impl FnOnce(&dyn Log) -> Result<(Meta, bool)> + Send + use<>> {
        let (mut meta, topic) = (self.meta.clone()?, app.names.meta.clone());
        Some(move |log: &dyn Log| {
            let whole = meta.read_on(log, &topic)?;
            Ok((meta, whole))
        })
    }

    /// What was read further.
    pub fn has_read(&mut self, meta: Meta) {
        self.meta = Some(meta);
    }

    /// Whether a newer process with our name has started, judged by its claim, as far as that was read.
    #[must_use]
    pub fn is_superseded(&self, app: &App) -> bool {
        let claim = self.meta.as_ref().and_then(|meta| meta.claim(&app.env.instance));
        let superseded = self.incarnation.is_some_and(|ours| claim.is_some_and(|claim| claim > ours));
        superseded && !crate::failpoint::passes("mutant-never-superseded")
    }

    /// Whether our batch, which carried a row of the meta topic, was committed; once nothing of ours is open, and
    /// the topic was read to its end.
    #[must_use]
    pub fn is_committed(&self, app: &App, batch: BatchId) -> bool {
        let token = self.token(app, batch);
        self.meta.as_ref().is_some_and(|meta| meta.is_committed(&token))
    }

    /// Whether a newer process has our identity, judged by what it committed.
    #[must_use]
    pub fn is_fenced(&self, app: &App, positions: &[CommittedPosition]) -> bool {
        let ours = self.incarnation.unwrap_or_default();
        let fenced = highest(app, positions).is_some_and(|incarnation| incarnation > ours);
        fenced && !crate::failpoint::passes("mutant-never-superseded")
    }

    /// The incarnation to claim: higher than every known one.
    #[must_use]
    pub fn next(&self, app: &App, positions: &[CommittedPosition]) -> Incarnation {
        let claimed = self.meta.as_ref().and_then(|meta| meta.claim(&app.env.instance));
        let seen = highest(app, positions).max(claimed).unwrap_or_default();
        Incarnation(seen.max(app.env.incarnation_before).0 + 1)
    }

    /// Our claim is committed.
    pub fn take(&mut self, ours: Incarnation) {
        self.incarnation = Some(ours);
    }
}

/// The highest incarnation with our name that committed one of these positions.
fn highest(app: &App, positions: &[CommittedPosition]) -> Option<Incarnation> {
    let tokens = positions.iter().filter_map(|p| p.record.as_ref()).map(|record| &record.token);
    tokens.filter(|token| token.instance == app.env.instance).map(|token| token.incarnation).max()
}
