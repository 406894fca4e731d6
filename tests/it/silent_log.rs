//! A log that does not answer for a while, or never: whatever is asked, the loop turns meanwhile and sees a request to
//! stop.
//!
//! Each test holds calls of the log's interface up, one after the other, and counts them. Knows no broker: what one
//! does that stands still is in `tests/broker`.

use crate::{
    contract::until,
    driver::{Session, Way},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tidegate::{
    StreamingContext,
    codec::{AsText, Utf8},
    log::{
        GroupSpec,
        embedded::Embedded,
        sim::{Call, Fate, Fault, SimLog, Verdict},
    },
    runtime::{self, Env, Observed, Observer, clock::SystemClock},
};

/// The calls that are answered by a broker; the others are served by the client, in this process.
const ASKS: [Call; 11] = [
    Call::Describe,
    Call::Create,
    Call::Offsets,
    Call::Read,
    Call::Committed,
    Call::Init,
    Call::Send,
    Call::Flush,
    Call::AddOffsets,
    Call::Commit,
    Call::Abort,
];
/// How often the loop must be seen to turn before a call is answered.
const TURNS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds calls up, and observes the loop.
#[derive(Default)]
struct Silence {
    /// How often the loop has turned.
    turns: AtomicU64,
    standing_by: AtomicU64,
    /// Calls so far.
    asked: AtomicU64,
    kinds: Mutex<BTreeSet<Call>>,
    /// The loop has ended: nobody turns any more.
    has_ended: AtomicBool,
    /// Calls during which the loop did not turn.
    stuck: Mutex<Vec<Call>>,
    /// This call is never answered, as long as the loop runs; otherwise each is, once the loop has turned.
    nth: Option<u64>,
    is_held: AtomicBool,
}

impl Observer for Silence {
    fn on(&self, event: &Observed<'_>) {
        self.turns.fetch_add(u64::from(matches!(event, Observed::Alive)), Ordering::SeqCst);
        let stands_by = matches!(event, Observed::StandingBy { .. });
        self.standing_by.fetch_add(u64::from(stands_by), Ordering::SeqCst);
    }
}

/// What the process is to the log.
struct Asked(Arc<Silence>, Instant);

impl Fate for Asked {
    fn step(&self, call: Call, _: &[Fault]) -> Verdict {
        let Asked(silence, _) = self;
        if !ASKS.contains(&call) {
            return Verdict::Go;
        }
        silence.kinds.lock().unwrap().insert(call);
        let (number, before) =
            (silence.asked.fetch_add(1, Ordering::SeqCst), silence.turns.load(Ordering::SeqCst));
        if silence.nth.is_some_and(|nth| nth != number) || !silence.stuck.lock().unwrap().is_empty() {
            return Verdict::Go;
        }
        silence.is_held.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let is_answered = || silence.nth.is_none() && silence.turns.load(Ordering::SeqCst) >= before + TURNS;
        while !is_answered() && !silence.has_ended.load(Ordering::SeqCst) {
            if began.elapsed() > PATIENCE {
                silence.stuck.lock().unwrap().push(call);
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Verdict::Go
    }
    fn now(&self) -> Duration {
        self.1.elapsed()
    }
    fn block(&self, timeout: Duration) {
        thread::sleep(timeout.min(Duration::from_millis(2)));
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

fn session() -> Session {
    let mut session = Session::new(Way { threads: 2, state_partitions: 2, lose_state: true });
    session.config.stop_timeout = Duration::from_millis(100);
    session
}

fn inner(session: &Session) -> Arc<Embedded> {
    Embedded::named(session.config.bootstrap.strip_prefix("memory:").unwrap())
}

/// Starts the program on the session's log.
fn start(
    session: &mut Session,
    build: &dyn Fn(&StreamingContext),
    silence: &Arc<Silence>,
) -> (runtime::Shutdown, thread::JoinHandle<tidegate::Result>) {
    let ssc = StreamingContext::new(session.config.clone());
    build(&ssc);
    let asked = Asked(silence.clone(), Instant::now());
    let env = Env {
        log: Arc::new(SimLog::new(inner(session), Arc::new(asked))),
        observer: silence.clone(),
        clock: Arc::new(SystemClock::new()),
        ..session.env()
    };
    let (shutdown, config, silence) = (env.shutdown.clone(), session.config.clone(), silence.clone());
    let run = move || {
        let result = runtime::run(config, ssc.topology(), env);
        silence.has_ended.store(true, Ordering::SeqCst);
        result
    };
    (shutdown, thread::spawn(run))
}

fn counts(ssc: &StreamingContext) {
    ssc.text("lines").map(|l| (l, 1u64)).running_reduce_by_key(|a, b| a + b).to_kafka("out", Utf8, AsText);
}

fn copy(ssc: &StreamingContext) {
    ssc.text("lines").map(|l| (l, 1u64)).to_kafka("out", Utf8, AsText);
}

#[test]
fn the_loop_turns_while_any_call_of_the_log_is_waited_for() {
    for build in [counts as fn(&StreamingContext), copy] {
        let mut session = session();
        let mut kinds = BTreeSet::new();
        // The second life recovers what the first has left.
        for line in ["a", "b"] {
            session.feed(&format!("lines 0 | - | {line}\n"));
            let silence = Arc::new(Silence::default());
            let (_, run) = start(&mut session, &build, &silence);
            run.join().unwrap().unwrap();
            assert_eq!(*silence.stuck.lock().unwrap(), [], "the loop did not turn");
            kinds.append(&mut silence.kinds.lock().unwrap());
        }
        assert_eq!(session.new_rows("out").len(), 2);
        let all: BTreeSet<Call> = ASKS.into_iter().filter(|call| *call != Call::Abort).collect();
        assert_eq!(kinds, all, "each of them was held up");
    }
}

#[test]
fn the_loop_turns_while_it_looks_at_a_group_that_another_process_is_in() {
    let mut session = session();
    session.feed("lines 0 | - | a\n");
    let other = GroupSpec {
        group: session.config.application_id.clone(),
        instance: "other".into(),
        topics: vec!["lines".into()],
        session_timeout: Duration::from_secs(300),
    };
    let _other = session.log.join(&other, std::sync::Arc::new(|| {})).unwrap();
    let silence = Arc::new(Silence::default());
    let (shutdown, run) = start(&mut session, &counts, &silence);
    until("it has stood by for a while", || silence.standing_by.load(Ordering::SeqCst) == 3);
    shutdown.request();
    run.join().unwrap().unwrap();
    assert_eq!(*silence.stuck.lock().unwrap(), [], "the loop did not turn");
}

#[test]
fn a_stop_does_not_wait_for_a_call_of_the_log_that_never_returns() {
    let greatest = |rows: &[u64]| rows.iter().copied().max().unwrap();
    let sum = |rows: &[u64]| rows.iter().sum();
    for (build, total) in [(counts as fn(&StreamingContext), greatest as fn(&[u64]) -> u64), (copy, sum)] {
        let mut before = session();
        before.feed("lines 0 | - | a\n");
        before.run(&build).unwrap();
        let mut nth = 0;
        loop {
            before.feed("lines 1 | - | b\n");
            let silence = Arc::new(Silence { nth: Some(nth), ..Silence::default() });
            let (shutdown, run) = start(&mut before, &build, &silence);
            until("a call is held up, or the program ends", || {
                silence.is_held.load(Ordering::SeqCst) || run.is_finished()
            });
            shutdown.request();
            run.join().unwrap().unwrap_or_else(|e| panic!("call {nth}: {e}"));
            assert_eq!(*silence.stuck.lock().unwrap(), [], "call {nth} was waited for");
            if !silence.is_held.load(Ordering::SeqCst) {
                break; // it makes no more calls
            }
            nth += 1;
        }
        assert!(nth > 15, "only {nth} calls were held up");
        // What was not committed is processed by the next start.
        before.run(&build).unwrap();
        let rows = before.new_rows("out");
        let of_b: Vec<u64> =
            rows.iter().filter_map(|row| row.strip_prefix("out | b | ")?.parse().ok()).collect();
        assert_eq!(total(&of_b), nth + 1, "{rows:?}");
    }
}
