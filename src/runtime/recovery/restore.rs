//! The restore of one state partition: what is known about its database, what has to be done, and how far
//! that has come.
//!
//! Owns the facts and the work. Decides nothing: that is `task::recovery`. Invariant: the end of the
//! changelog is read after the producer has become ready, so no transaction of an earlier owner can add to
//! it.

use super::replay::{Replay, Rows, Step};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    log::Log,
    record::{BatchTime, Offset, Token, TopicPartition},
    runtime::{
        app::App,
        batch::{state_partition::Recovered, under_restore::UnderRestore},
        clock::Clock,
        events::{Observed, Restoring},
        group::{CommittedPosition, topics::RETENTION_MS},
    },
    state::{Backend, Opened, Storage},
    task::{
        recovery::{self, StateDecision, StateFacts},
        recovery_record::RecoveryRecord,
        restore_progress::RestoreProgress,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// The part of the memory for state that rows on their way into databases may take, one in this many, for all
/// partitions together.
const PIECES_SHARE: usize = 16;

/// The size of the pieces in which rows are applied. Without threads each read is a piece, so that there are some.
fn piece_bytes(app: &App, at_once: usize) -> usize {
    if app.config.threads == 0 {
        return 1;
    }
    (app.config.state_memory_bytes / PIECES_SHARE / at_once).clamp(256 << 10, 4 << 20)
}

/// An opened database with what is known about it.
pub(super) struct Found {
    opened: Opened,
    local: Option<RecoveryRecord>,
    progress: Option<RestoreProgress>,
    changelog_start: Offset,
    changelog_end: Offset,
}

impl Found {
    /// Opens the database of a position; `at` is its changelog.
    pub fn open(
        storage: &dyn Storage,
        log: &dyn Log,
        position: &CommittedPosition,
        at: &TopicPartition,
        stores: &[String],
    ) -> Result<Self> {
        let opened = storage.open(position.at.partition, stores)?;
        let place = format!("the local state of {at}");
        let record = opened.backend.record()?;
        let local = record
            .map(|bytes| RecoveryRecord::parse(&String::from_utf8_lossy(&bytes), &place))
            .transpose()?;
        let progress =
            opened.backend.progress()?.map(|bytes| RestoreProgress::parse(&bytes, &place)).transpose()?;
        let (changelog_end, changelog_start) = (log.end_offset(at)?, log.start_offset(at)?);
        Ok(Found { opened, local, progress, changelog_start, changelog_end })
    }
}

/// What is to be done before the partition is ready.
enum Work {
    /// Nothing.
    Nothing,
    /// Nothing was committed: then the changelog must hold no committed row either.
    Check { rows: Rows, found: Option<Offset> },
    /// The changelog must be applied.
    Replay(Box<Replay>),
}

/// Nothing was committed for a partition, but its changelog holds a committed row. The two facts were read one after
/// the other: a newer process with our identity may have committed in between, so the group has to be asked again.
pub struct Contradiction {
    /// The state partition, named by its partition of the exchange topic.
    pub at: TopicPartition,
    row: Offset,
}

impl Contradiction {
    /// What it means, now that it is known whether something is committed.
    #[must_use]
    pub fn explained(&self, app: &App, is_committed: bool) -> Error {
        let Contradiction { at, row } = self;
        if is_committed {
            let what = format!("{at} was committed while this process started");
            return Failure::new(Stage::OffsetFetch, Reaction::RetrySame, what).into();
        }
        let changelog = app.names.changelog_of(at.partition);
        Error::Refused(format!(
            "{changelog}: the group has no offset, but the changelog holds a committed row at {row}: the offsets expired or were deleted\n  next: {}",
            recovery::ACCEPT_STATE
        ))
    }
}

/// A restore.
pub(super) struct Restore {
    position: CommittedPosition,
    backend: Arc<dyn Backend>,
    /// The record of the last committed batch; `None` = nothing was committed.
    record: Option<RecoveryRecord>,
    /// What the local database had recorded as consumed.
    seen: Option<BTreeMap<String, Offset>>,
    /// Whether the group does not have the record.
    is_unrecorded: bool,
    work: Work,
}

impl Restore {
    /// Decides what has to be done with an opened database.
    /// `token` names what this process takes as it is, without a committed record.
    /// `at_once` restores share the memory for rows on their way.
    pub fn decide(
        app: &App,
        token: &Token,
        position: CommittedPosition,
        found: Found,
        stores: &[String],
        at_once: usize,
    ) -> Result<Self> {
        let Found { opened, local, progress, changelog_start, changelog_end } = found;
        let Opened { mut backend, quarantined, added } = opened;
        if let Some(why) = quarantined {
            app.observe(&Observed::Quarantined(&why));
        }
        let (at, now_ms) = (app.names.changelog_of(position.at.partition), app.env.clock.now_ms());
        let accept = position.record.is_none() && (position.committed.is_some() || app.config.accept_offsets);
        let facts = StateFacts {
            committed: position.record.clone(),
            accept,
            local,
            progress,
            now_ms,
            changelog_end,
            changelog_start,
            delete_retention_ms: RETENTION_MS,
            at,
        };
        let decision = recovery::state(&facts);
        tracing::debug!(at = %facts.at, ?decision, %changelog_start, %changelog_end, "state partition");
        let mut seen = facts.local.as_ref().map(|l| l.inputs.clone());
        let mut began_ms = now_ms;
        let from = match decision {
            // The changelog may hold rows of these stores from before they were removed from the program: all
            // rows are applied again.
            StateDecision::Ready | StateDecision::RollForward(_) | StateDecision::Resume(_)
                if !added.is_empty() =>
            {
                changelog_start
            }
            StateDecision::Fresh => {
                let rows = Rows::new(&facts.at, changelog_start, changelog_end);
                let work = if rows.is_done() { Work::Nothing } else { Work::Check { rows, found: None } };
                return Ok(Restore { position, backend, record: None, seen, is_unrecorded: false, work });
            }
            StateDecision::Ready => return Ok(Restore::of_nothing(position, backend, facts.committed, seen)),
            StateDecision::Resume(_) if crate::failpoint::passes("mutant-part-is-whole") => {
                return Ok(Restore::of_nothing(position, backend, facts.committed, seen));
            }
            StateDecision::RollForward(from) => from,
            StateDecision::Resume(from) => {
                began_ms = facts.progress.as_ref().map_or(now_ms, |p| p.began_ms);
                from
            }
            StateDecision::Restore => changelog_start,
            StateDecision::Quarantine(why) => {
                seen = None; // a database that the log contradicts is not a witness
                drop(backend);
                app.observe(&Observed::Quarantined(&why));
                app.env.storage.quarantine(position.at.partition, &why)?;
                backend = app.env.storage.open(position.at.partition, stores)?.backend;
                changelog_start
            }
            StateDecision::Refuse(why) => return Err(Error::Refused(why)),
        };
        tracing::info!(at = %facts.at, %from, to = %changelog_end, "restoring state from the changelog");
        let record = facts.committed.unwrap_or_else(|| {
            let why = if position.committed.is_some() { "was set by hand" } else { "is lost" };
            tracing::warn!(
                "{}: the group's offset {why}: the state is taken as it is, which is that of the changelog up to {changelog_end}",
                facts.at
            );
            RecoveryRecord::new(token.clone(), BatchTime(now_ms), &app.fingerprint_short)
                .with_changelog_end(changelog_end)
        });
        let rows = Rows::new(&facts.at, from, changelog_end);
        let piece_bytes = piece_bytes(app, at_once);
        let replay = Replay::new(rows, backend.clone(), record.clone(), began_ms, piece_bytes);
        let work = Work::Replay(Box::new(replay));
        Ok(Restore { position, backend, record: Some(record), seen, is_unrecorded: accept, work })
    }

    /// The database is up to date.
    fn of_nothing(
        position: CommittedPosition,
        backend: Arc<dyn Backend>,
        record: Option<RecoveryRecord>,
        seen: Option<BTreeMap<String, Offset>>,
    ) -> Self {
        Restore { position, backend, record, seen, is_unrecorded: false, work: Work::Nothing }
    }

    /// The state partition, named by its partition of the exchange topic.
    pub fn at(&self) -> &TopicPartition {
        &self.position.at
    }

    /// Whether it may turn out that the program must not start.
    pub fn may_be_refused(&self) -> bool {
        matches!(self.work, Work::Check { .. })
    }

    /// Whether the group has the record to which it leads: then its partition can be ours while the restore goes on.
    pub fn is_recorded(&self) -> bool {
        !self.is_unrecorded && self.record.is_some()
    }

    /// What is known of the partition until then.
    pub fn under_restore(&self) -> UnderRestore {
        let CommittedPosition { at, committed, record } = &self.position;
        let offset = committed.as_ref().map(|committed| committed.offset).unwrap_or_default();
        UnderRestore::new(at.clone(), offset, record.as_ref(), self.seen.clone())
    }

    /// Advances by a short step. Returns whether anything was read.
    pub fn step(&mut self, log: &dyn Log, clock: &dyn Clock, step: Step) -> Result<bool> {
        match &mut self.work {
            Work::Nothing => Ok(false),
            Work::Check { rows, found } => {
                let Some(piece) = rows.next(log, clock, step.wait)? else { return Ok(false) };
                *found = found.or(piece.last_offset());
                Ok(true)
            }
            Work::Replay(replay) => replay.step(log, clock, step),
        }
    }

    /// Whether the database is up to date.
    pub fn is_done(&self) -> bool {
        match &self.work {
            Work::Nothing => true,
            Work::Check { rows, .. } => rows.is_done(),
            Work::Replay(replay) => replay.is_done(),
        }
    }

    /// How many offsets of the changelog are left to pass.
    pub fn left(&self) -> u64 {
        match &self.work {
            Work::Nothing => 0,
            Work::Check { rows, .. } => rows.left(),
            Work::Replay(replay) => replay.left(),
        }
    }

    /// How far it has come.
    pub fn progress(&self, clock: &dyn Clock) -> Restoring {
        let (done, total, took) = match &self.work {
            Work::Replay(replay) => replay.pace(clock),
            _ => Default::default(),
        };
        Restoring { partition: self.position.at.partition, done, total, took }
    }

    /// If nothing was committed for this partition, no committed row may exist either.
    pub fn contradiction(&self) -> Option<Contradiction> {
        let Work::Check { found: Some(row), .. } = &self.work else { return None };
        Some(Contradiction { at: self.position.at.clone(), row: *row })
    }

    /// The recovered partition.
    pub fn into_recovered(self) -> Recovered {
        let Restore { position, backend, record, seen, is_unrecorded, .. } = self;
        Recovered {
            exchange_next: position.committed.as_ref().map(|c| c.offset).unwrap_or_default(),
            changelog_end: record.and_then(|record| record.changelog_end).unwrap_or_default(),
            at: position.at,
            seen,
            backend,
            is_unrecorded,
        }
    }
}
