//! Files in simulated worlds: processes crash, are expelled and duplicated, and their commits are in doubt; each
//! line is in one final file, once.

use crate::outputs::files;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    Config, FileSink, SourceOptions, TimeUnit,
    codec::Utf8,
    config::Trigger,
    dstream::StreamBuilder,
    log::{self, TopicSpec},
    plan::Topology,
    record::{Incarnation, InstanceId, Partition, RawChunkBuilder, Text},
    runtime::{Env, Observed, Observer, Shutdown, run},
    sim::{Fault, Faults, Outcome, ProcessEnv, Random, World, sweep},
    state::MemoryStorage,
};

const PARTITIONS: u32 = 4;

struct Silent;
impl Observer for Silent {
    fn on(&self, _: &Observed<'_>) {}
}

fn topology(dir: &Path) -> Topology {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let builder = StreamBuilder::of("app");
    let lines = builder.source::<Text>(SourceOptions::topic("lines"), Utf8, std::panic::Location::caller());
    lines.save_as_text_files(&at("batches/lines"), "txt");
    lines.to_files(FileSink::json(&at("tree")).partition_by(TimeUnit::Minute));
    builder.topology()
}

fn incarnation(dir: &Path, env: ProcessEnv) -> tidegate::Result {
    let mut config = Config::new("app", "simulated");
    config.threads = 0;
    config.trigger = Trigger::Interval(Duration::from_millis(200));
    config.transaction_timeout = Duration::from_secs(3);
    config.session_timeout = Duration::from_secs(2);
    let env = Env {
        log: env.log,
        storage: env.storage,
        clock: env.clock,
        shutdown: Shutdown::default(),
        observer: Arc::new(Silent),
        instance: InstanceId(env.instance.as_str().into()),
        incarnation_before: Incarnation(0),
    };
    run(config, topology(dir), env)
}

/// How often each line is in the final files of both outputs.
fn written(dir: &Path) -> [BTreeMap<String, u32>; 2] {
    let mut found = [BTreeMap::new(), BTreeMap::new()];
    for (name, text) in files(dir) {
        if name.contains("/.") || name.ends_with("_SUCCESS") {
            continue;
        }
        for line in text.lines() {
            *found[usize::from(name.starts_with("tree"))]
                .entry(line.trim_matches('"').to_owned())
                .or_default() += 1;
        }
    }
    found
}

fn world(seed: u64, faults: Faults, traced: bool, dir: &Path) -> (World, BTreeMap<String, u32>) {
    let make = || Arc::new(MemoryStorage::default()) as Arc<dyn tidegate::state::Storage>;
    let mut world = if traced { World::traced(seed, faults, make) } else { World::new(seed, faults, make) };
    let spec = TopicSpec {
        name: "lines".into(),
        partitions: PARTITIONS,
        replication_factor: None,
        config: BTreeMap::new(),
    };
    log::Log::create(world.log().as_ref(), &spec).unwrap();
    let (mut random, mut oracle) = (Random::new(seed ^ 0x5eed), BTreeMap::new());
    for step in 0..15u64 {
        let mut lines = vec![];
        for n in 0..random.below(4) {
            let line = format!("line-{step}-{n}");
            oracle.insert(line.clone(), 1);
            lines.push((u32::try_from(random.below(u64::from(PARTITIONS))).unwrap(), line));
        }
        world.at(Duration::from_millis(step * 300), move |log| {
            for (partition, line) in lines {
                let mut records = RawChunkBuilder::default();
                let value = |out: &mut Vec<u8>| {
                    out.extend(line.as_bytes());
                    Ok::<_, ()>(true)
                };
                records.push_with(-1, None, value).unwrap();
                log::write(log, "lines", Some(Partition(partition)), &records.build()).unwrap();
            }
        });
    }
    for instance in ["a", "b"] {
        let dir: PathBuf = dir.to_owned();
        world.process(instance, true, move |env| incarnation(&dir, env));
    }
    (world, oracle)
}

fn check(seed: u64, faults: Faults, traced: bool) -> Result<Outcome, String> {
    // Data that is synced need not reach a real disk here.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("tidegate-files-").tempdir_in(place).unwrap();
    let (mut world, oracle) = world(seed, faults, traced, dir.path());
    let outcome = world.run(Duration::from_secs(600), |w| {
        w.now() > Duration::from_secs(8)
            && written(dir.path()).iter().all(|lines| lines.len() == oracle.len())
    });
    let show = |what: String| {
        if traced {
            outcome.trace.iter().for_each(|line| println!("{line}"));
            files(dir.path()).iter().for_each(|(name, text)| println!("{name}: {text:?}"));
        }
        format!("{what}; faults {:?}; incarnations that ended: {:?}", outcome.fired, outcome.ended)
    };
    if let Some(ended) =
        outcome.ended.iter().find(|l| matches!(&l.result, Err(e) if e.starts_with("panicked")))
    {
        return Err(show(format!("{} panicked", ended.name)));
    }
    for lines in written(dir.path()) {
        if lines != oracle {
            let wrong: Vec<_> = oracle.keys().filter(|l| lines.get(*l) != Some(&1)).collect();
            return Err(show(format!("after {:?}: not once: {wrong:?} in {lines:?}", outcome.time)));
        }
    }
    Ok(outcome)
}

fn seeds(default: u64) -> u64 {
    std::env::var("SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn a_calm_world_writes_every_line() {
    let outcome = check(1, Faults::none(), false).unwrap();
    assert!(outcome.fired.is_empty() && outcome.ended.is_empty(), "{outcome:?}");
}

#[test]
fn every_seed_writes_every_line_exactly_once() {
    if let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()) {
        check(seed, Faults::all(), true).unwrap();
        return;
    }
    let fired: Mutex<BTreeMap<Fault, u64>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = sweep(0..seeds(300), threads, |seed| {
        let outcome = check(seed, Faults::all(), false)?;
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
    let fired = fired.lock().unwrap();
    assert!(fired.len() > 5, "{fired:?}");
    println!("faults: {fired:?}");
}
