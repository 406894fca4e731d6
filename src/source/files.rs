//! The files of a directory: found, remembered in a topic of the log, and read from there.
//!
//! Owns the listing and what it remembers. Knows no batch. Invariants: what was listed is known from the topic
//! alone, so each file (by name and modification time) is listed once across restarts, kills and moves to other
//! processes; a file that changes later is another one; the ranges of a file are written in one transaction, by one
//! process at a time; a file is listed only when it is complete.

use super::{
    DecodeChunk, decode,
    file_ranges::{Layout, Reference, Version, parts},
    receiver::{Intake, ReceiverError, RunReceiver},
};
use crate::{
    codec::{BadRecord, Decode},
    log::{Log, Membership, Producer, ProducerSpec, RequestSizes},
    record::{Chunk, Data, Partition, RawChunk, RawChunkBuilder, TopicPartition},
    source::BadRecordPolicy,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Most records in one transaction of the listing: files beyond it are listed in the next one.
const RECORDS_MAX: usize = 50_000;
/// How often a reader that returns nothing before the end is asked again.
const SILENT_MAX: u32 = 300;

/// Which files a stream reads: see [`StreamingContext::file_stream`](crate::StreamingContext::file_stream).
///
/// ```
/// use std::time::Duration;
/// use tidegate::source::FileOptions;
/// let logs = FileOptions::new("/var/spool/logs").suffix(".log").look_every(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
pub struct FileOptions {
    dir: PathBuf,
    name: Option<String>,
    policy: BadRecordPolicy,
    layout: Layout,
    suffix: String,
    new_files_only: bool,
    look_every: Duration,
    settle_time: Duration,
}

impl FileOptions {
    /// The files in a directory, not those in its subdirectories. Files whose names begin with `.` or `_` are
    /// skipped.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        FileOptions {
            dir: dir.into(),
            name: None,
            policy: BadRecordPolicy::default(),
            layout: Layout::Lines,
            suffix: String::new(),
            new_files_only: false,
            look_every: Duration::from_secs(1),
            settle_time: Duration::from_secs(2),
        }
    }

    /// Durable name of the stream; part of the name of its topic. Default: derived from the directory's path.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only files whose names end with this suffix.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }

    /// Skips files that already exist when the program runs for the first time.
    #[must_use]
    pub fn new_files_only(mut self) -> Self {
        self.new_files_only = true;
        self
    }

    /// The pause between two scans of the directory; default 1 s.
    #[must_use]
    pub fn look_every(mut self, pause: Duration) -> Self {
        self.look_every = pause.max(Duration::from_millis(1));
        self
    }

    /// A file is complete when neither its length nor its modification time has changed for this long; default 2 s.
    /// Zero is right for a directory into which complete files are renamed: they are read at the next scan.
    #[must_use]
    pub fn settle_time(mut self, time: Duration) -> Self {
        self.settle_time = time;
        self
    }

    /// The files hold records of so many bytes each, one after the other, instead of lines. See
    /// [`FixedBytes`](super::FixedBytes) for what is read of them.
    #[must_use]
    pub fn record_bytes(mut self, bytes: NonZeroU32) -> Self {
        self.layout = Layout::Fixed(bytes);
        self
    }

    /// What to do with lines that cannot be decoded, and with files that cannot be read or are gone after they were
    /// listed.
    #[must_use]
    pub fn on_bad_record(mut self, policy: BadRecordPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The source that reads these files.
    pub fn source<T: Data>(self, decode: impl Decode<T> + 'static) -> FileSource {
        let decoder =
            Arc::new(Parts { dir: self.dir.clone(), layout: self.layout, decode, row: PhantomData });
        self.source_with(decoder)
    }

    /// The same with a decoder of whole chunks, for which a line is the value of a record. `skips_empty_lines` = they are no records.
    #[cfg(feature = "sql")]
    pub(crate) fn source_of(self, lines: Arc<dyn DecodeChunk>, skips_empty_lines: bool) -> FileSource {
        let decoder = Arc::new(ChunksOfLines { dir: self.dir.clone(), lines, skips_empty_lines });
        self.source_with(decoder)
    }

    fn source_with(self, decoder: Arc<dyn DecodeChunk>) -> FileSource {
        let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
        let path = self.dir.to_string_lossy().trim_matches('/').chars().map(clean).collect::<String>();
        FileSource {
            name: self.name.clone().unwrap_or_else(|| format!("files-{path}")),
            policy: self.policy,
            decoder,
            lister: Arc::new(Mutex::new(Lister { options: self })),
        }
    }

    fn takes(&self, name: &str) -> bool {
        !name.starts_with(['.', '_']) && name.ends_with(&self.suffix)
    }
}

/// The parts of a file source.
pub struct FileSource {
    /// Its durable name.
    pub name: String,
    /// What to do with bad lines and files.
    pub policy: BadRecordPolicy,
    /// Turns references into rows.
    pub decoder: Arc<dyn DecodeChunk>,
    /// Lists the directory into the topic.
    pub lister: Arc<Mutex<dyn RunReceiver>>,
}

/// Lists a directory into its topic.
struct Lister {
    options: FileOptions,
}

/// What a lister knows while it is running.
#[derive(Default)]
struct Listing {
    begun: bool,
    listed: BTreeSet<(String, u128)>,
    /// Modification time and length of each, to which a file that was renamed is recognised.
    contents: BTreeSet<(u128, u64)>,
    /// Whether a warning said already that a file is read again.
    warned: bool,
    /// Files that may still grow, and for how long they have not.
    settling: BTreeMap<String, (Version, Duration)>,
    /// Those that were found first, are as they were and are not listed yet; `None` = nothing was looked for yet.
    first: Option<Vec<Version>>,
}

impl RunReceiver for Lister {
    fn run(&mut self, to: &Intake) -> Result<(), ReceiverError> {
        let (log, topic) = to.topic.as_ref().ok_or("files are listed into a topic")?;
        // A lister that still runs elsewhere is fenced off here: from now on, the topic holds everything that was
        // listed.
        let mut producer = log.producer(&ProducerSpec {
            transactional_id: Some(topic.clone()),
            transaction_timeout: Duration::from_secs(15),
            group: String::new(),
            buffer_bytes: 16 << 20,
            sizes: RequestSizes::default(),
        })?;
        producer.init()?;
        let mut listing = Listing::read(log.as_ref(), topic, to)?;
        entries(&self.options)?;
        to.health.receives();
        while !to.is_stopped() {
            let found = files(&self.options, to)?;
            let references = listing.complete(found, &self.options);
            if !references.is_empty() {
                write(producer.as_mut(), topic, &references)?;
                to.health.receives();
            }
            if listing.has_the_first() {
                to.caught_up();
            }
            if references.len() < RECORDS_MAX {
                to.sleep(self.options.look_every);
            }
        }
        Ok(())
    }
}

impl Listing {
    /// What earlier runs wrote.
    fn read(log: &dyn Log, topic: &str, to: &Intake) -> Result<Self, ReceiverError> {
        let mut listing = Listing::default();
        let at = TopicPartition::new(topic, 0);
        let (mut next, end) = (log.start_offset(&at)?, log.end_offset(&at)?);
        if next == end {
            return Ok(listing);
        }
        let (mut reader, mut silent) = (log.read(&at, next)?, 0);
        while next < end {
            if to.is_stopped() || silent > SILENT_MAX {
                return Err(format!("{at} ends at {end}, but was only read up to {next}").into());
            }
            let Some(fetched) = reader.next(Duration::from_millis(100))? else {
                silent += 1;
                continue;
            };
            (next, silent) = (fetched.next, 0);
            for record in fetched.records.iter() {
                match Reference::parse(record.value)? {
                    Reference::Begun => listing.begun = true,
                    Reference::Passed(file) | Reference::Range { file, .. } => listing.remember(&file),
                }
            }
        }
        Ok(listing)
    }

    fn remember(&mut self, file: &Version) {
        self.listed.insert((file.name.clone(), file.mtime_ns));
        self.contents.insert((file.mtime_ns, file.len));
    }

    /// Says, once, that a file is read again as a whole, which is seldom what was meant.
    fn warn_of(&mut self, file: &Version, options: &FileOptions) {
        let of_name = (file.name.clone(), 0)..=(file.name.clone(), u128::MAX);
        let what = if self.listed.range(of_name).next().is_some() {
            "was read before and has changed since"
        } else if file.len > 0 && self.contents.contains(&(file.mtime_ns, file.len)) {
            "has the modification time and the length of a file that was read before"
        } else {
            return;
        };
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "{}: {what}; it is read again as a whole, and so is each file that changes or is renamed (said once)\n  next: put complete files into the directory, under names that stay",
                options.dir.join(&file.name).display()
            );
        }
    }

    /// The references to write for the files that were found.
    fn complete(&mut self, found: Vec<Version>, options: &FileOptions) -> Vec<Reference> {
        let first = !std::mem::replace(&mut self.begun, true);
        let mut references: Vec<Reference> = first.then_some(Reference::Begun).into_iter().collect();
        let mut settling = BTreeMap::new();
        for file in found {
            let place = (file.name.clone(), file.mtime_ns);
            if self.listed.contains(&place) {
                continue;
            }
            let quiet = match self.settling.remove(&file.name) {
                Some((before, quiet)) if before == file => quiet + options.look_every,
                _ => Duration::ZERO,
            };
            if first && options.new_files_only {
                self.remember(&file);
                references.push(Reference::Passed(file));
            } else if quiet >= options.settle_time && references.len() < RECORDS_MAX {
                self.warn_of(&file, options);
                self.remember(&file);
                references.extend(file.ranges());
            } else {
                settling.insert(file.name.clone(), (file, quiet));
            }
        }
        self.settling = settling;
        references
    }

    /// Whether all files that were found first are listed; one that changes meanwhile was not complete.
    fn has_the_first(&mut self) -> bool {
        let settling = &self.settling;
        let first =
            self.first.get_or_insert_with(|| settling.values().map(|(file, _)| file.clone()).collect());
        first.retain(|file| settling.get(&file.name).is_some_and(|(now, _)| now == file));
        first.is_empty()
    }
}

fn broken(options: &FileOptions, why: &std::io::Error) -> ReceiverError {
    format!("listing {}: {why}", options.dir.display()).into()
}

fn entries(options: &FileOptions) -> Result<std::fs::ReadDir, ReceiverError> {
    std::fs::read_dir(&options.dir).map_err(|e| broken(options, &e))
}

/// The files that exist, oldest first.
fn files(options: &FileOptions, to: &Intake) -> Result<Vec<Version>, ReceiverError> {
    let mut found = vec![];
    for entry in entries(options)? {
        let entry = entry.map_err(|e| broken(options, &e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            to.health
                .failed(&format!("{}: the name is not UTF-8, the file is skipped", entry.path().display()));
            continue;
        };
        // Whatever happened to it in the meantime, the next scan will see it; links are followed.
        if options.takes(name)
            && let Ok(metadata) = std::fs::metadata(entry.path())
        {
            found.extend(Version::of(name, &metadata));
        }
    }
    found.sort_by(|a, b| (a.mtime_ns, &a.name).cmp(&(b.mtime_ns, &b.name)));
    Ok(found)
}

/// All or nothing; an unknown outcome ends the lister, and the next one reads what the outcome was.
fn write(producer: &mut dyn Producer, topic: &str, references: &[Reference]) -> Result<(), ReceiverError> {
    let mut records = RawChunkBuilder::default();
    references.iter().for_each(|r| r.push(&mut records));
    let nobody = Membership { member_id: String::new(), generation: -1, handle: Arc::new(()) };
    producer.begin()?;
    producer.send(topic, Some(Partition(0)), &records.build())?;
    producer.flush()?;
    let _ = crate::failpoint::passes("before-listing");
    producer.commit(&[], &nobody)?;
    let _ = crate::failpoint::passes("after-listing");
    if producer.suspect() {
        return Err("the log was slow; the lister starts over".into());
    }
    Ok(())
}

/// Turns references into lines or records of a fixed length, and these into rows.
struct Parts<T, D> {
    dir: PathBuf,
    layout: Layout,
    decode: D,
    row: PhantomData<fn() -> T>,
}

/// The parts of a file that a record refers to, with the name of the file; `None` = there are none, or they are read elsewhere.
fn referred(dir: &Path, layout: Layout, value: Option<&[u8]>) -> Result<Option<(RawChunk, String)>, String> {
    let (file, from, to) = match Reference::parse(value)? {
        Reference::Range { file, from, to } => (file, from, to),
        Reference::Begun | Reference::Passed(_) => return Ok(None),
    };
    let parts = parts(dir, layout, &file, from, to)?;
    if parts.is_none() {
        tracing::warn!(
            "{}: was changed after it was listed; it is read as it is now, once it stays unchanged",
            dir.join(&file.name).display()
        );
    }
    Ok(parts.map(|parts| (parts, file.name)))
}

/// A part that is no row, as it is told of the record at `index` that refers to it.
fn bad_part(index: usize, name: &str, layout: Layout, parts: &RawChunk, bad: BadRecord) -> BadRecord {
    let (at, reason) = (parts.get(bad.index).offset, bad.reason);
    BadRecord { index, reason: format!("{name}, the {} at byte {at}: {reason}", layout.part()) }
}

/// About how many bytes of text records refer to.
fn referred_bytes(records: &RawChunk) -> usize {
    let bytes = |value| match Reference::parse(value) {
        Ok(Reference::Range { file, from, to }) => {
            usize::try_from(file.text_bytes(from, to)).unwrap_or(usize::MAX)
        }
        _ => 0,
    };
    records.bytes() + records.iter().map(|r| bytes(r.value)).sum::<usize>()
}

impl<T: Data, D: Decode<T>> Parts<T, D> {
    fn range(&self, index: usize, value: Option<&[u8]>, good: &mut Vec<T>, bad: &mut Vec<BadRecord>) {
        match referred(&self.dir, self.layout, value) {
            Err(reason) => bad.push(BadRecord { index, reason }),
            Ok(None) => {}
            Ok(Some((parts, name))) => {
                let mut bad_parts = vec![];
                decode::all(&self.decode, &parts, good, &mut bad_parts);
                let told = |bad| bad_part(index, &name, self.layout, &parts, bad);
                bad.extend(bad_parts.into_iter().map(told));
            }
        }
    }
}

impl<T: Data, D: Decode<T>> DecodeChunk for Parts<T, D> {
    fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
        let (mut good, mut bad) = (vec![], vec![]);
        for (index, record) in records.iter().enumerate() {
            self.range(index, record.value, &mut good, &mut bad);
        }
        (Chunk::rows(good), bad)
    }

    fn bytes(&self, records: &RawChunk) -> usize {
        referred_bytes(records)
    }

    /// Each record may become a whole range of lines.
    fn chunk_records_max(&self) -> usize {
        1
    }
}

/// Turns references into lines, and hands all of them to a decoder of chunks.
#[cfg(feature = "sql")]
struct ChunksOfLines {
    dir: PathBuf,
    lines: Arc<dyn DecodeChunk>,
    skips_empty_lines: bool,
}

#[cfg(feature = "sql")]
impl DecodeChunk for ChunksOfLines {
    fn decode(&self, records: &RawChunk) -> (Chunk, Vec<BadRecord>) {
        let (mut all, mut bad, mut origins) = (RawChunkBuilder::default(), vec![], vec![]);
        for (index, record) in records.iter().enumerate() {
            match referred(&self.dir, Layout::Lines, record.value) {
                Err(reason) => bad.push(BadRecord { index, reason }),
                Ok(None) => {}
                Ok(Some((lines, name))) => {
                    let name: Arc<str> = name.into();
                    for line in lines.iter() {
                        if self.skips_empty_lines && line.value.is_none_or(<[u8]>::is_empty) {
                            continue;
                        }
                        all.push(line);
                        origins.push((index, name.clone()));
                    }
                }
            }
        }
        let all = all.build();
        let (chunk, bad_lines) = self.lines.decode(&all);
        bad.extend(bad_lines.into_iter().map(|bad| {
            let (index, name) = &origins[bad.index];
            bad_part(*index, name, Layout::Lines, &all, bad)
        }));
        bad.sort_by_key(|bad| bad.index);
        (chunk, bad)
    }

    fn bytes(&self, records: &RawChunk) -> usize {
        referred_bytes(records)
    }

    /// Each record may become a whole range of lines.
    fn chunk_records_max(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, mtime_ns: u128, len: u64) -> Version {
        Version { name: name.into(), mtime_ns, len }
    }

    fn names(references: &[Reference]) -> Vec<&str> {
        let name = |r| match r {
            &Reference::Begun => "begun",
            Reference::Passed(_) => "passed",
            Reference::Range { file, .. } => file.name.as_str(),
        };
        references.iter().map(name).collect()
    }

    fn empty() -> Listing {
        Listing::default()
    }

    #[test]
    fn a_file_is_listed_once_it_has_settled() {
        let options = FileOptions::new("d").settle_time(Duration::from_secs(2));
        let mut listing = empty();
        assert_eq!(names(&listing.complete(vec![file("a", 1, 5)], &options)), ["begun"]);
        for (mtime, len) in [(1, 6), (2, 6), (2, 6)] {
            assert!(listing.complete(vec![file("a", mtime, len)], &options).is_empty(), "{mtime} {len}");
        }
        assert_eq!(names(&listing.complete(vec![file("a", 2, 6)], &options)), ["a"]);
        assert!(listing.complete(vec![file("a", 2, 6)], &options).is_empty(), "once");
        (0..2).for_each(|_| assert!(listing.complete(vec![file("a", 3, 9)], &options).is_empty()));
        assert_eq!(names(&listing.complete(vec![file("a", 3, 9)], &options)), ["a"], "written again");
    }

    #[test]
    fn files_from_before_the_first_start_are_skipped_only_then() {
        let options = FileOptions::new("d").settle_time(Duration::ZERO).new_files_only();
        let mut listing = empty();
        assert_eq!(names(&listing.complete(vec![file("old", 9, 5)], &options)), ["begun", "passed"]);
        let both = vec![file("old", 9, 5), file("moved in", 1, 5)];
        assert_eq!(names(&listing.complete(both, &options)), ["moved in"]);
    }

    #[test]
    fn hidden_files_and_other_suffixes_are_not_listed() {
        let options = FileOptions::new("d").suffix(".log");
        assert_eq!(
            ["a.log", ".a.log", "_a.log", "a.tmp"].map(|n| options.takes(n)),
            [true, false, false, false]
        );
    }
}
