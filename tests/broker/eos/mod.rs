//! Exactly once on a real Kafka: the built programs are killed, stopped, fenced and cut off, and an oracle reads what they wrote.
//!
//! The programs run as processes of their own (`program`); what they read and wrote is observed through the plain
//! Kafka client (`client`) and judged by `words`. Invariant of every test here: it proves that its fault happened.

mod aborted_input;
mod big_state;
mod big_window;
mod cli;
pub mod client;
mod dead_letters;
mod doubtful_commits;
mod events;
mod expired_id;
mod foreach_batch;
mod gone;
mod hostile_records;
mod http_load;
mod kill;
mod locked_table;
mod lost_records;
mod membership;
mod memory;
mod mutants;
mod network;
mod open_end;
mod outputs;
mod parts;
mod program;
mod programs;
mod refusals;
mod refused_records;
mod restores;
mod scarce;
mod secure;
mod shared_files;
mod shared_state;
mod shutdown;
mod slow_functions;
mod soak;
mod sql;
mod standby;
mod standstill;
mod three_brokers;
mod three_processes;
mod topics;
mod waiting;
mod windowed;
mod windowed_words;
mod words;
mod zombie;

use std::time::{Duration, Instant};

/// How long to wait for anything that must happen; nothing here measures speed.
const PATIENCE: Duration = Duration::from_secs(300);

struct Deadline(Instant);

fn deadline() -> Deadline {
    Deadline(Instant::now() + PATIENCE)
}

impl Deadline {
    fn check(&self, what: &str) {
        assert!(Instant::now() < self.0, "waited in vain: {what}");
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = deadline();
    while !holds() {
        patience.check(what);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Numbers that are the same for the same seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    /// A seed for this run, or the one in `TIDEGATE_TEST_SEED`; tests print it.
    fn seed() -> u64 {
        let given = std::env::var("TIDEGATE_TEST_SEED").ok().and_then(|s| s.parse().ok());
        given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        })
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index into a list of this length.
    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }
}
