//! A process that is killed while it writes loses nothing that it had applied: databases open as they were, again
//! and again.

use super::state_suite::{COUNTS, TIMERS, apply, counts};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};
use tidegate::{
    record::Partition,
    state::{Backend, RocksStorage, Storage, Store},
};

const DIRECTORY: &str = "TIDEGATE_TEST_KILLED_IN";
const WORDS: u64 = 500;

fn open(directory: &Path) -> Arc<dyn Backend> {
    let storage = RocksStorage::new(directory, 512 << 10).unwrap();
    let opened = storage.open(Partition(3), &[COUNTS.to_owned(), TIMERS.to_owned()]).unwrap();
    assert_eq!(opened.quarantined, None);
    opened.backend
}

fn batch_of(backend: &Arc<dyn Backend>) -> u64 {
    let record = backend.record().unwrap();
    record.map_or(0, |record| String::from_utf8(record).unwrap().parse().unwrap())
}

/// Runs in the process that gets killed: every batch adds one to every word.
#[test]
#[ignore = "runs in a process of its own"]
fn write_until_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let backend = open(Path::new(&directory));
    let mut table = counts(&backend);
    for batch in batch_of(&backend) + 1.. {
        for n in 0..WORDS {
            *table.entry(format!("word number {n}").into()).unwrap().get_or_insert_with(|| 0) += 1;
        }
        apply(&backend, &mut table, &batch.to_string());
        println!("applied {batch}");
    }
}

/// Runs in the process that gets killed: every piece of a restore adds one to every word.
#[test]
#[ignore = "runs in a process of its own"]
fn restore_until_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let backend = open(Path::new(&directory));
    for piece in piece_of(&backend) + 1.. {
        let mut table = counts(&backend);
        for n in 0..WORDS {
            table.entry(format!("word number {n}").into()).unwrap().set(piece);
        }
        backend.restore(&[table.seal().unwrap()], piece.to_string().as_bytes()).unwrap();
        println!("applied {piece}");
    }
}

fn piece_of(backend: &Arc<dyn Backend>) -> u64 {
    let progress = backend.progress().unwrap();
    progress.map_or(0, |progress| String::from_utf8(progress).unwrap().parse().unwrap())
}

#[test]
fn a_killed_restore_has_whole_pieces_and_knows_which() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = 0;
    for _ in 0..3 {
        // Far enough that a part is certainly on disk: nothing of a restore is in the write log.
        kill_at("rocks_kill::restore_until_killed", directory.path(), before + 500);
        let backend = open(directory.path());
        let piece = piece_of(&backend);
        assert!(piece > before, "the restore started over: {piece} after {before}");
        counts(&backend)
            .update_some(None, usize::MAX, |word, slot| {
                assert_eq!(slot.get(), Some(&piece), "{word}");
                Ok(())
            })
            .unwrap();
        assert_eq!(backend.record().unwrap(), None);
        before = piece;
    }
    let backend = open(directory.path());
    backend.apply(&[], Some(b"77")).unwrap();
    drop(backend);
    assert_eq!(batch_of(&open(directory.path())), 77);
}

/// Runs a test of this file in a process of its own and kills it when it has applied `until`; returns what it
/// applied last.
fn kill_at(test: &str, directory: &Path, until: u64) -> u64 {
    let mut applied = 0;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(number) = line.unwrap().strip_prefix("applied ") {
            applied = number.parse().unwrap();
            if applied >= until {
                child.kill().unwrap();
            }
        }
    }
    assert!(!child.wait().unwrap().success(), "it was not killed");
    assert!(applied >= until, "it ended too early");
    applied
}

#[test]
fn a_killed_process_finds_every_batch_that_it_applied() {
    let directory = tempfile::tempdir().unwrap();
    let mut applied = 0;
    for round in 1..=6 {
        applied = kill_at("rocks_kill::write_until_killed", directory.path(), applied + 37 * round);

        let backend = open(directory.path());
        let batch = batch_of(&backend);
        assert!(batch == applied || batch == applied + 1, "{applied} were applied, {batch} are there");
        let mut words = 0;
        counts(&backend)
            .update_some(None, usize::MAX, |word, slot| {
                assert_eq!(slot.get(), Some(&batch), "{word}");
                words += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(words, WORDS);
    }
    let flushed = fs::read_dir(directory.path().join("3")).unwrap();
    let tables =
        flushed.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "sst"));
    assert!(tables.count() > 0, "nothing was ever flushed");
}
