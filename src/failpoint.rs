//! Named places where a test can kill, stop, delay or fail the process. Empty in a normal build.
//!
//! Owns the names and the actions. Knows nothing else. Invariants: without the feature `failpoints` a place compiles to nothing;
//! with it, a place that acts first appends its name to the file `TIDEGATE_FAILPOINT_LOG`, so that a test can prove that it fired.
//!
//! `TIDEGATE_FAILPOINT=name=action@n[,name=action@n]` acts at the n-th passage (from 1). Actions: `kill` (SIGKILL), `stop`
//! (SIGSTOP), `sleep:ms`, `mutant` (the code at the place does something wrong on purpose).

/// Every place, in the order of a batch.
pub const PLACES: [&str; 16] = [
    "after-assignment",
    "during-restore",
    "after-poll",
    "during-compute",
    "after-send",
    "before-flush",
    "after-flush",
    "before-offsets",
    "after-offsets",
    "before-commit",
    "after-commit",
    "before-apply",
    "during-apply",
    "after-apply",
    "during-abort",
    "during-shutdown",
];

/// Passes a named place; with the feature `failpoints`, acts there if it was asked to. `true` = do the wrong thing on purpose.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
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

    static POINTS: LazyLock<Mutex<Vec<Point>>> = LazyLock::new(|| {
        let text = std::env::var("TIDEGATE_FAILPOINT").unwrap_or_default();
        Mutex::new(text.split(',').filter(|t| !t.is_empty()).map(parse).collect())
    });

    fn parse(text: &str) -> Point {
        let (place, rest) = text.split_once('=').unwrap_or((text, "kill"));
        let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
        let known = crate::failpoint::PLACES.contains(&place) || place.starts_with("mutant-");
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
        act(&action);
        false
    }

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
            None if action == "stop" => signal(rustix::process::Signal::STOP),
            Some(("sleep", ms)) => std::thread::sleep(Duration::from_millis(ms.parse().unwrap_or(1000))),
            _ => panic!("TIDEGATE_FAILPOINT: there is no action `{action}`"),
        }
    }
}
