//! Programs with state in two processes: one computes, the other stands by.

use crate::{
    count_words::WORD_COUNT,
    worlds::{Case, PARTITIONS, create, in_memory, incarnation, sweep_all, write},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    runtime::{Observed, Observer},
    sim::{Faults, World},
};

const TWO: Case = Case { processes: &["a", "b"], ..WORD_COUNT };

#[test]
fn every_seed_counts_every_word_exactly_once_in_either_process() {
    sweep_all(TWO, 3_000);
}

/// What each process reported.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<BTreeMap<&'static str, Report>>>);

#[derive(Clone, Debug, Default)]
struct Report {
    committed: u64,
    given_up: u64,
    stood_by: u64,
}

struct OfProcess(&'static str, Reports);

impl Observer for OfProcess {
    fn on(&self, event: &Observed<'_>) {
        let mut reports = self.1.0.lock().unwrap();
        let report = reports.entry(self.0).or_default();
        match event {
            Observed::Batch(batch) => report.committed += u64::from(batch.committed),
            Observed::Replayed { .. } => report.given_up += 1,
            Observed::StandingBy { holder, .. } => {
                assert_ne!(holder.instance, self.0, "stands by for itself");
                report.stood_by += 1;
            }
            _ => {}
        }
    }
}

/// Two processes, the second of which starts later by `delay`; a line comes five times a second.
fn two(seed: u64, delay: Duration) -> BTreeMap<&'static str, Report> {
    let mut world = World::new(seed, Faults::none(), in_memory);
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for step in 0..100 {
        world.at(Duration::from_millis(step * 200), |log| write(log, None, "a b"));
    }
    let reports = Reports::default();
    for (name, at) in [("a", Duration::ZERO), ("b", delay)] {
        let reports = reports.clone();
        world.process_at(at, name, false, move |env| {
            incarnation(env, WORD_COUNT, Arc::new(OfProcess(name, reports.clone())))
        });
    }
    let outcome = world.run(Duration::from_secs(60), |w| w.now() > Duration::from_secs(20));
    assert!(outcome.ended.is_empty(), "seed {seed}: {:?}", outcome.ended);
    let reports = reports.0.lock().unwrap();
    reports.clone()
}

#[test]
fn of_two_that_start_at_once_exactly_one_computes_and_the_other_stands_by() {
    let (mut first, mut raced) = (0, 0);
    for seed in 0..200 {
        let reports = two(seed, Duration::from_millis(seed % 4));
        let computed: Vec<_> =
            reports.iter().filter(|(_, r)| r.committed > 0).map(|(name, _)| *name).collect();
        assert_eq!(computed.len(), 1, "seed {seed}: {reports:?}");
        let other = if computed[0] == "a" { "b" } else { "a" };
        assert!(reports[other].stood_by > 10, "seed {seed}: {reports:?}");
        assert!(reports[computed[0]].committed > 50, "seed {seed}: {reports:?}");
        first += u32::from(computed[0] == "a");
        raced += u32::from(reports[computed[0]].stood_by > 0);
    }
    println!("the first one computed in {first} of 200 worlds; in {raced} the other had joined before");
    assert!((1..200).contains(&first));
}

#[test]
fn one_that_starts_later_leaves_the_first_alone() {
    for seed in 0..100 {
        let reports = two(seed, Duration::from_secs(5));
        let (a, b) = (&reports["a"], &reports["b"]);
        assert_eq!((b.committed, a.given_up, a.stood_by), (0, 0, 0), "seed {seed}: {reports:?}");
        assert!(a.committed > 80 && b.stood_by > 10, "seed {seed}: {reports:?}");
    }
}
