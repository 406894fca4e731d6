//! A file that holds the rows of the newest batch, replaced as a whole.
//!
//! Invariants: a batch is written under a pending name before its commit, and replaces the previous one after
//! it; a pending file that is gone has already been moved there; what this process prepared and nobody
//! committed is deleted. For programs that run as one process: two processes would each show their own
//! batches.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};
use tidegate::{
    Error, Result,
    record::Value,
    sink::{Batch, Collected, Sink, SinkContext, SinkShape, TwoPhaseContext, TwoPhaseSink, to_display},
};

/// Replaces a file by the rows of each batch that has any, one row per line, once the batch is committed.
///
/// ```
/// use journal_sink::ReportSink;
/// use tidegate::{StreamingContext, testing::Driver};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("tide");
/// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("tides").to_sink(ReportSink::new(&path)));
/// driver.batch("tides 0 | - | high\n")?;
/// driver.batch("tides 0 | - | low\n")?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "low\n");
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReportSink {
    path: PathBuf,
}

impl ReportSink {
    /// Replaces the file at `path`, whose folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ReportSink { path: path.into() }
    }
}

impl<T: Value> Sink<T> for ReportSink {
    fn shape(self, _: &SinkContext) -> Result<SinkShape<T>, String> {
        let name = self.path.display().to_string();
        if self.path.file_name().is_none() {
            return Err(format!("`{name}` is not a file name"));
        }
        Ok(SinkShape::two_phase(&name, move |context| Report::<T>::new(&self.path, context)))
    }
}

struct Report<T> {
    path: PathBuf,
    /// How the names of this process's pending files begin; no other `@` follows.
    pending: String,
    incarnation: String,
    rows: PhantomData<fn(T)>,
}

impl<T> Report<T> {
    fn new(path: &Path, context: &TwoPhaseContext) -> Self {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let pending = format!(".{file}.{}@{}@", context.application, context.instance);
        Report { path: path.to_owned(), pending, incarnation: String::new(), rows: PhantomData }
    }

    fn beside(&self, name: &[u8]) -> PathBuf {
        self.path.with_file_name(String::from_utf8_lossy(name).as_ref())
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> Error + use<T> {
        let path = self.path.clone();
        move |e| Error::Output(format!("the report {}: {e}", path.display()))
    }
}

impl<T: Value> TwoPhaseSink for Report<T> {
    fn recover(&mut self, incarnation: &str, committed: &[Vec<u8>]) -> Result {
        incarnation.clone_into(&mut self.incarnation);
        committed.iter().try_for_each(|prepared| self.finish(prepared))?;
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        for entry in fs::read_dir(folder).map_err(self.failed())? {
            let entry = entry.map_err(self.failed())?;
            let name = entry.file_name();
            if name.to_string_lossy().strip_prefix(&self.pending).is_some_and(|rest| !rest.contains('@')) {
                fs::remove_file(entry.path()).map_err(self.failed())?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let mut lines = String::new();
        for row in rows.rows::<T>() {
            lines.push_str(&to_display(&row)?);
            lines.push('\n');
        }
        let name = format!("{}{}-{}", self.pending, self.incarnation, batch.id).into_bytes();
        let mut file = File::create(self.beside(&name)).map_err(self.failed())?;
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(self.failed())?;
        Ok(Some(name))
    }

    fn finish(&mut self, prepared: &[u8]) -> Result {
        match fs::rename(self.beside(prepared), &self.path) {
            // The rows are committed: the next start finishes them.
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::Undelivered(format!("the report {}: {e}", self.path.display())))
            }
            _ => Ok(()), // it is gone: it was finished before
        }
    }

    fn discard(&mut self, prepared: &[u8]) -> Result {
        fs::remove_file(self.beside(prepared)).map_err(self.failed())
    }
}
