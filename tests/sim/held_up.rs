//! A process that waits for the rows of a slower one takes no more input than the limit allows, and goes on when that has caught up.

use crate::{
    count_words::WORD_COUNT,
    worlds::{Case, PARTITIONS, config, create, in_memory, read, work, write},
};
use std::{
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate::{
    SourceOptions,
    codec::{AsText, Utf8},
    config::ExchangeThrough,
    dstream::StreamBuilder,
    plan::Topology,
    record::{Incarnation, InstanceId, Text},
    runtime::{Env, Observed, Observer, Shutdown, run},
    sim::{Faults, World},
};

const LINES: u32 = 240;
const CASE: Case = Case {
    processes: &["fast", "slow"],
    state_partitions: 4,
    exchange: ExchangeThrough::Shared,
    ..WORD_COUNT
};

fn word_count(is_slow: bool) -> Topology {
    let builder = StreamBuilder::default();
    let lines = builder.source::<Text>(SourceOptions::topic("lines"), Utf8, Location::caller());
    let pairs = lines.map(move |line| {
        if is_slow {
            work(Duration::from_secs(1));
        }
        (line, 1u64)
    });
    pairs.running_reduce_by_key(|a, b| a + b).to_kafka("counts", Utf8, AsText);
    builder.topology()
}

/// How many records the batches of a process have taken.
struct Taken(Arc<AtomicUsize>);

impl Observer for Taken {
    fn on(&self, event: &Observed<'_>) {
        if let Observed::Batch(batch) = event
            && batch.committed
        {
            self.0.fetch_add(batch.counters.records_in, Ordering::Relaxed);
        }
    }
}

/// How many records the fast process has taken when the slow one has been busy for a while.
fn taken(seed: u64, waiting_bytes_max: usize) -> usize {
    let mut world = World::new(seed, Faults::none(), in_memory);
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for step in 0..LINES {
        let line = format!("{step}-{}", "x".repeat(500));
        world.at(Duration::from_millis(6_000 + u64::from(step) * 100), move |log| {
            write(log, Some(step % PARTITIONS), &line);
        });
    }
    let (of_fast, at_half) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for name in ["fast", "slow"] {
        let taken = of_fast.clone();
        world.process_at(Duration::ZERO, name, false, move |env| {
            let is_slow = name == "slow";
            crate::worlds::set_clock(&env);
            let observer = Taken(if is_slow { Arc::default() } else { taken.clone() });
            let mut config = config(CASE);
            config.waiting_bytes_max = waiting_bytes_max;
            let env = Env {
                log: env.log,
                storage: env.storage,
                clock: env.clock,
                shutdown: Shutdown::default(),
                observer: Arc::new(observer),
                instance: InstanceId(env.instance.as_str().into()),
                incarnation_before: Incarnation(0),
            };
            run(config, word_count(is_slow), env)
        });
    }
    let (from, to) = (of_fast, at_half.clone());
    world.at(Duration::from_secs(30), move |_| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
    let outcome = world.run(Duration::from_secs(3_000), |w| {
        w.now() > Duration::from_secs(31) && read(w.log().as_ref(), "counts", 4).len() >= LINES as usize
    });
    assert!(outcome.finished, "seed {seed}: {:?}", outcome.ended);
    let mut counts = read(world.log().as_ref(), "counts", 4);
    counts.sort();
    counts.dedup();
    assert!(counts.len() == LINES as usize && counts.iter().all(|(_, count)| count == "1"), "seed {seed}");
    at_half.load(Ordering::Relaxed)
}

#[test]
fn a_fast_process_waits_for_a_slow_one() {
    for seed in 0..3 {
        let (held_up, free) = (taken(seed, 1 << 11), taken(seed, 1 << 30));
        assert!(
            held_up > 5 && held_up * 3 < free * 2,
            "seed {seed}: {held_up} records taken, {free} without the limit"
        );
    }
}
