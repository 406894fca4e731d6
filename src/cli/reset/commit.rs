//! Makes a reset durable: in the group's name, while nobody else is in it.
//!
//! Owns the membership. Invariants: the only member of the group commits, so a process that starts meanwhile makes the commit fail
//! instead of losing its own; what a process that is gone has left open ends first.

use super::emptying;
use crate::{
    cli::application::{Application, Place},
    error::{Error, Reaction, Result},
    log::{Committed, GroupEvent, GroupSpec, Member, Producer, ProducerSpec, RequestSizes},
    record::{InstanceId, RawChunk, TopicPartition},
    runtime::{
        clock::{Clock, SystemClock},
        names::transactional_id,
    },
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// The name of this process in the group.
const INSTANCE: &str = "tidegate-reset";
/// How long the group may take to admit us.
const JOIN: Duration = Duration::from_secs(60);
const SESSION: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether somebody else has come; whoever comes also makes the commit fail.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const BUFFER_BYTES: usize = 32 << 20;

/// What a reset commits.
pub(super) struct Change {
    /// Where reading goes on.
    pub(super) offsets: Vec<(TopicPartition, Committed)>,
    /// Rows of the meta topic.
    pub(super) rows: RawChunk,
    /// The state partitions that are emptied, by their partitions of the changelog.
    pub(super) emptied: Vec<TopicPartition>,
    /// The log gives it up after so long.
    pub(super) timeout: Duration,
}

/// Commits a change; `inputs` and `states` are all partitions of the application. Returns how many keys were deleted.
///
/// # Errors
/// If somebody is in the group, or the log refuses; nothing is changed then, unless the outcome is said to be unknown.
pub(super) fn commit(app: &Application, inputs: &[Place], states: &[Place], change: &Change) -> Result<u64> {
    let mut seat = Seat::join(app, inputs, states)?;
    let done = seat.wait().and_then(|()| commit_as(&mut seat, app, inputs, states, change));
    seat.leave();
    done
}

fn commit_as(
    seat: &mut Seat<'_>,
    app: &Application,
    inputs: &[Place],
    states: &[Place],
    change: &Change,
) -> Result<u64> {
    refuse_changes(app, inputs, states)?;
    end_what_is_open(app, inputs, states)?;
    let mut producer = app.log.producer(&spec(app, &InstanceId(INSTANCE.into()), change.timeout))?;
    producer.init()?;
    producer.begin()?;
    let written = write(app, change, producer.as_mut(), seat);
    if written.is_err() {
        let _ = producer.abort();
    }
    written
}

fn write(
    app: &Application,
    change: &Change,
    producer: &mut dyn Producer,
    seat: &mut Seat<'_>,
) -> Result<u64> {
    let mut deleted = 0;
    for changelog in &change.emptied {
        deleted += emptying::empty(app.log.as_ref(), changelog, producer, &mut || seat.keep())?;
    }
    producer.send(&app.names.meta, None, &change.rows)?;
    producer.flush()?;
    seat.serve()?;
    seat.must_be_alone()?;
    let membership = seat.member.membership()?;
    match producer.commit(&change.offsets, &membership) {
        Ok(()) => Ok(deleted),
        Err(f) if f.reaction == Reaction::Unknown => Err(Error::Refused(format!(
            "whether the reset is committed is not known: {f}\n  next: look with `tidegate checkpoint show`, and reset again if the offsets are those of before"
        ))),
        Err(f) => Err(f.into()),
    }
}

/// A process may have come and gone between the first look and our place in the group.
fn refuse_changes(app: &Application, inputs: &[Place], states: &[Place]) -> Result {
    let before: Vec<&Place> = inputs.iter().chain(states).collect();
    let at: Vec<TopicPartition> = before.iter().map(|place| place.at.clone()).collect();
    let now = app.log.last_committed(&app.id, &at)?;
    match before.iter().zip(now).find(|(place, now)| place.committed != *now) {
        None => Ok(()),
        Some((place, _)) => Err(Error::Refused(format!(
            "{}: the committed offset has changed meanwhile: nothing was reset\n  next: stop the application, and reset again",
            place.at
        ))),
    }
}

fn spec(app: &Application, instance: &InstanceId, timeout: Duration) -> ProducerSpec {
    ProducerSpec {
        transactional_id: Some(transactional_id(&app.id, instance)),
        transaction_timeout: timeout,
        group: app.id.clone(),
        buffer_bytes: BUFFER_BYTES,
        sizes: RequestSizes::default(),
    }
}

/// A producer under the name of each process that has committed last ends what that may have left open, and keeps it from going on.
fn end_what_is_open(app: &Application, inputs: &[Place], states: &[Place]) -> Result {
    let records = inputs.iter().chain(states).filter_map(|place| place.record.as_ref());
    let owners: BTreeSet<&InstanceId> = records.map(|record| &record.token.instance).collect();
    for instance in owners {
        app.log.producer(&spec(app, instance, Duration::from_secs(15)))?.init()?;
    }
    Ok(())
}

/// Our place in the group.
struct Seat<'a> {
    app: &'a Application,
    member: Box<dyn Member>,
    clock: SystemClock,
    looked_at: Duration,
}

impl<'a> Seat<'a> {
    /// Joins the group.
    fn join(app: &'a Application, inputs: &[Place], states: &[Place]) -> Result<Self> {
        // As the program does: with state, the group assigns the exchange topic only.
        let of = if states.is_empty() { inputs } else { states };
        let topics: BTreeSet<&str> = of.iter().map(|place| &*place.at.topic).collect();
        let spec = GroupSpec {
            group: app.id.clone(),
            instance: INSTANCE.into(),
            topics: topics.into_iter().map(str::to_owned).collect(),
            session_timeout: SESSION,
        };
        let member = app.log.join(&spec, Arc::new(|| {}))?;
        Ok(Seat { app, member, clock: SystemClock::new(), looked_at: Duration::ZERO })
    }

    /// Waits until the group has admitted us.
    fn wait(&mut self) -> Result {
        let mut is_assigned = false;
        while !is_assigned || self.member.membership().is_err() {
            if self.clock.monotonic() > JOIN {
                return Err(Error::Refused(format!(
                    "the group `{}` does not admit us within {JOIN:?}\n  next: look at the brokers, and try again",
                    self.app.id
                )));
            }
            is_assigned |= self.serve()?;
            self.clock.sleep(PAUSE);
        }
        self.must_be_alone()
    }

    /// Serves the group; `true` = it has assigned something.
    fn serve(&mut self) -> Result<bool> {
        let mut is_assigned = false;
        for event in self.member.poll()? {
            match event {
                GroupEvent::Assigned(_) => {
                    self.member.accept()?;
                    is_assigned = true;
                }
                GroupEvent::Revoking(at) | GroupEvent::Lost(at) => {
                    self.member.release(&at)?;
                    return Err(self.disturbed());
                }
                GroupEvent::Connection(_) => {}
            }
        }
        Ok(is_assigned)
    }

    /// Shows that we are alive, and finds out whether somebody else has come.
    fn keep(&mut self) -> Result {
        self.serve()?;
        let now = self.clock.monotonic();
        if now.saturating_sub(self.looked_at) < LOOK_EVERY {
            return Ok(());
        }
        self.looked_at = now;
        self.must_be_alone()
    }

    fn must_be_alone(&self) -> Result {
        let members = self.app.log.members(&self.app.id)?;
        let is_alone = members.iter().all(|member| member.instance == INSTANCE);
        if is_alone { Ok(()) } else { Err(self.disturbed()) }
    }

    fn disturbed(&self) -> Error {
        Error::Refused(format!(
            "a process has joined the group `{}` meanwhile: nothing was reset\n  next: stop the application, and keep it stopped during a reset",
            self.app.id
        ))
    }

    fn leave(self) {
        self.member.close(true);
    }
}
