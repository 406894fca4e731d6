//! How often what goes wrong, and how often it did.
//!
//! Knows no scheduler. Invariant: a world without faults is one whose rates are all zero.

use super::random::Random;
use crate::log::sim::Fault;
use std::{collections::BTreeMap, time::Duration};

/// The faults of a world: for each how many times of a million offers it happens.
#[derive(Clone, Debug)]
pub struct Faults {
    rates: BTreeMap<Fault, u64>,
    /// Each world leaves some kinds out and makes others frequent, as its seed says.
    pub swarm: bool,
    /// From this time on nothing goes wrong any more, so that the world can come to its end.
    pub calm_after: Duration,
}

/// All kinds with rates that let several of each happen in some hundred calls.
const ALL: [(Fault, u64); 24] = [
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
    (Fault::Usurp, 50_000),
    (Fault::SeekRefused, 5_000),
    (Fault::Disconnected, 5_000),
    (Fault::CommitRefused, 20_000),
    (Fault::CommitLost, 20_000),
    (Fault::CommitAborted, 20_000),
    (Fault::CommitLate, 20_000),
    (Fault::CommitSlow, 20_000),
    (Fault::StaleCommit, 1_000_000),
    (Fault::ProducerFatal, 5_000),
];

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Faults { rates: BTreeMap::new(), swarm: false, calm_after: Duration::ZERO }
    }

    /// Everything can go wrong, for the first minute.
    #[must_use]
    pub fn all() -> Self {
        Faults { rates: ALL.into(), swarm: true, calm_after: Duration::from_secs(60) }
    }

    /// Sets how many times of a million offers something goes wrong.
    #[must_use]
    pub fn with(mut self, fault: Fault, times_in_a_million: u64) -> Self {
        self.rates.insert(fault, times_in_a_million);
        self
    }

    /// What can go wrong.
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

    /// What happens of what can.
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
