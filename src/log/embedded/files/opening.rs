//! Opens a directory: locks it, cleans it up and reads it from its first segment to its last.
//!
//! Owns the distinction between damage and an unfinished commit. Knows no topic and no group: the content of the files
//! is handed over entry by entry. Invariants: a torn tail is cut off and reported; a bad frame with valid ones after
//! it, a segment of another log, or a missing segment fails the open.

use super::{
    compact::{Compactable, Job, Rules, clean_up, compact},
    frame::{self, Entry, SEGMENT_HEADER},
    segment::Segment,
};
use crate::{
    error::{Error, Result},
    record::hash_bytes,
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A directory that we have locked, and what has been read of it so far.
pub struct Opening {
    pub path: PathBuf,
    /// Held for as long as the directory is in use.
    pub lock: File,
    /// Number of the last commit.
    pub sequence: u64,
    /// Length of the last segment.
    pub length: u64,
    /// Bytes of a torn commit that were cut off.
    pub cut_bytes: u64,
    pub compactable: Compactable,
    log_id: Option<u64>,
    /// The existing segments, in order.
    numbers: Vec<u64>,
    current: Option<Arc<Segment>>,
    /// Number of the previous segment.
    before: Option<u64>,
}

impl Opening {
    /// Locks the directory, which is created if it is missing, and removes what an interrupted compaction left behind.
    pub fn lock(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .map_err(|e| Error::no_directory("the directory of the log", path, &e, "`embedded:DIR`"))?;
        let lock = lock(path)?;
        clean_up(path)?;
        let mut numbers = Segment::list(path)?;
        Segment::remove_merged(path, &mut numbers)?;
        Ok(Opening {
            path: path.to_owned(),
            lock,
            sequence: 0,
            length: 0,
            cut_bytes: 0,
            compactable: Compactable::default(),
            log_id: None,
            numbers,
            current: None,
            before: None,
        })
    }

    /// Reads everything, commit by commit. `apply` returns how many bytes of an entry a compaction may drop some day.
    pub fn read(&mut self, mut apply: impl FnMut(&Arc<Segment>, Entry) -> u64) -> Result {
        (self.sequence, self.length, self.compactable) = (0, 0, Compactable::default());
        (self.current, self.before) = (None, None);
        for number in self.numbers.clone() {
            let segment = self.segment(number, Some(&number) == self.numbers.last(), &mut apply)?;
            self.current = segment.or(self.current.take());
            self.before = Some(number);
        }
        Ok(())
    }

    /// Whether a compaction pays.
    pub fn pays(&self) -> bool {
        self.log_id.is_some() && !self.numbers.is_empty() && self.compactable.pays()
    }

    /// Compacts the full segments; everything must be read again afterwards.
    pub fn compact(&mut self, rules: &Rules, segment_bytes: u64, now_ms: i64) -> Result {
        let Some((log_id, (_, full))) = self.log_id.zip(self.numbers.split_last()) else { return Ok(()) };
        let job = Job { dir: self.path.clone(), log_id, full: full.to_vec(), segment_bytes, dirty: 0 };
        compact(&job, rules, &self.numbers, now_ms)?;
        self.numbers = Segment::list(&self.path)?;
        Ok(())
    }

    /// The segment to append to; a new one if none has at least a header.
    pub fn last_segment(&mut self) -> Result<Arc<Segment>> {
        match self.current.take() {
            Some(segment) if self.numbers.last() == Some(&segment.number) => Ok(segment),
            _ => {
                self.length = SEGMENT_HEADER as u64;
                let log_id = self.log_id.unwrap_or_else(|| new_log_id(&self.path));
                Segment::create(&self.path, self.numbers.last().copied().unwrap_or(1), log_id)
            }
        }
    }

    /// Reads a segment; `None` = it is the last one and does not even have a header.
    fn segment(
        &mut self,
        number: u64,
        last: bool,
        apply: &mut impl FnMut(&Arc<Segment>, Entry) -> u64,
    ) -> Result<Option<Arc<Segment>>> {
        let path = Segment::path(&self.path, number);
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
            return Err(damaged(&Segment::path(&self.path, before + 1), 0, "the segment is missing"));
        }
        let log_id = header.log_id;
        self.log_id = Some(log_id);
        let mut compactable = 0;
        let segment = Segment::open(&self.path, number, log_id)?;
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
                compactable += apply(&segment, entry);
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
        let cut_bytes = (bytes.len() - position) as u64;
        self.cut_bytes += cut_bytes;
        let path = segment.path.display();
        tracing::warn!("{path}: cut off {cut_bytes} bytes of an unfinished commit at position {at}");
        let cut = segment.file.set_len(at).and_then(|()| segment.file.sync_all());
        cut.map_err(Error::io(format!("truncating {path}")))
    }
}

/// A number that distinguishes one log from another.
fn new_log_id(path: &Path) -> u64 {
    let birth_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let birth = format!("{birth_ns} {} {}", std::process::id(), path.display());
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
