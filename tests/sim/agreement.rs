//! Programs whose results say what each batch had: whether they agree, over stages and keys and processes, whatever
//! batch times the rows got.
//!
//! Each line has the number of its partition, its number there, and words. The words are counted by batch, by length
//! in a second stage, over a window and over all batches; the numbers of the lines are passed on in order, through two
//! exchanges. Clocks, partitions and disks change as a world is told.

use crate::{
    count_words::{WORD_COUNT, lines},
    worlds::{
        Case, PARTITIONS, Silent, WORDS, config, create, in_memory, incarnation, incarnation_with, read,
        sweep_seeds, unexpected, write,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    BatchTime, Config, DStream, State, StateSpec,
    codec::Utf8,
    config::{ExchangeThrough, Trigger},
    dstream::StreamBuilder,
    log::Log,
    plan::Topology,
    record::{Key, Text, TopicPartition},
    runtime::{Observed, Observer, Shutdown},
    sim::{Fault, Faults, Outcome, ProcessEnv, Random, World},
};

/// When worlds begin, milliseconds since the epoch.
const EPOCH_MS: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 200;
const WINDOW_MS: i64 = 1_000;
/// Lines are written this often.
const STEP_MS: u64 = 500;
/// Where a batch holds few records: so many.
const BATCH_RECORDS_MAX: usize = 2;
/// Topics and partitions of what is written.
const SEEN: (&str, u32) = ("seen", 4);

/// The number of a line's partition, and its own.
fn numbers(line: &str) -> (u64, u64) {
    let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The counts of each batch, with its time.
fn write_counts<K: Key + std::fmt::Display>(kind: &'static str, counts: &DStream<(K, u64)>) {
    let stamped = move |rows: Vec<(K, u64)>, time: BatchTime| {
        rows.into_iter().map(move |(key, count)| (format!("{kind} {key}"), format!("{} {count}", time.0)))
    };
    counts.transform_partitions(stamped).to_kafka(SEEN.0, Utf8, Utf8);
}

/// Passes numbers on, as they come, with the time of their batch.
fn in_order(numbers: &DStream<(u64, (u64, u64))>, name: &str) -> DStream<(u64, (i64, u64))> {
    let pass = |time: BatchTime, _: &u64, number: Option<(u64, u64)>, last: &mut State<u64>| {
        let (from, number) = number?;
        last.update(number);
        Some((from, (time.0, number)))
    };
    numbers.map_with_state(StateSpec::function(pass)).named(name).clone()
}

fn write_numbers(kind: &'static str, numbers: &DStream<(u64, (i64, u64))>) {
    let row = move |(from, (time, number))| (format!("{kind} {from}"), format!("{time} {number}"));
    numbers.map(row).to_kafka(SEEN.0, Utf8, Utf8);
}

fn program() -> Topology {
    let builder = StreamBuilder::default();
    let lines = lines(&builder);
    let words = lines.flat_map(|line: Text| line.split(' ').skip(2));
    let by_word = words.map(|word| (word, 1u64)).reduce_by_key(|a, b| a + b).named("by_word");
    write_counts("words", &by_word);
    let direct = words.map(|word| (word.len() as u64, 1u64)).reduce_by_key(|a, b| a + b).named("direct");
    write_counts("direct", &direct);

    let by_length = by_word.map(|(word, count)| (word.len() as u64, count));
    write_counts("lengths", &by_length.reduce_by_key(|a, b| a + b).named("by_length"));
    let (length, slide) = (millis(WINDOW_MS), millis(INTERVAL_MS));
    write_counts("window", &by_length.reduce_by_key_and_window(|a, b| a + b, length, slide).named("recent"));
    write_counts("running", &by_length.running_reduce_by_key(|a, b| a + b).named("all"));

    pass_numbers_on(&lines);
    builder.topology()
}

/// The numbers of lines in two stages.
fn pass_numbers_on(lines: &DStream<Text>) {
    let first = lines.map(|line| numbers(&line)).map(|(from, number)| (from, (from, number)));
    let first = in_order(&first, "first");
    write_numbers("first", &first);
    let second = first.map(|(from, (_, number))| (from % 2, (from, number)));
    write_numbers("second", &in_order(&second, "second"));
}

/// The numbers of lines, and how many there are in each batch: so an interval must be one batch.
fn program_of_numbers() -> Topology {
    let builder = StreamBuilder::default();
    let lines = lines(&builder);
    pass_numbers_on(&lines);
    let by_partition = lines.map(|line| (numbers(&line).0, 1u64)).reduce_by_key(|a, b| a + b);
    write_counts("lines", &by_partition.named("by_partition"));
    builder.topology()
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// What goes on in a world.
#[derive(Clone, Copy)]
struct Setting {
    processes: &'static [&'static str],
    exchange: ExchangeThrough,
    /// Wall clocks differ by seconds, and jump.
    clocks: bool,
    /// The input topic gets more partitions.
    grows: bool,
    /// Restores take long.
    slow: bool,
    /// This process has an empty disk at each start, and the others keep theirs.
    forgets: Option<&'static str>,
    /// A batch may hold so many records.
    batch_records_max: usize,
}

const ALONE: Setting = Setting {
    processes: &["a"],
    exchange: ExchangeThrough::Memory,
    clocks: false,
    grows: false,
    slow: false,
    forgets: None,
    batch_records_max: usize::MAX,
};
const TWO: Setting = Setting { processes: &["a", "b"], exchange: ExchangeThrough::Shared, ..ALONE };
const THREE: Setting = Setting { processes: &["a", "b", "c"], ..TWO };
/// Most intervals have more than a batch may hold.
const FULL: Setting =
    Setting { exchange: ExchangeThrough::Shared, batch_records_max: BATCH_RECORDS_MAX, ..ALONE };

impl Setting {
    const fn of(self, processes: &'static [&'static str]) -> Self {
        Setting { processes, ..self }
    }

    const fn through_topic(self) -> Self {
        Setting { exchange: ExchangeThrough::Topic, ..self }
    }

    /// In two worlds of three processes live longer, so that several of them share the state for a while.
    fn faults(self, seed: u64) -> Faults {
        let rarer: &[(Fault, u64)] = match seed % 3 {
            0 => &[],
            1 => &[(Fault::Crash, 700), (Fault::Pause, 500), (Fault::Duplicate, 200)],
            _ => &RARE,
        };
        let kept: &[Fault] = if self.forgets.is_some() { &[Fault::DiskLost, Fault::DiskBehind] } else { &[] };
        let faults = rarer.iter().fold(Faults::all(), |faults, (fault, rate)| faults.with(*fault, *rate));
        let faults = if self.slow { faults.with(Fault::SlowRestore, 900_000) } else { faults };
        kept.iter().fold(faults, |faults, fault| faults.with(*fault, 0))
    }
}

/// The rates of what ends a process or its membership, in worlds where that is rare.
const RARE: [(Fault, u64); 12] = [
    (Fault::Crash, 100),
    (Fault::CrashAfter, 500),
    (Fault::CrashCommitLate, 200),
    (Fault::Pause, 200),
    (Fault::Duplicate, 20),
    (Fault::Rebalance, 1_000),
    (Fault::Expelled, 100),
    (Fault::ExpelledSilently, 100),
    (Fault::FencedByItself, 50),
    (Fault::AnswerRefused, 100),
    (Fault::Disconnected, 500),
    (Fault::ProducerFatal, 200),
];

/// What was written to the input.
#[derive(Default)]
struct Input {
    lines: BTreeMap<u64, u64>,
    /// By partition and number, the step in which a line was written.
    steps: BTreeMap<(u64, u64), u64>,
    words: BTreeMap<String, u64>,
}

fn world(setting: Setting, seed: u64, faults: Faults, traced: bool) -> (World, Input) {
    let mut world =
        if traced { World::traced(seed, faults, in_memory) } else { World::new(seed, faults, in_memory) };
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), SEEN.0, SEEN.1);
    let (mut random, mut input) = (Random::new(seed ^ 0xa9ee), Input::default());
    let mut below = |end: u64| random.below(end);
    let mut partitions = u64::from(PARTITIONS);
    for step in 0..20u64 {
        if setting.grows && step == 7 {
            partitions += 2;
            let count = u32::try_from(partitions).unwrap();
            world.add_partitions(Duration::from_millis(step * STEP_MS - 50), "lines", count);
        }
        let mut lines: Vec<(u32, String)> = vec![];
        let lines_max = if setting.batch_records_max == usize::MAX { 4 } else { 10 };
        for _ in 0..below(lines_max) {
            let to = below(partitions);
            let number = input.lines.entry(to).or_default();
            let mut line = format!("{to} {number}");
            input.steps.insert((to, *number), step);
            *number += 1;
            for _ in 0..=below(4) {
                let word = WORDS[usize::try_from(below(7)).unwrap()];
                *input.words.entry(word.to_owned()).or_default() += 1;
                line = format!("{line} {word}");
            }
            lines.push((u32::try_from(to).unwrap(), line));
        }
        world.at(Duration::from_millis(step * STEP_MS), move |log| {
            lines.iter().for_each(|(partition, line)| write(log, Some(*partition), line));
        });
    }
    let case = Case {
        topology: program,
        state_partitions: 4,
        exchange: setting.exchange,
        batch_records_max: setting.batch_records_max,
        ..WORD_COUNT
    };
    for process in setting.processes {
        let forgets = setting.forgets == Some(process);
        world.process(process, true, move |env| {
            let storage = if forgets { in_memory() } else { env.storage.clone() };
            incarnation(ProcessEnv { storage, ..env }, case, Arc::new(Silent))
        });
        let mut at = Duration::ZERO;
        for _ in 0..if setting.clocks { 1 + below(4) } else { 0 } {
            world.set_clock(at, process, i64::try_from(below(10_000)).unwrap() - 5_000);
            at += Duration::from_millis(below(4_000));
        }
    }
    (world, input)
}

/// What was written of each kind and key, in order: times and numbers.
type Seen = BTreeMap<String, BTreeMap<String, Vec<(i64, u64)>>>;

fn seen(log: &dyn Log) -> Seen {
    let mut seen = Seen::new();
    for (key, value) in read(log, SEEN.0, SEEN.1) {
        let ((kind, key), (time, number)) = (key.split_once(' ').unwrap(), value.split_once(' ').unwrap());
        let of_key = seen.entry(kind.to_owned()).or_default().entry(key.to_owned()).or_default();
        of_key.push((time.parse().unwrap(), number.parse().unwrap()));
    }
    seen
}

/// The sums of a kind by time and by what `of` makes of the key.
fn sums(seen: &Seen, kind: &str, of: impl Fn(&str) -> u64) -> BTreeMap<(u64, i64), u64> {
    let mut sums = BTreeMap::new();
    for (key, rows) in seen.get(kind).into_iter().flatten() {
        rows.iter().for_each(|(time, count)| *sums.entry((of(key), *time)).or_default() += count);
    }
    sums
}

fn as_number(key: &str) -> u64 {
    key.parse().unwrap()
}

/// The rows of a kind: key, time and number.
fn rows<'a>(seen: &'a Seen, kind: &str) -> impl Iterator<Item = (u64, i64, u64)> + use<'a> {
    let keys = seen.get(kind).into_iter().flatten();
    keys.flat_map(|(key, rows)| rows.iter().map(|(time, number)| (as_number(key), *time, *number)))
}

/// Says what is lost, twice or out of order, or does not agree.
fn judge(seen: &Seen, input: &Input, setting: Setting) -> Result<(), String> {
    let all: u64 = input.words.values().sum();
    for (kind, keys) in seen {
        for (key, rows) in keys {
            let by_line = matches!(kind.as_str(), "first" | "second");
            if by_line && !rows.iter().map(|(_, number)| *number).eq(0..input.lines[&as_number(key)]) {
                return Err(format!("{kind} of partition {key}: {rows:?}"));
            }
            let rises = |a: &(i64, u64), b: &(i64, u64)| a.0 < b.0 || (by_line && a.0 == b.0);
            if !rows.is_sorted_by(rises) {
                return Err(format!("{kind} of {key}: batch times do not rise: {rows:?}"));
            }
        }
    }
    for kind in ["first", "second"] {
        let partitions: BTreeSet<u64> = rows(seen, kind).map(|(from, ..)| from).collect();
        if !partitions.iter().eq(input.lines.keys()) {
            return Err(format!("{kind}: lines of {:?} came from {partitions:?}", input.lines));
        }
    }
    for (word, count) in &input.words {
        let counted = seen.get("words").and_then(|words| words.get(word));
        let counted: u64 = counted.into_iter().flatten().map(|(_, count)| count).sum();
        if counted != *count {
            return Err(format!("`{word}` was written {count} times and counted {counted} times"));
        }
    }
    let lengths = sums(seen, "lengths", as_number);
    let of_words = sums(seen, "words", |word| word.len() as u64);
    if lengths != of_words {
        return Err(format!("by batch, the second stage has {lengths:?}, and the first {of_words:?}"));
    }
    let direct = sums(seen, "direct", as_number);
    // What a partition that has just become known sent for a time that is closed comes in the next one.
    if (!setting.grows && direct != of_words) || direct.values().sum::<u64>() != all {
        return Err(format!("by batch, lengths are {direct:?}, and those of words {of_words:?}"));
    }
    let until = |length: u64, from: i64, to: i64| -> u64 {
        lengths.range((length, from)..=(length, to)).map(|(_, count)| count).sum()
    };
    for (length, time, count) in rows(seen, "running") {
        if count != until(length, 0, time) {
            return Err(format!("running count of {length} at {time}: {count}, by batch {lengths:?}"));
        }
    }
    let mut instants = BTreeSet::new();
    for (length, time, count) in rows(seen, "window") {
        let instant = time - time % INTERVAL_MS;
        instants.insert((length, instant));
        if count != until(length, instant - WINDOW_MS + 1, instant) {
            return Err(format!("window of {length} at {instant}: {count}, by batch {lengths:?}"));
        }
    }
    let running: BTreeSet<(u64, i64)> =
        rows(seen, "running").map(|(length, time, _)| (length, time)).collect();
    if !running.iter().eq(lengths.keys()) {
        return Err(format!("running counts at {running:?}, by batch {lengths:?}"));
    }
    let missing = lengths.keys().find(|key| key.1 % INTERVAL_MS == 0 && !instants.contains(key));
    missing.map_or(Ok(()), |(length, time)| {
        Err(format!("no window of {length} at {time}, by batch {lengths:?}"))
    })
}

fn check(setting: Setting, seed: u64, faults: Faults, traced: bool) -> Result<Outcome, String> {
    let (mut world, input) = world(setting, seed, faults, traced);
    let mut ends = vec![];
    let outcome = world.run(Duration::from_secs(600), |w| {
        if w.now() < Duration::from_secs(11) {
            return false;
        }
        let log = w.log();
        let end = |partition| log.end_offset(&TopicPartition::new(SEEN.0, partition)).unwrap();
        let now: Vec<_> = (0..SEEN.1).map(end).collect();
        now != std::mem::replace(&mut ends, now.clone())
            && judge(&seen(log.as_ref()), &input, setting).is_ok()
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
    judge(&seen(world.log().as_ref()), &input, setting)
        .map_err(|what| show(format!("after {:?}: {what}", outcome.time)))?;
    Ok(outcome)
}

fn sweep_of(setting: Setting, default: u64) {
    sweep_seeds(default, &setting.faults(0), |seed, traced| {
        check(setting, seed, setting.faults(seed), traced)
    });
}

#[test]
fn in_a_calm_world_all_results_agree() {
    let through_topic = Setting { exchange: ExchangeThrough::Topic, ..ALONE };
    let (clocks, grows) = (Setting { clocks: true, ..TWO }, Setting { grows: true, ..THREE });
    let full = [FULL, FULL.through_topic(), FULL.of(&["a", "b"]), FULL.of(&["a", "b", "c"])];
    for setting in [ALONE, through_topic, TWO, THREE, clocks, grows].into_iter().chain(full) {
        for seed in 0..10 {
            let outcome = check(setting, seed, Faults::none(), false).unwrap();
            assert!(outcome.ended.is_empty(), "seed {seed}: {outcome:?}");
        }
    }
}

/// Lines that are written at one moment are of one batch, although it may hold only a part of them.
#[test]
fn in_a_calm_world_an_interval_is_one_batch_however_much_it_has() {
    let settings = [FULL, FULL.through_topic(), FULL.of(&["a", "b"]), FULL.of(&["a", "b", "c"])];
    let (mut whole, mut late) = (0, 0);
    for (setting, seed) in settings.into_iter().flat_map(|setting| (0..30).map(move |seed| (setting, seed))) {
        let (mut world, input) = world(setting, seed, Faults::none(), false);
        let outcome = world.run(Duration::from_secs(30), |w| {
            judge(&seen(w.log().as_ref()), &input, setting).is_ok() && w.now() > Duration::from_secs(11)
        });
        assert!(outcome.finished, "seed {seed}: {:?}", outcome.ended);
        let seen = seen(world.log().as_ref());
        let mut times: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for (from, time, number) in rows(&seen, "first") {
            assert_eq!(time % INTERVAL_MS, 0, "seed {seed}");
            times.entry(input.steps[&(from, number)]).or_default().push(time);
        }
        // Processes have started, and the step is not at the boundary of an interval.
        let inside = |step: u64| step > 6 && !(step * STEP_MS).is_multiple_of(INTERVAL_MS.unsigned_abs());
        let mut full = 0;
        for (step, times) in times.iter().filter(|(step, _)| inside(**step)) {
            full += usize::from(times.len() > BATCH_RECORDS_MAX);
            // What is read only after the end of an interval is of the next one: a process may be busy at that moment.
            let is_late = |time: &i64| *time == times[0] || *time == times[0] + INTERVAL_MS;
            assert!(times.iter().all(is_late), "seed {seed}: step {step} is in {times:?}");
            let is_whole = times.iter().all(|time| *time == times[0]);
            *(if is_whole { &mut whole } else { &mut late }) += 1;
        }
        assert!(full > 0, "seed {seed}: {times:?}");
    }
    assert!(whole > 500 && late < 5, "{late} steps came late, {whole} did not");
}

/// State partitions move in the middle of an interval, as a process joins and one leaves: the batch in flight is sent as it is, and what its input
/// partitions have for the rest of the interval, whoever reads them then, is of the same batch.
#[test]
fn in_a_calm_world_an_interval_in_which_state_partitions_move_is_one_batch() {
    const STEPS: u32 = 450;
    let (step_ms, interval_ms) = (100, 10_000);
    let case =
        Case { topology: program_of_numbers, state_partitions: 4, exchange: TWO.exchange, ..WORD_COUNT };
    for seed in 0..5 {
        let mut world = World::new(seed, Faults::none(), in_memory);
        create(world.log().as_ref(), "lines", PARTITIONS);
        create(world.log().as_ref(), SEEN.0, SEEN.1);
        for step in 0..STEPS {
            let line = format!("{} {} a bb", step % PARTITIONS, step / PARTITIONS);
            let at = Duration::from_millis(u64::from(step) * step_ms);
            world.at(at, move |log| write(log, Some(step % PARTITIONS), &line));
        }
        let owners: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        for (name, from, to) in [("a", 0, 37), ("b", 1, 600), ("c", 23, 600)] {
            let (owners, shutdown) = (owners.clone(), Shutdown::default());
            let stopped = shutdown.clone();
            world.at(Duration::from_secs(to), move |_| stopped.request());
            world.process_at(Duration::from_secs(from), name, false, move |env| {
                let config = Config { trigger: Trigger::Interval(millis(interval_ms)), ..config(case) };
                let observer = Arc::new(Owners(name, owners.clone()));
                incarnation_with(env, case, config, observer, shutdown.clone())
            });
        }
        let all = STEPS as usize;
        let outcome = world.run(Duration::from_secs(90), |w| {
            w.now() > Duration::from_secs(50) && rows(&seen(w.log().as_ref()), "second").count() == all
        });
        assert!(outcome.finished && outcome.ended.len() == 1, "seed {seed}: {:?}", outcome.ended);
        assert_eq!(owners.lock().unwrap().len(), 3, "seed {seed}: each process owns state partitions");
        let seen = seen(world.log().as_ref());
        for kind in ["first", "second"] {
            for (from, time, number) in rows(&seen, kind) {
                let written_ms = i64::try_from((number * u64::from(PARTITIONS) + from) * step_ms).unwrap();
                let until_end_ms = interval_ms - written_ms % interval_ms;
                // The first processes have met, and the line did not come when an interval was about to end, or had just ended.
                if written_ms > interval_ms && (500..interval_ms - 100).contains(&until_end_ms) {
                    let end_ms = EPOCH_MS + written_ms + until_end_ms;
                    assert_eq!(
                        time, end_ms,
                        "seed {seed}: {kind}: line {number} of partition {from}, after {written_ms} ms"
                    );
                }
            }
        }
    }
}

/// Which processes have owned state partitions.
struct Owners(&'static str, Arc<Mutex<BTreeSet<String>>>);

impl Observer for Owners {
    fn on(&self, event: &Observed<'_>) {
        let Observed::Running { owned } = event else { return };
        if owned.iter().any(|at| &*at.topic == "app-exchange") {
            self.1.lock().unwrap().insert(self.0.to_owned());
        }
    }
}

#[test]
fn every_seed_agrees_in_one_process_whose_intervals_have_more_than_a_batch_holds() {
    sweep_of(FULL, 400);
}

#[test]
fn every_seed_agrees_in_two_processes_whose_intervals_have_more_than_a_batch_holds() {
    sweep_of(FULL.of(&["a", "b"]), 300);
}

#[test]
fn every_seed_agrees_in_three_processes_with_other_clocks_whose_intervals_have_more_than_a_batch_holds() {
    sweep_of(Setting { clocks: true, ..FULL.of(&["a", "b", "c"]) }, 300);
}

#[test]
fn every_seed_agrees_in_one_process() {
    sweep_of(ALONE, 300);
}

#[test]
fn every_seed_agrees_in_two_processes() {
    sweep_of(TWO, 1_000);
}

#[test]
fn every_seed_agrees_in_three_processes() {
    sweep_of(THREE, 1_000);
}

#[test]
fn every_seed_agrees_in_processes_whose_clocks_differ_and_jump() {
    sweep_of(Setting { clocks: true, ..THREE }, 1_000);
}

#[test]
fn every_seed_agrees_while_the_input_gets_more_partitions() {
    sweep_of(Setting { grows: true, ..TWO }, 500);
}

#[test]
fn every_seed_agrees_while_clocks_differ_and_the_input_gets_more_partitions() {
    sweep_of(Setting { grows: true, clocks: true, ..THREE }, 1_000);
}

#[test]
fn every_seed_agrees_in_a_process_that_keeps_its_disk_and_one_that_loses_it() {
    sweep_of(Setting { forgets: Some("b"), ..TWO }, 500);
}

#[test]
fn every_seed_agrees_in_processes_whose_clocks_differ_and_whose_restores_take_long() {
    sweep_of(Setting { slow: true, clocks: true, ..THREE }, 400);
}

#[test]
fn every_seed_agrees_in_a_process_that_keeps_its_disk_and_one_that_loses_it_and_restores_it_slowly() {
    sweep_of(Setting { slow: true, forgets: Some("b"), ..TWO }, 300);
}
