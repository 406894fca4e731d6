//! A memory bound shared by threads: a thread that would exceed it waits until something is returned.
//!
//! Knows no rows. Invariants: at most the bound is handed out, except for a single share that is larger than the
//! whole bound, which is handed out alone; a share is returned when it is dropped.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// The bound; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: usize,
    in_use: Mutex<usize>,
    returned: Condvar,
}

/// A part of a budget.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A bound of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Budget(Arc::new(Inner { bytes_max, in_use: Mutex::new(0), returned: Condvar::new() }))
    }

    /// Takes a share, waiting at most `timeout`; `None` = there was no room.
    #[must_use]
    pub fn take(&self, bytes: usize, timeout: Duration) -> Option<Share> {
        let Inner { bytes_max, in_use, returned } = &*self.0;
        let in_use = in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |in_use: &mut usize| *in_use > 0 && in_use.saturating_add(bytes) > *bytes_max;
        let waited = returned.wait_timeout_while(in_use, timeout, is_full);
        let (mut in_use, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *in_use += bytes;
        Some(Share { budget: self.clone(), bytes })
    }

    /// Bytes handed out.
    #[must_use]
    pub fn in_use(&self) -> usize {
        *self.0.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let inner = &self.budget.0;
        *inner.in_use.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        inner.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn the_bound_holds_and_a_share_larger_than_it_is_handed_out_alone() {
        let budget = Budget::new(100);
        let small = budget.take(60, NOW).unwrap();
        assert!(budget.take(41, NOW).is_none());
        let other = budget.take(40, NOW).unwrap();
        assert_eq!(budget.in_use(), 100);
        drop((small, other));
        let large = budget.take(1_000, NOW).unwrap();
        assert!(budget.take(0, NOW).is_none());
        drop(large);
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn a_waiting_thread_continues_when_a_share_is_returned() {
        let budget = Budget::new(10);
        let held = budget.take(10, NOW).unwrap();
        let waiting = std::thread::spawn(move || budget.take(10, Duration::from_secs(60)).is_some());
        drop(held);
        assert!(waiting.join().unwrap());
    }
}
