//! Programs whose state several processes share.

use crate::{
    count_words::{JOIN, WORD_COUNT},
    worlds::{Case, check, sweep_all},
};
use tidegate::{config::ExchangeThrough, sim::Faults};

const TWO: Case =
    Case { processes: &["a", "b"], state_partitions: 4, exchange: ExchangeThrough::Shared, ..WORD_COUNT };
const THREE: Case = Case { processes: &["a", "b", "c"], ..TWO };
const JOINED: Case =
    Case { processes: &["a", "b"], state_partitions: 4, exchange: ExchangeThrough::Shared, ..JOIN };

#[test]
fn a_calm_world_of_several_processes_counts_everything() {
    for case in [TWO, THREE, JOINED] {
        for seed in 0..20 {
            let outcome = check(case, seed, Faults::none(), false).unwrap();
            assert!(outcome.ended.is_empty(), "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_two_processes() {
    sweep_all(TWO, 2_000);
}

#[test]
fn every_seed_counts_every_word_exactly_once_in_three_processes() {
    sweep_all(THREE, 1_500);
}

#[test]
fn every_seed_joins_and_counts_over_two_exchanges_in_two_processes() {
    sweep_all(JOINED, 1_000);
}
