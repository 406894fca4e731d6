//! Which rows of a shard's exchange partition belong to which batch: by hand, over all interleavings, and against a plain list.

mod interleavings;
mod lists;
#[cfg(feature = "failpoints")]
mod mutants;

use std::{collections::BTreeSet, sync::Arc};
use tidegate::{
    BatchTime, Config, StreamingContext, Text,
    codec::{AsText, Utf8},
    operator::{EdgeId, Upstream},
    plan::Topology,
    record::{Offset, Partition, TaskId, TopicPartition},
    source::Queue,
    task::alignment::{Alignment, Block, Mark, NEVER, Record, StageProgress},
};

type Shard = Alignment<u32>;
/// What a shard answers, of each stage, and where it is.
type Answers = (Vec<(Option<i64>, Vec<u32>, Vec<Upstream>)>, usize, Offset, Offset);

/// A program of two stages, and its edges. Stage 1 reads the topics `a` and `b`; stage 2 reads `a` and stage 1.
struct Plan {
    topology: Arc<Topology>,
    /// From `a` to both stages.
    both: EdgeId,
    /// From `a` to stage 1.
    counts: EdgeId,
    /// From `b` to stage 1.
    other: EdgeId,
    /// From stage 1 to stage 2.
    sums: EdgeId,
}

impl Plan {
    fn new() -> Self {
        let ssc = StreamingContext::new(Config::new("app", "memory:"));
        let a = ssc.text("a").map(|line| (line, 1u64));
        let both = a.partition_by().named("both");
        let counts = a.reduce_by_key(|a, b| a + b).named("counts");
        let other = ssc.text("b").map(|line| (line, 1u64)).reduce_by_key(|a, b| a + b).named("other");
        let sums = both.union(&counts).union(&other).map(|(key, n)| (Text::from(format!("{key}{n}")), n));
        both.union(&sums.partition_by().named("sums")).to_kafka("out", Utf8, AsText);
        let topology = ssc.topology().computed();
        let edge = |name: &str| {
            let all = (1..topology.stages()).flat_map(|stage| topology.edges_into(stage));
            let found: BTreeSet<_> =
                all.filter(|(_, edge)| edge.name.contains(name)).map(|(id, _)| id).collect();
            assert_eq!(found.len(), 1, "{name}");
            found.into_iter().next().unwrap()
        };
        let [both, counts, other, sums] = ["both", "counts", "other", "sums"].map(edge);
        Plan { topology: Arc::new(topology), both, counts, other, sums }
    }

    /// The stages that read an edge.
    fn readers(&self, edge: EdgeId) -> &'static [u32] {
        if edge == self.both {
            &[1, 2]
        } else if edge == self.sums {
            &[2]
        } else {
            &[1]
        }
    }

    /// A shard that is made anew, and waits for these partitions of `a` and of `b`, and for stage 1 of itself.
    fn fresh(a: u32, b: u32) -> Vec<StageProgress> {
        let of = |topic: &'static str, count: u32| (0..count).map(move |n| source(topic, n));
        let first = StageProgress::new(NEVER, of("a", a).chain(of("b", b)).collect());
        let second = StageProgress::new(NEVER, of("a", a).chain([stage_1()]).collect());
        vec![first, second]
    }

    fn shard(&self, a: u32, b: u32) -> Shard {
        Alignment::new(&self.topology, Offset(0), Self::fresh(a, b), usize::MAX)
    }
}

fn source(topic: &str, partition: u32) -> Upstream {
    Upstream::Source(TopicPartition::new(topic, partition))
}

/// The only state partition in its role of an upstream of stage 2.
fn stage_1() -> Upstream {
    Upstream::Task(TaskId { stage: 1, partition: Partition(0) })
}

fn block(edge: EdgeId, upstream: &Upstream, time: i64, payload: u32) -> Block<u32> {
    Block { edge, upstream: upstream.clone(), time: BatchTime(time), bytes: 10, payload }
}

fn mark(upstream: &Upstream, time: i64) -> Mark {
    Mark { upstream: upstream.clone(), time: BatchTime(time) }
}

fn record(offset: u64, blocks: &[Block<u32>], marks: &[Mark]) -> Record<u32> {
    Record { offset: Offset(offset), blocks: blocks.to_vec(), marks: marks.to_vec() }
}

fn closable(shard: &Shard, stage: u32) -> Option<i64> {
    shard.closable(stage).map(|time| time.0)
}

fn units(shard: &Shard, stage: u32, time: i64) -> Vec<u32> {
    shard.units(stage, BatchTime(time)).iter().map(|block| block.payload).collect()
}

fn answers(shard: &Shard) -> Answers {
    let of_stage = |stage| {
        let time = closable(shard, stage);
        let taken = time.map_or(vec![], |time| units(shard, stage, time));
        let waits_for = shard.held_back(stage).map_or(vec![], |(_, upstreams)| upstreams);
        (time, taken, waits_for.into_iter().cloned().collect())
    };
    (vec![of_stage(1), of_stage(2)], shard.behind(), shard.position(), shard.next_offset())
}

/// Closes in a transaction of its own; gives what was taken.
fn closed(shard: &mut Shard, stage: u32, time: i64) -> Vec<u32> {
    let taken = units(shard, stage, time);
    shard.close(stage, BatchTime(time));
    shard.apply();
    taken
}

#[test]
fn a_stage_waits_for_those_whose_rows_it_reads() {
    let plan = Plan::new();
    let of = |stage| plan.topology.upstreams(stage);
    assert_eq!((of(1).sources.len(), of(1).stages.len()), (2, 0));
    assert_eq!((of(2).sources.len(), of(2).stages), (1, BTreeSet::from([1])));
    let (a, b) = (source("a", 7), source("b", 7));
    let is = |upstream: &Upstream| [1, 2].map(|stage| plan.topology.is_upstream(upstream, stage));
    assert_eq!([is(&a), is(&b), is(&stage_1())], [[true, true], [true, false], [false, true]]);
    assert_eq!(is(&source("c", 0)), [false, false]);

    let mut shard = plan.shard(1, 1);
    let (a, b) = (source("a", 0), source("b", 0));
    shard.push(record(0, &[block(plan.both, &a, 10, 1)], &[mark(&a, 10)])).unwrap();
    assert_eq!(shard.held_back(1), Some((BatchTime(10), vec![&b])));
    assert_eq!(shard.held_back(2), Some((BatchTime(10), vec![&stage_1()])), "not for the topic b");
    shard.push(record(2, &[block(plan.sums, &stage_1(), 10, 2)], &[mark(&stage_1(), 10)])).unwrap();
    assert_eq!((closable(&shard, 1), closable(&shard, 2)), (None, Some(10)));
    assert_eq!(closed(&mut shard, 2, 10), [1, 2]);
    assert_eq!(shard.position(), Offset(0), "stage 1 has not taken it");
    shard.push(record(3, &[block(plan.other, &b, 10, 3)], &[mark(&b, 10)])).unwrap();
    assert_eq!((shard.behind(), shard.held_back(1)), (1, Some((BatchTime(10), vec![]))));
    assert_eq!(closed(&mut shard, 1, 10), [1, 3]);
    assert_eq!((shard.behind(), shard.held_back(1), shard.position()), (0, None, Offset(4)));
}

#[test]
fn a_source_of_the_process_is_an_upstream() {
    let ssc = StreamingContext::new(Config::new("app", "memory:"));
    let pairs = || ssc.queue_stream(&Queue::<(Text, u64)>::default(), true);
    pairs().to_kafka("out", Utf8, AsText);
    pairs().reduce_by_key(|a, b| a + b).print();
    let plan = ssc.topology().computed();
    let local = |n| Upstream::Task(TaskId { stage: 0, partition: Partition(n) });
    assert_eq!([0, 1, 2].map(|n| plan.is_upstream(&local(n), 1)), [false, true, false]);
}

#[test]
fn an_upstream_is_waited_for_from_its_first_mark_on_and_what_it_sent_is_taken_next() {
    let plan = Plan::new();
    let mut shard = plan.shard(1, 0);
    let (a, new) = (source("a", 0), source("a", 1));
    shard.push(record(0, &[], &[mark(&a, 10)])).unwrap();
    assert!(closed(&mut shard, 1, 10).is_empty());
    shard.push(record(1, &[block(plan.counts, &new, 5, 1)], &[])).unwrap();
    shard.push(record(2, &[], &[mark(&a, 20)])).unwrap();
    assert!(closed(&mut shard, 1, 20).is_empty(), "its unit has not ended");
    shard.push(record(3, &[block(plan.counts, &new, 5, 2)], &[mark(&new, 5)])).unwrap();
    shard.push(record(4, &[], &[mark(&a, 30)])).unwrap();
    assert_eq!((closable(&shard, 1), shard.position()), (None, Offset(0)), "stage 2 is still before 10");
    shard.push(record(5, &[block(plan.counts, &new, 30, 3)], &[mark(&new, 30)])).unwrap();
    assert!(!shard.progress(1).members.contains(&new));
    shard.close(1, BatchTime(30));
    assert!(shard.row_is_due(1) && shard.progress(1).members.contains(&new));
    shard.abort();
    assert_eq!(closed(&mut shard, 1, 30), [1, 2, 3]);
    assert_eq!(
        shard.progress(1),
        StageProgress::new(BatchTime(30), BTreeSet::from([a.clone(), new.clone()]))
    );

    shard.push(record(6, &[], &[mark(&a, 40), mark(&new, 40)])).unwrap();
    shard.close(1, BatchTime(40));
    assert!(!shard.row_is_due(1), "they are the same");
}

#[test]
fn where_nothing_was_closed_before_the_first_closing_takes_what_all_upstreams_sent_first() {
    let plan = Plan::new();
    let mut shard = plan.shard(2, 0).beginning(1);
    let (a, b) = (source("a", 0), source("a", 1));
    shard.push(record(0, &[block(plan.counts, &a, 10, 1)], &[mark(&a, 10)])).unwrap();
    shard.push(record(1, &[block(plan.counts, &a, 20, 2)], &[mark(&a, 20)])).unwrap();
    assert_eq!(shard.held_back(1), Some((BatchTime(10), vec![&b])));
    shard.push(record(2, &[block(plan.counts, &b, 25, 3)], &[mark(&b, 25)])).unwrap();
    assert_eq!(
        shard.held_back(1),
        Some((BatchTime(25), vec![&a])),
        "not 10: b says first at 25 how far it is"
    );
    shard.push(record(3, &[block(plan.counts, &a, 30, 4)], &[mark(&a, 30), mark(&b, 40)])).unwrap();
    assert_eq!(closed(&mut shard, 1, 25), [1, 2, 3]);
    assert_eq!(closed(&mut shard, 1, 30), [4]);
}

#[test]
fn an_upstream_that_became_known_without_rows_is_still_waited_for_after_a_restart() {
    let plan = Plan::new();
    let mut shard = plan.shard(1, 0);
    let (a, new) = (source("a", 0), source("a", 1));
    let log = [
        record(0, &[], &[mark(&a, 10), mark(&stage_1(), 10)]),
        record(1, &[], &[mark(&new, 5)]),
        record(2, &[], &[mark(&a, 20), mark(&stage_1(), 20)]),
    ];
    shard.push(log[0].clone()).unwrap();
    (1..3).for_each(|stage| assert!(closed(&mut shard, stage, 10).is_empty()));
    shard.push(log[1].clone()).unwrap();
    let progress = [1, 2].map(|stage| shard.progress(stage));
    assert_eq!(shard.position(), Offset(1), "its mark is needed, although it is of a time that is closed");
    let mut again = Alignment::new(&plan.topology, shard.position(), progress, usize::MAX);
    log[1..].iter().for_each(|record| again.push(record.clone()).unwrap());
    assert_eq!([again.held_back(1), again.held_back(2)], [(); 2].map(|()| Some((BatchTime(20), vec![&new]))));
    again.push(record(3, &[], &[mark(&new, 20)])).unwrap();
    (1..3).for_each(|stage| assert!(closed(&mut again, stage, 20).is_empty()));
    assert_eq!(again.position(), Offset(4));
}

#[test]
fn what_the_plan_does_not_read_any_more_is_not_waited_for_and_still_taken() {
    let plan = Plan::new();
    let (a, gone) = (source("a", 0), source("gone", 0));
    let committed = StageProgress::new(BatchTime(10), BTreeSet::from([a.clone(), gone.clone()]));
    let second = StageProgress::new(BatchTime(10), BTreeSet::from([a.clone(), stage_1()]));
    let mut shard = Alignment::new(&plan.topology, Offset(0), [committed, second], usize::MAX);
    // One that is taken, one that is not, and one whose unit ends behind the mark of the other.
    shard.push(record(0, &[block(plan.other, &gone, 10, 1)], &[mark(&gone, 10)])).unwrap();
    shard.push(record(1, &[block(plan.other, &gone, 20, 2)], &[mark(&gone, 20)])).unwrap();
    shard.push(record(2, &[block(plan.other, &gone, 30, 3)], &[])).unwrap();
    shard.push(record(3, &[], &[mark(&a, 20), mark(&a, 30), mark(&stage_1(), 30)])).unwrap();
    assert_eq!(closed(&mut shard, 1, 20), [2]);
    assert_eq!(closed(&mut shard, 1, 30), [0; 0]);
    assert_eq!([closed(&mut shard, 2, 20), closed(&mut shard, 2, 30)], [[0; 0]; 2]);
    assert_eq!(shard.position(), Offset(2));
    let [first, second] = [1, 2].map(|stage| shard.progress(stage));
    assert_eq!(first.others.get(&gone), Some(&BatchTime(20)));

    let mut shard = Alignment::new(&plan.topology, Offset(2), [first, second], usize::MAX);
    shard.push(record(2, &[block(plan.other, &gone, 30, 3)], &[])).unwrap();
    assert_eq!(shard.cut_off().collect::<Vec<_>>(), [&gone], "nobody else says that nothing more comes");
    shard.push(record(4, &[], &[mark(&gone, 30), mark(&a, 40)])).unwrap();
    assert_eq!(shard.cut_off().count(), 0);
    assert_eq!(closed(&mut shard, 1, 40), [3]);
}

#[test]
fn an_upstream_that_does_not_exist_any_more_is_taken_out_until_it_marks_again() {
    let plan = Plan::new();
    let mut shard = plan.shard(2, 0);
    let (a, gone) = (source("a", 0), source("a", 1));
    shard.push(record(0, &[block(plan.counts, &gone, 10, 1)], &[mark(&gone, 10), mark(&a, 20)])).unwrap();
    assert_eq!(closed(&mut shard, 1, 10), [1]);
    assert_eq!(shard.held_back(1), Some((BatchTime(20), vec![&gone])));
    shard.take_out(&gone);
    assert!(closed(&mut shard, 1, 20).is_empty());
    assert_eq!(shard.progress(1).others.get(&gone), Some(&BatchTime(10)));
    shard.push(record(1, &[], &[mark(&gone, 30), mark(&a, 40)])).unwrap();
    assert!(closed(&mut shard, 1, 30).is_empty());
    assert_eq!(shard.held_back(1), Some((BatchTime(40), vec![&gone])));
    assert!(shard.progress(1).members.contains(&gone));
}

#[test]
fn rows_that_would_be_lost_are_refused() {
    let plan = Plan::new();
    let mut shard = plan.shard(1, 0);
    let a = source("a", 0);
    shard.push(record(0, &[], &[mark(&a, 10)])).unwrap();
    let late = shard.push(record(1, &[block(plan.both, &a, 10, 1)], &[])).unwrap_err();
    assert!(late.contains("offset 1 has rows of a-0 of batch time 10") && late.contains("next: "), "{late}");
    let unknown = shard.push(record(2, &[block(EdgeId(1), &a, 20, 1)], &[])).unwrap_err();
    assert!(unknown.contains("offset 2 has rows of the exchange 00000001"), "{unknown}");
}

#[test]
fn over_the_bound_the_latest_times_are_forgotten_and_read_again_when_it_is_their_turn() {
    let plan = Plan::new();
    let mut shard = Alignment::new(&plan.topology, Offset(0), Plan::fresh(2, 0), 35);
    let (a, slow) = (source("a", 0), source("a", 1));
    let time = |n: u64| i64::try_from(n).unwrap() * 10 + 10;
    let payload = |n: u64| u32::try_from(n).unwrap();
    let unit = |n: u64| record(n, &[block(plan.counts, &a, time(n), payload(n))], &[mark(&a, time(n))]);
    for n in 0..10 {
        shard.push(unit(n)).unwrap();
        assert!(shard.bytes() <= 35);
    }
    assert_eq!((shard.behind(), shard.read_from(Offset(10)), shard.position()), (10, Offset(10), Offset(0)));
    shard.push(record(10, &[], &[mark(&slow, 1_000)])).unwrap();
    let (mut at, mut taken, mut read_again) = (Offset(11), vec![], 0);
    while taken.len() < 10 {
        if let Some(time) = closable(&shard, 1) {
            taken.extend(closed(&mut shard, 1, time));
        }
        let from = shard.read_from(at);
        assert_eq!(shard.needs_rereading().is_some_and(|needed| needed < at), from < at);
        at = from;
        if at < Offset(10) {
            shard.push(unit(at.0)).unwrap();
            (at, read_again) = (at.next(), read_again + 1);
        }
        assert!(shard.bytes() <= 35);
    }
    assert_eq!(taken, (0..10).collect::<Vec<_>>());
    assert_eq!((shard.read_from(at), read_again), (Offset(11), 7), "each forgotten one once");

    // A record that is not what it was.
    let mut shard = Alignment::new(&plan.topology, Offset(0), Plan::fresh(1, 0), 5);
    shard.push(unit(0)).unwrap();
    shard.push(unit(1)).unwrap();
    assert_eq!(closed(&mut shard, 1, 10), [0]);
    assert_eq!((closable(&shard, 1), shard.needs_rereading()), (None, Some(Offset(1))));
    let changed = shard.push(record(1, &[], &[])).unwrap_err();
    assert!(changed.contains("offset 1 does not hold the rows"), "{changed}");
    shard.push(unit(1)).unwrap();
    assert_eq!(closed(&mut shard, 1, 20), [1]);
}
