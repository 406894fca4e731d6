//! The life cycle of one batch, from the cut to the barrier: a pure state machine.
//!
//! Owns which action follows which event. Knows no log, no store and no clock: the runtime performs each action and
//! reports exactly one event. What a crash leaves behind in each phase, and what recovery then does:
//!
//! | phase | durable in the log | in the database | recovery |
//! |---|---|---|---|
//! | `Barrier`, `Computing`, `Flushing` | token n | n | ready: replay from the committed offsets |
//! | `Committing`, `Looking`, `Replacing`, `Settling` with a batch in doubt | n or n+1: the log decides | n | equal: ready; log ahead: roll forward |
//! | `Applying` | n+1 | n or n+1 (one atomic write) | as above |
//! | `Aborting`, `Dropping`, `Closing` | n | n | ready |
//!
//! Invariants (tested over every sequence of events): state is applied only after the log has reported the commit, or
//! the token was found; every batch ends in exactly one of apply, drop and close; after a doubtful commit nothing
//! begins before it is settled; a producer is replaced only after checking whether a newer process has our identity;
//! nothing follows an exit.

use crate::error::Reaction;

/// Where the batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Between two batches; nothing is in flight.
    Barrier,
    /// Rounds of input pass through the stages; outputs go to the producer.
    Computing,
    /// Waiting for the acknowledgements of everything sent.
    Flushing,
    /// Offsets are being sent and the transaction is being ended.
    Committing,
    /// The staged changes are being written to the databases.
    Applying,
    /// The transaction is being aborted.
    Aborting(After),
    /// Checking whether a newer process has our identity.
    Looking(After),
    /// A new producer is being made ready.
    Replacing(After),
    /// Reading the token to learn the outcome of a doubtful commit.
    Settling,
    /// The batch is forgotten and its input rewound.
    Dropping,
    /// All tasks and buffers are being discarded.
    Closing,
    /// Ended; no event leads out of this phase.
    Ended(End),
}

/// What follows an abort or a new producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    /// Nothing: the batch is over and was applied.
    Rest,
    /// Drop the batch and replay it.
    Drop,
    /// Close the tasks.
    Close,
    /// Stop with the failure.
    Stop,
    /// Find out whether the batch was committed.
    Settle,
}

/// How the engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// With an error that retrying cannot fix.
    Stopped,
    /// As a zombie: a newer process has our identity.
    Fenced,
}

/// What the runtime reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The trigger is due: a batch begins.
    Cut,
    /// All input of the batch is computed, and all outputs have been handed to the producer.
    Computed,
    /// The batch moved no offset, produced no output and changed no state.
    Empty,
    /// A record cannot be processed (the runtime's policy decides what the replay does with it), or the batch was given
    /// up.
    GivenUp,
    /// Something found, or something to be written, cannot be used: neither a replay nor another attempt helps.
    Broken,
    /// Every record that was sent is acknowledged.
    Flushed,
    /// The log has reported that the batch is committed.
    Committed,
    /// The call of this phase failed.
    Failed(Reaction),
    /// The staged changes are in the databases.
    Applied {
        /// The producer must be replaced before it begins again.
        suspect: bool,
    },
    /// The transaction is aborted.
    Aborted {
        /// As in `Applied`.
        suspect: bool,
    },
    /// No newer process has our identity.
    NotFenced,
    /// A newer process has our identity.
    Fenced,
    /// The new producer is ready; whatever the old one left open is decided.
    Ready,
    /// The token of the batch is committed on a partition that is still ours.
    Ours,
    /// Partitions of the batch are still ours, and none carries its token.
    NotOurs,
    /// No partition of the batch is ours any more.
    Moved,
    /// The batch is forgotten and its input rewound.
    Dropped,
    /// The tasks are closed.
    Closed,
}

/// What the runtime does next; it reports back exactly one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Wait at the barrier for the next `Cut`.
    Rest,
    /// Run the batch: `Computed`, `Empty`, `GivenUp`, `Broken` or `Failed`.
    Compute,
    /// Wait for acknowledgements: `Flushed` or `Failed`.
    Flush,
    /// Send offsets and end the transaction: `Committed`, `Failed`, or `Broken` if nothing was sent.
    Commit,
    /// Write the staged changes: `Applied` or `Broken`.
    Apply,
    /// Abort the transaction if one is open: `Aborted` or `Failed`.
    Abort,
    /// Read the committed metadata for a newer incarnation of our identity: `NotFenced`, `Fenced`, `Broken` or `Failed`.
    Look,
    /// Make a new producer ready: `Ready`, `Broken` or `Failed`.
    Replace,
    /// Read the token of the doubtful batch: `Ours`, `NotOurs`, `Moved`, `Fenced`, `Broken` or `Failed`.
    Settle,
    /// Discard the batch and rewind its input: `Dropped`.
    Drop,
    /// Discard all tasks and buffers: `Closed`.
    Close,
    /// Stop with the failure.
    Stop,
    /// Write nothing more and exit with the exit code of a fenced process.
    Exit,
}

impl Phase {
    /// The transition: the phase that `event` leads to, and the action to perform there.
    ///
    /// # Panics
    /// If the runtime reports an event that the last action cannot produce: a bug in the engine, caught by its tests.
    #[must_use]
    #[expect(clippy::match_same_arms, reason = "one line per transition, in the order of the phases")]
    pub fn on(self, event: Event) -> (Phase, Action) {
        use Event as E;
        use Phase as P;
        match (self, event) {
            (P::Barrier, E::Cut) => (P::Computing, Action::Compute),
            (P::Computing, E::Empty) => (P::Barrier, Action::Rest),
            (P::Computing, E::Computed) => (P::Flushing, Action::Flush),
            (P::Computing, E::GivenUp) => abort(After::Drop),
            (P::Computing | P::Committing, E::Broken) => abort(After::Stop),
            (P::Computing | P::Flushing, E::Failed(Reaction::Unknown)) => look(After::Drop),
            (P::Flushing, E::Flushed) => (P::Committing, Action::Commit),
            (P::Committing, E::Committed) | (P::Settling, E::Ours) => (P::Applying, Action::Apply),
            (P::Committing, E::Failed(Reaction::Unknown)) => look(After::Settle),
            (P::Computing | P::Flushing | P::Committing, E::Failed(reaction)) => failed(reaction),
            (P::Applying, E::Applied { suspect: false }) => (P::Barrier, Action::Rest),
            (P::Applying, E::Applied { suspect: true }) => look(After::Rest),
            (P::Applying | P::Looking(_) | P::Replacing(_) | P::Settling, E::Broken) => {
                (P::Ended(End::Stopped), Action::Stop)
            }
            (P::Aborting(after), E::Aborted { suspect: false }) => then(after),
            (P::Aborting(after), E::Aborted { suspect: true }) => look(after),
            (P::Looking(after), E::NotFenced) => (P::Replacing(after), Action::Replace),
            (P::Replacing(after), E::Ready) => then(after),
            (P::Settling, E::NotOurs) => then(After::Drop),
            (P::Settling, E::Moved) => then(After::Close),
            (P::Dropping, E::Dropped) | (P::Closing, E::Closed) => (P::Barrier, Action::Rest),
            (P::Looking(_) | P::Settling, E::Fenced)
            | (P::Aborting(_) | P::Looking(_) | P::Replacing(_) | P::Settling, E::Failed(Reaction::Exit)) => {
                (P::Ended(End::Fenced), Action::Exit)
            }
            (P::Looking(_) | P::Replacing(_) | P::Settling, E::Failed(Reaction::StopPipeline)) => {
                (P::Ended(End::Stopped), Action::Stop)
            }
            (P::Aborting(after), E::Failed(_)) => look(after),
            (P::Looking(after), E::Failed(_)) => look(after),
            (P::Replacing(after), E::Failed(_)) => (P::Replacing(after), Action::Replace),
            (P::Settling, E::Failed(_)) => (P::Settling, Action::Settle),
            (phase, event) => panic!("engine bug: event {event:?} in phase {phase:?}"),
        }
    }
}

/// After a failure that certainly left the batch uncommitted.
fn failed(reaction: Reaction) -> (Phase, Action) {
    match reaction {
        Reaction::RetrySame | Reaction::AbortReplay => abort(After::Drop),
        Reaction::RecreateProducer | Reaction::Unknown => look(After::Drop),
        Reaction::CloseTasks => abort(After::Close),
        Reaction::StopPipeline => abort(After::Stop),
        Reaction::Exit => (Phase::Ended(End::Fenced), Action::Exit),
    }
}

fn abort(after: After) -> (Phase, Action) {
    (Phase::Aborting(after), Action::Abort)
}

fn look(after: After) -> (Phase, Action) {
    // A stopping process needs no new producer.
    if after == After::Stop { then(after) } else { (Phase::Looking(after), Action::Look) }
}

fn then(after: After) -> (Phase, Action) {
    match after {
        After::Rest => (Phase::Barrier, Action::Rest),
        After::Drop => (Phase::Dropping, Action::Drop),
        After::Close => (Phase::Closing, Action::Close),
        After::Stop => (Phase::Ended(End::Stopped), Action::Stop),
        After::Settle => (Phase::Settling, Action::Settle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const REACTIONS: [Reaction; 7] = [
        Reaction::RetrySame,
        Reaction::AbortReplay,
        Reaction::Unknown,
        Reaction::RecreateProducer,
        Reaction::CloseTasks,
        Reaction::StopPipeline,
        Reaction::Exit,
    ];

    /// Every event that an action can produce.
    fn answers(action: Action) -> Vec<Event> {
        let failures = REACTIONS.map(Event::Failed).to_vec();
        let with = |own: &[Event]| [own.to_vec(), failures.clone()].concat();
        match action {
            Action::Rest => vec![Event::Cut],
            Action::Compute => with(&[Event::Computed, Event::Empty, Event::GivenUp, Event::Broken]),
            Action::Flush => with(&[Event::Flushed]),
            Action::Commit => with(&[Event::Committed, Event::Broken]),
            Action::Apply => {
                vec![Event::Applied { suspect: false }, Event::Applied { suspect: true }, Event::Broken]
            }
            Action::Abort => with(&[Event::Aborted { suspect: false }, Event::Aborted { suspect: true }]),
            Action::Look => with(&[Event::NotFenced, Event::Fenced, Event::Broken]),
            Action::Replace => with(&[Event::Ready, Event::Broken]),
            Action::Settle => {
                with(&[Event::Ours, Event::NotOurs, Event::Moved, Event::Fenced, Event::Broken])
            }
            Action::Drop => vec![Event::Dropped],
            Action::Close => vec![Event::Closed],
            Action::Stop | Action::Exit => vec![],
        }
    }

    /// A model of the world, updated alongside the machine.
    #[expect(
        clippy::struct_excessive_bools,
        reason = "each is one fact about the world, and all combinations are tried"
    )]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    struct World {
        batch_open: bool,
        committed: bool,
        in_doubt: bool,
        producer_bad: bool,
        looked: bool,
    }

    fn check(world: &mut World, action: Action, path: &[(Event, Action)]) {
        let fail = |why: &str| panic!("{why} after {path:?}");
        match action {
            Action::Apply if !world.committed || world.in_doubt || !world.batch_open => {
                fail("applied uncommitted state");
            }
            Action::Drop if world.committed || world.in_doubt || !world.batch_open => {
                fail("dropped a batch that may be committed");
            }
            Action::Close if world.committed || world.in_doubt => {
                fail("closed tasks although the batch may be committed here");
            }
            Action::Rest if world.batch_open || world.in_doubt => fail("rested with an open batch"),
            Action::Compute if world.producer_bad => fail("began with a producer that must be replaced"),
            Action::Replace if !world.looked => fail("replaced the producer without looking"),
            Action::Commit | Action::Flush if world.in_doubt || world.producer_bad => {
                fail("continued with a bad producer");
            }
            Action::Settle if world.producer_bad => fail("settled before the old transaction was ended"),
            _ => {}
        }
        world.batch_open |= action == Action::Compute;
    }

    fn follow(world: &mut World, phase: Phase, event: Event) {
        let failed = |r| event == Event::Failed(r);
        if phase == Phase::Committing && failed(Reaction::Unknown) {
            world.in_doubt = true;
        }
        // Only calls of the producer can spoil it; looking and settling ask the group.
        let spoils = match phase {
            Phase::Computing | Phase::Flushing | Phase::Committing => {
                failed(Reaction::Unknown) || failed(Reaction::RecreateProducer)
            }
            Phase::Aborting(_) => matches!(event, Event::Failed(_)),
            _ => false,
        };
        world.producer_bad |= spoils;
        match event {
            Event::Applied { suspect } | Event::Aborted { suspect } => world.producer_bad |= suspect,
            Event::Committed => world.committed = true,
            Event::NotFenced => world.looked = true,
            Event::Ready => (world.producer_bad, world.looked) = (false, false),
            Event::Ours => (world.committed, world.in_doubt) = (true, false),
            Event::NotOurs | Event::Moved => world.in_doubt = false,
            _ => {}
        }
        if matches!(event, Event::Applied { .. } | Event::Dropped | Event::Closed | Event::Empty) {
            (world.batch_open, world.committed) = (false, false);
        }
    }

    #[test]
    fn every_sequence_of_events_keeps_the_invariants() {
        let mut seen = BTreeSet::new();
        let mut todo = vec![(Phase::Barrier, Action::Rest, World::default(), vec![])];
        let mut transitions = 0;
        while let Some((phase, action, world, path)) = todo.pop() {
            if !seen.insert((format!("{phase:?}{action:?}"), world)) {
                continue;
            }
            for event in answers(action) {
                let (next, action) = phase.on(event);
                let (mut world, mut path) = (world, path.clone());
                follow(&mut world, phase, event);
                path.push((event, action));
                check(&mut world, action, &path);
                transitions += 1;
                todo.push((next, action, world, path));
            }
        }
        assert!(transitions > 100, "only {transitions} transitions: the walk did not reach the machine");
        for must in ["Settling", "Closing", "Applying", "Dropping", "Ended(Fenced)", "Ended(Stopped)"] {
            assert!(seen.iter().any(|(s, _)| s.starts_with(must)), "{must} was not reached");
        }
    }

    #[test]
    fn an_exit_or_a_stop_is_final() {
        for end in [End::Fenced, End::Stopped] {
            for event in [Event::Cut, Event::Committed, Event::Ready, Event::Dropped] {
                assert!(
                    std::panic::catch_unwind(|| Phase::Ended(end).on(event)).is_err(),
                    "{event:?} led out of {end:?}"
                );
            }
        }
    }

    #[test]
    fn a_doubtful_commit_is_applied_if_its_token_is_found_and_replayed_if_not() {
        for (answer, action) in
            [(Event::Ours, Action::Apply), (Event::NotOurs, Action::Drop), (Event::Moved, Action::Close)]
        {
            let mut at = (Phase::Committing, Action::Commit);
            for event in [Event::Failed(Reaction::Unknown), Event::NotFenced, Event::Ready, answer] {
                at = at.0.on(event);
            }
            assert_eq!(at.1, action);
        }
    }
}
