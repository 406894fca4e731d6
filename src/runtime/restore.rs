//! Brings the database of a state partition to the committed state.
//!
//! Owns the reading of the changelog. Decides nothing: that is `task::recovery`. Invariants: the target is the high watermark, read
//! after the producer was ready; only committed rows are applied; rows and the record that tells how far they go are written
//! together; a restore that was cut off leaves a database without a record of that batch, so it is taken up again.

use super::{
    assignment::Held,
    engine::{Engine, Observed},
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    record::{Offset, RawChunk},
    state::{Backend, Opened},
    task::{
        recovery::{self, StateDecision, StateFacts},
        recovery_record::RecoveryRecord,
    },
};
use std::{sync::Arc, time::Duration};

/// Rows are applied in pieces of about this size, bytes.
const PIECE_BYTES: usize = 4 << 20;
/// How long the changelog may be silent before the restore stops.
const SILENCE_MAX: Duration = Duration::from_secs(60);

impl Engine {
    /// Opens, checks and restores the databases of assigned state partitions.
    pub(super) fn restore_states(&mut self, held: Vec<Held>) -> Result<Vec<super::units::StateUnit>> {
        let stores: Arc<Vec<String>> =
            Arc::new(self.plan.nodes.iter().flat_map(|n| n.stores.iter().map(|s| s.name.clone())).collect());
        let storage = self.env.storage.clone();
        let opened = self.pool.run(held, {
            let stores = stores.clone();
            move |held| storage.open(held.at.partition, &stores)
        });
        let (mut units, of) = (vec![], opened.len());
        for (held, opened) in opened {
            let unit = self.restore_state(&held, opened?, &stores)?;
            units.push(unit);
            let (partition, done) = (held.at.partition, units.len());
            self.env.observer.on(&Observed::StateReady { partition, done, of });
        }
        Ok(units)
    }

    fn restore_state(
        &mut self,
        held: &Held,
        opened: Opened,
        stores: &[String],
    ) -> Result<super::units::StateUnit> {
        let mut backend = opened.backend;
        let at = self.names.changelog_of(held.at.partition);
        if let Some(why) = opened.quarantined {
            self.env.observer.on(&Observed::Quarantined(&why));
        }
        let parse = |bytes: Vec<u8>| {
            RecoveryRecord::parse(&String::from_utf8_lossy(&bytes), &format!("the local state of {at}"))
        };
        let facts = StateFacts {
            committed: held.record.clone(),
            local: backend.record()?.map(parse).transpose()?,
            changelog_end: self.env.log.end_offset(&at)?,
            changelog_start: self.env.log.start_offset(&at)?,
            delete_retention_ms: super::topics::RETENTION_MS,
            at: at.clone(),
        };
        let target = facts.changelog_end;
        let mut seen = facts.local.as_ref().map(|l| l.inputs.clone());
        let committed = facts.committed.clone();
        let mut decision = recovery::state(&facts);
        if !opened.added.is_empty()
            && matches!(decision, StateDecision::Ready | StateDecision::RollForward(_))
        {
            // The changelog may hold rows of these stores from before they were left out: all rows are applied again.
            decision = StateDecision::RollForward(facts.changelog_start);
        }
        match decision {
            StateDecision::Ready => {}
            StateDecision::Fresh => self.check_nothing_is_committed(held, facts.changelog_start, target)?,
            StateDecision::RollForward(from) => {
                self.apply_changelog(held, &backend, from, target, committed.as_ref())?;
            }
            StateDecision::Restore => {
                self.apply_changelog(held, &backend, facts.changelog_start, target, committed.as_ref())?;
            }
            StateDecision::Quarantine(why) => {
                seen = None; // a database that the log contradicts is no witness
                drop(backend);
                self.env.observer.on(&Observed::Quarantined(&why));
                self.env.storage.quarantine(held.at.partition, &why)?;
                backend = self.env.storage.open(held.at.partition, stores)?.backend;
                self.apply_changelog(held, &backend, facts.changelog_start, target, committed.as_ref())?;
            }
            StateDecision::Refuse(why) => return Err(Error::Refused(why)),
        }
        Ok(self.state_unit(held, backend, committed, seen))
    }

    /// Applies the committed rows from `from` to `target`; the record goes in with the last piece.
    fn apply_changelog(
        &mut self,
        held: &Held,
        backend: &Arc<dyn Backend>,
        from: Offset,
        target: Offset,
        record: Option<&RecoveryRecord>,
    ) -> Result {
        let mut rows: Vec<RawChunk> = vec![];
        let mut bytes = 0;
        self.read_changelog(held, from, target, |piece| {
            let _ = crate::failpoint::passes("during-restore");
            bytes += piece.bytes();
            rows.push(piece);
            if bytes >= PIECE_BYTES {
                bytes = 0;
                backend.apply(&std::mem::take(&mut rows), None)?;
            }
            Ok(())
        })?;
        let record = record.map(RecoveryRecord::to_text);
        backend.apply(&rows, record.as_ref().map(String::as_bytes))
    }

    /// Nothing was committed for this partition: then no committed row may exist either.
    fn check_nothing_is_committed(&mut self, held: &Held, from: Offset, target: Offset) -> Result {
        let mut found = None;
        self.read_changelog(held, from, target, |piece| {
            found = found.or(piece.last_offset());
            Ok(())
        })?;
        let Some(at) = found else { return Ok(()) };
        // Both facts were read one after the other: a newer process of our identity may have committed in between.
        if self.held(std::slice::from_ref(&held.at))?.iter().any(|h| h.committed.is_some()) {
            let what = format!("{} was committed while this process started", held.at);
            return Err(Failure::new(Stage::OffsetFetch, Reaction::RetrySame, what).into());
        }
        Err(Error::Refused(format!(
            "{}: the group has no offset, but the changelog holds a committed row at {at}: the offsets expired or were deleted\n  next: restore the group's offsets, or start under a new application id",
            self.names.changelog_of(held.at.partition)
        )))
    }

    /// Hands over the committed rows of the changelog from `from` until the position passes `target`.
    fn read_changelog(
        &mut self,
        held: &Held,
        mut from: Offset,
        target: Offset,
        mut piece: impl FnMut(RawChunk) -> Result,
    ) -> Result {
        if from >= target {
            return Ok(());
        }
        let at = self.names.changelog_of(held.at.partition);
        let (first, mut told) = (from, self.env.clock.monotonic());
        let (began, mut heard) = (told, told);
        let mut reader = self.env.log.read(&at, from)?;
        tracing::info!(%at, %from, to = %target, "restoring state from the changelog");
        while from < target {
            let fetched = reader.next(Duration::from_millis(100))?;
            let now = self.env.clock.monotonic();
            self.stay_in_the_group()?;
            match fetched {
                Some(fetched) => {
                    (from, heard) = (fetched.next, now);
                    piece(fetched.records)?;
                }
                None if now.saturating_sub(heard) > SILENCE_MAX => {
                    let what = format!(
                        "{at} ends at {target}, but nothing came after {from} for {} s",
                        SILENCE_MAX.as_secs()
                    );
                    return Err(Failure::new(Stage::Fetch, Reaction::StopPipeline, what).into());
                }
                None => {}
            }
            if now.saturating_sub(told) > Duration::from_secs(1) || from >= target {
                told = now;
                self.env.observer.on(&Observed::Restoring {
                    at: &at,
                    done: from.min(target).0 - first.0,
                    total: target.0 - first.0,
                    took: now.saturating_sub(began),
                });
            }
        }
        Ok(())
    }

    /// A long restore serves the group; what it reports waits for the barrier, but for our end.
    fn stay_in_the_group(&mut self) -> Result {
        self.env.observer.on(&Observed::Alive);
        if self.env.shutdown.is_requested() {
            return Err(Error::Killed);
        }
        let heard = self.hear_group()?;
        self.events.extend(heard);
        Ok(())
    }
}
