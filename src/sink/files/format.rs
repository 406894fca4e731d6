//! Formats of files, and how a file sink is described.
//!
//! Owns text and JSON lines, and the folders by time. Knows no file name and no engine. Invariant: what tasks encoded is written as it is.

use super::parquet::{self, Columns};
use crate::{
    error::{Error, Result},
    record::{BatchTime, Value},
    sink::to_display,
};
use arrow_array::RecordBatch;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::{fs::File, io::Write, sync::Arc};

/// Encoded rows.
pub enum Content {
    /// Lines of text or JSON.
    Lines(Vec<u8>),
    /// Columns, to be written as Parquet.
    Columns(RecordBatch),
}

/// Encodes rows in tasks.
pub trait FileFormat<T>: Send + Sync {
    /// Encodes rows, in order.
    ///
    /// # Errors
    /// If a row has no such form.
    fn encode(&self, rows: &[&T]) -> Result<Content>;

    /// The end of the names of its files.
    fn extension(&self) -> &'static str;
}

/// Each row a line, as `print` shows it.
pub(super) struct Lines;

impl<T: Serialize> FileFormat<T> for Lines {
    fn encode(&self, rows: &[&T]) -> Result<Content> {
        let mut lines = vec![];
        for row in rows {
            lines.extend_from_slice(to_display(*row)?.as_bytes());
            lines.push(b'\n');
        }
        Ok(Content::Lines(lines))
    }

    fn extension(&self) -> &'static str {
        "txt"
    }
}

/// Each row a line with a JSON document.
pub(super) struct JsonLines;

impl<T: Serialize> FileFormat<T> for JsonLines {
    fn encode(&self, rows: &[&T]) -> Result<Content> {
        let mut lines = vec![];
        for row in rows {
            serde_json::to_writer(&mut lines, row)
                .map_err(|e| Error::Codec(format!("a row has no JSON form: {e}")))?;
            lines.push(b'\n');
        }
        Ok(Content::Lines(lines))
    }

    fn extension(&self) -> &'static str {
        "json"
    }
}

/// Writes the contents of one file, all of one format.
pub(super) fn write(contents: &[&Content], file: &mut File) -> Result {
    let mut columns = vec![];
    for content in contents {
        match content {
            Content::Lines(lines) => file.write_all(lines).map_err(Error::io("writing lines to a file"))?,
            Content::Columns(batch) => columns.push(batch),
        }
    }
    if columns.is_empty() { Ok(()) } else { parquet::write(&columns, file) }
}

/// The length of the span of time that shares a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `date=2026-11-22`
    Day,
    /// `date=2026-11-22/hour=14`
    Hour,
    /// `date=2026-11-22/hour=14/minute=05`
    Minute,
}

impl TimeUnit {
    /// The folder of a time in milliseconds since the epoch, in UTC.
    fn folder(self, time_ms: i64) -> Result<String> {
        let time: DateTime<Utc> = DateTime::from_timestamp_millis(time_ms)
            .ok_or_else(|| Error::Row(format!("{time_ms} is no time in milliseconds since 1970")))?;
        let form = match self {
            TimeUnit::Day => "date=%Y-%m-%d",
            TimeUnit::Hour => "date=%Y-%m-%d/hour=%H",
            TimeUnit::Minute => "date=%Y-%m-%d/hour=%H/minute=%M",
        };
        Ok(time.format(form).to_string())
    }
}

type TimeOf<T> = Arc<dyn Fn(&T) -> i64 + Send + Sync>;

/// Files in a folder, or in folders by time below it: see [`DStream::to_files`](crate::DStream::to_files).
///
/// ```
/// # use tidegate::{FileSink, TimeUnit};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// # struct Order { at_ms: i64 }
/// let orders = FileSink::<Order>::json("orders").partition_by(TimeUnit::Hour); // orders/date=2026-11-22/hour=14/part-...json
/// let by_their_own_time = orders.time(|order| order.at_ms);
/// ```
pub struct FileSink<T> {
    pub(crate) dir: String,
    pub(crate) format: Result<Arc<dyn FileFormat<T>>, String>,
    unit: Option<TimeUnit>,
    time: Option<TimeOf<T>>,
}

impl<T: Value> FileSink<T> {
    /// Each row a line, as `print` shows it; text as it is.
    ///
    /// ```
    /// use tidegate::{FileSink, StreamingContext, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let root = dir.path().display().to_string();
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("words").to_files(FileSink::text(&root)));
    /// driver.batch("words 0 | - | tide\n")?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("part-1000-00000.txt")).unwrap(), "tide\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn text(dir: &str) -> Self {
        Self::new(dir, Ok(Arc::new(Lines)))
    }

    /// Each row a line with a JSON document. Floats that are no numbers become null.
    ///
    /// ```
    /// use tidegate::{FileSink, StreamingContext, testing::Driver};
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Length {
    ///     of: String,
    ///     letters: usize,
    /// }
    /// let dir = tempfile::tempdir().unwrap();
    /// let root = dir.path().display().to_string();
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let lengths = ssc.text("words").map(|word| Length { of: word.to_string(), letters: word.len() });
    ///     lengths.to_files(FileSink::json(&root));
    /// });
    /// driver.batch("words 0 | - | tide\n")?;
    /// let written = std::fs::read_to_string(dir.path().join("part-1000-00000.json")).unwrap();
    /// assert_eq!(written, "{\"of\":\"tide\",\"letters\":4}\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn json(dir: &str) -> Self {
        Self::new(dir, Ok(Arc::new(JsonLines)))
    }

    /// Parquet files; the columns follow from the type of the rows. Fields of a struct are columns of the same name, parts of a tuple
    /// `_1`, `_2` and so on, anything else is a column `value`. All columns may be null; floats that are no numbers are.
    ///
    /// ```
    /// use tidegate::{FileSink, StreamingContext, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let root = dir.path().display().to_string();
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("words").map(|word| (word.len(), word)).to_files(FileSink::parquet(&root)); // columns `_1` and `_2`
    /// });
    /// driver.batch("words 0 | - | tide\n")?;
    /// assert!(std::fs::read(dir.path().join("part-1000-00000.parquet")).unwrap().starts_with(b"PAR1"));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn parquet(dir: &str) -> Self {
        let format = Columns::of::<T>().map(|columns| Arc::new(columns) as Arc<dyn FileFormat<T>>);
        Self::new(dir, format)
    }

    fn new(dir: &str, format: Result<Arc<dyn FileFormat<T>>, String>) -> Self {
        FileSink { dir: dir.to_owned(), format, unit: None, time: None }
    }

    /// A folder for each day, hour or minute (UTC) of the batch, or of the row if [`time`](Self::time) is given.
    ///
    /// ```
    /// use tidegate::{FileSink, StreamingContext, TimeUnit, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let root = dir.path().display().to_string();
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("words").to_files(FileSink::text(&root).partition_by(TimeUnit::Day));
    /// });
    /// driver.batch("words 0 | - | tide\n")?;
    /// assert!(dir.path().join("date=1970-01-01/part-1000-00000.txt").is_file());
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn partition_by(self, unit: TimeUnit) -> Self {
        FileSink { unit: Some(unit), ..self }
    }

    /// The time of a row in milliseconds since 1970, that decides about its folder.
    ///
    /// ```
    /// use tidegate::{FileSink, SourceOptions, StreamingContext, TimeUnit, codec::Json, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let root = dir.path().display().to_string();
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let orders = ssc.source::<(String, i64)>(SourceOptions::topic("orders"), Json);
    ///     orders.to_files(FileSink::text(&root).partition_by(TimeUnit::Day).time(|(_, at_ms)| *at_ms));
    /// });
    /// driver.batch("orders 0 | - | [\"chair\",1795356305000]\n")?;
    /// let file = dir.path().join("date=2026-11-22/part-1000-00000.txt");
    /// assert_eq!(std::fs::read_to_string(file).unwrap(), "(chair,1795356305000)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[must_use]
    pub fn time(self, time_ms: impl Fn(&T) -> i64 + Send + Sync + 'static) -> Self {
        FileSink { time: Some(Arc::new(time_ms)), ..self }
    }

    /// Whether rows have a time that decides about nothing.
    pub(crate) fn has_time_without_unit(&self) -> bool {
        self.time.is_some() && self.unit.is_none()
    }

    /// The folder of each row below the root.
    pub(crate) fn folder(&self) -> Option<super::FolderOf<T>> {
        let (unit, time) = (self.unit?, self.time.clone());
        Some(Arc::new(move |row: &T, batch: BatchTime| {
            unit.folder(time.as_ref().map_or(batch.0, |f| f(row)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_after_the_time_in_utc() {
        let at = 1_795_356_305_000; // 2026-11-22T14:05:05Z
        for (unit, folder) in [
            (TimeUnit::Day, "date=2026-11-22"),
            (TimeUnit::Hour, "date=2026-11-22/hour=14"),
            (TimeUnit::Minute, "date=2026-11-22/hour=14/minute=05"),
        ] {
            assert_eq!(unit.folder(at).unwrap(), folder);
        }
        assert_eq!(TimeUnit::Day.folder(-1).unwrap(), "date=1969-12-31");
        assert!(TimeUnit::Day.folder(i64::MAX).unwrap_err().to_string().contains("is no time"));
    }
}
