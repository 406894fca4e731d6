//! The simulated world, checked with a process of a few lines: it copies a topic exactly once, as the engine does.
//!
//! With all its rules the copy must be right in every world; each omitted rule must be caught, and each fault must
//! fire.

use crate::contract::{at, rows, texts, tp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    Error, Result,
    error::{Failure, Reaction},
    log::{
        Committed, Fetch, FetchSpec, Fetcher, GroupEvent, GroupSpec, Log, Member, Producer, ProducerSpec,
        RequestSizes, TopicSpec,
    },
    record::{Offset, Partition, RawChunk, TopicPartition},
    sim::{Fault, Faults, Outcome, ProcessEnv, World, sweep},
    state::{Backend, Opened, Storage, StoreId, VisitRow},
};

const PARTITIONS: u32 = 3;
const RECORDS: usize = 40;

/// A rule that is omitted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mutant {
    None,
    /// An unknown outcome is taken as committed.
    UnknownIsCommitted,
    /// An unknown outcome is taken as aborted, and the batch is written again.
    UnknownIsAborted,
    /// A suspect producer is kept.
    KeepsSuspect,
    /// The member id is read when the batch is committed, not when partitions were assigned.
    LateMembership,
    /// New partitions under another member id are taken as an addition to those already owned.
    AssignmentHidesLoss,
    /// Offsets are committed after the transaction, in a transaction of their own.
    OffsetsLater,
}

/// State of one number per partition: what was applied last.
#[derive(Default, Clone)]
struct Memory(Arc<Mutex<BTreeMap<Partition, Vec<u8>>>>);
struct Cell(Memory, Partition);

impl Storage for Memory {
    fn open(&self, partition: Partition, _: &[String]) -> Result<Opened> {
        Ok(Opened { backend: Arc::new(Cell(self.clone(), partition)), quarantined: None, added: vec![] })
    }
    fn quarantine(&self, partition: Partition, _: &str) -> Result {
        self.0.lock().unwrap().remove(&partition);
        Ok(())
    }
}

impl Backend for Cell {
    fn record(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.0.lock().unwrap().get(&self.1).cloned())
    }
    fn get_many(
        &self,
        _: StoreId,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result,
    ) -> Result {
        (0..keys.len()).try_for_each(|index| visit(index, None))
    }
    fn scan(&self, _: StoreId, _: Option<&[u8]>, _: &mut VisitRow<'_>) -> Result {
        Ok(())
    }
    fn progress(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
    fn restore(&self, _: &[RawChunk], _: &[u8]) -> Result {
        panic!("this process restores nothing")
    }
    fn apply(&self, _: &[RawChunk], record: Option<&[u8]>) -> Result {
        if let Some(record) = record {
            self.0.0.lock().unwrap().insert(self.1, record.to_vec());
        }
        Ok(())
    }
    fn size_bytes(&self) -> u64 {
        0
    }
    fn rows(&self) -> u64 {
        0
    }
}

/// The copying process.
struct Copier {
    env: ProcessEnv,
    mutant: Mutant,
    member: Box<dyn Member>,
    fetch: Box<dyn Fetch>,
    producer: Box<dyn Producer>,
    owner: String,
    fetchers: BTreeMap<TopicPartition, Box<dyn Fetcher>>,
    states: BTreeMap<TopicPartition, Arc<dyn Backend>>,
    batch: u64,
}

type Ranges = BTreeMap<TopicPartition, (Offset, RawChunk)>;

fn again<T>(mut call: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match call() {
            Err(f) if f.reaction == Reaction::RetrySame => {}
            other => return other,
        }
    }
}

/// Like `again`, and also where the group refuses an answer.
fn again_if_refused<T>(mut call: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match again(&mut call) {
            Err(f) if f.message.contains("an answer to a rebalance is refused") => {}
            other => return other,
        }
    }
}

fn producer(env: &ProcessEnv) -> Result<Box<dyn Producer>> {
    let spec = ProducerSpec {
        transactional_id: Some(format!("app-{}", env.instance)),
        transaction_timeout: Duration::from_secs(15),
        group: "app".into(),
        buffer_bytes: 1 << 20,
        sizes: RequestSizes::default(),
    };
    let mut producer = env.log.producer(&spec)?;
    again(|| producer.init())?;
    Ok(producer)
}

impl Copier {
    fn run(env: ProcessEnv, mutant: Mutant) -> Result {
        let producer = producer(&env)?;
        let fetch = env.log.fetch(&FetchSpec { buffer_bytes: 1 << 20, partitions: 4 })?;
        let group = GroupSpec {
            group: "app".into(),
            instance: env.instance.clone(),
            topics: vec!["in".into()],
            session_timeout: Duration::from_secs(10),
        };
        let member = env.log.join(&group, fetch.wake())?;
        let (fetchers, states) = (BTreeMap::new(), BTreeMap::new());
        let mut copier =
            Copier { env, mutant, member, fetch, producer, owner: String::new(), fetchers, states, batch: 0 };
        loop {
            copier.serve()?;
            let batch = copier.take()?;
            if !batch.is_empty() {
                copier.commit(&batch)?;
            }
            copier.fetch.wait(Duration::from_millis(100));
        }
    }

    fn serve(&mut self) -> Result {
        for event in again_if_refused(|| self.member.poll())? {
            match event {
                GroupEvent::Assigned(at) => {
                    let from = self.facts(&at)?;
                    let start: Vec<_> = at.iter().cloned().zip(from).collect();
                    again_if_refused(|| self.member.accept())?;
                    let fetchers = self.fetch.start(&start)?;
                    self.fetchers.extend(at.iter().cloned().zip(fetchers));
                    for at in at {
                        let state = self.env.storage.open(at.partition, &[])?.backend;
                        self.states.insert(at, state);
                    }
                    if self.mutant == Mutant::AssignmentHidesLoss {
                        self.owner = self.member.membership()?.member_id;
                    }
                }
                GroupEvent::Revoking(at) | GroupEvent::Lost(at) => {
                    self.fetchers.retain(|tp, _| !at.contains(tp));
                    self.member.release(&at)?;
                }
                GroupEvent::Connection(_) => {}
            }
        }
        let now = self.member.membership()?.member_id;
        if self.mutant != Mutant::LateMembership && now != self.owner {
            // Another member id: everything was lost in between, whether it was reported or not.
            self.owner = now;
            self.back()?;
        }
        Ok(())
    }

    fn facts(&mut self, at: &[TopicPartition]) -> Result<Vec<Offset>> {
        let found = again(|| self.member.committed(at)())?;
        Ok(found.into_iter().map(|c| c.map_or(Offset(0), |c| c.offset)).collect())
    }

    /// Everything owned continues from the committed offsets.
    fn back(&mut self) -> Result {
        let held: Vec<_> = self.fetchers.keys().cloned().collect();
        for (at, to) in held.iter().zip(self.facts(&held)?) {
            self.fetchers.get_mut(at).expect("held").seek(to);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Ranges> {
        let mut batch = Ranges::new();
        for (at, fetcher) in &mut self.fetchers {
            if let Some(fetched) = again(|| fetcher.take(4, 1000))? {
                batch.insert(at.clone(), (fetched.next, fetched.records));
            }
        }
        Ok(batch)
    }

    fn commit(&mut self, batch: &Ranges) -> Result {
        self.batch += 1;
        let token = format!("{}/{}/{}", self.env.instance, self.env.incarnation, self.batch);
        while let Err(failure) = self.transaction(batch, &token) {
            match failure.reaction {
                Reaction::RetrySame => {}
                Reaction::Unknown if self.mutant == Mutant::UnknownIsCommitted => {
                    self.producer = producer(&self.env)?;
                    break;
                }
                Reaction::Unknown if self.mutant == Mutant::UnknownIsAborted => {
                    self.producer = producer(&self.env)?;
                }
                Reaction::Unknown | Reaction::RecreateProducer => {
                    self.producer = producer(&self.env)?;
                    let held: Vec<_> = batch.keys().cloned().collect();
                    let found = again(|| self.member.committed(&held)())?;
                    if !found.iter().flatten().any(|c| c.metadata == token) {
                        return self.back();
                    }
                    break;
                }
                Reaction::AbortReplay | Reaction::CloseTasks => {
                    match again(|| self.producer.abort()) {
                        Err(f) if f.reaction == Reaction::RecreateProducer => {
                            self.producer = producer(&self.env)?;
                        }
                        aborted => aborted?,
                    }
                    return self.back();
                }
                Reaction::StopPipeline | Reaction::Exit => return Err(failure.into()),
            }
        }
        for at in batch.keys() {
            self.states[at].apply(&[], Some(token.as_bytes()))?;
        }
        if self.producer.suspect() && self.mutant != Mutant::KeepsSuspect {
            self.producer = producer(&self.env)?;
        }
        Ok(())
    }

    fn transaction(&mut self, batch: &Ranges, token: &str) -> Result<(), Failure> {
        let mut membership = self.member.membership()?;
        if self.mutant != Mutant::LateMembership {
            membership.member_id.clone_from(&self.owner);
        }
        again(|| self.producer.begin())?;
        for (at, (_, records)) in batch {
            self.producer.send("out", Some(at.partition), records)?;
        }
        self.producer.flush()?;
        let committed =
            |next: Offset| Committed { offset: next, leader_epoch: None, metadata: token.to_owned() };
        let offsets: Vec<_> = batch.iter().map(|(at, (next, _))| (at.clone(), committed(*next))).collect();
        if self.mutant == Mutant::OffsetsLater {
            self.producer.commit(&[], &membership)?;
            again(|| self.producer.begin())?;
        }
        self.producer.commit(&offsets, &membership)
    }
}

fn expected(partition: u32) -> Vec<(String, String)> {
    (0..RECORDS).map(|i| ("k".to_owned(), format!("{partition}:{i}"))).collect()
}

/// One world of two processes; returns what the copy is in the end.
fn world(seed: u64, faults: Faults, mutant: Mutant) -> (Outcome, BTreeMap<u32, Vec<(String, String)>>) {
    let make = || Arc::new(Memory::default()) as Arc<dyn Storage>;
    let wanted = std::env::var("SIM_SEED").is_ok_and(|s| s == seed.to_string());
    let mut world = if wanted { World::traced(seed, faults, make) } else { World::new(seed, faults, make) };
    let log = world.log();
    for name in ["in", "out"] {
        let (name, config) = (name.to_owned(), BTreeMap::new());
        log.create(&TopicSpec { name, partitions: PARTITIONS, replication_factor: None, config }).unwrap();
    }
    for i in 0..RECORDS {
        world.at(Duration::from_millis(700 * i as u64), move |log| {
            for p in 0..PARTITIONS {
                tidegate::log::write(log, "in", at(p), &rows(&[("k", &format!("{p}:{i}"))])).unwrap();
            }
        });
    }
    for instance in ["a", "b"] {
        world.process(instance, true, move |env| Copier::run(env, mutant));
    }
    let done = |world: &World| {
        let copied = |p| world.log().end_offset(&tp("out", p)).unwrap() >= Offset(RECORDS as u64);
        world.now() > Duration::from_secs(60)
            && (0..PARTITIONS).all(copied)
            && (0..PARTITIONS).all(|p| all_committed(&world.log(), p).len() >= RECORDS)
    };
    let outcome = world.run(Duration::from_secs(600), done);
    let copy = (0..PARTITIONS).map(|p| (p, all_committed(&log, p))).collect();
    (outcome, copy)
}

fn all_committed(log: &Arc<dyn Log>, partition: u32) -> Vec<(String, String)> {
    let mut reader = log.read(&tp("out", partition), Offset(0)).unwrap();
    let mut all = vec![];
    while let Some(fetched) = reader.next(Duration::ZERO).unwrap() {
        all.extend(texts(&fetched.records));
    }
    all
}

fn check(seed: u64, faults: Faults, mutant: Mutant) -> Result<Outcome, String> {
    let (outcome, copy) = world(seed, faults, mutant);
    for (partition, copied) in copy {
        if copied != expected(partition) {
            return Err(format!("seed {seed}: partition {partition} is {copied:?}"));
        }
    }
    let wrong: Vec<_> = outcome.ended.iter().filter(|e| !is_expected(e.result.as_ref())).collect();
    if !wrong.is_empty() {
        return Err(format!("seed {seed}: {wrong:?}"));
    }
    if outcome.finished { Ok(outcome) } else { Err(format!("seed {seed}: not finished: {outcome:?}")) }
}

/// `SIM_SEED=284 cargo test --release --test it one_seed -- --nocapture` shows every call of a world.
#[test]
fn one_seed() {
    let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()) else { return };
    let (outcome, copy) = world(seed, Faults::all(), Mutant::None);
    println!("{}", outcome.trace.join("\n"));
    println!("{:?}", outcome.ended);
    for (partition, copied) in copy {
        let values: Vec<&str> = copied.iter().map(|(_, v)| v.as_str()).collect();
        println!("{partition}: {}", values.join(" "));
    }
}

/// A process may end by being fenced, or as a consequence of another process's fault; never by a panic.
fn is_expected(result: Result<&(), &String>) -> bool {
    result.is_err_and(|e| {
        e.contains("has taken over the instance")
            || e.contains("took `app-")
            || e.contains("has taken this place")
    })
}

#[test]
fn without_faults_the_copy_is_right_and_two_runs_agree() {
    let (one, copy) = world(1, Faults::none(), Mutant::None);
    assert!(one.finished && one.fired.is_empty(), "{one:?}");
    assert_eq!(copy[&2], expected(2));
    assert_eq!(world(1, Faults::none(), Mutant::None).0.trace_hash, one.trace_hash);
    assert_ne!(world(2, Faults::none(), Mutant::None).0.trace_hash, one.trace_hash);
}

#[test]
fn two_runs_of_a_seed_agree_in_every_call() {
    for seed in 0..30 {
        let one = world(seed, Faults::all(), Mutant::None);
        let two = world(seed, Faults::all(), Mutant::None);
        assert_eq!(one.0.trace_hash, two.0.trace_hash, "seed {seed}");
        assert_eq!((one.0.calls, one.0.time, one.1), (two.0.calls, two.0.time, two.1), "seed {seed}");
    }
}

#[test]
fn the_copy_is_exact_in_every_world_and_every_fault_fires() {
    let (fired, calls) = (Mutex::new(BTreeMap::new()), Mutex::new(0));
    let start = std::time::Instant::now();
    let worlds = std::env::var("SIM_WORLDS").ok().and_then(|s| s.parse().ok()).unwrap_or(400);
    let failed = sweep(0..worlds, 2, |seed| {
        let outcome = check(seed, Faults::all(), Mutant::None)?;
        *calls.lock().unwrap() += outcome.calls;
        for (fault, count) in outcome.fired {
            *fired.lock().unwrap().entry(fault).or_insert(0) += count;
        }
        Ok(())
    });
    println!("{worlds} worlds, {} calls in {:?}: {fired:?}", calls.lock().unwrap(), start.elapsed());
    assert!(failed.is_empty(), "{:#?}", failed.values().take(3).collect::<Vec<_>>());
    let fired: BTreeSet<Fault> = fired.into_inner().unwrap().into_keys().collect();
    let all = [
        Fault::Crash,
        Fault::CrashAfter,
        Fault::CrashCommitLate,
        Fault::DiskLost,
        Fault::DiskBehind,
        Fault::Pause,
        Fault::Duplicate,
        Fault::Transient,
        Fault::EmptyFetch,
        Fault::ShortFetch,
        Fault::Rebalance,
        Fault::Expelled,
        Fault::ExpelledSilently,
        Fault::FencedByItself,
        Fault::ExpelledSoon,
        Fault::AnswerLate,
        Fault::Usurp,
        Fault::AnswerRefused,
        Fault::Disconnected,
        Fault::CommitRefused,
        Fault::CommitLost,
        Fault::CommitAborted,
        Fault::CommitLate,
        Fault::CommitSlow,
        Fault::MarkersApart,
        Fault::ProducerFatal,
    ];
    // A stale commit finds an open transaction only in a process that keeps a suspect producer.
    assert_eq!(fired, all.into_iter().collect());
}

#[test]
fn each_omitted_rule_is_caught() {
    let mutants = [
        Mutant::UnknownIsCommitted,
        Mutant::UnknownIsAborted,
        Mutant::KeepsSuspect,
        Mutant::LateMembership,
        Mutant::AssignmentHidesLoss,
        Mutant::OffsetsLater,
    ];
    for mutant in mutants {
        // A wrong copy counts as caught; a world that does not finish does not.
        let wrong = |seed| check(seed, Faults::all(), mutant).err().filter(|e| e.contains("partition"));
        let caught = (0..2000).find_map(wrong);
        println!("{mutant:?}: {}", caught.as_deref().unwrap_or("not caught"));
        assert!(caught.is_some(), "{mutant:?} was not caught");
    }
    let stale =
        |seed| world(seed, Faults::all(), Mutant::KeepsSuspect).0.fired.contains_key(&Fault::StaleCommit);
    assert!((0..100).any(stale), "the stale commit never hit a transaction");
}

#[test]
fn a_panic_is_reported_and_a_process_that_ends_well_does_not_come_back() {
    let mut world = World::new(3, Faults::none(), || Arc::new(Memory::default()));
    world.process("panics", false, |env| {
        env.clock.sleep(Duration::from_secs(1));
        panic!("on purpose")
    });
    world.process("ends", true, |_| Ok(()));
    world.process("fails", false, |_| Err(Error::Refused("no".into())));
    let outcome = world.run(Duration::from_secs(100), |world| world.ended().len() == 3);
    assert!(outcome.finished, "{outcome:?}");
    let ended: BTreeMap<_, _> = outcome.ended.into_iter().map(|e| (e.name, e.result)).collect();
    assert_eq!(ended["panics/1"], Err("panicked: on purpose".into()));
    assert_eq!(ended["ends/1"], Ok(()));
    assert_eq!(ended["fails/1"], Err("recovery refused: no".into()));
}
