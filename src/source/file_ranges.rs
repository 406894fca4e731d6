//! Ranges of files as records, and the lines, or the records of a fixed length, in them.
//!
//! Owns the format of a reference and the rule which line belongs to which range. Knows no stream and no listing.
//! Invariants: a line belongs to the range in which it begins, so each line of a file is in exactly one of its
//! ranges; a packed file (`.gz`) has one range; a file that has changed since it was listed yields no line at all, as
//! its new version is listed too.

use crate::record::{Headers, Offset, RawChunk, RawChunkBuilder, RawRecord};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    num::NonZeroU32,
    path::Path,
    time::UNIX_EPOCH,
};

/// Large files are cut into ranges of this many bytes.
pub(super) const RANGE_BYTES: u64 = 8 << 20;
/// A line longer than this, in bytes, makes its range bad.
const LINE_BYTES_MAX: usize = 64 << 20;
/// A packed file is read as a whole: its text may have so many bytes.
const UNPACKED_BYTES_MAX: u64 = 512 << 20;
/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// What a packed file is estimated to become.
const PACKED_RATIO: u64 = 8;
/// How a text in UTF-8 may begin.
const MARK_UTF8: &[u8] = b"\xef\xbb\xbf";
/// How a text in UTF-16 begins.
const MARKS_UTF16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Layout {
    /// Lines of text.
    #[default]
    Lines,
    /// Records of so many bytes each; the last one may be cut off.
    Fixed(NonZeroU32),
}

impl Layout {
    /// What a part of such a file is called.
    pub fn part(self) -> &'static str {
        match self {
            Layout::Lines => "line",
            Layout::Fixed(_) => "record",
        }
    }
}

/// A file as it was when it was listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Version {
    /// Its name in the directory.
    pub name: String,
    /// When it was last modified, in nanoseconds since the epoch.
    pub mtime_ns: u128,
    /// Its length in bytes.
    pub len: u64,
}

/// A record of the source's topic: a part of a file, or something else the listing has to remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reference {
    /// The first listing is complete.
    Begun,
    /// This file is skipped: it existed before the program first ran.
    Passed(Version),
    /// The lines that begin in these bytes of the file.
    Range {
        /// The file.
        file: Version,
        /// First byte.
        from: u64,
        /// The byte after the last.
        to: u64,
    },
}

impl Version {
    /// The file as it is now; `None` = it is not a file.
    pub fn of(name: &str, metadata: &std::fs::Metadata) -> Option<Self> {
        let mtime_ns = metadata.modified().ok()?.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        metadata.is_file().then(|| Version { name: name.to_owned(), mtime_ns, len: metadata.len() })
    }

    /// Whether it is packed by gzip, which shows in its name.
    fn is_packed(&self) -> bool {
        Path::new(&self.name).extension().is_some_and(|end| end == "gz")
    }

    /// Its ranges; an empty file has one too, so that it is remembered.
    pub fn ranges(&self) -> impl Iterator<Item = Reference> {
        let width = if self.is_packed() { self.len.max(1) } else { RANGE_BYTES };
        let starts = (0..self.len.max(1)).step_by(usize::try_from(width).unwrap_or(usize::MAX));
        let range = move |from: u64| Reference::Range {
            file: self.clone(),
            from,
            to: self.len.min(from.saturating_add(width)),
        };
        starts.map(range)
    }

    /// About how many bytes of text are between two of its bytes.
    pub fn text_bytes(&self, from: u64, to: u64) -> u64 {
        let ratio = if self.is_packed() { PACKED_RATIO } else { 1 };
        to.saturating_sub(from).saturating_mul(ratio)
    }
}

impl Reference {
    /// Its unique key in a compacted topic.
    fn key(&self) -> String {
        match self {
            Reference::Begun => "begun".into(),
            Reference::Passed(file) => format!("file/{}/{}", file.mtime_ns, file.name),
            Reference::Range { file, from, .. } => format!("range/{from}/{}/{}", file.mtime_ns, file.name),
        }
    }

    /// Appends it as a record.
    pub fn push(&self, out: &mut RawChunkBuilder) {
        let value = serde_json::to_vec(self).expect("strings and numbers only");
        let (key, value) = (self.key().into_bytes(), Some(value.as_slice()));
        let record =
            RawRecord { offset: Offset(0), timestamp_ms: -1, key: Some(&key), value, headers: Headers::NONE };
        out.push(record);
    }

    /// Reads it from a record's value.
    pub fn parse(value: Option<&[u8]>) -> Result<Self, String> {
        serde_json::from_slice(value.unwrap_or_default())
            .map_err(|e| format!("not a reference to a file: {e}"))
    }
}

/// The lines that begin in a range, without their line endings, or the records that do, as the values of records whose
/// offset is the byte of the (unpacked) file at which they begin; `None` = the file has been written again since, and
/// is read as it is now.
pub(super) fn parts(
    dir: &Path,
    layout: Layout,
    file: &Version,
    from: u64,
    to: u64,
) -> Result<Option<RawChunk>, String> {
    let path = dir.join(&file.name);
    let broken = |e: std::io::Error| format!("{}: {e}", path.display());
    let open = File::open(&path).map_err(broken)?;
    let is_current = || match Version::of(&file.name, &open.metadata().map_err(broken)?) {
        Some(now) if now == *file => Ok(true),
        Some(now) if now.mtime_ns != file.mtime_ns => Ok(false),
        _ => {
            Err(format!("{}: was changed after it was listed, but not its modification time", path.display()))
        }
    };
    if !is_current()? {
        return Ok(None);
    }
    let read = || -> Result<RawChunk, String> {
        if file.is_packed() {
            let unpacked = MultiGzDecoder::new(&open).take(UNPACKED_BYTES_MAX + 1);
            let mut reader = BufReader::with_capacity(BUFFER_BYTES, unpacked);
            if let Layout::Fixed(length) = layout {
                return records_of(reader, 0, u64::MAX, length);
            }
            let at = pass_mark(&mut reader)?;
            return lines_of(reader, at, u64::MAX);
        }
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, &open);
        if let Layout::Fixed(length) = layout {
            let at = from.next_multiple_of(u64::from(length.get()));
            reader.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
            return records_of(reader, at, to, length);
        }
        let mut at = pass_mark(&mut reader)?;
        if from > 0 {
            at = from - 1; // the byte before shows whether a line begins at `from`
            reader.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
            at += pass_line(&mut reader).map_err(|e| e.to_string())?;
        }
        lines_of(reader, at, to)
    };
    let read = read();
    // Whatever was read of a file that changes means nothing.
    if is_current()? { read.map(Some).map_err(|why| format!("{}: {why}", path.display())) } else { Ok(None) }
}

/// Reads past the mark of UTF-8, if the text begins with it; returns how many bytes that were.
fn pass_mark(reader: &mut impl BufRead) -> Result<u64, String> {
    let start = reader.fill_buf().map_err(|e| e.to_string())?;
    if MARKS_UTF16.iter().any(|mark| start.starts_with(mark)) {
        return Err(
            "the text is in UTF-16\n  help: convert it, for example with `iconv -f UTF-16 -t UTF-8`".into()
        );
    }
    let length = if start.starts_with(MARK_UTF8) { MARK_UTF8.len() } else { 0 };
    reader.consume(length);
    Ok(length as u64)
}

/// The lines from the byte `at`, where one begins, up to the last that begins before `to`.
fn lines_of(mut reader: impl BufRead, mut at: u64, to: u64) -> Result<RawChunk, String> {
    let (mut lines, mut line) = (RawChunkBuilder::default(), vec![]);
    while at < to {
        line.clear();
        read_line(&mut reader, &mut line).map_err(|e| e.to_string())?;
        if line.is_empty() {
            break;
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(format!("the line at byte {at} has more than {LINE_BYTES_MAX} bytes"));
        }
        let end = line.strip_suffix(b"\n").map_or(&line[..], |l| l.strip_suffix(b"\r").unwrap_or(l));
        let (offset, value) = (Offset(at), Some(end));
        lines.push(RawRecord { offset, timestamp_ms: -1, key: None, value, headers: Headers::NONE });
        at += line.len() as u64;
    }
    check_unpacked(at, to)?;
    Ok(lines.build())
}

/// Refuses a packed file, which has no end that is known before, that was not read to its end.
fn check_unpacked(at: u64, to: u64) -> Result<(), String> {
    if to == u64::MAX && at > UNPACKED_BYTES_MAX {
        return Err(format!(
            "it has more than {UNPACKED_BYTES_MAX} bytes when unpacked\n  help: unpack it, or split it"
        ));
    }
    Ok(())
}

/// The records from the byte `at`, where one begins, up to the last that begins before `to`; the last one of the file may be shorter.
fn records_of(
    mut reader: impl BufRead,
    mut at: u64,
    to: u64,
    length: NonZeroU32,
) -> Result<RawChunk, String> {
    let (mut records, mut record) = (RawChunkBuilder::default(), vec![]);
    while at < to {
        record.clear();
        let mut rest = Read::take(&mut reader, u64::from(length.get()));
        rest.read_to_end(&mut record).map_err(|e| e.to_string())?;
        if record.is_empty() {
            break;
        }
        let (offset, value) = (Offset(at), Some(&record[..]));
        records.push(RawRecord { offset, timestamp_ms: -1, key: None, value, headers: Headers::NONE });
        at += record.len() as u64;
    }
    check_unpacked(at, to)?;
    Ok(records.build())
}

/// Reads past the end of the line; returns how many bytes that were.
fn pass_line(reader: &mut impl BufRead) -> std::io::Result<u64> {
    let mut passed = 0;
    loop {
        let there = reader.fill_buf()?;
        let end = there.iter().position(|b| *b == b'\n');
        let used = end.map_or(there.len(), |at| at + 1);
        reader.consume(used);
        passed += used as u64;
        if end.is_some() || used == 0 {
            return Ok(passed);
        }
    }
}

/// Reads a line with its end, at most one byte more than allowed.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    std::io::Read::take(reader, LINE_BYTES_MAX as u64 + 1).read_until(b'\n', line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(dir: &Path, name: &str) -> Version {
        Version::of(name, &dir.join(name).metadata().unwrap()).unwrap()
    }

    fn lines(dir: &Path, file: &Version, from: u64, to: u64) -> Result<Option<RawChunk>, String> {
        parts(dir, Layout::Lines, file, from, to)
    }

    fn texts(chunk: Option<&RawChunk>) -> Vec<String> {
        chunk
            .into_iter()
            .flat_map(RawChunk::iter)
            .map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn each_line_is_in_one_range_wherever_the_file_is_cut(
            lines_of in prop::collection::vec("[a-z]{0,12}", 0..20),
            ended in any::<bool>(),
            crlf in any::<bool>(),
            width in 1u64..20,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let end = if crlf { "\r\n" } else { "\n" };
            let mut text = lines_of.join(end);
            if ended && !lines_of.is_empty() { text.push_str(end); }
            std::fs::write(dir.path().join("f"), &text).unwrap();
            let file = version(dir.path(), "f");
            let mut seen = vec![];
            for from in (0..file.len).step_by(usize::try_from(width).unwrap()) {
                seen.extend(texts(lines(dir.path(), &file, from, file.len.min(from + width)).unwrap().as_ref()));
            }
            prop_assert_eq!(seen, text.lines().map(str::to_owned).collect::<Vec<_>>());
        }

        #[test]
        fn each_record_is_in_one_range_wherever_the_file_is_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            length in 1u32..9,
            width in 1u64..20,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::Fixed(NonZeroU32::new(length).unwrap());
            std::fs::write(dir.path().join("f"), &bytes).unwrap();
            std::fs::write(dir.path().join("f.gz"), pack(&bytes)).unwrap();
            let read = |name, from, to| {
                let file = version(dir.path(), name);
                let chunk = parts(dir.path(), layout, &file, from, to).unwrap().unwrap();
                chunk.iter().map(|r| (r.offset.0, r.value.unwrap().to_vec())).collect::<Vec<_>>()
            };
            let mut seen = vec![];
            for from in (0..bytes.len() as u64).step_by(usize::try_from(width).unwrap()) {
                seen.extend(read("f", from, (bytes.len() as u64).min(from + width)));
            }
            let records = bytes.chunks(length as usize).enumerate();
            let expected: Vec<_> = records.map(|(n, r)| (n as u64 * u64::from(length), r.to_vec())).collect();
            prop_assert_eq!(&seen, &expected);
            prop_assert_eq!(read("f.gz", 0, 1), expected);
        }
    }

    #[test]
    fn ranges_cover_a_file_and_an_empty_file_has_one() {
        let ranges = |len| {
            let file = Version { name: "f".into(), mtime_ns: 1, len };
            let bounds = |r| match r {
                Reference::Range { from, to, .. } => (from, to),
                other => panic!("{other:?}"),
            };
            file.ranges().map(bounds).collect::<Vec<_>>()
        };
        assert_eq!(ranges(0), [(0, 0)]);
        assert_eq!(ranges(RANGE_BYTES), [(0, RANGE_BYTES)]);
        assert_eq!(ranges(RANGE_BYTES + 1), [(0, RANGE_BYTES), (RANGE_BYTES, RANGE_BYTES + 1)]);
    }

    #[test]
    fn a_reference_survives_its_record_and_a_changed_file_yields_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ä b"), "1\n2\n").unwrap();
        let file = version(dir.path(), "ä b");
        let all = [Reference::Begun, Reference::Passed(file.clone()), file.ranges().next().unwrap()];
        let mut records = RawChunkBuilder::default();
        all.iter().for_each(|r| r.push(&mut records));
        let read: Vec<_> = records.build().iter().map(|r| Reference::parse(r.value).unwrap()).collect();
        assert_eq!(read, all);
        assert_eq!(texts(lines(dir.path(), &file, 0, 4).unwrap().as_ref()), ["1", "2"]);
        let (path, time) = (
            dir.path().join("ä b"),
            UNIX_EPOCH + std::time::Duration::from_nanos(u64::try_from(file.mtime_ns).unwrap()),
        );
        std::fs::write(&path, "1\n2\n3\n").unwrap();
        assert!(lines(dir.path(), &file, 0, 4).unwrap().is_none(), "its new version is listed");
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert!(lines(dir.path(), &file, 0, 4).unwrap_err().contains("but not its modification time"));
        std::fs::remove_file(dir.path().join("ä b")).unwrap();
        assert!(lines(dir.path(), &file, 0, 4).unwrap_err().contains("No such file"));
    }

    fn pack(text: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
        std::io::Write::write_all(&mut packer, text).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn packed_files_and_marks_of_encodings_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let whole = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            let file = version(dir.path(), name);
            assert_eq!(file.ranges().count(), 1);
            lines(dir.path(), &file, 0, file.len).map(|read| {
                let offsets = read.iter().flat_map(RawChunk::iter).map(|r| r.offset.0).collect::<Vec<_>>();
                (texts(read.as_ref()), offsets)
            })
        };
        let long = "packed well\n".repeat(1_000_000);
        assert_eq!(whole("long.gz", &pack(long.as_bytes())).unwrap().0.len(), 1_000_000);
        let two = [pack(b"\xef\xbb\xbfone\ntwo\n"), pack(b"three\n")].concat();
        assert_eq!(
            whole("a.gz", &two).unwrap(),
            (vec!["one".into(), "two".into(), "three".into()], vec![3, 7, 11])
        );
        assert_eq!(whole("empty.gz", &pack(b"")).unwrap().0, [""; 0]);
        assert_eq!(
            whole("mark.txt", b"\xef\xbb\xbfone\ntwo").unwrap(),
            (vec!["one".into(), "two".into()], vec![3, 7])
        );
        let half = &two[..two.len() / 2];
        assert!(
            whole("cut.gz", half).unwrap_err().contains("cut.gz: "),
            "a file that ends too early is no short file"
        );
        assert!(whole("no.gz", b"a text that nobody packed\n").unwrap_err().contains("invalid gzip header"));
        for (name, text) in [("le.txt", b"\xff\xfea\x00\n\x00"), ("be.txt", b"\xfe\xff\x00a\x00\n")] {
            let why = whole(name, text).unwrap_err();
            assert!(why.contains(name) && why.contains("UTF-16") && why.contains("iconv"), "{why}");
        }
        std::fs::write(dir.path().join("wide"), b"\xff\xfea\x00\n\x00").unwrap();
        assert!(lines(dir.path(), &version(dir.path(), "wide"), 4, 6).is_err(), "also a later part of it");
    }
}
