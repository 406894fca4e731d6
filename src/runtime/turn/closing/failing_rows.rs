//! Rows that make a stage fail when it closes a time: they go where the policy of the sources that they come from says.
//!
//! Knows no operator. Invariants: a closing that fails is given up once, then its rows are tried before they are taken; no row
//! is left out without a trace, and what is left out is committed with the closing.

use crate::{
    error::{Error, Result},
    log::limits::shown_key,
    record::{Headers, Offset, RawRecord},
    runtime::{commit::dead_letter::dead_letter, events::Observed, turn::Loop},
    source::BadRecordPolicy,
    task::{checkpoint::Event, closing_rows::FailedRow},
};

impl Loop {
    /// An operator failed in a closing: the same closing again tries its rows first. If they were tried, it is no row's fault.
    pub(super) fn suspect_rows(&mut self, error: Error) -> Event {
        let time = self.in_flight.batch().time;
        let failed = match &error {
            Error::Operator { partition, .. } => *partition,
            _ => return self.broken(error),
        };
        let mut states = self.partitions.states.iter_mut();
        match states.find(|state| state.partition.0 == failed && state.suspect != Some(time)) {
            Some(state) => {
                tracing::debug!("a row failed; its time is closed again, row by row: {error}");
                state.suspect = Some(time);
                self.checkpoint.failure = Some(error);
                Event::GivenUp
            }
            None => self.broken(error),
        }
    }

    /// Handles the rows that state partitions have left out of the closing in flight.
    pub(super) fn leave_out_failed_rows(&mut self) -> Result {
        let states = self.partitions.states.iter_mut();
        let failed: Vec<FailedRow> = states.flat_map(|state| std::mem::take(&mut state.failed)).collect();
        failed.iter().try_for_each(|row| self.leave_out(row))
    }

    fn leave_out(&mut self, row: &FailedRow) -> Result {
        let edge = &self.app.plan.edge(row.edge).name;
        let (key, time) = (row.key.as_deref(), row.time);
        let place =
            format!("a row of `{edge}` from {}, batch time {time}, key {}", row.upstream, shown_key(key));
        let policy = self.app.plan.policy_behind(row.edge, &row.upstream);
        if policy == BadRecordPolicy::Fail {
            return Err(Error::Row(format!(
                "{place}: {}\n  next: correct the program or what produces such records, or choose the policy `skip` or `dead-letter` for the sources",
                row.error
            )));
        }
        let is_kept = policy == BadRecordPolicy::DeadLetter;
        self.in_flight.counters.dead_letters += usize::from(is_kept);
        self.in_flight.counters.skipped += usize::from(!is_kept);
        let reason = row.error.to_string();
        if is_kept {
            let headers = [
                ("__tidegate.errors.application", self.app.config.application_id.as_str()),
                ("__tidegate.errors.edge", edge),
                ("__tidegate.errors.upstream", &row.upstream.to_string()),
                ("__tidegate.errors.time", &time.0.to_string()),
                ("__tidegate.errors.message", &reason),
            ];
            let (value, timestamp_ms) = (row.value.as_deref(), row.timestamp_ms);
            let record = RawRecord { offset: Offset(0), timestamp_ms, key, value, headers: Headers::NONE };
            let letter = dead_letter(record, &headers, self.limits.topic(&self.app.names.dead_letters));
            self.transaction.hold(&self.app.names.dead_letters, None, letter)?;
        }
        self.app.observe(&Observed::BadRow { place: &place, reason: &reason, is_kept });
        Ok(())
    }
}
