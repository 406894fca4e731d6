//! Two-phase sinks: prepared before the commit, finished after it.
//!
//! Owns the order of the two steps, and the rows of the meta topic that carry them over a crash. Knows no format. Invariants: nothing is
//! finished before its batch is committed; before the first batch everything that was committed is finished.

use crate::{
    error::Result,
    operator::{Batch, NodeId},
    plan::{Role, Topology},
    record::{Incarnation, Partition, RawChunk, RawChunkBuilder, hash_bytes},
    runtime::{
        app::App,
        batch::in_flight::InFlight,
        group::meta::Meta,
        pool::{Attend, Working},
    },
    sink::{Intake, TwoPhaseContext, TwoPhaseSink, two_phase::Collected},
};
use std::{sync::Arc, time::Duration};

/// How the preparation of a sink ended, and how long it took.
pub type Prepared = (Result, (NodeId, Duration));

/// One two-phase sink.
pub struct TwoPhaseOutput {
    node: NodeId,
    stage: u32,
    /// Where all its rows come to, if they do.
    home: Option<Partition>,
    name: String,
    sink: Box<dyn TwoPhaseSink>,
    /// Whether it is given the batch in flight.
    is_given: bool,
    /// The rows of the batch in flight.
    rows: Collected,
    /// What is needed to finish the batch in flight.
    prepared: Option<Vec<u8>>,
}

impl TwoPhaseOutput {
    fn finish(&mut self) -> Result {
        self.prepared.take().map_or(Ok(()), |prepared| self.sink.finish(&prepared))
    }

    /// Deletes what was prepared; what cannot be deleted now is deleted at the next start.
    fn discard(&mut self) {
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
        let outputs = plan.iter().filter_map(|(node, n)| match &n.role {
            Role::Sink { two_phase: Some(spec), intake, .. } => Some(TwoPhaseOutput {
                node,
                stage: plan.stage(node),
                home: home(intake),
                is_given: false,
                name: spec.name.clone(),
                sink: (spec.make)(context),
                rows: Collected::default(),
                prepared: None,
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
            output.is_given = in_flight.has_ended(output.stage, output.home);
        }
        let now = app.stopwatch();
        app.pool.start(&mut self.0, move |output| {
            let began = now();
            if !output.is_given {
                return (Ok(()), (output.node, Duration::ZERO));
            }
            let prepared = output.sink.prepare(&batch, std::mem::take(&mut output.rows));
            let result = prepared.map(|prepared| output.prepared = prepared);
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
            if let Some(prepared) = &output.prepared {
                Meta::push_prepared(&output.name, &app.env.instance, prepared, &mut meta_rows);
            }
        }
        if !meta_rows.is_empty() {
            records.push((app.names.meta.clone(), meta_rows.build()));
        }
        Ok(records)
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
        self.0.iter_mut().for_each(|output| output.prepared = None);
    }
}
