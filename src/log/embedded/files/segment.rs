//! One segment file: its name, its header, and reading records back from it.
//!
//! Knows no topic. Invariant: bytes that have been written are never written again; a batch is checked against its hash
//! each time it is read.

use super::frame::{self, Records};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    record::{RawChunk, TopicPartition},
};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug)]
pub struct Segment {
    pub file: File,
    pub path: PathBuf,
    pub number: u64,
    pub log_id: u64,
}

impl Segment {
    pub fn path(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:020}.log"))
    }

    /// The numbers of all segments of a directory, in order.
    pub fn list(dir: &Path) -> Result<Vec<u64>> {
        let context = || format!("reading the directory {}", dir.display());
        let mut numbers = vec![];
        for entry in std::fs::read_dir(dir).map_err(Error::io(context()))? {
            let name = entry.map_err(Error::io(context()))?.file_name();
            let number: Option<u64> =
                name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes segments that a merged one replaces: a compaction was interrupted after it had put the merged one in
    /// place.
    pub fn remove_merged(dir: &Path, numbers: &mut Vec<u64>) -> Result {
        for number in numbers.clone().into_iter().rev() {
            let path = Self::path(dir, number);
            let mut head = vec![0; frame::SEGMENT_HEADER];
            let read = File::open(&path).and_then(|f| f.read_exact_at(&mut head, 0));
            let Some(header) = read.ok().and_then(|()| frame::parse_segment_header(&head)) else { continue };
            let superseded = |n: &u64| *n < number && *n + header.covers() > number;
            for n in numbers.iter().filter(|n| superseded(n)) {
                let path = Self::path(dir, *n);
                std::fs::remove_file(&path).map_err(Error::io(format!("removing {}", path.display())))?;
            }
            numbers.retain(|n| !superseded(n));
        }
        Ok(())
    }

    /// Creates a new segment that holds only its header, and makes it durable together with its name.
    pub fn create(dir: &Path, number: u64, log_id: u64) -> Result<Arc<Self>> {
        let path = Self::path(dir, number);
        let context = || format!("creating {}", path.display());
        let mut file = File::create(&path).map_err(Error::io(context()))?;
        file.write_all(&frame::segment_header(log_id, number, 0)).map_err(Error::io(context()))?;
        file.sync_all().map_err(Error::io(context()))?;
        sync_dir(dir)?;
        Self::open(dir, number, log_id)
    }

    pub fn open(dir: &Path, number: u64, log_id: u64) -> Result<Arc<Self>> {
        let path = Self::path(dir, number);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(Error::io(format!("opening {}", path.display())))?;
        Ok(Arc::new(Segment { file, path, number, log_id }))
    }
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> Result {
    let synced = File::open(dir).and_then(|d| d.sync_all());
    synced.map_err(Error::io(format!("syncing the directory {}", dir.display())))
}

/// The records of a batch in a segment.
#[derive(Clone, Debug)]
pub struct Span {
    pub segment: Arc<Segment>,
    pub records: Records,
    pub first: u64,
}

impl Span {
    /// Reads and checks them.
    pub fn read(&self, at: &TopicPartition) -> Result<RawChunk, Failure> {
        let Records { position, len, hash } = self.records;
        let fail = |what: String| {
            let place =
                format!("{at} at offset {}: {} position {position}", self.first, self.segment.path.display());
            Failure::new(Stage::Fetch, Reaction::StopPipeline, format!("{place}: {what}"))
        };
        let mut bytes = vec![0; len as usize];
        self.segment.file.read_exact_at(&mut bytes, position).map_err(|e| fail(e.to_string()))?;
        if frame::hash(&bytes, self.segment.log_id) != hash {
            return Err(fail("the records do not match their checksum: the file is damaged".into()));
        }
        frame::records(&bytes, self.first).ok_or_else(|| fail("the records cannot be decoded".into()))
    }
}
