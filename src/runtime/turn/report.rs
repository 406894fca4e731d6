//! Reports batches to observers, and to the parts that learn from them.
//!
//! Decides nothing. Invariant: a batch is reported once as done; a doubtful one once more, when its outcome
//! is known.

use super::Loop;
use crate::{
    config::Trigger,
    operator::Batch,
    runtime::events::{BatchReport, Observed},
};

impl Loop {
    /// The batch in flight is done.
    pub(super) fn report(&mut self, committed: bool) {
        let batch = self.in_flight.batch();
        let has_input = self.in_flight.content.has_input();
        let is_part = self.in_flight.is_part || crate::failpoint::passes("mutant-part-after-mark");
        if has_input && is_part {
            self.pace.part_done(batch, self.in_flight.has_no_room.then(|| self.app.now()));
        } else if has_input {
            self.pace.done(batch, !self.bisection.is_active());
        }
        if has_input && self.app.config.trigger == Trigger::Once && self.pace.has_done_a_whole_batch() {
            let left = self.partitions.records_left();
            if left > 0 {
                tracing::warn!("the batch was full: about {left} records are left for the next run");
            }
        }
        for ((time, node), printed) in &self.in_flight.console {
            self.app.observe(&Observed::Console { node: *node, time: *time, printed });
        }
        let report = self.batch_report(batch, committed);
        self.app.observe(&Observed::Batch(&report));
        let (staged_bytes, began_ms) = (self.in_flight.staged_bytes, self.in_flight.began_ms);
        if !has_input {
            return;
        }
        self.pace.learn(&report, staged_bytes, began_ms, self.app.env.clock.now_ms());
    }

    /// The batch in flight was given up, or its outcome is not known.
    pub(super) fn report_replayed(&mut self, unknown: bool) {
        let took = self.app.since(self.in_flight.began);
        let report = self.in_flight.batch.filter(|_| !unknown).map(|batch| self.batch_report(batch, false));
        let why = self.checkpoint.failure.as_ref().map(ToString::to_string);
        let (report, why) = (report.as_ref(), why.as_deref());
        self.app.observe(&Observed::Replayed { report, why, unknown, took });
    }

    fn batch_report(&mut self, batch: Batch, committed: bool) -> BatchReport {
        let (partitions, in_flight) = (&mut self.partitions, &mut self.in_flight);
        let mut work = partitions.take_work();
        in_flight
            .two_phase_times
            .drain(..)
            .for_each(|(node, time)| work.entry(node).or_default().time += time);
        let is_sized = self.witness.is_due(); // sizes are read only every few seconds
        BatchReport {
            id: batch.id.0,
            time_ms: batch.time.0,
            ahead_ms: batch.ahead_ms(),
            counters: std::mem::take(&mut in_flight.counters),
            total: self.app.since(in_flight.began),
            checkpoint: self.app.since(in_flight.input_ended),
            phases: in_flight.phases,
            committed,
            state_bytes: if is_sized {
                partitions.of_databases(|backend| backend.size_bytes())
            } else {
                vec![]
            },
            state_rows: if is_sized { partitions.of_databases(|backend| backend.rows()) } else { vec![] },
            positions: partitions.positions(),
            waited: in_flight.waited,
            inputs: std::mem::take(&mut in_flight.inputs),
            work: work.into_iter().collect(),
        }
    }
}
