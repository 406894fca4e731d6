//! A file to which rows are appended, each exactly once.
//!
//! A line is `row JSON`, or `end POSITION TOPIC ID`: the rows before it are written, and those of the topic
//! before the position are among them. Invariants: rows and the end line after them are one append; what
//! follows the last end line is an append that was cut short and does not count; whoever appends holds the
//! lock of the file and has seen all of it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use tidegate::{
    Error,
    codec::Json,
    log::Log,
    record::{Offset, RawChunk, Value},
    sink::{OutboxFailure, OutboxSource, OutboxWriter, Sink, SinkContext, SinkShape},
};

/// Appends the rows of a stream to a file, each as a JSON document, each exactly once.
///
/// ```
/// use journal_sink::{JournalSink, rows};
/// use tidegate::{StreamingContext, testing::Driver};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("tides.journal");
/// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("tides").to_sink(JournalSink::new(&path)));
/// driver.batch("tides 0 | - | high\n")?;
/// driver.restart();
/// driver.batch("tides 0 | - | low\n")?;
/// assert_eq!(rows(&path).unwrap(), [r#""high""#, r#""low""#]);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JournalSink {
    path: PathBuf,
    name: String,
}

impl JournalSink {
    /// Appends to the file at `path`, which is created if it is missing. Its name is also the name of the
    /// output.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        JournalSink { path, name }
    }

    /// The durable name of the output, if it should not be that of the file.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        JournalSink { name: name.to_owned(), ..self }
    }
}

impl<T: Value> Sink<T> for JournalSink {
    fn shape(self, context: &SinkContext) -> Result<SinkShape<T>, String> {
        let JournalSink { path, name } = self;
        SinkShape::outbox(context, &name, Json, move || Writer::to(&path))
    }
}

/// The rows that count, in their order.
///
/// # Errors
/// If the file cannot be read, or is not a journal.
pub fn rows(path: impl AsRef<Path>) -> io::Result<Vec<String>> {
    let mut read = vec![];
    let end = last_end(&File::open(path)?, |row| read.push(row.to_owned()))?;
    read.truncate(end.map_or(0, |end| end.rows));
    Ok(read)
}

/// An end line, and what comes before it.
#[derive(Default)]
struct End {
    rows: usize,
    bytes: u64,
    position: u64,
    topic: String,
    topic_id: String,
}

/// The last end line; `row` is called with each row, including those after it.
fn last_end(file: &File, mut row: impl FnMut(&str)) -> io::Result<Option<End>> {
    let (mut reader, mut line) = (BufReader::new(file), vec![]);
    let (mut rows, mut bytes, mut last) = (0, 0, None);
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        bytes += line.len() as u64;
        let text = String::from_utf8_lossy(&line);
        match text.trim_end().split_once(' ') {
            Some(("row", json)) => {
                rows += 1;
                row(json);
            }
            Some(("end", rest)) => {
                let mut words = rest.split(' ');
                let position = words.next().and_then(|word| word.parse().ok());
                let position = position.ok_or_else(|| io::Error::other("an end without a position"))?;
                let mut text = || words.next().unwrap_or_default().to_owned();
                last = Some(End { rows, bytes, position, topic: text(), topic_id: text() });
            }
            _ => return Err(io::Error::other(format!("`{}` is not a line of a journal", text.trim_end()))),
        }
        line.clear();
    }
    Ok(last)
}

struct Writer {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    source: OutboxSource,
    /// How much of the file was seen.
    bytes: u64,
}

impl Writer {
    fn to(path: &Path) -> Self {
        Writer { path: path.to_owned(), open: None }
    }

    fn unavailable(&self, e: &io::Error) -> OutboxFailure {
        OutboxFailure::Unavailable(format!("{}: {e}", self.path.display()))
    }

    fn try_open(&self) -> io::Result<(File, End)> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        file.lock()?;
        let end = last_end(&file, |_| {})?.unwrap_or_default();
        file.set_len(end.bytes)?; // removes an append that was cut short
        file.seek(SeekFrom::Start(end.bytes))?;
        file.unlock()?;
        Ok((file, end))
    }
}

impl OutboxWriter for Writer {
    fn open(&mut self, source: &OutboxSource, _: &dyn Log) -> Result<Offset, OutboxFailure> {
        let (file, end) = self.try_open().map_err(|e| self.unavailable(&e))?;
        let (is, was) = ((&source.topic, &source.topic_id), (&end.topic, &end.topic_id));
        if end.bytes > 0 && is != was {
            let path = self.path.display();
            return Err(OutboxFailure::Broken(Error::Undelivered(format!(
                "{path} is the journal of another topic, {} {}, not of {} {}",
                was.0, was.1, is.0, is.1
            ))));
        }
        self.open = Some(Open { file, source: source.clone(), bytes: end.bytes });
        Ok(Offset(end.position))
    }

    fn write(&mut self, records: &RawChunk, _: Offset, to: Offset) -> Result<(), OutboxFailure> {
        let mut open = self.open.take().expect("opened before");
        let written = open.append(records, to).map_err(|e| self.unavailable(&e))?;
        self.open = Some(open);
        if written { Ok(()) } else { Err(OutboxFailure::Superseded) }
    }

    fn reposition(&self, start: Offset) -> String {
        format!("set the position in the last line of {} to {start}", self.path.display())
    }
}

impl Open {
    /// Returns whether the file was as expected; otherwise nothing is written.
    fn append(&mut self, records: &RawChunk, to: Offset) -> io::Result<bool> {
        let mut lines = vec![];
        for record in records.iter() {
            lines.extend_from_slice(b"row ");
            lines.extend_from_slice(record.value.unwrap_or(b"null"));
            lines.push(b'\n');
        }
        writeln!(lines, "end {to} {} {}", self.source.topic, self.source.topic_id)?;
        self.file.lock()?;
        let as_seen = self.file.metadata()?.len() == self.bytes;
        if as_seen {
            self.file.write_all(&lines)?;
            self.file.sync_data()?;
            self.bytes += lines.len() as u64;
        }
        self.file.unlock()?;
        Ok(as_seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tidegate::record::RawChunkBuilder;

    fn one(value: &str) -> RawChunk {
        let mut chunk = RawChunkBuilder::default();
        let write = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(value.as_bytes());
            Ok::<_, Error>(true)
        };
        chunk.push_with(-1, None, write).unwrap();
        chunk.build()
    }

    #[test]
    fn of_two_writers_one_continues_and_half_an_append_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let log = tidegate::log::open("memory:", &BTreeMap::new()).unwrap();
        let source = OutboxSource { application: "app".into(), topic: "t".into(), topic_id: "1".into() };
        let (mut old, mut new) = (Writer::to(&path), Writer::to(&path));
        assert_eq!(old.open(&source, &*log).unwrap(), Offset(0));
        assert_eq!(new.open(&source, &*log).unwrap(), Offset(0));
        new.write(&one("1"), Offset(0), Offset(1)).unwrap();
        let late = old.write(&one("2"), Offset(0), Offset(1));
        assert!(matches!(late, Err(OutboxFailure::Superseded)), "{late:?}");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"row 2\nrow 3\nend 3 t").unwrap();
        assert_eq!(rows(&path).unwrap(), ["1"]);
        let mut again = Writer::to(&path);
        assert_eq!(again.open(&source, &*log).unwrap(), Offset(1));
        again.write(&one("2"), Offset(1), Offset(2)).unwrap();
        assert_eq!(rows(&path).unwrap(), ["1", "2"]);
        let another = OutboxSource { topic_id: "2".into(), ..source };
        assert!(matches!(again.open(&another, &*log), Err(OutboxFailure::Broken(_))));
    }
}
