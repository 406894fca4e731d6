//! A member that is expelled, replaced, rebalanced and cut off.
//!
//! Knows no plan of the group. Invariant: it does to the group only what the group's coordinator could have done.

use super::{Call, Fate, Fault, Verdict, killed, transient};
use crate::{
    error::{Failure, Reaction, Result, Stage},
    log::{
        Committed, GroupEvent, GroupSpec, Member, Membership, Question,
        embedded::{Embedded, EmbeddedMember},
    },
    record::TopicPartition,
};
use std::{sync::Arc, time::Duration};

/// As in Kafka's client: a transaction with these offsets has ended by its own timeout before.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(90);
/// How late a late answer is.
const LATE: Duration = Duration::from_secs(3);

pub(super) struct SimMember {
    inner: Box<EmbeddedMember>,
    log: Arc<Embedded>,
    fate: Arc<dyn Fate>,
    spec: GroupSpec,
    disconnected: bool,
    /// Expelled for good.
    fenced: bool,
}

impl SimMember {
    pub(super) fn new(
        inner: EmbeddedMember,
        log: Arc<Embedded>,
        fate: Arc<dyn Fate>,
        spec: GroupSpec,
    ) -> Self {
        SimMember { inner: Box::new(inner), log, fate, spec, disconnected: false, fenced: false }
    }

    fn step(&self, call: Call, offers: &[Fault], stage: Stage) -> Result<Option<Fault>, Failure> {
        step(&*self.fate, call, offers, stage)
    }

    fn expel(&mut self, silently: bool) {
        self.inner.silent = silently;
        if let Some(id) = self.log.holder(&self.spec.group, &self.spec.instance) {
            self.log.expel(&self.spec.group, &self.spec.instance, &id);
        }
    }

    /// Expels the member a moment later, if it is still the same one then.
    fn expel_soon(&mut self) {
        self.inner.silent = false;
        let (log, GroupSpec { group, instance, .. }) = (self.log.clone(), self.spec.clone());
        let Some(id) = self.log.holder(&group, &instance) else { return };
        self.fate.later(Fault::ExpelledSoon, Box::new(move || log.expel(&group, &instance, &id)));
    }
}

impl Member for SimMember {
    fn poll(&mut self) -> Result<Vec<GroupEvent>, Failure> {
        let replaced = self.inner.is_replaced();
        let offers: &[Fault] = if replaced {
            &[Fault::Usurp]
        } else {
            &[
                Fault::Rebalance,
                Fault::Expelled,
                Fault::ExpelledSilently,
                Fault::FencedByItself,
                Fault::AnswerRefused,
                Fault::Disconnected,
            ]
        };
        let mut events = vec![];
        let fault = self.step(Call::Poll, offers, Stage::Group)?;
        match fault {
            Some(Fault::Rebalance) => self.log.rebalance(&self.spec.group),
            Some(Fault::Expelled | Fault::Usurp) => self.expel(false),
            Some(Fault::ExpelledSilently) => self.expel(true),
            Some(Fault::FencedByItself) => {
                self.expel(false);
                self.fenced = true;
            }
            Some(Fault::AnswerRefused) => return Err(answer_refused()),
            _ => {}
        }
        if self.fenced {
            let what = "simulated: another member has taken this place";
            return Err(Failure::new(Stage::Group, Reaction::Exit, what));
        }
        let disconnected = fault == Some(Fault::Disconnected);
        if disconnected != self.disconnected {
            self.disconnected = disconnected;
            events
                .push(GroupEvent::Connection(disconnected.then(|| "simulated: all brokers are down".into())));
        }
        if !disconnected {
            let heard = self.inner.poll()?;
            if !heard.is_empty()
                && self.step(Call::Poll, &[Fault::ExpelledSoon], Stage::Group)? == Some(Fault::ExpelledSoon)
            {
                self.expel_soon();
            }
            events.extend(heard);
        }
        Ok(events)
    }

    fn membership(&self) -> Result<Membership, Failure> {
        self.inner.membership()
    }

    fn assignment_lost(&self) -> bool {
        self.inner.assignment_lost()
    }

    fn committed(&self, at: &[TopicPartition]) -> Question<Vec<Option<Committed>>> {
        let (fate, committed_now) = (self.fate.clone(), self.inner.committed_now(at));
        Box::new(move || {
            let deadline = fate.now() + COMMITTED_TIMEOUT;
            loop {
                let fault = step(&*fate, Call::Committed, &[Fault::Transient], Stage::OffsetFetch)?;
                if fault == Some(Fault::Transient) {
                    return Err(transient(Stage::OffsetFetch));
                }
                if let Some(found) = committed_now()? {
                    return Ok(found);
                }
                if fate.now() >= deadline {
                    let what = "a transaction with these offsets stays open";
                    return Err(Failure::new(Stage::OffsetFetch, Reaction::RetrySame, what));
                }
                fate.block(Duration::from_millis(200));
            }
        })
    }

    fn accept(&mut self) -> Result<(), Failure> {
        if self.step(Call::Accept, &[Fault::AnswerRefused], Stage::Group)? == Some(Fault::AnswerRefused) {
            return Err(answer_refused());
        }
        self.inner.accept()
    }

    fn release(&mut self, at: &[TopicPartition]) -> Result<(), Failure> {
        if self.step(Call::Release, &[Fault::AnswerLate], Stage::Group)? == Some(Fault::AnswerLate) {
            let until = self.fate.now() + LATE;
            while self.fate.now() < until {
                self.fate.block(until.saturating_sub(self.fate.now()));
                self.step(Call::Release, &[], Stage::Group)?;
            }
        }
        self.inner.release(at)
    }

    fn rejoin(&mut self) -> Result<(), Failure> {
        self.step(Call::Rejoin, &[], Stage::Group)?;
        self.inner.rejoin()
    }

    fn close(self: Box<Self>, leave: bool) {
        // A dead process sends nothing; its place stays until its session is over.
        let alive = self.fate.step(Call::Release, &[]) != Verdict::Killed;
        self.inner.close(leave && alive);
    }
}

fn answer_refused() -> Failure {
    Failure::new(Stage::Group, Reaction::CloseTasks, "simulated: an answer to a rebalance is refused")
}

fn step(fate: &dyn Fate, call: Call, offers: &[Fault], stage: Stage) -> Result<Option<Fault>, Failure> {
    match fate.step(call, offers) {
        Verdict::Go => Ok(None),
        Verdict::Fault(fault) => Ok(Some(fault)),
        Verdict::Killed => Err(killed(stage)),
    }
}
