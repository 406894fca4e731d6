//! Programs whose state several processes share.

use crate::{
    count_words::{JOIN, WORD_COUNT},
    worlds::{Case, PARTITIONS, check, create, in_memory, incarnation_until, read, sweep_all, write},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    config::ExchangeThrough,
    log::Log,
    record::TopicPartition,
    runtime::{Observed, Observer, Shutdown},
    sim::{Faults, World},
};

const TWO: Case =
    Case { processes: &["a", "b"], state_partitions: 4, exchange: ExchangeThrough::Shared, ..WORD_COUNT };
const THREE: Case = Case { processes: &["a", "b", "c"], ..TWO };
const JOINED: Case =
    Case { processes: &["a", "b"], state_partitions: 4, exchange: ExchangeThrough::Shared, ..JOIN };

#[test]
fn a_calm_world_of_several_processes_counts_everything() {
    for case in [TWO, THREE, JOINED] {
        for seed in 0..20 {
            let outcome = check(case, seed, Faults::none(), false).unwrap();
            assert!(outcome.ended.is_empty(), "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_two_processes() {
    sweep_all(TWO, 2_000);
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_three_processes() {
    sweep_all(THREE, 1_500);
}

#[test]
fn every_seed_joins_and_counts_over_two_exchanges_in_two_processes() {
    sweep_all(JOINED, 1_000);
}

/// What each process has reported: how many batches it has committed, and what it owns.
#[derive(Clone, Default)]
struct Reported {
    committed: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    owned: Arc<Mutex<BTreeMap<&'static str, Vec<TopicPartition>>>>,
}

struct OfProcess(&'static str, Reported);

impl Observer for OfProcess {
    fn on(&self, event: &Observed<'_>) {
        assert!(!matches!(event, Observed::StandingBy { .. }), "{} stands by", self.0);
        if let Observed::Batch(batch) = event
            && batch.committed
        {
            *self.1.committed.lock().unwrap().entry(self.0).or_default() += 1;
        }
        if let Observed::Running { owned } = event {
            self.1.owned.lock().unwrap().insert(self.0, owned.to_vec());
        }
    }
}

fn exchanged(log: &dyn Log) -> u64 {
    let end = |partition| log.end_offset(&TopicPartition::new("app-exchange", partition));
    (0..TWO.state_partitions).map(|partition| end(partition).map_or(0, |end| end.0)).sum()
}

/// One process, then three, then one again: rows go through the exchange topic only while there are several.
#[test]
fn rows_go_through_the_exchange_topic_while_there_are_several_processes() {
    for seed in 0..50 {
        let mut world = World::new(seed, Faults::none(), in_memory);
        create(world.log().as_ref(), "lines", PARTITIONS);
        create(world.log().as_ref(), "counts", 4);
        for step in 0..150u32 {
            world.at(Duration::from_millis(u64::from(step) * 200), move |log| {
                write(log, Some(step % PARTITIONS), "a b");
            });
        }
        let reported = Reported::default();
        let (from, to) = (Duration::from_secs(6), Duration::from_secs(14));
        for (name, at) in [("a", Duration::ZERO), ("b", from), ("c", from)] {
            let reported = reported.clone();
            let shutdown = Shutdown::default();
            if name != "a" {
                let shutdown = shutdown.clone();
                world.at(to, move |_| shutdown.request());
            }
            world.process_at(at, name, false, move |env| {
                let observer = Arc::new(OfProcess(name, reported.clone()));
                incarnation_until(env, TWO, observer, shutdown.clone())
            });
        }
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        for second in [5, 13, 22, 28] {
            let seen = seen.clone();
            world.at(Duration::from_secs(second), move |log| seen.lock().unwrap().push(exchanged(log)));
        }
        // While there are three, each source partition is reported as owned once.
        let sources: Arc<Mutex<Vec<TopicPartition>>> = Arc::default();
        let (seen_sources, of_all) = (sources.clone(), reported.owned.clone());
        world.at(Duration::from_secs(13), move |_| {
            let all = of_all.lock().unwrap();
            let of_topic = all.values().flatten().filter(|at| &*at.topic == "lines").cloned();
            *seen_sources.lock().unwrap() = of_topic.collect();
        });
        let counts = |w: &World| read(w.log().as_ref(), "counts", 4);
        let outcome = world.run(Duration::from_secs(60), |w| {
            w.now() > Duration::from_secs(31)
                && counts(w).iter().filter(|(_, count)| count == "150").count() == 2
        });
        assert!(outcome.finished, "seed {seed}: {:?}", outcome.ended);
        assert!(outcome.ended.iter().all(|ended| ended.result.is_ok()), "seed {seed}: {:?}", outcome.ended);
        let ascending = |key: &str| {
            let of_key = counts(&world).into_iter().filter(|(k, _)| k == key);
            let numbers: Vec<u64> = of_key.map(|(_, count)| count.parse().unwrap()).collect();
            numbers.is_sorted_by(|a, b| a < b)
        };
        assert!(ascending("a") && ascending("b"), "seed {seed}: {:?}", counts(&world));
        let seen = seen.lock().unwrap();
        assert!(seen[0] == 0 && seen[1] > 50 && seen[2] == seen[3], "seed {seed}: {seen:?}");
        let mut sources = sources.lock().unwrap().clone();
        sources.sort();
        let lines: Vec<_> = (0..PARTITIONS).map(|p| TopicPartition::new("lines", p)).collect();
        assert_eq!(sources, lines, "seed {seed}");
        let committed = reported.committed.lock().unwrap();
        assert!(
            ["a", "b", "c"].iter().all(|name| committed.contains_key(name)),
            "seed {seed}: {committed:?}"
        );
    }
}
