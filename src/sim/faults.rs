//! How often each fault may happen, and how often it did.
//!
//! Knows no scheduler. Invariant: a world without faults is one whose rates are all zero.

use super::random::Random;
use crate::log::sim::Fault;
use std::{collections::BTreeMap, time::Duration};

/// The faults of a world: the rate of each is how many times in a million opportunities it happens.
#[derive(Clone, Debug)]
pub struct Faults {
    rates: BTreeMap<Fault, u64>,
    /// Each world omits some kinds and makes others frequent, as its seed decides.
    pub swarm: bool,
    /// From this time on no faults happen any more, so that the world can come to its end.
    pub calm_after: Duration,
}

/// All kinds, with rates that make several of each happen in a few hundred calls.
const ALL: [(Fault, u64); 27] = [
    (Fault::Crash, 5_000),
    (Fault::CrashAfter, 20_000),
    (Fault::CrashCommitLate, 10_000),
    (Fault::DiskLost, 250_000),
    (Fault::DiskBehind, 250_000),
    (Fault::Pause, 2_000),
    (Fault::Duplicate, 1_000),
    (Fault::Transient, 10_000),
    (Fault::EmptyFetch, 50_000),
    (Fault::ShortFetch, 100_000),
    (Fault::Rebalance, 10_000),
    (Fault::Expelled, 5_000),
    (Fault::ExpelledSilently, 5_000),
    (Fault::FencedByItself, 5_000),
    (Fault::ExpelledSoon, 50_000),
    (Fault::AnswerLate, 100_000),
    (Fault::Usurp, 50_000),
    (Fault::AnswerRefused, 5_000),
    (Fault::Disconnected, 5_000),
    (Fault::CommitRefused, 20_000),
    (Fault::CommitLost, 20_000),
    (Fault::CommitAborted, 20_000),
    (Fault::CommitLate, 20_000),
    (Fault::CommitSlow, 20_000),
    (Fault::MarkersApart, 50_000),
    (Fault::StaleCommit, 1_000_000),
    (Fault::ProducerFatal, 5_000),
];

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Faults { rates: BTreeMap::new(), swarm: false, calm_after: Duration::ZERO }
    }

    /// All faults, for the first minute.
    #[must_use]
    pub fn all() -> Self {
        Faults { rates: ALL.into(), swarm: true, calm_after: Duration::from_secs(60) }
    }

    /// Sets how many times in a million opportunities a fault happens.
    #[must_use]
    pub fn with(mut self, fault: Fault, times_in_a_million: u64) -> Self {
        self.rates.insert(fault, times_in_a_million);
        self
    }

    /// The faults that can happen.
    pub fn kinds(&self) -> impl Iterator<Item = Fault> {
        self.rates.iter().filter(|(_, rate)| **rate > 0).map(|(fault, _)| *fault)
    }

    /// The rates of one world.
    pub(super) fn draw(mut self, random: &mut Random) -> Self {
        if self.swarm {
            for rate in self.rates.values_mut() {
                *rate = match random.below(4) {
                    0 => 0,
                    1 => *rate * 4,
                    _ => *rate,
                };
            }
        }
        self
    }

    pub(super) fn rate(&self, fault: Fault) -> u64 {
        self.rates.get(&fault).copied().unwrap_or(0)
    }

    /// Which of the possible faults happens, if any.
    pub(super) fn choose(&self, random: &mut Random, of: impl Iterator<Item = Fault>) -> Option<Fault> {
        let mut draw = random.below(1_000_000);
        for fault in of {
            let rate = self.rate(fault);
            if draw < rate {
                return Some(fault);
            }
            draw -= rate;
        }
        None
    }
}
