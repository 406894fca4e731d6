//! The last batches and the receivers, for the streaming page and its JSON API.
//!
//! Owns what the page shows of the past; informed like any other listener. Knows no HTTP. Invariants: memory is
//! bounded (batches, and the offset ranges in them); readers take what they need under a short lock and work on
//! their own copy.

use super::listener::{
    BatchInfo, ReceiverId, ReceiverInfo, ReceiverStatus, StreamingListener, StreamingStarted,
};
use crate::{
    config::Trigger,
    record::{Offset, Partition, TopicPartition},
    sink::View,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// How many completed batches are kept.
pub const BATCHES_MAX: usize = 1_000;
/// How many offset ranges are kept over all batches; beyond that, the oldest batches lose theirs.
const RANGES_MAX: usize = 100_000;

/// What does not change while a program runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// The application.
    pub application_id: String,
    /// This process of the application.
    pub instance: Arc<str>,
    /// Its machine.
    pub host: Arc<str>,
    /// When a batch ends.
    pub trigger: Trigger,
    /// Its streams.
    pub streams: Vec<Stream>,
    /// Its output operations: name and place in the program.
    pub operations: Vec<(Arc<str>, Arc<str>)>,
    /// What it consists of, in the order of the topology.
    pub operators: Vec<OperatorDescription>,
    /// The settings of this process: name and value; secrets are masked.
    pub settings: Vec<(String, String)>,
    /// The topology as text.
    pub topology: String,
    /// What can be queried while it runs: its models.
    pub views: Vec<View>,
    /// When this process started, in milliseconds since the epoch.
    pub launched_ms: i64,
}

/// A stream of a program: a source.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The node of the source in the topology.
    pub id: usize,
    /// Its name.
    pub name: Arc<str>,
    /// The topics that it reads.
    pub topics: Vec<Arc<str>>,
}

/// A node of a program's topology.
#[derive(Clone, Debug)]
pub struct OperatorDescription {
    /// Its number.
    pub id: usize,
    /// Number of exchanges upstream.
    pub stage: u32,
    /// What it is called.
    pub name: Arc<str>,
    /// The place in the program.
    pub place: Arc<str>,
}

/// A batch that is taking input or being ended.
#[derive(Clone, Debug)]
pub struct Active {
    /// What is known of it.
    pub batch: Arc<BatchInfo>,
    /// Whether it is still taking input.
    pub takes_input: bool,
    /// When it was cut, in milliseconds since the epoch; `None` = not known.
    pub cut_ms: Option<i64>,
    /// Records that it has taken so far; updated about twice a second.
    pub records: usize,
    /// What is running; `None` = it waits for input, or is not known yet.
    pub running: Option<Arc<str>>,
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The next offset.
    pub next: Offset,
    /// The end of the partition.
    pub end: Offset,
}

/// The history at one moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// When the first batch began, in milliseconds since the epoch.
    pub started_ms: Option<i64>,
    /// The batch that is taking input or being ended.
    pub active: Option<Active>,
    /// The last batches, oldest first, including those that were given up.
    pub completed: VecDeque<Arc<BatchInfo>>,
    /// How many batches were completed or given up since the start; the last of `completed` has this number.
    pub ended: u64,
    /// Completed batches.
    pub total_completed: u64,
    /// Batches given up.
    pub total_failed: u64,
    /// Records in completed batches.
    pub total_records: u64,
    /// All receivers that this process has had.
    pub receivers: BTreeMap<ReceiverId, ReceiverInfo>,
    /// How far the partitions have been read; updated about once a second.
    pub positions: BTreeMap<TopicPartition, Position>,
    /// Size of local state in bytes; updated every few seconds.
    pub state_bytes: BTreeMap<Partition, u64>,
}

impl Moment {
    /// Completed batches that are kept, oldest first, without those that were given up.
    pub fn succeeded(&self) -> impl Iterator<Item = &Arc<BatchInfo>> {
        self.completed.iter().filter(|b| !b.has_failed())
    }

    /// The batch with this time, and how far it is if it has not ended.
    #[must_use]
    pub fn batch(&self, time_ms: i64) -> Option<(&Arc<BatchInfo>, Option<&Active>)> {
        let active = self.active.as_ref().filter(|a| a.batch.batch_time_ms == time_ms);
        let completed = || self.completed.iter().rev().find(|b| b.batch_time_ms == time_ms);
        active.map(|a| (&a.batch, Some(a))).or_else(|| completed().map(|b| (b, None)))
    }

    /// Why the last batch that ended was given up, if it was.
    #[must_use]
    pub fn given_up_last(&self) -> Option<(&Arc<BatchInfo>, &str)> {
        self.completed.back().and_then(|batch| Some((batch, batch.failure_reason()?)))
    }

    /// How many receivers have this status.
    #[must_use]
    pub fn receivers_in(&self, status: ReceiverStatus) -> usize {
        self.receivers.values().filter(|r| r.status == status).count()
    }
}

/// What has happened so far. Put it in an `Arc`; the loop writes, the page reads.
pub struct History {
    program: Program,
    moment: Mutex<Kept>,
    changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Kept {
    moment: Moment,
    ranges: usize,
    /// How many batches at the old end of `completed` have lost their ranges.
    stripped: usize,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("program", &self.program).finish_non_exhaustive()
    }
}

impl History {
    /// A history in which nothing has happened yet.
    #[must_use]
    pub fn new(program: Program) -> Self {
        History { program, moment: Mutex::default(), changed: OnceLock::new() }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Calls `notify` after each change, on the thread that made it. Only the first call of this method has an
    /// effect.
    pub fn on_change(&self, notify: impl Fn() + Send + Sync + 'static) {
        let _ = self.changed.set(Box::new(notify));
    }

    /// The history at this moment; batches are shared, not copied.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.kept().moment.clone()
    }

    /// A batch was cut: it takes input from now on.
    pub fn takes_input(&self, id: u64, batch_time_ms: i64, cut_ms: i64) {
        let batch =
            BatchInfo { id, batch_time_ms, submission_time_ms: batch_time_ms, ..BatchInfo::default() };
        let (batch, cut_ms) = (Arc::new(batch), Some(cut_ms));
        let active = Active { batch, takes_input: true, cut_ms, records: 0, running: None };
        self.change(|kept| kept.moment.active = Some(active));
    }

    /// The batch has taken so many records, and this is running; nobody is notified if nothing has changed.
    pub fn progress(&self, records: usize, running: Option<&str>) {
        let is_known = |active: &Active| active.records == records && active.running.as_deref() == running;
        if self.kept().moment.active.as_ref().is_none_or(is_known) {
            return;
        }
        self.change(|kept| {
            if let Some(active) = &mut kept.moment.active {
                (active.records, active.running) = (records, running.map(Into::into));
            }
        });
    }

    /// No batch is in flight any more.
    pub fn closed(&self) {
        self.change(|kept| kept.moment.active = None);
    }

    /// This process reads these partitions, and no others.
    pub fn owned(&self, owned: &[TopicPartition]) {
        self.kept().moment.positions.retain(|at, _| owned.contains(at));
    }

    /// Records how far a partition has been read.
    pub fn position(&self, at: &TopicPartition, position: Position) {
        let mut kept = self.kept();
        if let Some(known) = kept.moment.positions.get_mut(at) {
            *known = position;
        } else {
            kept.moment.positions.insert(at.clone(), position);
        }
    }

    /// Records the sizes of local state.
    pub fn state_bytes(&self, sizes: &[(Partition, u64)]) {
        if !sizes.is_empty() {
            self.kept().moment.state_bytes = sizes.iter().copied().collect();
        }
    }

    /// Records a receiver whose readiness changed without an error of its own.
    pub fn receiver(&self, receiver: &ReceiverInfo) {
        self.change(|kept| {
            kept.moment.receivers.insert(receiver.id.clone(), receiver.clone());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept());
        if let Some(changed) = self.changed.get() {
            changed();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamingListener for History {
    fn on_streaming_started(&self, started: &StreamingStarted) {
        self.change(|kept| kept.moment.started_ms = Some(started.time_ms));
    }

    fn on_receiver_started(&self, receiver: &ReceiverInfo) {
        self.receiver(receiver);
    }

    fn on_receiver_error(&self, receiver: &ReceiverInfo) {
        self.receiver(receiver);
    }

    fn on_receiver_stopped(&self, receiver: &ReceiverInfo) {
        self.receiver(receiver);
        if let ReceiverId::Partition(at) = &receiver.id {
            self.kept().moment.positions.remove(at);
        }
    }

    fn on_batch_started(&self, batch: &BatchInfo) {
        let batch = Arc::new(batch.clone());
        self.change(|kept| {
            let before = kept.moment.active.take().filter(|a| a.batch.id == batch.id);
            let cut_ms = before.and_then(|a| a.cut_ms);
            let records = batch.num_records();
            kept.moment.active = Some(Active { batch, takes_input: false, cut_ms, records, running: None });
        });
    }

    fn on_batch_completed(&self, batch: &BatchInfo) {
        let batch = Arc::new(batch.clone());
        self.change(|kept| kept.complete(batch));
    }
}

impl Kept {
    fn complete(&mut self, batch: Arc<BatchInfo>) {
        let moment = &mut self.moment;
        moment.active = None;
        moment.ended += 1;
        if batch.has_failed() {
            moment.total_failed += 1;
        } else {
            moment.total_completed += 1;
            moment.total_records += batch.num_records() as u64;
        }
        self.ranges += ranges(&batch);
        moment.completed.push_back(batch);
        if moment.completed.len() > BATCHES_MAX {
            self.ranges -= moment.completed.pop_front().map_or(0, |b| ranges(&b));
            self.stripped = self.stripped.saturating_sub(1);
        }
        while self.ranges > RANGES_MAX && self.stripped + 1 < moment.completed.len() {
            let oldest = &mut moment.completed[self.stripped];
            self.ranges -= ranges(oldest);
            Arc::make_mut(oldest).streams.iter_mut().for_each(|s| s.ranges = vec![]);
            self.stripped += 1;
        }
    }
}

fn ranges(batch: &BatchInfo) -> usize {
    batch.streams.iter().map(|s| s.ranges.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::listener::{OffsetRange, OutputOperationInfo, StreamInputInfo};

    fn history() -> History {
        History::new(Program {
            application_id: "app".into(),
            instance: "a".into(),
            host: "h".into(),
            trigger: Trigger::AsSoonAsPossible,
            streams: vec![],
            operators: vec![],
            settings: vec![],
            operations: vec![("print".into(), "x.rs:1".into())],
            topology: String::new(),
            views: vec![],
            launched_ms: 0,
        })
    }

    fn batch(id: u64, partitions: u32, failure: Option<&str>) -> BatchInfo {
        let range = |p| OffsetRange {
            at: TopicPartition::new("in", p),
            from: Offset(id),
            until: Offset(id + 1),
            records: 1,
        };
        let ranges: Vec<_> = (0..partitions).map(range).collect();
        let operation = OutputOperationInfo {
            batch_time_ms: 0,
            id: 0,
            name: "print".into(),
            description: "x.rs:1".into(),
            duration: None,
            failure_reason: failure.map(Into::into),
        };
        BatchInfo {
            id,
            batch_time_ms: i64::try_from(id).unwrap(),
            streams: vec![StreamInputInfo {
                stream_id: 0,
                name: "in".into(),
                num_records: ranges.len(),
                ranges,
            }],
            output_operations: vec![operation],
            ..BatchInfo::default()
        }
    }

    #[test]
    fn a_thousand_batches_are_kept_and_all_are_counted() {
        let history = history();
        for id in 0..1_500 {
            history.on_batch_completed(&batch(id, 2, None));
        }
        let moment = history.moment();
        assert_eq!(
            (moment.completed.len(), moment.total_completed, moment.total_records),
            (1_000, 1_500, 3_000)
        );
        assert_eq!((moment.completed[0].id, moment.completed[999].id), (500, 1_499));
        assert!(moment.batch(499).is_none() && moment.batch(500).is_some());
    }

    #[test]
    fn old_batches_lose_their_offset_ranges_beyond_the_limit_but_not_their_counts() {
        let history = history();
        for id in 0..300 {
            history.on_batch_completed(&batch(id, 1_000, None));
        }
        let moment = history.moment();
        let kept: usize = moment.completed.iter().map(|b| ranges(b)).sum();
        assert_eq!((moment.completed.len(), kept), (300, RANGES_MAX));
        assert_eq!((moment.completed[0].num_records(), ranges(&moment.completed[0])), (1_000, 0));
        assert_eq!(ranges(&moment.completed[299]), 1_000);
        for id in 300..2_000 {
            history.on_batch_completed(&batch(id, 1, None));
        }
        let kept = history.kept();
        assert_eq!((kept.ranges, kept.stripped), (1_000, 0), "what was stripped has left");
    }

    #[test]
    fn a_batch_that_was_given_up_is_counted_separately() {
        let history = history();
        history.takes_input(7, 7, 3);
        assert!(history.moment().batch(7).is_some_and(|(_, active)| active.unwrap().takes_input));
        history.on_batch_started(&batch(7, 1, None));
        let active = history.moment().active.unwrap();
        assert_eq!((active.takes_input, active.cut_ms), (false, Some(3)));
        history.on_batch_completed(&batch(7, 1, Some("no luck")));
        history.on_batch_completed(&batch(8, 1, None));
        let moment = history.moment();
        assert_eq!((moment.total_failed, moment.total_completed, moment.total_records), (1, 1, 1));
        assert_eq!((moment.completed.len(), moment.succeeded().count(), moment.ended), (2, 1, 2));
        assert_eq!(moment.batch(7).unwrap().0.failure_reason(), Some("no luck"));
        assert!(moment.active.is_none());
    }
}
