//! The loop: barrier, batch, barrier. One thread; the workers only compute and apply.
//!
//! Owns the units, the batch in flight and the phase. Knows no Kafka, only the log boundary. Invariants: assignment, graceful stop
//! and checks happen only at the barrier, where nothing is in flight; each action of the checkpoint machine gives one event.

use super::{
    clock::Clock,
    ends::Ends,
    fencing::may_pass,
    local_input::LocalInput,
    meta::Meta,
    outboxes::Outboxes,
    pool::Pool,
    rate::Rates,
    receivers::{ReceiverState, Receivers},
    shutdown::Shutdown,
    staging::Staging,
    start::PendingProducer,
    topics::{Names, Topics},
    trigger,
    two_phase::TwoPhaseOutput,
    unassigned::Unassigned,
    units::{InFlight, SourcePartition, StatePartition},
};
use crate::{
    config::{Config, Trigger},
    error::{Error, Result},
    log::{GroupEvent, Log, Member, Producer},
    operator::{Batch, NodeId},
    plan::{Fingerprint, Topology},
    record::{BatchId, BatchTime, Incarnation, InstanceId, Offset, Timestamps, Token, TopicPartition},
    source::QueueLimits,
    state::Storage,
    task::checkpoint::{Action, Event, Phase},
};
use std::{sync::Arc, time::Duration};

/// How long a log takes, about, to end a transaction after it has said that it is committed.
const SETTLE: Duration = Duration::from_millis(5);

/// The try of a call after a commit at which the log counts as away.
const RETRIES_QUIET: u32 = 2;

/// Before the log is asked again for what it did not tell.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// What the loop needs of its surroundings.
pub struct Env {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where state lives.
    pub storage: Arc<dyn Storage>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Asks the loop to end.
    pub shutdown: Shutdown,
    /// What an observer sees.
    pub observer: Arc<dyn Observer>,
    /// Name of this process.
    pub instance: InstanceId,
    /// The incarnation of the process before this one, as far as the state directory knows.
    pub incarnation_before: Incarnation,
}

/// Told of what happens; must not block. The runtime's metrics, status and console stand behind it.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn on(&self, event: &Observed<'_>);
}

/// What an observer is told.
#[derive(Debug)]
pub enum Observed<'a> {
    /// Waiting for the group's assignment, or for partitions that another process still holds.
    Waiting(&'a str),
    /// Restoring a state partition: rows done and rows in all, about.
    Restoring {
        /// The partition of the changelog.
        at: &'a TopicPartition,
        /// Offsets passed.
        done: u64,
        /// Offsets to pass.
        total: u64,
        /// Since this restore began.
        took: Duration,
    },
    /// A database was moved aside.
    Quarantined(&'a str),
    /// A state partition is restored.
    StateReady {
        /// Which.
        partition: crate::record::Partition,
        /// How many are ready now.
        done: usize,
        /// Of how many that are being restored.
        of: usize,
    },
    /// Partitions are owned and recovered; the loop runs.
    Running {
        /// All owned partitions.
        owned: &'a [TopicPartition],
    },
    /// A record goes the way of bad records; told again if its batch is replayed, so it is counted by the batch.
    BadRecord {
        /// Where.
        at: &'a TopicPartition,
        /// Which.
        offset: crate::record::Offset,
        /// Why.
        reason: &'a str,
        /// Written to the dead-letter topic, or only counted.
        dead_letter: bool,
    },
    /// A receiver could not read.
    ReceiverFailed {
        /// The partition.
        at: &'a TopicPartition,
        /// Why.
        why: &'a str,
    },
    /// A batch was cut: it takes input from now on.
    Cut(Batch),
    /// All partitions are given up and recovered anew.
    Closed,
    /// The input of a batch is complete; its end begins.
    InputEnded {
        /// The batch.
        batch: Batch,
        /// What it read.
        inputs: &'a [InputRange],
    },
    /// A batch ended.
    Batch(&'a BatchReport),
    /// A batch was not committed, or its outcome was in doubt.
    Replayed {
        /// The batch, if one was in flight.
        report: Option<&'a BatchReport>,
        /// Why, as far as is known.
        why: Option<&'a str>,
        /// The log did not say whether it was committed.
        unknown: bool,
        /// Since the batch was cut.
        took: Duration,
    },
    /// Rows for the console, after the commit.
    Console {
        /// The batch.
        time: BatchTime,
        /// Rows, each a line; one more than `rows_max` says that there are more.
        rows: &'a [String],
        /// How many to show.
        rows_max: usize,
    },
    /// A receiver was started, had an error, or ended.
    Receiver {
        /// Its name.
        name: &'a str,
        /// What it does now.
        state: ReceiverState,
        /// Why, if it had an error.
        message: &'a str,
    },
    /// The log cannot be reached (`Some` = why), or can be again.
    Connection(Option<&'a str>),
    /// Turned: the loop is alive.
    Alive,
}

/// Numbers of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchReport {
    /// Number.
    pub id: u64,
    /// Time.
    pub time_ms: i64,
    /// Records taken.
    pub records_in: usize,
    /// Records written to topics of sinks.
    pub records_out: usize,
    /// Records and bytes read, by topic.
    pub read: Vec<(Arc<str>, usize, usize)>,
    /// Records and bytes written, by topic.
    pub written: Vec<(Arc<str>, usize, usize)>,
    /// Bad records that were passed over.
    pub skipped: usize,
    /// Bad records written to the dead-letter topic.
    pub dead_letters: usize,
    /// Records that came after the end of their window and its lateness, and were left out of it.
    pub late: usize,
    /// From the cut to the end of apply.
    pub total: Duration,
    /// From the last input to the end of apply.
    pub checkpoint: Duration,
    /// The parts of the checkpoint.
    pub phases: Phases,
    /// Whether anything was committed (an empty batch is not).
    pub committed: bool,
    /// Bytes of local state by partition, about; told every few seconds.
    pub state_bytes: Vec<(crate::record::Partition, u64)>,
    /// Rows of local state by partition, estimated; told with the bytes.
    pub state_rows: Vec<(crate::record::Partition, u64)>,
    /// How far the source partitions are read.
    pub positions: Vec<SourcePosition>,
    /// Timestamps of the records taken.
    pub timestamps: Option<Timestamps>,
    /// How far event time has come in windows over it, if it moved; milliseconds since the epoch.
    pub watermark_ms: Option<i64>,
    /// How long the loop waited for input.
    pub waited: Duration,
    /// What was read, by source partition and source of this process.
    pub inputs: Vec<InputRange>,
    /// How long the operator of each sink took, summed over all tasks.
    pub sinks: Vec<(NodeId, Duration)>,
}

/// How far a source partition is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The partition.
    pub at: TopicPartition,
    /// The next offset.
    pub next: Offset,
    /// The greatest timestamp read since the partition was assigned, milliseconds since the epoch.
    pub newest_ms: Option<i64>,
}

/// What a batch read of a source partition, or of a source of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRange {
    /// Its source node.
    pub node: NodeId,
    /// The partition; `None` = a source of this process, whose rows have no offsets.
    pub at: Option<TopicPartition>,
    /// The first offset.
    pub from: Offset,
    /// The next offset.
    pub until: Offset,
    /// Records, good and bad.
    pub records: usize,
}

/// How long the parts of a checkpoint took; the rest of it is the end of the batch in the operators and the sealing of state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Waiting for the acknowledgements of what was sent.
    pub flush: Duration,
    /// Sending the offsets and ending the transaction.
    pub commit: Duration,
    /// Writing the changes to the databases.
    pub apply: Duration,
}

/// The loop of one process.
pub struct Engine {
    pub(super) config: Config,
    pub(super) plan: Arc<Topology>,
    pub(super) env: Env,
    pub(super) names: Names,
    pub(super) topics: Topics,
    /// What an earlier run left; read once the producer is ready.
    pub(super) meta: Option<Meta>,
    pub(super) print: Fingerprint,
    pub(super) fingerprint: String,
    pub(super) pool: Pool,
    pub(super) member: Box<dyn Member>,
    pub(super) producer: Option<Box<dyn Producer>>,
    pub(super) pending_producer: Option<PendingProducer>,
    pub(super) member_id: String,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) sources: Vec<SourcePartition>,
    pub(super) locals: Vec<LocalInput>,
    pub(super) receivers: Receivers,
    pub(super) outboxes: Outboxes,
    pub(super) two_phase: Vec<TwoPhaseOutput>,
    /// Ends of changelogs.
    pub(super) ends: Ends,
    pub(super) states: Vec<StatePartition>,
    /// Partitions that are ours but not recovered: after a lost membership, or while a batch was in flight.
    pub(super) unrecovered: Vec<TopicPartition>,
    pub(super) events: Vec<GroupEvent>,
    pub(super) phase: Phase,
    pub(super) flight: InFlight,
    pub(super) input_ended: Duration,
    pub(super) staging: Staging,
    pub(super) last_batch: BatchId,
    /// The time of the last batch that is done.
    pub(super) last_time: BatchTime,
    /// Batches that are done and were not cut short to find a failing record.
    pub(super) whole_batches: u64,
    pub(super) failure: Option<Error>,
    /// Most records of a batch while a failing record is searched; 0 = a trial without any.
    pub(super) probe: Option<usize>,
    /// The record that failed alone, and why: it is bad if a batch without records does not fail as well.
    pub(super) accused: Option<(TopicPartition, Offset, Error)>,
    pub(super) first_rows_sent: bool,
    pub(super) last_witness: Option<Duration>,
    /// When the last batch was committed, until the next one begins.
    pub(super) last_commit: Option<Duration>,
    /// When a lost producer was last replaced.
    pub(super) last_replaced: Option<Duration>,
    pub(super) rejoined: bool,
    pub(super) unassigned: Unassigned,
    /// When it was last looked for new topics and partitions.
    pub(super) refreshed: Option<Duration>,
    pub(super) rates: Rates,
    /// The tasks were closed; the group is asked anew once it was heard.
    pub(super) must_rejoin: bool,
    pub(super) retries: u32,
}

/// Runs a topology until it is asked to stop, has processed what was available, or fails.
///
/// # Errors
/// Whatever running on cannot help; everything committed stays committed.
pub fn run(config: Config, plan: Topology, env: Env) -> Result {
    let mut engine = Engine::start(config, plan, env)?;
    let result = engine.turn_until_done();
    engine.end(result.is_ok());
    result
}

impl Engine {
    fn turn_until_done(&mut self) -> Result {
        loop {
            self.env.observer.on(&Observed::Alive);
            self.serve_group()?;
            if self.env.shutdown.is_requested() {
                return Ok(());
            }
            if self.is_done() || self.when_told(Self::is_drained)? {
                if self.when_told(|engine| engine.outboxes.have_caught_up())? {
                    return Ok(());
                }
                self.member.wait(Duration::from_millis(20));
                continue;
            }
            if let Some(why) = self.waits_for() {
                self.env.observer.on(&Observed::Waiting(&why));
                self.member.wait(Duration::from_millis(20));
                continue;
            }
            if trigger::ends_when_idle(self.config.trigger) && !self.has_input()? {
                self.member.wait(Duration::from_millis(50));
                continue;
            }
            self.let_the_log_settle();
            self.one_batch()?;
        }
    }

    /// What the log does not tell now is asked again at the next turn.
    fn when_told(&mut self, ask: impl FnOnce(&mut Self) -> Result<bool>) -> Result<bool> {
        match ask(self) {
            Err(Error::Log(f)) if may_pass(f.reaction) => {
                tracing::warn!("{f}; trying again");
                self.env.clock.sleep(ASK_PAUSE);
                Ok(false)
            }
            told => told,
        }
    }

    /// Right after a commit the log still ends the transaction; the client would be sent away and come back only after 20 ms.
    fn let_the_log_settle(&mut self) {
        let Some(committed) = self.last_commit.take() else { return };
        let since = self.env.clock.monotonic().saturating_sub(committed);
        let left = SETTLE.saturating_sub(since);
        if self.config.trigger == Trigger::AsSoonAsPossible && !left.is_zero() {
            self.env.clock.sleep(left);
        }
    }

    /// Drives the checkpoint machine from the cut back to the barrier.
    fn one_batch(&mut self) -> Result {
        let mut event = Event::Cut;
        loop {
            let (phase, action) = self.phase.on(event);
            tracing::trace!(?event, ?phase, ?action);
            self.phase = phase;
            self.back_off(event);
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
                Action::Stop => return Err(self.failure.take().unwrap_or(Error::Killed)),
                Action::Exit => return Err(self.fenced()),
            };
        }
    }

    fn timed(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<Event>,
        phase: impl FnOnce(&mut Phases) -> &mut Duration,
    ) -> Result<Event> {
        let began = self.env.clock.monotonic();
        let event = act(self);
        *phase(&mut self.flight.phases) += self.env.clock.monotonic().saturating_sub(began);
        event
    }

    pub(super) fn fenced(&mut self) -> Error {
        let why = self.failure.take().map_or_else(String::new, |f| format!(" ({f})"));
        Error::Fenced(format!(
            "a newer process runs as instance `{}` of `{}`{why}; this one has stopped and writes nothing more\n  next: give each process its own --instance-id, or stop one of them",
            self.env.instance, self.config.application_id
        ))
    }

    /// Waits before a call that failed is made again, longer each time.
    fn back_off(&mut self, event: Event) {
        let Event::Failed(_) = event else {
            if matches!(event, Event::Applied { .. } | Event::Empty) {
                if self.retries >= RETRIES_QUIET {
                    self.env.observer.on(&Observed::Connection(None));
                }
                self.retries = 0;
            }
            return;
        };
        if matches!(self.phase, Phase::Looking(_) | Phase::Replacing(_) | Phase::Settling) {
            self.env.observer.on(&Observed::Alive);
            self.retries += 1;
            let pause = Duration::from_millis(20 << self.retries.min(8));
            if let Some(f) = &self.failure {
                tracing::warn!(retry_in_ms = pause.as_millis(), "{f}");
                if self.retries == RETRIES_QUIET {
                    self.env.observer.on(&Observed::Connection(Some(&f.to_string())));
                }
            }
            self.env.clock.sleep(pause);
        }
    }

    /// Remembers a failure and reports its reaction; a crash ends the loop at once.
    pub(super) fn failed(&mut self, error: Error) -> Result<Event> {
        let event = match &error {
            Error::Killed => return Err(error),
            Error::Log(f) => Event::Failed(f.reaction),
            Error::Operator { .. } => Event::GivenUp,
            _ => Event::Broken,
        };
        self.failure = Some(error);
        if self.env.shutdown.is_requested() && self.retries > 3 {
            // Asked to stop while the log does not answer: what is committed stays, the batch in flight is replayed next time.
            return Err(self.failure.take().unwrap_or(Error::Killed));
        }
        Ok(event)
    }

    pub(super) fn token(&self, batch: &Batch) -> Token {
        Token {
            instance: self.env.instance.clone(),
            incarnation: self.incarnation.expect("known before the first batch"),
            batch: batch.id,
        }
    }

    pub(super) fn cut(&mut self) -> Batch {
        let id = BatchId(self.last_batch.0 + 1);
        let (trigger, began_ms) = (self.config.trigger, self.env.clock.now_ms());
        if self.last_batch == BatchId(0) {
            self.last_time = trigger::last_before_start(trigger, began_ms, self.last_time);
        }
        let trigger::Cut { time, opens_interval } = trigger::cut(trigger, began_ms, self.last_time);
        self.last_batch = id;
        if opens_interval {
            self.rates.next_interval();
        }
        let quiet = self.probe.is_some();
        self.sources.iter_mut().for_each(|s| s.task.set_quiet(quiet));
        self.locals.iter_mut().for_each(|l| l.task.set_quiet(quiet));
        self.states.iter_mut().flat_map(|s| &mut s.tasks).for_each(|task| task.set_quiet(quiet));
        let batch = Batch { id, time };
        let of_partition = self.rates.partition_records();
        self.sources.iter_mut().for_each(|unit| unit.begin_batch(opens_interval, of_partition));
        let began = self.env.clock.monotonic();
        let inputs = self.sources.iter().map(SourcePartition::nothing_read);
        let inputs = inputs.chain(self.locals.iter().map(LocalInput::nothing_read)).collect();
        self.flight = InFlight { batch: Some(batch), began, began_ms, inputs, ..InFlight::default() };
        self.env.observer.on(&Observed::Cut(batch));
        batch
    }

    /// Limits of one receiver; while a failing record is searched, chunks are as small as the batch.
    pub(super) fn limits(&self) -> QueueLimits {
        let share = self.config.receive_buffer_bytes / self.sources.len().max(1);
        QueueLimits {
            chunk_records: self.probe.unwrap_or(8_192).clamp(1, self.config.batch_records_max),
            chunk_bytes: (super::compute::ROUND_BYTES / self.sources.len().max(1)).clamp(1 << 16, 1 << 20),
            buffer_records: self.rates.partition_records().min(self.rates.interval_records()),
            buffer_bytes: if self.probe.is_some() { 1 } else { (share / 2).max(1 << 16) },
        }
    }

    /// What is missing before batches can run. State is kept by one process: a program with state waits for all partitions.
    fn waits_for(&self) -> Option<String> {
        if !self.unrecovered.is_empty() || (self.sources.is_empty() && self.states.is_empty()) {
            return Some("waiting for the group to assign partitions".into());
        }
        let inputs: usize = self.topics.inputs.values().map(|t| t.partitions as usize).sum();
        let missing = inputs.saturating_sub(self.sources.len());
        let without_state = (self.config.state_partitions as usize).saturating_sub(self.states.len());
        if self.plan.has_state_partitions() && missing + without_state > 0 {
            return Some(format!(
                "waiting for {missing} source and {without_state} state partitions: a program with state runs in one process; others of `{}` hold the rest, or the group has not given it to anybody yet (next: let one process run and stop the others, with --leave so that their partitions are free at once; if no other runs, the group gives them after the session timeout, {} s)",
                self.config.application_id,
                self.config.session_timeout.as_secs_f64()
            ));
        }
        None
    }

    /// Whether everything that was to be processed is. A first run that finds nothing still commits where it began.
    fn is_done(&self) -> bool {
        let has_ended = match self.config.trigger {
            Trigger::AvailableNow => self.has_taken_everything(),
            Trigger::Once => self.whole_batches > 0 || self.has_taken_everything(),
            Trigger::Interval(_) | Trigger::AsSoonAsPossible => false,
        };
        let committed = self.sources.iter().all(|s| s.committed.is_some());
        has_ended && self.waits_for().is_none() && committed
    }

    /// Asked to drain: no receiver receives any more; whether everything that they stored is processed.
    pub(super) fn is_drained(&mut self) -> Result<bool> {
        if !self.env.shutdown.is_drain_requested() {
            return Ok(false);
        }
        self.receivers.stop();
        for unit in self.sources.iter().filter(|s| self.receivers.fill(&s.at.topic)) {
            if unit.next < self.env.log.end_offset(&unit.at)? {
                return Ok(false);
            }
        }
        Ok(!self.locals.iter().any(LocalInput::has_more))
    }

    /// Whether each source is where a bounded run ends.
    pub(super) fn has_taken_everything(&self) -> bool {
        self.sources.iter().all(|s| s.stop_at.is_some_and(|end| s.next >= end))
            && !self.locals.iter().any(LocalInput::has_more)
    }

    fn end(self, in_order: bool) {
        let _ = crate::failpoint::passes("during-shutdown");
        let Engine { member, producer, sources, states, config, mut receivers, mut outboxes, .. } = self;
        receivers.stop();
        outboxes.stop();
        drop((sources, states, producer));
        member.close(in_order && config.leave);
    }
}
