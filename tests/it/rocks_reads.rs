//! What lookups cost: a database that is larger than its cache reads page-sized blocks for a key, never whole
//! filters.

use super::state_suite::{COUNTS, apply, counts};
use std::{env, fs, path::Path, process::Command, sync::Arc};
use tidegate::{
    record::Partition,
    state::{Backend, RocksStorage, Storage},
};

const DIRECTORY: &str = "TIDEGATE_TEST_READS_IN";
const KEYS: u64 = 600_000;
const LOOKED_UP: u64 = 20_000;

fn word(n: u64) -> String {
    format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Bytes that this process has read from files so far.
fn read_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

fn open(directory: &Path) -> Arc<dyn Backend> {
    let storage = RocksStorage::new(directory, 8 << 20).unwrap();
    storage.open(Partition(0), &[COUNTS.to_owned()]).unwrap().backend
}

/// Runs alone in a process, so that the bytes read are its own.
#[test]
#[ignore = "runs in a process of its own"]
fn look_up_keys() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    {
        let backend = open(Path::new(&directory));
        let mut table = counts(&backend);
        for first in (0..KEYS).step_by(50_000) {
            for n in first..first + 50_000 {
                table.entry(word(n).into()).unwrap().set(n);
            }
            apply(&backend, &mut table, "r");
        }
    }
    let backend = open(Path::new(&directory));
    let mut table = counts(&backend);
    let before = read_bytes();
    for some in (0..LOOKED_UP).collect::<Vec<_>>().chunks(500) {
        let words: Vec<_> = some.iter().map(|n| word(n * (KEYS / LOOKED_UP)).into()).collect();
        table.prefetch(&words).unwrap();
    }
    println!("read {}", read_bytes() - before);
}

#[test]
fn a_lookup_reads_a_few_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "rocks_reads::look_up_keys", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    let read = text.lines().find_map(|line| line.strip_prefix("read ")).expect("it ran to its end");
    let per_key = read.parse::<u64>().unwrap() / LOOKED_UP;
    println!("{per_key} bytes read for each key");
    assert!(per_key > 0, "nothing was read from the files: no test");
    assert!(per_key < 16 << 10, "{per_key} bytes were read for each key");
}
