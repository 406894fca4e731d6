//! Ranges of files as records, and the lines in them.
//!
//! Owns the format of a reference and the rule which line belongs to which range. Knows no stream and no listing.
//! Invariants: a line belongs to the range in which it begins, so each line of a file is in exactly one of its
//! ranges; a file that has changed since it was listed yields no line at all.

use crate::record::{Headers, Offset, RawChunk, RawChunkBuilder, RawRecord};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
    time::UNIX_EPOCH,
};

/// Large files are cut into ranges of this many bytes.
pub(super) const RANGE_BYTES: u64 = 8 << 20;
/// A line longer than this, in bytes, makes its range bad.
const LINE_BYTES_MAX: usize = 64 << 20;

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

    /// Its ranges; an empty file has one too, so that it is remembered.
    pub fn ranges(&self) -> impl Iterator<Item = Reference> {
        let starts = (0..self.len.max(1)).step_by(usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX));
        let range = |from: u64| Reference::Range {
            file: self.clone(),
            from,
            to: self.len.min(from.saturating_add(RANGE_BYTES)),
        };
        starts.map(range)
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

/// The lines that begin in a range, without their line endings, as the values of records whose offset is the byte
/// at which they begin.
pub(super) fn lines(dir: &Path, file: &Version, from: u64, to: u64) -> Result<RawChunk, String> {
    let path = dir.join(&file.name);
    let broken = |e: std::io::Error| format!("{}: {e}", path.display());
    let open = File::open(&path).map_err(broken)?;
    let check = || match Version::of(&file.name, &open.metadata().map_err(broken)?) {
        Some(now) if now == *file => Ok(()),
        _ => Err(format!("{}: was changed after it was listed", path.display())),
    };
    check()?;
    let mut lines = RawChunkBuilder::default();
    let mut reader = BufReader::with_capacity(256 << 10, &open);
    let mut at = from.saturating_sub(1); // the byte before shows whether a line begins at `from`
    reader.seek(SeekFrom::Start(at)).map_err(broken)?;
    let mut line = vec![];
    if from > 0 {
        at += pass_line(&mut reader).map_err(broken)?;
    }
    while at < to {
        line.clear();
        read_line(&mut reader, &mut line).map_err(broken)?;
        if line.is_empty() {
            break;
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(format!(
                "{}: the line at byte {at} has more than {LINE_BYTES_MAX} bytes",
                path.display()
            ));
        }
        let end = line.strip_suffix(b"\n").map_or(&line[..], |l| l.strip_suffix(b"\r").unwrap_or(l));
        let (offset, value) = (Offset(at), Some(end));
        lines.push(RawRecord { offset, timestamp_ms: -1, key: None, value, headers: Headers::NONE });
        at += line.len() as u64;
    }
    check()?;
    Ok(lines.build())
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

    fn texts(chunk: &RawChunk) -> Vec<String> {
        chunk.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
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
                seen.extend(texts(&lines(dir.path(), &file, from, file.len.min(from + width)).unwrap()));
            }
            prop_assert_eq!(seen, text.lines().map(str::to_owned).collect::<Vec<_>>());
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
        assert_eq!(texts(&lines(dir.path(), &file, 0, 4).unwrap()), ["1", "2"]);
        std::fs::write(dir.path().join("ä b"), "1\n2\n3\n").unwrap();
        assert!(lines(dir.path(), &file, 0, 4).unwrap_err().contains("was changed after it was listed"));
        std::fs::remove_file(dir.path().join("ä b")).unwrap();
        assert!(lines(dir.path(), &file, 0, 4).unwrap_err().contains("No such file"));
    }
}
