//! A directory in use: one process at a time, one append per commit.
//!
//! Knows frames and segments, but no group and no transaction. Invariants: a commit is in the file before anybody sees
//! it; a torn tail is cut off and reported, while a bad frame with valid ones after it fails the open; after a failed
//! sync, or a failed write that could not be undone, nothing more is written.

use super::{
    compact::{Compactable, Job},
    frame::{Entry, FrameBuilder, Reserved, SEGMENT_HEADER},
    opening::Opening,
    segment::{Segment, Span},
};
use crate::error::{Error, Result};
use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt, path::PathBuf, sync::Arc, time::Duration};

/// When a commit is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before each commit returns: survives power loss.
    Always,
    /// In the background, at this interval: a power loss can lose the last commits, a crash of the process loses
    /// nothing.
    Interval(Duration),
    /// When the log is closed and when a segment is full.
    Never,
}

/// Size limit of a commit, because it is encoded in memory as a whole.
const MAX_COMMIT_BYTES: usize = 1 << 30;

#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held for as long as the directory is in use.
    _lock: File,
    log_id: u64,
    fsync: Fsync,
    segment_bytes: u64,
    sequence: u64,
    current: Arc<Segment>,
    length: u64,
    dirty: bool,
    broken: Option<String>,
    compactable: Compactable,
    /// Bytes of a torn commit that were cut off at open.
    pub cut_bytes: u64,
}

/// How a directory is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When a commit is forced to the disk.
    pub fsync: Fsync,
    /// Size at which a new file is started.
    pub segment_bytes: u64,
    /// Number of partitions of a topic that is created by writing to it.
    pub default_partitions: u32,
    /// How often to check whether a compaction pays; `None` = only when the directory is opened.
    pub clean_every: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let clean_every = Some(Duration::from_secs(1));
        Options { fsync: Fsync::Never, segment_bytes: 64 << 20, default_partitions: 1, clean_every }
    }
}

impl Options {
    /// Reads the options from the properties of a log: `fsync` (`always`, `never` or milliseconds), `segment.bytes` and
    /// `num.partitions`.
    ///
    /// # Errors
    /// If a property is unknown or its value is invalid.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Options::default();
        for (name, value) in properties {
            let wrong = |what: &str| Error::Config(format!("embedded log: `{name}={value}`: {what}"));
            match name.as_str() {
                "fsync" => {
                    options.fsync = match (value.as_str(), value.parse()) {
                        ("always", _) => Fsync::Always,
                        ("never", _) => Fsync::Never,
                        (_, Ok(ms @ 1..)) => Fsync::Interval(Duration::from_millis(ms)),
                        _ => return Err(wrong("expected `always`, `never` or milliseconds")),
                    };
                }
                "segment.bytes" => {
                    let bytes = value.parse().ok().filter(|b| (1024..=1 << 30).contains(b));
                    options.segment_bytes = bytes.ok_or_else(|| wrong("expected 1024 to 1073741824"))?;
                }
                "num.partitions" => {
                    let count = value.parse().ok().filter(|n| (1..=10_000).contains(n));
                    options.default_partitions = count.ok_or_else(|| wrong("expected 1 to 10000"))?;
                }
                _ => {
                    return Err(wrong(
                        "unknown property; there are `fsync`, `segment.bytes` and `num.partitions`",
                    ));
                }
            }
        }
        Ok(options)
    }
}

impl Directory {
    /// Continues at the end of a directory that was read.
    pub fn append_to(mut opening: Opening, options: Options) -> Result<Self> {
        let current = opening.last_segment()?;
        Ok(Directory {
            path: opening.path,
            _lock: opening.lock,
            log_id: current.log_id,
            fsync: options.fsync,
            segment_bytes: options.segment_bytes,
            sequence: opening.sequence,
            current,
            length: opening.length,
            dirty: false,
            broken: None,
            compactable: opening.compactable,
            cut_bytes: opening.cut_bytes,
        })
    }

    /// A short name that is unique to this log.
    pub fn id(&self) -> String {
        format!("{:016x}", self.log_id)
    }

    /// Appends one commit; returns where its batches are.
    pub fn append(&mut self, entries: &[Entry], batches: &[Reserved]) -> Result<Vec<Span>> {
        if let Some(why) = &self.broken {
            let why = format!(
                "{}: nothing more is written since {why}\n  next: start the process again",
                self.path.display()
            );
            return Err(Error::State(why));
        }
        let bytes: usize = batches.iter().map(|b| b.rows.bytes()).sum();
        if bytes > MAX_COMMIT_BYTES {
            let what =
                format!("a commit of {bytes} bytes; the embedded log accepts at most {MAX_COMMIT_BYTES}");
            return Err(Error::State(format!(
                "{}: {what}\n  next: commit smaller batches",
                self.path.display()
            )));
        }
        let mut frame = FrameBuilder::new(self.log_id, self.sequence + 1);
        let mut places: Vec<_> = batches.iter().map(|b| (frame.batch(b), b.first)).collect();
        for entry in entries {
            frame.entry(entry);
        }
        let bytes = frame.build();
        if self.length + bytes.len() as u64 > self.segment_bytes && self.length > SEGMENT_HEADER as u64 {
            self.roll()?;
        }
        self.write(&bytes)?;
        for (records, _) in &mut places {
            records.position += self.length;
        }
        self.length += bytes.len() as u64;
        self.sequence += 1;
        self.dirty = true;
        if self.fsync == Fsync::Always {
            self.sync()?;
        }
        let span = |(records, first)| Span { segment: self.current.clone(), records, first };
        Ok(places.into_iter().map(span).collect())
    }

    fn write(&mut self, bytes: &[u8]) -> Result {
        let Err(source) = self.current.file.write_all_at(bytes, self.length) else { return Ok(()) };
        let context = format!("writing {} at position {}", self.current.path.display(), self.length);
        if let Err(e) = self.current.file.set_len(self.length) {
            self.broken = Some(format!("{context} failed ({source}) and could not be undone ({e})"));
        }
        Err(Error::Io { context, source: source.into() })
    }

    /// What a compaction would work on, if it pays.
    pub fn due(&self) -> Result<Option<Job>> {
        if !self.compactable.pays() {
            return Ok(None);
        }
        let mut full = Segment::list(&self.path)?;
        full.retain(|number| *number < self.current.number);
        let (dir, dirty) = (self.path.clone(), self.compactable.dirty);
        Ok(Some(Job { dir, log_id: self.log_id, full, segment_bytes: self.segment_bytes, dirty }))
    }

    /// Notes that the full segments were compacted to `bytes`.
    pub fn compacted(&mut self, job: &Job, bytes: u64) {
        self.compactable.clean = bytes;
        self.compactable.dirty -= job.dirty;
    }

    fn roll(&mut self) -> Result {
        self.dirty = true;
        self.sync()?;
        self.compactable.dirty += self.length;
        self.current = Segment::create(&self.path, self.current.number + 1, self.log_id)?;
        self.length = SEGMENT_HEADER as u64;
        Ok(())
    }

    /// Forces what was appended to disk.
    pub fn sync(&mut self) -> Result {
        if let Some(segment) = self.begin_sync() {
            let synced = segment.file.sync_data();
            self.end_sync(&segment, synced)?;
        }
        Ok(())
    }

    /// The file to sync, if there is anything new. Sync it without the store's lock.
    pub fn begin_sync(&mut self) -> Option<Arc<Segment>> {
        std::mem::take(&mut self.dirty).then(|| self.current.clone())
    }

    /// Takes the result of that sync. A failed sync is never repeated: the system may have dropped the pages.
    pub fn end_sync(&mut self, segment: &Segment, synced: std::io::Result<()>) -> Result {
        synced.map_err(|source| {
            let context = format!("syncing {}", segment.path.display());
            self.broken = Some(format!("{context} failed ({source})"));
            Error::Io { context, source: source.into() }
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(e) = self.sync() {
            tracing::error!("closing the embedded log: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;
    use std::fs::OpenOptions;

    fn on(device: &str, fsync: Fsync) -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { fsync, ..Options::default() };
        let mut log = Directory::append_to(Opening::lock(dir.path()).unwrap(), options).unwrap();
        let file = OpenOptions::new().write(true).open(device).unwrap();
        log.current = Arc::new(Segment { file, path: device.into(), number: 1, log_id: log.log_id });
        (dir, log)
    }

    fn gap() -> Entry {
        Entry::Gap { at: TopicPartition::new("t", 0), end: 1 }
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_and_no_sync_is_repeated() {
        let (_dir, mut log) = on("/dev/null", Fsync::Always);
        let message = log.append(&[gap()], &[]).unwrap_err().to_string();
        assert!(message.contains("syncing /dev/null"), "{message}");
        let message = log.append(&[gap()], &[]).unwrap_err().to_string();
        assert!(message.contains("nothing more is written since syncing /dev/null failed"), "{message}");
        assert!(log.begin_sync().is_none());
    }

    #[test]
    fn after_a_write_that_cannot_be_undone_nothing_is_written() {
        let (_dir, mut log) = on("/dev/full", Fsync::Never);
        let message = log.append(&[gap()], &[]).unwrap_err().to_string();
        assert!(message.contains("writing /dev/full at position 40"), "{message}");
        let message = log.append(&[gap()], &[]).unwrap_err().to_string();
        assert!(message.contains("could not be undone"), "{message}");
    }
}
