//! The two clocks of a log that is its own broker: one to stamp records, one to measure timeouts.
//!
//! Injected, so that a simulator can give virtual time. Invariant: the second never goes back.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where a log in this process takes its time from.
pub struct Time {
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
    passes: bool,
}

impl Time {
    /// Time that is moved from outside, so no call waits for it: a call that would wait returns at once. `now_ms`:
    /// milliseconds since the epoch, for records without a timestamp; `elapsed`: never goes back, for timeouts.
    pub fn new(
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Time { now_ms: Box::new(now_ms), elapsed: Box::new(elapsed), passes: false }
    }

    /// The clocks of the operating system.
    #[must_use]
    pub fn system() -> Self {
        let start = Instant::now();
        let now_ms = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        };
        Time { passes: true, ..Time::new(now_ms, move || start.elapsed()) }
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.now_ms)()
    }

    /// Whether time passes while a call waits.
    pub(super) fn passes(&self) -> bool {
        self.passes
    }

    pub(super) fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}
