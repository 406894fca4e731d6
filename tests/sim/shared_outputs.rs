//! Outputs that take the rows of whole batches, of a program whose state several processes share: each batch is printed and
//! passed on once, by one process, with the rows of all.

use crate::{
    count_words::{WORD_COUNT, words},
    worlds::{Case, PARTITIONS, create, in_memory, incarnation_until, read, write},
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tidegate::{
    codec::{AsText, Utf8},
    config::ExchangeThrough,
    dstream::StreamBuilder,
    log::Log,
    plan::Topology,
    record::{Offset, RawChunk, RawRecord, Text},
    runtime::{Observed, Observer, Shutdown},
    sim::{Fault, Faults, Outcome, World, sweep},
    sink::{OutboxFailure, OutboxSource, OutboxWriter, Sink, SinkContext, SinkShape, to_display},
};

const LINES: u32 = 80;
/// The outputs are told apart by how many rows they show.
const WORDS_SHOWN: usize = 3;
const COUNTS_SHOWN: usize = 100;

#[derive(Default)]
struct Outputs {
    /// What was printed by which process, by output and batch time.
    printed: BTreeMap<(usize, i64), Vec<(String, Vec<String>)>>,
    /// The rows of each call of `foreach_rdd`, by batch time.
    called: BTreeMap<i64, Vec<Vec<String>>>,
    /// The rows of each call of `foreach_batch`, by id, with the batch time.
    delivered: BTreeMap<i64, Vec<(i64, Vec<String>)>>,
    /// What a destination with transactions holds: the position after its rows, and the rows.
    table: (Offset, Vec<(String, String)>),
    /// Who has written to it.
    writers: BTreeSet<String>,
    /// Batches that were given up.
    given_up: usize,
    /// Processes that stood by.
    stood_by: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Outputs>>);

impl Seen {
    fn outputs(&self) -> MutexGuard<'_, Outputs> {
        self.0.lock().unwrap()
    }
}

/// A table with a position, which one process at a time moves.
struct Table(Seen, String);

impl OutboxWriter for Table {
    fn open(&mut self, _: &OutboxSource, _: &dyn Log) -> Result<Offset, OutboxFailure> {
        Ok(self.0.outputs().table.0)
    }

    fn write(&mut self, records: &RawChunk, from: Offset, to: Offset) -> Result<(), OutboxFailure> {
        let mut outputs = self.0.outputs();
        if outputs.table.0 != from {
            return Err(OutboxFailure::Superseded);
        }
        let row = |record: RawRecord<'_>| {
            let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            let (word, count) = text.split_once(' ').unwrap();
            (word.to_owned(), count.to_owned())
        };
        outputs.table.1.extend(records.iter().map(row));
        outputs.table.0 = to;
        outputs.writers.insert(self.1.clone());
        Ok(())
    }

    fn reposition(&self, _: Offset) -> String {
        "nothing".into()
    }
}

struct ToTable(Seen);

impl Sink<String> for ToTable {
    fn shape(self, context: &SinkContext) -> Result<SinkShape<String>, String> {
        let (seen, name) = (self.0, PROCESS.get().to_owned());
        SinkShape::outbox(context, "table", Utf8, move || Table(seen.clone(), name.clone()))
    }
}

thread_local! {
    /// The process that runs on this thread.
    static PROCESS: Cell<&'static str> = const { Cell::new("") };
    static SEEN: RefCell<Seen> = RefCell::default();
}

struct OfProcess(String, Seen);

impl Observer for OfProcess {
    fn on(&self, event: &Observed<'_>) {
        match event {
            Observed::Console { time, printed, .. } => {
                let of = (self.0.clone(), printed.rows.clone());
                self.1.outputs().printed.entry((printed.rows_max, time.0)).or_default().push(of);
            }
            Observed::Replayed { .. } => self.1.outputs().given_up += 1,
            Observed::StandingBy { .. } => drop(self.1.outputs().stood_by.insert(self.0.clone())),
            _ => {}
        }
    }
}

fn shown(rows: impl IntoIterator<Item = (Text, u64)>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().map(|row| to_display(&row).unwrap()).collect();
    rows.sort();
    rows
}

fn counts_in_all_outputs() -> Topology {
    let (builder, seen) = (StreamBuilder::of("app"), SEEN.with_borrow(Clone::clone));
    let words = words(&builder);
    words.print_rows(WORDS_SHOWN);
    let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
    counts.print_rows(COUNTS_SHOWN);
    let called = seen.clone();
    counts.foreach_rdd(move |rdd, time| {
        called.outputs().called.entry(time.0).or_default().push(shown(rdd));
    });
    counts.map(|(word, count)| format!("{word} {count}")).to_sink(ToTable(seen.clone()));
    counts.foreach_batch("counts", move |rdd, batch| {
        seen.outputs().delivered.entry(batch.id).or_default().push((batch.time.0, shown(rdd)));
    });
    counts.to_kafka("counts", Utf8, AsText);
    builder.topology()
}

const SHARED: Case = Case {
    topology: counts_in_all_outputs,
    state_partitions: 4,
    exchange: ExchangeThrough::Shared,
    ..WORD_COUNT
};

/// A world with a line of two words every 200 ms.
fn world(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, faults, in_memory);
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for step in 0..LINES {
        world.at(Duration::from_millis(u64::from(step) * 200), move |log| {
            write(log, Some(step % PARTITIONS), if step % 2 == 0 { "a b" } else { "c b" });
        });
    }
    world
}

fn process(
    world: &mut World,
    name: &'static str,
    at: Duration,
    seen: &Seen,
    shutdown: &Shutdown,
    again: bool,
) {
    let (seen, shutdown) = (seen.clone(), shutdown.clone());
    world.process_at(at, name, again, move |env| {
        SEEN.set(seen.clone());
        PROCESS.set(name);
        let observer = Arc::new(OfProcess(name.into(), seen.clone()));
        incarnation_until(env, SHARED, observer, shutdown.clone())
    });
}

/// Whether everything was counted, printed, delivered and stored: state partitions of one process need not close a time at once.
fn is_done(world: &World, seen: &Seen) -> bool {
    let (last, outputs) = (("b".to_owned(), LINES.to_string()), seen.outputs());
    let mut delivered = outputs.delivered.values().flatten().flat_map(|(_, rows)| rows);
    let all = read(world.log().as_ref(), "counts", 4);
    let mut printed = outputs.printed.keys().filter(|(shown, _)| *shown == COUNTS_SHOWN);
    all.contains(&last)
        && printed.all(|(_, time)| outputs.called.contains_key(time))
        && delivered.any(|row| *row == format!("({},{})", last.0, last.1))
        && outputs.table.1.len() >= all.len()
}

/// Whether the table has each count once.
fn mistake_in_table(world: &World, seen: &Outputs) -> Option<String> {
    let (mut expected, mut rows) = (read(world.log().as_ref(), "counts", 4), seen.table.1.clone());
    expected.sort();
    rows.sort();
    (rows != expected).then(|| format!("the table has {rows:?}, the topic {expected:?}"))
}

/// What is wrong with what the outputs saw; whatever happens, these hold.
fn mistake(seen: &Outputs) -> Option<String> {
    if let Some((batch, by)) = seen.printed.iter().find(|(_, by)| by.len() != 1) {
        return Some(format!("{batch:?} was printed by {by:?}"));
    }
    for ((_, time), by) in seen.printed.iter().filter(|((shown, _), _)| *shown == COUNTS_SHOWN) {
        let mut rows = by[0].1.clone();
        rows.sort();
        if !seen.called.get(time).is_some_and(|calls| calls.contains(&rows)) {
            return Some(format!("at {time} {rows:?} was printed, called with {:?}", seen.called.get(time)));
        }
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (id, calls) in &seen.delivered {
        if calls.iter().any(|call| *call != calls[0]) {
            return Some(format!("batch {id} was delivered as {calls:?}"));
        }
        for row in &calls[0].1 {
            let (word, count) = row.trim_matches(['(', ')']).split_once(',')?;
            let count: u64 = count.parse().ok()?;
            if counts.insert(word.into(), count).is_some_and(|before| before >= count) {
                return Some(format!("batch {id} has {row} again"));
            }
        }
    }
    let all: Vec<u64> = counts.into_values().collect();
    let expected = [LINES / 2, LINES, LINES / 2].map(u64::from);
    (all != expected).then(|| format!("delivered up to {all:?}"))
}

/// One process, then two, then one again: each batch time has one header, also without rows, and one call.
#[test]
fn each_batch_is_printed_and_passed_on_once_by_several_processes() {
    let (mut printed_by, mut calls_again) = (BTreeSet::new(), 0);
    for seed in 0..50 {
        let (mut world, seen) = (world(seed, Faults::none()), Seen::default());
        let (from, to) = (Duration::from_secs(5), Duration::from_secs(12));
        let leaves = Shutdown::default();
        process(&mut world, "a", Duration::ZERO, &seen, &Shutdown::default(), false);
        process(&mut world, "b", from, &seen, &leaves, false);
        world.at(to, move |_| leaves.request());
        let outcome =
            world.run(Duration::from_secs(60), |w| w.now() > Duration::from_secs(19) && is_done(w, &seen));
        assert!(outcome.finished, "seed {seed}: {:?}", outcome.ended);
        assert!(outcome.ended.iter().all(|ended| ended.result.is_ok()), "seed {seed}: {:?}", outcome.ended);
        let seen = seen.outputs();
        assert_eq!(mistake(&seen).or_else(|| mistake_in_table(&world, &seen)), None, "seed {seed}");
        assert!(seen.stood_by.is_empty(), "seed {seed}: {:?}", seen.stood_by);
        let times = |shown: usize| -> Vec<i64> {
            seen.printed.keys().filter(|(of, _)| *of == shown).map(|(_, time)| *time).collect()
        };
        let (words, counts) = (times(WORDS_SHOWN), times(COUNTS_SHOWN));
        assert_eq!(words, counts, "seed {seed}: both have a header at each time");
        assert!(counts.windows(2).all(|pair| pair[1] - pair[0] == 200), "seed {seed}: {counts:?}");
        let is_empty = |time: &i64| seen.printed[&(COUNTS_SHOWN, *time)][0].1.is_empty();
        assert!(counts.iter().rev().take(5).all(is_empty), "seed {seed}: headers without rows");
        assert!(seen.called.keys().eq(&counts), "seed {seed}: a call at each time: {:?}", seen.called.keys());
        let again: usize = seen.called.values().map(|calls| calls.len() - 1).sum();
        assert!(again <= seen.given_up, "seed {seed}: {again} calls again, {} batches again", seen.given_up);
        calls_again += again;
        assert!(seen.delivered.values().all(|calls| calls.len() == 1), "seed {seed}: {:?}", seen.delivered);
        printed_by.extend(seen.printed.values().flatten().map(|(by, _)| by.clone()));
    }
    assert!(calls_again < 25, "only where a batch is given up for a rebalance: {calls_again}");
    assert_eq!(printed_by.len(), 2, "whoever owns the state partition prints: {printed_by:?}");
}

/// Whatever happens, no header comes twice, and what was printed is what functions were called with.
#[test]
fn every_seed_prints_no_batch_twice_and_delivers_each() {
    let (fired, writers) = (Mutex::new(BTreeMap::new()), Mutex::new(BTreeSet::new()));
    let failed = sweep(0..300, 2, |seed| {
        let mut faults = Faults::all();
        faults.calm_after = Duration::from_secs(20);
        let (mut world, seen) = (world(seed, faults), Seen::default());
        for name in ["a", "b"] {
            process(&mut world, name, Duration::ZERO, &seen, &Shutdown::default(), true);
        }
        let outcome: Outcome =
            world.run(Duration::from_secs(600), |w| w.now() > Duration::from_secs(25) && is_done(w, &seen));
        let seen = seen.outputs();
        let what = if outcome.finished {
            mistake(&seen).or_else(|| mistake_in_table(&world, &seen))
        } else {
            Some("it did not end".into())
        };
        writers.lock().unwrap().extend(seen.writers.iter().cloned());
        let mut all = fired.lock().unwrap();
        outcome.fired.iter().for_each(|(fault, n)| *all.entry(*fault).or_default() += n);
        what.map_or(Ok(()), |what| Err(format!("{what}; {:?}; {:?}", outcome.fired, outcome.ended)))
    });
    assert!(failed.is_empty(), "{} worlds failed: {:#?}", failed.len(), failed.iter().next());
    assert_eq!(writers.into_inner().unwrap().len(), 2, "each process has written to the table");
    let fired: BTreeMap<Fault, u64> = fired.into_inner().unwrap();
    for fault in [Fault::Crash, Fault::CommitLost, Fault::Expelled] {
        assert!(fired.get(&fault).is_some_and(|n| *n > 10), "{fired:?}");
    }
}
