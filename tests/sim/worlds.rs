//! A program in a simulated world, and the judge of what it writes.
//!
//! Each line has a word of its own and some frequent ones. A program of any shape counts something in the lines, so
//! that its output can be judged in one way: for each key the counts increase up to the oracle's. Knows no
//! particular program.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidegate::{
    Config,
    config::{ExchangeThrough, Guarantee, StartingOffsets, Trigger},
    log::{self, Log, TopicSpec},
    plan::Topology,
    record::{Incarnation, InstanceId, Partition, RawChunkBuilder, RawRecord, TopicPartition},
    runtime::{Env, Observed, Observer, Shutdown, clock::Clock, run},
    sim::{Fault, Faults, Outcome, ProcessEnv, Random, World, sweep},
    state::{MemoryStorage, Storage},
};
use xxhash_rust::xxh3::Xxh3;

pub const PARTITIONS: u32 = 3;
pub const WORDS: [&str; 7] = ["a", "b", "cc", "dd", "eee", "f", "ggg"];

/// What runs in a world.
#[derive(Clone, Copy)]
pub struct Case {
    pub topology: fn() -> Topology,
    /// What the program counts in a line.
    pub counted: fn(&str) -> Vec<String>,
    pub processes: &'static [&'static str],
    pub state_partitions: u32,
    /// Whether they share the state.
    pub exchange: ExchangeThrough,
    /// Where a first start begins.
    pub starting: StartingOffsets,
    /// A batch may hold so many records.
    pub batch_records_max: usize,
}

pub struct Silent;
impl Observer for Silent {
    fn on(&self, _: &Observed<'_>) {}
}

pub fn config(case: Case) -> Config {
    let mut config = Config::new("app", "simulated");
    config.threads = 0;
    config.trigger = Trigger::Interval(Duration::from_millis(200));
    config.state_partitions = case.state_partitions;
    config.exchange = case.exchange;
    config.shared_files = true;
    config.leave = true;
    config.guarantee = Guarantee::ExactlyOnce;
    config.transaction_timeout = Duration::from_secs(3);
    config.session_timeout = Duration::from_secs(2);
    config.witness_interval = Duration::from_secs(1);
    config.starting_offsets = case.starting;
    config.batch_records_max = case.batch_records_max;
    if case.exchange == ExchangeThrough::Shared {
        config.metadata_refresh = Duration::from_secs(1);
    }
    config
}

thread_local! {
    /// The clock of the process that runs on this thread.
    static CLOCK: RefCell<Option<Arc<dyn Clock>>> = const { RefCell::new(None) };
}

/// Functions of the program on this thread go by the clock of the process.
pub fn set_clock(env: &ProcessEnv) {
    CLOCK.set(Some(env.clock.clone()));
}

/// A function of a program that takes this long.
pub fn work(time: Duration) {
    let clock = CLOCK.with_borrow(Clone::clone).expect("called by a simulated process");
    clock.sleep(time);
}

/// One incarnation of a program.
pub fn incarnation(env: ProcessEnv, case: Case, observer: Arc<dyn Observer>) -> tidegate::Result {
    incarnation_until(env, case, observer, Shutdown::default())
}

/// The same, until it is asked to stop; then it leaves the group.
pub fn incarnation_until(
    env: ProcessEnv,
    case: Case,
    observer: Arc<dyn Observer>,
    shutdown: Shutdown,
) -> tidegate::Result {
    incarnation_with(env, case, config(case), observer, shutdown)
}

/// The same, with other settings.
pub fn incarnation_with(
    env: ProcessEnv,
    case: Case,
    config: Config,
    observer: Arc<dyn Observer>,
    shutdown: Shutdown,
) -> tidegate::Result {
    set_clock(&env);
    let env = Env {
        log: env.log,
        storage: env.storage,
        clock: env.clock,
        shutdown,
        observer,
        instance: InstanceId(env.instance.as_str().into()),
        incarnation_before: Incarnation(0),
    };
    run(config, (case.topology)(), env)
}

pub fn create(log: &dyn Log, name: &str, partitions: u32) {
    let spec = TopicSpec { name: name.into(), partitions, replication_factor: None, config: BTreeMap::new() };
    log.create(&spec).unwrap();
}

/// The databases of a process, in memory.
pub fn in_memory() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::default())
}

/// Writes a line to a partition of the input, or to any.
pub fn write(log: &dyn Log, partition: Option<u32>, line: &str) {
    let mut records = RawChunkBuilder::default();
    let value = |out: &mut Vec<u8>| {
        out.extend(line.as_bytes());
        Ok::<_, ()>(true)
    };
    records.push_with(-1, None, value).unwrap();
    log::write(log, "lines", partition.map(Partition), &records.build()).unwrap();
}

/// Everything committed in a partition.
pub fn visit(log: &dyn Log, at: &TopicPartition, mut visit: impl FnMut(RawRecord<'_>)) {
    let (mut from, end) = (log.start_offset(at).unwrap(), log.end_offset(at).unwrap());
    let mut reader = log.read(at, from).unwrap();
    while from < end {
        let Some(fetched) = reader.next(Duration::ZERO).unwrap() else { break };
        from = fetched.next;
        fetched.records.iter().for_each(&mut visit);
    }
}

/// Everything committed in a topic, partition by partition.
pub fn read(log: &dyn Log, topic: &str, partitions: u32) -> Vec<(String, String)> {
    let mut rows = vec![];
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    for partition in 0..partitions {
        visit(log, &TopicPartition::new(topic, partition), |r| rows.push((text(r.key), text(r.value))));
    }
    rows
}

/// The keys of everything committed in the output.
pub fn read_rows(log: &dyn Log) -> Vec<String> {
    read(log, "counts", 4).into_iter().map(|(key, _)| key).collect()
}

/// The count of each word according to the committed output, or what is wrong with the output.
fn replay(log: &dyn Log) -> Result<BTreeMap<String, u64>, String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in read(log, "counts", 4) {
        let count: u64 = count.parse().map_err(|e| format!("{word}: `{count}`: {e}"))?;
        let last = counts.insert(word.clone(), count).unwrap_or(0);
        if count <= last {
            return Err(format!("`{word}` went from {last} to {count}"));
        }
    }
    Ok(counts)
}

/// A world in which a program runs, and how often each key will have been written.
pub fn world(case: Case, seed: u64, faults: Faults, traced: bool) -> (World, BTreeMap<String, u64>) {
    let mut world =
        if traced { World::traced(seed, faults, in_memory) } else { World::new(seed, faults, in_memory) };
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    create(world.log().as_ref(), "seen", 1);
    let (mut random, mut oracle) = (Random::new(seed ^ 0x5eed), BTreeMap::new());
    let mut number = 0;
    for step in 0..20u64 {
        let mut lines: Vec<(u32, String)> = vec![];
        for _ in 0..random.below(4) {
            let mut words = vec![format!("only{number}")];
            number += 1;
            words.extend(
                (0..=random.below(4)).map(|_| WORDS[usize::try_from(random.below(7)).unwrap()].into()),
            );
            let line = words.join(" ");
            (case.counted)(&line).into_iter().for_each(|key| *oracle.entry(key).or_insert(0) += 1);
            lines.push((u32::try_from(random.below(u64::from(PARTITIONS))).unwrap(), line));
        }
        world.at(Duration::from_millis(step * 300), move |log| {
            lines.iter().for_each(|(partition, line)| write(log, Some(*partition), line));
        });
    }
    for process in case.processes {
        world.process(process, true, move |env| incarnation(env, case, Arc::new(Silent)));
    }
    (world, oracle)
}

pub fn check(case: Case, seed: u64, faults: Faults, traced: bool) -> Result<Outcome, String> {
    check_and_look(case, seed, faults, traced, |_| ()).map(|(outcome, ())| outcome)
}

/// A hash of everything committed in the topics of the program: places, times, keys, values and headers.
pub fn content(log: &dyn Log) -> u64 {
    let mut hash = Xxh3::new();
    for topic in ["lines", "counts", "app-changelog", "app-exchange", "app-meta"] {
        let Some(info) = log.describe(&[topic]).unwrap().remove(0) else { continue };
        for partition in 0..info.partitions {
            visit(log, &TopicPartition::new(topic, partition), |record| {
                hash.update(format!("{topic} {partition} {record:?}\n").as_bytes());
            });
        }
    }
    hash.digest()
}

/// A process that ended as none may end, whatever goes wrong with the log and the disks: it panicked, or it refused what
/// it found.
pub fn unexpected(outcome: &Outcome) -> Option<String> {
    let failed = outcome.ended.iter().filter_map(|ended| Some((ended, ended.result.as_ref().err()?)));
    let mut wrong =
        failed.filter(|(_, why)| why.starts_with("panicked") || why.starts_with("recovery refused"));
    wrong.next().map(|(ended, why)| format!("{} ended: {why}", ended.name))
}

/// Like `check`; also returns what `look` sees in the log at the end.
pub fn check_and_look<T>(
    case: Case,
    seed: u64,
    faults: Faults,
    traced: bool,
    look: impl FnOnce(&dyn Log) -> T,
) -> Result<(Outcome, T), String> {
    let (mut world, oracle) = world(case, seed, faults, traced);
    let outcome = world.run(Duration::from_secs(600), |w| {
        w.now() > Duration::from_secs(8) && replay(w.log().as_ref()).map_or(true, |counts| counts == oracle)
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
    let counts = replay(world.log().as_ref()).map_err(show)?;
    if counts != oracle {
        return Err(show(format!(
            "after {:?} the output says {counts:?}, the input has {oracle:?}",
            outcome.time
        )));
    }
    let seen = look(world.log().as_ref());
    Ok((outcome, seen))
}

/// Checks this many seeds with all faults; or the one seed that `SIM_SEED` names, with its trace.
pub fn sweep_all(case: Case, default: u64) {
    sweep_seeds(default, &Faults::all(), |seed, traced| check(case, seed, Faults::all(), traced));
}

/// The same of any worlds with these faults: `check` runs the one of a seed, on request with its trace. With
/// `SIM_FIRST` only until one has failed.
pub fn sweep_seeds(
    default: u64,
    faults: &Faults,
    check: impl Fn(u64, bool) -> Result<Outcome, String> + Sync,
) {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    if let Some(seed) = number("SIM_SEED") {
        check(seed, true).unwrap();
        return;
    }
    let (ends_at_first, has_failed) = (number("SIM_FIRST").is_some(), AtomicBool::new(false));
    let began = std::time::Instant::now();
    let fired: Mutex<BTreeMap<Fault, u64>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = sweep(0..number("SIM_SEEDS").unwrap_or(default), threads, |seed| {
        if ends_at_first && has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let outcome = check(seed, false).inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
        let mut fired = fired.lock().unwrap();
        outcome.fired.iter().for_each(|(fault, n)| *fired.entry(*fault).or_default() += n);
        Ok(())
    });
    for (seed, what) in failed.iter().take(5) {
        eprintln!("SIM_SEED={seed}: {what}");
    }
    assert!(
        failed.is_empty(),
        "{} seeds failed: {:?}",
        failed.len(),
        failed.keys().take(20).collect::<Vec<_>>()
    );
    let fired = fired.into_inner().unwrap();
    println!("{:?}; faults: {fired:?}", began.elapsed());
    // The copy of a request finds a transaction to end only if a suspect producer is kept.
    assert!(!fired.contains_key(&Fault::StaleCommit), "a transaction was ended by an older request");
    if number("SIM_SEEDS").is_none() {
        let silent: Vec<Fault> =
            faults.kinds().filter(|f| *f != Fault::StaleCommit && !fired.contains_key(f)).collect();
        assert!(silent.is_empty(), "never happened in {default} seeds: {silent:?}");
    }
}
