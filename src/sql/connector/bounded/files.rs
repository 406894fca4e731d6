//! The rows of a table of files.
//!
//! Owns the walk through folders and lines. Knows no format's bytes. Invariants: files are read in the order of their paths; names that begin
//! with `.` or `_` are passed over; the values of partition columns are those in the names of folders.

use super::Loading;
use crate::{
    source::BadRecordPolicy,
    sql::{
        SqlError, SqlResult, TableDefinition,
        connector::{FilesTable, Format, folder_value},
        format::{RecordFormat, RowReader, Rows, csv_cell},
        rows::ColumnBuilder,
    },
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{Field, SchemaRef},
};
use std::{
    fs::{File, read_dir},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Rows that are read before they are put aside.
const ROWS_MAX: usize = 8_192;
/// Bytes of lines that are read before their rows are put aside: a column of a piece has less than 2 GiB.
const PIECE_BYTES_MAX: usize = 64 << 20;

/// All rows of the files.
pub(super) fn load(table: &TableDefinition, files: &FilesTable) -> SqlResult<RecordBatch> {
    let schema = super::schema(table);
    let reader = FileReader { table, files, schema: schema.clone() };
    let mut loading = Loading { table, schema, pieces: vec![], bytes: 0 };
    for path in &reader.all()? {
        reader.read(path, &mut loading)?;
    }
    loading.finish()
}

/// The paths of the files of a table, in the order in which they are read.
pub(super) fn paths(table: &TableDefinition, files: &FilesTable) -> SqlResult<Vec<PathBuf>> {
    FileReader { table, files, schema: super::schema(table) }.all()
}

struct FileReader<'t> {
    table: &'t TableDefinition,
    files: &'t FilesTable,
    schema: SchemaRef,
}

impl FileReader<'_> {
    fn failed(&self, path: &Path, what: impl std::fmt::Display) -> SqlError {
        let what = format!("table `{}`: {}: {what}", self.table.name, path.display());
        SqlError::at(self.table.span, what)
    }

    fn all(&self) -> SqlResult<Vec<PathBuf>> {
        let mut paths = vec![];
        self.find(&self.files.path, true, &mut paths)?;
        Ok(paths)
    }

    /// The files at a path, in order.
    fn find(&self, path: &Path, is_root: bool, found: &mut Vec<PathBuf>) -> SqlResult {
        let failed = |e: std::io::Error| {
            let error = self.failed(path, e);
            if is_root { error.next("correct 'path': it is a file, or a folder of files") } else { error }
        };
        if !path.metadata().map_err(failed)?.is_dir() {
            found.push(path.to_owned());
            return Ok(());
        }
        let mut entries = vec![];
        for entry in read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                entries.push(entry.path());
            }
        }
        entries.sort();
        entries.iter().try_for_each(|entry| self.find(entry, false, found))
    }

    /// The fields that are in the files.
    fn in_files(&self) -> Vec<Field> {
        let is_in_file = |field: &&std::sync::Arc<Field>| !self.table.partitioned_by.contains(field.name());
        self.schema.fields().iter().filter(is_in_file).map(|field| field.as_ref().clone()).collect()
    }

    fn read(&self, path: &Path, loading: &mut Loading<'_>) -> SqlResult {
        if path.extension().is_some_and(|end| end == "gz") {
            return Err(self
                .failed(path, "a packed file cannot be read at the start")
                .next("unpack it, or read the folder as files come: 'source.monitor-interval' = '1 s'"));
        }
        let file = File::open(path).map_err(|e| self.failed(path, e))?;
        let fixed = self.partition_columns(path)?;
        if self.files.format == Format::Parquet {
            return self.read_parquet(path, file, &fixed, loading);
        }
        let fields = self.in_files();
        let names = fields.iter().map(|field| field.name().clone()).collect();
        let format = match &self.files.format {
            Format::Json => RecordFormat::Json,
            Format::Csv(options) => RecordFormat::Csv(options.clone(), names),
            _ => RecordFormat::Raw,
        };
        let reader = RowReader::new(format, fields).map_err(|why| self.failed(path, why))?;
        let told = |e: crate::Error| self.failed(path, e);
        let mut rows = reader.rows(ROWS_MAX).map_err(told)?;
        let mut lines = Lines::of(file);
        let (mut count, mut bytes, mut skipped) = (0, 0, 0_u64);
        while lines.next().map_err(|e| self.failed(path, e))? {
            let is_header = self.files.ignores_first_line && lines.number == 1;
            if is_header || lines.line.is_empty() && self.files.format != Format::Raw {
                continue;
            }
            match rows.read(Some(&lines.line)) {
                Ok(()) => (count, bytes) = (count + 1, bytes + lines.line.len()),
                Err(reason) => self.bad(path, lines.number, &reason, &mut skipped)?,
            }
            if count == ROWS_MAX || bytes > PIECE_BYTES_MAX {
                self.put_aside(path, &mut rows, count, &fixed, loading)?;
                (count, bytes) = (0, 0);
            }
        }
        if skipped > 0 {
            tracing::warn!(
                "{} lines of {} are no rows of table {}",
                skipped,
                path.display(),
                self.table.name
            );
        }
        self.put_aside(path, &mut rows, count, &fixed, loading)
    }

    fn bad(&self, path: &Path, line: u64, reason: &str, skipped: &mut u64) -> SqlResult {
        if self.files.policy != BadRecordPolicy::Fail {
            *skipped += 1;
            return Ok(());
        }
        Err(self
            .failed(path, format!("line {line}: {reason}"))
            .next("correct the line, or leave such lines out: 'on-bad-record' = 'skip'"))
    }

    fn put_aside(
        &self,
        path: &Path,
        rows: &mut Rows,
        count: usize,
        fixed: &[(usize, ArrayRef)],
        loading: &mut Loading<'_>,
    ) -> SqlResult {
        let columns = rows.finish().map_err(|e| self.failed(path, e))?;
        if count == 0 {
            return Ok(());
        }
        loading.add(self.with_fixed(path, columns, count, fixed)?)
    }

    /// The columns of a file, with those of its folders where they are declared.
    fn with_fixed(
        &self,
        path: &Path,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        fixed: &[(usize, ArrayRef)],
    ) -> SqlResult<RecordBatch> {
        let first = UInt32Array::from(vec![0; rows]);
        for (place, value) in fixed {
            columns.insert(*place, take(value, &first, None).map_err(|e| self.failed(path, e))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| self.failed(path, e))
    }

    /// The values of partition columns, each with its place among the columns, in order.
    fn partition_columns(&self, path: &Path) -> SqlResult<Vec<(usize, ArrayRef)>> {
        let below = path.strip_prefix(&self.files.path).unwrap_or(path);
        let mut fixed = vec![];
        for (place, field) in self.schema.fields().iter().enumerate() {
            if !self.table.partitioned_by.contains(field.name()) {
                continue;
            }
            let folders = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
            let mut values = folders.filter_map(|folder| folder_value(&folder, field.name()));
            let Some(text) = values.next() else {
                let folder = format!("it is in no folder `{}=..`", field.name());
                return Err(self.failed(path, folder).next("correct 'path' or PARTITIONED BY"));
            };
            let mut column = ColumnBuilder::new(field.data_type(), 1).map_err(|e| self.failed(path, e))?;
            if text == self.files.null_name {
                column.push_null();
            } else {
                csv_cell(text.as_bytes(), &mut column)
                    .map_err(|reason| self.failed(path, format!("folder of `{}`: {reason}", field.name())))?;
            }
            fixed.push((place, column.finish().map_err(|e| self.failed(path, e))?));
        }
        Ok(fixed)
    }

    #[cfg(feature = "parquet")]
    fn read_parquet(
        &self,
        path: &Path,
        file: File,
        fixed: &[(usize, ArrayRef)],
        loading: &mut Loading<'_>,
    ) -> SqlResult {
        let fields = self.in_files();
        super::columns::read(file, &fields, |columns, rows| {
            loading.add(self.with_fixed(path, columns, rows, fixed)?)
        })
        .map_err(|error| match error.span {
            None => self.failed(path, error.message),
            Some(_) => error,
        })
    }

    #[cfg(not(feature = "parquet"))]
    fn read_parquet(&self, path: &Path, _: File, _: &[(usize, ArrayRef)], _: &mut Loading<'_>) -> SqlResult {
        Err(self.failed(path, "this build has no Parquet"))
    }
}

/// The lines of a file, without their ends.
pub(super) struct Lines {
    file: BufReader<File>,
    /// The last one that was taken.
    pub line: Vec<u8>,
    /// Which it is, from 1 on.
    pub number: u64,
}

impl Lines {
    pub fn of(file: File) -> Self {
        Lines { file: BufReader::with_capacity(1 << 18, file), line: vec![], number: 0 }
    }

    /// Takes the next line; `false` = there is none.
    pub fn next(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        if self.file.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(false);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        self.number += 1;
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(true)
    }
}
