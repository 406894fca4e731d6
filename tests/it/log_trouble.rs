//! A log that fails at one particular moment, and what the engine makes of it.
//!
//! Each test makes one thing go wrong at one call of the log's interface and shows that it did. Knows no seed:
//! random faults are in `tests/sim`.

use crate::driver::{PLAIN, Session, Way};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tidegate::{
    Result, StreamingContext,
    codec::{AsText, Utf8},
    config::Trigger,
    log::{
        self, GroupSpec, Log,
        embedded::Embedded,
        sim::{Call, Fate, Fault, SimLog, Verdict},
    },
    record::{InstanceId, Partition, RawChunkBuilder},
    runtime::{self, Env, Observed, Observer, clock::Clock},
    source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
};

/// What happens at the calls of one process, in real time.
struct Script<F> {
    begun: Instant,
    act: F,
}

impl<F: Fn(Call, &[Fault]) -> Verdict + Send + Sync> Fate for Script<F> {
    fn step(&self, call: Call, offers: &[Fault]) -> Verdict {
        (self.act)(call, offers)
    }
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
    fn block(&self, timeout: Duration) {
        std::thread::sleep(timeout.min(Duration::from_millis(2)));
    }
    fn later(&self, _: Fault, _: Box<dyn FnOnce() -> bool + Send>) {}
    fn kill(&self) {
        panic!("nothing kills");
    }
    fn alive(&self) -> bool {
        true
    }
    fn joined(&self, _: &GroupSpec) {}
}

/// Runs a program to the end of its input on the session's log, with `act` at each of its calls.
fn run_with(
    session: &mut Session,
    build: &dyn Fn(&StreamingContext),
    act: impl Fn(Call, &[Fault]) -> Verdict + Send + Sync + 'static,
) -> Result {
    let env = session.env();
    run_in(session, env, build, act)
}

fn run_in(
    session: &Session,
    mut env: Env,
    build: &dyn Fn(&StreamingContext),
    act: impl Fn(Call, &[Fault]) -> Verdict + Send + Sync + 'static,
) -> Result {
    let ssc = StreamingContext::new(session.config.clone());
    build(&ssc);
    env.log = Arc::new(SimLog::new(inner(session), Arc::new(Script { begun: Instant::now(), act })));
    runtime::run(session.config.clone(), ssc.topology(), env)
}

fn inner(session: &Session) -> Arc<Embedded> {
    Embedded::named(session.config.bootstrap.strip_prefix("memory:").unwrap())
}

/// What was written since the last call, sorted.
fn written(session: &mut Session) -> Vec<String> {
    let mut rows = session.new_rows("out");
    rows.sort();
    rows
}

fn counts(ssc: &StreamingContext) {
    ssc.text("lines").map(|l| (l, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("out", Utf8, AsText);
}

/// Writes a row that did not come from tidegate.
fn write_foreign(log: &dyn Log, topic: &str, key: &str) {
    let mut row = RawChunkBuilder::default();
    let value = |out: &mut Vec<u8>| {
        out.extend(b"not ours");
        Ok::<_, ()>(true)
    };
    row.push_with(-1, Some(key.as_bytes()), value).unwrap();
    log::write(log, topic, Some(Partition(0)), &row.build()).unwrap();
}

/// After a commit in doubt the process reads whether anyone else has started: what it finds there may be unusable.
#[test]
fn foreign_rows_in_the_meta_topic_stop_a_process_that_reads_them() {
    let mut session = Session::new(PLAIN);
    assert_eq!(session.step(&counts, "lines 0 | - | a\n"), ["out | a | 1"]);
    session.feed("lines 1 | - | a\n");
    let (log, lost) = (inner(&session), Arc::new(AtomicU32::new(0)));
    let counted = lost.clone();
    let result = run_with(&mut session, &counts, move |call, offers| {
        // The first commit of a process is the claim of its name.
        let commit = call == Call::Commit && offers.contains(&Fault::CommitLost);
        if !commit || counted.fetch_add(1, Ordering::Relaxed) != 1 {
            return Verdict::Go;
        }
        write_foreign(log.as_ref(), "app-meta", "instance/test");
        Verdict::Fault(Fault::CommitLost)
    });
    assert_eq!(lost.load(Ordering::Relaxed), 2);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("the meta topic's row `instance/test` is not ours"), "{error}");
}

#[test]
fn a_start_asks_again_what_the_log_does_not_answer() {
    for wanted in [Call::Describe, Call::Create] {
        let mut session = Session::new(PLAIN);
        session.feed("lines 0 | - | a\n");
        let asked = Arc::new(AtomicU32::new(0));
        let counted = asked.clone();
        let result = run_with(&mut session, &counts, move |call, _| {
            // The first description is the connection.
            let is_unanswered = call == wanted && (1..4).contains(&counted.fetch_add(1, Ordering::Relaxed));
            if is_unanswered { Verdict::Fault(Fault::Transient) } else { Verdict::Go }
        });
        result.unwrap();
        assert!(asked.load(Ordering::Relaxed) > 4, "{wanted:?}");
        assert_eq!(written(&mut session), ["out | a | 1"]);
    }
}

/// Remembers for which reasons the log could not be used.
#[derive(Default)]
struct Connections(Mutex<Vec<Option<String>>>);

impl Observer for Connections {
    fn on(&self, event: &Observed<'_>) {
        if let Observed::Connection(why) = event {
            self.0.lock().unwrap().push(why.map(str::to_owned));
        }
    }
}

/// A clock that moves only while someone sleeps.
#[derive(Default)]
struct SleepClock(AtomicU64);

impl Clock for SleepClock {
    fn now_ms(&self) -> i64 {
        1_000 + i64::try_from(self.0.load(Ordering::Relaxed)).unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn sleep(&self, pause: Duration) {
        self.0.fetch_add(u64::try_from(pause.as_millis()).unwrap(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The log answers, and never gives a new producer: a process that cannot commit for so long is not ready.
#[test]
fn a_producer_that_cannot_be_replaced_for_long_is_told_until_it_is() {
    for (refusals, is_told) in [(4, false), (20, true)] {
        let mut session = Session::new(PLAIN);
        session.step(&counts, "lines 0 | - | a\n");
        session.feed("lines 0 | - | b\n");
        let (mut env, told) = (session.env(), Arc::new(Connections::default()));
        (env.observer, env.clock) = (told.clone(), Arc::new(SleepClock::default()));
        let (has_failed, asked) = (AtomicBool::new(false), Arc::new(AtomicU32::new(0)));
        let counted = asked.clone();
        run_in(&session, env, &counts, move |call, _| match call {
            Call::Flush if !has_failed.swap(true, Ordering::Relaxed) => Verdict::Fault(Fault::ProducerFatal),
            Call::Init
                if has_failed.load(Ordering::Relaxed)
                    && counted.fetch_add(1, Ordering::Relaxed) < refusals =>
            {
                Verdict::Fault(Fault::ProducerFatal)
            }
            _ => Verdict::Go,
        })
        .unwrap();
        assert!(asked.load(Ordering::Relaxed) > refusals);
        let told = told.0.lock().unwrap();
        let reason = told.iter().flatten().next();
        assert_eq!(reason.is_some_and(|why| why.contains("the producer is fatal")), is_told, "{told:?}");
        assert!(told.last().is_none_or(Option::is_none), "{told:?}");
        assert_eq!(written(&mut session), ["out | b | 1"]);
    }
}

fn copy(ssc: &StreamingContext) {
    ssc.text("lines").map(|l| (l, 1u64)).to_kafka("out", Utf8, AsText);
}

/// Each way to lose the place in the group: everything is recovered, whenever it is found out.
#[test]
fn a_place_whose_answers_are_refused_is_given_up_and_everything_is_recovered() {
    for build in [copy as fn(&StreamingContext), counts] {
        for (at, nth) in (0..10).map(|nth| (Call::Poll, nth)).chain([(Call::Accept, 0)]) {
            let mut session = Session::new(PLAIN);
            session.step(&build, "lines 0 | - | a\n");
            session.feed("lines 0 | - | b\nlines 1 | - | c\nlines 2 | - | d\n");
            let calls = Arc::new(AtomicU32::new(0));
            let counted = calls.clone();
            let result = run_with(&mut session, &build, move |call, offers| {
                let is_one = call == at && offers.contains(&Fault::AnswerRefused);
                if !is_one || counted.fetch_add(1, Ordering::Relaxed) != nth {
                    return Verdict::Go;
                }
                Verdict::Fault(Fault::AnswerRefused)
            });
            result.unwrap_or_else(|e| panic!("{at:?} {nth}: {e}"));
            assert_eq!(written(&mut session), ["out | b | 1", "out | c | 1", "out | d | 1"], "{at:?} {nth}");
            assert!(nth > 3 || calls.load(Ordering::Relaxed) > nth, "only {calls:?} calls");
        }
    }
}

#[test]
fn input_is_read_again_after_a_refused_commit() {
    // The first commits of a process are the claim of its name, and that of the state.
    for (build, claims) in [(copy as fn(&StreamingContext), 1), (counts, 2)] {
        let mut session = Session::new(PLAIN);
        session.step(&build, "lines 0 | - | a\n");
        session.feed("lines 0 | - | b\nlines 1 | - | c\nlines 2 | - | d\n");
        let commits = Arc::new(AtomicU32::new(0));
        let counted = commits.clone();
        let result = run_with(&mut session, &build, move |call, _| match call {
            Call::AddOffsets if counted.fetch_add(1, Ordering::Relaxed) == claims => {
                Verdict::Fault(Fault::CommitRefused)
            }
            _ => Verdict::Go,
        });
        result.unwrap();
        assert!(commits.load(Ordering::Relaxed) > claims + 1);
        assert_eq!(written(&mut session), ["out | b | 1", "out | c | 1", "out | d | 1"]);
    }
}

#[test]
fn a_process_asked_to_end_during_a_restore_ends_cleanly_and_leaves_the_group_if_it_should() {
    let mut session = Session::new(Way { lose_state: true, ..PLAIN });
    assert_eq!(session.step(&counts, "lines 0 | - | a\nlines 1 | - | a\n"), ["out | a | 2"]);
    session.config.leave = true;
    session.config.session_timeout = Duration::from_secs(300);
    let env = session.env();
    let (shutdown, starts) = (env.shutdown.clone(), Arc::new(AtomicU32::new(0)));
    let (asked, counted) = (shutdown.clone(), starts.clone());
    let result = run_in(&session, env, &counts, move |call, _| {
        match call {
            Call::Committed => asked.request(), // requested right before the databases are opened
            Call::Start => drop(counted.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        Verdict::Go
    });
    result.unwrap();
    assert!(shutdown.is_requested() && starts.load(Ordering::Relaxed) == 0, "it ended during the restore");
    // Another process need not wait until the session of the first one has ended.
    session.feed("lines 2 | - | a\n");
    let mut env = session.env();
    env.instance = InstanceId("other".into());
    let (patience, waits) = (env.shutdown.clone(), AtomicU32::new(0));
    let result = run_in(&session, env, &counts, move |call, _| {
        if call == Call::Wait && waits.fetch_add(1, Ordering::Relaxed) > 2_000 {
            patience.request();
        }
        Verdict::Go
    });
    result.unwrap();
    assert_eq!(written(&mut session), ["out | a | 3"]);
}

/// Stores three rows, then requests the end.
struct Three(runtime::Shutdown);
impl Receiver<u32> for Three {
    fn receive(&mut self, to: &ReceiverContext<u32>) -> std::result::Result<(), ReceiverError> {
        to.store_all(vec![1, 2, 3])?;
        self.0.request_drain();
        while !to.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[test]
fn a_graceful_stop_outlasts_a_log_that_does_not_answer_for_a_while() {
    let mut session = Session::new(PLAIN);
    session.config.trigger = Trigger::AsSoonAsPossible;
    let env = session.env();
    let (shutdown, silent) = (env.shutdown.clone(), Arc::new(AtomicU32::new(0)));
    let (draining, counted) = (shutdown.clone(), silent.clone());
    let build = move |ssc: &StreamingContext| {
        let rows = ssc.receiver_stream("three", Three(shutdown.clone()), StorageLevel::Log);
        rows.map(|n| (n, n)).to_kafka("out", AsText, AsText);
    };
    let result = run_in(&session, env, &build, move |call, offers| {
        let asked = call == Call::Offsets && draining.is_drain_requested();
        if !asked || counted.fetch_add(1, Ordering::Relaxed) > 2 {
            return Verdict::Go;
        }
        assert!(offers.contains(&Fault::Transient));
        Verdict::Fault(Fault::Transient)
    });
    result.unwrap();
    assert!(silent.load(Ordering::Relaxed) > 3, "the log was silent more than three times: {silent:?}");
    assert_eq!(written(&mut session), ["out | 1 | 1", "out | 2 | 2", "out | 3 | 3"]);
}

#[test]
fn existing_internal_topics_are_not_created_again() {
    let mut session = Session::new(PLAIN);
    let makes = |session: &mut Session| {
        let made = Arc::new(AtomicBool::new(false));
        let seen = made.clone();
        let result = run_with(session, &counts, move |call, _| {
            seen.fetch_or(call == Call::Create, Ordering::Relaxed);
            Verdict::Go
        });
        result.unwrap();
        made.load(Ordering::Relaxed)
    };
    session.feed("lines 0 | - | a\n");
    assert!(makes(&mut session));
    session.feed("lines 1 | - | a\n");
    assert!(!makes(&mut session), "a user who may not create topics can continue");
    assert_eq!(written(&mut session), ["out | a | 1", "out | a | 2"]);
}
