//! Where rows go that have an end: into files.
//!
//! Owns the formats and modes in Spark's words. Knows no format's bytes: the files are written as those of a stream are. Invariants: nothing that
//! is there is touched before all rows are computed; a reader sees a file when it is complete.

use super::run::{rows, run};
use crate::{
    error::{Error, Result},
    sql::{
        SqlError,
        frames::{
            frame::DataFrame,
            mistake::{At, told, wrong},
            target::{OutputMode, Said},
        },
        plan::stream_plan::StreamPlan,
    },
};
use arrow::array::RecordBatch;
use std::{collections::BTreeMap, fmt::Display, fs, panic::Location, path::Path};

/// What the table of the files is called in a plan.
const FILES: &str = "files";

/// Writes rows that have an end: see [`DataFrame::write`].
#[derive(Clone, Debug)]
#[must_use = "call `save`, or the name of a format"]
pub struct DataFrameWriter {
    frame: DataFrame,
    format: String,
    mode: String,
    options: BTreeMap<String, String>,
    partition_by: Vec<String>,
}

impl DataFrame {
    /// Writes its rows, which have an end, into files of a folder.
    ///
    /// ```
    /// use tidegate::sql::{StreamSession, functions::col};
    /// let spark = StreamSession::builder("write-doc").configure(|config| config.admin_bind = None).get_or_create()?;
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("odd");
    /// let path = path.to_str().unwrap();
    /// spark.range(0, 10, 1)?.filter((col("id") % 2).eq(1))?.write().parquet(path)?;
    /// assert_eq!(spark.read().parquet(path)?.count()?, 5);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn write(&self) -> DataFrameWriter {
        DataFrameWriter {
            frame: self.clone(),
            format: "parquet".to_owned(),
            mode: "error".to_owned(),
            options: BTreeMap::new(),
            partition_by: vec![],
        }
    }
}

impl DataFrameWriter {
    /// What the files are: `parquet` (the default), `json`, `csv` or `text`.
    pub fn format(mut self, format: &str) -> Self {
        format.clone_into(&mut self.format);
        self
    }

    /// What is done if there is something already: `error` (the default), `append`, `overwrite` or `ignore`.
    pub fn mode(mut self, mode: &str) -> Self {
        mode.clone_into(&mut self.mode);
        self
    }

    /// An option of the format.
    pub fn option(mut self, key: &str, value: impl Display) -> Self {
        self.options.insert(key.to_owned(), value.to_string());
        self
    }

    /// Options of the format.
    pub fn options<'s>(mut self, options: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        self.options.extend(options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self
    }

    /// Columns by whose values files are put into folders.
    pub fn partition_by<'s>(mut self, columns: impl IntoIterator<Item = &'s str>) -> Self {
        self.partition_by = columns.into_iter().map(str::to_owned).collect();
        self
    }

    /// Writes files of JSON.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    #[track_caller]
    pub fn json(self, path: &str) -> Result {
        self.format("json").saved(path, Location::caller())
    }

    /// Writes files of CSV.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    #[track_caller]
    pub fn csv(self, path: &str) -> Result {
        self.format("csv").saved(path, Location::caller())
    }

    /// Writes the only column, a text, as lines.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    #[track_caller]
    pub fn text(self, path: &str) -> Result {
        self.format("text").saved(path, Location::caller())
    }

    /// Writes files of Parquet.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    #[track_caller]
    pub fn parquet(self, path: &str) -> Result {
        self.format("parquet").saved(path, Location::caller())
    }

    /// Writes the rows into files of this folder.
    ///
    /// # Errors
    /// [`Error::Plan`] with the line of the call if rows keep coming, the format, the mode or an option cannot be, or there is something in the folder and
    /// the mode is `error`; as [`DataFrame::collect`], and if a file cannot be written.
    #[track_caller]
    pub fn save(&self, path: &str) -> Result {
        self.clone().saved(path, Location::caller())
    }

    fn saved(self, path: &str, at: At) -> Result {
        if self.frame.is_streaming() {
            let mistake = SqlError::at(None, "`write` can not be called on a streaming DataFrame")
                .because("its rows keep coming, so there is no last one");
            return Err(told(at, mistake.next("call write_stream()")));
        }
        if !["parquet", "json", "csv", "text"].contains(&self.format.as_str()) {
            let what = format!("rows that have an end are not written to `{}`", self.format);
            return Err(wrong(at, what, "choose parquet, json, csv or text; a stream can be written there"));
        }
        let plain = path.strip_prefix("file:").map_or(path, |rest| rest.strip_prefix("//").unwrap_or(rest));
        let folder = Path::new(plain);
        let Some(replaces) = self.replaces(folder, at)? else { return Ok(()) };
        let rows = rows(&self.frame, at)?;
        let stream = self.planned(path, &rows, at)?;
        if replaces {
            remove(folder)?;
        }
        fs::create_dir_all(folder).map_err(Error::io(format!("making {path}")))?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        run(&self.frame.session.0.config, &stream, None, at)
    }

    /// Whether what is there is replaced; `None` = it stays as it is.
    fn replaces(&self, folder: &Path, at: At) -> Result<Option<bool>> {
        match (self.mode.to_ascii_lowercase().as_str(), is_there(folder)) {
            ("ignore", true) => Ok(None),
            ("error" | "errorifexists" | "default", true) => {
                let next = "call mode(\"append\"), mode(\"overwrite\") or mode(\"ignore\")";
                Err(wrong(at, format!("there is something in {} already", folder.display()), next))
            }
            ("overwrite", is_there) => Ok(Some(is_there)),
            ("error" | "errorifexists" | "default" | "ignore" | "append", _) => Ok(Some(false)),
            (other, _) => {
                let next = "choose error, append, overwrite or ignore";
                Err(wrong(at, format!("there is no mode `{other}`"), next))
            }
        }
    }

    /// A plan that writes these rows.
    fn planned(&self, path: &str, rows: &RecordBatch, at: At) -> Result<StreamPlan> {
        let given = self.frame.session.of_rows(rows, at)?;
        let mut options = self.options.clone();
        options.insert("path".to_owned(), path.to_owned());
        let said = Said {
            frame: &given,
            name: FILES,
            is_named: true,
            format: Some(self.format.as_str()),
            mode: OutputMode::Append,
            options,
            partition_by: &self.partition_by,
            batches: None,
            table: None,
            at,
        };
        let target = said.target()?;
        let mistaken = |mistake| told(at, mistake);
        let session = &self.frame.session.0;
        let mut stream = StreamPlan { is_bounded: true, ..StreamPlan::default() };
        let planned = session.planner().logical_insert(&target.table, &target.insert).map_err(mistaken)?;
        session.planner().lower_insert(planned, &target.table, &mut stream).map_err(mistaken)?;
        Ok(stream)
    }
}

/// Whether something is there: a file, or a folder that is not empty.
fn is_there(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    }
}

/// Removes what is there.
fn remove(folder: &Path) -> Result {
    let removed = if folder.is_dir() { fs::remove_dir_all(folder) } else { fs::remove_file(folder) };
    removed.map_err(Error::io(format!("removing {}", folder.display())))
}
