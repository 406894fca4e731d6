//! The loop: barrier, batch, barrier. One thread decides; the workers only compute, decode and apply.
//!
//! Owns the parts and the order in which they are called: each file here is one phase of a turn. The parts
//! know neither the loop nor one another. Invariants: assignment, graceful stop and checks happen only at the
//! barrier, where nothing is in flight; each action of the checkpoint machine yields one event.

mod attention;
mod barrier;
mod closing;
mod commit;
mod compute;
mod failing_record;
mod give_up;
mod pieces;
mod recover;
mod refused_record;
mod report;
mod route;

use super::{
    app::{App, Env, RETRY_PAUSE},
    batch::{
        bisection::Bisection,
        in_flight::InFlight,
        local_input::LocalInput,
        pace::{Pace, trigger},
        partitions::Partitions,
        pieces::Pieces,
    },
    beside::Beside,
    commit::{limits::Limits, transaction::Transaction, two_phase::TwoPhaseOutputs, witness::Witness},
    events::{Observed, Phases},
    group::{
        Group,
        topics::{self, Topics},
    },
    recovery::{Recovery, Restorer},
};
use crate::{
    config::{Config, Trigger},
    error::{Error, Reaction, Result, Stage},
    log::Log,
    plan::Topology,
    task::checkpoint::{Action, Event, Phase},
};
use attention::Attention;
use closing::Exchange;
use std::time::Duration;

/// About how long a log takes to end a transaction after it has reported the commit.
const SETTLE: Duration = Duration::from_millis(5);

/// How long the loop waits before it looks again at restores that it waits for.
const RESTORE_PAUSE: Duration = Duration::from_millis(5);

/// The number of retries of a call since the last commit from which the log counts as unreachable.
const RETRIES_QUIET: u32 = 2;

/// For how long calls may fail in other ways before the log counts as unreachable: it answers, and nothing can be committed.
const FAILING_QUIET: Duration = Duration::from_secs(30);

/// A log that does not answer for so short a time at the start is just starting itself.
const UNREMARKABLE: Duration = Duration::from_secs(2);

/// The loop of one process.
struct Loop {
    app: App,
    /// Our place in the group, and our identity.
    group: Group,
    /// Partitions that are being recovered.
    recovery: Option<Recovery>,
    /// Databases that are brought up to date beside the loop.
    restorer: Restorer,
    /// The partitions that batches are computed on.
    partitions: Partitions,
    /// How rows go through the exchange topic, if they do.
    exchange: Option<Exchange>,
    /// The batch in flight.
    in_flight: InFlight,
    pace: Pace,
    bisection: Bisection,
    pieces: Pieces,
    /// What makes the batch durable.
    transaction: Transaction,
    /// What the topics accept that are written.
    limits: Limits,
    witness: Witness,
    two_phase: TwoPhaseOutputs,
    /// What runs beside the loop.
    beside: Beside,
    checkpoint: Checkpoint,
    attention: Attention,
    /// How often in a row the log has not answered a question at the barrier.
    unanswered: u32,
}

/// How far the batch in flight is towards its commit.
struct Checkpoint {
    phase: Phase,
    /// Why the batch is not committed, or why the loop ends.
    failure: Option<Error>,
    /// How often a call was retried since the last commit.
    retries: u32,
    /// When the first of them was, on the monotonic clock.
    failing_since: Option<Duration>,
    /// The log does not answer, and that has been reported.
    is_unanswered: bool,
}

/// Runs a topology until it is asked to stop, has processed what was available, or fails.
///
/// # Errors
/// Any error that retrying cannot fix; everything committed stays committed.
pub fn run(config: Config, plan: Topology, env: Env) -> Result {
    config.validate()?;
    plan.validate(config.trigger)?;
    let mut this = Loop::new(config, plan, env)?;
    let result = match this.prepare().and_then(|()| this.turn_until_done()) {
        Err(Error::Killed) if this.attention.is_overdue() => Ok(()), // it was told, and nothing is lost
        result => result.map_err(|error| this.explained(error)),
    };
    this.end(result.is_ok());
    result
}

impl Loop {
    /// Outside the group, and not connected yet.
    fn new(config: Config, plan: Topology, env: Env) -> Result<Self> {
        let app = App::new(config, plan, env);
        let locals = LocalInput::all(&app.plan, app.config.state_partitions);
        Ok(Loop {
            group: Group::outside(&app, Topics::default()),
            recovery: None,
            restorer: Restorer::new(&app),
            partitions: Partitions { locals, ..Partitions::default() },
            exchange: None,
            in_flight: InFlight::default(),
            pace: Pace::new(&app.config, app.plan.window_reaches()),
            bisection: Bisection::default(),
            pieces: Pieces::default(),
            transaction: Transaction::new(&app),
            limits: Limits::of([].into_iter(), &app.config),
            witness: Witness::default(),
            two_phase: TwoPhaseOutputs::default(),
            beside: Beside::new(&app)?,
            checkpoint: Checkpoint {
                phase: Phase::Barrier,
                failure: None,
                retries: 0,
                failing_since: None,
                is_unanswered: false,
            },
            attention: Attention::default(),
            unanswered: 0,
            app,
        })
    }

    /// Checks everything that can be checked before records flow, while a thread makes the producer ready.
    /// Before all checks have passed nothing is processed, and nothing but internal topics is created; what an
    /// earlier run left behind is examined with the first assignment, when the producer is ready.
    fn prepare(&mut self) -> Result {
        let timeout = self.app.config.connect_timeout;
        self.ask("connecting to the log", move |log| log.connect(timeout))?;
        self.transaction.make_ready(&self.app);
        let (config, plan, names) = (self.app.config.clone(), self.app.plan.clone(), self.app.names.clone());
        let check = move |log: &dyn Log| topics::prepare(log, &config, &plan, &names);
        let (topics, written) = self.ask_again(timeout, "the check of the topics", check)?;
        self.limits = Limits::of(written.iter().map(|(name, info)| (name.as_str(), info)), &self.app.config);
        self.transaction.fit(&self.app, self.limits.sizes());
        self.group = Group::outside(&self.app, topics);
        self.two_phase = TwoPhaseOutputs::of(
            &self.app.plan,
            self.app.config.state_partitions,
            &self.app.two_phase_context(),
        );
        Ok(())
    }

    /// Asks the log while the loop goes on hearing the group and a request to stop.
    fn ask<R: Send + 'static>(
        &mut self,
        what: &'static str,
        question: impl FnOnce(&dyn Log) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let Loop { app, group, attention, .. } = self;
        attention.ask(app, group, what, question)
    }

    /// The same, and again for `patience` as long as the log does not answer.
    fn ask_again<R: Send + 'static>(
        &mut self,
        patience: Duration,
        what: &'static str,
        question: impl Fn(&dyn Log) -> Result<R> + Clone + Send + 'static,
    ) -> Result<R> {
        let began = self.app.now();
        loop {
            match self.ask(what, question.clone()) {
                Err(Error::Log(f))
                    if f.reaction.may_pass()
                        && self.app.since(began) < patience
                        && !self.app.env.shutdown.is_requested() =>
                {
                    if self.app.since(began) < UNREMARKABLE {
                        tracing::debug!("{f}; trying again");
                    } else {
                        tracing::warn!("{f}; trying again");
                    }
                    self.app.env.clock.sleep(RETRY_PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn turn_until_done(&mut self) -> Result {
        loop {
            self.app.observe(&Observed::Alive);
            self.serve_group()?;
            if self.app.env.shutdown.is_requested() {
                if self.restorer.is_busy() {
                    tracing::info!(
                        "asked to stop while state is being restored; the next start continues the restore"
                    );
                }
                return Ok(());
            }
            if self.group.must_rejoin() {
                if self.group.stands_by() && self.app.env.shutdown.is_drain_requested() {
                    return Ok(());
                }
                continue;
            }
            if self.recovery.is_some() {
                self.group.wait(RESTORE_PAUSE);
                continue;
            }
            self.return_to_memory()?;
            let catches_up = self.only_catches_up();
            let has_closed = self.close_times()?;
            if has_closed && !(catches_up && self.takes_input_while_catching_up()) {
                continue;
            }
            if !self.has_closed_everything() && self.ends_when_closed() {
                self.group.wait(Duration::from_millis(20));
                continue;
            }
            self.when_answered(Self::look_for_ends_of_listings)?;
            if !self.pace.is_open() && (self.is_done() || self.when_answered(Self::is_drained)?) {
                if self.when_answered(Self::outboxes_have_caught_up)? {
                    return Ok(());
                }
                self.group.wait(Duration::from_millis(20));
                continue;
            }
            if let Some(why) = self.waits_for() {
                self.app.observe(&Observed::Waiting(&why));
                self.group.wait(Duration::from_millis(20));
                continue;
            }
            let has_begun = self.partitions.sources.iter().all(|source| source.committed.is_some());
            if trigger::ends_when_idle(self.app.config.trigger) && has_begun && !self.has_input()? {
                if !has_closed {
                    self.group.wait(Duration::from_millis(50));
                }
                continue;
            }
            self.let_the_log_settle();
            self.transact()?;
        }
    }

    /// What the log does not answer now is asked again at the next turn.
    fn when_answered(&mut self, ask: impl FnOnce(&mut Self) -> Result<bool>) -> Result<bool> {
        match ask(self) {
            Err(Error::Log(f)) if f.reaction.may_pass() => {
                self.unanswered += 1;
                if self.unanswered.is_power_of_two() {
                    tracing::warn!("{f}; trying again");
                }
                self.app.env.clock.sleep(RETRY_PAUSE);
                Ok(false)
            }
            answer => {
                self.unanswered = 0;
                answer
            }
        }
    }

    /// Right after a commit the log is still ending the transaction; the client would be turned away and
    /// retry only after 20 ms.
    fn let_the_log_settle(&mut self) {
        let Some(committed) = self.transaction.take_last_commit() else { return };
        let left = SETTLE.saturating_sub(self.app.since(committed));
        if self.app.config.trigger == Trigger::AsSoonAsPossible && !left.is_zero() {
            self.app.env.clock.sleep(left);
        }
    }

    /// Drives the checkpoint machine from the cut back to the barrier.
    fn transact(&mut self) -> Result {
        let mut event = Event::Cut;
        loop {
            let (phase, action) = self.checkpoint.phase.on(event);
            tracing::trace!(?event, ?phase, ?action);
            self.checkpoint.phase = phase;
            self.back_off(event)?;
            event = match action {
                Action::Rest => return Ok(()),
                Action::Compute => self.compute()?,
                Action::Flush => self.timed(Self::flush, |phases| &mut phases.flush)?,
                Action::Commit => self.timed(Self::commit, |phases| &mut phases.commit)?,
                Action::Apply => self.apply()?,
                Action::Abort => self.abort()?,
                Action::Look => self.look()?,
                Action::Replace => self.replace()?,
                Action::Settle => self.settle()?,
                Action::Drop => self.drop_batch()?,
                Action::Close => self.close_tasks(),
                Action::Stop => return Err(self.checkpoint.failure.take().unwrap_or(Error::Killed)),
                Action::Exit => return Err(self.fenced()),
            };
        }
    }

    fn timed(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<Event>,
        phase: impl FnOnce(&mut Phases) -> &mut Duration,
    ) -> Result<Event> {
        let began = self.app.now();
        let event = act(self);
        *phase(&mut self.in_flight.phases) += self.app.since(began);
        event
    }

    fn fenced(&mut self) -> Error {
        let why = self.checkpoint.failure.take().map_or_else(String::new, |f| format!(" ({f})"));
        Error::Fenced(format!(
            "a newer process runs as instance `{}` of `{}`{why}; this one has stopped and writes nothing more\n  next: give each process its own --instance-id, or stop one of them",
            self.app.env.instance, self.app.config.application_id
        ))
    }

    /// Waits before a failed call is made again, longer each time.
    fn back_off(&mut self, event: Event) -> Result {
        let Event::Failed(_) = event else {
            if matches!(event, Event::Applied { .. } | Event::Empty) {
                if std::mem::take(&mut self.checkpoint.is_unanswered) {
                    self.app.observe(&Observed::Connection(None));
                }
                self.checkpoint.retries = 0;
                self.checkpoint.failing_since = None;
            }
            return Ok(());
        };
        if matches!(self.checkpoint.phase, Phase::Looking(_) | Phase::Replacing(_) | Phase::Settling) {
            self.app.observe(&Observed::Alive);
            self.checkpoint.retries += 1;
            let pause = Duration::from_millis(20 << self.checkpoint.retries.min(8));
            let failing_for = self.app.since(*self.checkpoint.failing_since.get_or_insert(self.app.now()));
            if let Some(f) = &self.checkpoint.failure {
                tracing::warn!(retry_in_ms = pause.as_millis(), "{f}");
                let is_silent = matches!(f, Error::Log(f) if f.reaction == Reaction::RetrySame);
                let is_beyond_use =
                    failing_for >= FAILING_QUIET || (is_silent && self.checkpoint.retries >= RETRIES_QUIET);
                if is_beyond_use && !self.checkpoint.is_unanswered {
                    self.checkpoint.is_unanswered = true;
                    self.app.observe(&Observed::Connection(Some(&f.to_string())));
                }
            }
            let clock = self.app.env.clock.clone();
            self.ask("the next attempt at a call of the log", move |_| {
                clock.sleep(pause);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Remembers a failure and reports its reaction; a crash ends the loop at once.
    fn failed(&mut self, error: Error) -> Result<Event> {
        let replay = if let Error::Log(f) = &error { self.refused_by_log(f)? } else { None };
        let event = match &error {
            Error::Killed => return Err(error),
            Error::Log(f) => replay.unwrap_or(Event::Failed(f.reaction)),
            Error::Operator { .. } => Event::GivenUp,
            _ => Event::Broken,
        };
        self.checkpoint.failure = Some(error);
        let gives_up = self.checkpoint.retries > 3 || self.attention.is_overdue();
        if self.app.env.shutdown.is_requested() && gives_up {
            // A stop was requested while the log does not answer: what is committed stays, the batch in
            // flight is replayed next time.
            return Err(self.checkpoint.failure.take().unwrap_or(Error::Killed));
        }
        Ok(event)
    }

    fn broken(&mut self, error: Error) -> Event {
        self.checkpoint.failure = Some(error);
        Event::Broken
    }

    /// What is missing before batches can run. One process keeps all state: a program with state waits for
    /// all partitions.
    fn waits_for(&self) -> Option<String> {
        let (config, partitions) = (&self.app.config, &self.partitions);
        if !self.group.unrecovered.is_empty() || partitions.none_owned() {
            return Some("waiting for the group to assign partitions".into());
        }
        let missing = (config.state_partitions as usize).saturating_sub(partitions.states.len());
        if self.app.plan.has_state_partitions() && missing > 0 && !self.app.is_shared() {
            return Some(format!(
                "waiting for {missing} state partitions: a program with state runs in one process, and the group of `{}` has not assigned the rest to this one yet; it does so once no other process holds them, at the latest after the session timeout, {} s",
                config.application_id,
                config.session_timeout.as_secs_f64()
            ));
        }
        if self.app.is_bounded() && self.partitions.sources.iter().any(|source| source.stop_at.is_none()) {
            return Some("waiting until the files that are there are listed".into());
        }
        None
    }

    /// Whether everything that was to be processed is processed. A first run that finds nothing still commits
    /// where it began.
    fn is_done(&self) -> bool {
        let has_ended = match self.app.config.trigger {
            Trigger::AvailableNow => self.partitions.have_taken_everything(),
            Trigger::Once => self.pace.has_done_a_whole_batch() || self.partitions.have_taken_everything(),
            Trigger::Interval(_) | Trigger::AsSoonAsPossible => false,
        };
        let committed = self.partitions.sources.iter().all(|s| s.committed.is_some());
        has_ended && self.waits_for().is_none() && committed
    }

    /// A drain was requested: the receivers are stopped. Returns whether everything that they stored is
    /// processed.
    fn is_drained(&mut self) -> Result<bool> {
        if !self.app.env.shutdown.is_drain_requested() {
            return Ok(false);
        }
        self.beside.receivers.stop();
        let filled = self.partitions.sources.iter().filter(|s| self.beside.receivers.fill(&s.at.topic));
        let places: Vec<_> = filled.map(|source| (source.at.clone(), source.next)).collect();
        let are_passed = self.ask("the ends of the topics of receivers", move |log| {
            for (at, next) in places {
                if next < log.end_offset(&at)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(are_passed && !self.partitions.locals.iter().any(LocalInput::has_more))
    }

    fn outboxes_have_caught_up(&mut self) -> Result<bool> {
        let question = self.beside.outboxes.have_caught_up();
        self.ask("the ends of the topics of outputs", question)
    }

    /// The cause of a failure to read: the topic may have been made anew.
    fn explained(&mut self, error: Error) -> Error {
        let is_about_reading = matches!(&error, Error::Log(f) if f.stage == Stage::Fetch);
        if !is_about_reading {
            return error;
        }
        let found = self.ask("a look at the topics", topics::finding(&self.app));
        let learn = |found: topics::Found| self.group.identity.learn(&self.app, &found.topics).err();
        found.ok().and_then(learn).unwrap_or(error)
    }

    fn end(self, in_order: bool) {
        let _ = crate::failpoint::passes("during-shutdown");
        let Loop { app, group, partitions, recovery, restorer, transaction, mut beside, attention, .. } =
            self;
        beside.stop();
        restorer.stop();
        if attention.has_left_a_question() {
            return; // it may hold the membership, and the log does not answer
        }
        let rows = Witness::last_rows(&partitions.sources);
        match group.membership() {
            Ok(membership) if in_order && !rows.is_empty() && !group.is_lost(&membership) => {
                transaction.commit_last(&app, rows, membership);
            }
            _ => drop(transaction),
        }
        drop((partitions, recovery));
        group.close(in_order && app.config.leave);
    }
}
