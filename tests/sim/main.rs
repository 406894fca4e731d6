//! Exactly-once under everything that a seed can make go wrong: whole engines on a simulated log, checked by an oracle.
//!
//! One seed = one world: processes of one application crash at any call, lose the outcome of commits, are expelled,
//! paused, fenced and duplicated; the disk is kept, lost, or behind. After a while no faults happen any more; then
//! all input must be counted, and the committed output must read, for each word, as 1, 2, 3, ... in increasing
//! order up to the number of its occurrences.
//!
//! `SIM_SEEDS=n` runs this many seeds (default 10,000), `SIM_SEED=n` shows one with its trace.

mod agreement;
mod count_words;
mod event_time;
mod held_up;
mod local_rows;
#[cfg(feature = "failpoints")]
mod mutants;
mod reports;
mod restores;
mod shared_files;
mod shared_outputs;
mod shared_state;
mod slow_functions;
#[cfg(feature = "sql")]
mod sql;
mod standby;
mod starting;
mod worlds;
