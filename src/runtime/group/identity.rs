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
    error::{Error, Failure, Reaction, Result, Stage},
    plan::{Change, Start, Takeover, Topology},
    record::{BatchId, Incarnation, Token},
    runtime::{
        app::{App, RETRY_PAUSE},
        events::Observed,
    },
};
use std::time::Duration;

/// How long a process that lost its place in the group or its producer waits for the claim of the process
/// that took it.
const CLAIM_WAIT: Duration = Duration::from_secs(3);

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

    /// Checks, once, that this program may continue from what an earlier run left behind, and how.
    ///
    /// # Errors
    /// [`Error::Refused`] if it may not, or if the meta topic cannot be read.
    pub fn look_back(&mut self, app: &App, topics: &Topics) -> Result<Option<Takeover>> {
        if let Some(meta) = &mut self.meta {
            meta.refresh(app.env.log.as_ref(), &app.names.meta)?;
            return Ok(None);
        }
        let mut meta = Meta::read(app.env.log.as_ref(), &app.names.meta)?;
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

    /// Whether a newer process with our name has started, judged by its claim.
    ///
    /// # Errors
    /// If the meta topic cannot be read.
    pub fn is_superseded(&mut self, app: &App) -> Result<bool> {
        let Some(meta) = self.meta.as_mut() else { return Ok(false) };
        meta.read_on(app.env.log.as_ref(), &app.names.meta)?;
        let claim = meta.claim(&app.env.instance);
        let superseded = self.incarnation.is_some_and(|ours| claim.is_some_and(|claim| claim > ours));
        Ok(superseded && !crate::failpoint::passes("mutant-never-superseded"))
    }

    /// Whether our batch, which carried a row of the meta topic, was committed; once nothing of ours is open.
    ///
    /// # Errors
    /// If the meta topic cannot be read to its end now.
    pub fn is_committed(&mut self, app: &App, batch: BatchId) -> Result<bool> {
        let token = self.token(app, batch);
        let Some(meta) = self.meta.as_mut() else { return Ok(false) };
        if !meta.read_on(app.env.log.as_ref(), &app.names.meta)? {
            let what = format!("{} is not read to its end: a transaction on it is open", app.names.meta);
            return Err(Failure::new(Stage::Fetch, Reaction::RetrySame, what).into());
        }
        Ok(meta.is_committed(&token))
    }

    /// Leaves our place and our producer to others for a while. Returns whether a newer process has claimed
    /// them.
    ///
    /// # Errors
    /// If the meta topic cannot be read.
    pub fn await_claim(&mut self, app: &App) -> Result<bool> {
        let until = app.now() + CLAIM_WAIT;
        loop {
            app.observe(&Observed::Alive);
            let superseded = self.is_superseded(app);
            let asks_again = match &superseded {
                Ok(superseded) => !superseded,
                Err(Error::Log(f)) => f.reaction.may_pass(),
                Err(_) => false,
            };
            if !asks_again || app.env.shutdown.is_requested() || app.now() >= until {
                return superseded;
            }
            app.env.clock.sleep(RETRY_PAUSE);
        }
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
