//! What one stage of a shard has closed, and how far each of its upstreams is.
//!
//! Knows no rows. Invariants: the closed time rises; a time is closed only when every upstream that is waited for has marked it; what an
//! upstream sent for one time is taken by one closing, whole, and never twice, because the last time that was taken is kept for each
//! upstream; what is prepared counts at once and is forgotten by an abort.

use crate::{
    operator::Upstream,
    record::{BatchTime, Offset},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Unbounded},
};

/// So many instants of a window that no upstream has a batch for are closed.
const PASSED_MAX: i64 = 100;

/// A window over batch times.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its instants are the multiples of this, milliseconds.
    pub slide_ms: i64,
    /// How long after a row it may still give it, milliseconds.
    pub reach_ms: i64,
}

/// Before all batches.
pub const NEVER: BatchTime = BatchTime(i64::MIN);

/// How far a stage is, as it is committed: the closed time with the offset, the upstreams as a row of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// The last closed time; [`NEVER`] in a shard that is made anew.
    pub closed: BatchTime,
    /// The upstreams that are waited for. What they sent for times up to `closed` is taken, later ones are not.
    pub members: BTreeSet<Upstream>,
    /// Others of which something was taken, with the last time that was.
    pub others: BTreeMap<Upstream, BatchTime>,
}

impl StageProgress {
    /// The progress of a stage that has closed `closed` for all `members`.
    #[must_use]
    pub fn new(closed: BatchTime, members: BTreeSet<Upstream>) -> Self {
        StageProgress { closed, members, others: BTreeMap::new() }
    }
}

/// One upstream of the stage.
#[derive(Clone)]
struct Sender {
    /// The first mark that was read.
    first: Option<BatchTime>,
    /// The last mark that was read.
    seen: Option<BatchTime>,
    /// The time of the last block that was read.
    sent: Option<BatchTime>,
    /// The last time of which something was taken, as it is committed.
    done: BatchTime,
    /// The same, with what is prepared.
    taken: BatchTime,
    /// Whether the plan has it as an upstream of the stage.
    is_read: bool,
    /// Whether closings wait for its marks.
    waits: bool,
    /// Where the mark was read since which it is waited for, unless that is committed.
    since: Option<Offset>,
}

/// A stage of a shard.
#[derive(Clone)]
pub(super) struct Stage {
    /// As it is committed.
    closed: BatchTime,
    /// With what is prepared.
    closing: BatchTime,
    /// The last closed time that an upstream has announced: rows come up to there.
    reached: BatchTime,
    /// The same, with what is prepared.
    reaching: BatchTime,
    windows: Vec<Window>,
    senders: BTreeMap<Upstream, Sender>,
    /// Whether it has no state, so that what its upstreams say in their first batches counts from the first closing on.
    begins: bool,
    /// Times after `closed`, and where each was read first.
    announced: BTreeMap<BatchTime, Offset>,
    /// Whether the upstreams differ from those that are committed.
    row_is_due: bool,
}

impl Stage {
    /// The stage as it was committed; upstreams that are not read any more are not waited for.
    pub(super) fn new(progress: StageProgress, is_read: impl Fn(&Upstream) -> bool) -> Self {
        let StageProgress { closed, members, others } = progress;
        let others = others.into_iter().map(|(upstream, done)| (upstream, done, false));
        let members = members.into_iter().map(|upstream| (upstream, closed, true));
        let sender = |(upstream, done, is_member): (Upstream, _, _)| {
            let is_read = is_read(&upstream);
            let waits = is_member && is_read;
            (
                upstream,
                Sender {
                    first: None,
                    seen: None,
                    sent: None,
                    done,
                    taken: done,
                    is_read,
                    waits,
                    since: None,
                },
            )
        };
        let senders = others.chain(members).map(sender).collect();
        Stage {
            closed,
            closing: closed,
            reached: closed,
            reaching: closed,
            windows: vec![],
            senders,
            begins: false,
            announced: BTreeMap::new(),
            row_is_due: true,
        }
    }

    /// The program has these windows.
    pub(super) fn set_windows(&mut self, windows: &[Window]) {
        self.windows = windows.to_vec();
    }

    /// A block was read. `is_read` says whether the plan has its upstream as one of this stage.
    pub(super) fn block(
        &mut self,
        upstream: &Upstream,
        time: BatchTime,
        at: Offset,
        is_read: impl FnOnce() -> bool,
    ) {
        let sender = self.sender(upstream, is_read);
        sender.sent = sender.sent.max(Some(time));
        self.announce(time, at);
    }

    /// A mark was read.
    pub(super) fn mark(
        &mut self,
        upstream: &Upstream,
        time: BatchTime,
        at: Offset,
        is_read: impl FnOnce() -> bool,
    ) {
        let sender = self.sender(upstream, is_read);
        sender.first = sender.first.or(Some(time));
        sender.seen = sender.seen.max(Some(time));
        if sender.is_read && !sender.waits {
            (sender.waits, sender.since) = (true, Some(at));
        }
        if sender.waits {
            self.announce(time, at);
        }
    }

    /// Waits no longer for an upstream. What it sent is still taken.
    pub(super) fn take_out(&mut self, upstream: &Upstream) {
        assert_eq!(self.closing, self.closed, "engine bug: what waits changes while a closing is prepared");
        if let Some(sender) = self.senders.get_mut(upstream) {
            self.row_is_due |= sender.waits;
            (sender.waits, sender.since) = (false, None);
        }
    }

    /// Whether everything that an upstream sends for this time was read before.
    pub(super) fn is_marked(&self, upstream: &Upstream, time: BatchTime) -> bool {
        self.senders.get(upstream).is_some_and(|sender| sender.seen >= Some(time))
    }

    /// Whether a block is still to be taken.
    pub(super) fn is_open(&self, upstream: &Upstream, time: BatchTime) -> bool {
        self.senders.get(upstream).is_none_or(|sender| sender.taken < time)
    }

    /// Whether closing `closing` takes a block.
    pub(super) fn takes(&self, upstream: &Upstream, time: BatchTime, closing: BatchTime) -> bool {
        let is_open = if crate::failpoint::passes("mutant-skip-by-closed") {
            self.closing < time
        } else {
            self.is_open(upstream, time)
        };
        is_open && time <= closing && self.is_marked(upstream, time)
    }

    /// The upstreams that the plan does not read any more and that have not marked all that they sent.
    pub(super) fn cut_off(&self) -> impl Iterator<Item = &Upstream> {
        let is_cut_off = |sender: &Sender| !sender.is_read && sender.sent > sender.seen;
        self.senders.iter().filter(move |(_, sender)| is_cut_off(sender)).map(|(upstream, _)| upstream)
    }

    /// It has no state: its first closing takes everything up to the first batches of all upstreams.
    pub(super) fn begin(&mut self) {
        self.begins = !crate::failpoint::passes("mutant-begins-at-once");
    }

    /// The next time to close: the least that was announced (if it begins, the first time in which all upstreams have spoken), or
    /// before it an instant of a window that has rows. Upstreams that were away for long, or that others have taken over, may have no
    /// batch for it.
    pub(super) fn next(&self) -> Option<BatchTime> {
        let waited = || self.senders.values().filter(|sender| sender.waits);
        let from = if self.begins && self.closing == NEVER {
            waited().filter_map(|sender| sender.first).max()
        } else {
            None
        };
        let announced = self.pending().map(|(time, _)| *time).find(|time| Some(*time) >= from)?;
        Some(self.passed_over(announced).unwrap_or(announced))
    }

    fn passed_over(&self, announced: BatchTime) -> Option<BatchTime> {
        if self.closing == NEVER {
            return None;
        }
        let instant = |Window { slide_ms, reach_ms }: &Window| {
            let until = (announced.0 - 1).min(self.reaching.0.saturating_add(*reach_ms));
            let last = until.div_euclid(*slide_ms) * slide_ms;
            let next = (self.closing.0.div_euclid(*slide_ms) + 1) * slide_ms;
            let first = next.max(last.saturating_sub(slide_ms.saturating_mul(PASSED_MAX - 1)));
            (first <= last).then_some(BatchTime(first))
        };
        self.windows.iter().filter_map(instant).min()
    }

    /// `next`, if every upstream that is waited for has marked it.
    pub(super) fn marked(&self) -> Option<BatchTime> {
        let mut waited = self.senders.values().filter(|sender| sender.waits);
        if crate::failpoint::passes("mutant-close-without-one") {
            waited.next();
        }
        let marked = waited.map(|sender| sender.seen).min()??;
        self.next().filter(|time| *time <= marked)
    }

    /// The upstreams that are waited for and have not marked `time`.
    pub(super) fn unmarked(&self, time: BatchTime) -> impl Iterator<Item = &Upstream> {
        let lacks = move |sender: &Sender| sender.waits && sender.seen < Some(time);
        self.senders.iter().filter(move |(_, sender)| lacks(sender)).map(|(upstream, _)| upstream)
    }

    /// Number of announced times that are not closed.
    pub(super) fn behind(&self) -> usize {
        self.pending().count()
    }

    /// Prepares the closing of `time`.
    pub(super) fn close(&mut self, time: BatchTime) {
        for sender in self.senders.values_mut() {
            let until = sender.seen.map_or(NEVER, |seen| seen.min(time));
            let was_member = sender.waits && sender.taken == self.closing;
            self.row_is_due |= until > sender.taken && !was_member;
            sender.taken = sender.taken.max(until);
        }
        if self.announced.contains_key(&time) {
            self.reaching = time;
        }
        self.closing = time;
    }

    /// What was prepared is committed.
    pub(super) fn apply(&mut self) {
        if self.closing > self.closed {
            self.row_is_due = false;
            (self.closed, self.reached) = (self.closing, self.reaching);
            self.announced = self.pending().map(|(time, at)| (*time, *at)).collect();
            self.senders.values_mut().for_each(|sender| sender.done = sender.taken);
        }
    }

    /// What was prepared is not committed.
    pub(super) fn abort(&mut self) {
        if self.closing > self.closed {
            (self.closing, self.reaching) = (self.closed, self.reached);
            self.senders.values_mut().for_each(|sender| sender.taken = sender.done);
        }
    }

    /// The first offset with a mark that is needed after a restart: one of a time that is not closed, or that by which an upstream became
    /// known, until that is committed.
    pub(super) fn first_needed(&self) -> Option<Offset> {
        let is_new = |sender: &&Sender| sender.waits && sender.taken < self.closing;
        let new = self.senders.values().filter(is_new).filter_map(|sender| sender.since);
        self.pending().map(|(_, at)| *at).chain(new).min()
    }

    /// The last closed time, with what is prepared.
    pub(super) fn closing(&self) -> BatchTime {
        self.closing
    }

    /// The progress to commit with what is prepared.
    pub(super) fn progress(&self) -> StageProgress {
        let is_member = |sender: &Sender| sender.waits && sender.taken == self.closing;
        let (members, others): (Vec<_>, Vec<_>) =
            self.senders.iter().partition(|(_, sender)| is_member(sender));
        let others = others.into_iter().filter(|(_, sender)| sender.taken > NEVER);
        StageProgress {
            closed: self.closing,
            members: members.into_iter().map(|(upstream, _)| upstream.clone()).collect(),
            others: others.map(|(upstream, sender)| (upstream.clone(), sender.taken)).collect(),
        }
    }

    /// Whether the upstreams have to be committed with what is prepared.
    pub(super) fn row_is_due(&self) -> bool {
        self.row_is_due && self.closing > self.closed
    }

    fn sender(&mut self, upstream: &Upstream, is_read: impl FnOnce() -> bool) -> &mut Sender {
        let new = |is_read| Sender {
            first: None,
            seen: None,
            sent: None,
            done: NEVER,
            taken: NEVER,
            is_read,
            waits: false,
            since: None,
        };
        self.senders.entry(upstream.clone()).or_insert_with(|| new(is_read()))
    }

    fn announce(&mut self, time: BatchTime, at: Offset) {
        if time > self.closed {
            self.announced.entry(time).or_insert(at);
        }
    }

    /// Announced times that are not closed, with what is prepared.
    fn pending(&self) -> impl Iterator<Item = (&BatchTime, &Offset)> {
        self.announced.range((Excluded(self.closing), Unbounded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;

    #[test]
    fn instants_of_windows_with_rows_are_closed_although_no_upstream_has_a_batch_for_them() {
        let source = Upstream::Source(TopicPartition::new("lines", 0));
        let closed = |windows: &[Window]| -> Vec<i64> {
            let progress = StageProgress::new(BatchTime(9_250), BTreeSet::from([source.clone()]));
            let mut stage = Stage::new(progress, |_| true);
            stage.set_windows(windows);
            assert_eq!(stage.marked(), None, "nothing is marked");
            for (time, at) in [(20_250, 5), (25_000, 6)] {
                stage.mark(&source, BatchTime(time), Offset(at), || true);
            }
            let mut closed = vec![];
            while let Some(time) = stage.marked() {
                stage.close(time);
                stage.abort();
                assert_eq!(stage.marked(), Some(time), "given up, and closed again");
                assert_eq!(stage.first_needed(), Some(Offset(if time.0 <= 20_250 { 5 } else { 6 })));
                stage.close(time);
                stage.apply();
                closed.push(time.0);
            }
            closed
        };
        assert_eq!(closed(&[]), [20_250, 25_000]);
        let sliding = Window { slide_ms: 1_000, reach_ms: 3_000 };
        assert_eq!(closed(&[sliding]), [10_000, 11_000, 12_000, 20_250, 21_000, 22_000, 23_000, 25_000]);
        let rare = Window { slide_ms: 10_000, reach_ms: 60_000 };
        assert_eq!(closed(&[rare]), [10_000, 20_000, 20_250, 25_000]);
        let many = closed(&[Window { slide_ms: 1, reach_ms: 60_000 }]);
        assert_eq!((many.len(), many[0]), (202, 20_150));
    }
}
