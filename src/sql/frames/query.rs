//! A query that was started.
//!
//! Owns its handle: how far it is, how it ended, how it is stopped. Knows no sink and no plan. Invariants: a run ends once, and all who wait
//! get the same outcome; an error of the engine is the query's exception.

use super::{
    listener::{Listeners, QueryProgressEvent, QueryTerminatedEvent},
    progress::{QueryFacts, QueryId, RunId, StateSizes, StreamingQueryProgress, of_batch},
};
use crate::{
    config::Config,
    context::StreamingContext,
    error::{Error, Result, panic_text},
    log,
    observe::{
        BatchReport,
        listener::{BatchInfo, StreamingListener},
        queries::QueryView,
        status::Phase,
    },
    record::{Offset, TopicPartition},
    runtime::clock::{Clock, SystemClock},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// How many batches `recent_progress` has, as in Spark.
const RECENT_MAX: usize = 100;
/// How often is looked whether all available rows are processed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Without a batch for so long there is nothing left to process of sources that know no end.
const SILENCE: Duration = Duration::from_secs(2);
/// The same where receivers write topics: files are listed when they have not changed for two seconds.
const SILENCE_OF_RECEIVERS: Duration = Duration::from_secs(4);
/// How often it is looked for records behind the last one that was processed.
const LOOKS_MAX: u32 = 50;

/// What a query is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamingQueryStatus {
    /// In words, which are Spark's where Spark has the same.
    pub message: String,
    /// Whether rows have come that are not committed yet.
    pub is_data_available: bool,
    /// Whether a batch is being computed.
    pub is_trigger_active: bool,
}

/// A query that was started: see [`DataStreamWriter::start`](super::DataStreamWriter::start). Handles are cheap to clone; the query runs on
/// when all of them are gone.
#[derive(Clone)]
pub struct StreamingQuery(pub(super) Arc<Run>);

/// A run of a query.
pub struct Run {
    pub facts: QueryFacts,
    pub context: StreamingContext,
    pub config: Config,
    /// The topics that it reads, as far as they are named; `false` = it also has sources that know no end.
    pub topics: Vec<String>,
    pub reads_topics_only: bool,
    pub explained: String,
    pub recorder: Arc<Recorder>,
    end: End,
}

/// How a run ended.
#[derive(Default)]
struct End {
    outcome: Mutex<Option<Result>>,
    come: Condvar,
}

impl Run {
    pub fn new(
        facts: QueryFacts,
        context: StreamingContext,
        config: Config,
        (topics, reads_topics_only): (Vec<String>, bool),
        explained: String,
        recorder: Arc<Recorder>,
    ) -> Self {
        let end = End::default();
        Run { facts, context, config, topics, reads_topics_only, explained, recorder, end }
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Result>> {
        self.end.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the engine and tells it, on a thread of its own: first the listeners, then those who wait, then `ended`.
    pub fn watch(
        self: &Arc<Self>,
        listeners: Listeners,
        ended: impl FnOnce(Result) + Send + 'static,
    ) -> Result {
        let run = self.clone();
        let work = move || {
            let waited = catch_unwind(AssertUnwindSafe(|| run.context.await_termination()));
            let outcome = waited.unwrap_or_else(|panic| {
                let reason = format!("the engine panicked: {}", panic_text(panic.as_ref()));
                Err(Error::Operator { operator: "engine".into(), partition: 0, reason })
            });
            let exception = outcome.as_ref().err().map(ToString::to_string);
            run.recorder.ended(exception.clone());
            let (id, run_id) = (run.facts.id, run.facts.run_id);
            listeners.terminated(&QueryTerminatedEvent { id, run_id, exception });
            *run.outcome() = Some(outcome.clone());
            run.end.come.notify_all();
            ended(outcome);
        };
        let thread = std::thread::Builder::new().name("query-watch".into()).spawn(work);
        thread.map(drop).map_err(Error::io("starting the thread that waits for a query"))
    }
}

impl StreamingQuery {
    /// Which query it is: the same after each restart.
    #[must_use]
    pub fn id(&self) -> QueryId {
        self.0.facts.id
    }

    /// Which run of it this is.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.0.facts.run_id
    }

    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.facts.name.as_deref()
    }

    /// Whether it is running.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.outcome().is_none()
    }

    /// Why it has failed; `None` = it is running, or has ended in order.
    #[must_use]
    pub fn exception(&self) -> Option<Error> {
        self.0.outcome().as_ref().and_then(|outcome| outcome.clone().err())
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> StreamingQueryStatus {
        let say = |message: &str, is_data_available, is_trigger_active| StreamingQueryStatus {
            message: message.to_owned(),
            is_data_available,
            is_trigger_active,
        };
        if let Some(outcome) = &*self.0.outcome() {
            return match outcome {
                Ok(()) => say("Stopped", false, false),
                Err(e) => say(&format!("Terminated with exception: {e}"), false, false),
            };
        }
        let Some((_, status, history)) = self.0.context.watched() else {
            return say("Stopped", false, false);
        };
        if status.snapshot().phase != Phase::Running {
            return say("Initializing sources", false, false);
        }
        match history.moment().active {
            Some(active) if !active.takes_input || active.records > 0 => {
                say("Processing new data", true, true)
            }
            _ => say("Waiting for data to arrive", false, false),
        }
    }

    /// What it did in the last batch that had rows; `None` = there was none yet.
    #[must_use]
    pub fn last_progress(&self) -> Option<Arc<StreamingQueryProgress>> {
        self.0.recorder.seen().recent.back().cloned()
    }

    /// What it did in the last hundred batches that had rows, oldest first.
    #[must_use]
    pub fn recent_progress(&self) -> Vec<Arc<StreamingQueryProgress>> {
        self.0.recorder.seen().recent.iter().cloned().collect()
    }

    /// Its plans: the logical plan, the streaming operators with what each keeps, and the nodes that run.
    #[must_use]
    pub fn explained(&self) -> &str {
        &self.0.explained
    }

    /// Prints [`explained`](Self::explained) on standard output.
    pub fn explain(&self) {
        println!("{}", self.explained());
    }

    /// Waits until it ends: it is stopped, has processed all that was available, or fails.
    ///
    /// # Errors
    /// Why it has failed: its [`exception`](Self::exception).
    pub fn await_termination(&self) -> Result {
        let outcome = self.0.end.come.wait_while(self.0.outcome(), |outcome| outcome.is_none());
        outcome.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(Ok(()))
    }

    /// The same, but at most for `timeout`: `false` = it is still running.
    ///
    /// # Errors
    /// As [`await_termination`](Self::await_termination).
    pub fn await_termination_or_timeout(&self, timeout: Duration) -> Result<bool> {
        let waited =
            self.0.end.come.wait_timeout_while(self.0.outcome(), timeout, |outcome| outcome.is_none());
        match waited.unwrap_or_else(PoisonError::into_inner).0.clone() {
            None => Ok(false),
            Some(outcome) => outcome.map(|()| true),
        }
    }

    /// Ends it in order, and waits for that: the batch in flight is committed. What it has not read yet comes after the next start. It must
    /// not be called by a listener, whose query would wait for itself.
    ///
    /// # Errors
    /// Why it had failed before, or could not end in order.
    pub fn stop(&self) -> Result {
        self.0.context.stop(false);
        self.await_termination()
    }

    /// Waits until everything is processed and committed that is there now: for tests. Of sources that know no end (`rate`, `datagen`,
    /// `socket`) that is what has come when they have been silent for two seconds.
    ///
    /// # Errors
    /// Why the query has failed, or the log does not say where its topics end.
    pub fn process_all_available(&self) -> Result {
        let mut ends = self.0.ends()?;
        let mut quiet = Duration::ZERO;
        let mut batches = self.0.recorder.seen().batches;
        let has_receivers = self.0.topics.iter().any(|topic| topic.contains("-ingest-"));
        let silence = if has_receivers { SILENCE_OF_RECEIVERS } else { SILENCE };
        loop {
            let now = self.0.recorder.seen().batches;
            (quiet, batches) =
                if now == batches { (quiet + LOOK_EVERY, batches) } else { (Duration::ZERO, now) };
            if self.0.reads_topics_only && !has_receivers && self.0.has_reached(&ends) {
                return Ok(());
            }
            if quiet >= silence {
                if has_receivers {
                    ends = self.0.ends()?; // with what was listed meanwhile
                }
                if self.0.has_reached(&ends) || self.0.has_nothing_before(&ends)? {
                    return Ok(());
                }
                quiet = Duration::ZERO;
            }
            if self.await_termination_or_timeout(LOOK_EVERY)? {
                return Ok(());
            }
        }
    }
}

impl Run {
    /// Where its topics end now.
    fn ends(&self) -> Result<Vec<(TopicPartition, Offset)>> {
        if self.topics.is_empty() {
            return Ok(vec![]);
        }
        let log = log::open(&self.config.bootstrap, &self.config.properties)?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let mut ends = vec![];
        for (topic, info) in topics.iter().zip(log.describe(&topics)?) {
            for partition in 0..info.map_or(0, |info| info.partitions) {
                let at = TopicPartition::new(*topic, partition);
                let end = log.end_offset(&at)?;
                if end > log.start_offset(&at)? {
                    ends.push((at, end));
                }
            }
        }
        Ok(ends)
    }

    /// Whether these ends are read and committed.
    fn has_reached(&self, ends: &[(TopicPartition, Offset)]) -> bool {
        ends.iter().all(|(at, end)| self.read(at).is_some_and(|next| next >= *end))
    }

    /// Whether behind what is read and committed there is no record before these ends: what ends a transaction is none.
    fn has_nothing_before(&self, ends: &[(TopicPartition, Offset)]) -> Result<bool> {
        let log = log::open(&self.config.bootstrap, &self.config.properties)?;
        for (at, end) in ends {
            let Some(mut next) = self.read(at) else { return Ok(false) };
            let (mut reader, mut looks) = (log.read(at, next)?, 0);
            while next < *end {
                let Some(fetched) = reader.next(LOOK_EVERY)? else {
                    looks += 1;
                    if looks > LOOKS_MAX {
                        return Ok(false);
                    }
                    continue;
                };
                if fetched.records.iter().any(|record| record.offset < *end) {
                    return Ok(false);
                }
                next = fetched.next;
            }
        }
        Ok(true)
    }

    /// How far a partition is read and committed.
    fn read(&self, at: &TopicPartition) -> Option<Offset> {
        let of_batches = self.recorder.seen().positions.get(at).copied();
        let known = self.context.watched().map(|(_, _, history)| history.moment().positions);
        let known = known.unwrap_or_default().get(at).map(|position| position.next);
        of_batches.max(known)
    }
}

impl fmt::Debug for StreamingQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.0.facts;
        write!(f, "StreamingQuery({}, {})", facts.name.as_deref().unwrap_or("without a name"), facts.run_id)
    }
}

/// Turns what the engine reports into progress.
pub struct Recorder {
    facts: OnceLock<QueryFacts>,
    seen: Mutex<Recorded>,
    listeners: Listeners,
    view: OnceLock<Arc<QueryView>>,
}

/// What has happened so far.
#[derive(Default)]
pub struct Recorded {
    /// The batch that was reported last.
    batch: Option<BatchInfo>,
    recent: VecDeque<Arc<StreamingQueryProgress>>,
    /// How many batches have ended, also empty ones.
    batches: u64,
    /// Where committed batches have read to.
    positions: BTreeMap<TopicPartition, Offset>,
    sizes: StateSizes,
    /// When the last batch that had rows ended, in milliseconds since the epoch.
    before_ms: Option<i64>,
}

impl Recorder {
    pub fn new(listeners: Listeners) -> Self {
        Recorder { facts: OnceLock::new(), seen: Mutex::default(), listeners, view: OnceLock::new() }
    }

    /// What is the same in all batches; said before the first one.
    pub fn begin(&self, facts: QueryFacts) {
        let _ = self.facts.set(facts); // said once
    }

    /// What the page shows of the query.
    pub fn show(&self, view: Arc<QueryView>) {
        let _ = self.view.set(view); // said once
    }

    fn seen(&self) -> MutexGuard<'_, Recorded> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, why: Option<String>) {
        if let Some(view) = self.view.get() {
            view.ended(SystemClock::new().now_ms(), why);
        }
    }

    /// A batch has ended; what is known of it besides was told before.
    pub fn batch(&self, report: &BatchReport) {
        let mut seen = self.seen();
        seen.batches += 1;
        seen.sizes.learn(report);
        seen.positions.extend(report.positions.iter().map(|position| (position.at.clone(), position.next)));
        let Some(batch) = seen.batch.take().filter(|batch| batch.id == report.id && batch.num_records() > 0)
        else {
            return;
        };
        let Some(facts) = self.facts.get() else { return };
        let end_ms = batch.processing_end_ms.unwrap_or(report.time_ms);
        let since = seen.before_ms.map(|before| u64::try_from(end_ms - before).unwrap_or(0).max(1));
        seen.before_ms = Some(end_ms);
        let progress = Arc::new(of_batch(facts, &batch, report, since, seen.sizes));
        seen.recent.push_back(progress.clone());
        if seen.recent.len() > RECENT_MAX {
            seen.recent.pop_front();
        }
        drop(seen);
        if let (Some(view), Ok(json)) = (self.view.get(), serde_json::to_value(&*progress)) {
            view.progress(json);
        }
        self.listeners.progress(&QueryProgressEvent { progress });
    }
}

impl StreamingListener for Recorder {
    fn on_batch_completed(&self, batch: &BatchInfo) {
        if !batch.has_failed() {
            self.seen().batch = Some(batch.clone());
        }
    }
}
