//! Output operations that write files.
//!
//! Owns their names and the checks made while the program is built. Makes no file system calls. Invariant: mistakes
//! are collected, not returned.

use super::DStream;
use crate::{
    operator::Operator,
    plan::{Factory, Layout, Role},
    record::Value,
    sink::{
        FileSink, TwoPhaseContext, TwoPhaseSpec,
        files::{EncodeFiles, FileOutput, Place},
    },
};
use std::{panic::Location, sync::Arc};

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
        self.save("save_as_text_files", FileSink::text(prefix), suffix, Location::caller());
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
        self.save("save_as_json_files", FileSink::json(prefix), suffix, Location::caller());
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
    #[track_caller]
    pub fn save_as_parquet_files(&self, prefix: &str, suffix: &str) {
        self.save("save_as_parquet_files", FileSink::parquet(prefix), suffix, Location::caller());
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
        let extension = sink.format.as_ref().map_or("", |format| format.extension());
        let place = Place::Tree { root: sink.dir.clone(), extension };
        self.write_files("to_files", sink, place, Location::caller());
    }

    fn save(&self, kind: &'static str, sink: FileSink<T>, suffix: &str, at: &'static Location<'static>) {
        let place = Place::FolderPerBatch { prefix: sink.dir.clone(), suffix: suffix.to_owned() };
        self.write_files(kind, sink, place, at);
    }

    fn write_files(
        &self,
        kind: &'static str,
        sink: FileSink<T>,
        place: Place,
        at: &'static Location<'static>,
    ) {
        let name = place.name();
        let mistake = |what: String| self.builder.plan().mistakes.push(format!("{at}: `{kind}`: {what}"));
        if sink.dir.is_empty() || sink.dir.contains("://") {
            mistake(format!("`{}` is not a path of a file system", sink.dir));
        }
        if sink.has_time_without_unit() {
            mistake(
                "a time for rows is set, but files are not in folders by time\n  help: add `.partition_by(TimeUnit::Hour)`".into(),
            );
        }
        let folder = sink.folder();
        let format = match sink.format {
            Ok(format) => format,
            Err(why) => return mistake(format!("rows of this type cannot be written as Parquet: {why}")),
        };
        let factory: Factory = Arc::new(move |_| {
            Box::new(EncodeFiles::new(format.clone(), folder.clone())) as Box<dyn Operator>
        });
        let make =
            Arc::new(move |context: &TwoPhaseContext| Box::new(FileOutput::new(place.clone(), context)) as _);
        let two_phase = Some(TwoPhaseSpec { name, make });
        let _: DStream<()> = self.then(kind, at, Layout::Any, Role::Sink { factory, topic: None, two_phase });
    }
}
