//! The state directory of one application on one machine: who uses it, and what is kept besides the databases.
//!
//! Owns its files (`docs/state-format.md`): lock, instance id, incarnation. Knows no database and makes no random
//! numbers. Invariants: at most one process uses a directory; a file is replaced as a whole (written under another
//! name, synced, renamed) or not at all; the incarnation never repeats.

pub(super) mod kept;

use crate::{
    error::{Error, Result},
    record::{Incarnation, InstanceId},
};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    process,
};

const LOCK: &str = "lock";
const INSTANCE: &str = "instance.id";
const INCARNATION: &str = "incarnation";
const DATABASES: &str = "partitions";

/// The state directory of one application, locked for the lifetime of this value.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// Locked until it is closed; the system closes it however the process ends.
    _lock: File,
}

impl StateDirectory {
    /// Where the directory of `application` is, under `root`, whether or not it exists.
    #[must_use]
    pub fn place(root: &Path, application: &str) -> PathBuf {
        root.join(file_name(application))
    }

    /// Creates (if needed) and locks the directory of `application` under `root`.
    ///
    /// # Errors
    /// If another process holds it (with its process id), or if it cannot be created.
    pub fn open(root: impl AsRef<Path>, application: &str) -> Result<Self> {
        let path = Self::place(root.as_ref(), application);
        fs::create_dir_all(&path).map_err(|e| {
            let setting = "`--state-dir`, or `StreamingContext::checkpoint(\"dir\")`";
            Error::no_directory("the state directory", &path, &e, setting)
        })?;
        let lock_path = path.join(LOCK);
        let opening = || Error::io(format!("opening {}", lock_path.display()));
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(opening())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, &mut lock)),
            Err(TryLockError::Error(e)) => {
                return Err(Error::io(format!("locking {}", lock_path.display()))(e));
            }
        }
        lock.set_len(0).and_then(|()| write!(lock, "{}", process::id())).map_err(opening())?;
        Ok(StateDirectory { path, _lock: lock })
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the databases are: the directory for [`RocksStorage`](super::RocksStorage).
    #[must_use]
    pub fn databases(&self) -> PathBuf {
        self.path.join(DATABASES)
    }

    /// The instance id: `configured`, or else the one kept here, or else a new one of 128 bits from `random`, which is
    /// kept from now on.
    ///
    /// # Errors
    /// If `random` fails, or the file cannot be read or written, or its content is invalid.
    pub fn instance_id(
        &self,
        configured: Option<&str>,
        random: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> Result<InstanceId> {
        if let Some(id) = configured {
            return Ok(InstanceId(id.into()));
        }
        let path = self.path.join(INSTANCE);
        if let Some(kept) = read(&path)? {
            let id = kept.trim();
            if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Ok(InstanceId(id.into()));
            }
            return Err(unreadable(&path, "an instance id is 32 hexadecimal digits", "remove the file"));
        }
        let mut bits = [0; 16];
        random(&mut bits).map_err(Error::io("creating an instance id"))?;
        let id = format!("{:032x}", u128::from_be_bytes(bits));
        self.replace(INSTANCE, id.as_bytes())?;
        Ok(InstanceId(id.into()))
    }

    /// The number of this start: one more than the last one here, and at least `at_least` (one more than the highest
    /// that the log knows, in case the directory is new but the instance is not).
    ///
    /// # Errors
    /// If the file cannot be read or written, or its content is invalid.
    pub fn next_incarnation(&self, at_least: Incarnation) -> Result<Incarnation> {
        let path = self.path.join(INCARNATION);
        let last = match read(&path)? {
            None => 0,
            Some(kept) => kept.trim().parse().map_err(|_| {
                unreadable(&path, "an incarnation is a number", "remove the file; the log knows the last one")
            })?,
        };
        let next = at_least.0.max(last + 1);
        self.replace(INCARNATION, next.to_string().as_bytes())?;
        Ok(Incarnation(next))
    }

    /// Replaces a file as a whole: after a crash or power loss it is either the old or the new one.
    fn replace(&self, name: &str, content: &[u8]) -> Result {
        let (path, aside) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let replace = || {
            let mut file = File::create(&aside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(&self.path)?.sync_all()
        };
        replace().map_err(Error::io(format!("writing {}", path.display())))
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(format!("reading {}", path.display()))(e)),
    }
}

fn unreadable(path: &Path, why: &str, next: &str) -> Error {
    Error::State(format!("{} has invalid content: {why}\n  next: {next}", path.display()))
}

fn in_use(path: &Path, lock: &mut File) -> Error {
    let mut pid = String::new();
    let known = lock.rewind().and_then(|()| lock.read_to_string(&mut pid)).is_ok_and(|bytes| bytes > 0);
    let who = if known { format!("process {}", pid.trim()) } else { "another process".to_owned() };
    Error::State(format!(
        "{} is in use by {who}\n  next: stop it, or give this process its own state directory",
        path.display()
    ))
}

/// The application id as one file name: everything but letters, digits, `-`, `_` and inner dots is written as `%XX`.
fn file_name(application: &str) -> String {
    let plain = |i: usize, b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || (b == b'.' && i > 0);
    let escape =
        |(i, b): (usize, u8)| if plain(i, b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    application.bytes().enumerate().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_application_id_becomes_one_file_name() {
        assert_eq!(file_name("word-count_2.v1"), "word-count_2.v1");
        assert_eq!(file_name("../a b/ä"), "%2E.%2Fa%20b%2F%C3%A4");
        assert_eq!(file_name("%2E"), "%252E");
    }
}
