//! The consumer group: our place in it, what it assigns and revokes, our identity in it, and the topics that
//! it covers.
//!
//! Owns the member, the handle that fetches, the events that wait for the barrier, and the partitions that wait to be
//! recovered. Knows no task and no batch.
//! Invariants: events are served only at the barrier, in their order; a partition is given back only once nothing of it is in flight.

mod discovery;
mod fencing;
pub mod guarantee;
pub mod identity;
pub mod meta;
mod ownership;
pub mod peers;
mod shards;
pub mod topics;
mod unassigned;

use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Committed, Fetch, FetchSpec, Fetcher, GroupEvent, GroupSpec, Member, Membership, Question},
    record::{Offset, TopicPartition},
    runtime::{app::App, events::Observed},
    task::recovery_record::RecoveryRecord,
};
use discovery::Discovery;
use fencing::Fencing;
use identity::Identity;
use ownership::Ownership;
pub use ownership::{LOOK_EVERY, others, rivals};
use std::time::Duration;
use topics::Topics;
use unassigned::Unassigned;

/// What is found in the log while the loop goes on.
pub enum Look {
    /// The topics that the program reads.
    Topics(topics::Found),
    /// Partitions that no process read in a generation of the group.
    Unassigned {
        /// The generation.
        generation: i32,
        /// The partitions.
        at: Vec<TopicPartition>,
    },
}

/// A partition with what the group has committed for it.
pub struct CommittedPosition {
    /// The partition.
    pub at: TopicPartition,
    /// The committed offset and its metadata.
    pub committed: Option<Committed>,
    /// The metadata, parsed.
    pub record: Option<RecoveryRecord>,
}

/// Our place in the group.
pub struct Group {
    /// `None` = we are outside: nothing is assigned to us, and nobody waits for us.
    member: Option<Box<dyn Member>>,
    /// Fetches what is ours; made anew with each membership.
    fetch: Option<Box<dyn Fetch>>,
    /// Our member id when our partitions were recovered.
    member_id: String,
    /// What happened while something else was waited for.
    events: Vec<GroupEvent>,
    /// How the membership was lost while something else was waited for.
    lost: Option<Failure>,
    /// Partitions that are ours but not recovered.
    pub unrecovered: Vec<TopicPartition>,
    /// The membership is of no further use; a new one is requested at the barrier.
    must_rejoin: bool,
    /// The topics that the program reads, as far as they are known.
    pub topics: Topics,
    /// Our identity in it.
    pub identity: Identity,
    discovery: Discovery,
    unassigned: Unassigned,
    ownership: Ownership,
    /// Processes that are gone.
    pub fencing: Fencing,
}

impl Group {
    /// Outside the group of a program that reads these topics; it is joined at the first barrier.
    #[must_use]
    pub fn outside(app: &App, topics: Topics) -> Self {
        Group {
            member: None,
            fetch: None,
            member_id: String::new(),
            events: vec![],
            lost: None,
            unrecovered: vec![],
            must_rejoin: true,
            topics,
            identity: Identity::default(),
            discovery: Discovery::since(app.now()),
            unassigned: Unassigned::default(),
            ownership: Ownership::default(),
            fencing: Fencing::default(),
        }
    }

    /// Joins the group, once the old membership is [left](Group::leave).
    ///
    /// # Errors
    /// If the group cannot be joined.
    pub fn join(&mut self, app: &App) -> Result {
        let fetch = app.env.log.fetch(&FetchSpec {
            buffer_bytes: app.config.receive_buffer_bytes,
            partitions: self.topics.inputs.values().map(|info| info.partitions as usize).sum(),
        })?;
        let spec = GroupSpec {
            group: app.config.application_id.clone(),
            instance: app.env.instance.0.to_string(),
            topics: self.subscription(app),
            session_timeout: app.config.session_timeout,
        };
        self.member = Some(app.env.log.join(&spec, fetch.wake())?);
        self.fetch = Some(fetch);
        self.must_rejoin = false;
        Ok(())
    }

    /// Gives the membership up, to join the group anew at a later barrier: what it holds, was told or still waits
    /// for no longer counts. Returns the member, which has yet to [leave](Member::leave). (Subscribing again is not
    /// enough: in the middle of a rebalance the client takes that as no change.)
    #[must_use]
    pub fn leave(&mut self) -> Option<Box<dyn Member>> {
        self.unrecovered.clear();
        self.events.clear();
        self.lost = None;
        self.must_rejoin = true;
        self.fetch = None;
        self.member.take()
    }

    fn joined(&self) -> Result<&dyn Member, Failure> {
        self.member.as_deref().ok_or_else(outside)
    }

    fn joined_mut(&mut self) -> Result<&mut (dyn Member + 'static), Failure> {
        self.member.as_deref_mut().ok_or_else(outside)
    }

    /// The partitions were given up: has the membership replaced at the next barrier.
    pub fn abandon(&mut self) {
        self.must_rejoin = true;
    }

    /// Whether the membership is waiting to be replaced.
    #[must_use]
    pub fn must_rejoin(&self) -> bool {
        self.must_rejoin
    }

    /// Whether everything that the group has assigned is recovered and the membership is not about to be
    /// replaced.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.unrecovered.is_empty() && !self.must_rejoin
    }

    /// Asks the group what happened. Its events wait for [`Group::take_events`].
    ///
    /// # Errors
    /// If the membership is lost, for now or for good.
    pub fn poll(&mut self, app: &App) -> Result<(), Failure> {
        let heard = self.member.as_mut().map_or(Ok(vec![]), |member| member.poll())?;
        for event in heard {
            if let GroupEvent::Revoking(at) = &event
                && crate::failpoint::passes("mutant-release-at-once")
            {
                self.release(at)?;
            }
            if let GroupEvent::Connection(why) = event {
                app.observe(&Observed::Connection(why.as_deref()));
            } else {
                self.events.push(event);
            }
        }
        Ok(())
    }

    /// As [`Group::poll`], while something else is waited for: that the membership is lost waits for
    /// [`Group::take_loss`].
    pub fn hear(&mut self, app: &App) {
        app.observe(&Observed::Alive);
        if let Err(failure) = self.poll(app) {
            self.lost.get_or_insert(failure);
        }
    }

    /// Whether the membership was lost while something else was waited for.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// How the membership was lost while something else was waited for, if it was. Whether our place was taken is examined
    /// only at the barrier.
    ///
    /// # Errors
    /// The failure, once.
    pub fn take_loss(&mut self) -> Result<(), Failure> {
        match self.lost.take() {
            None => Ok(()),
            Some(f) if f.reaction == Reaction::Exit => Err(Failure { reaction: Reaction::CloseTasks, ..f }),
            Some(f) => Err(f),
        }
    }

    /// Whether an event is waiting for the barrier.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened since the last barrier.
    pub fn take_events(&mut self) -> Vec<GroupEvent> {
        std::mem::take(&mut self.events)
    }

    /// Gives partitions back.
    ///
    /// # Errors
    /// If the group refuses. A membership that is over cannot be answered: the next poll reports how it
    /// ended.
    pub fn release(&mut self, at: &[TopicPartition]) -> Result<(), Failure> {
        match self.joined_mut()?.release(at) {
            Err(f) if f.reaction == Reaction::CloseTasks => {
                tracing::warn!("{f}");
                Ok(())
            }
            released => released,
        }
    }

    /// Takes over what the group has assigned, if it waits for that.
    ///
    /// # Errors
    /// If the assignment has been replaced meanwhile.
    pub fn accept(&mut self) -> Result<(), Failure> {
        self.joined_mut()?.accept()
    }

    /// Fetches partitions that are recovered, from these offsets; `is_first`: we hold none yet.
    ///
    /// # Errors
    /// If they cannot be fetched, or we were expelled and admitted again since we took over those that we hold.
    pub fn start(
        &mut self,
        at: &[(TopicPartition, Offset)],
        membership: Membership,
        is_first: bool,
    ) -> Result<Vec<Box<dyn Fetcher>>, Failure> {
        if !is_first && membership.member_id != self.member_id {
            let what = "expelled from the group and admitted again";
            return Err(Failure::new(Stage::Group, Reaction::CloseTasks, what));
        }
        let fetchers = self.fetch.as_mut().ok_or_else(outside)?.start(at)?;
        self.member_id = membership.member_id;
        Ok(fetchers)
    }

    /// Our current membership in the group.
    ///
    /// # Errors
    /// If we have not joined the group.
    pub fn membership(&self) -> Result<Membership, Failure> {
        self.joined()?.membership()
    }

    /// Whether we are no longer the member that recovered our partitions, or have lost them: nothing of them
    /// may be committed.
    #[must_use]
    pub fn is_lost(&self, membership: &Membership) -> bool {
        membership.member_id != self.member_id || self.joined().is_ok_and(Member::assignment_lost)
    }

    /// Whether we were expelled and admitted again: such a member may be told only of new partitions, or of
    /// nothing; those it held are lost.
    #[must_use]
    pub fn was_expelled(&self) -> bool {
        self.membership().is_ok_and(|m| m.member_id != self.member_id)
    }

    /// Blocks until records or an event may be available, or `timeout` has passed.
    pub fn wait(&mut self, timeout: Duration) {
        if let Some(fetch) = &mut self.fetch {
            fetch.wait(timeout);
        }
    }

    /// Asks for the committed offsets of partitions, to be read once no transaction on them is pending.
    ///
    /// # Errors
    /// If we have not joined the group.
    pub fn committed(&self, at: &[TopicPartition]) -> Result<Question<Vec<Option<Committed>>>, Failure> {
        Ok(self.joined()?.committed(at))
    }

    /// Ends the membership; with `leave` the group is notified at once.
    pub fn close(self, leave: bool) {
        if let Some(member) = self.member {
            member.close(leave);
        }
    }
}

fn outside() -> Failure {
    Failure::new(Stage::Group, Reaction::RetrySame, "this process is not in the group")
}

impl CommittedPosition {
    /// The offset of a partition with its recovery record.
    ///
    /// # Errors
    /// If the record is not ours.
    pub fn of(app: &App, at: &TopicPartition, committed: Option<Committed>) -> Result<Self> {
        let parse = |c: &Committed| {
            RecoveryRecord::parse(&c.metadata, &format!("{at} in group {}", app.config.application_id))
        };
        // Offsets that were set from outside, for example with Kafka's own tools, come without metadata.
        let record = committed.as_ref().filter(|c| !c.metadata.is_empty()).map(parse).transpose()?;
        Ok(CommittedPosition { at: at.clone(), committed, record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_held_under_another_member_id_is_not_added_to() {
        let mut group = Group {
            member: None,
            fetch: None,
            member_id: "a-1".into(),
            events: vec![],
            lost: None,
            unrecovered: vec![],
            must_rejoin: false,
            topics: Topics::default(),
            identity: Identity::default(),
            discovery: Discovery::since(Duration::ZERO),
            unassigned: Unassigned::default(),
            ownership: Ownership::default(),
            fencing: Fencing::default(),
        };
        let mut start = |member_id: &str, is_first| {
            let handle = Arc::new(());
            let membership = Membership { member_id: member_id.into(), generation: 1, handle };
            group.start(&[], membership, is_first).err().map(|f| f.reaction)
        };
        assert_eq!(start("a-2", false), Some(Reaction::CloseTasks), "expelled and admitted again");
        // Nothing is wrong but that this one is outside the group.
        assert_eq!(
            (start("a-1", false), start("a-2", true)),
            (Some(Reaction::RetrySame), Some(Reaction::RetrySame))
        );
    }
}
