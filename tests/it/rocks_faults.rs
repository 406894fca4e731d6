//! Databases whose files are damaged, missing, foreign or of a later format: moved aside or refused, never a panic,
//! never rows that were not written.

use super::state_suite::{COUNTS, TIMERS, apply, counts, open};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tempfile::TempDir;
use tidegate::{
    record::Partition,
    state::{Backend, Opened, RocksStorage, Storage, Store, Table},
};

const BATCHES: u64 = 60;
const KEYS: u64 = 2000;

fn storage(directory: &Path) -> RocksStorage {
    // The budget is so small that some of what is written here is flushed, and some is in the write log only.
    RocksStorage::new(directory, 512 << 10).unwrap()
}

fn word(n: u64) -> String {
    format!("word number {n} {}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A copy of a directory in which batch `b` has set every key that is a multiple of `b` to `b`, with the record
/// `b`.
fn filled() -> TempDir {
    static FILLED: OnceLock<TempDir> = OnceLock::new();
    let filled = FILLED.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let backend = open(&storage(directory.path()));
        let mut table = counts(&backend);
        for batch in 1..=BATCHES {
            for n in (0..KEYS).filter(|n| n.is_multiple_of(batch)) {
                table.entry(word(n).into()).unwrap().set(batch);
            }
            apply(&backend, &mut table, &batch.to_string());
        }
        directory
    });
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("3")).unwrap();
    for entry in fs::read_dir(filled.path().join("3")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join("3").join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// What the rows must be when the record is `batch`.
fn expected(n: u64, batch: u64) -> Option<u64> {
    (1..=batch).rev().find(|b| n.is_multiple_of(*b))
}

fn reopen(directory: &Path) -> Opened {
    storage(directory).open(Partition(3), &[COUNTS.to_owned(), TIMERS.to_owned()]).unwrap()
}

fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory.join("3"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().contains(end))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "the fault has no file to hit: {end}");
    found
}

fn flip(path: &Path, at: f64) {
    let mut bytes = fs::read(path).unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a small file"
    )]
    let at = (bytes.len() as f64 * at) as usize;
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, to: f64) {
    let bytes = fs::read(path).unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a small file"
    )]
    fs::write(path, &bytes[..(bytes.len() as f64 * to) as usize]).unwrap();
}

/// What became of a database after a fault.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Moved aside, and an empty one opened.
    Quarantined,
    /// Opened with all rows of this batch and none of a later one.
    AtBatch(u64),
    /// Opened, but reading failed; the next open quarantined it.
    FoundOnRead,
}

fn rows_match(backend: &Arc<dyn Backend>, batch: u64) -> tidegate::Result<()> {
    let mut table = counts(backend);
    let words: Vec<_> = (0..KEYS).map(|n| word(n).into()).collect();
    table.prefetch(&words)?;
    for (n, word) in (0..).zip(words) {
        assert_eq!(table.get(&word)?, expected(n, batch), "key {n} at batch {batch}");
    }
    let mut rows = 0;
    counts(backend).update_some(None, usize::MAX, |_, _| {
        rows += 1;
        Ok(())
    })?;
    assert_eq!(rows, if batch == 0 { 0 } else { KEYS });
    Ok(())
}

fn after(fault: impl Fn(&Path)) -> Outcome {
    let directory = filled();
    fault(directory.path());
    let opened = reopen(directory.path());
    let record = opened.backend.record().unwrap();
    if opened.quarantined.is_some() {
        assert_eq!(record, None);
        rows_match(&opened.backend, 0).unwrap();
        assert_quarantined(&directory, opened.quarantined.as_deref());
        return Outcome::Quarantined;
    }
    let batch = record.map_or(0, |record| String::from_utf8(record).unwrap().parse().unwrap());
    match rows_match(&opened.backend, batch) {
        Ok(()) => Outcome::AtBatch(batch),
        Err(e) => {
            assert!(e.to_string().contains("moved aside and restored when it is opened again"), "{e}");
            drop(opened);
            let opened = reopen(directory.path());
            rows_match(&opened.backend, 0).unwrap();
            assert_quarantined(&directory, opened.quarantined.as_deref());
            Outcome::FoundOnRead
        }
    }
}

/// The files are kept together with the reason.
fn assert_quarantined(directory: &TempDir, reason: Option<&str>) {
    let aside = directory.path().join("quarantine");
    let note = fs::read_to_string(aside.join("3-1.txt")).unwrap();
    assert_eq!(Some(note.trim_end()), reason.map(str::trim_end));
    assert!(aside.join("3-1").is_dir());
}

#[test]
fn without_a_fault_nothing_is_missing() {
    let files_of = |end: &'static str| move |directory: &Path| drop(files(directory, end));
    assert_eq!(after(files_of(".sst")), Outcome::AtBatch(BATCHES));
    assert_eq!(after(files_of(".log")), Outcome::AtBatch(BATCHES));
}

#[test]
fn a_damaged_or_missing_current_or_manifest_is_quarantined() {
    for name in ["CURRENT", "MANIFEST"] {
        for fault in [
            |file: &Path| fs::remove_file(file).unwrap(),
            |file: &Path| fs::write(file, "").unwrap(),
            |file: &Path| truncate(file, 0.5),
            |file: &Path| flip(file, 0.3),
            |file: &Path| flip(file, 0.6),
        ] {
            assert_eq!(
                after(|directory| fault(files(directory, name).last().unwrap())),
                Outcome::Quarantined,
                "{name}"
            );
        }
    }
}

/// A manifest that ends early looks as if the last files and stores had never been created.
#[test]
fn a_manifest_that_is_cut_or_damaged_anywhere_is_quarantined() {
    let last = |directory: &Path| files(directory, "MANIFEST").pop().unwrap();
    for part in 1..8 {
        let at = f64::from(part) / 8.0;
        assert_eq!(after(|directory| truncate(&last(directory), at)), Outcome::Quarantined, "cut at {at}");
        assert_eq!(after(|directory| flip(&last(directory), at)), Outcome::Quarantined, "damaged at {at}");
    }
}

#[test]
fn a_damaged_or_missing_table_file_is_quarantined_at_open_or_when_it_is_read() {
    for fault in [
        |file: &Path| fs::remove_file(file).unwrap(),
        |file: &Path| truncate(file, 0.9),
        |file: &Path| flip(file, 0.1),
        |file: &Path| flip(file, 0.5),
        |file: &Path| fs::write(file, "").unwrap(),
    ] {
        let largest = |directory: &Path| {
            files(directory, ".sst").into_iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap()
        };
        let outcome = after(|directory| fault(&largest(directory)));
        assert!(matches!(outcome, Outcome::Quarantined | Outcome::FoundOnRead), "{outcome:?}");
    }
}

#[test]
fn a_damaged_log_loses_the_batches_behind_the_damage_and_the_record_says_so() {
    for fault in [
        |file: &Path| truncate(file, 0.99),
        |file: &Path| truncate(file, 0.5),
        |file: &Path| flip(file, 0.5),
        |file: &Path| fs::write(file, "").unwrap(),
    ] {
        match after(|directory| fault(files(directory, ".log").last().unwrap())) {
            Outcome::AtBatch(batch) => assert!(batch < BATCHES, "the fault hit nothing"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_missing_log_is_quarantined() {
    let outcome =
        after(|directory| files(directory, ".log").iter().for_each(|file| fs::remove_file(file).unwrap()));
    assert_eq!(outcome, Outcome::Quarantined);
}

#[test]
fn a_foreign_database_or_one_of_a_later_format_is_refused_and_left_as_it_is() {
    let directory = filled();
    let refused = || storage(directory.path()).open(Partition(3), &[]).err().unwrap().to_string();
    {
        let raw = rocksdb_of(directory.path());
        raw.put("format", "tidegate-state 2").unwrap();
    }
    let e = refused();
    assert!(e.contains("its format is `tidegate-state 2`, this program knows `tidegate-state 1`"), "{e}");
    rocksdb_of(directory.path()).delete("format").unwrap();
    let e = refused();
    assert!(e.contains("a RocksDB database that this program did not write"), "{e}");
    assert!(!directory.path().join("quarantine").exists());
}

fn rocksdb_of(directory: &Path) -> rocksdb::DB {
    let path = directory.join("3");
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &path).unwrap();
    rocksdb::DB::open_cf(&options, &path, families).unwrap()
}

#[test]
fn rows_without_a_record_are_quarantined() {
    let outcome = after(|directory| rocksdb_of(directory).delete("record").unwrap());
    assert_eq!(outcome, Outcome::Quarantined);
}

#[test]
fn a_database_in_use_is_refused_and_not_moved() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (storage(directory.path()), storage(directory.path()));
    let opened = one.open(Partition(3), &[]).unwrap();
    let e = one.open(Partition(3), &[]).err().unwrap().to_string();
    assert!(e.contains("is already open in this process"), "{e}");
    let e = two.open(Partition(3), &[]).err().unwrap().to_string();
    assert!(e.contains("check that no other process uses it"), "{e}");
    // An open database is moved aside the next time it is opened.
    one.quarantine(Partition(3), "it is ahead of the log").unwrap();
    assert!(!directory.path().join("quarantine").exists());
    drop(opened);
    let opened = one.open(Partition(3), &[]).unwrap();
    assert_eq!(opened.quarantined.as_deref(), Some("it is ahead of the log"));
    drop(opened);
    assert_eq!(one.open(Partition(3), &[]).unwrap().quarantined, None);
}

#[test]
fn only_the_last_database_of_a_partition_that_was_moved_aside_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path());
    for (partition, times) in [(3, 12), (13, 1), (1, 2)] {
        for time in 1..=times {
            storage.open(Partition(partition), &[]).unwrap();
            storage.quarantine(Partition(partition), &format!("reason {time}")).unwrap();
        }
    }
    let aside = directory.path().join("quarantine");
    let mut kept: Vec<String> = fs::read_dir(&aside)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["1-2", "1-2.txt", "13-1", "13-1.txt", "3-12", "3-12.txt"]);
    assert_eq!(fs::read_to_string(aside.join("3-12.txt")).unwrap(), "reason 12\n");
}

const BUDGET_BYTES: usize = 4 << 20;

#[test]
fn state_larger_than_the_budget_stays_within_it() {
    let directory = tempfile::tempdir().unwrap();
    let storage = RocksStorage::new(directory.path(), BUDGET_BYTES).unwrap();
    let before = resident_bytes();
    let (mut most, mut written) = (0, 0);
    for partition in 0..8 {
        let opened = storage.open(Partition(partition), &[COUNTS.to_owned()]).unwrap();
        let mut table: Table<u64, [u64; 16]> = Table::new(COUNTS, Arc::clone(&opened.backend));
        for batch in 0..10u64 {
            for n in 0..4000u64 {
                let random = (batch * 4000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                table.entry(random).unwrap().set(std::array::from_fn(|i| random ^ (i as u64) << 32));
            }
            written += apply(&opened.backend, &mut table, "r").bytes();
            most = most.max(resident_bytes().saturating_sub(before));
        }
        let mut rows = 0;
        table
            .update_some(None, usize::MAX, |key, slot| {
                assert_eq!(slot.get().unwrap()[0], *key);
                rows += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!((rows, table.staged_bytes()), (40_000, 0));
    }
    assert!(written > 10 * BUDGET_BYTES, "{written} bytes are too few for a test");
    assert!(most < 64 << 20, "{} MiB more than before", most >> 20);
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
