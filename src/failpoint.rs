//! Named places where a test can kill, stop, delay or fail the process. They do nothing in a normal build.
//!
//! Owns the names and the actions. Knows nothing else but failures of the log. Invariants: without the feature
//! `failpoints` a place compiles to nothing; with it, a place that acts first appends its name to the file
//! `TIDEGATE_FAILPOINT_LOG`, so that a test can prove that it fired.
//!
//! `TIDEGATE_FAILPOINT=name=action@n[,name=action@n]` acts at the n-th passage (counted from 1). Actions: `kill`
//! (SIGKILL), `kill-in:ms` (SIGKILL a little later, while the code continues), `stop` (SIGSTOP), `sleep:ms`, `hold`
//! (this thread waits until a file exists that has the log's name plus `.go`), `fail` (the call at the place fails,
//! once), `mutant` (the code at the place does something wrong on purpose, each time).

use crate::error::{Failure, Reaction, Stage};

/// Every place, in the order of a batch; then those that make a call fail.
pub const PLACES: [&str; 27] = [
    "after-assignment",
    "during-restore",
    "after-poll",
    "during-compute",
    "after-send",
    "after-prepare",
    "before-flush",
    "after-flush",
    "before-offsets",
    "after-offsets",
    "after-commit",
    "before-apply",
    "during-apply",
    "before-finish",
    "during-finish",
    "after-apply",
    "during-abort",
    "before-replace",
    "during-settle",
    "after-drop",
    "during-shutdown",
    // In the writer of an outbox, around its commit.
    "before-drained",
    "after-drained",
    // Between a user function and its acknowledgement.
    "before-acknowledged",
    // The batch is given up after its acknowledgements.
    "fail-flush",
    // The request to end the transaction is not sent, or its answer is lost: the outcome is unknown.
    "lose-request",
    "lose-answer",
];

/// Places in sources, outside a batch: around the commit of a listing of files.
pub const SOURCE_PLACES: [&str; 2] = ["before-listing", "after-listing"];

/// Places around the group: after the look whether another process holds the state, before partitions are given back,
/// and after the answer to a rebalance.
pub const GROUP_PLACES: [&str; 3] = ["before-join", "before-release", "after-answer"];

/// Places between two parts of a batch: after the first of them is committed.
pub const PART_PLACES: [&str; 1] = ["between-parts"];

/// Places in queries about topics: the broker does not show their settings.
pub const QUERY_PLACES: [&str; 1] = ["hide-settings"];

/// Places within a call of the client library: it does not return.
pub const CALL_PLACES: [&str; 1] = ["during-offsets"];

/// Ends a transaction by `call`. A test may lose the request or the answer: then the outcome is in doubt.
pub(crate) fn around_commit(call: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let lost = |what: &str| Err(Failure::new(Stage::Commit, Reaction::Unknown, what));
    let ended = if passes("lose-request") { lost("a test lost the request") } else { call() };
    let _ = passes("after-commit");
    if ended.is_ok() && passes("lose-answer") { lost("a test lost the answer") } else { ended }
}

/// Passes a named place; with the feature `failpoints`, acts there if it was asked to. `true` = fail here, or do the
/// wrong thing on purpose.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub fn passes(_: &'static str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
pub use active::passes;

#[cfg(feature = "failpoints")]
mod active {
    use std::{
        io::Write,
        sync::{LazyLock, Mutex, PoisonError},
        time::Duration,
    };

    struct Point {
        place: String,
        action: String,
        passages_left: u64,
    }

    #[expect(clippy::disallowed_methods, reason = "a test sets it for a process of its own")]
    static POINTS: LazyLock<Mutex<Vec<Point>>> = LazyLock::new(|| {
        let text = std::env::var("TIDEGATE_FAILPOINT").unwrap_or_default();
        Mutex::new(text.split(',').filter(|t| !t.is_empty()).map(parse).collect())
    });

    fn parse(text: &str) -> Point {
        let (place, rest) = text.split_once('=').unwrap_or((text, "kill"));
        let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
        let known = crate::failpoint::PLACES.contains(&place)
            || crate::failpoint::SOURCE_PLACES.contains(&place)
            || crate::failpoint::GROUP_PLACES.contains(&place)
            || crate::failpoint::PART_PLACES.contains(&place)
            || crate::failpoint::QUERY_PLACES.contains(&place)
            || crate::failpoint::CALL_PLACES.contains(&place)
            || place.starts_with("mutant-");
        assert!(
            known,
            "TIDEGATE_FAILPOINT: there is no place `{place}`; there are {:?}",
            crate::failpoint::PLACES
        );
        let passages_left =
            at.parse().unwrap_or_else(|_| panic!("TIDEGATE_FAILPOINT: `{at}` is not a number"));
        Point { place: place.into(), action: action.into(), passages_left }
    }

    /// See the module.
    #[must_use]
    pub fn passes(place: &'static str) -> bool {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(point) = points.iter_mut().find(|p| p.place == place && p.passages_left > 0) else {
            return false;
        };
        if point.action == "mutant" {
            report(place);
            return true;
        }
        point.passages_left -= 1;
        if point.passages_left > 0 {
            return false;
        }
        let action = point.action.clone();
        drop(points);
        report(place);
        if action == "fail" {
            return true;
        }
        act(&action);
        false
    }

    #[expect(clippy::disallowed_methods, reason = "a test sets it for a process of its own")]
    fn report(place: &str) {
        if let Some(path) = std::env::var_os("TIDEGATE_FAILPOINT_LOG") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            if let Ok(mut file) = file {
                let _ = writeln!(file, "{place}");
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test asks for the delay")]
    fn act(action: &str) {
        let signal = |signal| {
            rustix::process::kill_process(rustix::process::getpid(), signal)
                .expect("a process may signal itself");
        };
        match action.split_once(':') {
            None if action == "kill" => {
                signal(rustix::process::Signal::KILL);
                std::thread::sleep(Duration::from_secs(60));
            }
            None if action == "stop" => {
                signal(rustix::process::Signal::STOP);
                // The signal stops this thread a moment later than the call returns: not beyond this place.
                std::thread::sleep(Duration::from_millis(200));
            }
            None if action == "hold" => {
                let mut go = std::env::var_os("TIDEGATE_FAILPOINT_LOG").unwrap_or_default();
                go.push(".go");
                while !std::path::Path::new(&go).exists() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Some(("sleep", ms)) => std::thread::sleep(Duration::from_millis(ms.parse().unwrap_or(1000))),
            Some(("kill-in", ms)) => {
                let pause = Duration::from_millis(ms.parse().unwrap_or(1));
                std::thread::spawn(move || {
                    std::thread::sleep(pause);
                    signal(rustix::process::Signal::KILL);
                });
            }
            _ => panic!("TIDEGATE_FAILPOINT: there is no action `{action}`"),
        }
    }
}
