//! A first start at the end of the input, in two processes that find what is there at different times.

use crate::{
    count_words::STATELESS,
    worlds::{Case, PARTITIONS, Silent, create, in_memory, incarnation, read_rows, write},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tidegate::{
    config::StartingOffsets,
    sim::{Faults, World, sweep},
};

const LATEST: Case = Case { starting: StartingOffsets::Latest, ..STATELESS };
/// No fault happens after this time, see `Faults::all`.
const CALM: Duration = Duration::from_secs(60);

/// Lines that were there before come out never, lines after all faults come out once.
fn check(seed: u64) -> Result<(), String> {
    let mut world = World::new(seed, Faults::all(), in_memory);
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for number in 0..30 {
        write(world.log().as_ref(), Some(number % PARTITIONS), &format!("old-{number}"));
    }
    let mut late = BTreeSet::new();
    for number in 0..60u32 {
        let (line, at) = if number < 40 {
            (format!("between-{number}"), Duration::from_millis(1_000 + u64::from(number) * 200))
        } else {
            late.insert(format!("late-{number}"));
            (
                format!("late-{number}"),
                CALM + Duration::from_secs(30) + Duration::from_millis(u64::from(number)),
            )
        };
        world.at(at, move |log| write(log, Some(number % PARTITIONS), &line));
    }
    for process in LATEST.processes {
        world.process(process, true, |env| incarnation(env, LATEST, Arc::new(Silent)));
    }
    let rows = |world: &World| read_rows(world.log().as_ref());
    let has_late = |world: &World| {
        let seen: BTreeSet<String> = rows(world).into_iter().collect();
        late.iter().all(|line| seen.contains(line))
    };
    let outcome = world.run(Duration::from_secs(600), has_late);
    let (rows, mut seen) = (rows(&world), BTreeSet::new());
    let wrong = rows.iter().find(|row| row.starts_with("old-") || !seen.insert(row.as_str()));
    match wrong {
        Some(row) => Err(format!("`{row}` came out; faults {:?}", outcome.fired)),
        None if !outcome.finished => Err(format!("lines are missing; {:?}", outcome.ended)),
        None => Ok(()),
    }
}

#[test]
fn every_seed_starts_at_the_end_in_each_process() {
    let failed = sweep(0..300, 2, check);
    assert!(failed.is_empty(), "{} seeds failed, such as {:?}", failed.len(), failed.iter().next());
}
