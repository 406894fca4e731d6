//! Random histories against a plain list of what each upstream sent: partitions come and go while the program runs, transactions abort,
//! processes restart from what is committed, memory is short.

use super::{Plan, Shard, answers, mark, source, stage_1};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};
use tidegate::{
    BatchTime,
    operator::{EdgeId, Upstream},
    record::Offset,
    task::alignment::{Alignment, Block, Mark, NEVER, Record, StageProgress},
};

#[derive(Clone, Debug)]
enum Step {
    /// A source ends a batch: which one, how far ahead, with how many blocks, in one record or in two.
    Cut {
        source: usize,
        ahead: i64,
        blocks: usize,
        is_split: bool,
    },
    /// A source sends a part of a batch: which one, how far ahead, with how many blocks.
    Part {
        source: usize,
        ahead: i64,
        blocks: usize,
    },
    /// A source gets another owner, who goes on after the time of a part.
    TakeOver(usize),
    /// Whether the rows of the next time are held however many they are.
    Load(bool),
    /// So many records are read.
    Read(usize),
    /// So many closings are prepared.
    Close(usize),
    Commit,
    Abort,
    /// What is in flight is lost.
    Restart,
    /// A partition is added; its process has a slower clock.
    Add {
        is_a: bool,
        last: i64,
    },
    /// A partition ceases to exist.
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let cut = (0..9usize, 0..3i64, 0..4usize, any::<bool>());
    let part = (0..9usize, 0..3i64, 1..4usize);
    prop_oneof![
        4 => part.prop_map(|(source, ahead, blocks)| Step::Part { source, ahead, blocks }),
        1 => (0..9usize).prop_map(Step::TakeOver),
        1 => any::<bool>().prop_map(Step::Load),
        8 => cut.prop_map(|(source, ahead, blocks, is_split)| Step::Cut { source, ahead, blocks, is_split }),
        8 => (1..6usize).prop_map(Step::Read),
        4 => (1..5usize).prop_map(Step::Close),
        4 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Restart),
        1 => (any::<bool>(), 0..6i64).prop_map(|(is_a, last)| Step::Add { is_a, last: last * 10 }),
        1 => (0..9usize).prop_map(Step::Remove),
    ]
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Source {
    upstream: Upstream,
    is_a: bool,
    /// The time of its last batch.
    last: i64,
    /// The time of a batch of which parts are sent, and not its end.
    open: Option<i64>,
    /// Whether a part of its last batch is sent, and not its end.
    is_unended: bool,
    is_gone: bool,
    /// Whether the shard was made with it.
    is_first: bool,
}

impl Source {
    /// The time of what it sends next: that of a batch which has not ended, or one so far ahead.
    fn next_time(&self, ahead: i64) -> i64 {
        let next = if ahead == 0 { self.last + 1 } else { (self.last / 10 + ahead) * 10 };
        self.open.unwrap_or(next)
    }
}

/// A closing: stage, time, and what was taken.
type Closing = (u32, BatchTime, Vec<u32>);

struct World {
    plan: Plan,
    bytes_max: usize,
    shard: Shard,
    /// The record that is read next.
    at: Offset,
    sources: Vec<Source>,
    log: Vec<Record<u32>>,
    blocks: u32,
    position: Offset,
    progress: Vec<StageProgress>,
    prepared: Vec<Closing>,
    closings: Vec<Closing>,
    read_again: usize,
}

impl World {
    fn new(bytes_max: usize) -> Self {
        let plan = Plan::new();
        let progress = Plan::fresh(2, 1);
        let shard = Alignment::new(&plan.topology, Offset(0), progress.clone(), bytes_max);
        let first = |(topic, partition)| Source {
            upstream: source(topic, partition),
            is_a: topic == "a",
            last: 0,
            open: None,
            is_unended: false,
            is_gone: false,
            is_first: true,
        };
        let sources = [("a", 0), ("b", 0), ("a", 1)].map(first).into();
        let (prepared, closings, at, position) = (vec![], vec![], Offset(0), Offset(0));
        let (log, blocks, read_again) = (vec![], 0, 0);
        World {
            plan,
            bytes_max,
            shard,
            at,
            sources,
            log,
            blocks,
            position,
            progress,
            prepared,
            closings,
            read_again,
        }
    }

    /// Appends a record; there are gaps, as markers take offsets too.
    fn append(&mut self, blocks: Vec<Block<u32>>, marks: Vec<Mark>) {
        let offset = Offset(self.end().0 + u64::from(self.blocks.is_multiple_of(3)));
        self.log.push(Record { offset, blocks, marks });
    }

    fn end(&self) -> Offset {
        self.log.last().map_or(Offset(0), |record| record.offset.next())
    }

    fn block(&mut self, edge: EdgeId, upstream: &Upstream, time: i64) -> Block<u32> {
        self.blocks += 1;
        let bytes = 1 + self.blocks as usize * 7 % 40;
        Block { edge, upstream: upstream.clone(), time: BatchTime(time), bytes, payload: self.blocks }
    }

    fn step(&mut self, step: &Step) {
        let index = |source: usize| source % self.sources.len();
        match *step {
            Step::Cut { source, ahead, blocks, is_split } => {
                let index = index(source);
                let time = self.sources[index].next_time(ahead);
                self.cut(index, time, blocks, is_split);
            }
            Step::Part { source, ahead, blocks } => {
                let index = index(source);
                let time = self.sources[index].next_time(ahead);
                self.part(index, time, blocks);
            }
            Step::TakeOver(source) => {
                let index = index(source);
                let Source { last, open, .. } = &mut self.sources[index];
                *last = open.take().unwrap_or(*last);
            }
            Step::Load(loads) => self.shard.set_loading(loads),
            Step::Read(records) => self.read(records),
            Step::Close(closings) => self.close(closings),
            Step::Commit => self.commit(),
            Step::Abort => {
                self.shard.abort();
                self.prepared.clear();
            }
            Step::Restart => self.restart(),
            Step::Add { is_a, last } => {
                let partition = u32::try_from(self.sources.len()).unwrap();
                let upstream = source(if is_a { "a" } else { "b" }, partition);
                let (open, is_unended, is_gone, is_first) = (None, false, false, false);
                self.sources.push(Source { upstream, is_a, last, open, is_unended, is_gone, is_first });
            }
            // One of each topic stays.
            Step::Remove(source) => {
                let index = index(source);
                let Source { last, open, is_unended, .. } = self.sources[index];
                if is_unended {
                    self.cut(index, open.unwrap_or(last), 0, false); // what it sent of a batch is ended before
                }
                self.sources[index].is_gone = index > 1;
            }
        }
    }

    fn restart(&mut self) {
        let progress = self.progress.clone();
        let mut before = Alignment::new(&self.plan.topology, self.position, progress, self.bytes_max);
        std::mem::swap(&mut before, &mut self.shard);
        self.at = self.position;
        self.prepared.clear();
        // Without what depends on the order of events: what was taken out, and what is in memory.
        if self.bytes_max == usize::MAX && self.sources.iter().all(|source| !source.is_gone) {
            before.abort();
            while self.shard.next_offset() < before.next_offset() && self.at < before.next_offset() {
                self.read(1);
            }
            assert_eq!(answers(&self.shard), answers(&before), "after a restart at {}", self.position);
        }
    }

    fn blocks_of(&mut self, index: usize, time: i64, blocks: usize) -> Vec<Block<u32>> {
        let Plan { both, counts, other, .. } = self.plan;
        let edges = if self.sources[index].is_a { [both, counts] } else { [other, other] };
        let upstream = self.sources[index].upstream.clone();
        (0..blocks).map(|n| self.block(edges[n % 2], &upstream, time)).collect()
    }

    fn part(&mut self, index: usize, time: i64, blocks: usize) {
        if !self.sources[index].is_gone {
            let blocks = self.blocks_of(index, time, blocks);
            self.append(blocks, vec![]);
            (self.sources[index].open, self.sources[index].is_unended) = (Some(time), true);
            PARTS.set(PARTS.get() + 1);
        }
    }

    fn cut(&mut self, index: usize, time: i64, blocks: usize, is_split: bool) {
        let Source { upstream, is_gone, .. } = &self.sources[index];
        let upstream = upstream.clone();
        if *is_gone {
            return;
        }
        let mut blocks = self.blocks_of(index, time, blocks);
        if is_split {
            let rest = blocks.split_off(blocks.len() / 2);
            self.append(blocks, vec![]);
            blocks = rest;
        }
        self.append(blocks, vec![mark(&upstream, time)]);
        let source = &mut self.sources[index];
        (source.last, source.open, source.is_unended) = (time, None, false);
    }

    fn read(&mut self, records: usize) {
        for _ in 0..records {
            let from = self.shard.read_from(self.at);
            self.read_again += usize::from(from < self.at);
            self.at = from;
            let Some(record) = self.log.iter().find(|record| record.offset >= self.at) else { return };
            self.shard.push(record.clone()).unwrap();
            self.at = record.offset.next();
        }
    }

    fn close(&mut self, mut closings: usize) {
        if self.prepared.is_empty() {
            let waited = [1, 2].map(|stage| self.shard.held_back(stage).map_or(vec![], |(_, of)| of));
            let waited: Vec<Upstream> = waited.into_iter().flatten().cloned().collect();
            let gone =
                self.sources.iter().filter(|source| source.is_gone && waited.contains(&source.upstream));
            gone.for_each(|source| self.shard.take_out(&source.upstream));
        }
        for stage in [1, 2] {
            while let Some(time) = self.shard.closable(stage).filter(|_| closings > 0) {
                let taken = self.shard.units(stage, time).iter().map(|block| block.payload).collect();
                self.shard.close(stage, time);
                self.prepared.push((stage, time, taken));
                closings -= 1;
            }
        }
    }

    fn commit(&mut self) {
        self.position = self.shard.position();
        for (stage, progress) in (1..).zip(&mut self.progress) {
            progress.closed = self.shard.closed(stage);
            if self.shard.row_is_due(stage) {
                *progress = self.shard.progress(stage);
            }
        }
        let of_stage_1 = self.prepared.iter().filter(|(stage, ..)| *stage == 1);
        let times: Vec<i64> = of_stage_1.map(|(_, time, _)| time.0).collect();
        if !times.is_empty() {
            let with_rows = times.iter().filter(|time| *time % 3 != 0);
            let blocks = with_rows.map(|time| self.block(self.plan.sums, &stage_1(), *time)).collect();
            self.append(blocks, times.iter().map(|time| mark(&stage_1(), *time)).collect());
        }
        let first = self.closings.len();
        self.closings.append(&mut self.prepared);
        self.shard.apply();
        (first..self.closings.len()).for_each(|index| self.check_closing(index));
        self.check_position();
    }

    /// Everything that was sent is read and taken.
    fn finish(&mut self) {
        self.step(&Step::Abort);
        self.step(&Step::Load(true));
        // What comes from a partition for the first time may come after the closing of its time, and waits for the next one.
        let ends = self.sources.iter().map(|source| source.last.max(source.open.unwrap_or(0)));
        let first = ends.max().unwrap() + 10;
        let last = first + 10;
        for time in [first, last] {
            (0..self.sources.len()).for_each(|index| self.cut(index, time, 1, false));
            for _ in 0..2_000 {
                self.read(50);
                self.close(50);
                self.commit();
                if self.shard.closed(2).0 == time && self.at == self.end() {
                    break;
                }
            }
        }
        assert_eq!((self.shard.position(), self.shard.behind(), self.shard.bytes()), (self.end(), 0, 0));
        assert_eq!([1, 2].map(|stage| self.shard.closed(stage).0), [last; 2]);
        for stage in [1, 2] {
            let sent: Vec<u32> = self.sent_to(stage).map(|(_, block)| block.payload).collect();
            let of_stage = self.closings.iter().filter(|(of, ..)| *of == stage);
            let mut taken: Vec<u32> = of_stage.flat_map(|(.., taken)| taken).copied().collect();
            taken.sort_unstable();
            assert_eq!(taken, sent, "stage {stage} takes each block once");
        }
        self.check_times();
    }

    /// The blocks that a stage reads, in the order of the log.
    fn sent_to(&self, stage: u32) -> impl Iterator<Item = (Offset, &Block<u32>)> {
        let all = self.log.iter().flat_map(|record| record.blocks.iter().map(|block| (record.offset, block)));
        all.filter(move |(_, block)| self.plan.readers(block.edge).contains(&stage))
    }

    /// Whether the shard has always waited for an upstream.
    fn is_constant(&self, upstream: &Upstream) -> bool {
        let is = |source: &Source| source.upstream == *upstream && source.is_first && !source.is_gone;
        *upstream == stage_1() || self.sources.iter().any(is)
    }

    /// A closing took whole units, in order, at their time, after all marks.
    fn check_closing(&self, index: usize) {
        let (stage, time, taken) = &self.closings[index];
        let sent: BTreeMap<u32, (Offset, &Block<u32>)> =
            self.sent_to(*stage).map(|(offset, block)| (block.payload, (offset, block))).collect();
        let units: BTreeSet<(&Upstream, BatchTime)> =
            taken.iter().map(|payload| (&sent[payload].1.upstream, sent[payload].1.time)).collect();
        let of_units = sent.values().filter(|(_, block)| units.contains(&(&block.upstream, block.time)));
        let mut whole: Vec<(&Upstream, Offset, u32)> =
            of_units.map(|(offset, block)| (&block.upstream, *offset, block.payload)).collect();
        whole.sort_unstable();
        let whole: Vec<u32> = whole.into_iter().map(|(.., payload)| payload).collect();
        assert_eq!(*taken, whole, "stage {stage} at {time}: whole units, by upstream and offset");
        let earlier = self.closings[..index].iter().rev().find(|(of, ..)| of == stage);
        let earlier = earlier.map_or(NEVER, |(_, time, _)| *time);
        assert!(earlier < *time, "stage {stage}: {time} after {earlier}");
        for (upstream, of) in &units {
            let is_own = of == time || (*of < *time && !self.is_constant(upstream));
            assert!(is_own, "stage {stage}: rows of {upstream} of {of} taken at {time}");
        }
        let read = self.log.iter().filter(|record| record.offset < self.shard.next_offset());
        let marks: Vec<&Mark> = read.flat_map(|record| &record.marks).collect();
        for member in Plan::fresh(2, 1)[*stage as usize - 1].members.iter().filter(|u| self.is_constant(u)) {
            let is_marked = marks.iter().any(|mark| mark.upstream == *member && mark.time >= *time);
            assert!(is_marked, "stage {stage} closed {time} before {member} marked it");
        }
    }

    /// What is committed lies at or before the first block that is not taken.
    fn check_position(&self) {
        for stage in [1, 2] {
            let of_stage = self.closings.iter().filter(|(of, ..)| *of == stage);
            let taken: BTreeSet<u32> = of_stage.flat_map(|(.., taken)| taken).copied().collect();
            let open = self.sent_to(stage).find(|(_, block)| !taken.contains(&block.payload));
            let open = open.map_or(self.end(), |(offset, _)| offset);
            assert!(self.position <= open, "{} is committed, {open} is open in stage {stage}", self.position);
        }
    }

    /// Every time that a constant upstream marked is a batch of its own.
    fn check_times(&self) {
        let marks: Vec<&Mark> = self.log.iter().flat_map(|record| &record.marks).collect();
        for (stage, fresh) in (1..).zip(Plan::fresh(2, 1)) {
            for upstream in fresh.members.iter().filter(|upstream| self.is_constant(upstream)) {
                for mark in marks.iter().filter(|mark| mark.upstream == *upstream) {
                    let is_closed =
                        self.closings.iter().any(|(of, time, _)| (*of, *time) == (stage, mark.time));
                    assert!(is_closed, "stage {stage} has no batch at {} of {upstream}", mark.time);
                }
            }
        }
    }
}

thread_local! {
    /// Over all histories: how many parts were sent.
    static PARTS: Cell<usize> = const { Cell::new(0) };
    /// Over all histories: how often records were read again, and how many partitions were added and removed.
    static HAPPENED: Cell<[usize; 3]> = const { Cell::new([0; 3]) };
}

fn each_unit_is_taken_once(bytes_max: usize, steps: &[Step]) {
    let mut world = World::new(bytes_max);
    steps.iter().for_each(|step| world.step(step));
    world.finish();
    let [read_again, added, gone] = HAPPENED.get();
    let are_gone = world.sources.iter().filter(|source| source.is_gone).count();
    HAPPENED.set([read_again + world.read_again, added + world.sources.len() - 3, gone + are_gone]);
}

#[test]
fn each_unit_is_taken_once_in_order_and_never_before_its_time() {
    let bytes_max = prop_oneof![Just(0usize), 1..200usize, Just(usize::MAX)];
    let steps = prop::collection::vec(step(), 1..150);
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let tested =
        proptest::test_runner::TestRunner::new(config).run(&(bytes_max, steps), |(bytes_max, steps)| {
            each_unit_is_taken_once(bytes_max, &steps);
            Ok(())
        });
    if let Err(found) = tested {
        panic!("{found}");
    }
    assert!(PARTS.get() > 50, "{}", PARTS.get());
    assert!(HAPPENED.get().into_iter().all(|count| count > 50), "{:?}", HAPPENED.get());
}
