//! Where each source partition is read from.
//!
//! Owns the facts; what the log is asked for can be asked on any thread. Decides nothing but where a first start begins: the rest is `task::recovery`. Knows no task.

use crate::{
    error::{Error, Result, listed},
    log::Log,
    record::{Offset, TopicPartition},
    runtime::{
        app::App,
        group::{CommittedPosition, meta::Meta},
    },
    source::Starting,
    task::recovery::{self, SourceDecision, SourceFacts},
};
use std::collections::BTreeMap;

/// The source offsets that a local database has recorded as consumed.
pub type Seen = BTreeMap<String, Offset>;

/// What the log holds of a source partition.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// The offset of the first record.
    start: Offset,
    /// The high watermark.
    pub end: Offset,
    /// Where the records begin that are not older than the time at which a first start begins.
    of_time: Option<Offset>,
}

/// Asks what the log holds of these source partitions, in order.
pub fn bounds(
    app: &App,
    meta: Option<&Meta>,
    sources: &[CommittedPosition],
) -> impl FnOnce(&dyn Log) -> Result<Vec<Bounds>> + Send + use<> {
    let of = |position: &CommittedPosition| {
        let at = &position.at;
        let is_first = position.committed.is_none() && meta.is_some_and(|meta| meta.is_first(at));
        let from_ms = match starting(app, at) {
            Starting::Timestamp(ms) if is_first => Some(ms),
            _ => None,
        };
        (at.clone(), from_ms)
    };
    let asked: Vec<_> = sources.iter().map(of).collect();
    move |log| {
        let read = |(at, from_ms): (TopicPartition, Option<i64>)| {
            let (start, end) = (log.start_offset(&at)?, log.end_offset(&at)?);
            Ok(Bounds { start, end, of_time: from_ms.map(|ms| log.offset_at(&at, ms)).transpose()? })
        };
        asked.into_iter().map(read).collect()
    }
}

/// Where to read each source partition from; `bounds` are theirs, `seen` are the witnesses of local databases.
///
/// # Errors
/// [`Error::Refused`] if the committed offsets contradict what was consumed.
pub fn starts(
    app: &App,
    meta: Option<&Meta>,
    sources: &[CommittedPosition],
    bounds: &[Bounds],
    seen: &[&Seen],
) -> Result<Vec<(TopicPartition, Offset)>> {
    let mut starts = vec![];
    for (position, bounds) in sources.iter().zip(bounds) {
        let at = &position.at;
        let facts = SourceFacts {
            at: at.clone(),
            committed: position.committed.as_ref().map(|c| c.offset),
            witness: witness(at, meta, seen),
            is_first: meta.is_some_and(|meta| meta.is_first(at)),
            accept: app.config.accept_offsets,
            start: bounds.start,
            end: bounds.end,
        };
        let from = match recovery::source(&facts) {
            SourceDecision::First => first_offset(app, &facts, bounds.of_time)?,
            SourceDecision::From(offset) => offset,
            SourceDecision::Refuse(why) => return Err(Error::Refused(why)),
        };
        starts.push((at.clone(), from));
    }
    Ok(starts)
}

/// Says where reading begins at an offset that this application has not committed.
pub fn report_offsets_of_others(
    app: &App,
    meta: Option<&Meta>,
    sources: &[CommittedPosition],
    bounds: &[Bounds],
    starts: &[(TopicPartition, Offset)],
) {
    let foreign = |p: &CommittedPosition| p.committed.is_some() && p.record.is_none();
    let ran_before = meta.is_some_and(Meta::ran_before);
    let (mut places, mut passed) = (vec![], 0);
    for (position, bounds) in sources.iter().zip(bounds).filter(|(position, _)| foreign(position)) {
        let from = starts.iter().find(|(at, _)| *at == position.at).map_or(Offset(0), |(_, from)| *from);
        places.push(format!("{} from {from}", position.at));
        passed += from.0.saturating_sub(bounds.start.0);
    }
    if !places.is_empty() && !ran_before {
        tracing::warn!(
            "another consumer of the group `{}` has left offsets in it: reading begins there ({}), the {passed} records before them are not read, and the setting for a first start does not apply",
            app.config.application_id,
            listed(&places)
        );
    }
    let lost = sources.iter().filter(|p| p.committed.is_none() && ran_before && app.config.accept_offsets);
    for position in lost {
        let found = starts.iter().find(|(at, _)| *at == position.at);
        if let Some((at, from)) = found.filter(|(at, _)| !meta.is_some_and(|meta| meta.is_new(&at.topic))) {
            tracing::warn!(
                "{at}: the group has no offset; reading begins at {from}, the last known one, as --accept-offsets says: records that were processed after it was noted are processed again"
            );
        }
    }
}

/// The greatest offset of a source partition that the meta topic or a local database has recorded as
/// consumed.
fn witness(at: &TopicPartition, meta: Option<&Meta>, seen: &[&Seen]) -> Option<Offset> {
    if crate::failpoint::passes("mutant-no-witness") {
        return None;
    }
    if meta.is_some_and(|meta| meta.is_new(&at.topic)) {
        return None;
    }
    let place = at.to_string();
    let has_returned = meta.is_some_and(|meta| meta.has_returned(&at.topic));
    let seen = seen.iter().filter(|_| !has_returned);
    let local = seen.filter_map(|inputs| inputs.get(&place).copied()).max();
    local.max(meta.and_then(|meta| meta.witness(at)))
}

/// Where a first start begins in a partition.
fn starting(app: &App, at: &TopicPartition) -> Starting {
    let starting = app.plan.source_of(&at.topic).and_then(|(_, source)| source.starting.clone());
    starting.unwrap_or_else(|| Starting::from(app.config.starting_offsets))
}

/// Where to start a partition that was never read before, and that the setting for a first start covers; `of_time`
/// is where its records begin that are not older than a given time.
fn first_offset(app: &App, facts: &SourceFacts, of_time: Option<Offset>) -> Result<Offset> {
    let at = &facts.at;
    match starting(app, at) {
        Starting::Earliest => Ok(facts.start),
        Starting::Latest => Ok(facts.end),
        Starting::Timestamp(_) => {
            Ok(of_time.expect("asked for each partition that starts for the first time"))
        }
        Starting::Offsets(offsets) => match offsets.get(at) {
            Some(offset) if (facts.start..=facts.end).contains(offset) => Ok(*offset),
            Some(offset) => Err(Error::Refused(format!(
                "{at}: is to be read from {offset} on, but there is {} to {}\n  next: name an offset between them",
                facts.start, facts.end
            ))),
            None if Starting::from(app.config.starting_offsets) == Starting::Latest => Ok(facts.end),
            None => Ok(facts.start),
        },
    }
}
