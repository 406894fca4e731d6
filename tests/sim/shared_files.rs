//! Files of a program whose state several processes share: each process writes its share, all files of a batch appear once each,
//! and `_SUCCESS` comes after them.

use crate::{
    count_words::{WORD_COUNT, lines},
    worlds::{Case, PARTITIONS, create, in_memory, incarnation_until, read, sweep_seeds, unexpected, write},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tempfile::TempDir;
use tidegate::{
    codec::{AsText, Utf8},
    config::ExchangeThrough,
    dstream::StreamBuilder,
    plan::Topology,
    runtime::{Observed, Observer, Shutdown},
    sim::{Faults, Outcome, World},
};

const LINES: u32 = 60;

/// What is known of the files of a world while it runs.
#[derive(Default)]
struct Found {
    /// The files of each batch when its `_SUCCESS` was first seen.
    at_success: BTreeMap<PathBuf, BTreeSet<String>>,
    stood_by: BTreeSet<String>,
}

/// The folder that the files of a world go to.
#[derive(Clone)]
struct Files(Arc<(TempDir, Mutex<Found>)>);

impl Files {
    /// In memory where the system has a folder for that: files are forced to the disk.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Files(Arc::new((tempfile::tempdir_in(root).unwrap(), Mutex::default())))
    }

    fn root(&self) -> &Path {
        self.0.0.path()
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.1.lock().unwrap()
    }

    fn look(&self) {
        let mut found = self.found();
        for batch in names(self.root()).into_iter().filter(|name| !name.starts_with('.')) {
            let batch = self.root().join(batch);
            if !found.at_success.contains_key(&batch) && batch.join("_SUCCESS").exists() {
                found.at_success.insert(batch.clone(), names(&batch));
            }
        }
    }

    /// The lines of all files of one output.
    fn lines(&self, output: &str) -> Vec<String> {
        let batches = names(self.root()).into_iter().filter(|name| name.starts_with(output));
        let files = batches.flat_map(|batch| {
            let batch = self.root().join(batch);
            names(&batch).into_iter().map(move |file| fs::read_to_string(batch.join(file)).unwrap())
        });
        let mut lines: Vec<String> =
            files.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.sort();
        lines
    }

    /// What is wrong with the files, once everything is written.
    fn mistake(&self, world: &World) -> Option<String> {
        self.look();
        let mut expected: Vec<String> = (0..LINES).map(line).collect();
        expected.sort();
        let lines = self.lines("lines-");
        if lines != expected {
            return Some(format!("the files of lines have {lines:?}"));
        }
        let counts = read(world.log().as_ref(), "counts", 4);
        let mut expected: Vec<String> =
            counts.iter().map(|(word, count)| format!("({word},{count})")).collect();
        expected.sort();
        let lines = self.lines("counts-");
        if lines != expected {
            return Some(format!("the files of counts have {lines:?}, the topic {expected:?}"));
        }
        let found = self.found();
        for batch in names(self.root()).into_iter().filter(|name| !name.starts_with('.')) {
            let batch = self.root().join(batch);
            let files = names(&batch);
            if found.at_success.get(&batch) != Some(&files) {
                let then = found.at_success.get(&batch);
                return Some(format!("{} has {files:?}, with _SUCCESS it had {then:?}", batch.display()));
            }
        }
        None
    }

    /// Pending folders that are left.
    fn pending(&self) -> Vec<String> {
        let root = self.root().join(".tidegate-pending/_app");
        let of = |process: String| {
            let outputs = root.join(&process);
            let folders = names(&outputs).into_iter().flat_map(move |output| names(&outputs.join(output)));
            folders.map(move |folder| format!("{process}: {folder}"))
        };
        names(&root).into_iter().flat_map(of).collect()
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A line of its own, with two words that are frequent.
fn line(step: u32) -> String {
    format!("{} b only{step}", if step.is_multiple_of(2) { "a" } else { "c" })
}

thread_local! {
    static FILES: RefCell<Option<Files>> = const { RefCell::new(None) };
}

fn lines_and_counts_in_files() -> Topology {
    let (builder, files) = (StreamBuilder::of("app"), FILES.with_borrow(Clone::clone).unwrap());
    let at = |name: &str| files.root().join(name).to_str().unwrap().to_owned();
    let lines = lines(&builder);
    lines.save_as_text_files(&at("lines"), "");
    let words = lines.flat_map(|line| line.split(' '));
    let counts = words.map(|word| (word, 1u64)).running_reduce_by_key(|a, b| a + b);
    counts.save_as_text_files(&at("counts"), "");
    counts.to_kafka("counts", Utf8, AsText);
    builder.topology()
}

const SHARED: Case = Case {
    topology: lines_and_counts_in_files,
    state_partitions: 4,
    exchange: ExchangeThrough::Shared,
    ..WORD_COUNT
};

struct OfProcess(String, Files);

impl Observer for OfProcess {
    fn on(&self, event: &Observed<'_>) {
        match event {
            Observed::Batch(_) | Observed::Replayed { .. } | Observed::Closed => self.1.look(),
            Observed::StandingBy { .. } => drop(self.1.found().stood_by.insert(self.0.clone())),
            _ => {}
        }
    }
}

/// A world with a line every 200 ms.
fn world(seed: u64, faults: Faults, traced: bool) -> World {
    let mut world =
        if traced { World::traced(seed, faults, in_memory) } else { World::new(seed, faults, in_memory) };
    create(world.log().as_ref(), "lines", PARTITIONS);
    create(world.log().as_ref(), "counts", 4);
    for step in 0..LINES {
        world.at(Duration::from_millis(u64::from(step) * 200), move |log| {
            write(log, Some(step % PARTITIONS), &line(step));
        });
    }
    world
}

fn process(world: &mut World, name: &str, at: Duration, files: &Files, shutdown: &Shutdown, again: bool) {
    let (files, shutdown) = (files.clone(), shutdown.clone());
    let instance = name.to_owned();
    world.process_at(at, name, again, move |env| {
        FILES.set(Some(files.clone()));
        let observer = Arc::new(OfProcess(instance.clone(), files.clone()));
        incarnation_until(env, SHARED, observer, shutdown.clone())
    });
}

/// Whether everything was counted and is in files.
fn is_done(world: &World, files: &Files) -> bool {
    files.look();
    let counts = read(world.log().as_ref(), "counts", 4);
    // The rows of one transaction may become visible one partition after the other.
    counts.contains(&("b".to_owned(), LINES.to_string()))
        && files.lines("lines-").len() >= LINES as usize
        && files.lines("counts-").len() == counts.len()
}

/// One process, then two, then one again: each writes files, nothing is left over.
#[test]
fn several_processes_write_the_files_of_a_batch() {
    for seed in 0..30 {
        let (mut world, files) = (world(seed, Faults::none(), false), Files::new());
        let (from, to) = (Duration::from_secs(3), Duration::from_secs(9));
        let leaves = Shutdown::default();
        process(&mut world, "a", Duration::ZERO, &files, &Shutdown::default(), false);
        process(&mut world, "b", from, &files, &leaves, false);
        world.at(to, move |_| leaves.request());
        let outcome =
            world.run(Duration::from_secs(60), |w| w.now() > Duration::from_secs(14) && is_done(w, &files));
        assert!(outcome.finished, "seed {seed}: {:?}", outcome.ended);
        assert!(outcome.ended.iter().all(|ended| ended.result.is_ok()), "seed {seed}: {:?}", outcome.ended);
        assert_eq!(files.mistake(&world), None, "seed {seed}");
        assert!(files.found().stood_by.is_empty(), "seed {seed}: {:?}", files.found().stood_by);
        assert_eq!(files.pending(), [""; 0], "seed {seed}");
        let processes = names(&files.root().join(".tidegate-pending/_app"));
        assert_eq!(processes.len(), 2, "seed {seed}: both have written: {processes:?}");
    }
}

fn check(seed: u64, processes: &[&str], faults: Faults, traced: bool) -> Result<Outcome, String> {
    let (mut world, files) = (world(seed, faults, traced), Files::new());
    for name in processes {
        process(&mut world, name, Duration::ZERO, &files, &Shutdown::default(), true);
    }
    let outcome =
        world.run(Duration::from_secs(600), |w| w.now() > Duration::from_secs(14) && is_done(w, &files));
    let unseen =
        outcome.ended.iter().find(|e| e.result.as_ref().is_err_and(|why| why.contains("is not seen here")));
    let unseen = unseen.map(|ended| format!("{ended:?}"));
    let mistake = unexpected(&outcome).or(unseen).or_else(|| files.mistake(&world));
    let what = mistake.or_else(|| (!outcome.finished).then(|| "it did not end".into()));
    let Some(what) = what else { return Ok(outcome) };
    outcome.trace.iter().for_each(|line| println!("{line}"));
    Err(format!("{what}; pending {:?}; {:?}; {:?}", files.pending(), outcome.fired, outcome.ended))
}

fn faults() -> Faults {
    let mut faults = Faults::all();
    faults.calm_after = Duration::from_secs(20);
    faults
}

#[test]
fn every_seed_writes_each_line_once_in_two_processes() {
    sweep_seeds(250, &faults(), |seed, traced| check(seed, &["a", "b"], faults(), traced));
}

#[test]
fn every_seed_writes_each_line_once_in_three_processes() {
    sweep_seeds(250, &faults(), |seed, traced| check(seed, &["a", "b", "c"], faults(), traced));
}
