//! All orders in which the units of three upstreams can lie in the exchange partition, with a restart at every point.

use super::{Plan, Shard, answers, block, closable, mark, record, source, stage_1, units};
use tidegate::{
    BatchTime,
    operator::Upstream,
    record::Offset,
    task::alignment::{Alignment, Record, StageProgress},
};

/// Each upstream sends so many units.
const TIMES: i64 = 4;

#[derive(Clone)]
struct World {
    shard: Shard,
    log: Vec<Record<u32>>,
    /// How many units each upstream has sent.
    sent: [i64; 3],
    /// The last time that each stage has closed.
    closed: [i64; 2],
    position: Offset,
    progress: Vec<StageProgress>,
}

/// Whether an upstream has rows for this shard at this time: most of them, most of the time.
fn has_rows(upstream: usize, time: i64) -> bool {
    !payload(upstream, time).is_multiple_of(3)
}

fn payload(upstream: usize, time: i64) -> u32 {
    u32::try_from(upstream).unwrap() * 10 + u32::try_from(time).unwrap()
}

impl World {
    fn append(&mut self, record: Record<u32>) {
        self.log.push(record.clone());
        self.shard.push(record).unwrap();
    }

    /// An upstream sends its next unit.
    fn send(&mut self, plan: &Plan, sources: &[Upstream; 3], upstream: usize) {
        self.sent[upstream] += 1;
        let (time, edge) = (self.sent[upstream], if upstream < 2 { plan.both } else { plan.other });
        let rows = block(edge, &sources[upstream], time, payload(upstream, time));
        let blocks = if has_rows(upstream, time) { vec![rows] } else { vec![] };
        self.append(record(self.log.len() as u64, &blocks, &[mark(&sources[upstream], time)]));
    }

    /// What a stage can close now, and what it takes then.
    fn expected(&self, stage: u32) -> Option<(i64, Vec<u32>)> {
        let sent = if stage == 1 { self.sent[2] } else { self.closed[0] };
        let marked = self.sent[0].min(self.sent[1]).min(sent);
        let time = self.closed[stage as usize - 1] + 1;
        let third = if stage == 1 { 2 } else { 3 }; // what stage 1 sends to stage 2
        let with_rows = [0, 1, third].into_iter().filter(|upstream| has_rows(*upstream, time));
        (time <= marked).then(|| (time, with_rows.map(|upstream| payload(upstream, time)).collect()))
    }

    /// Closes what can be closed, each time of all stages in one transaction.
    fn close(&mut self, plan: &Plan) {
        loop {
            let mut sends = None;
            for stage in [1, 2] {
                let Some(time) = closable(&self.shard, stage) else { continue };
                self.shard.close(stage, BatchTime(time));
                self.closed[stage as usize - 1] = time;
                sends = sends.or((stage == 1).then_some(time));
            }
            (self.position, self.progress) =
                (self.shard.position(), vec![self.shard.progress(1), self.shard.progress(2)]);
            self.shard.apply();
            let Some(time) = sends else { return };
            let rows = block(plan.sums, &stage_1(), time, payload(3, time));
            let blocks = if has_rows(3, time) { vec![rows] } else { vec![] };
            self.append(record(self.log.len() as u64, &blocks, &[mark(&stage_1(), time)]));
        }
    }

    /// The shard as another process would take it over now.
    fn restarted(&self, plan: &Plan) -> Shard {
        let mut shard = Alignment::new(&plan.topology, self.position, self.progress.clone(), usize::MAX);
        for record in &self.log[usize::try_from(self.position.0).unwrap()..] {
            shard.push(record.clone()).unwrap();
        }
        shard
    }

    /// An abort, and a restart, leave everything as it is.
    fn check(&mut self, plan: &Plan) {
        for stage in [1, 2] {
            let expected = self.expected(stage);
            let time = expected.as_ref().map(|(time, _)| *time);
            assert_eq!(closable(&self.shard, stage), time, "stage {stage} of {:?}", self.log);
            if let Some((time, taken)) = expected {
                assert_eq!(
                    units(&self.shard, stage, time),
                    taken,
                    "stage {stage} at {time} of {:?}",
                    self.log
                );
            }
        }
        let before = answers(&self.shard);
        for stage in [1, 2] {
            if let Some(time) = self.shard.closable(stage) {
                self.shard.close(stage, time);
            }
        }
        self.shard.abort();
        assert_eq!(answers(&self.shard), before, "after an abort, of {:?}", self.log);
        let restarted = self.restarted(plan);
        assert_eq!(answers(&restarted), before, "after a restart at {}, of {:?}", self.position, self.log);
        if self.log.len().is_multiple_of(2) {
            self.shard = restarted;
        }
    }
}

#[test]
fn every_order_closes_the_same_batches_also_after_a_restart_at_any_point() {
    let plan = Plan::new();
    let sources = [source("a", 0), source("a", 1), source("b", 0)];
    let progress = Plan::fresh(2, 1);
    let shard = plan.shard(2, 1);
    let (sent, closed, position) = ([0; 3], [0; 2], Offset(0));
    let mut todo = vec![World { shard, log: vec![], sent, closed, position, progress }];
    let mut orders = 0;
    while let Some(mut world) = todo.pop() {
        world.check(&plan);
        world.close(&plan);
        let (end, last) = (Offset(world.log.len() as u64), world.sent.into_iter().min());
        if world.sent == [TIMES; 3] {
            assert_eq!((world.closed, world.shard.position()), ([TIMES; 2], end));
            orders += 1;
        }
        assert_eq!(Some(world.closed[0]), last);
        for upstream in (0..3).filter(|upstream| world.sent[*upstream] < TIMES) {
            let mut next = world.clone();
            next.send(&plan, &sources, upstream);
            todo.push(next);
        }
    }
    assert_eq!(orders, 34_650);
}
