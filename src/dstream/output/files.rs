//! Output operations that write files.
//!
//! Owns their names and the checks made while the program is built. Makes no file system calls. Invariant: mistakes
//! are collected, not returned.

use crate::{dstream::DStream, record::Value, sink::FileSink};

impl<T: Value> DStream<T> {
    /// Writes each batch as text, one row per line, as [`print`](Self::print) shows it: into the folder
    /// `prefix-TIME_IN_MS`, or `prefix-TIME_IN_MS.suffix`, with a file `part-00000` and so on for each task that
    /// had rows, and an empty file `_SUCCESS` that is written last. Exactly once: files appear under these names
    /// after their batch has been committed. A batch without rows writes nothing.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let prefix = format!("{}/words", dir.path().display());
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("words").map(|word| (word, 1)).save_as_text_files(&prefix, "txt");
    /// });
    /// driver.batch("words 0 | - | tide\nwords 0 | - | gate\n")?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("words-1000.txt/part-00000")).unwrap(), "(tide,1)\n(gate,1)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn save_as_text_files(&self, prefix: &str, suffix: &str) {
        self.end_in("save_as_text_files", &self.here(), FileSink::text(prefix).per_batch(suffix));
    }

    /// Like [`save_as_text_files`](Self::save_as_text_files), but each row is a line with a JSON document.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let prefix = format!("{}/words", dir.path().display());
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("words").map(|word| (word, 1)).save_as_json_files(&prefix, "json");
    /// });
    /// driver.batch("words 0 | - | tide\n")?;
    /// assert_eq!(std::fs::read_to_string(dir.path().join("words-1000.json/part-00000")).unwrap(), "[\"tide\",1]\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn save_as_json_files(&self, prefix: &str, suffix: &str) {
        self.end_in("save_as_json_files", &self.here(), FileSink::json(prefix).per_batch(suffix));
    }

    /// Like [`save_as_text_files`](Self::save_as_text_files), but as Parquet: see [`FileSink::parquet`].
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let prefix = format!("{}/words", dir.path().display());
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("words").map(|word| (word, 1)).save_as_parquet_files(&prefix, "parquet"); // columns `_1` and `_2`
    /// });
    /// driver.batch("words 0 | - | tide\n")?;
    /// assert!(std::fs::read(dir.path().join("words-1000.parquet/part-00000")).unwrap().starts_with(b"PAR1"));
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[cfg(feature = "parquet")]
    #[track_caller]
    pub fn save_as_parquet_files(&self, prefix: &str, suffix: &str) {
        self.end_in("save_as_parquet_files", &self.here(), FileSink::parquet(prefix).per_batch(suffix));
    }

    /// Writes files `part-TIME-TASK` into one folder, or into folders by time below it. Exactly once: files appear
    /// under these names after their batch has been committed.
    ///
    /// ```
    /// use tidegate::{FileSink, StreamingContext, TimeUnit, testing::Driver};
    /// let dir = tempfile::tempdir().unwrap();
    /// let root = dir.path().display().to_string();
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.text("words").to_files(FileSink::json(&root).partition_by(TimeUnit::Hour));
    /// });
    /// driver.batch("words 0 | - | tide\n")?; // at 1,000 ms after the epoch
    /// let file = dir.path().join("date=1970-01-01/hour=00/part-1000-00000.json");
    /// assert_eq!(std::fs::read_to_string(file).unwrap(), "\"tide\"\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_files(&self, sink: FileSink<T>) {
        self.end_in("to_files", &self.here(), sink);
    }
}
