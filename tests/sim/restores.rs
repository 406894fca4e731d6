//! Restores that take long, while processes share the state: the rest goes on, and whatever happens meanwhile, nothing is lost or
//! counted twice.

use crate::{
    count_words::WORD_COUNT,
    worlds::{
        Case, PARTITIONS, check, check_and_look, config, content, create, in_memory, incarnation,
        incarnation_until, incarnation_with, read, sweep_seeds, write,
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    Config,
    config::{ExchangeThrough, Trigger},
    record::TopicPartition,
    runtime::{Observed, Observer, Shutdown, clock::Clock},
    sim::{Fault, Faults, World},
};

const TWO: Case =
    Case { processes: &["a", "b"], state_partitions: 4, exchange: ExchangeThrough::Shared, ..WORD_COUNT };
const THREE: Case = Case { processes: &["a", "b", "c"], ..TWO };
const STEP: Duration = Duration::from_millis(100);

/// All faults, and restores that take seconds.
fn slow() -> Faults {
    Faults::all().with(Fault::SlowRestore, 900_000)
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_two_processes_whose_restores_take_long() {
    sweep_seeds(1_000, &slow(), |seed, traced| check(TWO, seed, slow(), traced));
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_three_processes_whose_restores_take_long() {
    sweep_seeds(1_000, &slow(), |seed, traced| check(THREE, seed, slow(), traced));
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_one_process_whose_restores_take_long() {
    let one = Case { processes: &["a"], ..TWO };
    sweep_seeds(500, &slow(), |seed, traced| check(one, seed, slow(), traced));
}

#[test]
fn a_seed_is_one_world_also_while_restores_take_long() {
    for seed in 0..20 {
        let run = || check_and_look(THREE, seed, slow(), false, content).unwrap();
        let ((first, wrote), (second, wrote_again)) = (run(), run());
        assert_eq!((first.trace_hash, wrote), (second.trace_hash, wrote_again), "seed {seed}");
    }
}

/// What a process has reported, with the time.
#[derive(Clone, Default)]
struct Reported {
    /// From when to when state partitions were under restore, and how many at most.
    restored: Arc<Mutex<Vec<(Duration, Option<Duration>, usize)>>>,
    /// When all was held up for it.
    awaited: Arc<Mutex<Vec<Duration>>>,
    /// When batches with input were committed.
    committed: Arc<Mutex<Vec<Duration>>>,
    /// When times were closed, of rows from the exchange topic.
    closed: Arc<Mutex<Vec<Duration>>>,
    owned: Arc<Mutex<BTreeMap<&'static str, Vec<TopicPartition>>>>,
}

struct OfProcess(&'static str, Reported, Arc<dyn Clock>);

impl Observer for OfProcess {
    fn on(&self, event: &Observed<'_>) {
        let Self(name, reported, clock) = self;
        match event {
            Observed::Restores { restores, awaited } => {
                let now = clock.monotonic();
                if awaited.is_some() && !restores.is_empty() {
                    reported.awaited.lock().unwrap().push(now);
                }
                let mut restored = reported.restored.lock().unwrap();
                match restored.last_mut().filter(|(_, until, _)| until.is_none()) {
                    Some((_, until, _)) if restores.is_empty() => *until = Some(now),
                    Some((_, _, most)) => *most = restores.len().max(*most),
                    None if !restores.is_empty() => restored.push((now, None, restores.len())),
                    None => {}
                }
            }
            Observed::Batch(batch) if batch.committed && batch.counters.records_in > 0 => {
                reported.committed.lock().unwrap().push(clock.monotonic());
            }
            Observed::Batch(batch) if batch.committed && batch.counters.records_out() > 0 => {
                reported.closed.lock().unwrap().push(clock.monotonic());
            }
            Observed::Running { owned } => {
                reported.owned.lock().unwrap().insert(name, owned.to_vec());
            }
            _ => {}
        }
    }
}

/// A world with lines of three words each 100 ms, for so long.
fn world_of_lines(seed: u64, steps: u32) -> World {
    let mut faults = Faults::none().with(Fault::SlowRestore, 1_000_000);
    faults.calm_after = Duration::from_secs(600);
    let mut world = World::new(seed, faults, in_memory);
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for step in 0..steps {
        let line = format!("w{} w{} w{}", step % 40, (step * 7 + 3) % 40, (step * 11 + 5) % 40);
        world.at(STEP * step, move |log| write(log, Some(step % PARTITIONS), &line));
    }
    world
}

fn sum_of_counts(world: &World) -> u64 {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in read(world.log().as_ref(), "counts", 4) {
        let count = count.parse().unwrap();
        let before = counts.insert(word.clone(), count).unwrap_or(0);
        assert!(before < count, "`{word}` went from {before} to {count}");
    }
    counts.values().sum()
}

/// How many results there are at times in a world.
fn sampled(world: &mut World, steps: u32) -> Arc<Mutex<Vec<(Duration, usize)>>> {
    let samples: Arc<Mutex<Vec<(Duration, usize)>>> = Arc::default();
    for step in (0..steps).step_by(5) {
        let (samples, at) = (samples.clone(), STEP * step);
        world.at(at, move |log| samples.lock().unwrap().push((at, read(log, "counts", 4).len())));
    }
    samples
}

/// How many results came in this time.
fn results_in(samples: &[(Duration, usize)], from: Duration, until: Duration) -> usize {
    let mut within =
        samples.iter().filter(|(at, _)| (from..=until).contains(at)).map(|(_, results)| *results);
    let first = within.next().unwrap_or_default();
    within.next_back().unwrap_or(first) - first
}

/// A process joins, and restores its share for seconds: it reads and marks its input at once, so the results of the other one go on.
#[test]
fn results_of_other_state_partitions_go_on_while_a_process_that_joins_restores_its_share() {
    const STEPS: u32 = 250;
    for seed in 0..5 {
        let mut world = world_of_lines(seed, STEPS);
        let samples = sampled(&mut world, STEPS + 50);
        let reported = Reported::default();
        for (name, at) in [("a", Duration::ZERO), ("b", Duration::from_secs(8))] {
            let reported = if name == "b" { reported.clone() } else { Reported::default() };
            world.process_at(at, name, false, move |env| {
                let observer = Arc::new(OfProcess(name, reported.clone(), env.clock.clone()));
                incarnation(env, TWO, observer)
            });
        }
        let all = u64::from(STEPS) * 3;
        let outcome =
            world.run(Duration::from_secs(120), |w| w.now() > STEP * STEPS && sum_of_counts(w) == all);
        assert!(outcome.finished && outcome.ended.is_empty(), "seed {seed}: {:?}", outcome.ended);
        let restored = reported.restored.lock().unwrap();
        let (from, until, most) = restored[0];
        let until = until.unwrap();
        let took = until.saturating_sub(from);
        assert!(took > Duration::from_secs(2) && most == 2, "seed {seed}: {restored:?}");
        // Each line has up to three words that change; two of four state partitions go on.
        let samples = samples.lock().unwrap();
        let results = results_in(&samples, from, until);
        let lines = usize::try_from(took.as_millis() / STEP.as_millis()).unwrap();
        assert!(results > lines / 2, "seed {seed}: {results} results while {lines} lines came: {samples:?}");
        let committed = reported.committed.lock().unwrap();
        let meanwhile = committed.iter().filter(|at| (from..until).contains(at)).count();
        assert!(meanwhile > 5, "seed {seed}: it took input {meanwhile} times while it restored");
        assert!(reported.awaited.lock().unwrap().is_empty(), "seed {seed}: nothing waits for it");
        let of_b = &reported.owned.lock().unwrap()["b"];
        assert_eq!(of_b.iter().filter(|at| &*at.topic == "app-exchange").count(), 2, "seed {seed}: {of_b:?}");
    }
}

/// An interval ends while a process that has joined restores its share. Its rows are closed once that is restored, not an interval later.
#[test]
fn a_state_partition_that_was_restored_does_not_wait_for_the_end_of_the_interval() {
    const STEPS: u32 = 250;
    let interval = Duration::from_secs(10);
    for seed in 0..5 {
        let mut world = world_of_lines(seed, STEPS);
        let of_b = Reported::default();
        for (name, at) in [("a", 0), ("b", 18)] {
            let reported = if name == "b" { of_b.clone() } else { Reported::default() };
            world.process_at(Duration::from_secs(at), name, false, move |env| {
                let observer = Arc::new(OfProcess(name, reported.clone(), env.clock.clone()));
                let config = Config { trigger: Trigger::Interval(interval), ..config(TWO) };
                incarnation_with(env, TWO, config, observer, Shutdown::default())
            });
        }
        let all = u64::from(STEPS) * 3;
        let outcome =
            world.run(Duration::from_secs(120), |w| w.now() > STEP * STEPS && sum_of_counts(w) == all);
        assert!(outcome.finished && outcome.ended.is_empty(), "seed {seed}: {:?}", outcome.ended);
        let (_, until, _) = of_b.restored.lock().unwrap()[0];
        let until = until.unwrap();
        assert!(until > 2 * interval + Duration::from_secs(1), "seed {seed}: restored at {until:?}");
        let closed = of_b.closed.lock().unwrap();
        let first = closed.iter().find(|at| **at >= until).unwrap();
        assert!(
            *first < until + Duration::from_secs(1),
            "seed {seed}: restored at {until:?}, closed at {first:?}"
        );
    }
}

/// What came for a state partition while it was restored is closed by a few transactions, time after time: otherwise it would stay as
/// far behind as the restore took, where each process always has more to do.
#[test]
fn a_state_partition_that_was_restored_catches_up_in_a_few_transactions() {
    const STEPS: u32 = 250;
    for seed in 0..5 {
        let mut world = world_of_lines(seed, STEPS);
        let all_reported = [Reported::default(), Reported::default()];
        for (index, (name, at)) in [("a", 0), ("b", 8)].into_iter().enumerate() {
            let reported = all_reported[index].clone();
            world.process_at(Duration::from_secs(at), name, false, move |env| {
                let observer = Arc::new(OfProcess(name, reported.clone(), env.clock.clone()));
                incarnation(env, TWO, observer)
            });
        }
        let all = u64::from(STEPS) * 3;
        let outcome =
            world.run(Duration::from_secs(120), |w| w.now() > STEP * STEPS && sum_of_counts(w) == all);
        assert!(outcome.finished && outcome.ended.is_empty(), "seed {seed}: {:?}", outcome.ended);
        let (from, until, _) = all_reported[1].restored.lock().unwrap()[0];
        let until = until.unwrap();
        let cut = |within: std::ops::Range<Duration>| -> usize {
            let count = |reported: &Reported| {
                reported.committed.lock().unwrap().iter().filter(|at| within.contains(at)).count()
            };
            all_reported.iter().map(count).sum()
        };
        let (during, after) = (cut(from..until), cut(until..Duration::MAX));
        let closings = all_reported[1].closed.lock().unwrap().iter().filter(|at| **at >= until).count();
        assert!(during > 20, "seed {seed}: {during} batches while it restored");
        assert!(
            closings < after + during / 4,
            "seed {seed}: {closings} closings; {during} batches while it restored, {after} after it"
        );
    }
}

/// A process that has everything, and has lost all of it, waits: it has no results to give, and its input stays where it is.
#[test]
fn a_process_alone_that_has_lost_its_disk_waits_for_its_restores_and_hears_a_request_to_stop() {
    const STEPS: u32 = 100;
    for seed in 0..10 {
        let mut world = world_of_lines(seed, STEPS);
        let reported = Reported::default();
        let ended: Arc<Mutex<Vec<Duration>>> = Arc::default();
        for (name, from, to) in [("a", 0, 11), ("b", 12, 14), ("c", 20, 600)] {
            let shutdown = Shutdown::default();
            let reported = if name == "b" { reported.clone() } else { Reported::default() };
            let (stopped, ended) = (shutdown.clone(), ended.clone());
            world.at(Duration::from_secs(to), move |_| stopped.request());
            world.process_at(Duration::from_secs(from), name, false, move |env| {
                let clock = env.clock.clone();
                let observer = Arc::new(OfProcess(name, reported.clone(), clock.clone()));
                incarnation_until(env, TWO, observer, shutdown.clone())?;
                ended.lock().unwrap().push(clock.monotonic());
                Ok(())
            });
        }
        let all = u64::from(STEPS) * 3;
        let outcome = world
            .run(Duration::from_secs(200), |w| w.now() > Duration::from_secs(21) && sum_of_counts(w) == all);
        assert!(outcome.finished, "seed {seed}: {:?}", outcome.ended);
        let ended = ended.lock().unwrap();
        assert!(ended[1] < Duration::from_secs(15), "seed {seed}: it ends at once: {ended:?}");
        assert!(!reported.awaited.lock().unwrap().is_empty(), "seed {seed}: it waits for all of it");
        assert!(reported.committed.lock().unwrap().is_empty(), "seed {seed}: and takes no input meanwhile");
    }
}
