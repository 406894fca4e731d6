//! What is kept on disk of state partitions that have moved to other processes.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};
use tidegate::{
    record::Partition,
    state::{Keep, RocksStorage, Storage},
};

const DAY: Duration = Duration::from_secs(86_400);
const NOW_MS: i64 = 1_800_000_000_000;

fn open(storage: &RocksStorage, partition: u32) -> tidegate::state::Opened {
    storage.open(Partition(partition), &["counts".into()]).unwrap()
}

/// As if the database had last been used so long ago.
fn age(databases: &Path, partition: u32, ago: Duration) {
    let now = UNIX_EPOCH + Duration::from_millis(NOW_MS.unsigned_abs());
    for file in fs::read_dir(databases.join(partition.to_string())).unwrap() {
        File::options().write(true).open(file.unwrap().path()).unwrap().set_modified(now - ago).unwrap();
    }
}

fn has(databases: &Path, partition: u32) -> bool {
    databases.join(partition.to_string()).exists()
}

#[test]
fn databases_that_moved_away_are_kept_within_limits() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RocksStorage::new(dir.path(), RocksStorage::MEMORY_BYTES).unwrap();
    let keep = Keep { time: DAY, bytes: 10 << 30 };
    assert_eq!(storage.limit_kept(&[], &keep, NOW_MS).unwrap(), []);
    for partition in 0..5 {
        let backend = open(&storage, partition).backend;
        backend.apply(&[], Some(format!("record {partition}").as_bytes())).unwrap();
    }
    fs::create_dir(dir.path().join("quarantine")).unwrap();
    let in_use = open(&storage, 1);
    for (partition, hours) in [(0, 50), (1, 50), (2, 30), (3, 20), (4, 10)] {
        age(dir.path(), partition, Duration::from_secs(3600 * hours));
    }
    let partitions = |keep: &Keep| -> Vec<u32> {
        let deleted = storage.limit_kept(&[Partition(0)], keep, NOW_MS).unwrap();
        deleted.iter().map(|database| database.partition.0).collect()
    };
    assert_eq!(partitions(&keep), [2], "neither the one of this process nor the one that is open");
    assert_eq!(partitions(&keep), [0; 0]);
    let one = Keep { bytes: size(dir.path(), 4), ..keep };
    assert_eq!(partitions(&one), [3], "the oldest of what is too much");
    assert_eq!([0, 1, 2, 3, 4].map(|p| has(dir.path(), p)), [true, true, false, false, true]);
    assert!(dir.path().join("quarantine").exists() && !dir.path().join("deleted").exists());

    assert_eq!(in_use.backend.record().unwrap().unwrap(), b"record 1", "it works on");
    assert_eq!(open(&storage, 4).backend.record().unwrap().unwrap(), b"record 4", "it is as it was");
    let anew = open(&storage, 2);
    assert_eq!((anew.backend.record().unwrap(), anew.quarantined), (None, None), "it begins empty");

    // What a process that died left behind while it deleted something goes with the next look.
    fs::create_dir_all(dir.path().join("deleted/7")).unwrap();
    assert_eq!(partitions(&keep), [0; 0]);
    assert!(!dir.path().join("deleted").exists());
}

fn size(databases: &Path, partition: u32) -> u64 {
    let files = fs::read_dir(databases.join(partition.to_string())).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}
