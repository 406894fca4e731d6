//! Where each source partition is read from.
//!
//! Owns the facts. Decides nothing but where a first start begins: the rest is `task::recovery`. Knows no task.

use crate::{
    error::{Error, Result},
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

/// Where to read each source partition from; `seen` are the witnesses of local databases; `runs` says whether
/// this process has committed before.
///
/// # Errors
/// [`Error::Refused`] if the committed offsets contradict what was consumed, or if the log does not answer.
pub fn starts(
    app: &App,
    meta: Option<&Meta>,
    sources: &[CommittedPosition],
    seen: &[&Seen],
    runs: bool,
) -> Result<Vec<(TopicPartition, Offset)>> {
    let ran_before =
        runs || meta.is_some_and(Meta::ran_before) || sources.iter().any(|p| p.committed.is_some());
    let mut starts = vec![];
    for position in sources {
        let at = &position.at;
        let facts = SourceFacts {
            at: at.clone(),
            committed: position.committed.as_ref().map(|c| c.offset),
            witness: if app.config.accept_offsets { None } else { witness(at, meta, seen) },
            ran_before,
            start: app.env.log.start_offset(at)?,
            end: app.env.log.end_offset(at)?,
        };
        let is_first = facts.committed.is_none() && facts.witness.is_none() && !ran_before;
        match recovery::source(&facts, app.config.starting_offsets) {
            SourceDecision::From(_) if is_first => starts.push((at.clone(), first_offset(app, &facts)?)),
            SourceDecision::From(offset) => starts.push((at.clone(), offset)),
            SourceDecision::Refuse(why) => return Err(Error::Refused(why)),
        }
    }
    Ok(starts)
}

/// The greatest offset of a source partition that the meta topic or a local database has recorded as
/// consumed.
fn witness(at: &TopicPartition, meta: Option<&Meta>, seen: &[&Seen]) -> Option<Offset> {
    if crate::failpoint::passes("mutant-no-witness") {
        return None;
    }
    let place = at.to_string();
    let local = seen.iter().filter_map(|inputs| inputs.get(&place).copied()).max();
    local.max(meta.and_then(|meta| meta.witness(at)))
}

/// Where to start a partition that was never read before, in a program that never ran.
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
