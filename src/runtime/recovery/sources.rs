//! Where each source partition is read from.
//!
//! Owns the facts. Decides nothing but where a first start begins: the rest is `task::recovery`. Knows no task.

use crate::{
    error::{Error, Result, listed},
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

/// Where to read each source partition from; `seen` are the witnesses of local databases.
///
/// # Errors
/// [`Error::Refused`] if the committed offsets contradict what was consumed, or if the log does not answer.
pub fn starts(
    app: &App,
    meta: Option<&Meta>,
    sources: &[CommittedPosition],
    seen: &[&Seen],
) -> Result<Vec<(TopicPartition, Offset)>> {
    let mut starts = vec![];
    for position in sources {
        let at = &position.at;
        let facts = SourceFacts {
            at: at.clone(),
            committed: position.committed.as_ref().map(|c| c.offset),
            witness: witness(at, meta, seen),
            is_first: meta.is_some_and(|meta| meta.is_first(at)),
            accept: app.config.accept_offsets,
            start: app.env.log.start_offset(at)?,
            end: app.env.log.end_offset(at)?,
        };
        let from = match recovery::source(&facts) {
            SourceDecision::First => first_offset(app, &facts)?,
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
    starts: &[(TopicPartition, Offset)],
) -> Result {
    let foreign = |p: &&CommittedPosition| p.committed.is_some() && p.record.is_none();
    let ran_before = meta.is_some_and(Meta::ran_before);
    let (mut places, mut passed) = (vec![], 0);
    for position in sources.iter().filter(foreign) {
        let from = starts.iter().find(|(at, _)| *at == position.at).map_or(Offset(0), |(_, from)| *from);
        places.push(format!("{} from {from}", position.at));
        passed += from.0.saturating_sub(app.env.log.start_offset(&position.at)?.0);
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
    Ok(())
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

/// Where to start a partition that was never read before, and that the setting for a first start covers.
fn first_offset(app: &App, facts: &SourceFacts) -> Result<Offset> {
    let of_program = || Starting::from(app.config.starting_offsets);
    let at = &facts.at;
    let starting = app.plan.source_of(&at.topic).and_then(|(_, source)| source.starting.clone());
    match starting.unwrap_or_else(of_program) {
        Starting::Earliest => Ok(facts.start),
        Starting::Latest => Ok(facts.end),
        Starting::Timestamp(ms) => app.env.log.offset_at(at, ms),
        Starting::Offsets(offsets) => match offsets.get(at) {
            Some(offset) if (facts.start..=facts.end).contains(offset) => Ok(*offset),
            Some(offset) => Err(Error::Refused(format!(
                "{at}: is to be read from {offset} on, but there is {} to {}\n  next: name an offset between them",
                facts.start, facts.end
            ))),
            None if of_program() == Starting::Latest => Ok(facts.end),
            None => Ok(facts.start),
        },
    }
}
