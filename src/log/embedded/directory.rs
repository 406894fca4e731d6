//! The files of a directory log: one process at a time, one append per commit, an index rebuilt at open.
//!
//! Knows frames and segments, but no group and no transaction. Invariants: a commit is in the file before anybody sees
//! it; a torn tail is cut off and reported, while a bad frame with valid ones after it fails the open; after a failed
//! sync, or a failed write that could not be undone, nothing more is written.

use super::{
    compact::{Compactable, Job, Rules, clean_up, compact},
    frame::{self, Entry, FrameBuilder, SEGMENT_HEADER},
    partition::Place,
    segment::{Segment, Span},
    store::{Reserved, State},
    time,
};
use crate::{
    error::{Error, Result},
    record::hash_bytes,
};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

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
pub(super) struct Directory {
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
    /// Locks the directory (created if it is missing), reads all of it into `state`, and is ready to append.
    pub fn open(path: &Path, options: Options, state: &mut State, now_ms: i64) -> Result<Directory> {
        std::fs::create_dir_all(path).map_err(Error::io(format!("creating {}", path.display())))?;
        let lock = lock(path)?;
        clean_up(path)?;
        let mut numbers = Segment::list(path)?;
        Segment::remove_merged(path, &mut numbers)?;
        let mut scan = Scan::all(path, &numbers, state)?;
        state.trim_all();
        if let Some((log_id, (_, full))) =
            scan.log_id.zip(numbers.split_last()).filter(|_| scan.compactable.pays())
        {
            let (dir, full) = (path.to_owned(), full.to_vec());
            let job = Job { dir, log_id, full, segment_bytes: options.segment_bytes, dirty: 0 };
            compact(&job, &Rules::of(state), &numbers, now_ms)?;
            state.forget();
            numbers = Segment::list(path)?;
            scan = Scan { cut_bytes: scan.cut_bytes, ..Scan::all(path, &numbers, state)? };
            state.trim_all();
        }
        let log_id = scan.log_id.unwrap_or_else(|| new_log_id(path));
        let current = match scan.current.take() {
            Some(segment) if numbers.last() == Some(&segment.number) => segment,
            _ => {
                scan.length = SEGMENT_HEADER as u64;
                Segment::create(path, numbers.last().copied().unwrap_or(1), log_id)?
            }
        };
        Ok(Directory {
            path: path.to_owned(),
            _lock: lock,
            log_id,
            fsync: options.fsync,
            segment_bytes: options.segment_bytes,
            sequence: scan.sequence,
            current,
            length: scan.length,
            dirty: false,
            broken: None,
            compactable: scan.compactable,
            cut_bytes: scan.cut_bytes,
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

fn new_log_id(path: &Path) -> u64 {
    let birth = format!("{} {} {}", time::birth_ns(), std::process::id(), path.display());
    hash_bytes(birth.as_bytes())
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let context = || format!("opening {}", path.display());
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(Error::io(context()))?;
    for _ in 0..100 {
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(Error::io(context()))?;
                file.write_all(std::process::id().to_string().as_bytes()).map_err(Error::io(context()))?;
                return Ok(file);
            }
            Err(TryLockError::Error(source)) => return Err(Error::io(context())(source)),
            Err(TryLockError::WouldBlock) => {}
        }
        let mut holder = String::new();
        let _ = File::open(&path).and_then(|mut f| f.read_to_string(&mut holder));
        if holder != std::process::id().to_string() {
            let dir = dir.display();
            return Err(Error::Config(format!(
                "embedded:{dir} is in use by process {holder}\n  next: stop that process, or use another directory"
            )));
        }
        // This process is about to close it.
        thread::sleep(Duration::from_millis(10));
    }
    Err(Error::Config(format!("embedded:{} is already open in this process", dir.display())))
}

fn damaged(path: &Path, position: u64, what: &str) -> Error {
    let path = path.display();
    Error::State(format!(
        "embedded log: {path} at position {position}: {what}\n  next: restore the directory from a copy, or move it away to \
         start with an empty log"
    ))
}

/// The scan of all segments at open.
struct Scan<'a> {
    dir: &'a Path,
    log_id: Option<u64>,
    sequence: u64,
    length: u64,
    cut_bytes: u64,
    compactable: Compactable,
    current: Option<Arc<Segment>>,
    /// Number of the previous segment.
    before: Option<u64>,
}

impl<'a> Scan<'a> {
    fn all(dir: &'a Path, numbers: &[u64], state: &mut State) -> Result<Self> {
        let compactable = Compactable::default();
        let mut scan = Scan {
            dir,
            log_id: None,
            sequence: 0,
            length: 0,
            cut_bytes: 0,
            compactable,
            current: None,
            before: None,
        };
        for number in numbers {
            let segment = scan.segment(*number, Some(number) == numbers.last(), state)?;
            scan.current = segment.or(scan.current.take());
            scan.before = Some(*number);
        }
        Ok(scan)
    }

    /// Reads a segment; `None` = it is the last one and does not even have a header.
    fn segment(&mut self, number: u64, last: bool, state: &mut State) -> Result<Option<Arc<Segment>>> {
        let path = Segment::path(self.dir, number);
        let bytes = std::fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?;
        let header = match frame::parse_segment_header(&bytes) {
            Some(h) if h.number == number && self.log_id.is_none_or(|known| known == h.log_id) => h,
            Some(_) => {
                return Err(damaged(&path, 0, "the segment belongs to another log or has another number"));
            }
            None if last && bytes.len() <= SEGMENT_HEADER => return Ok(None),
            None => {
                return Err(damaged(
                    &path,
                    0,
                    "this is not a segment of an embedded log, or its header is damaged",
                ));
            }
        };
        if let Some(before) = self.before.filter(|before| before + header.covers() != number) {
            return Err(damaged(&Segment::path(self.dir, before + 1), 0, "the segment is missing"));
        }
        let log_id = header.log_id;
        self.log_id = Some(log_id);
        let mut compactable = 0;
        let segment = Segment::open(self.dir, number, log_id)?;
        let mut position = SEGMENT_HEADER;
        while position < bytes.len() {
            let Some(frame) = frame::frame_at(&bytes, position, log_id) else {
                self.cut(&segment, &bytes, position, last)?;
                break;
            };
            let payload = &bytes[frame.payload.clone()];
            let entries = frame::entries(payload, frame.payload.start as u64);
            let Some(entries) = entries.filter(|_| frame.sequence > self.sequence) else {
                return Err(damaged(
                    &path,
                    position as u64,
                    "the commit cannot be decoded or is out of order",
                ));
            };
            self.sequence = frame.sequence;
            for entry in entries {
                compactable += apply(state, &segment, entry);
            }
            position = frame.payload.end;
        }
        self.length = position as u64;
        if !last {
            let bytes =
                if header.merged > 0 { &mut self.compactable.clean } else { &mut self.compactable.dirty };
            *bytes += compactable;
        }
        Ok(Some(segment))
    }

    fn cut(&mut self, segment: &Segment, bytes: &[u8], position: usize, last: bool) -> Result {
        let at = position as u64;
        if !last {
            return Err(damaged(&segment.path, at, "a bad commit, and later segments follow"));
        }
        if let Some(next) = frame::frame_after(bytes, position, segment.log_id) {
            let what = format!("a bad commit, followed by a valid one at position {next}");
            return Err(damaged(&segment.path, at, &what));
        }
        self.cut_bytes = (bytes.len() - position) as u64;
        let path = segment.path.display();
        tracing::warn!("{path}: cut off {} bytes of an unfinished commit at position {at}", self.cut_bytes);
        let cut = segment.file.set_len(at).and_then(|()| segment.file.sync_all());
        cut.map_err(Error::io(format!("truncating {path}")))
    }
}

/// Applies an entry; returns its bytes if compaction may drop it some day.
fn apply(state: &mut State, segment: &Arc<Segment>, entry: Entry) -> u64 {
    match entry {
        Entry::Batch { at, first, last, records } => {
            let place = Place::Disk(Span { segment: segment.clone(), records, first });
            state.insert(&at, first, last, place);
            let may_go = state.is_compacted(&at.topic) || state.retention(&at.topic).is_some();
            if may_go { u64::from(records.len) } else { 0 }
        }
        Entry::Offset(offset) => {
            let bytes = offset.committed.metadata.len() as u64 + 40;
            state.replay(Entry::Offset(offset));
            bytes
        }
        entry => {
            state.replay(entry);
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;

    fn on(device: &str, fsync: Fsync) -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { fsync, ..Options::default() };
        let mut log = Directory::open(dir.path(), options, &mut State::default(), 0).unwrap();
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
