//! Outputs outside the log in the loop: prepared before the commit, finished after it.
//!
//! Owns the order of their two steps and the rows of the meta topic that carry them over a crash. Knows no format. Invariants: nothing is
//! finished before its batch is committed; before the first batch everything that was committed is finished.

use super::{engine::Engine, meta::Meta};
use crate::{
    error::Result,
    operator::{Batch, NodeId},
    plan::{Role, Topology},
    record::{Partition, RawChunkBuilder, hash_bytes},
    sink::{TwoPhaseContext, TwoPhaseSink, two_phase::Collected},
};

/// One output outside the log.
pub struct TwoPhaseOutput {
    node: NodeId,
    name: String,
    two_phase: Box<dyn TwoPhaseSink>,
    /// Of the batch in flight.
    prepared: Option<Vec<u8>>,
}

/// The outputs of a plan.
#[must_use]
pub fn outputs(plan: &Topology, context: &TwoPhaseContext) -> Vec<TwoPhaseOutput> {
    let unit = |(node, n): (NodeId, &crate::plan::Node)| match &n.role {
        Role::Sink { two_phase: Some(spec), .. } => {
            let (name, two_phase) = (spec.name.clone(), (spec.make)(context));
            Some(TwoPhaseOutput { node, name, two_phase, prepared: None })
        }
        _ => None,
    };
    plan.iter().filter_map(unit).collect()
}

impl TwoPhaseOutput {
    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        self.prepared = self.two_phase.prepare(batch, rows)?;
        Ok(self.prepared.clone())
    }

    fn finish(&mut self) -> Result {
        self.prepared.take().map_or(Ok(()), |prepared| self.two_phase.finish(&prepared))
    }

    /// Deletes what was prepared; what cannot be deleted now is deleted at the next start.
    fn discard(&mut self) {
        if let Some(prepared) = self.prepared.take()
            && let Err(e) = self.two_phase.discard(&prepared)
        {
            tracing::warn!("{e}");
        }
    }
}

impl Engine {
    /// Finishes what was committed by this process before, and by those whose partitions it takes over. To be called once the committed
    /// offsets of these partitions were read: then no transaction of their former owner is pending.
    pub(super) fn recover_two_phase(&mut self, member_id: &str) -> Result {
        if self.two_phase.iter().all(|unit| unit.name.is_empty()) {
            return Ok(());
        }
        let meta = Meta::read(self.env.log.as_ref(), &self.names.meta)?;
        // Two processes of one identity can have the same incarnation while neither has committed; never the same member id.
        let incarnation = self.incarnation.expect("taken before");
        let life = format!("{incarnation}-{:016x}", hash_bytes(member_id.as_bytes()));
        for unit in self.two_phase.iter_mut().filter(|unit| !unit.name.is_empty()) {
            unit.two_phase.recover(&life, &meta.prepared(&unit.name))?;
        }
        Ok(())
    }

    /// Hands the rows of the batch to the outputs, and sends what finishing them takes. The trial of a failing record leaves no trace.
    pub(super) fn prepare_two_phase(&mut self, batch: &Batch) -> Result {
        if self.two_phase.is_empty() || self.accused.is_some() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.flight.collected);
        let units = std::mem::take(&mut self.two_phase);
        let work = units.into_iter().map(|unit| {
            let rows = rows.swap_remove(&unit.node).unwrap_or_default();
            (unit, Some(rows))
        });
        let batch = *batch;
        let now = self.stopwatch();
        let results = self.pool.run(work.collect(), move |(unit, rows)| {
            let began = now();
            let prepared = unit.prepare(&batch, rows.take().unwrap_or_default());
            (prepared, now().saturating_sub(began))
        });
        let (units, results): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.two_phase = units.into_iter().map(|(unit, _)| unit).collect();
        let (prepared, times): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.flight.two_phase_times = self.two_phase.iter().map(|unit| unit.node).zip(times).collect();
        let mut meta_rows = RawChunkBuilder::default();
        for (index, prepared) in prepared.into_iter().enumerate() {
            if let Some(prepared) = prepared?.filter(|_| !self.two_phase[index].name.is_empty()) {
                Meta::push_prepared(
                    &self.two_phase[index].name,
                    &self.env.instance,
                    &prepared,
                    &mut meta_rows,
                );
            }
        }
        let _ = crate::failpoint::passes("after-prepare");
        let records: Vec<_> =
            self.two_phase.iter_mut().flat_map(|unit| unit.two_phase.take_records()).collect();
        for (topic, records) in &records {
            self.send(topic, Some(Partition(0)), records)?;
        }
        if !meta_rows.is_empty() {
            let meta = self.names.meta.clone();
            self.send(&meta, Some(Partition(0)), &meta_rows.build())?;
        }
        Ok(())
    }

    /// The batch is committed.
    pub(super) fn finish_two_phase(&mut self) -> Result {
        let _ = crate::failpoint::passes("before-finish");
        self.two_phase.iter_mut().try_for_each(TwoPhaseOutput::finish)
    }

    /// The batch was given up.
    pub(super) fn discard_two_phase(&mut self) {
        self.two_phase.iter_mut().for_each(TwoPhaseOutput::discard);
    }

    /// The outcome of the batch is not ours to know: the next recovery reads it from the log.
    pub(super) fn forget_two_phase(&mut self) {
        self.two_phase.iter_mut().for_each(|unit| unit.prepared = None);
    }
}
