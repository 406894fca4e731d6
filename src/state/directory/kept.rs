//! The databases of state partitions that have moved to other processes: kept for a while, as one that comes back is only rolled forward.
//!
//! Owns what is deleted of them, and when. Knows no database. Invariants: a database is deleted only if it is older than the limit, or the
//! oldest while all together take more than the limit; what is being deleted is out of the way first, so that a crash leaves no part of
//! a database where one is opened.

use crate::{
    error::{Error, Result},
    record::Partition,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// Where databases are while they are being deleted.
const DELETED: &str = "deleted";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// A database that was not used for longer is deleted.
    pub time: Duration,
    /// The oldest ones are deleted while all together take more bytes.
    pub bytes: u64,
}

/// A database that no partition of this process uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of which state partition.
    pub partition: Partition,
    /// What it takes on disk.
    pub bytes: u64,
    /// When it was last used, milliseconds since the epoch.
    pub used_ms: i64,
}

/// The databases in this directory.
pub(in crate::state) fn find(databases: &Path) -> Result<Vec<Kept>> {
    let entries = match fs::read_dir(databases) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(reading(databases))?,
    };
    let mut found = vec![];
    for entry in entries {
        let path = entry.map_err(reading(databases))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(partition) = name.and_then(|name| name.parse().ok()).map(Partition) else { continue };
        let (mut bytes, mut used_ms) = (0, 0);
        for file in fs::read_dir(&path).map_err(reading(&path))? {
            // One that is gone meanwhile was of a database that is in use.
            let Ok(about) = file.and_then(|file| file.metadata()) else { continue };
            let since = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let ms = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            (bytes, used_ms) = (bytes + about.len(), used_ms.max(ms));
        }
        found.push(Kept { partition, bytes, used_ms });
    }
    Ok(found)
}

/// Those of `kept` that are to be deleted, oldest first.
pub(in crate::state) fn too_much(mut kept: Vec<Kept>, keep: &Keep, now_ms: i64) -> Vec<Kept> {
    kept.sort_by_key(|database| (database.used_ms, database.partition));
    let mut bytes: u64 = kept.iter().map(|database| database.bytes).sum();
    let time_ms = i64::try_from(keep.time.as_millis()).unwrap_or(i64::MAX);
    kept.retain(|database| {
        let is_old = now_ms.saturating_sub(database.used_ms) > time_ms;
        let is_too_much = is_old || bytes > keep.bytes;
        bytes -= if is_too_much { database.bytes } else { 0 };
        is_too_much
    });
    kept
}

/// Moves a database out of the way, to where [`clear`] deletes it.
pub(in crate::state) fn put_away(databases: &Path, partition: Partition) -> Result {
    let (from, to) = (databases.join(partition.to_string()), place(databases).join(partition.to_string()));
    let put = || {
        fs::create_dir_all(place(databases))?;
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        fs::rename(&from, &to)
    };
    put().map_err(Error::io(format!("moving {} to {}", from.display(), to.display())))
}

/// Deletes what was put away, also by an earlier process.
pub(in crate::state) fn clear(databases: &Path) -> Result {
    let place = place(databases);
    match fs::remove_dir_all(&place) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("deleting {}", place.display()))(e))
        }
        _ => Ok(()),
    }
}

fn place(databases: &Path) -> PathBuf {
    databases.join(DELETED)
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::io(format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_goes_and_then_the_oldest_of_what_is_too_much() {
        let kept = |partition, bytes, used_ms| Kept { partition: Partition(partition), bytes, used_ms };
        let all = || vec![kept(1, 50, 9_000), kept(2, 40, 3_000), kept(3, 10, 8_000), kept(4, 5, 11_000)];
        let doomed = |time_ms, bytes| -> Vec<u32> {
            let keep = Keep { time: Duration::from_millis(time_ms), bytes };
            too_much(all(), &keep, 10_000).iter().map(|database| database.partition.0).collect()
        };
        assert_eq!(doomed(7_000, 105), [0; 0]);
        assert_eq!(doomed(6_999, 105), [2], "too old");
        assert_eq!(doomed(7_000, 104), [2], "the oldest");
        assert_eq!(doomed(7_000, 65), [2], "the rest is not too much");
        assert_eq!(doomed(7_000, 54), [2, 3, 1], "oldest first, until the rest is not too much");
        assert_eq!(doomed(0, 105), [2, 3, 1], "one from the future is new");
        assert_eq!(doomed(0, 0), [2, 3, 1, 4]);
    }
}
