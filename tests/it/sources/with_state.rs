//! Source partitions of a program with state: its group does not assign them. They are taken up where they appear, and
//! their offsets are kept.

use super::{collect, context_on, create, new_log, stop, write};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tidegate::{
    Config, SourceOptions, StreamingContext,
    codec::{AsText, Utf8},
    log::{self, Committed, GroupSpec, Log, embedded::Embedded},
    record::{Incarnation, InstanceId, Text, TopicPartition},
    runtime::{self, Env, Observed, Observer, Shutdown, clock::SystemClock},
    source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
    state::MemoryStorage,
    testing::{Driver, Settings},
};

const HOUR_MS: i64 = 3_600_000;

/// What a group has committed, as seen by a member that is assigned nothing.
fn committed(log: &Arc<dyn Log>, group: &str, at: &[TopicPartition]) -> Vec<Option<Committed>> {
    let spec = GroupSpec {
        group: group.into(),
        instance: "looks".into(),
        topics: vec![],
        session_timeout: Duration::from_secs(10),
    };
    let member = log.join(&spec, Arc::new(|| ())).unwrap();
    let found = member.committed(at)().unwrap();
    member.close(true);
    found
}

fn two_topics(ssc: &StreamingContext) -> tidegate::DStream<(Text, u64)> {
    ssc.text("busy").union(&ssc.text("idle")).map(|line| (line, 1u64))
}

#[test]
fn an_offset_that_does_not_move_is_committed_again_once_a_day() {
    let counts = |ssc: &StreamingContext| {
        two_topics(ssc).running_reduce_by_key(|a, b| a + b).named("counts").to_kafka("out", Utf8, AsText);
    };
    let copy = |ssc: &StreamingContext| two_topics(ssc).to_kafka("out", Utf8, AsText);
    for build in [&counts as &dyn Fn(&StreamingContext), &copy] {
        let settings = Settings { interval_ms: HOUR_MS, input_partitions: 1, ..Settings::default() };
        let mut driver = Driver::with(settings, build);
        let (log, places) = (driver.log(), ["busy", "idle"].map(|topic| TopicPartition::new(topic, 0)));
        // The hours of the batches that committed the two offsets, and the offsets.
        let mut epoch_ms = None;
        let mut of = |driver: &mut Driver<'_>, hour: i64, input: &str| -> [(i64, u64); 2] {
            driver.batch_at(hour * HOUR_MS, input).unwrap();
            let found = committed(&log, "app", &places);
            [0, 1].map(|at| {
                let committed = found[at].as_ref().unwrap();
                let record: serde_json::Value = serde_json::from_str(&committed.metadata).unwrap();
                let time_ms = record["bt"].as_i64().unwrap();
                ((time_ms - *epoch_ms.get_or_insert(time_ms - HOUR_MS)) / HOUR_MS, committed.offset.0)
            })
        };
        assert_eq!(of(&mut driver, 1, "busy 0 | - | a\nidle 0 | - | b\n"), [(1, 1), (1, 1)]);
        for hour in 2..=24 {
            let busy = u64::try_from(hour).unwrap();
            assert_eq!(of(&mut driver, hour, "busy 0 | - | a\n"), [(hour, busy), (1, 1)]);
        }
        assert_eq!(of(&mut driver, 25, ""), [(24, 24), (25, 1)], "without input, too");
        assert_eq!(of(&mut driver, 26, ""), [(24, 24), (25, 1)]);
        driver.restart();
        assert_eq!(of(&mut driver, 47, ""), [(24, 24), (25, 1)], "a restart changes nothing");
        assert_eq!(of(&mut driver, 48, ""), [(48, 24), (25, 1)]);
        assert_eq!(of(&mut driver, 49, "busy 0 | - | a\n"), [(49, 25), (49, 1)]);
        driver.restart();
        driver.set_now_ms(1_000 * HOUR_MS);
        assert_eq!(of(&mut driver, 1_001, ""), [(1_001, 25), (1_001, 1)], "at the start, if it is due");
    }
}

#[test]
fn topics_and_partitions_that_appear_are_taken_up_without_another_assignment() {
    let bootstrap = new_log();
    let (ssc, log) = context_on(&bootstrap, "clicks", |_| {});
    create(&log, "clicks-eu", 1);
    write(&log, "clicks-eu", 0, &[("eu", 1)]);
    let clicks = ssc.source::<Text>(SourceOptions::pattern("clicks-[a-z]*"), Utf8);
    let counts = clicks.map(|line| (line, 1u64)).running_reduce_by_key(|a, b| a + b).named("counts");
    let rows = collect(&counts);
    ssc.start().unwrap();
    let greatest = |key: &str| {
        let rows = rows.get();
        rows.iter().filter(|(k, _)| &**k == key).map(|(_, n)| *n).max().unwrap_or(0)
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| crate::contract::until(what, holds);
    until("the first is counted", &|| greatest("eu") == 1);
    let members = log.members("clicks").unwrap();
    assert_eq!(members.len(), 1);
    create(&log, "clicks-us", 2);
    write(&log, "clicks-us", 1, &[("us", 1), ("us", 1)]);
    until("the new topic is read", &|| greatest("us") == 2);
    let embedded = Embedded::named(bootstrap.strip_prefix("memory:").unwrap());
    embedded.add_partitions("clicks-eu", 12).unwrap();
    (0..12).for_each(|p| write(&log, "clicks-eu", p, &[("eu", 1)]));
    until("each new partition is read", &|| greatest("eu") == 13);
    assert_eq!(log.members("clicks").unwrap(), members, "the same membership");
    stop(&ssc, true);
    let all = (0..12).map(|p| TopicPartition::new("clicks-eu", p)).collect::<Vec<_>>();
    let offsets = committed(&log, "clicks", &all).into_iter().map(|c| c.unwrap().offset.0);
    assert_eq!(offsets.collect::<Vec<_>>(), [&[2][..], &[1; 11]].concat());
    // The next process knows of them, too.
    let (ssc, log) = context_on(&bootstrap, "clicks", |_| {});
    let clicks = ssc.source::<Text>(SourceOptions::pattern("clicks-[a-z]*"), Utf8);
    let counts = clicks.map(|line| (line, 1u64)).running_reduce_by_key(|a, b| a + b).named("counts");
    let rows = collect(&counts);
    ssc.start().unwrap();
    (0..12).for_each(|p| write(&log, "clicks-eu", p, &[("eu", 1)]));
    let most = || rows.get().iter().map(|(_, n)| *n).max().unwrap_or(0);
    until("they are read by the next process", &|| most() == 25);
    stop(&ssc, true);
}

/// Counts how often it is started.
struct Counted(Arc<AtomicU32>);
impl Receiver<u32> for Counted {
    fn receive(&mut self, to: &ReceiverContext<u32>) -> Result<(), ReceiverError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        to.store(1)?;
        crate::contract::until("it is stopped", || to.is_stopped());
        Ok(())
    }
}

/// Counts the looks of a process that stands by, and the batches that are committed.
#[derive(Default)]
struct Watch {
    looks: AtomicU32,
    batches: AtomicU32,
}
impl Observer for Watch {
    fn on(&self, event: &Observed<'_>) {
        match event {
            Observed::StandingBy { .. } => drop(self.looks.fetch_add(1, Ordering::SeqCst)),
            Observed::Batch(report) if report.committed => drop(self.batches.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
    }
}

struct Process {
    starts: Arc<AtomicU32>,
    watch: Arc<Watch>,
    shutdown: Shutdown,
    thread: JoinHandle<tidegate::Result>,
}

fn process(bootstrap: &str, instance: &str) -> Process {
    let mut config = Config::new("app", bootstrap);
    (config.admin_bind, config.leave) = (None, true);
    let (starts, watch, shutdown) =
        (Arc::new(AtomicU32::new(0)), Arc::new(Watch::default()), Shutdown::default());
    let ssc = StreamingContext::new(config.clone());
    let ones = ssc.receiver_stream("ones", Counted(starts.clone()), StorageLevel::Memory);
    ones.map(|n| (0u8, n)).running_reduce_by_key(|a, b| a + b).named("sum").to_kafka("out", AsText, AsText);
    let env = Env {
        log: log::open(bootstrap, &std::collections::BTreeMap::new()).unwrap(),
        storage: Arc::new(MemoryStorage::default()),
        clock: Arc::new(SystemClock::new()),
        shutdown: shutdown.clone(),
        observer: watch.clone(),
        instance: InstanceId(instance.into()),
        incarnation_before: Incarnation(0),
    };
    let plan = ssc.topology();
    let thread = std::thread::spawn(move || runtime::run(config, plan, env));
    Process { starts, watch, shutdown, thread }
}

#[test]
fn a_process_that_stands_by_receives_nothing_into_its_memory() {
    let bootstrap = new_log();
    let first = process(&bootstrap, "first");
    let until = |what: &str, holds: &dyn Fn() -> bool| crate::contract::until(what, holds);
    until("the first commits", &|| first.watch.batches.load(Ordering::SeqCst) > 0);
    let second = process(&bootstrap, "second");
    until("the second has stood by for a while", &|| second.watch.looks.load(Ordering::SeqCst) > 1);
    assert_eq!(second.starts.load(Ordering::SeqCst), 0);
    first.shutdown.request();
    first.thread.join().unwrap().unwrap();
    until("the second has taken over", &|| second.watch.batches.load(Ordering::SeqCst) > 0);
    let starts = [&first.starts, &second.starts].map(|starts| starts.load(Ordering::SeqCst));
    assert_eq!(starts, [1, 1]);
    second.shutdown.request();
    second.thread.join().unwrap().unwrap();
}
