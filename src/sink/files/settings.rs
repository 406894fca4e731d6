//! What a user specifies about files: where they go, in which format, and in which folders.
//!
//! Owns the folders by time. Knows no file. Invariant: mistakes are reported when the program starts, before
//! anything is written.

use super::{
    content::FileFormat,
    format::{JsonLines, Lines},
    output::{EncodeFiles, FileOutput, FolderOf},
    place::Place,
};
use crate::{
    error::{Error, Result},
    record::{BatchTime, Value},
    sink::shape::{Sink, SinkContext, SinkShape},
};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The length of the time span that shares a folder.
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
    dir: String,
    /// `Some` = each batch has a folder of its own, with this suffix.
    per_batch: Option<String>,
    format: Result<Arc<dyn FileFormat<T>>, String>,
    unit: Option<TimeUnit>,
    time: Option<TimeOf<T>>,
}

impl<T: Value> FileSink<T> {
    /// One line per row, as `print` shows it; text as it is.
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

    /// One line per row, with a JSON document. Floats that are not numbers become null.
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

    /// Parquet files; the columns follow from the type of the rows. Fields of a struct become columns of the
    /// same name, parts of a tuple `_1`, `_2` and so on, anything else a column `value`. All columns are
    /// nullable; floats that are not numbers become null. Needs the cargo feature `parquet`, which is on by
    /// default.
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
    #[cfg(feature = "parquet")]
    #[must_use]
    pub fn parquet(dir: &str) -> Self {
        let format =
            super::parquet::Columns::of::<T>().map(|columns| Arc::new(columns) as Arc<dyn FileFormat<T>>);
        Self::new(dir, format)
    }

    fn new(dir: &str, format: Result<Arc<dyn FileFormat<T>>, String>) -> Self {
        FileSink { dir: dir.to_owned(), per_batch: None, format, unit: None, time: None }
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

    /// The time of a row in milliseconds since 1970, which determines its folder.
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

    /// Each batch into a folder of its own, `dir-TIME[.suffix]`.
    #[must_use]
    pub(crate) fn per_batch(self, suffix: &str) -> Self {
        FileSink { per_batch: Some(suffix.to_owned()), ..self }
    }

    /// The folder of each row below the root.
    fn folder(&self) -> Option<FolderOf<T>> {
        let (unit, time) = (self.unit?, self.time.clone());
        Some(Arc::new(move |row: &T, batch: BatchTime| {
            unit.folder(time.as_ref().map_or(batch.0, |f| f(row)))
        }))
    }
}

#[cfg(feature = "sql")]
impl<T: crate::record::Data> SinkShape<T> {
    /// Files below a folder, of chunks that `encode` encodes.
    pub(crate) fn files_of_blocks(
        root: &str,
        extension: &'static str,
        encode: Arc<dyn super::EncodeBlocks>,
    ) -> Self {
        let place = Place::Tree { root: root.to_owned(), extension };
        let name = place.name();
        let operator = move || super::EncodeChunks(encode.clone());
        let write = move |context: &_| FileOutput::new(place.clone(), context);
        SinkShape::encoded_two_phase(&name, operator, write).in_shares()
    }
}

impl<T: Value> Sink<T> for FileSink<T> {
    fn shape(self, _: &SinkContext) -> Result<SinkShape<T>, String> {
        if self.dir.is_empty() || self.dir.contains("://") {
            return Err(format!("`{}` is not a path of a file system", self.dir));
        }
        if self.time.is_some() && self.unit.is_none() {
            return Err(
                "a time for rows is set, but files are not in folders by time\n  help: add `.partition_by(TimeUnit::Hour)`".into(),
            );
        }
        let folder = self.folder();
        let format =
            self.format.map_err(|why| format!("rows of this type cannot be written as Parquet: {why}"))?;
        let place = match self.per_batch {
            Some(suffix) => Place::FolderPerBatch { prefix: self.dir, suffix },
            None => Place::Tree { root: self.dir, extension: format.extension() },
        };
        let name = place.name();
        let encode = move || EncodeFiles::new(format.clone(), folder.clone());
        let write = move |context: &_| FileOutput::new(place.clone(), context);
        Ok(SinkShape::encoded_two_phase(&name, encode, write).in_shares())
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
