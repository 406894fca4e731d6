//! Rows of the process itself, which no offset covers: as long as it lives each takes effect once, also when the
//! answer to a commit and the place in the group are lost together.

use crate::{
    count_words::WORD_COUNT,
    worlds::{Case, Silent, create, in_memory, incarnation, read},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    codec::{AsText, Utf8},
    dstream::StreamBuilder,
    plan::Topology,
    sim::{Fault, Faults, World, sweep},
    source::{LocalSource, Queue, QueueSource},
};

const ROWS: u64 = 40;

thread_local! {
    static QUEUE: RefCell<Queue<u64>> = RefCell::default();
}

/// Passes the rows on, and counts each.
fn passed_and_counted() -> Topology {
    let builder = StreamBuilder::default();
    let queue = QUEUE.with_borrow(Clone::clone);
    let make = move || Box::new(QueueSource::new(queue.clone(), true)) as Box<dyn LocalSource>;
    let rows = builder.local::<u64>("queue_stream", "queue", Arc::new(make), std::panic::Location::caller());
    rows.map(|n| (n, n)).to_kafka("seen", AsText, AsText);
    let counts = rows.map(|n| (n, 1u64)).running_reduce_by_key(|a, b| a + b).named("counts");
    counts.map(|(n, count)| (n.to_string(), count)).to_kafka("counts", Utf8, AsText);
    builder.topology()
}

/// How often each row was passed on, and each count that was given.
fn check(seed: u64, faults: Faults) -> Result<BTreeMap<Fault, u64>, String> {
    let mut world = World::new(seed, faults, in_memory);
    create(world.log().as_ref(), "seen", 1);
    create(world.log().as_ref(), "counts", 1);
    world.process("a", false, move |env| {
        QUEUE.set(Queue::default());
        QUEUE.with_borrow(|queue| (0..ROWS).for_each(|n| queue.push(vec![n])));
        let case = Case { topology: passed_and_counted, ..WORD_COUNT };
        incarnation(env, case, Arc::new(Silent))
    });
    let outcome = world.run(Duration::from_secs(300), |w| w.now() > Duration::from_secs(100));
    if !outcome.ended.is_empty() {
        return Err(format!("the process ended: {:?}", outcome.ended));
    }
    let log = world.log();
    let mut seen: Vec<u64> = read(log.as_ref(), "seen", 1).iter().map(|(n, _)| n.parse().unwrap()).collect();
    seen.sort_unstable();
    let counts = read(log.as_ref(), "counts", 1);
    if !seen.iter().copied().eq(0..ROWS) || counts.len() != seen.len() || counts.iter().any(|(_, n)| n != "1")
    {
        return Err(format!("seen {seen:?}, counts {counts:?}; faults {:?}", outcome.fired));
    }
    Ok(outcome.fired)
}

#[test]
fn rows_of_the_process_take_effect_once_while_it_lives() {
    let fired: Mutex<BTreeMap<Fault, u64>> = Mutex::default();
    let failed = sweep(0..300, 2, |seed| {
        let mut faults = Faults::none();
        for (fault, rate) in [
            (Fault::CommitLost, 150_000),
            (Fault::CommitLate, 50_000),
            (Fault::CommitAborted, 50_000),
            (Fault::Expelled, 50_000),
            (Fault::ExpelledSilently, 20_000),
            (Fault::ProducerFatal, 5_000),
        ] {
            faults = faults.with(fault, rate);
        }
        faults.calm_after = Duration::from_secs(40);
        let of_world = check(seed, faults)?;
        let mut fired = fired.lock().unwrap();
        of_world.iter().for_each(|(fault, n)| *fired.entry(*fault).or_default() += n);
        Ok(())
    });
    assert!(failed.is_empty(), "{} worlds failed: {:#?}", failed.len(), failed.iter().next());
    let fired = fired.into_inner().unwrap();
    for fault in [Fault::CommitLost, Fault::CommitLate, Fault::Expelled] {
        assert!(fired.get(&fault).is_some_and(|n| *n > 100), "{fired:?}");
    }
}
