//! Two-phase sinks: prepared before the commit, finished after it.
//!
//! Owns the order of the two steps, the rows of the meta topic that carry them over a crash, and the notes by which the shares that
//! several processes have prepared come together. Knows no format. Invariants: nothing is finished before its batch is committed;
//! before the first batch everything that was committed is finished; shares are finished once all of them are committed, by whoever
//! has committed that they are.

use crate::{
    error::{Error, Result},
    operator::{Batch, Envelope, NodeId, Upstream},
    plan::{Role, Topology},
    record::{Chunk, Incarnation, Partition, RawChunk, RawChunkBuilder, hash_bytes},
    runtime::{
        app::App,
        batch::in_flight::{Content, InFlight},
        group::meta::Meta,
        pool::{Attend, Working},
    },
    sink::{Intake, Shares, TwoPhaseContext, TwoPhaseSink, two_phase::Collected},
};
use std::{sync::Arc, time::Duration};

/// How the preparation of a sink ended, and how long it took.
pub type Prepared = (Result, (NodeId, Duration));

/// A share that is out of reach is looked for so often, about ten seconds: a process that is behind learns meanwhile that another one
/// has taken its place.
const MISSES_MAX: u32 = 50;

/// Where the shares of a sink come together.
struct Together {
    exchange: NodeId,
    taken_by: NodeId,
    stage: u32,
    home: Partition,
}

/// One two-phase sink.
pub struct TwoPhaseOutput {
    node: NodeId,
    stage: u32,
    /// Where all its rows come to, if they do.
    home: Option<Partition>,
    /// Where what is prepared is finished together, if several processes may prepare it.
    together: Option<Together>,
    name: String,
    sink: Box<dyn TwoPhaseSink>,
    /// Whether it is given the batch in flight.
    is_given: bool,
    /// Whether that is only the share of this process.
    is_share: bool,
    /// The rows of the batch in flight.
    rows: Collected,
    /// One of the tasks that have given them.
    given_by: Option<Upstream>,
    /// The notes on what the batch in flight finishes.
    notes: Collected,
    /// What the batch in flight has prepared.
    prepared: Option<Vec<u8>>,
    /// What is needed to finish what the batch in flight finishes.
    to_finish: Option<Vec<u8>>,
    /// How often in a row a share was out of reach.
    misses: u32,
}

impl TwoPhaseOutput {
    fn prepare(&mut self, batch: &Batch) -> Result {
        let (rows, notes) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.notes));
        if self.is_given && self.is_share {
            self.prepared = self.sink.prepare_share(batch, rows)?;
        } else if self.is_given {
            self.prepared = self.sink.prepare(batch, rows)?;
            self.to_finish.clone_from(&self.prepared);
        }
        if !notes.is_empty() {
            self.to_finish = Some(self.join(batch, notes)?);
        }
        Ok(())
    }

    fn join(&mut self, batch: &Batch, notes: Collected) -> Result<Vec<u8>> {
        let joined = self.sink.join_shares(batch, notes.rows::<Vec<u8>>().collect());
        match &joined {
            Err(Error::Log(failure)) if self.misses < MISSES_MAX => {
                if self.misses == 0 {
                    tracing::warn!("{failure}");
                }
                self.misses += 1;
            }
            Err(Error::Log(failure)) => return Err(Error::Output(failure.message.clone())),
            _ => self.misses = 0,
        }
        joined
    }

    fn finish(&mut self) -> Result {
        self.prepared = None;
        self.to_finish.take().map_or(Ok(()), |prepared| self.sink.finish(&prepared))
    }

    /// Deletes what was prepared; what cannot be deleted now is deleted at the next start. What others have prepared stays.
    fn discard(&mut self) {
        self.to_finish = None;
        if let Some(prepared) = self.prepared.take()
            && let Err(e) = self.sink.discard(&prepared)
        {
            tracing::warn!("{e}");
        }
    }

    /// Whether it ever has anything to finish.
    fn is_named(&self) -> bool {
        !self.name.is_empty()
    }
}

/// The two-phase sinks of a plan.
#[derive(Default)]
pub struct TwoPhaseOutputs(Vec<TwoPhaseOutput>);

impl TwoPhaseOutputs {
    /// The sinks of `plan`.
    #[must_use]
    pub fn of(plan: &Topology, state_partitions: u32, context: &TwoPhaseContext) -> Self {
        let home = |intake: &Intake| match intake {
            Intake::At(home) => Some(home.among(state_partitions)),
            _ => None,
        };
        let together = |intake: &Intake| match intake {
            Intake::InShares(Shares { exchange, taken_by, home }) => Some(Together {
                exchange: *exchange,
                taken_by: *taken_by,
                stage: plan.stage(*taken_by),
                home: home.among(state_partitions),
            }),
            _ => None,
        };
        let outputs = plan.iter().filter_map(|(node, n)| match &n.role {
            Role::Sink { two_phase: Some(spec), intake, .. } => Some(TwoPhaseOutput {
                node,
                stage: plan.stage(node),
                home: home(intake),
                together: together(intake),
                is_given: false,
                is_share: false,
                name: spec.name.clone(),
                sink: (spec.make)(context),
                rows: Collected::default(),
                given_by: None,
                notes: Collected::default(),
                prepared: None,
                to_finish: None,
                misses: 0,
            }),
            _ => None,
        });
        TwoPhaseOutputs(outputs.collect())
    }

    /// What the sinks are called, and where they were made.
    #[must_use]
    pub fn labels(&self, plan: &Topology) -> Vec<String> {
        let nodes = self.0.iter().map(|output| plan.node(output.node));
        nodes.map(|node| format!("{} (made at {})", node.kind, node.operation.place)).collect()
    }

    /// Whether what was committed earlier may have to be finished.
    #[must_use]
    pub fn must_recover(&self) -> bool {
        self.0.iter().any(TwoPhaseOutput::is_named)
    }

    /// Finishes what this process committed earlier, and what the former owners of its partitions committed, on the
    /// workers. `meta` was read after the committed offsets of these partitions: then no transaction of a former owner
    /// is pending.
    ///
    /// # Errors
    /// If a destination cannot be used, or what `attend` fails with.
    pub fn recover(
        &mut self,
        app: &App,
        meta: Meta,
        (incarnation, member_id): (Incarnation, &str),
        attend: Attend<'_>,
    ) -> Result {
        // Two processes with one identity can have the same incarnation while neither has committed, but
        // never the same member id.
        let incarnation = format!("{incarnation}-{:016x}", hash_bytes(member_id.as_bytes()));
        let recovering = app.pool.start(&mut self.0, move |output| {
            if output.is_named() {
                output.sink.recover(&incarnation, &meta.prepared(&output.name))
            } else {
                Ok(())
            }
        });
        recovering.wait(&mut self.0, attend)?.into_iter().collect()
    }

    /// Hands the rows of the batch to the sinks, on the workers.
    pub fn start_prepare(
        &mut self,
        app: &App,
        batch: Batch,
        in_flight: &mut InFlight,
    ) -> Working<TwoPhaseOutput, Prepared> {
        let mut rows = std::mem::take(&mut in_flight.collected);
        for output in &mut self.0 {
            output.rows = rows.swap_remove(&output.node).unwrap_or_default();
            output.given_by = in_flight.givers.swap_remove(&output.node);
            output.is_given = in_flight.has_ended(output.stage, output.home);
            output.is_share = output.together.is_some() && in_flight.content != Content::Whole;
            if let Some(together) = &output.together {
                debug_assert!(
                    !rows.contains_key(&together.taken_by)
                        || in_flight.has_ended(together.stage, Some(together.home)),
                    "notes are taken when all shares are committed"
                );
                output.notes = rows.swap_remove(&together.taken_by).unwrap_or_default();
            }
        }
        let now = app.stopwatch();
        app.pool.start(&mut self.0, move |output| {
            let began = now();
            let result = output.prepare(&batch);
            (result, (output.node, now().saturating_sub(began)))
        })
    }

    /// Waits for the sinks.
    ///
    /// # Errors
    /// What `attend` fails with.
    pub fn wait(
        &mut self,
        working: Working<TwoPhaseOutput, Prepared>,
        attend: Attend<'_>,
    ) -> Result<Vec<Prepared>> {
        working.wait(&mut self.0, attend)
    }

    /// What is sent to the first partition of topics, in the transaction of the batch; rows of the meta topic come
    /// last. Adds how long each sink took to `times`.
    ///
    /// # Errors
    /// If a destination cannot be used.
    pub fn prepared(
        &mut self,
        app: &App,
        prepared: Vec<Prepared>,
        times: &mut Vec<(NodeId, Duration)>,
    ) -> Result<Vec<(Arc<str>, RawChunk)>> {
        let (results, took): (Vec<Result>, Vec<_>) = prepared.into_iter().unzip();
        times.extend(took);
        results.into_iter().collect::<Result>()?;
        if self.0.is_empty() {
            return Ok(vec![]);
        }
        let _ = crate::failpoint::passes("after-prepare");
        let mut records: Vec<_> = self.0.iter_mut().flat_map(|output| output.sink.take_records()).collect();
        let mut meta_rows = RawChunkBuilder::default();
        for output in self.0.iter().filter(|output| output.is_named()) {
            if let Some(prepared) = &output.to_finish {
                Meta::push_prepared(&output.name, &app.env.instance, prepared, &mut meta_rows);
            }
        }
        if !meta_rows.is_empty() {
            records.push((app.names.meta.clone(), meta_rows.build()));
        }
        Ok(records)
    }

    /// The notes on what was prepared as a share, each with the state partition that it is for; after
    /// [`prepared`](TwoPhaseOutputs::prepared).
    #[must_use]
    pub fn notes(&self, plan: &Topology, batch: &Batch) -> Vec<(Partition, Envelope)> {
        let note = |output: &TwoPhaseOutput| {
            let together = output.together.as_ref().filter(|_| output.is_share)?;
            let (prepared, upstream) = (output.prepared.clone()?, output.given_by.clone()?);
            let mut edges = plan.edges().filter(|(_, edge)| edge.from.node == together.exchange);
            let (edge, _) = edges.next().expect("what takes the notes is computed");
            let chunk = Chunk::rows(vec![prepared]);
            Some((together.home, Envelope { edge, upstream, time: batch.time, chunk }))
        };
        self.0.iter().filter_map(note).collect()
    }

    /// The batch is committed.
    ///
    /// # Errors
    /// If a destination cannot be used; the next start finishes it.
    pub fn finish(&mut self) -> Result {
        let _ = crate::failpoint::passes("before-finish");
        self.0.iter_mut().try_for_each(TwoPhaseOutput::finish)
    }

    /// The batch was given up.
    pub fn discard(&mut self) {
        self.0.iter_mut().for_each(TwoPhaseOutput::discard);
    }

    /// The outcome of the batch is not known here: the next recovery reads it from the log.
    pub fn forget(&mut self) {
        self.0.iter_mut().for_each(|output| (output.prepared, output.to_finish) = (None, None));
    }
}
