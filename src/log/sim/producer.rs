//! A producer whose commits get lost, arrive late, or hit the wrong transaction.
//!
//! Knows no group. Invariant: `Unknown` is returned for every possible outcome, but only for commits whose request was
//! sent.

use super::{Call, Fate, Fault, Verdict, killed, transient};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{Committed, Membership, Producer, embedded::EmbeddedProducer},
    record::{Partition, RawChunk, TopicPartition},
};
use std::{sync::Arc, time::Duration};

/// How long a slow commit takes.
const SLOW: Duration = Duration::from_secs(3);
/// How often a producer looks whether its last transaction is over.
const MARKERS_WAIT: Duration = Duration::from_millis(100);

pub(super) struct SimProducer {
    inner: EmbeddedProducer,
    fate: Arc<dyn Fate>,
    /// Its last request is on the way or its transaction was given up: it cannot go on.
    gone: bool,
    suspect: bool,
}

impl SimProducer {
    pub(super) fn new(inner: EmbeddedProducer, fate: Arc<dyn Fate>) -> Self {
        SimProducer { inner, fate, gone: false, suspect: false }
    }

    fn step(&mut self, call: Call, offers: &[Fault], stage: Stage) -> Result<Option<Fault>, Failure> {
        let fault = match self.fate.step(call, offers) {
            Verdict::Killed => return Err(killed(stage)),
            Verdict::Fault(Fault::Transient) => return Err(transient(stage)),
            Verdict::Fault(fault) => Some(fault),
            Verdict::Go => None,
        };
        if fault == Some(Fault::ProducerFatal) {
            self.gone = true;
        }
        if self.gone {
            return Err(Failure::new(stage, Reaction::RecreateProducer, "simulated: the producer is fatal"));
        }
        Ok(fault)
    }

    fn unknown() -> Failure {
        Failure::new(Stage::Commit, Reaction::Unknown, "simulated: no answer to the request to commit")
    }

    /// As long as markers of the last transaction are on their way, the next one is turned away.
    fn await_markers(&mut self, call: Call, stage: Stage) -> Result<(), Failure> {
        while self.inner.has_markers_on_the_way() {
            self.fate.block(MARKERS_WAIT);
            self.step(call, &[], stage)?;
        }
        Ok(())
    }

    /// Ends the transaction; its markers land one by one.
    fn end_apart(&mut self, commit: bool) -> Result<(), Failure> {
        for marker in self.inner.end_apart(commit)? {
            self.fate.later(Fault::MarkersApart, self.inner.landing(marker));
        }
        Ok(())
    }

    /// The second half of a commit: the request to end the transaction.
    fn end(&mut self, fault: Option<Fault>) -> Result<(), Failure> {
        match fault {
            Some(Fault::CommitLost) => {
                self.gone = true;
                self.inner.end(true)?;
                Err(Self::unknown())
            }
            Some(Fault::CommitAborted) => {
                self.gone = true;
                self.inner.end(false)?;
                Err(Self::unknown())
            }
            Some(late @ (Fault::CommitLate | Fault::CrashCommitLate)) => {
                self.gone = true;
                self.fate.later(late, self.inner.late_end(true));
                if late == Fault::CrashCommitLate {
                    self.fate.kill();
                    return Err(killed(Stage::Commit));
                }
                Err(Self::unknown())
            }
            Some(Fault::CommitSlow) => {
                self.suspect = true;
                let until = self.fate.now() + SLOW;
                while self.fate.now() < until {
                    self.fate.block(until.saturating_sub(self.fate.now()));
                    self.step(Call::Commit, &[], Stage::Commit)?;
                }
                self.inner.end(true)?;
                self.fate.later(Fault::StaleCommit, self.inner.late_end(true));
                Ok(())
            }
            Some(Fault::MarkersApart) => self.end_apart(true),
            Some(Fault::CrashAfter) => {
                let ended = self.inner.end(true);
                self.fate.kill();
                ended.and(Err(killed(Stage::Commit)))
            }
            _ => self.inner.end(true),
        }
    }
}

impl Producer for SimProducer {
    fn init(&mut self) -> Result<(), Failure> {
        self.step(Call::Init, &[Fault::Transient], Stage::Init)?;
        self.suspect = false;
        self.await_markers(Call::Init, Stage::Init)?;
        self.inner.init()
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.step(Call::Begin, &[Fault::Transient, Fault::ProducerFatal], Stage::Begin)?;
        self.await_markers(Call::Begin, Stage::Begin)?;
        self.inner.begin()
    }

    fn send(&mut self, topic: &str, partition: Option<Partition>, records: &RawChunk) -> Result<(), Failure> {
        self.step(Call::Send, &[], Stage::Produce)?;
        self.inner.send(topic, partition, records)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.step(Call::Flush, &[Fault::ProducerFatal], Stage::Produce)?;
        self.inner.flush()
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        member: &Membership,
    ) -> Result<(), Failure> {
        let refused = [Fault::CommitRefused, Fault::ProducerFatal];
        if self.step(Call::AddOffsets, &refused, Stage::SendOffsets)? == Some(Fault::CommitRefused) {
            let what = "simulated: the group is rebalancing";
            return Err(Failure::new(Stage::SendOffsets, Reaction::AbortReplay, what));
        }
        if crate::failpoint::passes("mutant-offsets-outside") {
            self.inner.prepare(&[], member)?;
            self.inner.end(true)?;
            self.step(Call::Commit, &[], Stage::Commit)?;
            self.inner.begin()?;
        }
        self.inner.prepare(offsets, member)?;
        let offers = [
            Fault::CommitLost,
            Fault::CommitAborted,
            Fault::CommitLate,
            Fault::CommitSlow,
            Fault::MarkersApart,
            Fault::CrashAfter,
            Fault::CrashCommitLate,
        ];
        let fault = self.step(Call::Commit, &offers, Stage::Commit)?;
        self.end(fault)
    }

    fn abort(&mut self) -> Result<(), Failure> {
        let offers = [Fault::ProducerFatal, Fault::MarkersApart];
        match self.step(Call::Abort, &offers, Stage::Abort)? {
            Some(Fault::MarkersApart) => self.end_apart(false),
            _ => self.inner.abort(),
        }
    }

    fn suspect(&self) -> bool {
        self.suspect
    }
}
