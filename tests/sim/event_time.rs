//! Windows over event time in processes that share the state: no row is late, whoever reads its partition and whoever has
//! its window.
//!
//! Partitions never count as idle, so the watermark is the least of their greatest event times. At the end each gets a
//! line that closes all windows before.

use crate::{
    count_words::WORD_COUNT,
    worlds::{
        Case, PARTITIONS, Silent, WORDS, create, in_memory, incarnation, read, sweep_seeds, unexpected,
        visit, write,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tidegate::{
    EventWindow, SourceOptions,
    codec::{AsText, Message, Messages, Utf8},
    config::ExchangeThrough,
    dstream::StreamBuilder,
    log::Log,
    plan::Topology,
    record::{Text, TopicPartition},
    sim::{Faults, Outcome, Random, World},
};

const WINDOW_MS: i64 = 2_000;
/// When the last lines are written: no fault happens any more.
const LAST: Duration = Duration::from_secs(62);

fn counts() -> Topology {
    let builder = StreamBuilder::default();
    let lines = builder.source::<Message<Text>>(
        SourceOptions::topic("lines"),
        Messages(Utf8),
        std::panic::Location::caller(),
    );
    let words = lines.flat_map(|line| {
        let Message { value, timestamp_ms, .. } = line.clone();
        value.split(' ').map(move |value| Message { value, timestamp_ms, ..line.clone() })
    });
    let window = EventWindow::tumbling(Duration::from_millis(WINDOW_MS.unsigned_abs()));
    let window = window.final_only().idle_timeout(Duration::from_secs(3_600));
    let counts = words.count_by_key_and_event_window(window, |word| word.value);
    let rows = counts.map(|(window, count)| (format!("{} {}", window.key, window.start_ms), count));
    rows.to_kafka("counts", Utf8, AsText);
    builder.topology()
}

const TWO: Case = Case {
    topology: counts,
    processes: &["a", "b"],
    state_partitions: 4,
    exchange: ExchangeThrough::Shared,
    ..WORD_COUNT
};
const THREE: Case = Case { processes: &["a", "b", "c"], ..TWO };

fn world(case: Case, seed: u64, faults: Faults, traced: bool) -> World {
    let mut world =
        if traced { World::traced(seed, faults, in_memory) } else { World::new(seed, faults, in_memory) };
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    let mut random = Random::new(seed ^ 0xe7e7);
    for step in 0..40u64 {
        let words = (0..=random.below(3)).map(|_| WORDS[usize::try_from(random.below(7)).unwrap()]);
        let line = words.collect::<Vec<_>>().join(" ");
        let to = u32::try_from(random.below(u64::from(PARTITIONS))).unwrap();
        world.at(Duration::from_millis(step * 400), move |log| write(log, Some(to), &line));
    }
    world.at(LAST, |log| (0..PARTITIONS).for_each(|to| write(log, Some(to), "end")));
    for process in case.processes {
        world.process(process, true, move |env| incarnation(env, case, Arc::new(Silent)));
    }
    world
}

/// How often each word was written in each window that is closed by the last lines.
fn expected(log: &dyn Log) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for partition in 0..PARTITIONS {
        visit(log, &TopicPartition::new("lines", partition), |line| {
            let text = std::str::from_utf8(line.value.unwrap()).unwrap();
            let start = line.timestamp_ms - line.timestamp_ms % WINDOW_MS;
            for word in text.split(' ').filter(|word| *word != "end") {
                *counts.entry(format!("{word} {start}")).or_default() += 1;
            }
        });
    }
    counts
}

/// Each window that was given, or what is wrong with it.
fn given(log: &dyn Log) -> Result<BTreeMap<String, u64>, String> {
    let mut counts = BTreeMap::new();
    for (window, count) in read(log, "counts", 4) {
        if counts.insert(window.clone(), count.parse().unwrap()).is_some() {
            return Err(format!("the window {window} was given twice"));
        }
    }
    Ok(counts)
}

fn check(case: Case, seed: u64, faults: Faults, traced: bool) -> Result<Outcome, String> {
    let mut world = world(case, seed, faults, traced);
    let outcome = world.run(Duration::from_secs(600), |w| {
        let log = w.log();
        w.now() > LAST && given(log.as_ref()).is_ok_and(|given| given == expected(log.as_ref()))
    });
    let show = |what: String| {
        if traced {
            outcome.trace.iter().for_each(|line| println!("{line}"));
        }
        format!("{what}; faults {:?}; incarnations that ended: {:?}", outcome.fired, outcome.ended)
    };
    if let Some(what) = unexpected(&outcome) {
        return Err(show(what));
    }
    let (given, expected) = (given(world.log().as_ref()).map_err(show)?, expected(world.log().as_ref()));
    if given == expected { Ok(outcome) } else { Err(show(format!("given {given:?}, written {expected:?}"))) }
}

#[test]
fn in_a_calm_world_every_window_has_all_its_rows() {
    let alone = Case { processes: &["a"], exchange: ExchangeThrough::Memory, ..TWO };
    let through_topic = Case { exchange: ExchangeThrough::Topic, ..alone };
    for case in [alone, through_topic, TWO, THREE] {
        for seed in 0..5 {
            let outcome = check(case, seed, Faults::none(), false).unwrap();
            assert!(outcome.ended.is_empty(), "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn every_seed_gives_each_window_over_event_time_once_with_all_its_rows() {
    sweep_seeds(1_000, &Faults::all(), |seed, traced| check(THREE, seed, Faults::all(), traced));
}
