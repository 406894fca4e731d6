//! Where the output of tasks goes: rows to their state partition, records to what the batch will send, lines to
//! the console.
//!
//! Knows no operator. Invariant: nothing that leaves a task is lost unless the batch is given up.

use super::Loop;
use crate::{
    error::Result,
    operator::{Output, Printed, Volume},
};

impl Loop {
    /// Passes outputs on.
    pub(super) fn route(&mut self, outputs: Vec<Output>) -> Result {
        for output in outputs {
            if let Some(sent) = &mut self.in_flight.sent_by_piece
                && !matches!(output, Output::Rows { .. })
            {
                sent.push(output);
                continue;
            }
            match output {
                Output::Rows { to, envelope } => {
                    if let Some(outgoing) = &mut self.in_flight.outgoing {
                        outgoing.add(to, &envelope)?;
                        continue;
                    }
                    let inbox = &mut self.partitions.states[to.0 as usize].inbox;
                    for stage in self.app.plan.edge(envelope.edge).stages() {
                        inbox[stage as usize - 1].push(envelope.clone());
                    }
                }
                Output::Records { topic, records } => {
                    let records = self.accepted(&topic, records)?;
                    let volume = Volume { records: records.len(), bytes: records.bytes() };
                    *self.in_flight.counters.written.entry(topic.clone()).or_default() += volume;
                    self.transaction.hold(&topic, None, records)?;
                }
                Output::Collected { node, from, chunk } => {
                    let task = self.group.topics.task_number(&from);
                    self.in_flight.collected.entry(node).or_default().push(task, chunk);
                    self.in_flight.givers.entry(node).or_insert(from);
                }
                Output::Console { node, printed: Printed { heading, rows, rows_max } } => {
                    let shown = self.in_flight.console.entry((self.in_flight.batch().time, node));
                    let shown = shown.or_insert(Printed { heading, rows: vec![], rows_max });
                    let room = rows_max.saturating_add(1).saturating_sub(shown.rows.len());
                    shown.rows.extend(rows.into_iter().take(room));
                }
            }
        }
        Ok(())
    }
}
