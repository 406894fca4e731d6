//! What an application has committed, read from its topics and its group.
//!
//! Owns the reading. Knows no program: everything follows from the application id and from rows that any program of this library
//! writes. Invariant: nothing is written, and a process that runs is not disturbed.

use crate::{
    error::{Error, Result, listed},
    log::{Committed, GroupMember, Log, TopicInfo},
    record::{Offset, TopicPartition},
    runtime::{
        clock::{Clock, SystemClock},
        group::meta::Meta,
        names::Names,
    },
    task::recovery_record::RecoveryRecord,
};
use std::sync::Arc;

/// An application, as it is committed now.
pub(super) struct Application {
    pub(super) id: String,
    pub(super) log: Arc<dyn Log>,
    pub(super) names: Names,
    pub(super) meta: Meta,
    /// What could not be read, if anything.
    pub(super) notice: Option<String>,
    pub(super) members: Vec<GroupMember>,
    pub(super) now_ms: i64,
}

/// A partition with what the group has committed for it.
pub(super) struct Place {
    pub(super) at: TopicPartition,
    pub(super) committed: Option<Committed>,
    /// What was committed with the offset; `None` also if that is not a record of this library.
    pub(super) record: Option<RecoveryRecord>,
    /// The first offset that is stored, and the high watermark.
    pub(super) start: Offset,
    pub(super) end: Offset,
}

impl Place {
    /// Records that are still to be read.
    pub(super) fn lag(&self) -> u64 {
        let from = self.committed.as_ref().map_or(self.start, |committed| committed.offset);
        self.end.0.saturating_sub(from.0)
    }

    /// The process that has committed last.
    pub(super) fn process(&self) -> Option<String> {
        self.record.as_ref().map(|record| record.token.instance.to_string())
    }

    /// The time of the batch that was committed last.
    pub(super) fn batch_time_ms(&self) -> Option<i64> {
        self.record.as_ref().map(|record| record.time.0)
    }
}

impl Application {
    /// Reads what is committed.
    ///
    /// # Errors
    /// [`Error::Topic`] if there is no such application; if the log does not answer.
    pub(super) fn read(log: Arc<dyn Log>, id: &str) -> Result<Self> {
        let names = Names::of(id);
        if log.describe(&[&names.meta])?[0].is_none() {
            return Err(unknown(log.as_ref(), id, &names));
        }
        let (meta, is_whole) = Meta::read_so_far(log.as_ref(), &names.meta)?;
        let notice = (!is_whole).then(|| {
            format!(
                "a transaction is open on `{}`: what is behind it cannot be read until it ends or times out, so this may be out of date",
                names.meta
            )
        });
        let members = log.members(id)?;
        Ok(Application {
            id: id.into(),
            names,
            meta,
            notice,
            members,
            now_ms: SystemClock::new().now_ms(),
            log,
        })
    }

    /// The topics that it reads and that exist, by name.
    pub(super) fn inputs(&self) -> Result<Vec<(String, TopicInfo)>> {
        let known = self.meta.known_topics();
        let found = known.iter().zip(self.log.describe(&known)?);
        Ok(found.filter_map(|(name, info)| Some(((*name).to_owned(), info?))).collect())
    }

    /// The partitions of the inputs.
    pub(super) fn input_places(&self) -> Result<Vec<Place>> {
        let inputs = self.inputs()?;
        let all = inputs.iter().flat_map(|(name, info)| {
            (0..info.partitions).map(|partition| TopicPartition::new(name.as_str(), partition))
        });
        self.places(all.collect())
    }

    /// The partitions of the exchange topic, which stand for state partitions; none in a program without state.
    pub(super) fn state_places(&self) -> Result<Vec<Place>> {
        let found = self.log.describe(&[&self.names.exchange])?.remove(0);
        let count = found.map_or(0, |info| info.partitions);
        self.places((0..count).map(|p| TopicPartition::new(self.names.exchange.clone(), p)).collect())
    }

    fn places(&self, at: Vec<TopicPartition>) -> Result<Vec<Place>> {
        let committed = self.log.last_committed(&self.id, &at)?;
        let place = |(at, committed): (TopicPartition, Option<Committed>)| {
            let (start, end) = (self.log.start_offset(&at)?, self.log.end_offset(&at)?);
            let record =
                committed.as_ref().and_then(|c| RecoveryRecord::parse(&c.metadata, "the group").ok());
            Ok(Place { at, committed, record, start, end })
        };
        at.into_iter().zip(committed).map(place).collect()
    }

    /// The first line of an answer: which application, where, and how many processes are in its group.
    pub(super) fn title(&self) -> String {
        let processes = super::display::counted(self.members.len() as u64, "process");
        let mut title = format!("{} on {}: {processes} in the group\n", self.id, self.log.name());
        if let Some(notice) = &self.notice {
            title += &format!("note: {notice}\n");
        }
        title
    }
}

/// No topic says that this application ever ran; those that did are named.
fn unknown(log: &dyn Log, id: &str, names: &Names) -> Error {
    let topics = log.topics().unwrap_or_default();
    let mut others: Vec<&str> = topics.iter().filter_map(|topic| topic.strip_suffix("-meta")).collect();
    others.sort_unstable();
    let there = match others.as_slice() {
        [] => "no application has run here yet".to_owned(),
        _ => format!("there are: {}", listed(&others)),
    };
    let what = format!(
        "does not exist ({}): no application `{id}` has run on this log; {there}\n  next: correct --application-id or --bootstrap",
        log.name()
    );
    Error::Topic { topic: names.meta.to_string(), what }
}
