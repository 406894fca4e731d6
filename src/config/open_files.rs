//! How many files the process may open.
//!
//! Owns the limit. Does not know who opens them. Invariants: the limit is only raised, and never above what the system allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for any number of stores; a limit without bound makes programs slow that go through all numbers of files.
const ENOUGH: u64 = 65_536;

/// Raises the limit of open files as far as the process may, as Java's and Go's runtimes do: shells begin with 1,024, which stores, segments
/// and connections of a program with many partitions exceed.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let Some(current) = limit.current.filter(|current| *current < allowed) else { return };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..limit }) {
        Ok(()) => tracing::debug!("the process may open {allowed} files (before: {current})"),
        Err(e) => tracing::warn!("the process may open only {current} files: more are not allowed: {e}"),
    }
}
